"""Answers drawn for tests as the CSV files that `study analyze` reads."""

import csv
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from cspine_bench.cli import cli

TRIALS = (
    "reader", "quartet", "trial_index", "picked_position", "picked_source", "correct", "response_time_s", "kind",
)  # fmt: skip
RATINGS = ("reader", "quartet", "image_id", "source", "position", "rating", "kind")
READERS = ("R1", "R2", "R3")
CASES = tuple(f"Q{number:02d}" for number in range(1, 9))
Rows = list[tuple[Any, ...]]
Choose = Callable[[random.Random], int]


def draw_answers(
    readers: Sequence[str] = READERS,
    cases: Sequence[str] = CASES,
    *,
    panes: int = 4,
    sources: Sequence[str] = ("s1", "s2", "s3"),
    pick: Choose | None = None,
    rate: Choose | None = None,
    missing: float = 0.0,
    kind: str = "main",
    seed: int = 0,
) -> tuple[Rows, Rows]:
    """Trials and ratings; `pick` chooses an image (0 the real one), `rate` a step of 1 to 4."""
    draw = random.Random(seed)
    trials, ratings = [], []
    for reader in readers:
        for number, case in enumerate(cases, 1):
            if draw.random() < missing:
                continue
            shown = ["real", *(sources[place % len(sources)] for place in range(panes - 1))]
            order = draw.sample(range(panes), panes)
            picked = pick(draw) if pick else draw.randrange(panes)
            seconds = f"{draw.uniform(5, 40):.2f}"
            trials.append(
                (reader, case, number, order.index(picked) + 1, shown[picked], int(picked == 0), seconds, kind)
            )
            for position, image in enumerate(order, 1):
                step = rate(draw) if rate else draw.randint(1, 4)
                ratings.append((reader, case, f"{case}-{image}", shown[image], position, step, kind))
    return trials, ratings


def draw_singles(
    readers: Sequence[str] = READERS, *, count: int = 12, say: str = "", seed: int = 0
) -> tuple[Rows, Rows]:
    """Single images, half of them real; `say`: always this answer, or "right"."""
    draw = random.Random(seed)
    trials, ratings = [], []
    for reader in readers:
        for number in range(count):
            source = "real" if number % 2 == 0 else f"s{number % 4}"
            truth = "real" if source == "real" else "synthetic"
            said = truth if say == "right" else say or draw.choice(("real", "synthetic"))
            trials.append((reader, f"I{number}", number + 1, "", said, int(said == truth), "4.5", "main"))
            ratings.append((reader, f"I{number}", f"I{number}", source, 1, draw.randint(1, 4), "main"))
    return trials, ratings


def write_rows(path: Path, columns: Sequence[str], rows: Rows) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def analyse_rows(folder: Path, trials: Rows, ratings: Rows | None, *more: str) -> dict[str, Any]:
    """The result that the real command writes."""
    folder.mkdir()
    words = ["study", "analyze", "--trials", str(write_rows(folder / "trials.csv", TRIALS, trials))]
    if ratings is not None:
        words += ["--ratings", str(write_rows(folder / "ratings.csv", RATINGS, ratings))]
    ran = CliRunner().invoke(cli, [*words, "--out", str(folder / "out"), *more], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    document: dict[str, Any] = json.loads((folder / "out" / "reader-study.json").read_text())
    assert ran.stdout.startswith(document["verdict"])
    return document


def run_json(words: list[str]) -> dict[str, Any]:
    """What a command prints with `--json`; it must succeed and say nothing of a fault."""
    ran = CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    document: dict[str, Any] = json.loads(ran.stdout)
    return document


def values_of(document: dict[str, Any]) -> dict[str, float]:
    return {figure["name"]: figure["value"] for figure in document["figures"]}
