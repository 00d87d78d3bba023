"""A run that is killed goes on, and several processes that share its folder give what one gives."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from small_sides import write_sides

from cspine_bench.cli import cli

MakeOnce = Callable[[str, Callable[[Path], object]], Path]
TINY = (
    "--set", "size=32", "--set", "network.unshuffle=4", "--set", "network.widths=[8,16]",
    "--set", "learning.updates=40", "--set", "protocol.arms=[real,synthetic]", "--set", "protocol.fractions=[0.5,1.0]",
    "--set", "protocol.num_seeds=2", "--set", "protocol.num_bootstrap=100",
)  # fmt: skip

# Each test starts processes that load torch: 20 to 40 CPU-seconds.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(make_once: MakeOnce) -> Path:
    return make_once("small-sides", write_sides)


def spell(folder: Path, out: Path, *more: str) -> list[str]:
    sides = ["--real", str(folder / "real"), "--synthetic", str(folder / "synthetic")]
    return ["baseline", "run", "landmarking", *sides, "--out", str(out), *TINY, *more]


def read_figures(out: Path) -> list[dict[str, Any]]:
    figures: list[dict[str, Any]] = json.loads((out / "baseline-landmarking.json").read_text())["figures"]
    return figures


@pytest.fixture(scope="module")
def undisturbed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    run = CliRunner().invoke(cli, spell(folder, out))
    assert run.exit_code == 0, run.stderr
    return out


def test_a_killed_run_goes_on(folder: Path, undisturbed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cspine_bench", *spell(folder, tmp_path, "--workers", "2")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    give_up = time.monotonic() + 300
    while len(list(tmp_path.glob("cells/*.json"))) < 2:
        assert process.poll() is None and time.monotonic() < give_up, process.communicate()[1]
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cells/*.json")}
    assert not (tmp_path / "baseline-landmarking.json").exists()
    run = CliRunner().invoke(cli, spell(folder, tmp_path))
    assert run.exit_code == 0, run.stderr
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in kept.items())
    assert read_figures(tmp_path) == read_figures(undisturbed)


def test_parts_make_the_whole(folder: Path, undisturbed: Path, tmp_path: Path) -> None:
    texts = []
    for part in ("1/2", "0/2"):
        run = CliRunner().invoke(cli, spell(folder, tmp_path, "--shard", part))
        assert run.exit_code == 0, run.stderr
        texts.append(run.stdout)
    assert "other parts have" in texts[0] and "All figures" in texts[1]
    assert read_figures(tmp_path) == read_figures(undisturbed)


@pytest.mark.xdist_group("ray")
def test_ray_tasks_make_the_same(folder: Path, undisturbed: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra cspine-bench[ray] is not installed")
    run = CliRunner().invoke(cli, spell(folder, tmp_path, "--executor", "ray"))
    assert run.exit_code == 0, run.stderr
    assert read_figures(tmp_path) == read_figures(undisturbed)
