"""Features without weights: hand values, what they must see, what they must not."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage, stats

from cspine_bench.features.encoder import Encoder
from cspine_bench.features.pixels import describe_pixels
from cspine_bench.features.radiomics import (
    FEATURE_NAMES,
    FIRST_ORDER,
    TEXTURE,
    count_pairs,
    describe_first_order,
    describe_image,
    describe_texture,
)
from cspine_bench.features.registry import load_encoder


@pytest.fixture(scope="module")
def films() -> NDArray[np.uint8]:
    """Six fields with detail of several sizes over one shared shape, uint8 (6, 256, 256)."""
    draw = np.random.default_rng(3)
    detail = sum(ndimage.gaussian_filter(draw.normal(size=(6, 256, 256)), (0, s, s)) * s * 10 for s in (1, 3, 6))
    shared = 110 + 60 * np.sin(np.linspace(0, 3, 256))[:, None]
    return np.clip(shared + detail, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module", params=["pixels", "radiomics"])
def weight_free(request: pytest.FixtureRequest) -> Encoder:
    return load_encoder(request.param)


def test_depth_size_and_batch_do_not_matter(weight_free: Encoder, films: NDArray[np.uint8]) -> None:
    found = weight_free.encode(films)
    assert found.shape == (6, weight_free.dimension) and np.isfinite(found).all()
    assert weight_free.describe()["weights_sha256"] is None
    size = np.abs(found).max(axis=0)
    assert (np.abs(weight_free.encode(films.astype(np.uint16) * 257) - found) <= 1e-4 * size + 1e-6).all()
    assert (np.abs(weight_free.encode(films, batch_size=1) - found) <= 1e-5 * size + 1e-6).all()
    assert np.isfinite(weight_free.encode(films[:, :5, :7])).all()


def test_a_blank_image_has_finite_features(weight_free: Encoder) -> None:
    for size in ((1, 1), (3, 50), (64, 64)):
        assert np.isfinite(weight_free.encode(np.full((1, *size), 9, np.uint8), allow_blank=True)).all()


def test_pixels_are_of_unit_length_and_blind_to_brightness_and_contrast(films: NDArray[np.uint8]) -> None:
    found = load_encoder("pixels").encode(films)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    dimmed = load_encoder("pixels").encode((films.astype(np.uint16) * 100 + 5000).astype(np.uint16))
    assert (found * dimmed).sum(axis=1).min() > 0.9999
    others = found @ found.T - 2 * np.eye(6)
    assert others.max() < 0.5, "what the films share is gone"


def test_pixels_find_a_shifted_copy_of_what_lies_in_one_place(films: NDArray[np.uint8]) -> None:
    place = np.exp(-(((np.arange(256) - 127.5) / 40) ** 2))
    spines = np.round(120 + (films.astype(float) - films.mean(axis=0)) * np.outer(place, place)).astype(np.uint8)
    moved = np.full_like(spines, 120)
    moved[:, 12:, :-8] = spines[:, :-12, 8:]
    pixels = load_encoder("pixels")
    original, found = pixels.encode(spines), pixels.encode(moved)
    similarity = found @ original.T
    assert (similarity.argmax(axis=1) == np.arange(6)).all()
    assert similarity.diagonal().min() > 0.8
    assert (similarity - 2 * np.eye(6)).max() < 0.5


def test_pixels_are_brought_to_the_middle_by_whole_pixels() -> None:
    spot = torch.zeros(2, 1, 64, 64)
    spot[0, 0, 31:33, 31:33], spot[1, 0, 36:38, 28:30] = 1, 1
    first, second = describe_pixels(spot)
    assert float(first @ second) > 0.99
    assert not describe_pixels(torch.full((1, 1, 64, 64), 255.0)).any()


def test_first_order_by_hand_and_by_scipy() -> None:
    values = dict(zip(FIRST_ORDER, describe_first_order(np.array([[0.0, 0.0], [0.5, 1.0]])), strict=True))
    assert values["mean"] == 0.375 and values["minimum"] == 0 and values["maximum"] == 1
    assert values["entropy_bits"] == 1.5 and values["uniformity"] == pytest.approx(0.375)
    assert values["root_mean_square"] == pytest.approx(np.sqrt(1.25 / 4)) and values["percentile_50"] == 0.25
    assert values["mean_absolute_deviation"] == pytest.approx((0.375 * 2 + 0.125 + 0.625) / 4)
    draw = np.random.default_rng(0).gamma(2, 0.1, (40, 40))
    values = dict(zip(FIRST_ORDER, describe_first_order(draw), strict=True))
    assert values["skewness"] == pytest.approx(stats.skew(draw, axis=None))
    assert values["excess_kurtosis"] == pytest.approx(stats.kurtosis(draw, axis=None))


def test_pairs_are_those_of_haralicks_example() -> None:
    """Haralick, Shanmugam, Dinstein 1973, figure 3: the image, and its matrices at distance 1."""
    image = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 2, 2, 2], [2, 2, 3, 3]])
    across, _, down, _ = count_pairs(image, 1, num_levels=4)
    assert (across * 24).round(9).tolist() == [[4, 2, 1, 0], [2, 4, 0, 0], [1, 0, 6, 1], [0, 0, 1, 2]]
    assert (down * 24).round(9).tolist() == [[6, 0, 2, 0], [0, 4, 2, 0], [2, 2, 2, 2], [0, 0, 2, 0]]
    values = dict(zip(TEXTURE, describe_texture([across]), strict=True))
    assert values["contrast"] == pytest.approx((2 * 2 * 1 + 2 * 1 * 4 + 2 * 1 * 1) / 24)
    assert values["dissimilarity"] == pytest.approx((2 * 2 + 2 * 2 + 2 * 1) / 24)
    assert values["angular_second_moment"] == pytest.approx((16 + 4 + 1 + 4 + 16 + 1 + 36 + 1 + 1 + 4) / 576)
    levels = np.repeat(np.indices((4, 4)).reshape(2, -1), (across * 24).round().astype(int).ravel(), axis=1)
    assert values["correlation"] == pytest.approx(np.corrcoef(levels)[0, 1])


def test_radiomics_move_with_what_they_are_named_after(films: NDArray[np.uint8]) -> None:
    film = films[0] / 255
    plain = dict(zip(FEATURE_NAMES, describe_image(film), strict=True))
    blurred = dict(zip(FEATURE_NAMES, describe_image(ndimage.gaussian_filter(film, 2)), strict=True))
    turned = dict(zip(FEATURE_NAMES, describe_image(film.T), strict=True))
    assert blurred["contrast_at_1_px"] < 0.5 * plain["contrast_at_1_px"]
    assert blurred["log10_diagonal_detail_at_1_px"] < plain["log10_diagonal_detail_at_1_px"] - 1
    assert turned["contrast_at_2_px"] == pytest.approx(plain["contrast_at_2_px"])
    assert turned["log10_horizontal_detail_at_4_px"] == pytest.approx(plain["log10_vertical_detail_at_4_px"])
    # The texture does not depend on the window, the first order does.
    dark = dict(zip(FEATURE_NAMES, describe_image(film * 0.5), strict=True))
    assert dark["contrast_at_1_px"] == pytest.approx(plain["contrast_at_1_px"], rel=1e-3)
    assert dark["mean"] == pytest.approx(plain["mean"] / 2)
