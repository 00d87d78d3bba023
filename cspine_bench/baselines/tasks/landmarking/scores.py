"""Figures of predicted landmarks: how far they lie from the true ones, and what a surgeon would read from them.

Every radiograph counts alike: a value is averaged over its landmarks, or its discs, first, and over radiographs then.
The median alone is of all landmarks together.

What is missing:

- a landmark without a true place takes no part, whatever was predicted for it;
- a labelled landmark without a predicted place is not detected, and counts as the image's diagonal in every distance;
- a radiograph of unknown pixel spacing has no millimetres: it is left out of figures in mm. Where any lacks it, the
  primary score is in px, so that no radiograph is left out of it;
- an alignment parameter needs its landmarks and the side that the patient faces; lengths need the spacing too.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.classes import FACINGS
from cspine_bench.anatomy.landmarks import LANDMARK_NAMES
from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.task import Score, Statistic
from cspine_bench.baselines.tasks.landmarking.alignment import ALIGNMENT, AlignmentMeasure, measure_alignment
from cspine_bench.metrics.agreement import weighted_intraclass_correlation
from cspine_bench.metrics.landmarks import RADII_MM, average_errors, detected_share, radial_errors
from cspine_bench.metrics.weighted import LIMIT_SDS, weighted_limit_of_agreement, weighted_mean, weighted_quantile

Floats = NDArray[np.float64]

LANDMARK_LEVELS: Final = ("C2", "C3", "C4", "C5", "C6", "C7")
_MEDIAN_ROWS: Final = 128
"""Rows of weights at a time: each is spread over all landmarks."""


def score_landmarks(preds_xy: NDArray[np.floating], cases: Cases) -> tuple[Score, ...]:
    """All figures of predictions, the primary one first.

    Which there are depends on the labels alone, never on the predictions.

    Args:
        preds_xy: float (n, 23, 2), px of the cases' pixels; NaN: not predicted.
        cases: with their landmarks.
    """
    labelled: NDArray[np.bool_] = np.all(np.isfinite(cases.landmarks_xy), axis=2)
    errors_px = radial_errors(preds=preds_xy, target=cases.landmarks_xy)
    missing = np.isinf(errors_px)
    errors_px[missing] = np.hypot(cases.size, cases.size)
    scaled = np.isfinite(cases.pixel_spacing_mm)
    errors_mm = errors_px * cases.pixel_spacing_mm[:, None]
    note = " ".join(_list_notes(int(missing.sum()), int(labelled.sum()), cases))
    scores = list(_score_distances(errors_px, errors_mm, missing, {}, note))
    for level in LANDMARK_LEVELS:
        places = [place for place, name in enumerate(LANDMARK_NAMES) if name.startswith(level)]
        if np.any(labelled[:, places]):
            scores += _score_distances(errors_px[:, places], errors_mm[:, places], missing[:, places], {"level": level})
    scores += _score_alignment(preds_xy, cases)
    # In mm where every radiograph has them; else the primary score would leave some out.
    primary = "mean_radial_error" if bool(np.all(scaled[np.any(labelled, axis=1)])) else "mean_radial_error_px"
    first = next(score for score in scores if score.name == primary and not score.condition)
    return (first, *(score for score in scores if score is not first))


def _list_notes(missing: int, labelled: int, cases: Cases) -> Iterator[str]:
    if missing:
        yield (
            f"{missing:,} of {labelled:,} labelled landmarks have no prediction: each counts as the image's diagonal, "
            "and is not detected."
        )
    if unscaled := int(np.isnan(cases.pixel_spacing_mm).sum()):
        yield f"{unscaled:,} of {len(cases):,} radiographs have no known pixel spacing, and no figure in mm."
    if unfaced := sum(side not in FACINGS for side in cases.facing):
        yield f"{unfaced:,} of {len(cases):,} radiographs have no known facing, and no alignment figure."


def _score_distances(
    errors_px: Floats, errors_mm: Floats, missing: NDArray[np.bool_], condition: dict[str, str], note: str = ""
) -> Iterator[Score]:
    for name, unit, errors in (("mean_radial_error", "mm", errors_mm), ("mean_radial_error_px", "px", errors_px)):
        means = average_errors(errors)
        used = int(np.isfinite(means).sum())
        if used:
            statistic = weighted_mean(means)
            yield Score(name, statistic, "lower", used, unit, condition, per_case=means, note=note)
    median, unit = (errors_mm, "mm") if np.isfinite(errors_mm).any() else (errors_px, "px")
    used = int(np.isfinite(median).any(axis=1).sum())
    yield Score("median_radial_error", _weighted_median(median), "lower", used, unit, condition)
    if unit == "mm":
        reached = np.where(missing & np.isfinite(errors_mm), np.inf, errors_mm)
        for radius in RADII_MM:
            found = detected_share(reached, radius=radius)
            within = {**condition, "radius": f"{radius:g} mm"}
            yield Score("success_detection_rate", weighted_mean(found), "higher", used, "share", within)


def _weighted_median(errors: Floats) -> Statistic:
    """Median over all landmarks, each counting as often as its radiograph."""
    landmarks = errors.shape[1]
    median = weighted_quantile(errors.ravel())

    def statistic(weights: Floats) -> Floats:
        parts = np.split(weights, range(_MEDIAN_ROWS, len(weights), _MEDIAN_ROWS))
        return np.concatenate([median(np.repeat(part, landmarks, axis=1)) for part in parts])

    return statistic


def _score_alignment(preds_xy: NDArray[np.floating], cases: Cases) -> Iterator[Score]:
    true = measure_alignment(cases.landmarks_xy, cases)
    found = measure_alignment(preds_xy, cases, near=true)
    for family in dict.fromkeys(measure.family for measure in ALIGNMENT):
        members = [measure for measure in ALIGNMENT if measure.family == family]
        members = [measure for measure in members if np.isfinite(true[measure.parameter]).any()]
        if len(members) > 1:
            errors = np.stack([np.abs(found[one.parameter] - true[one.parameter]) for one in members], axis=1)
            means = average_errors(errors)
            used, unit = int(np.isfinite(means).sum()), members[0].unit
            yield Score(f"{family}_absolute_error", weighted_mean(means), "lower", used, unit, per_case=means)
        for measure in members:
            yield from _score_parameter(measure, found[measure.parameter], true[measure.parameter])


def _score_parameter(measure: AlignmentMeasure, found: Floats, true: Floats) -> Iterator[Score]:
    """Error and agreement of one alignment parameter; differences are predicted minus true."""
    differences = found - true
    used, family, unit, condition = int(np.isfinite(differences).sum()), measure.family, measure.unit, measure.condition
    lost = int((np.isfinite(true) & ~np.isfinite(found)).sum())
    note = f"{lost:,} radiographs are left out: a landmark that it needs was not predicted." if lost else ""
    error = weighted_mean(np.abs(differences))
    yield Score(f"{family}_absolute_error", error, "lower", used, unit, condition, note=note)
    bias = weighted_mean(differences)
    yield Score(f"{family}_bias", bias, "none", used, unit, condition, per_case=differences, note="predicted - true")
    for name, sds in (("lower_limit", -LIMIT_SDS), ("upper_limit", LIMIT_SDS)):
        limit = weighted_limit_of_agreement(differences, sds=sds)
        yield Score(f"{family}_{name}", limit, "none", used, unit, condition, note="of agreement: predicted - true")
    if measure.has_correlation:
        icc = weighted_intraclass_correlation(np.stack([found, true], axis=1))
        yield Score(f"{family}_icc", icc, "higher", used, "", condition, note="ICC(2,1), absolute agreement")
