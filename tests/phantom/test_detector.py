"""The film: blur as scipy's, scatter as asked for, and nothing that depends on the batch."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from cspine_bench.sources.phantom.detector import Exposure, develop, expose, gaussian_blur
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.render import MU_SOFT, build_anatomy, project_soft
from cspine_bench.sources.phantom.subject import build_camera, draw_subject


def make_exposure(batch: int, **changes: float) -> Exposure:
    values = {
        "spacing": 0.7, "photons": 1e5, "scatter_ratio": 0.0, "blur": 1e-3, "detail": 2.0, "base": 0.6,
        "window_low": 0.2, "window_high": 2.5, "gamma": 1.0, "air": 0.55,
    } | changes  # fmt: skip
    return Exposure(**{name: torch.full((batch,), value, dtype=torch.float64) for name, value in values.items()})


@pytest.fixture(scope="module")
def primary() -> torch.Tensor:
    subjects = [draw_subject(PhantomRecipe(), 2, index) for index in range(4)]
    anatomy, _ = build_anatomy(subjects)
    return torch.exp(-MU_SOFT * project_soft(anatomy, build_camera(subjects, 256), 256))


@pytest.mark.parametrize("sigma", [0.4, 1.7, 6.0, 11.0, 33.0])
def test_blur_is_a_gaussian_with_replicated_edges(primary: torch.Tensor, sigma: float) -> None:
    ours = gaussian_blur(primary, torch.full((4,), sigma, dtype=torch.float64)).numpy()
    reference = np.stack(
        [ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=3.0) for image in primary.numpy()]
    )
    # 1 % of the greatest step: what the docstring promises of the coarse grid.
    assert np.abs(ours - reference).max() < 0.012


def test_images_do_not_depend_on_their_batch(primary: torch.Tensor) -> None:
    widths = torch.tensor([0.5, 3.0, 9.0, 40.0], dtype=torch.float64)
    together = gaussian_blur(primary, widths)
    for row in range(4):
        torch.testing.assert_close(
            together[row], gaussian_blur(primary[row : row + 1], widths[row : row + 1])[0], rtol=0, atol=0
        )


def test_without_scatter_and_blur_quanta_follow_beer_lambert() -> None:
    integrals = torch.linspace(0, 4, 32).expand(1, 32, 32).contiguous()
    quanta = expose(integrals, make_exposure(1))
    torch.testing.assert_close(quanta, torch.exp(-integrals) * 1e5 * 0.49, rtol=1e-4, atol=0)


def test_scatter_behind_the_spine_has_the_ratio_that_was_asked_for() -> None:
    subjects = [draw_subject(PhantomRecipe(), 4, index) for index in range(12)]
    anatomy, points = build_anatomy(subjects)
    camera = build_camera(subjects, 128)
    integrals = MU_SOFT * project_soft(anatomy, camera, 128)
    places = camera.project_points(points, 128).round().long()
    exposure = make_exposure(12)
    exposure.spacing = camera.spacing
    plain = expose(integrals, exposure)
    exposure.scatter_ratio = torch.full((12,), 0.5, dtype=torch.float64)
    scattered = expose(integrals, exposure)
    ratios = [float(((scattered - plain) / plain)[row, y, x]) for row in range(12) for x, y in places[row, 3:].tolist()]
    # The mean over people; thick necks have more, thin ones less.
    assert np.mean(ratios) == pytest.approx(0.5, rel=0.2)


def test_developed_films_rise_with_attenuation() -> None:
    ramp = torch.linspace(0.6, 4, 64).expand(1, 64, 64).contiguous()
    shown = develop(expose(ramp, make_exposure(1)), make_exposure(1))
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert (shown[0, 32].diff() >= -1e-3).all()
