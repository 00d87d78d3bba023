"""One shard of a release or of its mirror, checked on its own: a task that any process can do."""

from dataclasses import dataclass

from cspine_bench.release.checks.parquet_rows import check_parquet
from cspine_bench.release.checks.row_keys import RowKeys
from cspine_bench.release.checks.rows import ShardTask
from cspine_bench.release.checks.tar_members import check_tar
from cspine_bench.release.rules import Finding, Tally

__all__ = ["RowKeys", "ShardReport", "ShardTask", "check_shard"]


@dataclass(frozen=True)
class ShardReport:
    """What a shard is, to be compared with the others.

    Attributes:
        name: path inside the release or mirror.
        split: as the task gave it.
        num_rows: rows or samples that it holds, as far as it can be read.
        findings: what is wrong with it on its own.
        rows: keys of those rows that could be read; None at level quick, or where none could.
    """

    name: str
    split: str
    num_rows: int
    findings: tuple[Finding, ...]
    rows: RowKeys | None


def check_shard(task: ShardTask) -> ShardReport:
    """Check a shard, whatever its bytes: Parquet or tar by its suffix.

    Memory holds one row group (or 32 MB of an archive) and 68 bytes for each row.
    """
    tally = Tally()
    check = check_tar if task.name.endswith(".tar") else check_parquet
    num_rows, rows = check(task, tally)
    return ShardReport(task.name, task.split, num_rows, tuple(tally.findings()), rows)
