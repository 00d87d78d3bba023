"""Figures of predicted classes: how well they are told apart, how honest the probabilities are, where the network
looked, and what it withstands.

What is missing:

- a class that no test radiograph has is left out of every average over classes, and the note says so;
- a class that training lacked is scored as it is, and the note says so;
- a radiograph whose mask is not known has no share of saliency.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.task import Arrays, Score
from cspine_bench.baselines.tasks.classification.labels import (
    UNLABELLED,
    ClassLabel,
    read_labels,
    read_labels_from_landmarks,
)
from cspine_bench.baselines.tasks.classification.recipe import ClassificationRecipe
from cspine_bench.baselines.tasks.classification.robustness import list_hardships
from cspine_bench.errors import DataError
from cspine_bench.metrics.classification import (
    ReliabilityCurve,
    auroc,
    balanced_accuracy,
    calibration_error,
    choose_num_bins,
    compute_brier_errors,
    list_present,
    macro_auroc,
    reliability_curve,
    require_probabilities,
    sensitivity,
    specificity,
)
from cspine_bench.metrics.weighted import weighted_mean, weighted_ratio, weighted_share

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def score_classes(
    predictions: Arrays, cases: Cases, label: ClassLabel, recipe: ClassificationRecipe
) -> tuple[Score, ...]:
    """All figures of predictions, the primary one first.

    Args:
        predictions: `probabilities` and what else `Classification` describes.
        cases: all of a known class.
        label: what is told.
        recipe: of the task.

    Raises:
        DataError: predictions do not fit, or a radiograph has no class.
    """
    labels = read_labels(cases, label)
    probabilities, predicted = _read_predictions(predictions, labels, label, cases)
    never = predictions.get("unseen", np.zeros((len(cases), len(label.classes)), np.bool_))
    unseen: NDArray[np.bool_] = np.asarray(never.any(axis=0), np.bool_)
    scores = [
        *_score_all(probabilities, predicted, labels, label, unseen),
        *_score_each_class(probabilities, predicted, labels, label, unseen),
    ]
    if "saliency_share" in predictions:
        scores += _score_saliency(predictions)
    for hardship in () if recipe.robustness is None else list_hardships(recipe.robustness):
        if hardship.key in predictions:
            scores += _score_answers(
                predictions[hardship.key], labels, label, ("robust_accuracy", "robust_balanced_accuracy"),
                hardship.condition,
            )  # fmt: skip
    if label.column == "curvature":
        scores += _score_landmark_rule(cases, labels, label)
    return tuple(scores)


def build_reliability_curve(
    predictions: Arrays, cases: Cases, label: ClassLabel, *, of: str | None = None
) -> ReliabilityCurve:
    """Points of a reliability plot.

    Args:
        predictions: with `probabilities`.
        cases: all of a known class.
        label: what is told.
        of: a class, whose probability is held against how often it is the class; None: the highest probability of each
            radiograph, against how often that class is right, as the calibration error has it.

    Raises:
        DataError: as `score_classes`.
        ValueError: there is no such class.
    """
    labels = read_labels(cases, label)
    probabilities, _ = _read_predictions(predictions, labels, label, cases)
    if of is None:
        confidence, correct = _read_confidence(probabilities, labels)
    else:
        number = label.classes.index(of)
        confidence, correct = probabilities[:, number], labels == number
    return reliability_curve(confidence=confidence, correct=correct, num_bins=choose_num_bins(len(labels)))


def _read_predictions(
    predictions: Arrays, labels: Labels, label: ClassLabel, cases: Cases
) -> tuple[Floats, NDArray[np.integer]]:
    """Probabilities (n, C) that add up to 1, and predicted classes (n,)."""
    if (labels == UNLABELLED).any():
        first = cases.sample_ids[int(np.flatnonzero(labels == UNLABELLED)[0])]
        raise DataError(f"{cases.where}: {first} has no {label.column} to be scored by; leave it out, or label it")
    found = predictions["probabilities"]
    if len(found) != len(cases):
        raise DataError(f"{cases.where}: {len(found):,} predictions for {len(cases):,} radiographs; give one for each")
    try:
        probabilities = require_probabilities(found, num_classes=len(label.classes))
    except ValueError as error:
        raise DataError(f"{cases.where}: {error}; the classes are {', '.join(label.classes)}") from error
    return probabilities, predictions.get("predicted", probabilities.argmax(axis=1))


def _read_confidence(probabilities: Floats, labels: Labels) -> tuple[Floats, NDArray[np.bool_]]:
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == labels


def _score_all(
    probabilities: Floats, predicted: NDArray[np.integer], labels: Labels, label: ClassLabel, unseen: NDArray[np.bool_]
) -> Iterator[Score]:
    note = _describe_classes(labels, label, unseen)
    yield Score("macro_auroc", macro_auroc(probabilities=probabilities, labels=labels), "higher", len(labels),
                note=note)  # fmt: skip
    yield from _score_answers(predicted, labels, label, ("accuracy", "balanced_accuracy"), None)
    bins = choose_num_bins(len(labels))
    confidence, correct = _read_confidence(probabilities, labels)
    error = calibration_error(confidence=confidence, correct=correct, num_bins=bins)
    bins_note = f"Of the highest probability, in {bins} bins of equal mass."
    yield Score("expected_calibration_error", error, "lower", len(labels), note=bins_note)
    brier = compute_brier_errors(probabilities=probabilities, labels=labels)
    yield Score("brier_error", weighted_mean(brier), "lower", len(labels), per_case=brier,
                note="Brier score: squared errors summed over the classes, 0 to 2.")  # fmt: skip


def _describe_classes(labels: Labels, label: ClassLabel, unseen: NDArray[np.bool_]) -> str:
    counts = np.bincount(labels, minlength=len(label.classes))
    there = ", ".join(f"{name} {count:,}" for name, count in zip(label.classes, counts, strict=True) if count)
    said = [f"Radiographs: {there}."]
    if absent := [name for name, count in zip(label.classes, counts, strict=True) if not count]:
        said.append(f"No test radiograph is {' or '.join(absent)}: left out of averages over classes.")
    if never := [name for name, missing in zip(label.classes, unseen, strict=True) if missing]:
        said.append(f"The network learnt from no radiograph that is {' or '.join(never)}.")
    return " ".join(said)


def _score_answers(
    predicted: NDArray[np.integer],
    labels: Labels,
    label: ClassLabel,
    names: tuple[str, str],
    condition: dict[str, str] | None,
) -> Iterator[Score]:
    """Accuracy and balanced accuracy, by the names that they go by."""
    correct = predicted == labels
    yield Score(names[0], weighted_share(correct), "higher", len(labels), condition=condition,
                per_case=correct.astype(np.float64))  # fmt: skip
    balanced = balanced_accuracy(predicted=predicted, labels=labels, num_classes=len(label.classes))
    yield Score(names[1], balanced, "higher", len(labels), condition=condition)


def _score_each_class(
    probabilities: Floats, predicted: NDArray[np.integer], labels: Labels, label: ClassLabel, unseen: NDArray[np.bool_]
) -> Iterator[Score]:
    for number in list_present(labels, num_classes=len(label.classes)):
        condition, is_it = {"class": label.classes[number]}, labels == number
        count = int(is_it.sum())
        note = f"{count:,} of {len(labels):,} radiographs." + (" Not in training." if unseen[number] else "")
        area = auroc(scores=probabilities[:, number], positive=is_it)
        yield Score("class_auroc", area, "higher", len(labels), condition=condition, note=note)
        for name, measure, used in (
            ("sensitivity", sensitivity, count),
            ("specificity", specificity, len(labels) - count),
        ):
            statistic = measure(predicted=predicted, labels=labels, label=number)
            yield Score(name, statistic, "higher", used, condition=condition)


def _score_saliency(predictions: Arrays) -> Iterator[Score]:
    share, area, untrained = (
        predictions[f"saliency_{name}"].astype(np.float64) for name in ("share", "area", "untrained")
    )
    used = int(np.isfinite(share).sum())
    yield Score("saliency_in_mask", weighted_mean(share), "none", used, unit="share", per_case=share,
                note="Share of the input gradient (SmoothGrad) that lies on vertebrae.")  # fmt: skip
    yield Score("saliency_in_mask_untrained", weighted_mean(untrained), "none", used, unit="share",
                note="The same of the network with random weights: what was not learnt.")  # fmt: skip
    yield Score("saliency_enrichment", weighted_ratio(share, area), "none", used,
                note="Saliency on vertebrae over their share of the image; 1: looks everywhere alike.")  # fmt: skip


def _score_landmark_rule(cases: Cases, labels: Labels, label: ClassLabel) -> Iterator[Score]:
    """What the true landmarks alone say, without any network: the same for all predictions."""
    told = read_labels_from_landmarks(cases, label)
    asked = told != UNLABELLED
    if not asked.any():
        return
    yield Score(
        "landmark_rule_accuracy", weighted_share(told == labels, asked), "higher", int(asked.sum()),
        per_case=np.where(asked, (told == labels).astype(np.float64), np.nan),
        note="No network: the curvature rule on the true landmarks. 1 where the labels were made by that rule.",
    )  # fmt: skip
