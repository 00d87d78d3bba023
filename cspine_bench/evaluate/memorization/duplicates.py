"""Duplicates inside a release: equal pixels, and pairs more alike than films of different patients ever are.

How alike those are is read off the films themselves: the middle half of their similarities, so that a few copies among
them do not raise the threshold that is to find copies.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, stats

from cspine_bench.measurement.figures import CLOPPER_PEARSON, build_figure
from cspine_bench.metrics.copying import Maps
from cspine_bench.metrics.intervals import clopper_pearson_interval
from cspine_bench.metrics.near_copies import Variant, list_variants, search_near_copies
from cspine_bench.results import Figure, Floor

TWINS: Final = list_variants(max_shift_px=1)
"""Moves that every pair is tried under: mirrored or not, 9 shifts."""
EXPECTED_FALSE: Final = 0.01
"""Honest images that the threshold lets through, on average over releases like this one."""
LEAST_HONEST: Final = 20

# 1.645 times 1.26, the relative error of the distance of a Gumbel distribution's quartiles, times the square root of n.
_SPREAD_MARGIN: Final = 2.07
_NEAREST: Final = 5
_BLOCK: Final = 1024
_HIGHEST: Final = 0.999999

Kind = Literal["exact", "near", "group"]
Floats = NDArray[np.float64]
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Films:
    """One side, as duplicates are looked for in it.

    Attributes:
        maps: float32 (n, S, S), high-pass.
        sample_ids: (n,).
        group_ids: (n,), patient or anatomy.
        pixel_sha256: (n,), of the decoded pixels.
    """

    maps: Maps = field(repr=False)
    sample_ids: Sequence[str] = field(repr=False)
    group_ids: Sequence[str] = field(repr=False)
    pixel_sha256: Sequence[str] = field(repr=False)

    def __post_init__(self) -> None:
        counts = {len(part) for part in (self.maps, self.sample_ids, self.group_ids, self.pixel_sha256)}
        if len(counts) != 1 or counts == {0}:
            raise ValueError(f"needs a map, an id, a group and a hash of each image, got counts of {sorted(counts)}")

    def __len__(self) -> int:
        return len(self.maps)


@dataclass(frozen=True)
class Twins:
    """Two images that are one.

    Attributes:
        kind: `exact`: equal pixels; `near`: alike beyond the threshold; `group`: of one patient.
        first: sample id; where it is about films, of the one held out.
        second: sample id; likewise, of the training film.
        similarity: 0..1, absolute correlation of their maps at the best move; nan where it was not searched.
    """

    kind: Kind
    first: str
    second: str
    similarity: float


@dataclass(frozen=True)
class Duplicates:
    """What a release holds more than once.

    Attributes:
        figures: `duplicate_share`, by kind.
        pairs: the likest first, exact ones before near ones.
        groups: sample ids of images that are the same by any of the pairs, the largest group first.
        threshold: similarity from which a pair is near; nan where it was not measured.
        honest: float64, of films held out to the nearest training film of another patient: what the threshold is from.
        similarity: float64 (n,), of each image to the nearest other one.
        index: int64 (n,), of that one.
        not_measured: each figure that is missing, with the reason.
    """

    figures: tuple[Figure, ...]
    pairs: tuple[Twins, ...]
    groups: tuple[tuple[str, ...], ...]
    threshold: float
    honest: Floats = field(repr=False)
    similarity: Floats = field(repr=False)
    index: NDArray[np.int64] = field(repr=False)
    not_measured: tuple[str, ...] = ()


def measure_duplicates(
    *,
    synthetic: Films,
    train: Films,
    holdout: Films,
    variants: Sequence[Variant] = TWINS,
    on_progress: OnProgress | None = None,
) -> Duplicates:
    """Images of a release that are there more than once, and in how many groups.

    Args:
        synthetic: the release.
        train: films that it was made from.
        holdout: films of other patients: how alike they are to training films is what honest images may be.
        variants: moves to try.
        on_progress: told how many images were compared with all others, and of how many.

    Raises:
        ValueError: maps differ in size, or there is only one image.

    Source: see `search_near_copies`, and `find_threshold` for where near begins.
    """
    if len(synthetic) < 2:
        raise ValueError(f"needs at least 2 images, got {len(synthetic)}")
    honest = measure_honest(holdout, train, np.arange(len(holdout)), variants)
    nearest, index = search_nearest(
        synthetic, synthetic, variants, own=np.arange(len(synthetic)), on_progress=on_progress
    )
    threshold = find_threshold(
        honest, num_references=len(train), num_images=len(synthetic), num_compared=len(synthetic) - 1
    )
    exact = _pair_equal(synthetic)
    near = _pair_near(synthetic, nearest, index, threshold)
    figures = [_build_share(synthetic, exact, "exact", "Equal pixels after decoding.")]
    missing: tuple[str, ...] = ()
    if np.isnan(threshold):
        missing = (explain_missing("duplicate_share of near ones", honest),)
    else:
        figures.append(_build_near_share(synthetic, exact | near.keys(), threshold, honest, train, holdout))
    return Duplicates(
        figures=tuple(figures),
        pairs=_list_twins(synthetic, exact, near),
        groups=_list_groups(synthetic, exact | near.keys()),
        threshold=threshold,
        honest=honest,
        similarity=nearest[:, 0].astype(np.float64),
        index=index[:, 0],
        not_measured=missing,
    )


def find_threshold(honest: Floats, *, num_references: int, num_images: int, num_compared: int) -> float:
    """Similarity that hardly any of some honest images reaches with any other.

    Fisher's z of the similarity of two films of different patients is taken for normal, and so that of the nearest of
    `num_references` for the largest of so many. Its mean and spread are those that give the quartiles seen, so a
    quarter of the films may be anything, even copies. The spread is the upper end of its one-sided 95 % interval, so
    that few films do not make a low threshold. With more images compared, the threshold rises.

    Args:
        honest: float (k,), similarity of films to the nearest of another patient's.
        num_references: films that each of them was compared with.
        num_images: images that are to be judged.
        num_compared: images that each of them is compared with.

    Returns:
        0..1, at which `EXPECTED_FALSE` of the images are expected; nan for fewer than `LEAST_HONEST` films, or for ones
        that do not differ.

    Source: Fisher 1915, Biometrika 10, 507-521, for z; the largest of m has the distribution function to the power m.
    """
    values = np.arctanh(honest.clip(0, _HIGHEST))
    if len(values) < LEAST_HONEST or num_references < 1:
        return float("nan")
    quartiles = np.quantile(values, (0.25, 0.5, 0.75))
    # Quantile p of the largest of m is quantile p ** (1 / m) of one.
    expected = -stats.norm.ppf(-np.expm1(np.log([0.25, 0.5, 0.75]) / num_references))
    spread = (quartiles[2] - quartiles[0]) / (expected[2] - expected[0]) * (1 + _SPREAD_MARGIN / np.sqrt(len(values)))
    if spread <= 0:
        return float("nan")
    tail = EXPECTED_FALSE / (num_images * num_compared)
    highest = quartiles[1] + spread * (-stats.norm.ppf(tail) - expected[1])
    return float(min(np.tanh(highest), _HIGHEST))


def measure_honest(films: Films, references: Films, rows: NDArray[np.int64], variants: Sequence[Variant]) -> Floats:
    """Similarity of some films to the nearest reference of another patient."""
    groups, others = np.asarray(films.group_ids)[rows], np.asarray(references.group_ids)
    # As many of its own patient's may come first.
    largest = int(np.unique(others, return_counts=True)[1].max())
    count = min(len(references), 1 + min(largest, _NEAREST))
    found = search_near_copies(images=films.maps[rows], references=references.maps, variants=variants, count=count)
    honest = others[found.index] != groups[:, None]
    similarity = found.similarity[np.arange(len(rows)), honest.argmax(axis=1)]
    return np.asarray(similarity[honest.any(axis=1)], np.float64)


def search_nearest(
    images: Films,
    references: Films,
    variants: Sequence[Variant],
    *,
    own: NDArray[np.int64] | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The references most like each image, the likest first: float32 and int64 (n, up to 5), similarity and number.

    Args:
        images: n.
        references: m.
        variants: moves to try.
        own: (n,), number of the reference that each image is itself; None: of none.
        on_progress: told how many images were compared, and of how many.
    """
    available = len(references) - (0 if own is None else 1)
    count = min(_NEAREST, available)
    similarity = np.empty((len(images), count), np.float32)
    index = np.empty((len(images), count), np.int64)
    for start in range(0, len(images), _BLOCK):
        rows = slice(start, start + _BLOCK)
        found = search_near_copies(
            images=images.maps[rows],
            references=references.maps,
            variants=variants,
            count=count + (0 if own is None else 1),
        )
        kept = np.ones(found.index.shape, bool) if own is None else found.index != own[rows, None]
        # An image like many others may not be among its own nearest.
        kept[kept.all(axis=1), count:] = False
        similarity[rows] = found.similarity[kept].reshape(-1, count)
        index[rows] = found.index[kept].reshape(-1, count)
        if on_progress is not None:
            on_progress(min(start + _BLOCK, len(images)), len(images))
    return similarity, index


_Pairs = set[tuple[int, int]]


def _pair_equal(films: Films) -> _Pairs:
    """Each image with the first one of its pixels."""
    first: dict[str, int] = {}
    pairs = set()
    for row, digest in enumerate(films.pixel_sha256):
        if (one := first.setdefault(digest, row)) != row:
            pairs.add((one, row))
    return pairs


def _pair_near(
    films: Films, similarity: NDArray[np.float32], index: NDArray[np.int64], threshold: float
) -> dict[tuple[int, int], float]:
    """Pairs beyond the threshold whose pixels differ, by what they reach."""
    pairs: dict[tuple[int, int], float] = {}
    if np.isnan(threshold):
        return pairs
    for row, place in np.argwhere(similarity >= threshold).tolist():
        one, other = sorted((row, int(index[row, place])))
        if films.pixel_sha256[one] != films.pixel_sha256[other]:
            pairs[one, other] = max(pairs.get((one, other), 0.0), float(similarity[row, place]))
    return pairs


def _list_twins(films: Films, exact: _Pairs, near: dict[tuple[int, int], float]) -> tuple[Twins, ...]:
    ids = films.sample_ids
    found = [Twins("exact", ids[one], ids[other], 1.0) for one, other in sorted(exact)]
    ranked = sorted(near.items(), key=lambda item: (-item[1], item[0]))
    return tuple(found + [Twins("near", ids[one], ids[other], value) for (one, other), value in ranked])


def _label(count: int, pairs: _Pairs) -> NDArray[np.int64]:
    """Number of the group of each image; one that is in no pair is a group of its own."""
    rows = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    graph = sparse.coo_array((np.ones(len(rows)), (rows[:, 0], rows[:, 1])), shape=(count, count))
    return np.asarray(sparse.csgraph.connected_components(graph, directed=False)[1], np.int64)


def _list_groups(films: Films, pairs: _Pairs) -> tuple[tuple[str, ...], ...]:
    members: dict[int, list[str]] = {}
    for row, number in enumerate(_label(len(films), pairs).tolist()):
        members.setdefault(number, []).append(films.sample_ids[row])
    groups = [tuple(group) for group in members.values() if len(group) > 1]
    return tuple(sorted(groups, key=lambda group: (-len(group), group)))


def _build_near_share(
    films: Films, pairs: _Pairs, threshold: float, honest: Floats, train: Films, holdout: Films
) -> Figure:
    beyond = clopper_pearson_interval(successes=int((honest >= threshold).sum()), total=len(honest))
    floor = Floor(
        value=beyond.value,
        low=beyond.low,
        high=beyond.high,
        method=f"films held out as near to another patient's training film; {CLOPPER_PEARSON}",
        n_used=(len(honest), len(train)),
    )
    note = (
        f"Near: a similarity of {threshold:.3f} or more at the best of small shifts and flips, which "
        f"{EXPECTED_FALSE:g} images of so many would reach were they as different as films of different patients. "
        "Equal pixels count."
    )
    return _build_share(films, pairs, "near", note, floor, {"train": len(train), "holdout": len(holdout)})


def _build_share(
    films: Films,
    pairs: _Pairs,
    kind: Kind,
    note: str,
    floor: Floor | None = None,
    films_used: Mapping[str, int] | None = None,
) -> Figure:
    sizes = np.bincount(_label(len(films), pairs))
    share = float(sizes[sizes > 1].sum() / len(films))
    used = {**(films_used or {}), "synthetic": len(films)}
    return build_figure(
        "duplicate_share",
        # Images that are one image are one trial.
        clopper_pearson_interval(successes=share * len(sizes), total=len(sizes)),
        direction="lower",
        used=used,
        available=used,
        method=f"{CLOPPER_PEARSON}, each group of twins one trial",
        unit="share",
        condition={"kind": kind},
        floor=floor,
        note=(
            f"Images with a twin among the {len(films):,}, in {int((sizes > 1).sum()):,} groups. {note} The share "
            "grows with the number of images."
        ),
    )


def explain_missing(figure: str, honest: Floats) -> str:
    return (
        f"{figure}: {len(honest)} films with one of another patient to compare with cannot say how alike honest images "
        f"are; it takes {LEAST_HONEST} that differ"
    )
