"""A U-Net on blocks of pixels with what our networks put around it, as a model of diffusers.

An exported pipeline carries a copy of this file, and runs by it without this package: so it imports nothing of it.
"""

from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin, UNet2DModel
from diffusers.configuration_utils import register_to_config
from diffusers.models.unets.unet_2d import UNet2DOutput


class BlockUNet(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Called as `UNet2DModel`, on images of one channel.

    Args:
        unet_config: of the U-Net, whose channels are the pixels of a block; of its output, the first plane is a
            prediction, the others are hints for the convolutions.
        unshuffle: side of a block.
        refine_channels: width of three convolutions on the pixels; 0 = none.
        sigma_data: spread of the pixels that inputs and outputs are preconditioned for, on the straight path from
            image to noise; None: they are not. Source: Karras et al. 2022 (2206.00364), appendix B.6.
        sample_size: side of an image, px.
        in_channels, out_channels: of an image.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        unet_config: dict[str, Any],
        unshuffle: int,
        refine_channels: int,
        sigma_data: float | None,
        sample_size: int,
        in_channels: int = 1,
        out_channels: int = 1,
    ) -> None:
        super().__init__()
        self.unet = UNet2DModel.from_config(unet_config)
        hints = unet_config["out_channels"] // unshuffle**2 - out_channels
        self.refine = (
            torch.nn.Sequential(
                torch.nn.Conv2d(in_channels + hints, refine_channels, 3, padding=1),
                torch.nn.SiLU(),
                torch.nn.Conv2d(refine_channels, refine_channels, 3, padding=1),
                torch.nn.SiLU(),
                torch.nn.Conv2d(refine_channels, out_channels, 3, padding=1),
            )
            if refine_channels
            else None
        )

    def forward(
        self, sample: torch.Tensor, timestep: torch.Tensor | float, return_dict: bool = True
    ) -> UNet2DOutput | tuple[torch.Tensor]:
        """Predict: `sample` float (B, 1, S, S), `timestep` in thousandths of the path, float () or (B,)."""
        spread, time = self.config.sigma_data, torch.as_tensor(timestep, device=sample.device)
        if spread is None:
            output = self._predict(sample, time)
        else:
            sigma = (time / 1000).to(sample.dtype).reshape(-1, 1, 1, 1)
            variance = ((1 - sigma) * spread) ** 2 + sigma**2
            residual = self._predict(sample * variance.rsqrt(), time)
            # The velocity (sample - x0) / sigma of the expected image x0, written out so that it holds at sigma = 0.
            skip = (sigma - (1 - sigma) * spread**2) / variance
            output = skip * sample - spread * variance.rsqrt() * residual
        return UNet2DOutput(sample=output) if return_dict else (output,)

    def _predict(self, sample: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        side = self.config.unshuffle
        output = self.unet(torch.nn.functional.pixel_unshuffle(sample, side), timestep).sample
        output = torch.nn.functional.pixel_shuffle(output, side)
        if self.refine is None:
            return output
        correction: torch.Tensor = self.refine(torch.cat([sample, output[:, 1:]], dim=1))
        return output[:, :1] + correction
