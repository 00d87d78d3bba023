"""One record of the ledger, and the hash that ties it to the one before."""

import datetime
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

from cspine_bench.provenance import sha256_json

Kind = Literal[
    "plan",
    "enrol",
    "revoke",
    "serve",
    "open",
    "consent",
    "display",
    "shown",
    "answer",
    "refused",
    "unblind",
    "simulated",
]
KINDS: Final = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Record:
    """A row as it is stored.

    Attributes:
        seq: place in the ledger, from 1 and without gaps.
        time: of the machine that wrote it, UTC, ISO 8601 with milliseconds.
        kind: see `Kind`.
        reader: pseudonym; None: it concerns the whole study.
        trial: place in the reader's order, from 0; None: it concerns no trial.
        answer_id: UUID that the reader's page gave to an answer.
        body: canonical JSON of an object.
        previous: `sha256` of the record before; "" for the first.
        sha256: of canonical JSON of all other fields.
    """

    seq: int
    time: str
    kind: str
    reader: str | None
    trial: int | None
    answer_id: str | None
    body: str
    previous: str
    sha256: str

    def compute_sha256(self) -> str:
        """What `sha256` must be."""
        return hash_fields({name: value for name, value in asdict(self).items() if name != "sha256"})


def hash_fields(fields: dict[str, Any]) -> str:
    """SHA-256 of a record's fields, all but `sha256` itself, by their names."""
    return sha256_json(fields)


def format_now() -> str:
    """UTC now, ISO 8601 with milliseconds: `2026-11-23T13:02:15.123Z`."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime.datetime:
    """The moment of a record's `time`.

    Raises:
        ValueError: no such time.
    """
    return datetime.datetime.fromisoformat(text)
