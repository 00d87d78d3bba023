"""The vertebral bodies C2..T2 as solids, their landmarks and their silhouettes.

Dimensions without a source named in `person` are proportions of our own, set by eye on the anatomy.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cspine_bench.sources.phantom.bone import BONE, MARROW, SIDES, add_shell, level_density
from cspine_bench.sources.phantom.person import Person
from cspine_bench.sources.phantom.posture import Chain
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
    low, high = find_box(body)
    has_plate = np.arange(8) > 0
    for channel, side, end in ((BONE, nothing, nothing), (MARROW, cortex, plate)):
        # C2 has no upper endplate: its marrow goes on into the dens.
        planes = body.planes(end * has_plate)[0], body.planes(end)[1]
        solids.add(
            channel=channel,
            weight=level_density(person),
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
            weight=-level_density(person) * there,
            frame=chain.bodies,
            quadrics=[body.quadric(side), ellipsoid],
            planes=[limit],
            low=middle - half,
            high=middle + half,
        )


def find_box(body: Body) -> tuple[FloatArray, FloatArray]:
    """Corners of a box that holds each body, (B, 8, 3) mm, local: wider than its plates, higher than their slopes."""
    side = np.stack([1.2 * body.semi_depth, 1.25 * body.semi_width], -1)
    low = np.concatenate([-side, body.inferior[..., None] - 1.5], -1)
    high = np.concatenate([side, body.superior[..., None] + 1.5], -1)
    return low, high


def add_rims(solids: SolidList, person: Person, body: Body, chain: Chain) -> None:
    """Uncinate processes of C3-T1 and osteophytes at the anterior rims."""
    cervical = slice(1, 7)
    frames = chain.bodies[:, cervical]
    depth, width, top = body.semi_depth[:, cervical], body.semi_width[:, cervical], body.superior[:, cervical]
    fade = np.array([1.0, 1.0, 1.0, 0.95, 0.8, 0.4])
    for side in SIDES:
        axes = np.stack([0.62 * depth, np.full_like(depth, 2.0), 3.4 * fade * np.ones_like(depth)], -1)
        hooks = attach(frames, x=-0.28 * depth, y=side * 0.86 * width, z=top - 0.3)
        add_shell(solids, person, hooks, axes, weight=0.8)
    corners = body.find_corners()
    for corner, which, lean in ((0, 0, 0.35), (2, 1, -0.35)):
        size = person.osteophyte[..., which]
        at = corners[:, :, corner]
        spur = attach(chain.bodies, x=at[..., 0] + 0.15 * size, y=0.0, z=at[..., 2] - np.sign(lean) * 0.7, pitch=-lean)
        axes = np.stack([0.8 + size, 0.45 * body.semi_width, np.full_like(size, 1.2) + 0.2 * size], -1)
        add_shell(solids, person, spur, axes, weight=np.where(size > 0.3, 0.9, 0.0))
