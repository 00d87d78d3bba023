"""Rule CARD-11: the table of splits in a card says what the rows say."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cspine_bench.anatomy.landmarks import NUM_LANDMARKS
from cspine_bench.release.checks.row_keys import NO_HASH
from cspine_bench.release.checks.shards import ShardReport
from cspine_bench.release.layout import CARD_NAME, metadata_name
from cspine_bench.release.rules import Tally

COLUMNS: Final = ("radiographs", "groups", "with mask", "with all 23 landmarks")
"""Of the table, after the split."""
_HEADER: Final = "| split | " + " | ".join(COLUMNS) + " |"
_RULE: Final = re.compile(r"\|( *:?-+:? *\|)+")
_ROW: Final = re.compile(r"\|([^|\n]{1,40})\|([^|\n]{1,40})\|([^|\n]{1,40})\|([^|\n]{1,40})\|([^|\n]{1,40})\|")
_TOTAL: Final = re.compile(r"^\| radiographs \| ([\d,]+)\b[^|\n]*\|$", re.MULTILINE)
_BATCH_ROWS: Final = 20_000


@dataclass(frozen=True)
class SplitFacts:
    """Of one split; None where it could not be counted."""

    num_rows: int
    num_groups: int | None
    num_masks: int | None
    num_landmarked: int | None

    def cells(self) -> tuple[int | None, ...]:
        """In the order of `COLUMNS`."""
        return (self.num_rows, self.num_groups, self.num_masks, self.num_landmarked)


def count_splits(root: Path, reports: Sequence[ShardReport]) -> dict[str, SplitFacts]:
    """Count rows, groups and masks over the shards, whole sets of landmarks over metadata/SPLIT.parquet.

    Memory holds 8 bytes for each row.
    """
    facts = {}
    for split in dict.fromkeys(report.split for report in reports):
        own = [report for report in reports if report.split == split]
        num_rows = sum(report.num_rows for report in own)
        keys = [report.rows for report in own if report.rows is not None]
        whole = sum(len(rows.groups) for rows in keys) == num_rows
        groups = len(np.unique(np.concatenate([rows.groups for rows in keys]))) if keys and whole else None
        masks = sum(int((rows.masks != NO_HASH).sum()) for rows in keys) if whole else None
        if num_rows:
            facts[split] = SplitFacts(num_rows, groups, masks, _count_landmarked(root / metadata_name(split)))
    return facts


def _count_landmarked(path: Path) -> int | None:
    """Radiographs with all landmarks; None where the table cannot be read, which is the fault of another rule."""
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=["landmarks_xy"], use_threads=False):
                values = batch.column(0).flatten().flatten().to_numpy(zero_copy_only=False)
                points = values.reshape(len(batch), NUM_LANDMARKS, 2)
                number += int((~np.isnan(points)).all(axis=(1, 2)).sum())
    except (pa.ArrowException, OSError, ValueError, TypeError, AttributeError, IndexError, KeyError, MemoryError):
        return None
    return number


def check_table(body: str, facts: Mapping[str, SplitFacts], *, required: bool, tally: Tally) -> None:
    """Compare the card's table with the rows.

    Args:
        body: of the card.
        facts: by split, of splits that have rows.
        required: whether a card without such a table is a finding.
        tally: takes the findings.
    """
    total = sum(split.num_rows for split in facts.values())
    for match in _TOTAL.finditer(body):
        if match[1].replace(",", "") != str(total):
            tally.add("CARD-11", CARD_NAME, f"{match[1]} radiographs in the card, {total} in the data")
    rows = dict(_iter_rows(body))
    if not rows:
        if required:
            tally.add("CARD-11", CARD_NAME, f"it has no table {_HEADER}")
        return
    for split in dict.fromkeys((*facts, *rows)):
        if split not in rows or split not in facts:
            there = "in the data alone" if split in facts else "in the card alone"
            tally.add("CARD-11", CARD_NAME, f"split {split} is {there}")
            continue
        for name, said, counted in zip(COLUMNS, rows[split], facts[split].cells(), strict=True):
            if counted is not None and said.replace(",", "") != str(counted):
                tally.add("CARD-11", CARD_NAME, f"{split}: {name} is {said} in the card, {counted} in the data")


def _iter_rows(body: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Cells of the first table with the right header, by split."""
    inside = False
    for line in body.splitlines():
        if " ".join(line.split()) == _HEADER:
            inside = True
        elif inside and (match := _ROW.fullmatch(line.strip())) is not None:
            split, *cells = (cell.strip() for cell in match.groups())
            if not _RULE.fullmatch(line.strip()):
                yield split, tuple(cells)
        elif inside:
            return
