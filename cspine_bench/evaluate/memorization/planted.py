"""The power of a search: copies of training films planted in it, changed in known ways, and how many it finds."""

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.evaluate.memorization.maps import BLOCK_IMAGES, make_map
from cspine_bench.evaluate.memorization.null import adjust_as_one_more
from cspine_bench.evaluate.memorization.recheck import register_rows
from cspine_bench.evaluate.memorization.recipe import MemorizationRecipe
from cspine_bench.evaluate.memorization.search import CopySearch, confirm, join_nearest, keep_search
from cspine_bench.evaluate.memorization.transforms import TRANSFORMS, Transform
from cspine_bench.evaluate.page.records import PlantedExample
from cspine_bench.measurement.figures import CLOPPER_PEARSON, build_figure
from cspine_bench.measurement.inputs import Images
from cspine_bench.measurement.work import Work
from cspine_bench.metrics.copying import Maps
from cspine_bench.metrics.intervals import Estimate, clopper_pearson_interval
from cspine_bench.results import Figure
from cspine_bench.seeding import numpy_generator

OnProgress = Callable[[int, int], None]

OPERATING: Final = "operating point"
CONFIRMED: Final = "confirmed"
RULES: Final = (OPERATING, CONFIRMED)
_NUM_CANVASES: Final = 20


@dataclass(frozen=True)
class PlantedCopies:
    """What the search found of the copies planted.

    Attributes:
        transforms: by which they were made.
        found: by rule of `RULES`, bool (transforms, copies): flagged, and for the film that was copied.
        figures: `planted_recall` of each transform and rule, of all common transforms, and of all.
    """

    transforms: tuple[Transform, ...]
    found: dict[str, NDArray[np.bool_]]
    figures: tuple[Figure, ...]

    def estimate_recall(self, rule: str, transforms: NDArray[np.bool_] | None = None) -> Estimate:
        """Share of the copies that a rule finds, over all transforms or some of them."""
        found = self.found[rule] if transforms is None else self.found[rule][transforms]
        return clopper_pearson_interval(successes=int(found.sum()), total=found.size)

    @property
    def common(self) -> NDArray[np.bool_]:
        """Which transforms a search must find, bool (transforms,)."""
        return np.array([transform.common for transform in self.transforms], bool)


def find_planted_copies(
    search: CopySearch,
    train: Images,
    synthetic: Images,
    *,
    recipe: MemorizationRecipe,
    seed: int,
    work: Work,
    on_progress: OnProgress | None = None,
    transforms: tuple[Transform, ...] = TRANSFORMS,
) -> PlantedCopies:
    """Plant copies in the run's own data, search them, and judge them by the rule that judged the synthetic images.

    Each copy is judged as if it alone had been among the synthetic images. It counts as found where it is flagged and
    the film named is the one that was copied, or one of its patient.

    Args:
        search: of the run.
        train: its training films, of which some are copied.
        synthetic: its synthetic images, into which parts are pasted.
        recipe: how many to plant, and the operating point.
        seed: draws films, canvases and strengths.
        work: where finished blocks are kept.
        on_progress: called with the copies searched and all copies.
        transforms: at least one.

    Raises:
        ValueError: the recipe plants none, or there are no transforms.
    """
    if recipe.planted < 1 or not transforms:
        raise ValueError(f"needs copies to plant, got {recipe.planted} by {len(transforms)} transforms")
    maps, sources = _plant(train, synthetic, recipe.planted, seed, transforms)
    settings = {
        "seed": seed,
        "transforms": [transform.name for transform in transforms],
        **recipe.model_dump(mode="json"),
    }
    blocks = []
    for first in range(0, len(maps), BLOCK_IMAGES):
        block = maps[first : first + BLOCK_IMAGES]
        blocks.append(keep_search(work, f"planted-{first}", search.searcher, block, settings))
        if on_progress is not None:
            on_progress(first + len(block), len(maps))
    nearest = join_nearest(blocks)
    judgement = search.null.judge(nearest.ratio)
    named = nearest.index[np.arange(len(maps)), judgement.channel]
    right = search.searcher.clusters[named] == search.searcher.clusters[sources]
    q_value = adjust_as_one_more(p_values=judgement.tail_p_value, others=search.synthetic.judgement.tail_p_value)
    registered = register_rows(maps, search.searcher.references, nearest, search.channels, judgement.channel)
    flagged = {
        OPERATING: judgement.p_value <= recipe.false_positive_rate,
        CONFIRMED: confirm(search, nearest, judgement, q_value, registered),
    }
    found = {rule: (right & flags).reshape(len(transforms), -1) for rule, flags in flagged.items()}
    return PlantedCopies(transforms, found, _build_figures(transforms, found))


def draw_examples(
    planted: PlantedCopies, train: Images, synthetic: Images, *, recipe: MemorizationRecipe, seed: int
) -> tuple[PlantedExample, ...]:
    """The first copy by each transform beside its film, and whether it was confirmed; drawn again, by the same seed.

    Args:
        planted: what was found.
        train: as they were planted from.
        synthetic: as they were pasted into.
        recipe: of the run.
        seed: of the run.
    """
    wanted = range(0, len(planted.transforms) * recipe.planted, recipe.planted)
    copies = {
        number: (film, copy)
        for number, _, film, copy in iter_copies(
            train, synthetic, copies=recipe.planted, seed=seed, transforms=planted.transforms, wanted=frozenset(wanted)
        )
    }
    return tuple(
        PlantedExample(transform.name, *copies[number], bool(planted.found[CONFIRMED][row, 0]))
        for row, (transform, number) in enumerate(zip(planted.transforms, wanted, strict=True))
    )


def iter_copies(
    train: Images,
    synthetic: Images,
    *,
    copies: int,
    seed: int,
    transforms: tuple[Transform, ...] = TRANSFORMS,
    wanted: Set[int] | None = None,
) -> Iterator[tuple[int, int, NDArray[Any], NDArray[np.uint8]]]:
    """The copies that `find_planted_copies` plants, in the order of their films; a film at a time in memory.

    Args:
        train: films that are copied.
        synthetic: images that parts are pasted into.
        copies: by each transform.
        seed: draws films, canvases and strengths.
        transforms: at least one.
        wanted: numbers of the copies to make; None: all.

    Yields:
        (number of the copy, row of its film in training, film, copy); number // copies is the transform's.
    """
    draw = numpy_generator(seed, "evaluate.planted.films")
    sources = draw.integers(0, len(train), len(transforms) * copies)
    rows = draw.permutation(len(synthetic))[:_NUM_CANVASES].tolist()
    canvases = list(synthetic.take_images([synthetic.sample_ids[row] for row in rows]).values())
    chosen = draw.integers(0, len(canvases), len(sources))
    by_film: dict[int, list[int]] = {}
    for number, source in enumerate(sources.tolist()):
        by_film.setdefault(source, []).append(number)
    for row, (_, film) in enumerate(train.iter_images()):
        for number in by_film.get(row, ()):
            if wanted is not None and number not in wanted:
                continue
            transform = transforms[number // copies]
            generator = numpy_generator(seed, f"evaluate.planted.{transform.name}", number % copies)
            yield number, row, film, transform.apply(film, canvases[chosen[number]], generator)


def _plant(
    train: Images, synthetic: Images, copies: int, seed: int, transforms: tuple[Transform, ...]
) -> tuple[Maps, NDArray[np.int64]]:
    """Maps of the copies, and the rows of their films in training."""
    planted = {
        number: (make_map(copy), row)
        for number, row, _, copy in iter_copies(train, synthetic, copies=copies, seed=seed, transforms=transforms)
    }
    ordered = [planted[number] for number in range(len(planted))]
    return np.stack([copied for copied, _ in ordered]), np.array([row for _, row in ordered], np.int64)


def _build_figures(transforms: tuple[Transform, ...], found: dict[str, NDArray[np.bool_]]) -> tuple[Figure, ...]:
    groups: list[tuple[str, NDArray[Any]]] = [("all", np.ones(len(transforms), bool))]
    groups.append(("common ones", np.array([transform.common for transform in transforms], bool)))
    groups += [(transform.name, np.arange(len(transforms)) == row) for row, transform in enumerate(transforms)]
    figures = []
    for rule in RULES:
        for name, rows in groups:
            copies = found[rule][rows]
            if copies.size:
                figures.append(
                    build_figure(
                        "planted_recall",
                        clopper_pearson_interval(successes=int(copies.sum()), total=copies.size),
                        direction="higher",
                        unit="share",
                        used={"planted": copies.size},
                        available={"planted": copies.size},
                        method=CLOPPER_PEARSON,
                        condition={"transform": name, "rule": rule},
                    )
                )
    return tuple(figures)
