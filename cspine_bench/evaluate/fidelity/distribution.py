"""How close the features of synthetic radiographs are to those of real ones, each figure with interval and floor."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.evaluate.fidelity.distances import (
    CMMD,
    DIRECTIONS,
    DISTANCES,
    ENDS,
    FRECHET,
    KERNEL,
    LIMIT,
    Distances,
    NotMeasured,
    Vectors,
    measure_distances,
)
from cspine_bench.evaluate.fidelity.floors import Floors, measure_floors
from cspine_bench.evaluate.fidelity.recipe import FidelityRecipe
from cspine_bench.measurement.figures import JACKKNIFE, build_figure
from cspine_bench.metrics.frechet import extrapolate
from cspine_bench.metrics.intervals import CONFIDENCE, Estimate, clopper_pearson_interval
from cspine_bench.results import Figure
from cspine_bench.seeding import numpy_generator

OnProgress = Callable[[int, int], None]

NOTES: Final = {
    FRECHET: "Too large in small samples: it compares at equal counts only, as with its floor, and not across papers.",
    LIMIT: "Extrapolated to endless samples by a line through the distances of 1, 2 and 3 parts.",
    KERNEL: "Unbiased at any counts: about 0 for sets of one distribution, and then below 0 half of the time.",
    CMMD: "With the features of {encoder}; the published figure is of CLIP embeddings, and does not compare.",
    "precision": "Depends on the counts, so it is read against its floor at the floor's counts.",
    "recall": "Depends on the counts, so it is read against its floor at the floor's counts.",
    "density": "Not bounded by 1: real images that crowd together raise it.",
    "coverage": "Rises with the number of synthetic images for each real one, so it is read at the floor's counts.",
}
SCORED: Final = {"precision": 1, "recall": 0, "coverage": 0}
"""Shares, and the side that they are shares of: 0 real, 1 synthetic."""
ALL_OR_NONE: Final = (
    "Clopper-Pearson over patients or anatomies, for a share of all or none, which no jackknife can widen"
)
FEW_ROWS: Final = "Fewer images than features: most of its value comes from that."
LINE_OR_PARABOLA: Final = (
    "lowest and highest end of two intervals by the delete-a-group jackknife over patients or anatomies: that of the "
    "line, and that of the parabola through the same distances"
)
BENT: Final = (
    "The distances of 1, 2 and 3 parts do not lie on a line: a parabola through them gives {other:.4g}. The interval "
    "holds both."
)


@dataclass(frozen=True)
class Distribution:
    """What was measured of all samples.

    Attributes:
        figures: with their floors.
        not_measured: which figures there are not, and why.
        floor_draws: float64 (K,), by name: the figure between the real halves of each deal.
        matched_draws: float64 (K,), by name: the figure of synthetic against real at those counts.
        trend: Fréchet distances of 1, 2 and 3 parts, which the limit rests on; empty where it was not measured.
    """

    figures: tuple[Figure, ...]
    not_measured: tuple[NotMeasured, ...]
    floor_draws: dict[str, NDArray[np.float64]] = field(repr=False)
    matched_draws: dict[str, NDArray[np.float64]] = field(repr=False)
    trend: tuple[float, ...] = ()


def measure_distribution(
    *,
    real: NDArray[np.float32],
    synthetic: NDArray[np.float32],
    real_groups: Sequence[str],
    synthetic_groups: Sequence[str],
    recipe: FidelityRecipe,
    seed: int,
    available: Mapping[str, int],
    on_progress: OnProgress | None = None,
) -> Distribution:
    """Measure every figure of `DISTANCES`, its interval and its floor.

    Args:
        real: float32 (n, d), features of real radiographs.
        synthetic: float32 (m, d), of synthetic ones.
        real_groups: (n,), patient of each.
        synthetic_groups: (m,), anatomy of each.
        recipe: names the encoder, the number of neighbours, and how many deals a floor has.
        seed: decides every draw.
        available: images that there were, by role (`real`, `synthetic`).
        on_progress: told steps done and all steps; one for the figures, one for each deal of the floors.

    Returns:
        What could be measured, and why the rest was not. An interval is for the figure's average at these counts.

    Raises:
        DataError: a feature is NaN or infinity.
        ValueError: shapes do not fit.

    Source: see the functions of `cspine_bench.metrics`, and `cspine_bench.evaluate.fidelity.floors`.
    """
    sides = Vectors(real, tuple(real_groups)), Vectors(synthetic, tuple(synthetic_groups))
    for role, side in zip(("real", "synthetic"), sides, strict=True):
        side.require_finite(role)
    steps = itertools.count(1)

    def tell() -> None:
        if on_progress is not None:
            on_progress(next(steps), 1 + recipe.num_floors)

    found = measure_distances(
        *sides,
        names=DISTANCES,
        num_neighbours=recipe.num_neighbours,
        generator=numpy_generator(seed, "evaluate.distribution.groups"),
    )
    tell()
    floors = measure_floors(
        *sides,
        names=tuple(found.figures),
        num_neighbours=recipe.num_neighbours,
        num_floors=recipe.num_floors,
        seed=seed,
        on_draw=tell,
    )
    return Distribution(
        figures=tuple(_build_figures(found, floors, sides, recipe.encoder, available)),
        not_measured=tuple(NotMeasured(name, found.reasons[name]) for name in DISTANCES if name in found.reasons),
        floor_draws=floors.draws,
        matched_draws=floors.matched,
        trend=tuple(distance.value for distance in found.trend),
    )


def _build_figures(
    found: Distances, floors: Floors, sides: tuple[Vectors, Vectors], encoder: str, available: Mapping[str, int]
) -> list[Figure]:
    return [
        build_distance(
            name,
            found,
            sides,
            available=available,
            floor=floors.floors.get(name),
            notes=(*_explain(name, found, encoder, sides), floors.reasons.get(name, "")),
        )
        for name in found.figures
    ]


def build_distance(
    name: str,
    found: Distances,
    sides: tuple[Vectors, Vectors],
    *,
    available: Mapping[str, int],
    used: Mapping[str, int] | None = None,
    level: float = CONFIDENCE,
    notes: Sequence[str] = (),
    **more: Any,
) -> Figure:
    """A figure of a measured distance, with its interval where it can have one.

    Args:
        name: of `DISTANCES`.
        found: what was measured.
        sides: what it was measured of, real and synthetic.
        available: images that there were, by role.
        used: images that it rests on, by role; None: those of the sides.
        level: of the interval.
        notes: sentences, some of them perhaps "".
        more: see `build_figure`.
    """
    estimate, method, why = _estimate(name, found, sides, level)
    told = [_sentence(note) for note in (*notes, why) if note]
    return build_figure(
        name,
        found.figures[name].value if estimate is None else estimate,
        direction=DIRECTIONS[name],
        used=used or {"real": len(sides[0]), "synthetic": len(sides[1])},
        available=available,
        method=method,
        level=level,
        note=" ".join(told),
        **more,
    )


def _estimate(
    name: str, found: Distances, sides: tuple[Vectors, Vectors], level: float
) -> tuple[Estimate | None, str, str]:
    """A figure's interval with its method; or none, and why."""
    figure = found.figures[name]
    if name in found.no_interval:
        return None, "", found.no_interval[name]
    if name in SCORED and figure.value in (0, 1) and np.ptp(figure.left_out) == 0:
        trials = sides[SCORED[name]].num_groups
        exact = clopper_pearson_interval(successes=figure.value * trials, total=trials, confidence=level)
        return exact, ALL_OR_NONE, ""
    if np.ptp(figure.left_out) == 0:
        return None, "", "no interval: it is the same whatever is left out, and that says nothing of its error"
    if name == LIMIT:
        ends = [curve.estimate(confidence=level) for curve in (figure, extrapolate(found.trend, degree=2))]
        low, high = min(end.low for end in ends), max(end.high for end in ends)
        return Estimate(figure.value, low, high), LINE_OR_PARABOLA, ""
    least, most = ENDS.get(name, (-np.inf, np.inf))
    return figure.estimate(confidence=level, least=least, most=most), JACKKNIFE, ""


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _explain(name: str, found: Distances, encoder: str, sides: tuple[Vectors, Vectors]) -> list[str]:
    notes = [NOTES[name].format(encoder=encoder)]
    if name == FRECHET and min(map(len, sides)) <= sides[0].features.shape[1]:
        notes.append(FEW_ROWS)
    if name == LIMIT and len(found.figures[name].left_out):
        interval, curved = found.figures[name].estimate(), extrapolate(found.trend, degree=2)
        if not interval.low <= curved.value <= interval.high:
            notes.append(BENT.format(other=curved.value))
    return notes
