"""Is a share of right answers above chance, or as near to it as a margin asks? Exact, for independent answers.

Answers of several readers on the same cases are not independent: `metrics.label_test` is exact whatever they share, and
`metrics.two_way` gives an interval for other readers and other cases. What stands here is the reference that ignores
it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import integrate, optimize, special, stats

from cspine_bench.metrics.equivalence import ALPHA, combine_one_sided
from cspine_bench.metrics.intervals import CONFIDENCE, Estimate, clopper_pearson_interval, wilson_interval

NO_ANSWERS: Final = "no answers"


@dataclass(frozen=True)
class BinomialTest:
    """A count of right answers against chance.

    Attributes:
        correct: right answers.
        total: answers.
        chance: share that guessing gives.
        share: correct / total.
        p_two: two-sided: all counts no likelier than this one.
        p_greater: of at least so many.
        p_less: of at most so many.
        clopper_pearson: the share with its exact interval.
        wilson: with its score interval.
        jeffreys: with the equal-tailed interval of a Beta(1/2, 1/2) prior.
        reason: why nothing is defined; "" where it is. All figures but the counts are None then.
    """

    correct: int
    total: int
    chance: float
    share: float | None = None
    p_two: float | None = None
    p_greater: float | None = None
    p_less: float | None = None
    clopper_pearson: Estimate | None = None
    wilson: Estimate | None = None
    jeffreys: Estimate | None = None
    reason: str = ""


@dataclass(frozen=True)
class BinomialEquivalence:
    """Is a share within a margin of chance?

    Attributes:
        margin: half width of what counts as chance.
        p_lower: exact, of a share at chance - margin or below; 0: there is none, as that end is below 0.
        p_upper: exact, of a share at chance + margin or above; 0: there is none, as that end is above 1.
        p: the larger of the two.
        smallest_margin: at which p would be alpha.
        alpha: of `smallest_margin`.
        reason: why nothing is defined; "" where it is.
    """

    margin: float
    p_lower: float | None
    p_upper: float | None
    p: float | None
    smallest_margin: float | None
    alpha: float
    reason: str = ""


@dataclass(frozen=True)
class BayesFactors:
    """How much likelier the count is if the share is unknown than if it is chance; below 1 speaks for chance.

    Attributes:
        log_beta11: natural logarithm, every share equally likely beforehand.
        log_logistic: natural logarithm, the share's logit logistic around that of chance, of scale `scale`.
        log_above: natural logarithm, every share between chance and its double, at most 1, equally likely; None: too
            far from there to be computed.
        scale: of the logistic prior.
        reason: why one or all are not defined; "" where they are.
    """

    log_beta11: float | None
    log_logistic: float | None
    log_above: float | None
    scale: float
    reason: str = ""


@dataclass(frozen=True)
class CountTest:
    """Pearson's chi-square of counts against expected shares.

    Attributes:
        statistic: chi-square.
        df: degrees of freedom, one less than categories.
        p: of so large a statistic.
        least_expected: smallest expected count; below 5 the p value is rough.
        reason: why none is defined; "" where it is.
    """

    statistic: float | None
    df: int
    p: float | None
    least_expected: float
    reason: str = ""


def binomial_test(*, correct: int, total: int, chance: float, confidence: float = CONFIDENCE) -> BinomialTest:
    """Exact test of a share against chance, and the usual intervals of it, for independent answers.

    Args:
        correct: right answers, 0..total.
        total: answers; 0: nothing is defined.
        chance: share that guessing gives, strictly between 0 and 1.
        confidence: of the intervals, 0..1.

    Raises:
        ValueError: counts or chance out of range.

    Source: two-sided p as in R's binom.test (all counts no likelier than the one found). Clopper, Pearson 1934,
    Biometrika 26, 404-413; Wilson 1927, JASA 22, 209-212; Jeffreys: Brown, Cai, DasGupta 2001, Statistical Science 16,
    101-133, with the ends 0 and 1 at no and at all right answers.
    """
    _check(correct, total, chance)
    if total == 0:
        return BinomialTest(correct, total, chance, reason=NO_ANSWERS)
    two, greater, less = (
        float(stats.binomtest(correct, total, chance, alternative=side).pvalue)
        for side in ("two-sided", "greater", "less")
    )
    tail = (1 - confidence) / 2
    posterior = stats.beta(correct + 0.5, total - correct + 0.5)
    return BinomialTest(
        correct=correct,
        total=total,
        chance=chance,
        share=correct / total,
        p_two=two,
        p_greater=greater,
        p_less=less,
        clopper_pearson=clopper_pearson_interval(successes=correct, total=total, confidence=confidence),
        wilson=wilson_interval(successes=correct, total=total, confidence=confidence),
        jeffreys=Estimate(
            correct / total,
            float(posterior.ppf(tail)) if correct > 0 else 0.0,
            float(posterior.isf(tail)) if correct < total else 1.0,
        ),
    )


def binomial_equivalence(
    *, correct: int, total: int, chance: float, margin: float, alpha: float = ALPHA
) -> BinomialEquivalence:
    """Two one-sided exact tests of "the share is within the margin of chance", for independent answers.

    Args:
        correct: right answers, 0..total.
        total: answers; 0: nothing is defined.
        chance: share that guessing gives, strictly between 0 and 1.
        margin: half width of what counts as chance, above 0. An end outside 0..1 asks nothing: its p value is 0.
        alpha: p value that supports a margin, strictly between 0 and 0.5.

    Returns:
        With the smallest margin that these answers support at alpha: the farther end, from chance, of the exact
        interval of level 1 - 2 alpha.

    Raises:
        ValueError: counts, chance, margin or alpha out of range.

    Source: Schuirmann 1987 (see `metrics.equivalence`), with exact binomial tails.
    """
    _check(correct, total, chance)
    if not margin > 0 or not 0 < alpha < 0.5:
        raise ValueError(f"margin must be above 0 and alpha between 0 and 0.5, got {margin} and {alpha}")
    if total == 0:
        return BinomialEquivalence(margin, None, None, None, None, alpha, NO_ANSWERS)
    lower = float(stats.binom.sf(correct - 1, total, chance - margin)) if chance - margin >= 0 else 0.0
    upper = float(stats.binom.cdf(correct, total, chance + margin)) if chance + margin <= 1 else 0.0
    ends = clopper_pearson_interval(successes=correct, total=total, confidence=1 - 2 * alpha)
    return BinomialEquivalence(
        margin=margin,
        p_lower=lower,
        p_upper=upper,
        p=combine_one_sided(above_lower=lower, below_upper=upper),
        smallest_margin=max(chance - ends.low, ends.high - chance),
        alpha=alpha,
    )


def bayes_factors(*, correct: int, total: int, chance: float, scale: float = 0.5) -> BayesFactors:
    """Of "the share is unknown" against "it is chance", for independent answers; it depends on the prior.

    Args:
        correct: right answers, 0..total.
        total: answers; 0: nothing is defined.
        chance: share that guessing gives, strictly between 0 and 1.
        scale: of the logistic prior, above 0.

    Raises:
        ValueError: counts, chance or scale out of range.

    Source: logistic prior on the logit as in proportionBF of the R package BayesFactor, whose medium scale is 1/2.
    """
    _check(correct, total, chance)
    if not scale > 0:
        raise ValueError(f"scale must be above 0, got {scale}")
    if total == 0:
        return BayesFactors(None, None, None, scale, NO_ANSWERS)
    wrong = total - correct
    at_chance = correct * math.log(chance) + wrong * math.log1p(-chance)
    # Uniform between chance and `top`: the share of the Beta posterior that lies there, in terms of its whole.
    top = min(1.0, 2 * chance)
    whole = float(special.betaln(correct + 1, wrong + 1))
    posterior = stats.beta(correct + 1, wrong + 1)
    # Of two differences, that of the smaller tails, which keeps more digits.
    between = max(float(posterior.cdf(top) - posterior.cdf(chance)), float(posterior.sf(chance) - posterior.sf(top)))
    return BayesFactors(
        log_beta11=whole - at_chance,
        log_logistic=_log_logistic_evidence(correct, wrong, chance, scale) - at_chance,
        log_above=whole + math.log(between) - math.log(top - chance) - at_chance if between > 0 else None,
        scale=scale,
        reason="" if between > 0 else "the share lies too far from the range above chance for a factor",
    )


def count_test(counts: Sequence[int], *, shares: Sequence[float] | None = None) -> CountTest:
    """Pearson's chi-square of counts, for independent answers: of panes picked, or of sources picked.

    Args:
        counts: at least 2 categories, each at least 0.
        shares: expected of each, above 0 and with sum 1; None: all equal.

    Raises:
        ValueError: fewer than two categories, a negative count, or shares that do not fit.

    Source: Pearson 1900, Philosophical Magazine 50, 157-175; as in R's chisq.test of counts.
    """
    found = np.asarray(counts, np.float64)
    expected_shares = np.full(len(found), 1 / max(len(found), 1)) if shares is None else np.asarray(shares, np.float64)
    if len(found) < 2 or (found < 0).any() or expected_shares.shape != found.shape:
        raise ValueError(f"needs 2 or more counts of at least 0 and as many shares, got {list(counts)} and {shares}")
    if (expected_shares <= 0).any() or not math.isclose(expected_shares.sum(), 1, rel_tol=1e-9):
        raise ValueError(f"shares must be above 0 and have sum 1, got {shares}")
    df = len(found) - 1
    expected = expected_shares * found.sum()
    if found.sum() == 0:
        return CountTest(None, df, None, 0.0, NO_ANSWERS)
    statistic = float(((found - expected) ** 2 / expected).sum())
    return CountTest(statistic, df, float(special.chdtrc(df, statistic)), float(expected.min()))


def _check(correct: int, total: int, chance: float) -> None:
    if not 0 <= correct <= total or not 0 < chance < 1:
        raise ValueError(
            f"needs 0 <= correct <= total and chance between 0 and 1, got {correct} of {total} and chance {chance}"
        )


def _log_logistic_evidence(correct: int, wrong: int, chance: float, scale: float) -> float:
    """Logarithm of the mean likelihood over a logistic prior of the logit."""
    centre = float(special.logit(chance))

    def log_density(logit: float) -> float:
        prior = (logit - centre) / scale
        likelihood = correct * special.log_expit(logit) + wrong * special.log_expit(-logit)
        return float(likelihood + special.log_expit(prior) + special.log_expit(-prior) - math.log(scale))

    peak = float(optimize.minimize_scalar(lambda logit: -log_density(logit), bracket=(centre, centre + scale)).x)
    rate = float(special.expit(peak))
    height = log_density(peak)
    # In units of the likelihood's and the prior's width together the peak is neither a needle nor a plain.
    width = 1 / math.sqrt((correct + wrong) * rate * (1 - rate) + 1 / (4 * scale**2))
    sides = (
        integrate.quad(lambda x: math.exp(log_density(peak + x * width) - height), *ends, epsabs=0, epsrel=1e-10)[0]
        for ends in ((-math.inf, 0), (0, math.inf))
    )
    return height + math.log(width * sum(sides))
