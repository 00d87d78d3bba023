"""Image quality of one image: noise that is known, blur that is known, grids and patterns that are known."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from cspine_bench.metrics.image_quality import (
    PROPERTIES,
    build_band_edges,
    measure_blocking,
    measure_image,
    measure_noise,
    measure_periodic_peak,
    measure_spectrum,
    scale_gray,
)

Gray = NDArray[np.float32]


def draw_film(side: int = 256, seed: int = 0) -> Gray:
    """Five bright bodies with blurred edges on a sloping ground."""
    rows, columns = np.mgrid[:side, :side] / side
    film = 0.35 + 0.2 * np.sin(5 * rows) * np.cos(3 * columns)
    for body in range(5):
        film += 0.2 * ((abs(columns - 0.5) < 0.13) & (abs(rows - 0.15 - 0.16 * body) < 0.055))
    return ndimage.gaussian_filter(film, side / 128).astype(np.float32)


def add_noise(film: Gray, sigma: float, seed: int = 0) -> Gray:
    return film + np.random.default_rng(seed).normal(0, sigma, film.shape).astype(np.float32)


def round_to(film: Gray, bits: int = 8) -> Gray:
    top = 2**bits - 1
    return scale_gray(np.rint(film.clip(0, 1) * top).astype(np.uint8 if bits == 8 else np.uint16))


@pytest.mark.parametrize("sigma", [0.01, 0.03, 0.08])
def test_noise_that_is_known_is_found_under_anatomy(sigma: float) -> None:
    film = draw_film(512)
    assert measure_noise(round_to(add_noise(film, sigma))) == pytest.approx(sigma, rel=0.02)
    assert measure_noise(add_noise(np.full((512, 512), 0.5, np.float32), sigma)) == pytest.approx(sigma, rel=0.02)


def test_clipped_pixels_do_not_lower_the_noise() -> None:
    film = add_noise(draw_film(512), 0.02)
    film[:, :200] = 0
    assert measure_noise(film) == pytest.approx(0.02, rel=0.03)
    assert np.isnan(measure_noise(np.zeros((9, 9), np.float32)))
    assert np.isnan(measure_noise(np.full((2, 9), 0.5, np.float32)))


def test_the_integral_of_a_spectrum_is_the_variance() -> None:
    edges = build_band_edges(48)
    areas = np.pi * np.diff(edges**2)
    films = [add_noise(np.full((96, 64), 0.5, np.float32), 0.1, seed) for seed in range(20)]
    density = np.mean([measure_spectrum(film, edges) for film in films], axis=0)
    # White noise: the same density at all frequencies, its variance over the square of (96 cycles per height)^2.
    assert density[3:] == pytest.approx(0.01 / 96**2, rel=0.15)
    assert (density * areas).sum() == pytest.approx(0.01 * np.pi / 4, rel=0.03)


@pytest.mark.parametrize("shape", [(64, 64), (128, 96)])
def test_a_wave_is_in_its_band(shape: tuple[int, int]) -> None:
    edges = build_band_edges(shape[0] / 2)
    rows = np.arange(shape[0])[:, None] / shape[0]
    wave = (0.5 + 0.2 * np.sin(2 * np.pi * 12 * rows) * np.ones(shape)).astype(np.float32)
    density = measure_spectrum(wave, edges)
    assert np.searchsorted(edges, 12) - 1 == density.argmax()
    turned = measure_spectrum(np.ascontiguousarray(wave[:, : shape[1]].T), build_band_edges(shape[1] / 2))
    assert turned.argmax() == np.searchsorted(build_band_edges(shape[1] / 2), 12 * shape[1] / shape[0]) - 1


def test_spectra_of_two_sizes_agree_where_both_have_frequencies() -> None:
    edges = build_band_edges(32)
    fine, coarse = draw_film(256), draw_film(256).reshape(128, 2, 128, 2).mean(axis=(1, 3))
    assert measure_spectrum(coarse, edges)[:12] == pytest.approx(measure_spectrum(fine, edges)[:12], rel=0.1)


def test_edges_of_bands() -> None:
    assert build_band_edges(4).tolist() == [0.5, 1.5, 2.5, 4]
    edges = build_band_edges(512)
    assert (np.diff(edges) >= 0.99).all() and len(edges) <= 41 and edges[-1] == 512
    with pytest.raises(ValueError, match="at least 2"):
        build_band_edges(1.5)


def test_blur_lowers_sharpness_step_by_step() -> None:
    edges = build_band_edges(128)
    film = add_noise(draw_film(), 0.005)
    found = [
        measure_image(round_to(ndimage.gaussian_filter(film, sigma)), edges=edges)[0] for sigma in (0, 0.6, 1, 2, 3)
    ]
    for name in ("edge_slope", "laplacian_sharpness", "high_frequency_share", "power_middle", "power_high"):
        values = [one[name] for one in found]
        # Past the second step what is left of the highest frequencies is rounding.
        steps = 3 if name in ("laplacian_sharpness", "high_frequency_share", "power_high") else 5
        assert (np.diff(values[:steps]) < 0).all(), (name, values)
        assert values[-1] < values[0] - 3
    assert np.diff([one["gray_span"] for one in found]) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("corner", [(0, 0), (3, 5)])
def test_a_jpeg_grid_is_seen_wherever_it_begins(corner: tuple[int, int]) -> None:
    film = (add_noise(draw_film(), 0.01).clip(0, 1) * 255).astype(np.uint8)
    found = []
    for quality in (None, 75, 40, 15):
        image = film
        if quality is not None:
            file = io.BytesIO()
            Image.fromarray(film).save(file, "JPEG", quality=quality)
            image = np.asarray(Image.open(file))
        found.append(measure_blocking(scale_gray(image[corner[0] :, corner[1] :])))
    assert found[0] < 0.1 and found[1] > 0.5 and sorted(found) == found


@pytest.mark.parametrize("shape", [(64, 64), (255, 130)])
def test_patterns_of_upsampling_are_seen(shape: tuple[int, int]) -> None:
    film = add_noise(np.full(shape, 0.5, np.float32), 0.01)
    row, column = np.indices(shape)
    plain = measure_periodic_peak(film)
    assert plain < 12
    checkerboard = film + np.float32(0.01) * (-1.0) ** (row + column)
    stripes = film + np.float32(0.01) * (column % 4 == 1)
    assert measure_periodic_peak(checkerboard) > plain + 10
    assert measure_periodic_peak(stripes) > plain + 10
    # Turned and mirrored patterns are as strong, wherever they stand in the half-plane that is stored.
    assert measure_periodic_peak(checkerboard[:, ::-1]) == pytest.approx(measure_periodic_peak(checkerboard), abs=1)


def test_bits_do_not_matter() -> None:
    film = (add_noise(draw_film(64), 0.02).clip(0, 1) * 255).astype(np.uint8)
    edges = build_band_edges(32)
    eight, spectrum = measure_image(scale_gray(film), edges=edges)
    sixteen, same = measure_image(scale_gray(film.astype(np.uint16) * 257), edges=edges)
    assert eight == sixteen and np.array_equal(spectrum, same)
    assert list(eight) == list(PROPERTIES) and np.isfinite(list(eight.values())).all()
    with pytest.raises(TypeError, match="uint8 or uint16"):
        scale_gray(film.astype(np.float32))


def test_ranges_by_hand() -> None:
    # Four gray levels of equal share, two of them at the ends of the scale.
    image = np.tile(np.repeat(np.array([0, 51, 102, 255], np.uint8), 8), (32, 1))
    found, _ = measure_image(scale_gray(image), edges=build_band_edges(16))
    assert found["entropy"] == 2 and found["distinct_levels"] == 4 and found["clipped_share"] == 50
    assert found["gray_span"] == pytest.approx(100) and found["mean_gray"] == pytest.approx(40)


@pytest.mark.parametrize("shape", [(4, 4), (8, 30), (23, 9)])
def test_what_is_too_small_for_a_property_has_none(shape: tuple[int, int]) -> None:
    film = add_noise(np.full(shape, 0.5, np.float32), 0.1).clip(0, 1)
    found, spectrum = measure_image(film, edges=build_band_edges(shape[0] / 2))
    assert np.isnan(found["blocking"]) and np.isnan(found["periodic_peak"]) and found["noise_sd"] > 0
    assert np.isfinite(spectrum).all()


def test_a_blank_image_has_no_sharpness() -> None:
    found, _ = measure_image(np.full((32, 32), 0.5, np.float32), edges=build_band_edges(16))
    missing = {name for name, value in found.items() if np.isnan(value)}
    assert missing == {"high_frequency_share", "laplacian_sharpness", "edge_slope", "blocking"}
    assert found["noise_sd"] == 0 and found["power_high"] < -100
