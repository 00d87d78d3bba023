"""Radiographs on their way into training: depth, size, landmarks, and what is refused."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.source import Radiograph, SampleKey
from cspine_bench.dataset.write import write_dataset
from cspine_bench.ddpm.films import load_films
from cspine_bench.errors import DataError


@dataclass(frozen=True)
class GivenFilms:
    """The images that it is given, the same landmarks on each."""

    images: tuple[NDArray[Any], ...]
    spacing_mm: float | None = 0.5
    sexes: tuple[str | None, ...] = ()

    def describe(self) -> dict[str, Any]:
        return {"kind": "phantom", "count": len(self.images)}

    def estimate_bytes(self) -> int:
        return 2000

    def list_samples(self) -> list[SampleKey]:
        return [SampleKey(f"toy{index:08d}", f"group-{index}", str(index), {}) for index in range(len(self.images))]

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph]:
        for key in keys:
            landmarks_xy = np.full((23, 2), 3.5, np.float32)
            landmarks_xy[0] = np.nan
            fields = {"source_kind": "phantom", "pixel_spacing_mm": self.spacing_mm, "label_source": "exact"}
            fields |= {"sex": self.sexes[int(key.origin)]} if self.sexes else {}
            yield Radiograph(key=key, image=self.images[int(key.origin)], mask=None, landmarks_xy=landmarks_xy,
                             fields=fields)  # fmt: skip


def write_films(out: Path, *images: NDArray[Any], spacing_mm: float | None = 0.5) -> Path:
    write_dataset(GivenFilms(images, spacing_mm), out, fractions=(1, 0, 0))
    return out


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_both_depths_span_minus_one_to_one(tmp_path: Path, dtype: type) -> None:
    image = np.zeros((8, 8), dtype)
    image[0, 0], image[0, 1] = np.iinfo(dtype).max, np.iinfo(dtype).max // 5
    films = load_films(open_dataset(write_films(tmp_path / "ds", image)), "train", 8, at_least=1)
    images = films.take_images(np.array([0]))
    assert images.shape == (1, 1, 8, 8)
    assert images[0, 0, 0].tolist() == pytest.approx([1, -0.6, *[-1] * 6], abs=1e-6)


def test_sixteen_bits_keep_every_gray_level(tmp_path: Path) -> None:
    image = np.arange(30000, 30064, dtype=np.uint16).reshape(8, 8)
    films = load_films(open_dataset(write_films(tmp_path / "ds", image)), "train", 8, at_least=1)
    assert (films.pixels[0] == image).all()


def test_larger_images_are_averaged_and_their_landmarks_go_along(tmp_path: Path) -> None:
    image = np.kron(np.array([[10, 20], [30, 40]]), np.ones((8, 8))).astype(np.uint8)
    image[:, ::2] += 1
    dataset = open_dataset(write_films(tmp_path / "ds", image))
    films = load_films(dataset, "train", 4, at_least=1)
    expected = np.kron(np.array([[10.5, 20.5], [30.5, 40.5]]), np.ones((2, 2)))
    np.testing.assert_allclose(films.pixels[0] / 257, expected, atol=0.01)
    # The corner between the four middle pixels of the first 8 x 8 is that between the first 2 x 2.
    assert films.landmarks_xy[0, 1].tolist() == [0.5, 0.5]
    assert np.isnan(films.landmarks_xy[0, 0]).all()
    assert films.pixel_spacing_mm.tolist() == [2.0]


@pytest.mark.parametrize(
    ("shapes", "size", "message"),
    [
        ([(16, 16), (32, 32)], 16, "training needs squares of one size, the first was"),
        ([(16, 24)], 16, "is 24 x 16 px; training needs squares"),
        ([(24, 24)], 16, "is 24 px wide, no whole multiple of the recipe's size 16"),
        ([(8, 8)], 16, "is 8 px wide, no whole multiple of the recipe's size 16"),
    ],
)
def test_sizes_that_do_not_fit_are_named(
    tmp_path: Path, shapes: list[tuple[int, int]], size: int, message: str
) -> None:
    write_films(tmp_path / "ds", *(np.zeros(shape, np.uint8) + index for index, shape in enumerate(shapes)))
    with pytest.raises(DataError, match=re.escape(message)):
        load_films(open_dataset(tmp_path / "ds"), "train", size, at_least=1)


def test_too_few_radiographs_are_named(tmp_path: Path) -> None:
    dataset = open_dataset(write_films(tmp_path / "ds", np.zeros((8, 8), np.uint8), spacing_mm=None))
    with pytest.raises(DataError, match="the train split has 1 radiographs, training needs at least 4"):
        load_films(dataset, "train", 8, at_least=4)
    with pytest.raises(DataError, match="the validation split has 0 radiographs"):
        load_films(dataset, "validation", 8, at_least=1)
    assert np.isnan(load_films(dataset, "train", 8, at_least=1).pixel_spacing_mm).all()


def test_a_class_that_is_not_known_is_not_told(tmp_path: Path) -> None:
    images = tuple(np.full((8, 8), index, np.uint8) for index in range(3))
    write_dataset(GivenFilms(images, sexes=("female", None, "male")), tmp_path / "ds", fractions=(1, 0, 0))
    films = load_films(open_dataset(tmp_path / "ds"), "train", 8, at_least=3)
    known = dict(zip(films.pixels[:, 0, 0] // 257, films.sex, strict=True))
    assert known == {0: "female", 1: None, 2: "male"} and films.curvature == (None,) * 3
    rows = np.argsort(films.pixels[:, 0, 0])
    assert films.take_class_ids(rows, ("sex",)).tolist() == [2, 0, 1]
    assert films.take_class_ids(rows, ("curvature", "sex")).tolist() == [2, 0, 1]
    assert films.take_class_ids(rows, ("sex", "curvature")).tolist() == [12, 0, 6]
