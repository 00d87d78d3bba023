"""The WebDataset mirror: each Parquet shard as a tar of the same samples, for those who stream tars.

What makes it load everywhere: plain ustar with one time and one owner; the members of a sample next to each other; keys
without a dot; every JSON key in every sample, fractions written as fractions. Readers infer types from the first
samples, and cut or drop without a word what does not fit: see `write_tar`.
"""

import io
import json
import math
import os
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow.parquet as pq

from cspine_bench.dataset.files import explain_full_disk, move_into_place
from cspine_bench.dataset.shard import iter_batches
from cspine_bench.provenance import sha256_file
from cspine_bench.schema import COLUMNS, Record, iter_batch_records

_IMAGE, _MASK, _JSON = ".png", ".mask.png", ".json"
_FRACTIONS: Final = frozenset(("float32", "float64", "points", "floats"))
JSON_COLUMNS: Final = tuple(sorted(name for name, column in COLUMNS.items() if column.dtype != "image"))


def write_tar(shard: Path, out: Path, *, scratch: Path) -> tuple[str, int]:
    """Write a Parquet shard as a tar.

    Args:
        shard: the Parquet file.
        out: the tar.
        scratch: a folder of the same file system, for the temporary file.

    Returns:
        SHA-256 and size of the tar.

    Raises:
        DataError: the disk is full.
        OSError, pa.ArrowException: the shard cannot be read.
    """
    temporary = scratch / f"{out.name}.tmp"
    try:
        with explain_full_disk(out, lambda: shard.stat().st_size):
            with temporary.open("wb") as file:
                _write(shard, file)
                file.flush()
                os.fsync(file.fileno())
            entry = sha256_file(temporary), temporary.stat().st_size
            move_into_place(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    return entry


def render_json(record: Mapping[str, Any]) -> bytes:
    """A sample's JSON: every column but the pixels; class labels by name.

    Args:
        record: fields of a `Record` by name.
    """
    values = {name: _spell(record[name], COLUMNS[name].dtype) for name in JSON_COLUMNS}
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def iter_members(record: Record) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each member of a sample."""
    yield record.sample_id + _IMAGE, record.image
    if record.mask is not None:
        yield record.sample_id + _MASK, record.mask
    yield record.sample_id + _JSON, render_json(record.__dict__)


def _write(shard: Path, file: BinaryIO) -> None:
    with (
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive,
        pq.ParquetFile(shard) as rows,
    ):
        for batch in iter_batches(rows):
            for record in iter_batch_records(batch, tuple(COLUMNS)):
                for name, data in iter_members(record):
                    archive.addfile(_describe(name, data), io.BytesIO(data))


def _describe(name: str, data: bytes) -> tarfile.TarInfo:
    # A new TarInfo has time 0, owner 0 and mode 0644.
    member = tarfile.TarInfo(name)
    member.size = len(data)
    return member


def _spell(value: Any, dtype: str) -> Any:
    # A whole number where others are fractions would make the column one of whole numbers, for some readers.
    if value is None or dtype not in _FRACTIONS:
        return value
    if isinstance(value, tuple | list):
        return [_spell(item, dtype) for item in value]
    return None if math.isnan(value) else float(value)
