"""Classes and probabilities: cases worked by hand, scikit-learn beside each, and weights that repeat radiographs."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, recall_score, roc_auc_score

from cspine_bench.metrics.classification import (
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

Floats = NDArray[np.float64]


def draw(count: int, num_classes: int, seed: int) -> tuple[Floats, NDArray[np.int64]]:
    """Probabilities with many ties, and labels that they tell something of."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(num_classes, size=count)
    logits = np.round(generator.normal(size=(count, num_classes)) + 1.5 * np.eye(num_classes)[labels])
    values = np.exp(logits)
    return values / values.sum(axis=1, keepdims=True), labels


PROBABILITIES, LABELS = draw(80, 4, 0)
PREDICTED = PROBABILITIES.argmax(axis=1)
CORRECT = PREDICTED == LABELS
ONES = np.ones((1, 80))
WEIGHTS = np.random.default_rng(1).multinomial(80, np.full(80, 1 / 80), size=7).astype(np.float64)


def test_areas_by_hand() -> None:
    # Of the 2 x 3 pairs the positive 0.7 beats 0.1 and 0.5 and ties 0.7; 0.5 beats 0.1, ties 0.5, loses to 0.7.
    scores = np.array([0.7, 0.5, 0.1, 0.5, 0.7])
    positive = np.array([True, True, False, False, False])
    area = auroc(scores=scores, positive=positive)
    assert area(np.ones((1, 5))) == pytest.approx((2.5 + 1.5) / 6)
    # The first positive twice, the second never, the last negative never: it beats both that are left.
    assert area(np.array([[2.0, 0, 1, 1, 0], [1.0, 1, 1, 1, 1]])) == pytest.approx([1.0, 4 / 6])


@pytest.mark.parametrize("weights", [WEIGHTS, WEIGHTS * np.random.default_rng(2).random(80)], ids=["counts", "shares"])
def test_areas_as_scikit_learn_has_them(weights: Floats) -> None:
    found = [auroc(scores=PROBABILITIES[:, one], positive=one == LABELS)(weights) for one in range(4)]
    expected = [
        [roc_auc_score(one == LABELS, PROBABILITIES[:, one], sample_weight=row) for row in weights] for one in range(4)
    ]
    assert np.allclose(found, expected, rtol=0, atol=1e-12)
    macro = macro_auroc(probabilities=PROBABILITIES, labels=LABELS)
    assert np.allclose(macro(weights), np.mean(expected, axis=0), rtol=0, atol=1e-12)
    # One row goes another way than many do.
    assert np.allclose([macro(row[None])[0] for row in weights], macro(weights), rtol=0, atol=1e-12)


def test_macro_area_as_scikit_learn_has_it() -> None:
    expected = roc_auc_score(LABELS, PROBABILITIES, multi_class="ovr", average="macro")
    assert macro_auroc(probabilities=PROBABILITIES, labels=LABELS)(ONES) == pytest.approx(expected, abs=1e-12)


def test_answers_by_hand() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 0, 1, 1, 2, 2])
    ones = np.ones((1, 7))
    told = {"predicted": predicted, "labels": labels}
    assert sensitivity(**told, label=0)(ones) == pytest.approx(3 / 4)
    assert specificity(**told, label=0)(ones) == pytest.approx(1)
    assert specificity(**told, label=2)(ones) == pytest.approx(5 / 6)
    assert balanced_accuracy(**told, num_classes=3)(ones) == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    # A class that no radiograph has does not count.
    assert balanced_accuracy(**told, num_classes=5)(ones) == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)


def test_answers_as_scikit_learn_has_them() -> None:
    found = balanced_accuracy(predicted=PREDICTED, labels=LABELS, num_classes=4)(WEIGHTS)
    expected = [balanced_accuracy_score(LABELS, PREDICTED, sample_weight=row) for row in WEIGHTS]
    assert np.allclose(found, expected)
    for one in range(4):
        hits = sensitivity(predicted=PREDICTED, labels=LABELS, label=one)(WEIGHTS)
        rejected = specificity(predicted=PREDICTED, labels=LABELS, label=one)(WEIGHTS)
        for row, hit, reject in zip(WEIGHTS, hits, rejected, strict=True):
            assert hit == pytest.approx(recall_score(one == LABELS, one == PREDICTED, sample_weight=row))
            assert reject == pytest.approx(recall_score(one != LABELS, one != PREDICTED, sample_weight=row))


def test_brier_errors() -> None:
    by_hand = compute_brier_errors(probabilities=np.array([[0.5, 0.3, 0.2], [0.0, 1.0, 0.0]]), labels=np.array([0, 2]))
    assert by_hand == pytest.approx([0.25 + 0.09 + 0.04, 2.0])
    errors = compute_brier_errors(probabilities=PROBABILITIES, labels=LABELS)
    for row in WEIGHTS:
        expected = brier_score_loss(LABELS, PROBABILITIES, sample_weight=row, labels=range(4), scale_by_half=False)
        assert row @ errors / row.sum() == pytest.approx(expected)


def test_calibration_by_hand() -> None:
    # Two bins of two: means .55 and .85, shares right 1/2 and 1.
    confidence, correct = np.array([0.9, 0.5, 0.8, 0.6]), np.array([True, True, True, False])
    error = calibration_error(confidence=confidence, correct=correct, num_bins=2)
    assert error(np.ones((1, 4))) == pytest.approx(0.5 * 0.05 + 0.5 * 0.15)
    # The wrong answer twice: the lower bin has mass 3/5, gap |1.7 - 1| / 3.
    assert error(np.array([[1.0, 1, 1, 2]])) == pytest.approx(abs(1.7 - 1) / 5 + 0.3 / 5)
    assert np.isnan(error(np.zeros((1, 4)))).all()


def test_calibration_as_scikit_learn_has_it() -> None:
    confidence = PROBABILITIES.max(axis=1)
    curve = reliability_curve(confidence=confidence, correct=CORRECT, num_bins=6)
    share, mean = calibration_curve(CORRECT, confidence, n_bins=6, strategy="quantile")
    assert np.allclose(curve.share_correct, share) and np.allclose(curve.confidence, mean)
    assert curve.count.sum() == 80
    expected = curve.count @ np.abs(share - mean) / 80
    assert calibration_error(confidence=confidence, correct=CORRECT, num_bins=6)(ONES) == pytest.approx(expected)


def test_equal_confidences_are_one_bin() -> None:
    curve = reliability_curve(confidence=np.full(40, 0.25), correct=np.arange(40) < 10, num_bins=15)
    assert curve.count.tolist() == [40] and curve.share_correct.tolist() == [0.25]


@pytest.mark.parametrize(("count", "bins"), [(0, 1), (9, 1), (60, 6), (149, 14), (5000, 15)])
def test_few_radiographs_have_few_bins(count: int, bins: int) -> None:
    assert choose_num_bins(count) == bins


def test_weights_repeat_radiographs() -> None:
    places = np.repeat(np.arange(80), WEIGHTS[0].astype(int))
    again, labels, told = PROBABILITIES[places], LABELS[places], PREDICTED[places]
    assert macro_auroc(probabilities=PROBABILITIES, labels=LABELS)(WEIGHTS[:1]) == pytest.approx(
        macro_auroc(probabilities=again, labels=labels)(np.ones((1, len(places))))
    )
    assert balanced_accuracy(predicted=PREDICTED, labels=LABELS, num_classes=4)(WEIGHTS[:1]) == pytest.approx(
        balanced_accuracy(predicted=told, labels=labels, num_classes=4)(np.ones((1, len(places))))
    )


def test_a_draw_without_a_class_has_no_average() -> None:
    weights = np.stack([np.where(LABELS == 2, 0.0, 1.0), np.ones(80)])
    macro = macro_auroc(probabilities=PROBABILITIES, labels=LABELS)
    for statistic in (macro, balanced_accuracy(predicted=PREDICTED, labels=LABELS, num_classes=4)):
        assert np.isnan(statistic(weights)).tolist() == [True, False]
        assert np.isnan(statistic(weights[:1])).all()


def test_one_class_or_none_has_no_area() -> None:
    assert np.isnan(macro_auroc(probabilities=PROBABILITIES[:5], labels=np.zeros(5, np.int64))(np.ones((3, 5)))).all()
    none = np.zeros(0, np.int64)
    assert np.isnan(macro_auroc(probabilities=PROBABILITIES[:0], labels=none)(np.ones((2, 0)))).all()
    assert np.isnan(balanced_accuracy(predicted=none, labels=none, num_classes=4)(np.ones((2, 0)))).all()


def test_a_guess_is_worth_nothing() -> None:
    constant = np.tile([0.5, 0.3, 0.2, 0.0], (80, 1))
    assert macro_auroc(probabilities=constant, labels=LABELS)(WEIGHTS) == pytest.approx(0.5)
    told = constant.argmax(axis=1)
    assert balanced_accuracy(predicted=told, labels=LABELS, num_classes=4)(WEIGHTS) == pytest.approx(0.25)


def test_probabilities_are_checked() -> None:
    rounded = require_probabilities(np.array([[0.333, 0.333, 0.3335]]), num_classes=3)
    assert rounded.sum() == pytest.approx(1, abs=1e-15)
    for rows, message in (
        ([[0.5, 0.5]], r"must be \(n, 3\), one for each class, got \(1, 2\)"),
        ([[0.2, 0.2, 0.6], [0.5, np.nan, 0.5]], "numbers from 0 to 1.* in row 1"),
        ([[1.2, -0.2, 0.0]], "numbers from 0 to 1"),
        ([[0.5, 0.5, 0.5]], "must add up to 1, got 1.5 in row 0"),
    ):
        with pytest.raises(ValueError, match=message):
            require_probabilities(np.array(rows), num_classes=3)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must lie in 0..3, got -1..3"):
        list_present(np.array([0, 3, -1]), num_classes=4)
    with pytest.raises(ValueError, match="must be integers"):
        list_present(np.array([0.0, 1.0]), num_classes=4)
    with pytest.raises(ValueError, match="finite score"):
        auroc(scores=np.array([0.1, np.nan]), positive=np.array([True, False]))
    with pytest.raises(ValueError, match="numbers from 0 to 1"):
        calibration_error(confidence=np.array([1.1]), correct=np.array([True]), num_bins=1)
    with pytest.raises(ValueError, match="a bin"):
        reliability_curve(confidence=np.array([0.5]), correct=np.array([True]), num_bins=0)
