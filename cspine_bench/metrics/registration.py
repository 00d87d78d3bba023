"""The second look at pairs that the search for near copies found: laid on each other as well as they will go."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.copying import Maps
from cspine_bench.metrics.near_copies import MARGIN_PX, Region, Variant, list_window

Moves = NDArray[np.float32]

_BLOCK_PAIRS: Final = 32
# Steps of Levenberg and Marquardt: the damping, what a good step divides it by, what a bad one multiplies it by.
_DAMPING, _BOLDER, _WARIER = 1e-3, 5.0, 10.0
# An image is neither squeezed to less than half nor drawn to more than twice its area.
_LARGEST_AREA: Final = 2.0


@dataclass(frozen=True)
class Registrations:
    """How images lie on their references.

    Attributes:
        correlation: float32 (n,), -1..1, negative for an inverted copy; 0 of a blank map.
        moves: float32 (n, 2, 3), from (row, column, 1) px of the reference, counted from its centre, to those of the
            image.
    """

    correlation: NDArray[np.float32]
    moves: Moves


def build_moves(variants: Sequence[Variant]) -> Moves:
    """Where variants of the search lie, float32 (n, 2, 3): the start of a registration."""
    moves = np.empty((len(variants), 2, 3), np.float32)
    for move, variant in zip(moves, variants, strict=True):
        angle = math.radians(variant.rotation_deg)
        cosine, sine = variant.scale * math.cos(angle), variant.scale * math.sin(angle)
        mirror = -1 if variant.flip else 1
        move[:] = (cosine, -sine * mirror, variant.shift_px[0]), (sine, cosine * mirror, variant.shift_px[1])
    return moves


def describe_move(move: Moves) -> str:
    """What was done to a reference, in words: "mirrored, turned by 4.9 deg, scaled by 1.02, shifted by (0.6, -1.4) px".

    Args:
        move: float (2, 3), one of `Registrations.moves`; shear and unequal sides are not told.
    """
    across, down, shift = move[:, 1].astype(float), move[:, 0].astype(float), move[:, 2].astype(float)
    area = float(down[0] * across[1] - down[1] * across[0])
    words = ["mirrored"] if area < 0 else []
    angle = math.degrees(math.atan2(down[1], down[0]))
    if abs(angle) >= 0.5:
        words.append(f"turned by {angle:.1f} deg")
    if abs(math.sqrt(abs(area)) - 1) >= 0.005:
        words.append(f"scaled by {math.sqrt(abs(area)):.2f}")
    if np.abs(shift).max() >= 0.25:
        words.append(f"shifted by ({shift[0]:.1f}, {shift[1]:.1f}) px")
    return ", ".join(words) or "as it was"


def register_pairs(
    *,
    images: Maps,
    references: Maps,
    starts: Moves,
    region: Region | None = None,
    margin_px: int = MARGIN_PX,
    max_steps: int = 15,
) -> Registrations:
    """Turn, stretch, shear and shift images from where the search found them until they correlate best.

    A copy that lay between two variants comes up towards 1; an honest image gains less. What honest pairs reach is to
    be seen on images held out, searched and registered in the same way.

    Args:
        images: float32 (n, height, width), from `remove_low_frequencies`.
        references: float32 (n, height, width), likewise: the reference of each image.
        starts: float32 (n, 2, 3), from `build_moves` or an earlier registration.
        region: of the references that is compared; all of it where None.
        margin_px: see `search_near_copies`.
        max_steps: affine moves to try for each pair.

    Returns:
        The best found, by absolute value; no worse than at the start.

    Raises:
        ValueError: sizes differ, or leave nothing within the margin.

    Source: the enhanced correlation coefficient, Evangelidis, Psarakis 2008, IEEE TPAMI 30, 1858-1865, forward
    additive, with the damping of Levenberg and Marquardt; a step that lowers the correlation is not taken.
    """
    if images.shape != references.shape or images.ndim != 3 or starts.shape != (len(images), 2, 3):
        raise ValueError(
            f"needs as many images as references, of one size, and moves, got {images.shape}, {references.shape} and "
            f"{starts.shape}"
        )
    height, width = images.shape[1:]
    rows, columns = list_window(height, width, region or Region(), margin_px)
    grid = np.meshgrid(rows - (height - 1) / 2, columns - (width - 1) / 2, indexing="ij")
    places = np.stack([axis.ravel() for axis in (*grid, np.ones_like(grid[0]))]).astype(np.float32)
    window = references[:, rows[:, None], columns].reshape(len(references), places.shape[1])
    parts = [
        _register(images[block], _standardise(window[block]), starts[block], places, max_steps)
        for block in (slice(start, start + _BLOCK_PAIRS) for start in range(0, len(images), _BLOCK_PAIRS))
    ]
    if not parts:
        return Registrations(np.empty(0, np.float32), np.empty((0, 2, 3), np.float32))
    correlation, moves = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Registrations(correlation, moves)


def _register(
    images: Maps, target: Moves, moves: Moves, places: NDArray[np.float32], max_steps: int
) -> tuple[NDArray[np.float32], Moves]:
    """Correlation and moves of one block; `target` of mean 0 and length 1."""
    best, slopes = _sample(images, moves, places)
    unit = _standardise(best)
    reached = np.einsum("ij,ij->i", unit, target)
    target = np.where(reached < 0, -1, 1).astype(np.float32)[:, None] * target
    sign, reached = np.where(reached < 0, -1, 1).astype(np.float32), np.abs(reached)
    moves, damping = moves.copy(), np.full(len(images), _DAMPING)
    for _ in range(max_steps):
        step = _solve_step(best, slopes, target, places, damping)
        tried = moves + step
        values, new_slopes = _sample(images, tried, places)
        found = np.einsum("ij,ij->i", _standardise(values), target)
        area = np.abs(np.linalg.det(tried[:, :, :2].astype(np.float64)))
        better = (found > reached) & (area < _LARGEST_AREA) & (area > 1 / _LARGEST_AREA)
        gain = float(np.max(np.where(better, found - reached, 0), initial=0))
        moves[better], reached[better], best[better] = tried[better], found[better], values[better]
        for slope, new in zip(slopes, new_slopes, strict=True):
            slope[better] = new[better]
        damping = np.where(better, damping / _BOLDER, damping * _WARIER)
        if gain < 1e-5 and damping.min() > 1:
            break
    return sign * reached, moves


def _sample(
    images: Maps, moves: Moves, places: NDArray[np.float32]
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """(n, pixels) of the images where the window went, linearly, edges repeated; and their slopes by row and column."""
    count, height, width = images.shape
    y, x = (
        (moves[:, axis] @ places + np.float32((length - 1) / 2)).clip(0, length - 1)
        for axis, length in enumerate((height, width))
    )
    top, left = np.minimum(y.astype(np.int32), height - 2), np.minimum(x.astype(np.int32), width - 2)
    cell = top * np.int32(width) + left + (np.arange(count, dtype=np.int32) * np.int32(height * width))[:, None]
    flat = images.reshape(-1)
    here, right = flat[cell], flat[cell + 1]
    below, across = flat[cell + width], flat[cell + width + 1]
    y, x = y - top, x - left
    upper, lower = here + x * (right - here), below + x * (across - below)
    by_row = lower - upper
    return upper + y * by_row, [by_row, right - here + y * (across - below - right + here)]


def _solve_step(
    values: NDArray[np.float32],
    slopes: list[NDArray[np.float32]],
    target: NDArray[np.float32],
    places: NDArray[np.float32],
    damping: NDArray[np.float64],
) -> Moves:
    """Step of the six numbers of each move, (n, 2, 3)."""
    centred = values - values.mean(axis=1, keepdims=True)
    jacobian = np.concatenate([slope[:, None] * places for slope in slopes], axis=1)
    jacobian -= jacobian.mean(axis=2, keepdims=True)
    hessian = (jacobian @ jacobian.transpose(0, 2, 1)).astype(np.float64)
    right = (jacobian @ np.stack([centred, target], axis=2)).astype(np.float64)
    diagonal = np.einsum("ijj->ij", hessian)
    # A blank map has no slopes: then no step.
    floor = 1e-9 * diagonal.max(axis=1, keepdims=True) + 1e-12
    damped = hessian + np.einsum("ij,jk->ijk", damping[:, None] * diagonal + floor, np.eye(6))
    solved = np.linalg.solve(damped, right)
    along = np.einsum("ijk,ijl->ikl", right, solved)
    energy = np.einsum("ij,ij->i", centred, centred) - along[:, 0, 0]
    overlap = np.einsum("ij,ij->i", centred, target) - along[:, 0, 1]
    # Where the rest points the other way, the gain that fits best at the present place.
    gain = np.where(overlap > 1e-9, energy / np.maximum(overlap, 1e-9), np.einsum("ij,ij->i", centred, target))
    step = gain[:, None] * solved[:, :, 1] - solved[:, :, 0]
    return np.asarray(step.reshape(-1, 2, 3), np.float32)


def _standardise(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of mean 0 and length 1; all 0 where there is one gray level."""
    centred = pixels - pixels.mean(axis=1, keepdims=True)
    length = np.sqrt(np.einsum("ij,ij->i", centred, centred))
    # What averaging leaves of an image of one gray level is rounding.
    blank = length <= 1e-4 * math.sqrt(pixels.shape[1])
    return np.asarray(centred * np.where(blank, 0, 1 / np.where(blank, 1, length))[:, None], np.float32)
