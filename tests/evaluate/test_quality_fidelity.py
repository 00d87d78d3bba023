"""Image-quality fidelity: what was done to a side is found in its property; size, depth and number are no traps."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parent.parent / "dataset"))

from toy_source import ToySource

from cspine_bench.dataset.write import write_dataset
from cspine_bench.evaluate.fidelity.quality import DEFINITIONS, Quality, measure_quality
from cspine_bench.measurement.inputs import Images, open_images
from cspine_bench.measurement.work import Work
from cspine_bench.results import Figure

COUNT = 40
MakeOnce = Callable[[str, Callable[[Path], object]], Path]
Films = NDArray[np.uint8]


def draw_films(count: int = COUNT, seed: int = 0, side: int = 64) -> Films:
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side] / side
    anatomy = 110 + 60 * np.sin(6 * rows + draw.normal(0, 0.3, (count, 1, 1))) * np.cos(4 * columns)
    return (anatomy + draw.normal(0, 8, (count, side, side))).clip(0, 255).astype(np.uint8)


def open_films(make_once: MakeOnce, name: str, films: NDArray[np.generic], role: str = "synthetic") -> Images:
    def fill(path: Path) -> None:
        bits = 8 * films.dtype.itemsize
        plain = {"mask": None, "mask_levels": None}
        broken = {index: {"image": film} | plain for index, film in enumerate(films)}
        write_dataset(ToySource(len(films), bits=bits, broken=broken), path)

    return open_images(role, make_once(f"evaluate-films-{name}", fill))


@pytest.fixture(scope="module")
def real(make_once: MakeOnce) -> Images:
    return open_films(make_once, "real", draw_films(), "real")


def find(quality: Quality, name: str, prop: str) -> Figure:
    (figure,) = [one for one in quality.figures if one.name == name and one.condition == {"property": prop}]
    return figure


def test_a_set_is_itself(real: Images) -> None:
    told: list[tuple[int, int]] = []
    same = measure_quality(real, replace(real, role="synthetic"), seed=0, on_progress=lambda *done: told.append(done))
    assert told[-1] == (2 * COUNT, 2 * COUNT) and [done for done, _ in told] == sorted(done for done, _ in told)
    assert same.not_measured == {} and set(same.p_values.values()) == {1.0}
    for name in DEFINITIONS:
        figure = find(same, "quality_wasserstein_distance", name)
        assert figure.value == pytest.approx(0, abs=1e-9)
        assert figure.floor is not None and figure.value <= figure.floor.low
        assert figure.interval is not None and figure.note == DEFINITIONS[name]
        assert find(same, "quality_mean_difference", name).value == pytest.approx(0, abs=1e-9)
    assert len(same.figures) == 2 * len(DEFINITIONS)
    assert same.height_px == 64 and len(same.frequencies) == len(same.spectra["real"].middle) == len(same.edges) - 1
    spectrum = same.spectra["synthetic"]
    assert np.array_equal(spectrum.middle, same.spectra["real"].middle)
    assert (spectrum.low <= spectrum.middle).all() and (spectrum.middle <= spectrum.high).all()


def test_equals_are_not_told_apart(make_once: MakeOnce, real: Images) -> None:
    found = measure_quality(real, open_films(make_once, "equal", draw_films(seed=1)), seed=0)
    assert min(found.p_values.values()) > 0.01
    assert any("no difference was shown in any of" in warning for warning in found.warnings)


def test_what_was_done_to_a_side_is_found(make_once: MakeOnce, real: Images) -> None:
    blurred = ndimage.gaussian_filter(draw_films(seed=1).astype(float), (0, 0.7, 0.7)).round().astype(np.uint8)
    found = measure_quality(real, open_films(make_once, "blurred", blurred), seed=0)
    for name in ("noise_sd", "power_high", "edge_slope", "laplacian_sharpness", "high_frequency_share"):
        assert found.p_values[name] < 0.01
        difference, distance = (
            find(found, f"quality_{kind}", name) for kind in ("mean_difference", "wasserstein_distance")
        )
        assert difference.interval is not None and difference.interval.high < 0
        assert distance.floor is not None and distance.floor.matched is not None
        assert distance.floor.matched > distance.floor.high
    assert found.p_values["mean_gray"] > 0.05
    real_noise = found.values["real"]["noise_sd"].mean()
    assert real_noise == pytest.approx(100 * 8 / 255, rel=0.1)
    assert found.spectra["synthetic"].middle[-1] < 0.2 * found.spectra["real"].middle[-1]
    assert any("differ from the real ones: " in warning and "noise_sd" in warning for warning in found.warnings)


def test_depth_is_no_difference(make_once: MakeOnce, real: Images) -> None:
    wide = open_films(make_once, "wide", draw_films().astype(np.uint16) * 257)
    found = measure_quality(real, wide, seed=0)
    assert find(found, "quality_wasserstein_distance", "noise_sd").value == 0
    assert set(found.p_values.values()) == {1.0}
    assert any("real images have 8 bits, synthetic ones 16" in warning for warning in found.warnings)


def test_sizes_may_differ(make_once: MakeOnce, real: Images) -> None:
    large = open_films(make_once, "large", draw_films(12, seed=1, side=96))
    found = measure_quality(real, large, seed=0)
    assert found.height_px is None and found.edges[-1] == 32
    assert any("real: 64 x 64 px; synthetic: 96 x 96 px" in warning for warning in found.warnings)
    assert np.isfinite(found.spectra["synthetic"].middle).all()


@pytest.mark.parametrize("counts", [(1, 1), (1, COUNT), (COUNT, 1)])
def test_one_image_is_no_traceback(make_once: MakeOnce, real: Images, counts: tuple[int, int]) -> None:
    first, second = (
        real if count == COUNT else open_films(make_once, "one", draw_films(1, seed=3), "real") for count in counts
    )
    found = measure_quality(first, replace(second, role="synthetic"), seed=0)
    assert found.figures == () and "4 of each are the least" in found.not_measured["image quality"]
    assert found.p_values == {} and np.isfinite(found.spectra["real"].middle).all()


def test_small_images_have_the_properties_that_they_can_have(make_once: MakeOnce, real: Images) -> None:
    small = open_films(make_once, "small", draw_films(8, side=16))
    found = measure_quality(real, small, seed=0)
    assert set(found.not_measured) == {"property blocking", "property periodic_peak"}


def test_a_side_that_is_done_is_kept(real: Images, tmp_path: Path) -> None:
    work = Work(tmp_path / "work", {"seed": 0})
    first = measure_quality(real, replace(real, role="synthetic"), seed=0, work=work)
    told: list[int] = []
    again = measure_quality(
        real, replace(real, role="synthetic"), seed=0, work=work, on_progress=lambda done, total: told.append(done)
    )
    assert told == [COUNT, 2 * COUNT]
    assert again.figures == first.figures
