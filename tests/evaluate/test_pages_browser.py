"""Pages of an evaluation in a real browser: nothing is asked for, nothing runs off a phone, themes and keys work."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from memorization_example import (
    build_memorization_figures,
    build_memorization_pictures,
    build_memorization_result,
    build_pairs,
)
from page_example import build_fidelity_pictures, build_fidelity_result, draw_films

from cspine_bench.evaluate.page.fidelity import build_fidelity_page
from cspine_bench.evaluate.page.memorization import build_memorization_page
from cspine_bench.evaluate.page.records import FidelityPictures, MemorizationPictures

HOSTILE = "<img src=https://example.org/x onerror=alert(1)>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e .[dev]")
    path = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if path is None:
        pytest.skip("no browser is installed: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    train, holdout, synthetic = draw_films(6, 1), draw_films(4, 2), draw_films(8, 3)
    pairs = build_pairs(train, holdout, synthetic, num_copies=1)
    memorization = build_memorization_result(figures=build_memorization_figures(num_copies=1), verdict=HOSTILE)
    found = build_memorization_pictures(train, synthetic, outcome="copies")
    pages = {
        "fidelity": build_fidelity_page(build_fidelity_result(), build_fidelity_pictures(train, synthetic)),
        "fidelity-of-nothing": build_fidelity_page(build_fidelity_result(figures=()), FidelityPictures()),
        "memorization": build_memorization_page(memorization, pairs, found),
        "memorization-without-films": build_memorization_page(memorization, pairs, found, real_pixels=False),
        "memorization-of-nothing": build_memorization_page(
            build_memorization_result(figures=()), [], MemorizationPictures()
        ),
    }
    place = tmp_path_factory.mktemp("pages")
    for name, page in pages.items():
        (place / f"{name}.html").write_bytes(page)
    return place


def test_pages_ask_for_nothing_and_fit_a_phone(browser: Any, folder: Path) -> None:
    for path in sorted(folder.glob("*.html")):
        page = browser.new_page(viewport={"width": 390, "height": 844})
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        page.on("dialog", lambda dialog, said=said: said.append(dialog.message))
        page.goto(f"file://{path}")
        assert [url for url in asked if not url.startswith("data:")] == [f"file://{path}"]
        assert said == [], path.name
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path.name
        assert page.evaluate("[...document.images].every(one => one.complete && one.naturalWidth > 0)"), path.name
        page.close()


def test_light_and_dark_and_print(browser: Any, folder: Path) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto(f"file://{folder / 'fidelity'}.html")

    def ground() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert ground() == "rgb(19, 21, 23)"
    page.check("#theme-light")
    assert ground() == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="light")
    page.check("#theme-dark")
    assert ground() == "rgb(19, 21, 23)"
    page.emulate_media(media="print")
    assert ground() == "rgb(255, 255, 255)", "ink, not night, goes on paper"
    assert not page.is_visible("nav") and page.is_visible("text=Synthetic, not for diagnosis >> nth=0")
    page.close()


def test_keys_alone_reach_the_verdict_and_the_tables(browser: Any, folder: Path) -> None:
    page = browser.new_page()
    page.goto(f"file://{folder / 'memorization'}.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('href')") == "#verdict"
    reached = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.id"))
    assert {"theme-auto", "Gates", "Inputs", "How it was measured"} <= reached
    page.close()
