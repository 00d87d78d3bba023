"""Bring a film to its size in the dataset: mirrored, resampled and padded or cropped, never squashed.

Points and spacing move along. Coordinates are of pixel centres: (0, 0) is the centre of the top-left pixel, so that a
scale s takes x to s (x + 1/2) - 1/2.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Affine = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f): (x, y) goes to (a x + b y + c, d x + e y + f)."""

Fit = Literal["pad", "crop"]
FITS: Final[tuple[Fit, ...]] = ("pad", "crop")
IDENTITY: Final[Affine] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

_SQUARE_TOLERANCE: Final = 1e-3
"""Pixels whose two spacings differ by less than this fraction are square: 1 px over a whole film."""

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A film at its size.

    Args:
        image: of the source's dtype, (height, width).
        mask: uint8 (height, width), or None.
        landmarks_xy: float64 (n, 2), px.
        spacing_mm: side of a (square) pixel, or None where the source's is not known.
        affine: from source pixels to pixels of `image`.
    """

    image: Pixels
    mask: NDArray[np.uint8] | None
    landmarks_xy: NDArray[np.float64]
    spacing_mm: float | None
    affine: Affine


def apply_affine(affine: Affine, points_xy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Move points, float (..., 2); NaN stays NaN."""
    a, b, c, d, e, f = affine
    x, y = points_xy[..., 0], points_xy[..., 1]
    return np.stack([a * x + b * y + c, d * x + e * y + f], axis=-1).astype(np.float64)


def compose_affine(first: Affine, then: Affine) -> Affine:
    """The one map that does `first`, and `then` the other."""
    a, b, c, d, e, f = first
    p, q, r, s, t, u = then
    return (p * a + q * d, p * b + q * e, p * c + q * f + r, s * a + t * d, s * b + t * e, s * c + t * f + u)


def fit_film(
    image: Pixels,
    *,
    size: int | None,
    fit: Fit,
    landmarks_xy: NDArray[np.floating],
    mask: NDArray[np.uint8] | None = None,
    spacing_xy_mm: tuple[float, float] | None = None,
    flip: bool = False,
) -> Fitted:
    """Mirror, make pixels square, then pad or crop to a square of `size`.

    Args:
        image: uint8 or uint16 (height, width).
        size: side of the result, px; None keeps the source's own size (pixels still become square).
        fit: "pad" keeps the whole film and adds black; "crop" keeps the largest centred square.
        landmarks_xy: float (n, 2), (x, y) px of the source; NaN = not labelled. A point that is cut off stays, outside.
        mask: uint8 (height, width) label ids, moved by the nearest pixel.
        spacing_xy_mm: millimetres per pixel along x and y, or None.
        flip: mirror left to right.

    Returns:
        `Fitted`. Pixels are resampled by Lanczos' kernel widened to the scale (no aliasing) in float32, rounded, and
        clipped to the range of the dtype.

    Raises:
        ValueError: a shape, size, spacing or fit is not possible.
    """
    _check_arguments(image, mask, size, fit, spacing_xy_mm)
    affine = IDENTITY
    if flip:
        image = image[:, ::-1]
        mask = None if mask is None else mask[:, ::-1]
        affine = (-1.0, 0.0, image.shape[1] - 1.0, 0.0, 1.0, 0.0)
    spacing = None
    if spacing_xy_mm is not None:
        spacing = min(spacing_xy_mm)
        if max(spacing_xy_mm) / spacing > 1 + _SQUARE_TOLERANCE:
            height, width = image.shape
            shape = (round(height * spacing_xy_mm[1] / spacing), round(width * spacing_xy_mm[0] / spacing))
            image, mask, step = _resize(image, mask, shape)
            affine = compose_affine(affine, step)
    if size is not None:
        image, mask, step = _square(image, mask, fit)
        affine = compose_affine(affine, step)
        spacing = None if spacing is None else spacing * image.shape[0] / size
        image, mask, step = _resize(image, mask, (size, size))
        affine = compose_affine(affine, step)
    return Fitted(
        image=image.copy(),
        mask=None if mask is None else mask.copy(),
        landmarks_xy=apply_affine(affine, np.asarray(landmarks_xy, dtype=np.float64)),
        spacing_mm=spacing,
        affine=affine,
    )


def _check_arguments(
    image: Pixels,
    mask: NDArray[np.uint8] | None,
    size: int | None,
    fit: Fit,
    spacing_xy_mm: tuple[float, float] | None,
) -> None:
    if image.ndim != 2 or image.dtype not in (np.uint8, np.uint16) or image.size == 0:
        raise ValueError(f"image must be uint8 or uint16 (height, width), got {image.dtype} {image.shape}")
    if mask is not None and mask.shape != image.shape:
        raise ValueError(f"mask has the shape {mask.shape}, its image {image.shape}")
    if size is not None and not 1 <= size <= 32767:
        raise ValueError(f"size must be between 1 and 32767, got {size}")
    if fit not in FITS:
        raise ValueError(f"fit must be one of {', '.join(FITS)}, got {fit!r}")
    if spacing_xy_mm is not None and not all(0 < value < np.inf for value in spacing_xy_mm):
        raise ValueError(f"spacing_xy_mm must be positive and finite, got {spacing_xy_mm}")


def _square(image: Pixels, mask: NDArray[np.uint8] | None, fit: Fit) -> tuple[Pixels, NDArray[np.uint8] | None, Affine]:
    """Pad or crop around the centre; an odd pixel goes to the right and to the bottom."""
    height, width = image.shape
    side = max(height, width) if fit == "pad" else min(height, width)
    left, top = (side - width) // 2, (side - height) // 2

    def move(pixels: NDArray[Any]) -> NDArray[Any]:
        if fit == "crop":
            return pixels[-top : side - top, -left : side - left]
        return np.pad(pixels, ((top, side - height - top), (left, side - width - left)))

    return move(image), None if mask is None else move(mask), (1.0, 0.0, float(left), 0.0, 1.0, float(top))


def _resize(
    image: Pixels, mask: NDArray[np.uint8] | None, shape: tuple[int, int]
) -> tuple[Pixels, NDArray[np.uint8] | None, Affine]:
    if shape == image.shape:
        return image, mask, IDENTITY
    (height, width), (new_height, new_width) = image.shape, shape
    scale_x, scale_y = new_width / width, new_height / height
    source = Image.fromarray(image.astype(np.float32))
    resampled = np.asarray(source.resize((new_width, new_height), Image.Resampling.LANCZOS))
    top = np.iinfo(image.dtype).max
    result = np.clip(np.rint(resampled), 0, top).astype(image.dtype)
    if mask is not None:
        rows = ((np.arange(new_height) + 0.5) / scale_y).astype(np.int64)
        columns = ((np.arange(new_width) + 0.5) / scale_x).astype(np.int64)
        mask = mask[np.minimum(rows, height - 1)[:, None], np.minimum(columns, width - 1)]
    return result, mask, (scale_x, 0.0, scale_x / 2 - 0.5, 0.0, scale_y, scale_y / 2 - 0.5)
