"""Is a share of right answers above chance, or as near to it as a margin asks? Exact, for independent answers.

Answers of several readers on the same cases are not independent: `metrics.label_test` is exact whatever they share, and
`metrics.two_way` gives an interval for other readers and other cases. What stands here is the reference that ignores
it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cspine_bench.metrics.equivalence import ALPHA
from cspine_bench.metrics.intervals import CONFIDENCE, Estimate


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
        p_lower: exact, of a share at chance - margin or below; None: that end is below 0, so it is no question.
        p_upper: exact, of a share at chance + margin or above; None: that end is above 1.
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
        log_above: natural logarithm, every share between chance and 1 equally likely.
        scale: of the logistic prior.
        reason: why none is defined; "" where they are.
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
    """Exact test and intervals of a share."""
    raise NotImplementedError


def binomial_equivalence(
    *, correct: int, total: int, chance: float, margin: float, alpha: float = ALPHA
) -> BinomialEquivalence:
    """Two one-sided exact tests, and the smallest margin they support."""
    raise NotImplementedError


def bayes_factors(*, correct: int, total: int, chance: float, scale: float = 0.5) -> BayesFactors:
    """Of "the share is unknown" against "it is chance"."""
    raise NotImplementedError


def count_test(counts: Sequence[int], *, shares: Sequence[float] | None = None) -> CountTest:
    """Chi-square of counts; `shares` None: all equal."""
    raise NotImplementedError
