"""Settings of restoration."""

from typing import Literal

from pydantic import Field

from cspine_bench.recipe import Recipe


class RestorationRecipe(Recipe):
    """What a radiograph was before."""

    kind: Literal["restoration"] = "restoration"
    what: Literal["super-resolution", "bone-suppression"] = Field(
        "super-resolution", description="`bone-suppression` needs phantoms, which can be made again without bone."
    )
    factor: Literal[2, 4] = Field(2, description="Of super-resolution: the side grows by it.")
