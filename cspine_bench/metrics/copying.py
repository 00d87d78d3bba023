"""A watch for copies: is a synthetic image nearer to the films that were trained on than to films held out?

Radiographs of one kind share their anatomy, so as they are, all of them look alike. Without their low frequencies they
do not; and the films held out say how alike two honest images are. No weights are needed.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import gammaln

from cspine_bench.metrics.intervals import CONFIDENCE, Estimate, wilson_interval

SIDE_PX: Final = 64
MAX_SHIFT_PX: Final = 2
_BLUR_SHARE: Final = 1 / 16
_BLOCK_ROWS: Final = 2048

Maps = NDArray[np.float32]


@dataclass(frozen=True)
class Neighbours:
    """The most similar reference of each image.

    Attributes:
        similarity: float32 (n,), 0..1.
        index: int64 (n,), of the reference.
    """

    similarity: NDArray[np.float32]
    index: NDArray[np.int64]


@dataclass(frozen=True)
class CopyingWatch:
    """Synthetic images against the films trained on and the films held out.

    Attributes:
        train: nearest film of the training set, for each synthetic image; of all of them.
        holdout: nearest film held out.
        share_nearer_train: share of synthetic images that are nearer to the training set, ties one half. Its interval
            is Wilson's, of as many trials as `count_trials` finds: for other images, and other films.
        expected_share: the same where nothing is copied, N / (N + M) for N training films and M held out.
        matched_share: as the first, were the larger set thinned at random to the other's size; 1/2 where nothing is
            copied. It is what others report, and hardly moves where the training set is much the larger one.
        num_beyond_holdout: synthetic images more similar to a training film than any film held out is.
    """

    train: Neighbours
    holdout: Neighbours
    share_nearer_train: Estimate
    expected_share: float
    matched_share: Estimate
    num_beyond_holdout: int


def remove_low_frequencies(images: NDArray[Any], *, side: int = SIDE_PX) -> Maps:
    """Images averaged down, less their blurred selves.

    Args:
        images: uint8 or uint16 (N, height, width), gray.
        side: of the result, px; smaller images keep their size.

    Returns:
        float32 (N, rows, columns), each at most `side`; the units are those of the images.

    Raises:
        ValueError: the images are not (N, height, width), or there are none.
    """
    if images.ndim != 3 or 0 in images.shape:
        raise ValueError(f"images must be (N, height, width) with at least one image, got shape {images.shape}")
    rows, columns = (np.unique(np.arange(side) * length // side) for length in images.shape[1:])
    areas = np.outer(np.diff([*rows, images.shape[1]]), np.diff([*columns, images.shape[2]])).astype(np.float32)
    sigma = _BLUR_SHARE * max(areas.shape)
    sharp = np.empty((len(images), *areas.shape), np.float32)
    for start in range(0, len(images), _BLOCK_ROWS):
        block = images[start : start + _BLOCK_ROWS].astype(np.float32)
        small = np.add.reduceat(np.add.reduceat(block, rows, axis=1), columns, axis=2) / areas
        sharp[start : start + len(block)] = small - ndimage.gaussian_filter(small, (0, sigma, sigma), mode="nearest")
    return sharp


def find_neighbours(*, images: Maps, references: Maps, max_shift_px: int = MAX_SHIFT_PX) -> Neighbours:
    """The most similar reference of each image.

    Args:
        images: float32 (n, S, S), from `remove_low_frequencies`.
        references: float32 (m, S, S), likewise.
        max_shift_px: see `compute_similarity`.
    """
    best, index = np.full(len(images), -1, np.float32), np.zeros(len(images), np.int64)
    for start in range(0, len(references), _BLOCK_ROWS):
        block = compute_similarity(
            images=images, references=references[start : start + _BLOCK_ROWS], max_shift_px=max_shift_px
        )
        nearest = block.argmax(axis=1)
        found = block[np.arange(len(images)), nearest]
        index = np.where(found > best, nearest + start, index)
        best = np.maximum(best, found)
    return Neighbours(best, index)


def compute_similarity(*, images: Maps, references: Maps, max_shift_px: int = MAX_SHIFT_PX) -> NDArray[np.float32]:
    """Largest absolute correlation of each image with each reference over small shifts.

    Brightness, contrast and inversion do not matter. A blank image is like nothing: 0.

    Args:
        images: float32 (n, S, S), from `remove_low_frequencies`.
        references: float32 (m, S, S), likewise.
        max_shift_px: how far an image is moved each way, px of these maps; (2 k + 1)^2 shifts are tried.

    Returns:
        float32 (n, m), 0..1.

    Raises:
        ValueError: sizes differ, or leave nothing at the largest shift.
    """
    k, height, width = max_shift_px, *references.shape[1:]
    if images.shape[1:] != references.shape[1:] or min(height, width) <= 2 * k or k < 0:
        raise ValueError(
            f"maps must be of one size, larger than twice the shift, got {images.shape}, {references.shape} and {k} px"
        )
    # Windows, not wrapped or filled edges: the reference's centre against every window of its size in the image.
    window = _normalise(references[:, k : height - k, k : width - k])
    largest = np.zeros((len(images), len(references)), np.float32)
    for dy in range(2 * k + 1):
        for dx in range(2 * k + 1):
            moved = _normalise(images[:, dy : height - 2 * k + dy, dx : width - 2 * k + dx])
            np.maximum(largest, np.abs(moved @ window.T), out=largest)
    return largest


def _normalise(maps: Maps) -> NDArray[np.float32]:
    rows = maps.reshape(len(maps), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    # What averaging leaves of an image of one gray level is rounding.
    blank = length <= 1e-4 * np.sqrt(rows.shape[1])
    return np.asarray(np.where(blank, 0, rows / np.where(blank, 1, length)), dtype=np.float32)


def watch_copying(
    *,
    synthetic: Maps,
    train: Maps,
    holdout: Maps,
    largest_holdout_similarity: float,
    max_shift_px: int = MAX_SHIFT_PX,
    confidence: float = CONFIDENCE,
) -> CopyingWatch:
    """Compare each synthetic image's nearest training film with its nearest film held out.

    A generator that copies nothing makes images that know neither set. Then the nearest of all N + M films is any of
    them with equal chance, however good or bad the images are, so that N / (N + M) of them are nearer to training.

    Args:
        synthetic: float32 (n, S, S), from `remove_low_frequencies`.
        train: float32 (N, S, S), likewise: every film that was trained on.
        holdout: float32 (M, S, S), likewise: films of the same origin, of other patients.
        largest_holdout_similarity: of a film held out to its nearest training film, see `find_neighbours`.
        max_shift_px: see `compute_similarity`.
        confidence: of the intervals; that of `matched_share` is for these films alone.

    Raises:
        ValueError: as `compute_similarity`.

    Source: distance to closest record with a held-out set, Platzer, Reutterer 2021 (2104.00635), whose sets are of
    one size; with the share that other sizes are expected to have, none of the training films is left out. An expected
    share does not exclude a few copies ("The DCR Delusion", 2505.01524): `num_beyond_holdout` and the largest
    similarities look for those.
    """
    nearest: tuple[list[Neighbours], list[Neighbours]] = ([], [])
    matched = []
    for start in range(0, len(synthetic), _BLOCK_ROWS):
        images = synthetic[start : start + _BLOCK_ROWS]
        to_train = compute_similarity(images=images, references=train, max_shift_px=max_shift_px)
        to_holdout = compute_similarity(images=images, references=holdout, max_shift_px=max_shift_px)
        nearest[0].append(_take_nearest(to_train))
        nearest[1].append(_take_nearest(to_holdout))
        matched.append(compute_chance_nearer(to_train, to_holdout))
    by_train, by_holdout = _join(nearest[0]), _join(nearest[1])
    above, level = by_train.similarity > by_holdout.similarity, by_train.similarity == by_holdout.similarity
    chances = np.concatenate(matched).clip(0, 1)
    share = float(above.mean() + level.mean() / 2)
    # Films held out are numbered after those of training.
    nearest_film = np.where(above | level, by_train.index, len(train) + by_holdout.index)
    trials = count_trials(nearest_film, num_films=len(train) + len(holdout))
    return CopyingWatch(
        train=by_train,
        holdout=by_holdout,
        share_nearer_train=wilson_interval(successes=share * trials, total=trials, confidence=confidence),
        expected_share=len(train) / (len(train) + len(holdout)),
        matched_share=wilson_interval(successes=float(chances.sum()), total=len(chances), confidence=confidence),
        num_beyond_holdout=int((by_train.similarity > largest_holdout_similarity).sum()),
    )


def count_trials(nearest_film: NDArray[np.int64], *, num_films: int) -> float:
    """Independent trials that a share of images nearer to some of the films is worth.

    A film of little grain, or of the most usual anatomy, is the nearest of many images. They are on its side together,
    so the share varies with which films were held out, however many images there are. Counted as one trial each, images
    of such films would show copies where there are none.

    Args:
        nearest_film: int (n,), number of the film that each image is nearest to.
        num_films: in all, at least 2.

    Returns:
        1 to n: p (1 - p) over it is the variance of the share where each film is as likely as any other to be among a
        share p of them; and n where that would be more.

    Source: the variance of a mean of labels that are dealt out without replacement: Cochran 1977, Sampling Techniques,
    theorem 2.2, for films weighted by their images.
    """
    shares = np.bincount(nearest_film, minlength=num_films) / len(nearest_film)
    variance = (float(shares @ shares) - 1 / num_films) * num_films / (num_films - 1)
    # All images nearest to one film are one trial, whatever rounding says.
    return max(1.0, min(len(nearest_film), 1 / variance if variance > 0 else len(nearest_film)))


def _join(parts: list[Neighbours]) -> Neighbours:
    return Neighbours(
        np.concatenate([part.similarity for part in parts]), np.concatenate([part.index for part in parts])
    )


def _take_nearest(similarity: NDArray[np.float32]) -> Neighbours:
    index = similarity.argmax(axis=1)
    return Neighbours(similarity[np.arange(len(index)), index], index)


def compute_chance_nearer(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Chance that the nearer one is of the first set, where the larger set is thinned at random to the other's size.

    Args:
        first: float (n, N), similarities of n images to the first set.
        second: float (n, M), to the second.

    Returns:
        float64 (n,), 0..1.
    """
    if first.shape[1] < second.shape[1]:
        return 1 - compute_chance_nearer(second, first)
    highest = second.max(axis=1, keepdims=True)
    size, kept = first.shape[1], second.shape[1]
    above, level = (first > highest).sum(axis=1), (first == highest).sum(axis=1)
    # None of `some` picked: C(size - some, kept) / C(size, kept). A tie at the top is shared.
    none_above, none_level = (_chance_of_none(size, kept, some) for some in (above, above + level))
    return 1 - (none_above + none_level) / 2


def _chance_of_none(size: int, kept: int, some: NDArray[np.int64]) -> NDArray[np.float64]:
    possible = size - some >= kept
    left = np.where(possible, size - some, kept)
    log = gammaln(left + 1) - gammaln(left - kept + 1) - gammaln(size + 1) + gammaln(size - kept + 1)
    return np.where(possible, np.exp(log), 0.0)
