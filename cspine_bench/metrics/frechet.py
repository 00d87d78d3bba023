"""Fréchet distance between two sets of feature vectors, each seen as a Gaussian."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.linalg import lapack

from cspine_bench.metrics.intervals import CONFIDENCE, NUM_GROUPS, Estimate, Jackknife

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
    return _measure(_describe(real), _describe(synthetic))


@dataclass(frozen=True)
class _Cloud:
    """Mean and covariance of a set; of fewer rows than features the covariance is kept as its factor.

    Attributes:
        mean: float64 (d,).
        trace: of the covariance.
        covariance: float64 (d, d), or None where `rows` are kept.
        rows: float64 (n, d), centred and divided by the root of n - 1, or None.
    """

    mean: Floats
    trace: float
    covariance: Floats | None = None
    rows: Floats | None = None


def _describe(features: NDArray[Any], *, by_rows: bool | None = None) -> _Cloud:
    mean = features.mean(axis=0, dtype=np.float64)
    if len(features) <= features.shape[1] if by_rows is None else by_rows:
        rows = (features - mean) / np.sqrt(len(features) - 1)
        return _Cloud(mean, float(np.vdot(rows, rows)), rows=rows)
    covariance = _compute_scatter(features, mean)[1] / (len(features) - 1)
    return _Cloud(mean, float(np.trace(covariance)), covariance=covariance)


def _measure(x: _Cloud, y: _Cloud) -> float:
    shift = x.mean - y.mean
    return max(0.0, float(shift @ shift) + x.trace + y.trace - 2 * _trace_root(x, y))


def _trace_root(x: _Cloud, y: _Cloud) -> float:
    """tr((A B)^(1/2)): of the smaller matrix that has the same eigenvalues or singular values."""
    if x.covariance is not None and y.covariance is not None:
        return trace_root_of_covariances(x.covariance, y.covariance)
    if x.rows is not None and y.rows is not None:
        return float(scipy.linalg.svdvals(x.rows @ y.rows.T, check_finite=False, overwrite_a=True).sum())
    rows, covariance = (x.rows, y.covariance) if x.rows is not None else (y.rows, x.covariance)
    assert rows is not None and covariance is not None
    values = scipy.linalg.eigvalsh(rows @ covariance @ rows.T, check_finite=False, overwrite_a=True)
    return float(np.sqrt(np.clip(values, 0, None)).sum())


def _compute_scatter(features: NDArray[Any], origin: Floats) -> tuple[Floats, Floats]:
    """Sum of the differences from a point, and of their outer products; by blocks, so that no copy of all is made."""
    total, scatter = np.zeros(len(origin)), np.zeros((len(origin), len(origin)))
    for start in range(0, len(features), _BLOCK_ROWS):
        centred = features[start : start + _BLOCK_ROWS] - origin
        total += centred.sum(axis=0)
        scatter += centred.T @ centred
    return total, scatter


def trace_root_of_covariances(a: Floats, b: Floats) -> float:
    """tr((A B)^(1/2)) without a matrix root: A = L L', and A B has the eigenvalues of L' B L.

    Args:
        a: float64 (d, d), a covariance.
        b: likewise.
    """
    factor, failed = lapack.dpotrf(a.T, lower=1)
    if not failed:
        product, _ = lapack.dsygst(b.T, factor, itype=2, lower=1)
    else:
        # A feature that never changes: the same product from a factor that always exists.
        values, vectors = scipy.linalg.eigh(a, check_finite=False)
        root = vectors * np.sqrt(np.clip(values, 0, None))
        product = root.T @ b @ root
    values = scipy.linalg.eigvalsh(product, lower=True, check_finite=False, overwrite_a=True)
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
        generator: deals rows into groups; see `jackknife_intervals`.
        num_groups: of the jackknife.
        confidence: of the interval, 0..1.

    Raises:
        ValueError: as `frechet_distance`, or fewer than 4 rows.

    Source: see `jackknife_intervals`. A bootstrap would repeat rows, which makes this distance larger by itself.
    """
    check_shapes(real=real, synthetic=synthetic, least_rows=4)
    labels = _deal_rows(real, synthetic, generator=generator, num_groups=num_groups)
    return jackknife_frechet(real=real, synthetic=synthetic, labels=labels).estimate(confidence=confidence, least=0)


Labels = tuple[NDArray[np.int64], NDArray[np.int64]]


def _deal_rows(
    real: NDArray[Any], synthetic: NDArray[Any], *, generator: np.random.Generator, num_groups: int
) -> Labels:
    num_groups = min(num_groups, len(real), len(synthetic))
    first, second = (generator.permutation(len(rows)) % num_groups for rows in (real, synthetic))
    return first, second


def jackknife_frechet(*, real: NDArray[Any], synthetic: NDArray[Any], labels: Labels | None) -> Jackknife:
    """`frechet_distance` of all rows, and without each group of rows of both sets in turn.

    Args:
        real: float (n, d); what is left without a group must be 2 rows.
        synthetic: float (m, d), likewise.
        labels: int64 (n,) and (m,), group of each row, 0, 1, ...; a group may have rows in one set alone. None: leave
            out none.

    Raises:
        ValueError: as `frechet_distance`, or groups that leave too few rows.
    """
    return jackknife_trend(real=real, synthetic=synthetic, labels=labels, parts=None, most_parts=1)[0]


def jackknife_trend(
    *,
    real: NDArray[Any],
    synthetic: NDArray[Any],
    labels: Labels | None,
    parts: Labels | None,
    most_parts: int,
) -> list[Jackknife]:
    """Mean Fréchet distances of 1, 2, ... parts of both sets, of all rows and without each group in turn.

    The sums over all rows of a part are computed once, and those of each group taken off them.

    Args:
        real: float (n, d).
        synthetic: float (m, d).
        labels: see `jackknife_frechet`.
        parts: int64 (n,) and (m,), a shuffled number of each row; row i is in part `parts[i] % p` of p parts. None: of
            use with `most_parts` 1 only.
        most_parts: 1 or more.

    Raises:
        ValueError: as `frechet_distance`, or a part of fewer than 2 rows, with or without a group.
    """
    check_shapes(real=real, synthetic=synthetic, least_rows=LEAST_ROWS)
    num_groups = 0 if labels is None else 1 + int(max(label.max() for label in labels))
    trend = []
    for number in range(1, most_parts + 1):
        distances = []
        for part in range(number):
            clouds = [
                _iter_clouds(
                    rows if number == 1 or parts is None else rows[chosen := parts[side] % number == part],
                    None if labels is None else labels[side] if number == 1 or parts is None else labels[side][chosen],
                    num_groups,
                )
                for side, rows in enumerate((real, synthetic))
            ]
            distances.append([_measure(x, y) for x, y in zip(*clouds, strict=True)])
        mean = np.mean(distances, axis=0)
        trend.append(Jackknife(float(mean[0]), mean[1:]))
    return trend


def _iter_clouds(features: NDArray[Any], label: NDArray[np.int64] | None, num_groups: int) -> Iterator[_Cloud]:
    """Of all rows, and without those of each group in turn."""
    count, dimension = features.shape
    sizes = np.zeros(0, np.int64) if label is None else np.bincount(label, minlength=num_groups)
    left = count - int(sizes.max(initial=0))
    if left < LEAST_ROWS:
        raise ValueError(f"{count} rows leave {left} without their largest group, at least {LEAST_ROWS} are needed")
    if left <= dimension:
        yield _describe(features)
        for group in range(num_groups):
            yield _describe(features[label != group])
        return
    origin = features.mean(axis=0, dtype=np.float64)
    total, scatter = _compute_scatter(features, origin)
    yield _take_off(origin, count, total, scatter)
    for group in range(num_groups):
        own = _compute_scatter(features[label == group], origin)
        yield _take_off(origin, count - int(sizes[group]), total - own[0], scatter - own[1])


def _take_off(origin: Floats, count: int, total: Floats, scatter: Floats) -> _Cloud:
    """From sums about a point that lies near the mean."""
    apart = total / count
    covariance = (scatter - np.outer(apart, total)) / (count - 1)
    return _Cloud(origin + apart, float(np.trace(covariance)), covariance=covariance)


def extrapolate(trend: Sequence[Jackknife], *, degree: int = 1) -> Jackknife:
    """The value at no parts, that is in endless samples, of the curve through distances at 1, 2, ... parts.

    The bias of the distance is about inversely proportional to the sample size where a sample has at least as many rows
    as features, so that distances lie on a line in the number of parts. Its value at 0 may lie below 0 where both sets
    are of one distribution.

    Args:
        trend: as `jackknife_trend` gives it, of more sizes than the degree.
        degree: of the polynomial: 1, a line; 2, a parabola, for how far the trend is from a line.

    Source: Chong, Forsyth 2020 (1911.07023), who draw smaller samples of the synthetic set alone; here both sets shrink
    alike, for both are finite, and every row is used at every size.
    """
    values = np.array([[distance.value, *distance.left_out] for distance in trend])
    at_none = np.polyfit(np.arange(1, len(trend) + 1), values, degree)[-1]
    return Jackknife(float(at_none[0]), at_none[1:])


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
