"""Each command that goes to a Ray cluster, on one of several processes of which a worker is killed in mid-task."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cspine_bench.baselines.train_model import train_model

sys.path.insert(0, str(Path(__file__).parents[1] / "baselines"))
sys.path.insert(0, str(Path(__file__).parents[1] / "dataset"))
sys.path.insert(0, str(Path(__file__).parents[1] / "ddpm"))

from folders import hash_tree
from phantom_folders import build_recipe, write_phantoms
from small_run import write_small_run
from small_sides import write_sides

# A cluster, and for each command two runs and some workers that load torch: 20 to 60 CPU-seconds each.
# One group: two clusters that start side by side on two cores starve each other.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

TINY = (
    "--set", "size=32", "--set", "network.unshuffle=4", "--set", "network.widths=[8,16]",
    "--set", "learning.updates=4", "--set", "protocol.arms=[real,synthetic]", "--set", "protocol.fractions=[1.0]",
    "--set", "protocol.num_seeds=2", "--set", "protocol.num_bootstrap=100",
)  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("ray", reason="the extra cspine-bench[ray] is not installed")
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def environment(home: Path) -> dict[str, str]:
    """What the cluster and the commands get. By its home folder, a worker of this cluster is told from others."""
    return os.environ | {"HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path), "RAY_USAGE_STATS_ENABLED": "0"}


def read_cluster_log() -> str:
    """What the newest cluster's head wrote before it failed to start."""
    return "".join(path.read_text() for path in sorted(Path("/tmp/ray/session_latest/logs").glob("gcs_server*")))


@pytest.fixture(scope="module")
def address(home: Path, environment: dict[str, str]) -> Iterator[str]:
    reading, writing = os.pipe()
    command = [sys.executable, str(Path(__file__).with_name("ray_nodes.py")), str(writing)]
    with (home / "nodes.log").open("w") as log:
        nodes = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, pass_fds=(writing,)
        )
    os.close(writing)
    with os.fdopen(reading) as told:
        said = told.readline().strip()
    if not said:
        nodes.communicate(timeout=60)
        pytest.fail((home / "nodes.log").read_text() + read_cluster_log())
    yield said
    nodes.communicate(timeout=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands read."""
    place = tmp_path_factory.mktemp("inputs")
    write_small_run(place / "run")
    write_phantoms(place / "phantoms", count=24)
    write_phantoms(place / "films", count=20, seed=4)
    train_model(build_recipe(updates=4), place / "films", place / "teacher")
    write_sides(place)
    return place


def spell_phantom(folder: Path, out: Path) -> list[str]:
    return ["dataset", "phantom", str(out), "--count", "20", "--size", "64", "--shard-rows", "4"]


def spell_sample(folder: Path, out: Path) -> list[str]:
    how = ["--count", "16", "--steps", "2", "--batch-size", "4", "--shard-rows", "4"]
    return ["ddpm", "sample", str(folder / "run"), "--out", str(out), *how]


def spell_annotate(folder: Path, out: Path) -> list[str]:
    words = ["baseline", "annotate", str(folder / "phantoms"), "--landmarks", str(folder / "teacher")]
    return [*words, "--out", str(out), "--labelled", "replace"]


def spell_baseline(folder: Path, out: Path) -> list[str]:
    sides = ["--real", str(folder / "real"), "--synthetic", str(folder / "synthetic")]
    return ["baseline", "run", "landmarking", *sides, "--out", str(out), *TINY]


def spell_evaluate(folder: Path, out: Path) -> list[str]:
    sides = ["--real", str(folder / "films"), "--synthetic", str(folder / "phantoms")]
    return ["evaluate", "fidelity", *sides, "--encoder", "pixels", "--out", str(out), "--store", f"{out}-store"]


def read_figures(out: Path) -> list[dict[str, Any]]:
    [result] = [path for path in out.glob("*.json") if path.name.startswith(("fidelity", "baseline"))]
    figures: list[dict[str, Any]] = json.loads(result.read_text())["figures"]
    return figures


def spell_process(words: list[str]) -> list[str]:
    return [sys.executable, "-m", "cspine_bench", *words, "--json"]


def find_task(home: Path, name: str) -> int | None:
    """A worker of our cluster that is at such a task. Ray tells by its title."""
    for process in Path("/proc").iterdir():
        try:
            title = (process / "cmdline").read_bytes()
            if (
                title.startswith(f"ray::{name}".encode())
                and f"HOME={home}\0".encode() in (process / "environ").read_bytes()
            ):
                return int(process.name)
        except (OSError, ValueError):
            continue
    return None


@pytest.mark.parametrize(
    ("spell", "task", "read"),
    [
        (spell_phantom, "_make_on_node", hash_tree),
        (spell_sample, "_make_on_node", hash_tree),
        (spell_annotate, "ask_about_file", hash_tree),
        (spell_baseline, "_run_in_worker", read_figures),
        (spell_evaluate, "_encode_on_node", read_figures),
    ],
)
def test_a_killed_worker_costs_what_it_was_at(
    spell: Callable[[Path, Path], list[str]],
    task: str,
    read: Callable[[Path], object],
    folder: Path,
    home: Path,
    address: str,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    alone = spell_process(spell(folder, Path("alone")))
    subprocess.run(alone, env=environment, cwd=tmp_path, capture_output=True, check=True, timeout=300)
    # A relative path means what it means here, wherever the cluster was started.
    words = [*spell(folder, Path("spread")), "--executor", "ray", "--ray-address", address]
    pipe = subprocess.PIPE
    command = spell_process(words)
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) as at_work:
        give_up = time.monotonic() + 240
        while (killed := find_task(home, task)) is None:
            assert at_work.poll() is None and time.monotonic() < give_up
        os.kill(killed, signal.SIGKILL)
        said, noted = at_work.communicate(timeout=300)
    assert at_work.returncode == 0, noted
    json.loads(said)  # one document: Ray prints nothing beside it
    assert read(tmp_path / "spread") == read(tmp_path / "alone")


@pytest.mark.parametrize("told", [True, False])
def test_another_cluster_of_this_machine_is_joined_where_it_is_named_alone(
    told: bool, address: str, environment: dict[str, str]
) -> None:
    lines = (
        "import os, ray",
        "from cspine_bench.dataset.ray_tasks import connect",
        "with connect(None):",
        "    os.write(1, ray.get_runtime_context().gcs_address.encode())",
    )
    named = {"RAY_ADDRESS": address} if told else {}
    command = [sys.executable, "-c", "\n".join(lines)]
    run = subprocess.run(command, env=environment | named, capture_output=True, text=True, check=True, timeout=300)
    assert (run.stdout.strip() == address) is told
