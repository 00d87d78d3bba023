"""Does a reader agree with the own earlier reading? Kappa of two readings, and the share of answers that stay.

steady = cohen_kappa(first=rating_1, second=rating_2, categories=(1, 2, 3, 4), weighting="quadratic", clusters=quartet)
steady.value, steady.low, steady.high, steady.reason
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cspine_bench.metrics.category_weights import Floats, Weighting, check_categories, check_ratings, weigh_categories
from cspine_bench.metrics.intervals import CONFIDENCE, wilson_interval

SMALL: Final = 1e-12


@dataclass(frozen=True)
class Kappa:
    """Agreement of two readings beyond chance.

    Attributes:
        value: 1 is perfect, 0 what chance gives; None: not defined.
        standard_error: None: not defined, as of one pair or one cluster.
        low: lower end of the interval, at least -1: normal for independent pairs, else Student's t with one degree of
            freedom less than clusters; None likewise, and where the standard error is 0: that is no certainty.
        high: upper end, at most 1.
        observed: share of pairs that agree (weighted: how nearly); None without a pair.
        chance: what it would be by chance from the two readings' own shares; None likewise.
        pairs: with both readings, which it rests on.
        left_out: pairs that miss a reading.
        clusters: that were taken as independent; None: each pair was.
        reason: why something above is None; empty where nothing is.
    """

    value: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    observed: float | None
    chance: float | None
    pairs: int
    left_out: int
    clusters: int | None
    reason: str = ""


@dataclass(frozen=True)
class Share:
    """A share of answers, with its interval.

    Attributes:
        value: 0..1; None without an answer.
        low: of the interval; None likewise.
        high: likewise.
        total: answers that it rests on.
        effective: as many independent answers would tell as much; total where none hang together.
        clusters: that were taken as independent; None: each answer was.
        reason: why something above is None; empty where nothing is.
    """

    value: float | None
    low: float | None
    high: float | None
    total: int
    effective: float
    clusters: int | None
    reason: str = ""


def cohen_kappa(
    *,
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    categories: Sequence[float],
    weighting: Weighting = "identity",
    clusters: NDArray[Any] | None = None,
    confidence: float = CONFIDENCE,
) -> Kappa:
    """Cohen's kappa, plain or weighted, of two readings.

    Of one reader with independent pairs, leave `clusters` out. Where several pairs hang together, as the images of a
    quartet do or the readings of one case by several readers, name what they share: the value is that of all pairs
    pooled, and the standard error that of the clusters.

    Args:
        first: float (pairs,), each one of the categories; NaN: missing, and the pair is left out.
        second: likewise.
        categories: all that could be chosen, rising, at least 2.
        weighting: see `metrics.category_weights.weigh_categories`.
        clusters: (pairs,), labels of what pairs share, such as the case.
        confidence: of the interval, 0..1.

    Raises:
        ValueError: shapes differ, or a reading that is no category.

    Source: Cohen 1968, Psychological Bulletin 70, 213-220; standard error of independent pairs: Fleiss, Cohen, Everitt
    1969, Psychological Bulletin 72, 323-327; of clusters: Yang, Zhou 2015, Computational Statistics and Data Analysis
    82, 1-18.
    """
    values = [np.asarray(part, np.float64) for part in (first, second)]
    allowed = check_categories(categories)
    groups = _number_clusters(values[0], values[1], clusters)
    for part in values:
        check_ratings(part, allowed)
    there = ~(np.isnan(values[0]) | np.isnan(values[1]))
    pairs, left_out = int(there.sum()), int((~there).sum())
    if groups is not None:
        groups = np.unique(groups[there], return_inverse=True)[1]
    num_clusters = None if groups is None else int(groups.max(initial=-1)) + 1
    if pairs == 0:
        return Kappa(None, None, None, None, None, None, 0, left_out, num_clusters, "no pair has both readings")
    rows, columns = (np.searchsorted(allowed, part[there]) for part in values)
    weights = weigh_categories(categories, weighting)
    by_first, by_second = (np.bincount(part, minlength=len(allowed)) / pairs for part in (rows, columns))
    agreeing = weights[rows, columns]
    observed, chance = float(agreeing.mean()), float(by_first @ weights @ by_second)
    if 1 - chance < SMALL:
        reason = "both readings are always of one category: agreement by chance is perfect too, which gives 0 / 0"
        return Kappa(None, None, None, None, observed, chance, pairs, left_out, num_clusters, reason)
    value = (observed - chance) / (1 - chance)
    own_chance = (weights @ by_second)[rows] + (by_first @ weights)[columns] - 2 * chance
    influence = (agreeing - observed - (1 - value) * own_chance) / (1 - chance)
    error, low, high, reason = _find_interval(value, influence, groups, confidence)
    return Kappa(value, error, low, high, observed, chance, pairs, left_out, num_clusters, reason)


def estimate_share(
    *, hits: NDArray[np.floating], clusters: NDArray[Any] | None = None, confidence: float = CONFIDENCE
) -> Share:
    """A share of answers with Wilson's interval, at the effective number of answers where they hang together.

    For exact agreement of ratings give `first == second`; for the same pick twice likewise.

    Args:
        hits: float or bool (answers,), 0 or 1; NaN: missing, left out.
        clusters: (answers,), labels of what answers share, such as the case; None: they are independent.
        confidence: of the interval, 0..1.

    Raises:
        ValueError: shapes differ, or a hit that is neither 0 nor 1.

    Source: Wilson 1927; effective number: Rao, Scott 1992, Biometrics 48, 577-585, never above the number itself, and
    with the degrees of freedom of Korn, Graubard 1998, Survey Methodology 24, 193-201.
    """
    values = np.asarray(hits, np.float64)
    groups = _number_clusters(values, values, clusters)
    there = ~np.isnan(values)
    values = values[there]
    if not np.isin(values, (0, 1)).all():
        raise ValueError(f"a hit must be 0, 1 or NaN, got {sorted(set(values.tolist()) - {0.0, 1.0})[:5]}")
    total, num_clusters, effective = len(values), None, float(len(values))
    if total == 0:
        return Share(None, None, None, 0, 0.0, None if groups is None else 0, "there is no answer")
    if groups is not None:
        groups = np.unique(groups[there], return_inverse=True)[1]
        num_clusters = int(groups.max()) + 1
        if num_clusters == 1:
            reason = "an interval over clusters needs at least 2 of them"
            return Share(float(values.mean()), None, None, total, 1.0, 1, reason)
        effective = _find_effective_number(values, groups, confidence)
    found = wilson_interval(successes=float(values.mean()) * effective, total=effective, confidence=confidence)
    # Rounding of the product must not move a share of 0 or 1.
    return Share(float(values.mean()), max(0.0, found.low), min(1.0, found.high), total, effective, num_clusters)


def _number_clusters(first: Floats, second: Floats, clusters: NDArray[Any] | None) -> NDArray[np.int64] | None:
    labels = None if clusters is None else np.asarray(clusters)
    shapes = [first.shape, second.shape] + ([] if labels is None else [labels.shape])
    if first.ndim != 1 or len(set(shapes)) != 1:
        raise ValueError(f"readings and clusters must be of one shape (n,), got {shapes}")
    return None if labels is None else np.unique(labels, return_inverse=True)[1].astype(np.int64)


def _find_interval(
    value: float, influence: Floats, groups: NDArray[np.int64] | None, confidence: float
) -> tuple[float | None, float | None, float | None, str]:
    """Standard error, ends, and why they are None: of independent pairs normal, of clusters Student's t."""
    pairs, share = len(influence), (1 + confidence) / 2
    if groups is None:
        if pairs < 2:
            return None, None, None, "an interval needs at least 2 pairs"
        error, quantile = math.sqrt(float(influence @ influence)) / pairs, float(stats.norm.ppf(share))
    else:
        sums = np.bincount(groups, influence)
        if len(sums) < 2:
            return None, None, None, "an interval over clusters needs at least 2 of them"
        error = math.sqrt(len(sums) / (len(sums) - 1) * float(sums @ sums)) / pairs
        quantile = float(stats.t.ppf(share, len(sums) - 1))
    if error < SMALL:
        return 0.0, None, None, "no pair or cluster differs from another, so that nothing tells how sure it is"
    return error, max(-1.0, value - quantile * error), min(1.0, value + quantile * error), ""


def _find_effective_number(values: Floats, groups: NDArray[np.int64], confidence: float) -> float:
    """As many independent answers would give the interval that the clusters do, at most as many as there are."""
    total, share = len(values), float(values.mean())
    sums = np.bincount(groups, values - share)
    clusters = len(sums)
    independent = share * (1 - share) / total
    if independent == 0:
        # All alike: clusters can hang together without showing it.
        return float(clusters)
    clustered = clusters / (clusters - 1) * float(sums @ sums) / total**2
    tail = (1 + confidence) / 2
    fewer = (float(stats.t.ppf(tail, total - 1)) / float(stats.t.ppf(tail, clusters - 1))) ** 2
    # Clusters that differ less than chance has it earn nothing.
    kept = independent / max(independent, clustered)
    return max(1.0, total * fewer * kept)
