"""The page of a baseline: every figure on it, self-contained, honest where something is missing."""

import base64
import hashlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from baseline_example import SIZE, build_task, draw_cases, example, predict_landmarks
from page_elements import Elements

from cspine_bench.baselines.page.baseline import build_baseline_page
from cspine_bench.baselines.page.case_plots import draw_agreement, draw_example, draw_reliability
from cspine_bench.baselines.page.markers import mark_arms
from cspine_bench.baselines.page.pictures import ShownArm, collect_agreements, collect_examples, collect_reliabilities
from cspine_bench.baselines.page.records import Agreement, BaselinePictures, Example, Reliability
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.metrics.classification import ReliabilityCurve, reliability_curve
from cspine_bench.page.wording import show_figure

RECIPE = BaselineRecipe.model_validate({"task": {"kind": "landmarking"}, "size": SIZE, "network": {"widths": (8, 16)}})
HOSTILE = '"><script>alert(1)</script></svg>\ud800'


def draw_curve(confidence: Sequence[float] | NDArray[Any], correct: Sequence[bool] | NDArray[Any]) -> ReliabilityCurve:
    return reliability_curve(confidence=np.array(confidence), correct=np.array(correct, np.bool_), num_bins=2)


@pytest.fixture(scope="module")
def pictures() -> BaselinePictures:
    cases, _ = example()
    shown = []
    for arm, error in (("real", 1.0), ("mixed-1", 0.6)):
        predictions = predict_landmarks(cases, error)
        shown.append(ShownArm(arm, predictions, build_task().score(predictions, cases, seed=0)))
    return BaselinePictures(
        agreements=collect_agreements(cases, shown),
        reliabilities=(Reliability("real", draw_curve(np.linspace(0.3, 1, 20), np.arange(20) % 3 > 0)),),
        examples=collect_examples(RECIPE, cases, shown),
        command="cspine-bench baseline run landmarking",
    )


@pytest.fixture(scope="module")
def page(pictures: BaselinePictures) -> bytes:
    return build_baseline_page(example()[1], pictures)


def test_every_figure_is_on_the_page(page: bytes) -> None:
    text = Elements(page).text
    figures = example()[1].figures
    assert len(figures) > 200
    for figure in figures:
        shown = show_figure(figure)
        assert shown.value in text and shown.interval in text, figure


def test_verdicts_come_first_with_their_sentences(page: bytes) -> None:
    result = example()[1]
    text = Elements(page).text
    assert text.index("With 10 % of the real labels") < text.index("What was measured, on what")
    sentences = [figure.note for figure in result.figures if figure.name == "adjusted_p_value"]
    assert len(sentences) == 6 and all(sentence in text for sentence in sentences)


def test_the_page_asks_for_nothing_and_can_be_heard(page: bytes) -> None:
    elements = Elements(page)
    digest = base64.b64encode(hashlib.sha256(elements.style.encode()).digest()).decode()
    [policy] = [one["content"] for one in elements.of("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert f"'sha256-{digest}'" in policy
    assert not {"script", "link", "iframe"} & {tag for tag, _ in elements.found}
    for tag, attributes in elements.found:
        assert not [key for key in attributes if key.startswith("on") or key == "style"], tag
        assert all(attributes.get(key, "#").startswith(("#", "data:image/png;base64,")) for key in ("src", "href"))
    assert all(one.get("aria-label") or one.get("aria-hidden") for one in elements.of("svg"))
    assert all(one.get("scope") in ("row", "col") for one in elements.of("th"))
    ids = [one["id"] for _, one in elements.found if "id" in one]
    assert len(ids) == len(set(ids)) and {one["href"][1:] for one in elements.of("a")} <= set(ids)
    places = [value for _, one in elements.found for key, value in one.items() if key in ("x", "y", "d", "cx", "cy")]
    assert len(places) > 300 and not [value for value in places if "nan" in value or "inf" in value]


def test_without_real_pixels_no_picture_is_left(pictures: BaselinePictures, page: bytes) -> None:
    assert page.count(b"data:image/png") == len(pictures.examples) == 6
    hidden = build_baseline_page(example()[1], pictures, real_pixels=False)
    assert b"data:image/png" not in hidden and b'class="guess"' in hidden
    assert "no pixel of a test radiograph" in Elements(hidden).text


def test_the_same_result_gives_the_same_bytes(pictures: BaselinePictures, page: bytes) -> None:
    assert build_baseline_page(example()[1], pictures) == page


def test_what_is_missing_is_said_and_hostile_words_stay_words() -> None:
    result = example()[1]
    few = tuple(one for one in result.figures if one.condition.get("arm") == "real" and "level" not in one.condition)
    page = build_baseline_page(
        result.model_copy(update={"figures": few, "verdict": HOSTILE}), BaselinePictures(warnings=(HOSTILE,))
    )
    elements = Elements(page)
    assert "Arm pretrained: No figure of it is in the result" in elements.text and "Floor: No score" in elements.text
    assert elements.text.count("Not shown:") == 4
    assert not elements.of("script") and "<script>alert(1)</script>" in elements.text
    with pytest.raises(ValueError, match="no figure names its arm"):
        build_baseline_page(result.model_copy(update={"figures": ()}), BaselinePictures())


def test_arms_differ_in_shape_where_they_share_a_colour() -> None:
    markers = mark_arms(["real", "real-augmented", "real-restarted", "mixed-0.5", "mixed-1", "mixed-2", "pretrained"])
    assert len(set(markers.values())) == len(markers)


def test_bland_altman_by_hand() -> None:
    found = draw_agreement(
        Agreement("SVA", "mm", "real", np.array([0.0, 1.0, 2.0, np.nan]), np.array([1.0, 3.0, 5.0, 9.0]))
    )
    assert found is not None
    # Differences 1, 2, 3: bias 2, standard deviation 1, limits 2 +- 1.96.
    assert found[1] == "Bias 2.0, limits of agreement 0.0 to 4.0 mm; n = 3."
    assert draw_agreement(Agreement("SVA", "mm", "real", np.ones(2), np.ones(2))) is None


def test_a_reliability_plot_puts_each_bin_at_its_share() -> None:
    svg = draw_reliability(Reliability("real", draw_curve([0.95] * 4 + [0.55] * 4, [True] * 3 + [False] * 5)))
    # Panel of 250 px: 1 at y = 26, 0 at y = 210; 3 of 4 and 0 of 4.
    assert svg is not None and 'cy="72.0"' in svg and 'cy="210.0"' in svg
    assert draw_reliability(Reliability("real", draw_curve([], []))) is None


def test_examples_are_the_best_the_median_and_the_worst() -> None:
    cases, _ = example()
    places = cases.landmarks_xy + 0.1 * np.arange(len(cases), dtype=np.float32)[::-1, None, None]
    arrays = {"landmarks_xy": places, "confidence": np.ones(places.shape[:2], np.float32)}
    found = collect_examples(RECIPE, cases, [ShownArm("real", arrays, build_task().score(arrays, cases, seed=0))])
    last = len(cases) - 1
    assert [one.rank for one in found] == ["best", "median", "worst"]
    assert [one.sample_id for one in found] == [cases.sample_ids[place] for place in (last, last - last // 2, 0)]
    # 0.1 px along both axes, 2 mm per px.
    assert "0 mm" in found[0].text and found[1].text.endswith(f"{2 * 2**0.5 * 0.1 * (last // 2):.2f} mm")


def test_outlines_follow_the_edges_of_masks() -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[2:4, 1:5] = 3
    mask[7, 7] = 255
    svg = draw_example(Example("ex0000001", "real", "best", "", mask, truth_mask=mask), real_pixels=False)
    [path] = re.findall(r'd="([^"]*)"', svg)
    assert sorted(re.findall(r"M[^M]*", path)) == ["M1 2h4", "M1 2v2", "M1 4h4", "M5 2v2"]


def test_other_tasks_have_no_agreement() -> None:
    cases = draw_cases(4)
    assert collect_agreements(cases, [ShownArm("real", {"masks": cases.masks}, ())]) == ()
    assert collect_reliabilities(RECIPE, cases, [ShownArm("real", {}, ())]) == ()
