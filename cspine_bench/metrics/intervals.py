"""Intervals for figures of merit: of a share, and of any statistic of samples by the jackknife."""

import heapq
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE: Final = 0.95
NUM_GROUPS: Final = 20


@dataclass(frozen=True)
class Estimate:
    """A figure and the ends of its two-sided interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Jackknife:
    """A figure, and what it is without each of several groups of what it was computed from.

    Attributes:
        value: of all.
        left_out: float64 (groups,), without each group in turn; (0,) where none was left out.
    """

    value: float
    left_out: NDArray[np.float64]

    @property
    def variance(self) -> float:
        """Of the figure, by the delete-a-group jackknife; see `jackknife_intervals`."""
        num_groups = len(self.left_out)
        if num_groups < 2:
            raise ValueError(f"a variance needs 2 groups left out in turn, got {num_groups}")
        spread = float(((self.left_out - self.left_out.mean()) ** 2).sum())
        return (num_groups - 1) / num_groups * spread

    def minus(self, other: "Jackknife") -> "Jackknife":
        """The difference of two figures without the same groups in turn, so that what they share takes no part."""
        return Jackknife(self.value - other.value, self.left_out - other.left_out)

    def estimate(self, *, confidence: float = CONFIDENCE, least: float = -math.inf, most: float = math.inf) -> Estimate:
        """With the interval of Student's t, one degree of freedom less than groups.

        Args:
            confidence: of the interval, 0..1.
            least: that the figure can be; the ends are cut there.
            most: likewise.
        """
        half = float(stats.t.ppf((1 + confidence) / 2, len(self.left_out) - 1)) * math.sqrt(self.variance)
        return Estimate(self.value, max(least, self.value - half), min(most, self.value + half))


def deal_groups(
    members: Sequence[Hashable], *, num_groups: int = NUM_GROUPS, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Deal samples into groups of about equal size, without parting those that belong together.

    Args:
        members: what each sample belongs to, such as its patient.
        num_groups: 1 to the number of different ones.
        generator: decides.

    Returns:
        int64 (samples,), group of each, 0 .. num_groups - 1, none of them empty.

    Raises:
        ValueError: more groups than different members, or none.
    """
    together: dict[Hashable, list[int]] = {}
    for number, member in enumerate(members):
        together.setdefault(member, []).append(number)
    if not 1 <= num_groups <= len(together):
        raise ValueError(f"{len(together)} that belong together cannot be dealt into {num_groups} groups")
    sets = list(together.values())
    # The largest first, each to the group that is smallest by then; equal ones in random order.
    order = sorted(generator.permutation(len(sets)).tolist(), key=lambda number: -len(sets[number]))
    smallest = [(0, group) for group in range(num_groups)]
    labels = np.empty(len(members), np.int64)
    for number in order:
        size, group = heapq.heappop(smallest)
        labels[sets[number]] = group
        heapq.heappush(smallest, (size + len(sets[number]), group))
    return labels


def wilson_interval(*, successes: float, total: float, confidence: float = CONFIDENCE) -> Estimate:
    """A share with its score interval.

    Args:
        successes: 0 <= successes <= total; ties may count one half each.
        total: independent trials, at least 1; a fraction where trials that hang together were counted as fewer.
        confidence: of the interval, 0..1.

    Returns:
        successes / total and its interval, inside 0..1.

    Raises:
        ValueError: total < 1, or successes outside 0..total.

    Source: Wilson 1927, Journal of the American Statistical Association 22, 209-212.
    """
    if total < 1 or not 0 <= successes <= total:
        raise ValueError(f"successes must lie in 0..total and total be at least 1, got {successes} of {total}")
    z = float(stats.norm.ppf((1 + confidence) / 2))
    share = successes / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    # At an end of the scale the interval ends there exactly, which rounding would miss.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == total else min(1.0, centre + half)
    return Estimate(value=share, low=low, high=high)


def clopper_pearson_interval(*, successes: float, total: float, confidence: float = CONFIDENCE) -> Estimate:
    """A share with its exact interval: for few successes, or none, where an interval must never be too narrow.

    Args:
        successes: 0 <= successes <= total; fractions, as of ties, lie between their neighbours.
        total: independent trials, at least 1.
        confidence: of the interval, 0..1.

    Returns:
        successes / total and its interval, inside 0..1.

    Raises:
        ValueError: total < 1, or successes outside 0..total.

    Source: Clopper, Pearson 1934, Biometrika 26, 404-413, by quantiles of the beta distribution.
    """
    if total < 1 or not 0 <= successes <= total:
        raise ValueError(f"successes must lie in 0..total and total be at least 1, got {successes} of {total}")
    tail = (1 - confidence) / 2
    low = float(stats.beta.ppf(tail, successes, total - successes + 1)) if successes > 0 else 0.0
    high = float(stats.beta.isf(tail, successes + 1, total - successes)) if successes < total else 1.0
    return Estimate(value=successes / total, low=low, high=high)


def normal_interval(*, value: float, standard_error: float, confidence: float = CONFIDENCE) -> Estimate:
    """A figure with the interval of a normal distribution around it.

    Args:
        value: the figure.
        standard_error: of it, >= 0.
        confidence: of the interval, 0..1.
    """
    half = float(stats.norm.ppf((1 + confidence) / 2)) * standard_error
    return Estimate(value=value, low=value - half, high=value + half)


def jackknife_intervals(
    statistics: Callable[[Sequence[NDArray[np.int64]]], Sequence[float]],
    *,
    counts: Sequence[int],
    generator: np.random.Generator,
    num_groups: int = NUM_GROUPS,
    confidence: float = CONFIDENCE,
) -> list[Estimate]:
    """Statistics of several independent samples, each with an interval from leaving out a group of each at a time.

    An interval is for what its statistic is on average at these counts. So it holds for a statistic whose bias depends
    on the counts too, as the Fréchet distance's does, and two figures at equal counts can be compared. Where the
    statistic is not smooth in each sample member's weight, or close to the edge of its range, it is too wide rather
    than too narrow: the jackknife's variance errs upwards (Efron, Stein 1981, Annals of Statistics 9, 586-596).

    Args:
        statistics: of the rows to use of each sample, rising int64 arrays.
        counts: size of each sample, at least 4.
        generator: deals the rows into groups.
        num_groups: groups that each sample is dealt into; no more than the smallest sample has rows.
        confidence: of the interval, 0..1.

    Returns:
        The statistics of all rows; their intervals from Student's t with one degree of freedom less than groups.

    Raises:
        ValueError: a sample has fewer than 4 rows, or num_groups < 2.

    Source: delete-a-group jackknife, Kott 2001, Journal of Official Statistics 17, 521-526; Shao, Tu 1995, The
    Jackknife and Bootstrap, section 5.
    """
    if min(counts) < 4 or num_groups < 2:
        raise ValueError(f"needs at least 4 rows in each sample and 2 groups, got {list(counts)} and {num_groups}")
    num_groups = min(num_groups, *counts)
    labels = [generator.permutation(count) % num_groups for count in counts]
    left_out = np.array(
        [statistics([np.flatnonzero(label != group) for label in labels]) for group in range(num_groups)]
    )
    spread = np.sum((left_out - left_out.mean(axis=0)) ** 2, axis=0)
    halves = float(stats.t.ppf((1 + confidence) / 2, num_groups - 1)) * np.sqrt((num_groups - 1) / num_groups * spread)
    values = statistics([np.arange(count) for count in counts])
    return [
        Estimate(value=float(value), low=float(value - half), high=float(value + half))
        for value, half in zip(values, halves, strict=True)
    ]
