"""Intervals: values from the literature, and coverage where the truth is known."""

import numpy as np
import pytest
from scipy import stats

from cspine_bench.metrics.frechet import frechet_distance, frechet_interval
from cspine_bench.metrics.intervals import Jackknife, deal_groups, jackknife_intervals, normal_interval, wilson_interval
from cspine_bench.metrics.kernel import kernel_distance, kernel_interval

LEAST_COVERED, NUM_TRIALS = 0.90, 100
# Of 100 intervals that cover with a chance of at least 0.90, fewer than this many cover once in 10,000 tests.
LEAST_COVERING = int(stats.binom.ppf(1e-4, NUM_TRIALS, LEAST_COVERED))


def test_wilson_is_the_interval_of_scipy() -> None:
    for successes, total in ((0, 7), (3, 10), (116, 400), (9, 9)):
        expected = stats.binomtest(successes, total).proportion_ci(0.95, method="wilson")
        found = wilson_interval(successes=successes, total=total)
        assert (found.value, found.low, found.high) == pytest.approx((successes / total, expected.low, expected.high))


def test_wilson_refuses_what_is_no_share() -> None:
    for successes, total in ((0, 0), (-1, 3), (4, 3)):
        with pytest.raises(ValueError, match="successes must lie in"):
            wilson_interval(successes=successes, total=total)


def test_the_jackknife_of_a_mean_is_students_interval() -> None:
    sample = np.random.default_rng(0).normal(3, 2, 40)
    [found] = jackknife_intervals(
        lambda rows: [float(sample[rows[0]].mean())], counts=(40,), generator=np.random.default_rng(1), num_groups=40
    )
    expected = stats.t.interval(0.95, 39, sample.mean(), stats.sem(sample))
    assert (found.low, found.high) == pytest.approx(expected)
    assert normal_interval(value=1.0, standard_error=0.5).high == pytest.approx(1 + 1.959964 * 0.5)
    with pytest.raises(ValueError, match=r"at least 4 rows in each sample and 2 groups, got \[3\] and 20"):
        jackknife_intervals(lambda rows: [0.0], counts=(3,), generator=np.random.default_rng(1))


@pytest.mark.parametrize(("dimension", "counts", "shift"), [(6, (40, 60), 0.6), (48, (40, 30), 0)])
def test_intervals_of_both_distances_cover(dimension: int, counts: tuple[int, int], shift: float) -> None:
    """The truth: the distances' own averages at these counts, over many draws."""
    draw = np.random.default_rng(dimension)
    mix = draw.normal(size=(dimension, dimension)) / np.sqrt(dimension)

    def draw_pair() -> dict[str, np.ndarray]:
        real, synthetic = (draw.normal(size=(count, dimension)) @ mix for count in counts)
        return {"real": real, "synthetic": synthetic + shift}

    truths = [(frechet_distance(**pair), kernel_distance(**pair)) for pair in (draw_pair() for _ in range(400))]
    frechet, kernel = np.mean(truths, axis=0)
    covering = np.zeros(2, int)
    for _ in range(NUM_TRIALS):
        pair = draw_pair()
        first, second = frechet_interval(**pair, generator=draw, num_groups=12), kernel_interval(**pair)
        covering += [first.low <= frechet <= first.high, second.low <= kernel <= second.high]
    assert (covering >= LEAST_COVERING).all(), covering


def test_dealing_keeps_together_what_belongs_together() -> None:
    members = ["a"] * 7 + ["b"] * 3 + [f"c{number}" for number in range(14)]
    found = deal_groups(members, num_groups=4, generator=np.random.default_rng(0))
    assert len(set(found[:7])) == len(set(found[7:10])) == 1
    assert sorted(np.bincount(found)) == [5, 6, 6, 7]
    other = deal_groups(members, num_groups=4, generator=np.random.default_rng(1))
    assert not np.array_equal(found, other)
    with pytest.raises(ValueError, match="2 that belong together cannot be dealt into 3"):
        deal_groups(["a", "a", "b"], num_groups=3, generator=np.random.default_rng(0))


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(2).normal(size=12)
    one = Jackknife(float(values.mean()), np.array([np.delete(values, row).mean() for row in range(12)]))
    assert one.variance == pytest.approx(values.var(ddof=1) / 12)
    found = one.estimate(confidence=0.9, most=one.value)
    assert (found.low, found.high) == pytest.approx(
        (stats.t.interval(0.9, 11, one.value, np.sqrt(one.variance))[0], one.value)
    )
    assert one.minus(one).variance == 0
    with pytest.raises(ValueError, match="needs 2 groups left out in turn, got 0"):
        _ = Jackknife(1.0, np.zeros(0)).variance
