"""Radiographs of a side as small high-pass maps of one size, which the search for copies compares."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cspine_bench.measurement.inputs import Images
from cspine_bench.metrics.copying import SIDE_PX, Maps, remove_low_frequencies

BLOCK_IMAGES: Final = 512
_LIMIT_DEVIATIONS: Final = 2.0
_COMMON_SHARE: Final = 0.8
# Of a normal distribution, this many deviations hold that share.
_COMMON_DEVIATIONS: Final = 1.2816
# Of the deviation of the whole map: with less, what is to be compared is itself but a fifth of the map.
_LEAST_DEVIATION: Final = 0.1


def make_map(image: NDArray[Any]) -> Maps:
    """One radiograph as float32 (64, 64).

    Sides of 64 px or more are averaged down, shorter ones are first enlarged, and what is not square is squeezed into
    one: films of one shape stay comparable, and of another shape the search sees them squeezed. Outliers are limited.

    Args:
        image: uint8 or uint16 (height, width).
    """
    height, width = image.shape
    if min(height, width) < SIDE_PX:
        size = (max(width, SIDE_PX), max(height, SIDE_PX))
        enlarged = Image.fromarray(image.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
        image = np.asarray(enlarged)
    return limit_outliers(remove_low_frequencies(image[None])[0])


def limit_outliers(sharp: Maps) -> Maps:
    """A map with its largest values cut to two deviations, where these are of all but a fifth of its pixels.

    Letters, edges of the field and single bright pixels are the largest values of a map, and two copies of which one
    has them would be unlike each other by these alone. A film that is flat over four fifths stays as it is.

    Args:
        sharp: float32 (height, width), from `remove_low_frequencies`.
    """
    deviation = float(np.quantile(np.abs(sharp), _COMMON_SHARE)) / _COMMON_DEVIATIONS
    limit = _LIMIT_DEVIATIONS * deviation
    return np.clip(sharp, -limit, limit) if deviation > _LEAST_DEVIATION * float(sharp.std()) else sharp


def make_maps(side: Images) -> Maps:
    """All radiographs of a side, float32 (n, 64, 64)."""
    maps = np.empty((len(side), SIDE_PX, SIDE_PX), np.float32)
    for row, (_, image) in enumerate(side.iter_images()):
        maps[row] = make_map(image)
    return maps


def iter_map_blocks(side: Images, size: int = BLOCK_IMAGES) -> Iterator[tuple[int, Maps]]:
    """(number of the first, float32 (k, 64, 64)) of every `size` radiographs in order; one block in memory."""
    block: list[Maps] = []
    first = 0
    for _, image in side.iter_images():
        block.append(make_map(image))
        if len(block) == size:
            yield first, np.stack(block)
            first, block = first + size, []
    if block:
        yield first, np.stack(block)
