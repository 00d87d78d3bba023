"""A cheap real source: small noisy images with a mask, landmarks and labels, and faults on request."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cspine_bench.anatomy.classes import CURVATURE_CLASSES, DISEASES, SEXES
from cspine_bench.anatomy.landmarks import ALL_LEVELS
from cspine_bench.dataset.source import Radiograph, Rejected, SampleKey
from cspine_bench.dataset.splits import age_band
from cspine_bench.seeding import numpy_generator


@dataclass(frozen=True)
class ToySource:
    """`count` images of `size` x `size`; `rejected` and `broken` name samples by index."""

    count: int
    size: int = 24
    bits: int = 8
    seed: int = 0
    rejected: frozenset[int] = frozenset()
    broken: dict[int, dict[str, Any]] = field(default_factory=dict)
    row_bytes: int = 2000

    def describe(self) -> dict[str, Any]:
        return {"kind": "phantom", "count": self.count, "size": self.size, "bits": self.bits, "seed": self.seed}

    def list_samples(self) -> list[SampleKey]:
        return [self._key(index) for index in range(self.count)]

    def estimate_bytes(self) -> int:
        return self.row_bytes

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph | Rejected]:
        for key in keys:
            index = int(key.origin)
            if index in self.rejected:
                yield Rejected(key, f"film {index}.png is cut short")
            else:
                yield self._make(key, index)

    def _key(self, index: int) -> SampleKey:
        labels = self._labels(index)
        strata = {"sex": labels["sex"], "curvature": labels["curvature"], "disease": labels["disease"]}
        strata["age_band"] = age_band(labels["age"])
        return SampleKey(f"toy{index:08d}", f"toy-group-{index // 2}", str(index), strata)

    def _labels(self, index: int) -> dict[str, Any]:
        draw = numpy_generator(self.seed, "toy.labels", index)
        return {
            "sex": SEXES[draw.integers(2)],
            "curvature": CURVATURE_CLASSES[draw.integers(5)],
            "disease": DISEASES[int(draw.random() < 0.9)],
            "age": int(draw.integers(18, 90)),
        }

    def _make(self, key: SampleKey, index: int) -> Radiograph:
        draw = numpy_generator(self.seed, "toy.pixels", index)
        highest = 2**self.bits - 1
        image = draw.integers(0, highest, (self.size, self.size)).astype(np.uint8 if self.bits == 8 else np.uint16)
        mask = np.zeros((self.size, self.size), np.uint8)
        for label in range(1, 9):
            mask[2 * label : 2 * label + 2, 6:14] = label
        landmarks_xy = draw.uniform(1, self.size - 2, (23, 2)).astype(np.float32)
        landmarks_xy[index % 23] = np.nan
        fields = self._labels(index) | {
            "source_kind": "phantom",
            "facing": "left",
            "pixel_spacing_mm": 0.25,
            "label_source": "exact",
            "mask_levels": ALL_LEVELS,
            "generator": "toy",
            "generator_version": "1",
            "seed": self.seed,
            "sample_index": index,
        }
        arrays = {"image": image, "mask": mask, "landmarks_xy": landmarks_xy}
        changes = self.broken.get(index, {})
        arrays |= {name: value for name, value in changes.items() if name in arrays}
        fields |= {name: value for name, value in changes.items() if name not in arrays}
        return Radiograph(key=key, fields=fields, **arrays)
