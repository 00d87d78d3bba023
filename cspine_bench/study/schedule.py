"""What every reader sees, in which order and in which pane: all that a server needs, and nothing that it must not know.

A frame is a number: the row of the file of pixels. Which of them are real stands in the sealed truth alone, that the
server never opens; see `cspine_bench.study.truth`.
"""

import hmac
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

TrialKind = Literal["training", "main", "repeat", "positive-control", "negative-control"]
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
READER: Final = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"
"""Pattern of a reader's pseudonym."""

ID_LENGTH: Final = 32
"""Hexadecimal digits of an opaque id: 128 bits."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlannedTrial(_Frozen):
    """One display set as one reader sees it.

    Args:
        case: name of the display set, for example "Q07"; a repeat has that of what it repeats.
        kind: what it is for. Only `training` is ever told to a reader.
        frames: frame in each pane, from left to right.
    """

    case: str
    kind: TrialKind
    frames: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]


class ReaderSchedule(_Frozen):
    """All trials of one reader, in order; training comes first."""

    reader: Annotated[str, Field(pattern=READER)]
    trials: tuple[PlannedTrial, ...]


class Schedule(_Frozen):
    """All readers' trials.

    Args:
        id_key: secret key of the opaque ids, hexadecimal. It is no part of the truth.
        readers: one schedule for each.
    """

    id_key: Key
    readers: tuple[ReaderSchedule, ...]

    def find(self, reader: str) -> ReaderSchedule:
        """The schedule of a reader.

        Raises:
            KeyError: there is no such reader.
        """
        for schedule in self.readers:
            if schedule.reader == reader:
                return schedule
        raise KeyError(reader)


def trial_id(schedule: Schedule, reader: str, trial: int) -> str:
    """Opaque id of a reader's trial, by its place from 0; nobody without the key can tell or guess one from another."""
    return _hide(schedule, f"trial|{reader}|{trial}")


def pane_id(schedule: Schedule, reader: str, trial: int, pane: int) -> str:
    """Opaque id of an image in a pane, from 0: another one for every reader, trial, pane and repeat."""
    return _hide(schedule, f"pane|{reader}|{trial}|{pane}")


def blinded_name(schedule: Schedule, frame: int) -> str:
    """Name of an image before unblinding: its number would lead, through its hash in the protocol, to a dataset."""
    return f"B{_hide(schedule, f'image|{frame}')[:12]}"


def _hide(schedule: Schedule, what: str) -> str:
    return hmac.new(bytes.fromhex(schedule.id_key), what.encode(), "sha256").hexdigest()[:ID_LENGTH]
