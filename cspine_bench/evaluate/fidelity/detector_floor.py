"""What the detectors score on real images against other real images, by the same procedure at the same number."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cspine_bench.evaluate.fidelity.detector import (
    NUM_FOLDS,
    CrossFit,
    Integers,
    Views,
    cross_fit,
    fold_area,
)
from cspine_bench.metrics.intervals import CONFIDENCE
from cspine_bench.results import Floor
from cspine_bench.seeding import numpy_generator

BOTH = "both"
"""Name of the score of the view that each fold chose."""


@dataclass(frozen=True)
class Side:
    """Images of one side as the detectors see them: by view (n, d), and (n,) units that must not be cut."""

    views: dict[str, NDArray[np.float64]]
    units: Integers

    def __len__(self) -> int:
        return len(self.units)

    def take(self, rows: Integers) -> "Side":
        """Some of them."""
        return Side({view: values[rows] for view, values in self.views.items()}, self.units[rows])


def join_sides(real: Side, synthetic: Side) -> tuple[Views, NDArray[np.bool_], Integers]:
    """Views, side and units of both, the real ones first."""
    views = {view: np.concatenate([values, synthetic.views[view]]) for view, values in real.views.items()}
    made = np.arange(len(real) + len(synthetic)) >= len(real)
    return views, made, np.concatenate([real.units, synthetic.units])


def fit_sides(real: Side, synthetic: Side, generator: np.random.Generator) -> CrossFit:
    """`cross_fit` of both.

    Raises:
        ValueError: as `cross_fit`.
    """
    views, made, units = join_sides(real, synthetic)
    return cross_fit(views=views, synthetic=made, units=units, generator=generator)


def measure_floors(
    *, pool: Side, real: Side, synthetic: Side, num_deals: int, least: int, seed: int
) -> dict[str, Floor]:
    """A floor for each view, and for `BOTH`; none where the real images are too few.

    Args:
        pool: real images that are dealt into two, none of whose units is on both sides of a deal.
        real: of the figure itself.
        synthetic: likewise, as many.
        num_deals: how often.
        least: images of each side.
        seed: of the deals.
    """
    wanted = len(real)
    deals = []
    for number in range(num_deals):
        generator = numpy_generator(seed, "evaluate.detectability.floor", number)
        one, other = _deal(pool.units, generator)
        count = min(wanted, len(one), len(other))
        units = min(len(np.unique(pool.units[side[:count]])) for side in (one, other))
        if count < least or units < 2 * NUM_FOLDS:
            return {}
        deals.append((pool.take(one[:count]), pool.take(other[:count]), generator))
    # Patients of several images make deals of slightly different sizes.
    count = min(len(one) for one, _, _ in deals)
    everyone = np.arange(count)
    try:
        areas = [_measure(one.take(everyone), other.take(everyone), draw) for one, other, draw in deals]
        draw = numpy_generator(seed, "evaluate.detectability.matched")
        drawn = [draw.permutation(wanted)[:count] for _ in range(2)]
        matched = _measure(real.take(drawn[0]), synthetic.take(drawn[1]), draw)
    except ValueError:
        return {}  # Patients so uneven in their images that folds of these few cannot be made.
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, num_deals - 1)) * np.sqrt(1 + 1 / num_deals)
    return {name: _spell([each[name] for each in areas], matched[name], reach, count) for name in matched}


def _deal(units: Integers, generator: np.random.Generator) -> tuple[Integers, Integers]:
    """Rows of two sides of about the same size, in random order, that share no unit."""
    names, unit = np.unique(units, return_inverse=True)
    sizes = np.bincount(unit)
    side_of, loads = np.empty(len(names), np.int64), [0, 0]
    for name in generator.permutation(len(names)):
        side_of[name] = int(loads[1] < loads[0])
        loads[side_of[name]] += int(sizes[name])
    order = generator.permutation(len(units))
    return order[side_of[unit[order]] == 0], order[side_of[unit[order]] == 1]


def _measure(one: Side, other: Side, generator: np.random.Generator) -> dict[str, float]:
    fit = fit_sides(one, other, generator)
    made = np.arange(len(one) + len(other)) >= len(one)
    scores = {**fit.scores, BOTH: fit.chosen_scores}
    return {name: fold_area(values, made, fit.fold) for name, values in scores.items()}


def _spell(areas: list[float], matched: float, reach: float, count: int) -> Floor:
    mean, deviation = float(np.mean(areas)), float(np.std(areas, ddof=1))
    return Floor(
        value=mean,
        low=max(0.0, mean - reach * deviation),
        high=min(1.0, mean + reach * deviation),
        level=CONFIDENCE,
        method=f"{len(areas)} deals of real images into two, whole patients or anatomies; where another deal would "
        "lie, by Student's t",
        n_used=(count, count),
        matched=matched,
    )
