"""Shares against chance: R's values, hand-worked cases, and what must hold for any counts."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from cspine_bench.metrics.chance import bayes_factors, binomial_equivalence, binomial_test, count_test


def test_as_r_has_it() -> None:
    # binom.test(7, 20, 1/3); prop.test(7, 20, correct = FALSE)$conf.int; qbeta(c(.025, .975), 7.5, 13.5)
    found = binomial_test(correct=7, total=20, chance=1 / 3)
    assert found.clopper_pearson is not None and found.wilson is not None and found.jeffreys is not None
    ours = [found.p_two, found.p_greater, found.clopper_pearson.low, found.clopper_pearson.high]
    np.testing.assert_allclose(ours, [1, 0.520657311785421, 0.153909204784541, 0.592188534532828], rtol=1e-12)
    ours = [found.wilson.low, found.wilson.high, found.jeffreys.low, found.jeffreys.high]
    expected = [0.181191824101082, 0.567145723314764, 0.172276213631912, 0.567766093841496]
    np.testing.assert_allclose(ours, expected, rtol=1e-12)
    # binom.test(2, 23, .5)$p.value; binom.test(0, 12, .25)$p.value; binom.test(12, 12, .25)$conf.int
    assert binomial_test(correct=2, total=23, chance=0.5).p_two == pytest.approx(6.60419464111328e-05, rel=1e-12)
    none, every = (binomial_test(correct=k, total=12, chance=0.25) for k in (0, 12))
    assert none.p_two == pytest.approx(0.0459291338920593, rel=1e-12) and none.p_greater == 1
    assert none.jeffreys is not None and none.jeffreys.low == 0
    assert every.clopper_pearson is not None and every.jeffreys is not None and every.jeffreys.high == 1
    assert (every.clopper_pearson.low, every.clopper_pearson.high) == (pytest.approx(0.735351530602949, rel=1e-12), 1)


def test_counts_as_r_has_them() -> None:
    # chisq.test(c(12, 5, 9, 4)); chisq.test(c(12, 5, 9), p = c(.5, .25, .25))
    found, unequal = count_test([12, 5, 9, 4]), count_test([12, 5, 9], shares=[0.5, 0.25, 0.25])
    np.testing.assert_allclose([found.statistic, found.p], [5.46666666666667, 0.140645969018472], rtol=1e-12)
    np.testing.assert_allclose([unequal.statistic, unequal.p], [1.38461538461538, 0.50041992036057], rtol=1e-12)
    assert (found.df, found.least_expected, unequal.least_expected) == (3, 7.5, 6.5)


def test_bayes_factors_as_r_and_by_hand() -> None:
    # f <- function(k, n, p, r) { h <- dbinom(k, n, p, log = TRUE); integrate(function(t)
    #   exp(dbinom(k, n, plogis(t), log = TRUE) - h) * dlogis(t, qlogis(p), r), -Inf, Inf, rel.tol = 1e-11)$value }
    # f(14, 40, .25, .5); f(0, 12, .25, .5); f(9, 10, .5, 1)
    cases = {(14, 40, 0.25, 0.5): 0.867789569325596, (0, 12, 0.25, 0.5): 2.98053345369107, (9, 10, 0.5, 1.0): 9.3090909}
    for (correct, total, chance, scale), expected in cases.items():
        found = bayes_factors(correct=correct, total=total, chance=chance, scale=scale)
        assert found.log_logistic == pytest.approx(math.log(expected), abs=1e-8)
    # One right answer of one, a uniform share: mean likelihood 1/2 against 1/4; between 1/4 and 1/2 it is 3/8.
    found = bayes_factors(correct=1, total=1, chance=0.25)
    assert found.log_beta11 == pytest.approx(math.log(2)) and found.log_above == pytest.approx(math.log(1.5))
    # Many answers: a needle of a likelihood, which a plain quadrature would miss.
    huge = bayes_factors(correct=300_000, total=1_000_000, chance=0.25)
    density = stats.logistic.pdf(math.log(3 / 7), math.log(1 / 3), 0.5)
    laplace = stats.binom.logpmf(300_000, 1_000_000, 0.3) - stats.binom.logpmf(300_000, 1_000_000, 0.25)
    laplace += math.log(density * math.sqrt(2 * math.pi / (1_000_000 * 0.3 * 0.7)))
    assert huge.log_logistic == pytest.approx(laplace, rel=1e-7)
    above, _ = integrate.quad(lambda share: share**14 * (1 - share) ** 26, 0.25, 0.5, epsabs=0)
    found = bayes_factors(correct=14, total=40, chance=0.25)
    assert found.log_above == pytest.approx(math.log(above / 0.25) - 14 * math.log(0.25) - 26 * math.log(0.75))
    far = bayes_factors(correct=100_000, total=100_000, chance=0.25)
    assert far.log_above is None and far.reason and far.log_logistic is not None


def test_equivalence_by_hand() -> None:
    # Two of four, chance 1/4, margin 1/4: of a share of 0 never two or more; of 1/2 at most two in 11 of 16.
    held = binomial_equivalence(correct=2, total=4, chance=0.25, margin=0.25)
    assert (held.p_lower, held.p_upper, held.p) == (0, pytest.approx(11 / 16), pytest.approx(11 / 16))
    # Ends outside 0..1 ask nothing.
    wide = binomial_equivalence(correct=2, total=4, chance=0.25, margin=0.8)
    assert (wide.p_lower, wide.p_upper, wide.p) == (0, 0, 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.data(), st.sampled_from([0.2, 0.25, 0.5]))
def test_what_any_counts_keep(total: int, data: st.DataObject, chance: float) -> None:
    correct = data.draw(st.integers(0, total))
    found = binomial_test(correct=correct, total=total, chance=chance)
    other = binomial_test(correct=total - correct, total=total, chance=1 - chance)
    assert found.p_greater is not None and found.p_two is not None and found.wilson and other.wilson
    # Right and wrong change places.
    assert found.p_greater == pytest.approx(other.p_less) and found.p_two == pytest.approx(other.p_two)
    assert found.wilson.low == pytest.approx(1 - other.wilson.high)
    # The smallest margin is where the test turns: just inside it is not supported, just outside it is.
    held = binomial_equivalence(correct=correct, total=total, chance=chance, margin=0.1)
    assert held.smallest_margin is not None and held.p is not None
    outside = binomial_equivalence(correct=correct, total=total, chance=chance, margin=held.smallest_margin + 1e-6)
    inside = binomial_equivalence(correct=correct, total=total, chance=chance, margin=held.smallest_margin - 1e-6)
    assert outside.p is not None and inside.p is not None
    assert outside.p <= 0.05 + 1e-9 and inside.p > 0.05 - 1e-9


def test_no_answers_have_a_reason_and_nonsense_is_refused() -> None:
    none = binomial_test(correct=0, total=0, chance=0.25)
    assert none.share is None and none.clopper_pearson is None and none.reason == "no answers"
    assert binomial_equivalence(correct=0, total=0, chance=0.25, margin=0.1).reason == "no answers"
    assert bayes_factors(correct=0, total=0, chance=0.25).reason == "no answers"
    assert count_test([0, 0, 0]).reason == "no answers"
    for counts in ({"correct": 3, "total": 2}, {"correct": -1, "total": 2}):
        with pytest.raises(ValueError, match="needs 0 <= correct <= total"):
            binomial_test(**counts, chance=0.25)
    with pytest.raises(ValueError, match="got 1 of 2 and chance 1"):
        bayes_factors(correct=1, total=2, chance=1)
    with pytest.raises(ValueError, match="margin must be above 0"):
        binomial_equivalence(correct=1, total=2, chance=0.5, margin=0)
    with pytest.raises(ValueError, match="scale must be above 0"):
        bayes_factors(correct=1, total=2, chance=0.5, scale=0)
    with pytest.raises(ValueError, match="2 or more counts"):
        count_test([3])
    with pytest.raises(ValueError, match="sum 1"):
        count_test([3, 4], shares=[0.5, 0.6])
