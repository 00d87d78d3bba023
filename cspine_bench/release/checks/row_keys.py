"""What is kept of a row once its shard is checked: hashes of its parts, 68 bytes, to compare rows of all shards by.

Hashes are of 64 bits. Two rows out of a million that differ agree in one of them by chance once in forty million
releases; who can choose rows so that they agree could as well choose them to be the same.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cspine_bench.schema import COLUMNS

Hashes = NDArray[np.uint64]

ID_TYPE: Final = np.dtype("S20")
NO_HASH: Final = np.uint64(0)
VALUE_COLUMNS: Final = tuple(name for name, column in COLUMNS.items() if column.dtype != "image")
"""All that a row holds besides pixels, in the order of the schema."""
ORIGIN_COLUMNS: Final = (
    "seed", "sample_index", "weights_sha256", "condition_sha256", "generator", "generator_version",
    "generator_parameters", "recipe_sha256", "sampler", "num_steps", "guidance_scale", "eta", "condition_kind",
)  # fmt: skip
"""Together they say which image a generator makes."""

_SHORT_BYTES: Final = 128
_NULL = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class RowKeys:
    """Rows of one shard, in order. Every array has one entry for each row.

    Attributes:
        sample_ids: ASCII text.
        values: hash of all columns but the pixels.
        images: start of the SHA-256 of the image's bytes, as they are.
        masks: the same of the mask; `NO_HASH` where there is none.
        pixels: start of `pixel_sha256`.
        groups: hash of group_id.
        origins: hash of what makes the image; `NO_HASH` where there is no seed.
    """

    sample_ids: NDArray[np.bytes_]
    values: Hashes
    images: Hashes
    masks: Hashes
    pixels: Hashes
    groups: Hashes
    origins: Hashes

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Rows of several parts, in order."""
        if not parts:
            empty = np.zeros(0, np.uint64)
            return cls(np.zeros(0, ID_TYPE), *[empty] * (len(fields(cls)) - 1))
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def hash_rows(batch: pa.RecordBatch, *selections: Sequence[str]) -> tuple[Hashes, ...]:
    """Hashes of each row over some of its columns; the same wherever the values are the same.

    Args:
        batch: columns as `build_arrow_schema` types them.
        selections: which columns, in this order; several, because each column is hashed once for all of them.

    Returns:
        For each selection uint64 (rows,), never `NO_HASH`.
    """
    parts: dict[str, list[Hashes]] = {}
    for name in dict.fromkeys(name for names in selections for name in names):
        parts[name] = _hash_column(batch.column(name), COLUMNS[name].dtype)
    return tuple(_fold([part for name in names for part in parts[name]]) for names in selections)


def _fold(parts: Sequence[Hashes]) -> Hashes:
    """One hash of several for each row. Each place has its own multiplier, so that their order matters."""
    places = 2 * np.arange(len(parts), dtype=np.uint64) + np.uint64(1)
    with np.errstate(over="ignore"):
        total = _mix(_mix(np.stack(parts) * places[:, None]).sum(axis=0))
    total[total == NO_HASH] = 1
    return total


def hash_texts(array: pa.Array) -> Hashes:
    """uint64 (rows,) from strings: of each text alone, whatever stands beside it.

    Null has a hash of its own. Texts of up to `_SHORT_BYTES` bytes are hashed all at once, eight bytes at a time;
    longer ones, once for each spelling, by BLAKE2.
    """
    if array.null_count == len(array):
        return np.full(len(array), _NULL)
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    hashes = np.full(len(array), _NULL)
    present = array.drop_null() if array.null_count else array
    lengths = pc.binary_length(present).to_numpy()
    short = lengths <= _SHORT_BYTES
    found = np.empty(len(present), np.uint64)
    found[short] = _hash_short(present if short.all() else present.filter(pa.array(short)), lengths[short])
    if not short.all():
        encoded = present.filter(pa.array(~short)).dictionary_encode()
        words = [_hash_long(text) for text in encoded.dictionary.cast(pa.binary()).to_pylist()]
        found[~short] = np.array(words, np.uint64)[encoded.indices.to_numpy()]
    hashes[valid] = found
    return hashes


def _hash_short(array: pa.Array, lengths: NDArray[np.int32]) -> Hashes:
    """Of texts without nulls. Zeros behind a text add nothing: the hash does not depend on the longest beside it."""
    if len(array) == 0:
        return np.zeros(0, np.uint64)
    _, offsets, data = array.buffers()
    starts = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array)]
    width = -(-int(lengths.max()) // 8) * 8 or 8
    places = np.arange(width)
    letters = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    matrix = letters[np.minimum(starts[:, None] + places, len(letters) - 1)]
    matrix[places >= lengths[:, None]] = 0
    words = matrix.view("<u8").astype(np.uint64, copy=False)
    multipliers = 2 * np.arange(words.shape[1], dtype=np.uint64) + np.uint64(1)
    with np.errstate(over="ignore"):
        total = _mix(words * multipliers).sum(axis=1) + _NULL * lengths.astype(np.uint64)
    return _mix(total)


def _hash_long(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def join_starts(digests: Sequence[bytes | None]) -> Hashes:
    """uint64 from the first 64 bits of digests; None gives `NO_HASH`, and nothing else does."""
    starts = b"".join(bytes(8) if digest is None else digest[:8] for digest in digests)
    found = np.frombuffer(starts, ">u8").astype(np.uint64)
    found[(found == NO_HASH) & np.array([digest is not None for digest in digests], np.bool_)] = 1
    return found


def _hash_column(array: pa.Array, dtype: str) -> list[Hashes]:
    if dtype == "string":
        return [hash_texts(array)]
    if dtype not in ("points", "floats"):
        return [_hash_numbers(array)]
    # Lists of one length become a matrix; of several (which the schema does not allow) they are hashed one by one.
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    present = array.is_valid().to_numpy(zero_copy_only=False)
    hashes = [np.where(present, lengths.astype(np.uint64), _NULL)]
    flat = array.flatten()
    if dtype == "points":
        inner = pc.fill_null(pc.list_value_length(flat), 0).to_numpy(zero_copy_only=False)
        if (inner != 2).any():
            return [*hashes, np.array([_hash_long(repr(value).encode()) for value in array.to_pylist()], np.uint64)]
        flat, lengths = flat.flatten(), lengths * 2
    width = int(lengths.max(initial=0))
    if width == 0:
        return hashes
    if (lengths[present] != width).any():
        return [*hashes, np.array([_hash_long(repr(value).encode()) for value in array.to_pylist()], np.uint64)]
    matrix = np.full((len(array), width), _NULL)
    matrix[present] = _hash_numbers(flat).reshape(-1, width)
    return [*hashes, _fold(list(matrix.T))]


def _hash_numbers(array: pa.Array) -> Hashes:
    if array.null_count == len(array):
        return np.full(len(array), _NULL)
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    values: NDArray[Any] = pc.fill_null(array, False if pa.types.is_boolean(array.type) else 0).to_numpy(
        zero_copy_only=False
    )
    if values.dtype.kind == "f":
        bits = values.view(f"u{values.dtype.itemsize}").astype(np.uint64)
        # NaN has many spellings, and means one thing.
        bits[np.isnan(values)] = 0x7FF8_0000_0000_0000
    else:
        bits = values.astype(np.int64).view(np.uint64)
    return np.where(valid, _mix(bits), _NULL)


def _mix(values: Hashes) -> Hashes:
    """The finalizer of splitmix64. Source: Steele, Lea and Flood 2014, as in the public-domain code of Vigna."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return values ^ (values >> np.uint64(31))
