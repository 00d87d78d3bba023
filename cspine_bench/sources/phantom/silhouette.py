"""What the mask shows: silhouettes of the vertebrae as solids."""

import numpy as np
from numpy.typing import NDArray

from cspine_bench.sources.phantom.arch import ABOVE, place_atlas_arches, place_dens
from cspine_bench.sources.phantom.body import Body, find_box
from cspine_bench.sources.phantom.bone import SIDES
from cspine_bench.sources.phantom.person import Person
from cspine_bench.sources.phantom.posture import Chain
from cspine_bench.sources.phantom.solids import SolidList, half_space


def add_silhouettes(solids: SolidList, person: Person, body: Body, chain: Chain, *, lateral: NDArray[np.bool_]) -> None:
    """Silhouettes of C1..T1, one channel each; a weight is 1 over the chord from which on a pixel is part of it.

    A vertebra's label is its body's shadow (C2 with the dens, C1 its two arches): posterior elements of neighbours
    cross each other on a lateral film, and one label a pixel cannot hold that.

    Args:
        lateral: (B,) take the shadow of the middle 4 mm of a body, where its corners are. The rims to either side lie
            higher or lower on an oblique ray, and would round the corners off. From other sides, take the whole body.
    """
    bodies = slice(0, 7)
    half = np.where(lateral[:, None], 2.0, person.width)
    sides = [half_space(normal=(0.0, sign, 0.0), offset=half[:, bodies]) for sign in SIDES]
    solids.add(
        channel=np.arange(1, 8),
        weight=np.where(lateral[:, None], 1.0, 4 / person.width[:, bodies]),
        frame=chain.bodies[:, bodies],
        quadrics=[body.quadric()[:, bodies]],
        planes=[plane[:, bodies] for plane in body.planes()] + sides,
        low=find_box(body)[0][:, bodies],
        high=find_box(body)[1][:, bodies],
    )
    dens, axes = place_dens(person, body, chain)
    solids.add_ellipsoid(channel=1, weight=1 / 1.5, frame=dens, semi_axes=axes, planes=[ABOVE])
    for frame, semi_axes in place_atlas_arches(person, chain):
        # Lower weight than C2's: where arch and dens overlap, the dens has the pixel.
        solids.add_ellipsoid(channel=0, weight=1 / 3.0, frame=frame, semi_axes=semi_axes)
