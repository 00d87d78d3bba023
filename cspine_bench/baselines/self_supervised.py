"""Learning from pixels alone: hidden squares of a noisy radiograph are to be painted in."""

from typing import Final

import torch
from torch import nn

from cspine_bench.baselines.task import Batch
from cspine_bench.baselines.unet import DenseHead, Unet

HIDDEN_SHARE: Final = 0.4
"""Of the squares."""
SQUARES: Final = 8
"""Along each side."""
NOISE: Final = 0.1
"""Standard deviation, on the scale -1..1."""


class Painter(nn.Module):
    """A trunk that is lent, and a head of its own that paints.

    Source: masked image modelling as He et al. 2022 (2111.06377), with the trunk's own decoder in place of theirs.
    """

    def __init__(self, trunk: Unet) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = DenseHead(trunk.shape, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Painted images, float (B, 1, S, S)."""
        painted: torch.Tensor = self.head(*self.trunk(images))
        return painted


def compute_painting_loss(painter: Painter, batch: Batch) -> torch.Tensor:
    """Mean squared error of what was hidden or noisy, a scalar; labels are not looked at."""
    images = batch.images
    count, side = len(images), images.shape[-1]
    squares = torch.rand((count, 1, SQUARES, SQUARES), generator=batch.generator) < HIDDEN_SHARE
    hidden = nn.functional.interpolate(squares.float(), size=(side, side)).to(images.device)
    noise = NOISE * torch.randn(images.shape, generator=batch.generator).to(images.device)
    shown = torch.where(hidden > 0, torch.zeros_like(images), images + noise)
    error = (painter(shown) - images) ** 2
    # What is hidden cannot be copied: it counts fully, the rest a tenth.
    weight = hidden + 0.1 * (1 - hidden)
    loss: torch.Tensor = (weight * error).sum() / weight.sum()
    return loss
