"""Writers that are killed, interrupted or starved of space, and what the next run makes of what they left."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from folders import hash_tree
from kill_loop import SOURCE
from slow_writer import make_source

from cspine_bench.dataset.verify import verify_dataset
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError

NUM_KILLS = 25


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    write_dataset(SOURCE, folder)
    return hash_tree(folder)


@pytest.mark.slow
def test_killed_anywhere_and_run_again_it_ends_in_the_same_bytes(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    answer = subprocess.run(
        _script("kill_loop.py", tmp_path, NUM_KILLS), env=_environment(), stdout=subprocess.PIPE, check=True
    )
    seen = json.loads(answer.stdout)
    assert len(seen["left"]) >= NUM_KILLS
    for left in seen["left"]:
        # What is in place is whole, and the manifest is there only when everything is.
        assert left.items() <= undisturbed.items()
        assert "dataset.json" not in left or left == undisturbed
    assert len({len(left) for left in seen["left"]}) > 4, "the kills must fall on different stages"
    assert seen["finished"]
    for finished in seen["finished"]:
        assert finished == undisturbed


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Two worker processes at work in `tmp_path / "ds"`, with a shard done."""
    command = _script("slow_writer.py", tmp_path / "ds", 2)
    # A session of its own, so that Ctrl-C can be sent to the group as a terminal does.
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, env=_environment())
    give_up = time.monotonic() + 300
    # The receipt is written last: without it a shard is made again.
    while not list((tmp_path / "ds").glob(".unfinished/*.parquet.json")):
        assert process.poll() is None and time.monotonic() < give_up
        time.sleep(0.02)
    yield process
    process.kill()
    process.communicate()


def _script(name: str, *arguments: object) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name(name)), *map(str, arguments)]


def _environment() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


@pytest.mark.slow  # three times five seconds
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_a_signal_leaves_no_worker_and_a_folder_to_go_on_with(
    tmp_path: Path, writer: subprocess.Popen[str], name: str
) -> None:
    workers = _find_children(writer.pid)
    assert len(workers) >= 2
    with pytest.raises(DataError, match="another process is writing"):
        write_dataset(make_source(), tmp_path / "ds")
    if name == "SIGINT":
        os.killpg(writer.pid, signal.SIGINT)
    else:
        writer.send_signal(getattr(signal, name))
    _, errors = writer.communicate(timeout=300)
    assert writer.returncode != 0
    assert errors.count("Traceback") <= 1, errors
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "ds/data").iterdir()}

    # The same source at full speed, in this process: it waits until the workers of the killed run are gone.
    summary = write_dataset(make_source(), tmp_path / "ds")
    assert not [worker for worker in workers if _is_running(worker)]
    assert sum(summary.num_samples.values()) == 240
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "ds/data").iterdir()}
    assert kept.items() & times.items()
    assert verify_dataset(tmp_path / "ds") == []


def _find_children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_file_limit_is_one_clear_error(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    # Into the first the plan does not fit, into the others no shard.
    limits = ("100", "5000", "20000")
    command = _script("limited_writer.py", tmp_path, *limits)
    answer = subprocess.run(command, env=_environment(), stdout=subprocess.PIPE, check=True)
    errors = json.loads(answer.stdout)
    for limit in limits:
        assert "cannot be written, file too large; this file needs about" in errors[limit]
        assert "run the same command again" in errors[limit]
        assert not list((tmp_path / limit).rglob("*.tmp"))
        write_dataset(SOURCE, tmp_path / limit)
        assert hash_tree(tmp_path / limit) == undisturbed


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_full_disk_is_one_clear_error(small_disk: Path, undisturbed: dict[str, str], num_workers: int) -> None:
    with pytest.raises(
        DataError, match=r"parquet(\.json)?: cannot be written, no space left on device; .* MB\. Free some space"
    ):
        write_dataset(SOURCE, small_disk / "ds", num_workers=num_workers)
    assert not list(small_disk.rglob("*.tmp"))
    kept = len(list(small_disk.glob("ds/data/*.parquet")))
    assert kept > 0
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    write_dataset(SOURCE, small_disk / "ds")
    assert hash_tree(small_disk / "ds") == undisturbed
