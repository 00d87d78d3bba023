"""Figures of predicted masks.

Every radiograph counts alike: a value is averaged over its levels first, and over radiographs then. Levels are those
of the recipe, as far as a radiograph's truth tells of them; each level that is told of has figures of its own as well.

What is missing:

- a level that a radiograph's truth does not tell of takes no part, whatever was predicted for it: its pixels count
  neither for nor against anything, unless they lie on a level that is told of;
- a level that the truth tells of and that is not in the image has no Dice and no distance: it is left out of these. How
  often it was predicted all the same is `false_level_share`;
- a level that is in the image and was not predicted has Dice, IoU and surface Dice 0, and the largest distance that the
  image has room for, between the centres of opposite corner pixels, as HD95 and ASSD. `missed_level_share` says how
  often: a level that the network never learnt is missed, too;
- a radiograph of unknown pixel spacing has no millimetres and is left out of figures in mm; where there is one, figures
  in px of all radiographs stand beside them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import LEVELS
from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.task import Score
from cspine_bench.baselines.tasks.segmentation.recipe import SegmentationRecipe
from cspine_bench.baselines.tasks.segmentation.targets import build_targets
from cspine_bench.metrics.segmentation import PixelCounts, compare_surfaces, count_pixels, dice_of_counts, iou_of_counts
from cspine_bench.metrics.weighted import weighted_mean, weighted_ratio
from cspine_bench.results import Direction

Floats = NDArray[np.float64]

FEW_PIXELS: Final = 16
"""A level with fewer is so small that a row of pixels decides its Dice."""
_LABELS: Final = tuple(range(1, 1 + len(LEVELS)))


@dataclass(frozen=True)
class _Measure:
    """Values of one kind, float64 (n, 8): NaN where a level takes no part."""

    name: str
    values: Floats
    direction: Direction
    unit: str = ""
    tolerance: str = ""


def score_masks(
    preds: NDArray[np.uint8],
    cases: Cases,
    recipe: SegmentationRecipe,
    *,
    learnt: NDArray[np.bool_] | None = None,
) -> tuple[Score, ...]:
    """All figures of predictions, Dice first. Which there are depends on the labels alone, never on the predictions.

    Args:
        preds: uint8 (n, S, S), label ids.
        cases: with their truth.
        recipe: of the task.
        learnt: bool (n, 8), levels that could be predicted, for a note; None: not known.
    """
    truth = build_targets(cases, recipe.target)
    counts = count_pixels(preds=preds, target=truth.masks, labels=_LABELS)
    present = truth.annotated & (counts.target > 0)
    absent = truth.annotated & (counts.target == 0)
    measures = _measure(preds, truth.masks, cases, recipe, counts, present)
    asked = np.isin(LEVELS, recipe.levels)
    notes = tuple(_list_notes(counts, present, asked, cases, learnt))
    scores = [_average(measure, asked, {}, " ".join(notes)) for measure in measures]
    missed = present & (counts.preds == 0)
    false = absent & (counts.preds > 0)
    scores += _score_shares(missed, present, false, absent, asked, {})
    for place in np.flatnonzero(present.any(axis=0)):
        only = np.arange(len(LEVELS)) == place
        condition = {"level": LEVELS[place]}
        known = learnt is None or bool(learnt[:, place].any())
        note = "" if known else f"{LEVELS[place]} could not be learnt, and counts as missed."
        scores += [_average(measure, only, condition, note) for measure in measures]
        scores += _score_shares(missed, present, false, absent, only, condition)
    return tuple(scores)


def _measure(
    preds: NDArray[np.uint8],
    target: NDArray[np.uint8],
    cases: Cases,
    recipe: SegmentationRecipe,
    counts: PixelCounts,
    present: NDArray[np.bool_],
) -> tuple[_Measure, ...]:
    def keep(values: Floats) -> Floats:
        return np.where(present, values, np.nan)

    measures = [
        _Measure("dice", keep(dice_of_counts(counts)), "higher"),
        _Measure("iou", keep(iou_of_counts(counts)), "higher"),
    ]
    scaled = np.isfinite(cases.pixel_spacing_mm)
    scales = []
    if scaled.any():
        scales.append(("mm", "", cases.pixel_spacing_mm, recipe.surface_tolerance_mm))
    if not scaled.all():
        scales.append(("px", "_px", np.ones(len(cases)), recipe.surface_tolerance_px))
    for unit, suffix, spacing, tolerance in scales:
        found = compare_surfaces(preds=preds, target=target, labels=_LABELS, spacing=spacing, tolerance=tolerance)
        within = f"{tolerance:g} {unit}"
        measures.append(_Measure(f"surface_dice{suffix}", keep(found.surface_dice), "higher", tolerance=within))
        farthest = (np.sqrt(2) * (cases.size - 1) * spacing)[:, None]
        for name, values in (("hausdorff95", found.hausdorff95), ("assd", found.assd)):
            measures.append(_Measure(f"{name}{suffix}", keep(np.fmin(values, farthest)), "lower", unit))
    return tuple(measures)


def _average(measure: _Measure, asked: NDArray[np.bool_], condition: Mapping[str, str], note: str = "") -> Score:
    """Mean over the levels asked for that take part in a radiograph, then over radiographs."""
    values = measure.values[:, asked]
    there = np.isfinite(values)
    means = np.divide(
        np.where(there, values, 0).sum(axis=1),
        there.sum(axis=1),
        out=np.full(len(values), np.nan),
        where=there.any(axis=1),
    )
    if measure.tolerance:
        condition = {**condition, "tolerance": measure.tolerance}
    used = int(np.isfinite(means).sum())
    statistic = weighted_mean(means)
    return Score(measure.name, statistic, measure.direction, used, measure.unit, condition, per_case=means, note=note)


def _score_shares(
    missed: NDArray[np.bool_],
    present: NDArray[np.bool_],
    false: NDArray[np.bool_],
    absent: NDArray[np.bool_],
    asked: NDArray[np.bool_],
    condition: Mapping[str, str],
) -> Iterator[Score]:
    """How many of the levels in the images were not predicted, and of those not in them were."""
    for name, wrong, among in (("missed_level_share", missed, present), ("false_level_share", false, absent)):
        of = among[:, asked].sum(axis=1)
        if of.any():
            statistic = weighted_ratio(wrong[:, asked].sum(axis=1), of)
            yield Score(name, statistic, "lower", int((of > 0).sum()), "share", condition)


def _list_notes(
    counts: PixelCounts,
    present: NDArray[np.bool_],
    asked: NDArray[np.bool_],
    cases: Cases,
    learnt: NDArray[np.bool_] | None,
) -> Iterator[str]:
    there = asked & present.any(axis=0)
    yield f"Mean over {_name(there)} of each radiograph, then over radiographs."
    if learnt is not None and (unknown := there & ~learnt.all(axis=0)).any():
        yield f"{_name(unknown)} could not be learnt, and count as missed."
    pixels = counts.target[:, asked][present[:, asked]]
    if len(pixels) and (middle := float(np.median(pixels))) < FEW_PIXELS:
        yield f"A vertebra has {middle:g} px (median): a single row of pixels decides its Dice."
    if unscaled := int(np.isnan(cases.pixel_spacing_mm).sum()):
        yield f"{unscaled:,} of {len(cases):,} radiographs have no known pixel spacing, and no figure in mm."


def _name(levels: NDArray[np.bool_]) -> str:
    return ", ".join(level for level, named in zip(LEVELS, levels, strict=True) if named)
