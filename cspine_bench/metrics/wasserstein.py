"""Wasserstein distance between two samples of one quantity, such as an angle or a height."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NUM_PERMUTATIONS: Final = 999
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


def permutation_p_values(
    *,
    real: NDArray[Any],
    synthetic: NDArray[Any],
    generator: np.random.Generator,
    num_permutations: int = NUM_PERMUTATIONS,
) -> NDArray[np.float64]:
    """Whether quantities are distributed differently, tested together so that their number does not matter.

    Args:
        real: float (n, k), k quantities of images that are independent of each other; NaN: not measured.
        synthetic: float (m, k), likewise. Each quantity has a value on both sides.
        generator: draws the permutations.
        num_permutations: 1 or more; no p-value is below 1 / (1 + num_permutations).

    Returns:
        float64 (k,): chance, were both sides alike in every quantity, of so large a distance in any of the k. One that
        is small says that its quantity differs; one that is large does not say that it is the same.

    Raises:
        ValueError: shapes do not fit, or a quantity has no value on one side.

    Source: single-step maximum of statistics, Westfall, Young 1993, Resampling-Based Multiple Testing, of
    `wasserstein_distance` over the standard deviation of its permutations.
    """
    if real.ndim != 2 or real.shape[1:] != synthetic.shape[1:] or not (len(real) and len(synthetic)):
        raise ValueError(f"needs values of shape (n, k) and (m, k), got {real.shape} and {synthetic.shape}")
    if not all(np.isfinite(side).any(axis=0).all() for side in (real, synthetic)):
        raise ValueError("each quantity needs a value on both sides; leave out those without")
    pooled = np.concatenate([real, synthetic])
    is_real = np.zeros((num_permutations + 1, len(pooled)), bool)
    is_real[0, : len(real)] = True
    for row in range(1, num_permutations + 1):
        is_real[row] = generator.permutation(is_real[0])
    distances = np.empty((num_permutations + 1, real.shape[1]))
    for column, values in enumerate(pooled.T):
        known = np.isfinite(values)
        rows = max(1, _WEIGHTS_AT_ONCE // int(known.sum()))
        for start in range(0, num_permutations + 1, rows):
            sides = is_real[start : start + rows, known]
            count = sides.sum(axis=1, keepdims=True)
            others = sides.shape[1] - count
            weights = np.where(sides, 1 / np.maximum(count, 1), -1 / np.maximum(others, 1))
            found = weighted_distances(values=values[known], weights=weights)
            # All that is known on one side: no distance.
            distances[start : start + rows, column] = np.where((count * others)[:, 0] > 0, found, np.nan)
    spread = np.nanstd(distances, axis=0)
    scaled = distances / np.where(spread > 0, spread, 1.0)
    # What has no distance counts as a large one, to be safe.
    highest = np.where(np.isnan(scaled), np.inf, scaled)[1:].max(axis=1)
    # A millionth of a deviation is rounding.
    larger = (highest[:, None] >= scaled[0] - 1e-6).sum(axis=0)
    return np.asarray((1 + larger) / (1 + num_permutations))
