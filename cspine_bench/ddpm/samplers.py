"""From noise to images: each sampler as its paper writes it, over any path x_t = alpha(t) x0 + sigma(t) eps.

A sampler asks the network one thing only, the expected clean image at (x_t, t), so one sampler serves every objective.
It walks down a grid of times; s is the time it stands at and t the next one, so t < s. The last time is 0, where every
sampler returns its last prediction.

A solver of the probability-flow equation (all but "ddpm") draws no noise after its first one.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import inf, log
from typing import Final

import torch

from cspine_bench.ddpm.path import Path

PredictX0 = Callable[[torch.Tensor, float], torch.Tensor]
"""(x_t, t) -> expected x0, both float (batch, 1, height, width)."""

DrawNoise = Callable[[int], torch.Tensor]
"""Step number -> standard normal noise of the batch's shape, each image's from its own generator."""

Sampler = Callable[[PredictX0, Path, torch.Tensor, Sequence[float], DrawNoise], torch.Tensor]
"""(predict_x0, path, noise at times[0], times, draw_noise) -> images at t = 0."""


def build_times(num_steps: int) -> list[float]:
    """The grid from t = 1 to t = 0: `num_steps` equal steps, so `num_steps + 1` times.

    Equal steps in t are each path's own convention: Ho et al. 2020 for the linear schedule, Nichol & Dhariwal 2021 for
    the cosine, Liu et al. 2023 for the straight one.

    Raises:
        ValueError: `num_steps` is below 1.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    return [(num_steps - step) / num_steps for step in range(num_steps + 1)]


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

    Source: Lu et al. 2022, DPM-Solver++, algorithm 2.
    """
    last_x0, last_h = None, inf
    for s, t in pairwise(times):
        x0 = predict_x0(x, s)
        h = _log_snr(path, t) - _log_snr(path, s)
        blended = x0
        if last_x0 is not None and h < inf:
            blended = x0 + h / (2 * last_h) * (x0 - last_x0)
        # With any x0, eq. 9's exponential form is DDIM's step.
        x = _step_ddim(x, blended, path, s, t)
        last_x0, last_h = x0, h
    return x


def sample_heun(
    predict_x0: PredictX0, path: Path, x: torch.Tensor, times: Sequence[float], draw_noise: DrawNoise
) -> torch.Tensor:
    """Heun's method in y = x / alpha over the noise-to-signal ratio, where dy is the noise that was found.

    Args and result as in `sample_ddpm`; draws nothing. Two evaluations a step; one in the last step (as in the paper),
    and one in a step from alpha = 0, where y is infinite.

    Source: Karras et al. 2022, algorithm 1, for any path; our time grid, not theirs.
    """
    for s, t in pairwise(times):
        x0 = predict_x0(x, s)
        (alpha_s, sigma_s), (alpha_t, sigma_t) = _coefficients(path, s), _coefficients(path, t)
        euler = _step_ddim(x, x0, path, s, t)
        if sigma_t == 0 or alpha_s == 0:
            x = euler
            continue
        noise_s = (x - alpha_s * x0) / sigma_s
        noise_t = (euler - alpha_t * predict_x0(euler, t)) / sigma_t
        x = alpha_t / alpha_s * x + (sigma_t - alpha_t * sigma_s / alpha_s) * (noise_s + noise_t) / 2
    return x


DEFAULT_SAMPLER: Final = "dpmpp-2m"
DEFAULT_NUM_STEPS: Final = 12

SAMPLERS: Final[dict[str, Sampler]] = {
    "ddpm": sample_ddpm,
    "ddim": sample_ddim,
    "dpmpp-2m": sample_dpmpp_2m,
    "heun": sample_heun,
}
"""Every sampler by the name that a record stores."""


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
