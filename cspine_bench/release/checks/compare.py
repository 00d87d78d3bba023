"""Rows of all shards against each other, and of a release against its mirror: by the keys that each shard left."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.release.checks.row_keys import NO_HASH, Hashes, RowKeys
from cspine_bench.release.checks.shards import ShardReport
from cspine_bench.release.rules import Finding, Tally

_PARTS: Final = {"images": "the image differs", "masks": "the mask differs", "values": "its labels or origin differ"}
"""Hashes that a row and its mirrored sample share."""


def compare_shards(reports: Sequence[ShardReport]) -> list[Finding]:
    """REC-03, REC-06, REC-07, PNG-06 and PNG-07 over all rows of a release or mirror.

    Memory holds the keys of all rows once more, and 16 bytes for each.

    Args:
        reports: of all shards; those without rows are passed over.
    """
    tally = Tally()
    known = [report for report in reports if report.rows is not None]
    if not known:
        return []
    keys = RowKeys.join([report.rows for report in known if report.rows is not None])
    rows = _Rows(known, keys.sample_ids)
    for first, other in rows.iter_equal(keys.sample_ids):
        rows.add(tally, "REC-03", other, f"the id is also in {rows.name(first)}")
    for first, other in rows.iter_equal(keys.origins, keys.origins != NO_HASH):
        text = f"its seed, index, condition and generator are those of {rows.sample_id(first)} in {rows.name(first)}"
        rows.add(tally, "REC-06", other, text)
    for first, other in rows.iter_equal(keys.groups, rows.in_cut_group(keys.groups)):
        if rows.split(first) != rows.split(other):
            text = f"its group is in {rows.split(other)} here and in {rows.split(first)} with {rows.sample_id(first)}"
            rows.add(tally, "REC-07", other, text)
    for first, other in rows.iter_equal(keys.pixels):
        code = "PNG-07" if rows.split(first) == rows.split(other) else "PNG-06"
        rows.add(tally, code, other, f"its pixels are those of {rows.sample_id(first)} in {rows.split(first)}")
    return tally.findings()


def compare_with_mirror(reports: Sequence[ShardReport], mirror_reports: Sequence[ShardReport]) -> list[Finding]:
    """SUM-04: each Parquet shard and the tar of its name hold the same samples in one order, to the byte.

    Args:
        reports: of the release's shards.
        mirror_reports: of the mirror's.
    """
    tally = Tally()
    ours, theirs = ({_stem(report.name): report for report in side} for side in (reports, mirror_reports))
    for stem in dict.fromkeys((*ours, *theirs)):
        if stem not in theirs:
            tally.add("SUM-04", ours[stem].name, "the mirror has no such shard")
        elif stem not in ours:
            tally.add("SUM-04", theirs[stem].name, "the mirror has this shard, the release has none of its name")
        else:
            _compare_pair(ours[stem], theirs[stem], tally)
    return tally.findings()


def _compare_pair(ours: ShardReport, theirs: ShardReport, tally: Tally) -> None:
    if ours.num_rows != theirs.num_rows:
        text = f"the release has {ours.num_rows} radiographs there, the mirror {theirs.num_rows}"
        tally.add("SUM-04", theirs.name, text)
    if ours.rows is None or theirs.rows is None:
        return
    left, right = ours.rows, theirs.rows
    if np.array_equal(left.sample_ids, right.sample_ids):
        here = there = np.arange(len(left.sample_ids))
    else:
        _, here, there = np.intersect1d(left.sample_ids, right.sample_ids, return_indices=True)
        for name, own, common, other in (
            (theirs.name, left, here, "is missing from the mirror"),
            (theirs.name, right, there, "is not in the release"),
        ):
            lost = np.setdiff1d(np.arange(len(own.sample_ids)), common)
            _add_all(tally, name, own.sample_ids, lost, other)
        if (np.diff(there[np.argsort(here)]) < 0).any():
            tally.add("SUM-04", theirs.name, "its samples come in another order than in the release")
    for part, text in _PARTS.items():
        differs = getattr(left, part)[here] != getattr(right, part)[there]
        _add_all(tally, theirs.name, left.sample_ids, here[differs], f"{text} from the release's")


def _add_all(tally: Tally, where: str, ids: NDArray[np.bytes_], rows: NDArray[np.intp], text: str) -> None:
    for row in rows.tolist():
        sample_id = ids[row].decode("ascii", errors="replace")
        tally.add("SUM-04", where, f"{sample_id}: {text}", sample_id)


def _stem(name: str) -> str:
    return name.rsplit(".", 1)[0]


class _Rows:
    """Which shard and split a row of the joined keys belongs to."""

    def __init__(self, reports: Sequence[ShardReport], sample_ids: NDArray[np.bytes_]) -> None:
        self._reports = reports
        self._ids = sample_ids
        lengths = [0 if report.rows is None else len(report.rows.sample_ids) for report in reports]
        self._ends = np.cumsum(lengths)
        splits = list(dict.fromkeys(report.split for report in reports))
        self._split_numbers = np.repeat([splits.index(report.split) for report in reports], lengths).astype(np.uint8)

    def in_cut_group(self, groups: Hashes) -> NDArray[np.bool_]:
        """bool (rows,), True where rows of another split have this row's group."""
        order = np.lexsort((self._split_numbers, groups))
        sorted_groups, sorted_splits = groups[order], self._split_numbers[order]
        cut = (sorted_groups[1:] == sorted_groups[:-1]) & (sorted_splits[1:] != sorted_splits[:-1])
        return np.isin(groups, sorted_groups[1:][cut])

    def iter_equal(
        self, values: NDArray[np.generic], among: NDArray[np.bool_] | None = None
    ) -> Iterator[tuple[int, int]]:
        """(first row, later row) for each row whose value an earlier one has, in the order of the later rows.

        Args:
            values: one for each row.
            among: bool (rows,): which rows are compared; None: all.
        """
        chosen = np.arange(len(values)) if among is None else np.flatnonzero(among)
        picked = values[chosen]
        order = np.argsort(picked, kind="stable")
        ordered = picked[order]
        same = np.concatenate([[False], ordered[1:] == ordered[:-1]])
        if not same.any():
            return
        starts = np.maximum.accumulate(np.where(same, 0, np.arange(len(same))))
        first, later = chosen[order[starts[same]]], chosen[order[same]]
        by_row = np.argsort(later, kind="stable")
        yield from zip(first[by_row].tolist(), later[by_row].tolist(), strict=True)

    def name(self, row: int) -> str:
        return self._reports[int(np.searchsorted(self._ends, row, side="right"))].name

    def split(self, row: int) -> str:
        return self._reports[int(np.searchsorted(self._ends, row, side="right"))].split

    def sample_id(self, row: int) -> str:
        text: bytes = self._ids[row]
        return text.decode("ascii", errors="replace")

    def add(self, tally: Tally, code: str, row: int, text: str) -> None:
        tally.add(code, self.name(row), f"{self.sample_id(row)}: {text}", self.sample_id(row))
