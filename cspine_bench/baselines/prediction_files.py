"""Somebody else's predictions, read strictly: whatever is wrong with a file is said at once, with its rows.

A file that is short by one radiograph, or holds one twice, would be scored on another test set than all others.
"""

import csv
import difflib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import CSXA_LANDMARK_NAMES, LANDMARK_INDEX, LANDMARK_NAMES, MASK_LABELS
from cspine_bench.errors import DataError
from cspine_bench.imaging.png import decode_png

SUM_TOLERANCE: Final = 1e-3
"""Probabilities of a radiograph add up to 1 to within this: what rounding to four digits does."""
MOST_PX: Final = 1e6
"""No image is as large: farther out, squares of coordinates are no numbers any more."""
_SHOWN: Final = 3
_LONGEST: Final = 120
_GUIDE: Final = "docs/how-to/submit-predictions.md"


@dataclass(frozen=True)
class _Table:
    """Columns of a file, and how its rows are called: `line 2` of a CSV file, `row 1` of a Parquet file."""

    columns: dict[str, list[Any]]
    rows: list[str]

    def iter_rows(self, names: Sequence[str]) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """(name of the row, its values of some columns)."""
        yield from zip(self.rows, zip(*(self.columns[name] for name in names), strict=True), strict=True)


@dataclass
class _Faults:
    """What is wrong with a file, by kind, in the order in which it was met."""

    path: Path
    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, example: str) -> None:
        self.found.setdefault(kind, []).append(example)

    def check_ids(self, given: set[str], wanted: Sequence[str]) -> None:
        """Ids that the split has and the file lacks, and the other way round."""
        for sample_id in wanted:
            if sample_id not in given:
                self.add("sample ids of the split are missing", sample_id)
        for sample_id in sorted(given - set(wanted)):
            self.add("sample ids are not in the split", sample_id)

    def stop(self) -> None:
        """Stop if anything was found.

        Raises:
            DataError: names each kind with its count and its first cases.
        """
        if not self.found:
            return
        told = []
        for kind, examples in self.found.items():
            more = f" and {len(examples) - _SHOWN:,} more" if len(examples) > _SHOWN else ""
            shown = ", ".join(_shorten(example) for example in examples[:_SHOWN])
            told.append(f"{kind} ({len(examples):,}): {shown}{more}")
        raise DataError(f"{self.path}: cannot be scored; {'; '.join(told)}. Mend it and submit it again: {_GUIDE}")


def read_landmark_file(path: Path, sample_ids: Sequence[str]) -> NDArray[np.float64]:
    """Landmarks from a CSV or Parquet file with the columns `sample_id`, `landmark`, `x`, `y`: a row for each.

    Args:
        path: the file.
        sample_ids: (n,), of the split.

    Returns:
        float64 (n, 23, 2), as they stand in the file: px of the dataset's images, all finite.

    Raises:
        DataError: the file cannot be read, or columns, ids, names or numbers are wrong; names rows and counts.
    """
    names = ("sample_id", "landmark", "x", "y")
    table = _read_table(path, names)
    faults = _Faults(path)
    places = {sample_id: place for place, sample_id in enumerate(sample_ids)}
    points = np.full((len(sample_ids), len(LANDMARK_NAMES), 2), np.nan)
    seen: dict[tuple[str, str], str] = {}
    given = set()
    for row, (sample_id, landmark, *numbers) in table.iter_rows(names):
        given.add(str(sample_id))
        if not isinstance(landmark, str) or landmark not in LANDMARK_INDEX:
            faults.add("landmark names are unknown", f"{row}: {landmark!r}{_hint_landmark(landmark)}")
        elif (earlier := seen.setdefault((str(sample_id), landmark), row)) != row:
            faults.add("landmarks stand there twice", f"{row}: {landmark} of {sample_id}, as in {earlier}")
        xy = [_read_number(text) for text in numbers]
        for name, text, number in zip(("x", "y"), numbers, xy, strict=True):
            if not math.isfinite(number):
                faults.add("coordinates are no finite numbers", f"{row}: {name} = {text!r}")
            elif abs(number) > MOST_PX:
                faults.add(f"coordinates are beyond {MOST_PX:,.0f} px", f"{row}: {name} = {text!r}")
        if (place := places.get(str(sample_id))) is not None and str(landmark) in LANDMARK_INDEX:
            points[place, LANDMARK_INDEX[str(landmark)]] = xy
    faults.check_ids(given, sample_ids)
    for sample_id in sample_ids:
        absent = [name for name in LANDMARK_NAMES if (sample_id, name) not in seen]
        if absent and sample_id in given:
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            faults.add("radiographs lack landmarks", f"{sample_id} lacks {absent[0]}{more}")
    faults.stop()
    return points


def read_probability_file(path: Path, sample_ids: Sequence[str], classes: Sequence[str]) -> NDArray[np.float64]:
    """Probabilities from a CSV or Parquet file with the column `sample_id` and one for each class.

    Args:
        path: the file.
        sample_ids: (n,), of the split.
        classes: (C,), names of the task's classes.

    Returns:
        float64 (n, C), each row 0..1 with the sum 1 to the last digit.

    Raises:
        DataError: the file cannot be read, or columns, ids or numbers are wrong; names rows and counts.
    """
    names = ("sample_id", *classes)
    table = _read_table(path, names)
    faults = _Faults(path)
    places = {sample_id: place for place, sample_id in enumerate(sample_ids)}
    probabilities = np.full((len(sample_ids), len(classes)), np.nan)
    seen: dict[str, str] = {}
    for row, (sample_id, *texts) in table.iter_rows(names):
        if (earlier := seen.setdefault(str(sample_id), row)) != row:
            faults.add("sample ids stand there twice", f"{row}: {sample_id}, as in {earlier}")
        numbers = [_read_number(text) for text in texts]
        odd = [(name, text) for name, text, one in zip(classes, texts, numbers, strict=True) if not 0 <= one <= 1]
        for name, text in odd:
            faults.add("probabilities are no numbers from 0 to 1", f"{row}: {name} = {text!r}")
        total = math.fsum(numbers)
        if not odd and abs(total - 1) > SUM_TOLERANCE:
            faults.add("rows of probabilities do not add up to 1", f"{row}: {sample_id} has {total:.6g}")
        if (place := places.get(str(sample_id))) is not None and total > 0:
            probabilities[place] = np.array(numbers) / total
    faults.check_ids(set(seen), sample_ids)
    faults.stop()
    return probabilities


def read_mask_files(
    path: Path, sample_ids: Sequence[str], sizes: Sequence[tuple[int, int]]
) -> tuple[NDArray[np.uint8], ...]:
    """Label masks from a folder of `SAMPLE_ID.png`, or from a Parquet file with the columns `sample_id` and `mask`.

    Args:
        path: the folder or file. A mask is a gray PNG of 8 bits: 0 background, 1..7 = C1..C7, 8 = T1.
        sample_ids: (n,), of the split.
        sizes: (n,), (height, width) of its images, px.

    Returns:
        (n,), uint8 (height, width) of label ids.

    Raises:
        DataError: it cannot be read, or ids, sizes or label ids are wrong; names files or rows and counts.
    """
    faults = _Faults(path)
    _require_there(path)
    if path.is_dir():
        files = {one.stem: one for one in sorted(path.iterdir()) if not one.name.startswith(".")}
        for one in sorted(path.iterdir()):
            if not one.name.startswith(".") and one.suffix != ".png":
                faults.add("files are no PNG", one.name)
        faults.check_ids({stem for stem, one in files.items() if one.suffix == ".png"}, sample_ids)
        faults.stop()
        named = {sample_id: (files[sample_id].name, files[sample_id].read_bytes) for sample_id in sample_ids}
    else:
        named = _index_masks(path, sample_ids, faults)
    masks = []
    for sample_id, (height, width) in zip(sample_ids, sizes, strict=True):
        name, read = named[sample_id]
        mask = _decode_mask(read(), name, faults)
        if mask is not None and mask.shape != (height, width):
            found = f"{name}: {mask.shape[1]} x {mask.shape[0]} px, the image has {width} x {height}"
            faults.add("masks have another size than their images", found)
        masks.append(mask)
    faults.stop()
    return tuple(mask for mask in masks if mask is not None)


def _index_masks(path: Path, sample_ids: Sequence[str], faults: _Faults) -> dict[str, tuple[str, Callable[[], bytes]]]:
    """(name of the row, its bytes) of each mask of a Parquet file by sample id."""
    if path.suffix == ".csv":
        raise DataError(f"{path}: masks come as a folder of PNG files or as Parquet; see {_GUIDE}")
    named: dict[str, tuple[str, Callable[[], bytes]]] = {}
    for row, (given, data) in _read_table(path, ("sample_id", "mask")).iter_rows(("sample_id", "mask")):
        sample_id = str(given)
        if sample_id in named:
            faults.add("sample ids stand there twice", f"{row}: {sample_id}, as in {named[sample_id][0].split(':')[0]}")
            continue
        # As `datasets` writes an image column: its bytes beside its file name.
        data = data.get("bytes") if isinstance(data, dict) else data
        if not isinstance(data, bytes):
            faults.add("masks are no bytes", f"{row}: {sample_id} holds {type(data).__name__}")
        named[sample_id] = (f"{row}: {sample_id}", lambda data=data: data)  # type: ignore[misc]
    faults.check_ids(set(named), sample_ids)
    faults.stop()
    return named


def _decode_mask(data: bytes, name: str, faults: _Faults) -> NDArray[np.uint8] | None:
    try:
        mask = decode_png(data, where=name)
    except DataError as error:
        faults.add("masks are no gray PNG of 8 or 16 bits", str(error).partition(";")[0])
        return None
    if mask.dtype != np.uint8:
        faults.add("masks have 16 bits, not 8", name)
        return None
    highest = max(MASK_LABELS.values())
    if odd := [int(value) for value in np.unique(mask) if value > highest]:
        faults.add(f"masks hold label ids above {highest} (T1)", f"{name}: {odd[0]}")
    return mask


def _read_table(path: Path, names: Sequence[str]) -> _Table:
    """A CSV or Parquet file with exactly these columns, in any order."""
    _require_there(path)
    if path.suffix == ".csv":
        table = _read_csv(path)
    elif path.suffix == ".parquet":
        try:
            _require_once(path, pq.read_schema(path).names)
            columns = pq.read_table(path).to_pydict()
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path}: cannot be read as Parquet ({error}); write it again") from error
        count = len(next(iter(columns.values()), []))
        table = _Table(columns, [f"row {number}" for number in range(1, count + 1)])
    else:
        raise DataError(f"{path}: ends neither in .csv nor in .parquet; see {_GUIDE}")
    there = list(table.columns)
    if set(there) != set(names):
        missing = [name for name in names if name not in there]
        extra = [name for name in there if name not in names]
        said = [f"lacks {', '.join(missing)}"] if missing else []
        said += [f"has {_shorten(', '.join(map(repr, extra)))}, which nobody asked for"] if extra else []
        commas = "separate them by commas, " if len(there) == 1 and {";", "\t", "|"} & set(there[0]) else ""
        raise DataError(
            f"{path}: its columns are wrong: it {' and '.join(said)}; {commas}name them {', '.join(names)}; see "
            f"{_GUIDE}"
        )
    return table


def _require_once(path: Path, names: Sequence[str]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path}: names a column twice ({_shorten(', '.join(twice))}); name each once")


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _require_there(path: Path) -> None:
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; check the path")


def _read_csv(path: Path) -> _Table:
    faults = _Faults(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            rows, lines = [], []
            for cells in reader:
                if len(cells) == len(header):
                    rows.append(cells)
                    lines.append(f"line {reader.line_num}")
                elif cells:
                    faults.add(f"lines do not have the header's {len(header)} values", f"line {reader.line_num}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV in UTF-8 ({error}); write it again") from error
    _require_once(path, header)
    faults.stop()
    return _Table({name: [cells[place] for cells in rows] for place, name in enumerate(header)}, lines)


def _read_number(value: Any) -> float:
    """A number, or NaN for what is none."""
    if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _hint_landmark(name: Any) -> str:
    if name in CSXA_LANDMARK_NAMES:
        return f" (here it is {LANDMARK_NAMES[CSXA_LANDMARK_NAMES.index(name)]})"
    near = difflib.get_close_matches(str(name), LANDMARK_NAMES, n=1)
    return f" (did you mean {near[0]}?)" if near else ""
