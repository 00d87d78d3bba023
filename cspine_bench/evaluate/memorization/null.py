"""What honest images reach: by films held out, and by synthetic images searched for in films held out.

Two comparisons, because either may mislead. A film held out says how near an honest radiograph comes to some training
film, but synthetic images may be smoother than films and come nearer to all of them. A synthetic image against films
that its generator never saw is as smooth as itself, but there are fewer such films.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.evaluate.memorization.tails import Tail, fit_tail

Floats = NDArray[np.float64]

LEAST_GOODNESS_P: Final = 1e-4
"""A tail that fits worse than this is not drawn out."""
_HIGH_QUANTILE: Final = 0.9
_BLOCK: Final = 256


@dataclass(frozen=True)
class Judgement:
    """What the ratios of n images mean.

    Attributes:
        score: float64 (n,), high for a copy: of the channel that stands out the most, where 0 is the median of the
            films held out and 1 their 90 % quantile.
        channel: int64 (n,), which that is.
        p_value: float64 (n,), conformal, of all channels together; not below 1 / (h + 1).
        tail_p_value: float64 (n,), extrapolated: of each group of channels the larger one by both tails, and the
            smallest of these times the number of groups; the conformal one where no tail is fitted.
    """

    score: Floats
    channel: NDArray[np.int64]
    p_value: Floats
    tail_p_value: Floats


@dataclass(frozen=True)
class Null:
    """The scores of honest images.

    Attributes:
        evidence: float64 (h, c), -log ratio of the films held out in each channel.
        middle: float64 (c,), median of it.
        spread: float64 (c,), from there to its 90 % quantile.
        scores: float64 (h,), as in `Judgement`.
        groups: channels of each group, whose tails are alike: parts have heavier ones than the whole.
        tails: of the largest value in each group; empty where they are too few.
        crossed_tails: of synthetic images with films held out; empty where these are too few.
        crossed_factor: times that there are more training films than films held out, at least 1.
    """

    evidence: Floats
    middle: Floats
    spread: Floats
    scores: Floats
    groups: tuple[tuple[int, ...], ...]
    tails: tuple[Tail, ...]
    crossed_tails: tuple[Tail, ...]
    crossed_factor: float

    @property
    def extrapolates(self) -> bool:
        """Whether tail p values are more than conformal ones."""
        return bool(self.tails) and not any(tail.goodness_p < LEAST_GOODNESS_P for tail in self.tails)

    def standardise(self, ratio: NDArray[np.floating]) -> Floats:
        """Float (n, c) ratios in units of the films held out: 0 their median, 1 their 90 % quantile."""
        return np.asarray((-np.log(ratio.astype(np.float64)) - self.middle) / self.spread)

    def judge(self, ratio: NDArray[np.floating]) -> Judgement:
        """Scores and p values of images, float (n, c) ratios."""
        standard = self.standardise(ratio)
        p_value = compute_joint_p_values(evidence=-np.log(ratio.astype(np.float64)), holdout_evidence=self.evidence)
        tail_p_value = self.extrapolate(standard, crossed=True) if self.extrapolates else p_value
        return Judgement(standard.max(axis=1), standard.argmax(axis=1), p_value, tail_p_value)

    def extrapolate(self, standard: Floats, *, crossed: bool) -> Floats:
        """P values by the tails.

        Args:
            standard: float64 (n, c), from `standardise`.
            crossed: by the larger one of both nulls, where the second has a tail.

        Raises:
            ValueError: no tails are fitted.
        """
        found = []
        for number, group in enumerate(self.groups):
            score = standard[:, group].max(axis=1)
            p_value = self.tails[number].compute_p_values(score)
            if crossed and self.crossed_tails:
                other = self.crossed_factor * self.crossed_tails[number].compute_p_values(score)
                p_value = np.maximum(p_value, other)
            found.append(p_value)
        return np.asarray(np.minimum(1.0, len(self.groups) * np.min(found, axis=0)))


def build_null(
    *,
    holdout_ratio: NDArray[np.floating],
    crossed_ratio: NDArray[np.floating],
    groups: Sequence[Sequence[int]],
    num_train: int,
    num_holdout: int,
) -> Null:
    """The null of a search.

    Args:
        holdout_ratio: float (h, c), of films held out to training films.
        crossed_ratio: float (n, c), of synthetic images: their distance to the nearest film held out over that to their
            near training films. Any of the `num_train` films is beyond a value at most num_train / num_holdout times
            as likely as any of the `num_holdout`, where the generator knows neither.
        groups: channels of each group.
        num_train: training films.
        num_holdout: films held out.
    """
    evidence = -np.log(holdout_ratio.astype(np.float64))
    middle = np.median(evidence, axis=0)
    spread = np.maximum(np.quantile(evidence, _HIGH_QUANTILE, axis=0) - middle, 1e-6)
    standard, crossed = (
        (-np.log(ratio.astype(np.float64)) - middle) / spread for ratio in (holdout_ratio, crossed_ratio)
    )
    return Null(
        evidence=evidence,
        middle=middle,
        spread=spread,
        scores=standard.max(axis=1),
        groups=tuple(tuple(group) for group in groups),
        tails=_fit_tails(standard, groups),
        crossed_tails=_fit_tails(crossed, groups),
        crossed_factor=max(1.0, num_train / num_holdout),
    )


def _fit_tails(standard: Floats, groups: Sequence[Sequence[int]]) -> tuple[Tail, ...]:
    tails = [fit_tail(standard[:, list(group)].max(axis=1)) for group in groups]
    return tuple(tail for tail in tails if tail is not None) if None not in tails else ()


def compute_joint_p_values(*, evidence: Floats, holdout_evidence: Floats) -> Floats:
    """One conformal p value of all channels, exact however they hang together.

    Each image joins the films held out; in that company each channel is measured from its median in units up to its
    90 % quantile, and each member has the value of the channel where it stands out the most. The image's rank among
    these is its p value: it has been treated as every film was, so none is favoured, and no channel is paid for twice.

    Args:
        evidence: float64 (n, c), high for a copy.
        holdout_evidence: float64 (h, c).

    Returns:
        float64 (n,), 1 / (h + 1) to 1.
    """
    h = len(holdout_evidence)
    ordered = np.sort(holdout_evidence, axis=0)
    p_values = np.empty(len(evidence))
    for start in range(0, len(evidence), _BLOCK):
        block = evidence[start : start + _BLOCK]
        middle = _pooled_order(block, ordered, (h + 2) // 2)
        high = _pooled_order(block, ordered, int(np.ceil(_HIGH_QUANTILE * (h + 1))))
        spread = np.maximum(high - middle, 1e-6)
        own = ((block - middle) / spread).max(axis=1)
        others = np.full((len(block), h), -np.inf)
        for channel in range(evidence.shape[1]):
            standard = (holdout_evidence[:, channel] - middle[:, channel, None]) / spread[:, channel, None]
            np.maximum(others, standard, out=others)
        p_values[start : start + _BLOCK] = (1.0 + (others >= own[:, None]).sum(axis=1)) / (1.0 + h)
    return p_values


def _pooled_order(values: Floats, ordered: Floats, rank: int) -> Floats:
    """The value of a rank, from 1, in each company of the ordered ones and one value more."""
    low = ordered[rank - 2] if rank >= 2 else np.full(ordered.shape[1], -np.inf)
    high = ordered[rank - 1] if rank <= len(ordered) else np.full(ordered.shape[1], np.inf)
    return np.asarray(np.clip(values, low, high))


def adjust_as_one_more(*, p_values: Floats, others: Floats) -> Floats:
    """Benjamini-Hochberg value that each image would have, were it alone added to the others.

    Args:
        p_values: float64 (k,).
        others: float64 (n,), of the images of the run.

    Returns:
        float64 (k,), 0..1.
    """
    ordered, total = np.sort(others), len(others) + 1
    # Of the others with larger p values, each counts one place more than among themselves.
    later = np.minimum.accumulate((total * ordered / np.arange(2, total + 1))[::-1])[::-1]
    place = np.searchsorted(ordered, p_values, side="right")
    own = total * p_values / (place + 1)
    return np.asarray(np.minimum(1.0, np.minimum(own, np.append(later, np.inf)[place])))
