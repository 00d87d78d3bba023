"""Skull base, mandible, teeth and hyoid as solids, in the frame of the skull (origin between the occipital condyles).

Only what a lateral film of the neck shows is modelled: lower skull, jaw, palate, hyoid. Sizes are adult proportions of
our own, set by eye.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cspine_bench.sources.phantom.bone import BONE, MARROW, SIDES
from cspine_bench.sources.phantom.person import Person
from cspine_bench.sources.phantom.posture import Chain
from cspine_bench.sources.phantom.solids import SolidList, attach, half_space

FloatArray = NDArray[np.float64]


def _place(
    parent: FloatArray, x: float, y: float, z: float, *, scale: FloatArray, pitch: float = 0.0, yaw: float = 0.0
) -> FloatArray:
    size = scale[:, None]
    return attach(parent, x=x * size, y=y * size, z=z * size, pitch=pitch, yaw=yaw)


def _add(
    solids: SolidList, frame: FloatArray, semi_axes: ArrayLike, *, scale: FloatArray, density: ArrayLike, shell: float
) -> None:
    axes = np.asarray(semi_axes, dtype=np.float64) * scale[:, None, None]
    weight = np.broadcast_to(np.asarray(density, dtype=np.float64)[..., None], (axes.shape[0], 1))
    solids.add_ellipsoid(channel=BONE, weight=weight, frame=frame, semi_axes=axes)
    if shell > 0:
        inner = axes - np.minimum(shell, 0.7 * axes)
        solids.add_ellipsoid(channel=MARROW, weight=weight, frame=frame, semi_axes=inner)


def add_skull(solids: SolidList, person: Person, chain: Chain) -> None:
    """Vault, occiput, petrous bones, mastoids, clivus, palate and upper teeth."""
    scale, density, skull = person.jaw_size, person.density, chain.skull
    # Two tables of bone with diploe between them. Tilted front up, its lowest point is the occiput, behind C1.
    vault = _place(skull, 4.0, 0.0, 92.0, scale=scale, pitch=-0.32)
    axes = np.array([102.0, 73.0, 84.0]) * scale[:, None, None]
    axes = axes * (person.skull_length[:, None] ** (1, -0.5, 0))[:, None]
    weight = 0.7 * density[:, None]
    for channel, factor, inset in ((BONE, 1.0, 0.0), (MARROW, 0.8, 1.2), (MARROW, -0.8, 4.4), (BONE, -1.0, 5.6)):
        solids.add_ellipsoid(channel=channel, weight=factor * weight, frame=vault, semi_axes=axes - inset)
    _add(
        solids,
        _place(skull, 22, 0, 22, scale=scale, pitch=-0.9),
        (17, 15, 7),
        scale=scale,
        density=0.55 * density,
        shell=2,
    )
    _add(solids, _place(skull, 42, 0, 30, scale=scale), (16, 17, 13), scale=scale, density=0.35 * density, shell=1.2)
    for side in SIDES:
        condyle = _place(skull, -1, side * 16, 1, scale=scale)
        _add(solids, condyle, (10, 6, 5), scale=scale, density=0.9 * density, shell=1.2)
        petrous = _place(skull, 14, side * 32, 22, scale=scale, yaw=-side * 0.7, pitch=-0.2)
        _add(solids, petrous, (20, 9, 11), scale=scale, density=0.5 * density, shell=3.0)
        mastoid = _place(skull, -3, side * 52, 6, scale=scale, pitch=0.25)
        _add(solids, mastoid, (9, 8, 16), scale=scale, density=0.5 * density, shell=1.2)
        squama = _place(skull, 18, side * 66, 45, scale=scale)
        _add(solids, squama, (60, 5, 40), scale=scale, density=0.5 * density, shell=1.5)
        pterygoid = _place(skull, 46, side * 14, 4, scale=scale, pitch=-0.1)
        _add(solids, pterygoid, (4, 5, 16), scale=scale, density=0.5 * density, shell=1.0)
    palate = _place(skull, 72, 0, -2, scale=scale, pitch=0.0)
    _add(solids, palate, (27, 17, 2.4), scale=scale, density=density, shell=1.0)


def add_jaw(solids: SolidList, person: Person, chain: Chain) -> None:
    """Mandible (ramus, angle, body, chin), both rows of teeth with their fillings, and the hyoid bone."""
    scale, density, skull = person.jaw_size, person.density, chain.skull
    for side in SIDES:
        ramus = _place(skull, 38, side * 46, -9, scale=scale, pitch=0.16, yaw=-side * 0.08)
        front = half_space(normal=(1.0, 0.0, 0.0), offset=15.0 * scale[:, None])
        rear = half_space(normal=(-1.0, 0.0, 0.0), offset=14.0 * scale[:, None])
        for channel, inset in ((BONE, 0.0), (MARROW, 1.5)):
            axes = np.array([24.0, 5.0, 31.0]) * scale[:, None, None] - inset
            weight = 1.1 * density[:, None]
            solids.add_ellipsoid(channel=channel, weight=weight, frame=ramus, semi_axes=axes, planes=[front, rear])
        angle = _place(skull, 35, side * 46, -34, scale=scale, pitch=0.5)
        _add(solids, angle, (15, 4.5, 9), scale=scale, density=0.6 * density, shell=1.3)
        body = _place(skull, 66, side * 33, -41, scale=scale, pitch=0.16, yaw=-side * 0.42)
        _add(solids, body, (36, 5.5, 12), scale=scale, density=1.25 * density, shell=2.4)
        for row, height in ((0, -17.5), (1, -26.0)):
            for tooth in range(6):
                along = tooth / 5
                x = 58 + 38 * along - (2 if row else 0)
                y = side * (27 - 20 * along**2)
                place = _place(skull, x, y, height - 1.5 * along, scale=scale)
                crown = 1.5 * density + (2.5 * person.fillings if tooth in (1, 2) else 0.0)
                _add(solids, place, (3.4, 3.8, 5.2), scale=scale, density=crown, shell=0.0)
                root = _place(skull, x, y, height + (9.0 if row == 0 else -9.0), scale=scale)
                _add(solids, root, (2.2, 2.4, 8.0), scale=scale, density=0.5 * density, shell=0.0)
    chin = _place(skull, 96, 0, -44, scale=scale, pitch=-0.25)
    _add(solids, chin, (8, 17, 13), scale=scale, density=0.6 * density, shell=2.5)


def add_hyoid(solids: SolidList, person: Person, chain: Chain) -> None:
    """Hyoid body and greater horns in front of C3/C4, and the thyroid cartilage as far as it is calcified."""
    scale, density = person.jaw_size, person.density
    c4 = chain.bodies[:, 2:3]
    front = (person.superior_depth[:, 2] / 2 + person.prevertebral[:, 0] + person.hyoid_shift[:, 0])[:, None]
    lift = person.hyoid_shift[:, 1:2]
    for side in SIDES:
        horn = attach(c4, x=front + 19, y=side * 15, z=lift + 9.0, pitch=0.18, yaw=-side * 0.35)
        _add(solids, horn, (14, 1.9, 1.9), scale=scale, density=1.1 * density, shell=0.6)
        plate = attach(c4, x=front + 20, y=side * 11, z=lift - 17.0, pitch=0.25, yaw=-side * 0.5)
        calcified = 0.45 * person.calcification * density
        _add(solids, plate, (13, 1.5, 12), scale=scale, density=calcified, shell=0.6)
    middle = attach(c4, x=front + 32, y=0.0, z=lift + 5.5, pitch=-0.5)
    _add(solids, middle, (2.8, 11, 5.2), scale=scale, density=1.1 * density, shell=0.9)
