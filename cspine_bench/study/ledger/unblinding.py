"""Opening the truth: once, on the record, after the last answer."""

import json
from dataclasses import dataclass
from pathlib import Path

from cspine_bench.errors import DataError
from cspine_bench.study.folder import StudyFolder, check_frames, load_schedule, load_truth
from cspine_bench.study.ledger.progress import list_incomplete
from cspine_bench.study.ledger.record import Record
from cspine_bench.study.ledger.store import Ledger
from cspine_bench.study.truth import Truth


@dataclass(frozen=True, slots=True)
class Unblinding:
    """That the truth was opened.

    Attributes:
        time: when, UTC.
        earlier: whether that was before this call.
        incomplete: readers whose trials were not all answered then.
        reason: why it was opened all the same; "": every trial was answered.
    """

    time: str
    earlier: bool
    incomplete: tuple[str, ...]
    reason: str


def unblind_study(ledger: Ledger, *, truth_path: Path | None = None, reason: str = "") -> Unblinding:
    """Open the truth and record it; from then on no answer counts. A second time only tells of the first.

    Args:
        ledger: of the study; the whole chain is verified first.
        truth_path: where the sealed file is kept; None: in the study's folder.
        reason: why to do it before every trial is answered; it is recorded.

    Raises:
        DataError: the chain is broken, frames or truth are not what was frozen, or trials have no answer and no
            reason is given.
    """
    study = ledger.study
    ledger.verify()
    check_frames(study)
    truth = load_truth(study, truth_path)
    if len(truth.frames) != study.protocol.frames.count:
        raise DataError(
            f"the truth tells of {len(truth.frames)} frames and the protocol of {study.protocol.frames.count}; the "
            "study was sealed with a fault: plan it again"
        )
    with ledger.transaction():
        before = find_unblinding(ledger)
        if before is not None:
            return _describe(before, earlier=True)
        incomplete = list_incomplete(ledger, load_schedule(study))
        if incomplete and not reason.strip():
            raise DataError(
                f"{study.paths.folder}: not every trial is answered: {', '.join(incomplete)}; answers end with "
                'unblinding. Wait, or say why not with --incomplete "REASON", which is recorded and reported'
            )
        body = {
            "truth_sha256": study.protocol.truth_sha256,
            "incomplete": incomplete,
            "reason": reason.strip() if incomplete else "",
        }
        return _describe(ledger.append("unblind", body=body), earlier=False)


def find_unblinding(ledger: Ledger) -> Record | None:
    """The record that the truth was opened; None: it is sealed."""
    return next(ledger.iter_records("unblind"), None)


def open_truth(study: StudyFolder, ledger: Ledger, truth_path: Path | None = None) -> Truth:
    """Which frame is real, once the study is unblinded.

    Args:
        study: of the truth.
        ledger: of the study.
        truth_path: where the sealed file is kept; None: in the study's folder.

    Raises:
        DataError: the study is not unblinded, or the file is not what was sealed.
    """
    if find_unblinding(ledger) is None:
        raise DataError(
            f"{study.paths.folder}: is not unblinded; when the last answer is in, do so with `cspine-bench study "
            "unblind`, which is recorded"
        )
    return load_truth(study, truth_path)


def _describe(record: Record, *, earlier: bool) -> Unblinding:
    body = json.loads(record.body)
    return Unblinding(record.time, earlier, tuple(body["incomplete"]), body["reason"])
