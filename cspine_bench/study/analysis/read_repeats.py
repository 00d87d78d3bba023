"""The table of repeats: images that a reader saw twice, both readings in one row."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cspine_bench.errors import DataError
from cspine_bench.study.analysis.csv_rows import Row, Table, name_near
from cspine_bench.study.analysis.table import SYNTHETIC
from cspine_bench.study.recipe import Design
from cspine_bench.study.responses import Rating, Trial
from cspine_bench.study.truth import REAL

REPEATS: Final = ("reader", "quartet", "image_id", "source", "rating_1", "rating_2", "picked_1", "picked_2")
_MEND: Final = "mend one of the tables"


@dataclass(frozen=True)
class _Twice:
    """A row: what a reader did with one image, both times."""

    row: Row
    reader: str
    case: str
    image: str
    source: str
    picked: tuple[bool, bool]


def add_repeats_table(
    table: Table,
    trials: Sequence[Trial],
    ratings: Sequence[tuple[Row, Rating]],
    design: Design,
    num_steps: int,
    *,
    rated: bool,
) -> tuple[list[Trial], tuple[tuple[Row, Rating], ...]]:
    """Add second readings as trials and ratings of kind `repeat`; those that are in the other tables must be the same.

    Args:
        table: of the repeats.
        trials: all others.
        ratings: all others, each with the row that it comes from.
        design: of the display sets.
        num_steps: of the rating scale.
        rated: whether there is a table of ratings; without one, ratings of repeats are not read.

    Raises:
        DataError: a repeat of nothing, an image twice, or readings that do not fit the other tables.
    """
    first = {(trial.reader, trial.quartet): trial for trial in trials if trial.kind == "main"}
    twice = _read(table, first, design)
    again = {(trial.reader, trial.quartet): trial for trial in trials if trial.kind == "repeat"}
    added = [
        trial
        for trial in _collect_picks(table, twice, design)
        if _is_new(table, trial, again.get((trial.reader, trial.quartet)))
    ]
    images = {(one.reader, one.case): one.image for one in twice if one.picked[0]}
    known = [
        replace(trial, picked_image=images.get((trial.reader, trial.quartet), trial.picked_image))
        if trial.kind == "main" and design != "single"
        else trial
        for trial in trials
    ]
    more = _collect_ratings(twice, ratings, num_steps) if rated else []
    return [*known, *added], (*ratings, *more)


def _read(table: Table, first: Mapping[tuple[str, str], Trial], design: Design) -> list[_Twice]:
    twice, seen = [], dict[tuple[str, str, str], int]()
    for row in table.rows:
        reader, case, image = row.read_name("reader"), row.read_name("quartet"), row.read_name("image_id")
        source = row.read_name("source")
        if (line := seen.setdefault((reader, case, image), row.line)) != row.line:
            row.fail("image_id", f"stands in line {line} too", "keep one row for each image")
        if (reader, case) not in first:
            near = name_near(reader, {known for known, _ in first})
            row.fail("quartet", f"reader {reader!r} has no first answer to it", f"{near}mend the tables")
        picked = (row.read_yes_no("picked_1"), row.read_yes_no("picked_2"))
        before = first[reader, case].picked_source
        if design == "single" and picked[0] != (before == REAL):
            row.fail("picked_1", f"by the trials the image was called {before!r} first", _MEND)
        if design != "single" and picked[0] and before != source:
            row.fail("picked_1", f"by the trials an image of {before!r} was picked first", _MEND)
        twice.append(_Twice(row, reader, case, image, source, picked))
    return twice


def _collect_picks(table: Table, twice: Sequence[_Twice], design: Design) -> list[Trial]:
    held: dict[tuple[str, str], list[_Twice]] = defaultdict(list)
    for one in twice:
        held[one.reader, one.case].append(one)
    trials = []
    for (reader, case), its in held.items():
        chosen = [one for one in its if one.picked[1]]
        if design == "single":
            said = REAL if chosen else SYNTHETIC
            right = (its[0].source == REAL) == bool(chosen)
            trials.append(Trial(reader, case, 1, "repeat", None, said, right, None))
            continue
        if len(chosen) != 1:
            raise DataError(
                f"{table.path}: line {its[0].row.line}: reader {reader!r} has {len(chosen)} images of {case!r} with "
                "picked_2 = 1; mark the one that was picked"
            )
        source = chosen[0].source
        trials.append(Trial(reader, case, 1, "repeat", None, source, source == REAL, None, chosen[0].image))
    return trials


def _is_new(table: Table, trial: Trial, there: Trial | None) -> bool:
    if there is not None and there.picked_source != trial.picked_source:
        raise DataError(
            f"{table.path}: picked_2: reader {trial.reader!r} picked {trial.picked_source!r} in the repeat of "
            f"{trial.quartet!r}, by the trials {there.picked_source!r}; {_MEND}"
        )
    return there is None


def _collect_ratings(
    twice: Sequence[_Twice], ratings: Sequence[tuple[Row, Rating]], num_steps: int
) -> list[tuple[Row, Rating]]:
    given = {(r.reader, r.quartet, str(r.kind), r.image_id): r.rating for _, r in ratings}
    added: list[tuple[Row, Rating]] = []
    step = "mend it, or say by --steps how many steps the scale has"
    for one in twice:
        values = [one.row.read_whole(name, least=1, most=num_steps, step=step) for name in ("rating_1", "rating_2")]
        for kind, name, value in (("main", "rating_1", values[0]), ("repeat", "rating_2", values[1])):
            if (told := given.get((one.reader, one.case, kind, one.image), value)) != value:
                one.row.fail(name, f"the ratings have {told} for it", _MEND)
        if (one.reader, one.case, "main", one.image) not in given:
            one.row.fail("image_id", "has no first rating in the ratings", _MEND)
        if (one.reader, one.case, "repeat", one.image) not in given:
            # The table does not tell the pane.
            added.append((one.row, Rating(one.reader, one.case, "repeat", one.image, one.source, 0, values[1])))
    return added
