"""d': R's integrals, closed forms, and there and back again."""

import math

import numpy as np
import pytest

from cspine_bench.metrics.sensitivity import dprime_from_share, share_from_dprime, yes_no_sensitivity


def test_shares_as_r_has_them() -> None:
    # f <- function(d, m) integrate(function(x) dnorm(x - d) * pnorm(x)^(m - 1), -Inf, Inf, rel.tol = 1e-12)$value
    cases = {
        (1.0, 2): 0.760249938906523,
        (1.0, 3): 0.63370204577808,
        (0.5, 4): 0.393317842815077,
        (2.0, 8): 0.710998282277809,
        (-1.0, 4): 0.0683248821716531,
    }
    for (dprime, alternatives), share in cases.items():
        assert share_from_dprime(dprime, num_alternatives=alternatives) == pytest.approx(share, abs=1e-12)
        assert dprime_from_share(share, num_alternatives=alternatives) == pytest.approx(dprime, abs=1e-9)


def test_there_and_back_again() -> None:
    for alternatives in (2, 3, 4, 6, 20):
        assert dprime_from_share(1 / alternatives, num_alternatives=alternatives) == pytest.approx(0, abs=1e-9)
        shares = [1e-6, 0.01, 0.2, 0.5, 0.9, 1 - 1e-6]
        found = [dprime_from_share(share, num_alternatives=alternatives) for share in shares]
        assert (np.diff(found) > 0).all()
        back = [share_from_dprime(dprime, num_alternatives=alternatives) for dprime in found]
        np.testing.assert_allclose(back, shares, atol=1e-11)
        # The ends of an interval may be the ends of the scale.
        assert dprime_from_share(0, num_alternatives=alternatives) == -math.inf
        assert dprime_from_share(1, num_alternatives=alternatives) == math.inf
        assert share_from_dprime(-math.inf, num_alternatives=alternatives) == 0
        assert share_from_dprime(math.inf, num_alternatives=alternatives) == 1
        assert share_from_dprime(60, num_alternatives=alternatives) == pytest.approx(1)
        assert share_from_dprime(-60, num_alternatives=alternatives) == pytest.approx(0)


def test_yes_or_no_by_hand() -> None:
    # 9 of 9 and 0 of 9: rates 19/20 and 1/20, 2 x 1.6449 apart, and no bias.
    found = yes_no_sensitivity(hits=9, num_real=9, false_alarms=0, num_synthetic=9)
    assert found.dprime == pytest.approx(2 * 1.6448536269514722) and found.criterion == pytest.approx(0, abs=1e-12)
    assert (found.hit_rate, found.false_alarm_rate) == (0.95, 0.05)
    # Who calls everything real cannot tell, and says so readily.
    every = yes_no_sensitivity(hits=9, num_real=9, false_alarms=9, num_synthetic=9)
    assert every.dprime == 0 and every.criterion == pytest.approx(-1.6448536269514722)
    # Without bias the rate of right answers is Phi(d' / 2): the square root of 2 times d' of two alternatives.
    fair = yes_no_sensitivity(hits=30, num_real=40, false_alarms=10, num_synthetic=40)
    assert fair.hit_rate is not None and fair.dprime is not None
    assert fair.dprime == pytest.approx(math.sqrt(2) * dprime_from_share(fair.hit_rate, num_alternatives=2))


def test_what_is_not_defined() -> None:
    assert yes_no_sensitivity(hits=0, num_real=0, false_alarms=1, num_synthetic=2).reason == (
        "no answers about real images"
    )
    none = yes_no_sensitivity(hits=1, num_real=2, false_alarms=0, num_synthetic=0)
    assert none.dprime is None and none.reason == "no answers about synthetic images"
    with pytest.raises(ValueError, match=r"counts must lie in 0..total"):
        yes_no_sensitivity(hits=3, num_real=2, false_alarms=0, num_synthetic=1)
    with pytest.raises(ValueError, match="at least 2 alternatives"):
        dprime_from_share(0.5, num_alternatives=1)
    with pytest.raises(ValueError, match="needs a share"):
        dprime_from_share(1.5, num_alternatives=4)
    with pytest.raises(ValueError, match="needs a d'"):
        share_from_dprime(math.nan, num_alternatives=4)
