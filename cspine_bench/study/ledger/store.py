"""The ledger of a study: STUDY/study.sqlite, to which records are added and from which none is taken.

Every record names the hash of the one before, so a change anywhere breaks the chain from there on. A chain cannot tell
that somebody with the file wrote all of it anew: keep a head (`study status`) outside, and `verify` it later.

What is stored about people: pseudonyms, hashes of their links, times, answers, and the size of their windows; no name,
no address. What is in a chain cannot be taken out of it: the list that ties pseudonyms to people is kept elsewhere by
the study's lead, and to erase a person is to erase them from that list.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from cspine_bench.errors import DataError
from cspine_bench.provenance import canonical_json
from cspine_bench.study.folder import StudyFolder
from cspine_bench.study.ledger.record import KINDS, Kind, Record, format_now, hash_fields
from cspine_bench.study.ledger.schema import GUARDS, INDEXES, TABLE
from cspine_bench.study.ledger.verify import Fault, describe_genesis, find_fault

_COLUMNS: Final = "seq, time, kind, reader, trial, answer_id, body, previous, sha256"
_WAIT_S: Final = 30.0


class Ledger:
    """An open ledger. Threads may share it; processes open it each for themselves."""

    def __init__(self, study: StudyFolder, connection: sqlite3.Connection) -> None:
        self.study = study
        self._connection = connection
        self._lock = threading.RLock()
        self._files = self._find_files()

    def _find_files(self) -> list[tuple[int, int]]:
        """Which files lie where this ledger's should: the database, and its journal of what is not in it yet."""
        path = self.study.paths.ledger
        files = [path, path.with_name(f"{path.name}-wal")]
        return [(found.st_dev, found.st_ino) for found in (file.stat() for file in files if file.exists())]

    def _check_files(self) -> None:
        """What is written to a file that was deleted or replaced is lost, and nothing else tells so."""
        if self._find_files() != self._files:
            raise DataError(
                f"{self.study.paths.ledger}: was deleted, moved or replaced while it was in use, so it can keep "
                "nothing more; stop the server, put the file back, and start again"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All records appended within are on the disk together when it ends, or none of them; may be nested.

        Raises:
            DataError: the file cannot be written, or is no longer the one that was opened.
        """
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._check_files()
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                with self._connection:
                    yield
            except sqlite3.IntegrityError:
                raise
            except sqlite3.Error as error:
                raise explain(error, self.study.paths.ledger) from error

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read within is of one moment, whatever a server adds meanwhile.

        Raises:
            DataError: the file cannot be read.
        """
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            try:
                self._connection.execute("BEGIN")
                yield
            except sqlite3.Error as error:
                raise explain(error, self.study.paths.ledger) from error
            finally:
                self._connection.rollback()

    def append(
        self,
        kind: Kind,
        reader: str | None = None,
        trial: int | None = None,
        answer_id: str | None = None,
        body: dict[str, Any] | None = None,
    ) -> Record:
        """Add a record; it is on the disk when this returns, or when the transaction around it ends.

        Args:
            kind: of the record.
            reader: pseudonym; None: it concerns the whole study.
            trial: place in the reader's order, from 0.
            answer_id: UUID of an answer.
            body: what there is to say, JSON without NaN.

        Raises:
            ValueError: an unknown kind, a body that is no JSON, or what never happens twice: a reader's second answer
                to a trial, an answer id that is taken, an answer after unblinding, a second plan or unblinding.
            DataError: the file cannot be written.
        """
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        text = canonical_json(body or {})
        try:
            with self.transaction():
                record = self._build(kind, reader, trial, answer_id, text)
                values = tuple(getattr(record, name) for name in Record.__slots__)
                self._connection.execute(f"INSERT INTO records ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)", values)
        except sqlite3.IntegrityError as error:
            raise ValueError(f"{kind} of {reader or 'the study'}: {error}") from error
        return record

    def _build(self, kind: str, reader: str | None, trial: int | None, answer_id: str | None, body: str) -> Record:
        last = self.find_head()
        fields = {
            "seq": 1 if last is None else last.seq + 1,
            "time": format_now(),
            "kind": kind,
            "reader": reader,
            "trial": trial,
            "answer_id": answer_id,
            "body": body,
            "previous": "" if last is None else last.sha256,
        }
        return Record(**fields, sha256=hash_fields(fields))  # type: ignore[arg-type]

    def find_head(self) -> Record | None:
        """The last record; its hash stands for the whole chain."""
        return next(self.select("1 ORDER BY seq DESC LIMIT 1"), None)

    def iter_records(self, kind: Kind | None = None) -> Iterator[Record]:
        """All records, or those of one kind, in order."""
        if kind is None:
            return self.select("1 ORDER BY seq")
        return self.select("kind = ? ORDER BY seq", kind)

    def select(self, condition: str, *values: str | int) -> Iterator[Record]:
        """Records by an SQL condition on their columns.

        Args:
            condition: what follows WHERE, with a ? for each value.
            values: of the ?.

        Raises:
            DataError: the file cannot be read.
        """
        return (Record(*row) for row in self.query(f"SELECT {_COLUMNS} FROM records WHERE {condition}", *values))

    def query(self, sql: str, *values: str | int) -> list[tuple[Any, ...]]:
        """Rows of a SELECT.

        Raises:
            DataError: the file cannot be read.
        """
        try:
            with self._lock:
                return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise explain(error, self.study.paths.ledger) from error

    def find_fault(self) -> Fault | None:
        """The first thing that is wrong with the chain; None: it is whole."""
        with self.snapshot():
            return find_fault(self._connection, self.study)

    def has_head(self, sha256: str) -> bool:
        """Whether a record has this hash, so that all up to it is as it was when the hash was noted."""
        return bool(self.query("SELECT 1 FROM records WHERE sha256 = ?", sha256.strip().lower()))

    def verify(self) -> Record:
        """Recompute the whole chain.

        Returns:
            The last record.

        Raises:
            DataError: a record was changed, added or taken out; names the first.
        """
        fault = self.find_fault()
        if fault is not None:
            raise DataError(f"{self.study.paths.ledger}: {fault}; put back a copy of the file from before that")
        head = self.find_head()
        if head is None:  # A ledger without its first record is a fault.
            raise DataError(f"{self.study.paths.ledger}: is empty")
        return head


def create_ledger(path: Path, study: StudyFolder) -> None:
    """Write the ledger of a new study, with its first record: what was frozen.

    Args:
        path: of the file; none is there yet.
        study: as planned.

    Raises:
        DataError: the file is there, or cannot be written.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise DataError(f"{path}: cannot be made ({error.strerror}); a ledger is never written over") from error
    try:
        connection = _connect(path)
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error as error:
        raise explain(error, path) from error
    with Ledger(study, connection) as ledger, ledger.transaction():
        for statement in (TABLE, *INDEXES, *GUARDS.values()):
            connection.execute(statement)
        ledger.append("plan", body=describe_genesis(study))


def open_ledger(study: StudyFolder, *, read_only: bool = False) -> Ledger:
    """Open the ledger of a study, and see that it is that study's.

    Only its first record is looked at; `Ledger.verify` looks at all.

    Raises:
        DataError: no ledger lies there, it is damaged, or it is that of another protocol.
    """
    path = study.paths.ledger
    if not path.is_file():
        raise DataError(f"{path}: is not there; a study without its ledger has no answers: put the file back")
    try:
        connection = _connect(path, read_only=read_only)
        row = connection.execute("SELECT kind, body FROM records ORDER BY seq LIMIT 1").fetchone()
    except sqlite3.Error as error:
        raise explain(error, path) from error
    if row != ("plan", canonical_json(describe_genesis(study))):
        connection.close()
        raise DataError(
            f"{path}: its first record is not that of the protocol with SHA-256 {study.protocol_sha256[:12]}...; the "
            "protocol was edited after the study began, or the file is another study's: put the right one back"
        )
    return Ledger(study, connection)


def _connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}",
        uri=True,
        timeout=_WAIT_S,
        isolation_level=None,
        check_same_thread=False,
    )
    # FULL: an answer is acknowledged only when it would outlive a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def explain(error: sqlite3.Error, path: Path) -> DataError:
    """What a failure of the database means to its owner."""
    return DataError(f"{path}: cannot be used ({error}); check disk and permissions, or put back a copy of the file")
