"""Distances of made images from held-out radiographs, and what real radiographs score at the same count (the floor)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine_bench.dataset.read import DatasetFolder, open_dataset
from cspine_bench.dataset.write import write_dataset
from cspine_bench.ddpm.films import load_films
from cspine_bench.features.encoder import Encoder
from cspine_bench.features.registry import DEFAULT_ENCODER, load_encoder
from cspine_bench.metrics.frechet import frechet_interval
from cspine_bench.metrics.intervals import CONFIDENCE
from cspine_bench.metrics.kernel import kernel_interval
from cspine_bench.seeding import numpy_generator
from cspine_bench.sources.phantom import PhantomRecipe, PhantomSource

FRACTIONS = (0.7, 0.3, 0.0)
"""Train, validation and test of phantoms made here: nothing is tested, so more are held out than by default."""


def open_or_make(data: Path | None, scratch: Path, *, count: int, size: int) -> DatasetFolder:
    """The dataset folder that was named, or `count` phantoms made in a scratch folder."""
    if data is not None:
        return open_dataset(data)
    # The phantom's smallest side is 64 px; films are averaged down to the recipe's size as they are loaded.
    source = PhantomSource(PhantomRecipe(size=max(64, size)), count, 0)
    write_dataset(source, scratch / "phantoms", fractions=FRACTIONS)
    return open_dataset(scratch / "phantoms")


@dataclass(frozen=True)
class HeldOut:
    """The validation radiographs of a dataset, as features; see `build`.

    Attributes:
        encoder: that features come from.
        count: images in each measurement.
        features: float32 (n, D), of all validation radiographs.
        floor: what `score` says of `count` training radiographs.
        noise: what it says of as many images of normal noise, so that a score near it is known for no score.
    """

    encoder: Encoder
    count: int
    features: NDArray[np.float32]
    floor: dict[str, float]
    noise: dict[str, float]

    @classmethod
    def build(cls, dataset: DatasetFolder, *, size: int, count: int, device: str = "cpu") -> "HeldOut":
        """Encode the held-out radiographs, and score `count` training radiographs.

        Raises:
            DataError: fewer than `count` training radiographs, or fewer than 4 to validate on.
        """
        encoder = load_encoder(DEFAULT_ENCODER, device=device)
        train = load_films(dataset, "train", size, at_least=count)
        validation = load_films(dataset, "validation", size, at_least=4)
        features = encoder.encode(validation.pixels)
        rows = np.sort(numpy_generator(0, "benchmark.floor").permutation(len(train))[:count])
        floor = _score(features, encoder.encode(train.pixels[rows]))
        gray = numpy_generator(0, "benchmark.noise").normal(127.5, 127.5, (count, size, size))
        noise = _score(features, encoder.encode(gray.round().clip(0, 255).astype(np.uint8)))
        return cls(encoder, count, features, floor, noise)

    def score(self, images: NDArray[np.uint8]) -> dict[str, float]:
        """Fréchet and kernel distance of images, uint8 (count, S, S), each with the ends of its interval.

        `frechet_way` is how far the former has come from noise, 0, to the floor, 1: at these counts.
        """
        if len(images) != self.count:
            raise ValueError(f"figures compare at equal counts: expected {self.count} images, got {len(images)}")
        found = _score(self.features, self.encoder.encode(images, allow_blank=True))
        noise, floor = self.noise["frechet_distance"], self.floor["frechet_distance"]
        return found | {"frechet_way": (noise - found["frechet_distance"]) / (noise - floor)}

    def describe(self) -> dict[str, Any]:
        """What a distance states beside itself."""
        return {
            "encoder": self.encoder.describe(),
            "num_synthetic": self.count,
            "num_real": len(self.features),
            "confidence": CONFIDENCE,
            "direction": "lower is better",
            "floor": self.floor,
            "noise": self.noise,
        }


def _score(real: NDArray[np.float32], other: NDArray[np.float32]) -> dict[str, float]:
    draw = numpy_generator(0, "benchmark.groups")
    found = {
        "frechet_distance": frechet_interval(real=real, synthetic=other, generator=draw),
        "kernel_distance": kernel_interval(real=real, synthetic=other),
    }
    return {
        f"{name}{end}": value
        for name, estimate in found.items()
        for end, value in (("", estimate.value), ("_low", estimate.low), ("_high", estimate.high))
    }


def format_distance(row: dict[str, Any], name: str = "frechet_distance", digits: int = 1) -> str:
    """A distance and its interval as text: 12.3 (11.8-12.9)."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
