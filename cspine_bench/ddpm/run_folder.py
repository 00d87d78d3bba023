"""The run folder: what a training run is, and the files that say so.

RUN/recipe.yaml              the resolved recipe
RUN/shape_model.safetensors  of the training landmarks, for a network that is conditioned on a skeleton
RUN/run.json                 what decides the weights, with the hashes that tie it together
RUN/log.jsonl                training and validation, a line each
RUN/checkpoints/             see `checkpoint`
"""

import json
from pathlib import Path
from typing import Any, Final

import safetensors.numpy
import yaml
from pydantic import BaseModel, ConfigDict

from cspine_bench.dataset.files import write_file
from cspine_bench.ddpm.recipe import DdpmRecipe
from cspine_bench.ddpm.shape_model import ShapeModel
from cspine_bench.ddpm.training_set import TrainingSet
from cspine_bench.errors import CheckpointError, RecipeError
from cspine_bench.provenance import sha256_file, sha256_json
from cspine_bench.recipe import load_recipe

RUN_FORMAT: Final = 3
"""Raised with every change to a run's files, and to what a network is shown: it knows no map of another drawing."""
RUN_NAME: Final = "run.json"
LOG_NAME: Final = "log.jsonl"
_RECIPE_NAME: Final = "recipe.yaml"
_SHAPE_MODEL_NAME: Final = "shape_model.safetensors"


class RunFacts(BaseModel):
    """`run.json`. The first six decide the weights on one kind of machine; the rest says where, and from what films."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = RUN_FORMAT
    recipe_sha256: str
    dataset_sha256: str
    shape_model_sha256: str | None
    seed: int
    device: str
    commit: str | None
    commit_dirty: bool | None
    versions: dict[str, str]
    training_set: TrainingSet | None = None

    @property
    def run_id(self) -> str:
        """Sixteen digits that name the run: a hash of what decides its weights."""
        return sha256_json(self.identity())[:16]

    def identity(self) -> dict[str, Any]:
        """What must be equal for a run to be gone on with."""
        return self.model_dump(mode="json", exclude={"commit", "commit_dirty", "versions", "training_set"})


def write_run(run: Path, facts: RunFacts, recipe: DdpmRecipe, shape_model: bytes | None) -> None:
    """Begin a run folder; `run.json` comes last, so that a folder that has it is whole.

    Raises:
        DataError: the disk is full.
    """
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
    write_file(run / _RECIPE_NAME, text.encode(), scratch=run)
    if shape_model is not None:
        write_file(run / _SHAPE_MODEL_NAME, shape_model, scratch=run)
    lines = json.dumps(facts.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"
    write_file(run / RUN_NAME, lines.encode(), scratch=run)


def pack_shape_model(model: ShapeModel) -> bytes:
    """The bytes of `shape_model.safetensors`."""
    return safetensors.numpy.save(dict(sorted(model.to_arrays().items())))


def read_run(run: Path) -> tuple[RunFacts, DdpmRecipe]:
    """What a run is.

    Raises:
        CheckpointError: `run` is no run folder, or its recipe or `run.json` was changed.
    """
    facts = read_facts(run)
    try:
        recipe = load_recipe(run / _RECIPE_NAME, DdpmRecipe)
    except RecipeError as error:
        raise CheckpointError(f"{run}: the run is damaged or of another version ({error}); copy it again") from error
    if recipe.compute_sha256() != facts.recipe_sha256:
        raise CheckpointError(
            f"{run / _RECIPE_NAME}: was changed since the run began, or is of another version of this "
            "package; put the old one back, or use that version"
        )
    return facts, recipe


def read_facts(run: Path) -> RunFacts:
    """`run.json`.

    Raises:
        CheckpointError: `run` is no run folder, or its `run.json` is damaged or of another format.
    """
    path = run / RUN_NAME
    try:
        values = json.loads(path.read_bytes())
        found = values.get("format") if isinstance(values, dict) else None
        if found != RUN_FORMAT:
            raise CheckpointError(
                f"{path}: the run is damaged or of another version (format {found}, this one reads {RUN_FORMAT}); "
                "copy it again, or train it again"
            )
        return RunFacts.model_validate(values)
    except OSError as error:
        raise CheckpointError(
            f"{run}: no training run, {path.name} cannot be read ({error.strerror}); name one that `ddpm train` wrote"
        ) from error
    except ValueError as error:
        first = str(error).splitlines()[:3]
        raise CheckpointError(
            f"{path}: the run is damaged or of another version ({' '.join(map(str.strip, first))}); copy it again"
        ) from error


def load_shape_model(run: Path, facts: RunFacts) -> ShapeModel | None:
    """The shape model of a run, None for one without a skeleton.

    Raises:
        CheckpointError: it is missing or was changed.
    """
    if facts.shape_model_sha256 is None:
        return None
    path = run / _SHAPE_MODEL_NAME
    try:
        found = sha256_file(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); copy the run again") from error
    if found != facts.shape_model_sha256:
        raise CheckpointError(
            f"{path}: its hash is {found}, {RUN_NAME} says {facts.shape_model_sha256}; copy the run again"
        )
    return ShapeModel.from_arrays(safetensors.numpy.load_file(path))
