"""One network of the protocol: an arm at a label fraction with a seed; its predictions are kept, so that figures can be
computed again without it.

OUT/cells/mixed-1-0.25-2-1f0c....npz    predictions of the test cases, by name
OUT/cells/mixed-1-0.25-2-1f0c....json   how they were made; written last
"""

import json
import time
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from cspine_bench.baselines.arms import Arm, build_stages, count_synthetic, list_arms
from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.learn import OnProgress, train_network
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.sides import Sides
from cspine_bench.baselines.subsets import draw_subset, number_of
from cspine_bench.baselines.task import Arrays, Task
from cspine_bench.baselines.unet import TaskNetwork
from cspine_bench.errors import DataError
from cspine_bench.provenance import find_clean_commit, package_version, sha256_json
from cspine_bench.results import Input
from cspine_bench.seeding import derive_key

ANNOTATED: Final = ("landmarking", "segmentation", "classification")
"""Tasks whose labels a model can give; those of the others are made with the image."""
CELL_VERSION: Final = "1"
"""Raised when the same cell would give other predictions."""


@dataclass(frozen=True)
class Cell:
    """One network.

    Attributes:
        arm: what it learns from.
        fraction: of the real training groups; None: it learns from no real radiograph.
        seed: number of the network, from 0.
    """

    arm: Arm
    fraction: float | None
    seed: int

    @property
    def name(self) -> str:
        """For files and messages."""
        fraction = "all" if self.fraction is None else f"{self.fraction:g}"
        return f"{self.arm.label}-{fraction}-{self.seed}"


class CellRecord(BaseModel):
    """How the predictions of a cell were made.

    Args:
        not_run: why there is no network, or None.
        num_real: real radiographs that it learnt from.
        num_synthetic: synthetic ones that it could learn from.
        learning_rate: that the real validation split chose, of those of the recipe.
        validation: primary score there by learning rate; empty where one rate was tried.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    arm: str
    fraction: float | None
    seed: int
    not_run: str | None = None
    num_real: int = 0
    num_synthetic: int = 0
    updates: int = 0
    learning_rate: float | None = None
    validation: dict[str, float] = {}
    package_version: str
    commit: str | None
    device: str
    seconds: float


@dataclass(frozen=True)
class CellStore:
    """Where the cells of a run are, and what each depends on.

    Attributes:
        folder: of the files.
        recipe: of the baseline.
        inputs: both sides.
        seed: of the run.
    """

    folder: Path
    recipe: BaselineRecipe
    inputs: tuple[Input, ...]
    seed: int

    def key(self, cell: Cell) -> str:
        """Hash of all that its predictions depend on: not of the protocol's other cells."""
        recipe = self.recipe.model_dump(mode="json")
        protocol = recipe.pop("protocol")
        used = {"subsets": protocol["subsets"], "pretrain_share": protocol["pretrain_share"]}
        inputs = [item.model_dump(mode="json") for item in self.inputs]
        return sha256_json(
            {
                "version": CELL_VERSION,
                "recipe": recipe,
                "protocol": used,
                "inputs": inputs,
                "run_seed": self.seed,
                "arm": cell.arm.label,
                "fraction": cell.fraction,
                "seed": cell.seed,
            }
        )

    def path(self, cell: Cell) -> Path:
        """Of its record; the predictions lie beside it."""
        return self.folder / f"{cell.name}-{self.key(cell)[:16]}.json"

    def find(self, cell: Cell) -> CellRecord | None:
        """Its record, if it is whole."""
        path = self.path(cell)
        try:
            record = CellRecord.model_validate(json.loads(path.read_bytes()))
        except (OSError, ValueError, ValidationError):
            return None
        whole = record.key == self.key(cell) and (record.not_run is not None or path.with_suffix(".npz").is_file())
        return record if whole else None

    def load(self, cell: Cell) -> Arrays:
        """Its predictions; names start with `test.`, or with `synthetic.` for those of synthetic cases.

        Raises:
            DataError: the file is torn.
        """
        path = self.path(cell).with_suffix(".npz")
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                return {name: kept[name] for name in kept.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: cannot be read ({error}); remove it, and run the same command again") from error

    def save(self, cell: Cell, record: CellRecord, arrays: Arrays) -> None:
        """Predictions first, the record last, each whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.path(cell)
        if arrays:
            draft = path.with_suffix(f".npz.{uuid.uuid4().hex}.unfinished")
            with draft.open("wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
            draft.replace(path.with_suffix(".npz"))
        draft = path.with_suffix(f".json.{uuid.uuid4().hex}.unfinished")
        draft.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
        draft.replace(path)


def list_cells(recipe: BaselineRecipe, *, fractions_within: tuple[float, ...] = ()) -> tuple[Cell, ...]:
    """Every network of a protocol, the quickest to compare first: seed by seed."""
    cells = []
    for seed in range(recipe.protocol.num_seeds):
        for arm in list_arms(recipe.protocol):
            fractions: tuple[float | None, ...] = recipe.protocol.fractions
            if not arm.uses_real:
                fractions = (None, *fractions_within)
            cells += [Cell(arm, fraction, seed) for fraction in fractions]
    return tuple(cells)


def run_cell(
    cell: Cell, store: CellStore, sides: Sides, *, device: str = "cpu", on_progress: OnProgress | None = None
) -> CellRecord:
    """Train the network of a cell, let it predict, and keep that; or find it kept.

    Raises:
        CspineBenchError: the loss is no longer a number.
        OSError: the folder cannot be written.
    """
    # Why a network was not trained costs nothing to find out again, and may rest on settings that no key holds.
    if (found := store.find(cell)) is not None and found.not_run is None:
        return found
    started = time.monotonic()
    recipe, task = store.recipe, build_task(store.recipe)
    facts: dict[str, Any] = {
        "key": store.key(cell),
        "arm": cell.arm.label,
        "fraction": cell.fraction,
        "seed": cell.seed,
        "package_version": package_version(),
        "commit": find_clean_commit(),
        "device": device,
    }
    try:
        real, synthetic = choose_cases(cell, recipe, task, sides, run_seed=store.seed)
    except DataError as error:
        record = CellRecord(**facts, not_run=str(error), seconds=round(time.monotonic() - started, 2))
        store.save(cell, record, {})
        return record
    seed = derive_key(store.seed, "baselines.cell", cell.seed) % 2**63
    stages = build_stages(cell.arm, recipe, real, synthetic, seed=seed)
    rates = recipe.learning.learning_rates
    networks = {
        rate: train_network(task, recipe, stages, seed=seed, learning_rate=rate, device=device, on_progress=on_progress)
        for rate in rates
    }
    rate, validation = choose_rate(task, networks, sides.validation, device, store.seed)
    arrays = _predict(task, networks[rate], sides, cell, device, store.seed)
    record = CellRecord(
        **facts,
        num_real=len(real) if cell.arm.uses_real else 0,
        num_synthetic=count_synthetic(cell.arm, real, synthetic),
        updates=recipe.learning.updates,
        learning_rate=rate,
        validation=validation,
        seconds=round(time.monotonic() - started, 2),
    )
    store.save(cell, record, arrays)
    return record


def choose_cases(cell: Cell, recipe: BaselineRecipe, task: Task, sides: Sides, *, run_seed: int) -> tuple[Cases, Cases]:
    """(real, synthetic) cases that a cell may learn from.

    Raises:
        DataError: there are too few, or their labels make no task.
    """
    number = number_of(recipe.protocol.subsets, cell.seed)
    fraction = 1.0 if cell.fraction is None else cell.fraction
    real = sides.train.take(draw_subset(sides.train.group_ids, fraction, seed=run_seed, number=number))
    if cell.arm.uses_real:
        if len(real) < recipe.protocol.least_train:
            raise DataError(
                f"{fraction:.0%} of the real training groups are {len(real)} radiographs, fewer than "
                f"protocol.least_train {recipe.protocol.least_train}"
            )
        task.check_labels(real, f"{fraction:.0%} of the real train split")
    synthetic = sides.synthetic_for(cell.fraction)
    if cell.arm.needs_synthetic_labels:
        whole = synthetic
        synthetic = whole.take(task.list_usable(whole))
        if not len(synthetic):
            hint = "; `cspine-bench baseline annotate` adds them" if recipe.task.kind in ANNOTATED else ""
            raise DataError(f"{whole.where}: no radiograph has {task.describe_need()}{hint}")
        if cell.arm.name == "synthetic":
            task.check_labels(synthetic, "synthetic")
    return real, synthetic


def choose_rate(
    task: Task, networks: dict[float, TaskNetwork], validation: Cases, device: str, seed: int
) -> tuple[float, dict[str, float]]:
    """The learning rate whose network does best, and the primary score of each; of a single one nothing is measured.

    Raises:
        DataError: there are several, and no validation split.
    """
    rates = list(networks)
    if len(rates) == 1:
        return rates[0], {}
    if not len(validation):
        raise DataError("several learning.learning_rates need a labelled validation split; make one, or name one rate")
    found, merits = {}, {}
    for rate, network in networks.items():
        said = task.predict(network, validation, device=device, seed=seed)
        value, merits[rate] = measure_primary(task, said, validation, seed=seed)
        if np.isfinite(value):
            found[f"{rate:g}"] = value
    return max(merits, key=lambda rate: merits[rate]), found


def measure_primary(task: Task, predictions: Arrays, cases: Cases, *, seed: int) -> tuple[float, float]:
    """The primary score of all cases, and the same with more being better; a score that is not defined is the worst."""
    score = task.score(predictions, cases, seed=seed)[0]
    value = float(score.statistic(np.ones((1, len(cases))))[0])
    merit = -value if score.direction == "lower" else value
    return value, merit if np.isfinite(value) else -np.inf


def _predict(task: Task, network: TaskNetwork, sides: Sides, cell: Cell, device: str, seed: int) -> Arrays:
    """Of the real test cases; by networks of real radiographs alone, of the synthetic ones too."""
    sets = {"test": sides.test}
    if cell.arm.name == "real" and len(sides.synthetic_test):
        sets["synthetic"] = sides.synthetic_test
    return {
        f"{name}.{key}": values
        for name, cases in sets.items()
        for key, values in task.predict(network, cases, device=device, seed=seed).items()
    }
