"""How far a study is, for its lead: counts and times, and nothing from which accuracy could be told."""

import json
import statistics
from dataclasses import dataclass
from typing import Literal

from cspine_bench.errors import DataError
from cspine_bench.study.ledger.record import Record
from cspine_bench.study.ledger.store import Ledger
from cspine_bench.study.schedule import ReaderSchedule, Schedule

Link = Literal["none", "works", "revoked"]


@dataclass(frozen=True, slots=True)
class ReaderProgress:
    """How far one reader is. Times are UTC, ISO 8601; None: not yet.

    Attributes:
        reader: pseudonym.
        link: whether there is one, and whether it works.
        linked: when the last one was made.
        opened: when a link was first opened.
        consented: when the reader agreed to take part.
        display: what the last display check found; None: none was made.
        done: trials answered, training included.
        total: trials.
        last: last time that anything was heard of the reader.
        refused: answers that did not count, because the trial had one.
        median_s: time from images to answer, trials after training; None: none yet.
    """

    reader: str
    link: Link
    linked: str | None
    opened: str | None
    consented: str | None
    display: Literal["passed", "failed"] | None
    done: int
    total: int
    last: str | None
    refused: int
    median_s: float | None


@dataclass(frozen=True, slots=True)
class StudyProgress:
    """How far a study is.

    Attributes:
        readers: in the order of the protocol.
        complete: whether every trial of every reader is answered.
        simulated: whether answers are of made-up readers.
        unblinded: when the truth was opened; None: it is sealed.
        protocol_sha256: of the frozen protocol.
        num_records: in the ledger.
        head: hash of its last record; kept elsewhere, it shows later that nothing before it was changed.
    """

    readers: tuple[ReaderProgress, ...]
    complete: bool
    simulated: bool
    unblinded: str | None
    protocol_sha256: str
    num_records: int
    head: str


def measure_progress(ledger: Ledger, schedule: Schedule) -> StudyProgress:
    """Count what the ledger holds.

    Raises:
        DataError: the ledger cannot be read, or holds what no study writes.
    """
    records = list(ledger.iter_records())
    own: dict[str | None, list[Record]] = {reader: [] for reader in ledger.study.protocol.readers}
    for record in records:
        own.setdefault(record.reader, []).append(record)
    try:
        readers = tuple(_measure_reader(schedule.find(name), own[name]) for name in ledger.study.protocol.readers)
    except (LookupError, TypeError, ValueError) as error:
        raise DataError(
            f"{ledger.study.paths.ledger}: holds a record that no study writes; `cspine-bench study status --verify` "
            "names it"
        ) from error
    return StudyProgress(
        readers=readers,
        complete=all(reader.done == reader.total for reader in readers),
        simulated=any(record.kind == "simulated" for record in records),
        unblinded=_find_time(records, "unblind"),
        protocol_sha256=ledger.study.protocol_sha256,
        num_records=len(records),
        head=records[-1].sha256,
    )


def list_incomplete(ledger: Ledger, schedule: Schedule) -> list[str]:
    """`R3 (12 of 76)` for each reader whose trials are not all answered."""
    readers = measure_progress(ledger, schedule).readers
    return [f"{reader.reader} ({reader.done} of {reader.total})" for reader in readers if reader.done < reader.total]


def _measure_reader(planned: ReaderSchedule, records: list[Record]) -> ReaderProgress:
    links = [record for record in records if record.kind in ("enrol", "revoke")]
    answers = [record for record in records if record.kind == "answer"]
    displays = [json.loads(record.body) for record in records if record.kind == "display"]
    after_training = [
        json.loads(record.body)["elapsed_ms"] / 1000
        for record in answers
        if record.trial is not None and planned.trials[record.trial].kind != "training"
    ]
    passed = displays and displays[-1]["dark_patch"] and displays[-1]["light_patch"]
    heard = [record.time for record in records if record.kind not in ("enrol", "revoke")]
    return ReaderProgress(
        reader=planned.reader,
        link="none" if not links else "works" if links[-1].kind == "enrol" else "revoked",
        linked=next((record.time for record in reversed(links) if record.kind == "enrol"), None),
        opened=_find_time(records, "open"),
        consented=_find_time(records, "consent"),
        display=None if not displays else "passed" if passed else "failed",
        done=len(answers),
        total=len(planned.trials),
        last=heard[-1] if heard else None,
        refused=sum(record.kind == "refused" for record in records),
        median_s=round(statistics.median(after_training), 3) if after_training else None,
    )


def _find_time(records: list[Record], kind: str) -> str | None:
    return next((record.time for record in records if record.kind == kind), None)
