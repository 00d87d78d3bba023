"""Nearest training and held-out films of every synthetic image in the space of an encoder, and what chance explains."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.evaluate.memorization.null import build_null
from cspine_bench.measurement.figures import CLOPPER_PEARSON, build_figure
from cspine_bench.metrics.calibration import (
    compute_conformal_p_values,
    compute_distance_ratios,
    discover,
    measure_matched_share,
)
from cspine_bench.metrics.copying import count_trials
from cspine_bench.metrics.intervals import CONFIDENCE, Estimate, clopper_pearson_interval
from cspine_bench.metrics.nearest import Nearest, find_nearest, find_nearest_by_lists
from cspine_bench.results import Figure, Floor
from cspine_bench.seeding import numpy_generator

MOST_PAIRS: Final = 10**10
"""Of images and films that are all compared; of more, by inverted lists."""

_OF_TRIALS: Final = f"{CLOPPER_PEARSON} of as many trials as the nearest films are worth"
_LEAST_FLOOR: Final = 10
_LEAST_RATIO: Final = 1e-6
_LARGEST_UNDECIDED: Final = 0.01

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Space:
    """Features of the three sides by one encoder.

    Attributes:
        name: of the encoder.
        train: float32 (N, d), films that were trained on.
        holdout: float32 (M, d), films of the same origin that were not.
        synthetic: float32 (n, d).
    """

    name: str
    train: NDArray[np.floating[Any]] = field(repr=False)
    holdout: NDArray[np.floating[Any]] = field(repr=False)
    synthetic: NDArray[np.floating[Any]] = field(repr=False)


@dataclass(frozen=True)
class EncoderNeighbours:
    """Every synthetic image beside the films that it is nearest to.

    Attributes:
        space: name of the encoder.
        figures: `listed_share`, by rank and, where a tail could be fitted, extrapolated; `nearer_train_share`.
        train_index: int64 (n,), nearest training film.
        train_distance: float64 (n,), Euclidean.
        holdout_index: int64 (n,), nearest film held out.
        holdout_distance: float64 (n,).
        ratio: float64 (n,), 0..1, distance of the nearest training film over the mean of the nearest ones; small: near
            to a single one.
        p_value: float64 (n,), of so small a ratio for a film held out.
        adjusted_p_value: float64 (n,), smallest false discovery rate at which it would be listed.
        listed: bool (n,), by these.
        tail_p_value: float64 (n,), extrapolated beyond the films held out; None where no tail could be fitted.
        tail_listed: bool (n,), by these; none where there are none.
        compared: bool (M,), films held out that calibrate: none of their patients was trained on.
        holdout_ratio: float64 (M,), theirs; NaN for the others.
        recall: of the nearest training film, where not all pairs were compared.
    """

    space: str
    figures: tuple[Figure, ...]
    train_index: Numbers = field(repr=False)
    train_distance: Floats = field(repr=False)
    holdout_index: Numbers = field(repr=False)
    holdout_distance: Floats = field(repr=False)
    ratio: Floats = field(repr=False)
    p_value: Floats = field(repr=False)
    adjusted_p_value: Floats = field(repr=False)
    listed: NDArray[np.bool_] = field(repr=False)
    tail_p_value: Floats | None = field(repr=False)
    tail_listed: NDArray[np.bool_] = field(repr=False)
    compared: NDArray[np.bool_] = field(repr=False)
    holdout_ratio: Floats = field(repr=False)
    recall: Estimate | None = None


@dataclass(frozen=True)
class _Sides:
    """What every search here needs."""

    train: NDArray[Any]
    groups: Numbers
    count: int
    seed: int
    most_pairs: int


def find_unseen(*, train_groups: Sequence[str], holdout_groups: Sequence[str]) -> NDArray[np.bool_]:
    """Films held out that are of patients (or anatomies) none of whose films was trained on, bool (M,)."""
    known = set(train_groups)
    return np.array([group not in known for group in holdout_groups], bool)


def measure_encoder_neighbours(
    *,
    space: Space,
    train_groups: Sequence[str],
    holdout_groups: Sequence[str],
    num_neighbours: int = 50,
    false_discovery_rate: float = 0.05,
    seed: int = 0,
    most_pairs: int = MOST_PAIRS,
) -> EncoderNeighbours:
    """How near synthetic images come to training films, held against films that the generator never saw.

    Each image gets the ratio of its distance to the nearest training film over the mean of its `num_neighbours` nearest
    ones, of which none but the nearest is of the nearest one's patient: two films of a patient would hide a copy of
    either. Films held out get the same ratio, and so each image a conformal p value.

    Args:
        space: features.
        train_groups: (N,), patient or anatomy of each training film.
        holdout_groups: (M,), of each film held out; films of patients that were trained on calibrate nothing.
        num_neighbours: 2 or more; no more are used than there are training films of other patients.
        false_discovery_rate: of the list, on average.
        seed: of the subsets of the matched share.
        most_pairs: above so many pairs the nearest training films are found by inverted lists, and the recall is said.

    Raises:
        ValueError: features and groups do not fit, all training films are of one patient, or no film held out is of an
            unseen one.
        MissingExtraError: there are more pairs than `most_pairs`, and faiss is not installed.

    Source: Carlini et al. 2023 (2301.13188) for the ratio; see `compute_conformal_p_values`, `discover` and
    `measure_matched_share` for the rest.
    """
    compared = find_unseen(train_groups=train_groups, holdout_groups=holdout_groups)
    _check(space, train_groups, holdout_groups, compared)
    groups = np.unique(np.asarray(train_groups), return_inverse=True)[1].astype(np.int64)
    largest = int(np.bincount(groups).max())
    if len(groups) == largest:
        raise ValueError("all training films are of one patient or anatomy; the ratio needs films of others")
    count = min(num_neighbours, len(groups) - largest + 1)
    sides = _Sides(space.train, groups, count, seed, most_pairs)
    unseen = space.holdout[compared]
    nearest, ratio, near = _rate(space.synthetic, sides)
    of_unseen, unseen_ratio, _ = _rate(unseen, sides)
    holdout = find_nearest(queries=space.synthetic, references=unseen)
    p_value = compute_conformal_p_values(scores=ratio, holdout_scores=unseen_ratio, suspicious="low")
    found = discover(p_values=p_value, rate=false_discovery_rate)
    tail_p_value = _extrapolate(ratio, unseen_ratio, holdout.distance[:, 0] / near, len(space.train))
    extrapolated = np.zeros(len(ratio), bool)
    if tail_p_value is not None:
        extrapolated = discover(p_values=tail_p_value, rate=false_discovery_rate).found
    holdout_ratio = np.full(len(compared), np.nan)
    holdout_ratio[compared] = unseen_ratio
    floor = _measure_floor(space, compared, holdout_groups, of_unseen, seed)
    figures = [_build_listed(space, compared, found.found, false_discovery_rate, nearest)]
    if tail_p_value is not None:
        figures.append(_build_tail_listed(space, compared, extrapolated, false_discovery_rate, nearest))
    figures.append(_build_nearer(space, compared, nearest, holdout, floor, seed))
    return EncoderNeighbours(
        space=space.name,
        figures=tuple(figures),
        train_index=nearest.index[:, 0],
        train_distance=nearest.distance[:, 0],
        holdout_index=np.flatnonzero(compared)[holdout.index[:, 0]],
        holdout_distance=holdout.distance[:, 0],
        ratio=ratio,
        p_value=p_value,
        adjusted_p_value=found.adjusted,
        listed=found.found,
        tail_p_value=tail_p_value,
        tail_listed=extrapolated,
        compared=compared,
        holdout_ratio=holdout_ratio,
        recall=nearest.recall,
    )


def _check(
    space: Space, train_groups: Sequence[str], holdout_groups: Sequence[str], compared: NDArray[np.bool_]
) -> None:
    if len(train_groups) != len(space.train) or len(holdout_groups) != len(space.holdout):
        raise ValueError(
            f"needs a group for each film, got {len(train_groups)} and {len(holdout_groups)} for {len(space.train)} "
            f"training films and {len(space.holdout)} held out"
        )
    if len(space.synthetic) == 0 or not compared.any():
        raise ValueError(
            f"needs synthetic images and films held out of patients that were not trained on, got "
            f"{len(space.synthetic)} images and {int(compared.sum())} such films"
        )


def _rate(queries: NDArray[Any], sides: _Sides) -> tuple[Nearest, Floats, Floats]:
    """The nearest training films of some images, their ratio, and the mean distance that it is over."""
    nearest = _search(queries, sides, sides.count)
    distances = nearest.distance
    if len(np.unique(sides.groups)) < len(sides.groups):
        # The nearest one's patient is left out of the others.
        others = _search(queries, sides, sides.count - 1, own=sides.groups[nearest.index[:, 0]])
        distances = np.concatenate([distances[:, :1], np.maximum(others.distance, distances[:, :1])], axis=1)
    # All of them at distance 0 are a film that is there many times; any distance is large beside it.
    near = np.maximum(distances.mean(axis=1), np.finfo(np.float64).tiny)
    return nearest, compute_distance_ratios(distances=distances), near


def _extrapolate(ratio: Floats, unseen_ratio: Floats, crossed_ratio: Floats, num_train: int) -> Floats | None:
    """P values of ratios by the tails of honest ones."""
    null = build_null(
        holdout_ratio=np.maximum(unseen_ratio, _LEAST_RATIO)[:, None],
        crossed_ratio=np.clip(crossed_ratio, _LEAST_RATIO, 1 / _LEAST_RATIO)[:, None],
        groups=((0,),),
        num_train=num_train,
        num_holdout=len(unseen_ratio),
    )
    return null.judge(np.maximum(ratio, _LEAST_RATIO)[:, None]).tail_p_value if null.extrapolates else None


def _search(queries: NDArray[Any], sides: _Sides, count: int, own: Numbers | None = None) -> Nearest:
    groups = None if own is None else sides.groups
    if len(queries) * len(sides.train) <= sides.most_pairs:
        return find_nearest(
            queries=queries, references=sides.train, count=count, query_groups=own, reference_groups=groups
        )
    found = find_nearest_by_lists(
        queries=queries,
        references=sides.train,
        count=count,
        generator=numpy_generator(sides.seed, "evaluate.encoder-neighbours.lists"),
        query_groups=own,
        reference_groups=groups,
    )
    # Where the lists held too few, all films are looked at.
    short = np.isinf(found.distance).any(axis=1)
    if short.any():
        exact = find_nearest(
            queries=queries[short],
            references=sides.train,
            count=count,
            query_groups=None if own is None else own[short],
            reference_groups=groups,
        )
        found.index[short], found.distance[short] = exact.index, exact.distance
    return found


def _count(space: Space, compared: NDArray[np.bool_]) -> tuple[dict[str, int], dict[str, int]]:
    """Images used and available, by role."""
    available = {"train": len(space.train), "holdout": len(space.holdout), "synthetic": len(space.synthetic)}
    return {**available, "holdout": int(compared.sum())}, available


def _explain_recall(nearest: Nearest) -> str:
    if nearest.recall is None:
        return ""
    found = nearest.recall
    return (
        f" Not all pairs were compared: the nearest training film was found for {found.value:.1%} "
        f"[{found.low:.1%}, {found.high:.1%}] of the images."
    )


def _build_listed(
    space: Space, compared: NDArray[np.bool_], listed: NDArray[np.bool_], rate: float, nearest: Nearest
) -> Figure:
    used, available = _count(space, compared)
    smallest = 1 / (used["holdout"] + 1)
    # As many images at the smallest p value are the fewest that Benjamini and Hochberg let through.
    least = math.ceil(len(listed) * smallest / rate - 1e-9)
    power = (
        f"fewer than {least:,} such images cannot be listed"
        if least <= len(listed)
        else f"so no image could be listed, whatever it is: that needs {math.ceil(1 / rate) - 1} films held out"
    )
    note = (
        f"Images nearer to one training film than to others, more than films held out are, at a false discovery rate "
        f"of {rate:g}: to be looked at, not copies by this alone. {used['holdout']:,} films held out give no p value "
        f"below {smallest:.2g}; {power}. Where synthetic images differ from films in more than this, p is a comparison "
        f"and no probability.{_explain_recall(nearest)}"
    )
    return _build_share(space, used, available, listed, {}, note)


def _build_tail_listed(
    space: Space, compared: NDArray[np.bool_], listed: NDArray[np.bool_], rate: float, nearest: Nearest
) -> Figure:
    note = (
        f"As the list by rank, at a false discovery rate of {rate:g}, with p values beyond the films held out from a "
        "tail fitted to their ratios, and to those of synthetic images with films held out, whichever is larger: a "
        f"model, that a few copies among many images can be found by. To be looked at.{_explain_recall(nearest)}"
    )
    return _build_share(space, *_count(space, compared), listed, {"p_value": "extrapolated"}, note)


def _build_share(
    space: Space,
    used: dict[str, int],
    available: dict[str, int],
    listed: NDArray[np.bool_],
    condition: dict[str, str],
    note: str,
) -> Figure:
    return build_figure(
        "listed_share",
        clopper_pearson_interval(successes=int(listed.sum()), total=len(listed)),
        direction="lower",
        used=used,
        available=available,
        method=CLOPPER_PEARSON,
        unit="share",
        condition={"space": space.name, **condition},
        note=note,
    )


def _build_nearer(
    space: Space, compared: NDArray[np.bool_], nearest: Nearest, holdout: Nearest, floor: Floor | None, seed: int
) -> Figure:
    used, available = _count(space, compared)
    generator = numpy_generator(seed, "evaluate.encoder-neighbours.thinned")
    unseen = space.holdout[compared]
    to_holdout, index = holdout.distance[:, 0], holdout.index[:, 0]
    if len(unseen) > len(space.train):
        kept = np.sort(generator.permutation(len(unseen))[: len(space.train)])
        thinned = find_nearest(queries=space.synthetic, references=unseen[kept])
        to_holdout, index = thinned.distance[:, 0], kept[thinned.index[:, 0]]
        used["holdout"] = len(kept)
    estimate, undecided = _match(
        nearest, to_holdout, index, len(space.train), used["holdout"], seed, num_films=len(space.train) + len(unseen)
    )
    note = (
        "1/2 where nothing is copied and training films and films held out are alike; as many of either are compared. "
        "A few copies hardly move it: never an answer by itself."
    )
    if undecided > _LARGEST_UNDECIDED:
        note += f" {undecided:.0%} of the comparisons lay beyond the neighbours looked at and count one half."
    return build_figure(
        "nearer_train_share",
        estimate,
        direction="lower",
        used=used,
        available=available,
        method=_OF_TRIALS,
        unit="share",
        condition={"space": space.name},
        floor=floor,
        note=note + _explain_recall(nearest),
    )


def _match(
    nearest: Nearest, to_holdout: Floats, holdout_index: Numbers, num_train: int, num_holdout: int, seed: int, *,
    num_films: int,
) -> tuple[Estimate, float]:  # fmt: skip
    """The size-matched share with the interval of as many trials as the images' nearest films are worth."""
    matched = measure_matched_share(
        train_index=nearest.index,
        train_distances=nearest.distance,
        holdout_distances=to_holdout,
        num_train=num_train,
        num_holdout=num_holdout,
        generator=numpy_generator(seed, "evaluate.encoder-neighbours.matched"),
    )
    film = np.where(nearest.distance[:, 0] <= to_holdout, nearest.index[:, 0], num_train + holdout_index)
    trials = count_trials(film, num_films=num_films)
    share = matched.share.value
    return clopper_pearson_interval(successes=share * trials, total=trials), matched.undecided


def _measure_floor(
    space: Space, compared: NDArray[np.bool_], holdout_groups: Sequence[str], nearest: Nearest, seed: int
) -> Floor | None:
    """The same share of films held out, each against training films and the other patients' films held out."""
    unseen, groups = space.holdout[compared], np.asarray(holdout_groups)[compared]
    num_others = len(unseen) - int(np.unique(groups, return_counts=True)[1].max())
    if num_others < _LEAST_FLOOR or num_others > len(space.train):
        return None
    others = find_nearest(queries=unseen, references=unseen, query_groups=groups, reference_groups=groups)
    estimate, _ = _match(
        nearest, others.distance[:, 0], others.index[:, 0], len(space.train), num_others, seed,
        num_films=len(space.train) + len(unseen),
    )  # fmt: skip
    return Floor(
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        level=CONFIDENCE,
        method=f"films held out, each against training films and the others held out; {_OF_TRIALS}",
        n_used=(len(unseen), num_others),
    )
