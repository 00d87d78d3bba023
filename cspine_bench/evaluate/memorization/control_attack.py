"""The control of membership inference: can training films be told from films held out without any synthetic image?"""

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

NUM_FOLDS: Final = 5
NUM_DEALINGS: Final = 200
_MOST_DIRECTIONS: Final = 64
_FILMS_PER_DIRECTION: Final = 10

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Control:
    """How well a classifier that sees no synthetic image tells training films.

    Attributes:
        members: float64 (N,), scores of training films, 0..1, high for a member.
        others: float64 (M,), of films held out.
        auroc: 0..1; 1/2 is chance.
        p_value: of so large an area or a larger one, where membership is dealt out at random; one-sided.
        spread: standard deviation of the area over such dealings.
    """

    members: Floats = field(repr=False)
    others: Floats = field(repr=False)
    auroc: float
    p_value: float
    spread: float


@dataclass(frozen=True)
class _Fold:
    """One fold in the directions of the others: what fits, and what is scored."""

    known: Floats
    new: Floats
    inside: NDArray[np.bool_]


def attack_without_synthetic(
    *,
    members: NDArray[Any],
    others: NDArray[Any],
    member_groups: NDArray[Any],
    other_groups: NDArray[Any],
    generator: np.random.Generator,
    num_folds: int = NUM_FOLDS,
    num_dealings: int = NUM_DEALINGS,
) -> Control:
    """Tell members by their own features, cross-fitted, and compare with memberships dealt out at random.

    Patients are dealt into folds, members and others evenly. Each fold is scored by ridge regression on the principal
    components of the other folds, the two kinds weighing the same. A score is its rank within its fold, so that folds
    can be put together: their thresholds differ, and always against the fold that was left out. Scores of one fit hang
    together, so the area varies by more than DeLong's interval says; dealing membership out anew among the patients of
    each fold shows by how much.

    Args:
        members: float (N, d), features.
        others: float (M, d), likewise.
        member_groups: (N,), patients; none of them is among the others'.
        other_groups: (M,).
        generator: deals patients into folds, and memberships.
        num_folds: 2 or more; no more are made than there are patients of either kind.
        num_dealings: 20 or more; no p value lies below 1 / (num_dealings + 1).

    Raises:
        ValueError: fewer than 2 patients of a kind, or too few folds or dealings.

    Source: Das et al. 2024 (2406.16201): attacks that never look at the model; permutation p value: Phipson, Smyth
    2010, Statistical Applications in Genetics and Molecular Biology 9, 39.
    """
    patients = [len(np.unique(groups)) for groups in (member_groups, other_groups)]
    if min(*patients, num_folds) < 2 or num_dealings < 20:
        raise ValueError(
            f"needs at least 2 patients of either kind, 2 folds and 20 dealings, got {patients}, {num_folds} and "
            f"{num_dealings}"
        )
    num_folds = min(num_folds, *patients)
    features = np.concatenate([members, others])
    of_film = np.unique(np.concatenate([member_groups, other_groups]), return_inverse=True)[1]
    is_member = np.zeros(of_film.max() + 1, bool)
    is_member[of_film[: len(members)]] = True
    fold = np.empty(len(is_member), np.int64)
    films = np.bincount(of_film)
    for kind in (True, False):
        fold[is_member == kind] = _deal(films[is_member == kind], num_folds, generator)
    folds = [_project(features, fold[of_film] == number) for number in range(num_folds)]
    scores, area = _score(folds, is_member[of_film])
    dealt = np.empty(num_dealings)
    for dealing in range(num_dealings):
        kinds = is_member.copy()
        for number in range(num_folds):
            kinds[fold == number] = generator.permutation(is_member[fold == number])
        dealt[dealing] = _score(folds, kinds[of_film])[1]
    return Control(
        members=scores[: len(members)],
        others=scores[len(members) :],
        auroc=area,
        p_value=(1 + int((dealt >= area).sum())) / (1 + num_dealings),
        spread=float(dealt.std(ddof=1)),
    )


def _deal(films: NDArray[np.int64], num_folds: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Folds of patients: in random order, each into the fold that has the fewest films."""
    found, sizes = np.empty(len(films), np.int64), np.zeros(num_folds, np.int64)
    for patient in generator.permutation(len(films)):
        found[patient] = sizes.argmin()
        sizes[found[patient]] += films[patient]
    return found


def _project(features: NDArray[Any], inside: NDArray[np.bool_]) -> _Fold:
    """Principal components of all films outside a fold, of unit variance there."""
    outside = features[~inside].astype(np.float64)
    centre = outside.mean(axis=0)
    outside -= centre
    count = max(1, min(_MOST_DIRECTIONS, len(outside) // (2 * _FILMS_PER_DIRECTION), features.shape[1]))
    small = outside @ outside.T if len(outside) <= features.shape[1] else outside.T @ outside
    values, vectors = np.linalg.eigh(small)
    values, vectors = np.maximum(values[::-1][:count], 0), vectors[:, ::-1][:, :count]
    # Directions without any spread are of rounding alone.
    kept = values > 1e-10 * max(float(values[0]), 1e-300)
    lengths, vectors = np.sqrt(values[kept]), vectors[:, kept]
    directions = (outside.T @ vectors) / lengths if len(outside) <= features.shape[1] else vectors
    directions = directions * (np.sqrt(len(outside)) / lengths)
    return _Fold(outside @ directions, (features[inside] - centre) @ directions, inside)


def _score(folds: list[_Fold], is_member: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Rank of each film within its fold, 0..1, and the area under the curve."""
    scores = np.empty(len(is_member))
    for fold in folds:
        kind = is_member[~fold.inside]
        means = [fold.known[kind == one].mean(axis=0) for one in (True, False)]
        of_others = fold.known[~kind] - means[1]
        of_members = fold.known[kind] - means[0]
        spread = of_members.T @ of_members / len(of_members) + of_others.T @ of_others / len(of_others)
        slope = np.linalg.solve(spread / 2 + 1e-3 * np.eye(len(spread)), means[0] - means[1])
        found = fold.new @ slope
        scores[fold.inside] = _rank(found)
    num_members = int(is_member.sum())
    # Mann and Whitney's statistic: pairs in order, ties one half.
    ranks = (_rank(scores)[is_member] * len(scores)).sum() - num_members**2 / 2
    return scores, float(ranks / (num_members * (len(is_member) - num_members)))


def _rank(values: Floats) -> Floats:
    """Share of the values below each, ties one half: 0..1."""
    ordered = np.sort(values)
    below = np.searchsorted(ordered, values, side="left") + np.searchsorted(ordered, values, side="right")
    return np.asarray(below / (2 * len(values)))
