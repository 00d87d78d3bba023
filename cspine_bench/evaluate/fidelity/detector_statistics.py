"""What a detector without weights sees of a radiograph: its spectrum, gray levels and noise; and facts of its making.

Generators are commonly given away by the spectrum of their fine structure: by what a stack of upsampling layers adds
at the fractions of the sampling frequency, and by what a loss of squares leaves out near its end.

Source: Durall et al. 2020 (2003.01826), radial power; Frank et al. 2020 (2003.08685), peaks of upsampling; noise:
Immerkaer 1996, Computer Vision and Image Understanding 64, 300-302, by the median of absolute values.
"""

from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float64]

TILE_PX: Final = 256
"""Side of the tiles whose spectra are averaged: nine of a large image, one of a small."""

BAND_EDGES: Final = (*(number / 32 for number in range(17)), 0.6, 0.7072)
"""Cycles per pixel; 0.5 is the end of each axis, beyond it lie the corners of the plane."""

FRACTIONS: Final = (1 / 8, 1 / 4, 3 / 8, 1 / 2)
"""Of the sampling frequency, where blocks of 8 pixels and doublings leave peaks."""

_LEAST_TILE_PX: Final = 8
_PERCENTILES: Final = (1, 5, 25, 50, 75, 95, 99)
_LAGS: Final = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))
_EPSILON: Final = 1e-9
"""About the power of rounding to 16 bits."""

BANDS: Final = tuple(f"power_{low:.3f}_to_{high:.3f}" for low, high in pairwise(BAND_EDGES))
STATISTICS: Final = (
    *BANDS,
    *(f"{axis}_peak_at_{fraction:.3f}" for axis in ("horizontal", "vertical") for fraction in FRACTIONS),
    *(f"gray_percentile_{share}" for share in _PERCENTILES),
    "gray_deviation", "gray_skewness", "gray_kurtosis", "share_at_darkest", "share_at_brightest", "empty_levels",
    "log10_noise", *(f"log10_noise_in_quarter_{number}" for number in (1, 2, 3, 4)), "noise_kurtosis",
    *(f"noise_correlation_at_{down}_{right}" for down, right in _LAGS),
)  # fmt: skip
"""Name of each statistic, in order."""

FACTS: Final = ("width", "height", "bit depth", "width of a plain border", "darkest level", "brightest level")
"""What the making of an image leaves, and not its content."""


def describe_statistics(image: NDArray[Any]) -> Floats:
    """The statistics of one radiograph.

    Args:
        image: uint8 or uint16 (height, width).

    Returns:
        float64 (len(STATISTICS),), finite: base-10 logarithms of powers and noise; gray levels in shares of the full
        scale. What an image is too small for is 0.
    """
    gray = image.astype(np.float64) / np.iinfo(image.dtype).max
    tiles = _cut_tiles(gray)
    return np.concatenate([describe_spectrum(tiles), _describe_levels(gray), _describe_noise(tiles)])


def describe_facts(image: NDArray[Any]) -> Floats:
    """float64 (len(FACTS),): sizes and border in px, depth in bits, levels in shares of the full scale."""
    brightest = np.iinfo(image.dtype).max
    border = _measure_border(image)
    levels = image.min() / brightest, image.max() / brightest
    return np.array([image.shape[1], image.shape[0], image.dtype.itemsize * 8, border, *levels])


def _measure_border(image: NDArray[Any]) -> int:
    """The widest run of rows or columns of a single level that begins at an edge."""
    widest = 0
    for plane in (image, image.T):
        plain = plane.min(axis=1) == plane.max(axis=1)
        if plain.all():
            return int(max(image.shape))
        widest = max(widest, int(np.argmin(plain)), int(np.argmin(plain[::-1])))
    return widest


def _cut_tiles(gray: Floats) -> Floats:
    """(1 or 9, side, side), evenly spread; sides are multiples of 8 where the image allows."""
    shorter = min(gray.shape)
    side = min(TILE_PX, shorter)
    side = side // 8 * 8 or side
    starts = [sorted({0, (length - side) // 2, length - side}) for length in gray.shape]
    if shorter < 2 * side:
        starts = [[ends[len(ends) // 2]] for ends in starts]
    return np.stack([gray[y : y + side, x : x + side] for y in starts[0] for x in starts[1]])


def describe_spectrum(tiles: Floats) -> Floats:
    """Logarithms of the power by band of frequencies, and of the peaks at `FRACTIONS` over their surroundings.

    Args:
        tiles: float64 (n, side, side); their power is averaged.

    Source: Welch 1967, with a Hann window.
    """
    side = tiles.shape[1]
    if side < _LEAST_TILE_PX:
        return np.zeros(len(BANDS) + 2 * len(FRACTIONS))
    window = np.hanning(side + 2)[1:-1]
    weights = window[:, None] * window
    centred = tiles - tiles.mean(axis=(1, 2), keepdims=True)
    power = (np.abs(np.fft.rfft2(centred * weights)) ** 2).mean(axis=0) / (weights**2).sum()
    down, right = np.abs(np.fft.fftfreq(side)), np.fft.rfftfreq(side)
    radius = np.hypot(down[:, None], right)
    band = np.digitize(radius, BAND_EDGES[1:-1])
    # An axis of half a plane: what has a mirror image counts twice.
    twice = np.where((right == 0) | (right == 0.5), 1.0, 2.0) * np.ones_like(radius)
    total = np.bincount(band.ravel(), (power * twice).ravel(), len(BANDS))
    counts = np.bincount(band.ravel(), twice.ravel(), len(BANDS))
    bands = np.where(counts > 0, np.log10(total / np.maximum(counts, 1) + _EPSILON), 0.0)
    half = side // 2
    # Along one axis, over the fine half of the other: anatomy has little there.
    along_x = np.log10(power[down >= 0.25].mean(axis=0) + _EPSILON)
    along_y = np.log10(power[:, right >= 0.25].mean(axis=1) + _EPSILON)[: half + 1]
    return np.concatenate([bands, _measure_peaks(along_x, side), _measure_peaks(along_y, side)])


def _measure_peaks(logs: Floats, side: int) -> Floats:
    """How far each of `FRACTIONS` stands above the mean of those beside it; 0 where the grid does not hold it."""
    peaks = np.zeros(len(FRACTIONS))
    for number, fraction in enumerate(FRACTIONS):
        place = fraction * side
        beside = [at for at in (place - 3, place - 2, place + 2, place + 3) if 0 <= at < len(logs)]
        if place == int(place) and side >= 32:
            peaks[number] = logs[int(place)] - np.mean([logs[int(at)] for at in beside])
    return peaks


def _describe_levels(gray: Floats) -> Floats:
    levels = np.bincount((gray.ravel() * 255).round().astype(np.int64), minlength=256) / gray.size
    places = np.arange(256) / 255
    percentiles = np.searchsorted(np.cumsum(levels), np.array(_PERCENTILES) / 100 - 1e-12).clip(0, 255) / 255
    mean = levels @ places
    deviation = np.sqrt(levels @ (places - mean) ** 2)
    standard = (places - mean) / max(float(deviation), 1e-6)
    used = np.flatnonzero(levels)
    inside = levels[used[0] : used[-1] + 1]
    shape = [deviation, levels @ standard**3, levels @ standard**4 - 3]
    return np.concatenate([percentiles, shape, [levels[used[0]], levels[used[-1]], float((inside == 0).mean())]])


def _describe_noise(tiles: Floats) -> Floats:
    """Of what a Laplacian leaves: spread, also by quarters of brightness; tails; and how neighbours hang together."""
    if tiles.shape[1] < _LEAST_TILE_PX:
        return np.zeros(6 + len(_LAGS))
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]]) / 6
    noise = np.stack([ndimage.convolve(tile, kernel)[1:-1, 1:-1] for tile in tiles])
    size, brightness = np.abs(noise), tiles[:, 1:-1, 1:-1]
    quarter = np.digitize(brightness, np.quantile(brightness, (0.25, 0.5, 0.75)))
    spreads = [np.median(size)]
    spreads += [np.median(size[quarter == number]) if (quarter == number).any() else 0.0 for number in range(4)]
    variance = float((noise**2).mean())
    kurtosis = float((noise**4).mean()) / max(variance, _EPSILON) ** 2 - 3
    height, width = noise.shape[1:]
    together = [
        float((noise[:, down:, right:] * noise[:, : height - down, : width - right]).mean()) / max(variance, _EPSILON)
        for down, right in _LAGS
    ]
    tails = np.arcsinh(kurtosis)  # heavy tails of single bright pixels would drown all else
    return np.concatenate([np.log10(np.array(spreads) + 1e-5), [tails], together])
