"""Readers' scores as programs for multi-reader multi-case studies read them: real images are the ones to detect.

Only trials of the primary analysis are here, so that each reader scores each image once.

Source: iMRMC, user manual 4.1.1 (study raw data), and R package 2.1, where the reader of the rows that tell the truth
is called "truth"; MRMCaov, user guide (reader, treatment, case, truth, rating).
"""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from cspine_bench.study.export.collect import Answered, name_image
from cspine_bench.study.export.tables import Row, render_rows
from cspine_bench.study.truth import REAL, Truth

Score = Literal["rating", "pick"]
MRMCAOV_COLUMNS: Final = ("reader", "treatment", "case", "truth", "score")
_TREATMENT: Final = "study"
_TRUTH: Final = "truth"


def list_scores(answers: Iterable[Answered], truth: Truth, score: Score) -> list[Row]:
    """One row for each reader and image.

    Args:
        answers: of the study.
        truth: of the study.
        score: `rating`: step of the scale; `pick`: 1 for an image held real, 0 for another.

    Returns:
        Rows of reader, treatment, case, truth (1 real, 0 synthetic) and score; none where no ratings were asked for.
    """
    return [
        {
            "reader": answered.reader,
            "treatment": _TREATMENT,
            "case": name_image(frame),
            "truth": int(truth.frames[frame].source == REAL),
            "score": value,
        }
        for answered in answers
        if answered.planned.kind == "main"
        for frame, value in zip(answered.planned.frames, _score_panes(answered, score), strict=False)
    ]


def _score_panes(answered: Answered, score: Score) -> Sequence[int]:
    if score == "rating":
        return answered.ratings
    if answered.said is not None:
        return [int(answered.said == REAL)]
    return [int(pane == answered.pick) for pane in range(1, len(answered.planned.frames) + 1)]


def render_imrmc(rows: Sequence[Row], title: str) -> bytes:
    """A file of iMRMC: the size of the study, then the truth of every image, then the scores.

    Args:
        rows: of `list_scores`.
        title: first line.
    """
    truth = {row["case"]: row["truth"] for row in rows}
    lines = [
        " ".join(title.split()),
        f"NR: {len({row['reader'] for row in rows})}",
        f"N0: {sum(value == 0 for value in truth.values())}",
        f"N1: {sum(value == 1 for value in truth.values())}",
        "NM: 1",
        "",
        "BEGIN DATA:",
        *(f"{_TRUTH},{case},{_TRUTH},{value}" for case, value in sorted(truth.items())),
        *(f"{row['reader']},{row['case']},{row['treatment']},{row['score']}" for row in rows),
    ]
    return ("\n".join(lines) + "\n").encode()


def render_mrmcaov(rows: Sequence[Row]) -> bytes:
    """A table for MRMCaov's `mrmc(binary_auc(truth, score), treatment, reader, case, data = ...)`.

    It compares treatments, and there is one here: its per-treatment estimates are what to read.
    """
    return render_rows(rows, MRMCAOV_COLUMNS)
