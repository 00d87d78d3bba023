"""Model folders: what is saved comes back, and what is no whole model is refused by name."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch

from cspine_bench.baselines.model import (
    MODEL_NAME,
    SHAPE_ARRAYS,
    SHAPES_NAME,
    WEIGHTS_NAME,
    TrainedOn,
    load_model,
    save_model,
)
from cspine_bench.baselines.registry import build_task
from cspine_bench.errors import CheckpointError
from cspine_bench.provenance import sha256_bytes, sha256_file

sys.path.append(str(Path(__file__).parent))

from phantom_folders import WORKED_AT_PX, build_recipe

DIGEST = "a" * 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recipe = build_recipe()
    torch.manual_seed(1)
    save_model(
        tmp_path / "model",
        build_task(recipe).build_network(),
        shapes={name: np.array(9.5) for name in SHAPE_ARRAYS} | {"mean": np.arange(46.0)},
        recipe=recipe,
        trained_on=TrainedOn(dataset="films", digest=DIGEST, split="train", n_used=3, n_available=4),
        seed=1,
        updates=40,
        learning_rate=0.01,
        device="cpu",
        package_version="0",
        commit=None,
        versions={},
        tested_on="test",
        figures=(),
        least_confidence=0.25,
    )
    return tmp_path / "model"


def test_what_is_saved_comes_back(folder: Path) -> None:
    model = load_model(folder)
    torch.manual_seed(1)
    network = build_task(build_recipe()).build_network().eval()
    image = torch.rand(2, 1, WORKED_AT_PX, WORKED_AT_PX)
    assert torch.equal(model.network(image), network(image))
    assert not model.network.training and not any(weight.requires_grad for weight in model.network.parameters())
    assert model.weights_sha256 == sha256_file(folder / WEIGHTS_NAME) == model.facts.weights_sha256
    assert model.recipe == build_recipe() and model.facts.trained_on.digest == DIGEST
    assert model.facts.least_confidence == 0.25
    assert model.shapes is not None and float(model.shapes["limit"]) == 9.5
    assert np.array_equal(model.shapes["mean"], np.arange(46.0))


def test_loading_draws_nothing_from_the_generator_of_others(folder: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_model(folder)
    assert torch.equal(torch.rand(3), expected)


def damage_weights(folder: Path) -> None:
    data = bytearray((folder / WEIGHTS_NAME).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS_NAME).write_bytes(data)


def change_facts(change: Callable[[dict], None]) -> Callable[[Path], None]:  # type: ignore[type-arg]
    def change_file(folder: Path) -> None:
        values = json.loads((folder / MODEL_NAME).read_text())
        change(values)
        (folder / MODEL_NAME).write_text(json.dumps(values))

    return change_file


def rewrite(folder: Path, name: str, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change arrays of a file, and its hash with it: as another version, or a diverged training, would write it."""
    arrays = safetensors.numpy.load((folder / name).read_bytes())
    change(arrays)
    data = safetensors.numpy.save(arrays)
    (folder / name).write_bytes(data)
    field = f"{name.partition('.')[0]}_sha256"
    change_facts(lambda values: values.update({field: sha256_bytes(data)}))(folder)


def spoil_first(arrays: dict[str, Any]) -> None:
    arrays[min(arrays)].flat[0] = np.nan


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / MODEL_NAME).unlink(), "its training was not finished"),
        (lambda folder: (folder / WEIGHTS_NAME).unlink(), "weights.safetensors: cannot be read"),
        (damage_weights, "its hash is"),
        (lambda folder: (folder / "shapes.safetensors").write_bytes(b"x"), "shapes.safetensors: its hash is"),
        (lambda folder: (folder / MODEL_NAME).write_text("[]"), "not the facts of a trained baseline"),
        (lambda folder: (folder / MODEL_NAME).write_text("{"), "not the facts of a trained baseline"),
        (change_facts(lambda values: values["recipe"]["task"].update(kind="age")), "of task 'age', which is unknown"),
        (change_facts(lambda values: values.update(format=2)), "format: Input should be 1"),
        (
            change_facts(lambda values: values["recipe"]["network"].update(widths=[16, 16])),
            "of another architecture than its recipe",
        ),
        (
            change_facts(lambda values: values.update(classes=["a", "b"])),
            "classes are a, b, and this version's are none",
        ),
        (lambda folder: rewrite(folder, WEIGHTS_NAME, spoil_first), "holds NaN or infinite weights"),
        (lambda folder: rewrite(folder, SHAPES_NAME, lambda arrays: arrays.pop("limit")), "lacks limit"),
    ],
)
def test_what_is_no_whole_model_is_refused(folder: Path, damage: Callable[[Path], None], words: str) -> None:
    damage(folder)
    with pytest.raises(CheckpointError, match=words):
        load_model(folder)


def test_other_folders_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such model folder"):
        load_model(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="holds no trained baseline"):
        load_model(tmp_path)
