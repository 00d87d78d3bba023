"""Figures of predicted landmarks: by hand, by repetition, and with everything missing that can be."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine_bench.anatomy.alignment import cobb_c2_c7_deg, sva_px
from cspine_bench.anatomy.landmarks import LANDMARK_INDEX, LEVELS, NUM_LANDMARKS
from cspine_bench.baselines.cases import NOT_ANNOTATED, Cases
from cspine_bench.baselines.task import Score
from cspine_bench.baselines.tasks.landmarking.scores import score_landmarks
from cspine_bench.metrics.agreement import bland_altman, intraclass_correlation
from cspine_bench.metrics.landmarks import mean_radial_error, median_radial_error, success_detection_rate

NAN, SIZE, COUNT = np.nan, 64, 6
Floats = NDArray[np.float64]


def draw_spines(count: int, seed: int) -> NDArray[np.float32]:
    """Columns of boxes below C2, bent and rough."""
    generator = np.random.default_rng(seed)
    spine = [(30.0, 6.0), (25.0, 10.0), (35.0, 10.0)]
    for level in range(5):
        top = 13.0 + 9 * level
        spine += [(25.0, top), (35.0, top), (25.0, top + 6), (35.0, top + 6)]
    bend = generator.normal(0, 3, (count, 1)) * np.sin(np.array(spine)[:, 1] / 15)
    points = np.array(spine) + np.stack([bend, np.zeros_like(bend)], axis=2)
    return (points + generator.normal(0, 0.8, points.shape)).astype(np.float32)


def make_cases(count: int = COUNT, facing: str = "left") -> Cases:
    return Cases(
        where="boxes",
        sample_ids=tuple(f"s{number}" for number in range(count)),
        group_ids=tuple(f"g{number}" for number in range(count)),
        facing=(facing,) * count,
        label_values={},
        pixels=np.zeros((count, SIZE, SIZE), np.uint8),
        masks=np.full((count, SIZE, SIZE), NOT_ANNOTATED, np.uint8),
        annotated=np.zeros((count, len(LEVELS)), np.bool_),
        landmarks_xy=draw_spines(count, 0),
        pixel_spacing_mm=np.linspace(0.5, 1.0, count),
        phantoms=(None,) * count,
        artefacts=(None,) * count,
    )


def predict(cases: Cases, error_px: float = 1.5) -> NDArray[np.float32]:
    errors = np.random.default_rng(1).normal(0, error_px, cases.landmarks_xy.shape)
    return np.where(np.isnan(cases.landmarks_xy), 5.0, cases.landmarks_xy + errors).astype(np.float32)


def list_values(scores: tuple[Score, ...], count: int = COUNT) -> dict[tuple[str, ...], float]:
    """By name and condition."""
    ones = np.ones((1, count))
    return {(score.name, *(score.condition or {}).values()): float(score.statistic(ones)[0]) for score in scores}


def test_figures_are_those_of_the_pure_functions() -> None:
    cases = make_cases()
    cases.landmarks_xy[0, 4:9] = NAN
    preds = predict(cases)
    scores = score_landmarks(preds, cases)
    found = list_values(scores)
    assert len(found) == len(scores) and all(np.isfinite(value) for value in found.values())
    assert (scores[0].name, scores[0].unit, scores[0].direction) == ("mean_radial_error", "mm", "lower")
    both = {"preds": preds, "target": cases.landmarks_xy}
    spacing = cases.pixel_spacing_mm
    assert found[("mean_radial_error",)] == pytest.approx(mean_radial_error(**both, pixel_spacing_mm=spacing))
    assert found[("mean_radial_error_px",)] == pytest.approx(mean_radial_error(**both))
    assert found[("median_radial_error",)] == pytest.approx(median_radial_error(**both, pixel_spacing_mm=spacing))
    for radius in (1, 2, 2.5, 3, 4):
        expected = success_detection_rate(**both, pixel_spacing_mm=spacing, radius=radius)
        assert found[("success_detection_rate", f"{radius:g} mm")] == pytest.approx(expected)
    c7 = [place for name, place in LANDMARK_INDEX.items() if name.startswith("C7")]
    level = {"preds": preds[:, c7], "target": cases.landmarks_xy[:, c7], "pixel_spacing_mm": spacing}
    assert found[("mean_radial_error", "C7")] == pytest.approx(mean_radial_error(**level))
    assert found[("success_detection_rate", "C7", "2 mm")] == pytest.approx(success_detection_rate(**level, radius=2))
    assert {score.condition["level"] for score in scores if score.condition and "level" in score.condition} == {
        "C2", "C3", "C4", "C5", "C6", "C7"
    }  # fmt: skip


def test_alignment_is_what_a_surgeon_reads() -> None:
    cases = make_cases()
    preds = predict(cases)
    found = list_values(score_landmarks(preds, cases))
    spacing = cases.pixel_spacing_mm
    for name, measure, scale in (("cobb_angle", cobb_c2_c7_deg, 1), ("sva", sva_px, spacing)):
        read, true = measure(preds) * scale, measure(cases.landmarks_xy) * scale
        agreed = bland_altman(preds=read, target=true)
        assert found[(f"{name}_absolute_error",)] == pytest.approx(np.abs(read - true).mean())
        assert found[(f"{name}_bias",)] == pytest.approx(agreed.bias.value)
        assert found[(f"{name}_lower_limit",)] == pytest.approx(agreed.lower.value)
        assert found[(f"{name}_upper_limit",)] == pytest.approx(agreed.upper.value)
        expected = intraclass_correlation(ratings=np.column_stack([read, true])).value
        assert found[(f"{name}_icc",)] == pytest.approx(expected)
    # A disc by hand: the distance of C2's lower from C3's upper corner in front.
    ends = [LANDMARK_INDEX["C2_inferior_anterior"], LANDMARK_INDEX["C3_superior_anterior"]]
    heights = [
        np.hypot(*(points[:, ends[0]] - points[:, ends[1]]).T) * spacing for points in (preds, cases.landmarks_xy)
    ]
    expected = np.abs(heights[0] - heights[1]).mean()
    assert found[("disc_height_absolute_error", "C2-C3", "anterior")] == pytest.approx(expected, rel=1e-5)
    discs = [value for key, value in found.items() if key[0] == "disc_height_absolute_error" and len(key) == 3]
    assert len(discs) == 10
    assert found[("disc_height_absolute_error",)] == pytest.approx(np.mean(discs))


def test_no_angle_is_off_by_more_than_half_a_turn() -> None:
    cases = make_cases(2)
    upper, lower = (
        [LANDMARK_INDEX[f"{level}_inferior_{side}"] for side in ("anterior", "posterior")] for level in ("C2", "C7")
    )
    cases.landmarks_xy[:, upper], cases.landmarks_xy[:, lower] = [[25, 10], [35, 10]], [[25, 58], [35, 55]]
    preds = cases.landmarks_xy.copy()
    # C2's endplate back to front, and 10 degrees short of that: read as an angle, it is 190 degrees away.
    preds[:, upper] = [[35, 10], [25, 10 + 10 * np.tan(np.radians(10))]]
    found = list_values(score_landmarks(preds, cases), 2)
    assert found[("cobb_angle_absolute_error",)] == pytest.approx(170, abs=1e-3)


def test_weights_count_radiographs_as_often_as_they_were_drawn() -> None:
    cases = make_cases()
    cases.landmarks_xy[0, 4:9] = NAN
    cases.landmarks_xy[3, 20] = NAN
    preds = predict(cases)
    drawn = np.array([2, 0, 1, 3, 0, 1])
    again = np.repeat(np.arange(COUNT), drawn)
    expected = list_values(score_landmarks(preds[again], cases.take(again)), len(again))
    scores = score_landmarks(preds, cases)
    found = [float(score.statistic(drawn[None].astype(float))[0]) for score in scores]
    assert found == pytest.approx(list(expected.values()), nan_ok=True)
    # More rows of weights than the median takes at a time.
    assert all(len(score.statistic(np.ones((300, COUNT)))) == 300 for score in scores)


def test_perfect_predictions_are_perfect() -> None:
    cases = make_cases()
    for key, value in list_values(score_landmarks(cases.landmarks_xy, cases)).items():
        best = 1 if key[0].endswith(("rate", "icc")) else 0
        assert value == pytest.approx(best, abs=1e-9), key


def test_a_mirrored_world_reads_the_same() -> None:
    left, right = make_cases(), make_cases(facing="right")
    preds = predict(left)
    mirrored = right.landmarks_xy.copy()
    mirrored[..., 0] = SIZE - 1 - mirrored[..., 0]
    flipped = preds.copy()
    flipped[..., 0] = SIZE - 1 - flipped[..., 0]
    found = list_values(score_landmarks(flipped, replace(right, landmarks_xy=mirrored)))
    assert found == pytest.approx(list_values(score_landmarks(preds, left)), abs=1e-4)


def test_unknown_facing_leaves_alignment_out_and_says_so() -> None:
    cases = make_cases(facing="unknown")
    scores = score_landmarks(predict(cases), cases)
    assert {score.name for score in scores} == {
        "mean_radial_error", "mean_radial_error_px", "median_radial_error", "success_detection_rate"
    }  # fmt: skip
    assert scores[0].note == "6 of 6 radiographs have no known facing, and no alignment figure."
    some = replace(cases, facing=("left",) * 4 + ("unknown",) * 2)
    cobb = next(score for score in score_landmarks(predict(some), some) if score.name == "cobb_angle_bias")
    assert cobb.used == 4 and cobb.per_case is not None and np.isnan(cobb.per_case[4:]).all()


def test_unknown_spacing_makes_pixels_the_primary_unit() -> None:
    cases = make_cases()
    preds = predict(cases)
    holed = cases.pixel_spacing_mm.copy()
    holed[2] = NAN
    scores = score_landmarks(preds, replace(cases, pixel_spacing_mm=holed))
    assert (scores[0].name, scores[0].unit, scores[0].used) == ("mean_radial_error_px", "px", 6)
    assert scores[0].note == "1 of 6 radiographs have no known pixel spacing, and no figure in mm."
    assert {score.used for score in scores if score.unit == "mm"} == {5}
    assert next(score for score in scores if score.name == "cobb_angle_bias").used == 6
    without = score_landmarks(preds, replace(cases, pixel_spacing_mm=np.full(COUNT, NAN)))
    assert (without[0].unit, without[0].used) == ("px", 6)
    assert not [score for score in without if score.unit == "mm" or score.name == "success_detection_rate"]
    assert {score.name.split("_")[0] for score in without} == {"mean", "median", "cobb", "disc"}


def test_a_missing_prediction_is_charged_the_diagonal() -> None:
    cases = make_cases()
    preds = predict(cases, 0.0)
    place = LANDMARK_INDEX["C7_inferior_anterior"]
    preds[1, place] = NAN
    scores = score_landmarks(preds, cases)
    assert scores[0].note.startswith(
        "1 of 138 labelled landmarks have no prediction: each counts as the image's diagonal"
    )
    found = list_values(scores)
    assert found[("mean_radial_error_px",)] == pytest.approx(np.hypot(SIZE, SIZE) / (COUNT * NUM_LANDMARKS), rel=1e-5)
    assert found[("success_detection_rate", "4 mm")] == pytest.approx(1 - 1 / (COUNT * NUM_LANDMARKS))
    cobb = next(score for score in scores if score.name == "cobb_angle_bias")
    assert cobb.used == COUNT - 1
    nothing = score_landmarks(np.full_like(preds, NAN), cases)
    assert [(score.name, score.condition) for score in nothing] == [(score.name, score.condition) for score in scores]
    assert list_values(nothing)[("success_detection_rate", "4 mm")] == 0


def test_what_is_not_labelled_makes_no_figure() -> None:
    cases = make_cases()
    c7 = [place for name, place in LANDMARK_INDEX.items() if name.startswith("C7")]
    cases.landmarks_xy[:, c7] = NAN
    scores = score_landmarks(predict(cases), cases)
    assert not [score for score in scores if (score.condition or {}).get("level") == "C7"]
    assert not [score for score in scores if score.name.startswith(("cobb", "sva"))]
    assert {score.condition["disc"] for score in scores if score.condition and "disc" in score.condition} == {
        "C2-C3", "C3-C4", "C4-C5", "C5-C6"
    }  # fmt: skip


def test_one_radiograph_has_errors_and_no_limits() -> None:
    cases = make_cases(1)
    found = list_values(score_landmarks(predict(cases), cases), 1)
    assert found[("mean_radial_error",)] > 0 and found[("cobb_angle_absolute_error",)] > 0
    assert np.isnan(found[("cobb_angle_lower_limit",)]) and np.isnan(found[("cobb_angle_icc",)])
