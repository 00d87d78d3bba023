"""Training: what is learned, what a run leaves, and runs that are killed, changed or damaged."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from trainer import SMALL

from cspine_bench.ddpm.checkpoint import find_checkpoint, list_steps, load_generator
from cspine_bench.ddpm.progress import read_log
from cspine_bench.ddpm.recipe import DdpmRecipe, TrainingRecipe
from cspine_bench.ddpm.train import train
from cspine_bench.ddpm.update import compute_learning_rate, pick_rows
from cspine_bench.errors import CheckpointError, CspineBenchError, DataError, RecipeError
from cspine_bench.provenance import sha256_file

NUM_STEPS = SMALL.training.num_steps


@pytest.fixture(scope="module")
def finished(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the small recipe that nothing disturbed."""
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    torch.manual_seed(99)  # global state must not matter
    train(SMALL, phantoms, run, seed=7)
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of that run, to be damaged."""
    return shutil.copytree(finished, tmp_path / "run")


def change(recipe: DdpmRecipe, **training: object) -> DdpmRecipe:
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=training)})


def hash_weights(run: Path) -> dict[str, str]:
    return {str(path.relative_to(run)): sha256_file(path) for path in sorted(run.glob("checkpoints/*/*"))}


def read_losses(run: Path) -> list[dict[str, object]]:
    rows = [row for row in read_log(run) if row["kind"] != "start"]
    return [{name: value for name, value in row.items() if name != "images_per_s"} for row in rows]


def test_the_loss_falls_and_the_run_tells_it(finished: Path) -> None:
    rows = read_log(finished)
    assert [row["step"] for row in rows if row["kind"] == "validation"] == list(range(8, NUM_STEPS + 1, 8))
    validations = [row for row in rows if row["kind"] == "validation"]
    assert list(validations[0]["bands"]) == ["0-0.25", "0.25-0.5", "0.5-0.75", "0.75-1"]
    assert validations[-1]["loss"] < 0.7 * validations[0]["loss"]
    assert list_steps(finished) == [16, NUM_STEPS]
    assert len(list((finished / "samples").iterdir())) == len(validations)
    with Image.open(finished / "progress.png") as page:
        assert page.width > 400 and len(set(np.asarray(page).reshape(-1, 3).max(axis=1).tolist())) > 50


def test_a_generator_is_the_averaged_network(finished: Path) -> None:
    generator = load_generator(finished)
    path = find_checkpoint(finished, NUM_STEPS) / "ema-0.1.safetensors"
    assert generator.weights_sha256 == sha256_file(path)
    assert (generator.step, generator.size, generator.recipe) == (NUM_STEPS, 32, SMALL)
    assert generator.shape_model is not None and generator.shape_model.training.max() < 32
    assert not generator.network.training and not any(p.requires_grad for p in generator.network.parameters())
    for name, value in safetensors.torch.load_file(path).items():
        assert torch.equal(generator.network.state_dict()[name], value)
    assert load_generator(finished, 16).weights_sha256 != generator.weights_sha256


def test_killed_anywhere_it_ends_in_the_same_weights(phantoms: Path, finished: Path, tmp_path: Path) -> None:
    script = Path(__file__).with_name("trainer.py")
    root = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    subprocess.run([sys.executable, script, phantoms, tmp_path / "run", "2"], env=environment, check=True)
    assert 0 < list_steps(tmp_path / "run")[-1] < NUM_STEPS
    train(SMALL, phantoms, tmp_path / "run", seed=7)
    assert len([row for row in read_log(tmp_path / "run") if row["kind"] == "start"]) == 3
    assert hash_weights(tmp_path / "run") == hash_weights(finished)
    assert read_losses(tmp_path / "run") == read_losses(finished)


@pytest.mark.parametrize(
    "settings",
    [
        {"objective": "v", "schedule": "cosine", "min_snr_gamma": 5.0, "condition": "none"},
        {"objective": "epsilon", "schedule": "linear", "training": {"times": "uniform"}},
        {"objective": "flow", "training": {"precision": "bfloat16", "batch_size": 2}},
    ],
    ids=["v", "epsilon", "bfloat16"],
)
def test_other_recipes_train_and_load(phantoms: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    values = SMALL.model_dump() | settings
    length = {"num_steps": 6, "validate_every": 6, "checkpoint_steps": ()}
    values["training"] = SMALL.training.model_dump() | length | settings.get("training", {})
    recipe = DdpmRecipe.model_validate(values)
    summary = train(recipe, phantoms, tmp_path / "run")
    assert 0.1 < summary.validation_loss < 3
    generator = load_generator(tmp_path / "run")
    assert (generator.recipe, generator.weights_sha256) == (recipe, summary.weights_sha256)
    assert (generator.shape_model is None) == (recipe.condition == "none")


def test_a_finished_run_is_left_alone(phantoms: Path, run: Path) -> None:
    before = hash_weights(run)
    summary = train(SMALL, phantoms, run, seed=7)
    assert summary.step == NUM_STEPS and summary.run_id == load_generator(run).run_id
    assert hash_weights(run) == before


def test_another_run_is_not_mixed_in(phantoms: Path, run: Path) -> None:
    with pytest.raises(CheckpointError, match="holds another run, of another seed; choose another folder"):
        train(SMALL, phantoms, run, seed=8)
    with pytest.raises(CheckpointError, match="of another recipe"):
        train(change(SMALL, clip_norm=2.0), phantoms, run, seed=7)
    (run / "notes.txt").touch()
    with pytest.raises(DataError, match=r"files that are not of a run \(notes.txt\)"):
        train(SMALL, phantoms, run, seed=7)


def test_divergence_names_the_last_good_checkpoint(phantoms: Path, tmp_path: Path) -> None:
    recipe = change(SMALL, learning_rate=300.0, warmup_steps=10_000, validate_every=1)
    with pytest.raises(RecipeError, match=r"diverged at update \d+ .*loss .*lower training.learning_rate") as caught:
        train(recipe, phantoms, tmp_path / "run")
    last = list_steps(tmp_path / "run")[-1]
    assert f"the last good checkpoint is {find_checkpoint(tmp_path / 'run', last)};" in str(caught.value)
    load_generator(tmp_path / "run")
    with pytest.raises(RecipeError, match=r"diverged at update 1 \(.*loss .*there is no checkpoint yet"):
        train(change(recipe, learning_rate=1e30), phantoms, tmp_path / "other")


def test_too_few_radiographs_stop_before_a_run_begins(phantoms: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the train split has 39 radiographs, training needs at least 64"):
        train(change(SMALL, batch_size=64), phantoms, tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()


def cut_short(run: Path) -> None:
    path = find_checkpoint(run, NUM_STEPS) / "ema-0.1.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def edit(run: Path) -> None:
    path = find_checkpoint(run, NUM_STEPS) / "ema-0.1.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def swap_architecture(run: Path) -> None:
    folder = find_checkpoint(run, NUM_STEPS)
    safetensors.torch.save_file({"weight": torch.zeros(3)}, folder / "ema-0.1.safetensors")
    state = json.loads((folder / "state.json").read_text())
    state["files"]["ema-0.1.safetensors"] = sha256_file(folder / "ema-0.1.safetensors")
    (folder / "state.json").write_text(json.dumps(state))


def edit_recipe(run: Path) -> None:
    path = run / "recipe.yaml"
    path.write_text(path.read_text().replace("objective: flow", "objective: v"))


def edit_shapes(run: Path) -> None:
    path = run / "shape_model.safetensors"
    path.write_bytes(path.read_bytes() + b" ")


def lose_state(run: Path) -> None:
    (find_checkpoint(run, NUM_STEPS) / "state.json").unlink()


def lose_checkpoints(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")


def lose_run(run: Path) -> None:
    (run / "run.json").unlink()


def break_run(run: Path) -> None:
    (run / "run.json").write_text("{}")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_short, "its hash is .*, state.json says .*: use another step"),
        (edit, "its hash is .*, state.json says"),
        (swap_architecture, "of another architecture"),
        (edit_recipe, "recipe.yaml: was changed since the run began"),
        (edit_shapes, "shape_model.safetensors: its hash is"),
        (lose_state, "cannot be read"),
        (lose_checkpoints, "no checkpoint; there are: none yet; train it first"),
        (lose_run, "no training run, run.json cannot be read"),
        (break_run, "damaged or of another version"),
    ],
)
def test_a_damaged_run_is_not_sampled(run: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(run)
    with pytest.raises(CheckpointError, match=message):
        load_generator(run)


def test_a_step_that_is_not_there_is_named(finished: Path) -> None:
    with pytest.raises(CspineBenchError, match=f"no checkpoint of step 17; there are: 16, {NUM_STEPS}"):
        load_generator(finished, 17)


def test_every_pass_sees_every_radiograph_once() -> None:
    rows = np.concatenate([pick_rows(3, step, 10, 4) for step in range(5)])
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert rows[:10].tolist() != rows[10:].tolist()
    assert pick_rows(3, 4, 10, 4).tolist() == rows[16:].tolist()


def test_the_learning_rate_rises_stays_and_falls() -> None:
    options = TrainingRecipe(num_steps=100, warmup_steps=10, decay_share=0.2, learning_rate=1.0)
    rates = [compute_learning_rate(options, step) for step in (0, 9, 50, 80, 90, 99)]
    assert rates == pytest.approx([0.1, 1, 1, 1, 0.5, 0.05])
    flat = TrainingRecipe(num_steps=10, warmup_steps=0, decay_share=0, learning_rate=1.0)
    assert [compute_learning_rate(flat, step) for step in (0, 9)] == [1, 1]
