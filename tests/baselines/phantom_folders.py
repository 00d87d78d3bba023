"""Small dataset folders of phantoms, with labels and without, and models that were trained on them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.dataset.source import Radiograph, SampleKey
from cspine_bench.dataset.write import write_dataset
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.source import PhantomSource

SIZE_PX = 64
WORKED_AT_PX = 32
_LABELS = ("label_source", "curvature", "facing", "mask_levels")


@dataclass(frozen=True)
class Stripped:
    """Phantoms of which some, or all, have lost their labels.

    Args:
        count: of phantoms.
        seed: of them.
        every: each of this many keeps its labels; 0: none does.
    """

    count: int
    seed: int
    every: int = 0

    @property
    def whole(self) -> PhantomSource:
        return PhantomSource(PhantomRecipe.model_validate({"size": SIZE_PX}), self.count, self.seed)

    def describe(self) -> dict[str, Any]:
        return {**self.whole.describe(), "stripped": self.every}

    def list_samples(self) -> list[SampleKey]:
        return self.whole.list_samples()

    def estimate_bytes(self) -> int:
        return self.whole.estimate_bytes()

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph]:
        for made in self.whole.iter_radiographs(keys):
            assert isinstance(made, Radiograph)
            if self.every and int(made.key.origin) % self.every == 0:
                yield made
                continue
            fields = {name: value for name, value in made.fields.items() if name not in _LABELS}
            yield replace(made, mask=None, landmarks_xy=np.full((23, 2), np.nan, np.float32), fields=fields)


def write_phantoms(folder: Path, *, count: int = 36, seed: int = 3) -> None:
    source = PhantomSource(PhantomRecipe.model_validate({"size": SIZE_PX}), count, seed)
    write_dataset(source, folder, fractions=(0.7, 0.1, 0.2))


def build_recipe(kind: str = "landmarking", *, updates: int = 40, **task: Any) -> BaselineRecipe:
    return BaselineRecipe.model_validate(
        {
            "task": {"kind": kind, **task},
            "size": WORKED_AT_PX,
            "network": {"unshuffle": 2, "widths": [8, 16]},
            "learning": {"updates": updates, "batch_size": 8, "learning_rates": [0.01]},
        }
    )
