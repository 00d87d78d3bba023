"""From the scores of every network to figures with intervals, differences from real radiographs alone, and verdicts.

compared = compare_arms(cells, group_ids=cases.group_ids, margin=0.1, seed=0, floors=floors)
compared.figures, compared.verdicts, compared.verdict, compared.notes

All networks are scored on the same resamples of the test groups, so that what they find hard alike takes no part in
their differences.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.baselines.compared_figures import Method, build_difference_figure, build_score_figure
from cspine_bench.baselines.recipe import CONTROLS
from cspine_bench.baselines.task import Score
from cspine_bench.baselines.verdict import (
    TWO_STAGES,
    ArmVerdict,
    Difference,
    is_shown_better,
    judge_arms,
    spell_fraction,
    summarise_verdicts,
)
from cspine_bench.metrics.paired import FigureDraws, pool_seeds, resample_groups, summarise_seeds
from cspine_bench.results import Figure
from cspine_bench.seeding import numpy_generator

REAL: Final = "real"
RESTARTED: Final = "real-restarted"
ENOUGH_SEEDS: Final = 5
"""With fewer, the spread between seeds is pooled over the arms of a fraction."""

_ROWS: Final = 128
"""Resamples at a time: few enough that their weights stay near the processor."""

Place = tuple[str, float | None]
"""Arm and fraction."""
Key = tuple[str, tuple[tuple[str, str], ...]]
"""Name and condition of a score."""


@dataclass(frozen=True)
class CellScores:
    """One network's scores of the test radiographs.

    Attributes:
        arm: label, such as `mixed-1`; of a floor: its name, such as `mean-shape`.
        fraction: of the real labels that it learnt from; None: of none, so that it stands at every fraction.
        seed: number of the network; networks of one seed share their label subset and first weights.
        scores: the primary one first.
    """

    arm: str
    fraction: float | None
    seed: int
    scores: tuple[Score, ...]


@dataclass(frozen=True)
class Compared:
    """What the networks of a run show together.

    Attributes:
        figures: of every arm, fraction and score; then the differences of the primary score.
        differences: of the primary score: from real radiographs alone, and from the controls.
        verdicts: for each arm that uses synthetic data, fraction by fraction.
        verdict: all of it in a few sentences.
        notes: what could not be measured, and why.
    """

    figures: tuple[Figure, ...]
    differences: tuple[Difference, ...]
    verdicts: tuple[ArmVerdict, ...]
    verdict: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Measured:
    """A score of all the networks of one arm and fraction."""

    score: Score
    draws: FigureDraws
    seeds: tuple[int, ...]
    used: int
    num_groups: int


_Table = dict[Place, dict[Key, _Measured]]


def compare_arms(
    cells: Sequence[CellScores],
    *,
    group_ids: Sequence[str],
    margin: float,
    seed: int,
    num_bootstrap: int = 2000,
    floors: Sequence[CellScores] = (),
    cautions: Sequence[str] = (),
) -> Compared:
    """Figures and verdicts of a run.

    Args:
        cells: of every network that was trained; `real` must be among the arms.
        group_ids: (n,), patient or anatomy of each test radiograph, in the order of the scores' weights.
        margin: largest difference of the primary score that does not matter, in its unit.
        seed: draws the resamples.
        num_bootstrap: resamples of the test groups.
        floors: scores of what needs no learning; one seed, and one fraction or None, are enough.
        cautions: sentences that the verdict begins with, such as that synthetic radiographs are copies.

    Raises:
        ValueError: no cell of the arm `real`, the margin is not above 0, or the primary score has no better end.
    """
    primary_of = next((cell.scores[0] for cell in cells if cell.arm == REAL and cell.scores), None)
    if primary_of is None:
        raise ValueError("no network of the arm `real` has scores, so there is nothing to compare with; train it first")
    if not margin > 0:
        raise ValueError(f"margin must be above 0, got {margin}")
    primary = _key(primary_of)
    weights = _draw_weights(group_ids, num_bootstrap, seed, "test")
    notes: list[str] = []
    table = _measure(cells, weights, group_ids, notes)
    floor_table = _measure(floors, weights, group_ids, notes)
    planned = {"test": len(group_ids), "seeds": len({cell.seed for cell in cells})}
    method = Method(num_bootstrap, len(set(group_ids)))
    figures = _build_figures(table, planned, method) + _build_figures(floor_table, planned, method)
    verdicts: list[ArmVerdict] = []
    differences: list[Difference] = []
    own: list[str] = []
    for fraction in sorted({cell.fraction for cell in cells if cell.fraction is not None}):
        arms = _arms_at(table, fraction, primary)
        if REAL not in arms:
            own.append(f"{spell_fraction(fraction)}, the arm `real` has no {primary[0]}: no arm is compared there.")
            continue
        judged, found = _compare_fraction(arms, _arms_at(floor_table, fraction, primary), fraction, margin, own)
        verdicts += judged
        differences += found
    of_arm = {(item.arm, item.fraction): item for item in verdicts}
    for item in differences:
        verdict = of_arm.get((item.arm, item.fraction)) if item.against == REAL else None
        figures.append(build_difference_figure(item, verdict, planned, method))
    own = list(dict.fromkeys(own))
    return Compared(
        figures=tuple(figures),
        differences=tuple(differences),
        verdicts=tuple(verdicts),
        verdict=summarise_verdicts(verdicts, cautions=[*cautions, *own]),
        notes=(*notes, *own),
    )


def measure_cells(
    cells: Sequence[CellScores], *, group_ids: Sequence[str], tested_on: str, seed: int, num_bootstrap: int = 2000
) -> tuple[tuple[Figure, ...], tuple[str, ...]]:
    """Figures of networks on other test radiographs, such as synthetic ones; nothing is compared.

    Args:
        cells: with their scores there.
        group_ids: (n,), group of each of those radiographs.
        tested_on: what they are, for the figures' condition `tested_on`.
        seed: draws the resamples.
        num_bootstrap: resamples of the groups.

    Returns:
        Figures, and notes on what could not be measured.
    """
    if not cells:
        return (), ()
    notes: list[str] = []
    table = _measure(cells, _draw_weights(group_ids, num_bootstrap, seed, tested_on), group_ids, notes)
    planned = {tested_on: len(group_ids), "seeds": len({cell.seed for cell in cells})}
    method = Method(num_bootstrap, len(set(group_ids)))
    figures = _build_figures(table, planned, method, tested_on)
    return tuple(figures), tuple(f"tested on {tested_on}: {note}" for note in notes)


def uses_synthetic(arm: str) -> bool:
    """Whether an arm, by its label, learns from synthetic radiographs."""
    return arm != REAL and arm not in CONTROLS


def _build_figures(table: _Table, planned: dict[str, int], method: Method, tested_on: str = "test") -> list[Figure]:
    return [
        build_score_figure(
            measured.score,
            summarise_seeds(measured.draws, num_groups=measured.num_groups),
            arm=arm,
            fraction=fraction,
            tested_on=tested_on,
            used=measured.used,
            available=planned,
            method=method,
        )
        for (arm, fraction), scores in table.items()
        for measured in scores.values()
    ]


def _draw_weights(group_ids: Sequence[str], num_bootstrap: int, seed: int, stream: str) -> NDArray[np.float64]:
    generator = numpy_generator(seed, f"baselines.compare.{stream}")
    return resample_groups(group_ids, num_resamples=num_bootstrap, generator=generator)


def _measure(
    cells: Sequence[CellScores], weights: NDArray[np.float64], group_ids: Sequence[str], notes: list[str]
) -> _Table:
    """Every score of every arm and fraction; what is not defined for one of the seeds is left out and noted."""
    ones = np.ones((1, weights.shape[1]))
    _, group = np.unique(np.asarray(group_ids), return_inverse=True)
    # Arms in the order in which they were given, the seeds of each in their own.
    together: dict[Place, dict[Key, list[tuple[int, Score]]]] = {(cell.arm, cell.fraction): {} for cell in cells}
    for cell in sorted(cells, key=lambda cell: cell.seed):
        scores = together[cell.arm, cell.fraction]
        for score in cell.scores:
            scores.setdefault(_key(score), []).append((cell.seed, score))
    table: _Table = {}
    for place, scores in together.items():
        for key, seeded in scores.items():
            values = np.array([float(score.statistic(ones)[0]) for _, score in seeded])
            if not np.isfinite(values).all():
                absent = [
                    str(number) for (number, _), value in zip(seeded, values, strict=True) if not np.isfinite(value)
                ]
                notes.append(f"{_spell_place(place)}: {_spell_key(key)} is not defined with seed {', '.join(absent)}")
                continue
            resampled = np.stack([_resample(score, weights) for _, score in seeded])
            scored = [score for _, score in seeded]
            table.setdefault(place, {})[key] = _Measured(
                score=scored[0],
                draws=FigureDraws(values, resampled),
                seeds=tuple(number for number, _ in seeded),
                used=min(score.used for score in scored),
                num_groups=min(_count_groups(score, group) for score in scored),
            )
    return table


def _resample(score: Score, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([score.statistic(weights[start : start + _ROWS]) for start in range(0, len(weights), _ROWS)])


def _count_groups(score: Score, group: NDArray[np.int64]) -> int:
    """Test groups that a score rests on."""
    if score.per_case is not None and len(score.per_case) == len(group):
        return len(np.unique(group[np.isfinite(score.per_case)]))
    return min(int(group.max()) + 1, score.used)


def _arms_at(table: _Table, fraction: float, primary: Key) -> dict[str, _Measured]:
    """The primary score of each arm at a fraction; arms that learn from no real radiograph stand at every one."""
    found: dict[str, _Measured] = {}
    for (arm, at), scores in table.items():
        if primary in scores and (at == fraction or (at is None and (arm, fraction) not in table)):
            found[arm] = scores[primary]
    return found


def _compare_fraction(
    arms: dict[str, _Measured], floors: dict[str, _Measured], fraction: float, margin: float, notes: list[str]
) -> tuple[tuple[ArmVerdict, ...], list[Difference]]:
    pooled = _pool(arms)

    def subtract(arm: str, names: Iterable[str]) -> list[Difference]:
        found = [_subtract(arm, arms[arm], name, arms[name], fraction, notes) for name in names if name in arms]
        differences = [difference for difference in found if difference is not None]
        if pooled is None:
            return differences
        return [
            replace(item, mean=item.mean.pool(*pooled)) if item.mean.num_seeds > 1 else item for item in differences
        ]

    family = [arm for arm in arms if uses_synthetic(arm)]
    from_real = [item for arm in family for item in subtract(arm, [REAL])]
    from_controls = {
        arm: subtract(arm, [name for name in CONTROLS if name != RESTARTED or arm in TWO_STAGES]) for arm in family
    }
    from_floor: dict[str, Difference] = {}
    for name, floor in list(floors.items())[:1]:
        for arm, measured in arms.items():
            shared = _repeat(floor, measured.seeds) if len(floor.seeds) == 1 else floor
            if (item := _subtract(arm, measured, name, shared, fraction, notes)) is not None:
                from_floor[arm] = item
    if REAL in from_floor and not is_shown_better(from_floor[REAL]):
        notes.append(
            f"{spell_fraction(fraction)}, real radiographs alone were not shown to be better than "
            f"{from_floor[REAL].against}, which needs no learning: what is compared there may have learnt nothing."
        )
    verdicts = judge_arms(from_real, controls=from_controls, floors=from_floor, margin=margin)
    of_controls = [item for name in CONTROLS if name in arms for item in subtract(name, [REAL])]
    return verdicts, [*from_real, *of_controls, *(item for items in from_controls.values() for item in items)]


def _pool(arms: dict[str, _Measured]) -> tuple[float, int] | None:
    """Variance between seeds over the arms of a fraction, and its degrees of freedom; None where seeds are enough.

    Over the seeds that all of them have; None where these are fewer than two, or no arm is there but two.
    """
    common = sorted(set.intersection(*(set(item.seeds) for item in arms.values())))
    most = max(len(item.seeds) for item in arms.values())
    if len(common) < 2 or most >= ENOUGH_SEEDS or len(arms) < 3:
        return None
    values = [item.draws.values[[item.seeds.index(seed) for seed in common]] for item in arms.values()]
    return pool_seeds(np.stack(values))


def _repeat(measured: _Measured, seeds: tuple[int, ...]) -> _Measured:
    """What needs no training is the same beside every seed."""
    return replace(measured, draws=measured.draws.take([0] * len(seeds)), seeds=seeds)


def _subtract(
    arm: str, one: _Measured, against: str, other: _Measured, fraction: float, notes: list[str]
) -> Difference | None:
    """Over the seeds that both have; None where there is none."""
    common = sorted(set(one.seeds) & set(other.seeds))
    if len(common) < max(len(one.seeds), len(other.seeds)):
        notes.append(
            f"{spell_fraction(fraction)}, {arm} and {against} have {len(common)} seeds in common, of "
            f"{len(one.seeds)} and {len(other.seeds)}."
        )
    if not common:
        return None
    draws = one.draws.take([one.seeds.index(seed) for seed in common]).minus(
        other.draws.take([other.seeds.index(seed) for seed in common])
    )
    score = one.score
    return Difference(
        arm=arm,
        against=against,
        fraction=fraction,
        name=score.name,
        unit=score.unit,
        direction=score.direction,
        condition=score.condition or {},
        used=min(one.used, other.used),
        mean=summarise_seeds(draws, num_groups=min(one.num_groups, other.num_groups)),
    )


def _key(score: Score) -> Key:
    return score.name, tuple(sorted((score.condition or {}).items()))


def _spell_place(place: Place) -> str:
    return place[0] if place[1] is None else f"{place[0]} at {place[1]:g}"


def _spell_key(key: Key) -> str:
    return ", ".join([key[0], *(f"{name} {value}" for name, value in key[1])])
