"""Where a detector looks: how its verdict changes when a part of an image is hidden, averaged over images.

Each cell of a grid is replaced by its own mean, with soft edges, and the image is encoded again. The map is the change
of the logit in synthetic images less that in real ones: hiding a part does something to every image, which is no clue;
what a cell tells is what it does to one side alone.

The images are of one fold, one of each patient or anatomy, and have trained nothing of their classifier. So where the
sides do not differ, they may be swapped at will, and the largest value of the map among all swaps says what is chance:
an exact test for the map as a whole, whatever the number of cells.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cspine_bench.evaluate.fidelity.chosen_images import Rows, encode_together
from cspine_bench.evaluate.fidelity.detector import CrossFit, Integers, Linear
from cspine_bench.features.encoder import Encoder
from cspine_bench.measurement.work import Arrays

GRID: Final = 8
LEAST_MAP_IMAGES: Final = 8
SIGNIFICANCE: Final = 0.05
_NUM_SWAPS: Final = 2000
_EDGE_SHARE: Final = 1 / 8
_BATCH: Final = 16

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DetectorMap:
    """Which places the detector's verdict rests on.

    Attributes:
        change: float64 (8, 8), rows from top to bottom; fall of the logit of "synthetic" when the cell is hidden in a
            synthetic image, less the fall in a real one. Above 0: what is there gives the sides away.
        statistic: the same over its standard error.
        significant: bool (8, 8), cells beyond what swapping the sides gives anywhere on the map in 5 % of swaps.
        separation: logit of "synthetic" in synthetic images less that in real ones, with nothing hidden.
        p_value: of the largest statistic of the map; without a difference, at most 5 % of maps are at or below 0.05.
        num_images: of each side.
    """

    change: Floats = field(repr=False)
    statistic: Floats = field(repr=False)
    significant: NDArray[np.bool_] = field(repr=False)
    separation: float
    p_value: float
    num_images: int


def choose_map_images(
    *, fit: CrossFit, units: Integers, synthetic: NDArray[np.bool_], count: int, generator: np.random.Generator
) -> tuple[int, Rows]:
    """A fold, and the images of it that the map is averaged over: so many of each side, one of each unit.

    Returns:
        The fold with the most; rows of real images, then as many of synthetic ones. Empty where they are under 8.
    """
    best, chosen = 0, np.empty(0, np.int64)
    for fold in range(int(fit.fold.max()) + 1):
        rows = generator.permutation(np.flatnonzero(fit.fold == fold))
        rows = rows[np.sort(np.unique(units[rows], return_index=True)[1])]
        sides = [rows[synthetic[rows] == side] for side in (False, True)]
        each = min(count, *(len(side) for side in sides))
        if 2 * each > len(chosen):
            best, chosen = fold, np.concatenate([side[:each] for side in sides])
    return (best, chosen) if len(chosen) >= 2 * LEAST_MAP_IMAGES else (best, chosen[:0])


def measure_changes(image: NDArray[Any], encoder: Encoder, classifier: Linear) -> Arrays:
    """The logit of "synthetic", and its fall for each hidden cell.

    Args:
        image: uint8 or uint16 (height, width).
        encoder: that the classifier's features come from.
        classifier: of the fold in which the image is.

    Returns:
        `logit`, float64 (), and `changes`, float64 (8, 8).
    """
    hidden = [image, *(hide_cell(image, row, column) for row in range(GRID) for column in range(GRID))]
    features = [encode_together(encoder, hidden[start : start + _BATCH]) for start in range(0, len(hidden), _BATCH)]
    logits = classifier.score(np.concatenate(features))
    return {"logit": logits[0], "changes": (logits[0] - logits[1:]).reshape(GRID, GRID)}


def hide_cell(image: NDArray[Any], row: int, column: int) -> NDArray[Any]:
    """The image with one cell of the grid replaced by its own mean; its edges fade over an eighth of the cell."""
    along = [_soften(length, number) for length, number in zip(image.shape, (row, column), strict=True)]
    mask = along[0][:, None] * along[1]
    values = image.astype(np.float64)
    mean = (values * mask).sum() / mask.sum()
    hidden = values + mask * (mean - values)
    return np.asarray(hidden.round().clip(0, np.iinfo(image.dtype).max).astype(image.dtype))


def _soften(length: int, number: int) -> Floats:
    first, last = number * length // GRID, max((number + 1) * length // GRID, number * length // GRID + 1)
    inside = np.zeros(length)
    inside[min(first, length - 1) : last] = 1
    faded: Floats = ndimage.gaussian_filter1d(inside, _EDGE_SHARE * length / GRID, mode="nearest")
    return faded


def average_changes(*, changes: Floats, logits: Floats, generator: np.random.Generator) -> DetectorMap:
    """The map, and what of it is more than chance.

    Args:
        changes: float64 (2 n, 8, 8), of n real images and then of n synthetic ones.
        logits: float64 (2 n,), likewise.
        generator: swaps sides.
    """
    flat = changes.reshape(len(changes), -1)
    count = len(flat) // 2
    sign = np.repeat([-1.0, 1.0], count)
    measured, statistic = _compare(flat, sign)
    swapped = np.array([_compare(flat, generator.permutation(sign))[1].max() for _ in range(_NUM_SWAPS)])
    limit = np.sort(swapped)[int(np.ceil((1 - SIGNIFICANCE) * (_NUM_SWAPS + 1))) - 1]
    return DetectorMap(
        change=measured.reshape(GRID, GRID),
        statistic=statistic.reshape(GRID, GRID),
        significant=(statistic > limit).reshape(GRID, GRID),
        separation=float(logits[count:].mean() - logits[:count].mean()),
        p_value=float((1 + (swapped >= statistic.max()).sum()) / (1 + _NUM_SWAPS)),
        num_images=count,
    )


def _compare(flat: Floats, sign: Floats) -> tuple[Floats, Floats]:
    """Difference of means of the two sides for each cell, and the same over its standard error."""
    count = len(flat) // 2
    ours, others = flat[sign > 0], flat[sign < 0]
    difference = ours.mean(axis=0) - others.mean(axis=0)
    error = np.sqrt((ours.var(axis=0, ddof=1) + others.var(axis=0, ddof=1)) / count)
    return difference, np.divide(difference, error, out=np.zeros_like(difference), where=error > 0)
