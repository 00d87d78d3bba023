"""The Wasserstein distance of one quantity: by hand, against scipy, and properties."""

import numpy as np
import pytest
from scipy import stats

from cspine_bench.metrics import wasserstein
from cspine_bench.metrics.wasserstein import (
    permutation_p_values,
    wasserstein_distance,
    weighted_distances,
)


def test_by_hand() -> None:
    # 0, 1, 3 to 5, 6, 8: each moves by 5. And 0, 0 to 0, 4: one of two moves by 4.
    assert wasserstein_distance(real=np.array([0, 1, 3]), synthetic=np.array([8, 5, 6])) == 5
    assert wasserstein_distance(real=np.array([0.0]), synthetic=np.array([0.0, 4.0])) == 2


@pytest.mark.parametrize(("n", "m"), [(50, 50), (1, 30), (200, 17)])
def test_it_is_the_distance_of_scipy(n: int, m: int) -> None:
    draw = np.random.default_rng(n)
    real, synthetic = np.round(draw.normal(12.7, 6, n), 1), np.round(draw.normal(11, 8, m), 1)
    expected = stats.wasserstein_distance(real, synthetic)
    assert wasserstein_distance(real=real, synthetic=synthetic) == pytest.approx(expected)
    assert wasserstein_distance(real=synthetic, synthetic=real[::-1]) == pytest.approx(expected)
    assert wasserstein_distance(real=7 - 3 * real, synthetic=7 - 3 * synthetic) == pytest.approx(3 * expected)
    doubled = np.tile(real, 2)
    assert wasserstein_distance(real=doubled, synthetic=synthetic) == pytest.approx(expected)
    assert wasserstein_distance(real=doubled, synthetic=real) == 0


def test_what_was_not_measured_is_refused() -> None:
    good = np.arange(5.0)
    for bad in (good[:0], good[:, None], np.array([1.0, np.nan])):
        with pytest.raises(ValueError, match="synthetic must be one or more finite values"):
            wasserstein_distance(real=good, synthetic=bad)


def test_many_pairs_at_once_are_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(8)
    values = np.round(draw.normal(size=40), 1)
    sides = draw.integers(-1, 2, (9, 40))
    first, second = sides == 1, sides == -1
    weights = first / first.sum(axis=1, keepdims=True) - second / second.sum(axis=1, keepdims=True)
    expected = [wasserstein_distance(real=values[a], synthetic=values[b]) for a, b in zip(first, second, strict=True)]
    assert weighted_distances(values=values, weights=weights) == pytest.approx(expected)
    monkeypatch.setattr(wasserstein, "_WEIGHTS_AT_ONCE", 100)
    assert weighted_distances(values=values, weights=weights) == pytest.approx(expected)
    with pytest.raises(ValueError, match="needs finite values"):
        weighted_distances(values=values[:5], weights=weights)


def test_a_difference_is_found_where_it_is_and_nowhere_else() -> None:
    draw = np.random.default_rng(2)
    real, synthetic = draw.normal(size=(60, 4)), draw.normal(size=(40, 4)) * [1, 1, 3, 1] + [0, 2, 0, 0]
    real[:20, 3] = np.nan
    found = permutation_p_values(real=real, synthetic=synthetic, generator=draw, num_permutations=199)
    assert found[1:3].tolist() == [1 / 200, 1 / 200] and found[[0, 3]].min() > 0.05
    same = permutation_p_values(real=real, synthetic=real[::-1], generator=draw, num_permutations=19)
    assert same.tolist() == [1] * 4


def test_p_values_are_corrected_for_their_number() -> None:
    """Under equals, hardly more than a tenth of tests has any p-value of a tenth, however many there are."""
    draw = np.random.default_rng(4)
    smallest = [
        permutation_p_values(
            real=draw.normal(size=(12, 6)), synthetic=draw.normal(size=(15, 6)), generator=draw, num_permutations=39
        ).min()
        for _ in range(150)
    ]
    hits = int(np.sum(np.array(smallest) <= 0.1))
    assert stats.binom.ppf(1e-4, 150, 0.1) <= hits <= stats.binom.isf(1e-4, 150, 0.1)


def test_what_cannot_be_permuted_is_refused() -> None:
    draw, good = np.random.default_rng(0), np.ones((4, 2))
    with pytest.raises(ValueError, match=r"\(n, k\) and \(m, k\)"):
        permutation_p_values(real=good, synthetic=good[:, :1], generator=draw)
    with pytest.raises(ValueError, match="a value on both sides"):
        permutation_p_values(real=good, synthetic=good * [1, np.nan], generator=draw)
    # Known of two images alone: some permutations have both on one side, and count against the finding.
    scarce = np.array([[0.0], [np.nan], [np.nan]])
    assert permutation_p_values(real=scarce, synthetic=scarce + 1, generator=draw, num_permutations=50)[0] == 1
