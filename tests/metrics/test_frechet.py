"""The Fréchet distance: by hand, against scipy's matrix root, and its properties."""

import numpy as np
import pytest
import scipy.linalg
from numpy.typing import NDArray
from scipy import stats

from cspine_bench.metrics import frechet
from cspine_bench.metrics.frechet import (
    extrapolate,
    frechet_distance,
    jackknife_frechet,
    jackknife_trend,
)
from cspine_bench.metrics.intervals import Jackknife


def draw_features(count: int, dimension: int, seed: int) -> NDArray[np.float64]:
    draw = np.random.default_rng(seed)
    return draw.normal(size=(count, dimension)) @ draw.normal(size=(dimension, dimension)) + draw.normal(size=dimension)


def compute_with_matrix_root(real: NDArray[np.float64], synthetic: NDArray[np.float64]) -> float:
    """As clean-fid writes it."""
    a, b = np.cov(real, rowvar=False), np.cov(synthetic, rowvar=False)
    shift = real.mean(axis=0) - synthetic.mean(axis=0)
    return float(shift @ shift + np.trace(a) + np.trace(b) - 2 * np.trace(scipy.linalg.sqrtm(a @ b)).real)


def test_one_feature_by_hand() -> None:
    # Means 1 and 4, variances 1 and 4 (of three numbers each): (4 - 1)^2 + (2 - 1)^2.
    real, synthetic = np.array([[0.0], [1], [2]]), np.array([[2.0], [4], [6]])
    assert frechet_distance(real=real, synthetic=synthetic) == pytest.approx(10)


@pytest.mark.parametrize(("n", "m", "dimension"), [(200, 150, 12), (40, 400, 60), (400, 40, 60), (30, 20, 64)])
def test_it_is_the_formula_with_the_matrix_root(n: int, m: int, dimension: int) -> None:
    real, synthetic = draw_features(n, dimension, 1), draw_features(m, dimension, 2)
    expected = compute_with_matrix_root(real, synthetic)
    assert frechet_distance(real=real, synthetic=synthetic) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("n", "m"), [(30, 50), (90, 70), (90, 30)])
def test_few_rows_and_many_give_the_same_by_either_way(n: int, m: int) -> None:
    x, y = draw_features(n, 40, 3), draw_features(m, 40, 4)
    distances = [
        frechet._measure(frechet._describe(x, by_rows=first), frechet._describe(y, by_rows=second))
        for first in (False, True)
        for second in (False, True)
    ]
    assert distances == pytest.approx([frechet_distance(real=x, synthetic=y)] * 4, rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(150, 90), (150, 24), (24, 30), (26, 200)])
def test_leaving_out_a_group_is_measuring_without_it(n: int, m: int) -> None:
    """Off the sums of all rows, or of the rows that are left: also where only what is left is fewer than features."""
    draw = np.random.default_rng(n)
    real, synthetic = draw_features(n, 25, 1) + 30, draw_features(m, 25, 2) + 30
    labels = draw.permutation(n) % 5, draw.integers(0, 4, m)  # of the last group there is none
    parts = draw.permutation(n), draw.permutation(m)

    def measure(kept: list[NDArray[np.bool_]], number: int) -> float:
        return float(
            np.mean(
                [
                    frechet_distance(
                        real=real[kept[0] & (parts[0] % number == part)],
                        synthetic=synthetic[kept[1] & (parts[1] % number == part)],
                    )
                    for part in range(number)
                ]
            )
        )

    trend = jackknife_trend(real=real, synthetic=synthetic, labels=labels, parts=parts, most_parts=3)
    for number, found in enumerate(trend, start=1):
        without = [measure([label != group for label in labels], number) for group in range(5)]
        assert found.value == pytest.approx(measure([label >= 0 for label in labels], number), rel=1e-6)
        assert found.left_out == pytest.approx(without, rel=1e-6)
    one, two, three = (found.value for found in trend)
    assert extrapolate(trend, degree=2).value == pytest.approx(3 * one - 3 * two + three)
    assert jackknife_frechet(real=real, synthetic=synthetic, labels=labels).left_out == pytest.approx(trend[0].left_out)
    assert jackknife_frechet(real=real, synthetic=synthetic, labels=None).left_out.shape == (0,)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    real, synthetic = draw_features(50, 8, 20).astype(np.float32), draw_features(40, 8, 21)
    whole = frechet_distance(real=real, synthetic=synthetic)
    monkeypatch.setattr(frechet, "_BLOCK_ROWS", 7)
    assert frechet_distance(real=real, synthetic=synthetic) == pytest.approx(whole, rel=1e-9)


def test_a_feature_that_never_changes_adds_nothing() -> None:
    real, synthetic = draw_features(90, 12, 5), draw_features(80, 12, 6)
    dead = [np.hstack([rows, np.zeros((len(rows), 2))]) for rows in (real, synthetic)]
    expected = frechet_distance(real=real, synthetic=synthetic)
    assert frechet_distance(real=dead[0], synthetic=dead[1]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("count", [30, 200])
def test_identity_symmetry_rotation_and_scale(count: int) -> None:
    real, synthetic = draw_features(count, 40, 7), draw_features(count + 10, 40, 8)
    size = float(np.trace(np.cov(real, rowvar=False)))
    assert 0 <= frechet_distance(real=real, synthetic=real[::-1]) < 1e-6 * size
    distance = frechet_distance(real=real, synthetic=synthetic)
    assert frechet_distance(real=synthetic, synthetic=real) == pytest.approx(distance)
    rotation = np.linalg.qr(np.random.default_rng(9).normal(size=(40, 40)))[0]
    assert frechet_distance(real=real @ rotation, synthetic=synthetic @ rotation) == pytest.approx(distance)
    assert frechet_distance(real=3 * real + 5, synthetic=3 * synthetic + 5) == pytest.approx(9 * distance)


def test_it_rises_with_the_damage() -> None:
    real = draw_features(300, 20, 10)
    noise = np.random.default_rng(11).normal(size=real.shape)
    distances = [frechet_distance(real=real, synthetic=real + strength * noise) for strength in (0, 1, 2, 4)]
    assert distances == sorted(distances)


def test_single_precision_features_lose_nothing() -> None:
    real, synthetic = draw_features(50, 30, 12).astype(np.float32), draw_features(50, 30, 13).astype(np.float32)
    double = frechet_distance(real=real.astype(np.float64), synthetic=synthetic.astype(np.float64))
    assert frechet_distance(real=real, synthetic=synthetic) == double


def test_what_has_no_distance_is_refused() -> None:
    good = draw_features(5, 3, 0)
    labels = np.array([0, 0, 0, 0, 1]), np.array([0, 1, 0, 1, 0])
    with pytest.raises(ValueError, match="5 rows leave 1 without their largest group"):
        jackknife_frechet(real=good, synthetic=good, labels=labels)
    with pytest.raises(ValueError, match=r"must be \(n, d\) and \(m, d\)"):
        frechet_distance(real=good, synthetic=good[:, :2])
    with pytest.raises(ValueError, match="synthetic has 1 feature vectors, at least 2"):
        frechet_distance(real=good, synthetic=good[:1])
    with pytest.raises(ValueError, match="real features hold NaN or infinity"):
        frechet_distance(real=np.where(good > 0, np.nan, good), synthetic=good)


def measure_trend(
    real: NDArray[np.float64], synthetic: NDArray[np.float64], draw: np.random.Generator, num_groups: int
) -> list[Jackknife]:
    labels, parts = (
        (draw.permutation(len(real)) % number, draw.permutation(len(synthetic)) % number)
        for number in (num_groups, 10**9)
    )
    return jackknife_trend(real=real, synthetic=synthetic, labels=labels, parts=parts, most_parts=3)


def test_the_limit_is_the_distance_of_the_distributions() -> None:
    """Gaussians whose distance is known, means 0 and 0.1, spreads 1 and 1.2. As they are, samples give more."""
    draw, dimension = np.random.default_rng(14), 24
    truth = dimension * (0.1**2 + 0.2**2)
    limits = []
    for _ in range(12):
        real, synthetic = draw.normal(size=(200, dimension)), draw.normal(0.1, 1.2, (120, dimension))
        trend = measure_trend(real, synthetic, draw, 6)
        values = [distance.value for distance in trend]
        assert values[0] == pytest.approx(frechet_distance(real=real, synthetic=synthetic))
        assert values == sorted(values) and values[0] > 1.5 * truth
        limits.append(extrapolate(trend).estimate())
    found = np.array([limit.value for limit in limits])
    assert abs(found.mean() - truth) < 4 * found.std() / np.sqrt(12)
    assert sum(limit.low <= truth <= limit.high for limit in limits) >= stats.binom.ppf(1e-4, 12, 0.9)


def test_the_limit_is_the_line_of_its_distances_and_scales() -> None:
    real, synthetic = draw_features(60, 5, 15), draw_features(50, 5, 16)
    one, other = (measure_trend(k * real, k * synthetic, np.random.default_rng(0), 4) for k in (1, 3))
    first, second = extrapolate(one).estimate(), extrapolate(other).estimate()
    assert first.value == pytest.approx(np.polyfit([1, 2, 3], [distance.value for distance in one], 1)[1])
    assert second.value == pytest.approx(9 * first.value)
    assert second.high - second.low == pytest.approx(9 * (first.high - first.low))
