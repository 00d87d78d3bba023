"""The bones of the spine as solids: C1, C2 with its dens, C3-C7, T1 and T2.

Bone is a shell: an outer solid and an inner one. Outer chords add up in the channel BONE, inner ones in MARROW;
the line integral is cortical * BONE - (cortical - trabecular) * MARROW. Dimensions without a source named in
`person` are proportions of our own, set by eye on the anatomy.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cspine_bench.sources.phantom.person import MEAN_C2_WIDTH_MM, Person
from cspine_bench.sources.phantom.posture import ATLAS_ON_DENS, Chain
from cspine_bench.sources.phantom.solids import (
    SolidList,
    apply_frame,
    attach,
    axial_quadric,
    build_frame,
    half_space,
    invert_frame,
)

FloatArray = NDArray[np.float64]

BONE: Final = 0
MARROW: Final = 1

_SIDES: Final = (-1.0, 1.0)


@dataclass(frozen=True)
class Body:
    """The vertebral bodies C2..T2 of a batch: a waisted, tapering elliptic cylinder between two endplate planes.

    Attributes:
        semi_depth, semi_width: (B, 8) mm, at mid-height.
        linear, waist: (B, 8) the l and -c of `axial_quadric`, in units of 1/mm and 1/mm^2, with constant 1.
        superior, inferior: (B, 8) mm, height of the endplate planes on the body's axis.
        superior_slope, inferior_slope: (B, 8) their rise towards anterior.
    """

    semi_depth: FloatArray
    semi_width: FloatArray
    linear: FloatArray
    waist: FloatArray
    superior: FloatArray
    inferior: FloatArray
    superior_slope: FloatArray
    inferior_slope: FloatArray

    def quadric(self, inset: FloatArray | float = 0.0) -> FloatArray:
        """The side wall, inset by a shell's thickness (mm)."""
        depth, width = self.semi_depth - inset, self.semi_width - inset
        inverse = np.stack([1 / depth**2, 1 / width**2, -self.waist], axis=-1)
        return axial_quadric(inverse_squares=inverse, linear_z=self.linear)

    def planes(self, inset: FloatArray | float = 0.0) -> tuple[FloatArray, FloatArray]:
        """The superior and inferior endplate planes, inset by a shell's thickness (mm)."""
        zero, one = np.zeros_like(self.superior), np.ones_like(self.superior)
        superior = half_space(normal=np.stack([-self.superior_slope, zero, one], -1), offset=self.superior - inset)
        inferior = half_space(normal=np.stack([self.inferior_slope, zero, -one], -1), offset=-self.inferior - inset)
        return superior, inferior

    def find_corners(self) -> FloatArray:
        """Corners (B, 8, 4, 3), mm, local, in the order of `anatomy.landmarks.CORNERS`.

        They are where the endplate planes cut the side wall in the midsagittal plane.
        """
        corners = []
        for height, slope in ((self.superior, self.superior_slope), (self.inferior, self.inferior_slope)):
            # x^2 / a^2 - w z^2 + 2 l z = 1 with z = height + slope x
            a = 1 / self.semi_depth**2 - self.waist * slope**2
            b = slope * (self.linear - self.waist * height)
            c = 2 * self.linear * height - self.waist * height**2 - 1
            root = np.sqrt(b * b - a * c)
            for x in ((-b + root) / a, (-b - root) / a):
                corners.append(np.stack([x, np.zeros_like(x), height + slope * x], axis=-1))
        return np.stack(corners, axis=2)


def build_bodies(person: Person) -> Body:
    """Bodies with the person's depths, heights and waists."""
    height = (person.anterior_height + person.posterior_height) / 2
    middle = person.waist * (person.superior_depth + person.inferior_depth) / 2
    upper, lower = (person.superior_depth / middle) ** 2, (person.inferior_depth / middle) ** 2
    slope = (person.anterior_height - person.posterior_height) / (person.superior_depth + person.inferior_depth)
    return Body(
        semi_depth=middle / 2,
        semi_width=person.width / 2,
        linear=-(upper - lower) / (2 * height),
        waist=np.maximum((upper + lower - 2) * 2 / height**2, 0),
        superior=height / 2,
        inferior=-height / 2,
        superior_slope=slope,
        inferior_slope=-slope,
    )


def find_landmarks(body: Body, chain: Chain) -> FloatArray:
    """The 23 landmarks (B, 23, 3), mm, in the person's frame, in the order of `LANDMARK_NAMES`.

    C2's centroid is the middle of its body (dens left out), as its corners' mean.
    """
    corners = apply_frame(chain.bodies[:, :, None], body.find_corners())
    c2 = corners[:, 0]
    points = [c2.mean(axis=1, keepdims=True), c2[:, 2:]]
    points.append(corners[:, 1:6].reshape(corners.shape[0], 20, 3))
    return np.concatenate(points, axis=1)


def add_bodies(solids: SolidList, person: Person, body: Body, chain: Chain) -> None:
    """Bodies C2..T2 with shell, hollow endplates and the dents of worn ones."""
    cortex = np.clip(person.cortex, 0.3, None)[:, None]
    plate: FloatArray = np.asarray(0.75 * cortex + person.sclerosis)
    nothing = np.zeros_like(plate)
    low, high = _box(body)
    has_plate = np.arange(8) > 0
    for channel, side, end in ((BONE, nothing, nothing), (MARROW, cortex, plate)):
        # C2 has no upper endplate: its marrow goes on into the dens.
        planes = body.planes(end * has_plate)[0], body.planes(end)[1]
        solids.add(
            channel=channel,
            weight=_level_density(person),
            frame=chain.bodies,
            quadrics=[body.quadric(side)],
            planes=list(planes),
            low=low,
            high=high,
        )
        for which, present in ((0, has_plate), (1, np.ones(8))):
            _hollow(solids, person, body, chain, channel=channel, which=which, side=side, end=end, present=present)


def _hollow(
    solids: SolidList,
    person: Person,
    body: Body,
    chain: Chain,
    *,
    channel: int,
    which: int,
    side: FloatArray,
    end: FloatArray,
    present: NDArray[np.bool_] | FloatArray,
) -> None:
    """Take the bowl of an endplate, and the dent in its floor, away from a body (which: 0 superior, 1 inferior)."""
    up = 1.0 - 2.0 * which
    height, slope = ((body.superior, body.superior_slope), (body.inferior, body.inferior_slope))[which]
    plane = body.planes(end)[which]
    deep = person.endplate_concavity[..., which]
    dent = person.endplate_dent[..., which, :]
    # Apex 61 % back in superior endplates and 54 % in inferior ones. Source: ESJ 2013 22:1570 (56-67 %, 52-57 %).
    behind = np.full_like(height, (-0.22, -0.08)[which])
    bowl_axes = np.stack([0.76 * body.semi_depth + side, 0.8 * body.semi_width + side, deep + end], -1)
    dent_axes = np.stack([dent[..., 1] + end, 1.6 * dent[..., 1] + end, dent[..., 2] + end], -1)
    # The dent begins where the bowl ends, so that nothing is taken away twice.
    floor = plane.copy()
    floor[..., 3] += deep
    cuts = (
        (behind, 0.0 * deep, bowl_axes, plane, present),
        (dent[..., 0], deep, np.maximum(dent_axes, 0.1), floor, present * (dent[..., 2] > 0)),
    )
    for along, sunk, axes, limit, there in cuts:
        x = along * body.semi_depth
        middle = np.stack([x, np.zeros_like(x), height + slope * x - up * sunk], -1)
        tilted = build_frame(origin=middle, pitch_rad=-np.arctan(slope))
        inverse = invert_frame(tilted)
        ellipsoid = np.swapaxes(inverse, -1, -2) @ axial_quadric(inverse_squares=1 / axes**2) @ inverse
        half = axes + 0.2 * axes[..., :1]
        solids.add(
            channel=channel,
            weight=-_level_density(person) * there,
            frame=chain.bodies,
            quadrics=[body.quadric(side), ellipsoid],
            planes=[limit],
            low=middle - half,
            high=middle + half,
        )


def _box(body: Body) -> tuple[FloatArray, FloatArray]:
    """Corners of a box that holds each body, (B, 8, 3) mm, local: wider than its plates, higher than their slopes."""
    side = np.stack([1.2 * body.semi_depth, 1.25 * body.semi_width], -1)
    low = np.concatenate([-side, body.inferior[..., None] - 1.5], -1)
    high = np.concatenate([side, body.superior[..., None] + 1.5], -1)
    return low, high


def _level_density(person: Person) -> FloatArray:
    return np.broadcast_to(person.density[:, None], person.width.shape)


def _add_shell(
    solids: SolidList,
    person: Person,
    frame: FloatArray,
    semi_axes: ArrayLike,
    *,
    weight: ArrayLike = 1.0,
    shell: float = 1.0,
) -> None:
    """An ellipsoid of bone, (B, L) copies; shell scales the cortex."""
    count = frame.shape[1]
    density = person.density[:, None] * np.broadcast_to(np.asarray(weight, dtype=np.float64), (frame.shape[0], count))
    axes = np.broadcast_to(np.asarray(semi_axes, dtype=np.float64), (frame.shape[0], count, 3))
    solids.add_ellipsoid(channel=BONE, weight=density, frame=frame, semi_axes=axes)
    inner = axes - np.minimum(shell * person.cortex[:, None, None], 0.6 * axes)
    solids.add_ellipsoid(channel=MARROW, weight=density, frame=frame, semi_axes=inner)


def add_rims(solids: SolidList, person: Person, body: Body, chain: Chain) -> None:
    """Uncinate processes of C3-T1 and osteophytes at the anterior rims."""
    cervical = slice(1, 7)
    frames = chain.bodies[:, cervical]
    depth, width, top = body.semi_depth[:, cervical], body.semi_width[:, cervical], body.superior[:, cervical]
    fade = np.array([1.0, 1.0, 1.0, 0.95, 0.8, 0.4])
    for side in _SIDES:
        axes = np.stack([0.62 * depth, np.full_like(depth, 2.0), 3.4 * fade * np.ones_like(depth)], -1)
        hooks = attach(frames, x=-0.28 * depth, y=side * 0.86 * width, z=top - 0.3)
        _add_shell(solids, person, hooks, axes, weight=0.8)
    corners = body.find_corners()
    for corner, which, lean in ((0, 0, 0.35), (2, 1, -0.35)):
        size = person.osteophyte[..., which]
        at = corners[:, :, corner]
        spur = attach(chain.bodies, x=at[..., 0] + 0.15 * size, y=0.0, z=at[..., 2] - np.sign(lean) * 0.7, pitch=-lean)
        axes = np.stack([0.8 + size, 0.45 * body.semi_width, np.full_like(size, 1.2) + 0.2 * size], -1)
        _add_shell(solids, person, spur, axes, weight=np.where(size > 0.3, 0.9, 0.0))


def add_posterior_elements(solids: SolidList, person: Person, body: Body, chain: Chain) -> None:
    """Pedicles, articular pillars with facet joints, laminae, transverse and spinous processes of C2..T2."""
    frames, a = chain.bodies, body.semi_depth
    back = -a - person.canal
    to_next = np.linalg.norm(np.diff(frames[..., :3, 3], axis=1), axis=-1)
    spacing = np.concatenate([to_next, to_next[:, -1:]], axis=1)
    drop = np.array([-7.0, 0, 0, 0, 0, 0, 0, 0])
    for side in _SIDES:
        pedicles = attach(frames, x=-a - 1.5, y=side * 0.5 * person.width, z=1.0 + drop, yaw=-side * 0.7)
        _add_shell(solids, person, pedicles, (5.5, 2.7, 3.1), weight=0.8, shell=1.2)
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
        _add_shell(solids, person, laminae, np.array([2.1, 9.0, 6.2]), weight=0.75, shell=1.3)
        tubercles = attach(frames, x=-0.45 * a, y=side * (0.5 * person.width + 8), z=-2.0 + drop, yaw=side * 0.4)
        _add_shell(
            solids, person, tubercles, (4.5, 5.5, 2.6), weight=np.array([0.4, 0.6, 0.6, 0.6, 0.8, 0.7, 0.7, 0.7])
        )
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
    weight = 1.25 * _level_density(person)
    for channel, inset in ((BONE, np.zeros((1, 1))), (MARROW, 1.5 * person.cortex[:, None])):
        planes = [half_space(normal=normal, offset=tall - inset) for normal in normals]
        axes = np.stack([reach - inset, 2.9 - 0.6 * inset + 0 * reach, 2.2 * tall], -1)
        quadric = axial_quadric(inverse_squares=1 / axes**2)
        solids.add(
            channel=channel, weight=weight, frame=frames, quadrics=[quadric], planes=planes, low=-axes, high=axes
        )
    tip_x, tip_z = back - length * np.cos(slant) + 1.0, lift - length * np.sin(slant) - 0.6
    for side in _SIDES:
        spread = np.where(person.bifid > 0, 3.2, 0.6)
        tips = attach(
            chain.bodies, x=tip_x + side * 0.7, y=side * spread, z=tip_z - 0.5 * side * person.bifid, pitch=-slant
        )
        size = np.stack([2.6 + 0.05 * length, np.full_like(length, 2.0), 0.75 * tall], -1)
        _add_shell(solids, person, tips, size, weight=np.where(person.bifid > 0, 0.9, 0.5))


def add_dens_and_atlas(solids: SolidList, person: Person, body: Body, chain: Chain) -> None:
    """The dens and the superior facets on C2's body; C1's arches and lateral masses round it."""
    c2, top, scale = chain.bodies[:, :1], body.superior[:, :1], _scale_atlas(person)
    dens, axes = _place_dens(person, body, chain)
    weight = 1.25 * person.density[:, None]
    for channel, inset in ((BONE, 0.0), (MARROW, person.cortex[:, None, None] * 1.6)):
        solids.add_ellipsoid(channel=channel, weight=weight, frame=dens, semi_axes=axes - inset, planes=[_ABOVE])
    for side in _SIDES:
        _add_shell(solids, person, attach(c2, x=-0.5, y=side * 14.5, z=top - 3.0), (7.5, 6.0, 4.0), weight=0.5)
        masses = attach(chain.atlas, x=-1.5, y=side * 17.0 * scale, z=0.5, yaw=side * 0.2)
        _add_shell(solids, person, masses, np.array((8.0, 6.0, 6.8)) * scale[..., None], weight=0.4)
        bars = attach(chain.atlas, x=-22.0 * scale, y=side * 14.0 * scale, z=0.5, yaw=side * 0.72)
        _add_shell(solids, person, bars, np.array((16.0, 2.8, 3.6)) * scale[..., None], weight=1.2, shell=1.5)
        wings = attach(chain.atlas, x=-2.0, y=side * 30.0 * scale, z=0.0)
        _add_shell(solids, person, wings, np.array((4.5, 7.0, 3.2)) * scale[..., None], weight=0.35)
    for frame, semi_axes in _place_atlas_arches(person, chain):
        _add_shell(solids, person, frame, semi_axes, weight=1.0, shell=1.4)


def add_mask_solids(solids: SolidList, person: Person, body: Body, chain: Chain, *, lateral: NDArray[np.bool_]) -> None:
    """Silhouettes of C1..T1, one channel each; a weight is 1 over the chord from which on a pixel is part of it.

    A vertebra's label is its body's shadow (C2 with the dens, C1 its two arches): posterior elements of neighbours
    cross each other on a lateral film, and one label a pixel cannot hold that.

    Args:
        lateral: (B,) take the shadow of the middle 4 mm of a body, where its corners are. The rims to either side lie
            higher or lower on an oblique ray, and would round the corners off. From other sides, take the whole body.
    """
    bodies = slice(0, 7)
    half = np.where(lateral[:, None], 2.0, person.width)
    sides = [half_space(normal=(0.0, sign, 0.0), offset=half[:, bodies]) for sign in _SIDES]
    solids.add(
        channel=np.arange(1, 8),
        weight=np.where(lateral[:, None], 1.0, 4 / person.width[:, bodies]),
        frame=chain.bodies[:, bodies],
        quadrics=[body.quadric()[:, bodies]],
        planes=[plane[:, bodies] for plane in body.planes()] + sides,
        low=_box(body)[0][:, bodies],
        high=_box(body)[1][:, bodies],
    )
    dens, axes = _place_dens(person, body, chain)
    solids.add_ellipsoid(channel=1, weight=1 / 1.5, frame=dens, semi_axes=axes, planes=[_ABOVE])
    for frame, semi_axes in _place_atlas_arches(person, chain):
        # Lower weight than C2's: where arch and dens overlap, the dens has the pixel.
        solids.add_ellipsoid(channel=0, weight=1 / 3.0, frame=frame, semi_axes=semi_axes)


_DENS_FORWARD: Final = 0.6
"""How far the dens stands before the middle of its body, mm."""

_ABOVE: Final = half_space(normal=(0.0, 0.0, -1.0), offset=0.0)


def _place_dens(person: Person, body: Body, chain: Chain) -> tuple[FloatArray, FloatArray]:
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


def _place_atlas_arches(person: Person, chain: Chain) -> list[tuple[FloatArray, FloatArray]]:
    """Frames and semi-axes of C1's anterior arch, one atlantodental interval before the dens, and of its tubercle."""
    scale = _scale_atlas(person)
    dens_surface = _DENS_FORWARD + _DENS_SEMI_DEPTH * np.sqrt(1 - ATLAS_ON_DENS**2)
    arch, tubercle = np.array([3.3, 9.5, 5.4]) * scale[..., None], np.array([3.4, 6.0, 4.6]) * scale[..., None]
    front = dens_surface + person.atlantodental[:, None] + arch[..., 0]
    return [
        (attach(chain.atlas, x=front, y=0.0, z=0.5), arch),
        (attach(chain.atlas, x=-34.5 * scale, y=0.0, z=-0.3), tubercle),
    ]
