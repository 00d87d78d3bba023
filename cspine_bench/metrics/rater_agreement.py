"""Do readers choose alike? Agreement beyond chance of several raters on categories, with missing ratings allowed.

agreed = fleiss_kappa(ratings=picks, categories=(0, 1, 2, 3))
agreed.value, agreed.low, agreed.high, agreed.reason

Two standard errors are not one: `fleiss_kappa_null` asks whether there is any agreement beyond chance, and its standard
error holds only if there is none; the intervals of all others hold at whatever agreement there is. They are over
subjects: the raters are these raters. `leave_out_raters` tells how much hangs on each of them.

A coefficient that chance alone makes 0 / 0, as where everyone always chose the same category, is not defined: its value
is None, and `reason` says why.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cspine_bench.metrics.category_weights import Floats, Weighting, check_categories, check_ratings, weigh_categories
from cspine_bench.metrics.intervals import CONFIDENCE, Jackknife

Level = Literal["nominal", "ordinal", "interval"]
SMALL: Final = 1e-12
ONE_CATEGORY: Final = (
    "every rating is of one category: agreement is perfect and so is agreement by chance, which gives 0 / 0"
)


@dataclass(frozen=True)
class Agreement:
    """Agreement beyond chance, 1 being perfect and 0 what chance gives; below 0 is less than chance.

    Attributes:
        value: (observed - chance) / (1 - chance); None: not defined.
        standard_error: over subjects; None: not defined, as of one subject.
        low: lower end of the interval of Student's t, one degree of freedom less than subjects; None likewise, and
            where the standard error is 0, as of readers who always agree: that is no certainty.
        high: upper end, at most 1.
        p_value: two-sided, of value 0 at this standard error; None likewise.
        observed: share of pairs of ratings of one subject that agree (weighted: how nearly); None without such a pair.
        chance: what it would be by chance; None without a rating.
        subjects: with at least one rating that takes part.
        compared: of them, subjects with at least two ratings.
        ratings: that take part.
        reason: why something above is None; empty where nothing is.
    """

    value: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    p_value: float | None
    observed: float | None
    chance: float | None
    subjects: int
    compared: int
    ratings: int
    reason: str = ""


@dataclass(frozen=True)
class NullAgreement:
    """A test of no agreement beyond chance. Its standard error must not make an interval.

    Attributes:
        value: Fleiss' kappa; None: not defined.
        standard_error: that it has where there is no agreement beyond chance.
        z: value / standard_error.
        p_value: two-sided, normal.
        subjects: with at least one rating.
        compared: of them, subjects with at least two ratings.
        method: "Fleiss" where all subjects have as many ratings, else "Fleiss, extended to unequal numbers".
        reason: why the value is None; empty where it is not.
    """

    value: float | None
    standard_error: float | None
    z: float | None
    p_value: float | None
    subjects: int
    compared: int
    method: str
    reason: str = ""


@dataclass(frozen=True)
class RaterJackknife:
    """A coefficient without each rater in turn: a check on how much hangs on one of them, not the main interval.

    Attributes:
        left_out: per rater the coefficient without it; None where it is not defined.
        standard_error: by the jackknife over raters; None: fewer than three raters, or a coefficient not defined.
        low: of the interval of Student's t, one degree of freedom less than raters.
        high: likewise, at most 1.
        reason: why something above is None; empty where nothing is.
    """

    left_out: tuple[float | None, ...]
    standard_error: float | None
    low: float | None
    high: float | None
    reason: str = ""


def fleiss_kappa(
    *,
    ratings: NDArray[np.floating],
    categories: Sequence[float],
    weighting: Weighting = "identity",
    confidence: float = CONFIDENCE,
) -> Agreement:
    """Fleiss' kappa, its weighted forms, and its extension to missing ratings, with the interval over subjects.

    Args:
        ratings: float (subjects, raters), each one of the categories; NaN: not rated. A row without any is left out.
        categories: all that could be chosen, rising, at least 2, whether or not anyone chose them.
        weighting: how near two categories are: "identity" for names without order; see `metrics.category_weights`.
        confidence: of the interval, 0..1.

    Raises:
        ValueError: not two-dimensional, or a rating that is no category.

    Source: Fleiss 1971, Psychological Bulletin 76, 378-382; missing ratings, weights and variance after Gwet 2014,
    Handbook of Inter-Rater Reliability, 4th edition, chapters 2, 3 and 5, as in R's irrCAC. Where many subjects have a
    single rating, its variance is a little larger than the linear one.
    """
    counts = _count(ratings, categories)
    weights = weigh_categories(categories, weighting)
    return _agree_of_subjects(counts, weights, _fleiss_chance, confidence)


def gwet_ac(
    *,
    ratings: NDArray[np.floating],
    categories: Sequence[float],
    weighting: Weighting = "identity",
    confidence: float = CONFIDENCE,
) -> Agreement:
    """Gwet's AC1 (identity weights) or AC2 (any other): chance shrinks where nearly all choose one category.

    Its value depends on how many categories could be chosen. It is 1 where everyone always chose the same.

    Args and errors: as `fleiss_kappa`.

    Source: Gwet 2008, British Journal of Mathematical and Statistical Psychology 61, 29-48; Gwet 2014 as there.
    """
    counts = _count(ratings, categories)
    weights = weigh_categories(categories, weighting)
    return _agree_of_subjects(counts, weights, _gwet_chance, confidence)


def krippendorff_alpha(
    *,
    ratings: NDArray[np.floating],
    categories: Sequence[float],
    level: Level = "nominal",
    confidence: float = CONFIDENCE,
) -> Agreement:
    """Krippendorff's alpha; subjects with a single rating take no part.

    Args:
        ratings: as `fleiss_kappa`.
        categories: likewise.
        level: "nominal": names; "ordinal": distance by how many ratings lie between, as of ranks; "interval": squared
            difference of the categories' values.
        confidence: of the interval, 0..1.

    Returns:
        For "ordinal" the interval is of the jackknife over subjects, as the distances are themselves estimated.

    Raises:
        ValueError: as `fleiss_kappa`.

    Source: Krippendorff 2019, Content Analysis, 4th edition, chapter 12; variance after Gwet 2014 as there.
    """
    counts = _count(ratings, categories)
    if level not in ("nominal", "ordinal", "interval"):
        raise ValueError(f"level must be 'nominal', 'ordinal' or 'interval', got {level!r}")
    counts = counts[counts.sum(axis=1) >= 2]
    if not len(counts):
        return _undefined(counts, "no subject has two ratings")
    if (counts.sum(axis=0) > 0).sum() == 1:
        return _undefined(counts, ONE_CATEGORY, chance=1.0)
    if level == "ordinal":
        observed, chance, _ = _compare(counts, _weigh_ranks(counts))
        influence = _jackknife_ranks(counts)
    else:
        weights = weigh_categories(categories, "quadratic" if level == "interval" else "identity")
        observed, chance, influence = _compare(counts, weights)
    value = (observed - chance) / (1 - chance)
    return _finish(counts, value, observed, chance, influence, confidence)


def fleiss_kappa_null(*, ratings: NDArray[np.floating], categories: Sequence[float]) -> NullAgreement:
    """Fleiss' kappa with the standard error that it has if nobody agrees beyond chance, and the test of that.

    Where subjects have unequal numbers of ratings, the variance is that of Fleiss, Nee and Landis with 2 / (m (m - 1))
    averaged over subjects, plus that of the ratings which chance and agreement count unequally.

    Args and errors: as `fleiss_kappa`.

    Source: Fleiss, Nee, Landis 1979, Psychological Bulletin 86, 974-977; for unequal numbers the same variance by the
    decomposition of Hoeffding 1948, Annals of Mathematical Statistics 19, 293-325, given how many ratings each has.
    """
    counts = _count(ratings, categories)
    totals = counts.sum(axis=1)
    several = totals >= 2
    equal = len(totals) > 0 and bool((totals == totals[0]).all())
    method = "Fleiss" if equal else "Fleiss, extended to unequal numbers"
    kappa = _agree_of_subjects(counts, np.eye(counts.shape[1]), _fleiss_chance, CONFIDENCE)
    if kappa.value is None:
        return NullAgreement(None, None, None, None, kappa.subjects, kappa.compared, method, kappa.reason)
    shares = (counts / totals[:, None]).mean(axis=0)
    squares, cubes = float((shares**2).sum()), float((shares**3).sum())
    # Agreement of a subject's pairs falls into a part linear in its ratings, which chance has too, and the rest.
    rest = (squares - 2 * cubes + squares**2) * float((2 / (totals * (totals - 1))[several]).sum()) / several.sum() ** 2
    uneven = several / several.sum() - 1 / len(totals)
    linear = 4 * (cubes - squares**2) * float((uneven**2 / totals).sum())
    error = math.sqrt(rest + linear) / (1 - squares)
    z = kappa.value / error
    p_value = float(2 * stats.norm.sf(abs(z)))
    return NullAgreement(kappa.value, error, z, p_value, kappa.subjects, kappa.compared, method)


def leave_out_raters(
    coefficient: Callable[[Floats], Agreement], *, ratings: NDArray[np.floating], confidence: float = CONFIDENCE
) -> RaterJackknife:
    """A coefficient without each rater in turn.

    leave_out_raters(lambda some: gwet_ac(ratings=some, categories=(0, 1, 2, 3)), ratings=picks)

    Args:
        coefficient: of ratings (subjects, raters).
        ratings: float (subjects, raters).
        confidence: of the interval, 0..1.
    """
    rows = np.asarray(ratings, np.float64)
    if rows.ndim != 2:
        raise ValueError(f"ratings must be (subjects, raters), got {rows.shape}")
    raters = rows.shape[1]
    values = tuple(coefficient(np.delete(rows, rater, axis=1)).value for rater in range(raters))
    defined = np.array([value for value in values if value is not None])
    if raters < 3:
        return RaterJackknife(values, None, None, None, f"needs at least 3 raters, got {raters}")
    middle = coefficient(rows).value
    if len(defined) < raters or middle is None:
        return RaterJackknife(values, None, None, None, "the coefficient is not defined without one of the raters")
    jackknife = Jackknife(middle, defined)
    found = jackknife.estimate(confidence=confidence, most=1.0)
    return RaterJackknife(values, math.sqrt(jackknife.variance), found.low, found.high)


def _count(ratings: NDArray[np.floating], categories: Sequence[float]) -> Floats:
    """Ratings of each subject by category, float64 (subjects, categories), of the subjects that have any."""
    rows, allowed = np.asarray(ratings, np.float64), check_categories(categories)
    if rows.ndim != 2:
        raise ValueError(f"ratings must be (subjects, raters), got {rows.shape}")
    check_ratings(rows, allowed)
    counts: Floats = (rows[:, :, None] == allowed).sum(axis=1).astype(np.float64)
    return counts[~np.isnan(rows).all(axis=1)]


def _agree_within(counts: Floats, weights: Floats) -> Floats:
    """Per subject, the mean weight of its pairs of ratings; 0 where it has no pair."""
    totals = counts.sum(axis=1)
    pairs = totals * (totals - 1)
    return np.asarray((counts * (counts @ weights - 1)).sum(axis=1) / np.where(pairs > 0, pairs, 1), np.float64)


def _fleiss_chance(counts: Floats, weights: Floats, shares: Floats) -> tuple[float, Floats]:
    return float(shares @ weights @ shares), counts @ weights @ shares / counts.sum(axis=1)


def _gwet_chance(counts: Floats, weights: Floats, shares: Floats) -> tuple[float, Floats]:
    scale = weights.sum() / (len(shares) * (len(shares) - 1))
    return float(scale * (shares @ (1 - shares))), scale * (counts @ (1 - shares)) / counts.sum(axis=1)


def _agree_of_subjects(
    counts: Floats,
    weights: Floats,
    find_chance: Callable[[Floats, Floats, Floats], tuple[float, Floats]],
    confidence: float,
) -> Agreement:
    """A coefficient in which each subject counts alike. `find_chance` gives chance, and each subject's part in it."""
    totals = counts.sum(axis=1)
    several = totals >= 2
    if not several.any():
        return _undefined(counts, "no subject has two ratings")
    shares = (counts / totals[:, None]).mean(axis=0)
    chance, own_chance = find_chance(counts, weights, shares)
    within = _agree_within(counts, weights)
    observed = float(within[several].mean())
    if 1 - chance < SMALL:
        return _undefined(counts, ONE_CATEGORY, observed=observed, chance=chance)
    value = (observed - chance) / (1 - chance)
    # A subject with a single rating tells of chance alone.
    own = several * (within - chance) / (1 - chance) * len(counts) / several.sum()
    influence = own - value - 2 * (1 - value) * (own_chance - chance) / (1 - chance)
    return _finish(counts, value, observed, chance, influence, confidence)


def _finish(
    counts: Floats, value: float, observed: float, chance: float, influence: Floats, confidence: float
) -> Agreement:
    """The interval from what each subject adds: value and influence give the variance over n (n - 1)."""
    subjects = len(counts)
    error = low = high = p_value = None
    reason = ""
    if subjects < 2:
        reason = "an interval over subjects needs at least 2 of them"
    else:
        error = math.sqrt(float(influence @ influence) / (subjects * (subjects - 1)))
        if math.isnan(error):
            error, reason = (
                None,
                "the coefficient is not defined without one of the subjects, so neither is its interval",
            )
        elif error < SMALL:
            error, reason = 0.0, "no subject differs from another in agreement, so that nothing tells how sure it is"
        else:
            half = float(stats.t.ppf((1 + confidence) / 2, subjects - 1)) * error
            low, high = value - half, min(1.0, value + half)
            p_value = float(2 * stats.t.sf(abs(value) / error, subjects - 1))
    compared = int((counts.sum(axis=1) >= 2).sum())
    ratings = int(counts.sum())
    return Agreement(value, error, low, high, p_value, observed, chance, subjects, compared, ratings, reason)


def _undefined(counts: Floats, reason: str, *, observed: float | None = None, chance: float | None = None) -> Agreement:
    compared = int((counts.sum(axis=1) >= 2).sum())
    ratings = int(counts.sum())
    return Agreement(None, None, None, None, None, observed, chance, len(counts), compared, ratings, reason)


def _weigh_ranks(counts: Floats) -> Floats:
    """Krippendorff's ordinal distances as weights: by the ratings between two categories, and half of their own."""
    totals = counts.sum(axis=0)
    ranks = np.cumsum(totals) - totals / 2
    apart = (ranks[:, None] - ranks) ** 2
    return np.asarray(1 - apart / apart.max(), np.float64)


def _compare(counts: Floats, weights: Floats) -> tuple[float, float, Floats]:
    """Krippendorff's observed agreement and agreement by chance, and what each subject adds to alpha."""
    totals = counts.sum(axis=1)
    mean, smallness = float(totals.mean()), 1 / float(totals.sum())
    agreeing = _agree_within(counts, weights) * totals / mean
    shares = counts.sum(axis=0) / totals.sum()
    chance = float(shares @ weights @ shares)
    raw = float(agreeing.mean())
    plain = (raw - chance) / (1 - chance)
    # Of a ratio: subjects count by how many ratings they have, which varies from one to the next.
    off = (totals - mean) / mean
    own = agreeing - raw * off - raw
    own_chance = counts @ weights @ shares / mean - chance * off - chance
    influence = (own - 2 * (1 - plain) * own_chance) / (1 - chance)
    return (1 - smallness) * raw + smallness, chance, influence


def _jackknife_ranks(counts: Floats) -> Floats:
    """What each subject adds to the ordinal alpha, by leaving it out, as distances between ranks move with it.

    NaN where alpha is not defined without one of them.
    """
    influence = np.full(len(counts), np.nan)
    for row in range(len(counts)):
        others = np.delete(counts, row, axis=0)
        if (others.sum(axis=0) > 0).sum() > 1:
            observed, chance, _ = _compare(others, _weigh_ranks(others))
            influence[row] = (len(counts) - 1) * (observed - chance) / (1 - chance)
    return np.asarray(influence.mean() - influence, np.float64)
