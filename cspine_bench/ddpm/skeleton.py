"""The skeleton map: landmarks drawn as an image, which tells the network where the vertebrae shall be."""

from typing import Final

import torch

from cspine_bench.anatomy.landmarks import CORNER_LEVELS, LANDMARK_INDEX, NUM_LANDMARKS

_INSIDE: Final = 0.5
"""Brightness of a vertebra's inside; its outline and its landmarks are 1."""

_HEAT_SIZE: Final = 1 / 96
"""Standard deviation of a landmark's spot, as a share of the image's side: larger ones would close the discs."""

_LINE_WIDTH: Final = 1 / 128
"""Width of an outline, as a share of the image's side; a pixel at least. It lies inside, so that discs stay open."""

_ROUND: Final = ("superior_anterior", "superior_posterior", "inferior_posterior", "inferior_anterior")

_POLYGONS: Final = (
    tuple(LANDMARK_INDEX[name] for name in ("C2_centroid", "C2_inferior_posterior", "C2_inferior_anterior")),
    *(tuple(LANDMARK_INDEX[f"{level}_{corner}"] for corner in _ROUND) for level in CORNER_LEVELS),
)


def draw_skeleton(landmarks_xy: torch.Tensor, size: int) -> torch.Tensor:
    """Outlined bodies C3-C7, a triangle for C2, and a spot on each landmark.

    Args:
        landmarks_xy: float (B, 23, 2), px of an image with `size` pixels a side; a NaN pair is left out, and with
            it the bodies that need it.
        size: side of the map, px.

    Returns:
        float32 (B, 1, size, size) in 0..1, on the device of the landmarks.

    Raises:
        ValueError: the landmarks have another shape.
    """
    if landmarks_xy.ndim != 3 or landmarks_xy.shape[1:] != (NUM_LANDMARKS, 2):
        raise ValueError(f"landmarks_xy must be (B, {NUM_LANDMARKS}, 2), got {tuple(landmarks_xy.shape)}")
    points = landmarks_xy.to(torch.float32)
    steps = torch.arange(size, dtype=torch.float32, device=points.device)
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    squared = (columns - points[..., 0, None, None]) ** 2 + (rows - points[..., 1, None, None]) ** 2
    spots = torch.exp(-0.5 * squared / (_HEAT_SIZE * size) ** 2).nan_to_num(0.0).amax(1)
    drawn, width = spots, max(1.0, _LINE_WIDTH * size)
    for polygon in _POLYGONS:
        depth = _measure_depth(points[:, list(polygon)], rows, columns)
        inside = (depth + 0.5).clamp(0, 1)
        outline = torch.minimum(depth, width - depth).add(0.5).clamp(0, 1)
        drawn = torch.maximum(drawn, torch.maximum(_INSIDE * inside, outline).nan_to_num(0.0))
    return drawn[:, None]


def _measure_depth(corners: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """How far inside a convex polygon (B, K, 2) a pixel is, px (B, H, W); negative outside, NaN with a NaN corner."""
    following = corners.roll(-1, dims=1)
    edge = following - corners
    area = (corners[..., 0] * following[..., 1] - following[..., 0] * corners[..., 1]).sum(1)
    outwards = torch.stack([edge[..., 1], -edge[..., 0]], -1) * area.sign()[:, None, None]
    outwards = outwards / outwards.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    along = outwards[..., 0, None, None] * (columns - corners[..., 0, None, None])
    height: torch.Tensor = (along + outwards[..., 1, None, None] * (rows - corners[..., 1, None, None])).amax(1)
    return -height
