"""Kernel distance between two sets of feature vectors: unbiased, so that counts may differ."""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.frechet import Floats, check_features
from cspine_bench.metrics.intervals import CONFIDENCE, Estimate, normal_interval

_BLOCK_ROWS: Final = 1024


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
    real, synthetic = check_features(real=real, synthetic=synthetic, least_rows=2)
    return _combine(*_sum_kernels(real, synthetic))


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
    real, synthetic = check_features(real=real, synthetic=synthetic, least_rows=4)
    within_real, within_synthetic, across_real, across_synthetic = _sum_kernels(real, synthetic)
    n, m, across = len(real), len(synthetic), float(across_real.sum())
    mean_real = within_real.sum() / (n * (n - 1))
    mean_synthetic = within_synthetic.sum() / (m * (m - 1))
    without_real = (within_real.sum() - 2 * within_real) / ((n - 1) * (n - 2)) + mean_synthetic
    without_real = without_real - 2 * (across - across_real) / ((n - 1) * m)
    without_synthetic = (within_synthetic.sum() - 2 * within_synthetic) / ((m - 1) * (m - 2)) + mean_real
    without_synthetic = without_synthetic - 2 * (across - across_synthetic) / (n * (m - 1))
    variance = sum((len(values) - 1) * float(values.var()) for values in (without_real, without_synthetic))
    value = _combine(within_real, within_synthetic, across_real, across_synthetic)
    return normal_interval(value=value, standard_error=math.sqrt(variance), confidence=confidence)


def _combine(within_real: Floats, within_synthetic: Floats, across_real: Floats, across_synthetic: Floats) -> float:
    n, m = len(within_real), len(within_synthetic)
    within = within_real.sum() / (n * (n - 1)) + within_synthetic.sum() / (m * (m - 1))
    return float(within - 2 * across_real.sum() / (n * m))


def _sum_kernels(real: Floats, synthetic: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """For each vector the sum of its kernel with the others of its own set, and with the other set; by blocks."""
    across_synthetic = np.zeros(len(synthetic))
    across_real = np.empty(len(real))
    for start in range(0, len(real), _BLOCK_ROWS):
        kernel = _compute_kernel(real[start : start + _BLOCK_ROWS], synthetic)
        across_real[start : start + _BLOCK_ROWS] = kernel.sum(axis=1)
        across_synthetic += kernel.sum(axis=0)
    return _sum_within(real), _sum_within(synthetic), across_real, across_synthetic


def _sum_within(features: Floats) -> Floats:
    sums = np.empty(len(features))
    for start in range(0, len(features), _BLOCK_ROWS):
        rows = features[start : start + _BLOCK_ROWS]
        itself = (np.einsum("ij,ij->i", rows, rows) / rows.shape[1] + 1) ** 3
        sums[start : start + _BLOCK_ROWS] = _compute_kernel(rows, features).sum(axis=1) - itself
    return sums


def _compute_kernel(x: Floats, y: Floats) -> Floats:
    kernel: Floats = (x @ y.T / x.shape[1] + 1) ** 3
    return kernel
