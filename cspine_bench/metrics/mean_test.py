"""A mean against a null value by Student's t, and whether it is within a margin of it.

tested = mean_test(values, null=0.25)
tested.value, tested.low, tested.high, tested.p_greater
mean_equivalence(tested, margin=0.1).p
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cspine_bench.metrics.equivalence import ALPHA, combine_one_sided
from cspine_bench.metrics.intervals import CONFIDENCE

Floats = NDArray[np.float64]

NO_VALUES: Final = "no values"


@dataclass(frozen=True)
class MeanTest:
    """A mean against a null value by Student's t.

    Attributes:
        value: the mean; None: nothing to average.
        null: what it is held against.
        se: standard error; None where not defined.
        df: degrees of freedom; inf: the normal distribution.
        t: (value - null) / se.
        p_two: two-sided.
        p_greater: of so large a mean.
        p_less: of so small a mean.
        low: end of the interval.
        high: likewise.
        confidence: of the interval.
        used: values that it rests on.
        reason: why it has no standard error, or no test; "" where it has.
    """

    value: float | None
    null: float
    se: float | None
    df: float | None
    t: float | None
    p_two: float | None
    p_greater: float | None
    p_less: float | None
    low: float | None
    high: float | None
    confidence: float
    used: int
    reason: str = ""


@dataclass(frozen=True)
class MeanEquivalence:
    """Is a mean within a margin of its null value?

    Attributes:
        margin: half width of what counts as none.
        p_lower: one-sided, of a mean at null - margin or below.
        p_upper: of a mean at null + margin or above.
        p: the larger.
        low: end of the interval of value - null that the two tests ask about: 90 % at alpha 0.05.
        high: likewise.
        smallest_margin: at which p would be alpha.
        alpha: of `smallest_margin`, and of the interval.
        reason: why it is not defined; "" where it is.
    """

    margin: float
    p_lower: float | None
    p_upper: float | None
    p: float | None
    low: float | None
    high: float | None
    smallest_margin: float | None
    alpha: float
    reason: str = ""


def mean_test(values: Floats, *, null: float = 0.0, confidence: float = CONFIDENCE) -> MeanTest:
    """One-sample t test.

    Args:
        values: float (n,); NaN is left out, and not counted in `used`.
        null: what the mean is held against.
        confidence: of the interval, 0..1.

    Raises:
        ValueError: not one-dimensional, or infinite values.

    Source: Student 1908, Biometrika 6, 1-25; as in R's t.test.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or np.isinf(values).any():
        raise ValueError(f"needs finite values (n,) or NaN, got shape {values.shape}")
    values = values[~np.isnan(values)]
    count = len(values)
    if count < 2:
        mean = float(values[0]) if count else None
        reason = "one value: its spread is not known" if count else NO_VALUES
        return no_mean_test(mean=mean, null=null, confidence=confidence, used=count, reason=reason)
    return t_test_of(
        mean=float(values.mean()),
        variance=float(values.var(ddof=1)) / count,
        df=count - 1.0,
        null=null,
        confidence=confidence,
        used=count,
        scale=float(abs(values).max()),
    )


def t_test_of(
    *, mean: float, variance: float, df: float, null: float, confidence: float, used: int, scale: float = 1.0
) -> MeanTest:
    """t test of a mean whose variance and degrees of freedom are known from elsewhere.

    Args:
        mean: what is tested.
        variance: of the mean; 0 or below: no test, with the reason.
        df: degrees of freedom, above 0; inf: the normal distribution.
        null: what the mean is held against.
        confidence: of the interval, 0..1.
        used: values that the mean rests on.
        scale: size of the values, against which rounding is judged.
    """
    se = math.sqrt(max(variance, 0.0))
    # What is left of equal values by rounding is no spread.
    if se <= 1e-12 * max(scale, abs(mean)):
        reason = "no spread: the values do not say how sure the mean is"
        return no_mean_test(mean=mean, null=null, confidence=confidence, used=used, reason=reason)
    t = (mean - null) / se
    half = -_quantile(df, (1 - confidence) / 2) * se
    return MeanTest(
        value=mean,
        null=null,
        se=se,
        df=df,
        t=t,
        p_two=min(1.0, 2 * _upper_tail(abs(t), df)),
        p_greater=_upper_tail(t, df),
        p_less=_upper_tail(-t, df),
        low=mean - half,
        high=mean + half,
        confidence=confidence,
        used=used,
    )


def no_mean_test(*, mean: float | None, null: float, confidence: float, used: int, reason: str) -> MeanTest:
    """A mean that has no standard error, and why.

    Args:
        mean: None: nothing to average.
        null: what it would be held against.
        confidence: of the interval that it does not have.
        used: values that it rests on.
        reason: why.
    """
    return MeanTest(mean, null, None, None, None, None, None, None, None, None, confidence, used, reason)


def mean_equivalence(test: MeanTest, *, margin: float, alpha: float = ALPHA) -> MeanEquivalence:
    """Two one-sided t tests of "the mean is within the margin of its null value".

    Args:
        test: `two_way_mean(...).test` or `.nonnegative`, `reader_mean`, `case_mean` or `mean_test`.
        margin: half width of what counts as none, above 0.
        alpha: p value that supports a margin, strictly between 0 and 0.5.

    Returns:
        With the smallest margin supported at alpha, which is the farther end of the interval of level 1 - 2 alpha.

    Raises:
        ValueError: margin or alpha out of range.

    Source: Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15, 657-680.
    """
    if not margin > 0 or not 0 < alpha < 0.5:
        raise ValueError(f"margin must be above 0 and alpha between 0 and 0.5, got {margin} and {alpha}")
    if test.value is None or test.se is None or test.df is None or test.reason:
        return MeanEquivalence(margin, None, None, None, None, None, None, alpha, test.reason)
    away = test.value - test.null
    lower = _upper_tail((away + margin) / test.se, test.df)
    upper = _upper_tail((margin - away) / test.se, test.df)
    half = -_quantile(test.df, alpha) * test.se
    return MeanEquivalence(
        margin=margin,
        p_lower=lower,
        p_upper=upper,
        p=combine_one_sided(above_lower=lower, below_upper=upper),
        low=away - half,
        high=away + half,
        smallest_margin=abs(away) + half,
        alpha=alpha,
    )


def _quantile(df: float, share: float) -> float:
    return float(special.ndtri(share) if math.isinf(df) else special.stdtrit(df, share))


def _upper_tail(t: float, df: float) -> float:
    return float(special.ndtr(-t) if math.isinf(df) else special.stdtr(df, -t))
