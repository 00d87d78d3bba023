"""Figures of predicted landmarks."""

import numpy as np
from numpy.typing import NDArray

from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.task import Score, Statistic


def score_landmarks(preds_xy: NDArray[np.float32], cases: Cases) -> tuple[Score, ...]:
    """Figures, the primary one first."""
    offset = preds_xy.astype(np.float64) - cases.landmarks_xy
    errors_px = np.hypot(offset[..., 0], offset[..., 1])
    per_case = np.nanmean(errors_px, axis=1)
    values, unit = per_case, "px"
    if np.isfinite(cases.pixel_spacing_mm).all():
        values, unit = per_case * cases.pixel_spacing_mm, "mm"
    return (Score("mean_radial_error", _mean(values), "lower", len(cases), unit, per_case=values),)


def _mean(values: NDArray[np.float64]) -> Statistic:
    return lambda weights: weights @ values / weights.sum(axis=1)
