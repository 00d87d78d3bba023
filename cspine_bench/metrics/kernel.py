"""Kernel distances between two sets of feature vectors, over all pairs: by tiles, so that memory does not grow."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.frechet import Floats, Labels, check_shapes
from cspine_bench.metrics.intervals import CONFIDENCE, Estimate, Jackknife, normal_interval

CMMD_SIGMA: Final = 10.0
CMMD_SCALE: Final = 1000.0
_BLOCK_ROWS: Final = 1024

_Kernel = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True)
class _Sums:
    """Of each vector: its kernel with itself, with the others of its set, and with the other set."""

    itself: Floats
    within: Floats
    across: Floats


def kernel_distance(*, real: NDArray[Any], synthetic: NDArray[Any]) -> float:
    """Squared maximum mean discrepancy with the cubic kernel (x'y / d + 1)^3, unbiased, over all pairs.

    All pairs are used instead of the random subsets of common code, so no draw decides the figure. It is called KID
    only with the features that KID is defined on.

    Args:
        real: float (n, d), n >= 2.
        synthetic: float (m, d), m >= 2.

    Returns:
        Around 0 where both sets are of one distribution, and then below 0 half of the time; lower is better.

    Raises:
        ValueError: shapes do not fit, a set has fewer than 2 rows, or a value is not finite.

    Source: Binkowski et al. 2018 (1801.01401), section 4; Gretton et al. 2012, JMLR 13, lemma 6.
    """
    check_shapes(real=real, synthetic=synthetic, least_rows=2)
    return _compute_value(*_sum_kernels(real, synthetic, _cubic), unbiased=True)


def kernel_interval(*, real: NDArray[Any], synthetic: NDArray[Any], confidence: float = CONFIDENCE) -> Estimate:
    """`kernel_distance` with an interval for its true value.

    Args:
        real: float (n, d), n >= 4.
        synthetic: float (m, d), m >= 4.
        confidence: of the interval, 0..1.

    Raises:
        ValueError: as `kernel_distance`, or fewer than 4 rows.

    Source: the jackknife of a two-sample U-statistic (Arvesen 1969, Annals of Mathematical Statistics 40, 2076-2100),
    each vector left out once, worked out exactly from the sums of the kernel's rows. Where both sets are of one
    distribution the interval is too wide rather than too narrow (Efron, Stein 1981, Annals of Statistics 9, 586-596).
    """
    check_shapes(real=real, synthetic=synthetic, least_rows=4)
    return _compute_interval(*_sum_kernels(real, synthetic, _cubic), unbiased=True, confidence=confidence)


def cmmd_distance(
    *,
    real: NDArray[Any],
    synthetic: NDArray[Any],
    unbiased: bool = True,
    sigma: float = CMMD_SIGMA,
    scale: float = CMMD_SCALE,
) -> float:
    """Squared maximum mean discrepancy of the directions of two sets, with a Gaussian kernel, times a scale.

    Each vector is divided by its length first, as the published code does with its embeddings. The figure is called
    CMMD only with the embeddings that CMMD is defined on.

    Args:
        real: float (n, d), n >= 2, no row of zeros.
        synthetic: float (m, d), likewise.
        unbiased: leave out the kernel of each vector with itself, as the paper's equation does; the published code
            keeps it, and so errs upwards in small samples: False gives its figure.
        sigma: of the kernel exp(-|x - y|^2 / (2 sigma^2)).
        scale: what the discrepancy is multiplied by.

    Returns:
        Lower is better; around 0, and below it half of the time, where both sets are of one distribution.

    Raises:
        ValueError: shapes do not fit, a set has fewer than 2 rows, a value is not finite, or a row is zero.

    Source: Jayasumana et al. 2024 (2401.09603), with their sigma of 10 and scale of 1000.
    """
    check_shapes(real=real, synthetic=synthetic, least_rows=2)
    value = _compute_value(*_sum_kernels(real, synthetic, _gaussian(sigma)), unbiased=unbiased)
    return scale * value


def cmmd_interval(
    *,
    real: NDArray[Any],
    synthetic: NDArray[Any],
    unbiased: bool = True,
    sigma: float = CMMD_SIGMA,
    scale: float = CMMD_SCALE,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """`cmmd_distance` with an interval, as that of `kernel_interval`.

    Args:
        real: float (n, d), n >= 4, no row of zeros.
        synthetic: float (m, d), likewise.
        unbiased: see `cmmd_distance`.
        sigma: likewise.
        scale: likewise.
        confidence: of the interval, 0..1.

    Raises:
        ValueError: as `cmmd_distance`, or fewer than 4 rows.

    Source: see `kernel_interval`.
    """
    check_shapes(real=real, synthetic=synthetic, least_rows=4)
    sums = _sum_kernels(real, synthetic, _gaussian(sigma))
    found = _compute_interval(*sums, unbiased=unbiased, confidence=confidence)
    return Estimate(scale * found.value, scale * found.low, scale * found.high)


def jackknife_kernels(
    *, real: NDArray[Any], synthetic: NDArray[Any], labels: Labels | None, with_cmmd: bool = True
) -> list[Jackknife]:
    """`kernel_distance` and `cmmd_distance` of all rows, and without each group of rows of both sets in turn.

    Both kernels are worked out from one product of each pair, and only their sums over pairs of groups are kept.

    Args:
        real: float (n, d); what is left without a group must be 2 rows.
        synthetic: float (m, d), likewise.
        labels: see `cspine_bench.metrics.frechet.jackknife_frechet`.
        with_cmmd: no row may be zeros then.

    Returns:
        Kernel distance, and where it is wanted CMMD distance.

    Raises:
        ValueError: as `cmmd_distance`, or groups that leave too few rows.
    """
    check_shapes(real=real, synthetic=synthetic, least_rows=2)
    # Without groups to leave out, all rows are of one, and what is left without it is not asked for.
    of_x, of_y = labels or (np.zeros(len(real), np.int64), np.zeros(len(synthetic), np.int64))
    num_groups = int(max(of_x.max(), of_y.max())) + 1
    x, y = _Grouped(real, np.eye(num_groups)[of_x]), _Grouped(synthetic, np.eye(num_groups)[of_y])
    sizes = [side.left[: 1 if labels is None else None] for side in (x, y)]
    if (least := int(min(size.min() for size in sizes))) < 2:
        raise ValueError(f"groups leave {least} rows, at least 2 are needed")
    scales = (1.0, CMMD_SCALE) if with_cmmd else (1.0,)
    within_x, within_y, across = (_sum_groups(*pair, len(scales)) for pair in ((x, x), (y, y), (x, y)))
    found = []
    for number, scale in enumerate(scales):
        sums = [_leave_out(part[number])[: len(sizes[0])] for part in (within_x, within_y, across)]
        n, m = sizes
        values = scale * (sums[0] / (n * (n - 1)) + sums[1] / (m * (m - 1)) - 2 * sums[2] / (n * m))
        found.append(Jackknife(float(values[0]), values[1:]))
    return found


@dataclass(frozen=True)
class _Grouped:
    """Feature vectors, and float64 (n, groups), 1 for the group of each and 0 otherwise."""

    rows: NDArray[Any]
    groups: Floats

    @property
    def left(self) -> Floats:
        """Rows of all, and without each group."""
        return len(self.rows) - np.concatenate([[0], self.groups.sum(axis=0)])


def _leave_out(sums: Floats) -> Floats:
    """From sums over pairs of groups: over all pairs, and over those without each group in turn."""
    without = sums.sum() - sums.sum(axis=0) - sums.sum(axis=1) + sums.diagonal()
    return np.concatenate([[sums.sum()], without])


def _sum_groups(x: _Grouped, y: _Grouped, num_kernels: int) -> Floats:
    """Cubic and Gaussian kernels summed over pairs of groups; in one set no vector is paired with itself.

    Returns:
        float64 (kernels, groups, groups).
    """
    sums = np.zeros((num_kernels, x.groups.shape[1], y.groups.shape[1]))
    within = x is y
    for rows in _iter_blocks(len(x.rows)):
        first = x.rows[rows].astype(np.float64)
        for columns in _iter_blocks(len(y.rows), start=rows.start if within else 0):
            second = y.rows[columns].astype(np.float64)
            product = first @ second.T
            tiles = [product]
            if num_kernels > 1:
                cosine = product / _measure_lengths(first) / _measure_lengths(second).T
                tiles = [product, _decay(cosine, CMMD_SIGMA)]
            tiles[0] = _cube(product, x.rows.shape[1])
            for number, tile in enumerate(tiles):
                if within and rows == columns:
                    np.fill_diagonal(tile, 0)
                part = x.groups[rows].T @ (tile @ y.groups[columns])
                sums[number] += part if not within or rows == columns else part + part.T
    return sums


def _cubic(x: Floats, y: Floats) -> Floats:
    return _cube(x @ y.T, x.shape[1])


def _cube(product: Floats, dimension: int) -> Floats:
    """In the place of the products of vectors."""
    product /= dimension
    product += 1
    kernel: Floats = product * product
    kernel *= product
    return kernel


def _gaussian(sigma: float) -> _Kernel:
    if not sigma > 0:
        raise ValueError(f"sigma must be above 0, got {sigma}")
    return lambda x, y: _decay(_normalise(x) @ _normalise(y).T, sigma)


def _decay(cosine: Floats, sigma: float) -> Floats:
    """In the place of the products of directions: |x - y|^2 = 2 - 2 x'y for them."""
    cosine -= 1
    cosine /= sigma**2
    return np.asarray(np.exp(cosine, out=cosine))


def _normalise(rows: Floats) -> Floats:
    return np.asarray(rows / _measure_lengths(rows))


def _measure_lengths(rows: Floats) -> Floats:
    length: Floats = np.linalg.norm(rows, axis=1, keepdims=True)
    if not length.all():
        raise ValueError("a feature vector of zeros has no direction; leave it out")
    return length


def _sum_kernels(real: NDArray[Any], synthetic: NDArray[Any], kernel: _Kernel) -> tuple[_Sums, _Sums]:
    across_real, across_synthetic = np.zeros(len(real)), np.zeros(len(synthetic))
    for rows in _iter_blocks(len(real)):
        for columns in _iter_blocks(len(synthetic)):
            tile = kernel(real[rows].astype(np.float64), synthetic[columns].astype(np.float64))
            across_real[rows] += tile.sum(axis=1)
            across_synthetic[columns] += tile.sum(axis=0)
    return _Sums(*_sum_within(real, kernel), across_real), _Sums(*_sum_within(synthetic, kernel), across_synthetic)


def _sum_within(features: NDArray[Any], kernel: _Kernel) -> tuple[Floats, Floats]:
    """With itself, and with the others; each pair is worked out once."""
    itself, sums = np.empty(len(features)), np.zeros(len(features))
    for rows in _iter_blocks(len(features)):
        for columns in _iter_blocks(len(features), start=rows.start):
            tile = kernel(features[rows].astype(np.float64), features[columns].astype(np.float64))
            if rows == columns:
                itself[rows] = tile.diagonal()
                np.fill_diagonal(tile, 0)
            else:
                sums[columns] += tile.sum(axis=0)
            sums[rows] += tile.sum(axis=1)
    return itself, sums


def _iter_blocks(count: int, start: int = 0) -> list[slice]:
    return [slice(first, min(count, first + _BLOCK_ROWS)) for first in range(start, count, _BLOCK_ROWS)]


def _compute_value(x: _Sums, y: _Sums, *, unbiased: bool) -> float:
    n, m = len(x.within), len(y.within)
    return _mean_within(x, unbiased) + _mean_within(y, unbiased) - 2 * float(x.across.sum()) / (n * m)


def _mean_within(sums: _Sums, unbiased: bool) -> float:
    n = len(sums.within)
    if unbiased:
        return float(sums.within.sum() / (n * (n - 1)))
    return float((sums.within.sum() + sums.itself.sum()) / n**2)


def _compute_interval(x: _Sums, y: _Sums, *, unbiased: bool, confidence: float) -> Estimate:
    variance = 0.0
    for one, other in ((x, y), (y, x)):
        n, m, across = len(one.within), len(other.within), float(one.across.sum())
        # All sums without each vector in turn.
        within = one.within.sum() - 2 * one.within
        if unbiased:
            within = within / ((n - 1) * (n - 2))
        else:
            within = (within + one.itself.sum() - one.itself) / (n - 1) ** 2
        without = within - 2 * (across - one.across) / ((n - 1) * m)
        variance += (n - 1) * float(without.var())
    value = _compute_value(x, y, unbiased=unbiased)
    return normal_interval(value=value, standard_error=math.sqrt(variance), confidence=confidence)
