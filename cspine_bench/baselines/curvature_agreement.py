"""Curvature classes of many spines, and how often two sources of labels give a spine the same one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.classes import CURVATURE_CLASSES, FACINGS, Facing
from cspine_bench.anatomy.curvature import compute_curvature_labels
from cspine_bench.baselines.task import Score
from cspine_bench.metrics.weighted import weighted_share


def classify_landmarks(
    landmarks_xy: NDArray[np.floating], facing: Sequence[str], spacing_mm: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Place in `CURVATURE_CLASSES` by the rule on landmarks; -1: a point, facing or spacing is not known."""
    labels = np.full(len(landmarks_xy), -1, np.int64)
    sides: tuple[Facing, ...] = FACINGS
    for side in sides:
        rows = [row for row, said in enumerate(facing) if said == side]
        labels[rows] = compute_curvature_labels(landmarks_xy[rows], pixel_spacing_mm=spacing_mm[rows], facing=side)
    return labels


def score_curvature(measured: NDArray[np.int64], given: Sequence[str]) -> Score:
    """Share of the radiographs whose measured class is the given one.

    Args:
        measured: int64 (n,), place in `CURVATURE_CLASSES`; -1: not measured, which is not the given one either.
        given: (n,), names; what is no class of them was not given, and takes no part.
    """
    asked = np.array([name in CURVATURE_CLASSES for name in given], np.bool_)
    names = np.array([CURVATURE_CLASSES[place] if place >= 0 else "" for place in measured.tolist()], dtype=object)
    same = names == np.array(given, dtype=object)
    return Score(
        name="curvature_agreement",
        statistic=weighted_share(same, asked),
        direction="higher",
        used=int(asked.sum()),
        unit="share",
        per_case=np.where(asked, same.astype(np.float64), np.nan),
        note="Of five classes; most disagreements are of spines near a border between two.",
    )
