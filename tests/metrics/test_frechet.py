"""The Fréchet distance: by hand, against scipy's matrix root, and its properties."""

import numpy as np
import pytest
import scipy.linalg
from numpy.typing import NDArray

from cspine_bench.metrics import frechet
from cspine_bench.metrics.frechet import frechet_distance


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


def test_few_rows_and_many_give_the_same_by_either_way() -> None:
    for n, m in ((30, 50), (90, 70)):
        x, y = (rows - rows.mean(axis=0) for rows in (draw_features(n, 40, 3), draw_features(m, 40, 4)))
        assert frechet._trace_root_by_rows(x, y) == pytest.approx(frechet._trace_root_by_covariance(x, y), rel=1e-6)


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
    with pytest.raises(ValueError, match=r"must be \(n, d\) and \(m, d\)"):
        frechet_distance(real=good, synthetic=good[:, :2])
    with pytest.raises(ValueError, match="synthetic has 1 feature vectors, at least 2"):
        frechet_distance(real=good, synthetic=good[:1])
    with pytest.raises(ValueError, match="real features hold NaN or infinity"):
        frechet_distance(real=np.where(good > 0, np.nan, good), synthetic=good)
