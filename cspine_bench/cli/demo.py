"""`cspine-bench demo`: the whole pipeline, one public command after another."""

import importlib.util
import json
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from cspine_bench.cli.demo_films import detect_films
from cspine_bench.cli.demo_run import DemoRun, open_run
from cspine_bench.cli.demo_settings import (
    FULL,
    PHANTOM,
    QUICK,
    Settings,
    choose_sizes,
    guess_facts,
    list_left_out,
    read_facts,
    refuse_too_few,
)
from cspine_bench.cli.demo_stages import build_film_rounds, build_rounds
from cspine_bench.cli.options import NEW_PATH, SEED, Printing, printing_options
from cspine_bench.cli.output import print_note, print_result

_SIZE_STEP: Final = 32
"""The networks of generator and baseline halve the image so often."""
_MOST_WORKERS: Final = 4
"""More processes than tracks would only share what they wait for."""


@click.command()
@click.option("--out", type=NEW_PATH, default="demo", show_default=True, help="Folder for everything that is made.")
@click.option(
    "--real", type=click.Path(exists=True, path_type=Path), metavar="FOLDER",
    help="Films of your own instead of phantoms: CSXA, DICOM, images, a zip of them, or a dataset folder.",
)  # fmt: skip
@click.option("--quick", is_flag=True, help="Everything, but little of it: minutes less, and verdicts without power.")
@click.option("--size", type=click.IntRange(32, 512), default=64, show_default=True, help="Side, px; a multiple of 32.")
@click.option(
    "--films", type=click.IntRange(min=45), help=f"Phantoms to make.  [{FULL.films}; {QUICK.films} with --quick]"
)
@click.option(
    "--updates", type=click.IntRange(min=3), help=f"Of the generator, in training.  [{FULL.updates}; {QUICK.updates}]"
)
@click.option(
    "--samples", type=click.IntRange(min=10), help=f"Radiographs of the release.  [{FULL.samples}; {QUICK.samples}]"
)
@click.option(
    "--cases", type=click.IntRange(min=10), help=f"Of the reader study, at most.  [{FULL.cases}; {QUICK.cases}]"
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Decides every random draw.")
@click.option("--workers", type=click.IntRange(min=1), help="Processes at a time.  [as many as cores, up to 4]")
@printing_options
@click.pass_context
def demo(context: click.Context, /, printing: Printing, **asked: Any) -> None:
    """From films to a released, validated, measured synthetic dataset and one report, on a CPU.

    Run again, it goes on where it stopped; with an option changed, it makes anew what depends on it. What the
    generator is worth is told, and decides nothing. Exit 1: films with faults, a sample that is not made again as it
    was, an invalid release, or a copy of a training film among the samples.

    \b
    Example:
      cspine-bench demo --out demo
    """
    settings = _read(asked)
    run = run_demo(settings, printing)
    print_result(_describe(run), _close(run), as_json=printing.as_json)
    context.exit(0 if run.positive else 1)


def _read(asked: dict[str, Any]) -> Settings:
    if asked["size"] % _SIZE_STEP:
        raise click.BadParameter(f"{asked['size']} is not a multiple of {_SIZE_STEP}", param_hint="--size")
    if asked["real"] is not None and asked["films"] is not None:
        raise click.UsageError("--films is for phantoms; of --real all films are used")
    origin = PHANTOM if asked["real"] is None else detect_films(asked["real"])
    sizes = choose_sizes(
        quick=asked["quick"], asked={name: asked[name] for name in ("films", "updates", "samples", "cases")}
    )
    return Settings(
        out=asked["out"],
        origin=origin,
        facts=guess_facts(origin, sizes),
        sizes=sizes,
        size=asked["size"],
        seed=asked["seed"],
        workers=asked["workers"] or min(_MOST_WORKERS, os.cpu_count() or 1),
        signed=importlib.util.find_spec("cryptography") is not None,
        quick=asked["quick"],
    )


def run_demo(settings: Settings, printing: Printing) -> DemoRun:
    """Run the stages that are not done yet, each as a process of its own.

    Returns:
        The run, with a row for each stage.

    Raises:
        CspineBenchError: a stage could not run, or there are too few films.
    """
    total = sum(len(track) for tracks in build_rounds(settings) for track in tracks)
    run = open_run(settings, printing, total)
    if settings.origin.path is not None:
        print_note(f"{settings.origin.path}: {settings.origin.words}.", quiet=printing.quiet)
    for tracks in build_film_rounds(settings):
        run.run_round(tracks)
    inspected = json.loads(settings.log("inspect-films").read_text())
    run.settings = settings = replace(settings, facts=read_facts(inspected))
    refuse_too_few(settings)
    for sentence in list_left_out(settings):
        print_note(f"        {sentence}", quiet=printing.quiet)
    rounds = build_rounds(settings)
    run.total = sum(len(track) for tracks in rounds for track in tracks)
    for tracks in rounds[len(build_film_rounds(settings)) :]:
        run.run_round(tracks)
    return run


def _describe(run: DemoRun) -> dict[str, Any]:
    return {
        "out": str(run.settings.out),
        "report": str(run.settings.report),
        "origin": run.settings.origin.kind,
        "positive": run.positive,
        "left_out": list_left_out(run.settings),
        "stages": run.shown,
    }


def _close(run: DemoRun) -> str:
    """Where everything lies, what did not pass, and what to try next."""
    settings, out = run.settings, run.settings.out
    seconds = sum(row["seconds"] for row in run.shown)
    where = [
        ["the report: open it first", str(settings.report)],
        ["the release, its card first", str(settings.release / "README.md")],
        ["its WebDataset mirror", f"{settings.release}-wds"],
        ["datasets, runs, pictures", ", ".join(str(out / name) for name in ("datasets", "runs", "pictures"))],
        ["every result with its page", str(settings.results)],
    ]
    width = max(len(row[0]) for row in where)
    lines = [f"Done: {len(run.shown)} stages; their times add up to {seconds / 60:.1f} minutes.", ""]
    lines += [f"{name.ljust(width)}  {path}" for name, path in where]
    failed = [f"NOT PASSED: {row['stage']}: {row['says']}" for row in run.shown if not row["passes"]]
    lines += ["", *failed] if failed else []
    if settings.quick:
        lines += ["", "Quick: generators that hardly learnt draw blurs, and most verdicts say that they lack power."]
    return "\n".join([*lines, "", *_name_next(settings), "", "Synthetic, not for diagnosis."])


def _name_next(settings: Settings) -> list[str]:
    out = shlex.quote(str(settings.out))
    if settings.origin.path is None:
        return [
            "Next, with films of your own (CSXA, DICOM or images):",
            "  cspine-bench demo --real FOLDER --out mine",
            "Or see what readers see, and read a few cases:",
            f"  cspine-bench study plan --real {out}/datasets/films --synthetic {out}/datasets/samples --set cases=10 "
            "--set repeats=0 --allow-leaks rehearsal --out study",
            "  cspine-bench study links study && cspine-bench study serve study",
        ]
    films = shlex.quote(str(settings.origin.path))
    return [
        "Report and result pages show pixels of your films: keep them where the films may be. A page without them:",
        f"  cspine-bench report build {out}/results --release {out}/release --no-real-pixels --out public.html",
        "Next, with more time: twice the side, longer learning (an update costs four times as much):",
        f"  cspine-bench demo --real {films} --size 128 --updates 4000 --out {out}-128",
        "A release to publish names its licence, its creators and the films' terms: docs/how-to/build-a-release.md",
    ]
