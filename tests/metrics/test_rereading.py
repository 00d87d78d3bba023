"""Two readings by one reader: published figures, the formulas they are known by, clusters, and what is not defined."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cspine_bench.metrics.category_weights import Weighting, weigh_categories
from cspine_bench.metrics.intervals import wilson_interval
from cspine_bench.metrics.rereading import cohen_kappa, estimate_share

Floats = NDArray[np.float64]
NAN = math.nan
THREE = (0, 1, 2)

# A hundred women by two abstractors, ectopic or not: the data set cont3x3abstractors of R's irrCAC.
ABSTRACTORS = np.array([[13, 0, 0], [0, 20, 7], [0, 4, 56]])


def list_pairs(table: NDArray[np.int64]) -> tuple[Floats, Floats]:
    rows, columns = np.indices(table.shape).reshape(2, -1)
    return np.repeat(rows, table.ravel()).astype(float), np.repeat(columns, table.ravel()).astype(float)


def published_error(table: NDArray[np.int64], weights: Floats) -> float:
    """Fleiss, Cohen, Everitt 1969, formula 8."""
    p = table / table.sum()
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    observed, chance = (p * weights).sum(), rows @ weights @ columns
    margins = (weights @ columns)[:, None] + (rows @ weights)[None, :]
    inner = (p * (weights * (1 - chance) - margins * (1 - observed)) ** 2).sum()
    variance = (inner - (observed * chance - 2 * chance + observed) ** 2) / (table.sum() * (1 - chance) ** 4)
    return math.sqrt(variance)


def test_kappa_as_published() -> None:
    first, second = list_pairs(ABSTRACTORS)
    # irrCAC 1.3, kappa2.table(cont3x3abstractors), as in its README.
    found = cohen_kappa(first=first, second=second, categories=THREE)
    assert (found.value, found.standard_error) == (pytest.approx(0.7964094, abs=1e-7), pytest.approx(0.05891072))
    assert (found.observed, found.chance) == (pytest.approx(0.89), pytest.approx(0.4597))
    assert (found.low, found.high) == (pytest.approx(0.7964094 - 1.959964 * 0.05891072), pytest.approx(0.9118723))
    assert (found.pairs, found.left_out, found.clusters, found.reason) == (100, 0, None, "")


def test_four_ordered_categories_as_r_has_them() -> None:
    table = np.array([[11, 3, 1, 0], [2, 9, 4, 1], [0, 3, 10, 5], [0, 1, 2, 8]])
    first, second = list_pairs(table)
    found = {
        weighting: cohen_kappa(first=first, second=second, categories=(0, 1, 2, 3), weighting=weighting)
        for weighting in ("identity", "linear", "quadratic")
    }
    # R psych 2.2.9: cohen.kappa(table, w = 1 - outer(1:4, 1:4, "-")^2 / 9).
    assert found["identity"].value == pytest.approx(0.5091111938)
    assert found["identity"].standard_error == pytest.approx(0.08380666977)
    assert found["quadratic"].value == pytest.approx(0.7726161369)
    for weighting, kappa in found.items():
        weights = weigh_categories((0, 1, 2, 3), weighting)
        assert kappa.standard_error == pytest.approx(published_error(table, weights))


def test_what_kappa_keeps() -> None:
    first, second = list_pairs(ABSTRACTORS)
    order = np.random.default_rng(1).permutation(100)
    weighting: Weighting
    for weighting in ("identity", "quadratic"):
        found = cohen_kappa(first=first, second=second, categories=THREE, weighting=weighting)
        for one, other in ((second, first), (first[order], second[order]), (2 - first, 2 - second)):
            same = cohen_kappa(first=one, second=other, categories=THREE, weighting=weighting)
            assert (same.value, same.standard_error) == pytest.approx((found.value, found.standard_error))
        gaps = cohen_kappa(
            first=np.append(first, [NAN, 1]), second=np.append(second, [0, NAN]), categories=THREE, weighting=weighting
        )
        assert (gaps.value, gaps.pairs, gaps.left_out) == (found.value, 100, 2)


def test_clusters_carry_what_pairs_share() -> None:
    first, second = list_pairs(ABSTRACTORS)
    plain = cohen_kappa(first=first, second=second, categories=THREE)
    assert plain.standard_error is not None
    alone = cohen_kappa(first=first, second=second, categories=THREE, clusters=np.arange(100))
    assert alone.standard_error == pytest.approx(plain.standard_error * math.sqrt(100 / 99))
    assert alone.low is not None and plain.low is not None and alone.low < plain.low
    # Each pair four times over tells nothing more, and only clusters know it.
    copies = {"first": np.tile(first, 4), "second": np.tile(second, 4), "categories": THREE}
    assert cohen_kappa(**copies).standard_error == pytest.approx(plain.standard_error / 2)
    repeated = cohen_kappa(**copies, clusters=np.tile(np.arange(100), 4))
    assert (repeated.standard_error, repeated.low) == pytest.approx((alone.standard_error, alone.low))
    assert (repeated.pairs, repeated.clusters) == (400, 100)


def test_kappa_that_is_not_defined() -> None:
    ones = np.ones(6)
    alike = cohen_kappa(first=ones, second=ones, categories=THREE)
    assert alike.value is None and "0 / 0" in alike.reason and alike.observed == 1
    nothing = cohen_kappa(first=np.full(3, NAN), second=ones[:3], categories=THREE, clusters=ones[:3])
    assert (nothing.value, nothing.pairs, nothing.left_out) == (None, 0, 3) and nothing.reason
    steady = cohen_kappa(first=np.array([0, 1, 2.0]), second=np.array([0, 1, 2.0]), categories=THREE)
    assert (steady.value, steady.standard_error, steady.low) == (1, 0, None) and "how sure" in steady.reason
    single = cohen_kappa(first=np.array([0.0]), second=np.array([1.0]), categories=THREE)
    assert (single.value, single.low) == (0, None) and "2 pairs" in single.reason
    first, second = list_pairs(ABSTRACTORS)
    bunched = cohen_kappa(first=first, second=second, categories=THREE, clusters=np.zeros(100))
    assert bunched.value is not None and bunched.low is None and "clusters" in bunched.reason
    # One reading always the same: agreement is what chance gives.
    assert cohen_kappa(first=ones, second=np.array([0, 1, 1, 2, 1, 0.0]), categories=THREE).value == pytest.approx(0)


def test_a_share_of_answers() -> None:
    hits = np.repeat([1.0, 0.0], [30, 10])
    found, wilson = estimate_share(hits=hits), wilson_interval(successes=30, total=40)
    assert (found.value, found.low, found.high) == (0.75, wilson.low, wilson.high)
    assert (found.total, found.effective, found.clusters) == (40, 40, None)
    # Copies in clusters leave the interval nearly what it was, and Student's t makes it a little wider.
    copied = estimate_share(hits=np.tile(hits, 5), clusters=np.tile(np.arange(40), 5))
    assert copied.effective == pytest.approx(40, rel=0.08) and (copied.total, copied.clusters) == (200, 40)
    assert copied.low is not None and found.low is not None and copied.low == pytest.approx(found.low, abs=0.01)
    assert copied.low < found.low
    # Clusters that differ less than chance has it earn nothing; that there are but 20 of them costs a little.
    even = estimate_share(hits=np.tile([1.0, 0.0], 20), clusters=np.repeat(np.arange(20), 2))
    assert even.effective == pytest.approx(40 * (stats.t.ppf(0.975, 39) / stats.t.ppf(0.975, 19)) ** 2)
    assert estimate_share(hits=np.append(hits, NAN)).total == 40


def test_shares_at_the_ends() -> None:
    perfect = estimate_share(hits=np.ones(80), clusters=np.repeat(np.arange(10), 8))
    # Ten clusters all alike tell what ten answers do, at least.
    assert (perfect.value, perfect.high, perfect.effective) == (1, 1, 10)
    assert perfect.low == wilson_interval(successes=10, total=10).low
    assert estimate_share(hits=np.zeros(5)).low == 0
    nothing = estimate_share(hits=np.full(3, NAN), clusters=np.arange(3))
    assert nothing.value is None and nothing.reason == "there is no answer"
    lonely = estimate_share(hits=np.array([1.0, 0, 1]), clusters=np.zeros(3))
    assert lonely.value == pytest.approx(2 / 3) and lonely.low is None and "at least 2" in lonely.reason


def test_misuse() -> None:
    two = np.zeros(2)
    with pytest.raises(ValueError, match=r"one shape \(n,\), got \[\(2,\), \(3,\)\]"):
        cohen_kappa(first=two, second=np.zeros(3), categories=THREE)
    with pytest.raises(ValueError, match="one shape"):
        cohen_kappa(first=two, second=two, categories=THREE, clusters=np.zeros(3))
    with pytest.raises(ValueError, match=r"or NaN, got \[7.0\]"):
        cohen_kappa(first=two, second=two + 7, categories=THREE)
    with pytest.raises(ValueError, match=r"0, 1 or NaN, got \[2.0\]"):
        estimate_share(hits=two + 2)
