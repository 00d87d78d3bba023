"""Shared by the tests of releases: a small dataset and a release of it with its mirror, made once."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "dataset"))

from hub_server import WRITER, HubServer
from toy_source import ToySource
from unlabelled_source import Unlabelled

from cspine_bench.dataset.write import write_dataset
from cspine_bench.release.build import build_release
from cspine_bench.release.recipe import ReleaseRecipe

RECIPE = ReleaseRecipe.model_validate({"date": "2026-11-23", "creators": [{"name": "Doe", "given_names": "Jane"}]})


@pytest.fixture(scope="session", autouse=True)
def figures_once(each_figure_once: None) -> None:
    """Drawing takes most of a small build; test_figures.py draws for itself."""


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
def plain(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """The same radiographs without a label: released in a quarter of the time. Not to be changed."""
    return make_once("plain", lambda folder: write_dataset(Unlabelled(30), folder, shard_rows=20))


@pytest.fixture(scope="session")
def release(built: Path) -> Path:
    """The release. Not to be changed."""
    return built / "rel"


@pytest.fixture(scope="session")
def mirror(built: Path) -> Path:
    """Its WebDataset mirror. Not to be changed."""
    return built / "rel-wds"


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were asked of the clock, which does not wait."""
    asked: list[float] = []
    monkeypatch.setattr(time, "sleep", asked.append)
    return asked


@pytest.fixture(scope="session")
def http_client() -> Iterator[None]:
    """One HTTP client for all: each one reads the machine's certificates."""
    from huggingface_hub import close_session

    yield
    close_session()


@pytest.fixture
def hub(release: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float], http_client: None) -> Iterator[HubServer]:
    """A Hub on this machine, that the client reaches with a token that may write."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", WRITER)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # Read at import: without it the client looks for the Xet storage, which this Hub does not have.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    # The largest file goes in two parts.
    part_bytes = max(path.stat().st_size for path in release.rglob("*")) // 2 + 1
    with HubServer(part_bytes=part_bytes) as server:
        yield server
