"""A table of somebody else's study, row by row: what is wrong is said with file, line, column and value."""

import csv
import difflib
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from cspine_bench.errors import DataError
from cspine_bench.provenance import sha256_bytes

_LONGEST: Final = 80
_WHOLE: Final = re.compile(r"[+-]?[0-9]+(\.0+)?")
_YES_NO: Final = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}


def name_near(name: str, known: Collection[str]) -> str:
    """`did you mean 'R1'? `, where a known name is like it; else ""."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}? " if near else ""


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        path: of the file.
        line: from 1, where the row ends.
        cells: by column, without blanks around.
    """

    path: Path
    line: int
    cells: Mapping[str, str]

    def fail(self, column: str, what: str, step: str) -> NoReturn:
        """Stop with what is wrong in a column.

        Raises:
            DataError: always.
        """
        value = self.cells.get(column, "")
        shown = value if len(value) <= _LONGEST else f"{value[:_LONGEST]} ..."
        raise DataError(f"{self.path}: line {self.line}, {column} = {shown!r}: {what}; {step}")

    def read_name(self, column: str) -> str:
        """A name of something.

        Raises:
            DataError: empty, too long, or with characters that cannot be printed.
        """
        value = self.cells[column]
        if not value:
            self.fail(column, "is empty", "fill it in, or leave out the row of a trial that was not answered")
        if len(value) > _LONGEST or not value.isprintable():
            self.fail(column, f"is no name of at most {_LONGEST} printable characters", "give a shorter or plain name")
        return value

    def read_whole(self, column: str, *, least: int, most: int | None = None, step: str) -> int:
        """A whole number; `step` says what to do about another one.

        Raises:
            DataError: not a whole number, or out of range.
        """
        value = self.cells[column]
        allowed = f"{least} or more" if most is None else f"{least} to {most}"
        if not _WHOLE.fullmatch(value):
            self.fail(column, f"is no whole number of {allowed}", step)
        number = int(value.partition(".")[0])
        if number < least or (most is not None and number > most):
            self.fail(column, f"is outside {allowed}", step)
        return number

    def read_yes_no(self, column: str) -> bool:
        """0 or 1.

        Raises:
            DataError: something else.
        """
        value = self.cells[column].lower()
        if value not in _YES_NO:
            self.fail(column, "is neither 0 nor 1", "write 1 for yes and 0 for no")
        return _YES_NO[value]

    def read_seconds(self, column: str) -> float | None:
        """A time, s; None for an empty cell.

        Raises:
            DataError: not a number of at least 0.
        """
        value = self.cells[column]
        if not value:
            return None
        try:
            number = float(value) if "_" not in value else math.nan
        except ValueError:
            number = math.nan
        if not 0 <= number < math.inf:
            self.fail(column, "is no number of seconds", "write it with a decimal point, or leave the cell empty")
        return number


@dataclass(frozen=True)
class Table:
    """A file.

    Attributes:
        path: of it.
        digest: SHA-256 of its bytes.
        rows: without the header.
        unused: columns that nobody reads.
    """

    path: Path
    digest: str
    rows: tuple[Row, ...]
    unused: tuple[str, ...]


def read_rows(path: Path, columns: Sequence[str], *, optional: Sequence[str] = ()) -> Table:
    """A CSV file in UTF-8 with commas; a byte order mark, any line ends and quotes are understood.

    Args:
        path: the file.
        columns: that it must have.
        optional: that it may have; empty cells stand for those that it lacks.

    Raises:
        DataError: it cannot be read, has no row, or its columns are wrong.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    text = _decode(data, path)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{path}: line {line} has a zero byte, so this is no CSV file; write it again as CSV in UTF-8")
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    rows: list[Row] = []
    header: list[str] = []
    try:
        header = [cell.strip() for cell in next(reader, [])]
        _check_header(path, header, columns, optional)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"{path}: line {reader.line_num} has {len(cells)} values, the header has {len(header)}; put quotes "
                    "round a value with a comma in it"
                )
            given = dict(zip(header, (cell.strip() for cell in cells), strict=True))
            rows.append(Row(path, reader.line_num, dict.fromkeys(optional, "") | given))
    except csv.Error as error:
        raise DataError(
            f"{path}: line {reader.line_num} is no CSV ({error}); look for a quote that is not closed"
        ) from error
    if not rows:
        raise DataError(f"{path}: has a header and no row; give a file with answers")
    known = {*columns, *optional}
    return Table(path, sha256_bytes(data), tuple(rows), tuple(name for name in header if name not in known))


def _decode(data: bytes, path: Path) -> str:
    if not data.strip():
        raise DataError(f"{path}: is empty; give a CSV file with a header and answers")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{data[error.start]:02x} is no UTF-8"
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            found = "it is in UTF-16"
        raise DataError(f"{path}: line {line}: {found}; save it as CSV in UTF-8") from error


def _check_header(path: Path, header: Sequence[str], columns: Sequence[str], optional: Sequence[str]) -> None:
    if len(header) == 1 and (mark := next((one for one in (";", "\t", "|") if one in header[0]), "")):
        raise DataError(
            f"{path}: line 1: values are separated by {mark!r}, not by commas; save it as CSV with commas (and decimal "
            "points)"
        )
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise DataError(f"{path}: line 1: column {twice[0]!r} is named twice; name each column once")
    unknown = [name for name in header if name not in columns and name not in optional]
    missing = [name for name in columns if name not in header]
    if missing:
        near = difflib.get_close_matches(missing[0], unknown, n=1)
        hint = f" (is it {near[0]!r}?)" if near else ""
        raise DataError(
            f"{path}: line 1: column {missing[0]!r} is missing{hint}; the columns are {', '.join(columns)}"
            f"{'; it may have: ' + ', '.join(optional) if optional else ''}"
        )
    for name in unknown:
        if near := difflib.get_close_matches(name.lower(), [one for one in optional if one not in header], n=1):
            raise DataError(f"{path}: line 1: unknown column {name!r}; did you mean {near[0]!r}? Rename or remove it")
