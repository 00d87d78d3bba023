"""A cheap real encoder, which counts what it encodes, and may do so slowly."""

import time
from dataclasses import dataclass

import torch
from torch.nn import functional

from cspine_bench.features.encoder import Encoder


@dataclass
class Blocks:
    """The means of 4 x 4 blocks."""

    seconds_per_image: float = 0.0
    num_encoded: int = 0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.num_encoded += len(images)
        time.sleep(self.seconds_per_image * len(images))
        return functional.avg_pool2d(images, 4).flatten(1)


def make_encoder(seconds_per_image: float = 0.0, scale: float = 1.0) -> tuple[Encoder, Blocks]:
    network = Blocks(seconds_per_image)
    encoder = Encoder(
        name="blocks",
        weights_sha256=None,
        input_size_px=16,
        mean=0.0,
        scale=scale,
        dimension=16,
        device=torch.device("cpu"),
        network=network,
    )
    return encoder, network
