"""A trained baseline in a folder: its weights, what it was trained on, and how well it did.

    MODEL/weights.safetensors   of the network
    MODEL/shapes.safetensors    shapes of its training spines, where those were labelled: what annotation judges by
    MODEL/model.json            written last: its presence means "complete"

model = load_model(Path("teacher"))
predictions = model.task.predict(model.network, cases, device="cpu", seed=0)
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
import safetensors
import safetensors.numpy
import safetensors.torch
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cspine_bench.anatomy.spine_shapes import SpineShapes
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.registry import TASKS, build_task
from cspine_bench.baselines.task import Task
from cspine_bench.baselines.unet import TaskNetwork
from cspine_bench.dataset.files import write_file
from cspine_bench.errors import CheckpointError
from cspine_bench.provenance import sha256_bytes
from cspine_bench.results import Digest, Figure
from cspine_bench.schema import Split

MODEL_NAME: Final = "model.json"
WEIGHTS_NAME: Final = "weights.safetensors"
SHAPES_NAME: Final = "shapes.safetensors"
_AGAIN: Final = "train it again with `cspine-bench baseline train`, or fetch the folder again"

Shapes = Mapping[str, NDArray[np.float64]]
"""Arrays of `cspine_bench.anatomy.spine_shapes.SpineShapes` by name, and `limit`: farther than that is strange."""
SHAPE_ARRAYS: Final = frozenset((*SpineShapes.__annotations__, "limit"))


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrainedOn(_Frozen):
    """The radiographs that a model learnt from."""

    dataset: str
    digest: Digest = Field(description="Of the dataset's manifest.")
    split: Split
    n_used: Annotated[int, Field(ge=1)] = Field(description="Radiographs with the labels that the task needs.")
    n_available: Annotated[int, Field(ge=1)]


class ModelFacts(_Frozen):
    """The whole of `model.json`."""

    format: Literal[1] = 1
    recipe: BaselineRecipe
    trained_on: TrainedOn
    classes: tuple[str, ...] = Field((), description="What a class number means, where the task has classes.")
    seed: Annotated[int, Field(ge=0)]
    updates: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    device: str
    package_version: str
    commit: str | None
    versions: dict[str, str]
    tested_on: str = Field(description="Split that the figures are of: the test split, or else validation.")
    figures: tuple[Figure, ...] = Field(description="The primary one first.")
    least_confidence: float | None = Field(
        None,
        description="What 95 % of the radiographs of the validation split reach, or of the test split where there is "
        "no other; null where the task gives no confidence.",
    )
    weights_sha256: Digest
    shapes_sha256: Digest | None = None


@dataclass(frozen=True)
class TrainedModel:
    """A network that is ready to predict.

    Attributes:
        recipe: that it was trained by.
        task: of the recipe.
        network: in eval mode and without gradients.
        weights_sha256: of the file of weights.
        facts: all of `model.json`.
        shapes: of the training spines; None where it knows none.
    """

    recipe: BaselineRecipe
    task: Task
    network: TaskNetwork
    weights_sha256: str
    facts: ModelFacts
    shapes: Shapes | None = None


def save_model(folder: Path, network: TaskNetwork, *, shapes: Shapes | None = None, **facts: Any) -> ModelFacts:
    """Write a model folder; `model.json` comes last, and goes first where one is replaced.

    Args:
        folder: made where it is not there.
        network: with its weights, on any device.
        shapes: of the training spines.
        facts: fields of `ModelFacts` without the hashes.

    Returns:
        The facts with the hashes.

    Raises:
        DataError: the disk is full.
        OSError: the folder cannot be written.
    """
    weights = safetensors.torch.save(
        {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    )
    files = {WEIGHTS_NAME: weights}
    if shapes is not None:
        files[SHAPES_NAME] = safetensors.numpy.save({name: np.array(part, order="C") for name, part in shapes.items()})
    hashes = {name: sha256_bytes(data) for name, data in files.items()}
    told = ModelFacts(**facts, weights_sha256=hashes[WEIGHTS_NAME], shapes_sha256=hashes.get(SHAPES_NAME))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_NAME).unlink(missing_ok=True)
    for name, data in files.items():
        write_file(folder / name, data, scratch=folder)
    text = json.dumps(told.model_dump(mode="json"), sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    write_file(folder / MODEL_NAME, f"{text}\n".encode(), scratch=folder)
    return told


def read_facts(folder: Path) -> ModelFacts:
    """`model.json` of a folder, without its weights.

    Raises:
        CheckpointError: no such folder, no finished model in it, or another format.
    """
    path = folder / MODEL_NAME
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such model folder; train one with `cspine-bench baseline train`")
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        begun = (folder / WEIGHTS_NAME).exists()
        why = "its training was not finished" if begun else "it holds no trained baseline"
        raise CheckpointError(f"{folder}: has no {MODEL_NAME}, so {why}; {_AGAIN}") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    try:
        values = json.loads(data)
        kind = values["recipe"]["task"]["kind"]
        if kind not in TASKS:
            raise CheckpointError(f"{path}: is of task {kind!r}, which is unknown; there are {', '.join(TASKS)}")
        return ModelFacts.model_validate(values)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        found = str(error) or type(error).__name__
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            found = f"{'.'.join(map(str, first['loc'])) or 'top level'}: {first['msg']}"
        raise CheckpointError(f"{path}: not the facts of a trained baseline ({found}); {_AGAIN}") from error


def load_model(folder: Path, *, device: str = "cpu") -> TrainedModel:
    """A trained baseline.

    Args:
        folder: that `save_model` wrote.
        device: where its network shall be.

    Raises:
        CheckpointError: it is no model, is torn or edited, or of an unknown task, other classes or another
            architecture; or a weight is not finite.
    """
    facts = read_facts(folder)
    try:
        weights = safetensors.torch.load(_read(folder / WEIGHTS_NAME, facts.weights_sha256))
        shapes = None
        if facts.shapes_sha256 is not None:
            shapes = safetensors.numpy.load(_read(folder / SHAPES_NAME, facts.shapes_sha256))
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{folder}: a file is no safetensors file ({error}); {_AGAIN}") from error
    task = build_task(facts.recipe)
    if facts.classes != (known := tuple(getattr(task, "classes", ()))):
        raise CheckpointError(
            f"{folder / MODEL_NAME}: classes are {', '.join(facts.classes) or 'none'}, and this version's are "
            f"{', '.join(known) or 'none'}: its numbers would be misread; {_AGAIN}"
        )
    if spoilt := [name for name, value in weights.items() if not value.isfinite().all()]:
        raise CheckpointError(f"{folder / WEIGHTS_NAME}: {spoilt[0]} holds NaN or infinite weights; {_AGAIN}")
    if shapes is not None and (missing := SHAPE_ARRAYS - shapes.keys()):
        raise CheckpointError(f"{folder / SHAPES_NAME}: lacks {', '.join(sorted(missing))}; {_AGAIN}")
    with torch.random.fork_rng(devices=[]):
        network = task.build_network()
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        first = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{folder}: its weights are of another architecture than its recipe ({first})") from error
    network.eval().requires_grad_(False).to(device)
    return TrainedModel(facts.recipe, task, network, facts.weights_sha256, facts, shapes)


def _read(path: Path, expected: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); {_AGAIN}") from error
    if (found := sha256_bytes(data)) != expected:
        raise CheckpointError(f"{path}: its hash is {found}, {MODEL_NAME} says {expected}; {_AGAIN}")
    return data
