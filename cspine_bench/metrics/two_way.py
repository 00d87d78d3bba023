"""A mean over readers and cases, for other readers and other cases; also where cells are missing.

accuracy = two_way_mean(correct, null=0.25)                 (readers, cases), NaN: not answered
accuracy.test.value, .low, .high, .p_greater; accuracy.nonnegative.low, ...
mean_equivalence(accuracy.test, margin=0.1).p
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.equivalence import ALPHA
from cspine_bench.metrics.intervals import CONFIDENCE

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MeanTest:
    """A mean against a null value by Student's t.

    Attributes:
        value: the mean; None: nothing to average.
        null: what it is held against.
        se: standard error; None where not defined.
        df: degrees of freedom.
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
class TwoWayMean:
    """A mean over readers and cases.

    Attributes:
        test: by Obuchowski, Rockette and Hillis.
        nonnegative: by the rule that takes no variance component as negative; never shorter than `test`.
        nonnegative_rule: 0: readers and cases vary; 1: readers alone; 2: cases alone. None: not defined.
        msr: variance between readers' means (missing cells: what stands for it).
        cov2: covariance of two readers' means through their cases.
        var_unbiased: msr / readers + cov2, which may be negative.
        var_or: with cov2 no less than 0; test.se squared.
        df_satterthwaite: degrees of freedom of var_unbiased.
        vc_reader: variance between readers; may be negative.
        vc_case: between cases.
        vc_error: what is left.
        readers: with at least one cell.
        cases: likewise.
        cells: used.
        cells_missing: of readers x cases.
        complete_cases: read by all readers.
        reason: why there is no variance; "" where there is.
    """

    test: MeanTest
    nonnegative: MeanTest
    nonnegative_rule: int | None
    msr: float | None
    cov2: float | None
    var_unbiased: float | None
    var_or: float | None
    df_satterthwaite: float | None
    vc_reader: float | None
    vc_case: float | None
    vc_error: float | None
    readers: int
    cases: int
    cells: int
    cells_missing: int
    complete_cases: int
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


def two_way_mean(values: Floats, *, null: float = 0.0, confidence: float = CONFIDENCE) -> TwoWayMean:
    """Mean of readers x cases, with its test and interval; NaN: missing cell."""
    raise NotImplementedError


def reader_mean(values: Floats, *, null: float = 0.0, confidence: float = CONFIDENCE) -> MeanTest:
    """Mean of the readers' means by one-sample t: for other readers, on these cases."""
    raise NotImplementedError


def case_mean(values: Floats, *, null: float = 0.0, confidence: float = CONFIDENCE) -> MeanTest:
    """Mean of the cases' means by one-sample t: for other cases, with these readers."""
    raise NotImplementedError


def mean_test(values: Floats, *, null: float = 0.0, confidence: float = CONFIDENCE) -> MeanTest:
    """One-sample t test of values (n,); NaN is left out and not counted in `used`."""
    raise NotImplementedError


def mean_equivalence(test: MeanTest, *, margin: float, alpha: float = ALPHA) -> MeanEquivalence:
    """Two one-sided t tests of a mean: `two_way_mean(...).test`, `.nonnegative`, `reader_mean`, `case_mean`."""
    raise NotImplementedError
