"""Each sampler against data whose exact solution is known, and against diffusers on the same grid."""

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler

from cspine_bench.ddpm.path import COSINE, EDM, FLOW, LINEAR, Path, ZeroTerminalPath
from cspine_bench.ddpm.samplers import (
    GRIDS,
    SAMPLERS,
    build_log_snr_times,
    build_times,
    sample_ddim,
    sample_ddpm,
    sample_dpmpp_2m,
)

PATHS = {"flow": FLOW, "cosine": COSINE, "linear": LINEAR, "edm": EDM, "noise alone": ZeroTerminalPath(LINEAR)}
MEAN, STD = 0.3, 0.4


def no_noise(step: int) -> torch.Tensor:
    raise AssertionError("a deterministic sampler drew noise")


@dataclass
class GaussianData:
    """The perfect denoiser of pixels N(MEAN, STD^2), and where the probability-flow equation leads each noise."""

    path: Path

    def marginal(self, t: float) -> tuple[float, float, float]:
        time = torch.tensor(t, dtype=torch.float64)
        alpha, sigma = float(self.path.alpha(time)), float(self.path.sigma(time))
        return alpha, sigma, (alpha**2 * STD**2 + sigma**2) ** 0.5

    def predict_x0(self, x: torch.Tensor, t: float) -> torch.Tensor:
        alpha, _, std = self.marginal(t)
        return MEAN + alpha * STD**2 / std**2 * (x - alpha * MEAN)

    def solve(self, x: torch.Tensor, s: float, t: float) -> torch.Tensor:
        # Along the equation's solution (x - mean) / std never changes.
        (alpha_s, _, std_s), (alpha_t, _, std_t) = self.marginal(s), self.marginal(t)
        return alpha_t * MEAN + std_t / std_s * (x - alpha_s * MEAN)


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("dpmpp-2m", 2), ("heun", 2), ("unipc", 3)])
def test_a_solver_has_its_order(path: str, name: str, order: int) -> None:
    # Between the ends, where steps in log-SNR shrink with steps in time; a part of a grid is a grid.
    data = GaussianData(PATHS[path])
    noise = draw(0, 1, 1, 8, 8)
    errors = []
    for num_steps in (100, 200):
        times = [time for time in build_times(num_steps) if 0.199 < time < 0.801]
        exact = data.solve(noise, times[0], times[-1])
        images = SAMPLERS[name](data.predict_x0, data.path, noise, times, no_noise)
        errors.append(float((images - exact).abs().max()))
    # At least: 2M's first step, of first order, may cancel a part of the rest.
    assert errors[0] / errors[1] > 0.85 * 2**order


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("name", "largest"), [("ddim", 0.02), ("dpmpp-2m", 0.001), ("heun", 0.003), ("unipc", 0.0015)])
def test_a_solver_reaches_the_exact_solution(path: str, name: str, largest: float) -> None:
    data = GaussianData(PATHS[path])
    noise = draw(0, 1, 1, 8, 8)
    images = SAMPLERS[name](data.predict_x0, data.path, noise, build_times(256), no_noise)
    assert float((images - data.solve(noise, 1.0, 0.0)).abs().max()) < largest


@pytest.mark.parametrize("path", PATHS)
def test_ancestral_sampling_has_the_mean_and_spread_of_the_data(path: str) -> None:
    data = GaussianData(PATHS[path])
    noise = data.marginal(1.0)[1] * draw(0, 8, 1, 64, 64)
    images = sample_ddpm(data.predict_x0, data.path, noise, build_times(400), lambda step: draw(step + 1, 8, 1, 64, 64))
    # 32,768 pixels: the standard error is .0022 of the mean and .0016 of the spread; the grid adds the rest.
    assert abs(float(images.mean()) - MEAN) < 0.006
    assert abs(float(images.std()) - STD) < 0.012


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_perfect_prediction_is_returned_in_any_number_of_steps(name: str) -> None:
    x0 = draw(3, 2, 1, 4, 4)
    for num_steps in (1, 2, 7):
        images = SAMPLERS[name](
            lambda x, t: x0, FLOW, draw(4, 2, 1, 4, 4), build_times(num_steps), lambda step: draw(step, 2, 1, 4, 4)
        )
        torch.testing.assert_close(images, x0)


def test_evaluations_of_each_sampler() -> None:
    counts = {}
    for name, sampler in SAMPLERS.items():
        seen: list[float] = []
        data = GaussianData(LINEAR)

        def predict(x: torch.Tensor, t: float, seen: list[float] = seen, data: GaussianData = data) -> torch.Tensor:
            seen.append(t)
            return data.predict_x0(x, t)

        sampler(predict, LINEAR, draw(0, 1, 1, 2, 2), build_times(10), lambda step: draw(step, 1, 1, 2, 2))
        counts[name] = len(seen)
        assert min(seen) == pytest.approx(0.1)
    # The linear schedule begins at 152 times as much noise as image, where Heun's second look is left out.
    assert counts == {"ddpm": 10, "ddim": 10, "dpmpp-2m": 10, "unipc": 10, "heun": 18}


@dataclass
class TablePath:
    """Coefficients read from a scheduler: time 1 - i / n is its i-th one."""

    alphas: torch.Tensor
    sigmas: torch.Tensor

    def times(self) -> list[float]:
        return build_times(len(self.alphas) - 1)

    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        return self.alphas[self.step(float(t))]

    def sigma(self, t: torch.Tensor) -> torch.Tensor:
        return self.sigmas[self.step(float(t))]

    def step(self, t: float) -> int:
        return round((1 - t) * (len(self.alphas) - 1))


def predict_eps(x: torch.Tensor) -> torch.Tensor:
    """A network's stand-in: not linear, so that an error in the solver's order or weights shows."""
    return torch.tanh(1.5 * x + 0.2)


def predict_from_eps(path: TablePath, x: torch.Tensor, t: float) -> torch.Tensor:
    time = torch.tensor(t)
    return (x - path.sigma(time) * predict_eps(x)) / path.alpha(time)


def read_alphas(cumprod: torch.Tensor, timesteps: torch.Tensor) -> TablePath:
    products = torch.cat([cumprod[timesteps].double(), torch.ones(1, dtype=torch.float64)])
    return TablePath(products.sqrt(), (1 - products).sqrt())


def run_scheduler(scheduler: object, x: torch.Tensor, **options: object) -> torch.Tensor:
    for timestep in scheduler.timesteps:  # type: ignore[attr-defined]
        x = scheduler.step(predict_eps(x), timestep, x, **options).prev_sample  # type: ignore[attr-defined]
    return x


def test_ddim_is_that_of_diffusers() -> None:
    scheduler = DDIMScheduler(clip_sample=False, set_alpha_to_one=True)
    scheduler.set_timesteps(20)
    path = read_alphas(scheduler.alphas_cumprod, scheduler.timesteps)
    noise = draw(5, 2, 1, 8, 8)
    ours = sample_ddim(lambda x, t: predict_from_eps(path, x, t), path, noise, path.times(), no_noise)
    torch.testing.assert_close(ours, run_scheduler(scheduler, noise, eta=0.0), rtol=1e-5, atol=1e-5)


def test_ancestral_sampling_is_that_of_diffusers() -> None:
    scheduler = DDPMScheduler(clip_sample=False, variance_type="fixed_small")
    scheduler.set_timesteps(50)
    path = read_alphas(scheduler.alphas_cumprod, scheduler.timesteps)
    noise = draw(5, 2, 1, 8, 8)
    theirs = torch.Generator().manual_seed(11)
    ours = torch.Generator().manual_seed(11)
    expected = run_scheduler(scheduler, noise, generator=theirs)
    images = sample_ddpm(
        lambda x, t: predict_from_eps(path, x, t),
        path,
        noise,
        path.times(),
        lambda step: torch.randn(noise.shape, generator=ours, dtype=torch.float64),
    )
    torch.testing.assert_close(images, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside diffusers
@pytest.mark.parametrize(
    ("name", "scheduler"),
    [
        ("dpmpp-2m", DPMSolverMultistepScheduler(algorithm_type="dpmsolver++", solver_order=2)),
        ("unipc", UniPCMultistepScheduler(solver_order=2, solver_type="bh2")),
    ],
)
def test_a_multistep_solver_is_that_of_diffusers(name: str, scheduler: object) -> None:
    scheduler.set_timesteps(12)  # type: ignore[attr-defined]
    ratios = scheduler.sigmas.double()  # type: ignore[attr-defined]
    alphas = 1 / (ratios**2 + 1).sqrt()
    path = TablePath(alphas, ratios * alphas)
    noise = draw(6, 2, 1, 8, 8)
    ours = SAMPLERS[name](lambda x, t: predict_from_eps(path, x, t), path, noise, path.times(), no_noise)
    torch.testing.assert_close(ours, run_scheduler(scheduler, noise), rtol=1e-4, atol=1e-4)


@dataclass
class RatioPath:
    """alpha = 1, as in Karras et al.: time is the square root of sigma / 80."""

    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(t)

    def sigma(self, t: torch.Tensor) -> torch.Tensor:
        return 80 * t**2


def test_heun_is_algorithm_1_of_karras() -> None:
    data = GaussianData(RatioPath())
    times = build_times(18)
    noise = 80 * draw(7, 1, 1, 8, 8)
    sigmas = [80 * time**2 for time in times]
    x = noise
    for (s, sigma), (t, following) in itertools.pairwise(zip(times, sigmas, strict=True)):
        slope = (x - data.predict_x0(x, s)) / sigma
        stepped = x + (following - sigma) * slope
        if following > 0:
            second = (stepped - data.predict_x0(stepped, t)) / following
            stepped = x + (following - sigma) * (slope + second) / 2
        x = stepped
    images = SAMPLERS["heun"](data.predict_x0, data.path, noise, times, no_noise)
    torch.testing.assert_close(images, x, rtol=1e-9, atol=1e-9)


def measure_log_snr(path: Path, t: float) -> float:
    time = torch.tensor(t, dtype=torch.float64)
    return float((path.alpha(time) / path.sigma(time)).log())


@pytest.mark.parametrize("path", PATHS)
def test_the_grid_that_is_even_in_log_snr(path: str) -> None:
    times = build_log_snr_times(12, PATHS[path])
    assert (times[0], times[-1], len(times)) == (1.0, 0.0, 13)
    inner = [measure_log_snr(PATHS[path], time) for time in times[1:-1]]
    steps = [after - before for before, after in itertools.pairwise(inner)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-6)
    assert inner[-1] == pytest.approx(-math.log(0.02), rel=1e-6)


def test_the_linear_schedule_needs_fewer_steps_that_are_even_in_log_snr() -> None:
    data = GaussianData(LINEAR)
    noise = draw(0, 1, 1, 8, 8)
    error = {}
    for name, grid in GRIDS.items():
        images = sample_dpmpp_2m(data.predict_x0, LINEAR, noise, grid(12, LINEAR), no_noise)
        error[name] = float((images - data.solve(noise, 1.0, 0.0)).abs().max())
    assert error["log-snr"] < 0.6 * error["time"]


def test_the_grid_of_times() -> None:
    times = build_times(4)
    assert times == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert all(s > t for s, t in itertools.pairwise(build_times(1000)))
    with pytest.raises(ValueError, match="at least 1"):
        build_times(0)
