"""Statistics of radiographs as functions of how often each one counts, for a bootstrap that resamples by weights.

error = weighted_mean(per_image_error)           once
error(np.ones((1, n)))                           the figure itself
error(weights)                                   float64 (B,): one for each row of weights (B, n), all at once

A weight is how often a radiograph was drawn. With whole weights each of these equals the plain statistic of the data
with every radiograph repeated that often (`np.repeat`). A value of NaN is no value: it is skipped, whatever its weight.
Where the weights leave too little for a statistic, it is NaN.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""From weights >= 0, float64 (B, n), to a figure for each row of weights, float64 (B,); NaN where it is not defined."""

LIMIT_SDS: Final = 1.96
"""Standard deviations from the bias to a limit of agreement. Source: Bland, Altman 1986, Lancet 327, 307-310."""


def weighted_mean(values: NDArray[Any]) -> Statistic:
    """Mean of one value for each radiograph.

    Args:
        values: float (n,); NaN: none.
    """
    return weighted_ratio(values, np.ones(len(values)))


def weighted_share(holds: NDArray[Any], among: NDArray[Any] | None = None) -> Statistic:
    """Share of the radiographs for which something holds.

    Args:
        holds: bool (n,).
        among: bool (n,), radiographs that are asked; None: all.
    """
    asked = np.ones(len(holds), np.bool_) if among is None else np.asarray(among, np.bool_)
    return weighted_mean(np.where(asked, np.asarray(holds, np.float64), np.nan))


def weighted_ratio(numerator: NDArray[Any], denominator: NDArray[Any]) -> Statistic:
    """A sum over a sum: the mean of what a radiograph has several of, such as landmarks, each counting alike.

    Args:
        numerator: float (n,), sum over each radiograph's own; NaN: none, whatever the denominator.
        denominator: float (n,) >= 0, how many it has; NaN: none.

    Returns:
        Of weights; NaN where the denominators sum to 0.
    """
    top, bottom = np.array(numerator, np.float64), np.array(denominator, np.float64)
    _require_rows(top, bottom)
    absent = np.isnan(top) | np.isnan(bottom)
    top[absent], bottom[absent] = 0.0, 0.0
    # Both sums in one pass over the weights.
    sides = np.stack([top, bottom], axis=1)

    def statistic(weights: Floats) -> Floats:
        sums = _require_weights(weights, len(sides)) @ sides
        return _divide(sums[:, 0], sums[:, 1])

    return statistic


def weighted_quantile(values: NDArray[Any], share: float = 0.5) -> Statistic:
    """Quantile of one value for each radiograph, between neighbours by the line that joins them, as `numpy.quantile`.

    Args:
        values: float (n,); NaN: none.
        share: 0..1; 0.5: the median.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in 0..1, got {share}")
    values = np.asarray(values, np.float64)
    count = len(values)
    order = np.flatnonzero(~np.isnan(values))
    order = order[np.argsort(values[order], kind="stable")]
    # A last one that no rank reaches, so that every rank has a place.
    rising = np.append(values[order], np.nan)

    def statistic(weights: Floats) -> Floats:
        upto = np.cumsum(_require_weights(weights, count)[:, order], axis=1)
        total = upto[:, -1] if len(order) else np.zeros(len(weights))
        rank = np.maximum(total - 1, 0) * share
        lower = np.floor(rank)
        first = (upto <= lower[:, None]).sum(axis=1)
        second = (upto <= np.minimum(lower + 1, total - 1)[:, None]).sum(axis=1)
        low, high = rising[first], rising[second]
        return np.where(total > 0, low + (rank - lower) * (high - low), np.nan)

    return statistic


def weighted_sd(values: NDArray[Any]) -> Statistic:
    """Standard deviation of one value for each radiograph, with one less than their number below; NaN below two.

    Args:
        values: float (n,); NaN: none.
    """
    moments = _weighted_moments(values)
    return lambda weights: moments(weights)[1]


def weighted_limit_of_agreement(differences: NDArray[Any], *, sds: float) -> Statistic:
    """Mean difference and some standard deviations: a limit of agreement.

    Args:
        differences: float (n,), measured less true; NaN: none.
        sds: `-LIMIT_SDS` for the lower limit, `LIMIT_SDS` for the upper.

    Source: Bland, Altman 1986, Lancet 327, 307-310.
    """
    moments = _weighted_moments(differences)

    def statistic(weights: Floats) -> Floats:
        mean, sd = moments(weights)
        return mean + sds * sd

    return statistic


def weighted_auroc(scores: NDArray[Any], positive: NDArray[Any], among: NDArray[Any] | None = None) -> Statistic:
    """Area under the ROC curve: how often a positive scores above a negative, ties one half.

    Args:
        scores: float (n,); NaN: not asked.
        positive: bool (n,).
        among: bool (n,), radiographs that are asked; None: all.

    Returns:
        Of weights; NaN where one of the two kinds has no weight.

    Source: Mann, Whitney 1947, Annals of Mathematical Statistics 18, 50-60.
    """
    scores, positive = np.asarray(scores, np.float64), np.asarray(positive, np.bool_)
    _require_rows(scores, positive)
    asked = ~np.isnan(scores) if among is None else ~np.isnan(scores) & np.asarray(among, np.bool_)
    count = len(scores)
    above, below = np.flatnonzero(asked & positive), np.flatnonzero(asked & ~positive)
    below = below[np.argsort(scores[below], kind="stable")]
    first, last = (np.searchsorted(scores[below], scores[above], side=side) for side in ("left", "right"))

    def statistic(weights: Floats) -> Floats:
        weights = _require_weights(weights, count)
        upto = np.zeros((len(weights), len(below) + 1))
        np.cumsum(weights[:, below], axis=1, out=upto[:, 1:])
        over = upto[:, first]
        over += upto[:, last]
        won = np.einsum("bp,bp->b", weights[:, above], over)
        return _divide(won, 2 * weights[:, above].sum(axis=1) * upto[:, -1])

    return statistic


def mean_of_statistics(statistics: Sequence[Statistic]) -> Statistic:
    """Mean of several statistics of the same radiographs, such as over classes; NaN where one of them is.

    Args:
        statistics: at least one.

    Raises:
        ValueError: none were given.
    """
    parts = tuple(statistics)
    if not parts:
        raise ValueError("a mean of statistics needs at least one of them, got none")

    def statistic(weights: Floats) -> Floats:
        total = np.zeros(len(weights))
        for part in parts:
            total += part(weights)
        return total / len(parts)

    return statistic


def _weighted_moments(values: NDArray[Any]) -> Callable[[Floats], tuple[Floats, Floats]]:
    """Mean and standard deviation of each row of weights."""
    values = np.array(values, np.float64)
    there = ~np.isnan(values)
    # About the mean of all, so that nothing is lost where the mean is large beside the spread.
    centre = float(values[there].mean()) if there.any() else 0.0
    off = np.where(there, values - centre, 0.0)
    powers = np.stack([there.astype(np.float64), off, off**2], axis=1)

    def moments(weights: Floats) -> tuple[Floats, Floats]:
        count, first, second = (_require_weights(weights, len(powers)) @ powers).T
        mean = _divide(first, count)
        squares = np.maximum(second - mean * first, 0.0)
        return centre + mean, np.sqrt(_divide(squares, np.where(count > 1, count - 1, 0.0)))

    return moments


def _divide(top: Floats, bottom: Floats) -> Floats:
    quotient: Floats = np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom > 0)
    return quotient


def _require_rows(first: NDArray[Any], second: NDArray[Any]) -> None:
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"needs one value of each kind for each radiograph, got {first.shape} and {second.shape}")


def _require_weights(weights: Floats, count: int) -> Floats:
    if weights.ndim != 2 or weights.shape[1] != count:
        raise ValueError(f"weights must be (B, {count}), one for each radiograph, got {weights.shape}")
    return weights
