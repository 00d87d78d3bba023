"""Train a generator on a dataset folder; killed anywhere and started again, it follows the same trajectory.

Every draw of an update (which images, noise, times, what is withheld or changed) is a function of the seed, of the
update's number and of the place in the batch. So a checkpoint holds weights, averages and the optimiser, and needs no
generator's state; and the number of processes that share a batch reaches the last bits of its sums alone.
"""

import copy
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from cspine_bench.dataset.files import explain_full_disk
from cspine_bench.dataset.lock import hold_folder
from cspine_bench.dataset.manifest import render_manifest
from cspine_bench.dataset.read import open_dataset
from cspine_bench.ddpm.checkpoint import (
    Best,
    Snapshot,
    find_checkpoint,
    list_steps,
    load_generator,
    load_snapshot,
    load_weights,
    prune_checkpoints,
    save_snapshot,
)
from cspine_bench.ddpm.events import EVENTS_NAME, Events, open_events
from cspine_bench.ddpm.films import load_films
from cspine_bench.ddpm.monitor import References, build_references, measure
from cspine_bench.ddpm.network import build_network
from cspine_bench.ddpm.processes import Processes, explain_full_memory, join_processes
from cspine_bench.ddpm.progress import PROGRESS_NAME, append_log, draw_progress, read_log, rewind_log, write_strip
from cspine_bench.ddpm.recipe import DdpmRecipe
from cspine_bench.ddpm.run_folder import (
    LOG_NAME,
    RUN_NAME,
    RunFacts,
    pack_shape_model,
    read_run,
    write_run,
)
from cspine_bench.ddpm.samplers import DEFAULT_SAMPLER, choose_grid
from cspine_bench.ddpm.shape_model import fit_shape_model
from cspine_bench.ddpm.training_set import describe_films
from cspine_bench.ddpm.update import Training, compute_learning_rate, update
from cspine_bench.ddpm.validate import compute_validation_losses, list_shown, sample_monitored, sample_shown
from cspine_bench.errors import CheckpointError, DataError, RecipeError
from cspine_bench.provenance import find_commit, library_versions, sha256_bytes
from cspine_bench.seeding import derive_key

if TYPE_CHECKING:
    from accelerate import Accelerator

_LOG_EVERY: Final = 10
_DIVERGED_ABOVE: Final = 100.0
"""The loss of a network that says 0 is about 1."""
_LOCK_NAME: Final = ".lock"
_LIBRARIES: Final = ("torch", "diffusers", "safetensors", "numpy")
_OWN_NAMES: Final = {
    "recipe.yaml", "shape_model.safetensors", RUN_NAME, LOG_NAME, "checkpoints", "samples", PROGRESS_NAME, _LOCK_NAME,
    EVENTS_NAME,
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
class _Run:
    """The run folder, as the main process fills it; what a measurement compares with, if the recipe asks for one."""

    out: Path
    events: Events | None = None
    references: References | None = None

    def report(self, row: dict[str, Any]) -> None:
        with explain_full_disk(self.out / LOG_NAME, lambda: len(str(row))):
            append_log(self.out, [row])
        if self.events is not None:
            self.events.add(row)


def train(
    recipe: DdpmRecipe,
    data: Path,
    out: Path,
    *,
    device: str = "cpu",
    seed: int = 0,
    accelerator: "Accelerator | None" = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> TrainSummary:
    """Train into a run folder, or go on where an earlier call with the same arguments stopped.

    Args:
        recipe: what to train, and for how long.
        data: dataset folder; its train and validation splits are used.
        out: the run folder: absent, empty, or left by an earlier call with the same recipe, data, seed and kind of
            device.
        device: "cpu", "cuda" or "cuda:N". On the CPU the weights are the same to the bit, interrupted or not, on one
            machine with one number of threads.
        seed: 0 <= seed < 2**63; decides the first weights and every draw.
        accelerator: of a process that `accelerate launch` started; each then calls this with the same arguments, works
            on its share of every batch, on the accelerator's device, and the first writes the run folder. None: alone.
        on_progress: called with (updates done, updates in all), first for what an earlier call left.

    Raises:
        DataError: the dataset cannot be trained on; `out` holds something else, is in use, or lies on a full disk; or
            the device is not there.
        CheckpointError: `out` holds another run, or its last checkpoint is damaged.
        RecipeError: training diverged, or needs more memory than the device has; or the processes do not divide the
            batch. The last checkpoint stays.
    """
    processes = join_processes(accelerator, device)
    parts = processes.count * recipe.training.accumulation_steps
    if recipe.training.batch_size % parts:
        raise RecipeError(
            f"training.batch_size {recipe.training.batch_size} cannot be shared out evenly: there are "
            f"{processes.count} processes x training.accumulation_steps {recipe.training.accumulation_steps}; choose a "
            f"multiple of {parts}"
        )
    if recipe.training.compile and processes.device.type == "cpu":
        # Seen with torch 2.13: equal outputs, and gradients of 0 in most convolutions.
        raise RecipeError(
            "training.compile = true: compiled on a CPU, this network has wrong gradients; set training.compile=false"
        )
    if processes.is_main:
        _refuse_foreign_files(out)
        out.mkdir(parents=True, exist_ok=True)
    with (
        hold_folder(out / _LOCK_NAME) if processes.is_main else nullcontext(),
        explain_full_memory(processes.device),
    ):
        training, facts, shape_model = _prepare(recipe, data, processes, seed)
        if processes.is_main:
            _open_run(out, facts, recipe, shape_model)
        processes.wait()
        step, best = _take_up(training, out)
        on_progress = on_progress or (lambda done, total: None)
        if not processes.is_main:
            _run_updates(training, _Run(out), step, best, on_progress)
        else:
            _tidy(training, out, step, best)
            references = _build_references(training) if step < recipe.training.num_steps else None
            with open_events(out, step) as events:
                run = _Run(out, events, references)
                commit = {"commit": facts.commit, "versions": facts.versions, "threads": torch.get_num_threads()}
                run.report({"kind": "start", "step": step, **commit, "processes": processes.count})
                _run_updates(training, run, step, best, on_progress)
        processes.wait()
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


def _prepare(
    recipe: DdpmRecipe, data: Path, processes: Processes, seed: int
) -> tuple[Training, RunFacts, bytes | None]:
    """Films, fresh networks, what the run is, and the shape model of its films."""
    dataset, options = open_dataset(data), recipe.training
    films = load_films(dataset, "train", recipe.size, at_least=options.batch_size)
    validation = load_films(dataset, "validation", recipe.size, at_least=1)
    shape_model = None
    if recipe.condition == "skeleton":
        shape_model = fit_shape_model(films.landmarks_xy, films.pixel_spacing_mm)
    packed = None if shape_model is None else pack_shape_model(shape_model)
    commit = find_commit()
    facts = RunFacts(
        recipe_sha256=recipe.compute_sha256(),
        dataset_sha256=sha256_bytes(render_manifest(dataset.manifest)),
        shape_model_sha256=None if packed is None else sha256_bytes(packed),
        seed=seed,
        device=processes.device.type,
        commit=None if commit is None else commit.sha,
        commit_dirty=None if commit is None else commit.dirty,
        versions=library_versions(_LIBRARIES),
        training_set=describe_films(films),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_key(seed, "ddpm.weights") % 2**63)
        network = build_network(recipe)
    network.to(processes.device)
    if options.channels_last:
        # The overload of Module.to has no stub for the layout alone.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    prepared = processes.prepare(network)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, betas=options.betas, weight_decay=options.weight_decay,
        fused=True,
    )  # fmt: skip
    training = Training(
        recipe=recipe,
        seed=seed,
        processes=processes,
        train=films,
        validation=validation,
        network=network,
        prepared=prepared,
        forward=torch.compile(prepared) if options.compile else prepared,
        averages={length: copy.deepcopy(network).eval().requires_grad_(False) for length in options.ema_lengths},
        optimizer=optimizer,
        shape_model=shape_model,
    )
    return training, facts, packed


def _open_run(out: Path, facts: RunFacts, recipe: DdpmRecipe, shape_model: bytes | None) -> None:
    """Begin a run folder, or find that it holds this run."""
    if not (out / RUN_NAME).exists():
        write_run(out, facts, recipe, shape_model)
        return
    old, new = read_run(out)[0].identity(), facts.identity()
    if differing := [name.removesuffix("_sha256") for name in old if old[name] != new[name]]:
        raise CheckpointError(f"{out}: holds another run, of another {', '.join(differing)}; choose another folder")


def _take_up(training: Training, out: Path) -> tuple[int, Best | None]:
    """Put the last checkpoint into the networks and the optimiser; its step, 0 for none, and the best one so far."""
    steps = list_steps(out)
    if not steps:
        return 0, None
    step = steps[-1]
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
    return step, snapshot.best


def _tidy(training: Training, out: Path, step: int, best: Best | None) -> None:
    """Remove what a killed run left beyond its last checkpoint, or had no time to remove."""
    with explain_full_disk(out / LOG_NAME, lambda: (out / LOG_NAME).stat().st_size):
        rewind_log(out, step)
    _prune(training, out, best)


def _prune(training: Training, out: Path, best: Best | None) -> None:
    kept = training.recipe.training.checkpoint_steps
    prune_checkpoints(out, kept if best is None else (*kept, best.step))


def _make_snapshot(training: Training, step: int, best: Best | None) -> Snapshot:
    optimizer = {
        f"{name}/{field}": value
        for name, parameter in training.network.named_parameters()
        for field, value in training.optimizer.state[parameter].items()
    }
    emas = {length: average.state_dict() for length, average in training.averages.items()}
    return Snapshot(step, training.network.state_dict(), emas, optimizer, best)


def _build_references(training: Training) -> References | None:
    """What samples are measured against, if the recipe asks for it."""
    monitor = training.recipe.training.monitor
    if monitor is None:
        return None
    films, device = (training.train, training.validation), str(training.device)
    return build_references(*films, count=monitor.count, seed=training.seed, device=device)


def _run_updates(
    training: Training, run: _Run, step: int, best: Best | None, on_progress: Callable[[int, int], None]
) -> None:
    """All updates that are left, with their log, validations, measurements and checkpoints."""
    options = training.recipe.training
    window: list[tuple[torch.Tensor, torch.Tensor]] = []
    began = time.perf_counter()
    on_progress(step, options.num_steps)
    while step < options.num_steps:
        window.append(update(training, step))
        step += 1
        saves = step % options.validate_every == 0 or step in (*options.checkpoint_steps, options.num_steps)
        measures = options.monitor is not None and (step % options.monitor.every == 0 or step == options.num_steps)
        # A window ends at every checkpoint, so that a run that goes on from there logs the same means.
        if saves or measures or step % _LOG_EVERY == 0:
            _close_window(training, run, step, window, began)
            window = []
        if (saves or measures) and training.processes.is_main:
            best = _save(training, run, step, best, measures=measures)
        if not window:
            began = time.perf_counter()
        on_progress(step, options.num_steps)


def _close_window(
    training: Training, run: _Run, step: int, window: list[tuple[torch.Tensor, torch.Tensor]], began: float
) -> None:
    """Log the mean of the last updates, if all of them were sound."""
    losses = training.processes.mean(torch.stack([loss for loss, _ in window])).tolist()
    gradients = torch.stack([gradient for _, gradient in window]).tolist()
    for place, (loss, gradient) in enumerate(zip(losses, gradients, strict=True), start=step - len(window) + 1):
        if not (loss < _DIVERGED_ABOVE and np.isfinite(gradient)):
            raise _diverged(run.out, place, f"loss {loss:g}, gradient norm {gradient:g}")
    if training.processes.is_main:
        speed = len(window) * training.recipe.training.batch_size / (time.perf_counter() - began)
        row = {
            "kind": "train",
            "step": step,
            "loss": float(np.mean(losses)),
            "gradient_norm": float(np.mean(gradients)),
        }
        rate = compute_learning_rate(training.recipe.training, step - 1)
        run.report({**row, "learning_rate": rate, "images_per_s": round(speed, 1)})


def _save(training: Training, run: _Run, step: int, best: Best | None, *, measures: bool) -> Best | None:
    """Validate, show samples, measure them, and keep a checkpoint; the best one up to here."""
    bands = compute_validation_losses(training)
    loss = float(np.mean(list(bands.values())))
    if not loss < _DIVERGED_ABOVE:
        raise _diverged(run.out, step, f"validation loss {loss:g}")
    run.report({"kind": "validation", "step": step, "loss": loss, "bands": bands})
    monitor = training.recipe.training.monitor
    if measures and monitor is not None and run.references is not None:
        row = measure(run.references, sample_monitored(training))
        sampled = {"sampler": DEFAULT_SAMPLER, "num_steps": monitor.num_steps}
        sampled["grid"] = choose_grid(training.recipe, DEFAULT_SAMPLER)
        run.report({"kind": "monitor", "step": step, **sampled, **row})
        if best is None or row["frechet_distance"] < best.frechet_distance:
            best = Best(step, row["frechet_distance"])
    with explain_full_disk(run.out / "samples", lambda: training.recipe.size**2 * len(list_shown(training))):
        write_strip(run.out, step, sample_shown(training))
        draw_progress(run.out, training.validation.take_images(list_shown(training)))
    save_snapshot(run.out, _make_snapshot(training, step, best))
    _prune(training, run.out, best)
    return best


def _diverged(out: Path, step: int, found: str) -> RecipeError:
    steps = list_steps(out)
    last = f"the last good checkpoint is {find_checkpoint(out, steps[-1])}" if steps else "there is no checkpoint yet"
    return RecipeError(
        f"{out}: training diverged at update {step} ({found}); {last}; lower "
        "training.learning_rate or training.clip_norm, or lengthen training.warmup_steps, and train into another folder"
    )
