"""Shapes of landmarks without their pose: where they lie, how large they are and how they are turned is taken off.

Source: generalised Procrustes analysis, Gower 1975, Psychometrika 40, 33-51.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_ROUNDS: Final = 10


def align_shapes(shapes: Floats) -> tuple[Floats, Floats]:
    """Shapes aligned to their own mean.

    Args:
        shapes: float64 (N, points, 2), N >= 1; no NaN, and no shape whose points all coincide.

    Returns:
        Shapes without pose (N, points, 2), of unit size; the pose (N, 4) that was taken off: logarithm of the scale,
        rotation in rad, x and y of the centre.
    """
    unit, scales, centres = remove_place(shapes)
    reference = unit[0]
    for _ in range(_ROUNDS):
        angles = find_rotations(unit, reference)
        turned = rotate(unit, -angles)
        reference = turned.mean(axis=0)
        reference = reference / np.sqrt((reference**2).sum())
    return turned, np.column_stack([np.log(scales), angles, centres])


def align_to(shapes: Floats, reference: Floats) -> Floats:
    """Shapes (N, points, 2) of unit size, each turned onto a reference (points, 2) as well as that goes."""
    unit, _, _ = remove_place(shapes)
    return rotate(unit, -find_rotations(unit, reference))


def remove_place(shapes: Floats) -> tuple[Floats, Floats, Floats]:
    """Shapes (N, points, 2) about their centre and of unit size; their scales (N,) and centres (N, 2)."""
    centres = shapes.mean(axis=1)
    centred = shapes - centres[:, None]
    scales = np.sqrt((centred**2).sum(axis=(1, 2)))
    return centred / scales[:, None, None], scales, centres


def find_rotations(shapes: Floats, reference: Floats) -> Floats:
    """Angles (N,) by which the reference is best turned onto each shape, rad."""
    across = reference[:, 0] * shapes[..., 1] - reference[:, 1] * shapes[..., 0]
    angles: Floats = np.arctan2(across.sum(axis=1), (shapes * reference).sum(axis=(1, 2)))
    return angles


def rotate(shapes: Floats, angles: Floats) -> Floats:
    """Shapes (..., points, 2) turned by angles (...), rad."""
    cosine, sine = np.cos(angles)[..., None], np.sin(angles)[..., None]
    x, y = shapes[..., 0], shapes[..., 1]
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)
