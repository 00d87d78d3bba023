"""Both sources of chance: exact where one of them is gone, apart where both are there, refused where unknown."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cspine_bench.metrics.paired import FigureDraws, SeedMean, resample_groups, summarise_seeds
from cspine_bench.metrics.weighted import weighted_auroc, weighted_mean

Floats = NDArray[np.float64]
NAMES = [f"patient-{number}" for number in range(40)]
WEIGHTS = resample_groups(NAMES, num_resamples=4000, generator=np.random.default_rng(1))


def draw_means(values: Floats, weights: Floats = WEIGHTS) -> FigureDraws:
    """From values (S, n)."""
    return FigureDraws(values.mean(axis=1), np.stack([weighted_mean(row)(weights) for row in values]))


def test_groups_stay_together() -> None:
    weights = resample_groups(["b", "a", "b", "c"], num_resamples=50, generator=np.random.default_rng(0))
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    np.testing.assert_array_equal(weights[:, [0, 1, 3]].sum(axis=1), 3)


def test_without_seed_effects_it_is_students_interval_of_the_radiographs() -> None:
    hardness = np.random.default_rng(2).normal(1, 2, (1, 40))
    found = summarise_seeds(draw_means(np.repeat(hardness, 5, axis=0)), num_groups=40)
    expected = stats.t.interval(0.95, 39, hardness.mean(), stats.sem(hardness[0]))
    assert found.seeds_variance == 0
    assert found.interval().low == pytest.approx(expected[0], abs=0.03)
    assert found.interval().high == pytest.approx(expected[1], abs=0.03)
    assert found.p_value() == pytest.approx(stats.ttest_1samp(hardness[0], 0).pvalue, rel=0.25)


def test_without_radiograph_effects_it_is_students_interval_of_the_seeds() -> None:
    draw = np.random.default_rng(3)
    seeds = draw.normal(1, 1, (4, 1))
    found = summarise_seeds(draw_means(seeds + 1e-3 * draw.normal(size=(1, 40))), num_groups=40)
    expected = stats.t.interval(0.95, 3, found.value, stats.sem(seeds[:, 0]))
    assert found.interval().low == pytest.approx(expected[0], rel=1e-3)
    assert found.p_value(0.5) == pytest.approx(
        stats.ttest_1samp(seeds[:, 0] + found.value - seeds.mean(), 0.5).pvalue, rel=1e-3
    )


def test_what_a_network_alone_finds_hard_is_counted_once() -> None:
    # No seed and no shared effect: the variance of the mean is that of all S x n values, whichever way it is found.
    values = np.random.default_rng(4).normal(size=(8, 40))
    found = summarise_seeds(draw_means(values), num_groups=40)
    whole = values.var(ddof=1) / values.size
    assert found.bootstrap_variance == pytest.approx(whole, rel=0.35)
    assert found.seeds_variance + found.images_variance < 1.6 * whole


def test_pairing_takes_out_what_both_arms_share() -> None:
    draw = np.random.default_rng(5)
    hardness = 3 * draw.normal(size=(1, 40))
    arm, real = (hardness + shift + 0.1 * draw.normal(size=(3, 40)) for shift in (-0.3, 0.0))
    difference = summarise_seeds(draw_means(arm).minus(draw_means(real)), num_groups=40)
    alone = summarise_seeds(draw_means(arm), num_groups=40)
    assert difference.half_width(tails=0.05) < alone.half_width(tails=0.05) / 5
    assert difference.interval().high < 0


def test_p_value_and_interval_agree_at_every_level() -> None:
    found = summarise_seeds(draw_means(np.random.default_rng(6).normal(0.4, 1, (3, 40))), num_groups=40)
    for confidence in (0.5, 0.9, 0.95, 0.99):
        assert found.p_value(found.interval(confidence=confidence).low) == pytest.approx(1 - confidence, rel=1e-6)
    inside = found.interval(confidence=0.9)
    edge = max(abs(inside.low), abs(inside.high))
    assert found.p_within(edge) == pytest.approx(0.05, rel=1e-6)
    assert found.p_within(0.9 * edge) > 0.05 > found.p_within(1.1 * edge)
    assert found.p_within(abs(found.value) / 2) > 0.5


def test_more_seeds_or_radiographs_never_widen_and_one_seed_knows_no_training() -> None:
    one = SeedMean(1.0, 1, 40, math.nan, 0.04, 0.04, (0.6, 1.4), 0.0)
    assert one.half_width(tails=0.05) == pytest.approx(stats.t.ppf(0.975, 39) * 0.2)
    widths = [replace(one, num_seeds=seeds, seeds_variance=0.01).half_width(tails=0.05) for seeds in (2, 3, 5, 10, 100)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > one.half_width(tails=0.05)


def test_a_share_stays_inside() -> None:
    found = SeedMean(0.97, 2, 40, 4e-4, 4e-4, 4e-4, (0.94, 1.0), 0.0)
    share = found.share_interval()
    assert 0 < share.low < 0.97 < share.high < 1
    assert share.high - 0.97 < 0.97 - share.low


@pytest.mark.parametrize(
    ("values", "groups", "reason"),
    [
        (np.random.default_rng(0).normal(size=(2, 40)), 9, "9 test groups, fewer than 10"),
        (np.full((2, 40), 0.1), 40, "the same in every resample"),
    ],
)
def test_no_interval_where_none_can_be_believed(values: Floats, groups: int, reason: str) -> None:
    found = summarise_seeds(draw_means(values), num_groups=groups)
    assert reason in found.why_no_interval
    for ask in (found.interval, found.images_interval, found.p_value):
        with pytest.raises(ValueError, match="no interval"):
            ask()


def test_no_interval_where_most_resamples_lack_a_class() -> None:
    positive = np.zeros(40, bool)
    positive[0] = True
    area = weighted_auroc(np.random.default_rng(0).normal(size=40), positive)
    draws = FigureDraws(area(np.ones((1, 40))), area(WEIGHTS)[None])
    assert "not defined in 3" in summarise_seeds(draws, num_groups=40).why_no_interval
    never = FigureDraws(np.array([0.5]), np.full((1, 10), np.nan))
    assert "not defined in 100%" in summarise_seeds(never, num_groups=40).why_no_interval


@pytest.mark.parametrize("seeds", [2, 5])
def test_it_covers_the_truth_as_often_as_it_says(seeds: int) -> None:
    draw, hits = np.random.default_rng(7), 0
    for _ in range(300):
        values = (
            math.sqrt(seeds / 40) * draw.normal(size=(seeds, 1))
            + draw.normal(size=(1, 40))
            + 0.7 * draw.normal(size=(seeds, 40))
        )
        interval = summarise_seeds(draw_means(values, WEIGHTS[:500]), num_groups=40).interval()
        hits += interval.low <= 0 <= interval.high
    # Three standard errors below 95 %.
    assert hits / 300 > 0.912
