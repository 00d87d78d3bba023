"""Agreement of label maps, structure by structure: overlap, and distances between boundaries.

A label map gives every pixel one label. Each structure, the pixels of one label, is compared on its own. Its boundary
is those of its pixels that have, above, below, left or right, a pixel of another label or the edge of the image; a
distance runs from the centre of a boundary pixel to the nearest one of the other boundary, exactly (Euclidean).

Empty structures, everywhere alike: where both maps lack a label there is nothing to compare, and each score is NaN.
Where one map lacks it, overlap and surface Dice are 0 and distances are infinite. Which of these enter a mean, and how,
is for the caller to say.

The definitions are those of MONAI 1.6 with its defaults (`compute_dice`, `compute_iou`, `compute_surface_dice`,
`compute_hausdorff_distance(percentile=95)`, `compute_average_surface_distance(symmetric=True)`), apart from empty
structures. Source: Maier-Hein et al. 2024 (Metrics Reloaded), Nature Methods 21, 195-212.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Maps = NDArray[np.integer]
Floats = NDArray[np.float64]

PERCENTILE: Final = 95
_ROUNDING: Final = 1e-9
_NUM_LABELS: Final = 256


@dataclass(frozen=True)
class PixelCounts:
    """Pixels of each structure, int64 (n, L).

    Attributes:
        both: in both maps.
        preds: in the predicted one.
        target: in the true one.
    """

    both: NDArray[np.int64]
    preds: NDArray[np.int64]
    target: NDArray[np.int64]


@dataclass(frozen=True)
class SurfaceScores:
    """What boundaries say of each structure, float64 (n, L); see the module for empty ones.

    Attributes:
        surface_dice: share of both boundaries that has the other within the tolerance, 0..1.
        hausdorff95: the larger of the two 95th percentiles, between neighbours by the line that joins them.
        assd: mean distance over the pixels of both boundaries: average symmetric surface distance.
    """

    surface_dice: Floats
    hausdorff95: Floats
    assd: Floats


def count_pixels(*, preds: Maps, target: Maps, labels: Sequence[int]) -> PixelCounts:
    """Pixels of each structure in two sets of label maps.

    Args:
        preds: int (n, H, W), 0..255.
        target: as preds.
        labels: L of 1..255, each once.

    Raises:
        ValueError: shapes differ, or a label is out of range or named twice.
    """
    wanted = _require_maps(preds, target, labels)
    images = np.arange(len(preds))[:, None, None] * _NUM_LABELS

    def count(maps: Maps, seen: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        keys = images + maps
        counts = np.bincount(keys.ravel() if seen is None else keys[seen], minlength=len(preds) * _NUM_LABELS)
        return np.asarray(counts.reshape(-1, _NUM_LABELS)[:, wanted], np.int64)

    return PixelCounts(both=count(target, preds == target), preds=count(preds), target=count(target))


def dice(*, preds: Maps, target: Maps, labels: Sequence[int]) -> Floats:
    """Twice the pixels in both over the pixels of each.

    Args:
        preds: int (n, H, W), 0..255.
        target: as preds.
        labels: L of 1..255, each once.

    Returns:
        float64 (n, L), 0..1, higher is better; NaN where both maps lack the label, 0 where one does.

    Raises:
        ValueError: as `count_pixels`.

    Source: Dice 1945, Ecology 26, 297-302.
    """
    return dice_of_counts(count_pixels(preds=preds, target=target, labels=labels))


def dice_of_counts(counts: PixelCounts) -> Floats:
    """`dice` from pixels that were counted already, float64 (n, L)."""
    return _divide(2 * counts.both, counts.preds + counts.target)


def iou(*, preds: Maps, target: Maps, labels: Sequence[int]) -> Floats:
    """Pixels in both over pixels in either: intersection over union, with arguments and result as `dice`.

    Source: Jaccard 1912, New Phytologist 11, 37-50.
    """
    return iou_of_counts(count_pixels(preds=preds, target=target, labels=labels))


def iou_of_counts(counts: PixelCounts) -> Floats:
    """`iou` from pixels that were counted already, float64 (n, L)."""
    return _divide(counts.both, counts.preds + counts.target - counts.both)


def compare_surfaces(
    *, preds: Maps, target: Maps, labels: Sequence[int], spacing: NDArray[np.floating], tolerance: float
) -> SurfaceScores:
    """Distances between the boundaries of each structure.

    Args:
        preds: int (n, H, W), 0..255.
        target: as preds.
        labels: L of 1..255, each once.
        spacing: float (n,), side of a (square) pixel of each image, mm; distances have its unit. NaN: not known, and
            the image's scores are NaN.
        tolerance: distance that is as good as none, in the same unit; a billionth of it is left for rounding.

    Raises:
        ValueError: as `count_pixels`; or a spacing is not above 0, or the tolerance is below 0.

    Source: surface Dice Nikolov et al. 2021, J Med Internet Res 23(7) e26151, here by boundary pixels; the rest as the
    module says.
    """
    wanted = _require_maps(preds, target, labels)
    spacing = np.asarray(spacing, np.float64)
    if spacing.shape != (len(preds),) or (spacing <= 0).any() or np.isinf(spacing).any():
        raise ValueError(f"spacing must be ({len(preds)},), above 0 or NaN; got shape {spacing.shape}")
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0, got {tolerance}")
    scores = np.full((3, len(preds), len(wanted)), np.nan)
    ours, theirs = _list_boundaries(preds, wanted), _list_boundaries(target, wanted)
    for image in np.flatnonzero(~np.isnan(spacing)):
        for place in range(len(wanted)):
            one, other = ours[image][place], theirs[image][place]
            if len(one) and len(other):
                found = _compare(one, other, tolerance / float(spacing[image]))
                scores[:, image, place] = found[0], *(distance * spacing[image] for distance in found[1:])
            elif len(one) or len(other):
                scores[:, image, place] = 0.0, np.inf, np.inf
    return SurfaceScores(*scores)


def find_boundaries(maps: Maps) -> NDArray[np.bool_]:
    """Pixels with a neighbour, of four, that has another label or lies beyond the edge.

    Args:
        maps: int (n, H, W).

    Returns:
        bool (n, H, W).
    """
    inner = np.ones(maps.shape, bool)
    for axis in (1, 2):
        same = np.diff(maps.astype(np.int16), axis=axis) == 0
        edge = [(0, 0)] * 3
        edge[axis] = (1, 0)
        inner &= np.pad(same, edge)
        edge[axis] = (0, 1)
        inner &= np.pad(same, edge)
    return ~inner


def _compare(one: Floats, other: Floats, tolerance_px: float) -> tuple[float, float, float]:
    """Surface Dice, and 95th percentile and mean of the distances, px, of two sets of points (K, 2)."""
    there, back = cKDTree(other).query(one)[0], cKDTree(one).query(other)[0]
    both = np.concatenate([there, back])
    near = float((both <= tolerance_px * (1 + _ROUNDING)).mean())
    return near, max(_percentile(there), _percentile(back)), float(both.mean())


def _percentile(distances: Floats) -> float:
    """As `numpy.percentile`, at a tenth of its cost for the few points of one boundary."""
    rising = np.sort(distances)
    rank = (len(rising) - 1) * PERCENTILE / 100
    lower = int(rank)
    upper = min(lower + 1, len(rising) - 1)
    return float(rising[lower] + (rank - lower) * (rising[upper] - rising[lower]))


def _list_boundaries(maps: Maps, labels: NDArray[np.int64]) -> list[list[Floats]]:
    """Boundary pixels (row, column) of each image's structures, (K, 2) each."""
    image, row, column = np.nonzero(find_boundaries(maps) & (maps > 0))
    keys = image * _NUM_LABELS + maps[image, row, column]
    order = np.argsort(keys, kind="stable")
    points = np.stack([row, column], axis=1)[order].astype(np.float64)
    wanted = np.arange(len(maps))[:, None] * _NUM_LABELS + labels
    first, last = (np.searchsorted(keys[order], wanted, side=side) for side in ("left", "right"))
    return [[points[a:b] for a, b in zip(*ends, strict=True)] for ends in zip(first, last, strict=True)]


def _divide(top: NDArray[np.int64], bottom: NDArray[np.int64]) -> Floats:
    quotient: Floats = np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
    return quotient


def _require_maps(preds: Maps, target: Maps, labels: Sequence[int]) -> NDArray[np.int64]:
    if preds.shape != target.shape or preds.ndim != 3:
        raise ValueError(f"preds and target must be alike, (n, H, W); got {preds.shape} and {target.shape}")
    wanted = np.asarray(labels, np.int64)
    if wanted.ndim != 1 or len(set(wanted.tolist())) != len(wanted) or ((wanted < 1) | (wanted > 255)).any():
        raise ValueError(f"labels must be of 1..255, each once; got {list(labels)}")
    for name, maps in (("preds", preds), ("target", target)):
        if maps.size and not (int(maps.min()) >= 0 and int(maps.max()) < _NUM_LABELS):
            raise ValueError(f"{name} must hold 0..255, got {maps.min()}..{maps.max()}")
    return wanted
