"""Train one network: the stages of an arm, one after the other, with the same optimiser settings in every arm."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cspine_bench.augment import (
    AugmentRecipe,
    change_images,
    change_landmarks,
    change_masks,
    draw_changes,
    find_origins,
)
from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.recipe import BaselineRecipe, LearningRecipe
from cspine_bench.baselines.self_supervised import Painter, compute_painting_loss
from cspine_bench.baselines.task import Batch, Task
from cspine_bench.baselines.unet import TaskNetwork
from cspine_bench.errors import CspineBenchError
from cspine_bench.seeding import derive_key, numpy_generator

OnProgress = Callable[[int, int], None]
_TORCH_SEEDS: Final = 2**63


@dataclass(frozen=True)
class Stage:
    """One stretch of learning.

    Attributes:
        cases: what it learns from.
        updates: of the weights.
        augment: changes of the radiographs; None: they are taken as they are.
        self_supervised: learn from the pixels alone; the head is put aside.
    """

    cases: Cases
    updates: int
    augment: AugmentRecipe | None = None
    self_supervised: bool = False


def torch_generator(seed: int, stream: str, index: int = 0) -> torch.Generator:
    """A torch generator on the CPU for one use and index."""
    generator = torch.Generator()
    generator.manual_seed(derive_key(seed, stream, index) % _TORCH_SEEDS)
    return generator


def train_network(
    task: Task,
    recipe: BaselineRecipe,
    stages: Sequence[Stage],
    *,
    seed: int,
    learning_rate: float,
    device: str = "cpu",
    on_progress: OnProgress | None = None,
) -> TaskNetwork:
    """A network that has learnt by the stages.

    The optimiser starts anew with each stage, and the rate rises and falls within it.

    Args:
        task: its network and its loss.
        recipe: of the baseline.
        stages: in order.
        seed: of the first weights, the order of the radiographs, and all that is drawn for them.
        learning_rate: the highest of each stage.
        device: where it learns.
        on_progress: called with (updates done, updates in all).

    Raises:
        CspineBenchError: the loss is no longer a number.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_key(seed, "baselines.weights") % _TORCH_SEEDS)
        network = task.build_network().to(device)
        painter = Painter(network.trunk).to(device) if any(stage.self_supervised for stage in stages) else None
    total, done = sum(stage.updates for stage in stages), 0
    network.train()
    for number, stage in enumerate(stages):
        learner: nn.Module = painter if stage.self_supervised and painter is not None else network
        optimizer = torch.optim.AdamW(
            learner.parameters(),
            lr=learning_rate,
            weight_decay=recipe.learning.weight_decay,
            betas=(0.9, 0.99),
            fused=True,  # a small network's update costs a sixth of what it costs otherwise
        )
        places = _draw_places(len(stage.cases), stage.updates, recipe.learning.batch_size, seed, number)
        for update in range(stage.updates):
            batch = load_batch(stage, places[update], device, seed, (number << 32) + update)
            optimizer.param_groups[0]["lr"] = learning_rate * rate_share(recipe.learning, update, stage.updates)
            with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=recipe.learning.precision == "bfloat16"):
                if painter is not None and stage.self_supervised:
                    loss = compute_painting_loss(painter, batch)
                else:
                    loss = task.compute_loss(network, batch)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(learner.parameters(), recipe.learning.clip)
            if not bool(norm.isfinite()):
                raise CspineBenchError(
                    f"the loss of update {done + 1} is {float(loss.detach())}, its gradient {float(norm)}; "
                    f"set a lower learning.learning_rates than {learning_rate}"
                )
            optimizer.step()
            done += 1
            if on_progress is not None:
                on_progress(done, total)
    return network.eval()


def rate_share(recipe: LearningRecipe, update: int, updates: int) -> float:
    """Share of the highest learning rate at an update: rising, level, falling to a hundredth."""
    warmup, decay = recipe.warmup_share * updates, recipe.decay_share * updates
    rising = min(1.0, (update + 1) / warmup) if warmup else 1.0
    falling = min(1.0, (updates - update) / decay) if decay else 1.0
    return max(0.01, min(rising, falling))


def _draw_places(count: int, updates: int, batch_size: int, seed: int, stage: int) -> NDArray[np.int64]:
    """Places of the radiographs of every update (updates, B): whole rounds through all of them, each in a new order."""
    generator = numpy_generator(seed, "baselines.order", stage)
    rounds = -(-updates * batch_size // count)
    order = np.concatenate([generator.permutation(count) for _ in range(rounds)])
    return order[: updates * batch_size].reshape(updates, batch_size)


def load_batch(stage: Stage, places: NDArray[np.int64], device: str, seed: int, index: int) -> Batch:
    """The radiographs of one update, changed as the stage says.

    Args:
        stage: what they are taken from.
        places: int64 (B,), in its cases.
        device: where the batch goes.
        seed: of the network.
        index: of the update, over all stages: decides with the seed what is drawn.
    """
    cases = stage.cases
    images = cases.take_images(places).to(device, non_blocking=True)
    landmarks_xy = torch.from_numpy(cases.landmarks_xy[places])
    masks = torch.from_numpy(cases.masks[places]).to(device, non_blocking=True)
    generator = torch_generator(seed, "baselines.update", index)
    changes = None
    if stage.augment is not None:
        changes = draw_changes(stage.augment, len(places), cases.size, generator)
        origins = find_origins(changes, images)
        images = change_images(images, changes, origins=origins)
        masks = change_masks(masks, changes, origins=origins)
        landmarks_xy = change_landmarks(landmarks_xy, changes, cases.size)
    return Batch(images, landmarks_xy.to(device), masks.long(), cases, places, generator, changes)
