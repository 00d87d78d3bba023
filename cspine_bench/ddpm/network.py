"""The denoiser: a stock U-Net of diffusers behind a regrouping of pixels into channels."""

import math
from typing import Final

import torch
from diffusers import UNet2DModel

from cspine_bench.ddpm.recipe import DdpmRecipe, NetworkRecipe

DROPPED_CONDITION: Final = -1.0
"""Every pixel of a condition that is withheld; pixels of a real one lie in 0..1."""

_TIME_SCALE: Final = 1000.0
"""diffusers' sinusoidal embedding is made for step numbers up to a thousand."""


class UnshuffledUNet(torch.nn.Module):
    """`network(xt, t, condition) -> output`, the prediction that the recipe's objective names."""

    def __init__(self, unet: UNet2DModel, *, unshuffle: int, in_channels: int) -> None:
        super().__init__()
        self.unet = unet
        self.unshuffle = unshuffle
        self.in_channels = in_channels

    def forward(self, xt: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        """Predict.

        Args:
            xt: float (B, 1, S, S), noisy images.
            t: float (B,), times in 0..1.
            condition: float (B, 1, S, S) in 0..1, or `DROPPED_CONDITION` throughout; None for a network without one.

        Returns:
            float (B, 1, S, S).

        Raises:
            ValueError: a condition is missing, or given to a network without one.
        """
        if (condition is not None) != (self.in_channels == 2):
            wanted = "needs a condition (a map of -1 withholds it)" if condition is None else "takes no condition"
            raise ValueError(f"this network {wanted}")
        planes = xt if condition is None else torch.cat([xt, condition], dim=1)
        blocks = torch.nn.functional.pixel_unshuffle(planes, self.unshuffle)
        output = self.unet(blocks, t * _TIME_SCALE).sample
        return torch.nn.functional.pixel_shuffle(output, self.unshuffle)


def build_network(recipe: NetworkRecipe, in_channels: int) -> UnshuffledUNet:
    """A network with fresh weights, drawn from torch's global generator.

    Args:
        recipe: its shape.
        in_channels: 1 for the image alone, 2 with a condition; `count_channels` knows.

    Raises:
        ValueError: `in_channels` is neither 1 nor 2.

    Source: Ho et al. 2020, appendix B, as diffusers builds it; pixels as channels: Hoogeboom et al. 2023 (2301.11093).
    """
    if in_channels not in (1, 2):
        raise ValueError(f"in_channels must be 1 (image) or 2 (image and condition), got {in_channels}")
    attention = [level in recipe.attention_levels for level in range(len(recipe.widths))]
    unet = UNet2DModel(
        in_channels=in_channels * recipe.unshuffle**2,
        out_channels=recipe.unshuffle**2,
        layers_per_block=recipe.layers_per_block,
        block_out_channels=recipe.widths,
        down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attention),
        up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)),
        # Added in front of a norm over few channels, as is diffusers' default, the time would be normalised away.
        resnet_time_scale_shift="scale_shift",
        norm_num_groups=math.gcd(32, *recipe.widths) // 4,
    )
    return UnshuffledUNet(unet, unshuffle=recipe.unshuffle, in_channels=in_channels)


def count_channels(recipe: DdpmRecipe) -> int:
    """Planes that the network of a recipe is given: the image, and the condition if there is one."""
    return 1 if recipe.condition == "none" else 2
