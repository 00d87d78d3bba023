"""Figures of masks: by hand, with levels that are missing, absent, missed or made up, and without a pixel spacing."""

from dataclasses import replace

import numpy as np
import pytest
from baseline_example import draw_cases

from cspine_bench.anatomy.landmarks import LEVELS
from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.task import Score
from cspine_bench.baselines.tasks.segmentation.recipe import SegmentationRecipe
from cspine_bench.baselines.tasks.segmentation.scores import score_masks
from cspine_bench.metrics.segmentation import dice

RECIPE = SegmentationRecipe()
FARTHEST_PX = np.hypot(31, 31)


def find(scores: tuple[Score, ...], name: str, level: str | None = None) -> Score:
    return next(score for score in scores if score.name == name and (score.condition or {}).get("level") == level)


def value(score: Score, weights: list[float] | None = None) -> float:
    given = np.ones(len(score.per_case)) if weights is None and score.per_case is not None else weights
    return float(score.statistic(np.atleast_2d(np.asarray(given, float)))[0])


def shift(cases: Cases) -> np.ndarray:
    return np.roll(cases.masks, (1, 1), axis=(1, 2))


def test_perfect_masks() -> None:
    cases = draw_cases(6)
    scores = score_masks(cases.masks, cases, RECIPE)
    assert (scores[0].name, scores[0].condition, scores[0].direction, scores[0].used) == ("dice", {}, "higher", 6)
    for score in scores:
        found = float(score.statistic(np.ones((1, 6)))[0])
        assert found == (1 if score.direction == "higher" else 0), score.name
    assert {(score.condition or {}).get("level") for score in scores} == {None, "C3", "C4", "C5", "C6", "C7"}
    assert {score.unit for score in scores} == {"", "mm", "share"}


def test_the_mean_is_over_levels_first_and_then_over_radiographs() -> None:
    cases = draw_cases(3)
    cases.annotated[1, 3:] = False
    preds = shift(cases)
    table = dice(preds=preds, target=cases.masks, labels=[3, 4, 5, 6, 7])
    expected = [table[0].mean(), table[1, 0], table[2].mean()]
    scores = score_masks(preds, cases, RECIPE)
    assert scores[0].per_case == pytest.approx(expected)
    assert value(scores[0]) == pytest.approx(np.mean(expected))
    assert value(scores[0], [3, 0, 1]) == pytest.approx((3 * expected[0] + expected[2]) / 4)
    assert value(find(scores, "dice", "C5")) == pytest.approx(table[[0, 2], 2].mean())
    assert find(scores, "dice", "C5").used == 2
    only = score_masks(preds, cases, SegmentationRecipe(levels=("C4", "C6")))
    assert only[0].per_case == pytest.approx([table[0, [1, 3]].mean(), np.nan, table[2, [1, 3]].mean()], nan_ok=True)
    assert only[0].used == 2 and "C4, C6" in only[0].note


def test_every_figure_follows_the_weights() -> None:
    """Whole weights are repetitions."""
    cases = draw_cases(6)
    cases.annotated[0, 5:] = False
    cases.masks[1][cases.masks[1] == 4] = 0
    cases.pixel_spacing_mm[3] = np.nan
    preds = shift(cases)
    preds[2][preds[2] == 5] = 0
    repeats = np.array([2, 1, 0, 3, 1, 1])
    rows = np.repeat(np.arange(6), repeats)
    whole, repeated = score_masks(preds, cases, RECIPE), score_masks(preds[rows], cases.take(rows), RECIPE)
    assert [(one.name, one.condition) for one in whole] == [(one.name, one.condition) for one in repeated]
    for one, other in zip(whole, repeated, strict=True):
        expected = other.statistic(np.ones((1, len(rows))))
        np.testing.assert_allclose(one.statistic(repeats[None].astype(float)), expected, err_msg=one.name)


def test_an_unannotated_level_takes_no_part() -> None:
    cases = draw_cases(4)
    before = score_masks(shift(cases), cases, RECIPE)
    preds = shift(cases)
    preds[:, :2] = 1
    preds[:, -2:] = 8
    after = score_masks(preds, cases, RECIPE)
    assert [(one.name, one.condition) for one in before] == [(one.name, one.condition) for one in after]
    for one, other in zip(before, after, strict=True):
        assert value(one, [1] * 4) == value(other, [1] * 4)


def test_a_level_that_is_not_in_the_image_is_left_out_and_its_inventions_are_counted() -> None:
    cases = draw_cases(4)
    cases.masks[:2][cases.masks[:2] == 7] = 0
    preds = cases.masks.copy()
    preds[0, 0, 0] = 7
    scores = score_masks(preds, cases, RECIPE)
    assert value(scores[0]) == 1
    assert find(scores, "dice", "C7").used == 2
    assert value(find(scores, "false_level_share"), [1] * 4) == 0.5
    assert find(scores, "false_level_share").used == 2
    assert value(find(scores, "false_level_share", "C7"), [1, 0, 0, 0]) == 1
    assert not any(one.name == "false_level_share" and one.condition == {"level": "C3"} for one in scores)


def test_a_level_that_was_missed_costs_all_there_is() -> None:
    cases = draw_cases(4)
    preds = cases.masks.copy()
    preds[0][preds[0] == 5] = 0
    learnt = np.ones((4, len(LEVELS)), bool)
    learnt[:, [0, 4]] = False
    scores = score_masks(preds, cases, RECIPE, learnt=learnt)
    assert find(scores, "dice", "C5").per_case == pytest.approx([0, 1, 1, 1])
    assert scores[0].per_case == pytest.approx([0.8, 1, 1, 1])
    for name in ("hausdorff95", "assd"):
        assert find(scores, name, "C5").per_case == pytest.approx([2 * FARTHEST_PX, 0, 0, 0])
    assert value(find(scores, "missed_level_share"), [1] * 4) == pytest.approx(1 / 20)
    assert value(find(scores, "missed_level_share", "C5"), [1] * 4) == 0.25
    assert "C5 could not be learnt, and count as missed." in scores[0].note
    assert find(scores, "iou", "C5").note == "C5 could not be learnt, and counts as missed."
    assert find(scores, "iou", "C4").note == ""
    nothing = score_masks(np.zeros_like(preds), cases, RECIPE)
    assert value(nothing[0]) == 0
    assert value(find(nothing, "hausdorff95")) == pytest.approx(2 * FARTHEST_PX)
    assert [(one.name, one.condition) for one in nothing] == [(one.name, one.condition) for one in scores]


def test_without_a_pixel_spacing_distances_are_in_px() -> None:
    cases = draw_cases(4)
    known = score_masks(shift(cases), cases, SegmentationRecipe(surface_tolerance_mm=2.0))
    assert find(known, "surface_dice").condition == {"tolerance": "2 mm"}
    cases = replace(cases, pixel_spacing_mm=np.array([2.0, np.nan, 2.0, np.nan]))
    mixed = score_masks(shift(cases), cases, SegmentationRecipe(surface_tolerance_mm=2.0))
    assert find(mixed, "assd").used == 2 and find(mixed, "assd").unit == "mm"
    assert find(mixed, "assd_px").used == 4 and find(mixed, "assd_px").unit == "px"
    assert find(mixed, "assd").per_case[::2] == pytest.approx(2 * find(mixed, "assd_px").per_case[::2])
    assert find(mixed, "surface_dice_px").per_case[::2] == pytest.approx(find(mixed, "surface_dice").per_case[::2])
    assert "2 of 4 radiographs have no known pixel spacing" in mixed[0].note
    none = score_masks(shift(cases), replace(cases, pixel_spacing_mm=np.full(4, np.nan)), RECIPE)
    assert not any(score.unit == "mm" for score in none)
    assert find(none, "surface_dice_px").condition == {"tolerance": "1 px"}


def test_tiny_vertebrae_and_a_single_radiograph() -> None:
    cases = draw_cases(1)
    cases.masks[:] = 0
    cases.masks[0, 5, 5], cases.masks[0, 9, 9:11] = 3, 4
    preds = np.zeros_like(cases.masks)
    preds[0, 5, 6], preds[0, 9, 9:11] = 3, 4
    scores = score_masks(preds, cases, RECIPE)
    assert value(scores[0]) == 0.5
    assert find(scores, "assd", "C3").per_case == pytest.approx([2.0])
    assert "A vertebra has 1.5 px (median)" in scores[0].note
    blank = score_masks(preds, replace(cases, masks=np.zeros_like(cases.masks)), RECIPE)
    assert np.isnan(value(blank[0])) and blank[0].used == 0
    assert value(find(blank, "false_level_share"), [1]) == 2 / 5
