"""The benchmarks of the learned generator run, at settings too small to mean anything, and state what they must."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import sampler_steps
from benchmarks.held_out import open_or_make
from benchmarks.speed import ddpm_distance, ddpm_train
from benchmarks.speed.diffusers_example import Example
from benchmarks.training_runs import shorten
from cspine_bench.ddpm.recipe import DdpmRecipe
from cspine_bench.ddpm.train import train

SMALL = {"size": 16, "network.widths": "[16, 16]", "network.attention_levels": "[1]", "training.batch_size": 4}
SETTINGS = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_or_make(None, tmp_path_factory.mktemp("benchmarks"), count=36, size=64).path


def row(cpu_s: float, distance: float, width: float = 1.0) -> ddpm_distance.Row:
    return {
        "cpu_s": cpu_s,
        "frechet_distance": distance,
        "frechet_distance_low": distance - width,
        "frechet_distance_high": distance + width,
    }


def test_the_ratio_is_bounded_by_the_runs_on_both_sides_of_the_mark() -> None:
    peer, noise = [row(50, 40), row(100, 20)], row(0, 50)
    both = ddpm_distance.compare(peer, [row(5, 30), row(10, 10)], noise)
    assert (both["ratio_at_least"], both["ratio_at_most"], both["clear"]) == (10, 20, True)
    at_once = ddpm_distance.compare(peer, [row(5, 19)], noise)
    assert (at_once["ratio_at_least"], at_once["ratio_at_most"], at_once["clear"]) == (20, None, False)
    never = ddpm_distance.compare(peer, [row(5, 30), row(10, 21)], noise)
    assert (never["ratio_at_least"], never["ratio_at_most"], never["ours_first"]) == (None, 10, None)
    # A peer that gets worse is held to its best.
    assert ddpm_distance.compare([row(50, 20), row(100, 40)], [row(5, 20)], noise)["ratio_at_least"] == 10


def test_a_peer_no_better_than_noise_is_no_mark() -> None:
    peer, noise = [row(50, 49), row(100, 55)], row(0, 50)
    # At the peer's level, and still noise: nothing is claimed.
    nothing = ddpm_distance.compare(peer, [row(5, 48.5)], noise)
    assert (nothing["ratio_at_least"], nothing["ratio_at_most"]) == (None, None)
    # All of the peer's time counts: it is not there yet at the end.
    found = ddpm_distance.compare(peer, [row(5, 48.5), row(10, 40)], noise)
    assert (found["ratio_at_least"], found["ratio_at_most"], found["ours_first"]["cpu_s"]) == (10, None, 10)


def test_the_bounds_of_all_seeds_are_the_widest() -> None:
    seeds = [{"comparison": {"ratio_at_least": low, "ratio_at_most": high}} for low, high in ((4, 9), (5, 12))]
    assert ddpm_distance.summarize_bounds(seeds) == {"ratio_at_least": 4, "ratio_at_most": 12}
    seeds.append({"comparison": {"ratio_at_least": 6, "ratio_at_most": None}})
    assert ddpm_distance.summarize_bounds(seeds) == {"ratio_at_least": 4, "ratio_at_most": None}


def test_a_shortened_recipe_is_a_whole_run() -> None:
    short = shorten(DdpmRecipe(), 60)
    assert (short.training.num_steps, short.training.warmup_steps, short.training.checkpoint_steps) == (60, 6, ())
    assert short.network == DdpmRecipe().network


def test_the_small_example_learns_and_its_average_is_another_network() -> None:
    films = torch.zeros(16, 1, 8, 8)
    example = Example("example, small", films, seed=0, num_steps=100, warmup_steps=1, learning_rate=1e-3, use_ema=True)
    losses = [float(example.update()) for _ in range(5)]
    assert losses[-1] < 0.9 * losses[0]
    made = [
        example.sample(2, sampler="ddim", num_steps=3, batch_size=2, averaged=averaged) for averaged in (False, True)
    ]
    assert made[0].shape == (2, 8, 8) and made[0].dtype == np.uint8
    assert (made[0] != made[1]).any()
    # Its own weights are back.
    assert (example.sample(2, sampler="ddim", num_steps=3, batch_size=2) == made[0]).all()


@pytest.mark.slow  # runs a benchmark
def test_train_benchmark_states_what_each_costs(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "train.json"
    words = ["--data", str(dataset), "--seconds", "0", "--repeats", "1", "--peers", "example, small", "--out", str(out)]
    ddpm_train.main([*words, *SETTINGS])
    found = json.loads(out.read_text())
    ours, example = found["figures"]
    assert ours["cpu_ms_per_image_over_ours"]["median"] == 1
    assert example["candidate"] == "example, small" and example["cpu_ms_per_image"]["median"] > 0
    assert "commit" in found and found["command"].startswith("python benchmarks/speed/ddpm_train.py --data")
    assert f"{example['parameters']:,}" in capsys.readouterr().out


@pytest.mark.slow  # runs a benchmark
def test_sampler_rows_are_made_once_and_not_mixed_with_other_weights(dataset: Path, tmp_path: Path) -> None:
    network = {"widths": (16, 16), "attention_levels": (1,)}
    recipe = DdpmRecipe(size=16, condition="skeleton", network=network, training={"num_steps": 1, "batch_size": 4})
    train(recipe, dataset, tmp_path / "run")
    out, picture = tmp_path / "steps.json", tmp_path / "sheet.png"
    counts = ["--count", "4", "--batch-size", "4", "--samplers", "ddim", "heun"]
    words = [str(tmp_path / "run"), "--data", str(dataset), "--out", str(out), *counts]
    sampler_steps.main([*words, "--steps", "3"])
    first = json.loads(out.read_text())
    assert {(one["sampler"], one["evaluations_per_image"]) for one in first["rows"]} == {("ddim", 3), ("heun", 4)}
    more = ["--steps", "2", "3", "--picture", str(picture), "--shown-steps", "2"]
    sampler_steps.main([*words, *more])
    rows = json.loads(out.read_text())["rows"]
    assert len(rows) == 4
    # Timings and all: an earlier row was kept, not made anew.
    assert all(one in rows for one in first["rows"])
    with Image.open(picture) as sheet:
        assert sheet.width > 6 * 128
    with pytest.raises(SystemExit, match="its weights_sha256 differ from this call's"):
        sampler_steps.read_rows(out, {"run_id": first["run_id"], "weights_sha256": "0" * 64})
