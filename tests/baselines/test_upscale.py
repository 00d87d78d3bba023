"""A super-resolver that follows the sampler: labels go along, the record names it, and nothing else fits there."""

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from cspine_bench.baselines.model import save_model
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.upscale import load_super_resolver
from cspine_bench.cli import cli
from cspine_bench.dataset.manifest import load_manifest
from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.source import Radiograph
from cspine_bench.dataset.verify import verify_dataset
from cspine_bench.ddpm.checkpoint import load_generator
from cspine_bench.ddpm.sample import DdpmSource
from cspine_bench.imaging.png import decode_png
from cspine_bench.schema import Record

sys.path.insert(0, str(Path(__file__).parent.parent / "ddpm"))
from small_run import write_small_run

DIGEST = "a" * 64


def write_model(folder: Path, *, weights_seed: int = 0, size: int = 64, **task: Any) -> Path:
    """A model as training leaves it, with weights drawn at random, so that it adds something to every image."""
    values = {
        "task": {"kind": "restoration", **task},
        "size": size,
        "network": {"unshuffle": 2, "widths": (8, 16)},
    }
    recipe = BaselineRecipe.model_validate(values)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(weights_seed)
        network = build_task(recipe).build_network()
        for weights in network.head.parameters():
            torch.nn.init.normal_(weights, std=0.05)
    save_model(
        folder,
        network,
        recipe=recipe,
        trained_on={"dataset": "films", "digest": DIGEST, "split": "train", "n_used": 40, "n_available": 40},
        seed=0,
        updates=1,
        learning_rate=1e-3,
        device="cpu",
        package_version="0",
        commit=None,
        versions={},
        tested_on="test",
        figures=(),
    )
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("upscale") / "run")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("upscale") / "model")


@pytest.fixture(scope="module")
def enlarged(run: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("upscale") / "ds"
    result = call("ddpm", "sample", run, "--out", out, "--count", 6, "--upscale", model, *HOW)
    assert result.exit_code == 0, result.stderr
    return out


HOW = ("--steps", 2, "--batch-size", 4)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def read(folder: Path) -> dict[int, Record]:
    return {record.sample_index or 0: record for record in open_dataset(folder).iter_records()}


def decode(data: bytes | None) -> np.ndarray:
    assert data is not None
    return decode_png(data, where="test")


def test_images_grow_and_their_labels_go_along(run: Path, model: Path, enlarged: Path, tmp_path: Path) -> None:
    result = call("ddpm", "sample", run, "--out", tmp_path / "small", "--count", 6, *HOW)
    assert result.exit_code == 0
    small, large = read(tmp_path / "small"), read(enlarged)
    resolver = load_super_resolver(model)
    assert verify_dataset(enlarged) == []
    for index in range(6):
        before, after = small[index], large[index]
        image = decode(before.image)
        assert (after.width, after.height) == (64, 64)
        np.testing.assert_array_equal(decode(after.image), resolver.enlarge(image))
        means = decode(after.image).reshape(32, 2, 32, 2).mean((1, 3))
        assert np.abs(means - image).max() <= 0.51
        np.testing.assert_allclose(after.landmarks_xy, 2 * np.array(before.landmarks_xy) + 0.5, atol=1e-5)
        assert after.pixel_spacing_mm == pytest.approx((before.pixel_spacing_mm or 0) / 2, rel=1e-6)
        coarse = decode(after.mask)[::2, ::2]
        assert (coarse == decode(before.mask)).mean() > 0.9
        # Lengths are the same millimetres on both.
        assert after.sva_mm == pytest.approx(before.sva_mm, rel=1e-4)
        assert after.weights_sha256 == before.weights_sha256 != resolver.weights_sha256


def test_the_record_says_so_and_another_model_makes_another_dataset(
    run: Path, model: Path, enlarged: Path, tmp_path: Path
) -> None:
    named = json.loads(read(enlarged)[3].generator_parameters or "")["upscale"]
    assert named == load_manifest(enlarged).source["upscale"]
    assert named["factor"] == 2
    assert named["weights_sha256"] == load_super_resolver(model).weights_sha256
    assert named["trained_on"] == {"dataset_sha256": DIGEST, "split": "train", "num_films": 40}
    other = write_model(tmp_path / "other", weights_seed=1)
    generator = load_generator(run)
    sources = [DdpmSource((generator,), 6, upscale=one) for one in (None, *map(load_super_resolver, (model, other)))]
    assert len({json.dumps(source.describe(), sort_keys=True) for source in sources}) == 3
    assert "upscale" not in sources[0].describe(), "datasets that are begun without one stay what they are"
    assert sources[1].estimate_bytes() > 2 * sources[0].estimate_bytes()
    refused = call("ddpm", "sample", run, "--out", enlarged, "--count", 6, "--upscale", other, *HOW)
    assert refused.exit_code == 2 and "holds another dataset" in refused.stderr


def test_workers_and_batches_make_the_same_image(run: Path, model: Path) -> None:
    generator, resolver = load_generator(run), load_super_resolver(model)
    whole = DdpmSource((generator,), 5, num_steps=2, batch_size=4, upscale=resolver)
    copied: DdpmSource = pickle.loads(pickle.dumps(whole))
    keys = whole.list_samples()
    alone = [*copied.iter_radiographs(keys[3:4])]
    together = [*whole.iter_radiographs(keys)]
    assert isinstance(alone[0], Radiograph) and isinstance(together[3], Radiograph)
    np.testing.assert_array_equal(alone[0].image, together[3].image)
    assert alone[0].fields == together[3].fields


def test_a_sample_is_made_again_by_the_same_model_alone(run: Path, model: Path, enlarged: Path, tmp_path: Path) -> None:
    again = ("ddpm", "replay", enlarged, "dd00000005", "--run", run)
    assert call(*again, "--upscale", model).stdout == "dd00000005: the same in every field and every byte\n"
    without = call(*again)
    assert without.exit_code == 2 and "was enlarged by the super-resolver" in without.stderr
    other = call(*again, "--upscale", write_model(tmp_path / "other", weights_seed=1))
    assert other.exit_code == 2 and "name that one" in other.stderr
    call("ddpm", "sample", run, "--out", tmp_path / "small", "--count", 2, *HOW)
    never = call("ddpm", "replay", tmp_path / "small", "dd00000001", "--run", run, "--upscale", model)
    assert never.exit_code == 2 and "was not enlarged; leave --upscale out" in never.stderr


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"what": "bone-suppression"},
            "is a model of bone-suppression; images are enlarged by one of super-resolution",
        ),
        ({"size": 32}, "takes images of 16 px, and this generator makes 32 px; train one with size=64 and factor 2"),
        ({"factor": 4}, "takes images of 16 px, and this generator makes 32 px; train one with size=128 and factor 4"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(run: Path, tmp_path: Path, model: dict[str, Any], message: str) -> None:
    folder = write_model(tmp_path / "model", **model)
    result = call("ddpm", "sample", run, "--out", tmp_path / "ds", "--upscale", folder, *HOW)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "ds").exists()


def test_a_folder_without_a_model_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = call("ddpm", "sample", run, "--out", tmp_path / "ds", "--upscale", tmp_path / "empty", *HOW)
    assert result.exit_code == 2 and "baseline train" in result.stderr


@pytest.mark.parametrize("image", [np.zeros((32, 32), np.uint16), np.zeros((64, 64), np.uint8)], ids=("16-bit", "size"))
def test_an_image_that_does_not_fit_is_refused(model: Path, image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="for 32 px takes 8-bit images of that side"):
        load_super_resolver(model).enlarge(image)
