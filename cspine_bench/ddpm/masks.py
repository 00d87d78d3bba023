"""The mask of a conditioned image: the bodies that its landmarks outline."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import CORNER_LEVELS, LANDMARK_INDEX, MASK_LABELS, NUM_LANDMARKS

DRAWN_LEVELS: Final = ",".join(CORNER_LEVELS)
"""`mask_levels` of these masks: C2 lacks its upper corners, and C1 and T1 have no landmarks."""

_ROUND: Final = ("superior_anterior", "superior_posterior", "inferior_posterior", "inferior_anterior")


def draw_body_mask(landmarks_xy: NDArray[np.floating], size: int) -> NDArray[np.uint8]:
    """Bodies C3 to C7 as the polygons of their four corners: a pixel belongs to the body that its centre lies in.

    Endplates are drawn straight; a real one is a little hollow, so a polygon is slightly larger than its body.

    Args:
        landmarks_xy: float (23, 2), px; points may lie outside the image. None of the corners is NaN.
        size: side of the mask, px.

    Returns:
        uint8 (size, size) of label ids, 3 to 7 and 0 for background. Where bodies overlap, the lower one is kept.

    Raises:
        ValueError: another shape, or a corner is NaN.
    """
    if landmarks_xy.shape != (NUM_LANDMARKS, 2):
        raise ValueError(f"landmarks_xy must be ({NUM_LANDMARKS}, 2), got {landmarks_xy.shape}")
    points = landmarks_xy.astype(np.float64)
    mask = np.zeros((size, size), np.uint8)
    rows, columns = np.mgrid[:size, :size]
    for level in CORNER_LEVELS:
        corners = points[[LANDMARK_INDEX[f"{level}_{corner}"] for corner in _ROUND]]
        if np.isnan(corners).any():
            raise ValueError(f"a corner of {level} is NaN; a mask needs all four")
        mask[find_inside(corners, rows, columns)] = MASK_LABELS[level]
    return mask


def find_inside(corners: NDArray[np.float64], rows: NDArray[np.int_], columns: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Pixels whose centre lies in a polygon.

    Args:
        corners: float (K, 2), px, in order round the polygon; with a NaN, no pixel lies in it.
        rows: int (H, W), each pixel's row.
        columns: int (H, W), each pixel's column.

    Returns:
        bool (H, W), by the parity of the edges to a pixel's right.
    """
    inside = np.zeros(rows.shape, bool)
    if np.isnan(corners).any():
        return inside
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        crosses = (rows >= min(y0, y1)) & (rows < max(y0, y1))
        inside ^= crosses & (columns < x0 + (rows - y0) * (x1 - x0) / (y1 - y0))
    return inside
