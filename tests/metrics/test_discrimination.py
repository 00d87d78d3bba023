"""AUC and hits at few false alarms: by hand, pair by pair, with coverage, and its properties."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from cspine_bench.metrics.discrimination import auc_cluster_interval, auc_interval, find_operating_point
from cspine_bench.metrics.intervals import clopper_pearson_interval

Floats = NDArray[np.float64]


def draw_scores(m: int, n: int, seed: int = 0) -> dict[str, Floats]:
    """Many ties."""
    draw = np.random.default_rng(seed)
    return {"positives": np.round(draw.normal(0.8, 1, m), 1), "negatives": np.round(draw.normal(0, 1, n), 1)}


def test_by_hand() -> None:
    # Of 6 pairs 4 are in order and 1 is level.
    positives, negatives = np.array([3.0, 1, 4]), np.array([1.0, 2])
    found = auc_interval(positives=positives, negatives=negatives)
    assert found.value == pytest.approx(4.5 / 6)
    # Placements 1, 1/4, 1 of variance 3/16, and 5/6, 2/3 of variance 1/72.
    half = 1.959964 * math.sqrt(3 / 16 / 3 + 1 / 72 / 2)
    assert (found.low, found.high) == pytest.approx((0.75 - half, 1.0))


def test_it_is_the_share_of_pairs_and_mann_whitneys_u() -> None:
    scores = draw_scores(70, 50)
    pairs = np.sign(scores["positives"][:, None] - scores["negatives"]) / 2 + 0.5
    found = auc_interval(**scores)
    assert found.value == pytest.approx(pairs.mean())
    assert found.value == pytest.approx(stats.mannwhitneyu(*scores.values()).statistic / 3500)
    # DeLong's variance, from his equation: each kind's own mean over the pairs.
    variance = pairs.mean(axis=1).var(ddof=1) / 70 + pairs.mean(axis=0).var(ddof=1) / 50
    assert found.high - found.low == pytest.approx(2 * 1.959964 * math.sqrt(variance))


def test_scikit_learn_gives_the_same() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is an outside reference")
    scores = draw_scores(90, 40, 1)
    labels = np.repeat([1, 0], [90, 40])
    expected = metrics.roc_auc_score(labels, np.concatenate(list(scores.values())))
    assert auc_interval(**scores).value == pytest.approx(expected)


def test_swap_order_duplication_and_scale() -> None:
    scores = draw_scores(40, 30)
    one = auc_interval(**scores)
    swapped = auc_interval(positives=scores["negatives"], negatives=scores["positives"])
    assert (swapped.value, swapped.low) == pytest.approx((1 - one.value, 1 - one.high))
    for changed in (
        {kind: values[::-1] for kind, values in scores.items()},
        {kind: np.exp(3 * values) for kind, values in scores.items()},
    ):
        found = auc_interval(**changed)
        assert (found.value, found.low, found.high) == pytest.approx((one.value, one.low, one.high))
    doubled = auc_interval(**{kind: np.tile(values, 2) for kind, values in scores.items()})
    assert doubled.value == pytest.approx(one.value)


def test_perfect_separation_is_not_certainty() -> None:
    found = auc_interval(positives=np.arange(5.0) + 10, negatives=np.arange(8.0))
    exact = clopper_pearson_interval(successes=5, total=5)
    assert (found.value, found.low, found.high) == (1, pytest.approx(exact.low), 1)


def test_its_interval_covers() -> None:
    draw, truth = np.random.default_rng(2), float(stats.norm.cdf(1 / math.sqrt(2)))
    covered = 0
    for _ in range(300):
        found = auc_interval(positives=draw.normal(1, 1, 60), negatives=draw.normal(0, 1, 80))
        covered += found.low <= truth <= found.high
    assert covered >= stats.binom.ppf(1e-4, 300, 0.92)


def draw_patients(draw: np.random.Generator, shift: float) -> tuple[Floats, NDArray[np.int64]]:
    """15 patients of 8 films each, which are nearly alike."""
    groups = np.repeat(np.arange(15), 8)
    return shift + draw.normal(size=15)[groups] + draw.normal(0, 0.2, 120), groups


def test_groups_are_what_is_drawn() -> None:
    draw, truth, covered = np.random.default_rng(3), 0.5, np.zeros(2, int)
    for _ in range(60):
        (positives, own), (negatives, others) = draw_patients(draw, 0), draw_patients(draw, 0)
        by_group = auc_cluster_interval(
            positives=positives,
            negatives=negatives,
            positive_groups=own,
            negative_groups=others + 100,
            generator=draw,
            num_resamples=200,
        )
        by_film = auc_interval(positives=positives, negatives=negatives)
        assert by_group.value == pytest.approx(by_film.value)
        covered += [found.low <= truth <= found.high for found in (by_group, by_film)]
    assert covered[0] >= stats.binom.ppf(1e-4, 60, 0.9)
    assert covered[1] < 45, "films counted as patients are too sure"


def test_groups_of_one_are_the_plain_bootstrap() -> None:
    scores = draw_scores(80, 60)
    groups = {"positive_groups": np.arange(80), "negative_groups": np.arange(80, 140)}
    found = auc_cluster_interval(**scores, **groups, generator=np.random.default_rng(4))
    expected = auc_interval(**scores)
    assert found.value == pytest.approx(expected.value)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.02)


def test_hits_at_few_false_alarms_by_hand() -> None:
    negatives = np.arange(100.0)
    positives = np.array([98.5, 99.5, 50, 97.5])
    for rate, hits, reached in ((0.0, 1, 0.0), (0.001, 1, 0.0), (0.01, 2, 0.01), (0.02, 3, 0.02), (1.0, 4, 1.0)):
        found = find_operating_point(positives=positives, negatives=negatives, false_positive_rate=rate)
        assert found.true_positive_rate == clopper_pearson_interval(successes=hits, total=4)
        assert found.false_positive_rate == pytest.approx(reached)
    # Ties at the threshold: none of them passes, rather than all.
    tied = find_operating_point(positives=np.ones(5), negatives=np.ones(10), false_positive_rate=0.1)
    assert (tied.true_positive_rate.value, tied.false_positive_rate) == (0, 0)


def test_what_has_no_curve_is_refused() -> None:
    good = np.arange(4.0)
    for bad in (good[:1], good[:, None], good * np.nan):
        with pytest.raises(ValueError, match="positives must be at least 2 scores"):
            auc_interval(positives=bad, negatives=good)
    with pytest.raises(ValueError, match=r"must lie in 0..1, got 2"):
        find_operating_point(positives=good, negatives=good, false_positive_rate=2)
    for groups, message in ((np.zeros(4), "at least 2 groups"), (np.zeros(3), "a group for each score")):
        with pytest.raises(ValueError, match=message):
            auc_cluster_interval(
                positives=good,
                negatives=good,
                positive_groups=groups,
                negative_groups=np.arange(4),
                generator=np.random.default_rng(0),
            )
