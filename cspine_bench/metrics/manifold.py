"""Precision, recall, density, coverage and authenticity: how two sets of feature vectors lie in each other's balls.

The distances are worked out in blocks of single precision, and every one that is too close to a radius to call is
worked out again in double precision. So the figures are those of full matrices, and the memory is that of a block.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.frechet import Labels, check_shapes
from cspine_bench.metrics.intervals import Jackknife

NEIGHBOURS: Final = 5
_BLOCK_CELLS: Final = 2**22
_CANDIDATE_CELLS: Final = 2**21
_PAIRS_AT_ONCE: Final = 2**12
# Candidates beyond the k nearest, so that rounding in single precision does not hide one of them.
_SPARE: Final = 8
# Neighbours beyond the k nearest that are known, so that a ball without a group rarely needs another look.
_BEYOND: Final = 8
JACKKNIFED: Final = ("precision", "recall", "density", "coverage")

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
    x, y, scale = _prepare_both(real, synthetic)
    radii_x, radii_y = _find_nearest_others(x, most, scale)[0], _find_nearest_others(y, most, scale)[0]
    balls = np.zeros((most, len(synthetic)), np.int64)
    recalled, covered = np.zeros((most, len(real)), bool), np.zeros((most, len(real)), bool)
    nearest = np.empty(len(synthetic), np.int64)
    wanted = sorted({k - 1 for k in num_neighbours})
    for rows, squared in _iter_distances(y, x):
        nearest[rows] = _find_nearest(squared, y, x, rows.start)
        for row, column, inside in _iter_inside(squared, y, x, rows.start, radii_x[:, wanted], 1, scale):
            for at, k in enumerate(wanted):
                balls[k, rows] += np.bincount(row[inside[at]], minlength=len(squared))
                covered[k, column[inside[at]]] = True
        for _, column, inside in _iter_inside(squared, y, x, rows.start, radii_y[rows][:, wanted], 0, scale):
            for at, k in enumerate(wanted):
                recalled[k, column[inside[at]]] = True
    distance = _measure_pairs(synthetic, real, np.arange(len(synthetic)), nearest)
    authentic = distance > radii_x[nearest, 0]
    return [
        Manifold(k, balls[k - 1], recalled[k - 1], covered[k - 1], nearest, distance, authentic) for k in num_neighbours
    ]


def jackknife_manifold(
    *, real: NDArray[Any], synthetic: NDArray[Any], labels: Labels | None, num_neighbours: int = NEIGHBOURS
) -> dict[str, Jackknife]:
    """Precision, recall, density and coverage of all rows, and without each group of rows of both sets in turn.

    The distances are worked out once: a ball without a group reaches to the next vector that is not of that group.

    Args:
        real: float (n, d); what is left without a group must be more than `num_neighbours`.
        synthetic: float (m, d), likewise.
        labels: see `cspine_bench.metrics.frechet.jackknife_frechet`.
        num_neighbours: k.

    Returns:
        For each of `JACKKNIFED` its figure.

    Raises:
        ValueError: as `measure_manifold`, or groups that leave too few rows.

    Source: see `measure_manifold`.
    """
    check_shapes(real=real, synthetic=synthetic, least_rows=num_neighbours + 1)
    x, y, scale = _prepare_both(real, synthetic)
    num_groups = 0 if labels is None else int(max(label.max() for label in labels)) + 1
    # A row of no group is never left out.
    of_x, of_y = labels or (np.full(len(real), -1), np.full(len(synthetic), -1))
    radii_x = _measure_radii_without(x, of_x, num_groups, num_neighbours, scale)
    radii_y = _measure_radii_without(y, of_y, num_groups, num_neighbours, scale)
    balls, recalled, covered = (
        np.zeros((1 + num_groups, count), np.int64) for count in (len(synthetic), len(real), len(real))
    )
    for rows, squared in _iter_distances(y, x):
        for row, column, inside in _iter_inside(squared, y, x, rows.start, radii_x, 1, scale):
            kept = _find_kept(of_y[rows][row], of_x[column], num_groups)
            for number, both in enumerate(inside[:-1] & kept):
                balls[number, rows] += np.bincount(row[both], minlength=len(squared))
                covered[number, column[both]] = 1
        for row, column, inside in _iter_inside(squared, y, x, rows.start, radii_y[rows], 0, scale):
            kept = _find_kept(of_y[rows][row], of_x[column], num_groups)
            for number, both in enumerate(inside[:-1] & kept):
                recalled[number, column[both]] = 1
    left_x, left_y = (
        len(of) - np.array([0, *(np.count_nonzero(of == group) for group in range(num_groups))]) for of in (of_x, of_y)
    )
    found = (
        (balls > 0).sum(axis=1) / left_y,
        recalled.sum(axis=1) / left_x,
        balls.sum(axis=1) / left_y / num_neighbours,
        covered.sum(axis=1) / left_x,
    )
    return {name: Jackknife(float(values[0]), values[1:]) for name, values in zip(JACKKNIFED, found, strict=True)}


def _find_kept(first: NDArray[np.int64], second: NDArray[np.int64], num_groups: int) -> NDArray[np.bool_]:
    """bool (1 + groups, pairs): whether neither of a pair is in the group that is left out, first in none."""
    groups = np.array([-2, *range(num_groups)])[:, None]
    kept: NDArray[np.bool_] = (first != groups) & (second != groups)
    return kept


def _measure_radii_without(
    x: _Rows, label: NDArray[np.int64], num_groups: int, num_neighbours: int, scale: float
) -> Floats:
    """Distance of each vector to its k-th nearest other, float64 (n, groups + 2).

    Of all, without each group in turn, and the largest of these. Where a vector is of the group itself, that of all.
    """
    count = len(label)
    left = count - int(np.bincount(label[label >= 0], minlength=1).max())
    if left <= num_neighbours:
        raise ValueError(
            f"{count} rows leave {left} without their largest group, more than {num_neighbours} are needed"
        )
    wanted = min(count - 1, num_neighbours + (_BEYOND if num_groups else 0))
    distance, index = _find_nearest_others(x, wanted, scale)
    radii = np.empty((count, num_groups + 2))
    radii[:, 0] = distance[:, num_neighbours - 1]
    for group in range(num_groups):
        kept = label[index] != group
        place = (kept.cumsum(axis=1) < num_neighbours).sum(axis=1)
        radii[:, group + 1] = distance[np.arange(count), np.minimum(place, wanted - 1)]
        lacking = np.flatnonzero((place == wanted) & (label != group))
        others = np.flatnonzero(label != group)
        for row in lacking:  # Many of its nearest are of one group, as of a patient with many images.
            all_others = others[others != row]
            far = _measure_pairs(x.exact, x.exact, np.full(len(all_others), row), all_others)
            radii[row, group + 1] = np.partition(far, num_neighbours - 1)[num_neighbours - 1]
        radii[label == group, group + 1] = radii[label == group, 0]
    radii[:, -1] = radii[:, :-1].max(axis=1)
    return radii


def _split(rows: NDArray[Any]) -> list[NDArray[Any]]:
    return [rows[start : start + _PAIRS_AT_ONCE] for start in range(0, len(rows), _PAIRS_AT_ONCE)]


def _prepare_both(real: NDArray[Any], synthetic: NDArray[Any]) -> tuple[_Rows, _Rows, float]:
    """Both sets about the centre of the real one, and the scale that they were divided by."""
    centre = real.mean(axis=0, dtype=np.float64)
    scale = max(float(np.abs(rows - centre).max()) for rows in (*_split(real), *_split(synthetic))) or 1.0
    return _prepare(real, centre, scale), _prepare(synthetic, centre, scale), scale


def _iter_distances(x: _Rows, y: _Rows) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Squared distances of a block of x to all of y."""
    step = max(1, _BLOCK_CELLS // len(y.coarse))
    for start in range(0, len(x.coarse), step):
        rows = slice(start, min(len(x.coarse), start + step))
        yield rows, _square_distances(x, y, rows)


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


def _find_nearest_others(x: _Rows, count: int, scale: float) -> tuple[Floats, NDArray[np.int64]]:
    """Exact distances of each vector to the nearest others of its set, float64 (n, count), rising; and which they are.

    Of equal distances any may come first.
    """
    total, dimension = x.coarse.shape
    kept = min(total - 1, count + _SPARE)
    slack = _tolerance(dimension) * (x.squares.astype(np.float64) + float(x.squares.max()))
    found, index = np.empty((total, count)), np.empty((total, count), np.int64)
    for rows, squared in _iter_distances(x, x):
        own = np.arange(rows.start, rows.stop)
        squared[own - rows.start, own] = np.inf
        picked = np.argpartition(squared, kept - 1, axis=1)[:, :kept]
        passed_over = np.take_along_axis(squared, picked, axis=1).max(axis=1)
        exact = _measure_pairs(x.exact, x.exact, np.repeat(own, kept), picked.ravel()).reshape(-1, kept)
        order = np.argsort(exact, axis=1, kind="stable")[:, :count]
        found[own], index[own] = np.take_along_axis(exact, order, axis=1), np.take_along_axis(picked, order, axis=1)
        last = found[own, count - 1]
        # What was passed over is no nearer than the k-th, but for rounding; where that decides, look at all.
        unsure = (last > 0) & ((last / scale) ** 2 > passed_over - slack[own]) & (kept < total - 1)
        for row in own[unsure]:
            others = _measure_pairs(x.exact, x.exact, np.full(total, row), np.arange(total))
            others[row] = np.inf
            index[row] = np.argsort(others, kind="stable")[:count]
            found[row] = others[index[row]]
    return found, index


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


def _iter_inside(
    squared: NDArray[np.float32], y: _Rows, x: _Rows, start: int, radii: Floats, axis: int, scale: float
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]]:
    """Pairs of a block that are nearer than a radius: of their rows (axis 0) or of their columns (axis 1).

    Args:
        squared: distances of a block of y, which starts at `start`, to all of x.
        y: all rows of that set.
        x: likewise.
        start: see above.
        radii: of each vector one or several, the last of them the largest.
        axis: see above.
        scale: of the block's distances.

    Yields:
        Row in the block and column of each candidate, and bool (radii of a vector, candidates).
    """
    slack = _tolerance(x.coarse.shape[1])
    limits = (radii / scale) ** 2
    lengths = (y.squares[start : start + len(squared)], x.squares)
    slacks = slack * (lengths[axis].astype(np.float64) + float(lengths[1 - axis].max()))
    highest = np.nextafter((limits[:, -1] + slacks).astype(np.float32), np.float32(np.inf))
    candidates = np.flatnonzero(squared <= (highest if axis else highest[:, None]))
    # Where a set has collapsed all pairs are candidates, each with all of its radii.
    step = _CANDIDATE_CELLS // radii.shape[1]
    for first in range(0, len(candidates), step):
        row, column = np.divmod(candidates[first : first + step], squared.shape[1])
        of = column if axis else row
        near = squared[row, column].astype(np.float64)
        inside = near < limits[of].T
        close = np.flatnonzero((np.abs(near - limits[of].T) <= slacks[of]).any(axis=0))
        exact = _measure_pairs(y.exact, x.exact, row[close] + start, column[close])
        inside[:, close] = exact < radii[of[close]].T
        yield row, column, inside


def _measure_pairs(x: NDArray[Any], y: NDArray[Any], first: NDArray[np.int64], second: NDArray[np.int64]) -> Floats:
    """Euclidean distances of x[first] to y[second] in double precision, a few at a time."""
    found = np.empty(len(first))
    for start in range(0, len(first), _PAIRS_AT_ONCE):
        part = slice(start, start + _PAIRS_AT_ONCE)
        apart = x[first[part]].astype(np.float64) - y[second[part]]
        found[part] = np.sqrt(np.einsum("ij,ij->i", apart, apart))
    return found
