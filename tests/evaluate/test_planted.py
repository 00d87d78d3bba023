"""Planted copies: what each transform does, and that the search's power is measured by the search's own rule."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "dataset"))

from drawn_films import MakeOnce, draw_films, open_films

from cspine_bench.evaluate.memorization.planted import (
    CONFIRMED,
    OPERATING,
    PlantedCopies,
    draw_examples,
    find_planted_copies,
)
from cspine_bench.evaluate.memorization.recipe import MemorizationRecipe
from cspine_bench.evaluate.memorization.search import CopySearch, search_copies
from cspine_bench.evaluate.memorization.transforms import TRANSFORMS, Transform
from cspine_bench.measurement.inputs import Images
from cspine_bench.measurement.work import Work

RECIPE = MemorizationRecipe(
    variants=("shifted",), regions=False, num_neighbours=20, planted=3, false_positive_rate=0.05
)
NOWHERE = Work(None, {})
BY_NAME = {transform.name: transform for transform in TRANSFORMS}
FEW = (BY_NAME["exact"], BY_NAME["flip"], BY_NAME["inversion"], BY_NAME["upside down"])


@pytest.fixture(scope="module")
def train(make_once: MakeOnce) -> Images:
    return open_films(make_once, "train", "train", draw_films(90, 0))


@pytest.fixture(scope="module")
def synthetic(make_once: MakeOnce) -> Images:
    return open_films(make_once, "synthetic", "honest", draw_films(85, 4))


@pytest.fixture(scope="module")
def search(train: Images, synthetic: Images, make_once: MakeOnce) -> CopySearch:
    holdout = open_films(make_once, "holdout", "holdout", draw_films(85, 1))
    return search_copies(train, holdout, synthetic, recipe=RECIPE, seed=0, work=NOWHERE)


def plant(
    search: CopySearch, train: Images, synthetic: Images, transforms: tuple[Transform, ...], seed: int = 0
) -> PlantedCopies:
    return find_planted_copies(search, train, synthetic, recipe=RECIPE, seed=seed, work=NOWHERE, transforms=transforms)


def test_recall_is_of_the_search_that_was_run(search: CopySearch, train: Images, synthetic: Images) -> None:
    """A search that tries no quarter turns finds no film that is upside down, and says so."""
    planted = plant(search, train, synthetic, FEW)
    for rule in (OPERATING, CONFIRMED):
        assert planted.found[rule].tolist() == [[True] * 3, [True] * 3, [True] * 3, [False] * 3]
    figures = {(one.condition["transform"], one.condition["rule"]): one for one in planted.figures}
    assert figures["all", CONFIRMED].value == 9 / 12 and figures["all", CONFIRMED].n_used == {"planted": 12}
    assert figures["common ones", OPERATING].value == 1
    missed = figures["upside down", CONFIRMED]
    assert missed.value == 0 and missed.interval is not None and missed.interval.high == pytest.approx(0.7076, abs=1e-3)


def test_a_flag_for_another_film_is_no_find(search: CopySearch, train: Images, synthetic: Images) -> None:
    """Images of no training film, called copies of one: flags alone do not count."""
    honest = Transform("another film", False, lambda film, canvas, generator: canvas)
    planted = plant(search, train, synthetic, (honest,))
    assert not planted.found[OPERATING].any() and not planted.found[CONFIRMED].any()
    loose = replace(search, null=replace(search.null, evidence=search.null.evidence * 0 - 9))
    assert not plant(loose, train, synthetic, (honest,)).found[OPERATING].any()


def test_the_seed_fixes_films_and_strengths(search: CopySearch, train: Images, synthetic: Images) -> None:
    planted = plant(search, train, synthetic, FEW)
    examples = [draw_examples(planted, train, synthetic, recipe=RECIPE, seed=seed) for seed in (0, 0, 1)]
    assert [one.found for one in examples[0]] == [True, True, True, False]
    for one, same, other in zip(*examples, strict=True):
        assert np.array_equal(one.copy, same.copy) and not np.array_equal(one.film, other.film)
    stretched = examples[0][1].film.astype(float)
    stretched = (stretched - stretched.min()) / np.ptp(stretched) * 255
    assert np.abs(examples[0][1].copy[:, ::-1] - stretched).max() <= 1
    with pytest.raises(ValueError, match="needs copies to plant"):
        plant(search, train, synthetic, ())


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda transform: transform.name)
def test_every_transform_changes_a_film_and_leaves_it_recognisable(transform: Transform) -> None:
    """Of any size, depth and shape; only the exact one changes nothing."""
    film = (draw_films(1, 0, 96)[0].astype(np.uint16) << 4)[:, :80]
    canvas = draw_films(1, 1, 64)[0]
    copies = [transform.apply(film, canvas, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert copies[0].dtype == np.uint8 and copies[0].shape == film.shape and np.ptp(copies[0]) > 40
    assert np.array_equal(copies[0], copies[1])
    exact = BY_NAME["exact"].apply(film, canvas, np.random.default_rng(0))
    assert np.array_equal(copies[0], exact) is (transform.name == "exact")
    assert np.ptp(exact) == 255
