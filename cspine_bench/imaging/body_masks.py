"""Masks drawn from landmarks: the bodies that their corners outline."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import CORNER_LEVELS, LANDMARK_INDEX, MASK_LABELS, NUM_LANDMARKS

DRAWN_LEVELS: Final = ",".join(CORNER_LEVELS)
"""`mask_levels` of these masks: C2 lacks its upper corners, and C1 and T1 have no landmarks."""

_ROUND: Final = ("superior_anterior", "superior_posterior", "inferior_posterior", "inferior_anterior")
_CORNERS: Final = np.array([[LANDMARK_INDEX[f"{level}_{corner}"] for corner in _ROUND] for level in CORNER_LEVELS])
_BLOCK: Final = 64
"""Radiographs at once, so that the windows of many fit into memory."""


def draw_body_mask(landmarks_xy: NDArray[np.floating], size: int) -> NDArray[np.uint8]:
    """Bodies C3 to C7 of one radiograph, all of them, as `draw_whole_bodies` draws them.

    Args:
        landmarks_xy: float (23, 2), px; points may lie outside the image. None of the corners is NaN.
        size: side of the mask, px.

    Returns:
        uint8 (size, size).

    Raises:
        ValueError: another shape, or a corner is NaN.
    """
    if not (whole := find_whole_bodies(landmarks_xy)).all():
        raise ValueError(f"a corner of {CORNER_LEVELS[int(whole.argmin())]} is NaN; a mask needs all four")
    mask: NDArray[np.uint8] = draw_whole_bodies(landmarks_xy[None], size)[0]
    return mask


def draw_whole_bodies(landmarks_xy: NDArray[np.floating], size: int) -> NDArray[np.uint8]:
    """Bodies as the polygons of their four corners: a pixel belongs to the body that its centre lies in.

    Endplates are drawn straight; a real one is a little hollow, so a polygon is slightly larger than its body.

    Args:
        landmarks_xy: float (n, 23, 2), px; points may lie outside the image. A body with a NaN corner is left out.
        size: side of the masks, px.

    Returns:
        uint8 (n, size, size) of label ids, 3 to 7 and 0 for all else. Where bodies overlap, the lower one is kept.

    Raises:
        ValueError: another shape.
    """
    whole = find_whole_bodies(landmarks_xy)
    masks = np.zeros((len(landmarks_xy), size, size), np.uint8)
    for start in range(0, len(masks), _BLOCK):
        for number, level in enumerate(CORNER_LEVELS):
            drawn = start + np.flatnonzero(whole[start : start + _BLOCK, number])
            corners = np.asarray(landmarks_xy[drawn[:, None], _CORNERS[number]], np.float64)
            # Only a window is looked at, as large as the largest body needs.
            first = np.clip(np.floor(corners.min(axis=1)), 0, size).astype(int)
            last = np.clip(np.ceil(corners.max(axis=1)) + 1, 0, size).astype(int)
            steps = np.arange((last - first).max(initial=0))
            rows, columns = first[:, 1, None, None] + steps[:, None], first[:, 0, None, None] + steps
            inside = find_inside(corners, rows, columns) & (rows < size) & (columns < size)
            place, row, column = np.nonzero(inside)
            masks[drawn[place], first[place, 1] + row, first[place, 0] + column] = MASK_LABELS[level]
    return masks


def find_whole_bodies(landmarks_xy: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Bodies whose four corners are all labelled.

    Args:
        landmarks_xy: float (..., 23, 2); NaN: not labelled.

    Returns:
        bool (..., 5), C3 to C7.

    Raises:
        ValueError: another shape.
    """
    if landmarks_xy.shape[-2:] != (NUM_LANDMARKS, 2):
        raise ValueError(f"landmarks_xy must be (..., {NUM_LANDMARKS}, 2), got {landmarks_xy.shape}")
    labelled: NDArray[np.bool_] = ~np.isnan(landmarks_xy[..., _CORNERS, :]).any(axis=(-2, -1))
    return labelled


def find_inside(corners: NDArray[np.float64], rows: NDArray[np.int_], columns: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Pixels whose centre lies in a polygon.

    Args:
        corners: float (..., K, 2), px, in order round each polygon; with a NaN, no pixel lies in it.
        rows: int, fits (..., H, W): each pixel's row.
        columns: int, fits (..., H, W): each pixel's column.

    Returns:
        bool (..., H, W), by the parity of the edges to a pixel's right.
    """
    shape = np.broadcast_shapes(rows.shape, columns.shape, (*corners.shape[:-2], 1, 1))
    inside = np.zeros(shape, bool)
    ends = np.moveaxis(corners[..., None, None], (-4, -3), (0, 1))
    for (x0, y0), (x1, y1) in zip(ends, np.roll(ends, -1, axis=0), strict=True):
        crosses = (rows >= np.minimum(y0, y1)) & (rows < np.maximum(y0, y1))
        inside ^= crosses & (columns < x0 + (rows - y0) * (x1 - x0) / np.where(y0 == y1, 1, y1 - y0))
    inside &= ~np.isnan(corners).any(axis=(-2, -1), keepdims=True)
    return inside
