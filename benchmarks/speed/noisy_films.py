"""Films that cost nothing to make and are as hard to code as films: what the timings of files are measured on."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cspine_bench.anatomy.landmarks import ALL_LEVELS, NUM_LANDMARKS
from cspine_bench.dataset.source import Radiograph, SampleKey
from cspine_bench.seeding import numpy_generator


class NoisySource:
    """Smooth shading with film noise, masks of eight blocks, and random points."""

    def __init__(self, count: int, size: int) -> None:
        self.count, self.size = count, size
        rows, columns = np.mgrid[:size, :size] / size
        self._rows, self._columns = rows, columns
        self._mask = np.zeros((size, size), np.uint8)
        for label in range(1, 9):
            self._mask[size * label // 10 : size * (label + 1) // 10, size // 3 : size // 2] = label

    def describe(self) -> dict[str, Any]:
        return {"kind": "phantom", "count": self.count, "size": self.size}

    def list_samples(self) -> list[SampleKey]:
        return [SampleKey(f"be{index:08d}", f"person-{index:08d}", str(index)) for index in range(self.count)]

    def estimate_bytes(self) -> int:
        return self.size * self.size * 2 // 3 + 500

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph]:
        for key in keys:
            draw = numpy_generator(0, "benchmark", int(key.origin))
            phase = draw.uniform(0, 6, 2)
            shade = 120 + 60 * np.sin(4 * self._columns + phase[0]) + 40 * np.cos(5 * self._rows + phase[1])
            image = np.clip(shade + draw.normal(0, 4, shade.shape), 0, 255).astype(np.uint8)
            fields = {"source_kind": "phantom", "facing": "left", "pixel_spacing_mm": 0.4, "mask_levels": ALL_LEVELS}
            fields |= {"seed": 0, "sample_index": int(key.origin), "generator": "noise", "generator_version": "1"}
            points = draw.uniform(0, self.size - 1, (NUM_LANDMARKS, 2)).astype(np.float32)
            yield Radiograph(key, image, self._mask, points, fields)
