"""The mirror and the metadata table, as the libraries read them that their users have."""

import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset

from cspine_bench.dataset.read import open_dataset
from cspine_bench.imaging.png import decode_png
from cspine_bench.release.mirror import JSON_COLUMNS, render_json
from cspine_bench.schema import COLUMNS, Record


@pytest.fixture(scope="module")
def records(release: Path) -> dict[str, Record]:
    return {record.sample_id: record for record in open_dataset(release).iter_records()}


# The library leaves the last file of a stream to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_webdataset_library_reads_every_sample(mirror: Path, records: dict[str, Record]) -> None:
    seen = {}
    for tar in sorted(mirror.glob("data/*.tar")):
        for sample in webdataset.WebDataset(str(tar), shardshuffle=False).decode("l8"):
            seen[sample["__key__"]] = sample
    assert seen.keys() == records.keys()
    for name, sample in seen.items():
        record = records[name]
        np.testing.assert_array_equal(sample["png"], decode_png(record.image, where=name))
        np.testing.assert_array_equal(sample["mask.png"], decode_png(record.mask or b"", where=name))
        assert sample["json"]["curvature"] == record.curvature
        points = np.array(sample["json"]["landmarks_xy"], np.float32)
        np.testing.assert_array_equal(points, np.array(record.landmarks_xy, np.float32))


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("by_card", [False, True])
def test_datasets_reads_every_sample(mirror: Path, records: dict[str, Record], streaming: bool, by_card: bool) -> None:
    import datasets

    files = {split: f"{mirror}/data/{split}-*.tar" for split in ("train", "validation", "test")}
    asked: dict[str, Any] = {} if by_card else {"data_files": files}
    loaded = datasets.load_dataset(str(mirror) if by_card else "webdataset", streaming=streaming, **asked)
    rows = {row["__key__"]: row for split in loaded.values() for row in split}
    assert rows.keys() == records.keys()
    for name, row in rows.items():
        assert row["json"]["sample_id"] == name
        if by_card:
            assert set(row["json"]) == set(JSON_COLUMNS)
            points = np.array(row["json"]["landmarks_xy"], np.float32)
            np.testing.assert_array_equal(points, np.array(records[name].landmarks_xy, np.float32))
        np.testing.assert_array_equal(np.array(row["png"]), decode_png(records[name].image, where=name))


def test_archives_are_plain_and_the_same_everywhere(mirror: Path) -> None:
    for path in mirror.glob("data/*.tar"):
        assert path.read_bytes()[257:265] == b"ustar\x0000"
        assert path.stat().st_size % 10_240 == 0
        with tarfile.open(path) as archive:
            for member in archive:
                described = (member.mtime, member.uid, member.gid, member.mode, member.uname, member.type)
                assert described == (0, 0, 0, 0o644, "", tarfile.REGTYPE)


def test_fractions_stay_fractions_and_every_key_is_there(records: dict[str, Record]) -> None:
    record = next(iter(records.values()))
    whole = record.model_copy(update={"pixel_spacing_mm": 2.0, "age": None, "source_affine": (1, 0, 0, 0, 1, 0)})
    values = json.loads(render_json(whole.__dict__))
    assert sorted(values) == list(JSON_COLUMNS) == sorted(set(COLUMNS) - {"image", "mask"})
    assert '"pixel_spacing_mm":2.0' in render_json(whole.__dict__).decode()
    assert '"source_affine":[1.0,0.0,0.0,0.0,1.0,0.0]' in render_json(whole.__dict__).decode()
    assert values["age"] is None


def test_the_metadata_table_holds_the_rows_without_pixels(release: Path) -> None:
    import datasets

    whole = open_dataset(release)
    for split, count in whole.splits.items():
        table = pq.read_table(release / f"metadata/{split}.parquet")
        expected = whole.read_table([name for name in COLUMNS if name not in ("image", "mask")], split)
        assert table.num_rows == count
        assert table.replace_schema_metadata(None).equals(expected, check_metadata=False) or (
            str(table.to_pylist()) == str(expected.to_pylist())  # NaN equals nothing
        )
    loaded = datasets.load_dataset(str(release), "metadata")
    assert loaded.num_rows == whole.splits
    assert loaded["train"].features["curvature"].names == list(COLUMNS["curvature"].names)
    assert datasets.load_dataset(str(release)).num_rows == whole.splits
