"""A mean over readers and cases, for other readers and other cases; also where cells are missing.

accuracy = two_way_mean(correct, null=0.25)                 (readers, cases), NaN: not answered
accuracy.test.value, accuracy.test.low, accuracy.test.high, accuracy.test.p_greater, accuracy.nonnegative.low
mean_equivalence(accuracy.test, margin=0.1).p
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.intervals import CONFIDENCE
from cspine_bench.metrics.mean_test import NO_VALUES, MeanTest, mean_test, no_mean_test, t_test_of

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TwoWayMean:
    """A mean over readers and cases.

    Attributes:
        test: by Obuchowski, Rockette and Hillis.
        nonnegative: by the rule that takes no variance component as negative, so that its se is never smaller.
        readers: with at least one cell.
        cases: likewise.
        cells: used.
        cells_missing: of readers x cases.
        complete_cases: read by all readers.
        nonnegative_rule: 0: readers and cases vary; 1: readers alone; 2: cases alone. None: not defined.
        msr: variance between readers' means (missing cells: what stands for it).
        cov2: covariance of two readers' means through their cases.
        var_unbiased: msr / readers + cov2, which may be negative.
        var_or: with cov2 no less than 0; test.se squared.
        df_satterthwaite: degrees of freedom of var_unbiased.
        vc_reader: variance between readers; may be negative.
        vc_case: between cases.
        vc_error: what is left.
        reason: why there is no variance; "" where there is.
    """

    test: MeanTest
    nonnegative: MeanTest
    readers: int
    cases: int
    cells: int
    cells_missing: int
    complete_cases: int
    nonnegative_rule: int | None = None
    msr: float | None = None
    cov2: float | None = None
    var_unbiased: float | None = None
    var_or: float | None = None
    df_satterthwaite: float | None = None
    vc_reader: float | None = None
    vc_case: float | None = None
    vc_error: float | None = None
    reason: str = ""


def two_way_mean(values: Floats, *, null: float = 0.0, confidence: float = CONFIDENCE) -> TwoWayMean:
    """Mean over readers and cases, with test and interval for other readers on other cases.

    Complete, it is the mean of Obuchowski and Rockette: variance MS(R) / R + max(Cov2, 0), Hillis' degrees of freedom.
    Where cells are missing the mean is that of all cells that are there, and none of them is dropped; its variance is
    that of y = mean + reader + case + error under the cells' pattern, with the components fitted by constants
    (Henderson's third method), which need no normal distribution and are unbiased for any pattern that does not depend
    on the values. Both are one formula; complete cells give the first exactly.

    Args:
        values: float (readers, cases); NaN: missing cell. Readers and cases without a cell are not counted.
        null: what the mean is held against: 1 / panes for right picks, 0 for differences.
        confidence: of the intervals, 0..1.

    Returns:
        Never fails on values: one reader, one case, no spread, or a pattern that does not part readers, cases and
        error leave the mean with the reason why it has no standard error.

    Raises:
        ValueError: not (readers, cases), or infinite values.

    Source: Obuchowski, Rockette 1995, Communications in Statistics B 24, 285-308; Hillis 2007, Statistics in Medicine
    26, 596-619; Henderson 1953, Biometrics 9, 226-252, as in Searle, Casella, McCulloch 1992, Variance Components,
    section 5.5; Satterthwaite 1946, Biometrics Bulletin 2, 110-114, with the readers and cases that the cells amount to
    (1 / sum of squared weights) in place of their numbers.
    """
    values = _take_cells(values)
    present = ~np.isnan(values)
    values = values[present.any(axis=1)][:, present.any(axis=0)]
    present = ~np.isnan(values)
    counts = {
        "readers": values.shape[0],
        "cases": values.shape[1],
        "cells": int(present.sum()),
        "cells_missing": int((~present).sum()),
        "complete_cases": int(present.all(axis=0).sum()) if present.size else 0,
    }
    mean = float(values[present].mean()) if present.any() else None
    found = _fit_components(values, present)
    if isinstance(found, str):
        none = no_mean_test(mean=mean, null=null, confidence=confidence, used=counts["cells"], reason=found)
        return TwoWayMean(test=none, nonnegative=none, **counts, reason=found)
    reader, case, error, error_df = found
    cells = counts["cells"]
    # Weights of readers, cases and cells in the variance of the mean: 1 / R, 1 / C and 1 / (R C) where complete.
    reader_weight = float((present.sum(axis=1) ** 2).sum()) / cells**2
    case_weight = float((present.sum(axis=0) ** 2).sum()) / cells**2
    reader_df, case_df = 1 / reader_weight - 1, 1 / case_weight - 1
    from_error = error / cells
    from_readers = max(reader * reader_weight + from_error, 0.0)
    from_cases = max(case * case_weight + from_error, 0.0)
    cov2 = case * case_weight
    var_or = from_readers + max(cov2, 0.0)
    both = reader * reader_weight + case * case_weight + from_error
    satterthwaite = _divide(both**2, from_readers**2 / reader_df + from_cases**2 / case_df + from_error**2 / error_df)
    choices = ((both, satterthwaite), (from_readers, reader_df), (from_cases, case_df))
    rule = max(range(3), key=lambda number: choices[number][0])
    hillis = _divide(var_or**2, from_readers**2 / reader_df)
    size: dict[str, Any] = {
        "mean": mean,
        "null": null,
        "confidence": confidence,
        "used": cells,
        "scale": float(np.nanmax(abs(values))),
    }
    return TwoWayMean(
        test=t_test_of(variance=var_or, df=hillis, **size),
        nonnegative=t_test_of(variance=choices[rule][0], df=choices[rule][1], **size),
        nonnegative_rule=rule,
        msr=from_readers / reader_weight,
        cov2=cov2,
        var_unbiased=both,
        var_or=var_or,
        df_satterthwaite=satterthwaite,
        vc_reader=reader,
        vc_case=case,
        vc_error=error,
        **counts,
    )


def reader_mean(values: Floats, *, null: float = 0.0, confidence: float = CONFIDENCE) -> MeanTest:
    """Mean of the readers' means by one-sample t: for other readers, on these cases.

    Args:
        values: float (readers, cases); NaN: missing cell. Each reader counts once, by its mean over cells.
        null: what the mean is held against.
        confidence: of the interval, 0..1.

    Raises:
        ValueError: not (readers, cases), or infinite values.

    Source: Student's t; its chance of error holds only if cases do not differ.
    """
    return mean_test(_mean_rows(_take_cells(values)), null=null, confidence=confidence)


def case_mean(values: Floats, *, null: float = 0.0, confidence: float = CONFIDENCE) -> MeanTest:
    """Mean of the cases' means by one-sample t: for other cases, with these readers.

    Args:
        values: float (readers, cases); NaN: missing cell. Each case counts once, by its mean over cells.
        null: what the mean is held against.
        confidence: of the interval, 0..1.

    Raises:
        ValueError: not (readers, cases), or infinite values.

    Source: Student's t; its chance of error holds only if readers do not differ.
    """
    return mean_test(_mean_rows(_take_cells(values).T), null=null, confidence=confidence)


def _take_cells(values: Floats) -> Floats:
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or np.isinf(values).any():
        raise ValueError(f"needs finite values (readers, cases) or NaN, got shape {values.shape}")
    return values


def _mean_rows(values: Floats) -> Floats:
    """Mean of each row over its cells; rows without one are NaN."""
    present = ~np.isnan(values)
    counts = present.sum(axis=1)
    sums = np.where(present, values, 0.0).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _fit_components(values: Floats, present: NDArray[np.bool_]) -> tuple[float, float, float, int] | str:
    """Variance between readers, between cases, and of error with its degrees of freedom; or why they are not known."""
    if not present.any():
        return NO_VALUES
    num_readers, num_cases = values.shape
    if num_readers < 2:
        return "one reader: how readers differ is not known"
    if num_cases < 2:
        return "one case: how cases differ is not known"
    cells = present.astype(np.float64)
    per_reader, per_case, total = cells.sum(axis=1), cells.sum(axis=0), int(cells.sum())
    # Around the mean, so that squares of a large offset do not swallow small differences.
    centred = np.where(present, values - values[present].mean(), 0.0)
    sum_reader, sum_case = centred.sum(axis=1), centred.sum(axis=0)
    # Readers after cases are taken out: their normal equations.
    normal = np.diag(per_reader) - (cells / per_case) @ cells.T
    right = sum_reader - cells @ (sum_case / per_case)
    solution, _, rank, _ = np.linalg.lstsq(normal, right, rcond=1e-10)
    # Each connected part of the readers x cases table takes away one.
    parts = num_readers - int(rank)
    error_df = total - num_readers - num_cases + parts
    if rank == 0 or num_cases - parts == 0 or error_df <= 0:
        return "too few cases were read by several readers to part how readers, cases and single answers differ"
    readers_after_cases = float(right @ solution)
    cases_alone, readers_alone = float(sum_case**2 @ (1 / per_case)), float(sum_reader**2 @ (1 / per_reader))
    cases_after_readers = readers_after_cases + cases_alone - readers_alone
    error = max(float((centred**2).sum()) - cases_alone - readers_after_cases, 0.0) / error_df
    reader = (readers_after_cases - int(rank) * error) / (total - num_cases)
    case = (cases_after_readers - (num_cases - parts) * error) / (total - num_readers)
    return reader, case, error, error_df


def _divide(square: float, by: float) -> float:
    """Degrees of freedom; endless where the part that is estimated with few of them is nil."""
    return square / by if by > 0 else math.inf
