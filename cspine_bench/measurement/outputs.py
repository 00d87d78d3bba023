"""The folder of an evaluation: result, rows and page, each written whole or not at all, the result last.

OUT/fidelity.json               the result: what a policy, a card or a report reads
OUT/fidelity.samples.parquet    a row for each radiograph
OUT/fidelity.html               the page that a reviewer reads
OUT/.fidelity.work/             finished parts of a measurement that is not done yet
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cspine_bench.errors import DataError
from cspine_bench.measurement.work import Work
from cspine_bench.results import Input, Result, load_result, render_result


@dataclass(frozen=True)
class Evidence:
    """What a measurement gives.

    Attributes:
        result: figures and verdict.
        rows: one for each radiograph that was looked at.
        page: self-contained HTML.
        papers: other files by how their names end, such as `.csv`: the same figures for other readers.
    """

    result: Result
    rows: pa.Table
    page: bytes
    papers: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """What is measured: equal questions have equal answers.

    Attributes:
        measure: `fidelity`, `memorization`, `baseline-landmarking`.
        measure_version: raised when the same inputs would give other figures.
        inputs: the sides.
        settings: JSON of all that figures depend on besides the inputs.
        seed: of every random draw.
    """

    measure: str
    measure_version: str
    inputs: tuple[Input, ...]
    settings: Mapping[str, Any]
    seed: int

    def is_answered_by(self, result: Result) -> bool:
        """Whether a result is of this very question."""
        told = (result.measure, result.measure_version, result.inputs, result.settings, result.seed)
        return told == (self.measure, self.measure_version, self.inputs, dict(self.settings), self.seed)

    def describe(self) -> dict[str, Any]:
        """JSON of it, to key parts of the work by."""
        return {
            "measure": self.measure,
            "measure_version": self.measure_version,
            "inputs": [item.model_dump(mode="json") for item in self.inputs],
            "settings": dict(self.settings),
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Outputs:
    """Where the answer to a question goes."""

    folder: Path
    question: Question

    @property
    def result(self) -> Path:
        """The result file, written last."""
        return self.folder / f"{self.question.measure}.json"

    @property
    def rows(self) -> Path:
        """The table of radiographs."""
        return self.folder / f"{self.question.measure}.samples.parquet"

    @property
    def page(self) -> Path:
        """The page."""
        return self.folder / f"{self.question.measure}.html"

    @property
    def work(self) -> Path:
        """Finished parts."""
        return self.folder / f".{self.question.measure}.work"

    def open_work(self) -> Work:
        """Finished parts that an earlier run of this question left, and place for new ones.

        Raises:
            OSError: the folder cannot be written: said now, and not after hours of work.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        return Work(self.work, self.question.describe())

    def find_answer(self, *, overwrite: bool) -> Result | None:
        """The answer, if an earlier run gave it.

        Raises:
            DataError: an answer to another question lies there, and `overwrite` is False.
        """
        if not self.result.exists():
            if self.folder.exists() and not self.folder.is_dir():
                raise DataError(f"{self.folder}: is a file; name a folder for the result")
            return None
        try:
            found = load_result(self.result)
        except DataError as error:
            if overwrite:
                return None
            raise DataError(f"{error}; or --overwrite to replace it") from error
        if self.question.is_answered_by(found) and self.rows.exists() and self.page.exists():
            return found
        if overwrite or self.question.is_answered_by(found):
            return None
        raise DataError(
            f"{self.result}: holds the result of other data or settings; give another --out, or --overwrite to replace "
            "it"
        )

    def write(self, evidence: Evidence) -> None:
        """Write all files, each under another name first, the result last; then the work is cleared.

        Raises:
            OSError: the disk is full, or the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.result.unlink(missing_ok=True)
        draft = _draft(self.rows)
        pq.write_table(evidence.rows, draft, compression="zstd")
        draft.replace(self.rows)
        papers = {self.folder / f"{self.question.measure}{ending}": data for ending, data in evidence.papers.items()}
        for path, data in (papers | {self.page: evidence.page, self.result: render_result(evidence.result)}).items():
            draft = _draft(path)
            draft.write_bytes(data)
            draft.replace(path)
        shutil.rmtree(self.work, ignore_errors=True)


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.unfinished")
