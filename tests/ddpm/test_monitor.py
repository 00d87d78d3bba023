"""Measuring the samples of a run: what a row says, and that damage and copies move what they should."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine_bench.dataset.read import open_dataset
from cspine_bench.ddpm.films import Films, load_films
from cspine_bench.ddpm.monitor import References, Row, build_references, measure
from cspine_bench.errors import DataError
from cspine_bench.features.encoder import Encoder
from cspine_bench.metrics.frechet import frechet_distance

COUNT = 8


@pytest.fixture(scope="module")
def films(phantoms: Path) -> tuple[Films, Films]:
    folder = open_dataset(phantoms)
    return load_films(folder, "train", 64, at_least=1), load_films(folder, "validation", 64, at_least=1)


@pytest.fixture(scope="module")
def references(films: tuple[Films, Films]) -> References:
    return build_references(*films, count=COUNT, seed=3)


def to_samples(pixels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return np.rint(pixels / 257).astype(np.uint8)


@pytest.fixture(scope="module")
def copied(films: tuple[Films, Films], references: References) -> Row:
    """The row of samples that are all training radiographs."""
    return measure(references, to_samples(films[0].pixels[:COUNT]))


def test_a_row_says_what_its_figures_depend_on(films: tuple[Films, Films], references: References, copied: Row) -> None:
    assert json.loads(json.dumps(copied, allow_nan=False)) == copied
    encoder = references.encoder
    assert isinstance(encoder, Encoder)
    assert (copied["encoder"], copied["encoder_sha256"]) == (encoder.name, encoder.weights_sha256)
    counts = {"num_synthetic": COUNT, "num_real": len(films[1]), "num_train": len(films[0]), "num_blank": 0}
    assert {name: copied[name] for name in counts} == counts
    for name in ("frechet_distance", "kernel_distance", "frechet_distance_floor", "nearer_train_share"):
        assert copied[f"{name}_low"] <= copied[name] <= copied[f"{name}_high"]
    features = encoder.encode(to_samples(films[0].pixels[:COUNT]))
    expected = frechet_distance(real=encoder.encode(films[1].pixels), synthetic=features)
    assert copied["frechet_distance"] == pytest.approx(expected, rel=1e-5)


def test_copies_are_seen_and_radiographs_are_near(references: References, copied: Row) -> None:
    num_train, num_real = copied["num_train"], copied["num_real"]
    assert copied["num_beyond_holdout"] == COUNT and copied["num_beyond_expected"] == COUNT / (num_real + 1)
    assert copied["train_similarity"] > 0.99 > copied["holdout_similarity"]
    assert copied["nearer_train_share"] == 1 > copied["nearer_train_expected"] == num_train / (num_train + num_real)
    floor = copied["frechet_distance_floor_high"] - copied["frechet_distance_floor_low"]
    assert abs(copied["frechet_distance"] - copied["frechet_distance_floor"]) < floor
    assert copied["frechet_distance_floor"] == references.frechet_floor.value


def test_damage_raises_both_distances(references: References, films: tuple[Films, Films], copied: Row) -> None:
    noise = np.random.default_rng(0).normal(0, 25, (COUNT, 64, 64))
    damaged = np.clip(to_samples(films[0].pixels[:COUNT]) + noise, 0, 255).astype(np.uint8)
    row = measure(references, damaged)
    assert row["frechet_distance_low"] > copied["frechet_distance_high"]
    assert row["kernel_distance_low"] > copied["kernel_distance_high"]


def test_a_generator_that_makes_nothing_is_measured_too(references: References) -> None:
    row = measure(references, np.zeros((COUNT, 64, 64), np.uint8))
    assert row["num_blank"] == COUNT and row["train_similarity"] == 0 and row["num_beyond_holdout"] == 0
    assert row["frechet_distance"] > row["frechet_distance_floor_high"]


def test_the_same_seed_gives_the_same_row(references: References, films: tuple[Films, Films], copied: Row) -> None:
    assert measure(references, to_samples(films[0].pixels[:COUNT])) == copied


def test_too_few_radiographs_or_samples_are_refused(films: tuple[Films, Films], references: References) -> None:
    for count in (3, len(films[0]) + 1):
        with pytest.raises(DataError, match=r"set training\.monitor\.count to at least 4 and at most"):
            build_references(*films, count=count, seed=0)
    with pytest.raises(ValueError, match=r"expected 8 images of the radiographs' size, got shape \(7, 64, 64\)"):
        measure(references, np.zeros((7, 64, 64), np.uint8))
    with pytest.raises(ValueError, match=r"got shape \(8, 32, 32\)"):
        measure(references, np.zeros((8, 32, 32), np.uint8))
