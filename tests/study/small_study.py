"""A tiny planned study, made once in a run: for whatever serves, reads, simulates or analyses one.

`make_small_study(make_once)` gives a folder that tests share, so copy it (`copy_small_study`) before anything is
written to it: an answer, a link, an unblinding.
"""

import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cspine_bench.recipe import apply_overrides
from cspine_bench.study.folder import StudyFolder, open_study
from cspine_bench.study.plan.make import Plan, build_plan
from cspine_bench.study.plan.sides import Sides, open_sides
from cspine_bench.study.plan.write import write_plan
from cspine_bench.study.recipe import StudyRecipe
from tests.study.small_images import write_images

SMALL = (
    "readers=3", "cases=4", "training=1", "repeats=1", "repeat_lag=2", "positive_controls=1", "negative_controls=1",
)  # fmt: skip
SECRET = "5e" * 32
MakeOnce = Callable[[str, Callable[[Path], object]], Path]


def make_small_sources(make_once: MakeOnce) -> Path:
    """A folder of datasets: `films` (30, half of them test), `s1` and `s2` (24 each), drawn alike."""

    def fill(folder: Path) -> None:
        write_images(folder / "films", range(30), "film")
        write_images(folder / "s1", range(100, 124), "early")
        write_images(folder / "s2", range(200, 224), "late")

    return make_once("study-sources", fill)


@functools.cache
def open_small_sides(make_once: MakeOnce) -> Sides:
    """The sides of the small sources."""
    folder = make_small_sources(make_once)
    return open_sides(folder / "films", [str(folder / "s1"), str(folder / "s2")])


@functools.cache
def build_small_plan(make_once: MakeOnce, *settings: str, secret: str = SECRET, **asked: Any) -> Plan:
    """A plan of the small sources, in memory; the same one for the same arguments."""
    recipe = apply_overrides(StudyRecipe(), [*SMALL, *settings])
    return build_plan(open_small_sides(make_once), recipe, **({"seed": 0} | asked), secret=secret)


def make_small_study(make_once: MakeOnce, design: str = "quartet") -> StudyFolder:
    """The study of a design; single images have no negative controls."""
    changed = [f"design={design}", *(["negative_controls=0", "cases=6"] if design == "single" else [])]
    place = make_once(f"study-{design}", lambda path: write_plan(build_small_plan(make_once, *changed), path))
    return open_study(place)


def copy_small_study(make_once: MakeOnce, folder: Path, design: str = "quartet") -> StudyFolder:
    """A copy of one's own."""
    shutil.copytree(make_small_study(make_once, design).paths.folder, folder)
    return open_study(folder)
