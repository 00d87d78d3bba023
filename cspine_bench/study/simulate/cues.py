"""How hard a case is, and how skilled readers are, so that what is asked for is what comes out.

A reader compares the images of a case by how much like a radiograph each looks: its own appeal, the same for all
readers whether it is real or not; the reader's skill, which speaks for the real one alone; and chance (Gumbel), so that
an image is picked with odds exp(look). With no skill nothing depends on which image is real. For single images the
answer is right with logit skill + appeal.

Two figures have to be found by numbers: the appeal's spread that gives a wanted spread of the logit of a right answer
over cases, and the skill that gives a wanted share of right answers over readers and cases.
"""

import functools
import math
from collections import Counter

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from cspine_bench.study.recipe import CHANCE, NUM_PANES, Design

Floats = NDArray[np.float64]
_POINTS = 4096
_LARGEST_SKILL = 30.0


@functools.cache
def _spread_normals(dimensions: int, seed: int) -> Floats:
    """Standard normal values (points, dimensions) that lie evenly: for averages good to three digits or more."""
    points = stats.qmc.Sobol(dimensions, rng=np.random.default_rng(seed)).random(_POINTS)
    values: Floats = special.ndtri(np.clip(points, 1e-9, 1 - 1e-9))
    return values


@functools.lru_cache(maxsize=256)
def find_appeal_sd(design: Design, case_sd: float) -> float:
    """Spread of the images' appeal that makes the logit of a right answer vary by `case_sd` over cases.

    Args:
        design: of the display sets.
        case_sd: standard deviation on the logit, at least 0.
    """
    others = NUM_PANES[design] - 1
    if others <= 1 or case_sd == 0:
        # The difference of two images; or a single one.
        return case_sd / math.sqrt(1 + others)
    normals = _spread_normals(others + 1, 1)

    def excess(sd: float) -> float:
        looks = sd * normals
        return float(np.std(looks[:, 0] - special.logsumexp(looks[:, 1:], axis=1))) - case_sd

    # The largest of the others moves less than any of them, so the spread lies between these two.
    return float(optimize.brentq(excess, 0.5 * case_sd, 1.01 * case_sd))


Shifts = tuple[tuple[float, ...], ...]
"""For each display set what makes its synthetic images easier to tell, on the logit: (panes - 1,). For single images
one value for each image, 0 where it is real."""


@functools.lru_cache(maxsize=4096)
def find_skill(
    design: Design, *, accuracy: float, reader_sd: float, looks_sd: float, shifts: Shifts | None = None
) -> float:
    """Mean skill that gives a share of right answers, over readers and cases.

    Args:
        design: of the display sets.
        accuracy: wanted, strictly between 0 and 1.
        reader_sd: of skills.
        looks_sd: of how images look to a reader, by appeal and all else but skill.
        shifts: of display sets, each as frequent as the others; None: 0 in all.

    Raises:
        ValueError: accuracy is not between 0 and 1, or no skill reaches it.
    """
    if not 0 < accuracy < 1:
        raise ValueError(f"accuracy must lie between 0 and 1, got {accuracy}")
    told = shifts is not None and any(any(of_set) for of_set in shifts)
    if reader_sd == 0 and accuracy == CHANCE[design] and not told:
        return 0.0

    def excess(skill: float) -> float:
        found = mean_accuracy(design, skill=skill, reader_sd=reader_sd, looks_sd=looks_sd, shifts=shifts)
        return found - accuracy

    try:
        return float(optimize.brentq(excess, -_LARGEST_SKILL, _LARGEST_SKILL, xtol=1e-6))
    except ValueError as error:
        raise ValueError(f"no skill gives an accuracy of {accuracy} with these spreads") from error


def mean_accuracy(
    design: Design, *, skill: float, reader_sd: float, looks_sd: float, shifts: Shifts | None = None
) -> float:
    """Share of right answers over readers and cases; arguments as `find_skill`."""
    panes = NUM_PANES[design]
    normals = _spread_normals(panes + 1, 2)
    skills = skill + reader_sd * normals[:, -1]
    looks = looks_sd * normals[:, :panes]
    found = Counter(shifts or ((0.0,) * max(1, panes - 1),))
    shares = []
    for of_set in found:
        others = special.logsumexp(looks[:, 1:] - np.array(of_set), axis=1) if panes > 1 else -of_set[0]
        shares.append(special.expit(skills + looks[:, 0] - others).mean())
    return float(np.average(shares, weights=list(found.values())))
