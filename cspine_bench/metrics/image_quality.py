"""Quality of one image without its anatomy: noise, sharpness, dynamic range, and traces of compression and upsampling.

Pure functions on one gray image of shares of the full scale, so 8 and 16 bits are alike. Nothing here is a verdict on
one image: a film is noisy, sharp or dark for good reasons. What tells is how two sets differ.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Gray = NDArray[np.floating]
Floats = NDArray[np.float64]

PROPERTIES: Final[dict[str, tuple[str, str]]] = {
    "noise_sd": ("percent", "Standard deviation of the noise, percent of the full scale."),
    "power_low": ("dB", "Variance between 1/8 and 1/4 of the Nyquist frequency; full scale squared is 0 dB."),
    "power_middle": ("dB", "Variance between 1/4 and 1/2 of the Nyquist frequency."),
    "power_high": ("dB", "Variance between 1/2 of the Nyquist frequency and itself: noise and the finest detail."),
    "high_frequency_share": ("dB", "Variance above 1/2 of the Nyquist frequency over the variance of all."),
    "laplacian_sharpness": ("dB", "Variance of the Laplacian over the variance of the image."),
    "edge_slope": ("", "Gray-level spans climbed in one image height at the steepest 1 % of pixels."),
    "gray_span": ("percent", "From the 1st to the 99th percentile of the gray levels, percent of the full scale."),
    "mean_gray": ("percent", "Mean gray level, percent of the full scale."),
    "entropy": ("bits", "Entropy of the gray levels, in 256 steps."),
    "distinct_levels": ("levels", "Gray levels in use, of 256 steps."),
    "clipped_share": ("percent", "Pixels at either end of the scale."),
    "blocking": ("percent", "Steps across the lines of an 8 x 8 grid, over those beside them: JPEG."),
    "periodic_peak": ("dB", "Highest peak at periods of 2 and 4 pixels over its surroundings: upsampling."),
}
"""Unit and definition of each property."""

LEAST_POWER: Final = 1e-12
"""Added before logarithms: far below the rounding of 16 bits (2e-11), so that a flat image has a finite value."""

_FLATTEST: Final = 0.5
_BLOCK: Final = 8


def scale_gray(image: NDArray[Any]) -> NDArray[np.float32]:
    """An image as shares of the full scale.

    Args:
        image: uint8 or uint16 (height, width).

    Returns:
        float32 (height, width), 0..1; 8 bits and the same spread over 16 bits give the same to the last bit.

    Raises:
        TypeError: neither uint8 nor uint16.
    """
    if image.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"an image must be uint8 or uint16, got {image.dtype}")
    return image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)


def measure_noise(gray: Gray) -> float:
    """Standard deviation of white noise.

    Fine anatomy is taken for noise where it fills the flat half of the image too, as in very small images. Rounding to
    8 bits hides noise below about half a level. Noise that a display has smoothed is underrated.

    Args:
        gray: float (height, width), 0..1.

    Returns:
        In shares of the full scale, 0 or more; NaN for an image under 3 px, or with no pixel free of clipping.

    Source: Immerkaer 1996, Computer Vision and Image Understanding 64, 300-302, without steep pixels as in Tai, Yang
    2008 (ISCCSP, 993-997). The gradient does not depend on the noise's response to the mask, so the choice of the
    flattest half does not bias it. Pixels with a clipped neighbour are left out too: clipping removes noise.
    """
    return _measure_noise(gray, _measure_slope(gray)) if min(gray.shape) >= 3 else float("nan")


def build_band_edges(nyquist: float, *, num_bands: int = 40) -> Floats:
    """Edges of frequency bands, cycles per image height, closer together at low frequencies.

    Args:
        nyquist: half the height of the smallest image, px; at least 2.
        num_bands: at most; as many as have a frequency of their own.

    Returns:
        float64 (k + 1,), rising from 0.5 to `nyquist`; each band holds at least one whole number of cycles.

    Raises:
        ValueError: the image is too small.
    """
    if nyquist < 2:
        raise ValueError(f"nyquist must be at least 2, got {nyquist}")
    whole = np.unique(np.rint(np.geomspace(1, np.floor(nyquist), num_bands + 1)))
    return np.array([*(whole[:-1] - 0.5), nyquist])


def measure_spectrum(gray: Gray, edges: Floats) -> Floats:
    """Radially averaged power spectrum.

    What is noise and what is fine anatomy it does not tell apart. Frequencies are in cycles per image height, so that
    images of different sizes share an axis.

    Args:
        gray: float (height, width), 0..1; square pixels.
        edges: rising, float (k + 1,), cycles per image height.

    Returns:
        float64 (k,): mean power density in each band, full scale squared per (cycle per height) squared: its integral
        over all frequencies is the variance. NaN for a band without a frequency.

    Source: periodogram under a Hann window, averaged over rings as IEC 62220-1 averages the noise power spectrum; its
    detrending is the mean alone.
    """
    density, radius = _measure_density(gray)
    return _average_rings(density, radius, edges)


def measure_blocking(gray: Gray) -> float:
    """Traces of coding in blocks of 8 x 8 px, as JPEG leaves them, wherever the grid begins.

    Args:
        gray: float (height, width), 0..1.

    Returns:
        How much larger the steps between neighbours are across the grid's lines than on both sides of them, over the
        mean step: 0 for none, a few percent by chance; mean of both axes. NaN under 24 px, or without any step.

    Source: blockiness as the excess of differences at block boundaries, Wang, Bovik, Evans 2000 (ICIP, vol. 3,
    981-984); the largest of the eight grids is taken, since cropping and padding move it.
    """
    if min(gray.shape) < 3 * _BLOCK:
        return float("nan")
    found = []
    for axis in (0, 1):
        steps = np.abs(np.diff(gray, axis=axis)).mean(axis=1 - axis, dtype=np.float64)
        if not steps.mean() > 0:
            return float("nan")
        excess = steps[1:-1] - (steps[:-2] + steps[2:]) / 2
        by_phase = [excess[phase::_BLOCK].mean() for phase in range(_BLOCK)]
        found.append(max(by_phase) / steps.mean())
    return float(np.mean(found))


def measure_periodic_peak(gray: Gray) -> float:
    """Patterns that repeat every 2 or 4 px, such as the checkerboard that upsampling in a network leaves.

    Args:
        gray: float (height, width), 0..1.

    Returns:
        Power at the strongest of their frequencies over the median of its surroundings, dB. By chance 5 to
        9 dB, for the power at one frequency swings. NaN under 24 px.

    Source: Odena, Dumoulin, Olah 2016, Distill, doi 10.23915/distill.00003; peaks in the spectrum as traces of
    upsampling: Zhang, Karaman, Chang 2019 (1907.06515).
    """
    height, width = (side // 4 * 4 for side in gray.shape)
    if min(height, width) < 24:
        return float("nan")
    power = np.log10(_transform(gray[:height, :width]) + LEAST_POWER**2)
    row, column = np.array([(row, column) for row in range(4) for column in range(3)][1:]).T
    nearby = np.arange(-4, 5)
    rows = (row * height // 4)[:, None, None] + nearby[:, None]
    columns = (column * width // 4)[:, None, None] + nearby
    # The spectrum of a real image is symmetric: past its ends it runs back, mirrored about the origin.
    mirrored = (columns < 0) | (columns > width // 2)
    rows, columns = np.where(mirrored, -rows, rows) % height, np.where(mirrored, -columns, columns) % width
    around = power[rows, columns]
    middle = around[:, 4, 4].copy()
    # The window spreads a peak over its nearest neighbours.
    around[:, 2:7, 2:7] = np.nan
    return float(10 * (middle - np.nanmedian(around, axis=(1, 2))).max())


def measure_image(gray: NDArray[np.float32], *, edges: Floats) -> tuple[dict[str, float], Floats]:
    """Every property of an image, and its spectrum.

    Args:
        gray: float32 (height, width), 0..1, as `scale_gray` gives it; 4 px or more along each side.
        edges: of the spectrum's bands, see `build_band_edges`; the bands of `power_*` are shares of the last. Give the
            same edges for all images that are compared.

    Returns:
        Properties by name, in the order of `PROPERTIES`; NaN where the image is too small for one, or has one gray
        level. And `measure_spectrum`.
    """
    density, radius = _measure_density(gray)
    variance = float(gray.var(dtype=np.float64))
    total = _to_db(variance) if variance > 0 else float("nan")
    ends = np.array([1 / 8, 1 / 4, 1 / 2, 1]) * edges[-1]
    low, middle, high = _average_rings(density, radius, ends) * np.pi * (ends[1:] ** 2 - ends[:-1] ** 2)
    levels = np.bincount(np.rint(gray * np.float32(255)).astype(np.int64).ravel(), minlength=256)
    shares = levels[levels > 0] / gray.size
    first, last = np.percentile(gray, (1, 99))
    slope = _measure_slope(gray)
    steep = float(np.quantile(slope, 0.99)) * gray.shape[0]
    found = {
        "noise_sd": 100 * _measure_noise(gray, slope),
        "power_low": _to_db(low),
        "power_middle": _to_db(middle),
        "power_high": _to_db(high),
        "high_frequency_share": _to_db(high) - total,
        "laplacian_sharpness": _to_db(float(ndimage.laplace(gray).var(dtype=np.float64))) - total,
        "edge_slope": float(steep / (last - first)) if last > first else float("nan"),
        "gray_span": 100 * float(last - first),
        "mean_gray": 100 * float(gray.mean(dtype=np.float64)),
        "entropy": float(-(shares * np.log2(shares)).sum()),
        "distinct_levels": float(len(shares)),
        "clipped_share": 100 * float(((gray <= 0) | (gray >= 1)).mean()),
        "blocking": 100 * measure_blocking(gray),
        "periodic_peak": measure_periodic_peak(gray),
    }
    return {name: found[name] for name in PROPERTIES}, _average_rings(density, radius, edges)


def _to_db(power: float) -> float:
    return float(10 * np.log10(power + LEAST_POWER))


def _measure_noise(gray: Gray, slope: Gray) -> float:
    # The mask (1, -2, 1; -2, 4, -2; 1, -2, 1) is a second difference along each axis.
    response = np.abs(np.diff(np.diff(gray, 2, axis=0), 2, axis=1))
    clipped = (gray <= 0) | (gray >= 1)
    if clipped.any():
        free = ~ndimage.binary_dilation(clipped, np.ones((3, 3)))[1:-1, 1:-1]
        response, slope = response[free], slope[free]
    if not response.size:
        return float("nan")
    flat = slope <= np.quantile(slope, _FLATTEST)
    return float(np.sqrt(np.pi / 2) / 6 * response[flat].mean(dtype=np.float64))


def _measure_slope(gray: Gray) -> Gray:
    """Steepness by Sobel's masks, per pixel, without the outermost pixels."""
    smooth = [gray[:-2] + 2 * gray[1:-1] + gray[2:], gray[:, :-2] + 2 * gray[:, 1:-1] + gray[:, 2:]]
    across, down = smooth[0][:, 2:] - smooth[0][:, :-2], smooth[1][2:] - smooth[1][:-2]
    return np.sqrt(across**2 + down**2) / 8


def _transform(gray: Gray) -> Floats:
    """Squared magnitudes (height, width // 2 + 1) under a Hann window of mean square 1."""
    height, width = gray.shape
    window = np.outer(*(np.hanning(side + 2)[1:-1] for side in (height, width))).astype(np.float32)
    window /= np.sqrt((window**2).mean())
    return np.asarray(np.abs(fft.rfft2((gray - gray.mean()) * window)) ** 2, np.float64)


def _measure_density(gray: Gray) -> tuple[Floats, Floats]:
    """Power density and the frequency (cycles per image height) of each place of the half-plane."""
    height, width = gray.shape
    rows = fft.fftfreq(height) * height
    columns = fft.rfftfreq(width) * height
    density = _transform(gray) / (height * width) ** 2 * (width / height)
    return density, np.hypot(rows[:, None], columns[None, :])


def _average_rings(density: Floats, radius: Floats, edges: Floats) -> Floats:
    ring = np.searchsorted(edges, radius.ravel(), side="right")
    counts = np.bincount(ring, minlength=len(edges) + 1)[1:-1]
    totals = np.bincount(ring, density.ravel(), minlength=len(edges) + 1)[1:-1]
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(counts > 0, totals / np.maximum(counts, 1), np.nan))
