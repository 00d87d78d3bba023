"""Answers: what one must hold, that the first one counts, and that sending it twice changes nothing."""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cspine_bench.errors import CspineBenchError
from cspine_bench.provenance import canonical_json
from cspine_bench.study.ledger.plain_json import check_small_json
from cspine_bench.study.ledger.record import Record, format_now, parse_time
from cspine_bench.study.ledger.sessions import has_many
from cspine_bench.study.ledger.store import Ledger
from cspine_bench.study.protocol import Protocol
from cspine_bench.study.schedule import ReaderSchedule, Schedule, trial_id

COMMENT_LENGTH: Final = 500
ACTIONS_LENGTH: Final = 8192
_WEEK_MS: Final = 7 * 24 * 3600 * 1000
_UUID: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

Why = Literal["unfit", "unknown", "answered", "closed"]
Milliseconds = Annotated[float, Field(ge=0, le=_WEEK_MS)]


class Answer(BaseModel):
    """What a reader's page sends for one trial.

    Args:
        answer: UUID that the page made for it, in lower case.
        trial: opaque id of the trial.
        pick: pane, from 1, of the image that the reader holds real; None for single images.
        said: for single images; None for others.
        ratings: step of the scale for each pane, from left to right; empty where the study asks for none.
        elapsed_ms: from the images' appearance to the answer, by the monotonic clock of the reader's machine.
        hidden_ms: part of it in which the page was not in view.
        actions: what was done to the views; JSON of up to 8192 characters.
        comment: what the reader wrote.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    answer: Annotated[str, Field(pattern=_UUID)]
    trial: Annotated[str, Field(min_length=1, max_length=64)]
    pick: Annotated[int, Field(ge=1, le=64)] | None
    said: Literal["real", "synthetic"] | None
    ratings: Annotated[list[Annotated[int, Field(ge=1, le=64)]], Field(max_length=64)]
    elapsed_ms: Milliseconds
    hidden_ms: Milliseconds
    actions: Annotated[dict[str, Any], AfterValidator(lambda value: check_small_json(value, ACTIONS_LENGTH))] = {}
    comment: Annotated[str, Field(max_length=COMMENT_LENGTH)] = ""


@dataclass(frozen=True, slots=True)
class Saved:
    """That an answer is on the disk.

    Attributes:
        done: trials that the reader had answered with this one.
        total: trials of the reader.
        again: whether it had been saved before.
    """

    done: int
    total: int
    again: bool


class AnswerRefused(CspineBenchError):
    """An answer that does not count, and why: it does not fit, no such trial, too late, or the study is over."""

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(message)
        self.why = why


def current_trial(ledger: Ledger, schedule: Schedule, reader: str) -> int | None:
    """Place of the reader's first trial without an answer, from 0; None: all are answered.

    Raises:
        KeyError: there is no such reader.
    """
    total = len(schedule.find(reader).trials)
    rows = ledger.query("SELECT trial FROM records WHERE kind = 'answer' AND reader = ? ORDER BY trial", reader)
    answered = {row[0] for row in rows}
    return next((place for place in range(total) if place not in answered), None)


def save_answer(ledger: Ledger, schedule: Schedule, reader: str, answer: Answer) -> Saved:
    """Save the answer to the reader's current trial; it is on the disk when this returns.

    The same answer again is no error, and counts once. Another answer to a trial that has one does not count, and that
    it came is recorded.

    Args:
        ledger: of the study.
        schedule: of the study.
        reader: who answers.
        answer: as it came.

    Raises:
        AnswerRefused: it does not count; nothing else changed.
        KeyError: there is no such reader.
    """
    own = schedule.find(reader)
    with ledger.transaction():
        current = current_trial(ledger, schedule, reader)
        place = _find_place(schedule, own, current, answer.trial)
        refusal = _find_refusal(ledger, own, place, current, answer)
        if isinstance(refusal, Saved):
            return refusal
        if refusal is None:
            ledger.append("answer", reader, place, answer.answer, _build_body(ledger, reader, place, answer))
            return Saved(place + 1, len(own.trials), again=False)
    raise refusal


def _find_place(schedule: Schedule, own: ReaderSchedule, current: int | None, asked: str) -> int:
    """Place of a trial in the reader's order; -1: it is none of theirs. The current one is tried first."""
    places = [*([] if current is None else [current]), *range(len(own.trials))]
    return next((place for place in places if trial_id(schedule, own.reader, place) == asked), -1)


def _find_refusal(
    ledger: Ledger, own: ReaderSchedule, place: int, current: int | None, answer: Answer
) -> AnswerRefused | Saved | None:
    """Why it does not count, or that it did already; None: it is to be saved."""
    if place < 0:
        return AnswerRefused("unknown", "you have no such trial; ask for the current one")
    unfit = find_unfit(ledger.study.protocol, answer)
    if unfit:
        return AnswerRefused("unfit", unfit)
    before = next(ledger.select("answer_id = ?", answer.answer), None)
    if before is not None and _is_the_same(before, own.reader, place, answer):
        return Saved(place + 1, len(own.trials), again=True)
    if before is None and place == current:
        if any(ledger.iter_records("unblind")):
            return AnswerRefused("closed", "this study is over, and takes no more answers")
        return None
    if before is None and current is not None and place > current:
        return AnswerRefused("unknown", "you have no such trial; ask for the current one")
    if before is None and not has_many(ledger, "refused", own.reader):
        why = {"why": "the trial has an answer", "pick": answer.pick, "said": answer.said, "ratings": answer.ratings}
        ledger.append("refused", own.reader, place, answer.answer, why)
    return AnswerRefused("answered", "this trial has an answer already, and the first one counts; go on with the next")


def _is_the_same(before: Record, reader: str, place: int, answer: Answer) -> bool:
    stored = json.loads(before.body)
    sent = answer.model_dump(mode="json", exclude={"answer"})
    return (before.kind, before.reader, before.trial) == ("answer", reader, place) and canonical_json(
        {name: value for name, value in stored.items() if name != "since_shown_ms"}
    ) == canonical_json(sent)


def _build_body(ledger: Ledger, reader: str, place: int, answer: Answer) -> dict[str, Any]:
    shown = next(ledger.select("kind = 'shown' AND reader = ? AND trial = ? ORDER BY seq", reader, place), None)
    since = None
    if shown is not None:
        gone = parse_time(format_now()) - parse_time(shown.time)
        since = max(0, round(gone.total_seconds() * 1000))  # A clock that was set back gives 0.
    return {**answer.model_dump(mode="json", exclude={"answer"}), "since_shown_ms": since}


def find_unfit(protocol: Protocol, answer: Answer) -> str:
    """Why an answer is none to a trial of this study; "": it is one."""
    recipe = protocol.recipe
    if recipe.design == "single":
        if answer.pick is not None or answer.said is None:
            return "said must be `real` or `synthetic` and pick null: single images are judged, not picked"
    elif answer.said is not None or answer.pick is None or answer.pick > recipe.num_panes:
        return f"pick must be a pane from 1 to {recipe.num_panes}, and said null"
    wanted, steps = recipe.num_panes if recipe.ratings else 0, len(recipe.anchors)
    if len(answer.ratings) != wanted:
        return f"ratings must be {wanted}, one for each pane in which a rating is asked for; got {len(answer.ratings)}"
    if any(rating > steps for rating in answer.ratings):
        return f"ratings must be whole numbers from 1 to {steps}"
    return ""
