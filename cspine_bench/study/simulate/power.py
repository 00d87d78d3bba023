"""Power by simulation: how often studies of a design, in a world whose truth is known, find what is asked of them.

Worlds are those of `cspine_bench.study.simulate.batch`; nothing is fitted by a model. Worlds that differ in accuracy
alone share their random numbers, so that power rises with it without jumps.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from cspine_bench.seeding import numpy_generator
from cspine_bench.study.recipe import CHANCE
from cspine_bench.study.simulate.batch import Studies, World, draw_studies
from cspine_bench.study.simulate.batch_tests import (
    MeanBatch,
    label_p_values,
    single_image_p_values,
    two_way_batch,
)
from cspine_bench.study.simulate.realism import draw_rating_differences
from cspine_bench.study.simulate.recipe import RatingRecipe

Method = Literal["label-test", "two-way", "two-way-nonnegative", "both-rules"]
LABEL_TEST: Final = "label-test"
TWO_WAY: Final = "two-way"
NONNEGATIVE: Final = "two-way-nonnegative"
BOTH: Final = "both-rules"
"""Equivalence by both two-way rules, as a verdict asks."""
_CELLS: Final = 4_000_000
"""Answers in memory at a time."""
_FINEST: Final = 1e-3
"""Of an accuracy that is looked for."""


@dataclass
class Outcomes:
    """What many studies found.

    Attributes:
        studies: how many.
        detected: of them, by method: accuracy above chance, one-sided.
        equivalent: by method and margin.
        widths: of the interval, by method; float64 (studies,), NaN: not defined.
    """

    studies: int = 0
    detected: Counter[str] = field(default_factory=Counter)
    equivalent: Counter[tuple[str, float]] = field(default_factory=Counter)
    widths: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)

    def mean_width(self, method: str) -> tuple[float, float]:
        """Mean width of the interval, and the standard error of the simulation."""
        found = np.concatenate(self.widths[method])
        found = found[~np.isnan(found)]
        if len(found) == 0:
            return 0.0, 0.0
        return float(found.mean()), float(found.std(ddof=1) / np.sqrt(len(found))) if len(found) > 1 else 0.0


def label_tests(studies: Studies) -> NDArray[np.float64]:
    """One-sided p value of the primary test of each study, whatever its design."""
    if studies.labels.size:
        return single_image_p_values(studies.picks[:, :, 0], labels=studies.labels)
    return label_p_values(studies.picks)


def run_world(
    world: World,
    *,
    studies: int,
    seed: int,
    alpha: float,
    margins: tuple[float, ...] = (),
    detect: bool = True,
) -> Outcomes:
    """Simulate studies and analyse each.

    Args:
        world: what is true.
        studies: how many.
        seed: of all draws.
        alpha: of every test; intervals cover 1 - alpha.
        margins: of equivalence with chance.
        detect: whether the primary test is made.

    Raises:
        ValueError: no skill gives the accuracy.
    """
    chance, outcomes = CHANCE[world.design], Outcomes()
    for count, generator in _deal(
        studies, world.readers * world.cases, seed, f"accuracy/{world.readers}x{world.cases}"
    ):
        drawn = draw_studies(world, studies=count, generator=generator)
        outcomes.studies += count
        if detect:
            outcomes.detected[LABEL_TEST] += int((label_tests(drawn) <= alpha).sum())
        _count(outcomes, two_way_batch(drawn.correct), chance, alpha, margins)
    return outcomes


def run_ratings(
    recipe: RatingRecipe,
    *,
    readers: int,
    cases: int,
    num_steps: int,
    margins: tuple[float, ...],
    studies: int,
    seed: int,
    alpha: float,
) -> Outcomes:
    """Simulate rating differences of a source that looks no less real than real images, and test each study's.

    Args:
        recipe: of ratings.
        readers: of a study.
        cases: of a study.
        num_steps: of the scale.
        margins: of equivalence, in steps.
        studies: how many.
        seed: of all draws.
        alpha: of every test.
    """
    outcomes = Outcomes()
    for count, generator in _deal(studies, 4 * readers * cases, seed, f"ratings/{readers}x{cases}"):
        differences = draw_rating_differences(
            recipe, num_steps=num_steps, readers=readers, cases=cases, studies=count, generator=generator
        )
        outcomes.studies += count
        _count(outcomes, two_way_batch(differences), 0.0, alpha, margins)
    return outcomes


def _count(
    outcomes: Outcomes, both: tuple[MeanBatch, MeanBatch], null: float, alpha: float, margins: tuple[float, ...]
) -> None:
    for method, means in zip((TWO_WAY, NONNEGATIVE), both, strict=True):
        outcomes.detected[method] += int((means.p_greater(null) <= alpha).sum())
        outcomes.widths.setdefault(method, []).append(2 * means.half_widths(1 - alpha))
    for margin in margins:
        shown = [means.p_equivalent(null, margin) <= alpha for means in both]
        for method, found in ((TWO_WAY, shown[0]), (NONNEGATIVE, shown[1]), (BOTH, shown[0] & shown[1])):
            outcomes.equivalent[method, margin] += int(found.sum())


def _deal(studies: int, answers: int, seed: int, stream: str) -> Iterator[tuple[int, np.random.Generator]]:
    """Studies in parts that fit in memory, each with a generator of its own."""
    step = max(1, _CELLS // answers)
    for number, first in enumerate(range(0, studies, step)):
        yield min(step, studies - first), numpy_generator(seed, f"study.power/{stream}", number)


def find_detectable_accuracy(
    world: World, *, method: Method, power: float, studies: int, seed: int, alpha: float
) -> float | None:
    """The smallest accuracy that is detected with the wanted power, to a tenth of a percentage point.

    Args:
        world: its accuracy is not used.
        method: of detection.
        power: wanted.
        studies: simulated at each step.
        seed: of all draws.
        alpha: of the test.

    Returns:
        None: not even nearly perfect readers are.
    """

    def reaches(accuracy: float) -> bool:
        found = run_world(
            replace(world, accuracy=accuracy), studies=studies, seed=seed, alpha=alpha, detect=method == LABEL_TEST
        )
        return found.detected[method] >= power * studies

    low, high = CHANCE[world.design], 0.99
    if not reaches(high):
        return None
    while high - low > _FINEST:
        middle = (low + high) / 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return round(high, 4)


def find_readers(reaches: Callable[[int], bool], *, most: int) -> int | None:
    """The smallest number of readers that reaches what is asked, if power rises with their number.

    Args:
        reaches: whether so many readers do.
        most: looked at; 2 or more.

    Returns:
        None: not even `most` do.
    """
    if not reaches(most):
        return None
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return high
