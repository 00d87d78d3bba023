"""Settings of landmarking."""

from typing import Literal

from pydantic import Field

from cspine_bench.recipe import Recipe


class LandmarkingRecipe(Recipe):
    """Where the 23 landmarks lie."""

    kind: Literal["landmarking"] = "landmarking"
    method: Literal["heatmap", "regression"] = Field(
        "heatmap", description="One map for each landmark, or its two coordinates from the deepest features."
    )
