"""Radiographs as pictures inside a page: small, on one gray scale, laid on each other, and subtracted."""

import base64
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cspine_bench.imaging.png import encode_png

Pixels = NDArray[Any]
"""uint8 or uint16 (height, width), or float (height, width) for a map."""
Values = NDArray[np.floating]

SIDE_PX: Final = 256
"""Longest side of a picture."""
DIFFERENCE_RANGE: Final = 0.5
"""Share of full scale at which a difference is black or white."""
GRAY_RULE: Final = (
    "8-bit images are shown as they are; 16-bit images from the gray level that 0.1 % of their pixels stay below to "
    "the one that 0.1 % exceed. Sides longer than 256 px are averaged down."
)

Gray = NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """A picture for an `img` element; `uri` holds all of it."""

    uri: str
    width: int
    height: int
    alt: str


def to_gray(image: Pixels, *, side_px: int = SIDE_PX) -> Gray:
    """An image as the pages show it.

    Args:
        image: uint8 or uint16 (height, width); or float, shown from its least to its greatest value.
        side_px: longest side of the result; smaller images keep their size.

    Returns:
        float32 (height, width), 0..1.

    Raises:
        ValueError: not (height, width), or empty.
    """
    if image.ndim != 2 or image.size == 0:
        raise ValueError(f"an image must be (height, width), got shape {image.shape}")
    values = image.astype(np.float32)
    if image.dtype == np.uint8:
        low, high = 0.0, 255.0
    elif image.dtype == np.uint16:
        low, high = (float(end) for end in np.quantile(values, (0.001, 0.999)))
    else:
        low, high = float(values.min()), float(values.max())
    gray = ((values - np.float32(low)) / np.float32(max(high - low, 1e-12))).clip(0, 1)
    factor = side_px / max(image.shape)
    if factor < 1:
        height, width = (max(1, round(length * factor)) for length in image.shape)
        gray = np.asarray(Image.fromarray(gray).resize((width, height), Image.Resampling.BOX), np.float32)
    return np.asarray(gray, np.float32)


def to_picture(gray: Gray, alt: str) -> Picture:
    """A gray image, 0..1, as a PNG in a data URI; the same pixels give the same text."""
    data = encode_png(np.asarray(np.rint(gray.clip(0, 1) * 255), np.uint8))
    return Picture(f"data:image/png;base64,{base64.b64encode(data).decode()}", gray.shape[1], gray.shape[0], alt)


def show(image: Pixels | None, alt: str, *, side_px: int = SIDE_PX) -> Picture | None:
    """`to_gray` and `to_picture`; None for none."""
    return None if image is None else to_picture(to_gray(image, side_px=side_px), alt)


def lay_on(image: Gray, shape: tuple[int, int], move: Values | None, map_side_px: int) -> Gray:
    """An image moved back to where its reference lies.

    Args:
        image: float32 (height, width).
        shape: of the reference, (height, width) px.
        move: float (2, 3), from places of the reference to those of the image: see `Pair`; None: it is only brought to
            the reference's size.
        map_side_px: side of the maps that the move's shift is in px of.

    Returns:
        float32 of that shape; what lies outside the image repeats its edge.
    """
    from scipy import ndimage

    height, width = shape
    rows, columns = np.meshgrid(_place(height), _place(width), indexing="ij")
    if move is not None:
        # Maps are square whatever the image is, so shares of the sides move as their pixels do.
        rows, columns = (row[0] * rows + row[1] * columns + row[2] / map_side_px for row in move.astype(np.float64))
    places = [(along + 0.5) * length - 0.5 for along, length in zip((rows, columns), image.shape, strict=True)]
    moved: Gray = ndimage.map_coordinates(image, places, np.float32, order=1, mode="nearest")
    return moved


def _place(length: int) -> NDArray[np.float64]:
    """Centres of pixels as shares of the side, from the middle."""
    return (np.arange(length) + 0.5) / length - 0.5


def subtract(image: Gray, reference: Gray) -> tuple[Gray, float]:
    """What is left of the reference after the image, its gray levels fitted to it, is taken away.

    Args:
        image: float32 (height, width), 0..1.
        reference: likewise, of the same shape.

    Returns:
        The difference as a picture: 0.5 where there is none, 0 and 1 at `DIFFERENCE_RANGE`; and its root mean square
        over the reference's standard deviation: 0 for a copy under any contrast or inversion, 1 for nothing in common.
    """
    centred, target = image - image.mean(), reference - reference.mean()
    power = float(np.vdot(centred, centred))
    slope = float(np.vdot(centred, target)) / power if power > 0 else 0.0
    left = target - np.float32(slope) * centred
    spread = float(target.std())
    rest = float(left.std()) / spread if spread > 0 else 0.0
    return np.asarray(0.5 + left / (2 * DIFFERENCE_RANGE), np.float32).clip(0, 1), rest


def difference_of(
    image: Pixels, reference: Pixels, move: Values | None, map_side_px: int, *, side_px: int = SIDE_PX
) -> tuple[Gray, float]:
    """`subtract` of two radiographs, the first moved back onto the second, at `side_px`."""
    target = to_gray(reference, side_px=side_px)
    height, width = target.shape
    return subtract(lay_on(to_gray(image, side_px=side_px), (height, width), move, map_side_px), target)
