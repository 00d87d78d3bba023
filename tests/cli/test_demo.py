"""The demo, as real processes: what it leaves, and that it goes on where it stopped."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from cspine_bench.cli import cli
from cspine_bench.cli.demo import STAGES, Stage
from cspine_bench.dataset.verify import verify_dataset

SMALL = ("--count", "6", "--size", "64", "--films", "40", "--updates", "2", "--samples", "3")


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cspine_bench", "demo", "--out", "demo", *options]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    return stdout, stderr


def run_json(folder: Path) -> dict[str, Any]:
    stdout, _ = finish(start(folder, *SMALL, "--json"))
    document: dict[str, Any] = json.loads(stdout)
    return document


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    process = start(folder, *SMALL)
    # Stopped while its first stage works.
    while not (folder / "demo" / "datasets").exists() and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    return folder


@pytest.mark.slow
def test_the_demo_from_interrupted_to_done(folder: Path) -> None:
    stdout, stderr = finish(start(folder, *SMALL))
    pictures = ("demo/contact_sheet.png", "demo/runs/phantom-64/progress.png", "demo/samples.png")
    pages = ("demo/evaluation/fidelity.html", "demo/evaluation/memorization.html")
    assert stdout == f"Synthetic, not for diagnosis. Open {', '.join((*pictures, *pages))}\n"
    assert [line for line in stderr.splitlines() if line.startswith(f"[{len(STAGES)}/{len(STAGES)}]")]
    demo = folder / "demo"
    assert verify_dataset(demo / "datasets" / "phantom") == []
    assert verify_dataset(demo / "datasets" / "samples") == []
    for picture in pictures:
        with Image.open(folder / picture) as sheet:
            assert sheet.width > 3 * 96
    results = {path.stem: json.loads(path.read_text()) for path in (demo / "results").glob("*.json")}
    assert set(results) == {"demo", *(stage.name for stage in STAGES)}
    assert sum(results["load_dataset"].values()) == 6
    assert results["replay"]["same"] is True
    assert results["memorization"]["verdict"].startswith("Underpowered")
    assert {path.name for path in (demo / "release" / "evaluation").glob("*.json")} >= {
        "fidelity.json", "memorization.json",
    }  # fmt: skip
    for page in pages:
        assert (folder / page).read_bytes().lower().startswith(b"<!doctype html>")

    # Again: nothing is left to do.
    assert [row["ran"] for row in run_json(folder)["stages"]] == [False] * len(STAGES)

    # What a stage leaves is gone: it runs, and all after it.
    shutil.rmtree(demo / "release")
    assert [row["ran"] for row in run_json(folder)["stages"]] == [False] * 11 + [True] * 2


def test_too_few_films_for_the_recipe_are_refused_before_anything_runs(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["demo", "--out", str(tmp_path / "demo"), "--films", "100"])
    assert result.exit_code == 2
    assert "--films 100: the recipe measures 128 samples" in result.stderr
    assert not (tmp_path / "demo").exists()


def test_a_verdict_that_is_negative_is_exit_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def say(words: str, code: int) -> Stage:
        script = f"print({words!r}); raise SystemExit({code})"
        return Stage(f"exit{code}", lambda settings: ["python", "-c", script], lambda settings: [], str)

    def call(*stages: Stage) -> Result:
        # By its module: the package has the command under the same name.
        monkeypatch.setattr(sys.modules["cspine_bench.cli.demo"], "STAGES", stages)
        return CliRunner().invoke(cli, ["demo", "--out", str(tmp_path / str(len(stages))), "--json"])

    result = call(say("{}", 1), say('{"a": 2}', 0))
    assert (result.exit_code, json.loads(result.stdout)["positive"]) == (1, False)
    assert [row["exit_code"] for row in json.loads(result.stdout)["stages"]] == [1, 0]
    assert json.loads((tmp_path / "2" / "results" / "exit0.json").read_text()) == {"a": 2}
    result = call(say("{}", 2), say("{}", 0), say("{}", 0))
    assert result.exit_code == 2
    assert "the stage stopped with exit code 2: python -c" in result.stderr
