"""Leakage: films held out that were trained on after all, which would hide copies of themselves."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.evaluate.memorization.duplicates import (
    EXPECTED_FALSE,
    TWINS,
    Films,
    Kind,
    OnProgress,
    Twins,
    explain_missing,
    find_threshold,
    measure_honest,
    search_nearest,
)
from cspine_bench.measurement.figures import CLOPPER_PEARSON, build_figure
from cspine_bench.metrics.intervals import clopper_pearson_interval
from cspine_bench.metrics.near_copies import Variant
from cspine_bench.results import Figure
from cspine_bench.seeding import numpy_generator

MOST_HONEST: Final = 1000
"""Training films whose nearest other film is looked for, to know how alike films of different patients are."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Leakage:
    """Which films held out are no such films.

    Attributes:
        figures: `leaked_share`, by kind.
        pairs: film held out and training film, by kind, the likest first; of a patient the first of the training films.
        threshold: similarity from which a pair is near; nan where it was not measured.
        honest: float64, of training films to the nearest one of another patient: what the threshold is from.
        similarity: float64 (M,), of each film held out to the nearest training film.
        index: int64 (M,), of that one.
        not_measured: each figure that is missing, with the reason.
    """

    figures: tuple[Figure, ...]
    pairs: tuple[Twins, ...]
    threshold: float
    honest: Floats = field(repr=False)
    similarity: Floats = field(repr=False)
    index: NDArray[np.int64] = field(repr=False)
    not_measured: tuple[str, ...] = ()


def measure_leakage(
    *,
    train: Films,
    holdout: Films,
    seed: int = 0,
    variants: Sequence[Variant] = TWINS,
    on_progress: OnProgress | None = None,
) -> Leakage:
    """Films held out that were trained on after all: the same pixels, all but the same, or of a patient that was.

    Args:
        train: films trained on.
        holdout: films held out.
        seed: of the training films that say how alike films of different patients are, where there are many.
        variants: moves to try.
        on_progress: told how many films held out were compared with all training films.

    Raises:
        ValueError: maps differ in size.
    """
    drawn = np.sort(numpy_generator(seed, "evaluate.leakage.honest").permutation(len(train))[:MOST_HONEST])
    honest = measure_honest(train, train, drawn, variants)
    nearest, index = search_nearest(holdout, train, variants, on_progress=on_progress)
    threshold = find_threshold(honest, num_references=len(train) - 1, num_images=len(holdout), num_compared=len(train))
    by_hash = {digest: row for row, digest in reversed(list(enumerate(train.pixel_sha256)))}
    by_group = {group: row for row, group in reversed(list(enumerate(train.group_ids)))}
    similarity = nearest[:, 0].astype(np.float64)
    # The first film of its pixels, and of its patient.
    by_hash = {digest: row for row, digest in reversed(list(enumerate(train.pixel_sha256)))}
    by_group = {group: row for row, group in reversed(list(enumerate(train.group_ids)))}
    found: dict[Kind, dict[int, int]] = {
        "exact": {row: by_hash[digest] for row, digest in enumerate(holdout.pixel_sha256) if digest in by_hash},
        "near": {int(row): int(index[row, 0]) for row in np.flatnonzero(similarity >= threshold)},
        "group": {row: by_group[group] for row, group in enumerate(holdout.group_ids) if group in by_group},
    }
    measured = [kind for kind in found if kind != "near" or not np.isnan(threshold)]
    pairs = tuple(
        Twins(kind, holdout.sample_ids[row], train.sample_ids[other], _spell(kind, row, other, similarity, index))
        for kind in found
        for row, other in sorted(found[kind].items(), key=lambda item: (-similarity[item[0]], item))
    )
    return Leakage(
        figures=tuple(_build_leaked(train, holdout, found, kind, threshold) for kind in measured),
        pairs=pairs,
        threshold=threshold,
        honest=honest,
        similarity=similarity,
        index=index[:, 0],
        not_measured=() if "near" in measured else (explain_missing("leaked_share of near ones", honest),),
    )


def _spell(kind: Kind, row: int, other: int, similarity: Floats, index: NDArray[np.int64]) -> float:
    """Similarity of a pair, where it is known."""
    if kind == "exact":
        return 1.0
    return float(similarity[row]) if index[row, 0] == other else math.nan


def _build_leaked(
    train: Films, holdout: Films, found: dict[Kind, dict[int, int]], kind: Kind, threshold: float
) -> Figure:
    rows = set(found[kind]) | (set(found["exact"]) if kind == "near" else set())
    share, trials = len(rows) / len(holdout), len(set(holdout.group_ids))
    used = {"train": len(train), "holdout": len(holdout)}
    meaning = {
        "exact": "Films held out whose pixels equal a training film's.",
        "near": (
            f"Films held out with a similarity of {threshold:.3f} or more to a training film, which {EXPECTED_FALSE:g} "
            "of so many would reach were they as different as training films of different patients. Equal pixels count."
        ),
        "group": "Films held out of a patient or anatomy that was trained on, as far as the dataset names patients.",
    }[kind]
    return build_figure(
        "leaked_share",
        clopper_pearson_interval(successes=share * trials, total=trials),
        direction="lower",
        used=used,
        available=used,
        method=CLOPPER_PEARSON + ("" if trials == len(holdout) else " of as many trials as there are patients"),
        unit="share",
        condition={"kind": kind},
        note=meaning + " A film that was trained on is no film held out: it hides copies of itself.",
    )
