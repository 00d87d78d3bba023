"""Figures of one model's predictions, with intervals over patients or anatomies and the floor beside them."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.baselines.task import Score
from cspine_bench.metrics.intervals import CONFIDENCE
from cspine_bench.metrics.paired import MOST_UNDEFINED, resample_groups
from cspine_bench.results import Figure, Floor, Interval
from cspine_bench.seeding import numpy_generator

NUM_BOOTSTRAP: Final = 2000
METHOD: Final = f"percentile bootstrap over patients or anatomies, {NUM_BOOTSTRAP:,} resamples"
_AT_ONCE: Final = 200
"""Resamples in memory together: a row of weights for each, as long as there are radiographs."""


def build_tested_figures(
    scores: Sequence[Score],
    group_ids: Sequence[str],
    *,
    role: str,
    seed: int,
    floor: Sequence[Score] = (),
    floor_name: str = "",
    floor_groups: Sequence[str] | None = None,
) -> tuple[Figure, ...]:
    """Figures of scores; one that is not defined is left out.

    Args:
        scores: of one set of radiographs.
        group_ids: (n,), patient or anatomy of each of those radiographs.
        role: of them, for the counts.
        seed: of the resamples.
        floor: the same scores of what the figures are to be read against.
        floor_name: what that is, in words.
        floor_groups: patient or anatomy of each radiograph that the floor rests on; None: they are the same ones.
    """
    found = measure_intervals(scores, group_ids, seed)
    beside = {
        _key(score): (score, *measured)
        for score, measured in zip(floor, measure_intervals(floor, floor_groups or group_ids, seed), strict=True)
    }
    return tuple(
        Figure(
            name=score.name,
            value=value,
            unit=score.unit,
            direction=score.direction,
            interval=interval,
            n_used={role: score.used},
            n_available={role: len(group_ids)},
            condition=dict(score.condition or {}),
            floor=_build_floor(beside.get(_key(score)), score, floor_name),
            note=score.note,
        )
        for score, (value, interval) in zip(scores, found, strict=True)
        if value is not None
    )


def measure_intervals(
    scores: Sequence[Score], group_ids: Sequence[str], seed: int
) -> list[tuple[float | None, Interval | None]]:
    """Each score of all radiographs, None where it is not defined, with its interval.

    There is no interval where all radiographs are of one group, or where more than `MOST_UNDEFINED` of the resamples
    leave the score undefined.
    """
    if not scores:
        return []
    generator = numpy_generator(seed, "baselines.tested")
    drawn: list[list[NDArray[np.float64]]] = [[] for _ in scores]
    if len(set(group_ids)) > 1:
        for start in range(0, NUM_BOOTSTRAP, _AT_ONCE):
            number = min(_AT_ONCE, NUM_BOOTSTRAP - start)
            weights = resample_groups(group_ids, num_resamples=number, generator=generator)
            for score, parts in zip(scores, drawn, strict=True):
                parts.append(score.statistic(weights))
    every = np.ones((1, len(group_ids)))
    found: list[tuple[float | None, Interval | None]] = []
    for score, parts in zip(scores, drawn, strict=True):
        value = float(score.statistic(every)[0])
        found.append((value, _find_interval(value, parts)) if np.isfinite(value) else (None, None))
    return found


def _find_interval(value: float, parts: list[NDArray[np.float64]]) -> Interval | None:
    drawn = np.concatenate(parts) if parts else np.empty(0)
    defined = drawn[np.isfinite(drawn)]
    if not len(drawn) or len(defined) < (1 - MOST_UNDEFINED) * len(drawn):
        return None
    low, high = (float(end) for end in np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]))
    # A figure may lie outside its resamples' middle; its interval holds it all the same.
    return Interval(low=min(low, value), high=max(high, value), level=CONFIDENCE, method=METHOD)


def _build_floor(beside: tuple[Score, float | None, Interval | None] | None, score: Score, name: str) -> Floor | None:
    if beside is None:
        return None
    floor, value, interval = beside
    if value is None or floor.unit != score.unit:
        return None
    return Floor(
        value=value,
        low=value if interval is None else interval.low,
        high=value if interval is None else interval.high,
        level=CONFIDENCE,
        method=name if interval is None else f"{name}; {METHOD}",
        n_used=(floor.used, floor.used),
    )


def _key(score: Score) -> tuple[str, tuple[tuple[str, str], ...]]:
    return score.name, tuple(sorted((score.condition or {}).items()))
