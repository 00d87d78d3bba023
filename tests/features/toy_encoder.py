"""A cheap real encoder, which counts what it encodes; run as a script, it fills a store slowly.

python toy_encoder.py DATASET STORE SECONDS_PER_IMAGE   prints, as JSON, how many images it encoded, and their features
"""

import hashlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from cspine_bench.features.encoder import Encoder
from cspine_bench.features.extract import encode_dataset


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


if __name__ == "__main__":
    slow, counter = make_encoder(float(sys.argv[3]))
    found = encode_dataset(Path(sys.argv[1]), slow, Path(sys.argv[2]))
    digest = hashlib.sha256(found.values.tobytes()).hexdigest()
    print(json.dumps({"encoded": counter.num_encoded, "values": digest}))
