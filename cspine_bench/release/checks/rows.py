"""The checks that every row passes, whichever archive it comes from: a batch of rows at a time, a column at a time.

Per-row Python is left for what cannot be had otherwise: hashes and chunks of the PNG files (`images`).
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cspine_bench.anatomy.alignment import cci_percent, cobb_c2_c7_deg, sva_px
from cspine_bench.anatomy.classes import FACINGS
from cspine_bench.anatomy.landmarks import LANDMARK_NAMES, NUM_LANDMARKS
from cspine_bench.dataset.encode import MARK_OF_KIND
from cspine_bench.release.checks.images import ImageCheck, ImageColumns
from cspine_bench.release.checks.private_text import find_private_text
from cspine_bench.release.checks.record_values import find_value_faults
from cspine_bench.release.checks.row_keys import (
    ID_TYPE,
    NO_HASH,
    ORIGIN_COLUMNS,
    VALUE_COLUMNS,
    RowKeys,
    hash_rows,
    hash_texts,
)
from cspine_bench.release.rules import MOST_IDS, Level, Tally
from cspine_bench.schema import DIGITAL_SOURCE_TYPES

Bools = NDArray[np.bool_]

_ALIGNMENT_TOLERANCE: Final = 1e-4
"""Relative and absolute: float32 values, computed by another numpy perhaps, differ in their last digits."""
_IMAGE_COLUMNS: Final = tuple(name for name in ImageColumns.__dataclass_fields__)


@dataclass(frozen=True)
class ShardTask:
    """One shard to check.

    Args:
        root: folder of the release or mirror.
        name: path of the shard inside it.
        split: that its rows belong to.
        level: how much is looked at.
        num_rows: rows that dataset.json or mirror.json lists, None: it is not known.
        fingerprint: that a Parquet shard's footer names, None: it is not known.
        run_ids: known to provenance/release.json, None: it is not known.
    """

    root: str
    name: str
    split: str
    level: Level
    num_rows: int | None = None
    fingerprint: str | None = None
    run_ids: frozenset[str] | None = None


class RowCheck:
    """Checks the rows of one shard, batch after batch, and keeps their `RowKeys`."""

    def __init__(self, task: ShardTask, tally: Tally) -> None:
        self._task = task
        self._tally = tally
        self._images = ImageCheck(task.name, task.level, tally)
        self._parts: list[RowKeys] = []

    @property
    def keys(self) -> RowKeys:
        """Of all rows so far."""
        return RowKeys.join(self._parts)

    def check(
        self, batch: pa.RecordBatch, images: Sequence[memoryview | None], masks: Sequence[memoryview | None]
    ) -> None:
        """Check some rows.

        Args:
            batch: all columns but the pixels, as `build_arrow_schema` types them.
            images: PNG bytes of each row, None where there are none.
            masks: the same of the masks.

        Raises:
            pa.ArrowException: the batch is damaged: text that is no UTF-8, or offsets that lead out of it.
        """
        batch.validate(full=True)
        ids = ["" if text is None else text for text in batch.column("sample_id").to_pylist()]
        report = _Report(self._tally, self._task.name, ids)
        report.add("REC-01", np.array([image is None for image in images], np.bool_), "image is null")
        for name in VALUE_COLUMNS:
            self._check_values(name, batch.column(name), report)
        self._check_origin(batch, report)
        for bad, text in find_private_text(batch):
            report.add("PRIV-02", bad, text)
        points = _landmarks(batch.column("landmarks_xy"))
        _check_inside(points, batch, report)
        if self._task.level == "full":
            _check_alignment(points, batch, report)
        columns = ImageColumns(ids, *(batch.column(name).to_pylist() for name in _IMAGE_COLUMNS[1:]))
        hashes = self._images.check(columns, images, masks)
        values, origins = hash_rows(batch, VALUE_COLUMNS, ORIGIN_COLUMNS)
        origins[_bools(batch.column("seed").is_null())] = NO_HASH
        self._parts.append(
            RowKeys(
                np.array([text.encode()[: ID_TYPE.itemsize] for text in ids], ID_TYPE),
                values,
                *hashes,
                hash_texts(batch.column("group_id")),
                origins,
            )
        )

    def _check_values(self, name: str, array: pa.Array, report: "_Report") -> None:
        for bad, allowed in find_value_faults(name, array):
            report.add("REC-01", bad, functools.partial(_describe_value, name, array, allowed))

    def _check_origin(self, batch: pa.RecordBatch, report: "_Report") -> None:
        kinds, terms, synthetic = (batch.column(name) for name in ("source_kind", "digital_source_type", "synthetic"))
        bad = ~_bools(synthetic)
        made = np.zeros(len(batch), np.bool_)
        for kind, mark in MARK_OF_KIND.items():
            if mark != "captured":
                expected = DIGITAL_SOURCE_TYPES[mark]
                made |= _bools(pc.and_(pc.equal(kinds, kind), pc.equal(terms, expected)))
        report.add(
            "REC-04",
            bad | ~made,
            lambda row: f"source_kind {kinds[row]}, synthetic {synthetic[row]}, {terms[row]}: not a synthetic image",
        )
        splits = batch.column("split")
        report.add(
            "REC-08",
            ~_bools(pc.equal(splits, self._task.split)),
            lambda row: f"the row says {splits[row]}, the shard is {self._task.split}",
        )
        if self._task.run_ids is not None:
            runs = batch.column("run_id")
            known = _bools(pc.is_in(runs, value_set=pa.array(sorted(self._task.run_ids), pa.string())))
            report.add(
                "REC-05",
                ~known & _bools(runs.is_valid()),
                lambda row: f"run {runs[row]} is not in provenance/release.json",
            )


@dataclass(frozen=True)
class _Report:
    """Turns rows at fault into findings."""

    tally: Tally
    where: str
    ids: Sequence[str]

    def add(self, code: str, bad: Bools, text: str | Callable[[int], str]) -> None:
        rows = np.flatnonzero(bad)
        for row in rows[:MOST_IDS].tolist():
            found = text if isinstance(text, str) else text(row)
            self.tally.add(code, self.where, f"{self.ids[row]}: {found}", self.ids[row])
        if len(rows) > MOST_IDS:
            self.tally.add(code, self.where, "", count=len(rows) - MOST_IDS)


def _landmarks(array: pa.Array) -> NDArray[np.float32]:
    """float32 (rows, 23, 2), NaN where a row has another number of points, which REC-01 reports."""
    points = np.full((len(array), NUM_LANDMARKS, 2), np.nan, np.float32)
    right = _bools(pc.equal(pc.list_value_length(array), NUM_LANDMARKS))
    inner = array.filter(pa.array(right)).flatten()
    if not _bools(pc.equal(pc.list_value_length(inner), 2)).all():
        return points
    values = inner.flatten().to_numpy(zero_copy_only=False)
    points[right] = values.astype(np.float32).reshape(-1, NUM_LANDMARKS, 2)
    return points


def _check_inside(points: NDArray[np.float32], batch: pa.RecordBatch, report: _Report) -> None:
    size = np.stack([_numbers(batch.column(name)) for name in ("width", "height")], axis=-1)[:, None, :]
    x_missing, y_missing = np.isnan(points[..., 0]), np.isnan(points[..., 1])
    # (0, 0) is the centre of the first pixel, so the image reaches half a pixel further on every side.
    inside = ((points >= -0.5) & (points <= size - 0.5)).all(axis=-1)
    bad = (x_missing != y_missing) | (~inside & ~x_missing & ~y_missing)

    def describe(row: int) -> str:
        index = int(np.argmax(bad[row]))
        x, y = points[row, index]
        columns, rows = size[row, 0]
        return f"{LANDMARK_NAMES[index]} is at ({x:.2f}, {y:.2f}), the image has {columns:.0f} x {rows:.0f} px"

    report.add("LAB-01", bad.any(axis=1), describe)


def _check_alignment(points: NDArray[np.float32], batch: pa.RecordBatch, report: _Report) -> None:
    facing = _numbers(batch.column("facing"))
    spacing_mm = _numbers(batch.column("pixel_spacing_mm"))
    wide = points.astype(np.float64)
    expected = {name: np.full(len(batch), np.nan) for name in ("cobb_c2_c7_deg", "sva_mm", "cci_percent")}
    with np.errstate(all="ignore"):  # Points far outside are LAB-01's to report.
        for index, label in enumerate(FACINGS):
            found = {
                "cobb_c2_c7_deg": cobb_c2_c7_deg(wide, facing=label),
                "sva_mm": sva_px(wide, facing=label) * spacing_mm,
                "cci_percent": cci_percent(wide, facing=label),
            }
            for name, values in found.items():
                expected[name][facing == index] = values[facing == index]
        for name, values in expected.items():
            rounded = values.astype(np.float32).astype(np.float64)
            rounded[~np.isfinite(rounded)] = np.nan
            stored = _numbers(batch.column(name))
            near = np.isclose(stored, rounded, rtol=_ALIGNMENT_TOLERANCE, atol=_ALIGNMENT_TOLERANCE, equal_nan=True)
            report.add("LAB-03", ~near, functools.partial(_describe_alignment, name, stored, rounded))


def _describe_value(name: str, array: pa.Array, allowed: str, row: int) -> str:
    return f"{name} is {array[row].as_py()!r:.80}; allowed: {allowed}"


def _describe_alignment(name: str, stored: NDArray[np.float64], expected: NDArray[np.float64], row: int) -> str:
    return f"{name} is {stored[row]:.6g}, the landmarks give {expected[row]:.6g}"


def _numbers(array: pa.Array) -> NDArray[np.float64]:
    """As float64; null is NaN."""
    result: NDArray[Any] = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return result.astype(np.float64)


def _bools(array: pa.Array) -> Bools:
    """As numpy; null is False."""
    filled = pc.fill_null(array, False) if array.null_count else array
    return np.array(filled.to_numpy(zero_copy_only=False), np.bool_)
