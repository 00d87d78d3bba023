"""What a search for copies proves: against images held out, against chance, and with the power that it had."""

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from cspine_bench.metrics.intervals import CONFIDENCE, Estimate, clopper_pearson_interval

NUM_SUBSETS: Final = 200
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Discoveries:
    """Images that stand out after correction for their number.

    Attributes:
        adjusted: float64 (n,), smallest rate at which each would be found, 0..1.
        found: bool (n,), at the rate asked for.
    """

    adjusted: Floats
    found: NDArray[np.bool_]


@dataclass(frozen=True)
class MatchedShare:
    """Share of images nearer to training than to held-out films, with as many of either.

    Attributes:
        share: mean over random subsets of the training films; 1/2 where nothing is copied. Its interval is exact for
            these films and independent images.
        p_value: one-sided, of so large a share or a larger one by chance.
        lowest: 2.5 % quantile of the share over the subsets.
        highest: 97.5 % quantile.
        undecided: share of comparisons where none of the neighbours given was in the subset and none was farther than
            the film held out; each counts one half. Give more neighbours where it is not small.
    """

    share: Estimate
    p_value: float
    lowest: float
    highest: float
    undecided: float


def compute_distance_ratios(*, distances: NDArray[Any], counted: NDArray[np.bool_] | None = None) -> Floats:
    """How much nearer the nearest reference of each image is than its usual near ones: small for a copy.

    A typical image is near to many references and has a ratio around 1; one that is near to a single reference, less.

    Args:
        distances: float (n, k), 0 or more, rising along each row, to the k nearest references; k >= 2, commonly 50.
        counted: bool (n, k), which of them the mean is over, the first of each row among them; None: all. Other films
            of the nearest one's patient, and its duplicates, hide a copy where they are counted.

    Returns:
        float64 (n,), distances[:, 0] over their mean; 1 where all are 0. 0..1.

    Raises:
        ValueError: not (n, k) with k >= 2, a value is negative or not finite, a row does not rise, or a nearest one is
            not counted.

    Source: Carlini et al. 2023 (2301.13188), their distance relative to the nearest references, without its factor.
    """
    if distances.ndim != 2 or distances.shape[1] < 2:
        raise ValueError(f"distances must be (n, k) with k of at least 2, got shape {distances.shape}")
    values = distances.astype(np.float64)
    if not np.isfinite(values).all() or (values < 0).any() or (np.diff(values, axis=1) < 0).any():
        raise ValueError("distances must be finite, 0 or more, and rise along each row")
    if counted is None:
        mean = values.mean(axis=1)
    elif counted.shape != values.shape or not counted[:, 0].all():
        raise ValueError(f"counted must be {values.shape} with the nearest of each row, got {counted.shape}")
    else:
        mean = np.where(counted, values, 0).sum(axis=1) / counted.sum(axis=1)
    return np.asarray(np.where(mean > 0, values[:, 0] / np.where(mean > 0, mean, 1), 1.0))


def compute_conformal_p_values(
    *, scores: NDArray[Any], holdout_scores: NDArray[Any], suspicious: Literal["low", "high"]
) -> Floats:
    """For each image, how likely an honest one of the same kind is to score as suspiciously.

    Exact, whatever the scores' distribution, for an image that is exchangeable with those held out; where synthetic
    images differ from real ones in how near they come to any film, it is a comparison and no more. No value lies below
    1 / (h + 1): few images held out cannot support a strong claim.

    Args:
        scores: float (n,), of the images.
        holdout_scores: float (h,), h >= 1, of images held out, scored against the same references in the same way.
        suspicious: which end of the scale copies are at.

    Returns:
        float64 (n,), 1 / (h + 1) to 1.

    Raises:
        ValueError: not one-dimensional, no images held out, or NaN.

    Source: Vovk, Gammerman, Shafer 2005, Algorithmic Learning in a Random World, chapter 2.
    """
    if scores.ndim != 1 or holdout_scores.ndim != 1 or len(holdout_scores) == 0:
        raise ValueError(
            f"scores must be (n,) and (h,) with h of at least 1, got {scores.shape}, {holdout_scores.shape}"
        )
    if np.isnan(scores).any() or np.isnan(holdout_scores).any():
        raise ValueError("scores hold NaN; leave out what was not scored")
    ordered = np.sort(holdout_scores)
    if suspicious == "low":
        as_extreme = np.searchsorted(ordered, scores, side="right")
    else:
        as_extreme = len(ordered) - np.searchsorted(ordered, scores, side="left")
    return np.asarray((1.0 + as_extreme) / (1.0 + len(ordered)))


def discover(*, p_values: NDArray[Any], rate: float) -> Discoveries:
    """Images to look at, so that on average no more than a share `rate` of them is honest.

    Args:
        p_values: float (n,), 0..1, n >= 1.
        rate: the false discovery rate, above 0, below 1.

    Raises:
        ValueError: no p values, one outside 0..1, or a rate outside its range.

    Source: Benjamini, Hochberg 1995, JRSS B 57, 289-300; it holds for conformal p values that share their images held
    out: Bates et al. 2023 (2104.08279).
    """
    if p_values.ndim != 1 or len(p_values) == 0 or not ((p_values >= 0) & (p_values <= 1)).all() or not 0 < rate < 1:
        raise ValueError(f"needs p values (n,) in 0..1 and a rate between 0 and 1, got {p_values.shape} and {rate}")
    order = np.argsort(p_values, kind="stable")
    scaled = p_values[order] * (len(p_values) / np.arange(1, len(p_values) + 1))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1, np.minimum.accumulate(scaled[::-1])[::-1])
    return Discoveries(adjusted, adjusted <= rate)


def measure_matched_share(
    *,
    train_index: NDArray[np.integer],
    train_distances: NDArray[Any],
    holdout_distances: NDArray[Any],
    num_train: int,
    num_holdout: int,
    generator: np.random.Generator,
    num_subsets: int = NUM_SUBSETS,
    confidence: float = CONFIDENCE,
) -> MatchedShare:
    """Is an image nearer to training than to held-out films, were there as many of these as of those?

    With more training films than films held out the nearest is one of training more often by their number alone. So
    random subsets of the training films, each as large as the held-out set, take their place. A few copies hardly move
    this share ("The DCR Delusion", 2505.01524): never give it alone.

    Args:
        train_index: int (n, k), the k nearest training films of each image, the nearest first.
        train_distances: float (n, k), rising along each row; negative similarities will do.
        holdout_distances: float (n,), to the nearest film held out, in the same measure. Ties count one half.
        num_train: films that `train_index` counts, at least as many as were held out.
        num_holdout: films held out, at least 1.
        generator: draws the subsets.
        num_subsets: 1 or more.
        confidence: of the interval, 0..1.

    Raises:
        ValueError: shapes do not fit, a row does not rise, or num_holdout is outside 1..num_train.

    Source: Platzer, Reutterer 2021 (2104.00635), with sizes matched.
    """
    n, k = train_index.shape if train_index.ndim == 2 else (0, 0)
    if n * k == 0 or train_distances.shape != (n, k) or holdout_distances.shape != (n,):
        raise ValueError(
            f"train_index and train_distances must be (n, k), holdout_distances (n,), got {train_index.shape}, "
            f"{train_distances.shape} and {holdout_distances.shape}"
        )
    if not 1 <= num_holdout <= num_train or num_subsets < 1 or (np.diff(train_distances, axis=1) < 0).any():
        raise ValueError(
            f"needs rising rows, 1 or more subsets, and 1 to {num_train} films held out, got {num_subsets} subsets and "
            f"{num_holdout} films"
        )
    # 1 where that film is nearer than the one held out, 1/2 where level, 0 where farther.
    apart = train_distances - holdout_distances[:, None]
    nearer = np.where(apart < 0, 1.0, np.where(apart == 0, 0.5, 0.0))
    rows = np.arange(n)
    shares, undecided = np.empty(num_subsets), 0
    for subset in range(num_subsets):
        kept = np.zeros(num_train, bool)
        kept[generator.permutation(num_train)[:num_holdout]] = True
        among = kept[train_index]
        outcome = nearer[rows, among.argmax(axis=1)]
        none = ~among.any(axis=1)
        # Farther than the last one given: surely farther than the film held out, or anybody's guess.
        outcome[none] = np.where(nearer[none, -1] > 0, 0.5, 0.0)
        # All training films given: then there is always one among them.
        undecided += int((nearer[none, -1] > 0).sum())
        shares[subset] = outcome.mean()
    successes = float(shares.mean()) * n
    low, high = np.quantile(shares, (0.025, 0.975))
    return MatchedShare(
        share=clopper_pearson_interval(successes=successes, total=n, confidence=confidence),
        p_value=float(special.betainc(successes, n - successes + 1, 0.5)) if successes > 0 else 1.0,
        lowest=float(low),
        highest=float(high),
        undecided=undecided / (n * num_subsets),
    )


def bound_leak_rate(*, found: int, total: int, recall: float, confidence: float = CONFIDENCE) -> float:
    """Largest share of copies among images like these that the search leaves possible.

    For none found about 3 / total / recall, at 95 %.

    Args:
        found: copies found, 0 <= found <= total.
        total: images searched, independent of each other.
        recall: share of planted copies that the search finds, above 0; give the lower end of its interval to be safe.
        confidence: one-sided, 0..1.

    Returns:
        0..1; 1 says that nothing is excluded.

    Raises:
        ValueError: counts or recall outside their ranges.

    Source: the one-sided limit of Clopper, Pearson 1934, Biometrika 26, 404-413, over the recall; Hanley,
    Lippman-Hand 1983, JAMA 249, 1743-1745, for none found.
    """
    if total < 1 or not 0 <= found <= total or not 0 < recall <= 1:
        raise ValueError(f"needs 0 <= found <= total and a recall above 0, got {found} of {total} at recall {recall}")
    high = float(stats.beta.isf(1 - confidence, found + 1, total - found)) if found < total else 1.0
    return min(1.0, high / recall)


def find_detectable_rate(
    *, total: int, recall: float, false_positive_rate: float, level: float = 0.05, power: float = 0.8
) -> float:
    """Smallest share of copies that would have raised more alarms than chance explains.

    Args:
        total: images searched.
        recall: share of planted copies that raise an alarm, 0..1.
        false_positive_rate: share of honest images that do, 0..1.
        level: largest chance of so many alarms without any copy.
        power: chance with which the share is to be noticed, above `level`.

    Returns:
        0..1, or infinity where even copies alone would not be noticed: the search has no power.

    Raises:
        ValueError: total < 1, or a share outside its range.

    Source: exact one-sided binomial test of the number of alarms.
    """
    if total < 1 or not (0 <= recall <= 1 and 0 <= false_positive_rate <= 1 and 0 < level < power < 1):
        raise ValueError(
            f"needs 1 image or more, shares in 0..1 and level below power, got {total}, recall {recall}, false "
            f"positive rate {false_positive_rate}, level {level} and power {power}"
        )
    # The smallest number of alarms that chance alone reaches with at most that level.
    least = int(stats.binom.isf(level, total, false_positive_rate)) + 1

    def miss(rate: float) -> float:
        alarm = rate * recall + (1 - rate) * false_positive_rate
        return float(stats.binom.sf(least - 1, total, alarm)) - power

    if recall <= false_positive_rate or miss(1.0) < 0:
        return math.inf
    return float(optimize.brentq(miss, 0.0, 1.0, xtol=1e-12))
