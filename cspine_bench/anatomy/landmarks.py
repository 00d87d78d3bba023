"""The 23 landmarks of a lateral cervical radiograph, in the order of every array in this package.

Points are (x, y) in pixels; (0, 0) is the centre of the top-left pixel, x grows to the right and y downwards.
An array of landmarks has shape (..., 23, 2); a NaN pair marks a landmark that was not labelled.

Names are anatomical (anterior, posterior), so they hold for both facings. CSXA's own names say left and right;
its patients face left, so there left is anterior.
Source: Ran et al. 2024, Scientific Data, s41597-024-03383-0 (CSXA).
"""

from typing import Final

NUM_LANDMARKS: Final = 23

LEVELS: Final = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "T1")
"""Vertebrae that a mask may hold, from the skull down."""

MASK_LABELS: Final = {level: label for label, level in enumerate(LEVELS, start=1)}
"""Mask value of each vertebra: C1 = 1 .. C7 = 7, T1 = 8. Background is 0."""

ALL_LEVELS: Final = ",".join(LEVELS)
"""`mask_levels` of a mask that annotates every vertebra in view."""

CORNER_LEVELS: Final = ("C3", "C4", "C5", "C6", "C7")
"""Vertebrae with all four corners labelled. C2 has its centroid and its two inferior corners."""

CORNERS: Final = ("superior_anterior", "superior_posterior", "inferior_anterior", "inferior_posterior")

LANDMARK_NAMES: Final = (
    "C2_centroid",
    "C2_inferior_anterior",
    "C2_inferior_posterior",
    *(f"{level}_{corner}" for level in CORNER_LEVELS for corner in CORNERS),
)

LANDMARK_INDEX: Final = {name: index for index, name in enumerate(LANDMARK_NAMES)}

_CSXA_CORNERS = {
    "superior_anterior": "top left",
    "superior_posterior": "top right",
    "inferior_anterior": "bottom left",
    "inferior_posterior": "bottom right",
}

CSXA_LANDMARK_NAMES: Final = (
    "C2 centroid",
    "C2 bottom left",
    "C2 bottom right",
    *(f"{level} {_CSXA_CORNERS[corner]}" for level in CORNER_LEVELS for corner in CORNERS),
)
"""The same points in the same order, as the labels in CSXA's JSON files spell them."""
