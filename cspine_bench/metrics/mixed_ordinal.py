"""Ratings in ordered categories by a cumulative logit model with random readers, cases and images.

fitted = fit_mixed_ordinal(
    ratings=rating, categories=(1, 2, 3, 4), groups=source, reference="real", readers=reader, cases=quartet, images=image
)
fitted.effects["s1"].value, fitted.sds["reader"], fitted.converged, fitted.reason
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.intervals import CONFIDENCE


@dataclass(frozen=True)
class GroupEffect:
    """Of a group against the reference, on the logit scale; above 0: rated higher.

    Attributes:
        value: log odds ratio of a rating above any boundary.
        standard_error: from the Hessian in all parameters; None where that is not definite.
        low: of the normal interval; None likewise.
        high: likewise.
        p_value: two-sided, normal, of no effect; None likewise.
    """

    value: float
    standard_error: float | None
    low: float | None
    high: float | None
    p_value: float | None


@dataclass(frozen=True)
class MixedOrdinal:
    """Fitted by maximum likelihood, Laplace approximation: P(rating <= k) = expit(threshold_k - effect - random).

    Attributes:
        thresholds: between neighbours of the categories that were used, rising; None: not defined.
        categories: those that were used, one more than thresholds.
        unused: categories that nobody used; no threshold beside them can be estimated.
        effects: per group but the reference, in the order in which groups sort; None: not defined.
        sds: standard deviation of "reader", "case", "image" on the logit scale, those in the model; None likewise.
        log_likelihood: at the maximum.
        singular: those of `sds` that are 0, which is common with few readers, and no fault.
        left_out: what could not be in the model, with the reason.
        converged: whether the maximum was found.
        gradient: largest slope left, in units of log likelihood; at a standard deviation of 0 that of the variance.
        ratings: that took part; those that are NaN do not.
        readers: that took part.
        cases: that took part.
        images: that took part.
        reason: why something above is None, or why it did not converge; empty otherwise.
    """

    thresholds: tuple[float, ...] | None
    categories: tuple[float, ...]
    unused: tuple[float, ...]
    effects: Mapping[str, GroupEffect] | None
    sds: Mapping[str, float] | None
    log_likelihood: float | None
    singular: tuple[str, ...]
    left_out: tuple[str, ...]
    converged: bool
    gradient: float | None
    ratings: int
    readers: int
    cases: int
    images: int
    reason: str = ""


def fit_mixed_ordinal(
    *,
    ratings: NDArray[np.floating],
    categories: Sequence[float],
    groups: NDArray[Any],
    reference: str,
    readers: NDArray[Any],
    cases: NDArray[Any],
    images: NDArray[Any],
    confidence: float = CONFIDENCE,
) -> MixedOrdinal:
    """Cumulative logit model of ratings with random intercepts of readers, cases and images, in any incomplete design.

    Args:
        ratings: float (n,), each one of the categories; NaN: not rated, left out.
        categories: all that could be chosen, rising, at least 2.
        groups: str (n,), source of the image rated.
        reference: the group that others are held against.
        readers: (n,), label of the reader.
        cases: (n,), label of the case.
        images: (n,), label of the image, unique over cases.
        confidence: of the intervals, 0..1.

    Raises:
        ValueError: shapes differ, a rating that is no category, or a reference that is no group.
    """
    raise NotImplementedError
