"""Ratings in ordered categories by a cumulative logit model with random readers, cases and images.

fitted = fit_mixed_ordinal(
    ratings=rating, categories=(1, 2, 3, 4), groups=source, reference="real",
    readers=reader, cases=quartet, images=image,
)
fitted.effects["s1"].value, fitted.sds["reader"], fitted.converged, fitted.reason
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cspine_bench.metrics.category_weights import check_categories, check_ratings
from cspine_bench.metrics.crossed_effects import Codes, Floats
from cspine_bench.metrics.crossed_fit import (
    CrossedFit,
    drop_empty_factors,
    find_separation,
    fit_crossed,
    name_unbounded,
)
from cspine_bench.metrics.intervals import CONFIDENCE, normal_interval


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
        gradient: largest slope of the log likelihood left, in any parameter.
        ratings: that took part; those that are NaN do not.
        readers: that took part.
        cases: that took part.
        images: that took part.
        reason: why something above is None, or why it did not converge; empty otherwise.
        note: of a second top of the approximate likelihood at larger spreads, which is not the one given; else empty.
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
    note: str = ""


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

    Source: Agresti 2010, Analysis of Ordinal Categorical Data, 2nd edition, chapter 10; as in R's ordinal::clmm
    (Christensen 2019), with the observed Hessian in all parameters at once for the standard errors.
    """
    values = np.asarray(ratings, np.float64)
    labels = {name: np.asarray(part) for name, part in (("reader", readers), ("case", cases), ("image", images))}
    sources = np.asarray(groups).astype(str)
    shapes = [values.shape, sources.shape, *(part.shape for part in labels.values())]
    if values.ndim != 1 or len(set(shapes)) != 1:
        raise ValueError(f"ratings, groups, readers, cases and images must be of one shape (n,), got {shapes}")
    if len(sources) and reference not in sources:
        raise ValueError(f"the reference {reference!r} is none of the groups {np.unique(sources).tolist()}")
    allowed = check_categories(categories)
    check_ratings(values, allowed)
    there = ~np.isnan(values)
    rated = _number_ratings(
        values[there], allowed, sources[there], reference, {name: part[there] for name, part in labels.items()}
    )
    missing = tuple(
        f"{name}: none of its images was rated" for name in np.unique(sources) if name not in sources[there]
    )
    reason = _find_obstacle(rated, reference, missing)
    if reason:
        return _describe(rated, None, {}, missing, reason, confidence)
    kept, left_out = drop_empty_factors(rated.codes)
    factors = list(kept.values()) or [np.zeros(len(rated.levels), np.int64)]
    fit = fit_crossed(
        levels=rated.levels, design=rated.design, factors=factors, fixed_at_zero=[not kept] * len(factors)
    )
    if fit.unbounded:
        return _describe(rated, None, kept, missing + left_out, name_unbounded(fit, kept), confidence)
    return _describe(rated, fit, kept, missing + left_out, fit.reason, confidence)


@dataclass(frozen=True)
class _Rated:
    """What was rated, in whole numbers."""

    used: tuple[float, ...]
    unused: tuple[float, ...]
    names: tuple[str, ...]
    levels: Codes
    design: Floats
    codes: Mapping[str, Codes]


def _number_ratings(
    values: Floats, allowed: Floats, sources: NDArray[np.str_], reference: str, labels: Mapping[str, NDArray[Any]]
) -> _Rated:
    used, levels = np.unique(values, return_inverse=True)
    names = [str(name) for name in np.unique(sources) if name != reference]
    return _Rated(
        used=tuple(used.tolist()),
        unused=tuple(float(value) for value in allowed if value not in used),
        names=tuple(names),
        levels=levels.astype(np.int64),
        design=(sources[:, None] == np.array(names, dtype=sources.dtype)).astype(np.float64),
        codes={name: np.unique(part, return_inverse=True)[1].astype(np.int64) for name, part in labels.items()},
    )


def _find_obstacle(rated: _Rated, reference: str, missing: tuple[str, ...]) -> str:
    """Why there is no maximum; empty where there is one."""
    if not rated.used:
        return "there is no rating"
    if len(rated.used) == 1:
        return f"no rating but {rated.used[0]:g} (there are {len(rated.levels)}), which shows no boundary"
    if any(part.startswith(f"{reference}:") for part in missing):
        return f"no image of the reference {reference} was rated"
    if not find_separation(levels=rated.levels, design=rated.design):
        return ""
    members = {reference: rated.design.sum(axis=1) == 0}
    members |= {name: rated.design[:, place] == 1 for place, name in enumerate(rated.names)}
    for name, rows in members.items():
        for end in (0, len(rated.used) - 1):
            if (rated.levels[rows] == end).all():
                return (
                    f"no rating of {name} but {rated.used[end]:g}, an end of what was used: no finite effect fits that"
                )
    return "the groups' ratings do not overlap, so that no finite effect fits"


def _describe(
    rated: _Rated,
    fit: CrossedFit | None,
    kept: Mapping[str, Codes],
    left_out: tuple[str, ...],
    reason: str,
    confidence: float,
) -> MixedOrdinal:
    counts = {f"{name}s": int(codes.max(initial=-1)) + 1 for name, codes in rated.codes.items()}
    effects = None
    if fit is not None:
        errors: list[float | None] = [None] * len(rated.names)
        if fit.covariance is not None:
            variances = np.diag(fit.covariance)[len(fit.thresholds) :]
            errors = np.sqrt(variances[: len(rated.names)]).tolist()
        effects = {
            name: _describe_effect(value, error, confidence)
            for name, value, error in zip(rated.names, fit.effects.tolist(), errors, strict=True)
        }
    sds = None if fit is None else dict(zip(kept, fit.sds.tolist(), strict=False))
    return MixedOrdinal(
        thresholds=None if fit is None else tuple(fit.thresholds.tolist()),
        categories=rated.used,
        unused=rated.unused,
        effects=effects,
        sds=sds,
        log_likelihood=None if fit is None else fit.log_likelihood,
        singular=tuple(name for name, value in (sds or {}).items() if value == 0),
        left_out=left_out,
        converged=fit is not None and fit.converged,
        gradient=None if fit is None else fit.slope,
        ratings=len(rated.levels),
        readers=counts["readers"],
        cases=counts["cases"],
        images=counts["images"],
        reason=reason,
        note="" if fit is None else fit.note,
    )


def _describe_effect(value: float, error: float | None, confidence: float) -> GroupEffect:
    if error is None:
        return GroupEffect(value, None, None, None, None)
    around = normal_interval(value=value, standard_error=error, confidence=confidence)
    return GroupEffect(value, error, around.low, around.high, float(2 * stats.norm.sf(abs(value) / error)))
