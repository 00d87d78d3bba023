"""The tasks by the `kind` that a recipe names."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.task import Task
from cspine_bench.baselines.tasks.classification.task import Classification
from cspine_bench.baselines.tasks.landmarking.task import Landmarking
from cspine_bench.baselines.tasks.quality.task import Quality
from cspine_bench.baselines.tasks.restoration.task import Restoration
from cspine_bench.baselines.tasks.segmentation.task import Segmentation
from cspine_bench.baselines.unet import NetworkShape

TASKS: Final[Mapping[str, Callable[[Any, NetworkShape], Task]]] = {
    "classification": Classification,
    "landmarking": Landmarking,
    "quality": Quality,
    "restoration": Restoration,
    "segmentation": Segmentation,
}
"""Each is called with its recipe and the network's shape."""


def build_task(recipe: BaselineRecipe) -> Task:
    """The task of a recipe."""
    shape = NetworkShape(recipe.size, recipe.network.unshuffle, recipe.network.widths)
    return TASKS[recipe.task.kind](recipe.task, shape)
