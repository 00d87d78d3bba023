"""What a search proves: by hand, against scipy, and as often right as it says."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cspine_bench.metrics.calibration import (
    bound_leak_rate,
    compute_conformal_p_values,
    compute_distance_ratios,
    discover,
    find_detectable_rate,
    measure_matched_share,
)
from cspine_bench.metrics.copying import compute_chance_nearer
from cspine_bench.metrics.intervals import clopper_pearson_interval


def test_clopper_pearson_is_the_interval_of_scipy() -> None:
    for successes, total in ((0, 7), (3, 10), (116, 400), (9, 9)):
        expected = stats.binomtest(successes, total).proportion_ci(0.95, method="exact")
        found = clopper_pearson_interval(successes=successes, total=total)
        assert (found.value, found.low, found.high) == pytest.approx((successes / total, expected.low, expected.high))
    # The published reader study: 116 of 400.
    study = clopper_pearson_interval(successes=116, total=400)
    assert (round(study.low, 4), round(study.high, 4)) == (0.2460, 0.3372)
    with pytest.raises(ValueError, match="successes must lie in"):
        clopper_pearson_interval(successes=3, total=2)


def test_ratios_by_hand() -> None:
    distances = np.array([[1.0, 2, 3], [5, 5, 5], [0, 1, 2], [0, 0, 0]])
    assert compute_distance_ratios(distances=distances).tolist() == [0.5, 1, 0, 1]
    assert compute_distance_ratios(distances=7 * distances).tolist() == [0.5, 1, 0, 1]
    for bad in (distances[:, ::-1], -distances, distances * np.nan):
        with pytest.raises(ValueError, match="must be finite, 0 or more, and rise"):
            compute_distance_ratios(distances=bad)
    with pytest.raises(ValueError, match="k of at least 2"):
        compute_distance_ratios(distances=distances[:, :1])


def test_p_values_by_hand() -> None:
    scores, holdout = np.array([0.0, 1, 2.5, 9]), np.array([3.0, 1, 2])
    low = compute_conformal_p_values(scores=scores, holdout_scores=holdout, suspicious="low")
    assert low.tolist() == [1 / 4, 2 / 4, 3 / 4, 1]
    high = compute_conformal_p_values(scores=-scores, holdout_scores=-holdout, suspicious="high")
    assert high.tolist() == low.tolist()
    with pytest.raises(ValueError, match="h of at least 1"):
        compute_conformal_p_values(scores=scores, holdout_scores=holdout[:0], suspicious="low")
    with pytest.raises(ValueError, match="scores hold NaN"):
        compute_conformal_p_values(scores=scores * np.nan, holdout_scores=holdout, suspicious="low")


def test_p_values_of_honest_images_are_exact() -> None:
    draw = np.random.default_rng(0)
    p_values = [
        compute_conformal_p_values(
            scores=draw.exponential(size=1), holdout_scores=draw.exponential(size=19), suspicious="low"
        )[0]
        for _ in range(2000)
    ]
    for level in (0.05, 0.25, 0.5):
        assert stats.binomtest(int(np.sum(np.array(p_values) <= level + 1e-9)), 2000, level).pvalue > 1e-4


def test_discoveries_are_those_of_scipy() -> None:
    draw = np.random.default_rng(1)
    p_values = np.concatenate([draw.uniform(size=200), draw.uniform(0, 1e-3, 20), [0.0, 1.0]])
    found = discover(p_values=p_values, rate=0.1)
    assert np.allclose(found.adjusted, stats.false_discovery_control(p_values))
    assert found.found[200:220].all() and found.found[:200].sum() <= 8
    order = draw.permutation(len(p_values))
    assert np.array_equal(discover(p_values=p_values[order], rate=0.1).found, found.found[order])
    for bad in (p_values[:0], p_values + 1):
        with pytest.raises(ValueError, match=r"needs p values \(n,\) in 0..1"):
            discover(p_values=bad, rate=0.1)


def rank(distances: NDArray[np.float64], count: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    index = np.argsort(distances, axis=1, kind="stable")[:, :count]
    return index, np.take_along_axis(distances, index, axis=1)


def test_the_matched_share_is_that_of_every_subset() -> None:
    draw = np.random.default_rng(2)
    train, holdout = draw.uniform(size=(8, 6)), draw.uniform(size=(8, 3))
    index, distances = rank(train, 6)
    found = measure_matched_share(
        train_index=index,
        train_distances=distances,
        holdout_distances=holdout.min(axis=1),
        num_train=6,
        num_holdout=3,
        generator=draw,
        num_subsets=4000,
    )
    subsets = [
        (train[:, list(rows)].min(axis=1) < holdout.min(axis=1)).mean() for rows in itertools.combinations(range(6), 3)
    ]
    assert found.share.value == pytest.approx(np.mean(subsets), abs=4 * np.std(subsets) / np.sqrt(4000))
    assert found.share.value == pytest.approx(compute_chance_nearer(-train, -holdout).mean(), abs=0.02)
    assert (found.undecided, found.lowest) == (0, pytest.approx(np.quantile(subsets, 0.025), abs=1e-9))


def test_an_honest_share_is_a_half_and_few_neighbours_say_so() -> None:
    draw = np.random.default_rng(3)
    train, holdout = draw.uniform(size=(400, 100)), draw.uniform(size=(400, 20)).min(axis=1)
    shares = {}
    for count in (60, 2):
        index, distances = rank(train, count)
        shares[count] = measure_matched_share(
            train_index=index,
            train_distances=distances,
            holdout_distances=holdout,
            num_train=100,
            num_holdout=20,
            generator=draw,
        )
    assert shares[60].undecided < 1e-3 < 0.1 < shares[2].undecided
    assert shares[60].share.low < 0.5 < shares[60].share.high and shares[60].p_value > 1e-4
    # Half of the images copied: then the copied film is in the subset one time in five.
    train[np.arange(200), np.arange(200) % 100] = 0
    index, distances = rank(train, 60)
    copied = measure_matched_share(
        train_index=index,
        train_distances=distances,
        holdout_distances=holdout,
        num_train=100,
        num_holdout=20,
        generator=draw,
    )
    assert copied.share.value > shares[60].share.value
    assert copied.p_value < shares[60].p_value


def test_its_p_value_is_the_binomial_one() -> None:
    index, distances = np.zeros((50, 1), int), np.repeat([[0.0], [2.0]], [31, 19], axis=0)
    found = measure_matched_share(
        train_index=index,
        train_distances=distances,
        holdout_distances=np.ones(50),
        num_train=1,
        num_holdout=1,
        generator=np.random.default_rng(0),
    )
    assert found.share.value == pytest.approx(31 / 50)
    assert found.p_value == pytest.approx(stats.binomtest(31, 50, alternative="greater").pvalue)
    with pytest.raises(ValueError, match="1 to 1 films held out"):
        measure_matched_share(
            train_index=index,
            train_distances=distances,
            holdout_distances=np.ones(50),
            num_train=1,
            num_holdout=2,
            generator=np.random.default_rng(0),
        )


def test_the_bound_of_a_leak() -> None:
    # None found of as many images as the published release has: the rule of three, 3 / n, over the recall.
    assert bound_leak_rate(found=0, total=20063, recall=1) == pytest.approx(3 / 20063, rel=0.002)
    assert bound_leak_rate(found=0, total=20063, recall=0.95) == pytest.approx(1.6e-4, rel=0.02)
    assert bound_leak_rate(found=0, total=100, recall=1) == pytest.approx(1 - 0.05**0.01)
    expected = stats.binomtest(4, 90, alternative="less").proportion_ci(0.95, method="exact").high
    assert bound_leak_rate(found=4, total=90, recall=1) == pytest.approx(expected)
    assert bound_leak_rate(found=2, total=9, recall=0.1) == bound_leak_rate(found=9, total=9, recall=1) == 1
    with pytest.raises(ValueError, match="a recall above 0"):
        bound_leak_rate(found=0, total=10, recall=0)


def test_the_detectable_rate_is_noticed_as_often_as_it_says() -> None:
    # Without false alarms a single copy is enough: 1 - (1 - r recall)^n = 0.8.
    exact = find_detectable_rate(total=500, recall=0.9, false_positive_rate=0)
    assert exact == pytest.approx((1 - 0.2 ** (1 / 500)) / 0.9)
    rate = find_detectable_rate(total=2000, recall=0.8, false_positive_rate=0.01)
    least = next(k for k in range(2000) if stats.binom.sf(k - 1, 2000, 0.01) <= 0.05)
    assert stats.binom.sf(least - 1, 2000, rate * 0.8 + (1 - rate) * 0.01) == pytest.approx(0.8)
    rates = [find_detectable_rate(total=n, recall=0.8, false_positive_rate=0.01) for n in (200, 2000, 20000)]
    assert rates == sorted(rates, reverse=True)
    assert find_detectable_rate(total=100, recall=0.01, false_positive_rate=0.01) == math.inf
    assert find_detectable_rate(total=3, recall=0.2, false_positive_rate=0) == math.inf
    with pytest.raises(ValueError, match="level below power"):
        find_detectable_rate(total=10, recall=0.5, false_positive_rate=0, level=0.9)
