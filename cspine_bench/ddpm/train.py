"""Train a generator on a dataset folder; killed anywhere and started again, it follows the same trajectory.

Every draw of an update (which images, noise, times, which conditions are withheld) is a function of the seed and the
update's number. So a checkpoint holds weights, averages and the optimiser, and needs no generator's state.
"""

import copy
import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.dataset.lock import hold_folder
from cspine_bench.dataset.manifest import render_manifest
from cspine_bench.dataset.read import open_dataset
from cspine_bench.ddpm.averages import find_exponent, update_average
from cspine_bench.ddpm.checkpoint import (
    LOG_NAME,
    RUN_NAME,
    RunFacts,
    Snapshot,
    find_checkpoint,
    list_steps,
    load_generator,
    load_snapshot,
    load_weights,
    pack_shape_model,
    prune_checkpoints,
    read_run,
    save_snapshot,
    write_run,
)
from cspine_bench.ddpm.classes import NOT_TOLD
from cspine_bench.ddpm.films import Films, load_films
from cspine_bench.ddpm.network import DROPPED_CONDITION, UnshuffledUNet, build_network, encode_skeleton, predict_clean
from cspine_bench.ddpm.noise import torch_generator
from cspine_bench.ddpm.objectives import add_noise, compute_target, compute_weight, scale_input
from cspine_bench.ddpm.path import EDM, select_path
from cspine_bench.ddpm.progress import PROGRESS_NAME, append_log, draw_progress, read_log, rewind_log, write_strip
from cspine_bench.ddpm.recipe import DdpmRecipe, TrainingRecipe
from cspine_bench.ddpm.samplers import DEFAULT_NUM_STEPS, DEFAULT_SAMPLER, SAMPLERS, build_times
from cspine_bench.ddpm.shape_model import fit_shape_model
from cspine_bench.ddpm.skeleton import draw_skeleton
from cspine_bench.errors import CheckpointError, DataError, RecipeError
from cspine_bench.provenance import find_commit, library_versions, sha256_bytes
from cspine_bench.seeding import derive_key, numpy_generator

_LOG_EVERY: Final = 10
_NUM_BANDS: Final = 4
_MOST_VALIDATION_IMAGES: Final = 64
_NUM_SHOWN: Final = 8
_DIVERGED_ABOVE: Final = 100.0
"""The loss of a network that says 0 is about 1."""
_LOCK_NAME: Final = ".lock"
_LIBRARIES: Final = ("torch", "diffusers", "safetensors", "numpy")
_OWN_NAMES: Final = {
    "recipe.yaml", "shape_model.safetensors", RUN_NAME, LOG_NAME, "checkpoints", "samples", PROGRESS_NAME, _LOCK_NAME
}  # fmt: skip


@dataclass(frozen=True)
class TrainSummary:
    """What a finished run left: where, its name, updates, losses at its end, and the hash of the weights to sample."""

    path: Path
    run_id: str
    step: int
    train_loss: float
    validation_loss: float
    weights_sha256: str


@dataclass(frozen=True)
class _Training:
    """What an update changes, and what it reads."""

    recipe: DdpmRecipe
    seed: int
    device: torch.device
    train: Films
    validation: Films
    network: UnshuffledUNet
    averages: dict[float, UnshuffledUNet]
    optimizer: torch.optim.AdamW


def train(
    recipe: DdpmRecipe,
    data: Path,
    out: Path,
    *,
    device: str = "cpu",
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> TrainSummary:
    """Train into a run folder, or go on where an earlier call with the same arguments stopped.

    Args:
        recipe: what to train, and for how long.
        data: dataset folder; its train and validation splits are used.
        out: the run folder: absent, empty, or left by an earlier call with the same recipe, data, device and seed.
        device: "cpu" or "cuda". On the CPU the weights are the same to the bit, interrupted or not, on one machine
            with one number of threads.
        seed: 0 <= seed < 2**63; decides the first weights and every draw.
        on_progress: called with (updates done, updates in all), first for what an earlier call left.

    Raises:
        DataError: the dataset cannot be trained on; `out` holds something else, is in use, or lies on a full disk.
        CheckpointError: `out` holds another run, or its last checkpoint is damaged.
        RecipeError: training diverged, or needs more memory than the device has. The last checkpoint stays.
    """
    _refuse_foreign_files(out)
    out.mkdir(parents=True, exist_ok=True)
    with hold_folder(out / _LOCK_NAME):
        training, facts = _prepare(recipe, data, out, device=device, seed=seed)
        step = _take_up(training, out)
        commit = {"commit": facts.commit, "versions": facts.versions, "threads": torch.get_num_threads()}
        append_log(out, [{"kind": "start", "step": step, **commit}])
        _run_updates(training, out, step, on_progress or (lambda done, total: None))
    rows = read_log(out)
    return TrainSummary(
        path=out,
        run_id=facts.run_id,
        step=recipe.training.num_steps,
        train_loss=next(row["loss"] for row in reversed(rows) if row["kind"] == "train"),
        validation_loss=next(row["loss"] for row in reversed(rows) if row["kind"] == "validation"),
        weights_sha256=load_generator(out).weights_sha256,
    )


def _refuse_foreign_files(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; name a folder for the run")
    foreign = sorted(path.name for path in out.iterdir() if path.name not in _OWN_NAMES) if out.exists() else []
    foreign = [name for name in foreign if not name.endswith(".tmp")]
    if foreign:
        raise DataError(f"{out}: holds files that are not of a run ({', '.join(foreign[:10])}); choose another folder")


def _prepare(recipe: DdpmRecipe, data: Path, out: Path, *, device: str, seed: int) -> tuple[_Training, RunFacts]:
    """Films, fresh networks, and a run folder that says what is trained."""
    dataset = open_dataset(data)
    films = load_films(dataset, "train", recipe.size, at_least=recipe.training.batch_size)
    validation = load_films(dataset, "validation", recipe.size, at_least=1)
    shape_model = None
    if recipe.condition == "skeleton":
        shape_model = pack_shape_model(fit_shape_model(films.landmarks_xy, films.pixel_spacing_mm))
    commit = find_commit()
    facts = RunFacts(
        recipe_sha256=recipe.compute_sha256(),
        dataset_sha256=sha256_bytes(render_manifest(dataset.manifest)),
        shape_model_sha256=None if shape_model is None else sha256_bytes(shape_model),
        seed=seed,
        device=torch.device(device).type,
        commit=None if commit is None else commit.sha,
        commit_dirty=None if commit is None else commit.dirty,
        versions=library_versions(_LIBRARIES),
    )
    if not (out / RUN_NAME).exists():
        write_run(out, facts, recipe, shape_model)
    elif differing := _find_differences(read_run(out)[0], facts):
        raise CheckpointError(f"{out}: holds another run, of another {', '.join(differing)}; choose another folder")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_key(seed, "ddpm.weights") % 2**63)
        network = build_network(recipe)
    network = network.to(device)
    averages = {length: copy.deepcopy(network).eval().requires_grad_(False) for length in recipe.training.ema_lengths}
    options = recipe.training
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, betas=options.betas, weight_decay=options.weight_decay,
        fused=True,
    )  # fmt: skip
    return _Training(recipe, seed, torch.device(device), films, validation, network, averages, optimizer), facts


def _find_differences(earlier: RunFacts, now: RunFacts) -> list[str]:
    old, new = earlier.identity(), now.identity()
    return [name.removesuffix("_sha256") for name in old if old[name] != new[name]]


def _take_up(training: _Training, out: Path) -> int:
    """Put the last checkpoint into the networks and the optimiser; the step that it was made at, 0 for none."""
    steps = list_steps(out)
    step = steps[-1] if steps else 0
    rewind_log(out, step)
    if not steps:
        return 0
    snapshot, where = load_snapshot(out, step, tuple(training.averages)), find_checkpoint(out, step)
    load_weights(training.network, snapshot.model, where=where)
    for length, average in training.averages.items():
        load_weights(average, snapshot.emas[length], where=where)
    try:
        for name, parameter in training.network.named_parameters():
            state = training.optimizer.state[parameter]
            for field in ("exp_avg", "exp_avg_sq"):
                # In the parameter's own memory layout: the fused kernel walks through both side by side.
                state[field] = torch.zeros_like(parameter).copy_(snapshot.optimizer[f"{name}/{field}"])
            state["step"] = snapshot.optimizer[f"{name}/step"].to(parameter.device)
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{where}: the optimiser's state is of another architecture ({error})") from error
    return step


def _make_snapshot(training: _Training, step: int) -> Snapshot:
    optimizer = {
        f"{name}/{field}": value
        for name, parameter in training.network.named_parameters()
        for field, value in training.optimizer.state[parameter].items()
    }
    emas = {length: average.state_dict() for length, average in training.averages.items()}
    return Snapshot(step, training.network.state_dict(), emas, optimizer)


def _run_updates(training: _Training, out: Path, step: int, on_progress: Callable[[int, int], None]) -> None:
    """All updates that are left, with their log, validations and checkpoints."""
    options = training.recipe.training
    window: list[tuple[float, float]] = []
    began = time.perf_counter()
    on_progress(step, options.num_steps)
    while step < options.num_steps:
        rate = compute_learning_rate(options, step)
        with _explain_full_memory(training.device):
            loss, gradient = _update(training, step, rate)
        step += 1
        if not (loss < _DIVERGED_ABOVE and np.isfinite(gradient)):
            raise _diverged(out, step, f"loss {loss:g}, gradient norm {gradient:g}")
        window.append((loss, gradient))
        saves = step % options.validate_every == 0 or step in (*options.checkpoint_steps, options.num_steps)
        if saves or step % _LOG_EVERY == 0:
            # A window ends at every checkpoint, so that a run that goes on from there logs the same means.
            losses, gradients = np.mean(window, axis=0).tolist()
            speed = len(window) * options.batch_size / (time.perf_counter() - began)
            row = {"kind": "train", "step": step, "loss": losses, "gradient_norm": gradients, "learning_rate": rate}
            append_log(out, [{**row, "images_per_s": round(speed, 1)}])
            window = []
        if saves:
            bands = _validate(training)
            loss = float(np.mean(list(bands.values())))
            if not loss < _DIVERGED_ABOVE:
                raise _diverged(out, step, f"validation loss {loss:g}")
            append_log(out, [{"kind": "validation", "step": step, "loss": loss, "bands": bands}])
            write_strip(out, step, _sample(training))
            save_snapshot(out, _make_snapshot(training, step))
            prune_checkpoints(out, options.checkpoint_steps)
            draw_progress(out, training.validation.take_images(_list_shown(training)))
        if not window:
            began = time.perf_counter()
        on_progress(step, options.num_steps)


def compute_learning_rate(options: TrainingRecipe, step: int) -> float:
    """Rate of update `step` (counted from 0): a linear rise, a plateau, a linear fall that would reach 0 at the end."""
    rise = min(1.0, (step + 1) / max(1, options.warmup_steps))
    fall_steps = options.decay_share * options.num_steps
    fall = min(1.0, (options.num_steps - step) / fall_steps) if fall_steps > 0 else 1.0
    return options.learning_rate * min(rise, fall)


def _update(training: _Training, step: int, rate: float) -> tuple[float, float]:
    """One update; its loss, and the length of the gradient before clipping."""
    recipe, options, path = training.recipe, training.recipe.training, select_path(training.recipe)
    rows = pick_rows(training.seed, step, len(training.train), options.batch_size)
    generator = torch_generator(training.seed, "ddpm.noise", step)
    x0 = training.train.take_images(rows)
    eps = torch.randn(x0.shape, generator=generator)
    t = draw_times(recipe, len(rows), torch_generator(training.seed, "ddpm.times", step))
    condition, class_ids = _draw_condition(training, training.train, rows, step)
    x0, eps, t = x0.to(training.device), eps.to(training.device), t.to(training.device)
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    training.network.train()
    with _autocast(training):
        xt = scale_input(recipe.objective, add_noise(x0, eps, t, path), t, path)
        output = training.network(xt, t, condition, class_ids).float()
    errors = (output - compute_target(recipe.objective, x0, eps, t, path)).square().mean(dim=(1, 2, 3))
    loss = (errors * compute_weight(recipe.objective, t, path, min_snr_gamma=recipe.min_snr_gamma)).mean()
    training.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    gradient = torch.nn.utils.clip_grad_norm_(training.network.parameters(), options.clip_norm)
    training.optimizer.step()
    for length, average in training.averages.items():
        exponent = find_exponent(length)
        update_average(
            list(average.parameters()), list(training.network.parameters()), step=step + 1, exponent=exponent
        )
    return float(loss.detach()), float(gradient)


def draw_times(recipe: DdpmRecipe, count: int, generator: torch.Generator) -> torch.Tensor:
    """Times to train on, float32 (count,) in 0..1, by the recipe's `training.times`.

    Source: logit-normal: Esser et al. 2024 (2403.03206), section 3.1; log-normal: Karras et al. 2022, table 1.
    """
    published = {"flow": "logit-normal", "edm": "log-normal"}
    times: str = recipe.training.times
    if times == "as-published":
        times = published.get(recipe.objective, "uniform")
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


def _draw_condition(
    training: _Training, films: Films, rows: NDArray[np.int64], step: int | None
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Skeleton maps and class ids on the device; some withheld in update `step`, none in a validation (None)."""
    recipe, maps, class_ids = training.recipe, None, None
    withheld = torch.zeros(len(rows), dtype=torch.bool)
    if step is not None:
        draw = torch.rand(len(rows), generator=torch_generator(training.seed, "ddpm.dropout", step))
        withheld = draw < recipe.condition_dropout
    if recipe.condition == "skeleton":
        landmarks = films.take_landmarks(rows)
        maps = encode_skeleton(draw_skeleton(landmarks, recipe.size))
        maps[withheld | landmarks.isnan().all(dim=(1, 2))] = DROPPED_CONDITION
        maps = maps.to(training.device)
    if recipe.classes:
        class_ids = films.take_class_ids(rows, recipe.classes).masked_fill(withheld, NOT_TOLD).to(training.device)
    return maps, class_ids


def _averaged(training: _Training) -> UnshuffledUNet:
    return training.averages[training.recipe.training.ema_lengths[0]]


def _autocast(training: _Training) -> torch.autocast:
    enabled = training.recipe.training.precision == "bfloat16"
    return torch.autocast(training.device.type, torch.bfloat16, enabled=enabled)


@torch.no_grad()
def _validate(training: _Training) -> dict[str, float]:
    """Mean squared error of the averaged weights on fixed images, noise and times, by band of time."""
    recipe, path = training.recipe, select_path(training.recipe)
    count = min(_MOST_VALIDATION_IMAGES, len(training.validation))
    bands = {}
    for band in range(_NUM_BANDS):
        errors = []
        for start in range(0, count, recipe.training.batch_size):
            rows = np.arange(start, min(start + recipe.training.batch_size, count))
            x0 = training.validation.take_images(rows)
            draws = [torch_generator(training.seed, "ddpm.validation", int(row)) for row in rows]
            eps = torch.stack([torch.randn(x0.shape[1:], generator=draw) for draw in draws])
            # Spread evenly over the band, image by image.
            t = torch.from_numpy(((band + (rows + 0.5) / count) / _NUM_BANDS).astype(np.float32))
            condition, class_ids = _draw_condition(training, training.validation, rows, None)
            x0, eps, t = x0.to(training.device), eps.to(training.device), t.to(training.device)
            with _autocast(training):
                xt = scale_input(recipe.objective, add_noise(x0, eps, t, path), t, path)
                output = _averaged(training)(xt, t, condition, class_ids).float()
            errors += (
                (output - compute_target(recipe.objective, x0, eps, t, path)).square().mean(dim=(1, 2, 3)).tolist()
            )
        bands[f"{band / _NUM_BANDS:g}-{(band + 1) / _NUM_BANDS:g}"] = float(np.mean(errors))
    return bands


def _list_shown(training: _Training) -> NDArray[np.int64]:
    return np.arange(min(_NUM_SHOWN, len(training.validation)))


@torch.no_grad()
def _sample(training: _Training) -> torch.Tensor:
    """A few images from fixed noise and, with a condition, of the shapes of the first validation radiographs."""
    recipe, path, rows = training.recipe, select_path(training.recipe), _list_shown(training)
    condition, class_ids = _draw_condition(training, training.validation, rows, None)
    draws = [torch_generator(training.seed, "ddpm.shown", int(row)) for row in rows]
    noise = torch.stack([torch.randn(1, recipe.size, recipe.size, generator=draw) for draw in draws])

    def denoise(xt: torch.Tensor, time_now: float) -> torch.Tensor:
        with _autocast(training):
            return predict_clean(_averaged(training), recipe, xt, time_now, condition=condition, class_ids=class_ids)

    def draw_noise(step: int) -> torch.Tensor:
        raise AssertionError(f"{DEFAULT_SAMPLER} draws no noise, asked for at step {step}")

    sampler, times = SAMPLERS[DEFAULT_SAMPLER], build_times(DEFAULT_NUM_STEPS)
    return sampler(denoise, path, noise.to(training.device) * float(path.sigma(torch.tensor(1.0))), times, draw_noise)


def _diverged(out: Path, step: int, found: str) -> RecipeError:
    steps = list_steps(out)
    last = f"the last good checkpoint is {find_checkpoint(out, steps[-1])}" if steps else "there is no checkpoint yet"
    return RecipeError(
        f"{out}: training diverged at update {step} ({found}); {last}; lower "
        "training.learning_rate or training.clip_norm, or lengthen training.warmup_steps, and train into another folder"
    )


@contextmanager
def _explain_full_memory(device: torch.device) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RecipeError(
            f"{device}: an update needs more memory than there is; lower training.batch_size (or size, or "
            "network.widths) and train into another folder"
        ) from error
