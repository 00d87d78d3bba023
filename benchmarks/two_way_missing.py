"""How often does the interval of a mean over readers and cases hold the truth where cells are missing?

    python benchmarks/two_way_missing.py [--draws 4000]

Right picks of readers on cases, with logistic reader and case effects, and ratings with normal ones, under several
patterns of missing cells. For each: coverage of the 95 % interval and of that by the non-negative rule, size of the
one-sided 5 % test, median half-width, mean of the unbiased variance relative to the variance of the mean over draws;
beside it the same interval from the cases that all readers read, as far as there are any. One process, one thread.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from benchmarks.rates import build_parser, write_rates
from benchmarks.report import RESULTS
from cspine_bench.metrics.two_way import two_way_mean

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Pattern = Callable[[np.random.Generator, int, int], Bools]

READER_SD, CASE_SD = 0.25, 0.45
CHANCE = 0.25


def drop_at_random(share: float) -> Pattern:
    """Each cell is missing with this chance."""
    return lambda generator, readers, cases: generator.random((readers, cases)) >= share


def stop_early(generator: np.random.Generator, readers: int, cases: int) -> Bools:
    """One reader stops after two fifths, another after four fifths, in an order of its own; 5 % drop out besides."""
    there = generator.random((readers, cases)) >= 0.05
    for reader, share in ((0, 0.4), (1, 0.8)):
        there[reader, generator.permutation(cases)[int(share * cases) :]] = False
    return there


def read_half(generator: np.random.Generator, readers: int, cases: int) -> Bools:
    """Each case is read by half of the readers, drawn anew."""
    order = np.argsort(generator.random((readers, cases)), axis=0)
    return order < readers // 2


PATTERNS: dict[str, Pattern] = {
    "complete": drop_at_random(0.0),
    "15 % at random": drop_at_random(0.15),
    "40 % at random": drop_at_random(0.4),
    "two stop early": stop_early,
    "half of the readers a case": read_half,
}


def draw_picks(reader_sd: float, case_sd: float) -> tuple[Callable[[np.random.Generator, int, int], Floats], float]:
    """Right picks, 1 or 0, and their true mean."""
    centre = float(special.logit(CHANCE))
    spread = math.hypot(reader_sd, case_sd)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    truth = float(weights @ special.expit(centre + spread * nodes) / weights.sum())

    def draw(generator: np.random.Generator, readers: int, cases: int) -> Floats:
        logit = centre + reader_sd * generator.normal(size=(readers, 1)) + case_sd * generator.normal(size=(1, cases))
        return (generator.random((readers, cases)) < special.expit(logit)).astype(np.float64)

    return draw, truth


def draw_ratings(generator: np.random.Generator, readers: int, cases: int) -> Floats:
    """Differences of ratings, true mean 0, with components about as large as in four-point ratings."""
    shared = 0.15 * generator.normal(size=(readers, 1)) + 0.3 * generator.normal(size=(1, cases))
    return np.asarray(shared + generator.normal(size=(readers, cases)), np.float64)


def iter_cases() -> Iterator[tuple[dict[str, Any], Callable[[np.random.Generator, int, int], Floats], float]]:
    """(names, how values are drawn, true mean)."""
    for pattern in PATTERNS:
        for readers, cases in ((4, 50), (8, 50), (12, 100)):
            names = {"pattern": pattern, "readers": readers, "cases": cases}
            yield {**names, "values": "picks"}, *draw_picks(READER_SD, CASE_SD)
            if (readers, cases) == (8, 50):
                yield {**names, "values": "picks, no reader or case effects"}, *draw_picks(0.0, 0.0)
                yield {**names, "values": "ratings"}, draw_ratings, 0.0


def measure(
    names: dict[str, Any], draw: Callable[[np.random.Generator, int, int], Floats], truth: float, draws: int
) -> dict[str, Any]:
    """Coverages, sizes and widths of one case."""
    generator = np.random.default_rng(41)
    readers, cases = names["readers"], names["cases"]
    hits: dict[str, list[bool]] = {"test": [], "nonnegative": [], "complete_cases": []}
    above: dict[str, list[bool]] = {"test": [], "nonnegative": []}
    halves: dict[str, list[float]] = {"test": [], "nonnegative": [], "complete_cases": []}
    means, variances, undefined = [], [], 0
    for _ in range(draws):
        values = draw(generator, readers, cases)
        there = PATTERNS[names["pattern"]](generator, readers, cases)
        found = two_way_mean(np.where(there, values, np.nan), null=truth)
        if found.reason or found.test.reason:
            undefined += 1
            continue
        means.append(found.test.value)
        variances.append(found.var_unbiased)
        complete = two_way_mean(values[:, there.all(axis=0)], null=truth)
        for way, test in (
            ("test", found.test), ("nonnegative", found.nonnegative), ("complete_cases", complete.test)
        ):  # fmt: skip
            if test.low is None:
                continue
            hits[way].append(test.low <= truth <= test.high)
            halves[way].append((test.high - test.low) / 2)
            if way in above:
                above[way].append(test.p_greater <= 0.05)
    return {
        **names,
        "truth": round(truth, 6),
        "draws": draws,
        "undefined": undefined,
        "undefined_complete_cases": draws - len(hits["complete_cases"]),
        **{f"coverage_{way}": round(float(np.mean(found)), 4) if found else None for way, found in hits.items()},
        **{f"size_one_sided_{way}": round(float(np.mean(found)), 4) for way, found in above.items()},
        **{f"median_half_width_{way}": round(float(np.median(v)), 4) if v else None for way, v in halves.items()},
        "bias_in_standard_errors": round((float(np.mean(means)) - truth) / float(stats.sem(means)), 2),
        "variance_found_over_true": round(float(np.mean(variances)) / float(np.var(means)), 3),
    }


def main(words: Sequence[str] | None = None) -> None:
    """Run every case and write the result file."""
    parser = build_parser(__doc__)
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=RESULTS / "two_way_missing.json")
    options = parser.parse_args(words)
    started = time.process_time()
    rows = []
    cases = list(iter_cases())
    for names, draw, truth in cases:
        rows.append(measure(names, draw, truth, options.draws))
        print(f"{len(rows)}/{len(cases)} {rows[-1]}", flush=True)
    write_rates(
        options.out,
        "two_way_missing",
        words,
        rows,
        unit="share of draws; nominal coverage 0.95, nominal size 0.05",
        started=started,
        packages=("numpy", "scipy"),
        effects={"picks, SD on the logit": {"reader": READER_SD, "case": CASE_SD}},
        standard_error={
            "coverage": round(math.sqrt(0.05 * 0.95 / options.draws), 4),
            "variance_found_over_true": round(math.sqrt(2 / options.draws), 3),
        },
    )


if __name__ == "__main__":
    main()
