"""A Parquet shard: its footer without reading its rows, and its rows a row group at a time."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cspine_bench.dataset.shard import read_footer
from cspine_bench.release.checks.parquet_footer import RowGroup, read_row_groups
from cspine_bench.release.checks.row_keys import VALUE_COLUMNS, RowKeys
from cspine_bench.release.checks.rows import RowCheck, ShardTask
from cspine_bench.release.layout import MAX_GROUP_BYTES, VIEWER_GROUP_BYTES
from cspine_bench.release.rules import Tally
from cspine_bench.schema import build_arrow_schema

_BATCH_BYTES: Final = 32_000_000
_MOST_BATCH_ROWS: Final = 1000
_MOST_TEXT_BYTES: Final = 256_000_000
MOST_VALUE_BYTES: Final = 128_000_000
"""For a thousand rows without their pixels, which take some megabytes."""
_READ_BYTES: Final = 1 << 20

# What pyarrow was seen to raise on damaged files; a damaged length field ends as MemoryError.
UNREADABLE: Final = (
    pa.ArrowException,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    MemoryError,
    RecursionError,
)


def check_parquet(task: ShardTask, tally: Tally) -> tuple[int, RowKeys | None]:
    """Check a Parquet shard.

    Args:
        task: the shard. At level quick only its footer is read.
        tally: takes the findings.

    Returns:
        Rows that it holds, as its footer says; and their keys: None at level quick, or where they cannot be read.
    """
    checked: RowCheck | None = None
    num_rows = num_done = 0
    try:
        groups = read_row_groups(Path(task.root) / task.name)
        with pq.ParquetFile(Path(task.root) / task.name, pre_buffer=False, buffer_size=_READ_BYTES) as file:
            num_rows = file.metadata.num_rows
            readable = check_footer(file, groups, build_arrow_schema(), task.name, tally)
            _check_place(file, task, tally)
            if task.level != "quick" and readable:
                checked = RowCheck(task, tally)
                for batch in _iter_batches(file, groups):
                    values = batch.select(list(VALUE_COLUMNS))
                    if values.nbytes > MOST_VALUE_BYTES:
                        raise ValueError(f"the labels of {len(batch)} rows fill {values.nbytes:,} bytes")
                    image, mask = batch.column("image"), batch.column("mask")
                    checked.check(values, view_bytes(image), view_bytes(mask))
                    _check_paths(values, image, mask, task.name, tally)
                    num_done += len(batch)
                if num_done != num_rows:
                    raise ValueError(f"its footer says {num_rows} rows, it holds {num_done}")
    except UNREADABLE as error:
        text = str(error).split("\n")[0][:300] or type(error).__name__
        tally.add("PQ-05", task.name, f"unreadable after row {num_done}: {text}")
    return num_rows, None if checked is None else checked.keys


def check_footer(
    file: pq.ParquetFile, groups: Sequence[RowGroup], expected: pa.Schema, where: str, tally: Tally
) -> bool:
    """Check what a Parquet footer says of columns, features, row groups, page index and compression.

    Args:
        file: open.
        groups: its row groups, from `read_row_groups`.
        expected: the schema it should have, Hugging Face features in its metadata.
        where: its path inside the release.
        tally: takes the findings (PQ-01 to PQ-04).

    Returns:
        Whether the rows can be read as rows of `expected`.
    """
    found = file.schema_arrow
    fault = _describe_drift(found, expected)
    if fault is not None:
        tally.add("PQ-01", where, fault)
    feature_fault = _describe_features(found.metadata or {}, expected.metadata)
    if feature_fault is not None:
        tally.add("PQ-02", where, feature_fault)
    readable = fault is None
    for index, group in enumerate(groups):
        if group.num_bytes > MAX_GROUP_BYTES:
            text = f"row group {index} has {group.num_bytes:,} bytes; at most {MAX_GROUP_BYTES:,} are allowed"
            tally.add("PQ-03", where, text)
        readable &= group.num_bytes <= VIEWER_GROUP_BYTES
        for column in group.columns:
            if not column.has_offset_index or (column.bounded and not column.has_column_index):
                tally.add("PQ-03", where, f"column {column.path} of row group {index} has no page index")
            if column.path in ("image.bytes", "mask.bytes") and column.codec != "UNCOMPRESSED":
                tally.add("PQ-04", where, f"{column.path} is compressed with {column.codec} in row group {index}")
    return readable


def count_batch_rows(group: RowGroup, most: int) -> int:
    """Rows of a group to read at once, so that they do not fill the memory, whatever the file holds.

    Args:
        group: from the footer.
        most: of a group that gives no reason for fewer.
    """
    row_bytes = max(1, group.num_bytes // max(1, group.num_rows))
    # A long text is stored once in a dictionary, and may come back in every row.
    shared = sum(column.uncompressed_bytes for column in group.columns if column.has_dictionary)
    return max(1, min(most, _BATCH_BYTES // row_bytes, _MOST_TEXT_BYTES // max(1, shared)))


def view_bytes(array: pa.StructArray) -> list[memoryview | None]:
    """The bytes of each image of a column, where they lie. None where the image or its bytes are null."""
    data = array.flatten()[0]
    _, offsets, values = data.buffers()
    bounds = np.frombuffer(offsets, np.int32)[data.offset : data.offset + len(data) + 1].tolist()
    whole = memoryview(values).cast("B") if values is not None else memoryview(b"")
    valid = data.is_valid().to_pylist()
    return [whole[bounds[row] : bounds[row + 1]] if valid[row] else None for row in range(len(data))]


def _iter_batches(file: pq.ParquetFile, groups: Sequence[RowGroup]) -> Iterator[pa.RecordBatch]:
    for index, group in enumerate(groups):
        rows = count_batch_rows(group, _MOST_BATCH_ROWS)
        yield from file.iter_batches(rows, row_groups=[index], use_threads=False)


def _describe_drift(found: pa.Schema, expected: pa.Schema) -> str | None:
    differing = [name for name in dict.fromkeys((*expected.names, *found.names)) if _differs(name, found, expected)]
    if differing:
        return f"columns that are missing, new, doubled or of another type: {', '.join(differing)[:300]}"
    if found.names != expected.names:
        return "the columns have another order"
    return None


def _differs(name: str, found: pa.Schema, expected: pa.Schema) -> bool:
    if found.names.count(name) != 1 or name not in expected.names:
        return True
    return bool(found.field(name).type != expected.field(name).type)


def _describe_features(found: dict[bytes, bytes], expected: dict[bytes, bytes]) -> str | None:
    if b"huggingface" not in found:
        return "its footer holds no Hugging Face features"
    wanted = json.loads(expected[b"huggingface"])["info"]["features"]
    try:
        features: Any = json.loads(found[b"huggingface"])["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "its Hugging Face features are not readable"
    if not isinstance(features, dict):
        return "its Hugging Face features are not readable"
    if differing := [name for name in dict.fromkeys((*wanted, *features)) if features.get(name) != wanted.get(name)]:
        name = differing[0]
        return (
            f"its Hugging Face features spell {name} as {features.get(name)!r:.120}; expected {wanted.get(name)!r:.120}"
        )
    return None if list(features) == list(wanted) else "its Hugging Face features have another order"


def _check_place(file: pq.ParquetFile, task: ShardTask, tally: Tally) -> None:
    footer = read_footer(file.metadata.metadata) or {}
    if footer.get("path") != task.name or (
        task.fingerprint is not None and footer.get("fingerprint") != task.fingerprint
    ):
        text = f"its footer names {footer.get('path')!r:.80} of dataset {footer.get('fingerprint')!r:.80}"
        tally.add("SUM-05", task.name, text)
    if task.num_rows is not None and task.num_rows != file.metadata.num_rows:
        text = f"it holds {file.metadata.num_rows} rows, dataset.json says {task.num_rows}"
        tally.add("SUM-05", task.name, text)


def _check_paths(values: pa.RecordBatch, image: pa.StructArray, mask: pa.StructArray, where: str, tally: Tally) -> None:
    """A path inside an image struct is the sample's own file name: nothing of the maker's machine, nothing else."""
    ids: Sequence[str | None] = values.column("sample_id").to_pylist()
    for name, array, suffix in (("image", image, ".png"), ("mask", mask, ".mask.png")):
        data, paths = array.flatten()
        for sample_id, path, present in zip(ids, paths.to_pylist(), data.is_valid().to_pylist(), strict=True):
            expected = f"{sample_id}{suffix}" if present else None
            if path != expected:
                text = f"{sample_id}: {name}.path is {path!r:.80}; expected {expected!r}"
                tally.add("REC-01", where, text, sample_id)
