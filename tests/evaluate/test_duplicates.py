"""Duplicates and leakage: planted ones are named, honest ones are not, and the threshold is what it says."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage, stats

from cspine_bench.evaluate.memorization.duplicates import (
    EXPECTED_FALSE,
    Films,
    Twins,
    find_threshold,
    measure_duplicates,
)
from cspine_bench.evaluate.memorization.leakage import measure_leakage
from cspine_bench.metrics.copying import remove_low_frequencies
from cspine_bench.results import Figure

Pixels = NDArray[np.uint8]


def draw_pixels(count: int, seed: int) -> Pixels:
    """Films that share their anatomy, each with structure of its own."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[:64, :64] / 64
    fine = ndimage.gaussian_filter(draw.normal(size=(count, 64, 64)), (0, 2, 2)) * 150
    return np.clip(120 + 80 * np.sin(5 * rows) * np.cos(3 * columns) + fine, 0, 255).astype(np.uint8)


def make_films(pixels: Pixels, name: str, groups: list[str] | None = None) -> Films:
    ids = [f"{name}{number}" for number in range(len(pixels))]
    digests = [f"{hash(film.tobytes()):x}" for film in pixels]
    return Films(remove_low_frequencies(pixels), ids, groups or ids, digests)


TRAIN = make_films(draw_pixels(80, 0), "t")
HOLDOUT = make_films(draw_pixels(40, 1), "h")


def get(figures: tuple[Figure, ...], kind: str) -> Figure:
    return next(figure for figure in figures if figure.condition == {"kind": kind})


def test_an_honest_release_has_none() -> None:
    told = []
    found = measure_duplicates(
        synthetic=make_films(draw_pixels(60, 2), "s"), train=TRAIN, holdout=HOLDOUT,
        on_progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert found.pairs == () and found.groups == () and found.not_measured == () and told == [(60, 60)]
    for kind in ("exact", "near"):
        figure = get(found.figures, kind)
        assert figure.value == 0 and figure.interval is not None
        # None of 60, 95 %, two-sided.
        assert figure.interval.high == pytest.approx(1 - 0.025 ** (1 / 60))
    floor = get(found.figures, "near").floor
    assert floor is not None and floor.value == 0 and floor.n_used == (40, 80)
    assert found.honest.max() < found.threshold < 0.9


def test_planted_twins_are_named() -> None:
    pixels = draw_pixels(60, 2)
    pixels[10] = pixels[20] = pixels[30]  # the same three times
    pixels[5] = 255 - np.roll(pixels[6], 1, axis=1)[:, ::-1]  # moved, mirrored, inverted
    noise = np.random.default_rng(3).normal(0, 4, (64, 64))
    pixels[41] = np.clip(pixels[40] + noise, 0, 255)
    found = measure_duplicates(synthetic=make_films(pixels, "s"), train=TRAIN, holdout=HOLDOUT)
    assert found.groups == (("s10", "s20", "s30"), ("s40", "s41"), ("s5", "s6"))
    assert [(one.kind, one.first, one.second) for one in found.pairs[:2]] == [
        ("exact", "s10", "s20"),
        ("exact", "s10", "s30"),
    ]
    assert {one.kind for one in found.pairs[2:]} == {"near"}
    assert {(one.first, one.second) for one in found.pairs[2:]} == {("s5", "s6"), ("s40", "s41")}
    assert get(found.figures, "exact").value == 3 / 60
    near = get(found.figures, "near")
    assert near.value == 7 / 60 and "in 3 groups" in near.note and near.interval is not None
    # Three twins are one trial: 56 images in all.
    assert near.interval.low > 0.03
    assert found.similarity[[5, 40]].min() > found.threshold and found.index[5] == 6


def test_equal_blank_images_are_duplicates() -> None:
    pixels = draw_pixels(30, 4)
    pixels[:2] = 0
    found = measure_duplicates(synthetic=make_films(pixels, "s"), train=TRAIN, holdout=HOLDOUT)
    assert found.pairs == (Twins("exact", "s0", "s1", 1.0),)


def test_leaks_are_found_though_training_films_are_double() -> None:
    """A fifth of the training films are there twice, under names of other patients: that must not raise the bar."""
    train_pixels, holdout_pixels = draw_pixels(80, 0), draw_pixels(40, 1)
    train_pixels[:8] = train_pixels[8:16]
    holdout_pixels[3] = train_pixels[50]
    holdout_pixels[7] = np.clip(train_pixels[60] * 0.8 + 20, 0, 255)
    groups = HOLDOUT.sample_ids[:]
    groups[11] = "t70"
    train, holdout = make_films(train_pixels, "t"), make_films(holdout_pixels, "h", list(groups))
    found = measure_leakage(train=train, holdout=holdout)
    assert [(one.kind, one.first, one.second) for one in found.pairs] == [
        ("exact", "h3", "t50"), ("near", "h3", "t50"), ("near", "h7", "t60"), ("group", "h11", "t70"),
    ]  # fmt: skip
    assert {figure.condition["kind"]: figure.value for figure in found.figures} == {
        "exact": 1 / 40, "near": 2 / 40, "group": 1 / 40,
    }  # fmt: skip
    clean = measure_leakage(train=TRAIN, holdout=HOLDOUT)
    assert clean.pairs == () and all(figure.value == 0 for figure in clean.figures)


def test_films_of_one_patient_may_be_alike() -> None:
    """Every training film has a sister that is all but the same: how alike patients are is seen in others' films."""
    pixels = draw_pixels(40, 0)
    sisters = np.clip(pixels.astype(float) + np.random.default_rng(0).normal(0, 3, pixels.shape), 0, 255)
    groups = [f"p{number % 40}" for number in range(80)]
    train = make_films(np.concatenate([pixels, sisters.astype(np.uint8)]), "t", groups)
    assert measure_leakage(train=train, holdout=HOLDOUT).honest.max() < 0.8


@pytest.mark.parametrize("num_copies", [0, 30])
def test_the_threshold_lets_few_through(num_copies: int) -> None:
    """Pairs whose z is normal: how many of 2,000 x 50 lie beyond it is known; with copies there are fewer."""
    draw = np.random.default_rng(5)
    counts = []
    for _ in range(60):
        honest = np.tanh(0.3 + 0.1 * draw.normal(size=(200, 100)).max(axis=1))
        honest[:num_copies] = 0.99
        threshold = find_threshold(honest, num_references=100, num_images=2000, num_compared=50)
        counts.append(2000 * 50 * stats.norm.sf((np.arctanh(threshold) - 0.3) / 0.1))
        assert threshold < 0.9
    assert np.quantile(counts, 0.85) < EXPECTED_FALSE
    if num_copies == 0:
        assert np.median(counts) > EXPECTED_FALSE / 50


def test_too_few_films_measure_nothing() -> None:
    few = make_films(draw_pixels(9, 1), "h")
    found = measure_duplicates(synthetic=make_films(draw_pixels(5, 2), "s"), train=TRAIN, holdout=few)
    assert [figure.condition["kind"] for figure in found.figures] == ["exact"]
    assert "9 films" in found.not_measured[0] and np.isnan(found.threshold)
    assert np.isnan(find_threshold(np.full(50, 0.4), num_references=10, num_images=5, num_compared=5))
    with pytest.raises(ValueError, match="at least 2 images"):
        measure_duplicates(synthetic=make_films(draw_pixels(1, 2), "s"), train=TRAIN, holdout=HOLDOUT)
    with pytest.raises(ValueError, match="a map, an id, a group and a hash"):
        Films(TRAIN.maps, ["t0"], ["t0"], ["0"])
