"""Shared by the tests of releases: a small dataset and a release of it with its mirror, made once."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "dataset"))

from toy_source import ToySource

from cspine_bench.dataset.write import write_dataset
from cspine_bench.release.build import build_release
from cspine_bench.release.recipe import ReleaseRecipe

RECIPE = ReleaseRecipe.model_validate({"date": "2026-11-23", "creators": [{"name": "Doe", "given_names": "Jane"}]})


@pytest.fixture(scope="session")
def built(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """A folder with the dataset `ds` (30 radiographs, three shards), its release `rel` and the mirror `rel-wds`."""

    def fill(folder: Path) -> None:
        write_dataset(ToySource(30), folder / "ds", shard_rows=20)
        build_release(folder / "ds", folder / "rel", RECIPE, mirror=True)

    return make_once("release", fill)


@pytest.fixture(scope="session")
def dataset(built: Path) -> Path:
    """The dataset. Not to be changed."""
    return built / "ds"


@pytest.fixture(scope="session")
def release(built: Path) -> Path:
    """The release. Not to be changed."""
    return built / "rel"


@pytest.fixture(scope="session")
def mirror(built: Path) -> Path:
    """Its WebDataset mirror. Not to be changed."""
    return built / "rel-wds"
