"""What real images score against other real images: the floor that a figure of synthetic images is read against.

The real images are dealt several times into two halves that never part a patient, and each figure is measured between
the halves. Each deal gives a fair draw of what a perfect generator, one that draws from the distribution of the real
images, would score at these counts. The deals use the same images again and again, though, so their spread alone is
too narrow: it misses how much all of them would move together with other real images.

Let T be the figure of one deal, M the mean of K deals. The variance of T is that of the deals, s^2, plus that of its
mean over all deals of the same images, which the deals never see. The delete-a-group jackknife of M, the same patients
left out of all deals, estimates the latter plus s^2 / K. So a new figure differs from M with a variance of about
s^2 (1 - 1 / K) + 2 v, v being the jackknife's variance of M; the ends are M -+ Student's t times its root.

Source: Efron, Stein 1981, Annals of Statistics 9, 586-596 (the jackknife errs upwards); Nadeau, Bengio 2003, Machine
Learning 52, 239-281 (why resamples that overlap need a correction). The sum of both parts is worked out here.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cspine_bench.evaluate.fidelity.distances import ENDS, Distances, Vectors, measure_distances
from cspine_bench.metrics.intervals import CONFIDENCE, Jackknife, deal_groups
from cspine_bench.results import Floor
from cspine_bench.seeding import numpy_generator

LEAST_PATIENTS: Final = 8
NUM_LEFT_OUT: Final = 10
METHOD: Final = (
    "prediction interval for one more figure of real against real images: spread of {draws} deals into two halves that "
    "part no patient, and delete-a-group jackknife of their mean ({groups} groups of patients) for what they share"
)


@dataclass(frozen=True)
class Floors:
    """Floors of several figures.

    Attributes:
        floors: by name of the figure.
        reasons: by name, why there is none.
        draws: float64 (K,), by name: the figure of each deal.
        matched: float64 (K,), by name: the figure of synthetic against one half, at the counts of each deal.
    """

    floors: dict[str, Floor]
    reasons: dict[str, str]
    draws: dict[str, NDArray[np.float64]]
    matched: dict[str, NDArray[np.float64]]


def deal_halves(side: Vectors, generator: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of two halves, as equal as whole patients allow; no patient is in both.

    Returns:
        Rising int64 row numbers of either half.
    """
    together: dict[object, list[int]] = {}
    for row, group in enumerate(side.groups):
        together.setdefault(group, []).append(row)
    sets = list(together.values())
    halves: tuple[list[int], list[int]] = ([], [])
    for number in generator.permutation(len(sets)):
        smaller = min(halves, key=len) if len(halves[0]) != len(halves[1]) else halves[generator.integers(2)]
        smaller.extend(sets[number])
    first, second = (np.sort(np.array(half, np.int64)) for half in halves)
    return first, second


def draw_rows(side: Vectors, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Rows of a random part: whole patients, of the last one as many images as fit.

    Args:
        side: of at least `count` rows; of just so many, all are drawn.
        count: of rows.
        generator: decides.

    Returns:
        Rising int64 (count,).
    """
    together: dict[object, list[int]] = {}
    for row, group in enumerate(side.groups):
        together.setdefault(group, []).append(row)
    sets = list(together.values())
    rows: list[int] = []
    for number in generator.permutation(len(sets)):
        rows.extend(sets[number])
        if len(rows) >= count:
            break
    return np.sort(np.array(rows[:count], np.int64))


def measure_floors(
    real: Vectors,
    synthetic: Vectors,
    *,
    names: Sequence[str],
    num_neighbours: int,
    num_floors: int,
    seed: int,
    stream: str = "evaluate.floors",
    most_images: int | None = None,
    on_draw: Callable[[], None] | None = None,
) -> Floors:
    """Measure floors, and the figures of synthetic images at their counts.

    Args:
        real: (n, d).
        synthetic: (m, d); where they are fewer than half of the real ones, one half is cut to as many.
        names: of `DISTANCES`.
        num_neighbours: of precision, recall, density and coverage.
        num_floors: deals, 2 or more.
        seed: decides them.
        stream: name of this use of randomness.
        most_images: that a half may have; None: any number.
        on_draw: called after each deal.
    """
    if real.num_groups < LEAST_PATIENTS:
        reason = f"no floor: the real images are of {real.num_groups} patients, {LEAST_PATIENTS} are needed"
        return Floors({}, dict.fromkeys(names, reason), {}, {})
    deals = [deal_halves(real, numpy_generator(seed, f"{stream}.halves", draw)) for draw in range(num_floors)]
    count = min(most_images or len(real), *(len(half) for deal in deals for half in deal))
    other_count = min(count, len(synthetic))
    num_groups = min(NUM_LEFT_OUT, real.num_groups)
    label = deal_groups(real.groups, num_groups=num_groups, generator=numpy_generator(seed, f"{stream}.groups"))
    between, matched = [], []
    for draw, deal in enumerate(deals):
        generator = numpy_generator(seed, f"{stream}.draws", draw)
        settings: dict[str, Any] = {"names": names, "num_neighbours": num_neighbours}
        first, second = (
            half[draw_rows(real.take(half), size, generator)]
            for half, size in zip(deal, (count, other_count), strict=True)
        )
        between.append(
            measure_distances(
                real.take(first),
                real.take(second),
                **settings,
                generator=numpy_generator(seed, f"{stream}.parts", draw),
                labels=(label[first], label[second]),
            )
        )
        matched.append(
            measure_distances(
                real.take(first),
                synthetic.take(draw_rows(synthetic, other_count, generator)),
                **settings,
                generator=numpy_generator(seed, f"{stream}.parts", draw),
                with_interval=False,
            )
        )
        if on_draw is not None:
            on_draw()
    return _summarise(names, between, matched, (count, other_count), num_groups)


def _summarise(
    names: Sequence[str],
    between: Sequence[Distances],
    matched: Sequence[Distances],
    counts: tuple[int, int],
    num_groups: int,
) -> Floors:
    found = Floors({}, {}, {}, {})
    for name in names:
        if any(name not in one.figures for one in (*between, *matched)):
            why = next(one.reasons[name] for one in (*between, *matched) if name in one.reasons)
            found.reasons[name] = f"no floor at half of the counts: {why}"
            continue
        deals = [_fill(one.figures[name], num_groups) for one in between]
        if any(len(deal.left_out) < 2 for deal in deals):
            found.reasons[name] = "no floor: most real images are of a few patients, so none can be left out of a half"
            continue
        found.draws[name] = np.array([deal.value for deal in deals])
        found.matched[name] = np.array([one.figures[name].value for one in matched])
        found.floors[name] = predict_floor(
            deals, counts=counts, matched=float(found.matched[name].mean()), ends=ENDS.get(name, (-math.inf, math.inf))
        )
    return found


def _fill(deal: Jackknife, num_groups: int) -> Jackknife:
    """The last groups may have no image in a deal whose halves were cut: it is the same without them."""
    if len(deal.left_out) == 0:
        return deal
    absent = np.full(num_groups - len(deal.left_out), deal.value)
    return Jackknife(deal.value, np.concatenate([deal.left_out, absent]))


def predict_floor(
    deals: Sequence[Jackknife], *, counts: tuple[int, int], matched: float | None, ends: tuple[float, float]
) -> Floor:
    """A floor from several deals of the same real images; see this module's head for the method.

    Args:
        deals: the figure of each deal, and without the same groups of patients in turn.
        counts: images in the two halves.
        matched: see `Floor`.
        ends: least and most that the figure can be.
    """
    values = np.array([deal.value for deal in deals])
    mean = Jackknife(float(values.mean()), np.mean([deal.left_out for deal in deals], axis=0))
    num_deals, num_groups = len(values), len(mean.left_out)
    variance = float(values.var(ddof=1)) * (1 - 1 / num_deals) + 2 * mean.variance
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, min(num_deals, num_groups) - 1)) * math.sqrt(variance)
    return Floor(
        value=mean.value,
        low=max(ends[0], mean.value - half),
        high=min(ends[1], mean.value + half),
        level=CONFIDENCE,
        method=METHOD.format(draws=num_deals, groups=num_groups),
        n_used=counts,
        matched=matched,
    )
