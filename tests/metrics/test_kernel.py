"""The kernel distance: pair by pair, its jackknife by leaving each vector out, and its properties."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine_bench.metrics import kernel
from cspine_bench.metrics.kernel import kernel_distance, kernel_interval


@pytest.fixture
def pair() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    draw = np.random.default_rng(0)
    return draw.normal(size=(9, 4)), draw.normal(0.3, 1.2, (7, 4))


def compute_pair_by_pair(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    def k(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    within = [np.mean([k(a, b) for a, b in itertools.permutations(rows, 2)]) for rows in (x, y)]
    return float(sum(within) - 2 * np.mean([k(a, b) for a, b in itertools.product(x, y)]))


def test_by_hand() -> None:
    # Kernels of one feature: (0 * 0 + 1)^3 = 1 within real, (1 * 1 + 1)^3 = 8 within synthetic, 1 across.
    real, synthetic = np.zeros((2, 1)), np.ones((2, 1))
    assert kernel_distance(real=real, synthetic=synthetic) == pytest.approx(1 + 8 - 2 * 1)


def test_it_is_the_mean_over_all_pairs(
    pair: tuple[NDArray[np.float64], NDArray[np.float64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = compute_pair_by_pair(*pair)
    assert kernel_distance(real=pair[0], synthetic=pair[1]) == pytest.approx(expected)
    assert kernel_distance(real=pair[1], synthetic=pair[0]) == pytest.approx(expected)
    monkeypatch.setattr(kernel, "_BLOCK_ROWS", 4)
    assert kernel_distance(real=pair[0], synthetic=pair[1]) == pytest.approx(expected)


def test_its_interval_is_the_jackknife(pair: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
    x, y = pair
    without_x = [compute_pair_by_pair(np.delete(x, row, axis=0), y) for row in range(len(x))]
    without_y = [compute_pair_by_pair(x, np.delete(y, row, axis=0)) for row in range(len(y))]
    error = np.sqrt(sum((len(values) - 1) * np.var(values) for values in (without_x, without_y)))
    found = kernel_interval(real=x, synthetic=y)
    assert found.value == kernel_distance(real=x, synthetic=y)
    assert (found.high - found.value, found.value - found.low) == pytest.approx([1.959964 * error] * 2)


def test_it_is_unbiased_and_sees_a_difference() -> None:
    draw = np.random.default_rng(1)
    same = [kernel_distance(real=draw.normal(size=(20, 8)), synthetic=draw.normal(size=(30, 8))) for _ in range(300)]
    assert abs(np.mean(same)) < 4 * np.std(same) / np.sqrt(300)
    real = draw.normal(size=(200, 8))
    distances = [kernel_distance(real=real, synthetic=draw.normal(shift, 1, (200, 8))) for shift in (0.2, 0.5, 1)]
    assert distances == sorted(distances) and distances[0] > 0


def test_too_few_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match="real has 3 feature vectors, at least 4"):
        kernel_interval(real=np.eye(3), synthetic=np.ones((5, 3)))
