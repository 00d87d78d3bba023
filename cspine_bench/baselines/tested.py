"""Figures of one model's predictions, with intervals over patients or anatomies and the floor beside them."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.baselines.task import Score
from cspine_bench.metrics.intervals import CONFIDENCE
from cspine_bench.results import Figure, Floor, Interval
from cspine_bench.seeding import numpy_generator

NUM_BOOTSTRAP: Final = 2000
METHOD: Final = f"percentile bootstrap over patients or anatomies, {NUM_BOOTSTRAP:,} draws"
_AT_ONCE: Final = 250
"""Draws in memory together."""


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
        seed: of the draws.
        floor: the same scores of what the figures are to be read against.
        floor_name: what that is, in words.
        floor_groups: patient or anatomy of each radiograph that the floor rests on; None: it is the same radiographs.
    """
    draws = draw_groups(group_ids, seed)
    # The same radiographs are drawn alike, so that figure and floor move together.
    floor_draws = draws if floor_groups is None else draw_groups(floor_groups, seed)
    beside = {_key(score): score for score in floor}
    figures = []
    for score in scores:
        value, interval = estimate(score, draws)
        if value is None:
            continue
        figures.append(
            Figure(
                name=score.name,
                value=value,
                unit=score.unit,
                direction=score.direction,
                interval=interval,
                n_used={role: score.used},
                n_available={role: len(group_ids)},
                condition=dict(score.condition or {}),
                floor=_build_floor(beside.get(_key(score)), score, floor_draws, floor_name),
                note=score.note,
            )
        )
    return tuple(figures)


def draw_groups(group_ids: Sequence[str], seed: int) -> NDArray[np.int16]:
    """How often each radiograph is drawn when whole groups are drawn with replacement, int16 (`NUM_BOOTSTRAP`, n)."""
    names, group = np.unique(np.array(group_ids, dtype=object).astype(str), return_inverse=True)
    generator = numpy_generator(seed, "baselines.tested")
    counts = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=NUM_BOOTSTRAP)
    return np.asarray(counts[:, group], np.int16)


def estimate(score: Score, draws: NDArray[np.int16]) -> tuple[float | None, Interval | None]:
    """A score of all radiographs, None where it is not defined; and its interval, None where nine draws in ten have no
    value or all radiographs are of one group."""
    value = float(score.statistic(np.ones((1, draws.shape[1])))[0])
    if not np.isfinite(value):
        return None, None
    if (draws == draws[:, :1]).all():
        return value, None
    parts = [score.statistic(draws[start : start + _AT_ONCE].astype(np.float64))
             for start in range(0, len(draws), _AT_ONCE)]  # fmt: skip
    found = np.concatenate(parts)
    found = found[np.isfinite(found)]
    if len(found) < 0.1 * len(draws):
        return value, None
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    # A figure may lie outside its draws' middle; its interval holds it all the same.
    return value, Interval(low=min(float(low), value), high=max(float(high), value), level=CONFIDENCE, method=METHOD)


def _build_floor(floor: Score | None, score: Score, draws: NDArray[np.int16], name: str) -> Floor | None:
    if floor is None or floor.unit != score.unit:
        return None
    value, interval = estimate(floor, draws)
    if value is None:
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
