"""Signed ranks: R's values by convention, every sign one by one, and float ties."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from cspine_bench.metrics.signed_rank import MOST_EXACT, exact_tails, signed_rank_test

MIXED = np.array([1, 0, -1, 2, 0, 1, 1, -2, 3, 0, 1, -1, 2, 1, 0, -1, 1, 2, -3, 1, 0, 1, 2, -1], np.float64)


def test_each_convention_as_r_has_it() -> None:
    # d <- c(1, 0, -1, ...); exactRankTests::wilcox.exact(d), also alternative = "greater"
    # wilcox.test(d, exact = FALSE, correct = FALSE), and correct = TRUE
    found = signed_rank_test(MIXED)
    assert (found.w_plus, found.zeros, found.used, found.pairs) == (130.5, 5, 19, 24)
    ours = [found.p_exact, found.p_exact_greater, found.p, found.p_corrected, found.z]
    expected = [0.148319244384766, 0.0741596221923828, 0.140166730867362, 0.145837275521412, 1.47517042370599]
    np.testing.assert_allclose(np.array(ours, np.float64), expected, rtol=1e-12)
    # coin::wilcoxsign_test(d ~ rep(0, 24), zero.method = "Pratt"), distribution = "exact" and "asymptotic"
    found = signed_rank_test(MIXED, zeros="pratt")
    ours = [found.p_exact, found.p, found.z]
    expected = [0.143711090087891, 0.121726114179322, 1.54756894060304]
    np.testing.assert_allclose(np.array(ours, np.float64), expected, rtol=1e-12)
    # wilcox.test(c(1, -1, 2, 2, -1, 3), exact = FALSE)$p.value; wilcox.exact
    found = signed_rank_test(np.array([1.0, -1, 2, 2, -1, 3]))
    assert (found.p_corrected, found.p_exact) == (pytest.approx(0.202102044189373), pytest.approx(0.21875))
    # 400 pairs: i <- 1:400; pvalue(wilcoxsign_test(i * (37 %% 11) - 4.8 ~ rep(0, 400), distribution = "exact"))
    found = signed_rank_test(np.arange(1, 401) * 4.0 - 4.8)
    assert found.p_exact == pytest.approx(1.54903676593974e-120, rel=1e-10)


def test_every_sign_by_enumeration() -> None:
    generator = np.random.default_rng(6)
    for zeros in ("wilcox", "pratt") * 4:
        differences = generator.integers(-3, 4, generator.integers(1, 9)).astype(np.float64)
        found = signed_rank_test(differences, zeros=zeros)
        order: Any = np.abs(differences) if zeros == "pratt" else np.abs(differences[differences != 0])
        ranks = [(order < value).sum() + ((order == value).sum() + 1) / 2 for value in order if value]
        signs = np.array(list(itertools.product([0, 1], repeat=len(ranks))))
        sums = signs @ np.array(ranks)
        far = np.abs(sums - sums.mean()) >= abs(found.w_plus - sums.mean()) - 1e-9
        assert found.p_exact == pytest.approx(far.mean())
        assert found.p_exact_greater == pytest.approx((sums >= found.w_plus).mean())
        assert found.w_plus + found.w_minus == pytest.approx(sum(ranks))
        if found.used:
            assert found.z == pytest.approx((found.w_plus - sums.mean()) / sums.std())


def test_the_smallest_p_values_by_hand() -> None:
    # n differences of one sign: 2 of 2^n ways, whether they tie or not.
    for count in (1, 5, 60):
        for differences in (np.arange(1.0, count + 1), np.ones(count)):
            assert signed_rank_test(differences).p_exact == pytest.approx(2.0 ** (1 - count))
    assert exact_tails(np.array([1.5, 1.5, 3.0]), 3.0) == (1.0, 0.625)


def test_float_ties_share_a_rank() -> None:
    # Equal on paper, not in binary.
    raw = np.array([3.30 - 3.20, 3.02 - 3.12, 3.5 - 3.3, 3.9 - 3.6])
    assert len(set(np.abs(raw[:2]))) == 2
    assert signed_rank_test(raw).w_minus == 1.5
    assert signed_rank_test(np.array([0.1 + 0.2 - 0.3, 1.0])).zeros == 1
    # Coarser on request.
    assert signed_rank_test(np.array([0.14, -0.11]), decimals=1).w_minus == 1.5


def test_what_must_change_nothing() -> None:
    generator = np.random.default_rng(7)
    for zeros in ("wilcox", "pratt"):
        found = signed_rank_test(MIXED, zeros=zeros)
        other = signed_rank_test(generator.permutation(np.append(MIXED, [math.nan, math.nan])) * 0.02, zeros=zeros)
        assert (other.p_exact, other.p, other.missing, other.pairs) == (found.p_exact, found.p, 2, 24)
        mirrored = signed_rank_test(-MIXED, zeros=zeros)
        assert mirrored.p_exact == pytest.approx(found.p_exact) and mirrored.w_plus == found.w_minus
        assert found.z is not None and mirrored.z == pytest.approx(-found.z)
    # Without zeros the two rules are one.
    one, two = (signed_rank_test(MIXED[MIXED != 0], zeros=zeros) for zeros in ("wilcox", "pratt"))
    assert (one.p, one.p_exact, one.p_corrected) == (two.p, two.p_exact, two.p_corrected)


def test_what_is_special_says_so() -> None:
    for differences in (np.zeros(8), np.array([0.0, math.nan])):
        found = signed_rank_test(differences, zeros="pratt")
        assert (found.p, found.p_exact, found.p_corrected, found.z) == (1, 1, 1, None)
        assert found.reason == "all differences are zero" and found.zeros == found.pairs
    none = signed_rank_test(np.array([math.nan]))
    assert none.p_exact is None and none.reason == "no pairs" and none.missing == 1
    # As much above as below: at the mean.
    even = signed_rank_test(np.array([1.0, -1.0, 2.0, -2.0]))
    assert (even.z, even.p, even.z_corrected, even.p_corrected, even.p_exact) == (0, 1, 0, 1, 1)
    many = signed_rank_test(np.linspace(-1, 2, MOST_EXACT + 1))
    assert many.p_exact is None and "exact up to" in many.reason and many.p is not None
    with pytest.raises(ValueError, match="needs finite differences"):
        signed_rank_test(np.array([1.0, math.inf]))
    with pytest.raises(ValueError, match='zeros must be "wilcox" or "pratt"'):
        signed_rank_test(np.ones(3), zeros="split")  # type: ignore[arg-type]
