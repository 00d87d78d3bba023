"""The nearest references of feature vectors: exact in blocks, or by an inverted file whose recall is measured.

found = find_nearest(queries=synthetic, references=train, count=50)
found.distance[:, 0]                                                         to the nearest
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.errors import MissingExtraError
from cspine_bench.metrics.intervals import Estimate, clopper_pearson_interval

_BLOCK_QUERIES: Final = 512
_BLOCK_REFERENCES: Final = 8192
_ROWS_AT_ONCE: Final = 2048
# Candidates beyond those asked for, so that rounding in single precision does not hide one of them.
_SPARE: Final = 8
_NUM_CHECKED: Final = 1000
# What k-means of the inverted file learns from, as many for each list as faiss takes by itself.
_LEARNT_PER_LIST: Final = 256

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Nearest:
    """The nearest references of each query, the nearest first; of equally near ones that of the lower number.

    Attributes:
        index: int64 (n, count), of the reference; -1 where there are no more to compare with.
        distance: float64 (n, count), Euclidean, in double precision; infinity there.
        recall: share of queries whose nearest reference was found; None: all of them, nothing was left out.
    """

    index: Numbers
    distance: Floats
    recall: Estimate | None = None


@dataclass(frozen=True)
class _Set:
    """References as given, and moved and scaled for single precision."""

    exact: NDArray[Any]
    coarse: NDArray[np.float32]
    squares: NDArray[np.float32]
    centre: Floats
    scale: float
    groups: Numbers | None


def find_nearest(
    *,
    queries: NDArray[Any],
    references: NDArray[Any],
    count: int = 1,
    query_groups: NDArray[Any] | None = None,
    reference_groups: NDArray[Any] | None = None,
    skip_same_row: bool = False,
) -> Nearest:
    """The nearest references of each query: every pair is compared, and none is missed by rounding.

    Pairs are compared in blocks of single precision; the nearest are measured again in double precision, and where
    rounding could have hidden one, so are all references. So a distance near 0, of a copy, is as exact as any other.

    Memory: a single-precision copy of the references, and blocks of fixed size.

    Args:
        queries: float (n, d).
        references: float (m, d), m >= 1.
        count: how many for each query, 1 or more.
        query_groups: (n,), names or numbers; a reference of a query's own group is not compared with it.
        reference_groups: (m,), of the same names.
        skip_same_row: query i is not compared with reference i: for neighbours inside one set.

    Raises:
        ValueError: shapes do not fit, a value is not finite, count < 1, or groups are given for one side only.
    """
    groups = _check(queries, references, count, query_groups, reference_groups)
    known = _prepare(references, None if groups is None else groups[1])
    index, distance = np.empty((len(queries), count), np.int64), np.empty((len(queries), count))
    for start in range(0, len(queries), _BLOCK_QUERIES):
        rows = slice(start, start + _BLOCK_QUERIES)
        index[rows], distance[rows] = _search_block(
            queries[rows],
            known,
            count,
            groups=None if groups is None else groups[0][rows],
            first=start if skip_same_row else None,
        )
    return Nearest(index, distance)


def find_nearest_by_lists(
    *,
    queries: NDArray[Any],
    references: NDArray[Any],
    count: int = 1,
    generator: np.random.Generator,
    query_groups: NDArray[Any] | None = None,
    reference_groups: NDArray[Any] | None = None,
    num_lists: int | None = None,
    num_probes: int | None = None,
) -> Nearest:
    """As `find_nearest`, of an inverted file: for references by the million, where some may be missed.

    References are dealt into lists around centres that k-means finds, and a query is compared with the lists of the
    nearest centres. What is found is measured in double precision. How often the nearest is found is measured against
    the exhaustive search on a random sample of 1,000 queries.

    Args:
        queries: float (n, d), n >= 1.
        references: float (m, d).
        count: as in `find_nearest`.
        generator: draws what k-means learns from, and the queries of the check.
        query_groups: as in `find_nearest`.
        reference_groups: as in `find_nearest`.
        num_lists: lists; None: 4 sqrt(m), at most one for 39 references.
        num_probes: lists that are looked through; None: an eighth of them, at least 8.

    Returns:
        With `recall`; where a query's own group left fewer than `count` in its lists, -1 and infinity.

    Raises:
        ValueError: as `find_nearest`, or no queries.
        MissingExtraError: faiss is not installed.

    Source: Jégou, Douze, Schmid 2011, IEEE TPAMI 33, 117-128, section 4, without product quantisation; the interval of
    the recall: Clopper, Pearson 1934.
    """
    try:
        import faiss
    except ImportError as error:
        raise MissingExtraError("faiss", "faiss") from error
    groups = _check(queries, references, count, query_groups, reference_groups)
    if len(queries) == 0:
        raise ValueError("needs at least one query, to measure the recall with")
    known = _prepare(references, None if groups is None else groups[1])
    num_lists = num_lists or max(1, min(int(4 * np.sqrt(len(references))), len(references) // 39))
    num_lists = min(num_lists, len(references))
    dimension = references.shape[1]
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(dimension), dimension, num_lists)
    index.cp.seed = int(generator.integers(2**31))
    index.verbose = False
    index.cp.min_points_per_centroid = 1
    learnt = np.sort(generator.permutation(len(references))[: num_lists * _LEARNT_PER_LIST])
    index.train(known.coarse[learnt])
    index.add(known.coarse)
    index.nprobe = min(num_lists, num_probes or max(8, num_lists // 8))
    # So many of a query's own group may be in the way.
    spare = _SPARE if groups is None else _SPARE + int(np.bincount(groups[1]).max())
    wanted = min(len(references), count + spare)
    found_index, found = np.empty((len(queries), count), np.int64), np.empty((len(queries), count))
    for start in range(0, len(queries), _BLOCK_QUERIES):
        rows = slice(start, start + _BLOCK_QUERIES)
        _, candidates = index.search(_make_coarse(queries[rows], known.centre, known.scale), wanted)
        own = None if groups is None else groups[0][rows]
        found_index[rows], found[rows] = _measure_candidates(queries[rows], known, candidates, count, own)
    checked = np.sort(generator.permutation(len(queries))[:_NUM_CHECKED])
    truth = find_nearest(
        queries=queries[checked],
        references=references,
        query_groups=None if query_groups is None else query_groups[checked],
        reference_groups=reference_groups,
    )
    # Another reference as near as the nearest is as good.
    hits = int((found[checked, 0] <= truth.distance[:, 0]).sum())
    return Nearest(found_index, found, clopper_pearson_interval(successes=hits, total=len(checked)))


def _check(
    queries: NDArray[Any],
    references: NDArray[Any],
    count: int,
    query_groups: NDArray[Any] | None,
    reference_groups: NDArray[Any] | None,
) -> tuple[Numbers, Numbers] | None:
    if queries.ndim != 2 or references.ndim != 2 or queries.shape[1] != references.shape[1] or 0 in references.shape:
        raise ValueError(f"vectors must be (n, d) and (m, d), m at least 1, got {queries.shape} and {references.shape}")
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    for name, vectors in (("queries", queries), ("references", references)):
        for start in range(0, len(vectors), _BLOCK_REFERENCES):
            if not np.isfinite(vectors[start : start + _BLOCK_REFERENCES]).all():
                raise ValueError(f"{name} hold NaN or infinity; leave such vectors out")
    if query_groups is None and reference_groups is None:
        return None
    if query_groups is None or reference_groups is None:
        raise ValueError("give groups of the queries and of the references, or of neither")
    if query_groups.shape != (len(queries),) or reference_groups.shape != (len(references),):
        raise ValueError(
            f"needs a group for each vector, got {query_groups.shape} and {reference_groups.shape} for {len(queries)} "
            f"queries and {len(references)} references"
        )
    number = np.unique(np.concatenate([query_groups, reference_groups]), return_inverse=True)[1].astype(np.int64)
    return number[: len(queries)], number[len(queries) :]


def _prepare(references: NDArray[Any], groups: Numbers | None) -> _Set:
    centre = references.mean(axis=0, dtype=np.float64)
    blocks = range(0, len(references), _ROWS_AT_ONCE)
    # Around 1, so that squares in single precision neither overflow nor vanish.
    scale = max(float(np.abs(references[start : start + _ROWS_AT_ONCE] - centre).max()) for start in blocks) or 1.0
    coarse = _make_coarse(references, centre, scale)
    return _Set(references, coarse, np.einsum("ij,ij->i", coarse, coarse), centre, scale, groups)


def _make_coarse(vectors: NDArray[Any], centre: Floats, scale: float) -> NDArray[np.float32]:
    coarse = np.empty(vectors.shape, np.float32)
    for start in range(0, len(vectors), _ROWS_AT_ONCE):
        block = slice(start, start + _ROWS_AT_ONCE)
        # A query may lie so far off that its square overflows; every reference is then as far as rounding can say.
        coarse[block] = np.clip((vectors[block] - centre) / scale, -1e15, 1e15)
    return coarse


def _search_block(
    queries: NDArray[Any], known: _Set, count: int, *, groups: Numbers | None, first: int | None
) -> tuple[Numbers, Floats]:
    """The nearest of a few queries; `first`: number of the first of them among the references, None: of none."""
    coarse = _make_coarse(queries, known.centre, known.scale)
    squares = np.einsum("ij,ij->i", coarse, coarse)
    kept = count + _SPARE
    candidates = np.full((len(queries), 0), -1, np.int64)
    nearest = np.full((len(queries), 0), np.inf, np.float32)
    passed_over = np.full(len(queries), np.inf, np.float32)
    for start in range(0, len(known.coarse), _BLOCK_REFERENCES):
        block = slice(start, start + _BLOCK_REFERENCES)
        squared = coarse @ known.coarse[block].T
        squared *= -2
        squared += squares[:, None]
        squared += known.squares[block]
        _rule_out(squared, start, known, groups, first)
        picked, values, rest = _take_smallest(squared, kept)
        candidates = np.concatenate([candidates, picked + start], axis=1)
        nearest = np.concatenate([nearest, values], axis=1)
        order, nearest, over = _take_smallest(nearest, kept)
        candidates = np.take_along_axis(candidates, order, axis=1)
        passed_over = np.minimum(passed_over, np.minimum(rest, over))
    candidates[np.isinf(nearest)] = -1
    index, distance = _measure_candidates(queries, known, candidates, count, None)
    # Rounding changes a square by no more than this; what was passed over may be nearer than the last one kept.
    slack = 4 * np.finfo(np.float32).eps * np.sqrt(coarse.shape[1]) * (squares + known.squares.max())
    last = (distance[:, -1] / known.scale) ** 2
    for row in np.flatnonzero(np.isfinite(passed_over) & (last > passed_over - slack)).tolist():
        index[row], distance[row] = _search_all(queries[row], known, count, groups, row, first)
    return index, distance


def _rule_out(squared: NDArray[np.float32], start: int, known: _Set, groups: Numbers | None, first: int | None) -> None:
    """Put infinity where a pair of a block is not to be compared."""
    if groups is not None and known.groups is not None:
        squared[groups[:, None] == known.groups[start : start + squared.shape[1]]] = np.inf
    if first is not None:
        number = np.arange(max(start, first), min(start + squared.shape[1], first + len(squared)))
        squared[number - first, number - start] = np.inf


def _take_smallest(values: NDArray[np.float32], count: int) -> tuple[Numbers, NDArray[np.float32], NDArray[np.float32]]:
    """Columns of the smallest values of each row, these, and the smallest that the rest can be."""
    if values.shape[1] <= count:
        columns = np.broadcast_to(np.arange(values.shape[1]), values.shape)
        return columns, values, np.full(len(values), np.inf, np.float32)
    columns = np.argpartition(values, count - 1, axis=1)[:, :count]
    smallest = np.take_along_axis(values, columns, axis=1)
    return columns, smallest, smallest.max(axis=1)


def _measure_candidates(
    queries: NDArray[Any], known: _Set, candidates: Numbers, count: int, groups: Numbers | None
) -> tuple[Numbers, Floats]:
    """The nearest of some candidates (n, c), -1 for none, in double precision."""
    index, distance = np.full((len(queries), count), -1, np.int64), np.full((len(queries), count), np.inf)
    step = max(1, _ROWS_AT_ONCE // max(1, candidates.shape[1]))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        numbers = candidates[rows]
        apart = queries[rows, None].astype(np.float64) - known.exact[numbers]
        found = np.sqrt(np.einsum("ijk,ijk->ij", apart, apart))
        out = numbers < 0
        if groups is not None and known.groups is not None:
            out = out | (known.groups[numbers] == groups[rows, None])
        found[out] = np.inf
        order = np.lexsort((numbers, found))[:, :count]
        width = order.shape[1]
        distance[rows, :width] = np.take_along_axis(found, order, axis=1)
        index[rows, :width] = np.take_along_axis(np.where(out, -1, numbers), order, axis=1)
    return index, distance


def _search_all(
    query: NDArray[Any], known: _Set, count: int, groups: Numbers | None, row: int, first: int | None
) -> tuple[Numbers, Floats]:
    """The nearest of one query among all references in double precision."""
    found = np.empty(len(known.exact))
    for start in range(0, len(found), _ROWS_AT_ONCE):
        apart = known.exact[start : start + _ROWS_AT_ONCE].astype(np.float64) - query
        found[start : start + len(apart)] = np.sqrt(np.einsum("ij,ij->i", apart, apart))
    if groups is not None and known.groups is not None:
        found[known.groups == groups[row]] = np.inf
    if first is not None and first + row < len(found):
        found[first + row] = np.inf
    order = np.argsort(found, kind="stable")[:count]
    index, distance = np.full(count, -1, np.int64), np.full(count, np.inf)
    distance[: len(order)] = found[order]
    index[: len(order)] = np.where(np.isinf(found[order]), -1, order)
    return index, distance
