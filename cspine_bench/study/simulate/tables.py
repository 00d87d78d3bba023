"""The tables of a made-up study: trials, ratings and repeats, in the columns that an analysis reads."""

import json
from pathlib import Path
from typing import Any, Final

from cspine_bench.errors import DataError
from cspine_bench.measurement.csv_table import render_csv_table
from cspine_bench.provenance import package_version
from cspine_bench.study.recipe import StudyRecipe
from cspine_bench.study.responses import Responses
from cspine_bench.study.simulate.made_up import answer_made_up, make_up_study
from cspine_bench.study.simulate.recipe import ReadersRecipe
from cspine_bench.study.simulate.served import describe_readers

NOTE: Final = "The readers and their answers are made up: nobody read these images, and no image was shown."
SIGN: Final = "simulated.json"
"""Beside the tables: that the readers are made up, and how. Written first, so that no table is ever without it."""
TABLES: Final = ("trials.csv", "ratings.csv", "repeats.csv")

_TRIALS: Final = (
    "reader", "quartet", "trial_index", "picked_position", "picked_source", "correct", "response_time_s", "kind",
    "image_id",
)  # fmt: skip
_RATINGS: Final = ("reader", "quartet", "image_id", "source", "position", "rating", "kind")
_REPEATS: Final = ("reader", "quartet", "image_id", "source", "rating_1", "rating_2", "picked_1", "picked_2")


def write_made_up_study(
    folder: Path, study: StudyRecipe, readers: ReadersRecipe, *, num_sources: int, seed: int, overwrite: bool = False
) -> dict[str, Any]:
    """Write `simulated.json`, `trials.csv`, `ratings.csv` and `repeats.csv`, each whole.

    The same arguments give the same bytes, also after a run that was killed. Tables of another study are replaced on
    request alone.

    Args:
        folder: for the files.
        study: design, readers, cases, repeats and controls.
        readers: what they are like.
        num_sources: synthetic ones.
        seed: of all draws.
        overwrite: whether the tables of another study may be replaced.

    Returns:
        What `simulated.json` says.

    Raises:
        DataError: other tables lie there.
        RecipeError: no skill gives the accuracy that is asked for.
        OSError: the folder cannot be written.
    """
    made = make_up_study(study, num_sources=num_sources, seed=seed)
    responses = answer_made_up(made, readers, seed=seed)
    tables = render_tables(responses)
    sign = {
        "simulated": True,
        "note": NOTE,
        "study": study.model_dump(mode="json"),
        "num_sources": num_sources,
        "readers": describe_readers(readers, seed),
        "package_version": package_version(),
        "answers": len(responses.trials),
        "files": sorted(tables),
    }
    _check_free(folder, sign, overwrite=overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    if _read_sign(folder) != sign:
        for name in TABLES:
            (folder / name).unlink(missing_ok=True)
    sign_text = json.dumps(sign, indent=1, sort_keys=True) + "\n"
    for name, text in ({SIGN: sign_text} | tables).items():
        draft = folder / f".{name}.unfinished"
        draft.write_text(text, encoding="utf-8", newline="")
        draft.replace(folder / name)
    return sign


def _read_sign(folder: Path) -> Any:
    try:
        return json.loads((folder / SIGN).read_bytes())
    except (OSError, ValueError):
        return None


def _check_free(folder: Path, sign: dict[str, Any], *, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: is a file; name a folder for the tables")
    there = [name for name in TABLES if (folder / name).exists()]
    if there and not overwrite and _read_sign(folder) != sign:
        raise DataError(
            f"{folder}: holds {', '.join(there)} of another study; give another --out, or --overwrite to replace them"
        )


def render_tables(responses: Responses) -> dict[str, str]:
    """Text of each table by its name; no table of ratings or repeats where there are none.

    Args:
        responses: all answers.
    """
    single = responses.design == "single"
    trials = [
        (t.reader, t.quartet, t.trial_index, t.picked_position, t.picked_source, int(t.correct),
         f"{t.response_time_s:.3f}", t.kind, t.picked_image)
        for t in responses.trials
    ]  # fmt: skip
    ratings = [(r.reader, r.quartet, r.image_id, r.source, r.position, r.rating, r.kind) for r in responses.ratings]
    tables = {"trials.csv": render_csv_table(_TRIALS, trials)}
    if ratings:
        tables["ratings.csv"] = render_csv_table(_RATINGS, ratings)
    repeats = [] if single else _pair_repeats(responses)
    if repeats:
        tables["repeats.csv"] = render_csv_table(_REPEATS, repeats)
    return tables


def _pair_repeats(responses: Responses) -> list[tuple[str | int, ...]]:
    """Images that a reader saw twice, where both were rated."""
    picked = {(t.reader, t.quartet, t.kind): t.picked_image for t in responses.trials}
    first = {(r.reader, r.image_id): r.rating for r in responses.ratings if r.kind == "main"}
    return [
        (
            r.reader, r.quartet, r.image_id, r.source, first[r.reader, r.image_id], r.rating,
            *(int(picked[r.reader, r.quartet, kind] == r.image_id) for kind in ("main", "repeat")),
        )
        for r in responses.ratings
        if r.kind == "repeat" and (r.reader, r.image_id) in first
    ]  # fmt: skip
