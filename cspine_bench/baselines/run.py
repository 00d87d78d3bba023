"""`baseline run`: a task under the whole protocol, from two datasets to figures, verdicts, tables and a page."""

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cspine_bench.baselines.arm_facts import build_arm_facts
from cspine_bench.baselines.arm_rows import BASELINE_VERSION
from cspine_bench.baselines.arms import list_arms
from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.cells import Cell, CellRecord, CellStore, choose_cases, list_cells
from cspine_bench.baselines.compare import CellScores, Compared, compare_arms, measure_cells
from cspine_bench.baselines.crew import Job, make_cells
from cspine_bench.baselines.page.baseline import build_baseline_page
from cspine_bench.baselines.page.pictures import ShownArm, collect_agreements, collect_examples, collect_reliabilities
from cspine_bench.baselines.page.records import BaselinePictures
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.references import measure_references, require_references
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.sides import Sides, open_sides
from cspine_bench.baselines.tables import render_csv, render_latex, render_markdown
from cspine_bench.baselines.task import Arrays, Score, Task
from cspine_bench.baselines.within import require_within
from cspine_bench.dataset.ray_tasks import RayCluster
from cspine_bench.errors import DataError
from cspine_bench.measurement.inputs import OnProgress
from cspine_bench.measurement.outputs import Evidence, Question
from cspine_bench.measurement.task import ShowStage, build_result, cite_sources
from cspine_bench.measurement.work import Work
from cspine_bench.page.tables import NotMeasured
from cspine_bench.results import Figure


@dataclass(frozen=True)
class Scored:
    """A cell with its figures.

    Attributes:
        cell: which one.
        record: how it was made.
        scores: of the real test cases, the primary one first; none where it was not run.
        synthetic: of the synthetic test cases; only in the arm `real`, and only where those have labels.
    """

    cell: Cell
    record: CellRecord
    scores: tuple[Score, ...] = ()
    synthetic: tuple[Score, ...] = ()


def open_usefulness(
    recipe: BaselineRecipe,
    out: Path,
    *,
    real: Path | str,
    synthetic: Path | str,
    within: Mapping[float, str] | None = None,
    seed: int = 0,
    device: str = "cpu",
    num_workers: int = 1,
    ray: RayCluster | None = None,
    real_pixels: bool = True,
    on_progress: OnProgress | None = None,
) -> "Usefulness":
    """Open both sides for a task under the protocol.

    Args:
        recipe: of the baseline.
        out: folder of the result; the cells lie in its `cells/`.
        real: dataset with the splits train and test.
        synthetic: dataset to be judged.
        within: by fraction, a dataset whose generator was trained inside that label subset.
        seed: of the run.
        device: where networks learn.
        num_workers: see `Usefulness`, likewise the others.
        ray: likewise.
        real_pixels: likewise.
        on_progress: called with (radiographs decoded, of all on that side).

    Raises:
        DataError: as `open_sides` and `require_finish`; or a fraction of `within` cannot be what it says.
        RecipeError: the recipe draws another subset for every seed, and `within` needs one that is fixed; or as
            `require_finish`.
        CheckpointError: as `require_finish`.
    """
    places = {fraction: str(folder) for fraction, folder in (within or {}).items()}
    task = build_task(recipe)
    sides = open_sides(task, recipe.size, real=real, synthetic=synthetic, within=places, on_progress=on_progress)
    require_within(sides, recipe, places, seed=seed)
    require_finish(task, recipe, sides, seed=seed, device=device)
    store = CellStore(out / "cells", recipe, sides.inputs, seed)
    job = Job(store, str(real), str(synthetic), places, device)
    return Usefulness(job, sides, num_workers, ray, real_pixels)


def require_finish(task: Task, recipe: BaselineRecipe, sides: Sides, *, seed: int, device: str) -> None:
    """Stop before hours of training where no result could come of it.

    Raises:
        DataError: no label subset makes a task for the arm `real`; several learning rates, and nothing to choose by.
        RecipeError: as `require_references`.
        CheckpointError: likewise.
    """
    if len(recipe.learning.learning_rates) > 1:
        if not len(sides.validation):
            raise DataError(
                f"{sides.real_folder}: has no validation radiograph with {task.describe_need()}, and several "
                "learning.learning_rates need some; make such a split, or name one rate"
            )
        task.check_labels(sides.validation, "real validation, which chooses among learning.learning_rates")
    require_references(recipe, sides, device=device)
    reason = ""
    for cell in list_cells(recipe):
        if cell.arm.name == "real":
            try:
                choose_cases(cell, recipe, task, sides, run_seed=seed)
            except DataError as error:
                reason = reason or str(error)
            else:
                return
    raise DataError(f"no network of the arm `real` could be trained: {reason}; name larger protocol.fractions")


@dataclass(frozen=True)
class Usefulness:
    """A task under the protocol.

    Attributes:
        job: recipe, datasets, output folder of the cells.
        sides: both, opened.
        num_workers: processes that train.
        ray: train in tasks of this cluster instead.
        real_pixels: whether the page may show films.
    """

    job: Job
    sides: Sides
    num_workers: int = 1
    ray: RayCluster | None = None
    real_pixels: bool = True

    @property
    def recipe(self) -> BaselineRecipe:
        """Of the baseline."""
        return self.job.store.recipe

    @property
    def question(self) -> Question:
        """What is measured."""
        return Question(
            measure=f"baseline-{self.recipe.task.kind}",
            measure_version=BASELINE_VERSION,
            inputs=self.sides.inputs,
            settings={"recipe": self.recipe.model_dump(mode="json"), "real_pixels": self.real_pixels},
            seed=self.job.store.seed,
        )

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every network of the protocol."""
        return list_cells(self.recipe, fractions_within=tuple(self.sides.within))

    @property
    def cautions(self) -> tuple[str, ...]:
        """What the verdict begins with."""
        sides, protocol = self.sides, self.recipe.protocol
        outside = [fraction for fraction in protocol.fractions if fraction < 1 and fraction not in sides.within]
        uses = any(arm.uses_synthetic for arm in list_arms(protocol))
        return (*sides.cautions, *((sides.origin,) if sides.origin and outside and uses else ()))

    def train_part(self, index: int, count: int, *, on_progress: OnProgress | None = None) -> int:
        """Train networks `index`, `index + count`, ...; other processes that share the folder train the others.

        Returns:
            How many of all networks are still to be trained, by others.

        Raises:
            CspineBenchError: as `make_cells`.
        """
        make_cells(
            self.job, self.cells[index::count], self.sides, num_workers=self.num_workers, on_progress=on_progress
        )
        return sum(self.job.store.find(cell) is None for cell in self.cells)

    def answer(self, work: Work, show: ShowStage) -> Evidence:
        """Train what is missing, score all of it, compare, and write it up.

        Raises:
            CspineBenchError: as `make_cells`; or no network of the arm `real` could be trained.
        """
        started = time.monotonic()
        with show("networks") as tell:
            make_cells(self.job, self.cells, self.sides, num_workers=self.num_workers, ray=self.ray, on_progress=tell)
        task = build_task(self.recipe)
        scored = []
        with show("scores") as tell:
            for done, cell in enumerate(self.cells, start=1):
                scored.append(score_cell(task, cell, self.job.store, self.sides))
                if tell is not None:
                    tell(done, len(self.cells))
        _require_reference(scored)
        with show("comparison"):
            compared, figures, notes = self._compare(task, scored)
        seconds = sum(item.record.seconds for item in scored) + time.monotonic() - started
        result = build_result(
            self.question, encoder=None, figures=figures, verdict=compared.verdict, device=self.job.device,
            seconds=seconds,
        )  # fmt: skip
        with show("page"):
            page = build_baseline_page(result, self._picture(scored, notes), real_pixels=self.real_pixels)
        papers = {".csv": render_csv(result), ".md": render_markdown(result), ".tex": render_latex(result)}
        return Evidence(result, build_rows(scored, self.sides.test), page, papers)

    def _compare(self, task: Task, scored: Sequence[Scored]) -> tuple[Compared, tuple[Figure, ...], tuple[str, ...]]:
        """The comparison, every figure of the result, and what a reader must know of them."""
        sides, seed, protocol = self.sides, self.job.store.seed, self.recipe.protocol
        references, missing = measure_references(task, self.recipe, sides, seed=seed, device=self.job.device)
        compared = compare_arms(
            [CellScores(item.cell.arm.label, item.cell.fraction, item.cell.seed, item.scores) for item in scored],
            group_ids=sides.test.group_ids,
            margin=protocol.margin or task.margin,
            seed=seed,
            num_bootstrap=protocol.num_bootstrap,
            floors=references,
            cautions=self.cautions,
        )
        crossed, notes = measure_cells(
            [
                CellScores(item.cell.arm.label, item.cell.fraction, item.cell.seed, item.synthetic)
                for item in scored
                if item.synthetic
            ],
            group_ids=sides.synthetic_test.group_ids,
            tested_on="synthetic",
            seed=seed,
            num_bootstrap=protocol.num_bootstrap,
        )
        facts = build_arm_facts([item.record for item in scored], compared.verdicts)
        return compared, (*compared.figures, *crossed, *facts), (*compared.notes, *notes, *missing)

    def _picture(self, scored: Sequence[Scored], notes: Sequence[str]) -> BaselinePictures:
        shown = [
            ShownArm(item.cell.arm.label, load_predictions(item.cell, self.job.store, "test."), item.scores)
            for item in choose_shown(scored)
        ]
        cases = self.sides.test
        return BaselinePictures(
            agreements=collect_agreements(cases, shown),
            reliabilities=collect_reliabilities(self.recipe, cases, shown),
            examples=collect_examples(self.recipe, cases, shown),
            not_measured=tuple(list_not_run(scored)),
            warnings=(*self.sides.notes, *notes),
            command=spell_command(self.question, self.recipe),
            citation=cite_sources(),
        )


def _require_reference(scored: Sequence[Scored]) -> None:
    """Raises DataError where no network learnt from real radiographs alone."""
    reference = [item for item in scored if item.cell.arm.name == "real"]
    if not any(item.scores for item in reference):
        raise DataError(f"no network of the arm `real` could be trained: {reference[0].record.not_run}")


def choose_shown(scored: Sequence[Scored]) -> list[Scored]:
    """The networks whose single predictions a page shows: of the first seed, with the most real labels of each arm.

    Only real radiographs alone, synthetic ones alone, and the first mixture.
    """
    found: dict[str, Scored] = {}
    for item in scored:
        name = item.cell.arm.name
        if name not in ("real", "synthetic", "mixed") or not item.scores or item.cell.seed != 0:
            continue
        there = found.get(name)
        if there is None or (
            there.cell.arm == item.cell.arm and (item.cell.fraction or 0) > (there.cell.fraction or 0)
        ):
            found[name] = item
    return list(found.values())


def list_not_run(scored: Sequence[Scored]) -> Iterator[NotMeasured]:
    """Networks that were not trained, by their reason."""
    reasons: dict[tuple[str, float | None, str], int] = {}
    for item in scored:
        if item.record.not_run is not None:
            key = (item.cell.arm.label, item.cell.fraction, item.record.not_run)
            reasons[key] = reasons.get(key, 0) + 1
    for (arm, fraction, reason), count in reasons.items():
        at = "" if fraction is None else f" at {fraction:.0%} of the labels"
        yield NotMeasured(f"Arm {arm}{at}", f"{reason} ({count} of the seeds)")


def spell_command(question: Question, recipe: BaselineRecipe) -> str:
    """The command that answers the question again, with the recipe in a file."""
    words = ["cspine-bench", "baseline", "run", recipe.task.kind]
    for item in question.inputs:
        role, _, fraction = item.role.partition("-")
        name = shlex.quote(item.name.partition(" (")[0])
        words.append(f"--{role}-within {fraction}={name}" if fraction else f"--{role} {name}")
    words += ["--recipe recipe.yaml", f"--seed {question.seed}", "--out results"]
    if not question.settings["real_pixels"]:
        words.append("--no-real-pixels")
    return " ".join(words)


def score_cell(task: Task, cell: Cell, store: CellStore, sides: Sides) -> Scored:
    """Figures of a cell from its kept predictions.

    Raises:
        DataError: its predictions cannot be read.
        ValueError: it has not been made.
    """
    record = store.find(cell)
    if record is None:
        raise ValueError(f"the cell {cell.name} is not in {store.folder}")
    if record.not_run is not None:
        return Scored(cell, record)

    def score(prefix: str, cases: Cases) -> tuple[Score, ...]:
        arrays = load_predictions(cell, store, prefix)
        return task.score(arrays, cases, seed=store.seed) if arrays else ()

    return Scored(cell, record, score("test.", sides.test), score("synthetic.", sides.synthetic_test))


def load_predictions(cell: Cell, store: CellStore, prefix: str) -> Arrays:
    """The kept predictions of one set of cases: of names that start with `test.` or `synthetic.`, without that."""
    arrays = store.load(cell)
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def build_rows(scored: Sequence[Scored], cases: Cases) -> pa.Table:
    """A row for each test radiograph of each cell.

    Columns: `arm`, `fraction` (null: no real radiograph), `seed`, `sample_id`, and one for each score that has a value
    for single radiographs, named by the score and what it is of.
    """
    count = len(cases)
    ran = [item for item in scored if item.scores]
    columns: dict[str, Any] = {
        "arm": [item.cell.arm.label for item in ran for _ in range(count)],
        "fraction": pa.array([item.cell.fraction for item in ran for _ in range(count)], pa.float64()),
        "seed": pa.array([item.cell.seed for item in ran for _ in range(count)], pa.int32()),
        "sample_id": [name for _ in ran for name in cases.sample_ids],
    }
    for place, score in enumerate(ran[0].scores if ran else ()):
        if score.per_case is not None:
            values = [item.scores[place].per_case for item in ran]
            columns[name_score(score)] = np.concatenate([value for value in values if value is not None])
    return pa.table(
        {name: values if isinstance(values, pa.Array) else pa.array(values) for name, values in columns.items()}
    )


def name_score(score: Score) -> str:
    """`dice.C3`: its name, and the values of its condition."""
    return ".".join([score.name, *(score.condition or {}).values()])
