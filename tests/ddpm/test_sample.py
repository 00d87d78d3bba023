"""An image depends on what its record says, and on nothing else; and it can be made again from it."""

import itertools
import json
import os
import pickle
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forks import fork
from small_run import COUNT, SIZE, fit_small_model, load_small, write_and_stall, write_small_run

from cspine_bench.anatomy.curvature import curvature_class
from cspine_bench.cli import options
from cspine_bench.dataset.manifest import load_manifest
from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.source import Radiograph, SampleKey
from cspine_bench.dataset.verify import verify_dataset
from cspine_bench.dataset.write import write_dataset
from cspine_bench.ddpm.checkpoint import Generator, load_generator
from cspine_bench.ddpm.quality import QUALITY_RULES, measure_noise
from cspine_bench.ddpm.replay import replay
from cspine_bench.ddpm.sample import DdpmSource
from cspine_bench.ddpm.samplers import GRIDS, SAMPLERS
from cspine_bench.errors import CheckpointError, DataError, RecipeError
from cspine_bench.imaging.body_masks import draw_body_mask
from cspine_bench.imaging.png import decode_png


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return load_small(tmp_path_factory.mktemp("skeleton"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return load_small(tmp_path_factory.mktemp("plain"), condition="none")


def make(source: DdpmSource, order: Sequence[int] | None = None) -> dict[int, Radiograph]:
    keys = source.list_samples()
    chosen = [keys[index] for index in (order if order is not None else range(len(keys)))]
    return {int(made.key.origin): made for made in source.iter_radiographs(chosen)}


def stack(made: dict[int, Radiograph]) -> np.ndarray:
    return np.stack([made[index].image for index in sorted(made)]).astype(int)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_images_do_not_depend_on_order_neighbours_or_batch_size(generator: Generator, sampler: str) -> None:
    source = DdpmSource((generator,), 7, sampler=sampler, num_steps=3, batch_size=3)
    images = stack(make(source))
    assert images.shape == (7, SIZE, SIZE)
    assert len({image.tobytes() for image in images}) == 7
    # The same batch size: to the bit, in any order, also in a batch that had to be filled up.
    for order in ([6, 3, 0, 5], [5]):
        assert (stack(make(source, order)) == images[sorted(order)]).all()
    # Another batch size: another order of sums, which may cross one rounding.
    for batch_size in (1, 8):
        assert np.abs(stack(make(replace(source, batch_size=batch_size))) - images).max() <= 1


def test_every_setting_of_a_record_changes_the_image(generator: Generator) -> None:
    source = DdpmSource((generator,), 2, num_steps=6, batch_size=2)
    images = stack(make(source))
    changes = [{"seed": 1}, {"num_steps": 7}, {"guidance_scale": 4.0}, {"sampler": "ddim"}, {"sampler": "ddpm"}]
    changes += [{"grid": "log-snr"}]
    for change in changes:
        other = replace(source, **change)
        assert (stack(make(other)) != images).any(), change
        assert other.describe() != source.describe()
    unguided = stack(make(replace(source, guidance_scale=1.0)))
    assert np.abs(unguided - images).max() <= 1


def test_a_conditioned_image_arrives_with_the_labels_that_were_drawn(generator: Generator) -> None:
    source = DdpmSource((generator,), 8, seed=5, num_steps=2, batch_size=8)
    made = make(source)
    model = fit_small_model()
    for index, radiograph in made.items():
        shape = model.draw(5, index)
        np.testing.assert_array_equal(radiograph.landmarks_xy, shape.landmarks_xy)
        assert radiograph.fields["label_source"] == "conditioned"
        assert radiograph.fields["condition_kind"] == "skeleton"
        assert radiograph.fields["facing"] == "left"
        assert radiograph.fields["pixel_spacing_mm"] == shape.pixel_spacing_mm
        assert radiograph.fields["curvature"] == curvature_class(
            shape.landmarks_xy, pixel_spacing_mm=shape.pixel_spacing_mm
        )
        assert radiograph.fields["pixel_spacing_plane"] == "patient"
        assert radiograph.key.strata == {"curvature": radiograph.fields["curvature"]}
        assert radiograph.fields["mask_levels"] == "C3,C4,C5,C6,C7"
        np.testing.assert_array_equal(radiograph.mask, draw_body_mask(shape.landmarks_xy, SIZE))
    assert len({radiograph.fields["condition_sha256"] for radiograph in made.values()}) == 8


def test_a_landmark_beyond_the_edge_is_not_labelled(generator: Generator) -> None:
    model = generator.shape_model
    assert model is not None
    low = model.mean.copy()
    low[-2] += 8  # the pose's y: the lowest corners leave the image
    # No training shape lies there, so nothing is too near to one.
    source = DdpmSource((replace(generator, shape_model=replace(model, mean=low)),), 4, num_steps=2, batch_size=4)
    for index, radiograph in make(source).items():
        shape = source.generators[0].shape_model.draw(0, index)  # type: ignore[union-attr]
        outside = (shape.landmarks_xy > SIZE - 0.5).any(axis=1)
        assert outside.any()
        assert (np.isnan(radiograph.landmarks_xy).all(axis=1) == outside).all()


def test_an_unconditional_image_claims_no_labels(plain: Generator) -> None:
    [radiograph] = make(DdpmSource((plain,), 1, num_steps=2, batch_size=1)).values()
    assert np.isnan(radiograph.landmarks_xy).all()
    assert not {"label_source", "condition_kind", "curvature", "facing", "mask_levels"} & radiograph.fields.keys()


def test_impossible_settings_are_refused(plain: Generator) -> None:
    with pytest.raises(RecipeError, match="guidance needs"):
        DdpmSource((plain,), 1, guidance_scale=2.0)
    with pytest.raises(RecipeError, match="guidance is nan, no finite number; 1 is as trained"):
        DdpmSource((plain,), 1, guidance_scale=float("nan"))
    with pytest.raises(ValueError, match="no sampler 'euler'; there are ddpm, ddim"):
        DdpmSource((plain,), 1, sampler="euler")
    for name in ("count", "num_steps", "batch_size"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1"):
            DdpmSource((plain,), **{"count": 1, name: 0})


def test_weights_that_give_no_image_stop_the_sampler(tmp_path: Path) -> None:
    generator = load_small(tmp_path, condition="none")
    next(generator.network.parameters()).fill_(float("nan"))
    with pytest.raises(DataError, match="not finite; use another checkpoint"):
        make(DdpmSource((generator,), 1, batch_size=1))


def test_the_command_line_knows_every_name() -> None:
    assert tuple(SAMPLERS) == options.SAMPLERS
    assert tuple(GRIDS) == options.GRIDS
    assert tuple(QUALITY_RULES) == options.QUALITY_RULES


def test_several_checkpoints_take_turns(tmp_path: Path) -> None:
    run = write_small_run(tmp_path / "run", steps=(2, 3, 5))
    alone = [load_generator(run, step) for step in (2, 3, 5)]
    together = make(DdpmSource(tuple(alone), 10, num_steps=2, batch_size=2))
    for index, made in together.items():
        generator = alone[index % 3]
        [single] = make(DdpmSource((generator,), 10, num_steps=2, batch_size=2), [index]).values()
        assert (made.image == single.image).all()
        assert made.fields == single.fields
        assert made.fields["weights_sha256"] == generator.weights_sha256
        assert json.loads(made.fields["generator_parameters"])["step"] == generator.step
    description = DdpmSource(tuple(alone), 1).describe()
    assert [one["weights_sha256"] for one in description["checkpoints"]] == [one.weights_sha256 for one in alone]
    with pytest.raises(ValueError, match="each checkpoint once"):
        DdpmSource((alone[0], alone[0]), 1)


def told(source: DdpmSource) -> list[dict[str, str]]:
    return [key.strata for key in source.list_samples()]


def test_classes_are_balanced_fixed_or_as_trained(tmp_path: Path) -> None:
    run = write_small_run(tmp_path / "run", condition="none", classes=("curvature", "sex"), steps=(2, 3))
    generators = tuple(load_generator(run, step) for step in (2, 3))
    balanced = told(DdpmSource(generators, 24, balance=True))
    for number in (0, 1):  # each checkpoint makes every combination that was trained equally often
        pairs = Counter((one["curvature"], one["sex"]) for one in balanced[number::2])
        assert pairs == dict.fromkeys(itertools.product(("lordotic", "straight", "kyphotic"), ("male", "female")), 2)
    fixed = told(DdpmSource(generators, 12, classes={"sex": "female"}, balance=True))
    assert Counter(one["curvature"] for one in fixed) == {"lordotic": 4, "straight": 4, "kyphotic": 4}
    assert {one["sex"] for one in fixed} == {"female"}
    drawn = told(DdpmSource(generators, 600))
    assert abs(sum(one["sex"] == "male" for one in drawn) / 600 - 0.75) < 0.06  # 3.4 standard errors
    assert abs(sum(one["curvature"] == "kyphotic" for one in drawn) / 600 - 0.1) < 0.04
    [made] = make(DdpmSource(generators, 1, classes={"sex": "female"}, num_steps=2, batch_size=1)).values()
    assert made.fields["sex"] == "female"
    assert (made.fields["label_source"], made.fields["condition_kind"]) == ("conditioned", "class")
    other = make(DdpmSource(generators, 1, classes={"sex": "male"}, num_steps=2, batch_size=1))
    assert (made.image != other[0].image).any()
    assert made.fields["condition_sha256"] != other[0].fields["condition_sha256"]


def test_skeletons_of_a_class_are_drawn_until_one_has_it(generator: Generator) -> None:
    source = DdpmSource((generator,), 6, balance=True, num_steps=1, batch_size=6)
    wanted = ["lordotic", "straight", "kyphotic"] * 2
    assert [one["curvature"] for one in told(source)] == wanted
    draws = []
    for made, curvature in zip(make(source).values(), wanted, strict=True):
        fields = made.fields
        assert fields["curvature"] == curvature
        points, spacing = made.landmarks_xy, fields["pixel_spacing_mm"]
        assert curvature_class(points, pixel_spacing_mm=spacing, facing=fields["facing"]) == curvature
        draws.append(json.loads(fields["generator_parameters"])["shape_draws"])
    assert max(draws) > 1


def test_a_class_that_was_not_trained_is_refused(generator: Generator, plain: Generator, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="not told sex: it is told nothing"):
        DdpmSource((plain,), 1, classes={"sex": "male"})
    with pytest.raises(RecipeError, match="no film of curvature sigmoid2 was trained; there were 20 lordotic, 16"):
        DdpmSource((generator,), 1, classes={"curvature": "sigmoid2"})
    with pytest.raises(RecipeError, match="no curvature 'bent'; there are lordotic"):
        DdpmSource((generator,), 1, classes={"curvature": "bent"})
    with pytest.raises(RecipeError, match="told nothing"):
        DdpmSource((plain,), 1, balance=True)
    unstated = replace(generator, training_set=None)
    with pytest.raises(RecipeError, match="does not state its training set"):
        DdpmSource((unstated,), 1, classes={"curvature": "straight"})
    with pytest.raises(RecipeError, match="rule noise has no limit"):
        DdpmSource((unstated,), 1, reject=("noise",))
    with pytest.raises(RecipeError, match="rule skeleton compares"):
        DdpmSource((plain,), 1, reject=("skeleton",))


def test_rejected_images_are_listed_by_rule_and_the_others_stay_as_they_are(plain: Generator, tmp_path: Path) -> None:
    source = DdpmSource((plain,), 12, num_steps=3, batch_size=4)
    images = stack(make(source))
    grain = {index: measure_noise(image.astype(np.uint8)) for index, image in enumerate(images)}
    middle = sorted(grain.values())[6]
    assert plain.training_set is not None
    strict = plain.training_set.model_copy(update={"limits": {"noise": (middle + sorted(grain.values())[5]) / 2}})
    judged = replace(source, generators=(replace(plain, training_set=strict),), reject=("noise",))
    summary = write_dataset(judged, tmp_path / "ds", skip_bad=True)
    assert {int(sample.origin) for sample in summary.rejected} == {i for i in grain if grain[i] >= middle}
    assert all(sample.reason.startswith("noise: measured") for sample in summary.rejected)
    records = list(open_dataset(tmp_path / "ds").iter_records())
    assert len(records) == 6
    for record in records:
        assert record.sample_index is not None
        assert (decode_png(record.image, where="") == images[record.sample_index]).all()
    assert load_manifest(tmp_path / "ds").source["reject"] == strict.limits


def test_a_source_travels_to_worker_processes(generator: Generator) -> None:
    source = DdpmSource((generator,), 2, num_steps=2, batch_size=2)
    copied = pickle.loads(pickle.dumps(source))
    assert copied.describe() == source.describe()
    assert (stack(make(copied)) == stack(make(source))).all()


def read_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_killed_sampler_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    run, out = write_small_run(tmp_path / "run"), tmp_path / "killed"
    reading, writing = os.pipe()
    child = fork(lambda: write_and_stall(run, out, writing))
    os.close(writing)
    assert os.read(reading, 1) == b"."
    os.close(reading)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert [path.name.split("-")[0] for path in out.glob("data/*.parquet")] == ["train"]
    assert not (out / "dataset.json").exists()
    source = DdpmSource((load_generator(run),), COUNT, num_steps=3, batch_size=4)
    write_dataset(source, out)
    write_dataset(source, tmp_path / "undisturbed")
    assert read_files(out) == read_files(tmp_path / "undisturbed")
    assert verify_dataset(out) == []


class Retouched(DdpmSource):
    """Says that it is its parent, and changes a pixel."""

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph]:
        for made in super().iter_radiographs(keys):
            image = made.image.copy()
            image[3, 4] = (int(image[3, 4]) + 128) % 256
            yield replace(made, image=image)


REPLAYED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "skeleton": ({}, {"guidance_scale": 2.0}),
    "plain": ({"condition": "none"}, {}),
    "classes, balanced": ({"condition": "none", "classes": ("curvature", "sex")}, {"balance": True}),
    "classes, as trained": ({"classes": ("sex",)}, {"guidance_scale": 1.5}),
    "one class of skeletons": ({}, {"classes": {"curvature": "kyphotic"}, "grid": "log-snr"}),
    "edm": ({"condition": "none", "objective": "edm"}, {"sampler": "heun"}),
    "noise alone": ({"condition": "none", "objective": "v", "zero_terminal_snr": True}, {"sampler": "unipc"}),
    "bfloat16": ({"condition": "none"}, {"precision": "bfloat16"}),
}


@pytest.mark.parametrize("case", REPLAYED)
def test_a_sample_is_made_again_from_its_record(tmp_path: Path, case: str) -> None:
    recipe, asked = REPLAYED[case]
    run = write_small_run(tmp_path / "run", steps=(2, 3), **recipe)
    generators = tuple(load_generator(run, step, ema=0.05) for step in (2, 3))
    source = DdpmSource(generators, 3, 3, **{"sampler": "ddpm", "num_steps": 2, "batch_size": 2, **asked})
    write_dataset(source, tmp_path / "ds", fractions=(1.0, 0.0, 0.0))
    assert verify_dataset(tmp_path / "ds") == []
    for record in open_dataset(tmp_path / "ds").iter_records():
        assert record.dtype == asked.get("precision", "float32")
        result = replay(tmp_path / "ds", record.sample_id, run)
        assert (result.same, result.max_gray_difference, result.different_fields) == (True, 0, ())


def test_replay_sees_an_image_that_was_changed(tmp_path: Path) -> None:
    run = write_small_run(tmp_path / "run")
    write_dataset(Retouched((load_generator(run),), 2, num_steps=2, batch_size=2), tmp_path / "ds")
    result = replay(tmp_path / "ds", "dd00000001", run)
    assert not result.same
    assert result.max_gray_difference == 128
    assert result.different_fields == ("image", "image_sha256", "pixel_sha256")


def test_replay_refuses_what_it_cannot_compare(tmp_path: Path) -> None:
    run = write_small_run(tmp_path / "run")
    write_dataset(DdpmSource((load_generator(run),), 2, num_steps=2, batch_size=2), tmp_path / "ds")
    with pytest.raises(DataError, match="holds no sample dd00000007"):
        replay(tmp_path / "ds", "dd00000007", run)
    other = write_small_run(tmp_path / "other", weights_seed=1)
    with pytest.raises(CheckpointError, match="name that run"):
        replay(tmp_path / "ds", "dd00000001", other)
