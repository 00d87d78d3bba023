"""The search for copies, from folders to flags: copies are confirmed, honest images are not, whatever the inputs."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "dataset"))

from drawn_films import Films, MakeOnce, draw_films, open_films

from cspine_bench.errors import DataError
from cspine_bench.evaluate.memorization import search as search_module
from cspine_bench.evaluate.memorization.channels import Searcher, find_clusters, list_channels
from cspine_bench.evaluate.memorization.maps import make_map
from cspine_bench.evaluate.memorization.recipe import MemorizationRecipe
from cspine_bench.evaluate.memorization.search import CopySearch, search_copies
from cspine_bench.measurement.inputs import Images
from cspine_bench.measurement.work import Work
from cspine_bench.metrics.copying import remove_low_frequencies

FILMS = draw_films(90, 0)
QUICK = MemorizationRecipe(variants=("shifted",), regions=False, num_neighbours=20)
NOWHERE = Work(None, {})


def turn(film: Films, angle: float) -> Films:
    return ndimage.rotate(film, angle, reshape=False, order=1, mode="nearest")


@pytest.fixture(scope="module")
def train(make_once: MakeOnce) -> Images:
    return open_films(make_once, "train", "train", FILMS)


@pytest.fixture(scope="module")
def holdout(make_once: MakeOnce) -> Images:
    return open_films(make_once, "holdout", "holdout", draw_films(85, 1))


def search(train: Images, holdout: Images, synthetic: Images, recipe: MemorizationRecipe = QUICK) -> CopySearch:
    return search_copies(train, holdout, synthetic, recipe=recipe, seed=0, work=NOWHERE)


@pytest.mark.slow
def test_copies_are_confirmed_and_honest_images_are_not(train: Images, holdout: Images, make_once: MakeOnce) -> None:
    """Moves of every kind among honest images; and a part, by the part alone."""
    films = draw_films(14, 2)
    films[1] = FILMS[11]
    films[2] = 255 - np.roll(FILMS[12][:, ::-1], 2, axis=0)
    films[3] = turn(FILMS[13], 13)
    films[4] = np.rot90(FILMS[14])
    films[5, :, :32] = FILMS[15][:, :32]
    synthetic = open_films(make_once, "synthetic", "mixed", films)
    found = search(train, holdout, synthetic, MemorizationRecipe(num_neighbours=20))
    side = found.synthetic
    train_of = {sample: int(sample.removeprefix("train")) for sample in found.train_ids}
    number_of = [int(sample.removeprefix("mixed")) for sample in side.sample_ids]
    confirmed = {
        number_of[row]: train_of[found.train_ids[side.nearest.index[row, side.judgement.channel[row]]]]
        for row in np.flatnonzero(side.confirmed)
    }
    assert confirmed == {1: 11, 2: 12, 3: 13, 4: 14, 5: 15}
    channels = {number_of[row]: found.channels[side.judgement.channel[row]] for row in np.flatnonzero(side.confirmed)}
    assert channels[3].moves == "turned" and channels[4].moves == "upended" and channels[5].region == "left half"
    assert side.beyond[side.confirmed].all()
    assert np.isnan(side.registered[side.judgement.p_value > 0.05]).all()
    assert side.judgement.p_value.min() == 1 / (len(holdout) + 1)
    assert found.copies_of_holdout == () and found.lookalikes_excluded == ()
    assert not found.holdout.confirmed.any() and len(found.holdout.judgement.p_value) == len(holdout)
    assert found.holdout.judgement.p_value.min() == 1 / len(holdout)


def test_the_training_folder_itself_is_found_whole(train: Images, holdout: Images) -> None:
    found = search(train, holdout, train)
    assert found.synthetic.confirmed.all() and found.synthetic.listed.all()


def test_films_held_out_that_were_trained_on_are_no_null(train: Images, holdout: Images, make_once: MakeOnce) -> None:
    """The same pixels, the same patient, and the same film moved: each is left out and counted."""
    films = np.concatenate([FILMS[:3], draw_films(82, 3), np.roll(FILMS[3:4], 1, axis=2)])
    groups = [f"own{number}" for number in range(len(films))]
    groups[5] = "train7"
    leaking = open_films(make_once, "holdout", "leaking", films, groups)
    found = search(train, leaking, holdout)
    assert found.duplicates_excluded == ("leaking0000000", "leaking0000001", "leaking0000002")
    assert found.patients_excluded == ("leaking0000005",)
    assert found.lookalikes_excluded == ("leaking0000085",)
    assert len(found.holdout_ids) == 81 and not found.synthetic.confirmed.any()
    with pytest.raises(DataError, match="of 90 films held out, 90 are training films"):
        search(train, train, holdout)


def test_synthetic_copies_of_films_held_out_are_told(train: Images, holdout: Images) -> None:
    """Sides that were given the wrong way round, or a generator that was trained on both."""
    found = search(train, holdout, holdout)
    assert set(found.copies_of_holdout) == set(holdout.sample_ids)
    assert not found.synthetic.confirmed.any()


def test_a_killed_search_goes_on(make_once: MakeOnce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = open_films(make_once, "train", "few", FILMS[:18])
    holdout = open_films(make_once, "holdout", "fewer", draw_films(17, 1))
    monkeypatch.setattr(search_module, "BLOCK_IMAGES", 8)
    given = {"recipe": QUICK, "seed": 0, "work": Work(tmp_path, {"inputs": "a"})}
    told: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        if done >= 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search_copies(train, holdout, train, **given, on_progress=stop)
    assert told == [(8, 35), (16, 35)]
    kept = len(list(tmp_path.glob("*.npz")))
    assert kept == 3  # patients and duplicates, and two blocks
    searched = []
    monkeypatch.setattr(
        Searcher, "search", lambda self, maps, real=Searcher.search: searched.append(1) or real(self, maps)
    )
    resumed = search_copies(train, holdout, train, **given)
    assert len(searched) == 3  # what was left of the films held out, and the synthetic images against both sides
    whole = search(train, holdout, train)
    assert np.array_equal(resumed.synthetic.judgement.tail_p_value, whole.synthetic.judgement.tail_p_value)


def test_duplicates_of_a_film_do_not_hide_its_copy() -> None:
    films = np.concatenate([FILMS, FILMS[:1], np.roll(FILMS[:1], 1, axis=2)])
    maps = remove_low_frequencies(films)
    clusters = find_clusters(maps, [str(number) for number in range(len(films))])
    assert clusters[0] == clusters[90] == clusters[91] and len(set(clusters)) == 90
    assert find_clusters(maps[1:4], ["a", "b", "a"]).tolist() == [0, 1, 0]
    copy = remove_low_frequencies(255 - FILMS[:1])
    channels = list_channels(QUICK)
    told, untold = (
        Searcher(maps, channels, clusters=numbers, num_neighbours=3).search(copy).ratio[0, 0]
        for numbers in (clusters, np.arange(len(films)))
    )
    assert told < 0.01 and told < untold


def test_any_size_depth_and_shape_becomes_a_map() -> None:
    film = draw_films(1, 5, side=256)[0]
    expected = make_map(film)
    deep = make_map(film.astype(np.uint16) * 257)
    assert expected.shape == make_map(film[:20, :30]).shape == make_map(film[:100]).shape == (64, 64)
    assert np.corrcoef(expected.ravel(), deep.ravel())[0, 1] == pytest.approx(1)
    small = make_map(film.reshape(32, 8, 32, 8).mean((1, 3)).astype(np.uint8))
    assert np.corrcoef(expected.ravel(), small.ravel())[0, 1] > 0.9


def test_a_few_bright_pixels_do_not_make_a_map() -> None:
    film = draw_films(1, 6)[0]
    spoiled = film.copy()
    spoiled[np.random.default_rng(0).integers(0, 64, 80), np.random.default_rng(1).integers(0, 64, 80)] = 255
    expected, found = make_map(film), make_map(spoiled)
    raw = [remove_low_frequencies(one[None])[0].ravel() for one in (film, spoiled)]
    assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.93 > 0.88 > np.corrcoef(*raw)[0, 1]
    # A small bright square on black: nothing but outliers, so nothing is cut.
    square = np.zeros((64, 64), np.uint8)
    square[30:34, 30:34] = 200
    assert np.array_equal(make_map(square), remove_low_frequencies(square[None])[0])
