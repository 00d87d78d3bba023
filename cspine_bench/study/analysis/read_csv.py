"""The tables of a study as CSV files: trials, ratings and repeats, checked against each other.

trials:  reader, quartet, trial_index, picked_position, picked_source, correct, response_time_s [, kind] [, image_id]
ratings: reader, quartet, image_id, source, position, rating [, kind]
repeats: reader, quartet, image_id, source, rating_1, rating_2, picked_1, picked_2
"""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from cspine_bench.errors import DataError
from cspine_bench.results import Input
from cspine_bench.study.analysis.csv_rows import Row, Table, name_near, read_rows
from cspine_bench.study.analysis.read_repeats import REPEATS, add_repeats_table
from cspine_bench.study.analysis.table import SYNTHETIC, build_table
from cspine_bench.study.recipe import NUM_PANES, Design
from cspine_bench.study.responses import Rating, Responses, Trial
from cspine_bench.study.schedule import TrialKind
from cspine_bench.study.truth import REAL

TRIALS: Final = (
    "reader", "quartet", "trial_index", "picked_position", "picked_source", "correct", "response_time_s"
)  # fmt: skip
RATINGS: Final = ("reader", "quartet", "image_id", "source", "position", "rating")
KINDS: Final = get_args(TrialKind)
NUM_STEPS: Final = 4
"""Steps of the rating scale where nothing else is said."""
MADE_UP: Final = "simulated.json"
"""Beside tables whose readers were made up."""


@dataclass(frozen=True)
class Tables:
    """A study that was read.

    Attributes:
        responses: all answers.
        inputs: the files.
        notes: what a reader of the results should know of them.
    """

    responses: Responses
    inputs: tuple[Input, ...]
    notes: tuple[str, ...]


def read_tables(
    trials: Path,
    ratings: Path | None = None,
    repeats: Path | None = None,
    *,
    design: Design | None = None,
    num_steps: int = NUM_STEPS,
) -> Tables:
    """Read and check the tables of a study.

    Args:
        trials: a row for each answer.
        ratings: a row for each image rated; None: none were.
        repeats: a row for each image that a reader saw twice; None: repeats are in the other tables, or there are none.
        design: of the display sets; None: by the number of panes in the tables.
        num_steps: of the rating scale.

    Raises:
        DataError: a file cannot be read, or is wrong in itself or beside the others; names file, line and column.
    """
    files = {"trials": read_rows(trials, TRIALS, optional=("kind", "image_id"))}
    if ratings is not None:
        files["ratings"] = read_rows(ratings, RATINGS, optional=("kind",))
    if repeats is not None:
        files["repeats"] = read_rows(repeats, REPEATS)
    given = _read_ratings(files["ratings"], num_steps) if ratings is not None else ()
    design = design or _infer_design(files["trials"], given)
    answers = _read_trials(files["trials"], design)
    notes = _match_ratings(files.get("ratings"), given, answers, design)
    _check_truth(files["trials"], answers, given, design)
    if repeats is not None:
        answers, given = add_repeats_table(
            files["repeats"], answers, given, design, num_steps, rated=ratings is not None
        )
    responses = Responses(
        design, num_steps, tuple(answers), tuple(rating for _, rating in given), simulated=_is_made_up(trials)
    )
    try:
        build_table(responses)
    except DataError as error:
        raise DataError(f"{trials}: {error}") from error
    inputs = tuple(
        Input(role=role, name=file.path.name, digest=file.digest, num_samples=len(file.rows))
        for role, file in files.items()
    )
    notes += tuple(f"{file.path.name}: {', '.join(file.unused)}: not used" for file in files.values() if file.unused)
    return Tables(responses, inputs, notes)


def _is_made_up(trials: Path) -> bool:
    try:
        sign = json.loads((trials.parent / MADE_UP).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(sign, dict) and sign.get("simulated") is True and trials.name in sign.get("files", [])


def _read_kind(row: Row) -> TrialKind:
    kind = row.cells["kind"] or "main"
    for known in KINDS:
        if kind == known:
            return known  # type: ignore[no-any-return]
    return row.fail("kind", f"is none of {', '.join(KINDS)}", "write one of them, or leave the cell empty for main")


def _infer_design(table: Table, ratings: Sequence[tuple[Row, Rating]]) -> Design:
    """By the most images of a display set that a reader rated; else by panes picked."""
    sets = Counter((rating.reader, rating.quartet, rating.kind) for _, rating in ratings)
    panes = max(sets.values(), default=0)
    if not panes:
        said = {row.cells["picked_source"] for row in table.rows}
        told = {row.cells["picked_position"] for row in table.rows}
        if told <= {"", "1"} and said <= {REAL, SYNTHETIC}:
            panes = 1
        else:
            panes = 4 if told - {"", "1", "2"} or len(said) > 3 else 2
    for design, count in NUM_PANES.items():
        if count == panes:
            return design
    raise DataError(
        f"{table.path}: display sets have {panes} images; a quartet has 4, a pair 2, a single one: name one by --design"
    )


def _read_trials(table: Table, design: Design) -> list[Trial]:
    trials: list[Trial] = []
    lines: dict[tuple[str, str, str], int] = {}
    panes = NUM_PANES[design]
    for row in table.rows:
        reader, case, kind = row.read_name("reader"), row.read_name("quartet"), _read_kind(row)
        key = (reader, case, kind)
        if key in lines:
            row.fail(
                "quartet", f"reader {reader!r} answered it in line {lines[key]} already (kind {kind})",
                "keep one answer, or give the second the kind `repeat`",
            )  # fmt: skip
        lines[key] = row.line
        source, position = row.read_name("picked_source"), None
        if source.lower() in (REAL, SYNTHETIC) and source != source.lower():
            row.fail("picked_source", f"is not spelled {source.lower()!r}", "spell it in small letters")
        if design == "single":
            if source not in (REAL, SYNTHETIC):
                row.fail("picked_source", f"is neither {REAL} nor {SYNTHETIC}", "write what a single image was called")
        else:
            step = f"write the pane that was picked; a {design} has {panes}"
            position = row.read_whole("picked_position", least=1, most=panes, step=step)
        trials.append(
            Trial(
                reader=reader,
                quartet=case,
                trial_index=row.read_whole("trial_index", least=1, step="number the trials of each reader from 1"),
                kind=kind,
                picked_position=position,
                picked_source=source,
                correct=row.read_yes_no("correct"),
                response_time_s=row.read_seconds("response_time_s"),
                picked_image=(row.cells["image_id"] or None) if design != "single" else None,
            )
        )
    return trials


def _read_ratings(table: Table, num_steps: int) -> tuple[tuple[Row, Rating], ...]:
    ratings: list[tuple[Row, Rating]] = []
    seen: dict[tuple[str, ...], int] = {}
    sources: dict[tuple[str, str], tuple[str, int]] = {}
    for row in table.rows:
        rating = Rating(
            reader=row.read_name("reader"),
            quartet=row.read_name("quartet"),
            kind=_read_kind(row),
            image_id=row.read_name("image_id"),
            source=row.read_name("source"),
            position=row.read_whole("position", least=1, most=4, step="write the pane of the image, from 1"),
            rating=row.read_whole(
                "rating", least=1, most=num_steps, step="mend it, or say by --steps how many steps the scale has"
            ),
        )
        if rating.source.lower() == REAL and rating.source != REAL:
            row.fail("source", f"is not spelled {REAL!r}", "spell it in small letters")
        for column, value in (("image_id", rating.image_id), ("position", str(rating.position))):
            key = (column, rating.reader, rating.quartet, rating.kind, value)
            if key in seen:
                row.fail(
                    column, f"stands in line {seen[key]} too, for the same reader and display set",
                    "keep one rating of each image, each in its pane",
                )  # fmt: skip
            seen[key] = row.line
        source, line = sources.setdefault((rating.quartet, rating.image_id), (rating.source, row.line))
        if source != rating.source:
            row.fail("source", f"image {rating.image_id!r} is of {source!r} in line {line}", "an image has one source")
        ratings.append((row, rating))
    return tuple(ratings)


def _match_ratings(
    table: Table | None, ratings: Sequence[tuple[Row, Rating]], trials: Sequence[Trial], design: Design
) -> tuple[str, ...]:
    """Ratings are of readers and display sets that the trials know; what stands alone is told."""
    if table is None:
        return ()
    readers, cases = {trial.reader for trial in trials}, {trial.quartet for trial in trials}
    answered = {(trial.reader, trial.quartet, trial.kind) for trial in trials}
    alone = 0
    for row, rating in ratings:
        if rating.reader not in readers:
            row.fail("reader", "has no trial", f"{name_near(rating.reader, readers)}give this reader's answers too")
        if rating.quartet not in cases:
            row.fail("quartet", "is in no trial", f"{name_near(rating.quartet, cases)}give the answers to it too")
        if rating.position > NUM_PANES[design]:
            row.fail("position", f"a {design} has {NUM_PANES[design]}", "mend it, or name another --design")
        alone += (rating.reader, rating.quartet, rating.kind) not in answered
    if not alone:
        return ()
    return (f"{alone:,} ratings belong to trials without an answer; they are in the analysis of ratings alone",)


def _check_truth(table: Table, trials: Sequence[Trial], ratings: Sequence[tuple[Row, Rating]], design: Design) -> None:
    """What was picked, where, and whether it was right fit together."""
    by_pane = {(r.reader, r.quartet, r.kind, r.position): r.source for _, r in ratings}
    sources = {(rating.quartet, rating.kind): rating.source for _, rating in ratings}
    rated: dict[str, set[str]] = defaultdict(set)
    for _, rating in ratings:
        rated[rating.kind].add(rating.source)
    truth: dict[tuple[str, str], tuple[bool, int]] = {}
    for row, trial in zip(table.rows, trials, strict=True):
        said = trial.picked_source == REAL
        if design == "single":
            is_real = said == trial.correct
            of = sources.get((trial.quartet, trial.kind))
            if of is not None and is_real != (of == REAL):
                row.fail(
                    "correct", f"the image is of {of!r} and was called {trial.picked_source!r}", "mend one of them"
                )
            before, line = truth.setdefault((trial.quartet, trial.kind), (is_real, row.line))
            if before != is_real:
                row.fail(
                    "correct", f"by line {line} the image is {'real' if before else 'synthetic'}", "mend one of them"
                )
            continue
        if trial.correct != said:
            row.fail("correct", f"does not fit picked_source = {trial.picked_source!r}", "mend one of them")
        known = rated.get(trial.kind)
        if known and trial.picked_source not in known:
            step = f"{name_near(trial.picked_source, known)}the ratings know {', '.join(sorted(known))}"
            row.fail("picked_source", "is no source of any rated image", step)
        shown = by_pane.get((trial.reader, trial.quartet, trial.kind, trial.picked_position or 0))
        if shown is not None and shown != trial.picked_source:
            what = f"by the ratings, pane {trial.picked_position} showed {shown!r}"
            row.fail("picked_source", what, "mend one of the tables")
