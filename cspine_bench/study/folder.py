"""The folder of a study, and what is in it.

STUDY/protocol.yaml          decided before the first answer; its SHA-256 is in every export
STUDY/protocol.sha256        that hash, to register or to send to somebody
STUDY/frames.bin             the pixels as they are shown, one row of fixed length for each frame
STUDY/schedule.json          what every reader sees in which pane (readable by its owner alone)
STUDY/sealed/truth.json      which frame is real (readable by its owner alone); may be kept elsewhere until unblinding
STUDY/plan.html              what was planned: matching, balance, leak audit; it tells no single image's condition
STUDY/study.sqlite           every answer, append-only, in a chain of hashes
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from cspine_bench.errors import DataError
from cspine_bench.study.protocol import Protocol, compute_protocol_sha256, parse_protocol
from cspine_bench.study.schedule import Schedule
from cspine_bench.study.truth import Truth


@dataclass(frozen=True)
class StudyPaths:
    """Names inside a study folder."""

    folder: Path

    @property
    def protocol(self) -> Path:
        return self.folder / "protocol.yaml"

    @property
    def protocol_sha256(self) -> Path:
        return self.folder / "protocol.sha256"

    @property
    def frames(self) -> Path:
        return self.folder / "frames.bin"

    @property
    def schedule(self) -> Path:
        return self.folder / "schedule.json"

    @property
    def truth(self) -> Path:
        return self.folder / "sealed" / "truth.json"

    @property
    def page(self) -> Path:
        return self.folder / "plan.html"

    @property
    def ledger(self) -> Path:
        return self.folder / "study.sqlite"


@dataclass(frozen=True)
class StudyFolder:
    """A study whose protocol is what it was when it was frozen."""

    paths: StudyPaths
    protocol: Protocol
    protocol_sha256: str


def open_study(folder: Path) -> StudyFolder:
    """Open a planned study.

    The hash beside the protocol guards against edits by mistake; that in the first record of the ledger, which the
    ledger checks, against edits of both.

    Raises:
        DataError: no study lies there, or its protocol was edited after it was frozen.
    """
    paths = StudyPaths(folder)
    try:
        data = paths.protocol.read_bytes()
        frozen = paths.protocol_sha256.read_text().split()[0]
    except (OSError, IndexError, UnicodeDecodeError) as error:
        raise DataError(f"{folder}: holds no study; make one with `cspine-bench study plan`") from error
    found = compute_protocol_sha256(data)
    if found != frozen:
        raise DataError(
            f"{paths.protocol}: was edited after it was frozen (SHA-256 {found[:12]}..., frozen {frozen[:12]}...); put "
            "the frozen file back, or plan a new study: a frozen one never changes"
        )
    return StudyFolder(paths, parse_protocol(data, where=str(paths.protocol)), found)


def load_schedule(study: StudyFolder) -> Schedule:
    """What every reader sees.

    Raises:
        DataError: missing, or not the one of the protocol.
    """
    data = _read_sealed(study.paths.schedule, study.protocol.schedule_sha256, "schedule")
    try:
        return Schedule.model_validate(json.loads(data))
    except (ValueError, ValidationError) as error:
        raise DataError(f"{study.paths.schedule}: is no schedule; plan the study again") from error


def load_truth(study: StudyFolder, path: Path | None = None) -> Truth:
    """Which frame is real. Only `study unblind` and what comes after it may ask.

    Args:
        study: of the truth.
        path: where the sealed file is kept; None: in the study's folder.

    Raises:
        DataError: missing, or not the one that was sealed.
    """
    path = path or study.paths.truth
    data = _read_sealed(path, study.protocol.truth_sha256, "truth")
    try:
        return Truth.model_validate(json.loads(data))
    except (ValueError, ValidationError) as error:
        raise DataError(f"{path}: is no truth file; give the one that `study plan` sealed") from error


def _read_sealed(path: Path, sha256: str, what: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); the study needs its {what}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(f"{path}: is not the {what} that the protocol was frozen with; put that file back")
    return data


def map_frames(study: StudyFolder) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The frames as they are shown, (count, height, width), read from disk as they are asked for.

    Raises:
        DataError: missing, or of another length than the protocol says.
    """
    frames, path = study.protocol.frames, study.paths.frames
    dtype = np.dtype("<u2" if frames.bit_depth == 16 else "u1")
    shape = (frames.count, frames.height, frames.width)
    expected = frames.count * frames.height * frames.width * dtype.itemsize
    try:
        found = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); put the file back") from error
    if found != expected:
        raise DataError(f"{path}: has {found:,} bytes, the protocol says {expected:,}; put the file back")
    return np.memmap(path, dtype=dtype, mode="r", shape=shape)


def read_frame(study: StudyFolder, number: int) -> bytes:
    """Bytes of one frame, that are those which were frozen under its number.

    Raises:
        DataError: they are not, or cannot be read: what is swapped would be judged for something else.
    """
    frames, path = study.protocol.frames, study.paths.frames
    length = frames.width * frames.height * frames.bit_depth // 8
    try:
        with path.open("rb") as file:
            file.seek(number * length)
            data = file.read(length)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); put the file back") from error
    if hashlib.sha256(data).hexdigest() != frames.frame_sha256[number]:
        raise DataError(
            f"{path}: frame {number} is not what the protocol was frozen with; put that file back, and find out what "
            "readers were shown since it was changed"
        )
    return data


def check_frames(study: StudyFolder) -> None:
    """See that all frames are what was frozen.

    Raises:
        DataError: missing, or of another length or content than the protocol says; names the first frame.
    """
    map_frames(study)
    for number in range(study.protocol.frames.count):
        read_frame(study, number)
