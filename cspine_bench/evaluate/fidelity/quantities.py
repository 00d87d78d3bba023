"""One number for each image, real against synthetic: how far apart the two distributions lie, and how sure that is.

Whole groups (patients, anatomies) are left out for the intervals and dealt out for the floors, so that images which
hang together count as what they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.measurement.figures import JACKKNIFE, build_figure
from cspine_bench.metrics.intervals import CONFIDENCE, Estimate, jackknife_intervals
from cspine_bench.metrics.wasserstein import permutation_p_values, weighted_distances
from cspine_bench.results import Figure, Floor
from cspine_bench.seeding import numpy_generator

LEAST_GROUPS: Final = 4
"""Patients or anatomies of a side with fewer have no interval, so nothing is said of them."""
NUM_DEALS: Final = 200
"""How often real images are dealt into two sets for a floor; its ends are quantiles over these deals."""

FLOOR_METHOD: Final = f"{NUM_DEALS} random pairs of disjoint sets of real radiographs, no group in both"

_VALUES_AT_ONCE: Final = 1 << 19
_NUM_MATCHED: Final = 50
"""Of these deals, as many also meet a synthetic set: for a mean, which needs fewer than ends do."""

Floats = NDArray[np.float64]
Weights = NDArray[np.float32]
Known = tuple[NDArray[np.bool_], NDArray[np.bool_]]


@dataclass(frozen=True)
class Sides:
    """Which image belongs to whom, on both sides.

    Attributes:
        real_groups: int64 (n,), 0 .. number of groups - 1.
        synthetic_groups: int64 (m,), likewise.
    """

    real_groups: NDArray[np.int64]
    synthetic_groups: NDArray[np.int64]

    @classmethod
    def of(cls, real_groups: Sequence[str], synthetic_groups: Sequence[str]) -> "Sides":
        """From names of groups."""
        return cls(*(np.unique(list(names), return_inverse=True)[1] for names in (real_groups, synthetic_groups)))


@dataclass(frozen=True)
class Compared:
    """One quantity, real against synthetic.

    Attributes:
        name: of the quantity.
        unit: of its values.
        distance: Wasserstein distance.
        mean_difference: synthetic minus real.
        spread_ratio: standard deviation of the synthetic over that of the real; None where real values do not vary.
        floor: of the distance.
        used: images with a value, by role.
        available: images, by role.
    """

    name: str
    unit: str
    distance: Estimate
    mean_difference: Estimate
    spread_ratio: Estimate | None
    floor: Floor
    used: dict[str, int]
    available: dict[str, int]

    def build_figures(self, prefix: str, key: str, note: str, *, spread: bool = False) -> tuple[Figure, ...]:
        """Its figures.

        Args:
            prefix: of their names: `anatomy`, `quality`.
            key: of their condition: `parameter`, `property`.
            note: one sentence that a reader needs.
            spread: with the ratio of spreads.
        """
        shared: dict[str, Any] = {
            "used": self.used, "available": self.available, "method": JACKKNIFE, "condition": {key: self.name},
            "note": note,
        }  # fmt: skip
        name = f"{prefix}_wasserstein_distance"
        figures = [build_figure(name, self.distance, direction="lower", unit=self.unit, floor=self.floor, **shared)]
        figures.append(
            build_figure(f"{prefix}_mean_difference", self.mean_difference, direction="none", unit=self.unit, **shared)
        )
        if spread and self.spread_ratio is not None:
            figures.append(build_figure(f"{prefix}_spread_ratio", self.spread_ratio, direction="none", **shared))
        return tuple(figures)


def compare_quantities(
    real: Mapping[str, Floats],
    synthetic: Mapping[str, Floats],
    sides: Sides,
    *,
    units: Mapping[str, str],
    seed: int,
    stream: str,
) -> tuple[dict[str, Compared], dict[str, str]]:
    """Compare quantities one by one.

    Args:
        real: float64 (n,) by name of the quantity; NaN: not measured.
        synthetic: float64 (m,) by the same names.
        sides: the groups.
        units: by name.
        seed: of the groups of the jackknife, and of the floor's sets.
        stream: of the random draws, such as "evaluate.anatomy".

    Returns:
        What was compared, by name; why the others were not.
    """
    reasons: dict[str, str] = {}
    compared: dict[str, Compared] = {}
    deals = _Deals(sides, seed=seed, stream=stream)
    for number, (known, names) in enumerate(_bundle(real, synthetic)):
        groups = [np.unique(side[rows], return_inverse=True)[1] for side, rows in zip(_both(sides), known, strict=True)]
        counts = [len(np.unique(group)) for group in groups]
        if min(counts) < LEAST_GROUPS:
            reason = f"known of {counts[0]:,} real and {counts[1]:,} synthetic patients or anatomies"
            reasons |= dict.fromkeys(names, f"{reason}; {LEAST_GROUPS} of each are the least")
            continue
        values = [
            np.column_stack([side[name][rows] for name in names])
            for side, rows in zip((real, synthetic), known, strict=True)
        ]
        generator = numpy_generator(seed, f"{stream}.jackknife", number)
        for index, (name, estimates) in enumerate(zip(names, _estimate(values, groups, generator), strict=True)):
            compared[name] = Compared(
                name,
                units[name],
                *estimates,
                floor=deals.measure_floor(values[0][:, index], values[1][:, index], known),
                used={"real": len(values[0]), "synthetic": len(values[1])},
                available={"real": len(known[0]), "synthetic": len(known[1])},
            )
    return {name: compared[name] for name in real if name in compared}, reasons


def _bundle(real: Mapping[str, Floats], synthetic: Mapping[str, Floats]) -> list[tuple[Known, list[str]]]:
    """Names of quantities that are known of the same images, not too many at a time."""
    bundles: dict[bytes, tuple[Known, list[str]]] = {}
    for name in real:
        known = np.isfinite(real[name]), np.isfinite(synthetic[name])
        bundles.setdefault(known[0].tobytes() + known[1].tobytes(), (known, []))[1].append(name)
    result = []
    for known, names in bundles.values():
        width = max(1, _VALUES_AT_ONCE // (len(known[0]) + len(known[1])))
        result += [(known, names[start : start + width]) for start in range(0, len(names), width)]
    return result


def find_differences(
    real: Mapping[str, Floats],
    synthetic: Mapping[str, Floats],
    sides: Sides,
    *,
    names: Sequence[str],
    seed: int,
    stream: str,
) -> dict[str, float]:
    """P-values of the difference in each of some quantities, corrected for their number.

    One image of each patient or anatomy is drawn, so that what is permuted is independent: an exact test, at the cost
    of what further images of a patient would add.

    Args:
        real: as in `compare_quantities`, likewise the others.
        synthetic: likewise.
        sides: the groups.
        names: quantities that were compared.
        seed: of the permutations.
        stream: of the random draws.
    """
    if not names:
        return {}
    drawn = [_draw_members(groups, numpy_generator(seed, f"{stream}.members")) for groups in _both(sides)]
    columns = [
        np.column_stack([side[name][rows] for name in names])
        for side, rows in zip((real, synthetic), drawn, strict=True)
    ]
    tested = [index for index in range(len(names)) if all(np.isfinite(side[:, index]).any() for side in columns)]
    if not tested:
        return {}
    found = permutation_p_values(
        real=columns[0][:, tested],
        synthetic=columns[1][:, tested],
        generator=numpy_generator(seed, f"{stream}.permutations"),
    )
    return dict(zip([names[index] for index in tested], found.tolist(), strict=True))


def _draw_members(groups: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """One row of each group."""
    order = generator.permutation(len(groups))
    rows: NDArray[np.int64] = np.sort(order[np.unique(groups[order], return_index=True)[1]])
    return rows


def describe_differences(p_values: Mapping[str, float], what: str) -> str:
    """What the p-values say, and what they do not, in a sentence.

    Args:
        p_values: corrected, by name; at least one.
        what: the quantities are, in the plural.
    """
    level = 1 - CONFIDENCE
    differing = sorted((p_value, name) for name, p_value in p_values.items() if p_value < level)
    test = f"permutation test with one image of each patient or anatomy, corrected for the {len(p_values)} {what}"
    if not differing:
        return (
            f"no difference was shown in any of {len(p_values)} {what} (smallest p {min(p_values.values()):.3f}; "
            f"{test}); that they are the same was not shown either: the intervals say how large a difference remains "
            "possible"
        )
    listed = ", ".join(f"{name} (p {p_value:.3f})" for p_value, name in differing)
    return f"{len(differing)} of {len(p_values)} {what} differ from the real ones: {listed}; {test}"


def _both(sides: Sides) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return sides.real_groups, sides.synthetic_groups


def _estimate(
    values: Sequence[Floats], groups: Sequence[NDArray[np.int64]], generator: np.random.Generator
) -> list[tuple[Estimate, Estimate, Estimate | None]]:
    """Distance, difference of means, and ratio of spreads of each column, with a jackknife over groups."""
    counts = [int(group.max()) + 1 for group in groups]
    pooled = np.concatenate(values)
    # Sorted once: 20 replicates of each of many quantities are the work here.
    order = np.argsort(pooled, axis=0, kind="stable")
    pooled = np.take_along_axis(pooled, order, axis=0)
    gaps = np.diff(pooled, axis=0)
    is_real = order < len(groups[0])
    member = np.concatenate([groups[0], counts[0] + groups[1]])[order]
    centred = pooled - pooled.mean(axis=0)

    def measure(rows: Sequence[NDArray[np.int64]]) -> list[float]:
        kept = np.zeros(sum(counts))
        kept[rows[0]] = 1
        kept[counts[0] + rows[1]] = 1
        weights = kept[member]
        sets = [weights * is_real, weights * ~is_real]
        first, second = (one / one.sum(axis=0) for one in sets)
        means = [(one * centred).sum(axis=0) for one in (first, second)]
        spreads = [
            np.sqrt((one * (centred - mean) ** 2).sum(axis=0)) for one, mean in zip((first, second), means, strict=True)
        ]
        distances = (np.abs(np.cumsum(first - second, axis=0)[:-1]) * gaps).sum(axis=0)
        ratios = spreads[1] / np.where(spreads[0] > 0, spreads[0], np.inf)
        return [*distances.tolist(), *(means[1] - means[0]).tolist(), *ratios.tolist()]

    found = jackknife_intervals(measure, counts=counts, generator=generator)
    width = pooled.shape[1]
    varies = [bool(np.ptp(column) > 0) for column in values[0].T]
    return [
        (_at_least_0(found[column]), found[width + column], _at_least_0(found[2 * width + column]) if varied else None)
        for column, varied in enumerate(varies)
    ]


def _at_least_0(found: Estimate) -> Estimate:
    return Estimate(found.value, max(0.0, found.low), found.high)


class _Deals:
    """Random sets of whole groups, the same ones for every quantity that is known of the same images."""

    def __init__(self, sides: Sides, *, seed: int, stream: str) -> None:
        self._sides = sides
        self._seed = seed
        self._stream = stream
        self._made: dict[bytes, tuple[Weights, Weights, tuple[int, int]]] = {}

    def measure_floor(self, real: Floats, synthetic: Floats, known: Known) -> Floor:
        key = known[0].tobytes() + known[1].tobytes()
        if key not in self._made:
            # One at a time: the weights of 200 deals are the largest thing here.
            self._made = {key: self._deal(known)}
        apart, across, sizes = self._made[key]
        found = weighted_distances(values=real, weights=apart)
        matched = weighted_distances(values=np.concatenate([real, synthetic]), weights=across)
        low, high = np.quantile(found, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
        return Floor(
            value=float(found.mean()),
            low=float(low),
            high=float(high),
            level=CONFIDENCE,
            method=FLOOR_METHOD,
            n_used=sizes,
            matched=float(matched.mean()),
        )

    def _deal(self, known: Known) -> tuple[Weights, Weights, tuple[int, int]]:
        """Weights of two real sets, and of the first of them with a synthetic set of its size; typical sizes."""
        real, synthetic = (
            np.unique(side[rows], return_inverse=True)[1] for side, rows in zip(_both(self._sides), known, strict=True)
        )
        size = min(len(real) // 2, len(synthetic))
        apart = np.zeros((NUM_DEALS, len(real)), np.float32)
        across = np.zeros((_NUM_MATCHED, len(real) + len(synthetic)), np.float32)
        sizes = []
        generator = numpy_generator(self._seed, f"{self._stream}.floor")
        for deal in range(NUM_DEALS):
            first, second = _take(real, size, 2, generator)
            apart[deal] = first / first.sum() - second / second.sum()
            if deal < _NUM_MATCHED:
                (other,) = _take(synthetic, size, 1, generator)
                across[deal] = np.concatenate([first / first.sum(), -(other / other.sum())])
            sizes.append((int(first.sum()), int(second.sum())))
        typical = np.median(sizes, axis=0)
        return apart, across, (int(typical[0]), int(typical[1]))


def _take(
    groups: NDArray[np.int64], size: int, num_sets: int, generator: np.random.Generator
) -> list[NDArray[np.bool_]]:
    """Disjoint sets of whole groups, each of about `size` images and at least one group."""
    counts = np.bincount(groups)
    order = generator.permutation(len(counts))
    # Images before each group in line: it belongs to the set in which its middle falls.
    middle = np.cumsum(counts[order]) - counts[order] / 2
    place = np.empty(len(counts), np.int64)
    place[order] = np.minimum(middle // max(size, 1), num_sets)
    # A huge group may leave a set without any: then the line is cut by groups instead.
    if any(not (place == number).any() for number in range(num_sets)):
        place[order] = np.arange(len(counts)) * num_sets // len(counts)
    return [place[groups] == number for number in range(num_sets)]
