"""The kernel distance: pair by pair, its jackknife by leaving each vector out, and its properties."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine_bench.metrics import kernel
from cspine_bench.metrics.kernel import (
    cmmd_distance,
    cmmd_interval,
    jackknife_kernels,
    kernel_distance,
    kernel_interval,
)


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


def compute_cmmd_as_published(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """As the code of 2401.09603 writes it: full matrices, each vector with itself too."""
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, y))

    def mean(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        squared = np.expand_dims((a**2).sum(axis=1), 1) + np.expand_dims((b**2).sum(axis=1), 0) - 2 * a @ b.T
        return float(np.mean(np.exp(-squared / (2 * 10**2))))

    return 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))


@pytest.mark.parametrize("rows", [1024, 4])
def test_cmmd_is_the_published_one(
    rows: int, pair: tuple[NDArray[np.float64], NDArray[np.float64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "_BLOCK_ROWS", rows)
    x, y = pair
    assert cmmd_distance(real=x, synthetic=y, unbiased=False) == pytest.approx(compute_cmmd_as_published(x, y))
    # Lengths do not matter, so neither does scale.
    assert cmmd_distance(real=7 * x, synthetic=0.1 * y) == pytest.approx(cmmd_distance(real=x, synthetic=y))
    assert cmmd_distance(real=y[::-1], synthetic=x) == pytest.approx(cmmd_distance(real=x, synthetic=y))


def test_cmmd_by_hand() -> None:
    # Directions at right angles, squared distance 2: 1000 (1 + 1 - 2 exp(-1 / 100)), with or without the diagonal.
    real, synthetic = np.array([[1.0, 0], [3, 0]]), np.array([[0.0, 2], [0, 5]])
    for unbiased in (True, False):
        found = cmmd_distance(real=real, synthetic=synthetic, unbiased=unbiased)
        assert found == pytest.approx(2000 * (1 - np.exp(-0.01)))
        assert cmmd_distance(real=real, synthetic=real, unbiased=unbiased) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("unbiased", [True, False])
def test_the_interval_of_cmmd_is_the_jackknife(
    unbiased: bool, pair: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> None:
    def measure(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return cmmd_distance(real=a, synthetic=b, unbiased=unbiased, sigma=1)

    x, y = pair
    without_x = [measure(np.delete(x, row, axis=0), y) for row in range(len(x))]
    without_y = [measure(x, np.delete(y, row, axis=0)) for row in range(len(y))]
    error = np.sqrt(sum((len(values) - 1) * np.var(values) for values in (without_x, without_y)))
    found = cmmd_interval(real=x, synthetic=y, unbiased=unbiased, sigma=1)
    assert found.value == measure(x, y)
    assert (found.high - found.value, found.value - found.low) == pytest.approx([1.959964 * error] * 2)


def test_cmmd_is_unbiased_and_sees_a_difference() -> None:
    draw = np.random.default_rng(2)
    same = [cmmd_distance(real=draw.normal(1, 1, (20, 8)), synthetic=draw.normal(1, 1, (30, 8))) for _ in range(300)]
    assert abs(np.mean(same)) < 4 * np.std(same) / np.sqrt(300)
    real = draw.normal(size=(200, 8))
    distances = [cmmd_distance(real=real, synthetic=draw.normal(shift, 1, (200, 8))) for shift in (0.2, 0.5, 1)]
    assert distances == sorted(distances) and distances[0] > 0


def test_cmmd_refuses_what_has_no_direction() -> None:
    with pytest.raises(ValueError, match="zeros has no direction"):
        cmmd_distance(real=np.eye(3), synthetic=np.zeros((4, 3)))
    with pytest.raises(ValueError, match="sigma must be above 0"):
        cmmd_distance(real=np.eye(3), synthetic=np.eye(3), sigma=0)


@pytest.mark.parametrize("rows", [1024, 4])
def test_leaving_out_a_group_is_measuring_without_it(
    rows: int, pair: tuple[NDArray[np.float64], NDArray[np.float64]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "_BLOCK_ROWS", rows)
    x, y = pair
    labels = np.array([0, 1, 2, 0, 1, 2, 0, 0, 1]), np.array([2, 1, 0, 0, 1, 2, 2])
    found = jackknife_kernels(real=x, synthetic=y, labels=labels)
    for one, measure in zip(found, (kernel_distance, cmmd_distance), strict=True):
        assert one.value == pytest.approx(measure(real=x, synthetic=y))
        without = [measure(real=x[labels[0] != group], synthetic=y[labels[1] != group]) for group in range(3)]
        assert one.left_out == pytest.approx(without)
    for labels_or_none, with_cmmd in ((labels, False), (None, True)):
        other = jackknife_kernels(real=x, synthetic=y, labels=labels_or_none, with_cmmd=with_cmmd)
        assert [one.value for one in other] == pytest.approx([one.value for one in found[: 1 + with_cmmd]])
        assert len(other[0].left_out) == (3 if labels_or_none else 0)
    zeros = np.zeros_like(x)
    assert jackknife_kernels(real=zeros, synthetic=y, labels=labels, with_cmmd=False)[0].value == pytest.approx(
        kernel_distance(real=zeros, synthetic=y)
    )
    with pytest.raises(ValueError, match="groups leave 1 rows, at least 2"):
        jackknife_kernels(real=x[:2], synthetic=y[:2], labels=(np.arange(2), np.arange(2)))
