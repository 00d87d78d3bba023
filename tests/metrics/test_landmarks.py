"""Radial errors: a case worked by hand, what is missing, and what must not matter."""

import numpy as np
import pytest
from scipy.spatial import distance

from cspine_bench.metrics.landmarks import (
    average_errors,
    detected_share,
    mean_radial_error,
    median_radial_error,
    radial_errors,
    success_detection_rate,
)

NAN, INF = np.nan, np.inf
# Errors in px: 5 and 0 in the first radiograph; 13 in the second, whose other landmark is not labelled.
TARGET = np.array([[[10, 10], [20, 20]], [[0, 0], [NAN, NAN]]], np.float32)
PREDS = np.array([[[13, 14], [20, 20]], [[-5, 12], [7, 7]]], np.float32)
SPACING = np.array([0.4, 0.2])


def test_by_hand() -> None:
    errors = radial_errors(preds=PREDS, target=TARGET)
    assert np.array_equal(errors, [[5, 0], [13, NAN]], equal_nan=True)
    assert average_errors(errors).tolist() == [2.5, 13]
    # Per radiograph first: (2.5 + 13) / 2, where all landmarks together would give (5 + 0 + 13) / 3.
    assert mean_radial_error(preds=PREDS, target=TARGET) == 7.75
    assert mean_radial_error(preds=PREDS, target=TARGET, pixel_spacing_mm=SPACING) == pytest.approx((1.0 + 2.6) / 2)
    assert median_radial_error(preds=PREDS, target=TARGET) == 5
    assert median_radial_error(preds=PREDS, target=TARGET, pixel_spacing_mm=SPACING) == pytest.approx(2.0)
    for radius, rate in ((0, 0.25), (4.99, 0.25), (5, 0.5), (12.9, 0.5), (13, 1)):  # a radius includes its circle
        assert success_detection_rate(preds=PREDS, target=TARGET, radius=radius) == rate
    assert success_detection_rate(preds=PREDS, target=TARGET, radius=2.5, pixel_spacing_mm=SPACING) == 0.5


def test_unknown_spacing_leaves_a_radiograph_out_of_millimetres_alone() -> None:
    spacing = np.array([0.4, NAN])
    assert mean_radial_error(preds=PREDS, target=TARGET, pixel_spacing_mm=spacing) == pytest.approx(1.0)
    assert mean_radial_error(preds=PREDS, target=TARGET) == 7.75


@pytest.mark.parametrize("hole", [(NAN, NAN), (NAN, 14), (INF, 14)])
def test_a_landmark_that_was_not_predicted_is_not_passed_over(hole: tuple[float, float]) -> None:
    preds = PREDS.copy()
    preds[0, 0] = hole
    errors = radial_errors(preds=preds, target=TARGET)
    assert np.array_equal(errors, [[INF, 0], [13, NAN]], equal_nan=True)
    assert average_errors(errors).tolist() == [INF, 13]
    assert detected_share(errors, radius=1e9).tolist() == [0.5, 1]
    assert median_radial_error(preds=preds, target=TARGET) == 13
    with pytest.raises(ValueError, match="1 labelled landmarks were not predicted"):
        mean_radial_error(preds=preds, target=TARGET)


def test_what_was_predicted_for_an_unlabelled_landmark_does_not_matter() -> None:
    preds = PREDS.copy()
    for anything in (NAN, INF, -3.0):
        preds[1, 1] = anything
        assert mean_radial_error(preds=preds, target=TARGET) == 7.75


def test_it_is_the_distance_of_scipy_and_moves_with_the_image() -> None:
    draw = np.random.default_rng(0)
    target, preds = draw.uniform(0, 64, (2, 5, 23, 2))
    expected = np.array([np.diag(distance.cdist(found, true)) for found, true in zip(preds, target, strict=True)])
    assert np.allclose(radial_errors(preds=preds, target=target), expected)
    assert mean_radial_error(preds=preds, target=target) == pytest.approx(expected.mean())
    assert mean_radial_error(preds=target, target=target) == 0
    assert mean_radial_error(preds=target, target=preds) == pytest.approx(expected.mean())
    assert mean_radial_error(preds=3 * preds + 7, target=3 * target + 7) == pytest.approx(3 * expected.mean())
    order = draw.permutation(5)
    assert mean_radial_error(preds=preds[order], target=target[order]) == pytest.approx(expected.mean())
    rates = [success_detection_rate(preds=preds, target=target, radius=radius) for radius in (0, 10, 20, 40, 100)]
    assert rates == sorted(rates) and rates[-1] == 1


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must both be \(n, landmarks, 2\), got \(2, 2, 2\) and \(1, 2, 2\)"):
        radial_errors(preds=PREDS, target=TARGET[:1])
    with pytest.raises(ValueError, match="2 values above 0"):
        radial_errors(preds=PREDS, target=TARGET, pixel_spacing_mm=np.array([0.4, 0.0]))
    with pytest.raises(ValueError, match="no landmark is labelled"):
        mean_radial_error(preds=PREDS, target=np.full_like(TARGET, NAN))
    with pytest.raises(ValueError, match="no landmark is labelled, of a radiograph of known spacing"):
        median_radial_error(preds=PREDS, target=TARGET, pixel_spacing_mm=np.full(2, NAN))
    with pytest.raises(ValueError, match="radius must be 0 or more, got nan"):
        success_detection_rate(preds=PREDS, target=TARGET, radius=NAN)
