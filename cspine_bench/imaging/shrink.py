"""Radiographs made smaller by a whole factor: pixels are averaged over blocks, landmarks and masks go along."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine_bench.errors import DataError


def find_factor(shape: tuple[int, ...], size: int, *, where: str) -> int:
    """The whole number of pixels along a block's side.

    Args:
        shape: (height, width) of an image.
        size: side of the smaller image, px.
        where: names the image in the error.

    Raises:
        DataError: the image is not square, or its side is not a whole multiple of `size`.
    """
    height, width = shape
    if height != width:
        raise DataError(
            f"{where} is {width} x {height} px; training needs squares: import the films with one --size, as "
            f"`dataset import ... --size {size}`"
        )
    if width % size or not width:
        raise DataError(
            f"{where} is {width} px wide, no whole multiple of the recipe's size {size}; set a size that divides it, "
            f"or import the films with --size {size}"
        )
    return width // size


def shrink_image(image: NDArray[Any], factor: int) -> NDArray[np.float64]:
    """Means of blocks of `factor` x `factor` pixels, as shares of the type's highest value.

    Args:
        image: uint8 or uint16 (height, width), multiples of `factor`.
        factor: see `find_factor`.

    Returns:
        float64 (height / factor, width / factor), 0..1.
    """
    height, width = image.shape
    blocks = image.astype(np.float64).reshape(height // factor, factor, width // factor, factor)
    return np.asarray(blocks.mean(axis=(1, 3)) / np.iinfo(image.dtype).max)


def shrink_landmarks(landmarks_xy: NDArray[np.floating], factor: int) -> NDArray[np.float32]:
    """Landmarks of an image in pixels of the smaller one, float32 of the same shape; NaN stays NaN.

    (0, 0) is the centre of the top-left pixel, before and after.
    """
    return np.asarray((np.asarray(landmarks_xy, np.float64) + 0.5) / factor - 0.5, np.float32)


def shrink_mask(mask: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """The label that most pixels of each block have, uint8 (height / factor, width / factor); of equals the lowest."""
    if factor == 1:
        return mask
    height, width = mask.shape
    blocks = mask.reshape(height // factor, factor, width // factor, factor)
    labels = np.unique(mask)
    counts = np.stack([(blocks == label).sum(axis=(1, 3)) for label in labels])
    return np.asarray(labels[counts.argmax(axis=0)], np.uint8)
