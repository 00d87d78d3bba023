"""Precision, recall, density, coverage, authenticity: by hand, by full matrices, against `prdc`, and properties."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from cspine_bench.metrics import manifold
from cspine_bench.metrics.manifold import Manifold, jackknife_manifold, measure_manifold

Floats = NDArray[np.floating]
FIGURES = ("precision", "recall", "density", "coverage", "authenticity")


def draw_pair(n: int = 90, m: int = 60, dimension: int = 6) -> tuple[Floats, Floats]:
    draw = np.random.default_rng(n)
    return draw.normal(size=(n, dimension)), draw.normal(0.3, 0.8, (m, dimension))


def figures_of(found: Manifold) -> list[float]:
    return [getattr(found, name) for name in FIGURES]


def compute_by_full_matrices(real: Floats, synthetic: Floats, k: int) -> list[float]:
    own_real, own_synthetic = (np.sort(cdist(rows, rows), axis=1) for rows in (real, synthetic))
    across = cdist(real, synthetic)
    in_real, in_synthetic = across < own_real[:, [k]], across < own_synthetic[:, k]
    nearest = across.argmin(axis=0)
    authentic = across.min(axis=0) > own_real[nearest, 1]
    return [
        in_real.any(axis=0).mean(),
        in_synthetic.any(axis=1).mean(),
        in_real.sum(axis=0).mean() / k,
        in_real.any(axis=1).mean(),
        authentic.mean(),
    ]


def test_by_hand() -> None:
    # On a line, k = 1. Real radii 1, 1, 3; synthetic radii 0.6, 0.6, 15.4.
    real, synthetic = np.array([[0.0], [1], [4]]), np.array([[0.4], [1.0], [16.4]])
    found = measure_manifold(real=real, synthetic=synthetic, num_neighbours=(1,))[0]
    # 0.4 is in the balls of 0 and 1; 1.0 in that of 1 alone, for it lies on the edges of those of 0 and 4.
    assert found.balls.tolist() == [2, 1, 0]
    assert found.covered.tolist() == [True, True, False]
    assert found.recalled.tolist() == [True, True, True]
    assert found.nearest_real.tolist() == [0, 1, 2]
    assert found.nearest_distance.tolist() == pytest.approx([0.4, 0, 12.4])
    assert found.authentic.tolist() == [False, False, True]
    assert figures_of(found) == pytest.approx([2 / 3, 1, 1, 2 / 3, 1 / 3])


@pytest.mark.parametrize("cells", [2**23, 400])
def test_blocks_give_what_full_matrices_give(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifold, "_BLOCK_CELLS", cells)
    monkeypatch.setattr(manifold, "_PAIRS_AT_ONCE", 64)
    real, synthetic = draw_pair()
    for k, found in zip(
        (5, 1, 3), measure_manifold(real=real, synthetic=synthetic, num_neighbours=(5, 1, 3)), strict=True
    ):
        assert found.num_neighbours == k
        assert figures_of(found) == pytest.approx(compute_by_full_matrices(real, synthetic, k), abs=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_rounding_does_not_decide(offset: float) -> None:
    """Many equal distances, and sets that single precision cannot tell apart from their centre."""
    draw = np.random.default_rng(2)
    grid = np.stack(np.meshgrid(*[np.arange(5.0)] * 3), axis=-1).reshape(-1, 3)
    real, synthetic = grid * 1e-3 + offset, grid[draw.permutation(125)[:80]] * 1e-3 + offset
    far = np.full((1, 3), 50.0)
    for k in (1, 4):
        found = measure_manifold(real=np.vstack([real, far]), synthetic=synthetic, num_neighbours=(k,))[0]
        # cdist and the blocks take differences before squares, so equal distances are equal in both.
        assert figures_of(found) == compute_by_full_matrices(np.vstack([real, far]), synthetic, k)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_prdc_gives_the_same(kind: type[np.floating]) -> None:
    prdc = pytest.importorskip("prdc", reason="prdc is an outside reference: pip install --no-deps prdc scikit-learn")
    real, synthetic = (rows.astype(kind) for rows in draw_pair(600, 300, 40))
    for k in (3, 10):
        expected = prdc.compute_prdc(real, synthetic, k)
        found = measure_manifold(real=real, synthetic=synthetic, num_neighbours=(k,))[0]
        assert {name: getattr(found, name) for name in expected} == pytest.approx(expected, abs=1e-12)


def test_identity_swap_order_and_scale() -> None:
    real, synthetic = draw_pair()
    same = measure_manifold(real=real, synthetic=real[::-1])[0]
    assert (same.precision, same.recall, same.coverage, same.authenticity) == (1, 1, 1, 0)
    assert same.nearest_distance.max() == 0
    one, other = (measure_manifold(real=x, synthetic=y)[0] for x, y in ((real, synthetic), (synthetic, real)))
    assert (one.precision, one.recall) == (other.recall, other.precision)
    assert figures_of(measure_manifold(real=real[::-1], synthetic=synthetic[::-1])[0]) == pytest.approx(figures_of(one))
    for factor in (1e-12, 1e12):
        assert figures_of(measure_manifold(real=factor * real, synthetic=factor * synthetic)[0]) == figures_of(one)


def test_vectors_that_are_all_alike_have_no_balls() -> None:
    found = measure_manifold(real=np.ones((30, 4)), synthetic=np.ones((20, 4)))[0]
    assert figures_of(found) == [0, 0, 0, 0, 0]


def test_precision_falls_with_noise_and_recall_with_collapse() -> None:
    real, _ = draw_pair(300)
    draw = np.random.default_rng(3)
    noisy = [measure_manifold(real=real, synthetic=draw.normal(0, s, (300, 6)))[0].precision for s in (1, 1.5, 3)]
    assert noisy == sorted(noisy, reverse=True) and noisy[0] > noisy[2] + 0.3
    narrow = [measure_manifold(real=real, synthetic=draw.normal(0, s, (300, 6)))[0].recall for s in (1, 0.5, 0.2)]
    assert narrow == sorted(narrow, reverse=True) and narrow[0] > narrow[2] + 0.3


def test_a_copy_is_not_authentic() -> None:
    real, _ = draw_pair()
    copies = real[:10] + 1e-6
    fresh = np.random.default_rng(4).normal(9, 1, (30, 6))
    found = measure_manifold(real=real, synthetic=np.vstack([copies, fresh]))[0]
    assert found.authentic.tolist() == [False] * 10 + [True] * 30
    assert found.nearest_real[:10].tolist() == list(range(10))


@pytest.mark.parametrize("cells", [2**21, 40])
@pytest.mark.parametrize("together", [1, 9])
def test_leaving_out_a_group_is_measuring_without_it(
    together: int, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nine at a time, as of one patient: most neighbours of a vector leave with its group."""
    monkeypatch.setattr(manifold, "_CANDIDATE_CELLS", cells)
    draw = np.random.default_rng(together)
    real, synthetic = draw_pair()
    real = real[draw.permutation(90) // together] + draw.normal(0, 0.1, real.shape)
    synthetic[:5] = real[:5]
    labels = (np.arange(90) // together) % 4, draw.integers(0, 4, 60)
    found = jackknife_manifold(real=real, synthetic=synthetic, labels=labels)
    whole = measure_manifold(real=real, synthetic=synthetic)[0]
    without = [
        measure_manifold(real=real[labels[0] != group], synthetic=synthetic[labels[1] != group])[0]
        for group in range(4)
    ]
    for name, figure in found.items():
        assert figure.value == pytest.approx(getattr(whole, name), abs=1e-12)
        assert figure.left_out == pytest.approx([getattr(one, name) for one in without], abs=1e-12)
    assert jackknife_manifold(real=real, synthetic=synthetic, labels=None)["recall"].left_out.shape == (0,)


def test_what_cannot_be_measured_is_refused() -> None:
    real, synthetic = draw_pair()
    with pytest.raises(ValueError, match="synthetic has 5 feature vectors, at least 6"):
        measure_manifold(real=real, synthetic=synthetic[:5])
    with pytest.raises(ValueError, match=r"numbers of at least 1, got \[0\]"):
        measure_manifold(real=real, synthetic=synthetic, num_neighbours=(0,))
    with pytest.raises(ValueError, match="real features hold NaN"):
        measure_manifold(real=np.where(real > 2, np.nan, real), synthetic=synthetic)
    labels = np.arange(90) > 4, np.arange(60) % 2
    with pytest.raises(ValueError, match="90 rows leave 5 without their largest group, more than 5 are needed"):
        jackknife_manifold(real=real, synthetic=synthetic, labels=(labels[0].astype(np.int64), labels[1]))
