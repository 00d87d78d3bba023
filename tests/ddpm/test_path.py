"""Noise paths and objectives, against hand values and diffusers."""

import math
from typing import get_args

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr

from cspine_bench.ddpm.objectives import add_noise, compute_target, compute_weight, predict_x0, scale_input
from cspine_bench.ddpm.path import COSINE, EDM, FLOW, LINEAR, Path, ZeroTerminalPath, select_path
from cspine_bench.ddpm.recipe import DdpmRecipe, Objective, TrainingRecipe
from cspine_bench.ddpm.update import draw_times

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
    path = {"flow": FLOW, "flow-edm": FLOW, "edm": EDM}.get(objective, path)
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


@pytest.mark.parametrize("path", CURVED)
def test_zero_terminal_snr_ends_in_noise_alone(path: Path) -> None:
    ended = ZeroTerminalPath(path)
    for dtype in (torch.float32, torch.float64):
        t = torch.linspace(0, 1, 101, dtype=dtype)
        alpha, sigma = ended.alpha(t), ended.sigma(t)
        assert alpha.dtype == sigma.dtype == dtype
        assert (float(alpha[-1]), float(sigma[-1])) == (0, 1)
        assert float(alpha[0]) == pytest.approx(float(path.alpha(t[0])), abs=1e-7)
        assert alpha.diff().max() < 0 < sigma.diff().min()
    assert select_path(DdpmRecipe(objective="v", zero_terminal_snr=True)) == ZeroTerminalPath(COSINE)


def test_zero_terminal_snr_is_that_of_diffusers() -> None:
    betas = torch.linspace(1e-4, 0.02, 50, dtype=torch.float64)

    class Discrete:
        def alpha(self, t: torch.Tensor) -> torch.Tensor:
            return (1 - betas).cumprod(0).sqrt()[(49 * t).round().long()]

    expected = (1 - rescale_zero_terminal_snr(betas)).cumprod(0).sqrt()
    t = torch.arange(50, dtype=torch.float64) / 49
    torch.testing.assert_close(ZeroTerminalPath(Discrete()).alpha(t), expected)  # type: ignore[arg-type]


def test_an_even_grid_of_edm_is_that_of_karras() -> None:
    count, rho = 18, 7
    steps = torch.arange(count, dtype=torch.float64)
    low, high = 0.002 ** (1 / rho), 80 ** (1 / rho)
    expected = (high + steps / (count - 1) * (low - high)) ** rho
    t = torch.linspace(1, 0, count, dtype=torch.float64)
    torch.testing.assert_close(EDM.sigma(t), expected)
    torch.testing.assert_close(EDM.find_time(expected), t)
    assert EDM.alpha(t).tolist() == [1] * count
    assert EDM.find_time(torch.tensor([1e-5, 500.0])).tolist() == [0, 1]
    assert select_path(DdpmRecipe(objective="edm")) is EDM


def test_flow_edm_is_flow_with_another_network() -> None:
    x0, eps, guess = torch.randn(3, 6, 1, 4, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    t = torch.linspace(0.05, 1, 6, dtype=torch.float64)
    xt = add_noise(x0, eps, t, FLOW)
    velocity = (xt - predict_x0("flow-edm", guess, xt, t, FLOW)) / t.reshape(-1, 1, 1, 1)
    by_flow = (velocity - compute_target("flow", x0, eps, t, FLOW)).square().mean(dim=(1, 2, 3))
    ours = (guess - compute_target("flow-edm", x0, eps, t, FLOW)).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(ours * compute_weight("flow-edm", t, FLOW, min_snr_gamma=None), by_flow)


@pytest.mark.parametrize(("objective", "path"), [("edm", EDM), ("flow-edm", FLOW)])
def test_preconditioning_gives_and_asks_for_unit_spread(objective: Objective, path: Path) -> None:
    x0, eps = torch.randn(2, 20_000, 1, 1, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x0 *= 0.5
    for time in (0.05, 0.4, 0.7, 1.0):
        t = torch.full((len(x0),), time, dtype=torch.float64)
        given = scale_input(objective, add_noise(x0, eps, t, path), t, path)
        asked = compute_target(objective, x0, eps, t, path)
        # The standard error of a spread over 20,000 is .005.
        assert (float(given.std()), float(asked.std())) == (pytest.approx(1, abs=0.02), pytest.approx(1, abs=0.02))
    half = torch.zeros(1, dtype=torch.float64) + float(EDM.find_time(torch.tensor(0.5, dtype=torch.float64)))
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    # sigma = sigma_data = .5: c_in = sqrt 2, c_skip = 1/2, c_out = sqrt 2 / 4.
    assert float(scale_input("edm", one, half, EDM)) == pytest.approx(math.sqrt(2))
    assert float(predict_x0("edm", one, one, half, EDM)) == pytest.approx(0.5 + math.sqrt(2) / 4)
    assert compute_weight("edm", half, EDM, min_snr_gamma=None).tolist() == [1]


def draw_many(**settings: object) -> torch.Tensor:
    return draw_times(DdpmRecipe(**settings), 20_000, torch.Generator().manual_seed(4))


def test_times_are_drawn_as_published() -> None:
    log_sigma = EDM.sigma(draw_many(objective="edm").double()).log()
    assert (float(log_sigma.mean()), float(log_sigma.std())) == (
        pytest.approx(-1.2, abs=0.04),
        pytest.approx(1.2, abs=0.04),
    )
    for settings in ({"objective": "v"}, {"objective": "epsilon"}, {"training": TrainingRecipe(times="uniform")}):
        quarters = torch.histc(draw_many(**settings), bins=4, min=0, max=1) / 20_000
        assert quarters.tolist() == pytest.approx([0.25] * 4, abs=0.015)
    logit = draw_many(objective="flow").logit()
    assert (float(logit.mean()), float(logit.std())) == (pytest.approx(0, abs=0.03), pytest.approx(1, abs=0.03))
    moved = draw_many(objective="edm", training=TrainingRecipe(log_sigma=(0.5, 1.0)))
    assert float(EDM.sigma(moved.double()).log().median()) == pytest.approx(0.5, abs=0.04)


def test_misuse_is_an_error() -> None:
    t = torch.rand(1)
    with pytest.raises(ValueError, match="not flow"):
        compute_weight("flow", t, FLOW, min_snr_gamma=5.0)
    image = torch.zeros(1, 1, 2, 2)
    for function in (compute_target, predict_x0):
        with pytest.raises(ValueError, match="there are flow, flow-edm, v, epsilon and edm"):
            function("x0", image, image, t, FLOW)  # type: ignore[arg-type]


def test_a_recipe_selects_its_path() -> None:
    assert select_path(DdpmRecipe()) is FLOW
    assert select_path(DdpmRecipe(objective="v")) is COSINE
    assert select_path(DdpmRecipe(objective="epsilon", schedule="linear")) is LINEAR
