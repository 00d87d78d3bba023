"""Detectors of synthetic images: honest about chance, sure of what is planted, and never trained on what they test."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parent.parent / "dataset"))
sys.path.insert(0, str(Path(__file__).parent.parent / "features"))

from toy_encoder import make_encoder
from toy_source import ToySource

from cspine_bench.dataset.source import SampleKey
from cspine_bench.dataset.write import write_dataset
from cspine_bench.evaluate.fidelity import detectability
from cspine_bench.evaluate.fidelity.detectability import FEATURES, SPECTRUM, Detectability, measure_detectability
from cspine_bench.evaluate.fidelity.detector import (
    cross_fit,
)
from cspine_bench.evaluate.fidelity.detector_statistics import (
    describe_statistics,
)
from cspine_bench.evaluate.fidelity.recipe import FidelityRecipe
from cspine_bench.evaluate.fidelity.transmission import degrade_images, measure_transmission
from cspine_bench.features.store import FeatureStore
from cspine_bench.imaging.degrade import TRANSMISSION
from cspine_bench.measurement.inputs import open_images
from cspine_bench.measurement.work import Work

Films = NDArray[np.uint8]


def draw_films(count: int, seed: int, side: int = 32) -> Films:
    """Films of one kind: smooth structure, fine grain."""
    draw = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(draw.normal(size=(count, side, side)), (0, 3, 3)) * 120
    return np.clip(128 + smooth + draw.normal(0, 8, smooth.shape), 5, 250).astype(np.uint8)


def test_a_fingerprint_of_fine_structure_is_lost_on_the_way() -> None:
    """The detector that knows a checkered pattern sees less and less of it, the smaller the image has been."""
    real, made = draw_films(40, 20), draw_films(40, 21).astype(int)
    made += np.where(np.indices((32, 32)).sum(axis=0) % 2 == 0, 5, -5)
    films = np.concatenate([real, made.clip(0, 255).astype(np.uint8)])
    synthetic, units = np.arange(80) >= 40, np.arange(80)
    rungs = tuple(rung for rung in TRANSMISSION if rung.name == "resize")

    def describe(images: list[Films]) -> NDArray[np.float64]:
        return np.stack([describe_statistics(image) for image in images])

    clean = describe(list(films))
    fitted = cross_fit(
        views={SPECTRUM: clean[:, :18]}, synthetic=synthetic, units=units, generator=np.random.default_rng(0)
    )
    seen = np.stack(
        [describe([rung.apply(film, np.random.default_rng(0)) for film in films])[:, :18] for rung in rungs], axis=1
    )
    found = measure_transmission(
        fit=fitted, rows=units, seen={SPECTRUM: seen}, synthetic=synthetic, units=units, seed=0, rungs=rungs
    )
    areas = [rung.stronger.value for rung in found]
    assert areas[0] > 0.98
    assert areas[0] >= areas[1] > areas[2] - 0.05 and areas[3] < 0.7
    assert found[3].retrained is not None and found[3].retrained.low < 0.6


@dataclass(frozen=True)
class FilmSource(ToySource):
    """Given films, one or more of each patient, whose name begins with `origin`."""

    origin: str = "real"
    films_of_patient: int = 1

    def _key(self, index: int) -> SampleKey:
        key = super()._key(index)
        return SampleKey(
            f"{self.origin[:8]}{index:08d}", f"{self.origin}-{index // self.films_of_patient}", str(index), key.strata
        )


def write_films(path: Path, films: Films, origin: str, films_of_patient: int = 1) -> Path:
    broken = {index: {"image": film, "mask": None, "mask_levels": None} for index, film in enumerate(films)}
    side = films.shape[1]
    write_dataset(
        FilmSource(len(films), size=side, broken=broken, origin=origin, films_of_patient=films_of_patient), path
    )
    return path


SMALL = FidelityRecipe(detectability_count=60, num_floors=2, transmission_count=0, map_count=0)


def measure(
    tmp_path: Path, real: Films, synthetic: Films, recipe: FidelityRecipe = SMALL, *, films_of_patient: int = 1
) -> Detectability:
    encoder, _ = make_encoder()
    sides = [
        open_images(role, write_films(tmp_path / role, films, role, films_of_patient))
        for role, films in (("real", real), ("synthetic", synthetic))
    ]
    store = FeatureStore(tmp_path / "store", encoder)
    return measure_detectability(*sides, encoder, recipe=recipe, seed=1, work=Work(None, {}), store=store)


def test_two_halves_of_one_source_are_not_told_apart(tmp_path: Path) -> None:
    recipe = SMALL.model_copy(update={"map_count": 10})
    found = measure(tmp_path, draw_films(100, 31), draw_films(50, 32), recipe)
    assert [figure.condition for figure in found.figures] == [{}, {"detector": FEATURES}, {"detector": SPECTRUM}]
    for figure in found.figures:
        assert figure.interval is not None and figure.interval.low < 0.5 < figure.interval.high
        assert figure.floor is not None and figure.floor.low < 0.5 < figure.floor.high
        assert figure.floor.n_used == (50, 50)
        assert (figure.n_used, figure.n_available) == ({"real": 50, "synthetic": 50}, {"real": 100, "synthetic": 50})
        assert figure.direction == "lower"
    assert "not that there is none" in found.figures[0].note
    assert found.notes == () and found.rungs == ()
    assert found.map is not None and found.map.p_value > 0.05 and not found.map.significant.any()
    assert found.scores is not None and len(set(found.scores.sample_ids)) == 100
    assert found.scores.sides == ("real",) * 50 + ("synthetic",) * 50
    contributions = sum(clue.contribution for clue in found.clues)
    gaps = [
        found.scores.by_detector[SPECTRUM][here & (side == "synthetic")].mean()
        - found.scores.by_detector[SPECTRUM][here & (side == "real")].mean()
        for side in [np.array(found.scores.sides)]
        for here in (found.scores.fold == fold for fold in range(5))
    ]
    assert contributions == pytest.approx(np.mean(gaps), abs=1e-6)


@pytest.mark.slow  # learns to tell many images apart
def test_a_planted_mark_is_seen_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A brighter corner, lower right. The next run of the same reads nothing twice, and says the same."""
    rungs = TRANSMISSION[::4]  # each costs as much as the rest of this test
    monkeypatch.setattr(detectability, "TRANSMISSION", rungs)
    real, made = draw_films(60, 3), draw_films(40, 4)
    made[:, 25:32, 25:32] = np.minimum(made[:, 25:32, 25:32].astype(int) + 60, 250)
    recipe = SMALL.model_copy(update={"detectability_count": 40, "map_count": 10, "transmission_count": 20})
    encoder, counter = make_encoder()
    sides = [
        open_images(role, write_films(tmp_path / role, films, role))
        for role, films in (("real", real), ("synthetic", made))
    ]
    store, told = FeatureStore(tmp_path / "store", encoder), []

    def run() -> Detectability:
        work = Work(tmp_path / "work", {"seed": 1})
        return measure_detectability(
            *sides, encoder, recipe=recipe, seed=1, work=work, store=store,
            on_progress=lambda done, total: told.append((done, total)),
        )  # fmt: skip

    found = run()
    whole = {tuple(figure.condition.items()): figure for figure in found.figures}
    assert whole[()].value > 0.95
    floor = whole[()].floor
    assert floor is not None and floor.n_used == (30, 30) and abs(floor.value - 0.5) < 0.25
    assert floor.matched is not None and floor.matched > 0.9
    assert found.map is not None and found.map.p_value < 0.01
    assert np.unravel_index(found.map.statistic.argmax(), (8, 8)) in {(r, c) for r in (6, 7) for c in (6, 7)}
    assert not found.map.significant[:5, :5].any()
    assert found.mean_synthetic is not None and found.mean_real is not None
    change = found.mean_synthetic - found.mean_real
    assert change[108:120, 108:120].mean() > 0.15 and abs(change[:64, :64].mean()) < 0.05
    assert len(found.rungs) == 1 + len(rungs)
    assert len(found.figures) == 3 + 1 + 2 * len(rungs)
    assert found.rungs[1].stronger.value > 0.9
    assert told[-1][0] == told[-1][1]
    encoded = counter.num_encoded
    recipe = recipe.model_copy(update={"transmission_count": 0})
    again = run()
    assert counter.num_encoded == encoded
    assert again.figures == found.figures[:3]
    assert again.map is not None
    assert told[-1] == (60 + 40 + again.map.num_images * 2,) * 2  # what was kept counts as done
    np.testing.assert_array_equal(again.map.change, found.map.change)


def test_what_is_random_on_the_way_belongs_to_the_image(tmp_path: Path) -> None:
    encoder, counter = make_encoder()
    images = open_images("real", write_films(tmp_path / "films", draw_films(12, 12), "real"))
    rungs = TRANSMISSION[-2:]

    def degrade(rows: list[int], work: Work, seed: int = 1) -> NDArray[np.float64]:
        return degrade_images(
            images, "real", np.array(rows), encoder, views=(FEATURES, SPECTRUM), rungs=rungs, seed=seed, work=work,
            key={}, on_image=lambda: None,
        )[FEATURES]  # fmt: skip

    kept = Work(tmp_path / "work", {})
    whole = degrade([7, 2, 5], kept)
    assert whole.shape == (3, 2, 16)
    np.testing.assert_array_equal(degrade([5], Work(None, {}))[0], whole[2])
    assert not np.array_equal(degrade([5], Work(None, {}), seed=2)[0], whole[2])
    encoded = counter.num_encoded
    np.testing.assert_array_equal(degrade([2, 5, 7], kept), whole[[1, 2, 0]])
    assert counter.num_encoded == encoded


def test_blurred_images_are_seen_by_their_spectrum(tmp_path: Path) -> None:
    blurred = np.stack([ndimage.gaussian_filter(film.astype(float), 0.7) for film in draw_films(40, 6)])
    found = measure(tmp_path, draw_films(40, 5), blurred.astype(np.uint8))
    areas = {figure.condition.get("detector"): figure.value for figure in found.figures}
    assert areas[SPECTRUM] > 0.98 and areas[None] > 0.98
    assert areas[FEATURES] < 0.8  # means of blocks hide it
    assert set(found.chosen) == {SPECTRUM}
    highest = next(clue for clue in found.clues if clue.band == (0.46875, 0.5))
    assert highest.auroc.high < 0.1 and highest.synthetic < highest.real
    floor = found.figures[0].floor
    assert floor is not None and floor.n_used == (20, 20)


def test_images_of_other_making_are_named(tmp_path: Path) -> None:
    """Here are too few real images for two sides of 20, so there is no floor."""
    bordered = draw_films(30, 8, side=40)
    bordered[:, :2] = 0
    found = measure(tmp_path, draw_films(30, 7), bordered)
    named = [note.split(" alone")[0] for note in found.notes]
    assert named == ["the width", "the height", "the width of a plain border", "the darkest level"]
    assert len(found.figures) == 3 and all(figure.floor is None for figure in found.figures)


def test_copies_can_not_be_told_apart_and_are_named(tmp_path: Path) -> None:
    films = draw_films(30, 9)
    found = measure(tmp_path, films, films)
    assert found.figures[0].value == 0.5
    assert found.notes[0].startswith("30 of 30 synthetic images have the very pixels of a real one")


@pytest.mark.parametrize(
    ("count", "films_of_patient", "reason"),
    [(19, 1, "at least 20 images of each side"), (60, 6, "at least 20 patients or anatomies of each side")],
)
def test_too_few_are_not_measured(tmp_path: Path, count: int, films_of_patient: int, reason: str) -> None:
    found = measure(tmp_path, draw_films(60, 10), draw_films(count, 11), films_of_patient=films_of_patient)
    assert found.figures == () and found.scores is None
    assert found.not_measured.startswith("not measured") and reason in found.not_measured
