"""Solids with an exact chord: intersections of quadrics and half-spaces, collected into batched arrays.

Frame, mm: x anterior, y left to right along the beam, z up. A quadric is a symmetric 4 x 4 matrix Q, inside where
p^T Q p <= 0 for p = (x, y, z, 1); a half-space is a 4-vector h, inside where h . p <= 0. Solids are spelled in a local
frame (a vertebra's, the skull's) and stored in the world's. All arrays lead with the batch: (B, L, ...), where B
counts radiographs and L the copies of one part (seven vertebrae, two sides).
"""

from collections.abc import Sequence
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


def attach(
    parent: FloatArray, *, x: ArrayLike, y: ArrayLike, z: ArrayLike, pitch: ArrayLike = 0.0, yaw: ArrayLike = 0.0
) -> FloatArray:
    """Frames (B, L, 4, 4) at (x, y, z) mm of parents (B, L, 4, 4), turned by pitch and yaw (rad); all broadcast."""
    shape = parent.shape[:-2]
    origin = np.stack([np.broadcast_to(np.asarray(value, dtype=np.float64), shape) for value in (x, y, z)], -1)
    return np.asarray(parent @ build_frame(origin=origin, pitch_rad=pitch, yaw_rad=yaw))


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
    """Solids that all have K quadrics and H half-spaces, in world coordinates; float64 tensors.

    Attributes:
        quadrics: (B, N, K, 4, 4).
        planes: (B, N, H, 4).
        centres, extents: (B, N, 3) mm, middle and half sides of an upright box that holds the solid.
        weights: (B, N) what a millimetre of chord adds to the channel; 0 = absent.
        channels: (N,) which image the solid adds to.
    """

    quadrics: torch.Tensor
    planes: torch.Tensor
    centres: torch.Tensor
    extents: torch.Tensor
    weights: torch.Tensor
    channels: torch.Tensor

    def to(self, device: torch.device) -> "SolidGroup":
        """The same group on a device."""
        return SolidGroup(**{name: tensor.to(device) for name, tensor in vars(self).items()})

    def move(self, transform: torch.Tensor) -> "SolidGroup":
        """The same solids after a rigid motion (B, 4, 4), float64, of each radiograph's world; differentiable in it."""
        inverse = torch.linalg.inv(transform)[:, None, None]
        rotation = transform[:, None, :3, :3]
        return SolidGroup(
            quadrics=inverse.transpose(-1, -2) @ self.quadrics @ inverse,
            planes=(self.planes[..., None, :] @ inverse)[..., 0, :],
            centres=(rotation @ self.centres[..., None])[..., 0] + transform[:, None, :3, 3],
            extents=(rotation.abs() @ self.extents[..., None])[..., 0],
            weights=self.weights,
            channels=self.channels,
        )


@dataclass(frozen=True)
class _Part:
    """What one `add` was given, broadcast to (B, L, ...): local quadrics and planes, frames, box, weights, channels."""

    quadrics: FloatArray
    planes: FloatArray
    frames: FloatArray
    middle: FloatArray
    half: FloatArray
    weights: FloatArray
    channels: NDArray[np.int64]


@dataclass
class SolidList:
    """Collects parts as they are described; moves them into the world and groups them by shape at the end."""

    batch_size: int
    _parts: dict[tuple[int, int, bool], list[_Part]] = field(default_factory=dict)

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
        rounded: bool = False,
    ) -> None:
        """Add L solids per radiograph.

        Args:
            channel: image index, or (L,) of them.
            weight: broadcasts to (B, L).
            frame: (B, L, 4, 4) local to world.
            quadrics: each broadcasts to (B, L, 4, 4), in the local frame.
            planes: each broadcasts to (B, L, 4), in the local frame.
            low, high: broadcast to (B, L, 3): the box in the local frame that holds the solid, mm.
            rounded: the ellipsoid inscribed in that box holds the solid too.
        """
        shape = (self.batch_size, frame.shape[1])
        local_quadrics = np.empty((*shape, len(quadrics), 4, 4))
        for k, quadric in enumerate(quadrics):
            local_quadrics[:, :, k] = quadric
        local_planes = np.empty((*shape, len(planes), 4))
        for k, plane in enumerate(planes):
            local_planes[:, :, k] = plane
        low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
        frames, middle, half = np.empty((*shape, 4, 4)), np.empty((*shape, 3)), np.empty((*shape, 3))
        frames[:], middle[:], half[:] = frame, (low + high) / 2, (high - low) / 2
        weights, channels = np.empty(shape), np.empty(shape[1], dtype=np.int64)
        weights[:], channels[:] = weight, channel
        part = _Part(local_quadrics, local_planes, frames, middle, half, weights, channels)
        self._parts.setdefault((len(quadrics), len(planes), rounded), []).append(part)

    def add_ellipsoid(
        self,
        *,
        channel: int | ArrayLike,
        weight: ArrayLike,
        frame: FloatArray,
        semi_axes: ArrayLike,
        planes: Sequence[FloatArray] = (),
    ) -> None:
        """Add ellipsoids about the local origins, cut by half-spaces; semi_axes broadcasts to (B, L, 3), mm."""
        semi_axes = np.asarray(semi_axes, dtype=np.float64)
        quadric = axial_quadric(inverse_squares=1.0 / semi_axes**2)
        self.add(
            channel=channel, weight=weight, frame=frame, quadrics=[quadric], planes=list(planes), low=-semi_axes,
            high=semi_axes, rounded=True,
        )  # fmt: skip

    def build_groups(self) -> list[SolidGroup]:
        """All parts as tensors, one group per shape."""
        return [_build_group(parts, rounded=key[2]) for key, parts in sorted(self._parts.items())]


def _build_group(parts: list[_Part], *, rounded: bool) -> SolidGroup:
    def join(name: str) -> FloatArray:
        return np.concatenate([getattr(part, name) for part in parts], axis=1)

    frames = join("frames")
    inverse = invert_frame(frames)[:, :, None]
    rotation, half = frames[..., :3, :3], join("half")[..., None, :]
    spread = np.sqrt(((rotation * half) ** 2).sum(-1)) if rounded else (np.abs(rotation) * half).sum(-1)
    arrays = (
        np.swapaxes(inverse, -1, -2) @ join("quadrics") @ inverse,
        (join("planes")[..., None, :] @ inverse)[..., 0, :],
        apply_frame(frames, join("middle")),
        spread,
        join("weights"),
        np.concatenate([part.channels for part in parts]),
    )
    return SolidGroup(*(torch.from_numpy(array) for array in arrays))
