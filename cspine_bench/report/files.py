"""The result files that a report is made of: found, read, and told apart from what is none."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cspine_bench.errors import DataError
from cspine_bench.provenance import sha256_bytes
from cspine_bench.results import Result, parse_result, render_result

_ORDER: Final = ("fidelity", "memorization", "baseline-", "reader-study", "study-power")
"""Measures in the order of the report; others come after them."""
_LIKE_A_RESULT: Final = {"schema_version", "measure", "figures"}
"""Keys of what was meant to be a result, so that a broken one is never passed over."""


@dataclass(frozen=True)
class ResultFile:
    """A result with the file that it stands in.

    Attributes:
        key: `r1`, `r2` ... in the order of the report: what numbers of the page point to.
        path: of the file.
        result: its content.
        sha256: of its bytes.
        canonical: whether the bytes are those that this version of the toolkit writes for this content.
    """

    key: str
    path: Path
    result: Result = field(repr=False)
    sha256: str
    canonical: bool

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name

    @property
    def number(self) -> str:
        """What a superscript says: 1, 2 ..."""
        return self.key[1:]

    @property
    def page(self) -> Path | None:
        """The measure's own page, where it lies beside."""
        path = self.path.with_suffix(".html")
        return path if path.is_file() else None

    @property
    def rows(self) -> Path | None:
        """The rows of single images or answers, where they lie beside."""
        path = self.path.with_suffix(".samples.parquet")
        return path if path.is_file() else None

    def digests(self, role: str) -> list[str]:
        """Manifest digests of the datasets of one role."""
        return [item.digest for item in self.result.inputs if item.role == role]


@dataclass(frozen=True)
class Collected:
    """What was found: results in the order of the report, and files that were passed over, with why."""

    files: tuple[ResultFile, ...]
    ignored: tuple[tuple[Path, str], ...]


def collect_results(paths: Sequence[Path]) -> Collected:
    """Read result files, and those that lie in folders.

    Args:
        paths: files; or folders, whose own `*.json` are looked at, and no folder inside them.

    Returns:
        Each file once, however often it was named.

    Raises:
        DataError: nothing was named or found; a named file is no result; a file in a folder means to be one and is
            broken; or two files hold the same measure of the same datasets.
    """
    read: dict[Path, tuple[Result, bytes]] = {}
    ignored: dict[Path, str] = {}
    for path in paths:
        for file, named in _list_files(path):
            if file.resolve() in {known.resolve() for known in read}:
                continue
            data = _read_bytes(file)
            why = "" if named else _tell_stranger(data)
            if why:
                ignored[file] = why
            else:
                read[file] = (parse_result(data, where=str(file)), data)
    if not read:
        raise DataError(_say_nothing_found(paths, len(ignored)))
    ordered = sorted(read.items(), key=lambda item: (_place(item[1][0]), item[0].name, sha256_bytes(item[1][1])))
    files = tuple(
        ResultFile(f"r{number}", path, result, sha256_bytes(data), render_result(result) == data)
        for number, (path, (result, data)) in enumerate(ordered, start=1)
    )
    _refuse_twins(files)
    return Collected(files, tuple(sorted(ignored.items())))


def _list_files(path: Path) -> list[tuple[Path, bool]]:
    """(file, whether it was named itself)."""
    if not path.is_dir():
        return [(path, True)]
    return [(file, False) for file in sorted(path.glob("*.json")) if file.is_file()]


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _tell_stranger(data: bytes) -> str:
    """Why a file of a folder is no result; "" where it is one, or means to be one."""
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return "not JSON"
    if isinstance(values, dict) and set(values) >= _LIKE_A_RESULT:
        return ""
    return "no result of a measure"


def _say_nothing_found(paths: Sequence[Path], num_ignored: int) -> str:
    if not paths:
        return (
            "no result was named; give result files of any measure (`cspine-bench evaluate`, `baseline run`, "
            "`study analyze`), or the folders that hold them"
        )
    where = ", ".join(map(str, paths))
    others = f" ({num_ignored} other JSON files were passed over)" if num_ignored else ""
    return (
        f"{where}: holds no result file{others}, and folders inside it are not searched; name the folder that the "
        "--out of `cspine-bench evaluate`, `baseline run` or `study analyze` named"
    )


def _place(result: Result) -> int:
    return next((place for place, name in enumerate(_ORDER) if result.measure.startswith(name)), len(_ORDER))


def _refuse_twins(files: Sequence[ResultFile]) -> None:
    seen: dict[tuple[str, tuple[tuple[str, str, str], ...]], ResultFile] = {}
    for file in files:
        inputs = tuple(sorted((item.role, item.name, item.digest) for item in file.result.inputs))
        key = (file.result.measure, inputs)
        if key in seen:
            raise DataError(
                f"{seen[key].path} and {file.path}: both hold the measure {file.result.measure} of the same datasets; "
                "a report that chose between them would hide one: name one of them"
            )
        seen[key] = file
