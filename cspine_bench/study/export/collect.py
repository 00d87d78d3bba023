"""Answers of a ledger, put beside what was shown, and, once that may be known, beside what it was."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from cspine_bench.study.folder import StudyFolder, load_schedule
from cspine_bench.study.ledger.store import Ledger
from cspine_bench.study.responses import Rating, Responses, Trial
from cspine_bench.study.schedule import PlannedTrial, Schedule, blinded_name
from cspine_bench.study.truth import REAL, Truth


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer with the display set that it is to.

    Attributes:
        reader: pseudonym.
        place: in the reader's order, from 0.
        planned: what was shown.
        time: when the server had it, UTC.
        pick: pane from 1; None for single images.
        said: `real` or `synthetic` for single images; None for others.
        ratings: for each pane, or empty.
        elapsed_ms: from the images' appearance to the answer, by the reader's machine.
        hidden_ms: part of it in which the page was out of view.
        since_shown_ms: from when the trial was first given out, by the server; None: it was not given out.
        actions: what was done to the views.
        comment: of the reader.
    """

    reader: str
    place: int
    planned: PlannedTrial
    time: str
    pick: int | None
    said: str | None
    ratings: tuple[int, ...]
    elapsed_ms: float
    hidden_ms: float
    since_shown_ms: float | None
    actions: dict[str, object]
    comment: str

    @property
    def picked_frame(self) -> int:
        """Frame that was picked; for a single image that image."""
        return self.planned.frames[(self.pick or 1) - 1]


def iter_answers(ledger: Ledger, schedule: Schedule) -> Iterator[Answered]:
    """All answers, by reader in the order of the schedule, then in the order in which each reader saw the trials."""
    planned = {own.reader: own.trials for own in schedule.readers}
    records = list(ledger.iter_records("answer"))
    for own in schedule.readers:
        for record in sorted((item for item in records if item.reader == own.reader), key=lambda item: item.trial or 0):
            body, place = json.loads(record.body), record.trial or 0
            yield Answered(
                reader=own.reader,
                place=place,
                planned=planned[own.reader][place],
                time=record.time,
                pick=body["pick"],
                said=body["said"],
                ratings=tuple(body["ratings"]),
                elapsed_ms=body["elapsed_ms"],
                hidden_ms=body["hidden_ms"],
                since_shown_ms=body["since_shown_ms"],
                actions=body["actions"],
                comment=body["comment"],
            )


def name_image(frame: int) -> str:
    """Name of an image in tables: the same for all readers and repeats."""
    return f"I{frame:05d}"


def blind(answered: Answered, schedule: Schedule) -> Answered:
    """The same answer to what tells nothing: a positive control among single images is synthetic by its kind alone.

    Its display set is called after its image, and its kind `main`.
    """
    planned = answered.planned
    if len(planned.frames) > 1:
        return answered
    kind = "main" if planned.kind == "positive-control" else planned.kind
    case = blinded_name(schedule, planned.frames[0])
    return replace(answered, planned=planned.model_copy(update={"case": case, "kind": kind}))


def collect_responses(study: StudyFolder, ledger: Ledger, truth: Truth) -> Responses:
    """All answers with what was picked, rated and right.

    A pick is right when it is the real image; in a display set without one, such as a negative control, none is.
    Trials without an answer are not there.

    Args:
        study: of the answers.
        ledger: its.
        truth: its, as `open_truth` gives it.

    Raises:
        DataError: the schedule is missing or not that of the protocol.
    """
    recipe = study.protocol.recipe
    answers = list(iter_answers(ledger, load_schedule(study)))
    return Responses(
        design=recipe.design,
        num_steps=len(recipe.anchors),
        trials=tuple(_build_trial(answered, truth) for answered in answers),
        ratings=tuple(rating for answered in answers for rating in _build_ratings(answered, truth)),
        simulated=any(ledger.iter_records("simulated")),
    )


def _build_trial(answered: Answered, truth: Truth) -> Trial:
    source = truth.frames[answered.picked_frame].source
    return Trial(
        reader=answered.reader,
        quartet=answered.planned.case,
        trial_index=answered.place + 1,
        kind=answered.planned.kind,
        picked_position=answered.pick,
        picked_source=source if answered.said is None else answered.said,
        correct=(answered.said in (None, REAL)) == (source == REAL),
        response_time_s=answered.elapsed_ms / 1000,
        picked_image=None if answered.said is not None else name_image(answered.picked_frame),
    )


def _build_ratings(answered: Answered, truth: Truth) -> Iterator[Rating]:
    rated = zip(answered.planned.frames, answered.ratings, strict=False)  # No ratings, where none were asked for.
    for position, (frame, rating) in enumerate(rated, 1):
        yield Rating(
            reader=answered.reader,
            quartet=answered.planned.case,
            kind=answered.planned.kind,
            image_id=name_image(frame),
            source=truth.frames[frame].source,
            position=position,
            rating=rating,
        )
