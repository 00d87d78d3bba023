"""Our own training as benchmarks call it: `update` by `update`, without validation, checkpoints and measurements."""

import time
from pathlib import Path
from typing import Any

import safetensors.numpy
import safetensors.torch
import torch

from cspine_bench.ddpm.checkpoint import Generator
from cspine_bench.ddpm.processes import find_device, join_processes
from cspine_bench.ddpm.recipe import DdpmRecipe
from cspine_bench.ddpm.shape_model import ShapeModel
from cspine_bench.ddpm.train import _prepare
from cspine_bench.ddpm.update import Training, update
from cspine_bench.provenance import sha256_bytes


def shorten(recipe: DdpmRecipe, num_steps: int) -> DdpmRecipe:
    """The recipe as a complete run of another length: its rate rises and falls within it.

    The rise takes the recipe's updates, or a tenth of the run where that is less.
    """
    training = recipe.training.model_dump() | {
        "num_steps": num_steps,
        "warmup_steps": min(recipe.training.warmup_steps, num_steps // 10),
        "checkpoint_steps": (),
        "monitor": None,
    }
    fields: dict[str, Any] = recipe.model_dump() | {"training": training}
    return DdpmRecipe(**fields)


class OwnRun:
    """A training run of a recipe: `update()` does one update.

    Args:
        recipe: what to train; `num_steps` is when its rate reaches 0.
        data: dataset folder.
        seed: of weights and draws.
        device: "cpu", "cuda" or "cuda:N".
    """

    def __init__(self, recipe: DdpmRecipe, data: Path, *, seed: int, device: str = "cpu") -> None:
        find_device(device)
        prepared = _prepare(recipe, data, join_processes(None, device), seed)
        self.training: Training = prepared[0]
        self._facts, self._shape_model = prepared[1], prepared[2]
        self.step = 0

    @property
    def num_parameters(self) -> int:
        """Of the network."""
        return sum(weights.numel() for weights in self.training.network.parameters())

    def update(self) -> torch.Tensor:
        """The next update; its loss, float (), on the device."""
        loss, _ = update(self.training, self.step)
        self.step += 1
        return loss

    def build_generator(self) -> Generator:
        """The averaged weights as they are now, ready to sample from."""
        training, packed = self.training, self._shape_model
        weights = {name: value.contiguous() for name, value in training.averaged.state_dict().items()}
        return Generator(
            network=training.averaged.eval(),
            recipe=training.recipe,
            size=training.recipe.size,
            weights_sha256=sha256_bytes(safetensors.torch.save(weights)),
            shape_model=None if packed is None else ShapeModel.from_arrays(safetensors.numpy.load(packed)),
            run_id=self._facts.run_id,
            step=self.step,
            ema=training.recipe.training.ema_lengths[0],
            training_set=self._facts.training_set,
        )


def run_updates(run: Any, count: int) -> float:
    """Do `count` updates of anything that has `update()`; CPU-seconds of this process.

    Raises:
        SystemExit: the loss at the end is no finite number.
    """
    began, loss = time.process_time(), None
    for _ in range(count):
        loss = run.update()
    spent = time.process_time() - began
    if loss is not None and not bool(torch.isfinite(loss)):
        raise SystemExit(f"{type(run).__name__}: the loss is {float(loss)} after {count} more updates")
    return spent
