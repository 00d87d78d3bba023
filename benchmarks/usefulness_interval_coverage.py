"""How often does the interval of a usefulness figure hold the truth, and how often is a difference seen where none is?

    python benchmarks/usefulness_interval_coverage.py [--draws 1000]

Figures of S networks on one test set are drawn from a known law: seed effects, radiograph effects, and effects of both
together, in several proportions, with normal and heavy tails, groups of several radiographs, and AUROC. For each case:
coverage of the interval for both sources of chance, of the one by the bootstrap over test groups alone, of
Satterthwaite's, and of that on the scale of the logit for AUROC; widths relative to the interval that knows the
variances. One process, one thread.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.rates import build_parser, write_rates
from benchmarks.report import RESULTS
from cspine_bench.metrics.paired import FigureDraws, SeedMean, resample_groups, summarise_seeds
from cspine_bench.metrics.weighted import weighted_auroc, weighted_mean, weighted_quantile

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator], FigureDraws]

SEEDS = (1, 2, 3, 5, 10)
GROUPS = (30, 100, 500)
# Variance of a seed's effect, relative to that of the radiographs' effects, both on the mean: S and n taken in.
SEED_SHARES = (0.0, 0.3, 3.0)
NUM_RESAMPLES = 1000
TAILS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Floats]] = {
    "normal": lambda draw, shape: draw.normal(size=shape),
    "t3": lambda draw, shape: draw.standard_t(3, size=shape) / math.sqrt(3),
    "lognormal": lambda draw, shape: (
        (np.exp(draw.normal(size=shape)) - math.exp(0.5)) / math.sqrt(math.e * (math.e - 1))
    ),
}
MIXED_TOGETHER = 0.5
"""Variance of a radiograph's effect in one network alone, relative to that in all networks."""


def iter_mean_cases() -> Iterator[tuple[dict[str, Any], int, Draw, float]]:
    """(names, groups, draw, true standard error) of differences of means, of which the truth is 0."""
    for tails in TAILS:
        for groups in GROUPS:
            for seeds in SEEDS:
                for share in SEED_SHARES if tails == "normal" else (0.3,):
                    names = {"figure": "difference of means", "tails": tails, "seed_share": share}
                    error = math.sqrt(1 + share + MIXED_TOGETHER / seeds)
                    yield (
                        {**names, "groups": groups, "seeds": seeds},
                        groups,
                        draw_mean(tails, groups, seeds, share),
                        error,
                    )


def draw_mean(tails: str, groups: int, seeds: int, share: float) -> Draw:
    """Differences of networks; the mean over seeds has variance 1 + share + MIXED_TOGETHER / seeds."""
    weights = resample(groups, 1)

    def draw(generator: np.random.Generator) -> FigureDraws:
        noise = TAILS[tails]
        values = (
            math.sqrt(share * seeds) * generator.normal(size=(seeds, 1))
            + math.sqrt(groups) * noise(generator, (1, groups))
            + math.sqrt(MIXED_TOGETHER * groups) * noise(generator, (seeds, groups))
        )
        # One product for all seeds: what `weighted_mean` of each row gives, in a fraction of its time.
        return FigureDraws(values.mean(axis=1), (values @ weights.T) / weights.sum(axis=1))

    return draw


def iter_other_cases() -> Iterator[tuple[dict[str, Any], int, Draw, float, float]]:
    """(names, groups, draw, true standard error or NaN, truth): medians, patients with several films, AUROC."""
    for groups in GROUPS:
        for seeds in (2, 5):
            names = {"tails": "lognormal", "seed_share": 0.3, "groups": groups, "seeds": seeds}
            yield {"figure": "median", **names}, groups, draw_median(groups, seeds), math.nan, 1.0
            names = {"tails": "normal", "seed_share": 0.3, "groups": groups, "seeds": seeds}
            yield {"figure": "mean, 3 films a patient", **names}, groups, draw_clustered(groups, seeds), math.nan, 0.0
            for area in (0.75, 0.95):
                names = {"figure": f"AUROC {area}", "tails": "normal", "seed_share": None}
                yield (
                    {**names, "groups": groups, "seeds": seeds},
                    groups,
                    draw_auroc(groups, seeds, area),
                    math.nan,
                    area,
                )
            names = {"figure": "difference of AUROC 0.9", "tails": "normal", "seed_share": None}
            drawn = draw_auroc_difference(groups, seeds, 0.9)
            yield {**names, "groups": groups, "seeds": seeds}, groups, drawn, math.nan, 0.0


def draw_median(groups: int, seeds: int) -> Draw:
    """Medians of lognormal errors; seeds shift them by a share of the median's own error."""
    weights = resample(groups, 1)
    shift = math.sqrt(0.3 * seeds) * 1.2533 / math.sqrt(groups)

    def draw(generator: np.random.Generator) -> FigureDraws:
        shared, own = generator.normal(size=(1, groups)), generator.normal(size=(seeds, groups))
        hardness = (shared + math.sqrt(MIXED_TOGETHER) * own) / math.sqrt(1 + MIXED_TOGETHER)
        values = np.exp(hardness) + shift * generator.normal(size=(seeds, 1))
        return evaluate([weighted_quantile(row) for row in values], weights)

    return draw


def draw_clustered(groups: int, seeds: int) -> Draw:
    """Means over patients with three films that hang together."""
    weights = resample(groups, 3)

    def draw(generator: np.random.Generator) -> FigureDraws:
        patients = np.repeat(generator.normal(size=(1, groups)), 3, axis=1)
        films = generator.normal(size=(1, 3 * groups)) + generator.normal(size=(seeds, 3 * groups))
        values = patients + 0.5 * films + math.sqrt(0.3 * seeds / groups) * generator.normal(size=(seeds, 1))
        return evaluate([weighted_mean(row) for row in values], weights)

    return draw


def draw_auroc(groups: int, seeds: int, area: float) -> Draw:
    """AUROC of networks that share most of what they find hard; three in ten radiographs are positive."""
    weights = resample(groups, 1)

    def draw(generator: np.random.Generator) -> FigureDraws:
        positive, scores = draw_scores(generator, groups, seeds, area)
        return evaluate([weighted_auroc(row, positive) for row in scores], weights)

    return draw


def draw_auroc_difference(groups: int, seeds: int, area: float) -> Draw:
    """Two arms of equal AUROC on the same radiographs."""
    weights = resample(groups, 1)

    def draw(generator: np.random.Generator) -> FigureDraws:
        positive, scores = draw_scores(generator, groups, 2 * seeds, area)
        arms = evaluate([weighted_auroc(row, positive) for row in scores], weights)
        return arms.take(range(seeds)).minus(arms.take(range(seeds, 2 * seeds)))

    return draw


def draw_scores(
    generator: np.random.Generator, groups: int, seeds: int, area: float
) -> tuple[NDArray[np.bool_], Floats]:
    """Positives (groups,), and scores (seeds, groups) whose AUROC is `area` on average over seeds, nearly."""
    positive = generator.random(groups) < 0.3
    hardness = generator.normal(size=(1, groups)) + 0.7 * generator.normal(size=(seeds, groups))
    apart = math.sqrt(2 * 1.49) * float(stats.norm.ppf(area))
    # A seed's network separates the two kinds a little more or less than the next.
    return positive, hardness + positive * (apart + 0.1 * generator.normal(size=(seeds, 1)))


def resample(groups: int, films: int) -> Floats:
    """Weights of the radiographs, drawn once for all draws of a case."""
    names = [f"{group:05d}" for group in range(groups) for _ in range(films)]
    return resample_groups(names, num_resamples=NUM_RESAMPLES, generator=np.random.default_rng(groups * films))


def evaluate(statistics: Sequence[Callable[[Floats], Floats]], weights: Floats) -> FigureDraws:
    """Figures of all radiographs, and of each resample."""
    ones = np.ones((1, weights.shape[1]))
    return FigureDraws(
        np.array([float(statistic(ones)[0]) for statistic in statistics]),
        np.stack([statistic(weights) for statistic in statistics]),
    )


def satterthwaite_half(found: SeedMean) -> float:
    """Half-width of a single Student interval for the sum of both variances; never below the radiographs' part."""
    seeds, images = found.seeds_variance, found.images_variance
    if seeds + images == 0:
        return found.half_width(tails=0.05)
    freedom = (seeds + images) ** 2 / (seeds**2 / (found.num_seeds - 1) + images**2 / (found.num_groups - 1))
    return float(stats.t.ppf(0.975, freedom)) * math.sqrt(max(seeds + images, found.bootstrap_variance))


def measure(names: dict[str, Any], groups: int, draw: Draw, error: float, truth: float, draws: int) -> dict[str, Any]:
    """Coverages and widths of one case."""
    generator = np.random.default_rng(20251)
    covered: dict[str, list[bool]] = {"both": [], "images_alone": [], "satterthwaite": [], "logit": []}
    halves, left_out = [], 0
    for _ in range(draws):
        drawn = draw(generator)
        if not np.isfinite(drawn.values).all():
            left_out += 1
            continue
        found = summarise_seeds(drawn, num_groups=groups)
        if found.why_no_interval:
            left_out += 1
            continue
        interval, images = found.interval(), found.images_interval()
        covered["both"].append(interval.low <= truth <= interval.high)
        covered["images_alone"].append(images.low <= truth <= images.high)
        if found.num_seeds > 1:
            covered["satterthwaite"].append(abs(found.value - truth) <= satterthwaite_half(found))
        if names["figure"].startswith("AUROC") and 0 < found.value < 1:
            share = found.share_interval()
            covered["logit"].append(share.low <= truth <= share.high)
        halves.append(found.half_width(tails=0.05))
    return {
        **names,
        "draws": draws,
        "without_interval": left_out,
        **{f"coverage_{way}": round(float(np.mean(hits)), 4) if hits else None for way, hits in covered.items()},
        "false_difference_rate": round(1 - float(np.mean(covered["both"])), 4) if covered["both"] else None,
        "relative_width": None if math.isnan(error) else round(float(np.median(halves)) / (1.96 * error), 3),
    }


def main(words: Sequence[str] | None = None) -> None:
    """Run every case and write the result file."""
    parser = build_parser(__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=RESULTS / "usefulness_interval_coverage.json")
    options = parser.parse_args(words)
    started = time.process_time()
    rows = []
    cases = [(*case, 0.0) for case in iter_mean_cases()] + list(iter_other_cases())
    for names, groups, draw, error, truth in cases:
        rows.append(measure(names, groups, draw, error, truth, options.draws))
        print(f"{len(rows)}/{len(cases)} {rows[-1]}", flush=True)
    write_rates(
        options.out,
        "usefulness_interval_coverage",
        words,
        rows,
        unit="share of draws; nominal coverage 0.95",
        started=started,
        packages=("numpy", "scipy"),
        resamples=NUM_RESAMPLES,
        standard_error=round(math.sqrt(0.05 * 0.95 / options.draws), 4),
    )


if __name__ == "__main__":
    main()
