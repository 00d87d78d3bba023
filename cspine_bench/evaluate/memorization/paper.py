"""The published procedure, for comparison: every synthetic image's nearest training film by cosine, the nearest first.

It ranks pairs for the eye and stops there: it has no null, no threshold and no power. Beside each pair stands what is
missing: how many films held out come as near to a training film.

Source: arXiv 2510.22166, which ranks embeddings of the vision transformer of imagededup by cosine; the encoder here is
the one given.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.evaluate.memorization.encoder_neighbours import Space, find_unseen
from cspine_bench.metrics.nearest import find_nearest

NOTE: Final = (
    "The pairs that the published procedure would show, by cosine similarity in the space of {space}; the paper used a "
    "vision transformer of imagededup. The procedure states neither how near honest images come, nor which pair is a "
    "copy, nor what it would have found. Of {count:,} films held out, the share that comes as near to a training film "
    "stands beside each pair: where it is large, the pair is no sign of a copy; where it is 0, films held out do not "
    "explain it."
)

_ROWS_AT_ONCE: Final = 2048


@dataclass(frozen=True)
class RankedPair:
    """A synthetic image and the training film nearest to it.

    Attributes:
        rank: from 1, by falling cosine.
        synthetic_id: sample id.
        train_id: sample id.
        cosine: -1..1.
        holdout_share: share of films held out whose nearest training film is at least as near, 0..1.
    """

    rank: int
    synthetic_id: str
    train_id: str
    cosine: float
    holdout_share: float


@dataclass(frozen=True)
class PairRanking:
    """What the procedure gives, and what it leaves out.

    Attributes:
        space: name of the encoder.
        pairs: the nearest ones, the nearest first.
        note: what to know of them.
        train_index: int64 (n,), nearest training film of every synthetic image.
        cosine: float64 (n,), to it.
        holdout_cosine: float64, of each film held out of an unseen patient to its nearest training film.
    """

    space: str
    pairs: tuple[RankedPair, ...]
    note: str
    train_index: NDArray[np.int64] = field(repr=False)
    cosine: NDArray[np.float64] = field(repr=False)
    holdout_cosine: NDArray[np.float64] = field(repr=False)


def rank_pairs(
    *,
    space: Space,
    synthetic_ids: Sequence[str],
    train_ids: Sequence[str],
    train_groups: Sequence[str],
    holdout_groups: Sequence[str],
    num_pairs: int = 50,
) -> PairRanking:
    """The synthetic images nearest to a training film by cosine similarity, each with its film.

    Args:
        space: features; none of them of length 0.
        synthetic_ids: (n,).
        train_ids: (N,).
        train_groups: (N,), patient or anatomy of each training film.
        holdout_groups: (M,); films of patients that were trained on are not counted.
        num_pairs: at most so many pairs.

    Raises:
        ValueError: ids or groups do not fit the features, a feature has length 0, or no film held out is of an unseen
            patient.
    """
    sizes = (len(space.synthetic), len(space.train), len(space.train), len(space.holdout))
    given = (len(synthetic_ids), len(train_ids), len(train_groups), len(holdout_groups))
    compared = find_unseen(train_groups=train_groups, holdout_groups=holdout_groups)
    if sizes != given or num_pairs < 1 or not compared.any():
        raise ValueError(
            f"needs synthetic ids, training ids, training and holdout groups for {sizes} features, at least one pair "
            f"and one film held out of an unseen patient; got {given}, {num_pairs} and {int(compared.sum())}"
        )
    train = _normalise(space.train, "train")
    index, cosine = _find_most_similar(_normalise(space.synthetic, "synthetic"), train)
    holdout_cosine = _find_most_similar(_normalise(space.holdout[compared], "holdout"), train)[1]
    ordered = np.sort(holdout_cosine)
    share = (len(ordered) - np.searchsorted(ordered, cosine, side="left")) / len(ordered)
    pairs = tuple(
        RankedPair(rank, synthetic_ids[row], train_ids[index[row]], float(cosine[row]), float(share[row]))
        for rank, row in enumerate(np.argsort(-cosine, kind="stable")[:num_pairs].tolist(), start=1)
    )
    note = NOTE.format(space=space.name, count=len(ordered))
    return PairRanking(space.name, pairs, note, index, cosine, holdout_cosine)


def _normalise(features: NDArray[Any], side: str) -> NDArray[np.float64]:
    values = features.astype(np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    if (lengths == 0).any():
        raise ValueError(f"{int((lengths == 0).sum())} {side} features have length 0, and so no direction")
    return np.asarray(values / lengths)


def _find_most_similar(
    images: NDArray[np.float64], films: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The film of the largest cosine; of unit vectors it is the nearest one."""
    index = find_nearest(queries=images, references=films).index[:, 0]
    cosine = np.empty(len(images))
    for start in range(0, len(images), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        cosine[rows] = np.einsum("ij,ij->i", images[rows], films[index[rows]])
    return index, cosine.clip(-1, 1)
