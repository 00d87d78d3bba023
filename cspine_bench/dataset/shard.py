"""One shard: samples into a Parquet file, row group by row group, under a temporary name until it is whole."""

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from cspine_bench.dataset.encode import encode_radiograph
from cspine_bench.dataset.files import explain_full_disk, move_into_place
from cspine_bench.dataset.manifest import RejectedSample, ShardEntry
from cspine_bench.dataset.plan import FORMAT_VERSION, ShardPlan
from cspine_bench.dataset.source import Radiograph, Rejected, Source
from cspine_bench.errors import DataError
from cspine_bench.provenance import canonical_json, sha256_bytes
from cspine_bench.schema import COLUMNS, Record, build_arrow_schema, build_arrow_table

MAX_GROUP_BYTES: Final = 32_000_000
MAX_GROUP_ROWS: Final = 1000
_BATCH_ROWS: Final = 128
FOOTER_KEY: Final = b"cspine_bench"
"""Name in a shard's Parquet footer of a JSON object: format, fingerprint of the plan, path, and rejected samples."""

UNIQUE_COLUMNS: Final = frozenset(("sample_id", "image_sha256", "pixel_sha256", "mask_sha256", "source_sha256"))
"""Text that differs in every row, where a dictionary only costs."""

_LEAF_SUFFIX: Final = {"points": ".list.element.list.element", "floats": ".list.element"}


class TooManyRejected(Exception):
    """A shard met more bad samples than the whole run allows."""

    def __init__(self, rejected: tuple[RejectedSample, ...]) -> None:
        super().__init__(rejected)
        self.rejected = rejected


class _HashingFile:
    """A file for pyarrow to write to, which hashes what passes through, so that nothing is read back."""

    file: BinaryIO

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.num_bytes = 0
        self.closed = False

    def write(self, data: Any) -> int:
        self._digest.update(data)
        self.num_bytes += len(data)
        return self.file.write(data)

    def tell(self) -> int:
        return self.num_bytes

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def make_shard(
    source: Source,
    shard: ShardPlan,
    *,
    fingerprint: str,
    folder: Path,
    scratch: Path,
    max_rejected: int | None,
    on_rows: Callable[[int], None],
) -> ShardEntry:
    """Make one shard and put it in its place.

    Args:
        source: makes the pixels.
        shard: what to make.
        fingerprint: of the plan; goes into the footer.
        folder: the dataset folder, with its `data/`.
        scratch: a folder of the same file system, for the temporary file.
        max_rejected: bad samples to go on after; None: any number.
        on_rows: told of each sample, made or rejected, as soon as it is met: the number of new ones.

    Raises:
        DataError: a sample is bad, or the disk is full.
        TooManyRejected: more than `max_rejected` samples are bad, and `max_rejected` is above 0.
    """
    target = folder / shard.path
    # A name of its own: a task that was given up for lost may still write.
    temporary = scratch / f"{target.name}.{uuid.uuid4().hex[:12]}.tmp"
    rows = _Rows(source, shard, max_rejected, on_rows)
    sink = _HashingFile()

    def expect_bytes() -> int:
        row_bytes = sink.num_bytes / rows.num_written if rows.num_written else source.estimate_bytes()
        return int(row_bytes * len(shard.keys))

    try:
        with explain_full_disk(target, expect_bytes):
            with temporary.open("wb") as file:
                sink.file = file
                with _open_writer(sink) as writer:
                    for table in rows.iter_tables():
                        writer.write_table(table, row_group_size=table.num_rows)
                    footer = {
                        "format": FORMAT_VERSION,
                        "fingerprint": fingerprint,
                        "path": shard.path,
                        "rejected": [sample.model_dump(mode="json") for sample in rows.rejected],
                    }
                    writer.add_key_value_metadata({FOOTER_KEY: canonical_json(footer).encode()})
                file.flush()
                os.fsync(file.fileno())
            move_into_place(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return ShardEntry(
        path=shard.path,
        split=shard.split,
        num_rows=rows.num_written,
        num_bytes=sink.num_bytes,
        arrow_bytes=rows.arrow_bytes,
        sha256=sink.hexdigest(),
        rejected=tuple(rows.rejected),
    )


def read_footer(metadata: dict[bytes, bytes] | None) -> dict[str, Any] | None:
    """Our own object in a Parquet footer, or None where there is none or it is not readable."""
    try:
        value = json.loads((metadata or {})[FOOTER_KEY])
    except (KeyError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def iter_batches(file: pq.ParquetFile, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Rows of a shard in batches, with memory for one row group: a batch over several could hold 64 whole films.

    Args:
        file: the open shard.
        columns: fields to read, None: all.

    Raises:
        pa.ArrowException: the file is damaged there (or `OSError`).
    """
    for group in range(file.num_row_groups):
        names = None if columns is None else list(columns)
        yield from file.iter_batches(_BATCH_ROWS, row_groups=[group], columns=names, use_threads=False)


def _open_writer(sink: _HashingFile) -> pq.ParquetWriter:
    # PNG does not shrink further, and unchanged images stay unchanged bytes for the Hub's deduplication.
    compression: dict[str, str] = {}
    for name, column in COLUMNS.items():
        if column.dtype == "image":
            compression |= {f"{name}.bytes": "NONE", f"{name}.path": "SNAPPY"}
        else:
            compression[name + _LEAF_SUFFIX.get(column.dtype, "")] = "SNAPPY"
    return pq.ParquetWriter(
        pa.PythonFile(sink, mode="w"),
        build_arrow_schema(),
        compression=compression,
        use_dictionary=[
            name for name, column in COLUMNS.items() if column.dtype == "string" and name not in UNIQUE_COLUMNS
        ],
        write_page_index=True,
        use_content_defined_chunking=True,
    )


class _Rows:
    """The records of a shard, cut into row groups; counts what was rejected on the way."""

    def __init__(
        self, source: Source, shard: ShardPlan, max_rejected: int | None, on_rows: Callable[[int], None]
    ) -> None:
        self._source = source
        self._shard = shard
        self._max_rejected = max_rejected
        self._on_rows = on_rows
        self.num_written = 0
        self.arrow_bytes = 0
        self.rejected: list[RejectedSample] = []

    def iter_tables(self) -> Iterator[pa.Table]:
        """Row groups: as many rows as fit `MAX_GROUP_BYTES` and `MAX_GROUP_ROWS`, at least one."""
        for records in self._iter_groups():
            table = build_arrow_table(records)
            self.num_written += table.num_rows
            self.arrow_bytes += table.nbytes
            yield table

    def _iter_groups(self) -> Iterator[list[Record]]:
        group: list[Record] = []
        num_bytes = 0
        for record in self._iter_records():
            size = len(record.image) + len(record.mask or b"")
            if group and (num_bytes + size > MAX_GROUP_BYTES or len(group) == MAX_GROUP_ROWS):
                yield group
                group, num_bytes = [], 0
            group.append(record)
            num_bytes += size
        if group:
            yield group

    def _iter_records(self) -> Iterator[Record]:
        keys = iter(self._shard.keys)
        for made in self._source.iter_radiographs(self._shard.keys):
            key = next(keys, None)
            name = made.sample_id if isinstance(made, Record) else made.key.sample_id
            if key is None or name != key.sample_id:
                wanted = "nothing more" if key is None else key.sample_id
                raise DataError(
                    f"the source made sample {name} where {wanted} was due; a source keeps the order it is given"
                )
            self._on_rows(1)
            if isinstance(made, Rejected):
                self._reject(made)
            elif isinstance(made, Radiograph):
                yield encode_radiograph(made, self._shard.split)
            else:
                yield self._check_record(made, key.group_id)
        if (missing := next(keys, None)) is not None:
            raise DataError(
                f"the source ended before sample {missing.sample_id} ({missing.origin}); it owes one item for each key"
            )

    def _reject(self, made: Rejected) -> None:
        key = made.key
        if self._max_rejected == 0:
            raise DataError(
                f"{made.reason} (sample {key.sample_id}). Mend or remove it, or go on without bad files (skip_bad)"
            )
        self.rejected.append(
            RejectedSample(sample_id=key.sample_id, group_id=key.group_id, origin=key.origin, reason=made.reason)
        )
        if self._max_rejected is not None and len(self.rejected) > self._max_rejected:
            raise TooManyRejected(tuple(self.rejected))

    def _check_record(self, record: Record, group_id: str) -> Record:
        for name, data, digest in (
            ("image", record.image, record.image_sha256),
            ("mask", record.mask, record.mask_sha256),
        ):
            if (None if data is None else sha256_bytes(data)) != digest:
                raise DataError(
                    f"sample {record.sample_id}: {name} does not match its {name}_sha256; "
                    "verify the dataset it comes from"
                )
        if record.group_id != group_id:
            raise DataError(
                f"sample {record.sample_id}: its group is {record.group_id!r}, it was listed under {group_id!r}"
            )
        return record if record.split == self._shard.split else record.model_copy(update={"split": self._shard.split})
