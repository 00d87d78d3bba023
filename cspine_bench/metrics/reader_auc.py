"""Ratings as a detector: how often readers rate a real image above a synthetic one, for other readers and images."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.intervals import CONFIDENCE
from cspine_bench.metrics.mean_test import t_test_of

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ReaderAuc:
    """Mean over readers of the area under each one's ROC curve.

    Attributes:
        auc: the mean; 0.5: ratings do not tell; None: no reader has both kinds.
        per_reader: of each reader, in the order given; None: without ratings of both kinds.
        confidence: of the interval.
        readers: with an area.
        ratings: used.
        ratings_missing: of readers x images.
        var_u: unbiased variance of the mean over readers and images (U-statistic).
        msr: variance between readers' areas.
        cov2: covariance of two readers' areas through the images.
        var_or: msr / readers + max(cov2, 0), which test and interval use.
        df: degrees of freedom after Hillis.
        p_two: against 0.5, two-sided.
        p_greater: against 0.5, of so large an area.
        low: end of the interval, not cut at 0.
        high: likewise, not cut at 1.
        reason: why something is None; "" otherwise.
    """

    auc: float | None
    per_reader: tuple[float | None, ...]
    confidence: float
    readers: int
    ratings: int
    ratings_missing: int
    var_u: float | None = None
    msr: float | None = None
    cov2: float | None = None
    var_or: float | None = None
    df: float | None = None
    p_two: float | None = None
    p_greater: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""


def reader_auc(*, real: Floats, synthetic: Floats, confidence: float = CONFIDENCE) -> ReaderAuc:
    """Mean over readers of the chance that a real image is rated above a synthetic one (ties: one half).

    Each reader's area is that of all pairs of a real and a synthetic image that this reader rated; readers count alike,
    whatever they left out. `var_u` is unbiased for any pattern of missing ratings that does not depend on the ratings.
    MS(R) / R + Cov2 holds for readers of unequal precision too; Cov2 comes from the images that two readers share.

    Args:
        real: float (readers, real images), higher: more real; NaN: missing.
        synthetic: float (readers, synthetic images); NaN: missing.
        confidence: of the interval, 0..1.

    Returns:
        With the interval by Student's t, and the reason where something is not defined: one reader, fewer than two
        images of a kind, ratings that are all the same.

    Raises:
        ValueError: shapes do not fit, or infinite ratings.

    Source: areas, structural components and covariances: DeLong, DeLong, Clarke-Pearson 1988, Biometrics 44, 837-845;
    test: Obuchowski, Rockette 1995, Communications in Statistics B 24, 285-308, degrees of freedom: Hillis 2007,
    Statistics in Medicine 26, 596-619; `var_u`: Gallas 2006, Academic Radiology 13, 353-362, for any pattern of missing
    ratings Gallas, Brown 2008, Neural Networks 21, 387-397, with the moments taken around 1/2.
    """
    real, synthetic = np.asarray(real, np.float64), np.asarray(synthetic, np.float64)
    if real.ndim != 2 or synthetic.ndim != 2 or len(real) != len(synthetic):
        raise ValueError(f"needs (readers, images) of the same readers, got {real.shape} and {synthetic.shape}")
    if np.isinf(real).any() or np.isinf(synthetic).any():
        raise ValueError("ratings must be finite or NaN")
    rated_real, rated_synthetic = ~np.isnan(real), ~np.isnan(synthetic)
    with_area = np.logical_and(rated_real.any(axis=1), rated_synthetic.any(axis=1))
    every = [
        _area(mine, its) if ok else None for mine, its, ok in zip(real, synthetic, with_area.tolist(), strict=True)
    ]
    areas = np.array([area for area in every if area is not None])
    ratings = int(rated_real.sum() + rated_synthetic.sum())
    known: dict[str, Any] = {
        "per_reader": tuple(every),
        "confidence": confidence,
        "readers": len(areas),
        "ratings": ratings,
        "ratings_missing": real.size + synthetic.size - ratings,
    }
    if len(areas) == 0:
        return ReaderAuc(**known, auc=None, reason="no reader rated both real and synthetic images")
    auc = float(areas.mean())
    if len(areas) < 2:
        return ReaderAuc(**known, auc=auc, reason="one reader: how readers differ is not known")
    real, synthetic = real[with_area], synthetic[with_area]
    var_u = _unbiased_variance(real, synthetic)
    cov2 = _mean_covariance(real, synthetic)
    if cov2 is None:
        reason = "readers share too few images of either kind to say how their areas vary together"
        return ReaderAuc(**known, var_u=var_u, auc=auc, reason=reason)
    msr = float(areas.var(ddof=1))
    var_or = msr / len(areas) + max(cov2, 0.0)
    from_readers = (msr / len(areas)) ** 2 / (len(areas) - 1)
    df = var_or**2 / from_readers if from_readers > 0 else math.inf
    test = t_test_of(mean=auc, variance=var_or, df=df, null=0.5, confidence=confidence, used=ratings)
    return ReaderAuc(
        **known,
        auc=auc,
        var_u=var_u,
        msr=msr,
        cov2=cov2,
        var_or=var_or,
        df=test.df,
        p_two=test.p_two,
        p_greater=test.p_greater,
        low=test.low,
        high=test.high,
        reason=test.reason,
    )


def _area(real: Floats, synthetic: Floats) -> float:
    return float(_wins(real[~np.isnan(real)], synthetic[~np.isnan(synthetic)]).mean())


def _wins(real: Floats, synthetic: Floats) -> Floats:
    """(real images, synthetic images): 1 where the real one is rated higher, 1/2 where alike; NaN counts 0."""
    return np.asarray((real[:, None] > synthetic) + 0.5 * (real[:, None] == synthetic), np.float64)


def _mean_covariance(real: Floats, synthetic: Floats) -> float | None:
    """Mean over pairs of readers of the covariance of their areas through the images that both rated."""
    from_real, from_synthetic = [], []
    for mine, its in zip(real, synthetic, strict=True):
        wins = _wins(mine, its)
        ok_mine, ok_its = ~np.isnan(mine), ~np.isnan(its)
        from_real.append(np.where(ok_mine, wins[:, ok_its].mean(axis=1), np.nan))
        from_synthetic.append(np.where(ok_its, wins[ok_mine].mean(axis=0), np.nan))
    found = []
    for first, second in itertools.combinations(range(len(real)), 2):
        through_real = _covariance(from_real[first], from_real[second])
        through_synthetic = _covariance(from_synthetic[first], from_synthetic[second])
        if through_real is not None and through_synthetic is not None:
            found.append(through_real + through_synthetic)
    return float(np.mean(found)) if found else None


def _covariance(first: Floats, second: Floats) -> float | None:
    """Of two means, over what each has, through what both have: 0 where that is nothing; None: one, without spread."""
    has_first, has_second = ~np.isnan(first), ~np.isnan(second)
    both = has_first & has_second
    count = int(both.sum())
    if count < 2:
        return None if count else 0.0
    spread = float(np.cov(first[both], second[both])[0, 1])
    return spread * count / (int(has_first.sum()) * int(has_second.sum()))


def _unbiased_variance(real: Floats, synthetic: Floats) -> float | None:
    """Of the readers' mean area: moments of two wins by what they have in common, weighted as the mean does."""
    scores, design, weights = _CommonSums(), _CommonSums(), _CommonSums()
    for mine, its in zip(real, synthetic, strict=True):
        rated = np.outer(~np.isnan(mine), ~np.isnan(its)).astype(np.float64)
        scores.add(rated * (_wins(mine, its) - 0.5))
        design.add(rated)
        weights.add(rated / rated.sum() / len(real))
    pairs = design.exact()
    # Counts, but for rounding; what no two wins have in common has no weight either.
    moments = np.where(pairs > 0.5, scores.exact() / np.maximum(pairs, 1), 0.0)
    return float(weights.exact() @ moments - moments[0]) if pairs[0] > 0.5 else None


class _CommonSums:
    """Sums of products of two entries of a (readers, real, synthetic) table, by which of the three they share."""

    def __init__(self) -> None:
        self._over_readers: Floats | float = 0.0
        self._same_reader = np.zeros(4)

    def add(self, table: Floats) -> None:
        """The next reader's (real, synthetic) entries, 0 where there is none."""
        self._over_readers = self._over_readers + table
        self._same_reader += _square_sums(table)

    def exact(self) -> Floats:
        """float64 (8,), that share nothing, synthetic, real, both; then the same with the reader too."""
        sums = np.concatenate([_square_sums(np.asarray(self._over_readers)), self._same_reader])
        # Sums with "at least" in common so far; what shares more is taken out, one of the three at a time.
        for bit in (1, 2, 4):
            for place in range(8):
                if not place & bit:
                    sums[place] -= sums[place | bit]
        return sums


def _square_sums(table: Floats) -> Floats:
    """Squares of the total, of the columns' sums, of the rows' sums, and of the entries, each added up."""
    sums = (table.sum(), table.sum(axis=0), table.sum(axis=1), table)
    return np.array([float(np.sum(np.square(part))) for part in sums])
