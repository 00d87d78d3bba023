"""Solids with an exact chord: intersections of quadrics and half-spaces, collected into batched arrays.

Frame, mm: x anterior, y left to right along the beam, z up. A quadric is a symmetric 4 x 4 matrix Q, inside where
p^T Q p <= 0 for p = (x, y, z, 1); a half-space is a 4-vector h, inside where h . p <= 0. Solids are spelled in a local
frame (a vertebra's, the skull's) and stored in the world's. All arrays lead with the batch: (B, L, ...), where B
counts radiographs and L the copies of one part (seven vertebrae, two sides).
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def build_roll(roll_rad: FloatArray) -> FloatArray:
    """Rotations (..., 4, 4) about x by (...) rad; positive leans the local z axis towards -y."""
    frame = np.zeros((*roll_rad.shape, 4, 4))
    frame[..., 0, 0] = frame[..., 3, 3] = 1.0
    frame[..., 1, 1] = frame[..., 2, 2] = np.cos(roll_rad)
    frame[..., 2, 1] = np.sin(roll_rad)
    frame[..., 1, 2] = -np.sin(roll_rad)
    return frame


def build_frame(*, origin: ArrayLike, pitch_rad: ArrayLike = 0.0, yaw_rad: ArrayLike = 0.0) -> FloatArray:
    """Rigid transforms from a local frame to its parent.

    Args:
        origin: (..., 3) mm, the local origin in the parent.
        pitch_rad: (...) rotation about y; positive leans the local z axis forwards (anterior).
        yaw_rad: (...) rotation about z, before the pitch; positive turns the local x axis towards +y.

    Returns:
        (..., 4, 4).
    """
    origin = np.asarray(origin, dtype=np.float64)
    shape = origin.shape[:-1]
    pitch = np.broadcast_to(np.asarray(pitch_rad, dtype=np.float64), shape)
    yaw = np.broadcast_to(np.asarray(yaw_rad, dtype=np.float64), shape)
    cp, sp, cy, sy = np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw)
    frame = np.zeros((*shape, 4, 4))
    frame[..., 0, :3] = np.stack([cp * cy, -cp * sy, sp], axis=-1)
    frame[..., 1, :3] = np.stack([sy, cy, np.zeros(shape)], axis=-1)
    frame[..., 2, :3] = np.stack([-sp * cy, sp * sy, cp], axis=-1)
    frame[..., :3, 3] = origin
    frame[..., 3, 3] = 1.0
    return frame


def invert_frame(frame: FloatArray) -> FloatArray:
    """Inverse of rigid transforms (..., 4, 4)."""
    rotation = np.swapaxes(frame[..., :3, :3], -1, -2)
    inverse = np.zeros_like(frame)
    inverse[..., :3, :3] = rotation
    inverse[..., :3, 3] = -(rotation @ frame[..., :3, 3, None])[..., 0]
    inverse[..., 3, 3] = 1.0
    return inverse


def apply_frame(frame: FloatArray, points: ArrayLike) -> FloatArray:
    """Points (..., 3) of a local frame, in its parent."""
    points = np.asarray(points, dtype=np.float64)
    moved: FloatArray = (frame[..., :3, :3] @ points[..., None])[..., 0] + frame[..., :3, 3]
    return moved


def axial_quadric(*, inverse_squares: ArrayLike, constant: ArrayLike = 1.0, linear_z: ArrayLike = 0.0) -> FloatArray:
    """a x^2 + b y^2 + c z^2 + 2 l z <= constant, about the local origin: ellipsoid, cylinder, cone or hyperboloid.

    Args:
        inverse_squares: (..., 3) the a, b, c in 1/mm^2; 0 = unbounded along that axis; c < 0 = waisted along z.
        constant: (...) right-hand side.
        linear_z: (...) the l in 1/mm; makes an elliptic cylinder taper.
    """
    coefficients = np.asarray(inverse_squares, dtype=np.float64)
    quadric = np.zeros((*coefficients.shape[:-1], 4, 4))
    for axis in range(3):
        quadric[..., axis, axis] = coefficients[..., axis]
    quadric[..., 3, 3] = -np.asarray(constant, dtype=np.float64)
    quadric[..., 2, 3] = quadric[..., 3, 2] = np.asarray(linear_z, dtype=np.float64)
    return quadric


def half_space(*, normal: ArrayLike, offset: ArrayLike) -> FloatArray:
    """normal . p <= offset; normal (..., 3), offset (...) -> (..., 4)."""
    normal = np.asarray(normal, dtype=np.float64)
    offset = np.asarray(offset, dtype=np.float64)
    shape = np.broadcast_shapes(normal.shape[:-1], offset.shape)
    plane = np.empty((*shape, 4))
    plane[..., :3] = normal
    plane[..., 3] = -offset
    return plane


@dataclass
class SolidGroup:
    """Solids that all have K quadrics and H half-spaces, in world coordinates.

    Attributes:
        quadrics: (B, N, K, 4, 4).
        planes: (B, N, H, 4).
        corners: (B, N, 8, 3) mm, a box that holds the solid.
        weights: (B, N) what a millimetre of chord adds to the channel; 0 = absent.
        channels: (N,) which image the solid adds to.
    """

    quadrics: torch.Tensor
    planes: torch.Tensor
    corners: torch.Tensor
    weights: torch.Tensor
    channels: torch.Tensor

    def to(self, device: torch.device) -> "SolidGroup":
        """The same group on a device. Float64 throughout: the renderer rounds to float32 only after tile shifts."""
        return SolidGroup(
            self.quadrics.to(device),
            self.planes.to(device),
            self.corners.to(device),
            self.weights.to(device),
            self.channels.to(device),
        )


_CORNER_SIGNS = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)])


@dataclass
class SolidList:
    """Collects parts as they are described, and groups them by shape for the renderer."""

    batch_size: int
    _parts: dict[tuple[int, int], list[tuple[FloatArray, FloatArray, FloatArray, FloatArray, NDArray[np.int64]]]] = field(
        default_factory=dict
    )

    def add(
        self,
        *,
        channel: int | ArrayLike,
        weight: ArrayLike,
        frame: FloatArray,
        quadrics: list[FloatArray],
        planes: list[FloatArray],
        low: ArrayLike,
        high: ArrayLike,
    ) -> None:
        """Add L solids per radiograph.

        Args:
            channel: image index, or (L,) of them.
            weight: broadcasts to (B, L).
            frame: (B, L, 4, 4) local to world.
            quadrics: each broadcasts to (B, L, 4, 4), in the local frame.
            planes: each broadcasts to (B, L, 4), in the local frame.
            low, high: broadcast to (B, L, 3): the box in the local frame that holds the solid, mm.
        """
        count = frame.shape[1]
        shape = (self.batch_size, count)
        frame = np.broadcast_to(frame, (*shape, 4, 4))
        inverse = invert_frame(frame)
        transposed = np.swapaxes(inverse, -1, -2)
        moved = [transposed @ np.broadcast_to(quadric, (*shape, 4, 4)) @ inverse for quadric in quadrics]
        faces = [(np.broadcast_to(plane, (*shape, 4))[..., None, :] @ inverse)[..., 0, :] for plane in planes]
        low = np.broadcast_to(np.asarray(low, dtype=np.float64), (*shape, 3))[..., None, :]
        high = np.broadcast_to(np.asarray(high, dtype=np.float64), (*shape, 3))[..., None, :]
        corners = apply_frame(frame[..., None, :, :], low + (high - low) * _CORNER_SIGNS)
        part = (
            np.stack(moved, axis=2) if moved else np.zeros((*shape, 0, 4, 4)),
            np.stack(faces, axis=2) if faces else np.zeros((*shape, 0, 4)),
            corners,
            np.array(np.broadcast_to(np.asarray(weight, dtype=np.float64), shape)),
            np.array(np.broadcast_to(np.asarray(channel, dtype=np.int64), (count,))),
        )
        self._parts.setdefault((len(quadrics), len(planes)), []).append(part)

    def add_ellipsoid(
        self, *, channel: int | ArrayLike, weight: ArrayLike, frame: FloatArray, semi_axes: ArrayLike, planes: list[FloatArray] = []
    ) -> None:
        """Add ellipsoids about the local origins, cut by optional half-spaces; semi_axes broadcasts to (B, L, 3), mm."""
        semi_axes = np.broadcast_to(np.asarray(semi_axes, dtype=np.float64), (self.batch_size, frame.shape[1], 3))
        quadric = axial_quadric(inverse_squares=1.0 / semi_axes**2)
        self.add(
            channel=channel, weight=weight, frame=frame, quadrics=[quadric], planes=planes, low=-semi_axes, high=semi_axes
        )

    def build_groups(self) -> list[SolidGroup]:
        """All parts as tensors, one group per (number of quadrics, number of half-spaces)."""
        groups = []
        for _, parts in sorted(self._parts.items()):
            columns = [np.concatenate(arrays, axis=1) for arrays in list(zip(*parts, strict=True))[:4]]
            channels = np.concatenate([part[4] for part in parts])
            groups.append(SolidGroup(*(torch.from_numpy(column) for column in columns), torch.from_numpy(channels)))
        return groups
