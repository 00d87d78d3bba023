"""Ray tasks make the bytes that one process makes, also when a worker is killed or the writer is interrupted."""

import builtins
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from folders import hash_tree
from ray_writer import make_source

from cspine_bench.dataset.ray_tasks import RayCluster
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError, MissingExtraError


def run_writer(out: Path, fault: str) -> subprocess.CompletedProcess[str]:
    script = Path(__file__).with_name("ray_writer.py")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script), str(out), fault]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.xdist_group("ray")
@pytest.mark.slow
def test_an_interrupted_writer_and_a_killed_worker_cost_their_shards_alone(tmp_path: Path) -> None:
    out = tmp_path / "ds"
    # Ray may abort a process that is interrupted; whichever way it ends, its tasks end with it.
    assert run_writer(out, "rest").returncode != 0
    assert not (out / "dataset.json").exists()
    resting, give_up = int((tmp_path / "marks/rest").read_text()), time.monotonic() + 120
    while is_running(resting) and time.monotonic() < give_up:
        time.sleep(0.1)
    assert not is_running(resting)
    answer = run_writer(out, "kill")
    assert answer.returncode == 0, answer.stderr
    # One document: Ray prints nothing beside it.
    assert json.loads(answer.stdout) == {"done": True}
    assert (tmp_path / "marks/kill").exists()
    write_dataset(make_source(tmp_path, "none"), tmp_path / "undisturbed")
    assert hash_tree(out) == hash_tree(tmp_path / "undisturbed")


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imports = builtins.__import__

    def refuse(name: str, *arguments: Any) -> Any:
        if name == "ray":
            raise ImportError("No module named 'ray'")
        return imports(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"pip install 'cspine-bench\[ray\]'"):
        write_dataset(make_source(tmp_path, "none"), tmp_path / "ds", ray=RayCluster())


@pytest.mark.parametrize("spelling", ["{}", "ray://{}"])
def test_where_nobody_listens_it_is_said_at_once(
    spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="the extra cspine-bench[ray] is not installed")
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        address = spelling.format(f"127.0.0.1:{bound.getsockname()[1]}")
        with pytest.raises(DataError, match=rf"no Ray cluster at '{address}' \(.*refused.*leave the address out"):
            write_dataset(make_source(tmp_path, "none"), tmp_path / "ds", ray=RayCluster(address))
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(DataError, match=f"no Ray cluster at '{address}'"):
            write_dataset(make_source(tmp_path, "none"), tmp_path / "ds", ray=RayCluster())


def test_impossible_clusters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_tasks must be at least 1"):
        RayCluster(max_tasks=0)
    with pytest.raises(ValueError, match="num_gpus must be at least 0"):
        RayCluster(num_gpus=-1)
    with pytest.raises(ValueError, match="num_workers=2 and ray"):
        write_dataset(make_source(tmp_path, "none"), tmp_path / "ds", ray=RayCluster(), num_workers=2)
