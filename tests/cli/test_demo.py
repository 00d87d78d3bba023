"""The demo, as real processes: what it leaves, and that it goes on where it stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cspine_bench.cli.demo import STAGES
from cspine_bench.dataset.verify import verify_dataset

SMALL = ("--count", "6", "--size", "64")


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


def test_the_demo_from_interrupted_to_done(folder: Path) -> None:
    stdout, stderr = finish(start(folder, *SMALL))
    assert stdout == f"Synthetic phantoms, not for diagnosis. Open {Path('demo/contact_sheet.png')}\n"
    assert [line for line in stderr.splitlines() if line.startswith(f"[{len(STAGES)}/{len(STAGES)}]")]
    demo = folder / "demo"
    assert verify_dataset(demo / "datasets" / "phantom") == []
    with Image.open(demo / "contact_sheet.png") as sheet:
        assert sheet.width > 6 * 256
    results = {path.stem: json.loads(path.read_text()) for path in (demo / "results").glob("*.json")}
    assert set(results) == {"demo", *(stage.name for stage in STAGES)}
    assert sum(results["load_dataset"].values()) == 6

    # Again: nothing is left to do.
    assert [row["ran"] for row in run_json(folder)["stages"]] == [False] * len(STAGES)

    # A file is gone: its stage runs, and all after it.
    (demo / "contact_sheet.png").unlink()
    assert [row["ran"] for row in run_json(folder)["stages"]] == [False, False, True, True]


def test_a_verdict_that_is_negative_is_exit_1(folder: Path) -> None:
    process = start(folder, *SMALL, "--quiet")
    finish(process)
    shard = next((folder / "demo" / "datasets" / "phantom" / "data").glob("train*"))
    shard.write_bytes(shard.read_bytes() + b"\0")
    (folder / "demo" / "results" / "verify.json").unlink()
    process = start(folder, *SMALL, "--json", "--quiet")
    stdout, _ = process.communicate(timeout=300)
    # The later stages may refuse the damaged file; a verdict that was reached stands in the results.
    assert process.returncode in (1, 2)
    assert json.loads((folder / "demo" / "results" / "verify.json").read_text())["valid"] is False
    if process.returncode == 1:
        assert json.loads(stdout)["positive"] is False
