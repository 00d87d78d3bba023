"""Rows of a WebDataset mirror: the JSON of many samples as the columns that a Parquet shard would give."""

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from cspine_bench.provenance import canonical_json
from cspine_bench.release.checks.row_keys import VALUE_COLUMNS
from cspine_bench.release.rules import Tally
from cspine_bench.schema import COLUMNS, INT64_MAX, build_arrow_schema

MAX_JSON_BYTES: Final = 1_000_000

_NAMES: Final = frozenset(VALUE_COLUMNS)
_WHOLE: Final = {"int8": 2**7 - 1, "int32": 2**31 - 1, "int64": INT64_MAX}
_FRACTIONS: Final = frozenset(("float32", "float64"))
_LISTS: Final = frozenset(("points", "floats"))
_SCHEMA: Final = build_arrow_schema()


class JsonRows:
    """Reads the JSON members of one archive; what cannot become a row is reported, and left out."""

    def __init__(self, where: str, tally: Tally) -> None:
        self._where = where
        self._tally = tally

    def parse(self, key: str, data: bytes) -> dict[str, Any] | None:
        """Values of one sample, after REC-02: every key and no other, in the one spelling of canonical JSON.

        Args:
            key: of the sample, for messages.
            data: the member's bytes.

        Returns:
            Values by column; None where they cannot be had.
        """
        if len(data) > MAX_JSON_BYTES:
            self._add(key, f"its JSON has {len(data):,} bytes; at most {MAX_JSON_BYTES:,} are allowed")
            return None
        try:
            values = json.loads(data)
            same = canonical_json(values).encode() == data
        except (ValueError, RecursionError) as error:
            self._add(key, f"its JSON cannot be read, or holds NaN ({str(error)[:120]})")
            return None
        if not isinstance(values, dict):
            self._add(key, f"its JSON is a {type(values).__name__}; an object is expected")
            return None
        if absent := sorted(_NAMES - values.keys()):
            self._add(key, f"its JSON lacks {', '.join(absent)[:200]}")
            return None
        if extra := sorted(values.keys() - _NAMES):
            self._add(key, f"its JSON has keys that the schema does not know: {', '.join(extra)[:200]}")
        elif not same:
            self._add(key, "its JSON is spelled otherwise than sorted, compact and without doubled keys")
        return values

    def build(self, keys: Sequence[str], rows: Sequence[dict[str, Any]]) -> tuple[pa.RecordBatch, list[int]]:
        """Columns of several samples.

        Args:
            keys: of the samples, for messages.
            rows: as `parse` gives them.

        Returns:
            The columns `VALUE_COLUMNS`, as `build_arrow_schema` types them, of the rows whose values are all of the
            right type; and which rows these are.
        """
        columns = {name: [row[name] for row in rows] for name in VALUE_COLUMNS}
        bad: set[int] = set()
        for name, values in columns.items():
            for index, text in self._find_type_faults(name, values, keys):
                self._tally.add("REC-01", self._where, f"{keys[index]}: {name} {text}", keys[index])
                bad.add(index)
        kept = [index for index in range(len(rows)) if index not in bad]
        arrays = []
        for name, values in columns.items():
            picked = [values[index] for index in kept] if bad else values
            arrays.append(_build_array(name, picked))
        return pa.RecordBatch.from_arrays(arrays, names=list(VALUE_COLUMNS)), kept

    def _find_type_faults(self, name: str, values: list[Any], keys: Sequence[str]) -> Iterator[tuple[int, str]]:
        """Rows whose value is of another type; whole numbers for fractions are reported as REC-02 on the way."""
        dtype = COLUMNS[name].dtype
        if dtype in _LISTS:
            yield from self._find_list_faults(name, values, keys)
            return
        allowed: set[type] = {type(None)}
        if dtype in _WHOLE:
            allowed.add(int)
        elif dtype in _FRACTIONS:
            allowed |= {float, int}
        else:
            allowed.add(bool if dtype == "bool" else str)
        kinds = set(map(type, values))
        if not kinds <= allowed:
            yield from ((i, f"is {v!r:.80}") for i, v in enumerate(values) if type(v) not in allowed)
        if dtype in _FRACTIONS and int in kinds:
            for index, value in enumerate(values):
                if type(value) is int:
                    self._add(keys[index], f"{name} is written as a whole number, {str(value)[:40]}")
                    if abs(value) > INT64_MAX:
                        yield index, "is too large"
        if dtype in _WHOLE and int in kinds:
            limit = _WHOLE[dtype]
            for index, value in enumerate(values):
                if type(value) is int and not -limit - 1 <= value <= limit:
                    if abs(value) > INT64_MAX:
                        self._add(keys[index], f"{name} is 2^63 or more")
                    yield index, f"is {str(value)[:40]}, beyond {dtype}"
        if dtype == "class_label":
            names = {*COLUMNS[name].names, None}
            yield from (
                (i, f"is {v!r:.80}; allowed: {', '.join(COLUMNS[name].names)} or null")
                for i, v in enumerate(values)
                if type(v) is str and v not in names
            )

    def _find_list_faults(self, name: str, values: list[Any], keys: Sequence[str]) -> Iterator[tuple[int, str]]:
        depth = 2 if COLUMNS[name].dtype == "points" else 1
        for index, value in enumerate(values):
            if value is None:
                continue
            if type(value) is not list or (depth == 2 and not set(map(type, value)) <= {list}):
                yield index, f"is {value!r:.80}; lists of numbers are expected"
                continue
            kinds = set(map(type, itertools.chain.from_iterable(value) if depth == 2 else value))
            # A point that was not labelled is [null, null]; elsewhere null is no number.
            if not kinds <= ({float, int, type(None)} if depth == 2 else {float, int}):
                yield index, f"is {value!r:.80}; lists of numbers are expected"
            elif int in kinds:
                self._add(keys[index], f"{name} holds whole numbers")

    def _add(self, key: str, text: str) -> None:
        self._tally.add("REC-02", self._where, f"{key}: {text}", key)


def _build_array(name: str, values: list[Any]) -> pa.Array:
    column, arrow_type = COLUMNS[name], _SCHEMA.field(name).type
    if column.dtype == "class_label":
        numbers = {label: index for index, label in enumerate(column.names)} | {None: None}
        return pa.array([numbers[label] for label in values], arrow_type)
    if column.dtype in _FRACTIONS:
        return pa.array([None if value is None else float(value) for value in values], pa.float64()).cast(
            arrow_type, safe=False
        )
    if column.dtype == "floats":
        return pa.array([None if row is None else list(map(_as_float, row)) for row in values], arrow_type)
    if column.dtype == "points":
        return _build_points(values, arrow_type)
    return pa.array(values, arrow_type)


def _build_points(values: list[Any], arrow_type: pa.DataType) -> pa.Array:
    lengths = [0 if row is None else len(row) for row in values]
    pairs = [point for row in values if row is not None for point in row]
    items = list(itertools.chain.from_iterable(pairs))
    try:
        flat = np.array(items, np.float64)  # None becomes NaN.
    except OverflowError:
        flat = np.array([None if item is None else _as_float(item) for item in items], np.float64)
    with np.errstate(over="ignore"):
        numbers = pa.array(flat.astype(np.float32))
    inner = pa.ListArray.from_arrays(_offsets(list(map(len, pairs))), numbers)
    missing = pa.array([row is None for row in values], pa.bool_())
    return pa.ListArray.from_arrays(_offsets(lengths), inner, mask=missing).cast(arrow_type)


def _offsets(lengths: list[int]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int32))


def _as_float(value: float) -> float:
    """A whole number of any length as a fraction; infinite where it is too large for one."""
    try:
        return float(value)
    except OverflowError:
        return float("inf")
