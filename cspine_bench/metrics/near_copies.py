"""Exhaustive search for near copies: every image against every reference, moved, mirrored, turned and scaled.

maps = remove_low_frequencies(pixels)                                      of both sets
found = search_near_copies(images=maps, references=train_maps, variants=SHIFTED)
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.copying import Maps

MARGIN_PX: Final = 4
_BLOCK_IMAGES: Final = 1024
_BLOCK_REFERENCES: Final = 8192
_TILE: Final = 512


@dataclass(frozen=True)
class Variant:
    """What was done to a reference, in this order, to make the image.

    Attributes:
        flip: mirrored left to right.
        rotation_deg: turned about the centre, from the row axis towards the column axis.
        scale: enlarged about the centre; less than 1 shrinks.
        shift_px: (rows, columns) moved afterwards, in px of the maps.
    """

    flip: bool = False
    rotation_deg: float = 0.0
    scale: float = 1.0
    shift_px: tuple[float, float] = (0, 0)


@dataclass(frozen=True)
class Region:
    """A part of the reference that must be found again; 0..1 of its height and width."""

    top: float = 0.0
    bottom: float = 1.0
    left: float = 0.0
    right: float = 1.0


@dataclass(frozen=True)
class NearCopies:
    """The references most like each image, the likest first.

    Attributes:
        similarity: float32 (n, count), 0..1: absolute correlation at the best variant.
        index: int64 (n, count), of the reference.
        variant: int64 (n, count), of the variants searched.
    """

    similarity: NDArray[np.float32]
    index: NDArray[np.int64]
    variant: NDArray[np.int64]


def list_variants(
    *,
    flips: Sequence[bool] = (False, True),
    rotations_deg: Sequence[float] = (0.0,),
    scales: Sequence[float] = (1.0,),
    max_shift_px: int = 2,
) -> tuple[Variant, ...]:
    """All combinations, with every whole shift of at most `max_shift_px` each way."""
    steps = range(-max_shift_px, max_shift_px + 1)
    return tuple(
        Variant(flip, rotation, scale, (down, right))
        for flip, rotation, scale, down, right in itertools.product(flips, rotations_deg, scales, steps, steps)
    )


SHIFTED: Final = list_variants()
"""Mirrored or not, 25 shifts: 50."""


def search_near_copies(
    *,
    images: Maps,
    references: Maps,
    variants: Sequence[Variant] = SHIFTED,
    count: int = 1,
    region: Region | None = None,
    margin_px: int = MARGIN_PX,
    skip_same_row: bool = False,
) -> NearCopies:
    """The references most like each image over all variants; nothing is sampled or indexed.

    Brightness, contrast and inversion do not matter. What similarity honest images reach depends on the variants, the
    region, the number of references and the kind of radiograph, so compare it with that of images held out, searched
    in the same way. A part of a radiograph reaches more than the whole by chance: calibrate each region for itself.

    Memory: a few blocks of fixed size besides the arrays given, whatever n and m are.

    Args:
        images: float32 (n, height, width), from `remove_low_frequencies`.
        references: float32 (m, height, width), likewise.
        variants: to be tried; what they move in from outside an image repeats its edge.
        count: references to return for each image, at most as many as there are to compare with.
        region: of the references that is compared; all of it where None.
        margin_px: left out along each edge of the reference, so that moved images still fill the rest.
        skip_same_row: image i is not compared with reference i: for duplicates inside one set.

    Raises:
        ValueError: sizes differ, the region holds fewer than 4 px, no variants, quarter turns of maps that are not
            square, or a count that is too large.

    Source: high-pass normalised correlation, absolute value, over shifts and flips, as `compute_similarity`.
    """
    height, width = references.shape[1:]
    available = len(references) - (1 if skip_same_row else 0)
    if images.shape[1:] != (height, width) or not variants:
        raise ValueError(
            f"maps must be of one size and variants at least one, got {images.shape}, {references.shape} and "
            f"{len(variants)} variants"
        )
    if not 1 <= count <= available:
        raise ValueError(f"count must be 1 to {available}, the references to compare with; got {count}")
    rows, columns = list_window(height, width, region or Region(), margin_px)
    moves = [build_resampling(variant, rows, columns, height, width) for variant in variants]
    similarity = np.empty((len(images), count), np.float32)
    index, which = np.empty((len(images), count), np.int64), np.empty((len(images), count), np.int64)
    for start in range(0, len(images), _BLOCK_IMAGES):
        block = slice(start, start + _BLOCK_IMAGES)
        flat = np.ascontiguousarray(images[block].reshape(len(images[block]), -1).T)
        parts = []
        for first in range(0, len(references), _BLOCK_REFERENCES):
            window = references[first : first + _BLOCK_REFERENCES][:, rows[:, None], columns]
            best, variant = _compare(flat, moves, normalise_columns(window.reshape(len(window), -1).T))
            if skip_same_row:
                image, reference = _find_same(start, first, best.shape)
                best[image, reference] = -1
            parts.append(_pick(best, variant, min(count, best.shape[1]), first))
        joined = [np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True)]
        order = np.argsort(-joined[0], axis=1, kind="stable")[:, :count]
        similarity[block], index[block], which[block] = (np.take_along_axis(part, order, axis=1) for part in joined)
    return NearCopies(similarity, index, which)


def list_window(height: int, width: int, region: Region, margin_px: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the reference that are compared."""
    rows = np.arange(max(margin_px, round(region.top * height)), min(height - margin_px, round(region.bottom * height)))
    columns = np.arange(max(margin_px, round(region.left * width)), min(width - margin_px, round(region.right * width)))
    if margin_px < 0 or len(rows) * len(columns) < 4:
        raise ValueError(f"{region} of maps of {height} x {width} px less a margin of {margin_px} px holds under 4 px")
    return rows, columns


def build_resampling(
    variant: Variant, rows: NDArray[np.int64], columns: NDArray[np.int64], height: int, width: int
) -> Any:
    """Sparse float32 (window px, map px): samples an image, linearly, where the reference's window went."""
    from scipy import sparse

    if variant.rotation_deg % 180 == 90 and height != width:
        raise ValueError(f"quarter turns need square maps, got {height} x {width} px")
    down, right = np.meshgrid(rows - (height - 1) / 2, columns - (width - 1) / 2, indexing="ij")
    right = -right if variant.flip else right
    angle = math.radians(variant.rotation_deg)
    cosine, sine = variant.scale * math.cos(angle), variant.scale * math.sin(angle)
    # Rounded, so that a whole shift or a quarter turn reads one pixel each.
    y = np.round(cosine * down - sine * right + (height - 1) / 2 + variant.shift_px[0], 6).clip(0, height - 1).ravel()
    x = np.round(sine * down + cosine * right + (width - 1) / 2 + variant.shift_px[1], 6).clip(0, width - 1).ravel()
    top, left = np.floor(y).astype(int).clip(max=height - 2), np.floor(x).astype(int).clip(max=width - 2)
    weights, cells = [], []
    for dy, dx in itertools.product((0, 1), (0, 1)):
        weights.append(np.abs(1 - dy - (y - top)) * np.abs(1 - dx - (x - left)))
        cells.append((top + dy) * width + left + dx)
    pixels = np.tile(np.arange(len(y)), 4)
    move = sparse.csr_array(
        (np.concatenate(weights).astype(np.float32), (pixels, np.concatenate(cells))), shape=(len(y), height * width)
    )
    move.eliminate_zeros()
    return move


def normalise_columns(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Columns of mean 0 and length 1; those of one gray level of 0."""
    pixels = pixels - pixels.mean(axis=0)
    length = np.sqrt(np.einsum("ij,ij->j", pixels, pixels))
    # What averaging leaves of an image of one gray level is rounding.
    blank = length <= 1e-4 * np.sqrt(len(pixels))
    pixels *= np.where(blank, 0, 1 / np.where(blank, 1, length)).astype(np.float32)
    return pixels


def _compare(
    flat: NDArray[np.float32], moves: Sequence[Any], window: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Largest absolute correlation of each image with each reference, and the variant that has it."""
    best = np.full((flat.shape[1], window.shape[1]), -1, np.float32)
    which = np.zeros(best.shape, np.int32)
    for number, move in enumerate(moves):
        moved = np.ascontiguousarray(normalise_columns(move @ flat).T)
        for start in range(0, window.shape[1], _TILE):
            tile = slice(start, start + _TILE)
            found = moved @ window[:, tile]
            np.abs(found, out=found)
            better = found > best[:, tile]
            np.copyto(best[:, tile], found, where=better)
            np.copyto(which[:, tile], number, where=better)
    return best, which


def _find_same(start: int, first: int, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Places in a block, whose first image is `start` and first reference `first`, of equal numbers."""
    number = np.arange(max(start, first), min(start + shape[0], first + shape[1]))
    return number - start, number - first


def _pick(
    best: NDArray[np.float32], which: NDArray[np.int32], count: int, first: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    index = np.argpartition(-best, count - 1, axis=1)[:, :count]
    return (
        np.take_along_axis(best, index, axis=1),
        index + first,
        np.take_along_axis(which, index, axis=1).astype(np.int64),
    )
