"""How good a generator in training is: its loss on fixed noise, by time, and images of fixed noise."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.ddpm.network import predict_clean
from cspine_bench.ddpm.noise import torch_generator
from cspine_bench.ddpm.objectives import add_noise, compute_target, compute_weight, scale_input
from cspine_bench.ddpm.path import select_path
from cspine_bench.ddpm.samplers import DEFAULT_NUM_STEPS, DEFAULT_SAMPLER, GRIDS, SAMPLERS, choose_grid
from cspine_bench.ddpm.update import Training, autocast, draw_conditions
from cspine_bench.seeding import numpy_generator

_NUM_BANDS: Final = 4
_MOST_IMAGES: Final = 64
_NUM_SHOWN: Final = 8

_Told = tuple[torch.Tensor | None, torch.Tensor | None]
"""Maps and class ids, as `draw_conditions` gives them."""


@torch.no_grad()
def compute_validation_losses(training: Training) -> dict[str, float]:
    """Mean squared error of the averaged weights on fixed images, noise and times by band of time; flow-edm as flow."""
    recipe, path = training.recipe, select_path(training.recipe)
    count = min(_MOST_IMAGES, len(training.validation))
    batch_size = recipe.training.batch_size // (training.processes.count * recipe.training.accumulation_steps)
    bands = {}
    for band in range(_NUM_BANDS):
        errors = []
        for start in range(0, count, batch_size):
            rows = np.arange(start, min(start + batch_size, count))
            x0 = training.validation.take_images(rows).to(training.device)
            eps = _draw_noise(training, "ddpm.validation", rows)
            # Spread evenly over the band, image by image.
            t = torch.from_numpy(((band + (rows + 0.5) / count) / _NUM_BANDS).astype(np.float32)).to(training.device)
            condition, class_ids = _tell_all(training, rows)
            with autocast(training):
                xt = scale_input(recipe.objective, add_noise(x0, eps, t, path), t, path)
                output = training.averaged(xt, t, condition, class_ids).float()
            target = compute_target(recipe.objective, x0, eps, t, path)
            weights = compute_weight(recipe.objective, t, path, min_snr_gamma=None)
            errors += ((output - target).square().mean(dim=(1, 2, 3)) * weights).tolist()
        bands[f"{band / _NUM_BANDS:g}-{(band + 1) / _NUM_BANDS:g}"] = float(np.mean(errors))
    return bands


def list_shown(training: Training) -> NDArray[np.int64]:
    """Rows of the validation radiographs that stand below the samples of `sample_shown`."""
    return np.arange(min(_NUM_SHOWN, len(training.validation)))


def sample_shown(training: Training) -> torch.Tensor:
    """A few images of fixed noise, told what the first validation radiographs are; float (B, 1, S, S) in -1..1."""
    rows = list_shown(training)
    return _sample(training, "ddpm.shown", rows, DEFAULT_NUM_STEPS, _tell_all(training, rows))


def sample_monitored(training: Training) -> NDArray[np.uint8]:
    """The images that the recipe's `training.monitor` asks for: the same noise, told the same, every time.

    They are told what samples are told, spines of the shape model and classes as often as they were trained. Told the
    held-out radiographs' own landmarks, they would come nearer to these than images of other patients can.

    Returns:
        uint8 (count, S, S).

    Raises:
        ValueError: the recipe has no monitor.
    """
    monitor = training.recipe.training.monitor
    if monitor is None:
        raise ValueError("the recipe has no training.monitor")
    images = []
    for start in range(0, monitor.count, monitor.batch_size):
        rows = np.arange(start, min(start + monitor.batch_size, monitor.count))
        made = _sample(training, "ddpm.monitor", rows, monitor.num_steps, _tell_new(training, rows))
        images.append(((made[:, 0] + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy())
    return np.concatenate(images)


@torch.no_grad()
def _sample(training: Training, stream: str, indices: NDArray[np.int64], num_steps: int, told: _Told) -> torch.Tensor:
    """Image i from noise i of the stream."""
    recipe, path = training.recipe, select_path(training.recipe)
    condition, class_ids = told

    def denoise(xt: torch.Tensor, time: float) -> torch.Tensor:
        with autocast(training):
            return predict_clean(training.averaged, recipe, xt, time, condition=condition, class_ids=class_ids)

    def draw_noise(step: int) -> torch.Tensor:
        raise AssertionError(f"{DEFAULT_SAMPLER} draws no noise, asked for at step {step}")

    times = GRIDS[choose_grid(recipe, DEFAULT_SAMPLER)](num_steps, path)
    noise = _draw_noise(training, stream, indices) * float(path.sigma(torch.tensor(times[0])))
    return SAMPLERS[DEFAULT_SAMPLER](denoise, path, noise, times, draw_noise)


def _draw_noise(training: Training, stream: str, indices: NDArray[np.int64]) -> torch.Tensor:
    size = training.recipe.size
    draws = [torch_generator(training.seed, stream, int(index)) for index in indices]
    return torch.stack([torch.randn(1, size, size, generator=draw) for draw in draws]).to(training.device)


def _tell_all(training: Training, rows: NDArray[np.int64]) -> _Told:
    """What validation radiographs are."""
    landmarks_xy = training.validation.take_landmarks(rows)
    return draw_conditions(training, training.validation, rows, landmarks_xy, torch.zeros(len(rows), dtype=torch.bool))


def _tell_new(training: Training, indices: NDArray[np.int64]) -> _Told:
    """New spines, and the classes of training radiographs that are drawn for them."""
    films, seed = training.train, training.seed
    rows = np.array([numpy_generator(seed, "ddpm.monitor.rows", int(index)).integers(len(films)) for index in indices])
    landmarks_xy = films.take_landmarks(rows)
    if training.shape_model is not None:
        drawn = [training.shape_model.draw(seed, int(index)).landmarks_xy for index in indices]
        landmarks_xy = torch.from_numpy(np.stack(drawn))
    return draw_conditions(training, films, rows, landmarks_xy, torch.zeros(len(rows), dtype=torch.bool))
