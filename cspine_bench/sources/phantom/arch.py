"""What surrounds the canal, as solids: pedicles, pillars, laminae, processes; the dens, and C1 round it.

Dimensions without a source named in `person` are proportions of our own, set by eye on the anatomy.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.sources.phantom.body import Body
from cspine_bench.sources.phantom.bone import BONE, MARROW, SIDES, add_shell, level_density
from cspine_bench.sources.phantom.person import MEAN_C2_WIDTH_MM, Person
from cspine_bench.sources.phantom.posture import ATLAS_ON_DENS, Chain
from cspine_bench.sources.phantom.solids import SolidList, attach, axial_quadric, half_space

FloatArray = NDArray[np.float64]


def add_posterior_elements(solids: SolidList, person: Person, body: Body, chain: Chain) -> None:
    """Pedicles, articular pillars with facet joints, laminae, transverse and spinous processes of C2..T2."""
    frames, a = chain.bodies, body.semi_depth
    back = -a - person.canal
    to_next = np.linalg.norm(np.diff(frames[..., :3, 3], axis=1), axis=-1)
    spacing = np.concatenate([to_next, to_next[:, -1:]], axis=1)
    drop = np.array([-7.0, 0, 0, 0, 0, 0, 0, 0])
    for side in SIDES:
        pedicles = attach(frames, x=-a - 1.5, y=side * 0.5 * person.width, z=1.0 + drop, yaw=-side * 0.7)
        add_shell(solids, person, pedicles, (5.5, 2.7, 3.1), weight=0.8, shell=1.2)
        _add_pillars(solids, person, body, chain, side=side, spacing=spacing, drop=drop)
        # From the pillar in, and back, to the spinolaminar line.
        outer_x, inner_x, run = -a - 12.0, back - 2.6, 15.0
        laminae = attach(
            frames,
            x=(outer_x + inner_x) / 2,
            y=side * (2.0 + run / 2),
            z=-3.5 + drop / 2,
            pitch=0.3,
            yaw=-side * np.arctan2(outer_x - inner_x, run),
        )
        add_shell(solids, person, laminae, np.array([2.1, 9.0, 6.2]), weight=0.75, shell=1.3)
        tubercles = attach(frames, x=-0.45 * a, y=side * (0.5 * person.width + 8), z=-2.0 + drop, yaw=side * 0.4)
        add_shell(solids, person, tubercles, (4.5, 5.5, 2.6), weight=np.array([0.4, 0.6, 0.6, 0.6, 0.8, 0.7, 0.7, 0.7]))
    _add_spinous(solids, person, chain, back)


_FACET_SLOPE: Final = np.radians(np.array([35.0, 42.0, 44.0, 45.0, 48.0, 52.0, 60.0, 65.0]))
"""Inclination of the facet joints against the endplates: about 45 degrees, steeper downwards."""
_FACET_GAP_MM: Final = 1.5


def _add_pillars(
    solids: SolidList, person: Person, body: Body, chain: Chain, *, side: float, spacing: FloatArray, drop: FloatArray
) -> None:
    """Articular pillars: rhomboids in profile, between two facet planes that run down and back."""
    sine, cosine = np.sin(_FACET_SLOPE), np.cos(_FACET_SLOPE)
    half = (spacing * cosine - _FACET_GAP_MM) / 2
    at_x = -body.semi_depth - 8.0
    frames = attach(chain.bodies, x=at_x, y=side * (0.5 * person.width + 9.5), z=-0.5 + drop)
    axes = np.stack([np.full_like(half, 7.2), np.full_like(half, 6.0), 0.85 * spacing], -1)
    weight = person.density[:, None] * np.array([0.85, 0.85, 0.85, 0.85, 0.85, 0.8, 0.7, 0.6])
    normal = np.stack([-sine, np.zeros(8), cosine], -1)
    for channel, inset in ((BONE, 0.0), (MARROW, person.cortex[:, None])):
        planes = [half_space(normal=normal, offset=half - inset), half_space(normal=-normal, offset=half - inset)]
        inner = axes - np.asarray(inset)[..., None]
        quadric = axial_quadric(inverse_squares=inner**-2)
        solids.add(
            channel=channel, weight=weight, frame=frames, quadrics=[quadric], planes=planes, low=-axes, high=axes
        )


def _add_spinous(solids: SolidList, person: Person, chain: Chain, back: FloatArray) -> None:
    """Spinous processes: a blade that tapers from the spinolaminar line, and one tip or two."""
    slant, length = person.spinous_slant_rad, person.spinous_length
    lift = np.array([-6.0, -3.0, -3.0, -3.0, -3.5, -4.0, -5.0, -5.0])
    reach = length / 2 + 1.0
    tall = (3.6 + 0.07 * length) * np.array([1.35, 1, 1, 1, 1, 1, 1, 1])
    # A negative pitch raises the front: the blade runs down and back.
    frames = attach(
        chain.bodies,
        x=back - 2.2 - (length / 2) * np.cos(slant),
        y=0.0,
        z=lift - (length / 2) * np.sin(slant),
        pitch=-slant,
    )
    taper, zero, one = np.full_like(length, 0.10), np.zeros_like(length), np.ones_like(length)
    normals = [np.stack([-taper, zero, one], -1), np.stack([-taper, zero, -one], -1)]
    weight = 1.25 * level_density(person)
    for channel, inset in ((BONE, np.zeros((1, 1))), (MARROW, 1.5 * person.cortex[:, None])):
        planes = [half_space(normal=normal, offset=tall - inset) for normal in normals]
        axes = np.stack([reach - inset, 2.9 - 0.6 * inset + 0 * reach, 2.2 * tall], -1)
        quadric = axial_quadric(inverse_squares=1 / axes**2)
        solids.add(
            channel=channel, weight=weight, frame=frames, quadrics=[quadric], planes=planes, low=-axes, high=axes
        )
    tip_x, tip_z = back - length * np.cos(slant) + 1.0, lift - length * np.sin(slant) - 0.6
    for side in SIDES:
        spread = np.where(person.bifid > 0, 3.2, 0.6)
        tips = attach(
            chain.bodies, x=tip_x + side * 0.7, y=side * spread, z=tip_z - 0.5 * side * person.bifid, pitch=-slant
        )
        size = np.stack([2.6 + 0.05 * length, np.full_like(length, 2.0), 0.75 * tall], -1)
        add_shell(solids, person, tips, size, weight=np.where(person.bifid > 0, 0.9, 0.5))


def add_dens_and_atlas(solids: SolidList, person: Person, body: Body, chain: Chain) -> None:
    """The dens and the superior facets on C2's body; C1's arches and lateral masses round it."""
    c2, top, scale = chain.bodies[:, :1], body.superior[:, :1], _scale_atlas(person)
    dens, axes = place_dens(person, body, chain)
    weight = 1.25 * person.density[:, None]
    for channel, inset in ((BONE, 0.0), (MARROW, person.cortex[:, None, None] * 1.6)):
        solids.add_ellipsoid(channel=channel, weight=weight, frame=dens, semi_axes=axes - inset, planes=[ABOVE])
    for side in SIDES:
        add_shell(solids, person, attach(c2, x=-0.5, y=side * 14.5, z=top - 3.0), (7.5, 6.0, 4.0), weight=0.5)
        masses = attach(chain.atlas, x=-1.5, y=side * 17.0 * scale, z=0.5, yaw=side * 0.2)
        add_shell(solids, person, masses, np.array((8.0, 6.0, 6.8)) * scale[..., None], weight=0.4)
        bars = attach(chain.atlas, x=-22.0 * scale, y=side * 14.0 * scale, z=0.5, yaw=side * 0.72)
        add_shell(solids, person, bars, np.array((16.0, 2.8, 3.6)) * scale[..., None], weight=1.2, shell=1.5)
        wings = attach(chain.atlas, x=-2.0, y=side * 30.0 * scale, z=0.0)
        add_shell(solids, person, wings, np.array((4.5, 7.0, 3.2)) * scale[..., None], weight=0.35)
    for frame, semi_axes in place_atlas_arches(person, chain):
        add_shell(solids, person, frame, semi_axes, weight=1.0, shell=1.4)


_DENS_FORWARD: Final = 0.6
"""How far the dens stands before the middle of its body, mm."""

ABOVE: Final = half_space(normal=(0.0, 0.0, -1.0), offset=0.0)


def place_dens(person: Person, body: Body, chain: Chain) -> tuple[FloatArray, FloatArray]:
    """Frame (B, 1, 4, 4) and semi-axes (B, 1, 3) of the dens: the upper half of an ellipsoid on C2's body."""
    height = person.dens_height[:, None]
    frame = attach(
        chain.bodies[:, :1], x=_DENS_FORWARD, y=0.0, z=body.superior[:, :1], pitch=person.dens_tilt_rad[:, None]
    )
    return frame, np.stack([_DENS_SEMI_DEPTH + 0 * height, 5.2 + 0 * height, height], -1)


_DENS_SEMI_DEPTH: Final = 5.4


def _scale_atlas(person: Person) -> FloatArray:
    """(B, 1) size of C1 against the drawing: as wide as C2's body is against the mean."""
    return person.width[:, :1] / MEAN_C2_WIDTH_MM


def place_atlas_arches(person: Person, chain: Chain) -> list[tuple[FloatArray, FloatArray]]:
    """Frames and semi-axes of C1's anterior arch, one atlantodental interval before the dens, and of its tubercle."""
    scale = _scale_atlas(person)
    dens_surface = _DENS_FORWARD + _DENS_SEMI_DEPTH * np.sqrt(1 - ATLAS_ON_DENS**2)
    arch, tubercle = np.array([3.3, 9.5, 5.4]) * scale[..., None], np.array([3.4, 6.0, 4.6]) * scale[..., None]
    front = dens_surface + person.atlantodental[:, None] + arch[..., 0]
    return [
        (attach(chain.atlas, x=front, y=0.0, z=0.5), arch),
        (attach(chain.atlas, x=-34.5 * scale, y=0.0, z=-0.3), tubercle),
    ]
