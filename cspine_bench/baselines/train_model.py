"""`baseline train`: one model from the train split of a dataset, tested on radiographs that it has not seen."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.classes import CURVATURE_CLASSES
from cspine_bench.anatomy.spine_rules import iter_checks
from cspine_bench.anatomy.spine_shapes import LEAST_SHAPES, NUM_FOLDS, SpineShapes, deal_folds, find_limit, turn_left
from cspine_bench.baselines.cases import Cases, load_cases
from cspine_bench.baselines.cells import choose_rate
from cspine_bench.baselines.curvature_agreement import classify_landmarks, score_curvature
from cspine_bench.baselines.learn import Stage, train_network
from cspine_bench.baselines.model import (
    MODEL_NAME,
    SHAPES_NAME,
    WEIGHTS_NAME,
    ModelFacts,
    Shapes,
    TrainedOn,
    read_facts,
    save_model,
)
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.sides import refuse_leaks
from cspine_bench.baselines.task import Arrays, Score, Task
from cspine_bench.baselines.tested import build_tested_figures
from cspine_bench.baselines.unet import TaskNetwork
from cspine_bench.dataset.lock import hold_folder
from cspine_bench.dataset.read import DatasetFolder, open_dataset
from cspine_bench.errors import CheckpointError, DataError
from cspine_bench.measurement.inputs import open_images
from cspine_bench.measurement.task import ShowStage, show_nothing
from cspine_bench.provenance import find_clean_commit, library_versions, package_version
from cspine_bench.results import Figure
from cspine_bench.schema import Split
from cspine_bench.seeding import numpy_generator

UNSURE: Final = 0.05
"""Share of the radiographs held out that are less sure than `ModelFacts.least_confidence`."""
_SCRATCH: Final = ".training"
_OURS: Final = frozenset((MODEL_NAME, WEIGHTS_NAME, SHAPES_NAME, _SCRATCH))


@dataclass(frozen=True)
class _Held:
    """The radiographs of one dataset that a task can use.

    Attributes:
        train: what is learnt from.
        validation: chooses between learning rates, and says how sure the model usually is; may be empty.
        test: what the figures are of.
        tested_on: its split.
        num_train: radiographs of the train split, with labels or without.
    """

    train: Cases
    validation: Cases
    test: Cases
    tested_on: Split
    num_train: int


def train_model(
    recipe: BaselineRecipe,
    data: Path | str,
    out: Path,
    *,
    seed: int = 0,
    device: str = "cpu",
    overwrite: bool = False,
    show: ShowStage = show_nothing,
) -> tuple[ModelFacts, bool]:
    """Train a model, test it, and keep it; or find it kept.

    It learns from all labelled radiographs of the train split, with the recipe's classical augmentation. Its figures
    are of the test split, or of validation where there is no test split. A training that was stopped begins anew.

    Args:
        recipe: task, network and learning; its protocol is not used.
        data: dataset folder, or its name on the Hub.
        out: the model's folder.
        seed: of the first weights and every draw.
        device: where it learns.
        overwrite: replace another model that lies in `out`.
        show: told each stage.

    Returns:
        The model's facts, and whether an earlier run with the same arguments had made it.

    Raises:
        DataError: the data cannot be used: no train split, none to test on, no labels, another size; or `out` holds
            another model or other files.
        CspineBenchError: the loss is no longer a number.
        OSError: `out` cannot be written.
    """
    folder = open_dataset(data)
    if (kept := _find_kept(out, recipe, folder, seed, device, overwrite=overwrite)) is not None:
        return kept, True
    out.mkdir(parents=True, exist_ok=True)
    with hold_folder(out / _SCRATCH, busy=f"{out}: another process is training there; wait for it, or name another"):
        task = build_task(recipe)
        held = _load_held(task, recipe.size, folder, show)
        network, rate = _train(task, recipe, held, seed, device, show)
        said = task.predict(network, held.test, device=device, seed=seed)
        usual = task.predict(network, held.validation, device=device, seed=seed) if len(held.validation) else said
        seen = held.validation if len(held.validation) else held.test
        facts = save_model(
            out,
            network,
            shapes=fit_shapes(held.train, seed, usual, seen) if "landmarks_xy" in usual else None,
            recipe=recipe,
            trained_on=_describe_data(held, folder),
            classes=tuple(getattr(task, "classes", ())),
            seed=seed,
            updates=recipe.learning.updates,
            learning_rate=rate,
            device=device,
            package_version=package_version(),
            commit=find_clean_commit(),
            versions=library_versions(),
            tested_on=held.tested_on,
            figures=_build_figures(task, said, held, seed),
            least_confidence=find_least_confidence(usual),
        )
    shutil.rmtree(out / _SCRATCH, ignore_errors=True)
    return facts, False


def _train(
    task: Task, recipe: BaselineRecipe, held: _Held, seed: int, device: str, show: ShowStage
) -> tuple[TaskNetwork, float]:
    rates = recipe.learning.learning_rates
    networks = {}
    for number, rate in enumerate(rates, start=1):
        stage = Stage(held.train, recipe.learning.updates, augment=recipe.augment)
        with show("training" if len(rates) == 1 else f"training, rate {number} of {len(rates)}") as tell:
            networks[rate] = train_network(
                task, recipe, [stage], seed=seed, learning_rate=rate, device=device, on_progress=tell
            )
    rate, _ = choose_rate(task, networks, held.validation, device, seed)
    return networks[rate], rate


def _build_figures(task: Task, said: Arrays, held: _Held, seed: int) -> tuple[Figure, ...]:
    floor_name, floor = task.predict_floor(held.train, held.test, seed=seed)
    return build_tested_figures(
        [*task.score(said, held.test, seed=seed), *_score_curvature(task, said, held.test)],
        held.test.group_ids,
        role=held.tested_on,
        seed=seed,
        floor=task.score(floor, held.test, seed=seed),
        floor_name=f"{floor_name}, from the train split",
    )


def _score_curvature(task: Task, said: Arrays, test: Cases) -> Iterator[Score]:
    """What annotation with this model makes of curvature, where the test radiographs have classes."""
    if "landmarks_xy" in said:
        found = classify_landmarks(said["landmarks_xy"], test.facing, test.pixel_spacing_mm)
    elif tuple(getattr(task, "classes", ())) == CURVATURE_CLASSES:
        found = said["predicted"].astype(np.int64)
    else:
        return
    score = score_curvature(found, test.labels("curvature"))
    if score.used:
        yield score


def _find_kept(
    out: Path, recipe: BaselineRecipe, folder: DatasetFolder, seed: int, device: str, *, overwrite: bool
) -> ModelFacts | None:
    if not out.exists():
        return None
    if not out.is_dir():
        raise DataError(f"{out}: is a file; name a folder for the model")
    if foreign := sorted(path.name for path in out.iterdir() if path.name not in _OURS and path.suffix != ".tmp"):
        raise DataError(f"{out}: holds files that are not of a model ({', '.join(foreign[:5])}); name another folder")
    if not (out / MODEL_NAME).exists():
        return None
    try:
        found = read_facts(out)
    except CheckpointError:
        if overwrite:
            return None
        raise
    asked = (recipe, folder.manifest.digest, seed, device)
    if (found.recipe, found.trained_on.digest, found.seed, found.device) == asked:
        return found
    if overwrite:
        return None
    raise DataError(
        f"{out}: holds a model of other data, recipe, seed or device; name another --out, or --overwrite to replace it"
    )


def _load_held(task: Task, size: int, folder: DatasetFolder, show: ShowStage) -> _Held:
    there = ", ".join(f"{name} {count:,}" for name, count in folder.splits.items())
    tested_on: Split = "test" if "test" in folder.splits else "validation"
    for split, why in (("train", "learn from"), (tested_on, "be tested on")):
        if split not in folder.splits:
            raise DataError(
                f"{folder.path}: has no split {split} ({there}), so there is nothing to {why}; make splits, as "
                "`dataset import ... --fractions 0.8,0.1,0.1` does"
            )
    images = {split: open_images(split, folder.path, splits=(split,)) for split in folder.splits}
    refuse_leaks({"test": images[tested_on]}, images["train"])
    cases = {}
    for split, side in images.items():
        with show(f"{split} radiographs") as tell:
            every = load_cases(side, size, on_progress=tell)
        cases[split] = every.take(task.list_usable(every))
    for split in ("train", tested_on):
        if not len(cases[split]):
            raise DataError(
                f"{folder.path}: no radiograph of its {split} split has {task.describe_need()}; label some, or name a "
                "dataset with labels"
            )
    task.check_labels(cases["train"], "train")
    none = cases["train"].take(np.array([], np.int64))
    return _Held(cases["train"], cases.get("validation", none), cases[tested_on], tested_on, len(images["train"]))


def _describe_data(held: _Held, folder: DatasetFolder) -> TrainedOn:
    return TrainedOn(
        dataset=folder.path.resolve().name,
        digest=folder.manifest.digest,
        split="train",
        n_used=len(held.train),
        n_available=held.num_train,
    )


def find_least_confidence(predictions: Arrays) -> float | None:
    """What all but `UNSURE` of radiographs reach with the least sure part of each; None where the task says nothing.

    Args:
        predictions: with `confidence`, float (n, ...), with `probabilities` and `predicted`, or without.
    """
    least = measure_confidence(predictions)
    if least is None or not np.isfinite(least).any():
        return None
    return float(np.nanquantile(least, UNSURE, method="lower"))


def measure_confidence(predictions: Arrays) -> NDArray[np.float64] | None:
    """Confidence of the least sure part of each radiograph, float64 (n,); NaN: the method gives none.

    Of a class it is the probability of the class that is told.
    """
    if "probabilities" in predictions:
        told = predictions["predicted"].astype(np.int64)[:, None]
        return np.asarray(np.take_along_axis(predictions["probabilities"], told, axis=1)[:, 0], np.float64)
    if (found := predictions.get("confidence")) is None:
        return None
    parts = found.reshape(len(found), -1).astype(np.float64)
    return np.where(np.isnan(parts).all(axis=1), np.nan, np.fmin.reduce(parts, axis=1))


def fit_shapes(cases: Cases, seed: int, said: Arrays, seen: Cases) -> Shapes | None:
    """Shapes of the training spines, and a limit on how far an honest one lies from them.

    Two kinds of spines are honest: true ones, by a model that has not seen them; and those that the network itself
    finds in radiographs that it has not learnt from, which its own error bends. The limit lets nearly all of both pass.

    Args:
        cases: with landmarks; only spines with all of them that break no fixed rule are used.
        seed: deals them into folds.
        said: of the network, with `landmarks_xy`.
        seen: the radiographs of which it said so.

    Returns:
        `SpineShapes.to_arrays`, with `limit`, and `true_limit` and `own_limit`, of which it is the larger; None where
        there are too few spines.
    """
    whole = np.isfinite(cases.landmarks_xy).all(axis=(1, 2))
    rows = np.flatnonzero(whole)
    points = turn_left(cases.landmarks_xy[rows].astype(np.float64), [cases.facing[row] for row in rows])
    with np.errstate(all="ignore"):
        bad = np.any([check.bad for check in iter_checks(points, cases.pixel_spacing_mm[rows])], axis=0)
    points, rows = points[~bad], rows[~bad]
    groups = [cases.group_ids[row] for row in rows]
    if len(set(groups)) < LEAST_SHAPES:
        return None
    folds = deal_folds(groups, numpy_generator(seed, "baselines.shapes"))
    distances = np.empty(len(points))
    for fold in range(NUM_FOLDS):
        distances[folds == fold] = SpineShapes.fit(points[folds != fold]).measure(points[folds == fold])
    shapes = SpineShapes.fit(points)
    own = shapes.measure(turn_left(said["landmarks_xy"].astype(np.float64), seen.facing))
    own = own[np.isfinite(own)]
    true_limit = find_limit(distances)[0]
    own_limit = find_limit(own)[0] if len(own) else true_limit
    limits = {"limit": max(true_limit, own_limit), "true_limit": true_limit, "own_limit": own_limit}
    return shapes.to_arrays() | {name: np.array(value) for name, value in limits.items()}
