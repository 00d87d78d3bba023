"""Rule CARD-11: the tables of classes, labels and alignment in card and datasheet say what the rows say.

The rows are counted here anew, a column at a time, from the tables without pixels.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cspine_bench.dataset.splits import age_band
from cspine_bench.release.layout import metadata_name
from cspine_bench.release.rules import Tally
from cspine_bench.schema import COLUMNS, SPLITS

CLASSES: Final = ("curvature", "sex", "disease", "facing", "artefact", "label_source", "age")
ALIGNMENT: Final = ("cobb_c2_c7_deg", "sva_mm", "cci_percent")
_NOT_KNOWN: Final = ("not given", "no labels")
_CLASS_TABLE: Final = ("label", "value")
_ALIGNMENT_TABLE: Final = ("column", "parameter", "known of", "mean", "SD", "least", "greatest")
_SOURCE_TABLE: Final = ("`label_source`", "radiographs", "meaning")
_LAST_DIGIT: Final = 0.0501
"""Half of the last digit that is printed, and what other sums of floats may differ by."""
_BATCH_ROWS: Final = 20_000
_UNREADABLE: Final = (pa.ArrowException, OSError, ValueError, TypeError, IndexError, KeyError, MemoryError)


@dataclass
class RowFacts:
    """What the rows hold.

    Attributes:
        num_rows: by split.
        counts: rows by column of `CLASSES`, value (None: not known) and split.
        alignment: by column of `ALIGNMENT`: number, mean, SD, least and greatest of those known.
    """

    num_rows: dict[str, int] = field(default_factory=dict)
    counts: Counter[tuple[str, Any, str]] = field(default_factory=Counter)
    alignment: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def count(self, column: str, value: Any, split: str | None = None) -> int:
        """Rows of a value, in one split or in all."""
        return sum(self.counts[column, value, one] for one in ([split] if split else self.num_rows))


def count_rows(root: Path) -> RowFacts | None:
    """Count over metadata/SPLIT.parquet; None where a table cannot be read, which is the fault of another rule."""
    facts = RowFacts()
    sums = {name: np.array([0.0, 0.0, 0.0, np.inf, -np.inf]) for name in ALIGNMENT}
    try:
        for split in SPLITS:
            path = root / metadata_name(split)
            if path.is_file():
                with pq.ParquetFile(path) as file:
                    columns = [*CLASSES, *ALIGNMENT]
                    for batch in file.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False):
                        _count_batch(batch, split, facts, sums)
    except _UNREADABLE:
        return None
    for name, (number, total, squares, low, high) in sums.items():
        if number:
            mean = total / number
            facts.alignment[name] = (number, mean, max(0.0, squares / number - mean**2) ** 0.5, low, high)
    return facts


def _count_batch(batch: pa.RecordBatch, split: str, facts: RowFacts, sums: Mapping[str, Any]) -> None:
    facts.num_rows[split] = facts.num_rows.get(split, 0) + len(batch)
    for name in CLASSES:
        for entry in pc.value_counts(batch.column(name)).to_pylist():
            facts.counts[name, _spell(name, entry["values"]), split] += entry["counts"]
    for name in ALIGNMENT:
        values = batch.column(name).drop_null().to_numpy(zero_copy_only=False).astype(np.float64)
        if values.size:
            own = sums[name]
            own[:3] += values.size, values.sum(), (values**2).sum()
            own[3], own[4] = min(own[3], values.min()), max(own[4], values.max())


def _spell(name: str, value: Any) -> Any:
    """As a card spells a value: classes by name, ages by band."""
    if value is None:
        return None
    if name == "age":
        return f"{age_band(value)} years"
    return COLUMNS[name].names[value] if COLUMNS[name].dtype == "class_label" else value


def check_facts(where: str, text: str, facts: RowFacts, tally: Tally) -> None:
    """Compare the tables of a paper with the rows.

    Args:
        where: the paper.
        text: its Markdown.
        facts: of the rows.
        tally: takes the findings.
    """
    for header, rows in _iter_tables(text):
        if header == _SOURCE_TABLE:
            faults = _compare_classes(["label_source"], [("label_source", row[0], row[1]) for row in rows], facts)
        elif header[:2] == _CLASS_TABLE and header[-1] == "share of all":
            faults = _compare_by_split(header, rows, facts)
        elif header == _ALIGNMENT_TABLE:
            faults = _compare_alignment(rows, facts)
        else:
            continue
        for fault in faults:
            tally.add("CARD-11", where, fault)


def _iter_tables(text: str) -> Iterator[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """Header and rows of each Markdown table; rows of another length are left out."""
    header: tuple[str, ...] | None = None
    rows: list[tuple[str, ...]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("| ") and line.endswith(" |"):
            cells = tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])
            if header is None:
                header = cells
            elif len(cells) == len(header) and not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
                rows.append(cells)
        elif header is not None:
            yield header, rows
            header, rows = None, []


def _compare_classes(
    columns: Sequence[str], rows: Sequence[tuple[str, str, str]], facts: RowFacts, split: str | None = None
) -> Iterator[str]:
    """Number of each value, said and counted, both ways: a value that the table leaves out counts as 0."""
    said = {(column, None if value in _NOT_KNOWN else value): number for column, value, number in rows}
    counted = {key[:2] for key in facts.counts if key[0] in columns}
    for column, value in sorted({*said, *counted}, key=str):
        found, number = said.get((column, value), "0"), facts.count(column, value, split)
        if found.replace(",", "") != str(number):
            among = f" in {split}" if split else ""
            yield f"{column} {value or 'not known'}{among}: {found} in the paper, {number} in the data"


def _compare_by_split(header: tuple[str, ...], rows: Sequence[tuple[str, ...]], facts: RowFacts) -> Iterator[str]:
    columns = sorted({row[0] for row in rows if row[0] in CLASSES})
    rows = [row for row in rows if row[0] in CLASSES]
    for place, split in enumerate(header[2:-1], start=2):
        if split not in facts.num_rows:
            yield f"a table of classes has the split {split}, the data have not"
            continue
        yield from _compare_classes(columns, [(row[0], row[1], row[place]) for row in rows], facts, split)
    total = sum(facts.num_rows.values())
    for row in rows:
        share = 100 * facts.count(row[0], None if row[1] in _NOT_KNOWN else row[1]) / max(total, 1)
        if not _is_close(row[-1].removesuffix(" %"), share):
            yield f"{row[0]} {row[1]}: {row[-1]} of all in the paper, {share:.1f} % in the data"


def _compare_alignment(rows: Sequence[tuple[str, ...]], facts: RowFacts) -> Iterator[str]:
    for row in rows:
        name = row[0].strip("`")
        values = facts.alignment.get(name)
        if values is None:
            yield f"{name} is in a table of alignment and known of no row"
            continue
        for title, said, counted in zip(_ALIGNMENT_TABLE[2:], row[2:], values, strict=True):
            if not _is_close(said, counted):
                yield f"{name}: {title} is {said} in the paper, {counted:.1f} in the data"


def _is_close(said: str, counted: float) -> bool:
    try:
        return abs(float(said.replace(",", "")) - counted) <= _LAST_DIGIT
    except ValueError:
        return False
