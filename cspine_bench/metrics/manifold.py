"""Precision, recall, density, coverage and authenticity: how two sets of feature vectors lie in each other's balls.

The distances are worked out in blocks of single precision, and every one that is too close to a radius to call is
worked out again in double precision. So the figures are those of full matrices, and the memory is that of a block.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.frechet import check_shapes
from cspine_bench.metrics.intervals import CONFIDENCE, NUM_GROUPS, Estimate, jackknife_intervals

NEIGHBOURS: Final = 5
FIGURES: Final = ("precision", "recall", "density", "coverage", "authenticity")
_BLOCK_CELLS: Final = 2**22
_PAIRS_AT_ONCE: Final = 2**12
# Candidates beyond the k nearest, so that rounding in single precision does not hide one of them.
_SPARE: Final = 8

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Manifold:
    """How a synthetic and a real set lie in each other, for one number of neighbours.

    A ball reaches from a vector to its k-th nearest other vector of its own set; what lies on its edge is outside.

    Attributes:
        num_neighbours: k.
        balls: int64 (m,), real balls that each synthetic vector lies in.
        recalled: bool (n,), real vectors that lie in a synthetic ball.
        covered: bool (n,), real vectors whose ball holds a synthetic vector.
        nearest_real: int64 (m,), nearest real vector of each synthetic one.
        nearest_distance: float64 (m,), Euclidean distance to it.
        authentic: bool (m,), whether that real vector is nearer to another real one than to the synthetic one.
    """

    num_neighbours: int
    balls: NDArray[np.int64]
    recalled: NDArray[np.bool_]
    covered: NDArray[np.bool_]
    nearest_real: NDArray[np.int64]
    nearest_distance: Floats
    authentic: NDArray[np.bool_]

    @property
    def precision(self) -> float:
        """Share of synthetic vectors in at least one real ball, 0..1; higher is better."""
        return float((self.balls > 0).mean())

    @property
    def recall(self) -> float:
        """Share of real vectors in at least one synthetic ball, 0..1; higher is better."""
        return float(self.recalled.mean())

    @property
    def density(self) -> float:
        """Real balls that a synthetic vector lies in, over k; 0 or more, about 1 for equal distributions."""
        return float(self.balls.mean() / self.num_neighbours)

    @property
    def coverage(self) -> float:
        """Share of real balls that hold a synthetic vector, 0..1; higher is better."""
        return float(self.covered.mean())

    @property
    def authenticity(self) -> float:
        """Share of authentic synthetic vectors, 0..1. It hardly moves for a few copies: context, and no proof."""
        return float(self.authentic.mean())


@dataclass(frozen=True)
class _Rows:
    """Feature vectors as given, and moved and scaled for single precision."""

    exact: NDArray[np.floating]
    coarse: NDArray[np.float32]
    squares: NDArray[np.float32]


def measure_manifold(
    *, real: NDArray[Any], synthetic: NDArray[Any], num_neighbours: Sequence[int] = (NEIGHBOURS,)
) -> list[Manifold]:
    """All of `Manifold` in one pass, for one or several numbers of neighbours.

    Args:
        real: float (n, d), n > the largest number of neighbours.
        synthetic: float (m, d), likewise.
        num_neighbours: the k of each result, 1 or more.

    Returns:
        One result for each k, in the order given.

    Raises:
        ValueError: shapes do not fit, a set is no larger than a k, a k is below 1, or a value is not finite.

    Source: precision and recall: Kynkäänniemi et al. 2019 (1904.06991), equations 1 and 2, with a strict inequality as
    in the code of density and coverage: Naeem et al. 2020 (2002.09797). Authenticity: Alaa et al.
    2021 (2102.08921), with the nearest real vector of the synthetic one.
    """
    if not num_neighbours or min(num_neighbours) < 1:
        raise ValueError(f"num_neighbours must be one or more numbers of at least 1, got {list(num_neighbours)}")
    most = max(num_neighbours)
    check_shapes(real=real, synthetic=synthetic, least_rows=most + 1)
    centre = real.mean(axis=0, dtype=np.float64)
    scale = max(float(np.abs(rows - centre).max()) for rows in (*_split(real), *_split(synthetic))) or 1.0
    x, y = _prepare(real, centre, scale), _prepare(synthetic, centre, scale)
    radii_x, radii_y = _measure_nearest_others(x, most, scale), _measure_nearest_others(y, most, scale)
    balls = np.zeros((most, len(synthetic)), np.int64)
    recalled, covered = np.zeros((most, len(real)), bool), np.zeros((most, len(real)), bool)
    nearest = np.empty(len(synthetic), np.int64)
    step = max(1, _BLOCK_CELLS // len(real))
    wanted = sorted({k - 1 for k in num_neighbours})
    for start in range(0, len(synthetic), step):
        rows = slice(start, start + step)
        squared = _square_distances(y, x, rows)
        nearest[rows] = _find_nearest(squared, y, x, start)
        row, column, inside = _find_inside(squared, y, x, start, radii_x[:, wanted], 1, scale)
        for at, k in enumerate(wanted):
            balls[k, rows] = np.bincount(row[inside[at]], minlength=len(squared))
            covered[k, column[inside[at]]] = True
        _, column, inside = _find_inside(squared, y, x, start, radii_y[rows][:, wanted], 0, scale)
        for at, k in enumerate(wanted):
            recalled[k, column[inside[at]]] = True
    distance = _measure_pairs(synthetic, real, np.arange(len(synthetic)), nearest)
    authentic = distance > radii_x[nearest, 0]
    return [
        Manifold(k, balls[k - 1], recalled[k - 1], covered[k - 1], nearest, distance, authentic) for k in num_neighbours
    ]


def manifold_intervals(
    *,
    real: NDArray[Any],
    synthetic: NDArray[Any],
    generator: np.random.Generator,
    num_neighbours: int = NEIGHBOURS,
    num_groups: int = NUM_GROUPS,
    confidence: float = CONFIDENCE,
) -> dict[str, Estimate]:
    """The figures of `Manifold` with intervals for their averages at these counts.

    Args:
        real: float (n, d); what is left without a group must be more than `num_neighbours`.
        synthetic: float (m, d), likewise.
        generator: deals rows into groups; see `jackknife_intervals`.
        num_neighbours: k.
        num_groups: of the jackknife; the whole is measured once more than that.
        confidence: of the intervals, 0..1.

    Returns:
        For each of `FIGURES` its estimate, inside 0..1 (density: 0 or more).

    Raises:
        ValueError: as `measure_manifold` and `jackknife_intervals`.

    Source: see `jackknife_intervals`. Copies of a row, as a bootstrap makes, would shrink the balls.
    """

    def measure(rows: Sequence[NDArray[np.int64]]) -> list[float]:
        found = measure_manifold(real=real[rows[0]], synthetic=synthetic[rows[1]], num_neighbours=(num_neighbours,))[0]
        return [getattr(found, name) for name in FIGURES]

    estimates = jackknife_intervals(
        measure,
        counts=(len(real), len(synthetic)),
        generator=generator,
        num_groups=num_groups,
        confidence=confidence,
    )
    return {
        name: Estimate(found.value, max(0.0, found.low), found.high if name == "density" else min(1.0, found.high))
        for name, found in zip(FIGURES, estimates, strict=True)
    }


def _split(rows: NDArray[Any]) -> list[NDArray[Any]]:
    return [rows[start : start + _PAIRS_AT_ONCE] for start in range(0, len(rows), _PAIRS_AT_ONCE)]


def _prepare(rows: NDArray[Any], centre: Floats, scale: float) -> _Rows:
    coarse = np.concatenate([((part - centre) / scale).astype(np.float32) for part in _split(rows)])
    return _Rows(rows, coarse, np.einsum("ij,ij->i", coarse, coarse))


def _square_distances(x: _Rows, y: _Rows, rows: slice) -> NDArray[np.float32]:
    squared: NDArray[np.float32] = x.coarse[rows] @ y.coarse.T
    squared *= -2
    squared += x.squares[rows, None]
    squared += y.squares
    return squared


def _tolerance(dimension: int) -> float:
    """Most that rounding changes a squared distance by, over the sum of both squared lengths."""
    return float(4 * np.finfo(np.float32).eps * np.sqrt(dimension))


def _measure_nearest_others(x: _Rows, count: int, scale: float) -> Floats:
    """Exact distances of each vector to the nearest others of its set, float64 (n, count), rising."""
    total, dimension = x.coarse.shape
    kept = min(total - 1, count + _SPARE)
    slack = _tolerance(dimension) * (x.squares.astype(np.float64) + float(x.squares.max()))
    found = np.empty((total, count))
    step = max(1, _BLOCK_CELLS // total)
    for start in range(0, total, step):
        squared = _square_distances(x, x, slice(start, start + step))
        own = np.arange(start, start + len(squared))
        squared[own - start, own] = np.inf
        picked = np.argpartition(squared, kept - 1, axis=1)[:, :kept]
        passed_over = np.take_along_axis(squared, picked, axis=1).max(axis=1)
        exact = _measure_pairs(x.exact, x.exact, np.repeat(own, kept), picked.ravel()).reshape(-1, kept)
        exact.sort(axis=1)
        found[own] = exact[:, :count]
        last = exact[:, count - 1]
        # What was passed over is no nearer than the k-th, but for rounding; where that decides, look at all.
        unsure = (last > 0) & ((last / scale) ** 2 > passed_over - slack[own]) & (kept < total - 1)
        for row in own[unsure]:
            others = _measure_pairs(x.exact, x.exact, np.full(total, row), np.arange(total))
            others[row] = np.inf
            found[row] = np.sort(np.partition(others, count - 1)[:count])
    return found


def _find_nearest(squared: NDArray[np.float32], y: _Rows, x: _Rows, start: int) -> NDArray[np.int64]:
    """Column of the smallest distance of each row of a block, whatever rounding says; the first one of equal ones."""
    slack = _tolerance(x.coarse.shape[1]) * (y.squares[start : start + len(squared)] + x.squares.max())
    row, column = np.divmod(
        np.flatnonzero(squared <= (squared.min(axis=1) + 2 * slack).astype(np.float32)[:, None]), squared.shape[1]
    )
    distance = np.zeros(len(row))
    unsure = np.flatnonzero(np.bincount(row)[row] > 1)
    distance[unsure] = _measure_pairs(y.exact, x.exact, row[unsure] + start, column[unsure])
    order = np.lexsort((column, distance, row))
    first: NDArray[np.int64] = column[order][np.unique(row[order], return_index=True)[1]]
    return first


def _find_inside(
    squared: NDArray[np.float32], y: _Rows, x: _Rows, start: int, radii: Floats, axis: int, scale: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Pairs of a block that are nearer than a radius: of their rows (axis 0) or of their columns (axis 1).

    Returns:
        Row in the block and column of each candidate, and bool (radii of a vector, candidates).
    """
    slack = _tolerance(x.coarse.shape[1])
    limits = (radii / scale) ** 2
    lengths = (y.squares[start : start + len(squared)], x.squares)
    slacks = slack * (lengths[axis].astype(np.float64) + float(lengths[1 - axis].max()))
    highest = np.nextafter((limits[:, -1] + slacks).astype(np.float32), np.float32(np.inf))
    row, column = np.divmod(np.flatnonzero(squared <= (highest if axis else highest[:, None])), squared.shape[1])
    of = column if axis else row
    near = squared[row, column].astype(np.float64)
    inside = near < limits[of].T
    close = np.flatnonzero((np.abs(near - limits[of].T) <= slacks[of]).any(axis=0))
    exact = _measure_pairs(y.exact, x.exact, row[close] + start, column[close])
    inside[:, close] = exact < radii[of[close]].T
    return row, column, inside


def _measure_pairs(x: NDArray[Any], y: NDArray[Any], first: NDArray[np.int64], second: NDArray[np.int64]) -> Floats:
    """Euclidean distances of x[first] to y[second] in double precision, a few at a time."""
    found = np.empty(len(first))
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        apart = x[first[part]].astype(np.float64) - y[second[part]]
        found[part] = np.sqrt(np.einsum("ij,ij->i", apart, apart))
    return found
