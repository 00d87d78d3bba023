"""The folder is read by our reader, by `datasets` mapped and streaming, and by DuckDB, with the same values."""

import math
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from toy_source import ToySource

from cspine_bench.dataset import sheet
from cspine_bench.dataset.inspect import inspect_dataset
from cspine_bench.dataset.read import DatasetFolder, open_dataset
from cspine_bench.dataset.shard import iter_batches
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError
from cspine_bench.imaging.png import decode_png, encode_mask_png, encode_png
from cspine_bench.schema import COLUMNS, Record


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:
    path = tmp_path_factory.mktemp("read") / "ds"
    write_dataset(ToySource(40, bits=16), path)
    return open_dataset(path)


def test_records(folder: DatasetFolder) -> None:
    assert len(folder) == 40
    assert folder.splits == {"train": 32, "validation": 4, "test": 4}
    records = list(folder.iter_records())
    made = {item.key.sample_id: item for item in ToySource(40, bits=16).iter_radiographs(ToySource(40).list_samples())}
    assert {record.sample_id for record in records} == set(made)
    for record in records:
        item = made[record.sample_id]
        assert np.array_equal(decode_png(record.image, where="image"), item.image)
        assert np.array_equal(np.array(record.landmarks_xy, np.float32), item.landmarks_xy, equal_nan=True)
        assert record.curvature == item.fields["curvature"]
        assert record.age == item.fields["age"]
        assert record.run_id is None


def test_columns_alone(folder: DatasetFolder) -> None:
    record = next(folder.iter_records("test", columns=["sample_id", "mask"]))
    assert record.mask is not None
    with pytest.raises(AttributeError):
        _ = record.image
    table = folder.read_table(split="test")
    assert table.num_rows == 4
    assert set(table.column_names) == set(COLUMNS) - {"image", "mask"}
    assert folder.read_table(["age"]).column_names == ["age"]
    for call in (lambda: folder.read_table(["colour"]), lambda: next(folder.iter_records(columns=["colour"]))):
        with pytest.raises(ValueError, match="no column colour"):
            call()
    with pytest.raises(ValueError, match="no split 'dev'"):
        folder.read_table(split="dev")  # type: ignore[arg-type]


@pytest.mark.parametrize("streaming", [False, True])
def test_datasets_loads_the_folder_as_it_is(folder: DatasetFolder, streaming: bool) -> None:
    loaded = folder.as_huggingface(streaming=streaming)
    assert set(loaded) == {"train", "validation", "test"}
    rows = list(loaded["test"])
    for row, record in zip(rows, folder.iter_records("test"), strict=True):
        assert list(row) == list(COLUMNS)
        assert row["image"].mode.startswith("I")
        assert np.array_equal(np.array(row["image"]), decode_png(record.image, where="image"))
        assert np.array_equal(np.array(row["mask"]), decode_png(record.mask or b"", where="mask"))
        assert np.array_equal(np.array(row["landmarks_xy"]), np.array(record.landmarks_xy), equal_nan=True)
        assert loaded["test"].features["curvature"].int2str(row["curvature"]) == record.curvature
    assert loaded["test"].features["curvature"].names == list(COLUMNS["curvature"].names)


def test_duckdb_reads_the_shards(folder: DatasetFolder) -> None:
    query = f"SELECT split, count(*), min(octet_length(image.bytes)) FROM '{folder.path}/data/*.parquet' GROUP BY split"
    counts = {split: count for split, count, size in duckdb.sql(query).fetchall() if size > 0}
    assert counts == folder.splits


def test_facts(folder: DatasetFolder) -> None:
    facts = inspect_dataset(folder.path)
    assert facts.num_samples == folder.splits
    assert facts.num_groups == {"train": 16, "validation": 2, "test": 2}
    assert facts.sizes == {"24 x 24 x 16": 40}
    assert facts.pixel_spacing_mm == (0.25, 0.25, 0.25)
    assert facts.points_labelled == 40 * 22
    assert facts.labelled["mask"] == 40
    assert facts.labelled["landmarks_xy"] == 0
    assert facts.values["source_kind"] == {"phantom": 40}
    for name, table in facts.strata.items():
        for split, count in facts.num_samples.items():
            assert sum(row[split] for row in table.values()) == count, name


def test_what_is_no_dataset_is_refused(tmp_path: Path, folder: DatasetFolder) -> None:
    with pytest.raises(DataError, match="not a finished dataset folder"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="no such dataset folder"):
        open_dataset(tmp_path / "absent")
    (tmp_path / "dataset.json").write_text('{"format": NaN}')
    with pytest.raises(DataError, match="not a dataset manifest"):
        open_dataset(tmp_path)
    with pytest.raises(ValueError, match="revision"):
        open_dataset(folder.path, revision="main")
    # Without a network the Hub cannot be asked: the message says what was tried.
    with pytest.raises(DataError, match=r"owner/name: no such folder.*Hub"):
        open_dataset("owner/name")


def test_a_shard_that_went_missing_is_named(tmp_path: Path) -> None:
    write_dataset(ToySource(3), tmp_path)
    (tmp_path / "data/train-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"train-00000.*verify"):
        list(open_dataset(tmp_path).iter_records())


def test_a_batch_never_reaches_beyond_a_row_group(tmp_path: Path) -> None:
    """Sixty-four whole films in one batch took four gigabytes."""
    write_dataset(ToySource(3, size=3000, bits=16), tmp_path, fractions=(1.0, 0.0, 0.0))
    with pq.ParquetFile(tmp_path / "data/train-00000-of-00001.parquet") as file:
        assert [batch.num_rows for batch in iter_batches(file, ["image", "sample_id"])] == [1, 1, 1]


@pytest.mark.parametrize("shape", [(1000, 800), (999, 37), (775, 1033)])
def test_large_films_are_reduced_for_the_sheet_with_their_labels(shape: tuple[int, int]) -> None:
    image = np.zeros(shape, np.uint16)
    mask = np.zeros(shape, np.uint8)
    image[600:700, 5:35], mask[600:700, 5:35] = 50_000, 3
    landmarks_xy = [(4.5, 599.5), (34.5, 699.5)] + [(math.nan, math.nan)] * 21
    record = Record.model_construct(
        None,
        sample_id="toy0000001",
        split="train",
        image=encode_png(image),
        mask=encode_mask_png(mask),
        landmarks_xy=tuple(landmarks_xy),
        **dict.fromkeys(("curvature", "cobb_c2_c7_deg", "sex", "age", "artefact")),
    )
    tile = sheet._draw(record, with_labels=True, tile_px=64)
    assert tile.image.shape == tile.mask.shape and max(tile.image.shape) <= 400
    rows, columns = np.nonzero(tile.mask)
    (left, top), (right, bottom) = tile.landmarks_xy[:2]
    assert np.allclose([left, top], [columns.min() - 0.5, rows.min() - 0.5], atol=0.51)
    assert np.allclose([right, bottom], [columns.max() + 0.5, rows.max() + 0.5], atol=0.51)
    assert tile.image[rows.min() + 1 : rows.max(), columns.min() + 1 : columns.max()].min() == 50_000
