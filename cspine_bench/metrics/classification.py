"""How good predicted classes and their probabilities are: as functions of how often each radiograph counts.

Classes are numbers 0 .. C - 1. A class that no radiograph has is left out of every average over classes; where a draw
of a bootstrap leaves a class without a radiograph, such an average is not defined there.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.weighted import Statistic, mean_of_statistics, weighted_auroc, weighted_share

Floats = NDArray[np.float64]

NUM_BINS: Final = 15
"""Of a calibration error. Source: Guo et al. 2017 (1706.04599)."""
LEAST_IN_BIN: Final = 10
"""Radiographs; with fewer there are fewer bins. Our choice: a share of fewer says too little."""
SUM_TOLERANCE: Final = 1e-3


@dataclass(frozen=True)
class ReliabilityCurve:
    """Points of a reliability plot, by rising confidence; a bin without radiographs has none.

    Attributes:
        confidence: float64 (bins,), mean of the bin, 0..1.
        share_correct: float64 (bins,), 0..1; on the diagonal for a calibrated classifier.
        count: int64 (bins,), radiographs.
    """

    confidence: Floats
    share_correct: Floats
    count: NDArray[np.int64]


def require_probabilities(probabilities: NDArray[Any], *, num_classes: int) -> Floats:
    """Probabilities of classes, as float64 whose rows add up to 1 to the last digit.

    Args:
        probabilities: float (n, C), 0..1, rows that add up to 1 to within `SUM_TOLERANCE`.
        num_classes: C.

    Raises:
        ValueError: another shape, a value that is no number from 0 to 1, or a row with another sum; names the row.
    """
    values = np.asarray(probabilities, np.float64)
    if values.ndim != 2 or values.shape[1] != num_classes:
        raise ValueError(f"probabilities must be (n, {num_classes}), one for each class, got {values.shape}")
    outside = ~((values >= 0) & (values <= 1)).all(axis=1)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise ValueError(f"probabilities must be numbers from 0 to 1, got {values[row].tolist()} in row {row}")
    totals = values.sum(axis=1)
    off = np.abs(totals - 1) > SUM_TOLERANCE
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise ValueError(f"probabilities of a radiograph must add up to 1, got {totals[row]:.6g} in row {row}")
    scaled: Floats = values / totals[:, None]
    return scaled


def list_present(labels: NDArray[np.integer], *, num_classes: int) -> tuple[int, ...]:
    """Classes that some radiograph has.

    Args:
        labels: int (n,), true classes.
        num_classes: C.

    Raises:
        ValueError: a label is outside 0 .. C - 1, or the labels are not one-dimensional.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be integers (n,), got {labels.dtype} {labels.shape}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(f"labels must lie in 0..{num_classes - 1}, got {labels.min()}..{labels.max()}")
    return tuple(int(label) for label in np.unique(labels))


def auroc(*, scores: NDArray[Any], positive: NDArray[np.bool_]) -> Statistic:
    """Area under the ROC curve: how often a positive scores above a negative, ties one half; 0..1, higher is better.

    For a single row of weights, as for a figure itself, it is scikit-learn's `roc_auc_score`. That function takes one
    row at a time: for the many rows of a bootstrap it is `metrics.weighted.weighted_auroc`. A test holds them equal.

    Args:
        scores: float (n,), all finite.
        positive: bool (n,).

    Returns:
        Of weights; NaN where one of the two kinds has no weight.

    Raises:
        ValueError: shapes differ, or a score is not finite.
    """
    scores, positive = np.asarray(scores, np.float64), np.asarray(positive, np.bool_)
    if scores.shape != positive.shape or not np.isfinite(scores).all():
        raise ValueError(f"needs a finite score for each of {positive.shape} radiographs, got {scores.shape}")
    many = weighted_auroc(scores, positive)

    def statistic(weights: Floats) -> Floats:
        if len(weights) != 1:
            return many(weights)
        counted = weights[0] > 0
        if len(np.unique(positive[counted])) < 2:
            return np.array([np.nan])
        from sklearn.metrics import roc_auc_score

        return np.array([roc_auc_score(positive[counted], scores[counted], sample_weight=weights[0][counted])])

    return statistic


def macro_auroc(*, probabilities: NDArray[Any], labels: NDArray[np.integer]) -> Statistic:
    """Mean over the classes of the area under the ROC curve of each against the rest.

    Args:
        probabilities: float (n, C).
        labels: int (n,), 0 .. C - 1.

    Returns:
        Of weights; NaN everywhere where the radiographs have fewer than two classes.

    Raises:
        ValueError: as `list_present` and `auroc`.

    Source: Provost, Domingos 2000, with equal weight for each class as in Fawcett 2006, Pattern Recognition Letters 27,
    861-874, section 9.
    """
    present = list_present(labels, num_classes=probabilities.shape[1])
    if not present:
        return lambda weights: np.full(len(weights), np.nan)
    return mean_of_statistics([auroc(scores=probabilities[:, one], positive=labels == one) for one in present])


def sensitivity(*, predicted: NDArray[np.integer], labels: NDArray[np.integer], label: int) -> Statistic:
    """Share of the radiographs of a class that are told to be of it. Predictions and labels: int (n,)."""
    return weighted_share(predicted == label, labels == label)


def specificity(*, predicted: NDArray[np.integer], labels: NDArray[np.integer], label: int) -> Statistic:
    """Share of the radiographs of other classes that are told to be of others. Predictions and labels: int (n,)."""
    return weighted_share(predicted != label, labels != label)


def balanced_accuracy(*, predicted: NDArray[np.integer], labels: NDArray[np.integer], num_classes: int) -> Statistic:
    """Mean of the sensitivities of the classes that occur: 1 / C for a guess, whatever the classes' shares.

    Args:
        predicted: int (n,); a value outside 0 .. C - 1 is wrong, whatever the truth.
        labels: int (n,), 0 .. C - 1.
        num_classes: C.

    Raises:
        ValueError: as `list_present`.

    Source: Brodersen et al. 2010, ICPR, 3121-3124.
    """
    present = list_present(labels, num_classes=num_classes)
    if not present:
        return lambda weights: np.full(len(weights), np.nan)
    return mean_of_statistics([sensitivity(predicted=predicted, labels=labels, label=one) for one in present])


def compute_brier_errors(*, probabilities: NDArray[Any], labels: NDArray[np.integer]) -> Floats:
    """Brier score of each radiograph: squared errors of the probabilities, summed over the classes.

    Args:
        probabilities: float (n, C).
        labels: int (n,), 0 .. C - 1.

    Returns:
        float64 (n,), 0..2; lower is better. scikit-learn halves it where there are two classes.

    Source: Brier 1950, Monthly Weather Review 78, 1-3, equation 2.
    """
    list_present(labels, num_classes=probabilities.shape[1])
    truth = np.eye(probabilities.shape[1])[labels]
    errors: Floats = ((np.asarray(probabilities, np.float64) - truth) ** 2).sum(axis=1)
    return errors


def choose_num_bins(count: int) -> int:
    """Bins for a number of radiographs: `NUM_BINS`, or as many as have `LEAST_IN_BIN` each."""
    return max(1, min(NUM_BINS, count // LEAST_IN_BIN))


def calibration_error(*, confidence: NDArray[Any], correct: NDArray[np.bool_], num_bins: int) -> Statistic:
    """Mean distance of confidence from the share that is right, over bins of equal mass: 0..1, lower is better.

    The bins are those of all radiographs alike: draws of a bootstrap share them. Few radiographs make it too large, by
    the chance within each bin: compare it only at equal numbers.

    Args:
        confidence: float (n,), 0..1, probability of the class that was told.
        correct: bool (n,), whether it is the class.
        num_bins: see `choose_num_bins`.

    Raises:
        ValueError: as `reliability_curve`.

    Source: Naeini et al. 2015, AAAI, 2901-2907, with bins of equal mass as Nixon et al. 2019 (1904.01685).
    """
    bins = _find_bins(confidence, correct, num_bins)
    gaps = np.zeros((len(bins), num_bins))
    gaps[np.arange(len(bins)), bins] = np.asarray(confidence, np.float64) - np.asarray(correct, np.float64)

    def statistic(weights: Floats) -> Floats:
        total = weights.sum(axis=1)
        off = np.abs(weights @ gaps).sum(axis=1)
        error: Floats = np.divide(off, total, out=np.full(len(weights), np.nan), where=total > 0)
        return error

    return statistic


def reliability_curve(*, confidence: NDArray[Any], correct: NDArray[np.bool_], num_bins: int) -> ReliabilityCurve:
    """Confidence against the share that is right, in bins of equal mass.

    Equal confidences are in one bin, so bins may differ in mass, and some may be empty.

    Args:
        confidence: float (n,), 0..1: of the class that was told, or of one class in every radiograph.
        correct: bool (n,), whether it is the class.
        num_bins: at least 1; see `choose_num_bins`.

    Raises:
        ValueError: shapes differ, a confidence is outside 0..1, or there is no bin.
    """
    bins = _find_bins(confidence, correct, num_bins)
    count = np.bincount(bins, minlength=num_bins)
    there = count > 0
    sums = [np.bincount(bins, np.asarray(values, np.float64), num_bins)[there] for values in (confidence, correct)]
    return ReliabilityCurve(sums[0] / count[there], sums[1] / count[there], count[there])


def _find_bins(confidence: NDArray[Any], correct: NDArray[np.bool_], num_bins: int) -> NDArray[np.int64]:
    """Bin of each radiograph, int64 (n,)."""
    values = np.asarray(confidence, np.float64)
    if values.ndim != 1 or values.shape != np.shape(correct) or num_bins < 1:
        raise ValueError(
            f"needs confidences (n,), as many answers and a bin, got {values.shape}, {np.shape(correct)}, {num_bins}"
        )
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("confidences must be numbers from 0 to 1")
    if not len(values):
        return np.zeros(0, np.int64)
    edges = np.quantile(values, np.arange(1, num_bins) / num_bins)
    return np.searchsorted(edges, values, side="left").astype(np.int64)
