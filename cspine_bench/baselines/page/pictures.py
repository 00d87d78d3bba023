"""What a page shows of single test radiographs, taken from the predictions that a run kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.page.records import Agreement, Example, Reliability
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.task import Arrays, Score
from cspine_bench.baselines.tasks.classification.labels import LABELS, UNLABELLED, read_labels
from cspine_bench.baselines.tasks.classification.recipe import ClassificationRecipe
from cspine_bench.baselines.tasks.classification.scores import build_reliability_curve
from cspine_bench.baselines.tasks.landmarking.alignment import ALIGNMENT, measure_alignment
from cspine_bench.baselines.tasks.segmentation.recipe import SegmentationRecipe
from cspine_bench.baselines.tasks.segmentation.targets import build_targets
from cspine_bench.measurement.figures import build_figure
from cspine_bench.page.wording import show_figure, title_of

RANKS: Final = ("best", "median", "worst")
_AGREEMENTS: Final = ("C2-7Cobb", "SVA")


@dataclass(frozen=True)
class ShownArm:
    """One network whose predictions are shown.

    Attributes:
        arm: its label.
        predictions: of all test cases, by name.
        scores: of them, the primary one first.
    """

    arm: str
    predictions: Arrays
    scores: tuple[Score, ...]


def collect_agreements(cases: Cases, shown: Sequence[ShownArm]) -> tuple[Agreement, ...]:
    """C2-C7 Cobb angle and SVA of arms that predict landmarks; none for others."""
    with_points = [item for item in shown if "landmarks_xy" in item.predictions]
    if not with_points:
        return ()
    true = measure_alignment(cases.landmarks_xy, cases)
    units = {measure.parameter: measure.unit for measure in ALIGNMENT}
    found = {item.arm: measure_alignment(item.predictions["landmarks_xy"], cases, near=true) for item in with_points}
    return tuple(
        Agreement(name, units[name], arm, true[name], values[name])
        for name in _AGREEMENTS
        for arm, values in found.items()
    )


def collect_reliabilities(recipe: BaselineRecipe, cases: Cases, shown: Sequence[ShownArm]) -> tuple[Reliability, ...]:
    """Probabilities of arms that classify, of radiographs whose class is known; none for other tasks."""
    if not isinstance(recipe.task, ClassificationRecipe):
        return ()
    label = LABELS[recipe.task.label]
    known = read_labels(cases, label) != UNLABELLED
    found = []
    for item in shown:
        probabilities = {"probabilities": item.predictions["probabilities"][known]}
        found.append(Reliability(item.arm, build_reliability_curve(probabilities, cases.take(known), label)))
    return tuple(found)


def collect_examples(recipe: BaselineRecipe, cases: Cases, shown: Sequence[ShownArm]) -> tuple[Example, ...]:
    """The best, the median and the worst radiograph of each arm by its primary score.

    An arm whose primary score has no value for single radiographs is ranked by its first score that has one; where none
    has, it has no examples. Radiographs of equal value count in the order of the split.
    """
    examples = []
    for item in shown:
        score = next((one for one in item.scores if one.per_case is not None and one.direction != "none"), None)
        if score is None or score.per_case is None:
            continue
        values = np.asarray(score.per_case, np.float64)
        order = np.flatnonzero(np.isfinite(values))
        order = order[np.argsort(values[order] * (1 if score.direction == "lower" else -1), kind="stable")]
        if not len(order):
            continue
        places = dict.fromkeys((int(order[0]), int(order[(len(order) - 1) // 2]), int(order[-1])))
        for rank, place in zip(RANKS, places, strict=False):
            text = f"{title_of(score.name)} {_spell(score, float(values[place]))}"
            examples.append(_build_example(recipe, cases, item, place, rank, text))
    return tuple(examples)


def _build_example(recipe: BaselineRecipe, cases: Cases, item: ShownArm, place: int, rank: str, text: str) -> Example:
    arrays, drawn = item.predictions, {}
    one = cases.take(np.array([place]))
    if "landmarks_xy" in arrays:
        drawn = {"truth_xy": one.landmarks_xy[0], "predicted_xy": arrays["landmarks_xy"][place]}
    if "masks" in arrays and isinstance(recipe.task, SegmentationRecipe):
        truth = build_targets(one, recipe.task.target).masks[0]
        drawn = {"truth_mask": truth, "predicted_mask": arrays["masks"][place]}
    image: NDArray[Any] = one.pixels[0]
    if "restored" in arrays:
        image, text = arrays["restored"][place], f"{text}; as restored"
    if isinstance(recipe.task, ClassificationRecipe):
        label = LABELS[recipe.task.label]
        number = int(read_labels(one, label)[0])
        said = int(arrays["predicted"][place] if "predicted" in arrays else np.argmax(arrays["probabilities"][place]))
        true = "unknown" if number == UNLABELLED else label.classes[number]
        text = f"{text}; {true}, named {label.classes[said]}"
    return Example(one.sample_ids[0], item.arm, rank, text, image, **drawn)


def _spell(score: Score, value: float) -> str:
    figure = build_figure(score.name, value, direction=score.direction, used={}, available={}, unit=score.unit)
    return show_figure(figure).value
