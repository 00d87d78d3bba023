"""The example in the help of each command runs as it stands."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cspine_bench.cli import cli
from tests.report.report_example import copy_published

from .small_baseline import prepare_baseline
from .small_films import write_films
from .small_release import write_small_release
from .small_source import write_small
from .small_study import MakeOnce, prepare_study
from .small_training import train_small, write_small_training


def iter_commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from iter_commands(child, (*path, name))


COMMANDS = dict(iter_commands(cli, ("cspine-bench",)))


def find_examples(command: click.Command) -> list[list[str]]:
    text = click.Context(command, info_name="x").get_help()
    return [shlex.split(line) for line in re.findall(r"^ +(cspine-bench .*)$", text, flags=re.M)]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_is_a_sentence_and_one_example(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    examples = find_examples(command)
    assert len(examples) == 1
    assert tuple(examples[0][: len(path)]) == path
    sentence = (command.help or "").split("\b")[0].strip()
    assert sentence.endswith(".")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{parameter.name} has no help"


# The demo's own example runs in test_demo.py, that of `release push` beside the Hub that it needs, and that of `study
# serve`, which ends when it is told to, in the tests of the server.
ELSEWHERE = ("demo", "push", "serve")
VERBS = [
    path for path, command in COMMANDS.items() if not isinstance(command, click.Group) and path[-1] not in ELSEWHERE
]


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe and a dataset."""
    folder = tmp_path_factory.mktemp("untrained")
    write_small_training(folder)
    return folder


@pytest.fixture(scope="module")
def trained(untrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, and a run."""
    folder = shutil.copytree(untrained, tmp_path_factory.mktemp("trained"), dirs_exist_ok=True)
    train_small(folder)
    return folder


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, each_figure_once: None) -> Path:
    """A folder with a dataset, two releases of it with their mirrors, and a key."""
    folder = tmp_path_factory.mktemp("released")
    write_small_release(folder)
    return folder


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_the_example_runs(
    path: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    make_once: MakeOnce,
) -> None:
    monkeypatch.chdir(tmp_path)
    [(_, *arguments)] = find_examples(COMMANDS[path])
    underpowered = False
    if path[-1] in ("inspect", "verify"):
        write_small(tmp_path / "ds", 4)
    elif path[-2] == "baseline":
        arguments += prepare_baseline(tmp_path, path[-1])
    elif path[-2] == "study":
        arguments += prepare_study(tmp_path, path[-1], make_once)
    elif path[-1] == "train":
        shutil.copytree(request.getfixturevalue("untrained"), tmp_path, dirs_exist_ok=True)
    elif path[-2] == "ddpm":
        shutil.copytree(request.getfixturevalue("trained"), tmp_path, dirs_exist_ok=True)
        if path[-1] == "replay":
            sampled = CliRunner().invoke(cli, ["ddpm", "sample", "run", "--out", "samples", "--count", "4"])
            assert sampled.exit_code == 0, sampled.stderr
    elif "release" in path:
        shutil.copytree(request.getfixturevalue("released"), tmp_path, dirs_exist_ok=True)
        if path[-1] == "build":
            for name in ("rel", "rel-wds"):
                shutil.rmtree(tmp_path / name)
    elif path[-2] == "report":
        copy_published(tmp_path / "results", "demo_memorization")
    elif path[-2] == "evaluate" and path[-1] != "doctor":
        for number, name in enumerate(("films", "others", "ds")):
            write_small(tmp_path / name, first=100 * number)
        if path[-1] == "memorization":
            # Thirty copies instead of six hundred: each takes a twentieth second.
            arguments += ["--set", "planted=1", "--set", "variants=[shifted]", "--set", "regions=false"]
            underpowered = True
    elif path[-2] == "import":
        write_films(path[-1], tmp_path / arguments[3])
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == (1 if underpowered else 0), result.stderr
    assert result.stdout


def test_phantom_settings_reach_the_images(tmp_path: Path) -> None:
    arguments = ["dataset", "phantom", tmp_path / "ds", "--count", 4, "--size", 64, "--set", "facing=right", "--json"]
    assert CliRunner().invoke(cli, [str(argument) for argument in arguments]).exit_code == 0
    result = CliRunner().invoke(cli, ["dataset", "inspect", str(tmp_path / "ds"), "--json"])
    facts = json.loads(result.stdout)
    assert facts["sizes"] == {"64 x 64 x 8": 4}
    assert json.loads((tmp_path / "ds" / "dataset.json").read_text())["source"]["kind"] == "phantom"


def test_a_wrong_setting_names_the_right_ones(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["dataset", "phantom", str(tmp_path / "ds"), "--set", "sizes=64"])
    assert result.exit_code == 2
    assert "did you mean 'size'" in result.stderr
    assert not (tmp_path / "ds").exists()


def test_dry_run_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "ds"
    result = CliRunner().invoke(cli, ["dataset", "phantom", str(out), "--count", "10", "--dry-run", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["num_samples"] == {"train": 8, "validation": 1, "test": 1}
    assert not out.exists()


def test_another_dataset_is_overwritten_only_on_request(tmp_path: Path) -> None:
    arguments = ["dataset", "phantom", str(tmp_path / "ds"), "--size", "64", "--count"]
    assert CliRunner().invoke(cli, [*arguments, "3"]).exit_code == 0
    refused = CliRunner().invoke(cli, [*arguments, "4"])
    assert refused.exit_code == 2
    assert "another dataset" in refused.stderr
    assert CliRunner().invoke(cli, [*arguments, "4", "--overwrite"]).exit_code == 0
