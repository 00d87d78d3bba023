"""Radiographs in memory: labels go along to another size, depths join, and what cannot be used is named."""

from pathlib import Path

import numpy as np
import pytest
from phantom_cases import make_phantoms
from small_sides import write_small

from cspine_bench.baselines.cases import NOT_ANNOTATED, join_cases, load_cases
from cspine_bench.errors import DataError
from cspine_bench.imaging.shrink import find_factor, shrink_image, shrink_landmarks, shrink_mask
from cspine_bench.measurement.inputs import open_images


def test_blocks_are_averaged_and_labels_go_along() -> None:
    image = np.array([[0, 255, 10, 10], [255, 0, 10, 10]], np.uint8)
    np.testing.assert_allclose(shrink_image(image, 2), [[0.5, 10 / 255]])
    # The centre of a block of 2 x 2 pixels lies half a pixel beside the centre of its first one.
    np.testing.assert_array_equal(shrink_landmarks(np.array([[0.5, 0.5], [np.nan, np.nan]]), 2)[0], [0, 0])
    mask = np.array([[1, 1, 0, 2], [1, 0, 2, 0]], np.uint8)
    np.testing.assert_array_equal(shrink_mask(mask, 2), [[1, 0]])  # of equals the lowest
    assert find_factor((64, 64), 32, where="x") == 2


@pytest.mark.parametrize(("shape", "said"), [((64, 48), "needs squares"), ((64, 64), "no whole multiple")])
def test_a_size_that_does_not_fit_is_named(shape: tuple[int, int], said: str) -> None:
    with pytest.raises(DataError, match=said):
        find_factor(shape, 48, where="films: sample a1")


def test_a_folder_is_decoded_at_half_its_size(tmp_path: Path) -> None:
    images = open_images("real", write_small(tmp_path / "ds", 4))
    whole, half = load_cases(images, 64), load_cases(images, 32)
    np.testing.assert_allclose(half.landmarks_xy, (whole.landmarks_xy + 0.5) / 2 - 0.5)
    np.testing.assert_allclose(half.pixel_spacing_mm, 1.0)
    expected = whole.pixels.reshape(4, 32, 2, 32, 2).astype(float).mean(axis=(2, 4))
    assert np.abs(half.pixels - expected).max() <= 0.5
    assert half.annotated.sum(axis=1).tolist() == [5] * 4 and half.annotated[0, 2:7].all()
    assert half.labels("sex") == images.labels["sex"]
    assert set(np.unique(half.masks)) == {0, 3, 4, 5, 6, 7}


def test_some_are_taken_and_two_depths_are_joined() -> None:
    eight, sixteen = make_phantoms(3), make_phantoms(3, bit_depth=16)
    both = join_cases(eight.take(np.array([2, 0])), sixteen)
    assert both.sample_ids == (eight.sample_ids[2], eight.sample_ids[0], *sixteen.sample_ids)
    assert both.pixels.dtype == np.uint16
    np.testing.assert_array_equal(both.pixels[0], eight.pixels[2].astype(int) * 257)
    # Full scale is 1 at either depth.
    assert float((both.take_images(np.array([0])) - eight.take_images(np.array([2]))).abs().max()) < 1e-6
    assert not (both.masks == NOT_ANNOTATED).any()
    with pytest.raises(ValueError, match="32 and of 64"):
        join_cases(eight, make_phantoms(2, 64))
