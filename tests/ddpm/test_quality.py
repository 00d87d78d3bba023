"""Quality rules: failing images are turned away by the rule that names their fault, usual films are not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cspine_bench.dataset.read import open_dataset
from cspine_bench.ddpm.films import load_films
from cspine_bench.ddpm.quality import QUALITY_RULES, calibrate_rules, find_broken_rule, measure_noise
from cspine_bench.ddpm.training_set import describe_films
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.source import PhantomSource

SIZE = 96
Films = tuple[np.ndarray, np.ndarray]
Spoil = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def render(seed: int, count: int) -> Films:
    source = PhantomSource(PhantomRecipe(size=SIZE), count, seed)
    made = list(source.iter_radiographs(source.list_samples()))
    return np.stack([film.image for film in made]), np.stack([film.landmarks_xy for film in made])


@pytest.fixture(scope="module")
def limits() -> dict[str, float]:
    return calibrate_rules(*render(0, 60))


@pytest.fixture(scope="module")
def others() -> Films:
    return render(1, 24)


@pytest.mark.slow  # draws many films
def test_films_of_other_people_pass(limits: dict[str, float], others: Films) -> None:
    assert set(limits) == set(QUALITY_RULES)
    assert [find_broken_rule(image, points, limits) for image, points in zip(*others, strict=True)] == [None] * 24


def add_grain(image: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    grain = np.random.default_rng(0).normal(0, 30, image.shape)
    return np.clip(image + grain, 0, 255).astype(np.uint8), points


FAULTS: dict[str, list[tuple[Spoil, float]]] = {
    "blank": [(lambda image, points: (image // 12 + 100, points), 1.0)],
    "saturated": [(lambda image, points: (np.where(image > 90, 255, image).astype(np.uint8), points), 0.9)],
    "noise": [(add_grain, 1.0)],
    "skeleton": [
        (lambda image, points: (255 - image, points), 1.0),
        # Bodies told where the discs are: half a vertebra too low.
        (lambda image, points: (image, points + (0, (points[7, 1] - points[3, 1]) / 2)), 0.75),
    ],
}


@pytest.mark.parametrize("rule", QUALITY_RULES)
def test_a_spoiled_film_is_turned_away(limits: dict[str, float], others: Films, rule: str) -> None:
    for spoil, share in FAULTS[rule]:
        reasons = [
            find_broken_rule(*spoil(image, points), {rule: limits[rule]}) for image, points in zip(*others, strict=True)
        ]
        found = [reason for reason in reasons if reason is not None]
        assert len(found) >= share * len(reasons)
        assert all(reason.startswith(f"{rule}: measured ") for reason in found)


def test_what_cannot_be_measured_is_not_turned_away(limits: dict[str, float], others: Films) -> None:
    image, points = others[0][0], others[1][0].copy()
    assert find_broken_rule(255 - image, None, {"skeleton": limits["skeleton"]}) is None
    points[5] = np.nan
    assert find_broken_rule(255 - image, points, {"skeleton": limits["skeleton"]}) is None
    assert "skeleton" not in calibrate_rules(others[0], np.full_like(others[1], np.nan))


def test_noise_by_hand() -> None:
    image = np.full((5, 5), 100, np.uint8)
    image[2, 2] = 120
    # The pixel differs by 20 from its neighbours' mean, and each of the four neighbours by 5 from theirs.
    assert measure_noise(image) == pytest.approx(((20**2 + 4 * 5**2) / 25) ** 0.5)


def test_the_facts_of_a_training_set(phantoms: Path) -> None:
    films = load_films(open_dataset(phantoms), "train", 32, at_least=1)
    facts = describe_films(films)
    assert facts.num_films == len(films)
    assert facts.pixel_spacing_plane == "patient"
    assert sum(facts.classes["sex"].values()) == len(films)
    assert set(facts.limits) == set(QUALITY_RULES)
    assert describe_films(films) == facts
