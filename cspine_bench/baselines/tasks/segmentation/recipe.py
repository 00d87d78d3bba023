"""Settings of segmentation."""

from typing import Annotated, Final, Literal

from pydantic import Field, field_validator, model_validator

from cspine_bench.anatomy.landmarks import CORNER_LEVELS, LEVELS
from cspine_bench.recipe import Recipe

Target = Literal["auto", "masks", "bodies"]
TARGETS: Final[dict[Target, str]] = {
    "auto": "the mask, or where a radiograph has none, bodies C3 to C7 as the polygons of their corner landmarks",
    "masks": "the mask alone",
    "bodies": "bodies C3 to C7 as the polygons of their corner landmarks, also where there is a mask: so that truth is "
    "drawn alike on both sides",
}
"""What a network learns and is compared with."""

Level = Literal["C1", "C2", "C3", "C4", "C5", "C6", "C7", "T1"]


class SegmentationRecipe(Recipe):
    """Which pixels belong to which vertebra."""

    kind: Literal["segmentation"] = "segmentation"
    target: Target = Field("auto", description="; ".join(f"`{name}`: {told}" for name, told in TARGETS.items()) + ".")
    levels: tuple[Level, ...] = Field(
        CORNER_LEVELS,
        min_length=1,
        description="Vertebrae that figures of whole radiographs average over: by default those that masks, corner "
        "landmarks and conditioned samples all have, so that every arm is asked the same. All that are annotated are "
        "learnt, and have figures of their own.",
    )
    surface_tolerance_mm: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        2.0, description="Distance between boundaries that surface Dice counts as none."
    )
    surface_tolerance_px: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        1.0, description="The same where a pixel spacing is not known."
    )

    @field_validator("levels")
    @classmethod
    def _from_the_skull_down(cls, levels: tuple[Level, ...]) -> tuple[Level, ...]:
        if len(set(levels)) != len(levels):
            raise ValueError(f"names a vertebra twice: {', '.join(levels)}")
        return tuple(sorted(levels, key=LEVELS.index))

    @model_validator(mode="after")
    def _bodies_have_corners(self) -> "SegmentationRecipe":
        if self.target == "bodies" and not set(self.levels) & set(CORNER_LEVELS):
            raise ValueError(f"target bodies tells of {', '.join(CORNER_LEVELS)}; levels must name one of these")
        return self
