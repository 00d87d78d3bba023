"""Settings of quality screening."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cspine_bench.recipe import Recipe

Share = Annotated[float, Field(ge=0, le=1)]


class QualityRecipe(Recipe):
    """Which artefact a radiograph has, and how much it harms."""

    kind: Literal["quality"] = "quality"
    strength: tuple[Share, Share] = Field((0.2, 1.0), description="Of the simulated artefacts, even; 1 is the worst.")
    clean_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="Radiographs that are left as they are; the artefacts share the rest evenly."
    )
    ssim_limit: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.9, description="Least structural similarity to the clean image that passes the filter."
    )
    ssim_weight: Annotated[float, Field(ge=0)] = Field(
        8.0, description="Of the error of the structural similarity in the loss, beside the artefact's cross-entropy."
    )

    @model_validator(mode="after")
    def _strength_rises(self) -> Self:
        if self.strength[0] > self.strength[1]:
            raise ValueError(f"strength must rise, got {self.strength[0]:g} to {self.strength[1]:g}")
        return self
