"""Settings of classification."""

from typing import Literal

from pydantic import Field

from cspine_bench.recipe import Recipe


class ClassificationRecipe(Recipe):
    """Which class a radiograph has."""

    kind: Literal["classification"] = "classification"
    label: Literal["curvature", "curvature-3", "disease", "sex"] = Field(
        "curvature-3", description="`curvature-3` joins straight and both sigmoid kinds; `sex` is a sanity task."
    )
