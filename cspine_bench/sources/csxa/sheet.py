"""CSXA's `datasets.xlsx`: one row per case, its columns matched loosely."""

import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from cspine_bench.anatomy.classes import Curvature, Disease, Sex
from cspine_bench.errors import DataError

Label = TypeVar("Label")

_SEXES: Final[dict[str, Sex]] = {"0": "male", "1": "female", "male": "male", "female": "female"}
_DISEASES: Final[dict[str, Disease]] = {"1": "spondylosis", "2": "healthy"}
_CURVATURES: Final[dict[str, Curvature]] = {
    "1": "lordotic",
    "2": "straight",
    "3": "sigmoid1",
    "4": "sigmoid2",
    "5": "kyphotic",
}
# Everything that openpyxl raises on a broken file.
_SHEET_ERRORS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    KeyError,
    ValueError,
    IndexError,
    SyntaxError,
    AttributeError,
    TypeError,
    NotImplementedError,
)
_HEADERS: Final = {
    "number": r"(case)?(number|no|id)$",
    "sex": r"(gender|sex)",
    "age": r"age",
    "disease": r"disease",
    "curvature": r"curvature",
    "spacing": r".*(pixel(size|spacing|equivalent|scale)|mmperpixel|mmpx|pixelmm|^spacing)",
}
_REQUIRED: Final = ("number", "sex", "age", "disease", "curvature")
_HEADER_ROWS: Final = 5
_SPACING_RANGE_MM: Final = (0.02, 2.0)
"""Outside it a number is no pixel size of a film, whatever its column is called."""


@dataclass(frozen=True, slots=True)
class SheetRow:
    """Labels of one case; None = the cell is empty or not understood (then it is in `SheetTable.remarks`)."""

    case: int
    sex: Sex | None
    age: int | None
    disease: Disease | None
    curvature: Curvature | None
    spacing_mm: float | None


@dataclass(frozen=True, slots=True)
class SheetTable:
    """The sheet by case number, the names of all its columns, the one with the pixel size, and what was odd."""

    rows: dict[int, SheetRow]
    columns: tuple[str, ...]
    spacing_column: str | None
    remarks: tuple[str, ...]


def read_sheet(data: bytes, *, where: str) -> SheetTable:
    """Read the sheet.

    Columns are found by the beginning of their header, ignoring case, spaces and signs, in the first of the first five
    rows that has them all. The pixel size is any one column that is named like "pixel size", "pixel spacing", "pixel
    equivalent", "pixel scale" or "mm per pixel"; its values count only between 0.02 and 2 mm.

    Raises:
        DataError: no Excel file, or a column other than the pixel size is missing (the message lists what is there).
    """
    # Loading it takes a third of a second, and only CSXA needs it.
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with warnings.catch_warnings():
            # openpyxl warns about styles and extensions, which hold no data.
            warnings.simplefilter("ignore")
            sheet = load_workbook(io.BytesIO(data), read_only=True, data_only=True).worksheets[0]
            # The size that a file states for itself is often wrong, and rows would be cut to it.
            sheet.reset_dimensions()
            lines = [tuple(line) for line in sheet.iter_rows(values_only=True)]
    except (InvalidFileException, *_SHEET_ERRORS) as error:
        raise DataError(f"{where}: is no whole Excel file ({error}); copy it again") from error
    start, columns, positions = _find_header(lines, where)
    remarks: list[str] = []
    rows: dict[int, SheetRow] = {}
    for line_number, line in enumerate(lines[start + 1 :], start=start + 2):
        cells = {name: line[index] if index < len(line) else None for name, index in positions.items()}
        if all(value is None for value in cells.values()):
            continue
        row = _read_row(cells, line_number, remarks)
        if row is None:
            continue
        if row.case in rows:
            remarks.append(f"row {line_number}: case {row.case} is there twice; the first row is taken")
            continue
        rows[row.case] = row
    spacing = columns[positions["spacing"]] if "spacing" in positions else None
    return SheetTable(rows=rows, columns=columns, spacing_column=spacing, remarks=tuple(remarks))


def _normalise(header: Any) -> str:
    return re.sub(r"[^a-z0-9]", "", str(header or "").lower())


def _find_header(lines: Sequence[tuple[Any, ...]], where: str) -> tuple[int, tuple[str, ...], dict[str, int]]:
    best: tuple[int, dict[str, int]] = (0, {})
    for index, line in enumerate(lines[:_HEADER_ROWS]):
        positions = dict(_match_columns(line))
        if len(positions) > len(best[1]):
            best = (index, positions)
    index, positions = best
    columns = tuple(str(cell or "").strip() for cell in lines[index]) if lines else ()
    missing = [name for name in _REQUIRED if name not in positions]
    if missing:
        there = ", ".join(repr(name) for name in columns if name) or "none"
        raise DataError(
            f"{where}: no column for {', '.join(missing)} in its first {_HEADER_ROWS} rows; it has: {there}"
        )
    return index, columns, positions


def _match_columns(line: tuple[Any, ...]) -> Iterator[tuple[str, int]]:
    headers = [_normalise(cell) for cell in line]
    for name, pattern in _HEADERS.items():
        matches = [index for index, header in enumerate(headers) if re.match(pattern, header)]
        # Two columns that could both be the pixel size: neither is taken by guess.
        if matches and (name != "spacing" or len(matches) == 1):
            yield name, matches[0]


def _read_row(cells: dict[str, Any], line_number: int, remarks: list[str]) -> SheetRow | None:
    def look_up(name: str, table: dict[str, Label]) -> Label | None:
        value = cells[name]
        found = table.get(_plain(value).lower())
        if found is None and value is not None:
            remarks.append(f"row {line_number}: {name} is {value!r}; allowed are {', '.join(table)}")
        return found

    case = _whole(cells["number"])
    if case is None:
        remarks.append(f"row {line_number}: the number is {cells['number']!r}; the row is left out")
        return None
    age = _whole(cells["age"])
    if cells["age"] is not None and (age is None or not 0 <= age <= 130):
        remarks.append(f"row {line_number}: age is {cells['age']!r}; allowed are whole years from 0 to 130")
        age = None
    spacing = cells.get("spacing")
    low, high = _SPACING_RANGE_MM
    if spacing is not None and not (isinstance(spacing, (int, float)) and low <= spacing <= high):
        remarks.append(f"row {line_number}: the pixel size is {spacing!r}; allowed are {low} to {high} mm")
        spacing = None
    return SheetRow(
        case=case,
        sex=look_up("sex", _SEXES),
        age=age,
        disease=look_up("disease", _DISEASES),
        curvature=look_up("curvature", _CURVATURES),
        spacing_mm=None if spacing is None else float(spacing),
    )


def _plain(value: Any) -> str:
    number = _whole(value)
    return str(value).strip() if number is None else str(number)


def _whole(value: Any) -> int | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() else None
