"""How well a score tells two kinds of image apart: area under the curve, and hits where false alarms are rare."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.metrics.intervals import CONFIDENCE, Estimate, clopper_pearson_interval, normal_interval

NUM_RESAMPLES: Final = 1000
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold on the score gives.

    Attributes:
        true_positive_rate: share of positives above the threshold. Its interval is exact for this threshold.
        false_positive_rate: share of negatives above it: what was reached, no more than what was asked for.
        threshold: itself on the negatives' side; minus infinity where all may be above.
    """

    true_positive_rate: Estimate
    false_positive_rate: float
    threshold: float


def auc_interval(*, positives: NDArray[Any], negatives: NDArray[Any], confidence: float = CONFIDENCE) -> Estimate:
    """Area under the ROC curve: how often a positive scores above a negative, ties one half.

    Args:
        positives: float (m,), m >= 2, scores that should be high; independent of each other.
        negatives: float (n,), n >= 2, scores that should be low; likewise.
        confidence: of the interval, 0..1.

    Returns:
        0..1, 0.5 for chance; higher is better.

    Raises:
        ValueError: fewer than 2 scores of a kind, not one-dimensional, or NaN.

    Source: DeLong et al. 1988, Biometrics 44, 837-845, by ranks as Sun, Xu 2014, IEEE Signal Processing Letters 21,
    1389-1393. Where all pairs are in order that variance is 0; there the interval is the exact one of a share of
    min(m, n) trials, for the variance is never more (Birnbaum, Klose 1957, Annals of Mathematical Statistics 28,
    933-945).
    """
    _check_scores(positives, negatives)
    over, under = _place(positives, negatives), 1 - _place(negatives, positives)
    area = float(over.mean())
    variance = float(over.var(ddof=1)) / len(positives) + float(under.var(ddof=1)) / len(negatives)
    if variance <= 0:
        trials = min(len(positives), len(negatives))
        return clopper_pearson_interval(successes=area * trials, total=trials, confidence=confidence)
    found = normal_interval(value=area, standard_error=math.sqrt(variance), confidence=confidence)
    return Estimate(area, max(0.0, found.low), min(1.0, found.high))


def auc_cluster_interval(
    *,
    positives: NDArray[Any],
    negatives: NDArray[Any],
    positive_groups: NDArray[Any],
    negative_groups: NDArray[Any],
    generator: np.random.Generator,
    num_resamples: int = NUM_RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """`auc_interval` for scores that hang together in groups, such as films of one patient.

    Args:
        positives: float (m,).
        negatives: float (n,).
        positive_groups: (m,), names or numbers; a group may have members of both kinds.
        negative_groups: (n,), likewise.
        generator: draws groups with replacement; draws without one of the kinds are repeated.
        num_resamples: 100 or more.
        confidence: of the interval, 0..1.

    Raises:
        ValueError: as `auc_interval`; groups do not fit, fewer than 2 groups of a kind, or too few resamples.

    Source: percentile bootstrap of whole groups, Field, Welsh 2007, JRSS B 69, 369-390.
    """
    _check_scores(positives, negatives)
    if positive_groups.shape != positives.shape or negative_groups.shape != negatives.shape or num_resamples < 100:
        raise ValueError(
            f"needs a group for each score and at least 100 resamples, got {positives.shape} scores with "
            f"{positive_groups.shape} groups, {negatives.shape} with {negative_groups.shape}, {num_resamples} resamples"
        )
    names, group = np.unique(np.concatenate([positive_groups, negative_groups]), return_inverse=True)
    of_positives, of_negatives = group[: len(positives)], group[len(positives) :]
    if min(len(np.unique(of_positives)), len(np.unique(of_negatives))) < 2:
        raise ValueError("needs at least 2 groups among the positives and 2 among the negatives")
    order = np.argsort(negatives, kind="stable")
    ordered = negatives[order]
    first, last = (np.searchsorted(ordered, positives, side=side) for side in ("left", "right"))

    def measure(counts: NDArray[np.int64]) -> float:
        weights, others = counts[of_positives], counts[of_negatives]
        below = np.concatenate([[0], np.cumsum(others[order])])
        pairs = float(weights.sum()) * float(others.sum())
        return float(weights @ (below[first] + below[last])) / (2 * pairs) if pairs else math.nan

    found: list[float] = []
    while len(found) < num_resamples:
        drawn = generator.integers(len(names), size=len(names))
        area = measure(np.bincount(drawn, minlength=len(names)))
        if not math.isnan(area):
            found.append(area)
    low, high = np.quantile(found, ((1 - confidence) / 2, (1 + confidence) / 2))
    return Estimate(measure(np.ones(len(names), np.int64)), float(low), float(high))


def find_operating_point(
    *,
    positives: NDArray[Any],
    negatives: NDArray[Any],
    false_positive_rate: float,
    confidence: float = CONFIDENCE,
) -> OperatingPoint:
    """Share of positives that a threshold finds which few negatives pass.

    Args:
        positives: float (m,), m >= 2.
        negatives: float (n,), n >= 2. Rates below 1 / n cannot be told from none: then no negative passes.
        false_positive_rate: largest share of negatives above the threshold, 0..1.
        confidence: of the interval, 0..1.

    Raises:
        ValueError: as `auc_interval`, or a rate outside 0..1.

    Source: Carlini et al. 2022 (2112.03570), who report it at 0.1 % and 1 %; interval: Clopper, Pearson
    1934. That the threshold was found on these negatives is not in the interval.
    """
    _check_scores(positives, negatives)
    if not 0 <= false_positive_rate <= 1:
        raise ValueError(f"false_positive_rate must lie in 0..1, got {false_positive_rate}")
    # Less than a millionth of an image is rounding.
    allowed = math.floor(false_positive_rate * len(negatives) + 1e-6)
    threshold = -math.inf if allowed >= len(negatives) else float(np.sort(negatives)[len(negatives) - 1 - allowed])
    hits = int((positives > threshold).sum())
    return OperatingPoint(
        true_positive_rate=clopper_pearson_interval(successes=hits, total=len(positives), confidence=confidence),
        false_positive_rate=float((negatives > threshold).mean()),
        threshold=threshold,
    )


def _check_scores(positives: NDArray[Any], negatives: NDArray[Any]) -> None:
    for name, scores in (("positives", positives), ("negatives", negatives)):
        if scores.ndim != 1 or len(scores) < 2 or np.isnan(scores).any():
            raise ValueError(f"{name} must be at least 2 scores in one dimension, none of them NaN; got {scores.shape}")


def _place(scores: NDArray[Any], others: NDArray[Any]) -> Floats:
    """Share of the others below each score, ties one half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, scores, side="left") + np.searchsorted(ordered, scores, side="right")
    return np.asarray(below / (2 * len(others)))
