"""Settings of landmarking."""

from typing import Annotated, Literal

from pydantic import Field

from cspine_bench.recipe import Recipe


class LandmarkingRecipe(Recipe):
    """Where the 23 landmarks lie."""

    kind: Literal["landmarking"] = "landmarking"
    method: Literal["heatmap", "regression"] = Field(
        "heatmap", description="One map for each landmark, or its two coordinates from the deepest features."
    )
    sigma_cells: Annotated[float, Field(ge=0.4, le=16)] = Field(
        0.5, description="Spread of a landmark in its map, in cells of `network.unshuffle` pixels. Heat maps only."
    )
