"""Statistics by weights equal the plain ones of the data with every radiograph repeated that often."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from cspine_bench.metrics.weighted import (
    LIMIT_SDS,
    Statistic,
    mean_of_statistics,
    weighted_auroc,
    weighted_limit_of_agreement,
    weighted_mean,
    weighted_quantile,
    weighted_ratio,
    weighted_sd,
    weighted_share,
)

Floats = NDArray[np.float64]

PAIRS: dict[str, tuple[Callable[[Floats], Statistic], Callable[[Floats], float], int]] = {
    "mean": (weighted_mean, lambda values: float(np.mean(values)), 1),
    "median": (weighted_quantile, lambda values: float(np.median(values)), 1),
    "quantile": (lambda v: weighted_quantile(v, 0.95), lambda values: float(np.quantile(values, 0.95)), 1),
    "least": (lambda v: weighted_quantile(v, 0.0), lambda values: float(np.min(values)), 1),
    "most": (lambda v: weighted_quantile(v, 1.0), lambda values: float(np.max(values)), 1),
    "sd": (weighted_sd, lambda values: float(np.std(values, ddof=1)), 2),
    "upper limit": (
        lambda v: weighted_limit_of_agreement(v, sds=LIMIT_SDS),
        lambda values: float(np.mean(values) + 1.96 * np.std(values, ddof=1)),
        2,
    ),
}
NUMBERS = st.one_of(st.just(float("nan")), st.sampled_from([-2.0, 0.0, 1.5]), st.floats(-1e3, 1e3))


@pytest.mark.parametrize("name", PAIRS)
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(NUMBERS, st.integers(0, 4)), min_size=1, max_size=12))
def test_it_is_the_plain_statistic_of_repeated_data(name: str, rows: list[tuple[float, int]]) -> None:
    build, plain, least = PAIRS[name]
    values, weights = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    drawn = np.repeat(values, weights)
    drawn = drawn[~np.isnan(drawn)]
    found = float(build(values)(weights[None].astype(float))[0])
    if len(drawn) < least:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(plain(drawn), rel=1e-7, abs=1e-4 if least == 2 else 1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3)), min_size=2, max_size=15))
def test_auroc_with_ties_is_that_of_scikit_learn(rows: list[tuple[int, bool, int]]) -> None:
    scores, positive, weights = (np.array(column) for column in zip(*rows, strict=True))
    found = float(weighted_auroc(scores, positive)(weights[None].astype(float))[0])
    drawn = np.repeat(positive, weights)
    if len(set(drawn.tolist())) < 2:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(roc_auc_score(drawn, np.repeat(scores, weights)))


def test_auroc_leaves_out_what_is_not_asked() -> None:
    scores = np.array([0.1, 0.9, np.nan, 0.2, 0.8])
    positive = np.array([False, True, True, True, False])
    among = np.array([True, True, True, True, False])
    assert weighted_auroc(scores, positive, among)(np.ones((1, 5)))[0] == 1
    assert weighted_auroc(scores, positive)(np.ones((1, 5)))[0] == 0.75


def test_a_ratio_counts_each_landmark_alike() -> None:
    # Image 0: 2 of 4 found; image 1: 1 of 1; image 2 has no landmark; image 3 was not measured.
    ratio = weighted_ratio(np.array([2.0, 1.0, 0.0, np.nan]), np.array([4.0, 1.0, 0.0, 9.0]))
    weights = np.array([[1, 1, 1, 1], [0, 2, 5, 1], [0, 0, 3, 3]], float)
    np.testing.assert_allclose(ratio(weights), [0.6, 1.0, np.nan])


def test_a_share_is_of_those_asked() -> None:
    share = weighted_share(np.array([True, False, True]), np.array([True, True, False]))
    np.testing.assert_allclose(share(np.array([[1, 1, 1], [3, 1, 9], [0, 0, 1]], float)), [0.5, 0.75, np.nan])


def test_a_large_mean_does_not_drown_the_spread() -> None:
    values = 1e9 + np.array([1.0, 2.0, 3.0])
    assert weighted_sd(values)(np.ones((1, 3)))[0] == pytest.approx(1)


def test_a_mean_of_statistics_is_not_defined_where_one_is_not() -> None:
    both = mean_of_statistics([weighted_mean(np.array([1.0, np.nan])), weighted_mean(np.array([3.0, 5.0]))])
    np.testing.assert_allclose(both(np.array([[1.0, 1.0], [0.0, 1.0]])), [2.5, np.nan])


def test_nothing_measured_is_not_defined() -> None:
    nothing = np.full(3, np.nan)
    for build, _, _ in PAIRS.values():
        assert np.isnan(build(nothing)(np.ones((2, 3)))).all()
    assert np.isnan(weighted_auroc(nothing, np.array([True, False, True]))(np.ones((2, 3)))).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weighted_mean(np.zeros(3))(np.ones((2, 4))), r"weights must be \(B, 3\)"),
        (lambda: weighted_mean(np.zeros(3))(np.ones(3)), r"weights must be \(B, 3\)"),
        (lambda: weighted_quantile(np.zeros(3), 1.5), "share must lie in 0..1, got 1.5"),
        (lambda: weighted_auroc(np.zeros(3), np.zeros(2)), "one value of each kind"),
        (lambda: mean_of_statistics([]), "at least one"),
    ],
)
def test_misuse_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_two_thousand_draws_of_five_hundred_are_quick() -> None:
    draw = np.random.default_rng(0)
    values, positive = draw.normal(size=500), draw.random(500) < 0.3
    weights = draw.multinomial(500, np.full(500, 1 / 500), size=2000).astype(float)
    statistics = [build(values) for build, _, _ in PAIRS.values()] + [weighted_auroc(values, positive)]
    begun = time.process_time()
    for statistic in statistics:
        assert statistic(weights).shape == (2000,)
    assert time.process_time() - begun < 2
