"""What is done to a block of radiographs: decoded, held against what their records claim, and encoded.

Nothing here knows of a store or a dataset, so it runs in this process, in a worker, or on a node of a cluster.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.errors import DataError
from cspine_bench.features.encoder import Encoder
from cspine_bench.imaging.png import compute_pixel_sha256, decode_png

_HELD_BYTES: Final = 1 << 27
"""Decoded pixels that are kept until others of their size are there too: large films are encoded a few at a time."""


@dataclass(frozen=True)
class Film:
    """An image that is new to the store; `claimed` is the hash of its record, `known` whether it has features."""

    sample_id: str
    data: bytes
    file_sha256: str
    claimed: str
    known: bool


@dataclass(frozen=True)
class Encoded:
    """Hashes and features of new images; and hashes of those whose pixels have features already."""

    pixels: list[str]
    files: list[str]
    features: NDArray[np.float32]
    known_pixels: list[str]
    known_files: list[str]
    blank: set[str]


@dataclass
class _Waiting:
    """Decoded images that are not encoded yet, by size and depth."""

    alike: dict[tuple[Any, ...], list[tuple[int, NDArray[Any]]]] = field(default_factory=dict)
    num_bytes: int = 0

    def add(self, number: int, image: NDArray[Any]) -> None:
        self.alike.setdefault((image.shape, image.dtype.name), []).append((number, image))
        self.num_bytes += image.nbytes


@dataclass(frozen=True)
class BlockJob:
    """Settings of a run.

    Attributes:
        encoder: what turns images into vectors.
        allow_blank: take images of a single gray level too.
    """

    encoder: Encoder
    allow_blank: bool

    def refuse_blank(self, sample_id: str) -> None:
        """Called where an image of a single gray level is met."""
        if not self.allow_blank:
            raise DataError(
                f"sample {sample_id}: all pixels have one gray level; a blank image is no radiograph: leave it out, or "
                "find out what made it"
            )

    def encode(self, films: Sequence[Film]) -> Encoded:
        """Decode images, hold their pixels against what is claimed, and encode those that are new.

        Args:
            films: each file once.

        Raises:
            DataError: an image cannot be decoded, is blank, has other pixels than claimed, or features that are not
                finite; names the sample.
        """
        new: list[Film] = []
        known_pixels, known_files = [], []
        blank = set()
        features = np.empty((len(films), self.encoder.dimension), np.float32)
        waiting = _Waiting()
        for film in films:
            image = decode_png(film.data, where=f"sample {film.sample_id}: image")
            pixels = compute_pixel_sha256(image)
            check_claim(film.sample_id, film.claimed, pixels)
            if image.min() == image.max():
                self.refuse_blank(film.sample_id)
                blank.add(pixels)
            if film.known:
                known_pixels.append(pixels)
                known_files.append(film.file_sha256)
                continue
            waiting.add(len(new), image)
            new.append(film)
            if waiting.num_bytes >= _HELD_BYTES:
                self._encode_waiting(waiting, new, features)
                waiting = _Waiting()
        self._encode_waiting(waiting, new, features)
        return Encoded(
            [film.claimed for film in new],
            [film.file_sha256 for film in new],
            features[: len(new)],
            known_pixels,
            known_files,
            blank,
        )

    def _encode_waiting(self, waiting: _Waiting, films: Sequence[Film], features: NDArray[np.float32]) -> None:
        for group in waiting.alike.values():
            numbers = [number for number, _ in group]
            found = self.encoder.encode(np.stack([image for _, image in group]), allow_blank=self.allow_blank)
            broken = np.flatnonzero(~np.isfinite(found).all(axis=1))
            if len(broken):
                raise DataError(
                    f"sample {films[numbers[broken[0]]].sample_id}: {self.encoder.name} gives NaN or infinity for it; "
                    "its weights are broken, or the network cannot take an image like this"
                )
            features[numbers] = found


def check_claim(sample_id: str, claimed: str, found: str) -> None:
    """Stop where pixels are not those that a record claims."""
    if claimed != found:
        raise DataError(
            f"sample {sample_id}: its pixels have the hash {found}, its record claims {claimed}; the image or the "
            "record was changed: run `cspine-bench dataset verify` on the folder, and make it again"
        )
