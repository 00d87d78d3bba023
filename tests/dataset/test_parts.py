"""Parts of one dataset, made by real processes at once: the folder at the end is the one of an undisturbed run."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from folders import hash_tree
from kill_loop import SOURCE
from toy_source import ToySource

from cspine_bench.dataset.lock import hold_folder
from cspine_bench.dataset.parts import Part, PartSummary, parse_part, write_part
from cspine_bench.dataset.plan import build_plan
from cspine_bench.dataset.verify import verify_dataset
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError

NUM_ROUNDS = 3


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("undisturbed")
    write_dataset(SOURCE, folder)
    return hash_tree(folder)


def play(out: Path, num_rounds: int, num_undisturbed: int) -> dict[str, Any]:
    script = Path(__file__).with_name("kill_parts.py")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script), str(out), str(num_rounds), str(num_undisturbed)]
    return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)


@pytest.mark.slow  # kills processes, many
def test_parts_that_are_killed_and_run_again_end_in_the_same_bytes(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    seen = play(tmp_path, NUM_ROUNDS, 0)
    assert seen["alone"] == undisturbed
    codes = [code for played in seen["rounds"] for code in played["codes"]]
    assert codes.count(-signal.SIGPROF) >= NUM_ROUNDS and set(codes) == {0, -signal.SIGPROF}
    for played in seen["rounds"]:
        # What is in place is whole, and the manifest is there only when everything is.
        assert played["left"].items() <= undisturbed.items()
        assert "dataset.json" not in played["left"] or played["left"] == undisturbed
        assert set(played["second"]) <= {0}
        assert played["end"] == undisturbed


def test_of_parts_that_end_at_once_one_finishes(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    seen = play(tmp_path, 0, NUM_ROUNDS)
    assert len(seen["undisturbed"]) == NUM_ROUNDS
    for played in seen["undisturbed"]:
        assert set(played["codes"]) == {0}
        assert played["end"] == undisturbed


def make_parts(folder: Path, *parts: str, source: ToySource = SOURCE, **options: Any) -> list[PartSummary]:
    return [write_part(source, folder, parse_part(part), **options) for part in parts]


def test_parts_one_after_another(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    total = len(undisturbed) - 2
    told: list[tuple[int, int]] = []
    folder = tmp_path / "ds"
    [first] = make_parts(folder, "1/2", on_progress=lambda *counts: told.append(counts))
    assert (first.part_shards, first.missing_shards, first.summary) == (total // 2, total - total // 2, None)
    assert told[0][0] == 0 and told[-1] == (told[-1][1], told[-1][1]) and told[-1][1] < SOURCE.count
    kept = {path.name: path.stat().st_mtime_ns for path in (folder / "data").iterdir()}
    again, other = make_parts(folder, "1/2", "0/2", num_workers=2)
    assert again == first
    assert other.missing_shards == 0 and other.summary is not None
    assert sum(other.summary.num_samples.values()) == SOURCE.count
    assert kept.items() <= {path.name: path.stat().st_mtime_ns for path in (folder / "data").iterdir()}.items()
    assert hash_tree(folder) == undisturbed
    # Late ones find it done, and leave nothing behind.
    assert [late.summary for late in make_parts(folder, "0/2", "3/7", "12/99")] == [other.summary] * 3
    assert hash_tree(folder) == undisturbed


def test_the_whole_goes_on_from_parts(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    make_parts(tmp_path / "ds", "0/3", "4/5")
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "ds/data").iterdir()}
    write_dataset(SOURCE, tmp_path / "ds")
    assert kept.items() <= {path.name: path.stat().st_mtime_ns for path in (tmp_path / "ds/data").iterdir()}.items()
    assert hash_tree(tmp_path / "ds") == undisturbed


def test_a_part_without_shards_says_so(tmp_path: Path) -> None:
    idle, finisher = make_parts(tmp_path / "ds", "1/2", "0/2", source=ToySource(1))
    assert (idle.part_shards, idle.num_shards, idle.missing_shards) == (0, 1, 1)
    assert finisher.summary is not None


def test_a_torn_shard_is_made_again(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    folder = tmp_path / "ds"
    make_parts(folder, "0/2")
    torn = sorted((folder / "data").iterdir())[0]
    torn.write_bytes(torn.read_bytes()[:-1])
    [other] = make_parts(folder, "1/2")
    assert (other.missing_shards, other.summary) == (1, None)
    assert not torn.exists()
    [owner] = make_parts(folder, "0/2")
    assert owner.summary is not None
    assert hash_tree(folder) == undisturbed


def test_what_another_part_has_in_hand_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "ds"
    make_parts(folder, "0/4")
    stray = folder / "data" / sorted(path for path in _paths(SOURCE) if path.startswith("train"))[1]
    stray.write_text("renamed into place, its receipt is not written yet")
    half = folder / ".unfinished/part-1-of-4"
    half.mkdir()
    (half / "x.tmp").write_text("half a shard")
    make_parts(folder, "2/4")
    assert stray.exists() and (half / "x.tmp").exists()
    make_parts(folder, "1/4", "3/4")
    assert verify_dataset(folder) == []
    assert not (folder / ".unfinished").exists()


def _paths(source: ToySource) -> list[str]:
    plan = build_plan(source, fractions=(0.8, 0.1, 0.1), seed=0)
    return [shard.path.removeprefix("data/") for shard in plan.shards]


def test_who_may_write_beside_a_part(tmp_path: Path) -> None:
    folder, scratch = tmp_path / "ds", tmp_path / "ds/.unfinished"
    make_parts(folder, "0/2")
    with (
        hold_folder(scratch / "part-0-of-2"),
        pytest.raises(DataError, match="part 0/2 is being made by another process"),
    ):
        make_parts(folder, "0/2")
    with hold_folder(scratch), pytest.raises(DataError, match="another process is writing here"):
        make_parts(folder, "1/2")
    for other in (ToySource(9), ToySource(101, row_bytes=40_000_000)):
        with pytest.raises(DataError, match="holds another dataset"):
            make_parts(folder, "1/2", source=other)
    assert make_parts(folder, "1/2")[0].summary is not None
    before = hash_tree(folder)
    with pytest.raises(DataError, match="holds another dataset"):
        make_parts(folder, "1/2", source=ToySource(9))
    assert hash_tree(folder) == before


def test_parts_replace_another_dataset_on_request(tmp_path: Path, undisturbed: dict[str, str]) -> None:
    for number, write_other in enumerate((write_dataset, lambda source, out: write_part(source, out, Part(0, 2)))):
        folder = tmp_path / str(number)
        write_other(ToySource(90, row_bytes=20_000_000), folder)
        # Each is told to overwrite, and none undoes what another has made.
        results = make_parts(folder, "0/2", "1/2", "0/2", overwrite=True)
        assert [result.summary is None for result in results] == [True, False, False]
        assert hash_tree(folder) == undisturbed


@pytest.mark.parametrize("name", ["notes.txt", "data/train-00000-of-00001.parquet"])
def test_parts_never_touch_foreign_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(DataError, match="not of a dataset"):
            make_parts(tmp_path, "0/2", overwrite=overwrite)
        assert hash_tree(tmp_path).keys() == {name}


def test_bad_samples_are_counted_over_all_parts(tmp_path: Path) -> None:
    source = ToySource(40, rejected=frozenset([3, 30, 31]), row_bytes=40_000_000)
    whole = write_dataset(source, tmp_path / "whole", skip_bad=True)
    # No part has more than two of the three.
    with pytest.raises(DataError, match="3 samples are bad, 2 are allowed"):
        make_parts(tmp_path / "ds", *(f"{index}/8" for index in range(8)), source=source, skip_bad=True, max_bad=2)
    [last] = make_parts(tmp_path / "ds", "0/8", source=source, skip_bad=True)
    assert last.summary is not None and last.summary.manifest_sha256 == whole.manifest_sha256


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("4/4", "no part 4 of 4; parts are counted from 0"),
        ("0/0", "no part 0 of 0"),
        ("1", "'1' is not a part K/N, counted from 0"),
        ("-1/4", "is not a part"),
        ("1/2/3", "is not a part"),
        ("", "is not a part"),
    ],
)
def test_impossible_parts_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_part(text)


def test_smaller_shards_are_another_dataset_with_the_same_rows(tmp_path: Path) -> None:
    source = ToySource(40)
    write_dataset(source, tmp_path / "ds", shard_rows=5)
    assert len(list((tmp_path / "ds/data").iterdir())) == 7 + 1 + 1
    assert verify_dataset(tmp_path / "ds") == []
    with pytest.raises(DataError, match="holds another dataset"):
        write_dataset(source, tmp_path / "ds")
    with pytest.raises(ValueError, match="shard_rows must be at least 1"):
        write_dataset(source, tmp_path / "ds", shard_rows=0)
