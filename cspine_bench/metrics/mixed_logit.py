"""Share of correct answers from a logit model with crossed random readers and cases.

fitted = fit_mixed_logit(correct=correct, readers=reader, cases=quartet)
fitted.probability, fitted.sd_reader, fitted.sd_case, fitted.singular, fitted.converged, fitted.reason

The intercept belongs to an average reader and an average case; the probability is over all of them, and is what compares
with a share of answers.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.intervals import CONFIDENCE, Estimate


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
        gradient: largest slope left, in units of log likelihood; at a standard deviation of 0 that of the variance.
        trials: that took part; answers that are NaN do not.
        readers: that took part.
        cases: that took part.
        reason: why something above is None, or why it did not converge; empty otherwise.
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

    def p_above(self, chance: float) -> float | None:
        """One-sided p value of a probability no larger than chance, normal on the logit scale; None: not defined."""
        raise NotImplementedError


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
    """
    raise NotImplementedError
