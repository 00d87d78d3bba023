"""One side of an evaluation: what is read of it, and what is refused."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "dataset"))
sys.path.insert(0, str(Path(__file__).parent.parent / "features"))

from toy_encoder import make_encoder
from toy_source import ToySource

from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError
from cspine_bench.evaluate.fidelity.pictures import Parts, collect_pictures
from cspine_bench.measurement.encode import encode_images
from cspine_bench.measurement.inputs import SUBGROUPS, UNKNOWN, compare_sides, open_images
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.source import PhantomSource


@pytest.fixture(scope="session")
def folder(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """30 radiographs in three splits."""
    return make_once("evaluate-toys", lambda path: write_dataset(ToySource(30), path, shard_rows=8))


def test_labels_images_and_features_are_in_one_order(folder: Path, tmp_path: Path) -> None:
    images = open_images("real", folder)
    streamed = dict(images.iter_images())
    assert tuple(streamed) == images.sample_ids
    assert len(images) == len(images.group_ids) == len(images.landmarks_xy) == len(images.pixel_spacing_mm) == 30
    assert set(images.labels) == set(SUBGROUPS)
    assert all(len(values) == 30 for values in images.labels.values())
    by_id = {record.sample_id: record for record in images.folder.iter_records()}
    assert images.labels["sex"] == tuple(by_id[sample].sex for sample in images.sample_ids)
    assert set(images.labels["checkpoint"]) == {UNKNOWN}
    encoder, _ = make_encoder()
    features = encode_images(images, encoder, tmp_path)
    alone = encoder.encode(streamed[images.sample_ids[17]][None])
    np.testing.assert_array_equal(features[17], alone[0])


def test_splits_are_parts_of_the_whole(folder: Path, tmp_path: Path) -> None:
    whole = open_images("real", folder)
    held_out = open_images("real", folder, splits=("test", "validation"))
    train = open_images("real", folder, splits=("train",))
    assert train.sample_ids + held_out.sample_ids == whole.sample_ids
    assert held_out.splits == ("validation", "test")
    assert held_out.name.endswith("(validation, test)")
    assert held_out.describe().num_samples == len(held_out) < 30
    encoder, _ = make_encoder()
    told: list[tuple[int, int]] = []
    features = encode_images(held_out, encoder, tmp_path, on_progress=lambda done, total: told.append((done, total)))
    np.testing.assert_array_equal(features, encode_images(whole, encoder, tmp_path)[len(train) :])
    assert told[-1] == (len(held_out), len(held_out))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_few_images_by_name(folder: Path) -> None:
    images = open_images("real", folder)
    wanted = (images.sample_ids[20], images.sample_ids[3])
    taken = images.take_images(wanted)
    assert set(taken) == set(wanted)
    assert all(image.shape == (24, 24) for image in taken.values())
    with pytest.raises(ValueError, match="no sample nobody"):
        images.take_images(["nobody"])


def test_an_empty_split_and_a_wrong_one_are_refused(tmp_path: Path) -> None:
    write_dataset(ToySource(4), tmp_path / "ds", fractions=(1, 0, 0))
    with pytest.raises(DataError, match=r"no radiograph in its split test \(train 4\)"):
        open_images("holdout", tmp_path / "ds", splits=("test",))
    with pytest.raises(ValueError, match="each once"):
        open_images("holdout", tmp_path / "ds", splits=("train", "train"))
    with pytest.raises(DataError, match=r"dataset\.json"):
        open_images("real", tmp_path)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.full((24, 24), 7, np.uint8), "a single gray level"),
        (np.random.default_rng(0).integers(0, 4000, (24, 24)).astype(np.uint16), "spread the source's scale"),
    ],
)
def test_images_that_would_make_a_figure_a_lie_are_refused(tmp_path: Path, image: np.ndarray, words: str) -> None:
    bits = image.dtype.itemsize * 8
    broken = {index: {"image": image} for index in (range(4) if bits == 16 else (2,))}
    if bits == 16:
        broken = {index: {"image": np.roll(image, index)} for index in range(4)}
    write_dataset(ToySource(4, bits=bits, broken=broken), tmp_path / "ds")
    with pytest.raises(DataError, match=words):
        open_images("synthetic", tmp_path / "ds")


def test_warnings_name_the_side(tmp_path: Path) -> None:
    same = np.random.default_rng(0).integers(0, 255, (24, 24)).astype(np.uint8)
    write_dataset(ToySource(6, broken={1: {"image": same}, 4: {"image": same}}), tmp_path / "ds", fractions=(1, 0, 0))
    [warning] = open_images("synthetic", tmp_path / "ds").warnings
    assert warning.startswith("synthetic: 2 of 6 images have the pixels of another one")


def test_two_sides_of_one_making_and_no_common_image_need_no_caution(
    folder: Path, make_once: Callable[[str, Callable[[Path], object]], Path]
) -> None:
    train, held_out = (open_images("real", folder, splits=splits) for splits in (("train",), ("test", "validation")))
    assert compare_sides(train, held_out) == ()
    whole = open_images("synthetic", folder)
    assert f"{len(train)} of 30 synthetic images have the very pixels of a real one" in compare_sides(train, whole)[0]
    deep = make_once("evaluate-deep", lambda path: write_dataset(ToySource(20, size=32, bits=16, seed=1), path))
    depth, size = compare_sides(whole, open_images("synthetic", deep))
    assert "real images have 8 bits, synthetic ones 16" in depth
    assert size.startswith("real images are 24 x 24 px, synthetic ones 32 x 32 px")


@pytest.mark.parametrize(("real_pixels", "shown"), [(True, 16), (False, 0)])
def test_a_page_without_real_pixels_shows_no_synthetic_image_that_is_a_real_one(
    folder: Path, real_pixels: bool, shown: int
) -> None:
    images = open_images("real", folder)
    pictures = collect_pictures(Parts(), images, images, seed=0, real_pixels=real_pixels, command="", citation="")
    assert len(pictures.synthetic) == shown


def test_persons_of_two_phantoms_are_others_unless_the_seed_is_one(tmp_path: Path) -> None:
    recipe = PhantomRecipe(size=64)
    for name, seed, count in (("films", 0, 3), ("more", 0, 4), ("others", 1, 3)):
        write_dataset(PhantomSource(recipe, count, seed=seed), tmp_path / name, fractions=(1.0, 0.0, 0.0))
    films, more, others = (set(open_images("real", tmp_path / name).group_ids) for name in ("films", "more", "others"))
    assert films < more
    assert not films & others
