"""`cspine-bench demo`: the whole pipeline, one public command after another."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from cspine_bench.cli.options import NEW_PATH, SEED, Printing, printing_options
from cspine_bench.cli.output import format_count, print_note, print_result
from cspine_bench.errors import CspineBenchError

_RECORD: Final = "demo.json"

_FEWEST_FILMS: Final = 160
"""Of which four in five are trained on."""

_ENVIRONMENT: Final = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
"""The demo needs no network, and `datasets` shall not draw bars between our lines."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the stages are built from."""

    out: Path
    count: int
    size: int
    seed: int
    films: int
    updates: int | None
    samples: int

    @property
    def phantom(self) -> Path:
        """The dataset of phantom radiographs."""
        return self.out / "datasets" / "phantom"

    @property
    def small(self) -> Path:
        """Small phantoms, which the generator is trained on."""
        return self.out / "datasets" / "phantom-64"

    @property
    def run(self) -> Path:
        """The generator's run folder."""
        return self.out / "runs" / "phantom-64"

    @property
    def sampled(self) -> Path:
        """What it makes."""
        return self.out / "datasets" / "samples"

    @property
    def store(self) -> Path:
        """Features of all radiographs."""
        return self.out / "features"

    @property
    def evidence(self) -> Path:
        """What was measured of the samples."""
        return self.out / "evaluation"

    @property
    def release(self) -> Path:
        """The samples as they would be published."""
        return self.out / "release"

    @property
    def pictures(self) -> list[Path]:
        """What to look at when the demo is over."""
        pages = [self.evidence / "fidelity.html", self.evidence / "memorization.html"]
        return [self.picture, self.run / "progress.png", self.sampled_picture, *pages]

    @property
    def picture(self) -> Path:
        """Sheet of phantoms."""
        return self.out / "contact_sheet.png"

    @property
    def sampled_picture(self) -> Path:
        """Sheet of samples."""
        return self.out / "samples.png"

    def result(self, stage: str) -> Path:
        """Where a stage's JSON goes."""
        return self.out / "results" / f"{stage}.json"


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the demo: a command that a user would type, and the files that it leaves.

    Args:
        name: of its result, `results/NAME.json`: the JSON document that the command prints.
        command: its arguments; the first is `cspine-bench` or `python`.
        leaves: files whose absence means that it must run again.
        sentence: one line for people, from the result.
        decides: whether a negative verdict of it is one of the demo.
    """

    name: str
    command: Callable[[Settings], list[str]]
    leaves: Callable[[Settings], list[Path]]
    sentence: Callable[[dict[str, Any]], str]
    decides: bool = True


def _phantom_command(settings: Settings) -> list[str]:
    numbers = {"--count": settings.count, "--size": settings.size, "--seed": settings.seed}
    options = [text for name, value in numbers.items() for text in (name, str(value))]
    return ["cspine-bench", "dataset", "phantom", str(settings.phantom), *options, "--json"]


def _inspect_command(settings: Settings) -> list[str]:
    files = ["--sheet", str(settings.picture), "--parameters", str(settings.out / "results" / "parameters.csv")]
    return ["cspine-bench", "dataset", "inspect", str(settings.phantom), *files, "--json"]


def _load_command(settings: Settings) -> list[str]:
    load = f"datasets.load_dataset({str(settings.phantom)!r})"
    return ["python", "-c", f"import datasets, json; print(json.dumps({load}.num_rows))"]


def _small_command(settings: Settings) -> list[str]:
    options = ["--count", str(settings.films), "--size", "64", "--seed", str(settings.seed), "--json"]
    return ["cspine-bench", "dataset", "phantom", str(settings.small), *options]


def _train_command(settings: Settings) -> list[str]:
    changes = []
    if settings.updates is not None:
        # Kept and measured at its end alone: the recipe's own steps may lie beyond.
        steps = {"num_steps": settings.updates, "checkpoint_steps": "[]", "monitor": "null"}
        changes = [word for name, value in steps.items() for word in ("--set", f"training.{name}={value}")]
    folders = ["--data", str(settings.small), "--out", str(settings.run), "--seed", str(settings.seed)]
    return ["cspine-bench", "ddpm", "train", "phantom-64-cpu", *folders, *changes, "--json"]


def _sample_command(settings: Settings) -> list[str]:
    # A network this young leaves grain in what it denoises slowly; guidance makes small bones plain.
    look = ["--steps", "6", "--guidance", "2"]
    options = ["--count", str(settings.samples), "--seed", str(settings.seed), "--out", str(settings.sampled)]
    return ["cspine-bench", "ddpm", "sample", str(settings.run), *look, *options, "--json"]


def _show_command(settings: Settings) -> list[str]:
    # Small bones would hide behind their outlines.
    sheet = ["--sheet", str(settings.sampled_picture), "--no-labels", "--json"]
    return ["cspine-bench", "dataset", "inspect", str(settings.sampled), *sheet]


def _fidelity_command(settings: Settings) -> list[str]:
    sides = ["--real", str(settings.small), "--real-split", "validation", "--real-split", "test"]
    # So that the demo takes minutes.
    fewer = ["--set", "transmission_count=24", "--set", "map_count=8", "--seed", str(settings.seed)]
    where = ["--synthetic", str(settings.sampled), "--store", str(settings.store), "--out", str(settings.evidence)]
    return ["cspine-bench", "evaluate", "fidelity", *sides, *where, *fewer, "--json"]


def _memorization_command(settings: Settings) -> list[str]:
    small = str(settings.small)
    held_out = ["--holdout", small, "--holdout-split", "validation", "--holdout-split", "test"]
    sides = ["--train", small, "--train-split", "train", *held_out, "--synthetic", str(settings.sampled)]
    where = ["--run", str(settings.run), "--store", str(settings.store), "--out", str(settings.evidence)]
    fewer = ["--set", f"planted={min(6, settings.samples)}", "--seed", str(settings.seed)]
    return ["cspine-bench", "evaluate", "memorization", *sides, *where, *fewer, "--json"]


def _build_command(settings: Settings) -> list[str]:
    named = ["--set", "name=cspine-demo", "--out", str(settings.release)]
    for measure in ("fidelity", "memorization"):
        named += ["--evaluation", str(settings.evidence / f"{measure}.json")]
    return ["cspine-bench", "release", "build", str(settings.sampled), *named, "--webdataset", "--json"]


def _validate_command(settings: Settings) -> list[str]:
    return ["cspine-bench", "release", "validate", str(settings.release), "--level", "full", "--json"]


def _say_verdict(result: dict[str, Any]) -> str:
    found = dict.fromkeys(("error", "warning"), 0)
    for finding in result["findings"]:
        found[finding["severity"]] += 1
    return ", ".join(format_count(number, severity) for severity, number in found.items())


def _replay_command(settings: Settings) -> list[str]:
    last = f"dd{settings.samples - 1:08d}"
    return ["cspine-bench", "ddpm", "replay", str(settings.sampled), last, "--run", str(settings.run), "--json"]


STAGES: Final = (
    Stage(
        "phantom",
        _phantom_command,
        lambda settings: [settings.phantom / "dataset.json"],
        lambda result: f"{format_count(sum(result['num_samples'].values()), 'annotated radiograph')}",
    ),
    Stage(
        "verify",
        lambda settings: ["cspine-bench", "dataset", "verify", str(settings.phantom), "--json"],
        lambda settings: [],
        lambda result: "no fault found" if result["valid"] else format_count(len(result["issues"]), "issue"),
    ),
    Stage(
        "inspect",
        _inspect_command,
        lambda settings: [settings.picture, settings.out / "results" / "parameters.csv"],
        lambda result: f"contact sheet {result['sheet']}, alignment parameters {result['parameters']}",
    ),
    Stage(
        "load_dataset",
        _load_command,
        lambda settings: [],
        lambda result: "datasets loads " + ", ".join(f"{split} {rows:,}" for split, rows in result.items()),
    ),
    Stage(
        "phantom_64",
        _small_command,
        lambda settings: [settings.small / "dataset.json"],
        lambda result: f"{format_count(sum(result['num_samples'].values()), 'annotated radiograph')}",
    ),
    Stage(
        "train",
        _train_command,
        lambda settings: [settings.run / "progress.png", settings.run / "checkpoints"],
        lambda result: f"{result['step']:,} updates, validation loss {result['validation_loss']:.4f}",
    ),
    Stage(
        "sample",
        _sample_command,
        lambda settings: [settings.sampled / "dataset.json"],
        lambda result: f"{format_count(sum(result['num_samples'].values()), 'synthetic radiograph')}",
    ),
    Stage(
        "replay",
        _replay_command,
        lambda settings: [],
        lambda result: f"{result['sample_id']} made again: {'the same' if result['same'] else 'NOT the same'}",
    ),
    Stage(
        "samples_sheet",
        _show_command,
        lambda settings: [settings.sampled_picture],
        lambda result: f"contact sheet {result['sheet']}",
    ),
    Stage(
        "fidelity",
        _fidelity_command,
        lambda settings: [settings.evidence / "fidelity.json", settings.evidence / "fidelity.html"],
        lambda result: str(result["verdict"]),
    ),
    Stage(
        "memorization",
        _memorization_command,
        lambda settings: [settings.evidence / "memorization.json", settings.evidence / "memorization.html"],
        lambda result: str(result["verdict"]),
        decides=False,  # Few films are held out here, and what that means is what the page shows.
    ),
    Stage(
        "release",
        _build_command,
        lambda settings: [settings.release / "SHA256SUMS"],
        lambda result: f"{result['path']}, the card is its README.md; WebDataset: {result['mirror']}",
    ),
    Stage("validate", _validate_command, lambda settings: [], _say_verdict),
)
"""In order. A later stage may use the files of the earlier ones: when a stage runs, all after it run too."""


@click.command()
@click.option("--out", type=NEW_PATH, default="demo", show_default=True, help="Folder for everything that is made.")
@click.option("--count", type=click.IntRange(min=3), default=48, show_default=True, help="Phantom radiographs.")
@click.option("--size", type=click.IntRange(min=64), default=256, show_default=True, help="Side of each, px.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Decides every random draw.")
@click.option("--films", type=click.IntRange(min=40), default=600, show_default=True, help="Phantoms to train on.")
@click.option("--updates", type=click.IntRange(min=1), help="Updates in training.  [those of the recipe]")
@click.option("--samples", type=click.IntRange(min=1), default=96, show_default=True, help="Radiographs to sample.")
@printing_options
@click.pass_context
def demo(context: click.Context, /, out: Path, printing: Printing, **numbers: Any) -> None:
    """Run the whole pipeline on made-up radiographs, on a CPU; run again, it goes on where it stopped.

    \b
    Example:
      cspine-bench demo --out demo
    """
    settings = Settings(out, **numbers)
    if settings.updates is None and settings.films < _FEWEST_FILMS:
        raise click.UsageError(
            f"--films {settings.films}: the recipe measures 128 samples beside as many training films; give at least "
            f"{_FEWEST_FILMS}, or set --updates, which leaves the measurement out"
        )
    stages, verdict = run_stages(settings, printing)
    pictures = [str(path) for path in settings.pictures]
    document = {"out": str(out), "pictures": pictures, "positive": verdict, "stages": stages}
    text = f"Synthetic, not for diagnosis. Open {', '.join(pictures)}"
    print_result(document, text, as_json=printing.as_json)
    context.exit(0 if verdict else 1)


def run_stages(settings: Settings, printing: Printing) -> tuple[list[dict[str, Any]], bool]:
    """Run the stages that are not done yet, each as a process of its own.

    Returns:
        A row for each stage (name, command, seconds, whether it ran now), and whether every verdict was positive.

    Raises:
        CspineBenchError: a stage could not run.
    """
    settings.result("").parent.mkdir(parents=True, exist_ok=True)
    record = settings.out / "results" / _RECORD
    done = _load_record(record)
    rows: list[dict[str, Any]] = []
    positive = True
    for number, stage in enumerate(STAGES, start=1):
        command = stage.command(settings)
        print_note(f"[{number}/{len(STAGES)}] {_join(command)}", quiet=printing.quiet)
        files = [settings.result(stage.name), *stage.leaves(settings)]
        row = done.get(stage.name)
        ran = row is None or row["command"] != command or not all(path.exists() for path in files)
        if row is None or ran:
            done = {}
            started = time.monotonic()
            exit_code = _run(command, settings.result(stage.name), printing)
            row = {"stage": stage.name, "command": command, "exit_code": exit_code}
            row["seconds"] = round(time.monotonic() - started, 2)
        rows.append({**row, "ran": ran})
        _save_json(record, rows)
        positive = positive and (row["exit_code"] == 0 or not stage.decides)
        sentence = stage.sentence(json.loads(settings.result(stage.name).read_text()))
        print_note(f"      {sentence} ({row['seconds']:.1f} s{'' if ran else ', done before'})", quiet=printing.quiet)
    return rows, positive


def _run(command: list[str], result: Path, printing: Printing) -> int:
    if command[0] == "python":
        arguments = [sys.executable, *command[1:]]
    else:
        arguments = [sys.executable, "-m", "cspine_bench", *command[1:], *(["--quiet"] if printing.quiet else [])]
    # Progress goes straight to the terminal.
    environment = {**os.environ, **_ENVIRONMENT}
    finished = subprocess.run(arguments, stdout=subprocess.PIPE, env=environment, check=False)
    if finished.returncode not in (0, 1):
        raise CspineBenchError(f"the stage stopped with exit code {finished.returncode}: {_join(command)}")
    try:
        document = json.loads(finished.stdout)
    except ValueError as error:
        raise CspineBenchError(f"the stage printed no JSON document: {_join(command)}") from error
    _save_json(result, document)
    return finished.returncode


def _join(command: list[str]) -> str:
    # As a person would type it: shlex breaks quotes inside quotes into five pieces.
    return " ".join(
        f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word) for word in command
    )


def _load_record(path: Path) -> dict[str, dict[str, Any]]:
    try:
        return {row["stage"]: row for row in json.loads(path.read_text())}
    except (OSError, ValueError, TypeError, KeyError):
        # No record, or a torn one: the stages themselves know what they have done.
        return {}


def _save_json(path: Path, document: Any) -> None:
    draft = path.with_name(f".{path.name}.unfinished")
    draft.write_text(json.dumps(document, indent=2) + "\n")
    draft.replace(path)
