"""The watch for copies: planted ones are found whatever was done to them, honest images are left alone."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage, stats

from cspine_bench.metrics import copying
from cspine_bench.metrics.copying import (
    compute_chance_nearer,
    compute_similarity,
    count_trials,
    find_neighbours,
    remove_low_frequencies,
    watch_copying,
)


def draw_films(count: int, seed: int) -> NDArray[np.uint8]:
    """Films that share their anatomy, each with fine structure of its own; uint8 (count, 64, 64)."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[:64, :64] / 64
    anatomy = 120 + 80 * np.sin(5 * rows) * np.cos(3 * columns)
    fine = ndimage.gaussian_filter(draw.normal(size=(count, 64, 64)), (0, 2, 2)) * 160
    return np.clip(np.rint(anatomy + fine + draw.normal(0, 3, fine.shape)), 0, 255).astype(np.uint8)


TRAIN, HOLDOUT, HONEST = draw_films(200, 0), draw_films(40, 1), draw_films(80, 2)
TRAIN_MAPS, HOLDOUT_MAPS = remove_low_frequencies(TRAIN), remove_low_frequencies(HOLDOUT)


@pytest.fixture(scope="module")
def highest() -> float:
    """Similarity of the film held out that is most like a training film."""
    return float(find_neighbours(images=HOLDOUT_MAPS, references=TRAIN_MAPS).similarity.max())


CHANGES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "none": lambda films: films,
    "shifted": lambda films: np.roll(films, (2, -1), axis=(1, 2)),
    "contrast": lambda films: 60 + 0.5 * films,
    "inverted": lambda films: 255 - films,
    "gamma": lambda films: 255 * (films / 255) ** 0.7,
    "noisy": lambda films: films + np.random.default_rng(3).normal(0, 8, films.shape),
    "shifted and inverted": lambda films: 255 - np.roll(films, (-2, 2), axis=(1, 2)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_planted_copy_is_found(change: str, highest: float) -> None:
    planted = np.clip(np.rint(CHANGES[change](TRAIN[:8].astype(np.float64))), 0, 255).astype(np.uint8)
    found = find_neighbours(images=remove_low_frequencies(planted), references=TRAIN_MAPS)
    assert found.index.tolist() == list(range(8))
    assert found.similarity.min() > highest


def test_the_watch_tells_copies_from_honest_images(highest: float) -> None:
    def watch(films: NDArray[np.uint8]) -> copying.CopyingWatch:
        return watch_copying(
            synthetic=remove_low_frequencies(films),
            train=TRAIN_MAPS,
            holdout=HOLDOUT_MAPS,
            largest_holdout_similarity=highest,
        )

    honest = watch(HONEST)
    assert honest.expected_share == 200 / 240
    assert honest.share_nearer_train.low < 200 / 240 < honest.share_nearer_train.high
    assert honest.matched_share.low < 0.5 < honest.matched_share.high
    # One of 41 is expected to be the largest, were all of them held out.
    assert honest.num_beyond_holdout <= 5
    some = watch(np.concatenate([HONEST[:70], 255 - TRAIN[40:50]]))
    assert some.train.index[70:].tolist() == list(range(40, 50))
    assert some.train.similarity[:70].max() < 0.9 < some.train.similarity[70:].min()
    assert some.num_beyond_holdout == 10 + int((honest.train.similarity[:70] > highest).sum())
    copied = watch(TRAIN[100:180])
    assert copied.share_nearer_train.low > 200 / 240 and copied.num_beyond_holdout == 80


def test_blocks_change_nothing(highest: float, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = remove_low_frequencies(HONEST)
    sets = {"train": TRAIN_MAPS, "holdout": HOLDOUT_MAPS, "largest_holdout_similarity": highest, "max_shift_px": 1}
    whole = watch_copying(synthetic=maps, **sets)
    neighbours = find_neighbours(images=maps, references=TRAIN_MAPS, max_shift_px=1)
    monkeypatch.setattr(copying, "_BLOCK_ROWS", 33)
    assert np.array_equal(remove_low_frequencies(HONEST), maps)
    parts = watch_copying(synthetic=maps, **sets)
    assert parts.train.index.tolist() == whole.train.index.tolist() == neighbours.index.tolist()
    assert parts.share_nearer_train == whole.share_nearer_train
    assert parts.matched_share.value == pytest.approx(whole.matched_share.value)
    again = find_neighbours(images=maps, references=TRAIN_MAPS, max_shift_px=1)
    assert again.index.tolist() == neighbours.index.tolist()
    assert np.allclose(again.similarity, whole.train.similarity, atol=1e-6)


def test_similarity_is_the_largest_correlation_of_windows() -> None:
    images, references = remove_low_frequencies(HONEST[:3], side=16), TRAIN_MAPS[:2, :16, :16]
    expected = np.zeros((3, 2))
    for i, j, dy, dx in np.ndindex(3, 2, 3, 3):
        window = images[i, dy : dy + 14, dx : dx + 14].ravel()
        correlation = np.corrcoef(window, references[j, 1:15, 1:15].ravel())[0, 1]
        expected[i, j] = max(expected[i, j], abs(correlation))
    assert np.allclose(compute_similarity(images=images, references=references, max_shift_px=1), expected, atol=1e-5)


def test_averaging_down_is_by_blocks_and_depth_does_not_matter() -> None:
    large = np.kron(HONEST[:2], np.ones((4, 4), np.uint8))
    assert np.allclose(remove_low_frequencies(large), remove_low_frequencies(HONEST[:2]), atol=1e-3)
    assert remove_low_frequencies(HONEST[:1, :50, :30]).shape == (1, 50, 30)
    deep = remove_low_frequencies(HONEST.astype(np.uint16) * 257)
    assert np.allclose(compute_similarity(images=deep, references=remove_low_frequencies(HONEST)).diagonal(), 1)


def test_a_blank_image_is_like_nothing() -> None:
    for level in (0, 7, 255):
        blank = remove_low_frequencies(np.full((1, 256, 256), level, np.uint8))
        assert compute_similarity(images=blank, references=TRAIN_MAPS).max() == 0


def test_the_chance_is_that_of_every_subset() -> None:
    draw = np.random.default_rng(4)
    train, holdout = draw.integers(0, 9, (6, 5)).astype(float), draw.integers(0, 9, (6, 3)).astype(float)
    expected = np.zeros(6)
    subsets = [np.array(rows) for rows in np.ndindex(5, 5, 5) if len(set(rows)) == 3]
    for row in range(6):
        best = [train[row, subset].max() for subset in subsets]
        high = holdout[row].max()
        expected[row] = np.mean([1.0 if found > high else 0.5 if found == high else 0.0 for found in best])
    assert np.allclose(compute_chance_nearer(train, holdout), expected)
    assert np.allclose(compute_chance_nearer(holdout, train), 1 - expected)


def test_the_share_of_an_honest_generator_is_the_expected_one() -> None:
    """Bad images or good ones: 5 of 6 films were trained on, and the intervals cover as often as they say."""
    draw, trials = np.random.default_rng(5), 200
    covered, shares = np.zeros(2, int), []
    for trial in range(trials):
        images, train, holdout = (draw.normal(size=(count, 4, 4)).astype(np.float32) for count in (60, 100, 20))
        images[:, trial % 2 :, 0] = 0  # unlike any film, in every second trial
        found = watch_copying(
            synthetic=images, train=train, holdout=holdout, largest_holdout_similarity=1.0, max_shift_px=0
        )
        pairs = ((found.share_nearer_train, found.expected_share), (found.matched_share, 0.5))
        covered += [interval.low <= truth <= interval.high for interval, truth in pairs]
        shares.append([interval.value - truth for interval, truth in pairs])
    assert np.all(np.abs(np.mean(shares, axis=0)) < 4 * np.std(shares, axis=0) / np.sqrt(trials))
    # Fewer happen once in 10,000 tests where the chance is 0.93.
    assert (covered >= stats.binom.ppf(1e-4, trials, 0.93)).all(), covered


def test_films_that_are_the_nearest_of_many_images_are_no_copying() -> None:
    """Films of little grain are; counted as so many trials each, the interval covers 154 times of 200."""
    draw, trials, covered = np.random.default_rng(6), 200, 0
    common = draw.normal(size=(6, 6))

    def draw_films_of_any_grain(count: int) -> NDArray[np.float32]:
        grain = np.exp(draw.normal(0, 0.4, (count, 1, 1)))
        return (common + grain * draw.normal(size=(count, 6, 6))).astype(np.float32)

    for _ in range(trials):
        images, train, holdout = map(draw_films_of_any_grain, (60, 100, 20))
        found = watch_copying(
            synthetic=images, train=train, holdout=holdout, largest_holdout_similarity=1.0, max_shift_px=0
        )
        covered += found.share_nearer_train.low <= found.expected_share <= found.share_nearer_train.high
    assert covered >= stats.binom.ppf(1e-4, trials, 0.93)


def test_images_of_one_film_are_one_trial() -> None:
    assert count_trials(np.arange(10), num_films=100) == 10
    assert count_trials(np.full(10, 3), num_films=4) == 1
    # Each label is 1 with p = 1/2: of all ways to deal 2 of 4 films, the share's variance is p (1 - p) / trials.
    nearest = np.array([0, 0, 0, 1, 1, 2])
    shares = [np.isin(nearest, dealt).mean() for dealt in itertools.combinations(range(4), 2)]
    assert 0.25 / np.var(shares) == pytest.approx(count_trials(nearest, num_films=4))


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        remove_low_frequencies(HONEST[:0])
    with pytest.raises(ValueError, match="maps must be of one size"):
        compute_similarity(images=TRAIN_MAPS[:1, :32], references=TRAIN_MAPS)
    with pytest.raises(ValueError, match="larger than twice the shift"):
        compute_similarity(images=TRAIN_MAPS[:1, :4, :4], references=TRAIN_MAPS[:, :4, :4])
