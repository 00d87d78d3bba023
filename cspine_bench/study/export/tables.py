"""Tables of an export: rows as dictionaries, in the order of their columns."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from cspine_bench.measurement.csv_table import render_csv_table
from cspine_bench.study.export.collect import Answered, name_image
from cspine_bench.study.truth import REAL, Truth

Row = dict[str, Any]
Name = Callable[[int], str]


def list_trials(answers: Iterable[Answered], truth: Truth | None, name: Name = name_image) -> list[Row]:
    """One row for each answer.

    Args:
        answers: of the study.
        truth: None: the study is blinded, and columns that tell it are left out.
        name: what an image is called, by its frame.
    """
    return [_build_trial(answered, truth, name) for answered in answers]


def _build_trial(answered: Answered, truth: Truth | None, name: Name) -> Row:
    row: Row = {
        "reader": answered.reader,
        "quartet": answered.planned.case,
        "trial_index": answered.place + 1,
        "picked_position": answered.pick,
    }
    if truth is not None:
        source = truth.frames[answered.picked_frame].source
        row["picked_source"] = answered.said or source
        row["correct"] = int((answered.said in (None, REAL)) == (source == REAL))
    return row | {
        "response_time_s": f"{answered.elapsed_ms / 1000:.3f}",
        "kind": answered.planned.kind,
        "said": answered.said,
        "image_id": name(answered.picked_frame),
        "hidden_s": f"{answered.hidden_ms / 1000:.3f}",
        "answered_at": answered.time,
    }


def list_ratings(answers: Iterable[Answered], truth: Truth | None, name: Name = name_image) -> list[Row]:
    """One row for each rated image. Arguments as of `list_trials`."""
    return [
        {
            "reader": answered.reader,
            "quartet": answered.planned.case,
            "image_id": name(frame),
            **({} if truth is None else {"source": truth.frames[frame].source}),
            "position": position,
            "rating": rating,
            "kind": answered.planned.kind,
        }
        for answered in answers
        for position, (frame, rating) in enumerate(zip(answered.planned.frames, answered.ratings, strict=False), 1)
    ]


def list_repeats(answers: Sequence[Answered], truth: Truth | None, name: Name = name_image) -> list[Row]:
    """One row for each image that a reader saw twice: rating and pick of both times. Arguments as of `list_trials`."""
    first = {
        (answered.reader, answered.planned.case): answered for answered in answers if answered.planned.kind == "main"
    }
    return [
        row
        for again in answers
        if again.planned.kind == "repeat" and (again.reader, again.planned.case) in first
        for row in _pair(first[again.reader, again.planned.case], again, truth, name)
    ]


def _pair(once: Answered, again: Answered, truth: Truth | None, name: Name) -> Iterator[Row]:
    for frame in once.planned.frames:
        if frame not in again.planned.frames:
            continue
        row: Row = {"reader": once.reader, "quartet": once.planned.case, "image_id": name(frame)}
        if truth is not None:
            row["source"] = truth.frames[frame].source
        for number, answered in ((1, once), (2, again)):
            pane = answered.planned.frames.index(frame)
            row[f"rating_{number}"] = answered.ratings[pane] if answered.ratings else None
        for number, answered in ((1, once), (2, again)):
            is_picked = answered.picked_frame == frame if answered.said is None else answered.said == REAL
            row[f"picked_{number}"] = int(is_picked)
        yield row


def list_images(truth: Truth) -> list[Row]:
    """One row for each frame: what it is."""
    return [
        {
            "image_id": name_image(number),
            "source": frame.source,
            "dataset": frame.dataset,
            "sample_id": frame.sample_id,
            "changed": frame.changed,
        }
        for number, frame in enumerate(truth.frames)
    ]


def render_rows(rows: Sequence[Row], columns: Sequence[str]) -> bytes:
    """A table as CSV in UTF-8; None is an empty cell."""
    return render_csv_table(columns, ([row[name] for name in columns] for row in rows)).encode()
