"""Writing a dataset folder: same bytes, clear refusals, nothing lost."""

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest
from folders import hash_tree
from toy_source import ToySource

from cspine_bench.dataset import shard
from cspine_bench.dataset.lock import hold_folder
from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.source import SampleKey
from cspine_bench.dataset.verify import verify_dataset
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError
from cspine_bench.schema import Record


def test_same_bytes_twice_and_with_more_workers(tmp_path: Path) -> None:
    source = ToySource(90, row_bytes=40_000_000)
    seen: list[tuple[int, int]] = []
    write_dataset(source, tmp_path / "a", on_progress=lambda *counts: seen.append(counts))
    write_dataset(source, tmp_path / "b")
    reported: list[tuple[int, int]] = []
    write_dataset(source, tmp_path / "c", num_workers=2, on_progress=lambda *counts: reported.append(counts))
    assert reported[0] == (0, 90) and reported[-1] == (90, 90) and reported == sorted(set(reported))
    first = hash_tree(tmp_path / "a")
    assert len(first) == 2 + 8 + 1 + 1
    assert first == hash_tree(tmp_path / "b") == hash_tree(tmp_path / "c")
    assert seen == [(done, 90) for done in range(91)]
    assert not verify_dataset(tmp_path / "a")


def test_layout(tmp_path: Path) -> None:
    summary = write_dataset(ToySource(1040), tmp_path / "a", fractions=(0.5, 0.5, 0.0))
    assert summary.num_samples == {"train": 520, "validation": 520, "test": 0}
    names = [path.name for path in sorted((tmp_path / "a" / "data").iterdir())]
    assert names[0] == "train-00000-of-00002.parquet"
    assert len(names) == 4
    file = pq.ParquetFile(tmp_path / "a" / "data" / names[0])
    assert shard.read_footer(file.metadata.metadata) == {
        "fingerprint": open_dataset(tmp_path / "a").manifest.fingerprint,
        "format": 1,
        "path": f"data/{names[0]}",
        "rejected": [],
    }


def test_row_groups_are_bounded_by_rows_and_by_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard, "MAX_GROUP_ROWS", 100)
    write_dataset(ToySource(210), tmp_path / "many", fractions=(1.0, 0.0, 0.0))
    # Of the bytes as they are, test_read.py asks.
    monkeypatch.setattr(shard, "MAX_GROUP_BYTES", 500_000)
    write_dataset(ToySource(3, size=400, bits=16), tmp_path / "large", fractions=(1.0, 0.0, 0.0))
    assert _group_rows(tmp_path / "many") == [100, 100, 10]
    assert _group_rows(tmp_path / "large") == [1, 1, 1]


def _group_rows(folder: Path) -> list[int]:
    (path,) = (folder / "data").iterdir()
    metadata = pq.read_metadata(path)
    return [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]


def test_one_radiograph_is_a_dataset(tmp_path: Path) -> None:
    assert write_dataset(ToySource(1), tmp_path).num_samples == {"train": 1, "validation": 0, "test": 0}
    assert not verify_dataset(tmp_path)


def test_run_again_does_nothing(tmp_path: Path) -> None:
    first = write_dataset(ToySource(8), tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert write_dataset(ToySource(8), tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times
    next((tmp_path / "data").iterdir()).unlink()
    with pytest.raises(DataError, match="missing or of another size"):
        write_dataset(ToySource(8), tmp_path)


def test_another_dataset_is_refused_and_replaced_on_request(tmp_path: Path) -> None:
    write_dataset(ToySource(8), tmp_path / "a")
    for other in ({"source": ToySource(9)}, {"source": ToySource(8), "seed": 1}):
        with pytest.raises(DataError, match="holds another dataset"):
            write_dataset(out=tmp_path / "a", **other)
    write_dataset(ToySource(9), tmp_path / "a", overwrite=True)
    write_dataset(ToySource(9), tmp_path / "b")
    assert hash_tree(tmp_path / "a") == hash_tree(tmp_path / "b")


@pytest.mark.parametrize("name", ["notes.txt", "data/notes.txt", "README.md", "data/train-00000-of-00001.parquet"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_foreign_files_are_never_touched(tmp_path: Path, name: str, overwrite: bool) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(DataError, match="not of a dataset"):
        write_dataset(ToySource(2), tmp_path, overwrite=overwrite)
    assert hash_tree(tmp_path).keys() == {name}
    assert path.read_text() == "mine"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(DataError, match="is a file"):
        write_dataset(ToySource(2), tmp_path / "x")


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with hold_folder(tmp_path / ".unfinished"), pytest.raises(DataError, match="another process is writing"):
        write_dataset(ToySource(2), tmp_path)
    write_dataset(ToySource(2), tmp_path)


def test_the_first_bad_sample_stops_the_run(tmp_path: Path) -> None:
    source = ToySource(40, rejected=frozenset([3, 30]))
    with pytest.raises(DataError, match=r"film (3|30)\.png is cut short .*skip_bad"):
        write_dataset(source, tmp_path)
    with pytest.raises(DataError, match="not a finished dataset"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_bad_samples_are_skipped_and_listed(tmp_path: Path, num_workers: int) -> None:
    source = ToySource(40, rejected=frozenset([3, 30, 31]), row_bytes=40_000_000)
    with pytest.raises(DataError, match="samples are bad, 2 are allowed"):
        write_dataset(source, tmp_path, skip_bad=True, max_bad=2, num_workers=num_workers)
    summary = write_dataset(source, tmp_path, skip_bad=True, max_bad=3)
    assert {sample.origin for sample in summary.rejected} == {"3", "30", "31"}
    assert sum(summary.num_samples.values()) == 37
    assert not verify_dataset(tmp_path)
    assert write_dataset(source, tmp_path, skip_bad=True) == summary
    with pytest.raises(DataError, match="3 samples are bad, 0 are allowed"):
        write_dataset(source, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"landmarks_xy": np.zeros((22, 2), np.float32)}, r"landmarks_xy is float32 \(22, 2\)"),
        ({"mask": np.zeros((24, 23), np.uint8)}, r"mask is uint8 \(24, 23\)"),
        ({"mask": np.full((24, 24), 9, np.uint8)}, "mask holds label 9"),
        ({"image": np.zeros((24, 24), np.float32)}, "image is float32"),
        ({"age": 400}, "field age"),
        ({"source_kind": "painting"}, "source_kind is 'painting'"),
        ({"sample_id": "toy00000099"}, "sets sample_id"),
        ({"height_mm": 3}, "sets height_mm"),
    ],
)
def test_a_bad_record_never_reaches_the_disk(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"toy00000005.*{message}"):
        write_dataset(ToySource(8, broken={5: change}), tmp_path)


class _Echo(ToySource):
    """Encoded records of a dataset, given on as they are."""

    records: ClassVar[dict[str, Record]] = {}

    def list_samples(self) -> list[SampleKey]:
        return [SampleKey(name, record.group_id, name) for name, record in self.records.items()]

    def iter_radiographs(self, keys: Any) -> Any:
        return (self.records[key.sample_id] for key in keys)


def test_encoded_records_pass_with_given_splits(tmp_path: Path) -> None:
    write_dataset(ToySource(20), tmp_path / "a")
    records = {record.sample_id: record for record in open_dataset(tmp_path / "a").iter_records()}
    source = _Echo(20)
    type(source).records = records
    names = {name: "test" if record.split == "train" else "train" for name, record in records.items()}
    summary = write_dataset(source, tmp_path / "b", splits=names)
    assert summary.num_samples == {"train": 4, "validation": 0, "test": 16}
    for record in open_dataset(tmp_path / "b").iter_records():
        assert record.split == names[record.sample_id]
        assert record.image == records[record.sample_id].image
    assert not verify_dataset(tmp_path / "b")
    del names["toy00000001"]
    with pytest.raises(DataError, match="1 samples have no split"):
        write_dataset(source, tmp_path / "c", splits=names)


def test_no_clock_host_or_path_in_the_manifest(tmp_path: Path) -> None:
    write_dataset(ToySource(4), tmp_path)
    manifest = json.loads((tmp_path / "dataset.json").read_text())
    assert set(manifest) == {
        "digest", "files", "fingerprint", "format", "fractions", "num_samples", "schema_version", "seed", "shards",
        "source",
    }  # fmt: skip
    assert str(tmp_path) not in (tmp_path / "dataset.json").read_text() + (tmp_path / "README.md").read_text()


def test_nothing_left_is_an_error_and_no_dataset(tmp_path: Path) -> None:
    source = ToySource(3, rejected=frozenset(range(3)))
    for _ in range(2):
        with pytest.raises(DataError, match=r"all 3 samples are bad.*\n  film \d\.png is cut short"):
            write_dataset(source, tmp_path / "a", skip_bad=True)
        assert not (tmp_path / "a/dataset.json").exists()


@pytest.mark.parametrize("name", ["README.md", "data", ".unfinished", "dataset.json"])
def test_a_file_where_a_folder_belongs_is_foreign(tmp_path: Path, name: str) -> None:
    if name in ("data", ".unfinished"):
        (tmp_path / name).write_text("x")
    else:
        (tmp_path / name).mkdir()
    for overwrite in (False, True):
        with pytest.raises(DataError, match=f"holds files that are not of a dataset \\({name}\\)"):
            write_dataset(ToySource(3), tmp_path, overwrite=overwrite)


def test_a_folder_that_cannot_be_made_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to("nowhere/at/all")
    for name in ("file/below", "dangling"):
        with pytest.raises(DataError, match=f"{name}: cannot be made .*; choose a folder that you may make"):
            write_dataset(ToySource(3), tmp_path / name)


def test_a_changed_readme_is_not_called_done(tmp_path: Path) -> None:
    write_dataset(ToySource(3), tmp_path)
    for change in (lambda path: path.write_text("mine"), Path.unlink):
        change(tmp_path / "README.md")
        with pytest.raises(DataError, match=r"README\.md: missing or changed since it was written"):
            write_dataset(ToySource(3), tmp_path)
