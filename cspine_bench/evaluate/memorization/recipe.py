"""Settings of `evaluate memorization`."""

from typing import Annotated, Literal

from pydantic import Field

from cspine_bench.features.registry import DEFAULT_ENCODER
from cspine_bench.recipe import Recipe

VariantSet = Literal["shifted", "turned", "upended"]


class MemorizationRecipe(Recipe):
    """How hard copies of training films are looked for."""

    encoder: str | None = Field(
        default=DEFAULT_ENCODER,
        description="Second space besides pixels; null: pixels alone. See the page on encoders.",
    )
    variants: tuple[VariantSet, ...] = Field(
        default=("shifted", "turned", "upended"),
        min_length=1,
        description="Moves that every pair is tried under: flips and shifts; turns, scales, far shifts; quarter turns.",
    )
    regions: bool = Field(
        default=True, description="Search for parts of a film too: its halves, its quarters and its middle."
    )
    num_neighbours: Annotated[int, Field(ge=2)] = Field(
        default=50, description="Nearest training films that the distance of the nearest is held against."
    )
    false_discovery_rate: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.05, description="Share of honest images among those listed, on average."
    )
    false_positive_rate: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.01, description="Of films held out at the operating point of the planted copies."
    )
    planted: Annotated[int, Field(ge=0)] = Field(
        default=20, description="Copies planted by each transform, to see what the search finds; 0: none."
    )
    least_recall: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.8, description="Lower end of the planted copies' recall, below which the search is underpowered."
    )
    least_holdout: Annotated[int, Field(ge=10)] = Field(
        default=100, description="Fewer films held out make every verdict underpowered."
    )
    num_pairs: Annotated[int, Field(ge=1)] = Field(
        default=50, description="Pairs on the page, the most suspicious first."
    )
