"""Checkpoints of a run: what training goes on from, and the generator that sampling loads.

    RUN/checkpoints/step-001150/ model, ema-0.1, ... and optimizer .safetensors; state.json with their hashes

A checkpoint folder is renamed into place when it is whole, so one that is there can be gone on from.
"""

import dataclasses
import json
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.numpy
import safetensors.torch
import torch

from cspine_bench.dataset.files import explain_full_disk, move_into_place, sync_folder, write_synced
from cspine_bench.ddpm.network import UnshuffledUNet, build_network
from cspine_bench.ddpm.recipe import DdpmRecipe
from cspine_bench.ddpm.run_folder import RUN_FORMAT, RUN_NAME, load_shape_model, read_facts, read_run
from cspine_bench.ddpm.shape_model import ShapeModel
from cspine_bench.ddpm.training_set import TrainingSet
from cspine_bench.errors import CheckpointError
from cspine_bench.provenance import sha256_bytes

_STATE_NAME: Final = "state.json"
_HINT: Final = "the checkpoint is damaged: use another step, or remove its folder and train again"

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Best:
    """The checkpoint whose samples were nearest to the real radiographs, and their Fréchet distance."""

    step: int
    frechet_distance: float


@dataclass(frozen=True)
class Snapshot:
    """Everything that training goes on from.

    Attributes:
        step: updates behind it.
        model: weights by parameter.
        emas: their averages, by length.
        optimizer: its state by "PARAMETER/FIELD".
        best: of the run up to this step; None before the first measurement.
    """

    step: int
    model: Tensors
    emas: dict[float, Tensors]
    optimizer: Tensors
    best: Best | None = None


@dataclass(frozen=True)
class Generator:
    """A trained network, ready to sample from.

    Attributes:
        network: averaged weights, in eval mode and without gradients; see `UnshuffledUNet.forward`.
        recipe: what it was trained by.
        size: side of its images, px.
        weights_sha256: of the file that holds the weights.
        shape_model: of the training landmarks; None for a network without a skeleton condition.
        run_id: of the run that trained it.
        step: updates behind the weights.
        ema: length of the average, one of the recipe's `ema_lengths`.
        training_set: facts about the films; None where the run does not state them.
        dataset_sha256: of the manifest of the dataset that they are from; None where the run does not state it.
    """

    network: UnshuffledUNet
    recipe: DdpmRecipe
    size: int
    weights_sha256: str
    shape_model: ShapeModel | None
    run_id: str
    step: int
    ema: float
    training_set: TrainingSet | None = None
    dataset_sha256: str | None = None


def list_steps(run: Path) -> list[int]:
    """Steps of the checkpoints in a run, rising."""
    names = (re.fullmatch(r"step-(\d{6,})", path.name) for path in (run / "checkpoints").glob("step-*"))
    return sorted(int(match[1]) for match in names if match)


def find_checkpoint(run: Path, step: int) -> Path:
    """The folder of a step's checkpoint, whether it is there or not."""
    return run / "checkpoints" / f"step-{step:06d}"


def save_snapshot(run: Path, snapshot: Snapshot) -> Path:
    """Write a checkpoint: whole and on the disk when this returns, or not there at all.

    Raises:
        DataError: the disk is full.
    """
    folder = find_checkpoint(run, snapshot.step)
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    parts = {"model": snapshot.model, "optimizer": snapshot.optimizer}
    parts |= {name_average(length): weights for length, weights in snapshot.emas.items()}
    files = {}
    for part, tensors in parts.items():
        data = safetensors.torch.save({name: value.contiguous() for name, value in tensors.items()})
        files[f"{part}.safetensors"] = sha256_bytes(data)
        _write_part(temporary / f"{part}.safetensors", data)
    best = None if snapshot.best is None else dataclasses.asdict(snapshot.best)
    state = {"format": RUN_FORMAT, "run_id": read_facts(run).run_id, "step": snapshot.step, "best": best}
    state["files"] = files
    _write_part(temporary / _STATE_NAME, (json.dumps(state, indent=1, sort_keys=True) + "\n").encode())
    sync_folder(temporary)
    shutil.rmtree(folder, ignore_errors=True)
    move_into_place(temporary, folder)
    return folder


def name_average(length: float) -> str:
    """Name of the part of a checkpoint that holds the average of this length."""
    return f"ema-{length:g}"


def _write_part(path: Path, data: bytes) -> None:
    with explain_full_disk(path, lambda: len(data)):
        write_synced(path, data)


def prune_checkpoints(run: Path, keep: Collection[int]) -> None:
    """Remove every checkpoint but the last and those of the steps in `keep`, and what a killed run left half done."""
    for step in list_steps(run)[:-1]:
        if step not in keep:
            shutil.rmtree(find_checkpoint(run, step))
    for leftover in (run / "checkpoints").glob(".step-*.tmp"):
        shutil.rmtree(leftover)


def find_best(run: Path) -> int:
    """Step of the checkpoint whose samples were nearest to the real radiographs while the run was monitored.

    Raises:
        CheckpointError: there is no checkpoint, the last one is damaged, the run was not monitored yet, or that
            checkpoint was removed.
    """
    steps = list_steps(run)
    if not steps:
        raise CheckpointError(f"{run}: no checkpoint; train it first")
    best = _read_best(_read_state(find_checkpoint(run, steps[-1])), run)
    if best is None:
        raise CheckpointError(
            f"{run}: no checkpoint is known as the best one, no samples were measured (training.monitor); name a step "
            f"of {', '.join(map(str, steps))}"
        )
    if best.step not in steps:
        raise CheckpointError(f"{run}: the best checkpoint, of step {best.step}, was removed; name a step of {steps}")
    return best.step


def find_step(run: Path, name: str) -> int:
    """The step that a name means: a number, `best` (see `find_best`) or `last`.

    Raises:
        CheckpointError: there is no checkpoint, or the best one is not known.
    """
    if name == "best":
        return find_best(run)
    if name != "last":
        return int(name)
    read_run(run)
    if not (steps := list_steps(run)):
        raise CheckpointError(f"{run}: no checkpoint; train it first")
    return steps[-1]


def load_snapshot(run: Path, step: int, lengths: Sequence[float]) -> Snapshot:
    """Read a checkpoint back, with the averages of these lengths.

    Raises:
        CheckpointError: it is missing, cut short or edited.
    """
    return Snapshot(
        step=step,
        model=_load_part(run, step, "model")[0],
        emas={length: _load_part(run, step, name_average(length))[0] for length in lengths},
        optimizer=_load_part(run, step, "optimizer")[0],
        best=_read_best(_read_state(find_checkpoint(run, step)), run),
    )


def _read_best(state: dict[str, Any], run: Path) -> Best | None:
    found = state.get("best")
    try:
        return None if found is None else Best(**found)
    except TypeError as error:
        raise CheckpointError(f"{run}: the last checkpoint's {_STATE_NAME} is damaged ({error}); {_HINT}") from error


def _read_state(folder: Path) -> dict[str, Any]:
    path = folder / _STATE_NAME
    try:
        state = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); {_HINT}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: is no mapping; {_HINT}")
    if state.get("format") != RUN_FORMAT:
        found = state.get("format")
        raise CheckpointError(f"{path}: format {found}, this version reads {RUN_FORMAT}; use another step")
    run = folder.parent.parent
    if (run_id := read_facts(run).run_id) != state.get("run_id"):
        raise CheckpointError(
            f"{path}: is of run {state.get('run_id')}, {run / RUN_NAME} of run {run_id}; move it back to its own run"
        )
    step = state.get("step")
    if not isinstance(step, int):
        raise CheckpointError(f"{path}: its step is {step!r}; {_HINT}")
    if find_checkpoint(Path(), step).name != folder.name:
        raise CheckpointError(f"{path}: is of step {step}; give the folder {folder.name} that name again")
    return state


def _load_part(run: Path, step: int, part: str) -> tuple[Tensors, str]:
    """Tensors of one file of a checkpoint, and the file's hash."""
    folder = find_checkpoint(run, step)
    path = folder / f"{part}.safetensors"
    state = _read_state(folder)
    try:
        expected = state["files"][path.name]
        data = path.read_bytes()
    except (OSError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); {_HINT}") from error
    found = sha256_bytes(data)
    if found != expected:
        raise CheckpointError(f"{path}: its hash is {found}, {_STATE_NAME} says {expected}; {_HINT}")
    try:
        return safetensors.torch.load(data), found
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path}: no safetensors file ({error}); {_HINT}") from error


def load_generator(
    run: Path, step: int | None = None, *, ema: float | None = None, device: str | torch.device = "cpu"
) -> Generator:
    """A trained network with its averaged weights.

    Args:
        run: folder that `train` wrote.
        step: of a checkpoint; None: the last. `find_best` knows the best.
        ema: length of the average; None: the recipe's first.
        device: where the network shall be.

    Raises:
        CheckpointError: the run, the checkpoint or the average is missing, cut short, edited, or of another
            architecture.
    """
    facts, recipe = read_run(run)
    steps = list_steps(run)
    if not steps or (step is not None and step not in steps):
        listed = ", ".join(map(str, steps)) or "none yet; train it first"
        raise CheckpointError(f"{run}: no checkpoint{f' of step {step}' if step else ''}; there are: {listed}")
    step = steps[-1] if step is None else step
    lengths = recipe.training.ema_lengths
    ema = lengths[0] if ema is None else ema
    if ema not in lengths:
        raise CheckpointError(f"{run}: no average of length {ema:g}; there are: {', '.join(f'{n:g}' for n in lengths)}")
    weights, weights_sha256 = _load_part(run, step, name_average(ema))
    network = build_network(recipe)
    load_weights(network, weights, where=find_checkpoint(run, step))
    network.eval().requires_grad_(False).to(device)
    return Generator(
        network=network,
        recipe=recipe,
        size=recipe.size,
        weights_sha256=weights_sha256,
        shape_model=load_shape_model(run, facts),
        run_id=facts.run_id,
        step=step,
        ema=ema,
        training_set=facts.training_set,
        dataset_sha256=facts.dataset_sha256,
    )


def load_weights(network: torch.nn.Module, weights: Mapping[str, torch.Tensor], *, where: Path) -> None:
    """Put weights into a network.

    Raises:
        CheckpointError: they are of another architecture.
    """
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        first = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"{where}: the weights are of another architecture than the recipe's ({first})"
        ) from error
