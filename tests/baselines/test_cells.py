"""Networks one by one: predictions are kept, found again, and made anew where a file is torn."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_sides import build_small_recipe, write_sides

from cspine_bench.baselines.cells import Cell, CellStore, list_cells, run_cell
from cspine_bench.baselines.crew import Job, make_cells
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.run import score_cell
from cspine_bench.baselines.sides import Sides, open_sides
from cspine_bench.errors import DataError

MakeOnce = Callable[[str, Callable[[Path], object]], Path]
RECIPE = build_small_recipe(arms=["real", "synthetic", "mixed"])


@pytest.fixture(scope="module")
def folder(make_once: MakeOnce) -> Path:
    return make_once("small-sides", write_sides)


@pytest.fixture(scope="module")
def sides(folder: Path) -> Sides:
    return open_sides(build_task(RECIPE), RECIPE.size, real=folder / "real", synthetic=folder / "synthetic")


def open_store(sides: Sides, out: Path) -> CellStore:
    return CellStore(out / "cells", RECIPE, sides.inputs, 0)


def test_the_protocol_names_each_network_once(sides: Sides) -> None:
    cells = list_cells(RECIPE)
    assert len(cells) == len({cell.name for cell in cells}) == 2 * (2 + 1 + 2)
    assert [cell.name for cell in cells[:4]] == ["real-0.5-0", "real-1-0", "synthetic-all-0", "mixed-1-0.5-0"]
    assert len(list_cells(RECIPE, fractions_within=(0.5,))) == len(cells) + 2


def test_a_cell_is_kept_and_depends_on_no_other(sides: Sides, tmp_path: Path) -> None:
    store, cell = open_store(sides, tmp_path), list_cells(RECIPE)[0]
    made = run_cell(cell, store, sides)
    assert made.num_real == 3 and made.num_synthetic == 0 and made.updates == 4
    arrays = store.load(cell)
    assert {name.partition(".")[0] for name in arrays} == {"test", "synthetic"}
    stamp = store.path(cell).with_suffix(".npz").stat().st_mtime_ns
    more = replace(store, recipe=build_small_recipe(arms=["real", "pretrained"], num_seeds=7))
    assert run_cell(cell, more, sides) == made
    assert store.path(cell).with_suffix(".npz").stat().st_mtime_ns == stamp
    assert replace(store, seed=1).key(cell) != store.key(cell)
    again = replace(store, folder=tmp_path / "again")
    run_cell(cell, again, sides)
    assert all(np.array_equal(values, again.load(cell)[name]) for name, values in arrays.items())


def test_a_torn_file_is_named_or_made_anew(sides: Sides, tmp_path: Path) -> None:
    store, cell = open_store(sides, tmp_path), list_cells(RECIPE)[2]
    run_cell(cell, store, sides)
    path = store.path(cell)
    whole = path.with_suffix(".npz").read_bytes()
    path.with_suffix(".npz").write_bytes(whole[:100])
    with pytest.raises(DataError, match="remove it, and run the same command again"):
        store.load(cell)
    path.write_text(path.read_text()[:50])
    assert store.find(cell) is None
    run_cell(cell, store, sides)
    assert store.load(cell)["test.landmarks_xy"].shape == (3, 23, 2)
    assert not list(store.folder.glob("*.unfinished"))


def test_a_cell_without_enough_labels_says_so(sides: Sides, tmp_path: Path) -> None:
    store = replace(open_store(sides, tmp_path), recipe=build_small_recipe(least_train=5))
    record = run_cell(Cell(list_cells(RECIPE)[0].arm, 0.5, 0), store, sides)
    assert record.not_run is not None and "fewer than protocol.least_train 5" in record.not_run
    unlabelled = replace(
        sides, synthetic=replace(sides.synthetic, landmarks_xy=np.full_like(sides.synthetic.landmarks_xy, np.nan))
    )
    said = run_cell(list_cells(RECIPE)[2], open_store(sides, tmp_path), unlabelled).not_run
    assert said is not None and "baseline annotate" in said
    assert score_cell(build_task(RECIPE), list_cells(RECIPE)[2], open_store(sides, tmp_path), sides).scores == ()


@pytest.mark.slow  # two processes load torch: 10 CPU-seconds
def test_worker_processes_make_the_same_cells(folder: Path, sides: Sides, tmp_path: Path) -> None:
    cells = list_cells(RECIPE)[:4]
    told: list[tuple[int, int]] = []
    for name, workers in (("one", 1), ("two", 2)):
        store = open_store(sides, tmp_path / name)
        job = Job(store, str(folder / "real"), str(folder / "synthetic"), {}, "cpu")
        make_cells(job, cells, sides, num_workers=workers, on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (4, 4)
    for cell in cells:
        one, two = (open_store(sides, tmp_path / name).load(cell) for name in ("one", "two"))
        assert all(np.array_equal(values, two[name]) for name, values in one.items())
