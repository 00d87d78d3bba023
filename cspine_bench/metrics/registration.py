"""The second look at a pair that the search for near copies found: laid on each other as well as they will go."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.copying import Maps
from cspine_bench.metrics.near_copies import MARGIN_PX, Variant

# First steps of the search: half way to the neighbouring variants.
_STEPS: Final = np.array([1.5, 0.025, 0.7, 0.7])


@dataclass(frozen=True)
class Registration:
    """How an image lies on its reference; rotation, scale and shift as in `Variant`, but not in steps.

    Attributes:
        correlation: -1..1, negative for an inverted copy.
        flip: mirrored left to right.
        rotation_deg: turned about the centre.
        scale: enlarged about the centre.
        shift_px: (rows, columns) moved afterwards, px of the maps.
    """

    correlation: float
    flip: bool
    rotation_deg: float
    scale: float
    shift_px: tuple[float, float]


def register_pair(
    *, image: Maps, reference: Maps, start: Variant, margin_px: int = MARGIN_PX, max_steps: int = 200
) -> Registration:
    """Turn, scale and shift an image from where the search found it until it correlates best with the reference.

    A copy that lay between two variants comes up towards 1; an honest image gains little. What honest pairs reach is
    to be seen on images held out, searched and registered in the same way.

    Args:
        image: float32 (height, width), from `remove_low_frequencies`.
        reference: float32 (height, width), likewise.
        start: the best variant of the search.
        margin_px: see `search_near_copies`.
        max_steps: correlations to try.

    Returns:
        The best found; no worse than at the start. Of a blank map the correlation is 0.

    Raises:
        ValueError: sizes differ, or leave nothing within the margin.

    Source: Nelder, Mead 1965, Computer Journal 7, 308-313, on the absolute correlation.
    """
    height, width = reference.shape
    if image.shape != reference.shape or min(height, width) <= 2 * margin_px + 1 or margin_px < 0:
        raise ValueError(
            f"maps must be of one size, larger than twice the margin, got {image.shape}, {reference.shape}, {margin_px}"
        )
    from scipy import optimize

    window = _standardise(reference[margin_px : height - margin_px, margin_px : width - margin_px])
    rows, columns = np.arange(margin_px, height - margin_px), np.arange(margin_px, width - margin_px)
    down, right = np.meshgrid(rows - (height - 1) / 2, columns - (width - 1) / 2, indexing="ij")
    right = -right if start.flip else right

    def correlate(place: NDArray[np.float64]) -> float:
        return float(np.vdot(_standardise(_sample(image, down, right, place)), window))

    first = np.array([start.rotation_deg, start.scale, *start.shift_px], np.float64)
    simplex = np.vstack([first, first + np.diag(_STEPS)])
    found = optimize.minimize(
        lambda place: -abs(correlate(place)),
        first,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "maxfev": max_steps, "xatol": 1e-3, "fatol": 1e-5},
    )
    rotation, scale, row, column = map(float, found.x)
    return Registration(correlate(found.x), start.flip, rotation, scale, (row, column))


def _sample(
    image: Maps, down: NDArray[np.float64], right: NDArray[np.float64], place: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The image where the reference's window went, linearly; edges repeat."""
    from scipy import ndimage

    angle = math.radians(place[0])
    cosine, sine = place[1] * math.cos(angle), place[1] * math.sin(angle)
    height, width = image.shape
    y = cosine * down - sine * right + (height - 1) / 2 + place[2]
    x = sine * down + cosine * right + (width - 1) / 2 + place[3]
    sampled: NDArray[np.float64] = ndimage.map_coordinates(image, (y, x), np.float64, order=1, mode="nearest")
    return sampled


def _standardise(pixels: NDArray[np.floating]) -> NDArray[np.float64]:
    """Mean 0 and length 1; all 0 where there is one gray level."""
    centred = pixels.astype(np.float64) - pixels.mean(dtype=np.float64)
    length = float(np.linalg.norm(centred))
    # What averaging leaves of an image of one gray level is rounding.
    blank = length <= 1e-4 * math.sqrt(pixels.size)
    return np.asarray(np.zeros_like(centred) if blank else centred / length)
