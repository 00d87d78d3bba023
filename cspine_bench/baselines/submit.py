"""`baseline submit`: somebody else's predictions for a test split, scored by the code of the protocol."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cspine_bench.baselines.arm_rows import BASELINE_VERSION, SUBMISSION
from cspine_bench.baselines.cases import Cases, load_cases
from cspine_bench.baselines.compare import CellScores, measure_cells
from cspine_bench.baselines.page.baseline import build_baseline_page
from cspine_bench.baselines.page.pictures import ShownArm, collect_agreements, collect_examples, collect_reliabilities
from cspine_bench.baselines.page.records import BaselinePictures
from cspine_bench.baselines.prediction_files import read_landmark_file, read_mask_files, read_probability_file
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.run import name_score
from cspine_bench.baselines.tables import render_csv, render_latex, render_markdown, show_interval
from cspine_bench.baselines.task import Arrays, Score
from cspine_bench.baselines.tasks.classification.labels import LABELS
from cspine_bench.baselines.tasks.classification.recipe import ClassificationRecipe
from cspine_bench.baselines.tasks.landmarking.recipe import LandmarkingRecipe
from cspine_bench.errors import DataError, RecipeError
from cspine_bench.imaging.shrink import find_factor, shrink_landmarks, shrink_mask
from cspine_bench.measurement.inputs import Images, OnProgress
from cspine_bench.measurement.outputs import Evidence, Question
from cspine_bench.measurement.task import ShowStage, build_result
from cspine_bench.measurement.work import Work
from cspine_bench.page.wording import title_of
from cspine_bench.provenance import sha256_bytes, sha256_file
from cspine_bench.recipe import apply_overrides, build_recipe
from cspine_bench.results import Figure, Input

SCORED_TASKS: Final = ("landmarking", "classification", "segmentation")
"""Tasks whose predictions can be handed in: the test radiographs of the others are made while they are scored."""
_LONGEST_NAME: Final = 80


def build_submission_recipe(task: str, images: Images, *, size: int | None, overrides: Sequence[str]) -> BaselineRecipe:
    """What is asked of the predictions.

    Args:
        task: of `SCORED_TASKS`.
        images: the test split.
        size: px, at which predictions are scored; None: the images' own.
        overrides: `key=value` of a baseline's recipe, such as `task.label=disease`.

    Raises:
        RecipeError: predictions of this task cannot be handed in, or a setting is unknown or impossible.
    """
    if task not in SCORED_TASKS:
        raise RecipeError(
            f"predictions of {task!r} cannot be handed in; name one of {', '.join(SCORED_TASKS)}. The test radiographs "
            "of other tasks are made while a network is scored, so nobody has them beforehand"
        )
    side = size or min(width for _, width in read_sizes(images))
    # No network works here, so its shape must not limit the size.
    values = {"task": {"kind": task}, "size": side, "network": {"unshuffle": 1, "widths": [8]}}
    return apply_overrides(build_recipe(values, BaselineRecipe, where="baseline submit"), overrides)


def read_sizes(images: Images) -> list[tuple[int, int]]:
    """(height, width) of each radiograph, px, in the order of the split."""
    sizes: list[tuple[int, int]] = []
    for split in images.splits:
        table = images.folder.read_table(("height", "width"), split)
        sizes += zip(table.column("height").to_pylist(), table.column("width").to_pylist(), strict=True)
    return sizes


def read_predictions(path: Path, recipe: BaselineRecipe, images: Images) -> tuple[Arrays, tuple[str, ...]]:
    """Predictions of all radiographs of a split, as the task's own networks give them, and warnings.

    Args:
        path: the file or folder; its format is the task's.
        recipe: see `build_submission_recipe`.
        images: the test split.

    Raises:
        DataError: as `cspine_bench.baselines.prediction_files`; or an image is not square, or no multiple of the size.
    """
    sizes = read_sizes(images)
    factors = [
        find_factor(shape, recipe.size, where=f"{images.folder.path}: sample {sample_id}")
        for sample_id, shape in zip(images.sample_ids, sizes, strict=True)
    ]
    if isinstance(recipe.task, LandmarkingRecipe):
        points = read_landmark_file(path, images.sample_ids)
        sides = np.array([(width, height) for height, width in sizes], np.float64)[:, None]
        outside = np.any((points < -0.5) | (points > sides - 0.5), axis=2)
        warnings = []
        if outside.any():
            first = images.sample_ids[int(np.flatnonzero(outside.any(axis=1))[0])]
            warnings = [f"{int(outside.sum()):,} predicted landmarks lie outside their images; {first} has the first"]
        places = np.stack([shrink_landmarks(one, factor) for one, factor in zip(points, factors, strict=True)])
        return {"landmarks_xy": places, "confidence": np.full(places.shape[:2], np.nan, np.float32)}, tuple(warnings)
    if isinstance(recipe.task, ClassificationRecipe):
        shares = read_probability_file(path, images.sample_ids, LABELS[recipe.task.label].classes)
        return {"probabilities": shares.astype(np.float32)}, ()
    masks = read_mask_files(path, images.sample_ids, sizes)
    return {"masks": np.stack([shrink_mask(mask, factor) for mask, factor in zip(masks, factors, strict=True)])}, ()


@dataclass(frozen=True)
class Submission:
    """Predictions to be scored: a task for `cspine_bench.measurement.task.run_task`.

    Args:
        path: of the predictions.
        name: under which the leaderboard lists them.
        recipe: see `build_submission_recipe`.
        images: the test split, a single one.
        seed: of the bootstrap.
        real_pixels: whether the page may show films.
    """

    path: Path
    name: str
    recipe: BaselineRecipe
    images: Images
    seed: int = 0
    real_pixels: bool = True

    def __post_init__(self) -> None:
        """Refuse a name that no table can hold.

        Raises:
            DataError: it is empty, too long, or has a line break or another unprintable character.
        """
        if not (self.name.strip() and self.name.isprintable() and len(self.name) <= _LONGEST_NAME):
            raise DataError(
                f"--name {self.name!r:.100}: must be 1 to {_LONGEST_NAME} printable characters; give another"
            )

    @property
    def question(self) -> Question:
        """What is measured."""
        asked = self.recipe.model_dump(mode="json", include={"task", "size"})
        digest = hash_predictions(self.path)
        given = Input(role="predictions", name=self.path.name, digest=digest, num_samples=len(self.images))
        return Question(
            measure=f"baseline-{self.recipe.task.kind}",
            measure_version=BASELINE_VERSION,
            inputs=(self.images.describe(), given),
            settings={
                "recipe": asked, "split": self.images.splits[0], "name": self.name, "real_pixels": self.real_pixels,
            },
            seed=self.seed,
        )  # fmt: skip

    def answer(self, work: Work, show: ShowStage) -> Evidence:
        """Read, score and write it up.

        Raises:
            DataError: the predictions are not what they should be, or the split has no labels.
        """
        started = time.monotonic()
        predictions, warnings = read_predictions(self.path, self.recipe, self.images)
        with show("decode") as tell:
            cases, usable, notes = self.load_truth(tell)
        predictions = {name: values[usable] for name, values in predictions.items()}
        scores = build_task(self.recipe).score(predictions, cases, seed=self.seed)
        figures, undefined = measure_cells(
            [CellScores(SUBMISSION, None, 0, scores)], group_ids=cases.group_ids, tested_on="test", seed=self.seed
        )
        question = self.question
        result = build_result(
            question,
            encoder=None,
            figures=figures,
            verdict=self._spell_verdict(figures, len(cases)),
            device="cpu",
            seconds=time.monotonic() - started,
        )
        shown = [ShownArm(SUBMISSION, predictions, scores)]
        pictures = BaselinePictures(
            agreements=collect_agreements(cases, shown),
            reliabilities=collect_reliabilities(self.recipe, cases, shown),
            examples=collect_examples(self.recipe, cases, shown),
            warnings=(*self.images.warnings, *warnings, *notes, *cases.warnings, *undefined),
        )
        page = build_baseline_page(result, pictures, real_pixels=self.real_pixels)
        papers = {".csv": render_csv(result), ".md": render_markdown(result), ".tex": render_latex(result)}
        return Evidence(result, _build_rows(scores, cases), page, papers)

    def load_truth(self, on_progress: OnProgress | None = None) -> tuple[Cases, NDArray[np.bool_], tuple[str, ...]]:
        """The radiographs of the split that have labels, which of all these are, and notes.

        Raises:
            DataError: none has; or they make no task of it.
        """
        task = build_task(self.recipe)
        every = load_cases(self.images, self.recipe.size, on_progress=on_progress)
        usable = task.list_usable(every)
        where = f"{self.images.folder.path}: split {self.images.splits[0]}"
        if not usable.any():
            raise DataError(
                f"{where}: none of its {len(every):,} radiographs has {task.describe_need()} that you can see: labels "
                "that are not public cannot be scored here; send the predictions to whoever holds them"
            )
        cases = every.take(usable)
        task.check_labels(cases, self.images.splits[0])
        left = len(every) - len(cases)
        notes = (
            (f"{left:,} of {len(every):,} radiographs without {task.describe_need()} are not scored",) if left else ()
        )
        return cases, usable, notes

    def _spell_verdict(self, figures: Sequence[Figure], count: int) -> str:
        if not figures:
            return f"{self.name}: no score is defined on these {count:,} radiographs."
        first = figures[0]
        return (
            f"{self.name}: {title_of(first.name)} {show_interval(first)} on {count:,} radiographs. One set of "
            "predictions: it says nothing of what synthetic radiographs are worth."
        )


def hash_predictions(path: Path) -> str:
    """SHA-256 of a file, or of the names and hashes of the files of a folder.

    Raises:
        DataError: there is no such file or folder, or it cannot be read.
    """
    try:
        if not path.is_dir():
            return sha256_file(path)
        lines = [f"{sha256_file(one)}  {one.name}\n" for one in sorted(path.iterdir()) if one.is_file()]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    return sha256_bytes("".join(lines).encode())


def _build_rows(scores: Sequence[Score], cases: Cases) -> pa.Table:
    columns: dict[str, Any] = {"arm": [SUBMISSION] * len(cases), "sample_id": list(cases.sample_ids)}
    columns |= {name_score(score): score.per_case for score in scores if score.per_case is not None}
    return pa.table(columns)
