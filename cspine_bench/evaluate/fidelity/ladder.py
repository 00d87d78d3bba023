"""The ladder of known degradations: what blur, noise, compression and contrast do to each figure.

Real radiographs are dealt into two halves that part no patient. One stays as it is; the other is measured against it as
it is, then under each degradation, and so are as many synthetic images. So every figure here is of two sets of the same
sizes, one of which never changes, and a distance of synthetic images can be read: "further than a blur of so much".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.evaluate.fidelity.distances import (
    DIRECTIONS,
    DISTANCES_AT_COUNTS,
    FRECHET,
    KERNEL,
    Distances,
    NotMeasured,
    Vectors,
    measure_distances,
)
from cspine_bench.evaluate.fidelity.distribution import build_distance
from cspine_bench.evaluate.fidelity.floors import deal_halves, draw_rows
from cspine_bench.evaluate.fidelity.recipe import FidelityRecipe
from cspine_bench.features.encoder import Encoder
from cspine_bench.imaging.degrade import LADDER, Degradation
from cspine_bench.imaging.png import decode_png
from cspine_bench.measurement.inputs import Images
from cspine_bench.measurement.work import Work
from cspine_bench.metrics.intervals import CONFIDENCE, NUM_GROUPS, deal_groups
from cspine_bench.results import Figure
from cspine_bench.seeding import numpy_generator

NO_DEGRADATION: Final = "none"
SYNTHETIC: Final = "synthetic"
"""Values of the condition `degradation` beside the names of the ladder."""
READ: Final = (KERNEL, FRECHET)
"""Figures that are put into words: both compare at equal counts, and the first is unbiased too."""
METHOD: Final = (
    "All sets of the ladder have {count} images. Two are told apart where the interval of their difference excludes 0; "
    "it is a delete-a-group jackknife with the same real images left out, of 95 % for all steps of a figure together."
)
_BLOCK_IMAGES: Final = 32
_LEAST_HALF: Final = 20

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Reading:
    """Where the synthetic images stand on the ladder, by one figure and one kind of degradation.

    Attributes:
        name: of the figure.
        degradation: its kind; `none`: real images as they are.
        further_than: strengths that the synthetic images are clearly further from the real ones than.
        like: strengths that they cannot be told apart from; which does not say that they are the same.
        nearer_than: strengths that they are clearly nearer than.
        text: the same in one sentence.
    """

    name: str
    degradation: str
    further_than: tuple[str, ...]
    like: tuple[str, ...]
    nearer_than: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Ladder:
    """What was measured on the ladder.

    Attributes:
        figures: each with the condition `degradation` (a kind, `none` or `synthetic`) and `strength` ("" for the last
            two), step by step.
        not_measured: which there are not, and why.
        readings: in words.
        count: images of each of the two sets.
    """

    figures: tuple[Figure, ...]
    not_measured: tuple[NotMeasured, ...]
    readings: tuple[Reading, ...]
    count: int

    @property
    def sentences(self) -> tuple[str, ...]:
        """The readings, and how they were made."""
        if not self.readings:
            return ()
        return (*(reading.text for reading in self.readings), METHOD.format(count=self.count))


def measure_ladder(
    real: Images,
    synthetic: Images,
    encoder: Encoder,
    *,
    real_features: NDArray[np.float32],
    synthetic_features: NDArray[np.float32],
    recipe: FidelityRecipe,
    seed: int,
    work: Work,
    ladder: Sequence[Degradation] = LADDER,
    on_progress: OnProgress | None = None,
) -> Ladder:
    """Measure real images under known degradations, and synthetic ones at the same counts.

    Args:
        real: `ladder_count` of its radiographs at most are used.
        synthetic: the other side.
        encoder: that the features come from. Degraded images go through it, and not into the store.
        real_features: float32 (n, d), in the order of `real`.
        synthetic_features: float32 (m, d), in that of `synthetic`.
        recipe: `ladder_count` and `num_neighbours`.
        seed: decides which images are drawn, and the noise.
        work: keeps the features of each step that is done.
        ladder: the steps; within a kind from mild to strong.
        on_progress: told degraded images done, and all.

    Raises:
        DataError: an image cannot be read, or a feature is NaN or infinity.
        ValueError: shapes do not fit.
    """
    real_side = Vectors(real_features, real.group_ids)
    synthetic_side = Vectors(synthetic_features, synthetic.group_ids)
    drawn, halves = _deal_drawn(real_side, recipe.ladder_count, seed)
    count, least = min(map(len, halves)), max(_LEAST_HALF, 2 * recipe.num_neighbours + 1)
    if count < least:
        reason = f"two halves of the real images hold {count} each, and {least} are needed for the ladder"
        return Ladder((), tuple(NotMeasured(name, reason) for name in DISTANCES_AT_COUNTS), (), count)
    on_ladder = len(synthetic_side) >= least
    count = min(count, len(synthetic_side)) if on_ladder else count
    generator = numpy_generator(seed, "evaluate.ladder.counts")
    kept, changed = (drawn[half][draw_rows(real_side.take(drawn[half]), count, generator)] for half in halves)
    sides = {(NO_DEGRADATION, ""): real_side.take(changed)}
    films = _read_films(real, [real.sample_ids[row] for row in changed])
    tell = _count_images(on_progress, len(ladder) * count)
    for step in ladder:
        features = _encode_degraded(step, films, encoder, work, seed, tell)
        sides[step.name, step.strength] = Vectors(features, sides[NO_DEGRADATION, ""].groups)
    if on_ladder:
        sides[SYNTHETIC, ""] = synthetic_side.take(draw_rows(synthetic_side, count, generator))
    measured = _measure_sides(real_side.take(kept), sides, recipe.num_neighbours, seed)
    figures, not_measured = _list_figures(
        measured, real_side.take(kept), sides, {"real": len(real), "synthetic": len(synthetic)}
    )
    if not on_ladder:
        reason = f"{len(synthetic_side)} synthetic images are too few for the ladder, {least} are needed"
        condition = {"degradation": SYNTHETIC, "strength": ""}
        not_measured += [NotMeasured(name, reason, condition=condition) for name in DISTANCES_AT_COUNTS]
    readings = _read_ladder(measured, ladder) if on_ladder else []
    return Ladder(tuple(figures), tuple(not_measured), tuple(readings), count)


def _deal_drawn(
    side: Vectors, most: int, seed: int
) -> tuple[NDArray[np.int64], tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows of a side, and two halves of these."""
    drawn = draw_rows(side, min(len(side), most), numpy_generator(seed, "evaluate.ladder.drawn"))
    return drawn, deal_halves(side.take(drawn), numpy_generator(seed, "evaluate.ladder.halves"))


@dataclass(frozen=True)
class _Film:
    sample_id: str
    png: bytes
    pixel_sha256: str


def _read_films(images: Images, sample_ids: Sequence[str]) -> list[_Film]:
    """As files, which are smaller than pixels: every step reads them again."""
    wanted = set(sample_ids)
    found = {
        record.sample_id: record.image
        for split in images.splits
        for record in images.folder.iter_records(split, ("sample_id", "image"))
        if record.sample_id in wanted
    }
    pixels = dict(zip(images.sample_ids, images.pixel_sha256, strict=True))
    return [_Film(sample_id, found[sample_id], pixels[sample_id]) for sample_id in sample_ids]


def _count_images(on_progress: OnProgress | None, total: int) -> Callable[[int], None]:
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        if on_progress is not None:
            on_progress(done, total)

    return tell


def _encode_degraded(
    step: Degradation, films: Sequence[_Film], encoder: Encoder, work: Work, seed: int, tell: Callable[[int], None]
) -> NDArray[np.float32]:
    def compute() -> dict[str, NDArray[Any]]:
        features = np.empty((len(films), encoder.dimension), np.float32)
        for start in range(0, len(films), _BLOCK_IMAGES):
            alike: dict[tuple[Any, ...], list[tuple[int, NDArray[Any]]]] = {}
            for number, film in enumerate(films[start : start + _BLOCK_IMAGES], start=start):
                generator = numpy_generator(seed, f"evaluate.ladder.{step.name}.{step.step}", number)
                image = step.apply(decode_png(film.png, where=f"sample {film.sample_id}: image"), generator)
                alike.setdefault((image.shape, image.dtype.name), []).append((number, image))
            for members in alike.values():
                stack = np.stack([image for _, image in members])
                features[[number for number, _ in members]] = encoder.encode(stack, allow_blank=True)
        return {"features": features}

    found: NDArray[np.float32] = work.keep(
        f"ladder-{step.name}-{step.step}",
        compute,
        strength=step.strength,
        seed=seed,
        encoder=encoder.sha256,
        pixels=[film.pixel_sha256 for film in films],
    )["features"]
    tell(len(films))
    return found


Condition = tuple[str, str]


def _measure_sides(
    kept: Vectors, sides: Mapping[Condition, Vectors], num_neighbours: int, seed: int
) -> dict[Condition, Distances]:
    """Each against the half that stays, of which the same patients are left out each time."""
    num_groups = min(NUM_GROUPS, kept.num_groups, *(side.num_groups for side in sides.values()))
    stream = "evaluate.ladder.groups"
    dealt = {}
    if num_groups >= 2:
        # Numbered, so that the degraded half has the groups of its undegraded self.
        dealt = {
            index: deal_groups(side.groups, num_groups=num_groups, generator=numpy_generator(seed, stream, index))
            for index, side in enumerate((kept, sides[NO_DEGRADATION, ""], sides.get((SYNTHETIC, ""), kept)))
        }
    measured = {}
    for condition, side in sides.items():
        side.require_finite(f"real images under {' '.join(condition)}" if condition[1] else condition[0])
        measured[condition] = measure_distances(
            kept,
            side,
            names=DISTANCES_AT_COUNTS,
            num_neighbours=num_neighbours,
            generator=numpy_generator(seed, "evaluate.ladder.parts"),
            labels=(dealt[0], dealt[2 if condition[0] == SYNTHETIC else 1]) if dealt else None,
        )
    return measured


def _list_figures(
    measured: Mapping[Condition, Distances],
    kept: Vectors,
    sides: Mapping[Condition, Vectors],
    available: Mapping[str, int],
) -> tuple[list[Figure], list[NotMeasured]]:
    figures, not_measured, count = [], [], len(kept)
    for (degradation, strength), found in measured.items():
        condition = {"degradation": degradation, "strength": strength}
        used = {"real": count, "synthetic": count} if degradation == SYNTHETIC else {"real": 2 * count}
        there = {role: available[role] for role in used}
        note = f"Of {count} x {count} images, as all figures of the ladder."
        figures += [
            build_distance(
                name,
                found,
                (kept, sides[degradation, strength]),
                used=used,
                available=there,
                notes=(note,),
                condition=condition,
            )
            for name in found.figures
        ]
        not_measured += [NotMeasured(name, reason, condition=condition) for name, reason in found.reasons.items()]
    return figures, not_measured


def _read_ladder(measured: Mapping[Condition, Distances], ladder: Sequence[Degradation]) -> list[Reading]:
    """By the interval of the difference, widened for all comparisons of a figure together."""
    kinds: dict[str, list[str]] = {NO_DEGRADATION: [""]}
    for step in ladder:
        kinds.setdefault(step.name, []).append(step.strength)
    confidence = 1 - (1 - CONFIDENCE) / (1 + len(ladder))
    readings = []
    for name in READ:
        synthetic = measured[SYNTHETIC, ""].figures.get(name)
        if synthetic is None or len(synthetic.left_out) < 2:
            continue
        for kind, strengths in kinds.items():
            sorted_in: dict[str, list[str]] = {"further": [], "like": [], "nearer": []}
            for strength in strengths:
                apart = synthetic.minus(measured[kind, strength].figures[name]).estimate(confidence=confidence)
                sign = 1 if DIRECTIONS[name] == "lower" else -1
                low, high = sorted((sign * apart.low, sign * apart.high))
                sorted_in["further" if low > 0 else "nearer" if high < 0 else "like"].append(strength)
            further, like, nearer = (tuple(sorted_in[where]) for where in ("further", "like", "nearer"))
            text = _put_into_words(name, kind, further, like, nearer)
            readings.append(Reading(name, kind, further, like, nearer, text))
    return readings


def _put_into_words(name: str, kind: str, further: Sequence[str], like: Sequence[str], nearer: Sequence[str]) -> str:
    title = name.replace("_", " ").replace("frechet", "Fréchet")
    subject = f"By the {title}, the synthetic images are"
    if kind == NO_DEGRADATION:
        if further:
            return f"{subject} further from the real images than other real images are."
        if nearer:
            return f"{subject} nearer to the real images than other real images are."
        return f"{subject} not told apart from other real images by so many; that does not show that they are the same."
    told = []
    if further:
        told.append(f"further from the real images than real ones under {kind} ({further[-1]})")
    if like:
        told.append(f"not told apart from real ones under {kind} ({'; '.join(like)})")
    if nearer:
        told.append(f"nearer than real ones under {kind} ({nearer[0]})")
    return f"{subject} {', '.join(told[:-1])}{' and ' if told[:-1] else ''}{told[-1]}."
