"""What this machine can do at most: rates of memory, arithmetic, coding and disk, of one thread.

Each function does its work once and gives an amount a second. Processor rates are of CPU-seconds, those of the disk of
seconds by the clock.
"""

import hashlib
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zlib_ng import zlib_ng

from benchmarks.speed.noisy_films import NoisySource

COPIED_BYTES = 2**28
MATRIX_SIDE = 1536
HASHED_BYTES = 2**26
WRITTEN_BYTES = 2**28
WRITTEN_BLOCK = 2**22
APPENDED_BYTES = 512
APPENDS = 60
CODED_FILMS = 64
FILM_PX = 256


@dataclass(frozen=True)
class Rate:
    """One rate of the machine.

    Attributes:
        unit: amount a second.
        how: it is measured, in words.
        measure: once; gets a folder on the disk that the benchmarks use.
    """

    unit: str
    how: str
    measure: Callable[[Path], float]


def copy_memory(folder: Path) -> float:
    source, target = (np.ones(COPIED_BYTES, np.uint8) for _ in range(2))  # Ones, so that all pages are there.
    began = time.process_time()
    np.copyto(target, source)
    return 2 * COPIED_BYTES / (time.process_time() - began)


def multiply(dtype: Any) -> float:
    matrix = np.ones((MATRIX_SIDE, MATRIX_SIDE), dtype)
    began = time.process_time()
    matrix @ matrix
    return 2 * MATRIX_SIDE**3 / (time.process_time() - began)


def hash_bytes(folder: Path) -> float:
    data = bytes(HASHED_BYTES)
    began = time.process_time()
    hashlib.sha256(data).digest()
    return HASHED_BYTES / (time.process_time() - began)


def write_disk(folder: Path) -> float:
    path, block = folder / "written", os.urandom(WRITTEN_BLOCK)
    os.sync()
    began = time.perf_counter()
    with path.open("wb") as file:
        for _ in range(WRITTEN_BYTES // WRITTEN_BLOCK):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    taken = time.perf_counter() - began
    path.unlink()
    return WRITTEN_BYTES / taken


def append_disk(folder: Path) -> float:
    path, seconds = folder / "appended", []
    with path.open("wb") as file:
        for _ in range(APPENDS):
            began = time.perf_counter()
            file.write(bytes(APPENDED_BYTES))
            file.flush()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - began)
    path.unlink()
    return 1 / statistics.median(seconds)


def filter_films() -> list[NDArray[np.uint8]]:
    """Rows as a PNG stores them before deflate: each less the one above."""
    source = NoisySource(CODED_FILMS, FILM_PX)
    films = source.iter_radiographs(source.list_samples())
    return [np.diff(film.image, axis=0, prepend=film.image[:1]).astype(np.uint8) for film in films]


def deflate(data: NDArray[np.uint8]) -> bytes:
    coder = zlib_ng.compressobj(1, zlib_ng.DEFLATED, zlib_ng.MAX_WBITS, 9, zlib_ng.Z_RLE)
    return bytes(coder.compress(data.data) + coder.flush())


def deflate_films(folder: Path) -> float:
    films = filter_films()
    began = time.process_time()
    for film in films:
        deflate(film)
    return sum(film.size for film in films) / (time.process_time() - began)


def inflate_films(folder: Path) -> float:
    packed = [deflate(film) for film in filter_films()]
    began = time.process_time()
    total = sum(len(zlib_ng.decompress(data)) for data in packed)
    return total / (time.process_time() - began)


RATES: dict[str, Rate] = {
    "memory": Rate("bytes/s", "numpy copies 256 MiB; each byte counts as read and as written", copy_memory),
    "float32": Rate("FLOP/s", f"numpy multiplies two float32 matrices of side {MATRIX_SIDE}: 2 side^3 operations",
                    lambda folder: multiply(np.float32)),
    "float64": Rate("FLOP/s", "the same in float64", lambda folder: multiply(np.float64)),
    "deflate": Rate("bytes/s", f"zlib-ng, run lengths only, of the filtered rows of {CODED_FILMS} noisy films",
                    deflate_films),
    "inflate": Rate("bytes/s", "zlib-ng undoes that; bytes that come out", inflate_films),
    "sha256": Rate("bytes/s", "hashlib over 64 MiB", hash_bytes),
    "disk": Rate("bytes/s", "256 MiB written in blocks of 4 MiB, then fsync; by the clock", write_disk),
    "fsync": Rate("appends/s", f"{APPENDED_BYTES} bytes appended, then fsync, the median of {APPENDS}; by the clock",
                  append_disk),
}  # fmt: skip
