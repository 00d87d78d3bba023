"""Class names, in the order of their integer labels in every dataset folder."""

from typing import Final, Literal, get_args

Curvature = Literal["lordotic", "straight", "sigmoid1", "sigmoid2", "kyphotic"]
Sex = Literal["male", "female"]
Disease = Literal["healthy", "spondylosis"]
Facing = Literal["left", "right"]

CURVATURE_CLASSES: Final[tuple[Curvature, ...]] = get_args(Curvature)
SEXES: Final[tuple[Sex, ...]] = get_args(Sex)
DISEASES: Final[tuple[Disease, ...]] = get_args(Disease)
FACINGS: Final[tuple[Facing, ...]] = get_args(Facing)

CSXA_CURVATURE_COUNTS: Final = {"lordotic": 1760, "straight": 1714, "sigmoid": 985, "kyphotic": 504}
"""Films of each curvature in CSXA (n = 4,963; its two sigmoid kinds are counted together there)."""
