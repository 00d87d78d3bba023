"""The nearest of many vectors, and near copies among moved and mirrored films, beside faiss and scikit-learn.

`compare_all.py` times them. All get the same float32 vectors. Ours measures the nearest ones again in double precision;
faiss and scikit-learn do not.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.comparison import OURS, Comparison, Term
from cspine_bench.metrics.near_copies import SHIFTED, search_near_copies
from cspine_bench.metrics.nearest import find_nearest
from cspine_bench.seeding import numpy_generator

MAP_PX, MARGIN_PX = 64, 4
LARGEST_ERROR = 1e-3

Pair = dict[str, np.ndarray]


def draw_vectors(queries: int, references: int, dimension: int) -> Pair:
    draw = numpy_generator(0, "benchmark.search")
    counts = {"queries": queries, "references": references}
    return {name: draw.standard_normal((count, dimension), dtype=np.float32) for name, count in counts.items()}


def find_by_faiss(pair: Pair) -> np.ndarray:
    import faiss

    index = faiss.IndexFlatL2(pair["queries"].shape[1])
    index.add(pair["references"])
    return np.asarray(np.sqrt(index.search(pair["queries"], 1)[0][:, 0]))


def find_by_sklearn(pair: Pair) -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(pair["references"])
    return np.asarray(index.kneighbors(pair["queries"])[0][:, 0])


def compare_nearest(scratch: Path, *, queries: int, references: int, dimension: int) -> Comparison:
    """Distance of each query to the nearest reference."""
    pair = draw_vectors(queries, references, dimension)
    return Comparison(
        unit=f"query among {references:,}",
        count=queries,
        work=f"the nearest of {references:,} vectors of {dimension} numbers to each of {queries:,}, exhaustively; ours "
        "measures it again in double precision",
        candidates={
            OURS: lambda: find_nearest(**pair).distance[:, 0],
            "faiss-cpu": lambda: find_by_faiss(pair),
            "scikit-learn": lambda: find_by_sklearn(pair),
        },
        packages={OURS: ("numpy",), "faiss-cpu": ("faiss-cpu",), "scikit-learn": ("scikit-learn",)},
        check=_check,
        floor=(Term(2 * dimension * references, f"2 x {dimension} operations of {references:,} products", "float32"),),
    )


def build_copies_by_faiss(maps: Pair, shifts: list[tuple[float, float]]) -> Callable[[], np.ndarray]:
    """The likest reference as one writes it with faiss: windows of length 1, both signs, a search for each shift."""
    import faiss

    low, high = MARGIN_PX, MAP_PX - MARGIN_PX

    def normalise(windows: np.ndarray) -> np.ndarray:
        flat = windows.reshape(len(windows), -1)
        flat = flat - flat.mean(axis=1, keepdims=True)
        faiss.normalize_L2(flat)
        return flat

    def search() -> np.ndarray:
        index = faiss.IndexFlatIP((high - low) ** 2)
        index.add(normalise(maps["references"][:, low:high, low:high]))
        best = np.zeros(len(maps["images"]), np.float32)
        for down, right in shifts:
            rows, columns = slice(low + int(down), high + int(down)), slice(low + int(right), high + int(right))
            moved = normalise(np.ascontiguousarray(maps["images"][:, rows, columns]))
            # An inverted copy is a copy: the largest inner product of either sign.
            for signed in (moved, -moved):
                best = np.maximum(best, index.search(signed, 1)[0][:, 0])
        return best

    return search


def compare_copies(scratch: Path, *, images: int, references: int, num_shifts: int) -> Comparison:
    """Correlation of each image with the likest reference over some shifts."""
    draw = numpy_generator(0, "benchmark.metrics.maps")
    counts = {"images": images, "references": references}
    maps = {name: draw.standard_normal((count, MAP_PX, MAP_PX), dtype=np.float32) for name, count in counts.items()}
    variants = [variant for variant in SHIFTED if not variant.flip][:num_shifts]
    window = (MAP_PX - 2 * MARGIN_PX) ** 2
    return Comparison(
        unit=f"image among {references:,}",
        count=images,
        work=f"the likest of {references:,} maps of {MAP_PX} px to each of {images:,}, moved by {num_shifts} shifts, "
        "by absolute correlation; faiss finds inner products of one sign, so it searches twice",
        candidates={
            OURS: lambda: search_near_copies(
                images=maps["images"], references=maps["references"], variants=variants, margin_px=MARGIN_PX
            ).similarity[:, 0],
            "faiss-cpu": build_copies_by_faiss(maps, [variant.shift_px for variant in variants]),
        },
        packages={OURS: ("numpy", "scipy"), "faiss-cpu": ("faiss-cpu",)},
        check=_check,
        floor=(
            Term(
                2 * window * references * num_shifts,
                f"2 x {window:,} operations of {references:,} x {num_shifts} correlations",
                "float32",
            ),
        ),
    )


def _check(found: dict[str, Any]) -> str:
    ours = found[OURS]
    error = max(float(np.abs(values / ours - 1).max()) for values in found.values())
    if error > LARGEST_ERROR:
        raise SystemExit(f"the nearest of some vectors differ by {error:.1e} of their distance")
    return f"the nearest differ by {error:.0e} of their distance at most"
