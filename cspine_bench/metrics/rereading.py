"""Does a reader agree with the own earlier reading? Kappa of two readings, and the share of answers that stay.

steady = cohen_kappa(first=rating_1, second=rating_2, categories=(1, 2, 3, 4), weighting="quadratic", clusters=quartet)
steady.value, steady.low, steady.high, steady.reason
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.intervals import CONFIDENCE
from cspine_bench.metrics.rater_agreement import Weighting


@dataclass(frozen=True)
class Kappa:
    """Agreement of two readings beyond chance.

    Attributes:
        value: 1 is perfect, 0 what chance gives; None: not defined.
        standard_error: None: not defined, as of one pair or one cluster.
        low: lower end of the interval, at least -1; None likewise.
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
        weighting: see `metrics.rater_agreement.weigh_categories`.
        clusters: (pairs,), labels of what pairs share, such as the case.
        confidence: of the interval, 0..1.

    Raises:
        ValueError: shapes differ, or a reading that is no category.

    Source: Cohen 1968, Psychological Bulletin 70, 213-220; standard error of independent pairs: Fleiss, Cohen, Everitt
    1969, Psychological Bulletin 72, 323-327; of clusters: Yang, Zhou 2015, Computational Statistics and Data Analysis
    82, 1-18.
    """
    raise NotImplementedError


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
    raise NotImplementedError
