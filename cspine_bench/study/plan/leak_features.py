"""What may tell real from synthetic and is no anatomy: traces of files, coders, scanners, resampling and generators.

Each family is a table of a few numbers for each image. `FRAME_FAMILIES` are measured on frames as they are shown, so
what they tell reaches a reader's machine; `FILE_FAMILIES` on the files that the images came from, which a study never
sends.
"""

import zlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_BLOCK_PX: Final = 8
_FLAT_SHARE: Final = 0.01
_TINY: Final = 1e-9


def measure_histogram(frame: NDArray[Any]) -> list[float]:
    """Gray levels: shares clipped at both ends, range, gaps, and how rugged the histogram is (a comb).

    Args:
        frame: uint8 or uint16 (height, width).
    """
    top = int(np.iinfo(frame.dtype).max)
    low, high = int(frame.min()), int(frame.max())
    used = len(np.unique(frame))
    # Of 16 bits the low byte: a comb of stretched 8 bits is in it, and a histogram of few pixels is not full of holes.
    counts = np.bincount((frame & 255).ravel(), minlength=256).astype(np.float64)
    rugged = np.abs(counts[1:-1] - (counts[:-2] + counts[2:]) / 2).sum() / frame.size
    return [
        float((frame == 0).mean()), float((frame == top).mean()), float((frame == low).mean()),
        float((frame == high).mean()), low / top, high / top, used / min(high - low + 1, frame.size), float(rugged),
        float((frame & 1).mean()),
    ]  # fmt: skip


def measure_border(frame: NDArray[Any]) -> list[float]:
    """Each edge: how deep it is of one gray level, and how sharply its last line differs from the next."""
    image = frame.astype(np.float64) / np.iinfo(frame.dtype).max
    found = []
    for edge in (image, image[::-1], image.T, image.T[::-1]):
        flat = np.ptp(edge, axis=1) <= _FLAT_SHARE
        depth = len(edge) if flat.all() else int(np.argmin(flat))
        steps = np.abs(np.diff(edge[:8], axis=0)).mean(axis=1)
        found += [depth / len(edge), _log_ratio(float(steps[0]), float(np.median(steps[1:])))]
    return found


def measure_blocks(frame: NDArray[Any]) -> list[float]:
    """Both ways: steps between 8 x 8 blocks beside those inside them, where JPEG puts them and at the worst offset.

    Source: the blockiness of Wang, Sheikh, Bovik 2002 (ICIP), as a ratio of second differences.
    """
    image = frame.astype(np.float64)
    found = []
    for turned in (image, image.T):
        steps = np.abs(np.diff(turned, axis=1)).mean(axis=0)
        extra = steps[1:-1] - (steps[:-2] + steps[2:]) / 2
        # Step k of `extra` lies between pixels k + 1 and k + 2.
        by_offset = np.array([extra[(offset - 1) % _BLOCK_PX :: _BLOCK_PX].mean() for offset in range(_BLOCK_PX)])
        scale = float(steps.mean()) + _TINY
        found += [float(by_offset[_BLOCK_PX - 1]) / scale, float(by_offset.max() - np.median(by_offset)) / scale]
    return found


def measure_noise(frame: NDArray[Any]) -> list[float]:
    """What is left of an image without its smooth part, and the upper half of its spectrum.

    Source: the first is the noise of Immerkaer 1996, Computer Vision and Image Understanding 64, 300-302.
    """
    image = frame.astype(np.float64) / np.iinfo(frame.dtype).max
    across = image[:, :-2] - 2 * image[:, 1:-1] + image[:, 2:]
    rest = across[:-2] - 2 * across[1:-1] + across[2:]
    sizes = np.abs(rest)
    variance = float(rest.var()) + _TINY
    lags = [float((rest[:, 1:] * rest[:, :-1]).mean()), float((rest[1:] * rest[:-1]).mean())]
    window = np.outer(np.hanning(image.shape[0]), np.hanning(image.shape[1]))
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
    radius = np.hypot(*np.meshgrid(*(np.fft.fftfreq(side) for side in image.shape), indexing="ij"))
    bands = [power[(radius >= low) & (radius < low + 0.1)].mean() for low in (0.2, 0.3, 0.4, 0.5)]
    total = float(power.sum()) / power.size
    return [
        float(np.log(sizes.mean() + _TINY)), float(np.log(np.median(sizes) + 1e-6)), float((sizes < 1e-6).mean()),
        lags[0] / variance, lags[1] / variance, float(np.log((rest**4).mean() / variance**2 + _TINY)),
        *(_log_ratio(float(band), total) for band in bands),
    ]  # fmt: skip


def measure_compressibility(frame: NDArray[Any]) -> list[float]:
    """Bytes that a lossless coder needs for a byte of the frame: as it is, and of differences along rows."""
    steps = np.diff(frame, axis=1, prepend=frame[:, :1])  # wraps round, as PNG's filters do
    return [len(zlib.compress(np.ascontiguousarray(part).tobytes(), 6)) / part.nbytes for part in (frame, steps)]


def measure_file_size(png: bytes) -> list[float]:
    """Logarithm of the bytes of a file."""
    return [float(np.log(len(png)))]


def measure_metadata(png: bytes) -> list[float]:
    """What a PNG says beside its pixels: width, height, bit depth, number of other chunks and their bytes.

    Args:
        png: a well-formed file: it has been decoded before.
    """
    width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))
    count = size = 0
    place = 8
    while place + 8 <= len(png):
        length, kind = int.from_bytes(png[place : place + 4], "big"), png[place + 4 : place + 8]
        if kind not in (b"IHDR", b"IDAT", b"IEND"):
            count, size = count + 1, size + length
        place += length + 12
    return [float(width), float(height), float(png[24]), float(count), float(np.log1p(size))]


FRAME_FAMILIES: Final[dict[str, Callable[[NDArray[Any]], list[float]]]] = {
    "histogram": measure_histogram,
    "border": measure_border,
    "8 x 8 blocks": measure_blocks,
    "noise and spectrum": measure_noise,
    "compressibility": measure_compressibility,
}
FILE_FAMILIES: Final[dict[str, Callable[[bytes], list[float]]]] = {
    "file size": measure_file_size,
    "file metadata": measure_metadata,
}


def _log_ratio(value: float, other: float) -> float:
    return float(np.log((value + _TINY) / (other + _TINY)))
