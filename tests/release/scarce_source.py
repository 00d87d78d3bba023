"""A cheap trained source of which little is known: two of three samples carry no label at all."""

from dataclasses import replace

import numpy as np
from sampled_source import SampledSource
from toy_source import ToySource

from cspine_bench.dataset.source import Radiograph, SampleKey

_LABELS = ("label_source", "mask_levels", "curvature", "disease", "sex", "age", "facing", "pixel_spacing_mm")


class ScarceSource(SampledSource):
    """`every`: each so-manieth sample keeps its labels; 0: none does."""

    every = 3

    def _key(self, index: int) -> SampleKey:
        key = super()._key(index)
        return replace(key, strata={})

    def _make(self, key: SampleKey, index: int) -> Radiograph:
        made = super()._make(key, index)
        if self.every and index % self.every == 0:
            return made
        fields = made.fields | dict.fromkeys((*_LABELS, "condition_kind", "guidance_scale"))
        return Radiograph(key, made.image, None, np.full((23, 2), np.nan, np.float32), fields)


class BareSource(ScarceSource):
    """No sample carries a label."""

    every = 0


class DeepSource(ToySource):
    """16 bits, two sizes, both facings, and a film that could not be made."""

    def _make(self, key: SampleKey, index: int) -> Radiograph:
        made = super()._make(key, index)
        if index % 2:
            return made
        image, mask = np.pad(made.image, ((0, 8), (0, 0))), np.pad(made.mask, ((0, 8), (0, 0)))  # type: ignore[arg-type]
        return Radiograph(key, image, mask, made.landmarks_xy, made.fields | {"facing": "right"})
