"""The denoiser: a stock U-Net of diffusers on blocks of pixels, and a few convolutions on the pixels themselves.

The U-Net does nearly all the work at a fraction of the positions. What it is bad at is the last step, to tell the noise
of one pixel from that of its neighbours in the same block: `refine` does that, at full resolution and small cost.
"""

import math
from typing import Final

import torch
from diffusers import UNet2DModel

from cspine_bench.ddpm.classes import NOT_TOLD, count_class_ids
from cspine_bench.ddpm.objectives import predict_x0, scale_input
from cspine_bench.ddpm.path import select_path
from cspine_bench.ddpm.recipe import DdpmRecipe

DROPPED_CONDITION: Final = 0.0
"""Every pixel of a map that is withheld: it adds exactly nothing in the first convolution. See `encode_skeleton`."""

_TIME_SCALE: Final = 1000.0
"""diffusers' sinusoidal embedding is made for step numbers up to a thousand."""


_HINT_PLANES: Final = 4
"""Planes that the U-Net hands to `refine` beside its own prediction: the noise level, for one, and where to sharpen."""


class UnshuffledUNet(torch.nn.Module):
    """`network(xt, t, condition, class_ids) -> output`, the prediction that the recipe's objective names."""

    def __init__(
        self, unet: UNet2DModel, refine: torch.nn.Sequential | None, *, unshuffle: int, in_channels: int
    ) -> None:
        super().__init__()
        self.unet = unet
        self.refine = refine
        self.unshuffle = unshuffle
        self.in_channels = in_channels

    def forward(
        self,
        xt: torch.Tensor,
        t: torch.Tensor,
        condition: torch.Tensor | None = None,
        class_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Predict.

        Args:
            xt: float (B, 1, S, S), noisy images, scaled by `scale_input`.
            t: float (B,), times in 0..1.
            condition: float (B, 1, S, S), maps from `encode_skeleton`, or `DROPPED_CONDITION` throughout; None for a
                network without one.
            class_ids: int64 (B,), from `encode_classes`; None for a network without classes.

        Returns:
            float (B, 1, S, S).

        Raises:
            ValueError: a condition or the classes are missing, or given to a network without.
        """
        if (condition is not None) != (self.in_channels == 2):
            wanted = "needs a condition (a map of 0 withholds it)" if condition is None else "takes no condition"
            raise ValueError(f"this network {wanted}")
        if (class_ids is not None) != (self.unet.class_embedding is not None):
            wanted = f"needs class ids ({NOT_TOLD} tells nothing)" if class_ids is None else "takes no class ids"
            raise ValueError(f"this network {wanted}")
        planes = xt if condition is None else torch.cat([xt, condition], dim=1)
        blocks = torch.nn.functional.pixel_unshuffle(planes, self.unshuffle)
        output = self.unet(blocks, t * _TIME_SCALE, class_labels=class_ids).sample
        output = torch.nn.functional.pixel_shuffle(output, self.unshuffle)
        if self.refine is None:
            return output
        prediction, hints = output[:, :1], output[:, 1:]
        correction: torch.Tensor = self.refine(torch.cat([planes, hints], dim=1))
        return prediction + correction


def build_network(recipe: DdpmRecipe) -> UnshuffledUNet:
    """A network with fresh weights, drawn from torch's global generator.

    Source: Ho et al. 2020, appendix B, as diffusers builds it; pixels as channels: Hoogeboom et al. 2023 (2301.11093);
        a class as an embedding that is added to that of the time: Dhariwal, Nichol 2021 (2105.05233), section 3.1.
    """
    shape, in_channels = recipe.network, count_channels(recipe)
    attention = [level in shape.attention_levels for level in range(len(shape.widths))]
    unet = UNet2DModel(
        in_channels=in_channels * shape.unshuffle**2,
        out_channels=shape.unshuffle**2 * (1 + _HINT_PLANES if shape.refine_channels else 1),
        layers_per_block=shape.layers_per_block,
        block_out_channels=shape.widths,
        down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attention),
        up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)),
        # Added in front of a norm over few channels, as is diffusers' default, the time would be normalised away.
        resnet_time_scale_shift="scale_shift",
        norm_num_groups=math.gcd(32, *shape.widths) // 4,
        num_class_embeds=count_class_ids(recipe.classes) if recipe.classes else None,
    )
    refine = build_refine(in_channels, shape.refine_channels) if shape.refine_channels else None
    return UnshuffledUNet(unet, refine, unshuffle=shape.unshuffle, in_channels=in_channels)


def build_refine(in_channels: int, width: int) -> torch.nn.Sequential:
    """Three convolutions from the image (and its map) and the hints, (B, in_channels + 4, S, S), to (B, 1, S, S)."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(in_channels + _HINT_PLANES, width, 3, padding=1),
        torch.nn.SiLU(),
        torch.nn.Conv2d(width, width, 3, padding=1),
        torch.nn.SiLU(),
        torch.nn.Conv2d(width, 1, 3, padding=1),
    )


def count_channels(recipe: DdpmRecipe) -> int:
    """Planes that the network of a recipe is given: the image, and the condition if there is one."""
    return 1 if recipe.condition == "none" else 2


def encode_skeleton(maps: torch.Tensor) -> torch.Tensor:
    """Maps from `draw_skeleton`, 0..1, as the network is given them: background -1, landmarks 1."""
    return 2 * maps - 1


def predict_clean(
    network: torch.nn.Module,
    recipe: DdpmRecipe,
    xt: torch.Tensor,
    time: float,
    *,
    condition: torch.Tensor | None = None,
    class_ids: torch.Tensor | None = None,
    guidance_scale: float | None = None,
) -> torch.Tensor:
    """The clean image that a network expects behind noisy ones: the one place where its output becomes an image.

    Args:
        network: built from `recipe`; called as `UnshuffledUNet.forward`.
        recipe: what the network was trained by.
        xt: float32 (B, 1, S, S), noisy images.
        time: of all of them, 0..1.
        condition: as `UnshuffledUNet.forward` takes it.
        class_ids: as `UnshuffledUNet.forward` takes them.
        guidance_scale: weight of what the network is told, against the map and the classes withheld together; None:
            1, without the second evaluation.

    Returns:
        float32, the shape of `xt`, within -1..1: an expected image lies between the darkest and the brightest one.

    Raises:
        ValueError: guidance without condition and classes, or one of them missing or superfluous.

    Source: Ho, Salimans 2022 (2207.12598), equation 6, where w = guidance_scale - 1.
    """
    path = select_path(recipe)
    t = torch.full((len(xt),), time, device=xt.device)
    scaled = scale_input(recipe.objective, xt, t, path)
    output = network(scaled, t, condition, class_ids).float()
    if guidance_scale is not None:
        if condition is None and class_ids is None:
            raise ValueError("guidance weighs what the network is told, and this one is told nothing")
        withheld = None if condition is None else torch.full_like(condition, DROPPED_CONDITION)
        untold = None if class_ids is None else torch.full_like(class_ids, NOT_TOLD)
        plain = network(scaled, t, withheld, untold).float()
        output = plain + guidance_scale * (output - plain)
    return predict_x0(recipe.objective, output, xt, t, path).clamp(-1, 1)
