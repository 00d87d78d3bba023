"""The data dictionary: every file of an export and every column, in words."""

from collections.abc import Sequence
from typing import Final

COLUMNS: Final = {
    "reader": "Pseudonym of the reader.",
    "quartet": "Name of the display set, in every design; a repeat has the name of what it repeats.",
    "trial_index": "Place in this reader's order, from 1, training included.",
    "picked_position": "Pane that was picked, from 1, left to right; empty for single images.",
    "picked_source": "Source of the picked image, `real` or the name of a synthetic one; for single images the answer.",
    "correct": "1: the real image was picked, or the single image judged right; 0: not.",
    "response_time_s": "Seconds from the images' appearance to the answer, by the reader's monotonic clock.",
    "kind": "`main` is the primary analysis; `training`, `repeat`, `positive-control`, `negative-control` are not. "
    "Before unblinding, positive controls among single images are called `main`: all of them are synthetic.",
    "said": "For single images what the reader said: `real` or `synthetic`; otherwise empty.",
    "image_id": "Name of an image, the same for all readers and repeats, another one before unblinding; in trials that "
    "of the picked or only image.",
    "hidden_s": "Part of the response time in which the page was out of view, seconds.",
    "answered_at": "When the server had the answer on its disk, UTC.",
    "source": "`real`, or the name of a synthetic source or of a control.",
    "position": "Pane, from 1, left to right.",
    "rating": "Step of the scale of realism, from 1; what each step means stands in protocol.yaml under `anchors`.",
    "rating_1": "Rating at the first sight of the display set; empty: none was asked for.",
    "rating_2": "Rating when it came again.",
    "picked_1": "1: picked, or held real, at the first sight; 0: not.",
    "picked_2": "The same when it came again.",
    "dataset": "Dataset that the image came from.",
    "sample_id": "Its sample in that dataset.",
    "changed": "What was done to the image besides the resampling of all; empty: nothing.",
    "treatment": "One name for all: the study has one way of showing images.",
    "case": "`image_id` of the image that was scored.",
    "truth": "1: real; 0: synthetic.",
    "score": "What the reader gave the image: see the file.",
}

FILES: Final = {
    "trials.csv": "Answers, a row each.",
    "ratings.csv": "Ratings, a row for each image.",
    "repeats.csv": "Images that a reader saw twice, a row each.",
    "images.csv": "What every image is.",
    "responses.json": "All answers whole: with window settings, actions and comments.",
    "events.jsonl": "Every record of the ledger, in order, with the hashes of the chain: whoever has it can verify it.",
    "ratings.imrmc": "Ratings of the main trials for iMRMC; truth 1 is real, so an AUC above 0.5 is detection.",
    "picks.imrmc": "Picks of the main trials for iMRMC: 1 for the image held real, 0 for the others.",
    "mrmcaov_ratings.csv": "Ratings of the main trials for MRMCaov.",
    "mrmcaov_picks.csv": "Picks of the main trials for MRMCaov.",
    "simulated.json": "That the readers are made up, and how.",
    "protocol.yaml": "What was decided before the first answer, as it was frozen.",
}


_MISSING: Final = "An empty cell: not asked for, or not defined. A trial without an answer has no row."


def build_dictionary(tables: dict[str, Sequence[str]], files: Sequence[str]) -> dict[str, object]:
    """What each file holds, and each column.

    Args:
        tables: columns by CSV file.
        files: all files of the export, tables included.

    Raises:
        KeyError: a file or a column has no words.
    """
    return {
        "files": {name: FILES[name] for name in files},
        "columns": {name: {column: COLUMNS[column] for column in columns} for name, columns in tables.items()},
        "missing_values": _MISSING,
    }


def render_dictionary(tables: dict[str, Sequence[str]], files: Sequence[str]) -> str:
    """The same as Markdown."""
    lines = ["# Data dictionary", "", _MISSING]
    for name in files:
        lines += ["", f"## {name}", "", FILES[name]]
        if name in tables:
            lines += ["", "| column | meaning |", "| --- | --- |"]
            lines += [f"| {column} | {COLUMNS[column]} |" for column in tables[name]]
    return "\n".join(lines) + "\n"
