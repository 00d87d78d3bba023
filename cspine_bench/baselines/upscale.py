"""A trained super-resolver as what follows the sampler: `cspine-bench ddpm sample RUN --out DS --upscale MODEL`."""

import copy
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.baselines.model import TrainedModel, load_model
from cspine_bench.baselines.tasks.restoration.task import Restoration
from cspine_bench.baselines.unet import TaskNetwork
from cspine_bench.errors import CheckpointError


@dataclass(frozen=True)
class SuperResolver:
    """A trained super-resolver that takes images one by one; picklable.

    Args:
        model: of the task restoration, super-resolution.
    """

    model: TrainedModel

    @property
    def factor(self) -> int:
        """How many times the side."""
        return self._task.recipe.factor

    @property
    def input_size(self) -> int:
        """Side of the images that it takes, px."""
        return self.model.recipe.size // self.factor

    @property
    def weights_sha256(self) -> str:
        """Of its weights."""
        return self.model.weights_sha256

    @property
    def _task(self) -> Restoration:
        if not isinstance(self.model.task, Restoration):
            raise TypeError(f"a super-resolver is a model of restoration, got one of {self.model.recipe.task.kind}")
        return self.model.task

    def describe(self) -> Mapping[str, Any]:
        """What decides its images, and what it learnt from."""
        films = self.model.facts.trained_on
        return {
            "factor": self.factor,
            "weights_sha256": self.weights_sha256,
            "recipe_sha256": self.model.recipe.compute_sha256(),
            "trained_on": {"dataset_sha256": films.digest, "split": films.split, "num_films": films.n_used},
        }

    @torch.inference_mode()
    def enlarge(self, image: NDArray[np.uint8], *, device: str = "cpu") -> NDArray[np.uint8]:
        """One image larger.

        Args:
            image: uint8 (S, S), S the `input_size`.
            device: where to compute.

        Returns:
            uint8 (S factor, S factor). Its blocks' means are the image's pixels, to the rounding.

        Raises:
            ValueError: another type or shape.
        """
        if image.dtype != np.uint8 or image.shape != (self.input_size, self.input_size):
            raise ValueError(
                f"a super-resolver for {self.input_size} px takes 8-bit images of that side, got {image.dtype} "
                f"{image.shape}"
            )
        small = torch.from_numpy(image.astype(np.float32) / 127.5 - 1)[None, None].to(device)
        large = self._task.enlarge(_place_network(self.model.network, device), small)
        return ((large[0, 0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy()


def load_super_resolver(folder: Path) -> SuperResolver:
    """A model folder as a super-resolver.

    Raises:
        CheckpointError: it is no model, is torn or edited, or of another task.
    """
    model = load_model(folder)
    task = model.recipe.task
    if task.kind != "restoration" or task.what != "super-resolution":
        what = task.kind if task.kind != "restoration" else task.what
        raise CheckpointError(
            f"{folder}: is a model of {what}; images are enlarged by one of super-resolution: `cspine-bench baseline "
            f"train restoration --data DATASET --out MODEL`"
        )
    return SuperResolver(model)


@functools.lru_cache(maxsize=4)
def _place_network(network: TaskNetwork, device: str) -> TaskNetwork:
    """The network where it shall work, once for each process."""
    return network if torch.device(device).type == "cpu" else copy.deepcopy(network).to(device)
