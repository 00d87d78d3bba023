"""Settings of `evaluate fidelity`."""

from typing import Annotated, Literal

from pydantic import Field

from cspine_bench.features.registry import DEFAULT_ENCODER
from cspine_bench.measurement.inputs import SUBGROUPS
from cspine_bench.recipe import Recipe

Part = Literal["distribution", "ladder", "subgroups", "anatomy", "quality", "detectability"]


class FidelityRecipe(Recipe):
    """How the closeness of synthetic radiographs to real ones is measured."""

    encoder: str = Field(default=DEFAULT_ENCODER, description="See the page on encoders.")
    parts: tuple[Part, ...] = Field(
        default=("distribution", "ladder", "subgroups", "anatomy", "quality", "detectability"),
        min_length=1,
        description="What is measured; anatomy needs landmarks on both sides.",
    )
    num_neighbours: Annotated[int, Field(ge=1)] = Field(
        default=5, description="Size of the balls of precision, recall, density and coverage."
    )
    num_floors: Annotated[int, Field(ge=2)] = Field(
        default=10, description="How often the real radiographs are dealt into two halves for the floor."
    )
    ladder_count: Annotated[int, Field(ge=8)] = Field(
        default=500, description="Most real radiographs that are degraded as controls."
    )
    subgroups: tuple[Literal["sex", "age_band", "curvature", "disease", "checkpoint"], ...] = Field(
        default=SUBGROUPS, description="Labels that figures are repeated by."
    )
    least_subgroup: Annotated[int, Field(ge=10)] = Field(
        default=50, description="A subgroup with fewer radiographs on a side is named, but not measured."
    )
    detectability_count: Annotated[int, Field(ge=40)] = Field(
        default=1000, description="Most radiographs of each side that the detecting classifier sees."
    )
    transmission_count: Annotated[int, Field(ge=0)] = Field(
        default=200,
        description="Most radiographs of each side that the detector is shown after compression, resizing, a "
        "screenshot and a photograph of a print; fewer than 20: none.",
    )
    map_count: Annotated[int, Field(ge=0)] = Field(
        default=32,
        description="Most radiographs of each side that places are hidden in, to see where the detector looks; fewer "
        "than 8: none.",
    )
