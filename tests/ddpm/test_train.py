"""Training: what is learned, what a run leaves, and runs that are killed, changed or damaged."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from trainer import SHORT, SMALL, change, kill_trainers, run_trainers, start_trainers

from cspine_bench.ddpm.checkpoint import find_best, find_checkpoint, list_steps, load_generator
from cspine_bench.ddpm.progress import read_log
from cspine_bench.ddpm.recipe import DdpmRecipe, TrainingRecipe
from cspine_bench.ddpm.shipped import list_recipes, open_recipe
from cspine_bench.ddpm.train import train
from cspine_bench.ddpm.update import compute_learning_rate, pick_rows
from cspine_bench.errors import CheckpointError, CspineBenchError, DataError, RecipeError
from cspine_bench.provenance import sha256_file
from cspine_bench.recipe import apply_overrides

NUM_STEPS = SMALL.training.num_steps
MakeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="module")
def finished(phantoms: Path, make_once: MakeOnce) -> Path:
    """A run of the small recipe that nothing disturbed."""
    torch.manual_seed(99)  # global state must not matter
    return make_once("undisturbed", lambda run: train(SMALL, phantoms, run, seed=7))


@pytest.fixture(scope="module")
def outcomes(phantoms: Path, make_once: MakeOnce) -> Path:
    """What the trainers of `trainer.py` leave that take their time."""
    return make_once("outcomes", lambda folder: run_trainers(phantoms, folder))


@pytest.fixture(scope="module")
def refusals(phantoms: Path, make_once: MakeOnce) -> Path:
    """What those say that cannot even begin."""
    return make_once("refusals", lambda folder: start_trainers(phantoms, folder))


@pytest.fixture(scope="module")
def short(phantoms: Path, make_once: MakeOnce) -> Path:
    """A short run of one process, each batch in one part."""
    return make_once("short", lambda run: train(change(SMALL, **SHORT, accumulation_steps=1), phantoms, run, seed=7))


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of that run, to be damaged."""
    return shutil.copytree(finished, tmp_path / "run")


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
    assert len(list((finished / "samples").glob("step-*.png"))) == len(validations)
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
    shorter = load_generator(finished, ema=0.05)
    assert (generator.ema, shorter.ema) == (0.1, 0.05)
    assert shorter.weights_sha256 == sha256_file(path.with_name("ema-0.05.safetensors")) != generator.weights_sha256
    with pytest.raises(CheckpointError, match=r"no average of length 0.2; there are: 0.1, 0.05"):
        load_generator(finished, ema=0.2)


@pytest.mark.slow  # kills processes; that a run goes on where it was killed is also seen where the disk is full
def test_killed_anywhere_it_ends_in_the_same_weights(phantoms: Path, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "killed"
    kill_trainers(phantoms, run, 2)
    assert 0 < list_steps(run)[-1] < NUM_STEPS
    train(SMALL, phantoms, run, seed=7)
    assert len([row for row in read_log(run) if row["kind"] == "start"]) == 3
    assert hash_weights(run) == hash_weights(finished)
    assert read_losses(run) == read_losses(finished)


def compare_weights(run: Path, other: Path) -> float:
    """Largest difference of a weight, in units of the learning rate, which is what an update moves one by."""
    step = SHORT["num_steps"]
    files = [find_checkpoint(path, step) / "model.safetensors" for path in (run, other)]
    ours, theirs = (safetensors.torch.load_file(path) for path in files)
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours) / float(SHORT["learning_rate"])


def check_equal_to_rounding(run: Path, other: Path) -> None:
    for ours, theirs in zip(read_losses(run), read_losses(other), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
    # Adam divides a gradient by its own length: where both are all rounding, so is the quotient.
    assert compare_weights(run, other) < 0.1


@pytest.mark.slow  # starts processes that import torch
def test_two_processes_train_as_one(short: Path, outcomes: Path) -> None:
    assert read_log(outcomes / "pair")[0]["processes"] == 2
    assert len([row for row in read_log(outcomes / "pair") if row["kind"] == "start"]) == 1
    check_equal_to_rounding(short, outcomes / "pair")


def test_parts_of_a_batch_train_as_the_whole(phantoms: Path, short: Path, tmp_path: Path) -> None:
    train(change(SMALL, **SHORT, accumulation_steps=4), phantoms, tmp_path / "parts", seed=7)
    check_equal_to_rounding(short, tmp_path / "parts")
    train(change(SMALL, **SHORT, accumulation_steps=1), phantoms, tmp_path / "other", seed=8)
    assert compare_weights(short, tmp_path / "other") > 10


def test_a_batch_that_cannot_be_shared_is_named(refusals: Path) -> None:
    text = (refusals / "uneven.txt").read_text()
    assert "training.batch_size 6 cannot be shared out evenly: there are 2 processes x" in text
    assert "choose a multiple of 4" in text
    assert not (refusals / "uneven").exists()


@pytest.mark.slow  # trains several times
def test_a_full_disk_leaves_what_can_be_gone_on_from(phantoms: Path, finished: Path, outcomes: Path) -> None:
    text = (outcomes / "full.txt").read_text()
    assert "step-000002.tmp" in text and "cannot be written, file too large" in text
    assert list_steps(outcomes / "full") == []
    assert "log.jsonl: cannot be written, file too large" in (outcomes / "stuffed.txt").read_text()
    assert list_steps(outcomes / "stuffed")
    train(SMALL, phantoms, outcomes / "stuffed", seed=7)
    assert hash_weights(outcomes / "stuffed") == hash_weights(finished)
    assert read_losses(outcomes / "stuffed") == read_losses(finished)


def test_too_little_memory_names_what_to_lower(refusals: Path) -> None:
    text = (refusals / "memory.txt").read_text()
    assert text.startswith("cpu: training needs more memory than there is; raise training.accumulation_steps, or lower")


def test_a_device_that_is_not_there_is_named(phantoms: Path, tmp_path: Path) -> None:
    for device, message in {"cuda:99": "'cuda:99' is not there: this machine has", "tpu": "'tpu' is none of"}.items():
        with pytest.raises(DataError, match=message):
            train(SMALL, phantoms, tmp_path / "run", device=device)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"objective": "v", "min_snr_gamma": 5.0, "condition": "none", "classes": ()},
        {"objective": "flow", "size": 16, "training": {"precision": "bfloat16", "batch_size": 2}},
        {"objective": "edm", "training": {"channels_last": True, "ema_lengths": (0.2,)}},
    ],
    ids=["v", "bfloat16", "edm"],
)
def test_other_recipes_train_and_load(phantoms: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    values = SMALL.model_dump() | settings
    length = {"num_steps": 4, "validate_every": 4, "checkpoint_steps": (), "monitor": None}
    values["training"] = SMALL.training.model_dump() | length | settings.get("training", {})
    recipe = DdpmRecipe.model_validate(values)
    summary = train(recipe, phantoms, tmp_path / "run")
    assert 0.1 < summary.validation_loss < 3
    generator = load_generator(tmp_path / "run")
    assert (generator.recipe, generator.weights_sha256) == (recipe, summary.weights_sha256)
    assert (generator.shape_model is None) == (recipe.condition == "none")


@pytest.mark.parametrize("name", list_recipes())
def test_recipes_of_the_package_train(phantoms: Path, tmp_path: Path, name: str) -> None:
    tiny = ["size=16", "network.unshuffle=2", "network.widths=[8, 8]", "network.attention_levels=[1]"]
    short = {"num_steps": 2, "batch_size": 4, "validate_every": 2, "checkpoint_steps": "[]", "monitor": "null"}
    # Made for a GPU: both take long to begin on a processor.
    short |= {"precision": "float32", "compile": "false"}
    recipe = apply_overrides(open_recipe(name), tiny + [f"training.{key}={value}" for key, value in short.items()])
    train(recipe, phantoms, tmp_path / "run")
    assert load_generator(tmp_path / "run").step == 2


def test_the_best_checkpoint_is_known_and_kept(phantoms: Path, finished: Path, tmp_path: Path) -> None:
    rows = [row for row in read_log(finished) if row["kind"] == "monitor"]
    assert [row["step"] for row in rows] == [16, NUM_STEPS]
    assert {row["num_synthetic"] for row in rows} == {8}
    assert find_best(finished) == min(rows, key=lambda row: row["frechet_distance"])["step"]
    # Weights that do not move: every measurement is the same, and the first one stays the best.
    monitor = SMALL.training.monitor.model_copy(update={"every": 1})
    still = change(SMALL, **SHORT | {"num_steps": 2, "learning_rate": 1e-30, "monitor": monitor})
    train(still, phantoms, tmp_path / "run")
    distances = {row["frechet_distance"] for row in read_log(tmp_path / "run") if row["kind"] == "monitor"}
    assert len(distances) == 1
    assert (find_best(tmp_path / "run"), list_steps(tmp_path / "run")) == (1, [1, 2])


def test_a_run_that_was_not_measured_has_no_best(short: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no samples were measured \(training.monitor\); name a step of 6"):
        find_best(short)


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


def test_checkpoints_of_another_run_are_not_taken_over(phantoms: Path, run: Path) -> None:
    (run / "run.json").unlink()
    with pytest.raises(CheckpointError, match=r"is of run [0-9a-f]{16}, .*run.json of run [0-9a-f]{16}; move it back"):
        train(SMALL, phantoms, run, seed=8)


@pytest.mark.slow  # trains several times
def test_divergence_names_the_last_good_checkpoint(phantoms: Path, tmp_path: Path) -> None:
    recipe = change(SMALL, learning_rate=300.0, warmup_steps=10_000, validate_every=2, monitor=None)
    with pytest.raises(RecipeError, match=r"diverged at update \d+ .*loss .*lower training.learning_rate") as caught:
        train(recipe, phantoms, tmp_path / "run")
    last = list_steps(tmp_path / "run")[-1]
    assert f"the last good checkpoint is {find_checkpoint(tmp_path / 'run', last)};" in str(caught.value)
    load_generator(tmp_path / "run")
    with pytest.raises(RecipeError, match=r"diverged at update 1 \(.*loss .*there is no checkpoint yet"):
        train(change(recipe, learning_rate=1e30, validate_every=1), phantoms, tmp_path / "other")


def test_a_network_is_not_compiled_for_a_cpu(phantoms: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="compiled on a CPU, this network has wrong gradients"):
        train(change(SMALL, compile=True), phantoms, tmp_path / "run")
    assert not (tmp_path / "run").exists()


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


def rename_step(run: Path) -> None:
    find_checkpoint(run, NUM_STEPS).rename(find_checkpoint(run, NUM_STEPS + 1))


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
        (rename_step, f"is of step {NUM_STEPS}; give the folder step-{NUM_STEPS + 1:06d} that name again"),
        (lose_checkpoints, "no checkpoint; there are: none yet; train it first"),
        (lose_run, "no training run, run.json cannot be read"),
        (break_run, "damaged or of another version"),
    ],
)
def test_a_damaged_run_is_not_sampled(run: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(run)
    with pytest.raises(CheckpointError, match=message):
        load_generator(run)


def swap_optimizer(run: Path) -> None:
    folder = find_checkpoint(run, NUM_STEPS)
    safetensors.torch.save_file({"weight/step": torch.zeros(3)}, folder / "optimizer.safetensors")
    state = json.loads((folder / "state.json").read_text())
    state["files"]["optimizer.safetensors"] = sha256_file(folder / "optimizer.safetensors")
    (folder / "state.json").write_text(json.dumps(state))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_short, "its hash is .*, state.json says .*: use another step"),
        (swap_architecture, "of another architecture than the recipe's"),
        (swap_optimizer, "the optimiser's state is of another architecture"),
        (lose_state, "state.json: cannot be read"),
    ],
)
def test_a_damaged_checkpoint_is_not_gone_on_from(
    phantoms: Path, run: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(run)
    before = hash_weights(run)
    with pytest.raises(CheckpointError, match=message):
        train(SMALL, phantoms, run, seed=7)
    # The checkpoint before it is whole: without the damaged one, the run goes on from there.
    assert hash_weights(run) == before
    load_generator(run, 16)


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
