"""The distances and shares that compare two sets of feature vectors, all at once, with what is left of each of them.

Whatever is compared (synthetic with real, real with real, degraded with real, a subgroup with another), it is compared
here, so that every number of one name is made in the same way.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.errors import DataError
from cspine_bench.metrics.frechet import Labels, extrapolate, jackknife_trend
from cspine_bench.metrics.intervals import NUM_GROUPS, Jackknife, deal_groups
from cspine_bench.metrics.kernel import jackknife_kernels
from cspine_bench.metrics.manifold import jackknife_manifold
from cspine_bench.results import Direction

FRECHET: Final = "frechet_distance"
LIMIT: Final = "frechet_distance_limit"
KERNEL: Final = "kernel_distance"
CMMD: Final = "cmmd_distance"
MANIFOLD: Final = ("precision", "recall", "density", "coverage")
DISTANCES: Final = (FRECHET, LIMIT, KERNEL, CMMD, *MANIFOLD)
"""All, in the order in which they are shown."""
DISTANCES_AT_COUNTS: Final = (FRECHET, KERNEL, CMMD, *MANIFOLD)
"""All but the limit, which needs many images."""

DIRECTIONS: Final[dict[str, Direction]] = {name: "higher" if name in MANIFOLD else "lower" for name in DISTANCES}
ENDS: Final = {
    **dict.fromkeys(MANIFOLD, (0.0, 1.0)),
    "density": (0.0, float("inf")),
    FRECHET: (0.0, float("inf")),
}
"""Least and most that a figure can be, where there are such; the others may be below 0 by chance."""

MOST_PARTS: Final = 3
LEAST_ROWS: Final = 4


@dataclass(frozen=True)
class Vectors:
    """Feature vectors of one side, and what belongs together among them.

    Attributes:
        features: float32 (n, d).
        groups: (n,), patient or anatomy of each; of the same one are never parted.
    """

    features: NDArray[np.float32] = field(repr=False)
    groups: tuple[Hashable, ...] = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse what does not fit."""
        if self.features.ndim != 2 or len(self.features) != len(self.groups):
            raise ValueError(
                f"features must be (n, d) with a group for each row, got shape {self.features.shape} and "
                f"{len(self.groups)} groups"
            )

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def num_groups(self) -> int:
        """Different ones."""
        return len(set(self.groups))

    def take(self, rows: NDArray[np.int64]) -> "Vectors":
        """Some rows."""
        return Vectors(self.features[rows], tuple(self.groups[row] for row in rows))

    def require_finite(self, role: str) -> None:
        """Stop where the encoder gave no number.

        Args:
            role: of this side, for the message.

        Raises:
            DataError: a value is NaN or infinity; names the row.
        """
        broken = np.flatnonzero(~np.isfinite(self.features).all(axis=1))
        if len(broken):
            raise DataError(
                f"{role}: {len(broken)} of {len(self)} feature vectors hold NaN or infinity, the first that of image "
                f"{broken[0]} in the order of the files, counted from 0; check that image, or use another encoder"
            )


@dataclass(frozen=True)
class NotMeasured:
    """A figure that there is not, and why."""

    name: str
    reason: str
    subgroup: dict[str, str] = field(default_factory=dict)
    condition: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Distances:
    """What was measured of two sets.

    Attributes:
        figures: by name; without groups left out where no interval was asked for, or none can exist.
        reasons: by name, why there is no figure.
        no_interval: by name, why a figure has no interval.
        trend: Fréchet distances of 1, 2, 3 parts, that the limit rests on; empty where it was not measured.
    """

    figures: dict[str, Jackknife]
    reasons: dict[str, str]
    no_interval: dict[str, str]
    trend: tuple[Jackknife, ...] = ()


def measure_distances(
    real: Vectors,
    synthetic: Vectors,
    *,
    names: Sequence[str],
    num_neighbours: int,
    generator: np.random.Generator,
    labels: Labels | None = None,
    with_interval: bool = True,
) -> Distances:
    """Measure all that can be measured; say of the rest why it was not.

    Args:
        real: (n, d).
        synthetic: (m, d).
        names: of `DISTANCES`.
        num_neighbours: of precision, recall, density and coverage.
        generator: deals groups for the jackknife, and parts for the limit.
        labels: see `jackknife_frechet`; None: dealt here, whole patients or anatomies together.
        with_interval: leave out groups, for an interval.
    """
    if with_interval and labels is None:
        labels = deal_labels(real, synthetic, generator=generator)
    parts = _deal_parts(real, generator), _deal_parts(synthetic, generator)
    found = Distances({}, {}, {})
    trend: list[Jackknife] = []
    for family, measure in _FAMILIES.items():
        wanted = []
        for name in family:
            if name in names:
                reason = _find_obstacle(name, real, synthetic, parts, num_neighbours)
                found.reasons.update({name: reason} if reason else {})
                wanted += [] if reason else [name]
        if not wanted:
            continue
        used = labels
        if with_interval and (why := _find_no_interval(wanted, real, synthetic, labels, parts, num_neighbours)):
            found.no_interval.update(dict.fromkeys(wanted, why))
            used = None
        measured = measure(wanted, real, synthetic, used, parts, num_neighbours)
        found.figures.update({name: measured.figures[name] for name in wanted})
        trend += measured.trend
    order = [name for name in DISTANCES if name in found.figures]
    return Distances({name: found.figures[name] for name in order}, found.reasons, found.no_interval, tuple(trend))


def deal_labels(
    real: Vectors, synthetic: Vectors, *, generator: np.random.Generator, num_groups: int = NUM_GROUPS
) -> Labels | None:
    """Groups for a jackknife, with whole patients or anatomies in each; None where a side has only one of these."""
    num_groups = min(num_groups, real.num_groups, synthetic.num_groups)
    if num_groups < 2:
        return None
    first, second = (deal_groups(side.groups, num_groups=num_groups, generator=generator) for side in (real, synthetic))
    return first, second


def _deal_parts(side: Vectors, generator: np.random.Generator) -> NDArray[np.int64]:
    """A shuffled number of each row, the same for what belongs together."""
    together = {group: number for number, group in enumerate(dict.fromkeys(side.groups))}
    shuffled = generator.permutation(len(together))
    return np.array([shuffled[together[group]] for group in side.groups], np.int64)


def _find_obstacle(name: str, real: Vectors, synthetic: Vectors, parts: Labels, num_neighbours: int) -> str:
    """Why a figure cannot be, or ""."""
    fewest, dimension = min(len(real), len(synthetic)), real.features.shape[1]
    counts = f"there are {len(real)} real and {len(synthetic)} synthetic images"
    if name in MANIFOLD and fewest < 2 * num_neighbours + 1:
        return f"{counts}; balls of {num_neighbours} neighbours need at least {2 * num_neighbours + 1} on each side"
    if fewest < LEAST_ROWS:
        return f"{counts}; at least {LEAST_ROWS} are needed on each side"
    if name == LIMIT:
        smallest = min(int(np.bincount(part % MOST_PARTS, minlength=MOST_PARTS).min()) for part in parts)
        if smallest <= max(dimension, LEAST_ROWS):
            return (
                f"{counts}; where a third of a side has fewer images than there are features ({dimension:,}), the "
                "distance does not fall along the line that is extrapolated: at least "
                f"{MOST_PARTS * (dimension + 1):,} are needed on each side"
            )
    if name == CMMD and any(not side.features.any(axis=1).all() for side in (real, synthetic)):
        return "a feature vector is all zeros, and has no direction"
    return ""


def _find_no_interval(
    names: Sequence[str],
    real: Vectors,
    synthetic: Vectors,
    labels: Labels | None,
    parts: Labels,
    num_neighbours: int,
) -> str:
    """Why figures that can be have no interval, or ""."""
    if labels is None:
        return "no interval: all images of a side belong to one patient or anatomy, so nothing can be left out"
    least = num_neighbours + 1 if names[0] in MANIFOLD else 2
    num_parts = MOST_PARTS if LIMIT in names else 1
    for label, part in zip(labels, parts, strict=True):
        counts = np.zeros((num_parts, int(label.max()) + 1), np.int64)
        np.add.at(counts, (part % num_parts, label), 1)
        if (counts.sum(axis=1, keepdims=True) - counts).min() < least:
            return (
                "no interval: most images of a side belong to one patient or anatomy, and without them too few are left"
            )
    return ""


_Measure = Callable[[Sequence[str], Vectors, Vectors, Labels | None, Labels, int], Distances]


def _measure_frechet(
    names: Sequence[str], real: Vectors, synthetic: Vectors, labels: Labels | None, parts: Labels, num_neighbours: int
) -> Distances:
    trend = jackknife_trend(
        real=real.features,
        synthetic=synthetic.features,
        labels=labels,
        parts=parts,
        most_parts=MOST_PARTS if LIMIT in names else 1,
    )
    if LIMIT in names:
        return Distances({FRECHET: trend[0], LIMIT: extrapolate(trend)}, {}, {}, tuple(trend))
    return Distances({FRECHET: trend[0]}, {}, {})


def _measure_kernels(
    names: Sequence[str], real: Vectors, synthetic: Vectors, labels: Labels | None, parts: Labels, num_neighbours: int
) -> Distances:
    found = jackknife_kernels(real=real.features, synthetic=synthetic.features, labels=labels, with_cmmd=CMMD in names)
    return Distances(dict(zip((KERNEL, CMMD), found, strict=False)), {}, {})


def _measure_manifold(
    names: Sequence[str], real: Vectors, synthetic: Vectors, labels: Labels | None, parts: Labels, num_neighbours: int
) -> Distances:
    found = jackknife_manifold(
        real=real.features, synthetic=synthetic.features, labels=labels, num_neighbours=num_neighbours
    )
    return Distances(found, {}, {})


_FAMILIES: Final[dict[tuple[str, ...], _Measure]] = {
    (FRECHET, LIMIT): _measure_frechet,
    (KERNEL, CMMD): _measure_kernels,
    MANIFOLD: _measure_manifold,
}
