"""A cheap source that says it is a trained generator, with the settings that a sampler records."""

from dataclasses import dataclass, field
from typing import Any

from toy_source import ToySource

from cspine_bench.dataset.source import Radiograph, SampleKey

WEIGHTS, RECIPE, FILMS = "d" * 64, "e" * 64, "f" * 64


@dataclass(frozen=True)
class SampledSource(ToySource):
    """Samples of one run; `sources`: its training films by kind, None: an older sampler that recorded nothing."""

    sources: dict[str, int] | None = field(default_factory=lambda: {"phantom": 1200})

    def describe(self) -> dict[str, Any]:
        described = super().describe() | {"kind": "ddpm", "run_id": "run1"}
        if self.sources is not None:
            films = sum(self.sources.values())
            described["training_data"] = {"dataset_sha256": FILMS, "num_films": films, "sources": self.sources}
        return described

    def _make(self, key: SampleKey, index: int) -> Radiograph:
        made = super()._make(key, index)
        fields = made.fields | {
            "source_kind": "ddpm",
            "label_source": "conditioned",
            "run_id": "run1",
            "generator": "cspine-bench ddpm",
            "generator_version": "0.1.0",
            "weights_sha256": WEIGHTS,
            "recipe_sha256": RECIPE,
            "sampler": "dpmpp-2m" if index % 2 else "ddim",
            "num_steps": 12,
            "guidance_scale": 2.0,
            "condition_kind": "skeleton",
            "dtype": "float32",
            "device": "cpu",
            "age": None,
        }
        return Radiograph(key, made.image, made.mask, made.landmarks_xy, fields)
