"""The search for copies of training films: every synthetic image and every film held out, against all of them.

found = search_copies(train, holdout, synthetic, recipe=recipe, seed=0, work=work)
found.synthetic.confirmed                      bool (n,), in the order of the synthetic images
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.errors import DataError
from cspine_bench.evaluate.memorization.channels import (
    WHOLE,
    Channel,
    Nearest,
    Searcher,
    find_clusters,
    group_channels,
    list_channels,
)
from cspine_bench.evaluate.memorization.maps import BLOCK_IMAGES, iter_map_blocks, make_maps
from cspine_bench.evaluate.memorization.null import Judgement, Null, build_null, compute_joint_p_values
from cspine_bench.evaluate.memorization.recheck import compare_with_rest, find_crossed_rows, find_limits, register_rows
from cspine_bench.evaluate.memorization.recipe import MemorizationRecipe
from cspine_bench.measurement.inputs import Images
from cspine_bench.measurement.work import Work
from cspine_bench.metrics.calibration import discover
from cspine_bench.metrics.copying import Maps

OnProgress = Callable[[int, int], None]

LEAST_TRAIN: Final = 3
LEAST_HOLDOUT: Final = 2
SAME_FILM: Final = 0.95
"""Correlation after registration from which a film held out is taken for one of training."""
_LARGEST_LEAK: Final = 0.1
_KEPT_VERSION: Final = 4


@dataclass(frozen=True)
class SearchedSide:
    """One side, in its order.

    Attributes:
        sample_ids: (n,).
        nearest: nearest training films, by channel.
        to_holdout: nearest films held out; None for those themselves.
        judgement: what the ratios mean.
        q_value: float64 (n,), conformal p values after Benjamini-Hochberg.
        tail_q_value: float64 (n,), extrapolated ones.
        registered: float64 (n,), correlation after registration in the decisive channel; nan where nothing was to be
            checked.
        listed: bool (n,), by the conformal p values.
        beyond: bool (n,), beyond every film held out.
        confirmed: bool (n,), by the tail and by registration.
    """

    sample_ids: tuple[str, ...]
    nearest: Nearest
    to_holdout: Nearest | None
    judgement: Judgement
    q_value: NDArray[np.float64]
    tail_q_value: NDArray[np.float64]
    registered: NDArray[np.float64]
    listed: NDArray[np.bool_]
    beyond: NDArray[np.bool_]
    confirmed: NDArray[np.bool_]


@dataclass(frozen=True)
class CopySearch:
    """A search, and what it takes to judge more images by the same rule.

    Attributes:
        channels: ways of looking.
        train_ids: (m,).
        holdout_ids: (h,), of the films that the null is made of; `nearest.index` of `to_holdout` counts these.
        duplicates_excluded: held-out films with the pixels of a training film.
        patients_excluded: others of a patient or anatomy that training has.
        lookalikes_excluded: others that after registration are a training film.
        holdout: of `holdout_ids`; its flags are all False.
        synthetic: all synthetic images.
        null: what honest images reach.
        limits: smallest distance after registration of an honest pair, over that of the other near films, by region.
        copies_of_holdout: synthetic images that would be confirmed as copies of films held out.
        searcher: training films, ready to be searched.
        holdout_searcher: films held out, likewise.
    """

    channels: tuple[Channel, ...]
    train_ids: tuple[str, ...]
    holdout_ids: tuple[str, ...]
    duplicates_excluded: tuple[str, ...]
    patients_excluded: tuple[str, ...]
    lookalikes_excluded: tuple[str, ...]
    holdout: SearchedSide
    synthetic: SearchedSide
    null: Null
    limits: dict[str, float]
    copies_of_holdout: tuple[str, ...]
    false_discovery_rate: float
    searcher: Searcher = field(repr=False)
    holdout_searcher: Searcher = field(repr=False)


def search_copies(
    train: Images,
    holdout: Images,
    synthetic: Images,
    *,
    recipe: MemorizationRecipe,
    seed: int,
    work: Work,
    on_progress: OnProgress | None = None,
) -> CopySearch:
    """Look for each synthetic image, and each film held out, in all training films.

    Nothing is sampled. Memory: the maps of the training films and those held out (16 KB each), a block of synthetic
    images, and a few numbers of each. A run that was killed goes on after its last block.

    Args:
        train: films that the generator was trained on.
        holdout: films of the same origin and of other patients. Those that are training films after all, by their
            pixels, their patient, or what registration says, are left out of the null, and counted.
        synthetic: images to be searched.
        recipe: how hard to look.
        seed: of the run; the search itself draws nothing.
        work: where finished blocks are kept; its key must name the inputs.
        on_progress: called with the images done and all images.

    Raises:
        DataError: fewer than 3 training films, or fewer than 2 films held out that are not in training.
    """
    if len(train) < LEAST_TRAIN:
        raise DataError(f"{train.name}: has {len(train)} training films; a search needs {LEAST_TRAIN} or more")
    duplicates, patients, kept = _split_holdout(train, holdout)
    total = len(kept) + len(synthetic)
    channels, settings = list_channels(recipe), {"version": _KEPT_VERSION, **recipe.model_dump(mode="json")}
    train_maps = make_maps(train)
    clusters = work.keep("clusters", lambda: {"clusters": find_clusters(train_maps, train.group_ids)}, **settings)
    searcher = Searcher(train_maps, channels, clusters=clusters["clusters"], num_neighbours=recipe.num_neighbours)
    holdout_maps = make_maps(holdout)[kept]
    of_holdout = _search_maps(
        work, "holdout", searcher, holdout_maps, settings, lambda done: _tell(on_progress, done, total)
    )
    alike = _find_lookalikes(of_holdout, channels)
    every = np.arange(int((~alike).sum()))
    holdout_searcher = Searcher(holdout_maps[~alike], channels, clusters=every, num_neighbours=recipe.num_neighbours)
    forth, back = [], []
    for first, maps in iter_map_blocks(synthetic):
        forth.append(keep_search(work, f"synthetic-{first}", searcher, maps, settings))
        back.append(keep_search(work, f"crossed-{first}", holdout_searcher, maps, settings))
        _tell(on_progress, len(kept) + first + len(maps), total)
    ids = np.asarray(holdout.sample_ids, object)[kept]
    return _conclude(
        train,
        synthetic,
        recipe,
        searcher,
        holdout_searcher,
        holdout_ids=tuple(ids[~alike]),
        excluded=(duplicates, patients, tuple(ids[alike])),
        of_holdout=take_nearest(of_holdout, ~alike),
        of_synthetic=(join_nearest(forth), join_nearest(back)),
    )


def _conclude(
    train: Images,
    synthetic: Images,
    recipe: MemorizationRecipe,
    searcher: Searcher,
    holdout_searcher: Searcher,
    *,
    holdout_ids: tuple[str, ...],
    excluded: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]],
    of_holdout: Nearest,
    of_synthetic: tuple[Nearest, Nearest],
) -> CopySearch:
    """The null, then each side by it."""
    (forth, back), rate = of_synthetic, recipe.false_discovery_rate
    crossed = cross_ratio(forth, back)
    null = build_null(
        holdout_ratio=of_holdout.ratio,
        crossed_ratio=crossed,
        groups=group_channels(searcher.channels),
        num_train=len(train),
        num_holdout=len(holdout_ids),
    )
    judgement = null.judge(forth.ratio)
    by_rank = discover(p_values=judgement.p_value, rate=rate)
    tail_q_value = discover(p_values=judgement.tail_p_value, rate=rate).adjusted
    checked = _recheck(
        synthetic,
        searcher,
        holdout_searcher,
        of_holdout,
        of_synthetic,
        suspects=((tail_q_value <= rate) | (judgement.p_value <= recipe.false_positive_rate), judgement.channel),
        back_suspects=_suspect_holdout(null, crossed, rate),
    )
    search = CopySearch(
        channels=searcher.channels,
        train_ids=train.sample_ids,
        holdout_ids=holdout_ids,
        duplicates_excluded=excluded[0],
        patients_excluded=excluded[1],
        lookalikes_excluded=excluded[2],
        holdout=_describe_holdout(holdout_ids, of_holdout, null),
        synthetic=SearchedSide(
            sample_ids=synthetic.sample_ids,
            nearest=forth,
            to_holdout=back,
            judgement=judgement,
            q_value=by_rank.adjusted,
            tail_q_value=tail_q_value,
            registered=checked.registered,
            listed=by_rank.found,
            beyond=judgement.score > null.scores.max(),
            confirmed=np.zeros(len(forth), bool),
        ),
        null=null,
        limits=checked.limits,
        copies_of_holdout=tuple(np.asarray(synthetic.sample_ids, object)[checked.of_holdout]),
        false_discovery_rate=rate,
        searcher=searcher,
        holdout_searcher=holdout_searcher,
    )
    confirmed = confirm(search, forth, judgement, tail_q_value, checked.registered)
    return replace(search, synthetic=replace(search.synthetic, confirmed=confirmed))


@dataclass(frozen=True)
class _Checked:
    registered: NDArray[np.float64]
    limits: dict[str, float]
    of_holdout: NDArray[np.bool_]


def _recheck(
    synthetic: Images,
    searcher: Searcher,
    holdout_searcher: Searcher,
    of_holdout: Nearest,
    of_synthetic: tuple[Nearest, Nearest],
    *,
    suspects: tuple[NDArray[np.bool_], NDArray[np.int64]],
    back_suspects: tuple[NDArray[np.bool_], NDArray[np.int64]],
) -> _Checked:
    """Register what stands out, in its channel, and the likest honest pairs; the synthetic images are read again."""
    (forth, back), channels = of_synthetic, searcher.channels
    films, held_out = searcher.references, holdout_searcher.references
    honest = find_limits(held_out, films, of_holdout, of_holdout.rest, channels)
    limits, crossed_rows = dict(honest), find_crossed_rows(back, channels)
    registered, back_registered = np.full((2, len(forth)), np.nan)
    for first, maps in iter_map_blocks(synthetic):
        block = slice(first, first + len(maps))
        for references, nearest, (suspect, channel), found in (
            (films, forth, suspects, registered),
            (held_out, back, back_suspects, back_registered),
        ):
            own = first + np.flatnonzero(suspect[block])
            found[own] = register_rows(
                maps[own - first], references, take_nearest(nearest, own), channels, channel[own]
            )
        own = crossed_rows[(crossed_rows >= first) & (crossed_rows < first + len(maps))]
        reached = find_limits(maps[own - first], held_out, take_nearest(back, own), forth.rest[own], channels)
        limits = {region: min(limit, reached[region]) for region, limit in limits.items()}
    back_channel = back_suspects[1]
    back_ratio = compare_with_rest(back_registered, forth.rest[np.arange(len(forth)), back_channel])
    back_limit = np.array([honest[channels[number].region] for number in back_channel.tolist()])
    return _Checked(registered, limits, back_ratio < back_limit)


def confirm(
    search: CopySearch,
    nearest: Nearest,
    judgement: Judgement,
    tail_q_value: NDArray[np.float64],
    registered: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """The rule by which an image is a copy: by the tail, and standing out after registration as no honest pair does.

    Args:
        search: with the null and the limits.
        nearest: of n images.
        judgement: of these.
        tail_q_value: float64 (n,).
        registered: float64 (n,), see `SearchedSide`.
    """
    rest = nearest.rest[np.arange(len(nearest)), judgement.channel]
    limits = np.array([search.limits[channel.region] for channel in search.channels])
    beyond = compare_with_rest(registered, rest) < limits[judgement.channel]
    return np.asarray((tail_q_value <= search.false_discovery_rate) & beyond)


def _suspect_holdout(
    null: Null, crossed: NDArray[np.float64], rate: float
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Synthetic images that seem copies of films held out, (n,), and in which channel."""
    standard = null.standardise(crossed)
    channel = np.asarray(standard.argmax(axis=1))
    if not null.tails:
        return np.zeros(len(crossed), bool), channel
    return discover(p_values=null.extrapolate(standard, crossed=False), rate=rate).found, channel


def _describe_holdout(holdout_ids: tuple[str, ...], nearest: Nearest, null: Null) -> SearchedSide:
    """Each film held out among the others; none of them is a finding."""
    count = len(holdout_ids)
    evidence = null.evidence
    p_value = np.array(
        [
            compute_joint_p_values(evidence=evidence[row : row + 1], holdout_evidence=np.delete(evidence, row, axis=0))[
                0
            ]
            for row in range(count)
        ]
    )
    standard = (evidence - null.middle) / null.spread
    none = np.zeros(count, bool)
    nothing = np.full(count, np.nan)
    judgement = Judgement(standard.max(axis=1), standard.argmax(axis=1), p_value, nothing)
    return SearchedSide(holdout_ids, nearest, None, judgement, nothing, nothing, nothing, none, none, none)


def cross_ratio(forth: Nearest, back: Nearest) -> NDArray[np.float64]:
    """Distance to the nearest film held out over that to the near training films, (n, channels)."""
    nearest, rest = (1 - back.similarity.astype(np.float64)).clip(1e-6), forth.rest.astype(np.float64)
    # As the ratio is a mean that counts the nearest, so is this one.
    others = forth.counted - 1
    return np.asarray(nearest * (others + 1) / (nearest + others * rest))


def _split_holdout(train: Images, holdout: Images) -> tuple[tuple[str, ...], tuple[str, ...], NDArray[np.int64]]:
    """Ids of films whose pixels, and of others whose patient, training has; and rows of the rest."""
    pixels, groups = set(train.pixel_sha256), set(train.group_ids)
    same = np.array([sha in pixels for sha in holdout.pixel_sha256], bool)
    related = np.array([group in groups for group in holdout.group_ids], bool) & ~same
    kept = np.flatnonzero(~same & ~related)
    if len(kept) < LEAST_HOLDOUT:
        raise DataError(
            f"{holdout.name}: of {len(holdout)} films held out, {int(same.sum())} are training films of {train.name} "
            f"and {int(related.sum())} more are of its patients; give {LEAST_HOLDOUT} or more films of other patients"
        )
    ids = np.asarray(holdout.sample_ids, object)
    return tuple(ids[same]), tuple(ids[related]), kept


def _find_lookalikes(nearest: Nearest, channels: tuple[Channel, ...]) -> NDArray[np.bool_]:
    """Films held out that are training films, moved or changed: unless so many that honest films are as alike."""
    whole = [number for number, channel in enumerate(channels) if channel.region == WHOLE]
    alike = nearest.similarity[:, whole].max(axis=1) >= SAME_FILM
    return alike if alike.mean() <= _LARGEST_LEAK and (~alike).sum() >= LEAST_HOLDOUT else np.zeros_like(alike)


def keep_search(work: Work, name: str, searcher: Searcher, maps: Maps, settings: dict[str, Any]) -> Nearest:
    def compute() -> dict[str, NDArray[Any]]:
        found = searcher.search(maps)
        return {item.name: getattr(found, item.name) for item in fields(found)}

    return Nearest(**work.keep(name, compute, **settings))


def _search_maps(
    work: Work,
    name: str,
    searcher: Searcher,
    maps: Maps,
    settings: dict[str, Any],
    tell: Callable[[int], None],
) -> Nearest:
    blocks = []
    for first in range(0, len(maps), BLOCK_IMAGES):
        block = maps[first : first + BLOCK_IMAGES]
        blocks.append(keep_search(work, f"{name}-{first}", searcher, block, settings))
        tell(first + len(block))
    return join_nearest(blocks)


def join_nearest(blocks: Sequence[Nearest]) -> Nearest:
    """Blocks of images one after the other."""
    return Nearest(
        **{item.name: np.concatenate([getattr(block, item.name) for block in blocks]) for item in fields(Nearest)}
    )


def take_nearest(nearest: Nearest, rows: NDArray[Any]) -> Nearest:
    """Some images of a search."""
    return Nearest(**{item.name: getattr(nearest, item.name)[rows] for item in fields(Nearest)})


def _tell(on_progress: OnProgress | None, done: int, total: int) -> None:
    if on_progress is not None:
        on_progress(done, total)
