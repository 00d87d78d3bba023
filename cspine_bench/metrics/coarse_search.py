"""The first of two stages of a search under many moves: every pair by short descriptors, to find what to register.

At full resolution a thousand moves of every pair would take hours. Descriptors of 128 numbers keep most of what tells
radiographs apart, so that a copy is among the likest few; those are then laid on each other at full resolution.

index = CoarseIndex(train_maps)
found = index.search(images=maps, variants=WIDE, count=24)
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.copying import Maps
from cspine_bench.metrics.near_copies import (
    NearCopies,
    Region,
    Variant,
    build_resampling,
    list_variants,
    list_window,
    normalise_columns,
)

COARSENESS: Final = 2
"""Pixels of the maps, each way, that are one pixel here."""
MARGIN_PX: Final = 2
_DIMENSION: Final = 128
_LARGEST_SAMPLE: Final = 2048
_BLOCK_IMAGES: Final = 256
_TILE: Final = 512

_STEPS: Final = tuple(itertools.product((-3.0, -1.5, 0.0, 1.5, 3.0), (-3.0, -1.5, 0.0, 1.5, 3.0)))
_SHIFTS: Final = tuple(step for step in _STEPS if abs(step[0]) + abs(step[1]) <= 3)
_FAR_SHIFTS: Final = tuple(step for step in _STEPS if step not in _SHIFTS)
WIDE: Final = (
    *itertools.starmap(
        Variant,
        itertools.product(
            (False, True), (-18.0, -12.0, -6.0, 0.0, 6.0, 12.0, 18.0), (0.8, 0.9, 1.0, 1.12, 1.25), _SHIFTS
        ),
    ),
    *itertools.starmap(Variant, itertools.product((False, True), (-6.0, 0.0, 6.0), (1.12, 1.25), _FAR_SHIFTS)),
    *list_variants(max_shift_px=4),
)
"""Turns of up to 20 degrees, scales of 0.75 to 1.35 and shifts of up to 10 % of the side, mirrored or not: 1,216, so
near to each other that registration closes the gaps. What was cut out far from the centre is shifted farther."""
UPENDED: Final = tuple(
    itertools.starmap(
        Variant,
        itertools.product(
            (False, True),
            tuple(turn + tilt for turn in (90.0, 180.0, 270.0) for tilt in (0.0, -6.0, 6.0)),
            (1.0,),
            _SHIFTS,
        ),
    )
)
"""Quarter turns, up to 9 degrees more or less, mirrored or not, 13 shifts: 234; for square maps."""


def coarsen(maps: Maps) -> Maps:
    """Means of 2 x 2 px, float32 (n, height // 2, width // 2)."""
    height, width = (length // COARSENESS for length in maps.shape[1:])
    kept = maps[:, : height * COARSENESS, : width * COARSENESS]
    return np.asarray(kept.reshape(len(maps), height, COARSENESS, width, COARSENESS).mean((2, 4)), np.float32)


class CoarseIndex:
    """References as descriptors: principal components of their windows, each divided by the root of its spread.

    Divided so, what all references vary in the most, which is how the spine stands, does not drown what tells two of
    them apart. (Divided by the spread itself, noise would count as much as anatomy.)
    """

    def __init__(self, references: Maps, *, region: Region | None = None, dimension: int = _DIMENSION) -> None:
        """Describe the references.

        Args:
            references: float32 (m, height, width), from `remove_low_frequencies`.
            region: of the references that must be found again; all where None.
            dimension: of the descriptors, at most as many as the references and the pixels allow.

        Raises:
            ValueError: the region holds fewer than 4 px.
        """
        coarse = coarsen(references)
        self._size = (int(coarse.shape[1]), int(coarse.shape[2]))
        self._rows, self._columns = list_window(self._size[0], self._size[1], region or Region(), MARGIN_PX)
        windows = normalise_columns(self._cut(coarse)).T
        step = -(-len(windows) // _LARGEST_SAMPLE)
        sample = windows[::step].astype(np.float64)
        values, vectors = np.linalg.eigh(sample.T @ sample)
        kept = np.flatnonzero(values > 1e-6 * values[-1])[::-1][:dimension]
        basis = vectors[:, kept] * (values[-1] / values[kept]) ** 0.25 if len(kept) else vectors[:, -1:]
        self._basis = np.ascontiguousarray(basis.T.astype(np.float32))
        self._references = np.ascontiguousarray(_normalise_rows(windows @ self._basis.T).T)

    def _cut(self, coarse: Maps) -> NDArray[np.float32]:
        window = coarse[:, self._rows[:, None], self._columns]
        return np.ascontiguousarray(window.reshape(len(coarse), -1).T)

    def __len__(self) -> int:
        return int(self._references.shape[1])

    def search(self, *, images: Maps, variants: Sequence[Variant], count: int) -> NearCopies:
        """The references whose descriptors are the likest to each image's, over all variants; every pair is compared.

        Args:
            images: float32 (n, height, width), of the references' size.
            variants: to be tried; shifts in coarse px.
            count: references to return, at most as many as there are.

        Returns:
            The similarity is that of descriptors: of use for ranking only.

        Raises:
            ValueError: sizes differ, no variants, or the count is too large.
        """
        coarse = coarsen(images)
        if coarse.shape[1:] != self._size or not variants or not 1 <= count <= len(self):
            raise ValueError(
                f"needs images of the references' size, variants, and a count of 1 to {len(self)}, got "
                f"{images.shape}, {len(variants)} and {count}"
            )
        moves = _build_moves(tuple(variants), tuple(self._rows), tuple(self._columns), self._size)
        parts = []
        for start in range(0, len(coarse), _BLOCK_IMAGES):
            flat = np.ascontiguousarray(coarse[start : start + _BLOCK_IMAGES].reshape(-1, coarse[0].size).T)
            # By far the most memory of a search: filled in place, it is there once.
            described = np.empty((len(moves), flat.shape[1], len(self._basis)), np.float32)
            for number, move in enumerate(moves):
                described[number] = _normalise_rows(normalise_columns(move @ flat).T @ self._basis.T)
            parts.append(self._compare(described, count))
        return NearCopies(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def _compare(
        self, described: NDArray[np.float32], count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """(similarity, index, variant) of a block of images; `described` is (variants, images, dimension)."""
        size = described.shape[1]
        similarity = np.full((size, count), -1, np.float32)
        index, which = np.zeros((size, count), np.int64), np.zeros((size, count), np.int64)
        for first in range(0, len(self), _TILE):
            tile = np.ascontiguousarray(self._references[:, first : first + _TILE])
            best = np.full((size, tile.shape[1]), -1, np.float32)
            number = np.zeros(best.shape, np.int16)
            found = np.empty_like(best)
            for variant, vectors in enumerate(described):
                np.matmul(vectors, tile, out=found)
                np.abs(found, out=found)
                better = found > best
                np.copyto(number, np.int16(variant), where=better)
                np.maximum(best, found, out=best)
            places = np.broadcast_to(np.arange(first, first + tile.shape[1]), best.shape)
            joined = [np.concatenate(pair, axis=1) for pair in ((similarity, best), (index, places), (which, number))]
            order = np.argsort(-joined[0], axis=1, kind="stable")[:, :count]
            similarity, index, which = (np.take_along_axis(part, order, axis=1) for part in joined)
        return similarity, index, which


@functools.lru_cache(maxsize=16)
def _build_moves(
    variants: tuple[Variant, ...], rows: tuple[int, ...], columns: tuple[int, ...], size: tuple[int, int]
) -> list[Any]:
    """Kept for the next images: a thousand of them take longer to build than to use on a few images."""
    return [build_resampling(variant, np.array(rows), np.array(columns), *size) for variant in variants]


def _normalise_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.where(length > 0, vectors / np.where(length > 0, length, 1), 0), np.float32)
