"""What the network is asked to predict, how errors are weighted, and the image that a prediction means.

Shapes: images (B, 1, S, S), times (B,), both float. `path` is the one that the times refer to.
"""

from typing import Final

import torch

from cspine_bench.ddpm.path import Path
from cspine_bench.ddpm.recipe import Objective

SIGMA_DATA: Final = 0.5
"""Standard deviation of the pixels, as edm and flow-edm assume it. Source: Karras et al. 2022 (2206.00364), table 1."""

_UNKNOWN: Final = "no objective {!r}; there are flow, flow-edm, v, epsilon and edm"
_PRECONDITIONED: Final = ("edm", "flow-edm")


def add_noise(x0: torch.Tensor, eps: torch.Tensor, t: torch.Tensor, path: Path) -> torch.Tensor:
    """The noisy image xt = alpha(t) x0 + sigma(t) eps, of the shape of `x0`. Source: Ho et al. 2020, equation 4."""
    alpha, sigma = _shares(x0, t, path)
    return alpha * x0 + sigma * eps


def scale_input(objective: Objective, xt: torch.Tensor, t: torch.Tensor, path: Path) -> torch.Tensor:
    """What the network is given for `xt`: of about the spread of an image at every time; of the shape of `xt`.

    Source: Karras et al. 2022 (2206.00364), table 1, c_in; the other objectives' paths keep the spread themselves. The
        paper tells its network ln(sigma) / 4; here it is told the time, as with every objective.
    """
    return xt * _precondition(*_shares(xt, t, path))[0] if objective in _PRECONDITIONED else xt


def compute_target(
    objective: Objective, x0: torch.Tensor, eps: torch.Tensor, t: torch.Tensor, path: Path
) -> torch.Tensor:
    """What the network should say of `add_noise(x0, eps, t, path)`; of the shape of `x0`.

    Raises:
        ValueError: the objective is unknown.

    Source: epsilon: Ho et al. 2020 (2006.11239), equation 14. v = alpha eps - sigma x0: Salimans, Ho 2022
        (2202.00512), section 4. flow, the velocity dx/dt = eps - x0: Lipman et al. 2023 (2210.02747), equation 23;
        Liu et al. 2023 (2209.03003), equation 1; with the sign of a time that runs from image to noise.
        edm, what c_skip xt leaves of x0, over c_out: Karras et al. 2022 (2206.00364), equation 8; flow-edm, the same
        on the path of flow, so that the network need not learn what a Gaussian of the pixels' spread explains.
    """
    match objective:
        case "epsilon":
            return eps
        case "v":
            alpha, sigma = _shares(x0, t, path)
            return alpha * eps - sigma * x0
        case "flow":
            return eps - x0
        case "edm" | "flow-edm":
            # (x0 - c_skip xt) / c_out, written out so that it holds at sigma = 0.
            alpha, sigma = _shares(x0, t, path)
            spread = torch.sqrt((alpha * SIGMA_DATA) ** 2 + sigma**2)
            return (sigma * x0 - alpha * SIGMA_DATA**2 * eps) / (SIGMA_DATA * spread)
        case _:
            raise ValueError(_UNKNOWN.format(objective))


def predict_x0(
    objective: Objective, output: torch.Tensor, xt: torch.Tensor, t: torch.Tensor, path: Path
) -> torch.Tensor:
    """The image that the network's output at (xt, t) means; of the shape of `xt`, not clipped.

    Raises:
        ValueError: the objective is unknown.

    Source: the equations of `compute_target` and `add_noise`, solved for x0; for v, alpha^2 + sigma^2 = 1 is used. edm:
        Karras et al. 2022 (2206.00364), equation 7.
    """
    match objective:
        case "epsilon":
            alpha, sigma = _shares(xt, t, path)
            return (xt - sigma * output) / alpha
        case "v":
            alpha, sigma = _shares(xt, t, path)
            return alpha * xt - sigma * output
        case "flow":
            return xt - _shares(xt, t, path)[1] * output
        case "edm" | "flow-edm":
            _, skip, out = _precondition(*_shares(xt, t, path))
            return skip * xt + out * output
        case _:
            raise ValueError(_UNKNOWN.format(objective))


def compute_weight(objective: Objective, t: torch.Tensor, path: Path, *, min_snr_gamma: float | None) -> torch.Tensor:
    """Weight of each image's mean squared error.

    Args:
        objective: what the error is measured on. "flow" and "edm" are never weighted: for edm that is the paper's
            lambda = 1 / c_out^2 on x0. "flow-edm" has the one weight that makes its error that of flow's velocity.
        t: float (B,), times.
        path: of the times.
        min_snr_gamma: highest signal-to-noise ratio alpha^2 / sigma^2 that counts; None: all weights are 1, but those
            of "flow-edm".

    Returns:
        float (B,), positive; for v and a `min_snr_gamma` it falls to 0 with alpha.

    Raises:
        ValueError: a `min_snr_gamma` for another objective than v and epsilon.

    Source: Hang et al. 2023 (2303.09556), section 3.4: min(SNR, gamma) on x0, which is min(SNR, gamma) / SNR on epsilon
        and min(SNR, gamma) / (SNR + 1) on v.
    """
    if min_snr_gamma is None:
        # (c_out / sigma)^2: the velocity is (xt - x0) / sigma.
        variance = (path.alpha(t) * SIGMA_DATA) ** 2 + path.sigma(t) ** 2
        return SIGMA_DATA**2 / variance if objective == "flow-edm" else torch.ones_like(t)
    if objective not in ("v", "epsilon"):
        raise ValueError(f"min_snr_gamma weights v and epsilon, not {objective}")
    snr = (path.alpha(t) / path.sigma(t)) ** 2
    return snr.clamp(max=min_snr_gamma) / (snr if objective == "epsilon" else snr + 1)


def _shares(images: torch.Tensor, t: torch.Tensor, path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    column = t.reshape(-1, *[1] * (images.ndim - 1))
    return path.alpha(column), path.sigma(column)


def _precondition(alpha: torch.Tensor, sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """c_in, c_skip and c_out. Source: Karras et al. 2022 (2206.00364), appendix B.6, for an image of share alpha."""
    variance = (alpha * SIGMA_DATA) ** 2 + sigma**2
    return variance.rsqrt(), alpha * SIGMA_DATA**2 / variance, sigma * SIGMA_DATA * variance.rsqrt()
