"""What is wrong with a ledger: the first record that was changed, added or taken out."""

import sqlite3
from dataclasses import dataclass

from cspine_bench.provenance import canonical_json
from cspine_bench.study.folder import StudyFolder
from cspine_bench.study.ledger.record import Record
from cspine_bench.study.ledger.schema import GUARDS, INDEXES, TABLE


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        seq: first record that cannot be trusted, nor any after it; None: the records are whole, their guards are not.
        what: in words.
    """

    seq: int | None
    what: str

    def __str__(self) -> str:
        return self.what if self.seq is None else f"record {self.seq}: {self.what}"


def describe_genesis(study: StudyFolder) -> dict[str, str]:
    """Body of the first record: what the ledger is bound to."""
    return {
        "protocol_sha256": study.protocol_sha256,
        "truth_sha256": study.protocol.truth_sha256,
        "schedule_sha256": study.protocol.schedule_sha256,
    }


def find_fault(connection: sqlite3.Connection, study: StudyFolder) -> Fault | None:
    """Recompute the chain from its first record.

    Args:
        connection: to the ledger's file.
        study: that it should belong to.

    Returns:
        The first fault; None where every record is as it was written, none is missing, and the guards stand.
    """
    return _find_broken(connection, study) or _find_foreign_schema(connection)


def _find_broken(connection: sqlite3.Connection, study: StudyFolder) -> Fault | None:
    previous, expected = "", 1
    columns = ", ".join(Record.__slots__)
    for row in connection.execute(f"SELECT {columns} FROM records ORDER BY seq"):
        record = Record(*row)
        if record.seq != expected:
            return Fault(expected, f"is missing; the next one is {record.seq}")
        if record.previous != previous:
            return Fault(record.seq, "does not follow the one before it; one of them was changed, or one was taken out")
        if not _is_as_written(record):
            return Fault(
                record.seq, f"was changed after it was written ({record.kind} of {record.reader or 'the study'})"
            )
        if expected == 1 and not _is_genesis(record, study):
            return Fault(1, "is not that of this study's protocol")
        previous, expected = record.sha256, expected + 1
    ever = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'records'").fetchone()
    if ever is None or ever[0] != expected - 1:
        there_were = "an unknown number" if ever is None else ever[0]
        return Fault(expected, f"is missing; there were {there_were} records, and {expected - 1} are left")
    return None if expected > 1 else Fault(1, "is missing; the ledger is empty")


def _is_genesis(record: Record, study: StudyFolder) -> bool:
    return record.kind == "plan" and record.body == canonical_json(describe_genesis(study))


def _is_as_written(record: Record) -> bool:
    try:
        return record.compute_sha256() == record.sha256
    except TypeError:  # A column was given bytes, which no record holds.
        return False


def _find_foreign_schema(connection: sqlite3.Connection) -> Fault | None:
    """A guard or index that is gone lets records be edited; one that was added could let answers vanish."""
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
    found = {name: _squeeze(sql or "") for _, name, sql in rows}
    wanted = {sql.split()[2 + sql.startswith("CREATE UNIQUE")]: sql for sql in (TABLE.strip(), *INDEXES)} | GUARDS
    for name, sql in wanted.items():
        if found.pop(name, "") != _squeeze(sql):
            return Fault(None, f"its guard {name!r} was dropped or changed; records could be edited since")
    for kind, name, _ in rows:
        if name in found:
            return Fault(None, f"it has a {kind} {name!r} that is none of a study's, and may have hidden answers")
    return None


def _squeeze(sql: str) -> str:
    return " ".join(sql.split())
