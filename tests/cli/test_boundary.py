"""Exit codes and messages: what a user or a script meets when something is wrong."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import cspine_bench
from cspine_bench.cli import cli
from cspine_bench.errors import CspineBenchError, DataError, MissingExtraError

from .small_source import write_small


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], tuple[int, str, str]]:
    """Run a command that raises."""

    def run(error: BaseException, *before: str) -> tuple[int, str, str]:
        @click.command()
        def fail() -> None:
            raise error

        monkeypatch.setitem(cli.commands, "fail", fail)
        result = CliRunner().invoke(cli, [*before, "fail"])
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DataError("film.png: is empty; remove it"), "film.png: is empty; remove it"),
        (MissingExtraError("pydicom", "dicom"), "pip install 'cspine-bench[dicom]'"),
        (PermissionError(13, "Permission denied", "/films/a.png"), "Permission denied (/films/a.png)"),
        (OSError(28, "No space left on device", "ds/data/x"), "no space left on the disk (ds/data/x)"),
    ],
)
def test_an_error_is_one_message_and_exit_2(
    failing: Callable[..., tuple[int, str, str]], error: BaseException, text: str
) -> None:
    exit_code, stdout, stderr = failing(error)
    assert (exit_code, stdout) == (2, "")
    assert text in stderr
    assert "Traceback" not in stderr


def test_every_error_of_the_tree_exits_2(failing: Callable[..., tuple[int, str, str]]) -> None:
    for kind in CspineBenchError.__subclasses__():
        error = kind("x", "y") if "__init__" in vars(kind) else kind("x")
        assert failing(error)[0] == 2


def test_a_fault_of_ours_says_so(failing: Callable[..., tuple[int, str, str]]) -> None:
    exit_code, _, stderr = failing(ZeroDivisionError("division by zero"))
    assert exit_code == 2
    assert "ZeroDivisionError: division by zero" in stderr
    assert "--traceback" in stderr


def test_traceback_on_request(failing: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def fail() -> None:
        raise DataError("x")

    monkeypatch.setitem(cli.commands, "fail", fail)
    assert isinstance(CliRunner().invoke(cli, ["--traceback", "fail"]).exception, DataError)


def test_ctrl_c_says_how_to_go_on(failing: Callable[..., tuple[int, str, str]]) -> None:
    exit_code, stdout, stderr = failing(KeyboardInterrupt())
    assert (exit_code, stdout) == (130, "")
    assert "run the same command again" in stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["dataset", "phantom"],
        ["dataset", "phantom", "ds", "--count", "0"],
        ["dataset", "phantom", "ds", "--fractions", "0.5,0.5"],
        ["dataset", "phantom", "ds", "--fractions", "0.9,0.9,-0.8"],
        ["dataset", "phantom", "ds", "--fractions", "nan,0.5,0.5"],
        ["dataset", "phantom", "ds", "--seed", "-1"],
        ["dataset", "phantom", "ds", "--device", "tpu"],
        ["dataset", "phantom", "ds", "--device", "cuda:99"],
        ["dataset", "verify", "no-such-folder"],
        ["dataset", "import", "images", ".", "ds", "--max-bad", "3"],
        ["dataset", "no-such-verb"],
        ["--no-such-option"],
    ],
)
def test_misuse_exits_2_and_writes_nothing(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_version() -> None:
    result = CliRunner().invoke(cli, ["--version"])
    assert result.stdout == f"cspine-bench, version {cspine_bench.__version__}\n"


@pytest.mark.slow  # starts a process that imports torch
def test_ctrl_c_on_a_real_process_leaves_a_folder_that_resumes(tmp_path: Path) -> None:
    out = tmp_path / "ds"
    command = [sys.executable, "-m", "cspine_bench", "dataset", "phantom", str(out), "--count", "400", "--size", "64"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True
    )
    while not out.exists() and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=300)
    assert (process.returncode, stdout) == (130, ""), stderr
    assert "run the same command again" in stderr
    assert "Traceback" not in stderr
    assert not (out / "dataset.json").exists()


def test_stdout_is_the_result_and_stderr_is_silent_in_a_pipe(tmp_path: Path) -> None:
    arguments = ["dataset", "verify", str(write_small(tmp_path / "ds", 3)), "--json", "--quiet"]
    result = subprocess.run(
        [sys.executable, "-m", "cspine_bench", *arguments], capture_output=True, text=True, check=True
    )
    assert json.loads(result.stdout)["valid"] is True
    assert result.stderr == ""


def test_progress_goes_to_a_terminal_with_rate_and_time_left(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    arguments = ["dataset", "verify", str(write_small(tmp_path / "ds", 12))]
    command = [sys.executable, "-m", "cspine_bench", *arguments]
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=follower, text=True, check=True, env=environment)
    os.close(follower)
    shown = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert result.stdout == f"{tmp_path / 'ds'}: no fault found\n"
    assert "12/12" in shown
    assert re.search(r"[\d,.]+/s, 0:00:00 left", shown)
