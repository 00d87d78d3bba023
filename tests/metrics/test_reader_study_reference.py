"""Statistics of picks and ratings against an outside reference: every quantity of it, within its tolerance."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine_bench.metrics.chance import bayes_factors, binomial_equivalence, binomial_test, count_test
from cspine_bench.metrics.label_test import label_test
from cspine_bench.metrics.mean_test import MeanEquivalence, MeanTest, mean_equivalence
from cspine_bench.metrics.multiplicity import adjust_holm
from cspine_bench.metrics.reader_auc import reader_auc
from cspine_bench.metrics.sensitivity import dprime_from_share
from cspine_bench.metrics.signed_rank import SignedRank, signed_rank_test
from cspine_bench.metrics.two_way import TwoWayMean, case_mean, reader_mean, two_way_mean

REFERENCE = Path(__file__).parents[3] / "shared" / "crosscheck" / "reader_study"
SOURCES = ("real", "s1", "s2", "s3")
OURS = ("acc.", "pick.label_test.", "pos.chisq.", "source.chisq.", "diff.", "wil.", "auc.")
ELSEWHERE = ("acc.glmm.",)

Floats = NDArray[np.float64]
Figures = Iterator[tuple[str, float | None]]


def read(name: str) -> list[dict[str, str]]:
    with (REFERENCE / name).open() as file:
        return list(csv.DictReader(file))


def iter_binomial(k: int, n: int) -> Figures:
    found = binomial_test(correct=k, total=n, chance=0.25)
    yield from (("acc.k", k), ("acc.n", n), ("acc.binom.phat", found.share))
    yield from (("acc.binom.p_two", found.p_two), ("acc.binom.p_greater", found.p_greater))
    ends = {"cp": found.clopper_pearson, "wilson": found.wilson, "jeffreys": found.jeffreys}
    for name, interval in ends.items():
        assert interval is not None
        yield from ((f"acc.binom.{name}_lo", interval.low), (f"acc.binom.{name}_hi", interval.high))
    for margin in (5, 10):
        held = binomial_equivalence(correct=k, total=n, chance=0.25, margin=margin / 100)
        yield from ((f"acc.tost{margin:02d}.p_lower", held.p_lower), (f"acc.tost{margin:02d}.p_upper", held.p_upper))
    factors = bayes_factors(correct=k, total=n, chance=0.25)
    assert factors.log_beta11 is not None and factors.log_logistic is not None
    yield "acc.bf10_beta11", float(np.exp(factors.log_beta11))
    yield "acc.bf10_logistic", float(np.exp(factors.log_logistic))
    yield "acc.dprime4", dprime_from_share(k / n, num_alternatives=4)


def iter_mean(prefix: str, test: MeanTest) -> Figures:
    for name, value in (("p_two", test.p_two), ("p_greater", test.p_greater), ("lo", test.low), ("hi", test.high)):
        yield prefix + name, value
    yield from ((prefix + "se", test.se), (prefix + "df", test.df))


def iter_two_way(prefix: str, found: TwoWayMean) -> Figures:
    yield from iter_mean(prefix, found.test)
    yield from iter_mean(f"{prefix}nn_", found.nonnegative)
    yield from ((f"{prefix}mean", found.test.value), (f"{prefix}t", found.test.t))
    yield from ((f"{prefix}nn_which", found.nonnegative_rule), (f"{prefix}df_satt", found.df_satterthwaite))
    yield from ((f"{prefix}{name}", getattr(found, name)) for name in ("msr", "cov2", "var_unbiased", "var_or"))
    yield from ((f"{prefix}vc_reader", found.vc_reader), (f"{prefix}vc_case", found.vc_case))
    yield f"{prefix}vc_err", found.vc_error


def iter_equivalence(prefix: str, held: MeanEquivalence) -> Figures:
    yield from ((f"{prefix}.p_lower", held.p_lower), (f"{prefix}.p_upper", held.p_upper))
    yield from ((f"{prefix}.lo90", held.low), (f"{prefix}.hi90", held.high))
    yield f"{prefix}.min_margin", held.smallest_margin


def iter_accuracy(correct: Floats) -> Figures:
    found = two_way_mean(correct, null=0.25)
    yield from iter_two_way("acc.twoway.", found)
    yield from iter_equivalence("acc.twoway_tost10", mean_equivalence(found.test, margin=0.1))
    for name, test in (("reader_t", reader_mean(correct, null=0.25)), ("case_t", case_mean(correct, null=0.25))):
        yield from ((f"acc.{name}.t", test.t), (f"acc.{name}.p", test.p_two))
        yield from ((f"acc.{name}.lo", test.low), (f"acc.{name}.hi", test.high))


def iter_differences(ratings: Floats) -> Figures:
    for number in (1, 2, 3):
        values = ratings[0] - ratings[number]
        found = two_way_mean(values)
        yield from iter_two_way(f"diff.s{number}.twoway.", found)
        yield from iter_equivalence(f"diff.s{number}.tost20", mean_equivalence(found.test, margin=0.2))
        for unit, test in (("reader", reader_mean(values)), ("quartet", case_mean(values))):
            yield from iter_equivalence(f"diff.s{number}.{unit}_tost20", mean_equivalence(test, margin=0.2))


def iter_signed_ranks(ratings: Floats) -> Figures:
    for unit, axis in (("reader", 1), ("quartet", 0)):
        for zeros in ("wilcox", "pratt"):
            tests: list[SignedRank] = [
                signed_rank_test((ratings[0] - ratings[number]).mean(axis=axis), zeros=zeros) for number in (1, 2, 3)
            ]
            for number, test in enumerate(tests, 1):
                start = f"wil.{unit}.{zeros}"
                yield f"{start}.perm.s{number}", test.p_exact
                yield from ((f"{start}.cc0.s{number}.p", test.p), (f"{start}.cc0.s{number}.z", test.z))
                yield f"{start}.cc1.s{number}.p", test.p_corrected
                yield f"{start}.cc1.s{number}.z", test.z_corrected
                yield f"wil.{unit}.zeros.s{number}", test.zeros
            for way, p_values in (("cc0", [t.p for t in tests]), ("cc1", [t.p_corrected for t in tests])):
                adjusted = adjust_holm(np.array(p_values, np.float64))
                yield from ((f"wil.{unit}.{zeros}.{way}.holm[{number}]", p) for number, p in enumerate(adjusted))


def iter_areas(ratings: Floats) -> Figures:
    found = reader_auc(real=ratings[0], synthetic=np.concatenate(list(ratings[1:]), axis=1))
    yield from ((f"auc.{name}", getattr(found, name)) for name in ("auc", "var_u", "msr", "cov2", "var_or", "df"))
    yield from (("auc.p_two", found.p_two), ("auc.lo", found.low), ("auc.hi", found.high))
    yield from ((f"auc.per_reader[{number}]", area) for number, area in enumerate(found.per_reader))


@pytest.mark.skipif(not REFERENCE.is_dir(), reason=f"{REFERENCE} is not there")
def test_every_quantity_of_the_reference() -> None:
    trials, rated = read("paper_like_trials.csv"), read("paper_like_ratings.csv")
    readers = sorted({row["reader"] for row in trials})
    quartets = sorted({row["quartet"] for row in trials})
    picks = np.full((len(readers), len(quartets)), -1)
    positions = np.zeros(4, np.int64)
    for row in trials:
        place = readers.index(row["reader"]), quartets.index(row["quartet"])
        picks[place] = SOURCES.index(row["picked_source"])
        positions[int(row["picked_position"]) - 1] += 1
    ratings = np.full((len(SOURCES), *picks.shape), np.nan)
    for row in rated:
        place = readers.index(row["reader"]), quartets.index(row["quartet"])
        ratings[(SOURCES.index(row["source"]), *place)] = float(row["rating"])

    correct = (picks == 0).astype(np.float64)
    found: dict[str, float | None] = dict(iter_binomial(int(correct.sum()), correct.size))
    found |= dict(iter_accuracy(correct))
    labels = label_test(picks, labels=np.zeros(len(quartets), np.int64), num_images=4)
    found |= {
        f"pick.label_test.{name}": getattr(labels, name) for name in ("k", "p_greater", "p_two", "mean", "sd", "deff")
    }
    for name, counts in (("pos", positions), ("source", np.bincount(picks.ravel(), minlength=4))):
        table = count_test(counts.tolist())
        found |= {f"{name}.chisq.stat": table.statistic, f"{name}.chisq.p": table.p}
    found |= dict(iter_differences(ratings)) | dict(iter_signed_ranks(ratings)) | dict(iter_areas(ratings))

    reference = json.loads((REFERENCE / "expected.json").read_text())["paper_like"]
    ours = {name: row for name, row in reference.items() if name.startswith(OURS) and not name.startswith(ELSEWHERE)}
    assert len(ours) > 200 and set(found) == set(ours)
    # Written so that a NaN or a None is far too.
    far = {name: (found[name], row["value"]) for name, row in ours.items() if not is_near(found[name], row)}
    assert not far


def is_near(value: float | None, row: dict[str, float]) -> bool:
    return value is not None and abs(value - row["value"]) <= row["tol"]


@pytest.mark.skipif(not REFERENCE.is_dir(), reason=f"{REFERENCE} is not there")
def test_the_aggregates_of_the_paper() -> None:
    reference = json.loads((REFERENCE / "expected.json").read_text())["paper_aggregates"]
    found = {name.removeprefix("acc.binom."): value for name, value in iter_binomial(116, 400)}
    assert set(reference) <= set(found)
    assert all(is_near(found[name], row) for name, row in reference.items())
