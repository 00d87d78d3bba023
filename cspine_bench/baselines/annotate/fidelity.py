"""Label fidelity: how far the labels of a dataset lie from what teachers measure in its images.

Labels that were drawn before the image can only be as good as the generator's obedience. A teacher is no truth either:
beside each figure stands the same figure of that teacher on labelled radiographs that it had not seen, as the floor.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from cspine_bench.baselines.annotate.measure import Measured
from cspine_bench.baselines.annotate.teachers import Teachers
from cspine_bench.baselines.cases import load_cases
from cspine_bench.baselines.curvature_agreement import score_curvature
from cspine_bench.baselines.model import TrainedModel
from cspine_bench.baselines.task import Score
from cspine_bench.baselines.tested import build_tested_figures
from cspine_bench.dataset.files import write_file
from cspine_bench.errors import DataError
from cspine_bench.measurement.figures import compare_with_floor
from cspine_bench.measurement.inputs import Images
from cspine_bench.measurement.outputs import Question
from cspine_bench.measurement.task import build_result
from cspine_bench.results import Figure, Floor, Result, load_result, render_result

MEASURE: Final = "label-fidelity"
MEASURE_VERSION: Final = "1"
ROLE: Final = "labelled"
_WORDS: Final = {
    "beyond": "more than the teacher's own error",
    "within": "which the teacher's own error explains",
    "better": "less than the teacher's own error",
    "none": "with no error of the teacher to hold it against",
}


def measure_label_fidelity(
    images: Images, measured: Measured, teachers: Teachers, *, seed: int, started: float
) -> Result:
    """Agreement of a dataset's own labels with measured ones.

    Args:
        images: the dataset.
        measured: of all its radiographs.
        teachers: that measured.
        seed: of the intervals' resamples.
        started: by `time.monotonic`.

    Returns:
        Figures of each teacher's task, with the dataset's labels as the truth, and the share of equal curvature
        classes; each with its floor.

    Raises:
        DataError: a teacher learnt from this very dataset or measured its labels; or the dataset has
            none of the labels that are measured.
    """
    _refuse_circles(images, teachers)
    figures = [figure for part in _iter_parts(images, measured, teachers, seed) for figure in part]
    if not figures:
        named = ", ".join(teachers.items())
        raise DataError(f"{images.folder.path}: has none of the labels that are measured ({named}); nothing to compare")
    question = Question(MEASURE, MEASURE_VERSION, (images.describe(),), {"teachers": teachers.describe()}, seed)
    return build_result(
        question,
        encoder=None,
        figures=tuple(figures),
        verdict=" ".join(_say(figures)),
        device=teachers.device,
        seconds=time.monotonic() - started,
    )


def _refuse_circles(images: Images, teachers: Teachers) -> None:
    """Refuse a teacher that knows the labels: it learnt from these radiographs, or the labels are its own."""
    manifest = images.folder.manifest
    earlier = manifest.source.get("annotations", [])
    digests = {manifest.digest, *(annotation["of"] for annotation in earlier)}
    made_by = {
        told["weights_sha256"]
        for annotation in earlier
        for told in annotation["teachers"].values()
        if isinstance(told, Mapping)
    }
    for what, model in teachers.items().items():
        learnt, made = model.facts.trained_on.digest in digests, model.weights_sha256 in made_by
        if learnt or made:
            why = "learnt from this very dataset, so it knows the labels" if learnt else "measured these very labels"
            raise DataError(
                f"{images.folder.path}: the teacher of {what} {why}; measure with one that learnt from other "
                "radiographs"
            )


def write_fidelity(result: Result, path: Path, *, overwrite: bool) -> Result:
    """Write a result whole or not at all; one that answers the same question is kept.

    Returns:
        The result that lies there.

    Raises:
        DataError: another result or another file lies there, and `overwrite` is False; or the disk is full.
        OSError: the file cannot be written.
    """
    if path.exists() and not overwrite:
        found = load_result(path)
        if (found.measure, found.inputs, found.settings, found.seed) == (
            (result.measure, result.inputs, result.settings, result.seed)
        ):
            return found
        raise DataError(f"{path}: holds the result of other data or teachers; name another file, or --overwrite it")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, render_result(result), scratch=path.parent)
    return result


def _iter_parts(images: Images, measured: Measured, teachers: Teachers, seed: int) -> Iterator[tuple[Figure, ...]]:
    for what, model in teachers.items().items():
        # The labels that the radiographs came with, at the teacher's size.
        cases = load_cases(images, model.recipe.size)
        usable = model.task.list_usable(cases)
        if usable.any():
            predictions = {name: values[usable] for name, values in measured.said[what].predictions.items()}
            scores = model.task.score(predictions, cases.take(usable), seed=seed)
            yield _add_floor(scores, cases.take(usable).group_ids, model, seed)
    source = "landmarks" if teachers.curvature is None else "curvature"
    if source in measured.said:
        yield from _compare_curvature(images, measured, teachers.items()[source], seed)


def _compare_curvature(
    images: Images, measured: Measured, model: TrainedModel, seed: int
) -> Iterator[tuple[Figure, ...]]:
    score = score_curvature(measured.curvature, images.labels["curvature"])
    if score.used:
        yield _add_floor([score], images.group_ids, model, seed)


def _add_floor(scores: Sequence[Score], group_ids: Sequence[str], model: TrainedModel, seed: int) -> tuple[Figure, ...]:
    facts = model.facts
    own = {(figure.name, tuple(sorted(figure.condition.items())), figure.unit): figure for figure in facts.figures}
    figures = []
    for figure in build_tested_figures(scores, group_ids, role=ROLE, seed=seed):
        beside = own.get((figure.name, tuple(sorted(figure.condition.items())), figure.unit))
        floor = None
        if beside is not None and beside.interval is not None:
            used = sum(beside.n_used.values())
            where = f"the teacher on the {facts.tested_on} split of {facts.trained_on.dataset}"
            floor = Floor(
                value=beside.value,
                low=beside.interval.low,
                high=beside.interval.high,
                level=beside.interval.level,
                method=f"{where}; {beside.interval.method}",
                n_used=(used, used),
            )
        figures.append(figure.model_copy(update={"floor": floor}))
    return tuple(figures)


def _say(figures: Sequence[Figure]) -> Iterator[str]:
    """The primary figure of each task, in words."""
    named = {"mean_radial_error": "Landmarks", "mean_radial_error_px": "Landmarks", "dice": "Masks"}
    named["curvature_agreement"] = "Curvature"
    told: set[str] = set()
    for figure in figures:
        what = named.get(figure.name)
        if what is None or what in told or figure.condition:
            continue
        told.add(what)
        unit = f" {figure.unit}" if figure.unit not in ("", "share") else ""
        ends = "" if figure.interval is None else f" ({figure.interval.low:.3g} to {figure.interval.high:.3g})"
        floor = "" if figure.floor is None else f", the teacher's own {figure.floor.value:.3g}{unit}"
        words = _WORDS[compare_with_floor(figure)]
        yield f"{what}: {figure.name} {figure.value:.3g}{unit}{ends}{floor}: {words}."
