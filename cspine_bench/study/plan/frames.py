"""Frames: every image decoded, brought to one canvas and one depth by the same steps, and put in a row of fixed length.

Where all images have the size that is shown, none is resampled; else all are, by one kernel: an image that was
resampled is smoother than one that was not, and that would tell them apart.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cspine_bench.errors import DataError
from cspine_bench.measurement.inputs import Images
from cspine_bench.study.recipe import StudyRecipe

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
_LEAST_SIZE: Final = 32
"""What a recipe allows."""

_WINDOW_SHARES: Final = (0.5, 99.5)
"""Percentiles of all pixels together that the first window holds."""


@dataclass(frozen=True)
class Canvas:
    """How every image is shown.

    Attributes:
        width: px.
        height: px.
        bit_depth: 8 or 16.
        resampled: whether all images are; else none is.
        notes: what the study lead should know.
    """

    width: int
    height: int
    bit_depth: Literal[8, 16]
    resampled: bool
    notes: tuple[str, ...] = ()

    def render(self, image: NDArray[Any]) -> Pixels:
        """An image as it is shown.

        Args:
            image: uint8 or uint16 (height, width).

        Returns:
            uint8 or uint16 (height, width) of the canvas: padded to a square by black, if it is resampled, as a
            dataset's import does; then Lanczos' kernel widened to the scale; rounded once, at the end.
        """
        top = np.iinfo(image.dtype).max
        highest = 2**self.bit_depth - 1
        dtype = np.uint8 if self.bit_depth == 8 else np.uint16
        if not self.resampled:
            same: Pixels = image if top == highest else np.rint(image * (highest / top)).astype(dtype)
            return same
        height, width = image.shape
        side = max(height, width)
        up, left = (side - height) // 2, (side - width) // 2
        square = np.pad(image.astype(np.float32), ((up, side - height - up), (left, side - width - left)))
        shown = Image.fromarray(square).resize((self.width, self.height), Image.Resampling.LANCZOS)
        resampled: Pixels = np.rint(np.clip(np.asarray(shown) * (highest / top), 0, highest)).astype(dtype)
        return resampled


def choose_canvas(sides: Sequence[Images], recipe: StudyRecipe) -> Canvas:
    """One canvas and one depth for all images.

    Args:
        sides: that images are drawn from.
        recipe: may name size and depth.

    Raises:
        DataError: the images have several sizes, or several depths, that the recipe's settings do not bring together.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    depths: Counter[int] = Counter()
    told = []
    for images in sides:
        own: Counter[tuple[int, int]] = Counter()
        for preflight in images.preflights:
            own.update(preflight.sizes)
            depths.update(preflight.bit_depths)
        sizes.update(own)
        told.append(f"{images.role} {', '.join(f'{width} x {height}' for width, height in sorted(own))}")
    width, height, resampled = _choose_size(sizes, recipe.size, "; ".join(told))
    depth, notes = _choose_depth(depths, recipe.bit_depth)
    return Canvas(width, height, depth, resampled, notes)


def _choose_size(sizes: Counter[tuple[int, int]], size: int | None, told: str) -> tuple[int, int, bool]:
    if size is None and len(sizes) > 1:
        half = max(_LEAST_SIZE, min(min(one) for one in sizes) // 2)
        raise DataError(
            f"the images have several sizes ({told} px), and size must not tell what an image is; --set size={half} "
            "brings all to one by one kernel, or import them in one size"
        )
    if size is None or sizes.keys() == {(size, size)}:
        (width, height), *_ = sizes
        return width, height, False
    smallest = min(max(one) for one in sizes)
    if size > max(max(one) for one in sizes):
        raise DataError(
            f"size {size} px lies above that of all images ({told} px), and enlarging adds nothing that they hold; set "
            f"a size below {smallest}, or none: the page zooms"
        )
    if size >= smallest:
        raise DataError(
            f"size {size} px would shrink some images and not others ({told} px), and what is resampled is smoother; "
            f"set a size below {smallest}, so that all are"
        )
    return size, size, True


def _choose_depth(depths: Counter[int], asked: int | None) -> tuple[Literal[8, 16], tuple[str, ...]]:
    if asked == 16 and 8 in depths:
        raise DataError(
            f"bit_depth 16 was asked for, and {depths[8]:,} of {sum(depths.values()):,} images have 8 bits: their "
            "histogram would have gaps that tell them apart; set bit_depth 8"
        )
    depth: Literal[8, 16] = 8 if asked == 8 or 8 in depths else 16
    if len(depths) > 1:
        return depth, (f"{depths[16]:,} images of 16 bits are rounded to 8, as {depths[8]:,} others have no more",)
    return depth, ()


def choose_window(frames: Pixels) -> tuple[float, float]:
    """Centre and width, gray levels, at which every image opens: of all images together, so it tells nothing of one.

    Args:
        frames: uint8 or uint16 (n, height, width).

    Returns:
        Such that the linear function of DICOM PS3.3 C.11.2.1.2 shows the pooled percentiles .5 and 99.5 as black and
        white.
    """
    low, high = np.percentile(frames, _WINDOW_SHARES)
    width = max(2.0, float(high - low) + 1)
    return float(low + high) / 2 + 0.5, width
