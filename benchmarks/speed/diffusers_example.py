"""The peer: diffusers' example of unconditional training, its network, noise, optimiser and rate, in a plain loop.

Source: huggingface/diffusers, examples/unconditional_image_generation/train_unconditional.py (Apache-2.0): its
defaults, written anew. What is left out costs it nothing here: accelerate's wrapper for a single process, PNG decoding
and logging (the images lie in memory).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from numpy.typing import NDArray
from torch.nn import functional

BATCH_SIZE = 16
LEARNING_RATE = 1e-4
WARMUP_STEPS = 500


@dataclass(frozen=True)
class Shape:
    """A network of the example: channels of its images, levels, residual blocks, attention, groups of a norm."""

    channels: int
    widths: tuple[int, ...]
    layers_per_block: int
    attention_level: int
    groups: int = 32


SHAPES = {
    "example": Shape(3, (128, 128, 256, 256, 512, 512), 2, 4),
    # As cheap as it gets: one channel, as a radiograph has; one block; attention at the lowest side alone, 16 of 64 px.
    "example, small": Shape(1, (32, 64, 64), 1, 2),
    # As many weights as our recipe phantom-64-cpu has (2.3 million), less 4 %.
    "equal weights": Shape(1, (48, 80, 96), 1, 2, groups=16),
}


def build_unet(shape: Shape, size: int, seed: int) -> UNet2DModel:
    """The network, with weights drawn from a seed."""
    levels = range(len(shape.widths))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet2DModel(
            sample_size=size,
            in_channels=shape.channels,
            out_channels=shape.channels,
            layers_per_block=shape.layers_per_block,
            block_out_channels=shape.widths,
            norm_num_groups=shape.groups,
            down_block_types=tuple("AttnDownBlock2D" if n == shape.attention_level else "DownBlock2D" for n in levels),
            up_block_types=tuple(
                "AttnUpBlock2D" if n == shape.attention_level else "UpBlock2D" for n in reversed(levels)
            ),
        )


class Example:
    """A training run of the example: `update()` does one update, `sample()` makes images with its pipelines.

    Args:
        name: of `SHAPES`.
        images: float32 (N, 1, S, S) in -1..1, all of the training split.
        seed: of weights, order and noise.
        num_steps: updates over which the rate falls as a cosine.
        warmup_steps: updates over which it rises.
        learning_rate: at its highest.
        use_ema: keep the example's running average beside the weights (its --use_ema).
        mixed_precision: "no" or "bf16", as its --mixed_precision.
        batch_size: images of an update, its --train_batch_size.
    """

    def __init__(
        self,
        name: str,
        images: torch.Tensor,
        *,
        seed: int,
        num_steps: int,
        warmup_steps: int = WARMUP_STEPS,
        learning_rate: float = LEARNING_RATE,
        use_ema: bool = False,
        mixed_precision: str = "no",
        batch_size: int = BATCH_SIZE,
        device: str = "cpu",
    ) -> None:
        shape = SHAPES[name]
        self.device = torch.device(device)
        self.mixed_precision = mixed_precision
        self.seed = seed
        self.batch_size = batch_size
        self.unet = build_unet(shape, images.shape[-1], seed).to(self.device)
        self.noise = DDPMScheduler(num_train_timesteps=1000)
        self.optimizer = torch.optim.AdamW(
            self.unet.parameters(), lr=learning_rate, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8
        )
        self.rate = get_scheduler("cosine", self.optimizer, num_warmup_steps=warmup_steps, num_training_steps=num_steps)
        self.ema = None
        if use_ema:
            self.ema = EMAModel(
                self.unet.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=3 / 4,
            )  # fmt: skip
        if len(images) < batch_size:
            raise ValueError(f"{len(images)} images fill no batch of {batch_size}")
        data = torch.utils.data.TensorDataset(images.expand(-1, shape.channels, -1, -1))
        self.loader = torch.utils.data.DataLoader(
            data, batch_size=batch_size, shuffle=True, generator=torch.Generator().manual_seed(seed)
        )
        self._batches = self._iter_batches()
        self._draw = torch.Generator(self.device).manual_seed(seed)

    @property
    def num_parameters(self) -> int:
        """Of the network."""
        return sum(weights.numel() for weights in self.unet.parameters())

    def _iter_batches(self) -> Iterator[torch.Tensor]:
        while True:
            for (batch,) in self.loader:
                # The short batch at the end of an epoch would count as a whole one.
                if len(batch) == self.batch_size:
                    yield batch

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed_precision == "bf16")

    def update(self) -> torch.Tensor:
        """One update on a batch; its loss, float (), on the device."""
        self.unet.train()
        clean = next(self._batches).to(self.device)
        noise = torch.randn(clean.shape, generator=self._draw, device=self.device)
        steps = torch.randint(0, 1000, (len(clean),), generator=self._draw, device=self.device)
        with self._autocast():
            output = self.unet(self.noise.add_noise(clean, noise, steps), steps).sample
        loss = functional.mse_loss(output.float(), noise)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        self.optimizer.step()
        self.rate.step()
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.step(self.unet.parameters())
        return loss.detach()

    @torch.no_grad()
    def sample(
        self, count: int, *, sampler: str, num_steps: int, batch_size: int, averaged: bool = False
    ) -> NDArray[np.uint8]:
        """Images by diffusers' own pipelines.

        Args:
            count: a multiple of `batch_size`.
            sampler: "ddpm" (ancestral) or "ddim".
            num_steps: of the sampler.
            batch_size: images made at once.
            averaged: with the running average of the weights.

        Returns:
            uint8 (count, S, S): the mean of the channels.
        """
        self.unet.eval()
        if averaged and self.ema is not None:
            self.ema.store(self.unet.parameters())
            self.ema.copy_to(self.unet.parameters())
        pipeline: Any
        if sampler == "ddim":
            pipeline = DDIMPipeline(self.unet, DDIMScheduler.from_config(self.noise.config))
        else:
            pipeline = DDPMPipeline(self.unet, DDPMScheduler.from_config(self.noise.config))
        pipeline.set_progress_bar_config(disable=True)
        draw = torch.Generator(self.device).manual_seed(self.seed + 1)
        made = []
        with self._autocast():
            for _ in range(count // batch_size):
                found = pipeline(batch_size=batch_size, generator=draw, num_inference_steps=num_steps, output_type="np")
                made.append(found.images.mean(axis=-1))
        if averaged and self.ema is not None:
            self.ema.restore(self.unet.parameters())
        gray: NDArray[np.uint8] = (np.concatenate(made) * 255).round().clip(0, 255).astype(np.uint8)
        return gray
