"""How often does each analysis of a reader study err where the truth is known?

    python benchmarks/reader_study_error_rates.py [--studies 4000]

Studies of 8 readers and 50 quartets. Readers differ in skill, and cases in difficulty, by standard deviations on the
logit of a right answer; two kinds of cases: those in which readers share what images look like, real or not, and those
in which they share only whether the real one is found. Rates of error of the tests at a true accuracy of 25 %; of
equivalence within 10 points that is not there, at 35 and 15 %; of intervals, complete and with a tenth of the answers
missing; of verdicts; of the test of one source where another is poor; and of whole studies of careless readers, with
panes dealt in balance. One process, one thread.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.rates import build_parser, write_rates
from benchmarks.report import RESULTS
from cspine_bench.metrics.chance import binomial_test
from cspine_bench.metrics.intervals import clopper_pearson_interval
from cspine_bench.metrics.label_test import MISSING, label_test
from cspine_bench.metrics.two_way import two_way_mean
from cspine_bench.seeding import numpy_generator
from cspine_bench.study.recipe import StudyRecipe
from cspine_bench.study.simulate.batch import Cues, Studies, World, draw_studies
from cspine_bench.study.simulate.batch_tests import MeanBatch, label_p_values, reader_batch, two_way_batch
from cspine_bench.study.simulate.made_up import answer_made_up, make_up_study
from cspine_bench.study.simulate.recipe import PRESETS

READERS, CASES, CHANCE, ALPHA, MARGIN = 8, 50, 0.25, 0.05, 0.10
SPREADS: Final = ((0.0, 0.0), (0.0, 0.65), (0.2, 0.4), (0.4, 0.4), (0.4, 0.65))
"""Between readers and between cases, on the logit."""
MISSING_SHARE: Final = 0.1
POOR: Final = 1.5
"""How much less the images of one source look like radiographs, on the logit."""

Row = dict[str, Any]
Floats = NDArray[np.float64]


def draw(world: World, studies: int, name: str, step: int = 1000) -> Iterator[Studies]:
    """Studies of a world, some at a time."""
    for number, first in enumerate(range(0, studies, step)):
        count = min(step, studies - first)
        yield draw_studies(world, studies=count, generator=numpy_generator(0, f"error-rates/{name}", number))


def describe(count: int, total: int) -> dict[str, Any]:
    """A rate with its exact interval."""
    found = clopper_pearson_interval(successes=count, total=total)
    return {"rate": round(count / total, 4), "low": round(found.low, 4), "high": round(found.high, 4)}


def tell(world: World, rates: Mapping[str, int], studies: int, **more: Any) -> Row:
    """A row of the result."""
    return {
        **more,
        "true_accuracy": world.accuracy,
        "reader_sd": world.reader_sd,
        "case_sd": world.case_sd,
        "cues": world.cues,
        "studies": studies,
        "rates": {name: describe(count, studies) for name, count in rates.items()},
    }


def naive_p_values(correct: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """One-sided and two-sided exact binomial p values, as if all answers were independent."""
    total = correct.shape[1] * correct.shape[2]
    tests = [binomial_test(correct=count, total=total, chance=CHANCE) for count in range(total + 1)]
    counts = correct.sum(axis=(1, 2))
    return (
        np.array([test.p_greater for test in tests], np.float64)[counts],
        np.array([test.p_two for test in tests], np.float64)[counts],
    )


def naive_equivalence(correct: NDArray[np.bool_]) -> Floats:
    """p value of two one-sided exact binomial tests."""
    total, counts = correct.shape[1] * correct.shape[2], correct.sum(axis=(1, 2))
    p_values: Floats = np.maximum(
        stats.binom.sf(counts - 1, total, CHANCE - MARGIN), stats.binom.cdf(counts, total, CHANCE + MARGIN)
    )
    return p_values


def case_batch(correct: NDArray[np.bool_]) -> MeanBatch:
    """One-sample t of cases: cases vary, readers do not."""
    return reader_batch(correct.transpose(0, 2, 1))


def measure_tests(studies: int) -> Iterator[Row]:
    """Share of studies at a true accuracy of chance that find readers above it."""
    kinds: tuple[Cues, ...] = ("image", "case")
    for cues in kinds:
        for reader_sd, case_sd in SPREADS:
            world = World("quartet", READERS, CASES, CHANCE, reader_sd, case_sd, cues)
            found: dict[str, int] = {}
            for drawn in draw(world, studies, "tests"):
                two_way, nonnegative = two_way_batch(drawn.correct)
                one_sided, two_sided = naive_p_values(drawn.correct)
                for name, p_values in {
                    "label test": label_p_values(drawn.picks),
                    "naive binomial": one_sided,
                    "naive binomial, two-sided": two_sided,
                    "two-way": two_way.p_greater(CHANCE),
                    "two-way, non-negative": nonnegative.p_greater(CHANCE),
                    "reader t": reader_batch(drawn.correct).p_greater(CHANCE),
                    "quartet t": case_batch(drawn.correct).p_greater(CHANCE),
                }.items():
                    found[name] = found.get(name, 0) + int((p_values <= ALPHA).sum())
            yield tell(world, found, studies, question="false detection at chance")


def measure_equivalence(studies: int) -> Iterator[Row]:
    """Share of studies that show equivalence where the truth lies on the edge of the margin."""
    for accuracy in (CHANCE + MARGIN, CHANCE - MARGIN):
        for reader_sd, case_sd in SPREADS:
            world = World("quartet", READERS, CASES, accuracy, reader_sd, case_sd)
            found: dict[str, int] = {}
            for drawn in draw(world, studies, "equivalence"):
                p_values = [means.p_equivalent(CHANCE, MARGIN) for means in two_way_batch(drawn.correct)]
                for name, p_value in {
                    "naive binomial": naive_equivalence(drawn.correct),
                    "two-way": p_values[0],
                    "two-way, non-negative": p_values[1],
                    "both rules": np.fmax(*p_values),
                }.items():
                    found[name] = found.get(name, 0) + int((p_value <= ALPHA).sum())
            yield tell(world, found, studies, question="false equivalence at the edge of the margin")


def measure_coverage(studies: int, missing_studies: int) -> Iterator[Row]:
    """Share of studies whose 95 % interval holds the true accuracy."""
    for accuracy in (CHANCE, CHANCE + MARGIN):
        for reader_sd, case_sd in SPREADS:
            world = World("quartet", READERS, CASES, accuracy, reader_sd, case_sd)
            found: dict[str, int] = {"two-way": 0, "two-way, non-negative": 0}
            for drawn in draw(world, studies, "coverage"):
                for name, means in zip(found, two_way_batch(drawn.correct), strict=True):
                    found[name] += int((np.abs(means.mean - accuracy) <= means.half_widths()).sum())
            yield tell(world, found, studies, question="coverage of the 95 % interval", missing=0.0)
            found = dict.fromkeys(found, 0)
            for number, drawn in enumerate(draw(world, missing_studies, "missing")):
                gaps = numpy_generator(0, "error-rates/gaps", number).random(drawn.correct.shape) < MISSING_SHARE
                for values in np.where(gaps, np.nan, drawn.correct.astype(np.float64)):
                    means_of_one = two_way_mean(values, null=CHANCE)
                    for name, test in zip(found, (means_of_one.test, means_of_one.nonnegative), strict=True):
                        found[name] += test.low is not None and test.low <= accuracy <= (test.high or 0.0)
            question = "coverage of the 95 % interval"
            yield tell(world, found, missing_studies, question=question, missing=MISSING_SHARE)


def measure_verdicts(studies: int) -> Iterator[Row]:
    """Share of studies that reach each verdict, the positive control passed."""
    for accuracy in (CHANCE, 0.28, 0.30, CHANCE + MARGIN):
        for reader_sd, case_sd in ((0.0, 0.0), (0.0, 0.65), (0.2, 0.4), (0.4, 0.65)):
            world = World("quartet", READERS, CASES, accuracy, reader_sd, case_sd)
            found = dict.fromkeys(("distinguishable", "equivalent", "detectable but small", "inconclusive"), 0)
            for drawn in draw(world, studies, "verdicts"):
                above = label_p_values(drawn.picks) <= ALPHA
                both = [means.p_equivalent(CHANCE, MARGIN) <= ALPHA for means in two_way_batch(drawn.correct)]
                within = both[0] & both[1]
                for name, hit in zip(
                    found, (above & ~within, ~above & within, above & within, ~above & ~within), strict=True
                ):
                    found[name] += int(hit.sum())
            yield tell(world, found, studies, question="verdicts")


def measure_sources(studies: int) -> Iterator[Row]:
    """Share of studies that find one source told from real: where none is, and where the first is poor."""
    for shift in (0.0, POOR):
        for case_sd in (0.0, 0.65):
            world = World("quartet", READERS, CASES, None, 0.0, case_sd, "image", (shift,))
            found = {f"s{number}": 0 for number in (1, 2, 3)} | {"all, label test": 0}
            for drawn in draw(world, studies, "sources"):
                for number in (1, 2, 3):
                    found[f"s{number}"] += int((label_p_values(drawn.picks[:, :, [0, number]]) <= ALPHA).sum())
                found["all, label test"] += int((label_p_values(drawn.picks) <= ALPHA).sum())
            yield tell(world, found, studies, question="one source against real, by swapped labels", s1_shift=shift)


def measure_careless(studies: int) -> Row:
    """Label test on whole studies of careless readers at chance, with panes dealt in balance."""
    careless, hits = PRESETS["careless"].model_copy(update={"reader_sd": 0.0}), 0
    settings = StudyRecipe(cases=CASES, training=0, repeats=0, positive_controls=0, ratings=False)
    for seed in range(studies):
        study = make_up_study(settings, num_sources=3, seed=seed)
        picks = np.full((READERS, CASES), MISSING)
        members = {image: number % 4 for number, image in enumerate(study.image_ids)}
        for trial in answer_made_up(study, careless, seed=seed).trials:
            if trial.picked_image is not None:
                picks[int(trial.reader[1:]) - 1, int(trial.quartet[1:]) - 1] = members[trial.picked_image]
        found = label_test(picks, labels=np.zeros(CASES, np.int64), num_images=4)
        hits += found.p_greater is not None and found.p_greater <= ALPHA
    world = World("quartet", READERS, CASES, CHANCE, 0.0, careless.case_sd)
    return tell(world, {"label test": hits}, studies, question="false detection, careless readers, balanced panes")


def main(words: Sequence[str] | None = None) -> None:
    """Measure all rates and write the result file."""
    parser = build_parser(__doc__)
    parser.add_argument("--studies", type=int, default=4000)
    parser.add_argument("--whole-studies", type=int, default=2000, help="Of those that are analysed one by one.")
    parser.add_argument("--out", type=Path, default=RESULTS / "reader_study_error_rates.json")
    options = parser.parse_args(words)
    started, rows = time.process_time(), []
    for found in (
        measure_tests(options.studies),
        measure_equivalence(options.studies),
        measure_coverage(options.studies, options.whole_studies),
        measure_verdicts(options.studies),
        measure_sources(options.studies),
        (measure_careless(count) for count in (options.whole_studies,)),
    ):
        for row in found:
            rows.append(row)
            print(row, flush=True)
    write_rates(
        options.out,
        "reader_study_error_rates",
        words,
        rows,
        unit="share of studies, with its exact 95 % interval",
        started=started,
        packages=("numpy", "scipy"),
        readers=READERS,
        cases=CASES,
        chance=CHANCE,
        alpha=ALPHA,
        margin=MARGIN,
    )


if __name__ == "__main__":
    main()
