"""Bone as a shell: an outer solid and an inner one.

Outer chords add up in the channel BONE, inner ones in MARROW; the line integral is
cortical * BONE - (cortical - trabecular) * MARROW.
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cspine_bench.sources.phantom.person import Person
from cspine_bench.sources.phantom.solids import SolidList

FloatArray = NDArray[np.float64]

BONE: Final = 0
MARROW: Final = 1

SIDES: Final = (-1.0, 1.0)
"""Left and right."""


def level_density(person: Person) -> FloatArray:
    """Density (B, 8) of each level, relative to a young adult's."""
    return np.broadcast_to(person.density[:, None], person.width.shape)


def add_shell(
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
