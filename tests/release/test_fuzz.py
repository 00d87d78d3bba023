"""A thousand random corruptions of a release and its mirror: each is found, none crashes or hangs; and attacks.

Many files of one copy are corrupted at once, each in its own way, and each of them must be named by a finding: that
tells as much as one validation for each, and takes a twentieth of the time.
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from broken import copy_release, put, reseal
from hostile_files import write_attacks
from shard_edits import read_members
from toy_source import ToySource

from cspine_bench.dataset.write import write_dataset
from cspine_bench.release.build import build_release
from cspine_bench.release.checks.shards import ShardTask, check_shard
from cspine_bench.release.recipe import ReleaseRecipe
from cspine_bench.release.validate import validate_release

pytestmark = pytest.mark.slow

NUM_CORRUPTIONS = 1000
MOST_SECONDS = 2.0
"""CPU time of one validation, however many of its files are corrupted."""

Corrupt = Callable[[bytes, random.Random], bytes]


def _flip(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]


def _overwrite(data: bytes, draw: random.Random) -> bytes:
    at, length = draw.randrange(len(data)), draw.choice([1, 4, 16, 64, 512])
    return data[:at] + draw.choice([bytes(length), draw.randbytes(length)]) + data[at + length :]


def _truncate(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.choice([0, draw.randrange(len(data)), len(data) - 1, max(0, len(data) - 512)])]


def _insert(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data) + 1)
    return data[:at] + draw.choice([b"\0", b"\n", draw.randbytes(9), bytes(512)]) + data[at:]


def _delete(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data))
    return data[:at] + data[at + draw.choice([1, 2, 50, 512]) :]


def _move(data: bytes, draw: random.Random) -> bytes:
    at, to, length = draw.randrange(len(data)), draw.randrange(len(data)), draw.choice([8, 512])
    rest = data[:at] + data[at + length :]
    return rest[:to] + data[at : at + length] + rest[to:]


def _edit_token(data: bytes, draw: random.Random) -> bytes:
    """Another word or number in a text: valid YAML or JSON as often as not."""
    tokens = list(re.finditer(rb"[A-Za-z]+|\d+(\.\d+)?", data))
    if not tokens:
        return data + b"x"
    token = draw.choice(tokens)
    new = draw.choice(
        [b"1", b"0", b"3.5", b"null", b"true", b"-1", b"9" * 400, b"x", b'"', b"NaN", b"[]", b"{", b"&a", b"*a"]
    )
    return data[: token.start()] + new + data[token.end() :]


CORRUPTIONS: tuple[Corrupt, ...] = (_flip, _overwrite, _truncate, _insert, _delete, _move, _edit_token, _edit_token)


def corrupt(folder: Path, names: list[str], source: Path, draw: random.Random) -> dict[str, str]:
    """Corrupt many files of a folder.

    Returns:
        What was done, by the path that a finding must name.
    """
    done: dict[str, str] = {}
    rest = [name for name in names if draw.random() < 0.7]
    draw.shuffle(rest)
    while rest:
        name = rest.pop()
        data = (folder / name).read_bytes()
        kind = draw.random()
        if kind < 0.04:
            (folder / name).unlink()
            done[name] = "removed"
        elif kind < 0.08:
            (folder / name).rename(folder / f"{name}.old")
            done[name] = done[f"{name}.old"] = "renamed"
        elif kind < 0.12:
            extra = draw.choice([f"{name}.bak", f"eval/{len(done)}.json", f"data/._{Path(name).name}"])
            put(folder, extra, data)
            done[extra] = "added"
        elif kind < 0.17 and rest:
            other = rest.pop()
            put(folder, name, (folder / other).read_bytes())
            put(folder, other, data)
            done[name] = done[other] = "swapped"
        else:
            change = draw.choice(CORRUPTIONS)
            put(folder, name, change(data, draw))
            done[name] = change.__name__
    # A change that changed nothing, such as two equal files swapped, is none.
    return {name: what for name, what in done.items() if _read(folder / name) != _read(source / name)}


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of six radiographs in two splits, with its mirror: the fewer bytes, the more of them mean something."""
    folder = tmp_path_factory.mktemp("fuzz")
    write_dataset(ToySource(6, size=12), folder / "ds", fractions=(0.6, 0.4, 0))
    build_release(folder / "ds", folder / "rel", ReleaseRecipe.model_validate({"date": "2026-11-23"}), mirror=True)
    return folder / "rel"


def test_every_corruption_is_found(small: Path, tmp_path: Path) -> None:
    draw = random.Random(20261123)
    num_done = num_rounds = 0
    missed: list[str] = []
    slowest = 0.0
    mirror = small.with_name("rel-wds")
    names = {
        source: sorted(str(path.relative_to(source)) for path in source.rglob("*") if path.is_file())
        for source in (small, mirror)
    }
    while num_done < NUM_CORRUPTIONS:
        source = (small, small, mirror)[num_rounds % 3]
        folder = copy_release(source, tmp_path / source.name)
        # The list of hashes would hide the others: its turn is alone, and that of whole archives with a sound list.
        chosen = ["SHA256SUMS"] if num_rounds % 10 == 9 else [name for name in names[source] if name != "SHA256SUMS"]
        done: dict[str, str] = {}
        while not done:
            done = corrupt(folder, chosen, source, draw)
        start = time.process_time()
        verdict = validate_release(folder, with_mirror=False)
        slowest = max(slowest, time.process_time() - start)
        named = {finding.where for finding in verdict.findings}
        missed += [f"{what} {name}" for name, what in done.items() if name not in named and chosen != ["SHA256SUMS"]]
        if not verdict.findings:
            missed.append(f"{done}: nothing found")
        num_done += len(done)
        num_rounds += 1
        if num_rounds % 4 == 0:
            validate_sealed(folder)
        shutil.rmtree(folder)
    assert missed == []
    assert slowest < MOST_SECONDS


def validate_sealed(folder: Path) -> None:
    """As a forger would seal it: whatever its files say, the checks of their content neither crash nor hang."""
    try:
        reseal(folder)
    except (ValueError, KeyError, TypeError, RecursionError, OSError):
        return
    start = time.process_time()
    validate_release(folder, with_mirror=False)
    assert time.process_time() - start < MOST_SECONDS


@pytest.mark.parametrize("suffix", ["parquet", "tar"])
def test_no_corruption_of_a_shard_stops_its_check(suffix: str, small: Path, tmp_path: Path) -> None:
    # Without hashes, and each alone: what the checks of content make of it.
    source = small if suffix == "parquet" else small.with_name("rel-wds")
    data = (source / f"data/train-00000-of-00001.{suffix}").read_bytes()
    draw = random.Random(7)
    (tmp_path / "data").mkdir()
    task = ShardTask(str(tmp_path), f"data/train-00000-of-00001.{suffix}", "train", "full")
    num_found = 0
    for _ in range(150):
        (tmp_path / task.name).write_bytes(draw.choice(CORRUPTIONS)(data, draw))
        report = check_shard(task)
        num_found += bool(report.findings)
    # A bit of a checksum that nothing reads, or of a name that readers ignore, may pass here: hashes find it.
    assert num_found > 100


def test_a_damaged_footer_does_not_end_the_process(small: Path, tmp_path: Path) -> None:
    # pyarrow aborts when it is asked for the metadata of a column in about one of 300 such files.
    data = (small / "data/train-00000-of-00001.parquet").read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    draw = random.Random(11)
    (tmp_path / "data").mkdir()
    task = ShardTask(str(tmp_path), "data/train-00000-of-00001.parquet", "train", "quick")
    for _ in range(500):
        footer = draw.choice([_flip, _flip, _overwrite, _edit_token])(data[start:-8], draw)
        length = draw.choice([len(footer), len(data) - 8 - start]).to_bytes(4, "little")
        (tmp_path / task.name).write_bytes(data[:start] + footer + length + b"PAR1")
        check_shard(task)


def test_attacks_end_in_time_and_memory(release: Path, mirror: Path, tmp_path: Path) -> None:
    sound_json = next(data for name, data in read_members(mirror) if name.endswith(".json"))
    write_attacks(tmp_path, (release / "data/train-00000-of-00002.parquet").read_bytes(), sound_json)
    script = Path(__file__).with_name("hostile_files.py")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    answer = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    rows = {row["name"]: row for row in map(json.loads, answer.stdout.splitlines())}
    assert sorted(rows) == sorted(path.name for path in tmp_path.iterdir())
    assert [name for name, row in rows.items() if not row["codes"]] == []
    assert [name for name, row in rows.items() if row["seconds"] > 10 or row["longest"] > 1000] == []
    refused = {
        "parent",
        "absolute",
        "windows",
        "symlink",
        "hardlink",
        "device",
        "sparse",
        "eight_gigabytes",
        "gzip_bomb",
    }
    assert all("TAR-05" in rows[f"{name}.tar"]["codes"] for name in refused)
