"""What the detector of the spectrum rests on; and facts of an image's making that tell the sides apart alone."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.evaluate.fidelity.detector import CrossFit, Integers, fold_interval
from cspine_bench.evaluate.fidelity.detector_statistics import BAND_EDGES, BANDS, FACTS, STATISTICS
from cspine_bench.metrics.intervals import CONFIDENCE, Estimate

GIVEN_AWAY: Final = 0.75
"""A fact whose area under the curve is surely beyond this, or below its mirror image, is named in a note."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Clue:
    """One statistic of an image, compared between the two sides.

    Attributes:
        name: of `STATISTICS`.
        band: of spatial frequencies, cycles per pixel; None: it is not the power in a band.
        real: mean.
        synthetic: likewise.
        real_deviation: between images.
        synthetic_deviation: likewise.
        auroc: of this statistic alone, above 0.5 where synthetic images have more.
        contribution: of the logits by which the detector holds synthetic images for more synthetic than real ones, on
            average out of fold, how many come from this statistic. All together make the whole. Statistics that say the
            same share it as it happens, and one may be taken back by another: below 0.
    """

    name: str
    band: tuple[float, float] | None
    real: float
    synthetic: float
    real_deviation: float
    synthetic_deviation: float
    auroc: Estimate
    contribution: float


@dataclass(frozen=True)
class FormatFact:
    """What the making of an image leaves, compared between the two sides.

    Attributes:
        name: of `FACTS`.
        real: median.
        synthetic: likewise.
        auroc: of this fact alone; its interval allows for the number of facts.
    """

    name: str
    real: float
    synthetic: float
    auroc: Estimate

    @property
    def gives_away(self) -> bool:
        """Whether it tells most images apart without a look at their content."""
        return self.auroc.low > GIVEN_AWAY or self.auroc.high < 1 - GIVEN_AWAY


def compare_statistics(
    *, statistics: Floats, synthetic: NDArray[np.bool_], units: Integers, fit: CrossFit, view: str
) -> tuple[Clue, ...]:
    """What each statistic tells, and what the detector makes of it.

    Args:
        statistics: float64 (n, len(STATISTICS)).
        synthetic: (n,), side.
        units: (n,), as `join_units` gives them.
        fit: of these images.
        view: name of the statistics in it.
    """
    weights = np.array([classifier.weights for classifier in fit.classifiers[view]])[fit.fold]
    logits = weights * statistics
    # Within folds, for each has a classifier of its own.
    shares = np.zeros(len(STATISTICS))
    for fold in np.unique(fit.fold):
        here = fit.fold == fold
        gap = logits[here & synthetic].mean(axis=0) - logits[here & ~synthetic].mean(axis=0)
        shares += gap * here.mean()
    clues = []
    for number, name in enumerate(STATISTICS):
        values = statistics[:, number]
        real, made = ((float(side.mean()), float(side.std(ddof=1))) for side in (values[~synthetic], values[synthetic]))
        band = (BAND_EDGES[number], BAND_EDGES[number + 1]) if number < len(BANDS) else None
        alone = _measure_alone(values, synthetic, units)
        clues.append(Clue(name, band, real[0], made[0], real[1], made[1], alone, float(shares[number])))
    return tuple(clues)


def compare_facts(*, facts: Floats, synthetic: NDArray[np.bool_], units: Integers) -> tuple[FormatFact, ...]:
    """Each of `FACTS`, from float64 (n, len(FACTS))."""
    confidence = 1 - (1 - CONFIDENCE) / len(FACTS)
    return tuple(
        FormatFact(
            name,
            float(np.median(facts[~synthetic, number])),
            float(np.median(facts[synthetic, number])),
            _measure_alone(facts[:, number], synthetic, units, confidence),
        )
        for number, name in enumerate(FACTS)
    )


def spell_facts(facts: tuple[FormatFact, ...]) -> tuple[str, ...]:
    """A sentence for each fact that tells the sides apart by itself."""
    return tuple(
        f"the {fact.name} alone tells real from synthetic images (area under the curve {fact.auroc.value:.2f}; median "
        f"{fact.real:g} real, {fact.synthetic:g} synthetic): what a detector sees may be this and not the content; "
        "bring both sides to one format by the same steps, and measure again"
        for fact in facts
        if fact.gives_away
    )


def _measure_alone(
    values: Floats, synthetic: NDArray[np.bool_], units: Integers, confidence: float = CONFIDENCE
) -> Estimate:
    fold = np.zeros(len(values), np.int64)
    return fold_interval(
        scores=values, synthetic=synthetic, fold=fold, units=units, trained=False, confidence=confidence
    )
