"""Spines without a phantom's cost, and folders of toy radiographs that carry them."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent / "dataset"))

from toy_source import ToySource

from cspine_bench.dataset.write import write_dataset
from cspine_bench.measurement.inputs import Images, open_images

SIDE_PX = 130
Points = NDArray[np.float32]
MakeOnce = Callable[[str, Callable[[Path], object]], Path]


def draw_spines(count: int, seed: int, *, variety: float = 1.0) -> Points:
    """(count, 23, 2) px at 1 mm: bodies 16 mm deep and 11 high, discs of 4 mm, curved by angles of their own."""
    draw = np.random.default_rng(seed)
    vary = variety * draw.normal(size=(count, 6))
    spines = np.empty((count, 23, 2), np.float32)
    for spine, (size, height, gap, bend, turn, place) in zip(spines, vary, strict=True):
        scale = 1 + 0.06 * size
        depth, tall, disc = scale * (16 + 0.7 * height), scale * (11 + 0.5 * gap), scale * 4
        angle = np.radians(3 * turn - 8)
        point = np.array([60 + 2 * place, 20.0])
        points = [point]
        point = point + 9 * np.array([-np.sin(angle), np.cos(angle)])
        ends = np.array([-depth / 2, depth / 2])
        points += [point + end * np.array([np.cos(angle), np.sin(angle)]) for end in ends]
        for level in range(5):
            step = np.radians(2.5 + 1.2 * bend + variety * draw.normal(0, 1, 2))
            for length, change in ((disc, step[0]), (tall, step[1])):
                point = point + length * np.array([-np.sin(angle), np.cos(angle)])
                angle += change if level else 0.0
                points += [point + end * np.array([np.cos(angle), np.sin(angle)]) for end in ends]
        spine[:] = points
    return spines + draw.normal(0, 0.1 * variety, spines.shape).astype(np.float32)


def open_toys(make_once: MakeOnce, count: int) -> Images:
    """Radiographs of two to a group, at 1 mm per pixel, facing left, with spines."""

    def fill(path: Path) -> None:
        plain = np.add.outer(np.arange(SIDE_PX), np.arange(SIDE_PX)) % 200
        fields = {
            index: {
                "pixel_spacing_mm": 1.0,
                "image": (plain + index % 50).astype(np.uint8),
                "mask": None,
                "mask_levels": None,
            }
            for index in range(count)
        }
        write_dataset(ToySource(count, size=SIDE_PX, broken=fields), path, fractions=(1, 0, 0))

    images = open_images("real", make_once(f"evaluate-spines-{count}", fill))
    return replace(images, landmarks_xy=draw_spines(count, 0))


def as_synthetic(images: Images, landmarks_xy: Points, **changes: object) -> Images:
    """The same radiographs as the other side, with other spines, each of a group of its own."""
    groups = tuple(f"s{index}" for index in range(len(images)))
    fields = {"role": "synthetic", "landmarks_xy": landmarks_xy, "group_ids": groups} | changes
    return replace(images, **fields)  # type: ignore[arg-type]
