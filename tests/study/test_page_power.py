"""The page of a power calculation: every figure, the paper's size marked, nothing hostile."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from cspine_bench.measurement.figures import build_figure
from cspine_bench.metrics.intervals import wilson_interval
from cspine_bench.results import Figure, Result
from cspine_bench.study.page.power import PAPER, build_power_page, group_figures
from tests.page_elements import Elements
from tests.study.result_example import HOSTILE

STUDIES = {"simulated studies": 1000}


def build(name: str, value: float, **condition: str) -> Figure:
    share = wilson_interval(successes=1000 * value, total=1000) if name.startswith("power") else value
    return build_figure(
        name, share, direction="higher", used=STUDIES, available=STUDIES, method="Wilson", condition=condition
    )


def iter_figures() -> Iterator[Figure]:
    """Each with a value of its own."""
    number = 0
    for readers in ("4", "8", "12"):
        for cases in ("50", "100"):
            size = {"readers": readers, "cases": cases, "reader_sd": "0.25", "case_sd": "0.45"}
            for method in ("two-way-nonnegative", "label-test"):
                for accuracy in ("0.25", "0.33"):
                    number += 7
                    yield build("power_detect", number / 1000, **size, accuracy=accuracy, method=method)
            for margin in ("0.05", "0.1"):
                number += 7
                yield build(
                    "power_equivalence", number / 1000, **size, accuracy="0.25", margin=margin, method="two-way"
                )
            number += 7
            yield build("interval_width", number / 1000, **size, accuracy="0.25", method="two-way")
    yield build("readers_needed", 19, cases="100", margin="0.05", method="two-way")
    yield build("power_detect", 0.987, planet=HOSTILE)


def build_result(**more: Any) -> Result:
    given: dict[str, Any] = {
        "measure": "study-power", "measure_version": "1", "figures": tuple(iter_figures()), "inputs": (), "seed": 3,
        "settings": {"chance": 0.25, "primary_method": "label-test", "title": HOSTILE}, "package_version": "0.0.1",
        "verdict": f"8 readers are few. {HOSTILE}",
    }  # fmt: skip
    return Result(**(given | more))


def read(page: bytes) -> str:
    return re.sub(r"\s+", " ", Elements(page).text)


def test_every_figure_is_on_the_page() -> None:
    page = build_power_page(build_result(), command="cspine-bench study power --out results")
    text = read(page)
    for one in iter_figures():
        shown = f"{100 * one.value:.1f}" if one.name == "interval_width" else f"{one.value:.2f}"
        assert shown in text or one.name == "readers_needed", one
        if one.interval is not None and "planet" not in one.condition:
            assert f"{one.interval.low:.2f} to {one.interval.high:.2f}" in text, one
    assert (
        "Further figures" in text
        and "readers needed" in text
        and "19" in text
        and "98.7" in text.replace("0.987", "98.7")
    )
    assert "cspine-bench study power --out results" in text
    assert build_power_page(build_result(), command="cspine-bench study power --out results") == page


def test_the_papers_size_is_marked_and_told_in_words() -> None:
    figures = {(one.name, *sorted(one.condition.items())): one.value for one in iter_figures()}
    own = {"readers": PAPER[0], "cases": PAPER[1], "reader_sd": "0.25", "case_sd": "0.45"}
    text = read(build_power_page(build_result()))

    def find(name: str, **more: str) -> float:
        return figures[(name, *sorted({**own, **more}.items()))]

    label = find("power_detect", accuracy="0.33", method="label-test")
    other = find("power_detect", accuracy="0.33", method="two-way-nonnegative")
    assert f"{100 * label:.0f} of 100 would find readers above chance (true accuracy 33 %)" in text
    assert f"{100 * other:.0f} of 100 by two-way-nonnegative" in text
    equal = find("power_equivalence", accuracy="0.25", margin="0.05", method="two-way")
    assert f"{100 * equal:.0f} of 100 would show equivalence (true accuracy 25 %, margin ±5 points)" in text
    assert f"◇ {label:.2f}" in text and f"◇ {equal:.2f}" in text
    without = tuple(one for one in iter_figures() if one.condition.get("readers") != "8")
    assert "as in arXiv" not in read(build_power_page(build_result(figures=without)))


def test_series_differ_in_readers_and_cases_alone() -> None:
    held, series = group_figures(
        [one for one in iter_figures() if one.name == "power_detect" and len(one.condition) > 1]
    )
    assert held == {"reader_sd": "0.25", "case_sd": "0.45"}
    assert [(one.method, one.setting) for one in series] == [
        (method, {"accuracy": accuracy})
        for method in ("two-way-nonnegative", "label-test")
        for accuracy in ("0.25", "0.33")
    ]
    assert all(len(one.figures) == 6 for one in series)
    assert group_figures([]) == ({}, [])


@pytest.mark.parametrize(
    "figures",
    [
        (),
        (build("power_detect", 0.0, readers="8", cases="50"),),
        (build("power_equivalence", 1.0, readers="many", cases="0", margin="nan"),),
        (build("interval_width", 0.0, readers="8", cases="50", method=HOSTILE),),
        tuple(build("power_detect", 0.5, readers=str(count), cases="50", accuracy="0.3") for count in range(1, 10)),
    ],
)  # fmt: skip
def test_odd_results_have_a_page(figures: tuple[Figure, ...]) -> None:
    page = build_power_page(build_result(figures=figures, verdict=""))
    shown = Elements(page)
    assert "The result states no verdict." in shown.text and "Not shown:" in shown.text
    assert not re.search(r"\b(None|inf)\b", shown.text)
    assert not re.search(r'="[^"]*\bnan\b', page.decode().replace("margin nan", "").replace("±nan", ""))


def test_nothing_hostile_comes_alive() -> None:
    shown = Elements(build_power_page(build_result(), command=HOSTILE))
    assert not {"img", "script", "link", "iframe"} & {tag for tag, _ in shown.found}
    assert not any(name.startswith("on") or name == "src" for _, attributes in shown.found for name in attributes)
    assert all(attributes.get("href", "#").startswith("#") for _, attributes in shown.found)
    assert shown.text.count("<img src=x onerror") >= 4
