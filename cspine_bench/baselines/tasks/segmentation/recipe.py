"""Settings of segmentation."""

from typing import Literal

from cspine_bench.recipe import Recipe


class SegmentationRecipe(Recipe):
    """Which pixels belong to which vertebra."""

    kind: Literal["segmentation"] = "segmentation"
