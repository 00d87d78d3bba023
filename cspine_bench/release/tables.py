"""The configuration "metadata" of a release: its rows without pixels, one Parquet file for each split."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from cspine_bench.dataset.files import explain_full_disk, move_into_place
from cspine_bench.dataset.read import PIXEL_COLUMNS
from cspine_bench.dataset.shard import UNIQUE_COLUMNS
from cspine_bench.provenance import sha256_file
from cspine_bench.schema import COLUMNS, build_arrow_schema

METADATA_COLUMNS: Final = tuple(name for name in COLUMNS if name not in PIXEL_COLUMNS)
_GROUP_ROWS: Final = 50_000


@dataclass(frozen=True)
class TableEntry:
    """A finished table: its hash, size, and size of its rows in memory."""

    sha256: str
    num_bytes: int
    arrow_bytes: int


def build_metadata_schema() -> pa.Schema:
    """The record's schema without its pixels, with the Hugging Face features of what is left."""
    schema = build_arrow_schema()
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    kept = {name: features[name] for name in METADATA_COLUMNS}
    metadata = {"huggingface": json.dumps({"info": {"features": kept}}, separators=(",", ":"))}
    return pa.schema([schema.field(name) for name in METADATA_COLUMNS], metadata=metadata)


def write_table(shards: Sequence[Path], out: Path, *, scratch: Path) -> TableEntry:
    """Copy the rows of a split's shards, without pixels, into one file.

    Args:
        shards: Parquet files of the split, in order.
        out: the file.
        scratch: a folder of the same file system, for the temporary file.

    Raises:
        DataError: the disk is full.
        OSError, pa.ArrowException: a shard cannot be read.
    """
    temporary = scratch / f"{out.name}.tmp"
    arrow_bytes = 0
    try:
        with explain_full_disk(out, lambda: sum(path.stat().st_size for path in shards) // 20):
            # Text that hardly repeats is not worth a dictionary.
            dictionary = [
                name for name in METADATA_COLUMNS if COLUMNS[name].dtype == "string" and name not in UNIQUE_COLUMNS
            ]
            with pq.ParquetWriter(
                temporary,
                build_metadata_schema(),
                compression="zstd",
                use_dictionary=dictionary,
                write_page_index=True,
            ) as writer:
                for table in _iter_groups(shards):
                    arrow_bytes += table.nbytes
                    writer.write_table(table, row_group_size=_GROUP_ROWS)
            _sync(temporary)
            entry = TableEntry(sha256_file(temporary), temporary.stat().st_size, arrow_bytes)
            move_into_place(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    return entry


def _iter_groups(shards: Sequence[Path]) -> Iterator[pa.Table]:
    """Tables of `_GROUP_ROWS` rows, however many rows the shards have."""
    schema = build_metadata_schema()
    waiting: list[pa.RecordBatch] = []
    num_rows = 0
    for path in shards:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_GROUP_ROWS, columns=list(METADATA_COLUMNS), use_threads=False):
                offset = 0
                while offset < batch.num_rows:
                    piece = batch.slice(offset, _GROUP_ROWS - num_rows)
                    waiting.append(piece.cast(schema) if piece.schema != schema else piece)
                    num_rows += piece.num_rows
                    offset += piece.num_rows
                    if num_rows == _GROUP_ROWS:
                        yield pa.Table.from_batches(waiting, schema=schema)
                        waiting, num_rows = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting, schema=schema)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
