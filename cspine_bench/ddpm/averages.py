"""Running averages of the weights, with a profile that stretches with the run."""

import functools
from collections.abc import Sequence

import numpy as np
import torch


@functools.cache
def find_exponent(length: float) -> float:
    """The exponent gamma of the power-function average of a relative width.

    Update i of T then weighs (i^(gamma + 1) - (i - 1)^(gamma + 1)) / T^(gamma + 1), which is t^gamma over its share.

    Args:
        length: standard deviation of that profile as a share of the run, 0.01..0.25.

    Raises:
        ValueError: no profile has this width.

    Source: Karras et al. 2024 (2312.02696), section 3.1: width^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)).
    """
    if not 0.01 <= length <= 0.25:
        raise ValueError(f"a power-function average is 0.01 to 0.25 of the run wide, got {length}")
    inverse = length**-2
    roots = np.roots([1, 7, 16 - inverse, 12 - inverse])
    return float(np.real(roots[np.abs(np.imag(roots)) < 1e-6 * np.abs(roots)]).max())


@torch.no_grad()
def update_average(
    average: Sequence[torch.Tensor], current: Sequence[torch.Tensor], *, step: int, exponent: float
) -> None:
    """Take the weights after update `step` into an average of all weights since update 1.

    Args:
        average: changed in place; whatever it holds before the first update has no weight.
        current: the weights, of the same shapes.
        step: counted from 1.
        exponent: from `find_exponent`.

    Source: Karras et al. 2024 (2312.02696), equation 1, with beta = (1 - 1 / step)^(gamma + 1).
    """
    share = 1 - (1 - 1 / step) ** (exponent + 1)
    torch._foreach_lerp_(list(average), list(current), share)
