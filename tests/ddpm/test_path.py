"""Noise paths and objectives, against hand values and diffusers."""

import math
from typing import get_args

import pytest
import torch
from diffusers import DDPMScheduler

from cspine_bench.ddpm.objectives import add_noise, compute_target, compute_weight, predict_x0
from cspine_bench.ddpm.path import COSINE, EDM, FLOW, LINEAR, Path, select_path
from cspine_bench.ddpm.recipe import DdpmRecipe, Objective

PATHS = {"flow": FLOW, "cosine": COSINE, "linear": LINEAR}
CURVED = [COSINE, LINEAR]


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_path_leads_from_the_image_to_noise(path: Path) -> None:
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    assert path.alpha(t).diff().max() < 0 < path.sigma(t).diff().min()
    assert path.alpha(t)[0] == pytest.approx(1, abs=1e-6)
    assert path.sigma(t)[-1] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("path", CURVED)
def test_curved_paths_keep_the_variance(path: Path) -> None:
    t = torch.rand(50, dtype=torch.float64)
    torch.testing.assert_close(path.alpha(t) ** 2 + path.sigma(t) ** 2, torch.ones_like(t))


def test_values_by_hand() -> None:
    half = torch.tensor(0.5, dtype=torch.float64)
    assert (float(FLOW.alpha(half)), float(FLOW.sigma(half))) == (0.5, 0.5)
    assert float(COSINE.alpha(half)) == pytest.approx(math.sqrt(0.5))
    # exp(-(.1 * .5 + 19.9 / 2 * .25) / 2)
    assert float(LINEAR.alpha(half)) == pytest.approx(math.exp(-1.26875))
    ends = COSINE.alpha(torch.tensor([0.0, 1.0], dtype=torch.float64)) ** 2
    assert torch.log(ends / (1 - ends)).tolist() == pytest.approx([15, -15], abs=1e-3)


def test_the_linear_path_is_the_limit_of_a_thousand_steps() -> None:
    discrete = DDPMScheduler(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02).alphas_cumprod.double()
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    assert (LINEAR.alpha(t) - discrete.sqrt()).abs().max() < 2e-3


@pytest.mark.parametrize("objective", get_args(Objective))
@pytest.mark.parametrize("path", CURVED)
def test_a_right_prediction_gives_the_image_back(objective: Objective, path: Path) -> None:
    path = {"flow": FLOW, "edm": EDM}.get(objective, path)
    generator = torch.Generator().manual_seed(1)
    x0, eps = torch.randn(2, 5, 1, 4, 4, generator=generator, dtype=torch.float64)
    t = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0], dtype=torch.float64)
    target = compute_target(objective, x0, eps, t, path)
    found = predict_x0(objective, target, add_noise(x0, eps, t, path), t, path)
    sure = t < 1 if objective == "flow" else t <= 1
    torch.testing.assert_close(found[sure], x0[sure])


def test_v_is_that_of_diffusers() -> None:
    scheduler = DDPMScheduler(num_train_timesteps=10)
    x0, eps = torch.randn(2, 10, 1, 2, 2, generator=torch.Generator().manual_seed(2))
    steps = torch.arange(10)

    class Discrete:
        def alpha(self, t: torch.Tensor) -> torch.Tensor:
            return scheduler.alphas_cumprod[t.long()].sqrt()

        def sigma(self, t: torch.Tensor) -> torch.Tensor:
            return (1 - scheduler.alphas_cumprod[t.long()]).sqrt()

    ours = compute_target("v", x0, eps, steps, Discrete())
    torch.testing.assert_close(ours, scheduler.get_velocity(x0, eps, steps))
    torch.testing.assert_close(add_noise(x0, eps, steps, Discrete()), scheduler.add_noise(x0, eps, steps))


@pytest.mark.parametrize("objective", ["epsilon", "v"])
def test_min_snr_is_the_same_weight_of_x0_in_each_objective(objective: Objective) -> None:
    # An error d in x0 is an error (alpha / sigma) d in epsilon, and d / sigma in v.
    t = torch.tensor([0.1, 0.4, 0.8], dtype=torch.float64)
    alpha, sigma = COSINE.alpha(t), COSINE.sigma(t)
    squared = (alpha / sigma) ** 2 if objective == "epsilon" else 1 / sigma**2
    weight = compute_weight(objective, t, COSINE, min_snr_gamma=5.0)
    torch.testing.assert_close(weight * squared, ((alpha / sigma) ** 2).clamp(max=5))
    assert compute_weight(objective, t, COSINE, min_snr_gamma=None).tolist() == [1, 1, 1]


def test_misuse_is_an_error() -> None:
    t = torch.rand(1)
    with pytest.raises(ValueError, match="not flow"):
        compute_weight("flow", t, FLOW, min_snr_gamma=5.0)
    image = torch.zeros(1, 1, 2, 2)
    for function in (compute_target, predict_x0):
        with pytest.raises(ValueError, match="there are flow, v, epsilon and edm"):
            function("x0", image, image, t, FLOW)  # type: ignore[arg-type]


def test_a_recipe_selects_its_path() -> None:
    assert select_path(DdpmRecipe()) is FLOW
    assert select_path(DdpmRecipe(objective="v")) is COSINE
    assert select_path(DdpmRecipe(objective="epsilon", schedule="linear")) is LINEAR
