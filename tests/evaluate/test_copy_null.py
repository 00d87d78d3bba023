"""P values of a search for copies: exact by rank, careful beyond it."""

import numpy as np
import pytest
from scipy import stats

from cspine_bench.evaluate.memorization.null import (
    LEAST_GOODNESS_P,
    adjust_as_one_more,
    build_null,
    compute_joint_p_values,
)
from cspine_bench.evaluate.memorization.tails import LEAST_SCORES, fit_tail
from cspine_bench.metrics.calibration import discover


def test_joint_p_values_are_exact_whatever_the_channels_are() -> None:
    """Channels that hang together, of unlike spread and tail: the share of p values up to a level is that level."""
    draw = np.random.default_rng(0)
    values = []
    for _ in range(300):
        shared = draw.normal(size=(59, 1))
        evidence = np.hstack([shared + draw.normal(size=(59, 1)), 40 * draw.standard_t(3, (59, 2)), shared**3])
        values.append(compute_joint_p_values(evidence=evidence[:20], holdout_evidence=evidence[20:]))
    p_values = np.concatenate(values)
    assert p_values.min() == 1 / 40
    for level in (1 / 40, 0.05, 0.1, 0.5):
        # The twenty images of a draw share their films held out.
        assert (p_values <= level + 1e-9).mean() == pytest.approx(level, abs=0.01 + 0.1 * level)


def test_joint_p_values_pay_for_no_channel_twice() -> None:
    draw = np.random.default_rng(1)
    honest = draw.normal(size=(99, 12))
    copy = np.zeros((1, 12))
    copy[0, 7] = 9.0
    assert compute_joint_p_values(evidence=copy, holdout_evidence=honest)[0] == 1 / 100
    # By hand, one channel: two of three films as high or higher.
    by_hand = compute_joint_p_values(evidence=np.array([[1.0]]), holdout_evidence=np.array([[0.0], [1.0], [2.0]]))
    assert by_hand[0] == 3 / 4


@pytest.mark.parametrize(
    "honest",
    [stats.gumbel_r(), stats.expon(), stats.norm(), stats.t(8)],
    ids=["gumbel", "exponential", "normal", "t with 8 degrees"],
)
def test_a_tail_is_careful(honest: stats.rv_continuous) -> None:
    """Averaged over fits, an event of chance 1 in 10,000 is not called rarer than half that."""
    draw = np.random.default_rng(2)
    rare = honest.isf(1e-4)
    told = []
    for _ in range(15):
        tail = fit_tail(honest.rvs(300, random_state=draw))
        assert tail is not None
        told.append(tail.compute_p_values(np.array([rare]))[0])
    assert np.mean(told) > 0.5e-4
    # Nor is it useless: ten times as far beyond the threshold is still rare.
    assert tail.compute_p_values(np.array([tail.threshold + 40 * tail.mean_excess]))[0] < 1e-5


def test_a_tail_says_what_it_is() -> None:
    scores = np.random.default_rng(3).gumbel(size=400)
    tail = fit_tail(scores)
    assert tail is not None and tail.num_exceedances == 40 and tail.share == 0.1
    assert 0 <= tail.shape < 0.3 and tail.goodness_p > LEAST_GOODNESS_P
    ordered = np.sort(scores)
    p_values = tail.compute_p_values(np.concatenate([ordered, ordered[-1] + np.array([1, 5, 50])]))
    assert (np.diff(p_values) <= 0).all() and p_values.max() <= 1 and p_values.min() > 0
    assert p_values[200] == (1 + 200) / 401
    # Heavier than any tail that is allowed.
    heavy = fit_tail(np.random.default_rng(3).pareto(0.3, size=2000))
    assert heavy is not None and heavy.goodness_p < LEAST_GOODNESS_P
    assert fit_tail(scores[: LEAST_SCORES - 1]) is None
    assert fit_tail(np.ones(500)) is None
    with pytest.raises(ValueError, match="finite"):
        fit_tail(np.array([1.0, np.nan]))


def test_one_more_is_adjusted_as_if_it_were_among_the_others() -> None:
    draw = np.random.default_rng(4)
    others = draw.uniform(size=50) ** 2
    p_values = np.concatenate([draw.uniform(size=20) ** 3, others[:2], [0.0, 1.0]])
    expected = [discover(p_values=np.append(others, one), rate=0.05).adjusted[-1] for one in p_values]
    assert adjust_as_one_more(p_values=p_values, others=others) == pytest.approx(expected)


def draw_ratios(generator: np.random.Generator, count: int, closeness: float = 1.0) -> np.ndarray:
    return np.exp(-closeness * generator.gumbel(0.3, 0.05, (count, 3)))


def test_a_copy_is_beyond_both_nulls_and_a_smooth_generator_is_not() -> None:
    draw = np.random.default_rng(5)
    honest = draw_ratios(draw, 300)
    null = build_null(
        holdout_ratio=honest,
        crossed_ratio=draw_ratios(draw, 400),
        groups=((0, 1), (2,)),
        num_train=1000,
        num_holdout=300,
    )
    copy = draw_ratios(draw, 1)
    copy[0, 1] = 0.02
    judged = null.judge(copy)
    assert judged.p_value[0] == 1 / 301 and judged.tail_p_value[0] < 1e-5 and judged.channel[0] == 1
    assert null.judge(draw_ratios(draw, 500)).tail_p_value.min() > 1e-5
    # Images that come near to every film, trained on or not, are no copies, though no film comes so near.
    smooth = draw_ratios(draw, 400, closeness=2)
    null = build_null(
        holdout_ratio=honest, crossed_ratio=smooth, groups=((0, 1), (2,)), num_train=1000, num_holdout=300
    )
    judged = null.judge(draw_ratios(draw, 400, closeness=2))
    assert np.median(judged.p_value) < 0.01 and judged.tail_p_value.min() > 1e-4
    few = build_null(
        holdout_ratio=honest[:50], crossed_ratio=smooth, groups=((0, 1), (2,)), num_train=1000, num_holdout=50
    )
    assert not few.extrapolates and (few.judge(copy).tail_p_value == few.judge(copy).p_value).all()
