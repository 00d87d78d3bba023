"""Ratings as a detector: how often readers rate a real image above a synthetic one, for other readers and images."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.intervals import CONFIDENCE

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ReaderAuc:
    """Mean over readers of the area under each one's ROC curve.

    Attributes:
        auc: the mean; 0.5: ratings do not tell; None: no reader has both kinds.
        per_reader: of each reader, in the order given; None: without ratings of both kinds.
        var_u: unbiased variance of the mean over readers and images (U-statistic).
        msr: variance between readers' areas.
        cov2: covariance of two readers' areas through the images.
        var_or: msr / readers + max(cov2, 0), which test and interval use.
        df: degrees of freedom after Hillis.
        p_two: against 0.5, two-sided.
        p_greater: against 0.5, of so large an area.
        low: end of the interval, not cut at 0.
        high: likewise, not cut at 1.
        confidence: of the interval.
        readers: with an area.
        ratings: used.
        ratings_missing: of readers x images.
        reason: why something is None; "" otherwise.
    """

    auc: float | None
    per_reader: tuple[float | None, ...]
    var_u: float | None
    msr: float | None
    cov2: float | None
    var_or: float | None
    df: float | None
    p_two: float | None
    p_greater: float | None
    low: float | None
    high: float | None
    confidence: float
    readers: int
    ratings: int
    ratings_missing: int
    reason: str = ""


def reader_auc(*, real: Floats, synthetic: Floats, confidence: float = CONFIDENCE) -> ReaderAuc:
    """Ratings (readers, real images) and (readers, synthetic images), higher: more real; NaN: missing."""
    raise NotImplementedError
