"""`baseline run`: a task under the whole protocol, from two datasets to figures, verdicts, tables and a page."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.cells import Cell, CellRecord, CellStore, list_cells
from cspine_bench.baselines.crew import Job, make_cells
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.sides import Sides, open_sides
from cspine_bench.baselines.task import Score, Task
from cspine_bench.baselines.within import require_within
from cspine_bench.dataset.ray_tasks import RayCluster
from cspine_bench.measurement.inputs import OnProgress
from cspine_bench.measurement.outputs import Evidence, Question
from cspine_bench.measurement.task import ShowStage
from cspine_bench.measurement.work import Work

BASELINE_VERSION: Final = "1"
"""Raised when the same inputs would give other figures."""


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
        DataError: as `open_sides`; or a fraction of `within` cannot be what it says.
        RecipeError: the recipe draws another subset for every seed, and `within` needs one that is fixed.
    """
    places = {fraction: str(folder) for fraction, folder in (within or {}).items()}
    sides = open_sides(
        build_task(recipe), recipe.size, real=real, synthetic=synthetic, within=places, on_progress=on_progress
    )
    require_within(sides, recipe, places, seed=seed)
    store = CellStore(out / "cells", recipe, sides.inputs, seed)
    job = Job(store, str(real), str(synthetic), places, device)
    return Usefulness(job, sides, num_workers, ray, real_pixels)


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
            CspineBenchError: as `make_cells`.
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
        raise NotImplementedError


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
    arrays = store.load(cell)

    def score(prefix: str, cases: Cases) -> tuple[Score, ...]:
        chosen = {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
        return task.score(chosen, cases, seed=store.seed) if chosen else ()

    return Scored(cell, record, score("test.", sides.test), score("synthetic.", sides.synthetic_test))


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
