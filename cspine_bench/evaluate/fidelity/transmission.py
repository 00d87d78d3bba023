"""Do the detectors still tell the sides apart after what images meet on their way to a reader?"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.evaluate.fidelity.chosen_images import OnImage, Rows, describe_images, encode_together
from cspine_bench.evaluate.fidelity.detector import CrossFit, Integers, cross_fit, fold_interval
from cspine_bench.evaluate.fidelity.detector_statistics import describe_statistics
from cspine_bench.features.encoder import Encoder
from cspine_bench.imaging.degrade import TRANSMISSION, Degradation
from cspine_bench.measurement.inputs import Images
from cspine_bench.measurement.work import Arrays, Work
from cspine_bench.metrics.intervals import Estimate
from cspine_bench.seeding import numpy_generator

UNTOUCHED: Final = "none"
"""Name of the rung where nothing was done."""


@dataclass(frozen=True)
class Rung:
    """Areas under the curve after one degradation of both sides.

    Attributes:
        name: of its kind; `UNTOUCHED` where nothing was done, on the same images.
        strength: in words.
        step: 0 for untouched, then 1, 2, 3.
        stronger: of the view chosen in each fold, trained on untouched images.
        by_view: of each view, likewise.
        retrained: of the view chosen in each fold, trained on images after the same; None where that could not be done.
        num_images: of each side.
    """

    name: str
    strength: str
    step: int
    stronger: Estimate
    by_view: dict[str, Estimate]
    retrained: Estimate | None
    num_images: int


def choose_rung_images(fit: CrossFit, *, synthetic: NDArray[np.bool_], count: int, seed: int) -> Rows:
    """Rows of so many images of each side, at random, evenly from the folds."""
    generator = numpy_generator(seed, "evaluate.detectability.rungs")
    chosen = []
    for side in (False, True):
        rows = generator.permutation(np.flatnonzero(synthetic == side))
        fold = fit.fold[rows]
        turn = np.array([int((fold[:place] == number).sum()) for place, number in enumerate(fold)])
        chosen.append(rows[np.argsort(turn, kind="stable")][:count])
    return np.sort(np.concatenate(chosen))


def degrade_images(
    images: Images,
    side: str,
    rows: Rows,
    encoder: Encoder,
    *,
    views: tuple[str, str],
    rungs: tuple[Degradation, ...] = TRANSMISSION,
    seed: int,
    work: Work,
    key: dict[str, Any],
    on_image: OnImage,
) -> Arrays:
    """What the detectors see of some images after each degradation.

    Args:
        images: of one side.
        side: its name, `real` or `synthetic`: what is random is not the same on both.
        rows: of the images.
        encoder: of the first view.
        views: names of the encoder's features, and of the statistics.
        rungs: degradations; what is random in them belongs to the image.
        seed: of that.
        work: where blocks are kept.
        key: JSON that it depends on.
        on_image: called after each image.

    Returns:
        By view, float (len(rows), len(rungs), d).
    """

    def describe(row: int, pixels: NDArray[Any]) -> Arrays:
        changed = [
            rung.apply(
                pixels,
                numpy_generator(seed, f"evaluate.detectability.{side}.{rung.name}.{rung.step}", row),
            )
            for rung in rungs
        ]
        features = np.concatenate([encode_together(encoder, [each]) for each in changed])
        return {views[0]: features, views[1]: np.stack([describe_statistics(each) for each in changed])}

    spelled = [[rung.name, rung.strength] for rung in rungs]
    return describe_images(
        images, rows, describe, work=work, name=f"transmission-{side}", key={**key, "rungs": spelled},
        on_image=on_image,
    )  # fmt: skip


def measure_transmission(
    *,
    fit: CrossFit,
    rows: Rows,
    seen: Arrays,
    synthetic: NDArray[np.bool_],
    units: Integers,
    seed: int,
    rungs: tuple[Degradation, ...] = TRANSMISSION,
) -> tuple[Rung, ...]:
    """Areas under the curve, untouched first.

    Args:
        fit: trained on untouched images.
        rows: of the images in the fit.
        seen: by view, float (len(rows), len(rungs), d), as `degrade_images` gives it for both sides.
        synthetic: (n,), side of the images of the fit.
        units: (n,), as `join_units` gives them.
        seed: deals the folds of those that are trained on degraded images.
        rungs: degradations.
    """
    made, unit, fold = synthetic[rows], units[rows], fit.fold[rows]
    part = CrossFit(fold, {view: scores[rows] for view, scores in fit.scores.items()}, fit.classifiers, fit.chosen)

    def measure(scores: dict[str, NDArray[np.float64]]) -> tuple[Estimate, dict[str, Estimate]]:
        intervals = {
            view: fold_interval(scores=values, synthetic=made, fold=fold, units=unit)
            for view, values in {**scores, UNTOUCHED: part.choose(scores)}.items()
        }
        return intervals.pop(UNTOUCHED), intervals

    count = int(made.sum())
    found = [Rung(UNTOUCHED, "as they are", 0, *measure(part.scores), None, count)]
    for number, rung in enumerate(rungs):
        views = {view: values[:, number] for view, values in seen.items()}
        stronger, by_view = measure(fit.rescore(views, rows))
        generator = numpy_generator(seed, "evaluate.detectability.retrained", number)
        try:
            again = cross_fit(views=views, synthetic=made, units=unit, generator=generator)
        except ValueError:
            retrained = None  # Patients so uneven in their images that folds of these few cannot be made.
        else:
            retrained = fold_interval(scores=again.chosen_scores, synthetic=made, fold=again.fold, units=unit)
        found.append(Rung(rung.name, rung.strength, rung.step, stronger, by_view, retrained, count))
    return tuple(found)
