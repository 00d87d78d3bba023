"""The two-way mean: R's values, exact unbiasedness under any pattern of missing cells, and what must change nothing."""

import math
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine_bench.metrics.mean_test import mean_equivalence, mean_test
from cspine_bench.metrics.two_way import ALL_ALIKE, case_mean, reader_mean, two_way_mean

Floats = NDArray[np.float64]

READER, CASE = np.arange(6)[:, None], np.arange(20)[None]
WHOLE: Final[Floats] = (3 * READER**2 + 7 * CASE**2 + 5 * READER * CASE) % 11 + 2 * (5 * READER % 6) + CASE * 7 % 20 / 4
THERE = ((READER * CASE + CASE) % 7 != 3) & ~((READER == 5) & (CASE > 7))
TORN: Final[Floats] = np.where(THERE, WHOLE, np.nan)
FIGURES = ("msr", "cov2", "var_unbiased", "var_or", "df_satterthwaite", "vc_reader", "vc_case", "vc_error")


def test_complete_cells_by_hand() -> None:
    # Readers' means 2, 4; cases' means 2, 4, 3; grand mean 3; residuals 0, 0, 0 and again: y = reader + case.
    found = two_way_mean(np.array([[1.0, 3.0, 2.0], [3.0, 5.0, 4.0]]), null=3)
    assert found.vc_error == pytest.approx(0, abs=1e-12)
    # Variance of readers' means 2, of cases' means 1: 2 / 2 + 1 / 3.
    assert (found.vc_reader, found.vc_case) == (pytest.approx(2), pytest.approx(1))
    assert (found.msr, found.cov2, found.var_or) == (pytest.approx(2), pytest.approx(1 / 3), pytest.approx(4 / 3))
    # Hillis: (4/3)^2 / (1^2 / 1); t is 0 at the null value.
    assert (found.test.df, found.test.t, found.test.p_two) == (pytest.approx(16 / 9), 0, 1)


def test_complete_cells_as_r_has_them() -> None:
    # g <- expand.grid(i = 0:5, j = 0:19)
    # g$y <- (3*g$i^2 + 7*g$j^2 + 5*g$i*g$j) %% 11 + 2*((5*g$i) %% 6) + (g$j*7) %% 20 / 4
    # m <- lmer(y ~ 1 + (1|i) + (1|j), g); fixef(m); sqrt(vcov(m)); VarCorr(m)
    found = two_way_mean(WHOLE)
    ours = [found.test.value, found.test.se, found.nonnegative.se, found.vc_case, found.vc_reader, found.vc_error]
    expected = [12.8166666667, 1.53050470381, 1.53050470381, 1.82758482115, 13.0693494528, 8.73886182351]
    np.testing.assert_allclose(np.array(ours, np.float64), expected, rtol=2e-5)
    # Obuchowski and Rockette's own way: mean squares of readers' means and their mean covariance over cases.
    covariances = np.cov(WHOLE) / 20
    cov2 = (covariances.sum() - np.trace(covariances)) / 30
    msr = WHOLE.mean(axis=1).var(ddof=1)
    assert (found.msr, found.cov2) == (pytest.approx(msr), pytest.approx(cov2))
    assert found.test.df == pytest.approx((msr + 6 * cov2) ** 2 / (msr**2 / 5))


def test_missing_cells_are_near_what_r_has() -> None:
    # The same with h <- g[(g$i*g$j + g$j) %% 7 != 3 & !(g$i == 5 & g$j > 7), ]. lmer weighs cells by components that it
    # estimates by likelihood, so that it is no exact reference; each is well inside the other's error.
    found = two_way_mean(TORN)
    assert found.test.value == pytest.approx(TORN[THERE].mean()) == pytest.approx(12.8202934372, abs=0.1 * 1.579)
    assert found.test.se == pytest.approx(1.57933894347, rel=0.07)
    assert found.vc_reader == pytest.approx(13.6882740117, rel=0.08)
    assert found.vc_case == pytest.approx(2.27773801003, rel=0.12)
    assert found.vc_error == pytest.approx(8.04969055398, rel=0.02)
    counts = (found.readers, found.cases, found.cells, found.cells_missing, found.complete_cases, found.test.used)
    assert counts == (6, 20, 93, 27, int(THERE.all(axis=0).sum()), 93)
    # t <- t.test(tapply(h$y, h$i, mean), mu = 9, conf.level = .9)
    alone = reader_mean(TORN, null=9, confidence=0.9)
    ours = [alone.t, alone.p_two, alone.low, alone.high]
    expected = [2.38029597971, 0.0631417998016, 9.5677495119, 15.8322271454]
    np.testing.assert_allclose(np.array(ours, np.float64), expected, rtol=1e-9)


def test_components_are_unbiased_for_any_pattern() -> None:
    # A square form without cross terms has, for independent effects of variance 1, the sum of its values at each one
    # alone as its mean. So each component must find its own effects once, and nothing of the others'.
    generator = np.random.default_rng(3)
    patterns = [THERE, np.ones((3, 4), bool), generator.random((5, 9)) < 0.5, generator.random((4, 12)) < 0.7]
    for there in patterns:
        readers, cases = (np.flatnonzero(there.any(axis=axis)) for axis in (1, 0))
        cells = there.sum()
        of_readers = [np.where(there, np.arange(len(there))[:, None] == reader, np.nan) for reader in readers]
        of_cases = [np.where(there, np.arange(there.shape[1]) == case, np.nan) for case in cases]
        of_cells = []
        for place in zip(*np.nonzero(there), strict=True):
            values = np.where(there, 0.0, np.nan)
            values[place] = 1
            of_cells.append(values)
        weights = (there.sum(axis=1) ** 2).sum() / cells**2, (there.sum(axis=0) ** 2).sum() / cells**2
        expected = {"vc_reader": (1, 0, 0), "vc_case": (0, 1, 0), "vc_error": (0, 0, 1)}
        expected["var_unbiased"] = (*weights, 1 / cells)
        for name, sums in expected.items():
            for effects, total in zip((of_readers, of_cases, of_cells), sums, strict=True):
                found = [getattr(two_way_mean(values), name) for values in effects]
                assert sum(found) == pytest.approx(total, abs=1e-9), name


def test_what_must_change_nothing() -> None:
    generator = np.random.default_rng(4)
    for values in (WHOLE, TORN):
        found = two_way_mean(values, null=9)
        moved = two_way_mean(values[generator.permutation(6)][:, generator.permutation(20)], null=9)
        # A reader and a case of whom nothing is known.
        padded = two_way_mean(np.pad(values, ((0, 1), (1, 0)), constant_values=np.nan), null=9)
        shifted = two_way_mean(values + 1e6, null=1e6 + 9)
        mirrored = two_way_mean(18 - values, null=9)
        for other in (moved, padded, shifted, mirrored):
            for name in FIGURES:
                assert getattr(other, name) == pytest.approx(getattr(found, name), rel=1e-6), name
            assert (other.cells, other.readers, other.nonnegative_rule) == (found.cells, 6, found.nonnegative_rule)
            assert other.test.p_two == pytest.approx(found.test.p_two, rel=1e-6)
        assert mirrored.test.p_greater == pytest.approx(found.test.p_less)
        assert found.test.low is not None and mirrored.test.high == pytest.approx(18 - found.test.low)
        tripled = two_way_mean(3 * values, null=27)
        assert found.var_or is not None and tripled.var_or == pytest.approx(9 * found.var_or)
        assert tripled.test.t == pytest.approx(found.test.t)


def test_the_nonnegative_rules() -> None:
    generator = np.random.default_rng(5)
    seen = set()
    for scale in ((0.0, 0.0), (2.0, 0.0), (0.0, 2.0), (2.0, 2.0)) * 4:
        values = scale[0] * generator.normal(size=(4, 1)) + scale[1] * generator.normal(size=(1, 9))
        values = values + generator.normal(size=(4, 9))
        found = two_way_mean(values)
        assert found.test.se is not None and found.nonnegative.se is not None
        assert found.nonnegative.se >= found.test.se - 1e-12
        alone = (None, reader_mean(values), case_mean(values))[found.nonnegative_rule or 0]
        if alone is not None:
            # One kind of effect alone: the one-sample t test of its means.
            assert (found.nonnegative.se, found.nonnegative.df) == (pytest.approx(alone.se), pytest.approx(alone.df))
            assert found.nonnegative.p_two == pytest.approx(alone.p_two)
        seen.add(found.nonnegative_rule)
    assert seen == {0, 1, 2}


def test_readers_count_by_their_cells() -> None:
    # One reader with 40 cells and three with 3: shares of the cells 40/49, 3/49, 3/49, 3/49, so about 1.5 readers.
    generator = np.random.default_rng(6)
    values = 5 * generator.normal(size=(4, 1)) + 0.1 * generator.normal(size=(4, 40))
    values[1:, 3:] = np.nan
    found = two_way_mean(values)
    few = 49**2 / (40**2 + 3 * 3**2) - 1
    assert found.test.df == pytest.approx(few, rel=0.05) and found.df_satterthwaite == pytest.approx(few, rel=0.05)
    assert reader_mean(values).df == 3


def test_equivalence_is_the_ninety_percent_interval() -> None:
    tested = mean_test(np.array([0.1, -0.2, 0.3, 0.2, np.nan]), null=0.05)
    assert (tested.used, tested.df, tested.value) == (4, 3, pytest.approx(0.1))
    held = mean_equivalence(tested, margin=0.2)
    assert held.low is not None and held.high is not None and held.smallest_margin is not None
    wide = mean_test(np.array([0.1, -0.2, 0.3, 0.2]), null=0.05, confidence=0.9)
    assert wide.low is not None and wide.high is not None
    assert (held.low, held.high) == (pytest.approx(wide.low - 0.05), pytest.approx(wide.high - 0.05))
    at = mean_equivalence(tested, margin=held.smallest_margin)
    assert at.p == pytest.approx(0.05) and held.smallest_margin == pytest.approx(max(-held.low, held.high))
    assert held.p == max(held.p_lower or 0, held.p_upper or 0)
    with pytest.raises(ValueError, match="margin must be above 0"):
        mean_equivalence(tested, margin=0)


def test_what_is_not_defined_says_why() -> None:
    nan = math.nan
    reasons = {
        "no values": [np.full((2, 3), nan), np.zeros((0, 4)), np.zeros((3, 0))],
        "one reader": [WHOLE[:1], np.array([[1.0, 2.0], [nan, nan]])],
        "one case": [WHOLE[:, :1]],
        "too few cases": [np.array([[1.0, 2.0, nan], [nan, nan, 4.0]]), np.array([[1.0, nan], [2.0, 3.0]])],
        "no spread": [np.ones((8, 50)), np.full((3, 4), 0.1), np.zeros((2, 2))],
        ALL_ALIKE: [np.array([[1.0, 0.0], [0.0, 1.0]])],
    }
    for reason, tables in reasons.items():
        for values in tables:
            found = two_way_mean(values, null=0.25)
            for test in (found.test, found.nonnegative):
                assert reason in test.reason and test.se is None and test.p_two is None and test.low is None
                assert mean_equivalence(test, margin=0.1).reason == test.reason
            assert (found.test.value is None) == (found.cells == 0)
            assert found.test.value is None or found.test.value == pytest.approx(values[~np.isnan(values)].mean())
    # All right picks: components are 0, and the mean is 1.
    assert (two_way_mean(np.ones((8, 50))).vc_error, two_way_mean(np.ones((8, 50))).test.value) == (0, 1)
    # Readers alike: nothing of the variance is estimated with few degrees of freedom.
    alike = two_way_mean(np.array([[1.0, 0.0, 1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0, 0.0, 1.0]]), null=0.25)
    assert alike.msr == 0 and alike.test.df == math.inf
    assert alike.test.p_greater is not None and 0 < alike.test.p_greater < 0.5
    assert mean_equivalence(alike.test, margin=0.3).p is not None
    for values, reason in ((np.array([nan]), "no values"), (np.array([2.0]), "one value"), (np.ones(3), "no spread")):
        assert reason in mean_test(values).reason and mean_test(values).p_two is None
    assert case_mean(WHOLE[:1]).used == 20 and reader_mean(WHOLE[:, :1]).used == 6
    for wrong in (np.zeros(3), np.array([[1.0, math.inf]])):
        with pytest.raises(ValueError, match="needs finite values"):
            two_way_mean(wrong)
