"""Settings of quality screening."""

from typing import Literal

from cspine_bench.recipe import Recipe


class QualityRecipe(Recipe):
    """Which artefact a radiograph has, and how much it harms."""

    kind: Literal["quality"] = "quality"
