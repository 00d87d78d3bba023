"""The footer of a Parquet file, read by ourselves: what it says of row groups and columns.

pyarrow reads rows of a damaged file with an exception. Asked for the metadata of a column in a damaged footer, it ends
the whole process (seen with pyarrow 26: "Definition level histogram size mismatch", "Unsupported compression codec").

Source: the Apache Parquet format, parquet.thrift; the compact protocol of Apache Thrift.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

MAX_FOOTER_BYTES: Final = 16_000_000
"""A shard of 500 MB has footers of half a megabyte."""

_MAGIC: Final = b"PAR1"
_MOST_DEPTH: Final = 12
_STOP, _TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(13)
_CODECS: Final = ("UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW")


@dataclass(frozen=True, slots=True)
class ColumnChunk:
    """One column of one row group.

    `bounded`: least and greatest value are kept. A writer keeps none of long values, such as images, and then writes no
    index of them.
    """

    path: str
    codec: str
    compressed_bytes: int
    uncompressed_bytes: int
    has_dictionary: bool
    has_offset_index: bool
    has_column_index: bool
    bounded: bool


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Rows that are read together."""

    num_rows: int
    num_bytes: int
    columns: tuple[ColumnChunk, ...]


def read_row_groups(path: Path) -> tuple[RowGroup, ...]:
    """Row groups as the footer describes them, after a check that they can lie in a file of this size.

    Raises:
        ValueError: this is no Parquet file, or its footer is damaged or does not fit it.
        OSError: the file cannot be read.
    """
    size = path.stat().st_size
    values = _Reader(_read_footer_bytes(path, size)).read_struct(0)
    groups = tuple(_read_group(group, index, size) for index, group in enumerate(_as_list(values, 4)))
    total_rows = sum(group.num_rows for group in groups)
    total_bytes = sum(column.compressed_bytes for group in groups for column in group.columns)
    if total_bytes > size or total_rows != values.get(3):
        raise ValueError(
            f"its row groups hold {total_rows:,} rows and {total_bytes:,} bytes, "
            f"its footer says {values.get(3)!r:.30} rows, and the file has {size:,} bytes"
        )
    return groups


def _read_footer_bytes(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(max(0, size - 8))
        end = file.read(8)
        if start != _MAGIC or end[4:] != _MAGIC or size < 12:
            raise ValueError(f"it does not begin and end as a Parquet file ({size:,} bytes)")
        (length,) = struct.unpack("<I", end[:4])
        if length > min(size - 12, MAX_FOOTER_BYTES):
            raise ValueError(
                f"its footer has {length:,} bytes; at most {min(size - 12, MAX_FOOTER_BYTES):,} are allowed"
            )
        file.seek(-8 - length, os.SEEK_END)
        return file.read(length)


def _read_group(values: Any, index: int, size: int) -> RowGroup:
    num_rows, num_bytes = _as_number(values, 3), _as_number(values, 2)
    # Each row takes a byte at least, or the file is a trap.
    if not 0 <= num_rows <= size or num_bytes < 0:
        raise ValueError(f"row group {index} names {num_rows:,} rows of {num_bytes:,} bytes, the file has {size:,}")
    columns = tuple(_read_column(column) for column in _as_list(values, 1))
    for column in columns:
        if not 0 <= column.compressed_bytes <= size or column.uncompressed_bytes < 0:
            raise ValueError(f"column {column.path} of row group {index} does not lie inside the file")
    return RowGroup(num_rows, num_bytes, columns)


def _read_column(values: Any) -> ColumnChunk:
    chunk = values if isinstance(values, dict) else {}
    own = chunk.get(3)
    statistics = own.get(12) if isinstance(own, dict) else None
    known = statistics if isinstance(statistics, dict) else {}
    codec = _as_number(own, 4)
    names = [name.decode("utf-8", errors="replace") for name in _as_list(own, 3) if isinstance(name, bytes)]
    return ColumnChunk(
        path=".".join(names)[:200],
        codec=_CODECS[codec] if 0 <= codec < len(_CODECS) else f"codec {codec}",
        compressed_bytes=_as_number(own, 7),
        uncompressed_bytes=_as_number(own, 6),
        has_dictionary=isinstance(own, dict) and 11 in own,
        has_offset_index=4 in chunk and 5 in chunk,
        has_column_index=6 in chunk and 7 in chunk,
        bounded={5, 6} <= known.keys() or {1, 2} <= known.keys(),
    )


def _as_number(values: Any, field: int) -> int:
    found = values.get(field) if isinstance(values, dict) else None
    if type(found) is not int:
        raise ValueError(f"its footer is damaged: field {field} of a row group or column is no number")
    return found


def _as_list(values: Any, field: int) -> list[Any]:
    found = values.get(field) if isinstance(values, dict) else None
    if not isinstance(found, list):
        raise ValueError(f"its footer is damaged: field {field} is no list")
    return found


class _Reader:
    """Values of Thrift's compact protocol: structs as dicts by field number."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read_struct(self, depth: int) -> dict[int, Any]:
        """The struct that begins here."""
        if depth > _MOST_DEPTH:
            raise ValueError("its footer is damaged: it is nested too deeply")
        values: dict[int, Any] = {}
        field = 0
        while head := self._byte():
            kind = head & 15
            field = field + (head >> 4) if head >> 4 else self._number()
            values[field] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return values

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_I16, _I32, _I64):
            return self._number()
        if kind == _BINARY:
            return self._take(self._varint())
        if kind == _STRUCT:
            return self.read_struct(depth + 1)
        if kind in (_LIST, _SET):
            return self._list(depth + 1)
        if kind in (_BYTE, _TRUE, _FALSE):
            return self._byte()
        if kind == _DOUBLE:
            return self._take(8)
        raise ValueError(f"its footer is damaged: a value of kind {kind} at byte {self._at:,}")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        size = head >> 4 if head >> 4 < 15 else self._varint()
        if size > len(self._data) - self._at or depth > _MOST_DEPTH:
            raise ValueError(f"its footer is damaged: a list of {size:,} items at byte {self._at:,}")
        return [self._value(head & 15, depth) for _ in range(size)]

    def _number(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError(f"its footer is damaged: a number without end at byte {self._at:,}")

    def _byte(self) -> int:
        try:
            value = self._data[self._at]
        except IndexError as error:
            raise ValueError("its footer is cut short") from error
        self._at += 1
        return value

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise ValueError("its footer is cut short")
        self._at += size
        return self._data[self._at - size : self._at]
