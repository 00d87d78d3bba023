"""Figures of the card: the same bytes each time, nothing of the machine in them, and true to the rows."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from editions import make_edition
from PIL import Image
from scarce_source import BareSource, DeepSource
from toy_source import ToySource

from cspine_bench.anatomy.classes import SEXES
from cspine_bench.dataset.write import write_dataset
from cspine_bench.release.edition import Edition
from cspine_bench.release.facts import ALIGNMENT_BINS
from cspine_bench.release.papers.figures import draw_figures

SOURCES = {"phantom": ToySource(20), "bare": BareSource(6), "deep": DeepSource(8, bits=16), "one": ToySource(1)}


@pytest.fixture(scope="module")
def folder(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    def fill(folder: Path) -> None:
        for name, source in SOURCES.items():
            write_dataset(source, folder / name)

    return make_once("figures", fill)


@pytest.fixture(scope="module")
def editions(folder: Path) -> dict[str, Edition]:
    return {name: make_edition(folder / name, folder / "tables") for name in SOURCES}


def list_chunks(data: bytes) -> list[bytes]:
    chunks, position = [], 8
    while position < len(data):
        chunks.append(data[position + 4 : position + 8])
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    return chunks


@pytest.mark.slow  # draws every figure in several processes
def test_figures_are_the_same_each_time_and_say_nothing_of_their_maker(editions: dict[str, Edition]) -> None:
    first, second = draw_figures(editions["phantom"]), draw_figures(editions["phantom"])
    assert list(first) == ["class_balance", "landmark_spread", "alignment", "age_and_sex"]
    assert first == second
    for data in first.values():
        assert set(list_chunks(data)) <= {b"IHDR", b"pHYs", b"IDAT", b"IEND"}
        with Image.open(io.BytesIO(data)) as image:
            assert min(image.size) > 350 and np.asarray(image.convert("L")).std() > 5


def test_what_is_not_known_is_not_drawn(editions: dict[str, Edition]) -> None:
    assert draw_figures(editions["bare"]) == {}


@pytest.mark.parametrize("name", ["deep", "one"])
def test_awkward_datasets_are_drawn(editions: dict[str, Edition], name: str) -> None:
    assert "landmark_spread" in draw_figures(editions[name])


def test_the_counts_behind_the_figures_are_those_of_the_rows(folder: Path, editions: dict[str, Edition]) -> None:
    facts = editions["phantom"].facts
    rows = pq.read_table(folder / "phantom" / "data", columns=["sex", "age", *ALIGNMENT_BINS]).to_pylist()
    for name, (low, high, num) in ALIGNMENT_BINS.items():
        values = [row[name] for row in rows if row[name] is not None]
        if not values:
            assert name not in facts.alignment_histogram
            continue
        inside = np.clip(values, low, np.nextafter(high, low))
        np.testing.assert_array_equal(facts.alignment_histogram[name], np.histogram(inside, num, (low, high))[0])
    for sex in SEXES:
        for age in (row["age"] for row in rows):
            expected = sum(SEXES[row["sex"]] == sex and row["age"] == age for row in rows)
            assert facts.ages_by_sex.get((sex, age), 0) == expected
