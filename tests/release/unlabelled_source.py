"""A source of which nothing is known: no figure is drawn of its release, which takes longer than all the rest."""

from typing import Any

import numpy as np
from toy_source import ToySource

from cspine_bench.dataset.source import Radiograph


class Unlabelled(ToySource):
    """Images alone."""

    def _make(self, key: Any, index: int) -> Radiograph:
        made = super()._make(key, index)
        fields = {name: made.fields[name] for name in ("source_kind", "generator", "generator_version")}
        return Radiograph(key, made.image, None, np.full((23, 2), np.nan, np.float32), fields)
