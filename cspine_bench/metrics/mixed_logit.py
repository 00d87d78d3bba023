"""Share of correct answers from a logit model with crossed random readers and cases.

fitted = fit_mixed_logit(correct=correct, readers=reader, cases=quartet)
fitted.probability, fitted.sd_reader, fitted.sd_case, fitted.singular, fitted.converged, fitted.reason

The intercept belongs to an average reader and an average case; the probability is over all of them, and is what
compares with a share of answers.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit, logit

from cspine_bench.metrics.crossed_effects import Codes, Floats
from cspine_bench.metrics.crossed_fit import CrossedFit, drop_empty_factors, fit_crossed, name_unbounded
from cspine_bench.metrics.intervals import CONFIDENCE, Estimate, normal_interval


@dataclass(frozen=True)
class MixedLogit:
    """Fitted by maximum likelihood, Laplace approximation.

    Attributes:
        intercept: logit of a correct answer, of a reader and a case in the middle; None: not defined.
        standard_error: of the intercept, from the Hessian in all parameters; None where that is not definite.
        sd_reader: standard deviation of readers on the logit scale; None: not in the model, see `left_out`.
        sd_case: likewise of cases.
        log_likelihood: at the maximum.
        probability: of a correct answer over readers and cases, with its interval (delta method on its logit).
        logit_probability: logit of the former.
        logit_standard_error: of the latter.
        singular: "reader" and "case", those whose standard deviation is 0: as little spread as chance gives, which is
            common with few readers, and no fault.
        left_out: what could not be in the model, with the reason.
        converged: whether the maximum was found.
        gradient: largest slope of the log likelihood left, in any parameter.
        trials: that took part; answers that are NaN do not.
        readers: that took part.
        cases: that took part.
        reason: why something above is None, or why it did not converge; empty otherwise.
        note: of a second top of the approximate likelihood at larger spreads, which is not the one given; else empty.
    """

    intercept: float | None
    standard_error: float | None
    sd_reader: float | None
    sd_case: float | None
    log_likelihood: float | None
    probability: Estimate | None
    logit_probability: float | None
    logit_standard_error: float | None
    singular: tuple[str, ...]
    left_out: tuple[str, ...]
    converged: bool
    gradient: float | None
    trials: int
    readers: int
    cases: int
    reason: str = ""
    note: str = ""

    def p_above(self, chance: float) -> float | None:
        """One-sided p value of a probability no larger than chance, normal on the logit scale; None: not defined.

        With few readers it is too small rather than too large: the normal takes their spread for known.

        Args:
            chance: between 0 and 1.

        Raises:
            ValueError: chance is not between 0 and 1.
        """
        if not 0 < chance < 1:
            raise ValueError(f"chance must lie between 0 and 1, got {chance}")
        if self.logit_probability is None or not self.logit_standard_error:
            return None
        return float(stats.norm.sf((self.logit_probability - float(logit(chance))) / self.logit_standard_error))


def fit_mixed_logit(
    *, correct: NDArray[np.floating], readers: NDArray[Any], cases: NDArray[Any], confidence: float = CONFIDENCE
) -> MixedLogit:
    """Logit model of correct answers with random intercepts of readers and cases, in any incomplete design.

    Args:
        correct: float (trials,), 0 or 1; NaN: no answer, left out.
        readers: (trials,), label of the reader of each.
        cases: (trials,), label of the case of each.
        confidence: of the interval, 0..1.

    Raises:
        ValueError: shapes differ, or an answer that is neither 0 nor 1.

    Source: Laplace approximation as in R's lme4 (Bates, Maechler, Bolker, Walker 2015, Journal of Statistical Software
    67(1)), with the observed Hessian in all parameters at once for the standard errors.
    """
    answers = np.asarray(correct, np.float64)
    labels = (np.asarray(readers), np.asarray(cases))
    if answers.ndim != 1 or any(part.shape != answers.shape for part in labels):
        shapes = [answers.shape, *(part.shape for part in labels)]
        raise ValueError(f"correct, readers and cases must be of one shape (trials,), got {shapes}")
    there = ~np.isnan(answers)
    answers = answers[there]
    if not np.isin(answers, (0, 1)).all():
        raise ValueError(f"an answer must be 0, 1 or NaN, got {sorted(set(answers.tolist()) - {0.0, 1.0})[:5]}")
    codes = [np.unique(part[there], return_inverse=True)[1].astype(np.int64) for part in labels]
    sizes = {name: int(part.max(initial=-1)) + 1 for name, part in zip(("readers", "cases"), codes, strict=True)}
    if not len(answers) or answers.min() == answers.max():
        reason = "there is no answer"
        if len(answers):
            kind = "correct" if answers[0] else "wrong"
            reason = f"no answer but {kind} ones (there are {len(answers)}), so the logit has no finite value"
        return _undefined(reason, len(answers), sizes)
    kept, left_out = drop_empty_factors({"reader": codes[0], "case": codes[1]})
    factors = list(kept.values()) or [np.zeros(len(answers), np.int64)]
    fit = fit_crossed(
        levels=answers.astype(np.int64),
        design=np.zeros((len(answers), 0)),
        factors=factors,
        fixed_at_zero=[not kept] * len(factors),
    )
    if fit.unbounded:
        return _undefined(name_unbounded(fit, kept), len(answers), sizes, left_out)
    return _describe(fit, kept, left_out, len(answers), sizes, confidence)


def _undefined(reason: str, trials: int, sizes: dict[str, int], left_out: tuple[str, ...] = ()) -> MixedLogit:
    return MixedLogit(
        intercept=None,
        standard_error=None,
        sd_reader=None,
        sd_case=None,
        log_likelihood=None,
        probability=None,
        logit_probability=None,
        logit_standard_error=None,
        singular=(),
        left_out=left_out,
        converged=False,
        gradient=None,
        trials=trials,
        readers=sizes["readers"],
        cases=sizes["cases"],
        reason=reason,
    )


def _describe(
    fit: CrossedFit,
    kept: dict[str, Codes],
    left_out: tuple[str, ...],
    trials: int,
    sizes: dict[str, int],
    confidence: float,
) -> MixedLogit:
    intercept = -float(fit.thresholds[0])
    sds = dict(zip(kept, fit.sds.tolist(), strict=False))
    value, slopes = _average_over_normal(intercept, fit.sds)
    error = None
    if fit.covariance is not None:
        # Minus: the model's own parameter is the threshold. A standard deviation of 0 has slope 0, and no variance.
        slopes[0] = -slopes[0]
        free = np.flatnonzero(~np.isnan(np.diag(fit.covariance)))
        spread = float(slopes[free] @ fit.covariance[np.ix_(free, free)] @ slopes[free])
        error = float(np.sqrt(spread)) / (value * (1 - value))
    middle = float(logit(value))
    return MixedLogit(
        intercept=intercept,
        standard_error=None if fit.covariance is None else float(np.sqrt(fit.covariance[0, 0])),
        sd_reader=sds.get("reader"),
        sd_case=sds.get("case"),
        log_likelihood=fit.log_likelihood,
        probability=None if error is None else _transform_interval(middle, error, confidence),
        logit_probability=middle,
        logit_standard_error=error,
        singular=tuple(name for name, value in sds.items() if value == 0),
        left_out=left_out,
        converged=fit.converged,
        gradient=fit.slope,
        trials=trials,
        readers=sizes["readers"],
        cases=sizes["cases"],
        reason=fit.reason,
        note=fit.note,
    )


def _average_over_normal(intercept: float, sds: Floats) -> tuple[float, Floats]:
    """Mean of expit(intercept + normal effects), and its slope in the intercept and each standard deviation."""
    whole = float(np.sqrt(sds @ sds))
    # The trapezoid rule is exact to rounding for smooth integrands that vanish at both ends.
    points = np.linspace(-9, 9, 4001)
    weights = np.exp(-(points**2) / 2)
    weights /= weights.sum()
    chances = expit(intercept + whole * points)
    slopes = weights * chances * (1 - chances)
    by_whole = float(slopes @ points)
    by_sds = by_whole * sds / whole if whole > 0 else np.zeros(len(sds))
    return float(weights @ chances), np.concatenate([[slopes.sum()], by_sds])


def _transform_interval(middle: float, error: float, confidence: float) -> Estimate:
    around = normal_interval(value=middle, standard_error=error, confidence=confidence)
    return Estimate(float(expit(around.value)), float(expit(around.low)), float(expit(around.high)))
