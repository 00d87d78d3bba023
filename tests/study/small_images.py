"""Datasets of small made-up radiographs, in memory and quick: real and synthetic sides that differ as asked, or not."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from cspine_bench.dataset.source import Radiograph, Rejected, SampleKey
from cspine_bench.dataset.write import write_dataset

SIDE = 40
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class SmallImages:
    """Smooth shapes with grain; number i is the same image in every dataset. Even ones are female.

    Attributes:
        numbers: of the images.
        name: of what they pass for; it begins their sample ids.
        change: what is done to each, in gray levels 0..255.
        size: px.
        bits: 8 or 16.
        groups: images of one patient, one after the other.
        kind: of source: what images are marked as, films or synthetic ones.
    """

    numbers: range
    name: str = "film"
    change: Change | None = None
    size: int = SIDE
    bits: int = 8
    groups: int = 1
    kind: str = "csxa"

    def describe(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name, "first": self.numbers.start, "stop": self.numbers.stop}

    def list_samples(self) -> list[SampleKey]:
        return [
            SampleKey(f"{self.name}{number:08d}", f"{self.name}-p{number // self.groups}", str(number), {})
            for number in self.numbers
        ]

    def estimate_bytes(self) -> int:
        return 2000

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph | Rejected]:
        for key in keys:
            number = int(key.origin)
            fields = {"facing": "left", "sex": "male" if number % 2 else "female", "age": 25 + number % 2 * 30}
            points = np.full((23, 2), np.nan, np.float32)
            yield Radiograph(key, self.draw(number), None, points, {"source_kind": self.kind, **fields})

    def draw(self, number: int) -> np.ndarray:
        random = np.random.default_rng(number)
        shape = ndimage.gaussian_filter(random.standard_normal((self.size, self.size)), self.size / 12)
        image = 128 + 40 * shape / shape.std() + 3 * random.standard_normal(shape.shape)
        if self.change is not None:
            image = self.change(image, random)
        scale = 1 if self.bits == 8 else 257
        return np.rint(image.clip(0, 255) * scale).astype(np.uint8 if self.bits == 8 else np.uint16)


def write_images(folder: Path, numbers: range, name: str = "film", *, test_share: float = 0.5, **asked: Any) -> Path:
    """Write a dataset of them, with splits train and test, and return its folder."""
    write_dataset(SmallImages(numbers, name, **asked), folder, fractions=(1 - test_share, 0, test_share))
    return folder
