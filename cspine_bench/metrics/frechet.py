"""Fréchet distance between two sets of feature vectors, each seen as a Gaussian."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from cspine_bench.metrics.intervals import CONFIDENCE, NUM_GROUPS, Estimate, jackknife_interval

LEAST_ROWS: Final = 2
_BLOCK_ROWS: Final = 2048
Floats = NDArray[np.float64]


def frechet_distance(*, real: NDArray[Any], synthetic: NDArray[Any]) -> float:
    """Squared Fréchet (2-Wasserstein) distance of the Gaussians fitted to two sets of features.

    |mean difference|^2 + tr(A) + tr(B) - 2 tr((A B)^(1/2)), with the unbiased covariances A and B. It is biased upwards
    in small samples, so only figures at equal counts compare: see `frechet_interval`, and give the distance between
    real and real at the same counts beside it. It is called FID only with the features that FID is defined on.

    Args:
        real: float (n, d), n >= 2.
        synthetic: float (m, d), m >= 2.

    Returns:
        0 or more; lower is better.

    Raises:
        ValueError: shapes do not fit, a set has fewer than 2 rows, or a value is not finite.

    Source: Heusel et al. 2017 (1706.08500), equation 6; Dowson, Landau 1982. The trace of the root is the sum of the
    singular values of the product of any two factors of A and B, so no matrix root is taken: for fewer rows than
    features the factors are the centred rows themselves.
    """
    check_shapes(real=real, synthetic=synthetic, least_rows=LEAST_ROWS)
    means = real.mean(axis=0, dtype=np.float64), synthetic.mean(axis=0, dtype=np.float64)
    shift = means[0] - means[1]
    if min(len(real), len(synthetic)) <= real.shape[1]:
        centred = real - means[0], synthetic - means[1]
        spread = sum(float(np.vdot(rows, rows)) / (len(rows) - 1) for rows in centred)
        root = _trace_root_by_rows(*centred)
    else:
        covariances = _compute_covariance(real, means[0]), _compute_covariance(synthetic, means[1])
        spread = float(sum(np.trace(covariance) for covariance in covariances))
        root = trace_root_of_covariances(*covariances)
    return max(0.0, float(shift @ shift) + spread - 2 * root)


def _compute_covariance(rows: NDArray[Any], mean: Floats) -> Floats:
    """By blocks, so that no copy of all rows is made."""
    scatter = np.zeros((len(mean), len(mean)))
    for start in range(0, len(rows), _BLOCK_ROWS):
        centred = rows[start : start + _BLOCK_ROWS] - mean
        scatter += centred.T @ centred
    return scatter / (len(rows) - 1)


def _trace_root_by_rows(x: Floats, y: Floats) -> float:
    """tr((A B)^(1/2)) from an (n, m) matrix: A = x'x / (n - 1), so x / sqrt(n - 1) is a factor of it."""
    singular = scipy.linalg.svdvals(x @ y.T, check_finite=False, overwrite_a=True)
    return float(singular.sum() / np.sqrt((len(x) - 1) * (len(y) - 1)))


def trace_root_of_covariances(a: Floats, b: Floats) -> float:
    """tr((A B)^(1/2)) without a matrix root: A = L L', and A B has the eigenvalues of L' B L.

    Args:
        a: float64 (d, d), a covariance.
        b: likewise.
    """
    try:
        factor = np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        # A feature that never changes: the same product from a factor that always exists.
        values, vectors = scipy.linalg.eigh(a, check_finite=False)
        factor = vectors * np.sqrt(np.clip(values, 0, None))
    values = scipy.linalg.eigvalsh(factor.T @ b @ factor, check_finite=False)
    return float(np.sqrt(np.clip(values, 0, None)).sum())


def frechet_interval(
    *,
    real: NDArray[Any],
    synthetic: NDArray[Any],
    generator: np.random.Generator,
    num_groups: int = NUM_GROUPS,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """`frechet_distance` with an interval for its average at these counts, not for its limit in endless samples.

    Args:
        real: float (n, d), n >= 4.
        synthetic: float (m, d), m >= 4.
        generator: deals rows into groups; see `jackknife_interval`.
        num_groups: of the jackknife.
        confidence: of the interval, 0..1.

    Raises:
        ValueError: as `frechet_distance`, or fewer than 4 rows.

    Source: see `jackknife_interval`. A bootstrap would repeat rows, which makes this distance larger by itself.
    """
    check_shapes(real=real, synthetic=synthetic, least_rows=4)
    estimate = jackknife_interval(
        lambda rows: frechet_distance(real=real[rows[0]], synthetic=synthetic[rows[1]]),
        counts=(len(real), len(synthetic)),
        generator=generator,
        num_groups=num_groups,
        confidence=confidence,
    )
    return Estimate(value=estimate.value, low=max(0.0, estimate.low), high=estimate.high)


@dataclass(frozen=True)
class FrechetTrend:
    """Fréchet distances at falling sample sizes, and the line through them.

    Attributes:
        limit: the distance in endless samples, with its interval; may lie below 0 where both sets are of one
            distribution.
        num_parts: parts that both sets were divided into.
        distances: mean distance at each of these; the line is fitted to them.
        limit_without_smallest: value of the limit from all but the smallest samples. Where it lies outside the interval
            the trend is not straight, and the limit is not to be relied on.
    """

    limit: Estimate
    num_parts: tuple[int, ...]
    distances: tuple[float, ...]
    limit_without_smallest: float


def frechet_limit(
    *,
    real: NDArray[Any],
    synthetic: NDArray[Any],
    generator: np.random.Generator,
    most_parts: int = 3,
    num_groups: int = NUM_GROUPS,
    confidence: float = CONFIDENCE,
) -> FrechetTrend:
    """The Fréchet distance extrapolated to endless samples of both sets.

    Its bias is about inversely proportional to the sample size where a sample has at least as many rows as features.
    So both sets are divided at random into 1, 2, ... parts; the mean distance of the pairs of parts rises along a line
    in the number of parts, and the line's value at 0 is the limit.

    Args:
        real: float (n, d); what is left without a group must give `most_parts` parts of 2 rows.
        synthetic: float (m, d), likewise.
        generator: deals rows into parts and groups.
        most_parts: 3 or more; more of them fit better, and have fewer rows each.
        num_groups: of the jackknife.
        confidence: of the interval, 0..1.

    Raises:
        ValueError: as `frechet_distance`, most_parts < 3, or parts that are too small.

    Source: Chong, Forsyth 2020 (1911.07023), who draw smaller samples of the synthetic set alone; here
    both sets shrink alike, for both are finite, and every row is used at every size. Interval: `jackknife_interval` of
    the whole extrapolation.
    """
    check_shapes(real=real, synthetic=synthetic, least_rows=4)
    if most_parts < 3 or min(len(real), len(synthetic)) < 4 * most_parts:
        raise ValueError(
            f"needs at least 3 parts and 4 rows in each, got {most_parts} parts, {len(real)} real and "
            f"{len(synthetic)} synthetic feature vectors"
        )
    # A row keeps its part when others are left out, so that the jackknife sees a smooth statistic.
    order = [generator.permutation(len(rows)) for rows in (real, synthetic)]

    def measure(rows: Sequence[NDArray[np.int64]], most: int = most_parts) -> list[float]:
        return [
            float(
                np.mean(
                    [
                        frechet_distance(
                            real=real[rows[0][order[0][rows[0]] % parts == part]],
                            synthetic=synthetic[rows[1][order[1][rows[1]] % parts == part]],
                        )
                        for part in range(parts)
                    ]
                )
            )
            for parts in range(1, most + 1)
        ]

    limit = jackknife_interval(
        lambda rows: _extrapolate(measure(rows)),
        counts=(len(real), len(synthetic)),
        generator=generator,
        num_groups=num_groups,
        confidence=confidence,
    )
    distances = measure([np.arange(len(real)), np.arange(len(synthetic))])
    return FrechetTrend(limit, tuple(range(1, most_parts + 1)), tuple(distances), _extrapolate(distances[:-1]))


def _extrapolate(distances: Sequence[float]) -> float:
    """Value at no parts, that is in endless samples, of the line through the distances at 1, 2, ... parts."""
    return float(np.polyfit(np.arange(1, len(distances) + 1), distances, 1)[1])


def check_shapes(*, real: NDArray[Any], synthetic: NDArray[Any], least_rows: int) -> None:
    """Refuse feature sets that cannot be compared.

    Raises:
        ValueError: shapes do not fit, a set has fewer than `least_rows` rows, or a value is not finite.
    """
    if real.ndim != 2 or synthetic.ndim != 2 or real.shape[1] != synthetic.shape[1]:
        raise ValueError(f"features must be (n, d) and (m, d), got real {real.shape} and synthetic {synthetic.shape}")
    for name, features in (("real", real), ("synthetic", synthetic)):
        if len(features) < least_rows:
            raise ValueError(f"{name} has {len(features)} feature vectors, at least {least_rows} are needed")
        if not np.isfinite(features).all():
            raise ValueError(f"{name} features hold NaN or infinity")
