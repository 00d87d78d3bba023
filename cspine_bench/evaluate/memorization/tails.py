"""How far beyond the films held out an honest image can be: a tail fitted to their scores, and whether it fits.

A conformal p value never lies below 1 / (h + 1), which among 20,000 images finds nothing. To say more, the scores of
the most suspicious films held out are taken for the beginning of a tail, and the tail is drawn out. That is a model:
its p values are extrapolated, and are named so.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

LEAST_EXCEEDANCES: Final = 20
_TAIL_SHARE: Final = 0.1
# The scores that a tail begins with: at least LEAST_EXCEEDANCES, so more than the share where few were held out.
_LARGEST_SHARE: Final = 0.25
LEAST_SCORES: Final = round(LEAST_EXCEEDANCES / _LARGEST_SHARE)
# Shapes from the exponential tail to one whose variance is not finite. The nearest of very many is close to having an
# exponential tail, so before any score is seen a shape is half-normal about 0. Scales are about the mean excess.
_SHAPES: Final = np.linspace(0, 0.5, 51)
_LOG_PRIOR: Final = -0.5 * (_SHAPES / 0.1) ** 2
_SCALES: Final = np.exp(np.linspace(np.log(0.2), np.log(5), 81))


@dataclass(frozen=True)
class Tail:
    """Generalised Pareto tail above a threshold, as a mixture over the shapes and scales that the scores allow.

    Attributes:
        ordered: float64 (h,), all scores, rising: below the threshold they speak for themselves.
        threshold: score at which the tail begins.
        share: of the scores above it.
        num_exceedances: scores above it.
        shape: mean of the mixture; 0 is an exponential tail, and never less is allowed.
        weights: float64 (shapes, scales), of the mixture; sum 1.
        mean_excess: unit of the scales.
        goodness_p: chance of a fit as bad as this on scores that were not fitted, were the model right; nan where
            there are too few to tell.
    """

    ordered: Floats
    threshold: float
    share: float
    num_exceedances: int
    shape: float
    weights: Floats
    mean_excess: float
    goodness_p: float

    def compute_p_values(self, scores: NDArray[Any]) -> Floats:
        """Chance that an honest image scores so high or higher: by rank below the threshold, by the model above."""
        values = np.asarray(scores, np.float64)
        h = len(self.ordered)
        by_rank = (1.0 + h - np.searchsorted(self.ordered, values, side="left")) / (1.0 + h)
        excess = np.maximum(values - self.threshold, 0)
        share = (1 + self.num_exceedances) / (1 + h)
        by_model = share * _mix_survival(excess / self.mean_excess, self.weights)
        return np.asarray(np.where(values > self.threshold, np.minimum(by_model, share), by_rank))


def fit_tail(scores: NDArray[Any]) -> Tail | None:
    """Fit the tail of the scores of honest images; high scores are suspicious.

    Shape and scale are not fixed at their likeliest values: p values average over all that the scores allow, by their
    likelihood (beforehand a shape is half-normal about 0 with a deviation of 0.1, and a scale uniform on a log scale),
    so few scores give a heavier tail. Tails lighter than exponential are not allowed, whatever the scores say.

    Args:
        scores: float (h,), of films held out.

    Returns:
        None where there are fewer than 80 scores, or all of the tail is one value: nothing is extrapolated then.

    Raises:
        ValueError: not (h,), or not finite.

    Source: Pickands 1975, Annals of Statistics 3, 119-131, for the tail; its predictive distribution as in Coles 2001,
    An Introduction to Statistical Modeling of Extreme Values, section 9.1.3.
    """
    if scores.ndim != 1 or not np.isfinite(scores).all():
        raise ValueError(f"scores must be (h,) and finite, got shape {scores.shape}")
    ordered = np.sort(scores.astype(np.float64))
    if len(ordered) < LEAST_SCORES:
        return None
    fitted = _fit(ordered)
    if fitted is None:
        return None
    threshold, count, weights, unit = fitted
    return Tail(
        ordered=ordered,
        threshold=threshold,
        share=count / len(ordered),
        num_exceedances=count,
        shape=float(weights.sum(axis=1) @ _SHAPES),
        weights=weights,
        mean_excess=unit,
        goodness_p=_check_halves(scores.astype(np.float64)),
    )


def _fit(ordered: Floats) -> tuple[float, int, Floats, float] | None:
    count = max(round(_TAIL_SHARE * len(ordered)), min(LEAST_EXCEEDANCES, round(_LARGEST_SHARE * len(ordered))))
    threshold = float(ordered[-count - 1])
    excess = ordered[ordered > threshold] - threshold
    if len(excess) < count / 2 or excess.max() <= 0:
        return None
    unit = float(excess.mean())
    log_density = _log_density(excess / unit)
    weights = np.exp(log_density - log_density.max())
    return threshold, len(excess), weights / weights.sum(), unit


def _log_density(excess: Floats) -> Floats:
    """Log of prior and likelihood of each (shape, scale)."""
    scaled = excess[:, None] / _SCALES
    found = np.empty((len(_SHAPES), len(_SCALES)))
    for row, shape in enumerate(_SHAPES):
        tail = scaled if shape == 0 else (1 / shape + 1) * np.log1p(shape * scaled)
        found[row] = _LOG_PRIOR[row] - len(excess) * np.log(_SCALES) - tail.sum(axis=0)
    return found


def _mix_survival(excess: Floats, weights: Floats) -> Floats:
    """Share of the tail beyond each excess, in units of the mean excess."""
    found = np.zeros(len(excess))
    for row, shape in enumerate(_SHAPES):
        scaled = excess[:, None] / _SCALES
        tail = np.exp(-scaled) if shape == 0 else np.exp(-np.log1p(shape * scaled) / shape)
        found += tail @ weights[row]
    return found


def _check_halves(scores: Floats) -> float:
    """Each half of the scores against the tail of the other: Kolmogorov-Smirnov, both p values joined."""
    p_values = []
    for own, other in ((scores[::2], scores[1::2]), (scores[1::2], scores[::2])):
        fitted = _fit(np.sort(other))
        if fitted is None:
            return float("nan")
        threshold, _, weights, unit = fitted
        excess = own[own > threshold] - threshold
        if len(excess) < LEAST_EXCEEDANCES // 4:
            return float("nan")
        p_values.append(float(stats.kstest(_mix_survival(excess / unit, weights), "uniform").pvalue))
    return min(1.0, 2 * min(p_values))
