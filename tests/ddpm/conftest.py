"""Shared by the tests of the learned generator: a small dataset, made once."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cspine_bench.dataset.write import write_dataset
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.source import PhantomSource

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def phantoms(make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """48 phantoms of 64 px: 40 to train on, 6 to validate on."""
    source = PhantomSource(PhantomRecipe(size=64), 48)
    return make_once("phantoms", lambda folder: write_dataset(source, folder, fractions=(0.8, 0.15, 0.05)))
