"""Draw docs/images/reader_study_trial.png: `python docs/draw_reader_page.py` (needs a Chromium).

A study of phantoms alone is planned, served and answered by the commands that a user would type.
"""

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

PICTURE = Path(__file__).parent / "images" / "reader_study_trial.png"
VIEWPORT = {"width": 1280, "height": 800}
TOOL = [sys.executable, "-m", "cspine_bench"]
SOURCES = ("early", "middle", "late")
PLAN = ("readers=1", "cases=6", "training=1", "repeats=0", "positive_controls=0")


def run(folder: Path, *words: str) -> None:
    """A command, which must end well."""
    subprocess.run([*TOOL, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def plan_study(folder: Path) -> str:
    """A study in `folder/study`, and the path and secret of its reader's link."""
    for seed, name in enumerate(("films", *SOURCES)):
        run(folder, "dataset", "phantom", name, "--count", "40", "--size", "256", "--seed", str(seed), "--quiet")
    sides = [word for name in SOURCES for word in ("--synthetic", f"{name}={name}")]
    settings = [word for setting in PLAN for word in ("--set", setting)]
    # Some thirty images are too few for the leak audit, and nobody will be asked.
    anyway = ("--allow-leaks", "a picture for the documentation")
    run(
        folder,
        "study",
        "plan",
        "--real",
        "films",
        "--real-split",
        "train",
        *sides,
        *settings,
        *anyway,
        "--out",
        "study",
    )
    run(folder, "study", "links", "study", "--base-url", "https://localhost/", "--out", "links.csv")
    with (folder / "links.csv").open(encoding="utf-8") as file:
        [row] = csv.DictReader(file)
    return next(value for value in row.values() if value.startswith("https://")).removeprefix("https://localhost/")


def answer(page: Any) -> None:
    """Go past the pages before the sets and three sets, then pick and rate most of the fourth."""
    page.click("text=I have read this")
    page.wait_for_selector(".patches")
    for tone in ("dark", "light"):
        page.click(f".{tone} .corner:has(.patch)")
    page.click("text=Continue")
    for number in range(1, 5):
        page.wait_for_function(
            "(count) => document.querySelector('.count')?.textContent.startsWith(count)"
            " && !document.querySelector('.trial').inert && document.querySelector('canvas').width > 1",
            arg=f"{number} of ",
        )
        page.wait_for_timeout(500)
        for key in ("3 Enter 3 2 4" if number == 4 else "1 Enter 3 3 3 3 Enter").split():
            page.keyboard.press(key)
        if number == 1:
            page.click("text=Start")
    page.wait_for_timeout(500)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    from playwright.sync_api import sync_playwright

    folder = Path(tempfile.mkdtemp(prefix="reader-page-"))
    link = plan_study(folder)
    command = [*TOOL, "study", "serve", "study", "--port", "0", "--quiet"]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport=VIEWPORT)
            page.goto(address + link)
            answer(page)
            page.screenshot(path=PICTURE)
            browser.close()
        Image.open(PICTURE).quantize(256).save(PICTURE, optimize=True)
    finally:
        server.kill()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
