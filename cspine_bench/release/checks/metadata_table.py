"""The table without pixels against the shards that it was taken from: footer, and row by row."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cspine_bench.release.checks.parquet_footer import RowGroup, read_row_groups
from cspine_bench.release.checks.parquet_rows import MOST_VALUE_BYTES, UNREADABLE, check_footer, count_batch_rows
from cspine_bench.release.checks.row_keys import ID_TYPE, VALUE_COLUMNS, RowKeys, hash_rows
from cspine_bench.release.checks.shards import ShardReport
from cspine_bench.release.layout import metadata_name
from cspine_bench.release.rules import Tally
from cspine_bench.schema import build_arrow_schema

_BATCH_ROWS: Final = 2000
_READ_BYTES: Final = 1 << 16


def check_metadata_table(root: Path, split: str, reports: Sequence[ShardReport], tally: Tally) -> None:
    """Check metadata/SPLIT.parquet: PQ-01 to PQ-03 and PQ-05, and PQ-06 where the reports have rows.

    Memory holds one batch of rows, and the keys of the split's shards once more.

    Args:
        root: the release.
        split: whose table; the file may be missing, which another rule reports.
        reports: of the split's shards, in order.
        tally: takes the findings.
    """
    name = metadata_name(split)
    path = root / name
    if not path.is_file():
        return
    whole = all(report.rows is not None and len(report.rows.values) == report.num_rows for report in reports)
    num_rows = sum(report.num_rows for report in reports)
    try:
        groups = read_row_groups(path)
        with pq.ParquetFile(path, pre_buffer=False) as file:
            readable = check_footer(file, groups, build_table_schema(), name, tally)
            if not whole or not readable:
                return
            if file.metadata.num_rows != num_rows:
                tally.add("PQ-06", name, f"it has {file.metadata.num_rows} rows, the shards have {num_rows}")
            else:
                _compare(path, name, groups, reports, tally)
    except UNREADABLE as error:
        tally.add(
            "PQ-05", name, f"unreadable: {str(error).splitlines()[0][:300] if str(error) else type(error).__name__}"
        )


def build_table_schema() -> pa.Schema:
    """The schema that the table should have, with its Hugging Face features."""
    schema = build_arrow_schema()
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    kept = {"info": {"features": {name: features[name] for name in VALUE_COLUMNS}}}
    return pa.schema([schema.field(name) for name in VALUE_COLUMNS], metadata={"huggingface": json.dumps(kept)})


def _compare(path: Path, name: str, groups: Sequence[RowGroup], reports: Sequence[ShardReport], tally: Tally) -> None:
    keys = RowKeys.join([report.rows for report in reports if report.rows is not None])
    ids, values = keys.sample_ids, keys.values
    start = 0
    for batch in _iter_batches(path, groups):
        batch.validate(full=True)
        stop = start + len(batch)
        (found,) = hash_rows(batch, VALUE_COLUMNS)
        for row in np.flatnonzero(found != values[start:stop]).tolist():
            expected = ids[start + row].decode("ascii", errors="replace")
            stated = batch.column("sample_id")[row].as_py()
            same = stated is not None and np.array(stated.encode(), ID_TYPE) == ids[start + row]
            text = "its values differ from those in the shard" if same else f"the table has {stated!r:.40} in its place"
            tally.add("PQ-06", name, f"{expected}: {text}", expected)
        start = stop
    if start != len(values):
        tally.add("PQ-06", name, f"{start} rows can be read of {len(values)}")


def _iter_batches(path: Path, groups: Sequence[RowGroup]) -> Iterator[pa.RecordBatch]:
    """Batches of about `_BATCH_ROWS`, put together from as small ones as memory asks for."""
    with pq.ParquetFile(path, pre_buffer=False, buffer_size=_READ_BYTES) as file:
        for index, group in enumerate(groups):
            waiting: list[pa.RecordBatch] = []
            rows = count_batch_rows(group, _BATCH_ROWS)
            for batch in file.iter_batches(rows, row_groups=[index], use_threads=False):
                waiting.append(batch)
                num_bytes = sum(item.nbytes for item in waiting)
                if num_bytes > MOST_VALUE_BYTES:
                    raise ValueError(f"{sum(map(len, waiting))} rows fill {num_bytes:,} bytes")
                if sum(map(len, waiting)) >= _BATCH_ROWS:
                    yield _join(waiting)
                    waiting = []
            if waiting:
                yield _join(waiting)


def _join(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
