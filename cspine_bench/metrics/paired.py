"""A figure of several networks on one set of test radiographs, and the difference between two such sets of networks.

Two things are up to chance: which patients are in the test set, and how training went (first weights, order, label
subset). A bootstrap over test radiographs sees the first alone; a spread over seeds sees the second, and a part of the
first. Here both are kept apart, and put together without counting that part twice:

    weights = resample_groups(group_ids, num_resamples=2000, generator=generator)
    arm = FigureDraws(values, resampled)            one row for each seed: of all radiographs, and of each resample
    gain = summarise_seeds(arm.minus(real), num_groups=...)
    gain.interval(), gain.images_interval(), gain.p_value(), gain.p_within(margin)

**Model.** The figure of seed s on radiograph i is mean + seed effect + radiograph effect + effect of both together, so
that its mean over S seeds and n radiographs has variance a / S + b / n + c / (n S). The variance between seeds on the
one test set measures a + c / n; the bootstrap of the mean over seeds measures b / n + c / (n S); the bootstrap of each
seed's difference from that mean gives c / n. It is the model of readers and cases of Obuchowski, Rockette 1995
(Communications in Statistics B 24, 285-308), with networks as readers.

**Interval.** The two parts have very different degrees of freedom: with two seeds, one. Each part gets its own Student
half-width, and these are added as squares (MOVER: Zou, Donner 2008, Statistics in Medicine 27, 1693-1702; Graybill,
Wang 1980, JASA 75, 869-873). Satterthwaite's single t is narrower, and too narrow with 2 or 3 seeds where these matter
most. How often either, and the bootstrap alone, cover the truth: benchmarks/results/usefulness_interval_coverage.json.
There it covers 95 % or more with 2 to 10 seeds, a little less for skewed values in 30 groups; an AUROC near 1 does on
the scale of the logit alone, which `share_interval` takes. The bootstrap alone falls to two thirds where seeds matter
more than radiographs.

**Few seeds.** Where several arms were trained, their seeds can be pooled: `pool_seeds`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from cspine_bench.metrics.equivalence import combine_one_sided
from cspine_bench.metrics.intervals import CONFIDENCE, Estimate

Floats = NDArray[np.float64]

LEAST_GROUPS: Final = 10
"""Test groups below which no bootstrap is believed."""
MOST_UNDEFINED: Final = 0.05
"""Share of the resamples that may leave a figure undefined; more, and the rest would be too much alike."""
LEAST_P: Final = 1e-12
"""Smaller p values are given as this one."""


@dataclass(frozen=True)
class FigureDraws:
    """A figure of several networks.

    Attributes:
        values: float64 (S,), of all test radiographs, one for each seed.
        resampled: float64 (S, B), of each resample; the same resamples in every row, and in what it is compared with.
    """

    values: Floats = field(repr=False)
    resampled: Floats = field(repr=False)

    def minus(self, other: "FigureDraws") -> "FigureDraws":
        """The difference seed by seed and resample by resample; `other` may have one seed, that counts for all."""
        return FigureDraws(self.values - other.values, self.resampled - other.resampled)

    def take(self, seeds: Sequence[int]) -> "FigureDraws":
        """Some of the seeds, by their places."""
        return FigureDraws(self.values[list(seeds)], self.resampled[list(seeds)])


@dataclass(frozen=True)
class SeedMean:
    """A mean over seeds, and how far chance can have moved it.

    Attributes:
        value: the mean.
        num_seeds: S.
        num_groups: test groups that it rests on.
        seeds_variance: of the mean, by the spread between seeds; NaN: one seed, so that it is not known.
        images_variance: of the mean, by what all seeds find hard or easy in the same radiographs.
        bootstrap_variance: of the mean, by the bootstrap over test groups alone.
        ends: of the bootstrap's 95 % percentile interval.
        undefined: share of the resamples that left it undefined.
        seeds_freedom: degrees of freedom of `seeds_variance`; None: one less than seeds.
    """

    value: float
    num_seeds: int
    num_groups: int
    seeds_variance: float
    images_variance: float
    bootstrap_variance: float
    ends: tuple[float, float]
    undefined: float
    seeds_freedom: int | None = None

    @property
    def why_no_interval(self) -> str:
        """Why none is given; "" where one is."""
        if self.num_groups < LEAST_GROUPS:
            return f"{self.num_groups} test groups, fewer than {LEAST_GROUPS}"
        if self.undefined > MOST_UNDEFINED:
            return f"not defined in {self.undefined:.0%} of the resamples"
        if not self.bootstrap_variance > 0:
            return "the same in every resample, so that the test radiographs do not say how sure it is"
        return ""

    def half_width(self, *, tails: float) -> float:
        """Of the interval for both sources of chance; with one seed, for the test groups alone.

        Args:
            tails: what the interval leaves out, on both sides together: 0.05 for 95 %.
        """
        t_images = -float(special.stdtrit(self.num_groups - 1, tails / 2))
        alone = t_images * math.sqrt(self.bootstrap_variance)
        if self.num_seeds < 2:
            return alone
        t_seeds = -float(special.stdtrit(self.seeds_freedom or self.num_seeds - 1, tails / 2))
        both = math.hypot(t_images * math.sqrt(self.images_variance), t_seeds * math.sqrt(self.seeds_variance))
        # The spread of a few seeds may happen to be small; what the radiographs say alone is never undercut.
        return max(alone, both)

    def pool(self, variance: float, freedom: int) -> "SeedMean":
        """The same with the spread of the seeds from several arms, but never less than its own; see `pool_seeds`."""
        return replace(self, seeds_variance=max(self.seeds_variance, variance), seeds_freedom=freedom)

    def interval(self, *, confidence: float = CONFIDENCE, least: float = -math.inf, most: float = math.inf) -> Estimate:
        """For both sources of chance; with one seed, for the test groups alone.

        Args:
            confidence: 0..1.
            least: that the figure can be; the ends are cut there.
            most: likewise.

        Raises:
            ValueError: there is none; see `why_no_interval`.
        """
        self._require_interval()
        half = self.half_width(tails=1 - confidence)
        return Estimate(self.value, max(least, self.value - half), min(most, self.value + half))

    def share_interval(self, *, confidence: float = CONFIDENCE) -> Estimate:
        """The same for a figure that lies between 0 and 1, such as a share or an AUROC: on the scale of its logit.

        It is skewed as such a figure is, and stays inside 0..1.

        Args:
            confidence: 0..1.

        Raises:
            ValueError: the figure is not above 0 and below 1; or there is none, see `why_no_interval`.

        Source: for the AUROC, Pepe 2003, The Statistical Evaluation of Medical Tests, section 5.2.
        """
        self._require_interval()
        if not 0 < self.value < 1:
            raise ValueError(f"a figure between 0 and 1 is needed, got {self.value}")
        centre = math.log(self.value / (1 - self.value))
        half = self.half_width(tails=1 - confidence) / (self.value * (1 - self.value))
        return Estimate(self.value, *(float(special.expit(end)) for end in (centre - half, centre + half)))

    def images_interval(self) -> Estimate:
        """For the test groups alone: percentile bootstrap, 95 %, these networks taken as given.

        Raises:
            ValueError: there is none; see `why_no_interval`.
        """
        self._require_interval()
        return Estimate(self.value, min(self.ends[0], self.value), max(self.ends[1], self.value))

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided, of the mean being `null`: 1 less the confidence at which an end of the interval lies there.

        Raises:
            ValueError: there is none; see `why_no_interval`.
        """
        self._require_interval()
        distance = abs(self.value - null)
        if distance == 0:
            return 1.0

        def excess(log_p: float) -> float:
            return self.half_width(tails=math.exp(log_p)) - distance

        if excess(math.log(LEAST_P)) <= 0:
            return LEAST_P
        return math.exp(float(optimize.brentq(excess, math.log(LEAST_P), 0.0, xtol=1e-9)))

    def p_within(self, margin: float) -> float:
        """Of the mean lying within -margin..margin, by two one-sided tests.

        Raises:
            ValueError: the margin is not above 0; or there is none, see `why_no_interval`.
        """
        if not margin > 0:
            raise ValueError(f"margin must be above 0, got {margin}")
        halves = self.p_value(-margin) / 2, self.p_value(margin) / 2
        above = halves[0] if self.value > -margin else 1 - halves[0]
        below = halves[1] if self.value < margin else 1 - halves[1]
        return combine_one_sided(above_lower=above, below_upper=below)

    def _require_interval(self) -> None:
        if reason := self.why_no_interval:
            raise ValueError(f"no interval: {reason}; ask `why_no_interval` first")


def resample_groups(group_ids: Sequence[str], *, num_resamples: int, generator: np.random.Generator) -> Floats:
    """How often each radiograph is drawn by a bootstrap that draws whole groups, such as patients.

    Args:
        group_ids: (n,), n >= 1; radiographs of one group stay together.
        num_resamples: B.
        generator: draws.

    Returns:
        float64 (B, n).

    Raises:
        ValueError: no radiograph, or no resample.

    Source: bootstrap of whole groups, Field, Welsh 2007, JRSS B 69, 369-390.
    """
    if not len(group_ids) or num_resamples < 1:
        raise ValueError(f"needs a radiograph and a resample, got {len(group_ids)} and {num_resamples}")
    _, group = np.unique(np.asarray(group_ids), return_inverse=True)
    count = int(group.max()) + 1
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=num_resamples)
    return np.ascontiguousarray(drawn[:, group], np.float64)


def summarise_seeds(draws: FigureDraws, *, num_groups: int) -> SeedMean:
    """The mean over seeds with the variances of its two sources of chance; see the module.

    Args:
        draws: S >= 1 seeds, B >= 2 resamples; resamples where a seed's figure is NaN are left out for all.
        num_groups: test groups that the figure rests on.

    Raises:
        ValueError: shapes do not fit, or a figure of all radiographs is not finite.
    """
    values, resampled = draws.values, draws.resampled
    if values.ndim != 1 or not len(values) or resampled.ndim != 2 or len(resampled) != len(values):
        raise ValueError(f"needs values (S,) and resampled (S, B), got {values.shape} and {resampled.shape}")
    if resampled.shape[1] < 2 or not np.isfinite(values).all():
        raise ValueError(f"needs 2 resamples and finite figures, got {resampled.shape[1]} and {values.tolist()}")
    kept = resampled[:, np.isfinite(resampled).all(axis=0)]
    seeds = images = bootstrap = low = high = math.nan
    if kept.shape[1] >= 2:
        means = kept.mean(axis=0)
        # A bootstrap of G groups falls short of the variance by (G - 1) / G.
        short = num_groups / max(1, num_groups - 1)
        images = bootstrap = _round_off(float(means.var(ddof=1)) * short, means)
        low, high = (float(end) for end in np.quantile(means, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)))
        if len(values) > 1:
            together = float((kept - means).var(axis=1, ddof=1).sum()) * short / (len(values) - 1)
            seeds = float(values.var(ddof=1)) / len(values)
            images = max(0.0, bootstrap - together / len(values))
    return SeedMean(
        value=float(values.mean()),
        num_seeds=len(values),
        num_groups=num_groups,
        seeds_variance=seeds,
        images_variance=images,
        bootstrap_variance=bootstrap,
        ends=(low, high),
        undefined=1 - kept.shape[1] / resampled.shape[1],
    )


def pool_seeds(values: Floats) -> tuple[float, int]:
    """Variance between seeds of a difference of two arms' means, from all arms of a run.

    For few seeds: two of them leave one degree of freedom, and Student's t at 12.7. What this takes for granted is that
    networks of all arms vary alike from seed to seed, once what a seed does to every arm is taken out. An arm that does
    as well as another can be expected to; one that does far worse varies more, and its interval comes out too narrow,
    though that of the difference it makes hardly matters then.

    Args:
        values: float (A, S), figure of each of A >= 2 arms with each of S >= 2 seeds, none NaN.

    Returns:
        Variance, and its degrees of freedom (A - 1) (S - 1).

    Raises:
        ValueError: fewer arms or seeds.

    Source: analysis of variance for two factors without replication, Scheffé 1959, The Analysis of Variance, 4.2.
    """
    if values.ndim != 2 or min(values.shape) < 2:
        raise ValueError(f"needs 2 arms and 2 seeds, got values of shape {values.shape}")
    rest = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
    freedom = (values.shape[0] - 1) * (values.shape[1] - 1)
    return 2 * float((rest**2).sum()) / freedom / values.shape[1], freedom


def _round_off(variance: float, values: Floats) -> float:
    """0 where the spread is no more than that of rounding."""
    scale = float(np.abs(values).max())
    return variance if variance > (1e-12 * scale) ** 2 else 0.0
