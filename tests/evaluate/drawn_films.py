"""Dataset folders of drawn films: shared anatomy, and fine structure of each one's own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from toy_source import ToySource

from cspine_bench.dataset.source import SampleKey
from cspine_bench.dataset.write import write_dataset
from cspine_bench.measurement.inputs import Images, open_images

Films = NDArray[np.uint8]
MakeOnce = Callable[[str, Callable[[Path], object]], Path]


def draw_films(count: int, seed: int, side: int = 64) -> Films:
    """uint8 (count, side, side)."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side] / side
    fine = ndimage.gaussian_filter(draw.normal(size=(count, side, side)), (0, side / 32, side / 32))
    return np.clip(120 + 60 * np.sin(5 * rows) * np.cos(3 * columns) + 40 * fine / fine.std(), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class DrawnSource(ToySource):
    """`broken` holds the films; `name` keeps patients of two folders apart."""

    name: str = ""
    groups: Sequence[str] = ()

    def _key(self, index: int) -> SampleKey:
        key = super()._key(index)
        group = self.groups[index] if self.groups else f"{self.name}{index}"
        return SampleKey(f"{self.name}{index:07d}", group, key.origin, key.strata)


def open_films(make_once: MakeOnce, role: str, name: str, films: Films, groups: Sequence[str] = ()) -> Images:
    """One side, of a folder that is written once."""
    source = DrawnSource(
        len(films),
        size=films.shape[1],
        broken={index: {"image": film} for index, film in enumerate(films)},
        name=name,
        groups=groups,
    )
    return open_images(role, make_once(f"drawn-{name}", lambda path: write_dataset(source, path)))
