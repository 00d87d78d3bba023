"""From noise to images: each sampler as its paper writes it, over any path x_t = alpha(t) x0 + sigma(t) eps.

A sampler asks the network one thing only, the expected clean image at (x_t, t), so one sampler serves every objective.
It walks down a grid of times; s is the time it stands at and t the next one, so t < s. The last time is 0, where every
sampler returns its last prediction.

A solver of the probability-flow equation (all but "ddpm") draws no noise after its first one.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import expm1, inf, log
from typing import Final

import torch

from cspine_bench.ddpm.path import Path
from cspine_bench.ddpm.recipe import DdpmRecipe

PredictX0 = Callable[[torch.Tensor, float], torch.Tensor]
"""(x_t, t) -> expected x0, both float (batch, 1, height, width)."""

DrawNoise = Callable[[int], torch.Tensor]
"""Step number -> standard normal noise of the batch's shape, each image's from its own generator."""

_MOST_NOISE: Final = 80.0
_LEAST_NOISE: Final = 0.02
"""Noise-to-signal ratios sigma / alpha, see `build_log_snr_times`."""

Sampler = Callable[[PredictX0, Path, torch.Tensor, Sequence[float], DrawNoise], torch.Tensor]
"""(predict_x0, path, noise at times[0], times, draw_noise) -> images at t = 0."""


def build_times(num_steps: int) -> list[float]:
    """The even grid from t = 1 to t = 0: `num_steps` equal steps, so `num_steps + 1` times.

    Equal steps in t are each path's own convention: Ho et al. 2020 for the linear schedule, Nichol & Dhariwal 2021 for
    the cosine, Liu et al. 2023 for the straight one.

    Raises:
        ValueError: `num_steps` is below 1.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    return [(num_steps - step) / num_steps for step in range(num_steps + 1)]


def build_log_snr_times(num_steps: int, path: Path) -> list[float]:
    """A grid from t = 1 to t = 0 whose inner steps are even in log-SNR, as `num_steps + 1` times.

    It spans noise of 80 to 0.02 times the image (or the path's own highest noise, if that is less); the last step goes
    from there to the image. On the linear schedule, which rushes through the low noise at its end, a solver is nearer
    to the exact solution on this grid than on the even one.

    Raises:
        ValueError: `num_steps` is below 1.

    Source: Lu et al. 2022 (2206.00927), "step size schedule": uniform steps of log-SNR. 80 is sigma_max of Karras et
        al. 2022; 0.02 is ours.
    """
    if num_steps < 3:
        return build_times(num_steps)
    first = max(_log_snr(path, 1.0), -log(_MOST_NOISE))
    step = (-log(_LEAST_NOISE) - first) / (num_steps - 1)
    return [1.0, *(_find_time(path, first + step * index) for index in range(1, num_steps)), 0.0]


def _find_time(path: Path, log_snr: float) -> float:
    """The time of a log-SNR, by bisection: log-SNR falls with time on every path."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _log_snr(path, middle) > log_snr else (low, middle)
    return (low + high) / 2


def sample_ddpm(
    predict_x0: PredictX0, path: Path, x: torch.Tensor, times: Sequence[float], draw_noise: DrawNoise
) -> torch.Tensor:
    """Ancestral sampling: at each step, a draw from the posterior q(x_t | x_s, x0).

    Args:
        predict_x0: expected clean image at (x_s, s).
        path: alpha and sigma of t.
        x: float (batch, 1, height, width), noise at `times[0]`.
        times: decreasing, ending in 0.
        draw_noise: called once for each step but the last.

    Returns:
        float, the shape of `x`: images, about -1 to 1.

    Source: Ho et al. 2020, eq. 6 and 7 (the smaller of their two variances), in the continuous-time form of Kingma et
    al. 2021, appendix A.4, where the step need not be a step of training.
    """
    for step, (s, t) in enumerate(pairwise(times)):
        x0 = predict_x0(x, s)
        alpha_s, sigma_s = _coefficients(path, s)
        alpha_t, sigma_t = _coefficients(path, t)
        alpha_st = alpha_s / alpha_t
        var_st = sigma_s**2 - alpha_st**2 * sigma_t**2
        mean = (alpha_st * sigma_t**2 * x + alpha_t * var_st * x0) / sigma_s**2
        if sigma_t == 0:
            return mean
        x = mean + (var_st**0.5 * sigma_t / sigma_s) * draw_noise(step)
    return x


def sample_ddim(
    predict_x0: PredictX0, path: Path, x: torch.Tensor, times: Sequence[float], draw_noise: DrawNoise
) -> torch.Tensor:
    """The deterministic implicit model (eta = 0): keep the noise that was found, and lower its share.

    Args and result as in `sample_ddpm`; draws nothing.

    Source: Song, Meng & Ermon 2021, eq. 12 with sigma = 0. On the straight path this is Euler's method of Liu et al.
    2023.
    """
    for s, t in pairwise(times):
        x = _step_ddim(x, predict_x0(x, s), path, s, t)
    return x


def sample_dpmpp_2m(
    predict_x0: PredictX0, path: Path, x: torch.Tensor, times: Sequence[float], draw_noise: DrawNoise
) -> torch.Tensor:
    """DPM-Solver++ (2M): second order from the predictions of this step and the last one, one evaluation a step.

    Args and result as in `sample_ddpm`; draws nothing.

    The first and the last step are of first order: before the first there is no earlier prediction, and at t = 0 the
    step in log-SNR is infinite. Where alpha is 0 at the first time, log-SNR is -infinity there, and the second step
    gives that prediction no weight by itself.

    Source: Lu et al. 2022, DPM-Solver++ (2211.01095), algorithm 2.
    """
    last_x0, last_h = None, inf
    for s, t in pairwise(times):
        x0 = predict_x0(x, s)
        h = _log_snr(path, t) - _log_snr(path, s)
        blended = x0
        if last_x0 is not None and h < inf:
            blended = x0 + h / (2 * last_h) * (x0 - last_x0)
        # The algorithm's step in exponentials of h is DDIM's, with the blend as the image.
        x = _step_ddim(x, blended, path, s, t)
        last_x0, last_h = x0, h
    return x


def sample_unipc(
    predict_x0: PredictX0, path: Path, x: torch.Tensor, times: Sequence[float], draw_noise: DrawNoise
) -> torch.Tensor:
    """UniPC of order 2 with B2(h): a prediction first corrects the step that led to it, then makes the next step.

    Args and result as in `sample_ddpm`; draws nothing. One evaluation a step: the corrected x goes on with the
    prediction that was made before its correction. The predictor is that of `sample_dpmpp_2m`, of second order; with
    its corrector the method is of third order.

    The first step is of first order, as is its corrector, and so is the last step. A step from alpha = 0 is infinite in
    log-SNR: it is not corrected, and its prediction has no weight in later steps.

    Source: Zhao et al. 2023 (2302.04867), UniPC-2 in data prediction with B(h) = exp(h) - 1; the weights of 1/2 where
    one difference is used are theirs.
    """
    seen: list[tuple[float, torch.Tensor]] = []  # the steps that were made: log-SNR they covered, their prediction
    x_before = x
    for step, (s, t) in enumerate(pairwise(times)):
        x0 = predict_x0(x, s)
        if seen and seen[-1][0] < inf:
            x = _step_ddim(x_before, _blend_corrector(seen, x0), path, times[step - 1], s)
        h = _log_snr(path, t) - _log_snr(path, s)
        blended = x0
        if seen and h < inf:
            last_h, last_x0 = seen[-1]
            blended = x0 + h / (2 * last_h) * (x0 - last_x0)
        seen = [*seen[-1:], (h, x0)]
        x_before, x = x, _step_ddim(x, blended, path, s, t)
    return x


def _blend_corrector(seen: list[tuple[float, torch.Tensor]], x0: torch.Tensor) -> torch.Tensor:
    """The prediction with which the last step should have been made, now that x0 at its end is known."""
    h, last_x0 = seen[-1]
    if len(seen) == 1:
        return (last_x0 + x0) / 2
    before_h, before_x0 = seen[0]
    # The paper's R_2(h) a = phi_2(h) / B(h), solved for the weights of the differences to both neighbours.
    phi_1 = expm1(-h)
    phi_2 = -phi_1 / h - 1
    phi_3 = -phi_2 / h - 1 / 2
    first, second = phi_2 / phi_1, 2 * phi_3 / phi_1
    back = -h / before_h
    to_x0 = first - (second - first) * back / (1 - back)
    to_before = (second - first) * back**2 / (1 - back)
    return last_x0 + to_x0 * (x0 - last_x0) + to_before * (before_x0 - last_x0)


def sample_heun(
    predict_x0: PredictX0, path: Path, x: torch.Tensor, times: Sequence[float], draw_noise: DrawNoise
) -> torch.Tensor:
    """Heun's method in y = x / alpha over the noise-to-signal ratio, where dy is the noise that was found.

    Args and result as in `sample_ddpm`; draws nothing. Two evaluations a step; one in the last step (as in the paper),
    and one in a step from a noise-to-signal ratio above 80, where the paper begins: y would be huge there, or infinite.

    Source: Karras et al. 2022 (2206.00364), algorithm 1, for any path. On `EdmPath` the grid of even times is theirs,
        with their last sigma, 0.002, taken as 0.
    """
    for s, t in pairwise(times):
        x0 = predict_x0(x, s)
        (alpha_s, sigma_s), (alpha_t, sigma_t) = _coefficients(path, s), _coefficients(path, t)
        euler = _step_ddim(x, x0, path, s, t)
        if sigma_t == 0 or sigma_s > (1 + 1e-6) * _MOST_NOISE * alpha_s:
            x = euler
            continue
        noise_s = (x - alpha_s * x0) / sigma_s
        noise_t = (euler - alpha_t * predict_x0(euler, t)) / sigma_t
        x = alpha_t / alpha_s * x + (sigma_t - alpha_t * sigma_s / alpha_s) * (noise_s + noise_t) / 2
    return x


DEFAULT_SAMPLER: Final = "dpmpp-2m"
DEFAULT_NUM_STEPS: Final = 12

GRIDS: Final[dict[str, Callable[[int, Path], list[float]]]] = {
    "time": lambda num_steps, path: build_times(num_steps),
    "log-snr": build_log_snr_times,
}
"""Every grid of times by the name that a record stores."""

SAMPLERS: Final[dict[str, Sampler]] = {
    "ddpm": sample_ddpm,
    "ddim": sample_ddim,
    "dpmpp-2m": sample_dpmpp_2m,
    "unipc": sample_unipc,
    "heun": sample_heun,
}
"""Every sampler by the name that a record stores."""


def choose_grid(recipe: DdpmRecipe, sampler: str) -> str:
    """The grid of times to sample on, a key of `GRIDS`, where none is named.

    Even times, each path's own convention; but even log-SNR for a solver on the linear schedule, where it is nearer to
    the exact solution.
    """
    linear = recipe.objective in ("v", "epsilon") and recipe.schedule == "linear"
    return "log-snr" if linear and sampler != "ddpm" else "time"


def _step_ddim(x: torch.Tensor, x0: torch.Tensor, path: Path, s: float, t: float) -> torch.Tensor:
    (alpha_s, sigma_s), (alpha_t, sigma_t) = _coefficients(path, s), _coefficients(path, t)
    return alpha_t * x0 + sigma_t / sigma_s * (x - alpha_s * x0)


def _log_snr(path: Path, t: float) -> float:
    alpha, sigma = _coefficients(path, t)
    if sigma == 0:
        return inf
    return log(alpha / sigma) if alpha > 0 else -inf


def _coefficients(path: Path, t: float) -> tuple[float, float]:
    if t == 0:
        return 1.0, 0.0  # the image itself, also where a path keeps a trace of noise at its end
    # In double precision: differences of near-equal coefficients decide the ancestral step's variance.
    time = torch.tensor(t, dtype=torch.float64)
    return float(path.alpha(time)), float(path.sigma(time))
