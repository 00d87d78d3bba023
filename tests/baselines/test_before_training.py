"""What is wrong is said before anything is trained, and what could not be trained is looked at again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from small_sides import build_small_recipe, write_sides

from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.cells import CellStore, list_cells, run_cell
from cspine_bench.baselines.crew import Job, make_cells
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.run import require_finish
from cspine_bench.baselines.sides import Sides, open_sides
from cspine_bench.baselines.tasks.landmarking.recipe import LandmarkingRecipe
from cspine_bench.baselines.tasks.landmarking.task import Landmarking
from cspine_bench.baselines.unet import NetworkShape
from cspine_bench.baselines.within import require_within, write_subset
from cspine_bench.cli import cli
from cspine_bench.errors import DataError, RecipeError

MakeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="module")
def folder(make_once: MakeOnce) -> Path:
    return make_once("small-sides", write_sides)


@pytest.fixture(scope="module")
def sides(folder: Path) -> Sides:
    task = build_task(build_small_recipe())
    return open_sides(task, 32, real=folder / "real", synthetic=folder / "synthetic")


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        ({"least_train": 7}, r"50% of the real training groups are 3 .*least_train 7; name larger"),
        ({"encoders": ["nonsense"]}, "no encoder is called 'nonsense'"),
        ({"image_text": ["nosuch"]}, "landmarking has none; leave it empty"),
    ],
)
def test_a_run_that_could_not_end_does_not_begin(sides: Sides, protocol: dict[str, Any], said: str) -> None:
    recipe = build_small_recipe(**protocol)
    with pytest.raises((DataError, RecipeError), match=said):
        require_finish(build_task(recipe), recipe, sides, seed=0, device="cpu")


def test_several_rates_need_labelled_validation(sides: Sides) -> None:
    recipe = build_small_recipe()
    rates = recipe.learning.model_copy(update={"learning_rates": (1e-3, 2e-3)})
    recipe = recipe.model_copy(update={"learning": rates})
    require_finish(build_task(recipe), recipe, sides, seed=0, device="cpu")
    empty = replace(sides, validation=sides.validation.take(np.array([], np.int64)))
    with pytest.raises(DataError, match="no validation radiograph with landmarks"):
        require_finish(build_task(recipe), recipe, empty, seed=0, device="cpu")


def test_what_was_not_run_is_looked_at_again(sides: Sides, tmp_path: Path) -> None:
    asked = {"arms": ["real"], "fractions": [0.5], "num_seeds": 1}
    for least, trained in ((4, False), (2, True)):
        recipe = build_small_recipe(**asked, least_train=least)
        store = CellStore(tmp_path, recipe, sides.inputs, seed=0)
        [cell] = list_cells(recipe)
        make_cells(Job(store, "real", "synthetic", {}, "cpu"), [cell], sides)
        record = store.find(cell)
        assert record is not None and (record.not_run is None) == trained
    assert run_cell(cell, store, sides) == record


def test_a_part_is_not_written_over_its_whole(folder: Path) -> None:
    before = sorted(path.name for path in (folder / "real").rglob("*"))
    with pytest.raises(DataError, match="name another folder for the part"):
        write_subset(folder / "real", folder / "synthetic" / ".." / "real", fraction=0.5, seed=0, overwrite=True)
    assert sorted(path.name for path in (folder / "real").rglob("*")) == before
    refused = CliRunner().invoke(cli, ["baseline", "subset", str(folder / "real"), "part", "--fraction", "nan"])
    assert refused.exit_code == 2 and "nan is not in the range" in refused.stderr


def test_generators_inside_a_subset_need_labels_throughout(folder: Path, sides: Sides) -> None:
    some = replace(sides, train=sides.train.take(np.arange(5)))
    with pytest.raises(DataError, match=r"1 of 6 patients or anatomies .* have no labels"):
        require_within(some, build_small_recipe(subsets="fixed"), {0.5: str(folder / "synthetic")}, seed=0)


def test_a_setting_does_not_change_the_task(folder: Path, tmp_path: Path) -> None:
    words = ["--real", str(folder / "real"), "--synthetic", str(folder / "synthetic"), "--out", str(tmp_path)]
    asked = CliRunner().invoke(cli, ["baseline", "run", "landmarking", *words, "--set", "task={kind: quality}"])
    assert asked.exit_code == 2 and "name that task instead" in asked.stderr


class RealAlone(Landmarking):
    """Takes the synthetic radiographs, whose numbers begin at 100, for unlabelled."""

    def list_usable(self, cases: Cases) -> NDArray[np.bool_]:
        return np.array([name < "small00000100" for name in cases.sample_ids], np.bool_)


def test_unlabelled_synthetic_radiographs_are_told_of(folder: Path) -> None:
    task = RealAlone(LandmarkingRecipe(), NetworkShape(32, 4, (8, 16)))
    opened = open_sides(task, 32, real=folder / "real", synthetic=folder / "synthetic")
    assert any("9 of 9 radiographs to learn from are without landmarks: no arm but" in note for note in opened.notes)
