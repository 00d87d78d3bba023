"""Agreement of two ways to measure the same thing, or of several readers: limits of agreement and correlations.

measured = bland_altman(preds=found_deg, target=true_deg)
measured.bias.value, measured.lower.low, measured.upper.high
intraclass_correlation(ratings=np.column_stack([found_deg, true_deg])).value

A pair, or a row of ratings, with a NaN is left out of all of them.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cspine_bench.metrics.intervals import CONFIDENCE, Estimate
from cspine_bench.metrics.weighted import LIMIT_SDS, Statistic

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LimitsOfAgreement:
    """Of differences, predicted minus true, in the unit of what was measured.

    Attributes:
        bias: mean difference.
        lower: bias minus 1.96 standard deviations; about one difference in forty is below it.
        upper: bias plus as much.
        sd: standard deviation of the differences.
        used: pairs that they rest on.
    """

    bias: Estimate
    lower: Estimate
    upper: Estimate
    sd: float
    used: int


def bland_altman(
    *, preds: NDArray[np.floating], target: NDArray[np.floating], confidence: float = CONFIDENCE
) -> LimitsOfAgreement:
    """Bias and limits of agreement, each with its interval.

    The intervals hold for independent pairs with normal differences of one spread. Where several pairs come from one
    patient, resample patients instead (`metrics.weighted.weighted_limit_of_agreement`).

    Args:
        preds: float (n,), what is judged.
        target: float (n,), what it is held against.
        confidence: of the intervals, 0..1.

    Raises:
        ValueError: shapes differ, or fewer than two pairs.

    Source: Bland, Altman 1999, Statistical Methods in Medical Research 8, 135-160: the variance of a limit is
    (1 / n + 1.96^2 / (2 (n - 1))) sd^2, and its interval is Student's with n - 1 degrees of freedom.
    """
    first, second = _take_pairs(preds, target)
    count = len(first)
    if count < 2:
        raise ValueError(f"limits of agreement need at least 2 pairs, got {count}")
    differences = first - second
    bias, sd = float(differences.mean()), float(differences.std(ddof=1))
    quantile = float(stats.t.ppf((1 + confidence) / 2, count - 1))
    half_bias = quantile * sd * math.sqrt(1 / count)
    half_limit = quantile * sd * math.sqrt(1 / count + LIMIT_SDS**2 / (2 * (count - 1)))
    low, high = bias - LIMIT_SDS * sd, bias + LIMIT_SDS * sd
    return LimitsOfAgreement(
        bias=Estimate(bias, bias - half_bias, bias + half_bias),
        lower=Estimate(low, low - half_limit, low + half_limit),
        upper=Estimate(high, high - half_limit, high + half_limit),
        sd=sd,
        used=count,
    )


def intraclass_correlation(*, ratings: NDArray[np.floating], confidence: float = CONFIDENCE) -> Estimate:
    """ICC(2,1): absolute agreement of single ratings, raters being drawn from many. With its interval.

    Args:
        ratings: float (n, raters), one row for each thing that was rated, n and raters at least 2.
        confidence: of the interval, 0..1.

    Returns:
        At most 1, which is perfect agreement; below 0 where raters differ more on one thing than things differ.

    Raises:
        ValueError: fewer than two rows or raters, or every rating is the same.

    Source: Shrout, Fleiss 1979, Psychological Bulletin 86, 420-428, case 2, with its interval (after Satterthwaite).
    """
    rows = _take_rows(ratings)
    count, raters = rows.shape
    squares = _mean_squares(rows, np.ones((1, count)))
    value = float(_divide_squares(squares, np.array([count]), raters)[0])
    if math.isnan(value):
        raise ValueError(f"all {rows.size} ratings are the same, so nothing tells one thing from another")
    targets, judges, error = (float(part[0]) for part in squares)
    if error == 0 and judges == 0:
        return Estimate(1.0, 1.0, 1.0)
    spread = count * (1 + (raters - 1) * value) - raters * value
    between = raters * value * judges
    # Shrout and Fleiss divide by the error's mean square; multiplied out, so that it may be 0.
    freedom = (raters - 1) * (count - 1) * (between + spread * error) ** 2
    freedom /= (count - 1) * between**2 + (spread * error) ** 2
    share = (1 + confidence) / 2
    above, below = float(stats.f.ppf(share, count - 1, freedom)), float(stats.f.ppf(share, freedom, count - 1))
    within = raters * judges + (raters * count - raters - count) * error
    low = count * (targets - above * error) / (above * within + count * targets)
    high = count * (below * targets - error) / (within + count * below * targets)
    return Estimate(value, min(low, value), max(high, value))


def mean_intraclass_correlation(*, ratings: NDArray[np.floating], confidence: float = CONFIDENCE) -> Estimate:
    """ICC(2,k): absolute agreement of the mean over these raters with that over as many others. With its interval.

    Args:
        ratings: as `intraclass_correlation`.
        confidence: of the interval, 0..1.

    Returns:
        At most 1; never below ICC(2,1) where that is above 0. An end is minus infinity where ICC(2,1) is so far below 0
        that a mean over raters is no steadier than one of them.

    Raises:
        ValueError: as `intraclass_correlation`.

    Source: Shrout, Fleiss 1979, Psychological Bulletin 86, 420-428, case 2: the formula of Spearman and Brown, applied
    to ICC(2,1) and to the ends of its interval.
    """
    single = intraclass_correlation(ratings=ratings, confidence=confidence)
    raters = np.asarray(ratings).shape[1]
    value, low, high = (_lengthen(part, raters) for part in (single.value, single.low, single.high))
    return Estimate(value, low, high)


def _lengthen(single: float, raters: int) -> float:
    """Reliability of a mean over raters from that of one of them."""
    shared = 1 + (raters - 1) * single
    return raters * single / shared if shared > 0 else -math.inf


def weighted_intraclass_correlation(ratings: NDArray[np.floating]) -> Statistic:
    """ICC(2,1) as a function of how often each row counts, for a bootstrap; see `metrics.weighted`.

    Args:
        ratings: float (n, raters), at least 2 raters; a row with a NaN takes no part.

    Returns:
        Of weights (B, n), float64 (B,); NaN where fewer than two rows count, or all that count are the same.
    """
    values = np.asarray(ratings, np.float64)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ValueError(f"ratings must be (n, raters) with at least 2 raters, got {values.shape}")
    there = ~np.isnan(values).any(axis=1)

    def statistic(weights: Floats) -> Floats:
        used = weights[:, there]
        return _divide_squares(_mean_squares(values[there], used), used.sum(axis=1), values.shape[1])

    return statistic


def _take_pairs(preds: NDArray[np.floating], target: NDArray[np.floating]) -> tuple[Floats, Floats]:
    first, second = np.asarray(preds, np.float64), np.asarray(target, np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"preds and target must be of one shape (n,), got {first.shape} and {second.shape}")
    there = ~(np.isnan(first) | np.isnan(second))
    return first[there], second[there]


def _take_rows(ratings: NDArray[np.floating]) -> Floats:
    rows = np.asarray(ratings, np.float64)
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise ValueError(f"ratings must be (n, raters) with at least 2 raters, got {rows.shape}")
    rows = rows[~np.isnan(rows).any(axis=1)]
    if len(rows) < 2:
        raise ValueError(f"an intraclass correlation needs at least 2 complete rows, got {len(rows)}")
    return rows


def _mean_squares(rows: Floats, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean squares (B,) between rows, between raters and of the rest; NaN where fewer than two rows count."""
    raters = rows.shape[1]
    # About the mean of all, so that nothing is lost where the mean is large beside the spread.
    centred = rows - rows.mean() if rows.size else rows
    means = centred.mean(axis=1)
    inside = ((centred - means[:, None]) ** 2).sum(axis=1)
    count = weights.sum(axis=1)
    few = count < 2
    count = np.where(few, np.nan, count)
    by_rater = weights @ centred / count[:, None]
    overall = by_rater.mean(axis=1)
    targets = raters * np.maximum(weights @ means**2 - count * overall**2, 0.0)
    judges = count * ((by_rater - overall[:, None]) ** 2).sum(axis=1)
    error = np.maximum(weights @ inside - judges, 0.0)
    return targets / (count - 1), judges / (raters - 1), error / ((count - 1) * (raters - 1))


def _divide_squares(squares: tuple[Floats, Floats, Floats], count: NDArray[Any], raters: int) -> Floats:
    """ICC(2,1) (B,) from mean squares of as many rows; NaN where nothing varies."""
    targets, judges, error = squares
    whole = targets + (raters - 1) * error + raters * (judges - error) / np.maximum(count, 1)
    quotient: Floats = np.divide(targets - error, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return quotient
