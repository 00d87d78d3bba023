"""Soft tissue as solids: the outline of head, neck and shoulders, and the air inside.

The outline's solids overlap, so they are not summed: the renderer blends them into a smooth union (see `render`).
Air is subtracted afterwards, in chord millimetres of its own channel.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cspine_bench.sources.phantom.person import Person
from cspine_bench.sources.phantom.posture import Chain
from cspine_bench.sources.phantom.solids import (
    SolidList,
    apply_frame,
    axial_quadric,
    build_frame,
    half_space,
    invert_frame,
)

FloatArray = NDArray[np.float64]

OUTLINE = 0
AIR = 1
TISSUE_IN_AIR = 2

_SIDES = (-1.0, 1.0)


def _at(
    parent: FloatArray, x: ArrayLike, y: ArrayLike, z: ArrayLike, *, pitch: ArrayLike = 0.0, yaw: ArrayLike = 0.0
) -> FloatArray:
    batch = parent.shape[0]
    origin = np.stack([np.broadcast_to(np.asarray(value, dtype=np.float64), (batch,)) for value in (x, y, z)], -1)
    pitch = np.broadcast_to(np.asarray(pitch, dtype=np.float64), (batch,))[:, None]
    return np.asarray(parent @ build_frame(origin=origin[:, None], pitch_rad=pitch, yaw_rad=yaw))


def _axes(x: ArrayLike, y: ArrayLike, z: ArrayLike) -> FloatArray:
    return np.stack(np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (x, y, z))), -1)[
        :, None
    ]


def add_outline(solids: SolidList, person: Person, chain: Chain) -> None:
    """Neck, head, jaw, nape, trapezius, shoulders and chest, upright in the person's frame (not in a vertebra's)."""
    batch = person.bulk.shape[0]
    person_frame, skull = chain.person, chain.skull
    upright = invert_frame(person_frame)[:, 0]
    c7 = apply_frame(upright, chain.bodies[:, 5, :3, 3])
    top = apply_frame(upright, skull[:, 0, :3, 3])
    base_x, base_z = c7[:, 0], c7[:, 2] - person.shoulder_drop
    lean = np.arctan2(top[:, 0] - c7[:, 0], top[:, 2] - c7[:, 2])
    half_depth, half_width = person.neck_depth / 2, person.neck_width / 2

    middle_x, middle_z = (top[:, 0] + c7[:, 0]) / 2, (top[:, 2] + c7[:, 2]) / 2
    neck = _at(person_frame, middle_x - 8, 0.0, middle_z, pitch=0.8 * lean)
    waisted = np.stack([1 / half_depth**2, 1 / half_width**2, np.full(batch, -1 / 150.0**2)], -1)[:, None]
    reach = 1.8 * np.maximum(half_depth, half_width)
    solids.add(
        channel=OUTLINE, weight=1.0, frame=neck, quadrics=[axial_quadric(inverse_squares=waisted)], planes=[],
        low=_axes(-reach, -reach, -160.0), high=_axes(reach, reach, 160.0),
    )  # fmt: skip
    bulk = person.bulk
    head = _at(skull, 12.0, 0.0, 72.0, pitch=0.1)
    solids.add_ellipsoid(channel=OUTLINE, weight=1.0, frame=head, semi_axes=_axes(102 + 0 * bulk, 80, 86))
    face = _at(skull, 58.0, 0.0, -4.0, pitch=0.25)
    solids.add_ellipsoid(channel=OUTLINE, weight=1.0, frame=face, semi_axes=_axes(58 + 0 * bulk, 58, 62 * bulk))
    _add_shoulders(solids, person, _at(person_frame, base_x - 16, 0.0, base_z + 34, pitch=0.08))
    chest = _at(person_frame, base_x + 8, 0.0, base_z - 185, pitch=0.25)
    solids.add_ellipsoid(channel=OUTLINE, weight=1.0, frame=chest, semi_axes=_axes(135 * bulk, 150, 150))


def _add_shoulders(solids: SolidList, person: Person, apex: FloatArray) -> None:
    """Trapezius and shoulders: a cone from high in the neck, as wide as the shoulders at its foot.

    Its chord grows steadily from nothing, so the film whitens downwards without the edge that a sphere would draw.
    """
    batch = person.bulk.shape[0]
    slope_depth, slope_width = 0.75 * person.bulk, 1.55 * person.bulk
    cone = np.stack([slope_depth**-2, slope_width**-2, np.full(batch, -1.0)], -1)[:, None]
    width = person.shoulder_width[:, None]
    depth = 95 * person.bulk[:, None]
    limit = np.stack([depth**-2, width**-2, np.zeros_like(width)], -1)
    half = np.concatenate([depth, width, np.full_like(width, 130.0)], -1)[:, None]
    middle = np.array([0.0, 0.0, -130.0])
    solids.add(
        channel=OUTLINE,
        weight=1.0,
        frame=apex,
        quadrics=[axial_quadric(inverse_squares=cone, constant=0.0), axial_quadric(inverse_squares=limit)],
        planes=[half_space(normal=(0.0, 0.0, 1.0), offset=0.0)],
        low=middle - half,
        high=middle + half,
    )


def add_air(solids: SolidList, person: Person, chain: Chain) -> None:
    """Pharynx, larynx and trachea in front of the prevertebral tissue; nose, mouth, lung apices; tissue inside them."""
    front = person.superior_depth / 2
    near, middle, far = person.prevertebral.T
    pieces = (
        # level, gap in front of the body, semi-axes, height, pitch
        (0, near + 1.5, (7.5, 14.0, 30.0), 18.0, -0.1),
        (1, near, (9.0, 16.0, 24.0), 2.0, 0.05),
        (2, middle, (8.5, 14.0, 22.0), -2.0, 0.12),
        (4, 0.6 * middle + 0.4 * far, (7.0, 10.0, 22.0), 4.0, 0.1),
    )
    for level, gap, (x, y, z), height, pitch in pieces:
        frame = _at(chain.bodies[:, level : level + 1], front[:, level] + gap + x, 0.0, height, pitch=pitch)
        solids.add_ellipsoid(channel=AIR, weight=1.0, frame=frame, semi_axes=_axes(x + 0 * gap, y, z))
    trachea = _at(chain.bodies[:, 6:7], front[:, 6] + far + 8.0, 0.0, -10.0, pitch=-0.12)
    solids.add_ellipsoid(channel=AIR, weight=1.0, frame=trachea, semi_axes=_axes(8.2 + 0 * far, 9.0, 80.0))
    oesophagus = _at(chain.bodies[:, 5:6], front[:, 5] + 0.55 * far, 0.0, -4.0)
    solids.add_ellipsoid(channel=AIR, weight=0.6, frame=oesophagus, semi_axes=_axes(0.9 + 0 * far, 5.0, 22.0))
    mouth = _at(chain.skull, 66.0, 0.0, -12.0, pitch=0.1)
    solids.add_ellipsoid(channel=AIR, weight=0.8, frame=mouth, semi_axes=_axes(24 + 0 * far, 12.0, 3.0))
    nose = _at(chain.skull, 60.0, 0.0, 14.0)
    solids.add_ellipsoid(channel=AIR, weight=1.0, frame=nose, semi_axes=_axes(34 + 0 * far, 7.0, 13.0))
    for side in _SIDES:
        cells = _at(chain.skull, -4.0, side * 52, 10.0)
        solids.add_ellipsoid(channel=AIR, weight=0.4, frame=cells, semi_axes=_axes(7 + 0 * far, 6.0, 12.0))
        lung = _at(chain.bodies[:, 7:8], 14.0, side * 42, -70.0)
        solids.add_ellipsoid(channel=AIR, weight=0.02, frame=lung, semi_axes=_axes(44 + 0 * far, 36.0, 52.0))
    epiglottis = _at(chain.bodies[:, 1:2], front[:, 1] + near + 11.0, 0.0, -11.0, pitch=-0.5)
    solids.add_ellipsoid(channel=TISSUE_IN_AIR, weight=0.02, frame=epiglottis, semi_axes=_axes(1.4 + 0 * far, 8.0, 8.0))
    cords = _at(chain.bodies[:, 3:4], front[:, 3] + middle + 9.0, 0.0, -7.0)
    solids.add_ellipsoid(channel=TISSUE_IN_AIR, weight=0.3, frame=cords, semi_axes=_axes(6.0 + 0 * far, 9.0, 2.2))
