"""Do readers choose alike? Agreement beyond chance of several raters on categories, with missing ratings allowed.

agreed = fleiss_kappa(ratings=picks, categories=(0, 1, 2, 3))
agreed.value, agreed.low, agreed.high, agreed.reason

Two standard errors are not one: `fleiss_kappa_null` asks whether there is any agreement beyond chance, and its standard
error holds only if there is none; the intervals of all others hold at whatever agreement there is. They are over
subjects: the raters are these raters. `leave_out_raters` tells how much hangs on each of them.

A coefficient that chance alone makes 0 / 0, as where everyone always chose the same category, is not defined: its value
is None, and `reason` says why.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.intervals import CONFIDENCE

Floats = NDArray[np.float64]
Weighting = Literal["identity", "linear", "quadratic", "ordinal"]
Level = Literal["nominal", "ordinal", "interval"]


@dataclass(frozen=True)
class Agreement:
    """Agreement beyond chance, 1 being perfect and 0 what chance gives; below 0 is less than chance.

    Attributes:
        value: (observed - chance) / (1 - chance); None: not defined.
        standard_error: over subjects; None: not defined, as of one subject.
        low: lower end of the interval of Student's t, one degree of freedom less than subjects; None likewise.
        high: upper end, at most 1.
        p_value: two-sided, of value 0 at this standard error; None likewise, or where the standard error is 0.
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
        ratings: float (subjects, raters), each one of the categories; NaN: not rated. Rows without a rating are left out.
        categories: all that could be chosen, rising, at least 2, whether or not anyone chose them.
        weighting: how near two categories are: "identity" for names without order; see `weigh_categories`.
        confidence: of the interval, 0..1.

    Raises:
        ValueError: not two-dimensional, or a rating that is no category.

    Source: Fleiss 1971, Psychological Bulletin 76, 378-382; missing ratings, weights and variance after Gwet 2014,
    Handbook of Inter-Rater Reliability, 4th edition, chapters 2, 3 and 5, as in R's irrCAC.
    """
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


def fleiss_kappa_null(*, ratings: NDArray[np.floating], categories: Sequence[float]) -> NullAgreement:
    """Fleiss' kappa with the standard error that it has if nobody agrees beyond chance, and the test of that.

    Args and errors: as `fleiss_kappa`.
    """
    raise NotImplementedError


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
    raise NotImplementedError
