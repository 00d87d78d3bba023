"""The images that display sets are drawn from: without what must not be shown, by stratum, in a drawn order."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.measurement.inputs import UNKNOWN, Images
from cspine_bench.metrics.copying import Maps, compute_similarity, remove_low_frequencies
from cspine_bench.seeding import numpy_generator
from cspine_bench.study.plan.frames import Canvas
from cspine_bench.study.plan.sides import CONTROL, Sides
from cspine_bench.study.recipe import Stratum
from cspine_bench.study.truth import REAL

POOL_LIMIT: Final = 4000
"""Images of a side that a plan looks at; of more, so many are drawn."""

StratumKey = tuple[str, ...]


@dataclass(frozen=True)
class Pool:
    """Images of one source that may be drawn, in the order in which they are.

    Attributes:
        name: of the source.
        images: the side.
        places: int64 (n,), of each image in the side.
        strata: (n,), labels in the order of the recipe's strata; () for each where nothing is matched.
        maps: float32 (n, rows, columns), of their fine structure, by which near copies are known.
        left_out: images that are not here, by reason.
    """

    name: str
    images: Images
    places: NDArray[np.int64]
    strata: tuple[StratumKey, ...]
    maps: Maps = field(repr=False)
    left_out: dict[str, int]

    def __len__(self) -> int:
        return len(self.places)

    def compare(self, row: int, others: Sequence[tuple["Pool", int]]) -> float:
        """How alike the fine structure of an image is to that of any other, 0..1; moved, mirrored or inverted too.

        Args:
            row: of the image.
            others: (pool, row) of one or more.
        """
        one = self.maps[row]
        references = np.stack([pool.maps[other] for pool, other in others])
        return float(compute_similarity(images=np.stack([one, one[:, ::-1]]), references=references).max())


def build_pools(sides: Sides, canvas: Canvas, *, strata: Sequence[Stratum], seed: int) -> dict[str, Pool]:
    """The pools of all sources, by name.

    Real images: one of each patient or anatomy, none that the generator was trained on, nor its patient. Images without
    a label of a stratum are left out; those for positive controls are not matched, so need none.

    Args:
        sides: what there is.
        canvas: as images are shown, and compared.
        strata: labels that display sets agree in.
        seed: decides the order, and which images of a large side are looked at.
    """
    pools = {}
    for name, images in sides.list_all().items():
        asked = () if name == CONTROL else tuple(strata)
        keys = list(zip(*(_read_labels(images, stratum) for stratum in asked), strict=True)) or [()] * len(images)
        order = numpy_generator(seed, f"study.pool.{name}").permutation(len(images))
        left_out: dict[str, int] = {}
        order = _keep(order, [UNKNOWN not in key for key in keys], "have no label of the strata", left_out)
        if name == REAL:
            order = _keep_held_out(order, images, sides.train, left_out)
            first = _find_firsts([images.group_ids[place] for place in order])
            order = _keep_rows(order, first, "show a patient again", left_out)
        if len(order) > POOL_LIMIT:
            left_out["were not looked at, as there are so many"] = len(order) - POOL_LIMIT
            order = order[:POOL_LIMIT]
        maps = _map_images(images, order, canvas)
        pools[name] = Pool(name, images, order, tuple(keys[place] for place in order), maps, left_out)
    return pools


def _read_labels(images: Images, stratum: Stratum) -> tuple[str, ...]:
    return images.facing if stratum == "facing" else images.labels[stratum]


def _keep(order: NDArray[np.int64], wanted: Sequence[bool], reason: str, left_out: dict[str, int]) -> NDArray[np.int64]:
    """Those whose place is wanted."""
    return _keep_rows(order, [wanted[place] for place in order], reason, left_out)


def _keep_rows(
    order: NDArray[np.int64], wanted: Sequence[bool], reason: str, left_out: dict[str, int]
) -> NDArray[np.int64]:
    kept = order[np.asarray(wanted, np.bool_)]
    if len(kept) < len(order):
        left_out[reason] = len(order) - len(kept)
    return kept


def _keep_held_out(
    order: NDArray[np.int64], images: Images, train: Images | None, left_out: dict[str, int]
) -> NDArray[np.int64]:
    if train is None:
        return order
    pixels, groups = set(train.pixel_sha256), set(train.group_ids)
    fresh = [one not in pixels for one in images.pixel_sha256]
    order = _keep(order, fresh, "were trained on by the generator", left_out)
    strangers = [one not in groups for one in images.group_ids]
    return _keep(order, strangers, "show a patient whom the generator was trained on", left_out)


def _find_firsts(groups: Sequence[str]) -> list[bool]:
    first = dict(zip(reversed(groups), reversed(range(len(groups))), strict=True))
    return [first[group] == row for row, group in enumerate(groups)]


def _map_images(images: Images, order: NDArray[np.int64], canvas: Canvas) -> Maps:
    """Fine structure of the chosen images, in their order; one pass over the files, a small map of each in memory."""
    rows = {images.sample_ids[place]: row for row, place in enumerate(order)}
    maps: list[NDArray[Any]] = [np.empty((0, 0), np.float32)] * len(rows)
    for sample, image in images.iter_images():
        if sample in rows:
            maps[rows[sample]] = remove_low_frequencies(canvas.render(image)[None])[0]
    return np.stack(maps) if maps else np.empty((0, 1, 1), np.float32)
