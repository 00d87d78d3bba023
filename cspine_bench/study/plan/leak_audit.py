"""The leak audit: can a classifier tell real from synthetic by what is no anatomy?

What it finds is not what readers see: noise that a person never notices parts two sides perfectly. But where it finds
nothing, no such trace unblinds a study; and where it finds something, the families say what to look at.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from cspine_bench.errors import DataError
from cspine_bench.metrics.discrimination import auc_cluster_interval, auc_interval
from cspine_bench.metrics.intervals import Estimate
from cspine_bench.seeding import numpy_generator
from cspine_bench.study.plan.leak_features import FILE_FAMILIES, FRAME_FAMILIES
from cspine_bench.study.protocol import LeakAudit
from cspine_bench.study.truth import REAL

Floats = NDArray[np.float64]
FEW: Final = 20
"""Images of a side below which the interval is too wide to say much."""

LEAST: Final = 3
_FOLDS: Final = 5
_REPEATS: Final = 5
_NEIGHBOURS: Final = 5
_PENALTY_C: Final = 0.3
_NEWTON_STEPS: Final = 30
_WIDER: Final = math.sqrt(1 + _FOLDS / (_FOLDS - 1))
METHOD: Final = (
    f"AUC of scores out of fold: mean of a logistic regression (L2, balanced classes) and the share of synthetic ones "
    f"among {_NEIGHBOURS} nearest neighbours, features standardised, {_FOLDS} folds that cut no patient or anatomy, "
    f"{_REPEATS} times; 95 % interval of DeLong over images, or of whole groups drawn anew where groups have several, "
    "1.5 times as wide as the classifier learns from the same few images (Nadeau, Bengio 2003)"
)
ADVICE: Final[dict[str, str]] = {
    "histogram": "bring both sides through the same windowing and depth (dataset import of the same kind)",
    "border": "crop or pad both sides alike, and mask burned-in marks",
    "8 x 8 blocks": "one side has a JPEG history, or the grid of a network: take its images before compression",
    "noise and spectrum": "bring both sides from the same size by one kernel: --set size= below the images' own",
    "compressibility": "follows from noise and levels: cure those first",
}


@dataclass(frozen=True)
class Shown:
    """Images that are audited.

    Attributes:
        sources: (n,), `real` or the name of a synthetic source.
        groups: (n,), patient or anatomy; unique over sources.
        by_family: float64 (n, features) each, by name of its family.
        files: likewise, of the files that the images came from.
    """

    sources: tuple[str, ...]
    groups: tuple[str, ...]
    by_family: dict[str, Floats]
    files: dict[str, Floats]


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        overall: over all features of frames, real against all synthetic images.
        by_family: likewise, of each family alone.
        by_source: all features, real against one synthetic source of several; a source of fewer than 3 images has none.
        neutralised: families of the files, which are not sent.
        num_real: images.
        num_synthetic: images, by source.
        limit: of the recipe.
    """

    overall: Estimate
    by_family: dict[str, Estimate]
    by_source: dict[str, Estimate]
    neutralised: dict[str, Estimate]
    num_real: int
    num_synthetic: dict[str, int]
    limit: float

    @property
    def leaks(self) -> tuple[str, ...]:
        """What is above the limit beyond doubt of chance: `overall`, or names of sources. Empty: the plan may pass."""
        judged = {"overall": self.overall, **self.by_source}
        return tuple(name for name, found in judged.items() if is_leak(found, self.limit))

    @property
    def families(self) -> tuple[str, ...]:
        """Families that leak by themselves, the worst first."""
        found = sorted(self.by_family, key=lambda name: -self.by_family[name].value)
        return tuple(name for name in found if is_leak(self.by_family[name], self.limit))

    def describe(self, overridden: str) -> LeakAudit:
        """As the protocol says it."""
        return LeakAudit(
            auc=self.overall.value,
            low=self.overall.low,
            high=self.overall.high,
            by_features={name: found.value for name, found in self.by_family.items()},
            by_source={name: found.value for name, found in self.by_source.items()},
            neutralised={name: found.value for name, found in self.neutralised.items()},
            limit=self.limit,
            overridden=overridden,
            method=METHOD,
            num_real=self.num_real,
            num_synthetic=sum(self.num_synthetic.values()),
        )


def is_leak(found: Estimate, limit: float) -> bool:
    """Above the limit, and not by chance: the interval lies above one half."""
    return found.value > limit and found.low > 0.5


def measure_frames(frames: NDArray[Any]) -> dict[str, Floats]:
    """Features of frames, (n, height, width) uint8 or uint16, by family."""
    return _measure(FRAME_FAMILIES, list(frames))


def measure_files(files: Sequence[bytes]) -> dict[str, Floats]:
    """Features of PNG files, by family."""
    return _measure(FILE_FAMILIES, files)


def _measure(families: Mapping[str, Callable[[Any], list[float]]], items: Sequence[Any]) -> dict[str, Floats]:
    return {name: np.array([measure(item) for item in items], np.float64) for name, measure in families.items()}


def audit_leaks(shown: Shown, *, limit: float, seed: int) -> Audit:
    """Cross-validate over all features, each family, and each source.

    Args:
        shown: images with their features.
        limit: AUC above which there is a leak.
        seed: of the folds.

    Raises:
        DataError: fewer than 3 real or 3 synthetic images.
    """
    sources = np.array(shown.sources)
    real = sources == REAL
    names = list(dict.fromkeys(name for name in shown.sources if name != REAL))
    counts = {name: int((sources == name).sum()) for name in names}
    if min(int(real.sum()), sum(counts.values())) < LEAST:
        raise DataError(
            f"the leak audit needs at least {LEAST} real and {LEAST} synthetic images, got {int(real.sum())} and "
            f"{sum(counts.values())}; ask for more cases"
        )
    groups = np.array(shown.groups)
    everything = np.concatenate(list(shown.by_family.values()), axis=1)

    def test(features: Floats, rows: NDArray[np.bool_], stream: str) -> Estimate:
        return _cross_validate(features[rows], ~real[rows], groups[rows], seed=seed, stream=stream)

    every = np.ones(len(sources), np.bool_)
    overall = test(everything, every, "all")
    apart = [name for name in names if len(names) > 1 and counts[name] >= LEAST]
    return Audit(
        overall=overall,
        by_family={name: test(part, every, name) for name, part in shown.by_family.items()},
        by_source={name: test(everything, real | (sources == name), name) for name in apart},
        neutralised={name: test(part, every, name) for name, part in shown.files.items()},
        num_real=int(real.sum()),
        num_synthetic=counts,
        limit=limit,
    )


def _cross_validate(
    features: Floats, synthetic: NDArray[np.bool_], groups: NDArray[Any], *, seed: int, stream: str
) -> Estimate:
    """AUC of scores out of fold; .5 with all of 0..1 as its interval where no feature varies."""
    features = features[:, np.ptp(features, axis=0) > 0]
    if not features.shape[1]:
        return Estimate(0.5, 0.0, 1.0)
    generator = numpy_generator(seed, f"study.audit.{stream}")
    scores = np.zeros(len(features))
    for _ in range(_REPEATS):
        folds = _deal_folds(synthetic, groups, generator)
        for fold in range(int(folds.max()) + 1):
            held = folds == fold
            mean, spread = features[~held].mean(axis=0), features[~held].std(axis=0)
            scaled = (features - mean) / np.where(spread > 0, spread, 1)
            known, labels, new = scaled[~held], synthetic[~held], scaled[held]
            scores[held] += _score_linear(known, labels, new) + _score_neighbours(known, labels, new)
    one, other = scores[synthetic], scores[~synthetic]
    found = auc_interval(positives=one, negatives=other)
    if found.value in (0, 1):
        return found
    if len(np.unique(groups)) == len(groups):
        return _widen(found)
    drawn = auc_cluster_interval(
        positives=one,
        negatives=other,
        positive_groups=groups[synthetic],
        negative_groups=groups[~synthetic],
        generator=generator,
    )
    return _widen(drawn)


def _widen(found: Estimate) -> Estimate:
    """An interval of scores as given, widened as the classifier was fitted to other images of the same few.

    Source: the factor sqrt(1 + k n_test / n_train) of Nadeau, Bengio 2003, Machine Learning 52, 239-281, for k folds.
    """
    low, high = (found.value + _WIDER * (end - found.value) for end in (found.low, found.high))
    return Estimate(found.value, max(0.0, low), min(1.0, high))


def _score_linear(known: Floats, labels: NDArray[np.bool_], new: Floats) -> Floats:
    """Probability by logistic regression, both classes of equal weight, with an L2 penalty on all but the intercept.

    Source: Newton's method for the penalised likelihood, Hastie, Tibshirani, Friedman 2009, section 4.4.1; as
    scikit-learn's `LogisticRegression(C=0.3, class_weight="balanced")`, without whose overhead 200 fits take no time.
    """
    ones = np.column_stack([np.ones(len(known)), known])
    weights = np.where(labels, 0.5 / max(1, labels.sum()), 0.5 / max(1, (~labels).sum())) * len(labels)
    penalty = np.full(ones.shape[1], 1 / _PENALTY_C)
    penalty[0] = 1e-6
    beta = np.zeros(ones.shape[1])
    for _ in range(_NEWTON_STEPS):
        chance = expit(ones @ beta)
        slope = ones.T @ (weights * (chance - labels)) + penalty * beta
        bend = (ones * (weights * chance * (1 - chance))[:, None]).T @ ones + np.diag(penalty)
        step = np.linalg.solve(bend, slope)
        beta -= step
        if np.abs(step).max() < 1e-6:
            break
    return np.asarray(expit(np.column_stack([np.ones(len(new)), new]) @ beta), np.float64)


def _score_neighbours(known: Floats, labels: NDArray[np.bool_], new: Floats) -> Floats:
    """Share of synthetic ones among the nearest images."""
    distances = ((new[:, None] - known[None]) ** 2).sum(axis=2)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :_NEIGHBOURS]
    return np.asarray(labels[nearest].mean(axis=1), np.float64)


def _deal_folds(
    synthetic: NDArray[np.bool_], groups: NDArray[Any], generator: np.random.Generator
) -> NDArray[np.int64]:
    """A fold for each image: groups dealt out in turn, side by side, so that each fold has its share of both."""
    sides = [np.unique(groups[synthetic == side]) for side in (False, True)]
    count = min(_FOLDS, *(len(side) for side in sides))
    place: dict[Any, int] = {}
    for side in sides:
        place |= {group: number % count for number, group in enumerate(generator.permutation(side))}
    return np.array([place[group] for group in groups])
