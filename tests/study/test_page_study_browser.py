"""Pages of a reader study in a real browser: nothing is asked for, nothing runs off a phone, paper is white."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cspine_bench.study.page.records import StudyRecords
from cspine_bench.study.page.study import build_study_page
from cspine_bench.study.recipe import AnalysisRecipe
from cspine_bench.study.responses import Responses
from tests.study.result_example import HOSTILE, build_records, build_responses, build_result, rename

pytestmark = pytest.mark.slow  # starts a browser: three seconds and more of processor time


@pytest.fixture(scope="module")
def browser() -> Any:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e .[dev]")
    path = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no browser is installed: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


def test_pages_ask_for_nothing_fit_a_phone_and_print_on_white(browser: Any, tmp_path: Path) -> None:
    hostile = rename(replace(build_responses(), simulated=True), {"R1": HOSTILE, "R2": "x" * 32})
    pages = {
        "whole": build_study_page(build_result(), build_records()),
        "hostile": build_study_page(build_result(), build_records(responses=hostile)),
        "nothing": build_study_page(
            build_result((), verdict=""), StudyRecords(Responses("pair", 4, (), ()), AnalysisRecipe())
        ),
    }
    for name, data in pages.items():
        path = tmp_path / f"{name}.html"
        path.write_bytes(data)
        page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("dialog", lambda dialog, said=said: said.append(dialog.message))
        page.goto(f"file://{path}")
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert asked == [f"file://{path}"] and said == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 21, 23)"
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.evaluate("[...document.querySelectorAll('svg.plot')].every(one => one.clientWidth > 100)"), name
        page.close()
