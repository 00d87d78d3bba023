"""Wasserstein distance between two samples of one quantity, such as an angle or a height."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.intervals import CONFIDENCE, NUM_GROUPS, Estimate, jackknife_interval

_WEIGHTS_AT_ONCE: Final = 1 << 20


def wasserstein_distance(*, real: NDArray[Any], synthetic: NDArray[Any]) -> float:
    """How far, on average, one sample's values must be moved to become the other's, in their own unit.

    It is biased upwards in small samples: give the distance between real and real at the same counts beside it.

    Args:
        real: float (n,), n >= 1.
        synthetic: float (m,), m >= 1.

    Returns:
        0 or more; lower is better.

    Raises:
        ValueError: not one-dimensional, empty, or a value is not finite: leave out what was not measured.

    Source: the area between the distribution functions, Vallender 1974, Theory of Probability and its Applications 18,
    784-786.
    """
    for name, values in (("real", real), ("synthetic", synthetic)):
        if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
            raise ValueError(f"{name} must be one or more finite values in one dimension, got shape {values.shape}")
    x, y = np.sort(real.astype(np.float64)), np.sort(synthetic.astype(np.float64))
    both = np.sort(np.concatenate([x, y]))
    below = (np.searchsorted(values, both[:-1], side="right") / len(values) for values in (x, y))
    return float(np.abs(np.subtract(*below)) @ np.diff(both))


def wasserstein_interval(
    *,
    real: NDArray[Any],
    synthetic: NDArray[Any],
    generator: np.random.Generator,
    num_groups: int = NUM_GROUPS,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """`wasserstein_distance` with an interval for its average at these counts, not for its limit in endless samples.

    Args:
        real: float (n,), n >= 4.
        synthetic: float (m,), m >= 4.
        generator: deals values into groups; see `jackknife_intervals`.
        num_groups: of the jackknife.
        confidence: of the interval, 0..1.

    Raises:
        ValueError: as `wasserstein_distance`, or fewer than 4 values.

    Source: see `jackknife_intervals`; where both samples are of one distribution it is too wide rather than too narrow.
    """
    found = jackknife_interval(
        lambda rows: wasserstein_distance(real=real[rows[0]], synthetic=synthetic[rows[1]]),
        counts=(len(real), len(synthetic)),
        generator=generator,
        num_groups=num_groups,
        confidence=confidence,
    )
    return Estimate(found.value, max(0.0, found.low), found.high)


def weighted_distances(*, values: NDArray[Any], weights: NDArray[Any]) -> NDArray[np.float64]:
    """Distances between many pairs of samples of the same values, sorted once for all.

    Args:
        values: float (n,), n >= 1, finite: those of both samples.
        weights: float (k, n), a row for each pair: 1 / (size of the first sample) for its members, minus 1 / (size of
            the second) for members of the second, 0 for the others. Rows sum to 0.

    Returns:
        float64 (k,): `wasserstein_distance` of each pair.

    Raises:
        ValueError: shapes do not fit, or a value is not finite.

    Source: as `wasserstein_distance`.
    """
    if values.ndim != 1 or weights.shape[1:] != values.shape or not np.isfinite(values).all():
        raise ValueError(f"needs finite values (n,) and weights (k, n), got {values.shape} and {weights.shape}")
    order = np.argsort(values, kind="stable")
    gaps = np.diff(values[order].astype(np.float64))
    distances = np.empty(len(weights))
    rows = max(1, _WEIGHTS_AT_ONCE // len(values))
    for start in range(0, len(weights), rows):
        block = slice(start, start + rows)
        distances[block] = np.abs(np.cumsum(weights[block][:, order], axis=1, dtype=np.float64)[:, :-1]) @ gaps
    return distances
