"""One update of a generator in training: which images, which noise, the loss, and the running averages."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.augment import change_images, change_landmarks, draw_changes
from cspine_bench.ddpm.averages import find_exponent, update_average
from cspine_bench.ddpm.classes import NOT_TOLD
from cspine_bench.ddpm.detail import measure_detail_errors
from cspine_bench.ddpm.films import Films
from cspine_bench.ddpm.network import DROPPED_CONDITION, UnshuffledUNet, encode_skeleton
from cspine_bench.ddpm.noise import torch_generator
from cspine_bench.ddpm.objectives import add_noise, compute_target, compute_weight, predict_x0, scale_input
from cspine_bench.ddpm.path import EDM, select_path
from cspine_bench.ddpm.processes import Processes
from cspine_bench.ddpm.recipe import DdpmRecipe, TrainingRecipe
from cspine_bench.ddpm.shape_model import ShapeModel
from cspine_bench.ddpm.skeleton import draw_skeleton
from cspine_bench.seeding import numpy_generator


@dataclass(frozen=True)
class Training:
    """What an update changes, and what it reads.

    Attributes:
        network: weights in training.
        prepared: the same network, as processes share it.
        forward: the same again, as an update calls it, compiled if the recipe says so.
        averages: running averages of the weights, by length; the recipe's first samples.
        shape_model: of the training landmarks; None without a skeleton.
    """

    recipe: DdpmRecipe
    seed: int
    processes: Processes
    train: Films
    validation: Films
    network: UnshuffledUNet
    prepared: torch.nn.Module
    forward: Callable[..., torch.Tensor]
    averages: dict[float, UnshuffledUNet]
    optimizer: torch.optim.AdamW
    shape_model: ShapeModel | None

    @property
    def device(self) -> torch.device:
        """Of this process."""
        return self.processes.device

    @property
    def averaged(self) -> UnshuffledUNet:
        """The average that samples."""
        return self.averages[self.recipe.training.ema_lengths[0]]


@dataclass(frozen=True)
class _Batch:
    """Images of one process in one update, on its device."""

    x0: torch.Tensor
    eps: torch.Tensor
    t: torch.Tensor
    condition: torch.Tensor | None
    class_ids: torch.Tensor | None

    def split(self, count: int) -> "list[_Batch]":
        parts = [[None] * count if values is None else values.chunk(count) for values in vars(self).values()]
        return [_Batch(*values) for values in zip(*parts, strict=True)]


def update(training: Training, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Do update `step`, counted from 0.

    Returns:
        The loss of this process's images, and the length of the gradient of all before clipping; both float (), on the
        device, so that nothing waits for it.
    """
    options = training.recipe.training
    for group in training.optimizer.param_groups:
        group["lr"] = compute_learning_rate(options, step)
    training.network.train()
    training.optimizer.zero_grad(set_to_none=True)
    parts = _draw_batch(training, step).split(options.accumulation_steps)
    losses = []
    for part in parts[:-1]:
        with training.processes.hold_back(training.prepared):
            losses.append(_add_gradient(training, part, len(parts)))
    losses.append(_add_gradient(training, parts[-1], len(parts)))
    gradient = torch.nn.utils.clip_grad_norm_(training.network.parameters(), options.clip_norm)
    training.optimizer.step()
    current = list(training.network.parameters())
    for length, average in training.averages.items():
        update_average(list(average.parameters()), current, step=step + 1, exponent=find_exponent(length))
    return torch.stack(losses).sum(), gradient


def _add_gradient(training: Training, batch: _Batch, num_parts: int) -> torch.Tensor:
    """Work through a part of a batch; its share of the batch's loss, without the weight on detail."""
    recipe, path = training.recipe, select_path(training.recipe)
    xt = scale_input(recipe.objective, add_noise(batch.x0, batch.eps, batch.t, path), batch.t, path)
    with autocast(training):
        output = training.forward(xt, batch.t, batch.condition, batch.class_ids).float()
    target = compute_target(recipe.objective, batch.x0, batch.eps, batch.t, path)
    errors = (output - target).square().mean(dim=(1, 2, 3))
    weights = compute_weight(recipe.objective, batch.t, path, min_snr_gamma=recipe.min_snr_gamma)
    loss = total = (errors * weights).mean() / num_parts
    if recipe.detail_weight > 0 and batch.condition is not None:
        noisy = add_noise(batch.x0, batch.eps, batch.t, path)
        found = predict_x0(recipe.objective, output, noisy, batch.t, path)
        detail = measure_detail_errors(found, batch.x0, batch.condition)
        total = loss + recipe.detail_weight * detail.mean() / num_parts
    total.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def autocast(training: Training) -> torch.autocast:
    """The precision that the recipe asks of the network's arithmetic."""
    enabled = training.recipe.training.precision == "bfloat16"
    return torch.autocast(training.device.type, torch.bfloat16, enabled=enabled)


def compute_learning_rate(options: TrainingRecipe, step: int) -> float:
    """Rate of update `step` (counted from 0): a linear rise, a plateau, a linear fall that would reach 0 at the end."""
    rise = min(1.0, (step + 1) / max(1, options.warmup_steps))
    fall_steps = options.decay_share * options.num_steps
    fall = min(1.0, (options.num_steps - step) / fall_steps) if fall_steps > 0 else 1.0
    return options.learning_rate * min(rise, fall)


def _draw_batch(training: Training, step: int) -> _Batch:
    """The images of this process in update `step`. Every draw is a function of seed, step and place in the batch."""
    recipe, options, seed = training.recipe, training.recipe.training, training.seed
    size, count = recipe.size, options.batch_size
    share = training.processes.take_share(count)
    rows = pick_rows(seed, step, len(training.train), count)[share]
    # A generator for each image: so a process draws the noise of its own images alone.
    draws = [torch_generator(seed, "ddpm.noise", step * count + place) for place in range(count)[share]]
    eps = torch.stack([torch.randn((1, size, size), generator=draw) for draw in draws])
    t = draw_times(recipe, count, torch_generator(seed, "ddpm.times", step))[share]
    changes = draw_changes(options.augment, count, size, torch_generator(seed, "ddpm.augment", step)).take(share)
    withheld = torch.rand(count, generator=torch_generator(seed, "ddpm.dropout", step)) < recipe.condition_dropout
    landmarks_xy = change_landmarks(training.train.take_landmarks(rows), changes, size)
    condition, class_ids = draw_conditions(training, training.train, rows, landmarks_xy, withheld[share])
    return _Batch(
        x0=change_images(move(training.train.take_images(rows), training.device), changes),
        eps=move(eps, training.device),
        t=move(t, training.device),
        condition=condition,
        class_ids=class_ids,
    )


def draw_times(recipe: DdpmRecipe, count: int, generator: torch.Generator) -> torch.Tensor:
    """Times to train on, float32 (count,) in 0..1, by the recipe's `training.times`.

    Source: logit-normal: Esser et al. 2024 (2403.03206), section 3.1; log-normal: Karras et al. 2022 (2206.00364),
        table 1; uniform: Ho et al. 2020 (2006.11239), algorithm 1.
    """
    times: str = recipe.training.times
    if times == "as-published":
        times = {"flow": "logit-normal", "flow-edm": "logit-normal", "edm": "log-normal"}.get(
            recipe.objective, "uniform"
        )
    if times == "uniform":
        return torch.rand(count, generator=generator)
    normal = torch.randn(count, generator=generator)
    if times == "logit-normal":
        return normal.sigmoid()
    mean, deviation = recipe.training.log_sigma
    return EDM.find_time((mean + deviation * normal).exp())


def pick_rows(seed: int, step: int, count: int, batch_size: int) -> NDArray[np.int64]:
    """Rows of update `step`: each pass over the radiographs has an order of its own, and batches run across passes."""
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    return np.array([_order(seed, int(place // count), count)[place % count] for place in positions], np.int64)


@functools.lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return numpy_generator(seed, "ddpm.order", epoch).permutation(count)


def draw_conditions(
    training: Training, films: Films, rows: NDArray[np.int64], landmarks_xy: torch.Tensor, withheld: torch.Tensor
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """What the network is told of some radiographs, on the device: maps and class ids, each None where it takes none.

    Args:
        training: in which.
        films: where the radiographs are.
        rows: which ones.
        landmarks_xy: float (B, 23, 2), theirs, px; an image without any has no map.
        withheld: bool (B,), of which nothing is told.
    """
    return encode_conditions(training.recipe, training.device, films, rows, landmarks_xy, withheld)


def encode_conditions(
    recipe: DdpmRecipe,
    device: torch.device,
    films: Films,
    rows: NDArray[np.int64],
    landmarks_xy: torch.Tensor,
    withheld: torch.Tensor,
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """As `draw_conditions`, for a network of this recipe on this device."""
    condition, class_ids = None, None
    if recipe.condition == "skeleton":
        unknown = withheld | landmarks_xy.isnan().all(dim=(1, 2))
        condition = encode_skeleton(draw_skeleton(move(landmarks_xy, device), recipe.size))
        condition = condition.masked_fill(move(unknown, device)[:, None, None, None], DROPPED_CONDITION)
    if recipe.classes:
        told = films.take_class_ids(rows, recipe.classes).masked_fill(withheld, NOT_TOLD)
        class_ids = move(told, device)
    return condition, class_ids


def move(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Values on a device; the way to a GPU does not wait for the work before it."""
    return values if device.type == "cpu" else values.pin_memory().to(device, non_blocking=True)
