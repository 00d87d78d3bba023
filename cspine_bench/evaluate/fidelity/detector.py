"""A classifier of real against synthetic, trained and tested on different patients; and the area under its curve.

Images are dealt into folds by what must not be cut: a patient or anatomy, and images of the same pixels. In each fold,
a logistic regression is trained on the other folds for each view of the images (features of an encoder, statistics of
the spectrum), its regularisation chosen inside them; and so is the view that tells the sides apart best. The images of
the fold decide nothing about what scores them.

The interval. Within a fold, images are compared under one classifier, and DeLong's variance holds. Folds hang together,
though: what two folds have in common by chance, each finds when trained on the other. At chance, where folds are alike
in size, every pair of folds is so counted twice, and the variance is twice the sum of the folds': an interval from the
sum covers about 84 % instead of 95 % (the tests simulate it). Where there is much to see the factor falls towards 1. So
twice the sum is taken: honest at chance, cautious elsewhere, and no more than the variance of a single test on half of
the images, whose training would be poorer.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cspine_bench.metrics.intervals import CONFIDENCE, Estimate, clopper_pearson_interval

NUM_FOLDS: Final = 5
NUM_INNER_FOLDS: Final = 3
STRENGTHS: Final = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse regularisations that are tried, the most regular first; it is taken where they are equal."""

FOLD_METHOD: Final = (
    "areas within 5 folds; variance of clustered DeLong, doubled because folds train each other, on the logit scale"
)
"""How the interval of a cross-fitted area is found."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Views = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Linear:
    """A trained classifier: the logit of "synthetic" is `features @ weights + offset`."""

    weights: Floats
    offset: float

    def score(self, features: NDArray[Any]) -> Floats:
        """float64 (n,) of (n, d)."""
        return np.asarray(features, np.float64) @ self.weights + self.offset


@dataclass(frozen=True)
class CrossFit:
    """Classifiers of each fold, and what they make of images that they have not seen.

    Attributes:
        fold: int64 (n,), where each image is tested.
        scores: by view, float64 (n,), logits of "synthetic" out of fold.
        classifiers: by view, one for each fold.
        chosen: for each fold, the view that told its training images apart best.
    """

    fold: Integers
    scores: dict[str, Floats]
    classifiers: dict[str, tuple[Linear, ...]]
    chosen: tuple[str, ...]

    @property
    def chosen_scores(self) -> Floats:
        """float64 (n,), of the view chosen in each image's fold."""
        return self.choose(self.scores)

    def choose(self, scores: Mapping[str, Floats]) -> Floats:
        """Of scores by view, those of the view chosen in each image's fold."""
        table = np.stack([scores[view] for view in self.scores])
        views = list(self.scores)
        place = np.array([views.index(view) for view in self.chosen])
        return np.asarray(table[place[self.fold], np.arange(len(self.fold))])

    def rescore(self, views: Views, rows: Integers) -> dict[str, Floats]:
        """By view, what each image's own out-of-fold classifier makes of other features of it.

        Args:
            views: by view, (len(rows), d).
            rows: of the images in this fit.
        """
        found = {}
        for view, classifiers in self.classifiers.items():
            scores = np.empty(len(rows))
            for fold, classifier in enumerate(classifiers):
                here = self.fold[rows] == fold
                scores[here] = classifier.score(views[view][here])
            found[view] = scores
        return found


def join_units(group_ids: NDArray[Any], pixel_sha256: NDArray[Any]) -> Integers:
    """Number of what must stay in one fold, for each image: those of a group, and those of the same pixels.

    Args:
        group_ids: (n,), patient or anatomy; equal names on both sides are one.
        pixel_sha256: (n,).
    """
    count = len(group_ids)
    groups = np.unique(group_ids, return_inverse=True)[1]
    pixels = np.unique(pixel_sha256, return_inverse=True)[1] + count
    links = coo_array((np.ones(count), (groups, pixels)), shape=(2 * count, 2 * count))
    return np.asarray(connected_components(links, directed=False)[1][groups], np.int64)


def deal_folds(
    *, units: Integers, synthetic: NDArray[np.bool_], count: int, generator: np.random.Generator
) -> Integers:
    """A fold for each image, so that no unit is cut and each fold has about the same of both sides.

    Args:
        units: (n,), as `join_units` gives them.
        synthetic: (n,), side.
        count: of folds.
        generator: decides among units that are alike.
    """
    names, unit = np.unique(units, return_inverse=True)
    sizes = np.stack([np.bincount(unit[~synthetic], minlength=len(names)), np.bincount(unit[synthetic],
                      minlength=len(names))], axis=1)  # fmt: skip
    order = generator.permutation(len(names))
    order = order[np.argsort(-sizes[order].sum(axis=1), kind="stable")]
    loads = np.zeros((count, 2))
    fold_of = np.empty(len(names), np.int64)
    for name in order:
        fold_of[name] = int(np.argmin(loads @ sizes[name]))
        loads[fold_of[name]] += sizes[name]
    return np.asarray(fold_of[unit])


def fit_linear(
    features: Floats, synthetic: NDArray[np.bool_], strengths: tuple[float, ...] = STRENGTHS
) -> tuple[Linear, ...]:
    """Logistic regression on features brought to mean 0 and deviation 1, which are then folded into its weights.

    Args:
        features: float64 (n, d).
        synthetic: (n,), side; of both some.
        strengths: inverse regularisations, rising: `C` of scikit-learn's `LogisticRegression`, whose weights these are.

    Returns:
        A classifier for each strength.
    """
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale <= 1e-9 * (1 + np.abs(mean))] = 1.0
    standard = (features - mean) / scale
    sign = np.where(synthetic, 1.0, -1.0)
    at = np.zeros(features.shape[1] + 1)
    found = []
    for strength in strengths:
        pull = 1 / (strength * len(sign))

        def measure(point: Floats, pull: float = pull) -> tuple[float, Floats]:
            margin = sign * (standard @ point[:-1] + point[-1])
            slope = -sign * special.expit(-margin) / len(sign)
            gradient = np.append(slope @ standard + pull * point[:-1], slope.sum())
            return float(np.logaddexp(0, -margin).mean() + pull / 2 * point[:-1] @ point[:-1]), gradient

        # One that stops early is tested on images that it has not seen like any other.
        at = optimize.minimize(measure, at, jac=True, method="L-BFGS-B", options={"gtol": 1e-4, "maxiter": 500}).x
        weights = at[:-1] / scale
        found.append(Linear(weights, float(at[-1] - mean @ weights)))
    return tuple(found)


def cross_fit(
    *, views: Views, synthetic: NDArray[np.bool_], units: Integers, generator: np.random.Generator
) -> CrossFit:
    """Train and test in folds.

    Args:
        views: by name, float (n, d) each.
        synthetic: (n,), side.
        units: (n,), as `join_units` gives them.
        generator: deals units into folds.

    Raises:
        ValueError: a fold, or one inside its training images, would hold fewer than 2 images of a side.
    """
    data = {view: np.asarray(values, np.float64) for view, values in views.items()}
    fold = deal_folds(units=units, synthetic=synthetic, count=NUM_FOLDS, generator=generator)
    _check_folds(fold, synthetic, NUM_FOLDS)
    scores = {view: np.empty(len(fold)) for view in data}
    classifiers: dict[str, list[Linear]] = {view: [] for view in data}
    chosen = []
    for number in range(NUM_FOLDS):
        train = np.flatnonzero(fold != number)
        inner = deal_folds(units=units[train], synthetic=synthetic[train], count=NUM_INNER_FOLDS, generator=generator)
        _check_folds(inner, synthetic[train], NUM_INNER_FOLDS)
        areas = {}
        for view, values in data.items():
            strength, areas[view] = _choose_strength(values[train], synthetic[train], inner)
            classifiers[view] += fit_linear(values[train], synthetic[train], (strength,))
            scores[view][fold == number] = classifiers[view][-1].score(values[fold == number])
        chosen.append(max(areas, key=lambda view: areas[view]))
    return CrossFit(fold, scores, {view: tuple(each) for view, each in classifiers.items()}, tuple(chosen))


def _check_folds(fold: Integers, synthetic: NDArray[np.bool_], count: int) -> None:
    fewest = min(int(np.bincount(fold[synthetic == side], minlength=count).min()) for side in (False, True))
    if fewest < 2:
        raise ValueError(f"{count} folds need at least 2 images of each side, one has {fewest}: its groups are too few")


def _choose_strength(values: Floats, synthetic: NDArray[np.bool_], inner: Integers) -> tuple[float, float]:
    """The regularisation with the largest area in inner folds, and that area."""
    scores = np.empty((len(STRENGTHS), len(values)))
    for number in range(NUM_INNER_FOLDS):
        there = inner == number
        classifiers = fit_linear(values[~there], synthetic[~there])
        scores[:, there] = [classifier.score(values[there]) for classifier in classifiers]
    areas = [fold_area(each, synthetic, inner) for each in scores]
    best = int(np.argmax(areas))
    return STRENGTHS[best], areas[best]


def fold_area(scores: Floats, synthetic: NDArray[np.bool_], fold: Integers) -> float:
    """Area under the curve within folds, each weighted by m n / (m + n); no score is held against another fold's.

    Source: pooled over folds it would lean to one side, Airola et al. 2011, Computational Statistics and Data Analysis
    55, 1828-1844.
    """
    return round(sum(weight * area for weight, area, _, _ in _iter_folds(scores, synthetic, fold)), 12)


def fold_interval(
    *,
    scores: Floats,
    synthetic: NDArray[np.bool_],
    fold: Integers,
    units: Integers,
    trained: bool = True,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """`fold_area` with an interval that holds although each fold has trained the classifiers of the others.

    Args:
        scores: (n,), out of fold; high for synthetic images.
        synthetic: (n,), side.
        fold: (n,); at least 2 images of each side in each.
        units: (n,), as `join_units` gives them; whole within a fold.
        trained: whether the scores come from classifiers that other folds trained; if not, the variance is not doubled.
        confidence: of the interval, 0..1.

    Source: variance within a fold: DeLong et al. 1988, summed within units as Obuchowski 1997, Biometrics 53, 567-578;
    mean over folds: LeDell et al. 2015, Electronic Journal of Statistics 9, 1583-1607; that no sum over folds is the
    variance: Bengio, Grandvalet 2004, JMLR 5, 1089-1105, and Bates et al. 2021 (2104.00673); the factor: see this
    module. Where all pairs are in order the variance is 0; there the interval is the exact one of a share of as many
    trials as the smaller side has units (Birnbaum, Klose 1957).
    """
    area = fold_area(scores, synthetic, fold)
    variance, factor = 0.0, 2 if trained else 1
    for weight, _, influence, rows in _iter_folds(scores, synthetic, fold):
        sums = np.bincount(np.unique(units[rows], return_inverse=True)[1], influence)
        variance += factor * weight**2 * float((sums**2).sum()) * len(sums) / max(len(sums) - 2, 1)
    if not 0 < area < 1 or variance <= 0:
        trials = min(len(np.unique(units[synthetic == side])) for side in (False, True))
        return clopper_pearson_interval(successes=area * trials, total=trials, confidence=confidence)
    centre = math.log(area / (1 - area))
    half = float(stats.norm.ppf((1 + confidence) / 2)) * math.sqrt(variance) / (area * (1 - area))
    low, high = (float(1 / (1 + np.exp(-(centre + end)))) for end in (-half, half))
    return Estimate(area, low, high)


def _iter_folds(
    scores: Floats, synthetic: NDArray[np.bool_], fold: Integers
) -> list[tuple[float, float, Floats, Integers]]:
    """Of each fold: its weight, area, the influence of each of its images on the area, and their rows."""
    found, total = [], 0.0
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        ours = synthetic[rows]
        over = _place(scores[rows[ours]], scores[rows[~ours]])
        under = 1 - _place(scores[rows[~ours]], scores[rows[ours]])
        area, influence = float(over.mean()), np.empty(len(rows))
        influence[ours], influence[~ours] = (over - area) / len(over), (under - area) / len(under)
        weight = len(over) * len(under) / len(rows)
        total += weight
        found.append((weight, area, influence, rows))
    return [(weight / total, area, influence, rows) for weight, area, influence, rows in found]


def _place(scores: Floats, others: Floats) -> Floats:
    """Share of the others below each score, ties one half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, scores, side="left") + np.searchsorted(ordered, scores, side="right")
    return np.asarray(below / (2 * len(others)))
