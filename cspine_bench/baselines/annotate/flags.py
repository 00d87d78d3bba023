"""Measured labels that nobody should trust unseen: unsure ones, impossible spines, masks that are not where spines are.

A flag drops nothing. It says which rule is broken, by what.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import CORNER_LEVELS, MASK_LABELS
from cspine_bench.anatomy.spine_rules import FIXED_RULES, Check, iter_checks
from cspine_bench.anatomy.spine_shapes import SpineShapes, turn_left
from cspine_bench.baselines.annotate.measure import Measured
from cspine_bench.baselines.annotate.teachers import Teachers
from cspine_bench.imaging.body_masks import draw_whole_bodies

Floats = NDArray[np.float64]

LEAST_AGREEMENT: Final = 0.5
"""Dice of a body's mask and the polygon of its corners below which they are not of the same body; our choice."""
_EDGE: Final = 1e-6

RULES: Final[dict[str, str]] = {
    "unsure-landmarks": "The least sure landmark is surer than in 5 % of the radiographs that the teacher was held to.",
    "unsure-masks": "Likewise the mask.",
    "unsure-curvature": "Likewise the class, where a model tells it.",
    **FIXED_RULES,
    "inside": "All landmarks lie inside the image; one outside is written as not labelled.",
    "shape": "The shape is no farther from the mean training spine than nearly all held out are, true or measured.",
    "mask-levels": "The mask holds a vertebra, and none is missing between two that it holds.",
    "mask-order": "Centres of the mask's vertebrae follow each other down the image.",
    "mask-against-landmarks": f"Each body of C3 to C7 overlaps its corners' polygon, Dice above {LEAST_AGREEMENT}.",
}
"""What each rule asks."""


@dataclass(frozen=True)
class Flags:
    """What is wrong with each radiograph's labels.

    Attributes:
        rules: (n,), broken ones in the order of `RULES`.
        reasons: (n,), one sentence; "" where nothing is.
        shape_distance: float64 (n,), from the mean training spine; NaN: not measured.
    """

    rules: tuple[tuple[str, ...], ...]
    reasons: tuple[str, ...]
    shape_distance: Floats

    def count(self) -> dict[str, int]:
        """Radiographs by rule that they break; rules that none breaks are left out."""
        counts = {rule: sum(rule in broken for broken in self.rules) for rule in RULES}
        return {rule: count for rule, count in counts.items() if count}


def find_flags(measured: Measured, teachers: Teachers) -> Flags:
    """Judge measured labels by `RULES`, as far as there are labels to judge."""
    shape_distance = np.full(len(measured), np.nan)
    checks = list(_check_confidence(measured, teachers))
    if teachers.landmarks is not None:
        found, shape_distance = _check_spines(measured, teachers)
        checks += found
    checks += _check_masks(measured)
    bad = np.array([check.bad for check in checks]).reshape(len(checks), len(measured))
    rules, reasons = [], []
    for row in range(len(measured)):
        # The first of each rule says it; a body out of place breaks many.
        first = {checks[place].rule: checks[place].describe(row) for place in reversed(np.flatnonzero(bad[:, row]))}
        broken = tuple(rule for rule in RULES if rule in first)
        rules.append(broken)
        reasons.append("; ".join(first[rule] for rule in broken))
    return Flags(tuple(rules), tuple(reasons), shape_distance)


def _check_confidence(measured: Measured, teachers: Teachers) -> Iterator[Check]:
    least = {
        "landmarks": measured.landmark_confidence.astype(np.float64).min(axis=1),
        "masks": measured.mask_confidence,
        "curvature": measured.curvature_confidence,
    }
    for what, model in teachers.items().items():
        limit = model.facts.least_confidence
        if limit is not None:
            # At the limit is as sure as one that was held out.
            yield Check(f"unsure-{what}", f"confidence of the {what}", least[what], float(np.nextafter(limit, -1)))


def _check_spines(measured: Measured, teachers: Teachers) -> tuple[list[Check], Floats]:
    points = measured.landmarks_xy.astype(np.float64)
    left = turn_left(points, measured.facing)
    with np.errstate(all="ignore"):  # A body without extent, and points far outside, are what is looked for.
        checks = list(iter_checks(left, measured.pixel_spacing_mm))
        last = measured.side_px[:, None, None] - 1
        margin = np.minimum(points, last - points).min(axis=(1, 2))
        checks.append(Check("inside", "nearest edge of the image, px", margin, -0.5 - _EDGE))
    shapes = None if teachers.landmarks is None else teachers.landmarks.shapes
    if shapes is None:
        return checks, np.full(len(measured), np.nan)
    distances = SpineShapes.from_arrays(shapes).measure(left)
    part = "distance from the mean training spine"
    return [*checks, Check("shape", part, distances, -math.inf, float(shapes["limit"]))], distances


def _check_masks(measured: Measured) -> Iterator[Check]:
    masks = measured.masks
    if masks is None:
        return
    labels = [MASK_LABELS[level] for level in measured.mask_levels]
    sizes = np.stack([(masks == label).sum(axis=(1, 2)) for label in labels], axis=1)
    there = sizes > 0
    rows = np.arange(masks.shape[1], dtype=np.float64)
    heights = np.stack([((masks == label).sum(axis=2) @ rows) for label in labels], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        heights = heights / sizes
    gaps, falls = np.zeros(len(masks)), np.full(len(masks), np.inf)
    for row in range(len(masks)):
        places = np.flatnonzero(there[row])
        gaps[row] = math.inf if not len(places) else places[-1] - places[0] + 1 - len(places)
        falls[row] = np.diff(heights[row, places]).min(initial=math.inf)
    yield Check("mask-levels", "vertebrae missing in the mask", gaps, -1, 0.5)
    yield Check("mask-order", "least step down between two vertebrae of the mask, px", np.minimum(falls, 1e9))
    if "landmarks" in measured.said:
        yield from _check_agreement(measured, masks)


def _check_agreement(measured: Measured, masks: NDArray[np.uint8]) -> Iterator[Check]:
    factors = measured.said["masks"].factors
    points = (measured.landmarks_xy.astype(np.float64) + 0.5) / factors[:, None, None] - 0.5
    drawn = draw_whole_bodies(points, masks.shape[-1])
    for level in CORNER_LEVELS:
        if level not in measured.mask_levels:
            continue
        one, other = masks == MASK_LABELS[level], drawn == MASK_LABELS[level]
        both = (one & other).sum(axis=(1, 2))
        total = one.sum(axis=(1, 2)) + other.sum(axis=(1, 2))
        dice = np.divide(2 * both, total, out=np.ones(len(masks)), where=total > 0)
        yield Check("mask-against-landmarks", f"Dice of {level}'s mask and its corners", dice, LEAST_AGREEMENT)
