"""A dataset folder made in memory, for tests of commands that read one."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cspine_bench.dataset.source import Radiograph, Rejected, SampleKey
from cspine_bench.dataset.write import write_dataset


class SmallSource:
    """Noise with one rectangle for each of C2..C7, its corners labelled. Even samples are male."""

    def __init__(self, count: int, *, first: int = 0, same_pixels: bool = False) -> None:
        self.count = count
        self.first = first
        self.same_pixels = same_pixels

    def describe(self) -> dict[str, Any]:
        return {"kind": "phantom", "count": self.count, "first": self.first, "same_pixels": self.same_pixels}

    def list_samples(self) -> list[SampleKey]:
        return [
            SampleKey(f"small{index:08d}", f"group{index}", str(index), {"sex": "female" if index % 2 else "male"})
            for index in range(self.first, self.first + self.count)
        ]

    def estimate_bytes(self) -> int:
        return 4000

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph | Rejected]:
        for key in keys:
            index = int(key.origin)
            image = np.random.default_rng(0 if self.same_pixels else index).integers(0, 99, (64, 64)).astype(np.uint8)
            mask = np.zeros((64, 64), np.uint8)
            points = [(32.0, 8.0), (24.0, 11.0), (40.0, 11.0)]
            for level in range(3, 8):
                top = 9 * (level - 2) + 5
                mask[top : top + 7, 24:41] = level
                points += [(24.0, top), (40.0, top), (24.0, top + 6.0), (40.0, top + 6.0)]
            fields = {
                "source_kind": "phantom",
                "label_source": "exact",
                "mask_levels": "C3,C4,C5,C6,C7",
                "facing": "left",
                "curvature": "straight",
                "sex": key.strata["sex"],
                "age": 20 + index % 60,
                "pixel_spacing_mm": 0.5,
                "pixel_spacing_plane": "patient",
            }
            yield Radiograph(key, image, mask, np.array(points, np.float32), fields)


def write_small(folder: Path, count: int = 12, *, first: int = 0, same_pixels: bool = False) -> Path:
    """Write the dataset and return its folder; other numbers from `first` on are other people."""
    write_dataset(SmallSource(count, first=first, same_pixels=same_pixels), folder, fractions=(0.5, 0.25, 0.25))
    return folder
