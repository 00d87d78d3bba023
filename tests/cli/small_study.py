"""What the examples of `study` need: datasets, a planned study, its answers, tables; all of it tiny."""

import shutil
from pathlib import Path

from click.testing import CliRunner

from cspine_bench.cli import cli
from tests.study.small_study import SMALL, MakeOnce, copy_small_study, make_small_sources

LEAKS = ("--allow-leaks", "an example")


def prepare_study(folder: Path, verb: str, make_once: MakeOnce) -> tuple[str, ...]:
    """Write what the example of a verb reads; returns what must be added to it to make it quick."""
    match verb:
        case "plan":
            sources = make_small_sources(make_once)
            for name, source in (("films", "films"), ("samples", "s1")):
                shutil.copytree(sources / source, folder / name)
            return (*(word for setting in SMALL for word in ("--set", setting)), *LEAKS)
        case "power":
            return ("--studies", "100", "--set", "search_studies=0")
        case "simulate":
            return ()
        case "analyze":
            run("study", "simulate", "--out", "answers", "--readers", "3", "--cases", "6", "--controls", "1")
            for name in ("trials", "ratings"):
                shutil.copy(folder / "answers" / f"{name}.csv", folder)
            return ()
    copy_small_study(make_once, folder / "study")
    if verb in ("unblind", "export"):
        run("study", "simulate", "study")
    if verb == "export":
        run("study", "unblind", "study")
    if verb == "revoke":
        run("study", "links", "study")
    return ()


def run(*words: str) -> None:
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.stderr
