"""Holm's adjustment: a published example, an outside reference, and what it must keep."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspine_bench.metrics.multiplicity import adjust_holm


def test_the_readers_paper_as_published() -> None:
    # Wilcoxon p values of arXiv 2510.22166 and what Holm makes of them there, to its three decimals.
    np.testing.assert_allclose(adjust_holm(np.array([0.128, 0.236, 1.0])), [0.383, 0.471, 1.0], atol=1.1e-3)


def test_worked_by_hand() -> None:
    # 0.01 x 4; 0.02 x 3; 0.03 x 2 is no smaller than that; 0.04 x 1 is raised to the one before.
    found = adjust_holm(np.array([0.04, 0.01, 0.03, 0.02]))
    np.testing.assert_allclose(found, [0.06, 0.04, 0.06, 0.06])


def test_what_was_not_tested_does_not_count() -> None:
    found = adjust_holm(np.array([0.02, np.nan, 0.5]))
    np.testing.assert_allclose(found, [0.04, np.nan, 0.5])
    assert adjust_holm(np.array([])).shape == (0,)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_it_keeps_the_order_and_lies_between_the_raw_p_and_bonferroni(p_values: list[float]) -> None:
    raw = np.array(p_values)
    found = adjust_holm(raw)
    assert (found >= raw).all() and (found <= np.minimum(1, raw * len(raw)) + 1e-15).all()
    order = np.argsort(raw, kind="stable")
    assert (np.diff(found[order]) >= 0).all()


@pytest.mark.parametrize("p_values", [np.array([0.5, 1.5]), np.array([-0.1]), np.array([[0.5]])])
def test_no_p_values(p_values: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"needs p values \(m,\) in 0..1"):
        adjust_holm(p_values)
