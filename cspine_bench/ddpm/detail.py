"""The error of fine detail near the vertebrae that a network is shown.

Vertebrae are faint and small: of the error of a whole film in much noise, a hundredth is theirs, the rest is the
brightness of large parts. So a network learns late that the map tells it where to draw them. This term tells it early.

It is a quadratic form of the error, as the loss itself is, so the expected image minimises both: effort moves, not the
aim. The form and its sizes are ours.
"""

from typing import Final

import torch
from torch.nn import functional

from cspine_bench.ddpm.network import DROPPED_CONDITION

_WINDOW: Final = 1 / 20
"""Half side of the square that detail stands out from, and reach around the drawn spine, as a share of the side."""


def measure_detail_errors(found: torch.Tensor, x0: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
    """Squared error of what is finer than a vertebra, near the spine that is drawn.

    Args:
        found: float (B, 1, S, S), the expected images, not clamped.
        x0: float (B, 1, S, S), the true ones.
        condition: float (B, 1, S, S), as the network is given it; one that is withheld has no spine.

    Returns:
        float (B,), mean over all pixels of the image.
    """
    reach = max(1, round(_WINDOW * x0.shape[-1]))
    side = 2 * reach + 1
    error = found - x0
    fine = error - functional.avg_pool2d(error, side, stride=1, padding=reach, count_include_pad=False)
    drawn = ((condition > -0.95) & (condition != DROPPED_CONDITION)).to(error.dtype)
    near = functional.max_pool2d(drawn, side, stride=1, padding=reach)
    return (near * fine.square()).mean(dim=(1, 2, 3))
