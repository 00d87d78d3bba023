"""Soft tissue as solids: the outline of head, neck and shoulders, and the air inside.

Solids of a channel overlap, so they are not summed: the renderer takes the fourth root of their summed fourth powers, a
smooth union (see `render`). A weight therefore multiplies a fourth power; `_share` turns a share of the chord into one.

Sizes without a source are adult proportions of our own, set by eye: assumptions.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cspine_bench.sources.phantom.bone import SIDES
from cspine_bench.sources.phantom.person import Person
from cspine_bench.sources.phantom.posture import Chain
from cspine_bench.sources.phantom.solids import (
    SolidList,
    apply_frame,
    attach,
    axial_quadric,
    half_space,
    invert_frame,
)

FloatArray = NDArray[np.float64]

OUTLINE = 0
AIR = 1
TISSUE_IN_AIR = 2


def _share(share_of_chord: float) -> float:
    """The weight that makes a solid count as this share of its chord, once the fourth root is taken."""
    return share_of_chord**4


def _axes(x: ArrayLike, y: ArrayLike, z: ArrayLike) -> FloatArray:
    """Semi-axes, each a number or (B, 1), as one array that broadcasts to (B, 1, 3)."""
    return np.stack(np.broadcast_arrays(*(np.atleast_2d(np.asarray(v, dtype=np.float64)) for v in (x, y, z))), -1)


def add_outline(solids: SolidList, person: Person, chain: Chain) -> None:
    """Neck, head, jaw, larynx, shoulders and chest; the trunk is upright in the person's frame, not in a vertebra's."""
    bulk, upright = person.bulk[:, None], invert_frame(chain.person)[:, 0]
    c7 = apply_frame(upright, chain.bodies[:, 5, :3, 3])[:, None]
    top = apply_frame(upright, chain.skull[:, 0, :3, 3])[:, None]
    lean = np.arctan2(top[..., 0] - c7[..., 0], top[..., 2] - c7[..., 2])
    middle = (top + c7) / 2
    half_depth, half_width = person.neck_depth[:, None] / 2, person.neck_width[:, None] / 2
    reach = 1.8 * np.maximum(half_depth, half_width)
    # Waisted: wider towards head and trunk.
    neck = np.stack([half_depth**-2, half_width**-2, np.full_like(bulk, -(150.0**-2))], -1)
    solids.add(
        channel=OUTLINE,
        weight=1.0,
        frame=attach(chain.person, x=middle[..., 0] - 8, y=0.0, z=middle[..., 2], pitch=0.8 * lean),
        quadrics=[axial_quadric(inverse_squares=neck)],
        planes=[],
        low=_axes(-reach, -reach, -160.0),
        high=_axes(reach, reach, 160.0),
    )
    base_x, base_z = c7[..., 0], c7[..., 2] - person.shoulder_drop[:, None]
    front = person.superior_depth[:, 2:3] / 2 + person.prevertebral[:, :1]
    parts = (
        (attach(chain.skull, x=12.0, y=0.0, z=72.0, pitch=0.1), _axes(102.0, 80.0, 86.0)),
        (attach(chain.skull, x=58.0, y=0.0, z=-4.0, pitch=0.25), _axes(58.0, 58.0, 62.0 * bulk)),
        # Floor of the mouth and larynx: carries hyoid and thyroid cartilage.
        (attach(chain.bodies[:, 2:3], x=front + 20.0, y=0.0, z=-6.0, pitch=0.1), _axes(25.0, 27.0, 52.0)),
        (attach(chain.person, x=base_x + 8, y=0.0, z=base_z - 185, pitch=0.25), _axes(135.0 * bulk, 150.0, 150.0)),
    )
    for frame, semi_axes in parts:
        solids.add_ellipsoid(channel=OUTLINE, weight=1.0, frame=frame, semi_axes=semi_axes)
    _add_shoulders(solids, person, attach(chain.person, x=base_x - 16, y=0.0, z=base_z + 34, pitch=0.08))


def _add_shoulders(solids: SolidList, person: Person, apex: FloatArray) -> None:
    """Trapezius and shoulders: a cone from high in the neck, as wide as the shoulders at its foot.

    Its chord grows steadily from nothing, so the film whitens downwards without the edge that a sphere would draw.
    """
    bulk, width = person.bulk[:, None], person.shoulder_width[:, None]
    depth, slope_depth, slope_width = 95 * bulk, 0.75 * bulk, 1.55 * bulk
    cone = np.stack([slope_depth**-2, slope_width**-2, np.full_like(bulk, -1.0)], -1)
    limit = np.stack([depth**-2, width**-2, np.zeros_like(bulk)], -1)
    half = _axes(depth, width, 130.0)
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
    bodies, skull = chain.bodies, chain.skull
    near, middle, far = (person.prevertebral[:, k : k + 1] for k in range(3))

    def before(level: int, gap: FloatArray, z: float, pitch: float = 0.0) -> FloatArray:
        """A frame in front of a body, gap mm from its front."""
        frame = bodies[:, level : level + 1]
        return attach(frame, x=person.superior_depth[:, level : level + 1] / 2 + gap, y=0.0, z=z, pitch=pitch)

    air = [
        (before(0, near + 9.0, 18.0, -0.1), _axes(7.5, 14.0, 30.0), 1.0),
        (before(1, near + 9.0, 2.0, 0.05), _axes(9.0, 16.0, 24.0), 1.0),
        (before(2, middle + 8.5, -2.0, 0.12), _axes(8.5, 14.0, 22.0), 1.0),
        (before(4, 0.3 * middle + 0.7 * far + 7.0, 4.0, 0.1), _axes(7.0, 10.0, 22.0), 1.0),
        (before(6, far + 8.2, -10.0, -0.12), _axes(8.2, 9.0, 80.0), 1.0),
        # Oesophagus: a thread of air.
        (before(5, 0.55 * far, -4.0), _axes(0.9, 5.0, 22.0), 0.9),
        (attach(skull, x=66.0, y=0.0, z=-12.0, pitch=0.1), _axes(24.0, 12.0, 3.0), 0.95),
        (attach(skull, x=60.0, y=0.0, z=14.0), _axes(34.0, 7.0, 13.0), 1.0),
    ]
    for side in SIDES:
        air.append((attach(skull, x=-4.0, y=side * 52, z=10.0), _axes(7.0, 6.0, 12.0), 0.8))
        air.append((attach(bodies[:, 7:8], x=14.0, y=side * 42, z=-70.0), _axes(44.0, 36.0, 52.0), 0.38))
    tissue = [
        (before(1, near + 11.0, -11.0, -0.5), _axes(1.4, 8.0, 8.0), 0.38),
        (before(3, middle + 9.0, -7.0), _axes(6.0, 9.0, 2.2), 0.74),
    ]
    for channel, parts in ((AIR, air), (TISSUE_IN_AIR, tissue)):
        for frame, semi_axes, share in parts:
            solids.add_ellipsoid(channel=channel, weight=_share(share), frame=frame, semi_axes=semi_axes)
