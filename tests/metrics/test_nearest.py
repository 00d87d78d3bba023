"""Nearest neighbours: by hand, against scipy and faiss, with ties, copies, groups and blocks; and the inverted file."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from cspine_bench.metrics import nearest
from cspine_bench.metrics.nearest import find_nearest, find_nearest_by_lists


def draw(count: int, dimension: int, seed: int, offset: float = 0.0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).normal(size=(count, dimension)) + offset).astype(np.float32)


def test_by_hand() -> None:
    references = np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0], [0.0, 0.0]])
    found = find_nearest(queries=np.array([[0.0, 0.0], [6.0, 8.0]]), references=references, count=3)
    # Of equally near ones that of the lower number.
    assert found.index.tolist() == [[0, 3, 1], [2, 1, 0]]
    assert found.distance.tolist() == [[0, 0, 5], [0, 5, 10]]
    assert found.recall is None


@pytest.mark.parametrize(("offset", "scale"), [(0, 1), (1000, 1), (0, 1e-25), (3, 1e25)])
def test_every_pair_is_compared_whatever_the_blocks(
    monkeypatch: pytest.MonkeyPatch, offset: float, scale: float
) -> None:
    queries, references = (draw(*at, offset) * np.float32(scale) for at in ((70, 40, 0), (300, 40, 1)))
    references[7] = queries[3] * np.float32(1 + 1e-6)  # far off zero, a copy's distance is all rounding in floats
    apart = cdist(queries.astype(np.float64), references.astype(np.float64))
    for size in (8192, 33):
        monkeypatch.setattr(nearest, "_BLOCK_REFERENCES", size)
        monkeypatch.setattr(nearest, "_BLOCK_QUERIES", size)
        found = find_nearest(queries=queries, references=references, count=12)
        assert np.array_equal(found.index, np.argsort(apart, axis=1)[:, :12])
        assert np.allclose(found.distance, np.sort(apart, axis=1)[:, :12], rtol=1e-9, atol=0)


def test_rounding_hides_nothing() -> None:
    """Twenty references that single precision cannot tell apart, the nearest the last of them."""
    references = np.zeros((40, 3))
    references[:, 0] = 1.0
    references[:20, 0] = 1e4
    references[20:, 1] = 1e-9 * np.arange(20)[::-1]
    found = find_nearest(queries=np.array([[1.0, 0.0, 0.0]]), references=references, count=3)
    assert found.index[0].tolist() == [39, 38, 37]


def test_own_row_and_own_group_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = draw(90, 8, 3)
    groups = np.array([f"patient-{number // 3}" for number in range(90)])
    apart = cdist(vectors, vectors)
    monkeypatch.setattr(nearest, "_BLOCK_REFERENCES", 32)
    monkeypatch.setattr(nearest, "_BLOCK_QUERIES", 20)
    np.fill_diagonal(apart, np.inf)
    found = find_nearest(queries=vectors, references=vectors, count=2, skip_same_row=True)
    assert np.array_equal(found.index, np.argsort(apart, axis=1)[:, :2])
    apart[groups[:, None] == groups] = np.inf
    grouped = find_nearest(queries=vectors, references=vectors, count=88, query_groups=groups, reference_groups=groups)
    assert np.array_equal(grouped.index[:, :87], np.argsort(apart, axis=1)[:, :87])
    # There are 87 to compare with, and no more.
    assert (grouped.index[:, 87] == -1).all() and np.isinf(grouped.distance[:, 87]).all()


def test_as_faiss_has_it() -> None:
    faiss = pytest.importorskip("faiss", reason="the extra faiss is not installed")
    queries, references = draw(50, 64, 4), draw(500, 64, 5)
    index = faiss.IndexFlatL2(64)
    index.add(references)
    squared, numbers = index.search(queries, 10)
    found = find_nearest(queries=queries, references=references, count=10)
    assert np.array_equal(found.index, numbers)
    assert np.allclose(found.distance**2, squared, rtol=1e-4)


def test_the_inverted_file_says_what_it_misses() -> None:
    pytest.importorskip("faiss", reason="the extra faiss is not installed")
    queries, references = draw(400, 16, 6), draw(4000, 16, 7)
    exact = find_nearest(queries=queries, references=references, count=5)

    def search(**options: int) -> nearest.Nearest:
        made = np.random.default_rng(0)
        return find_nearest_by_lists(queries=queries, references=references, count=5, generator=made, **options)

    few, all_lists = search(num_lists=50, num_probes=2), search(num_lists=50, num_probes=50)
    assert np.array_equal(all_lists.index, exact.index) and np.allclose(all_lists.distance, exact.distance)
    assert all_lists.recall is not None and all_lists.recall.value == 1 and all_lists.recall.low < 1
    hits = float((few.index[:, 0] == exact.index[:, 0]).mean())
    assert few.recall is not None and few.recall.value == pytest.approx(hits) and hits < 0.8
    assert np.array_equal(search(num_lists=50, num_probes=2).index, few.index)


def test_the_inverted_file_leaves_own_groups_out() -> None:
    pytest.importorskip("faiss", reason="the extra faiss is not installed")
    vectors = draw(600, 8, 8)
    groups = np.arange(600) // 4
    found = find_nearest_by_lists(
        queries=vectors, references=vectors, count=3, generator=np.random.default_rng(0), query_groups=groups,
        reference_groups=groups, num_lists=10, num_probes=10,
    )  # fmt: skip
    exact = find_nearest(queries=vectors, references=vectors, count=3, query_groups=groups, reference_groups=groups)
    assert np.array_equal(found.index, exact.index)


def test_what_cannot_be_searched_is_refused() -> None:
    vectors = draw(4, 3, 0)
    with pytest.raises(ValueError, match="vectors must be"):
        find_nearest(queries=vectors, references=vectors[:, :2])
    with pytest.raises(ValueError, match="references hold NaN"):
        find_nearest(queries=vectors, references=vectors * np.nan)
    with pytest.raises(ValueError, match="count must be at least 1"):
        find_nearest(queries=vectors, references=vectors, count=0)
    with pytest.raises(ValueError, match="or of neither"):
        find_nearest(queries=vectors, references=vectors, query_groups=np.arange(4))
