"""The same figures for women and men, age bands, curvatures, diseases and checkpoints: where a generator fails some.

The kernel distances are unbiased at any counts, so they use all images of a group. The others depend on the counts, so
all groups of a label are cut to those of the smallest that is measured, and compare with each other. A group with few
images is named, and not measured: its figure would say more of chance than of the generator.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.evaluate.fidelity.distances import (
    CMMD,
    FRECHET,
    KERNEL,
    MANIFOLD,
    NotMeasured,
    Vectors,
    measure_distances,
)
from cspine_bench.evaluate.fidelity.distribution import build_distance
from cspine_bench.evaluate.fidelity.floors import draw_rows, measure_floors
from cspine_bench.evaluate.fidelity.recipe import FidelityRecipe
from cspine_bench.measurement.inputs import UNKNOWN, Images
from cspine_bench.metrics.intervals import CONFIDENCE
from cspine_bench.results import Figure
from cspine_bench.seeding import numpy_generator

AT_ALL_COUNTS: Final = (KERNEL, CMMD)
AT_EQUAL_COUNTS: Final = (FRECHET, *MANIFOLD)
MOST_EQUAL: Final = 500
"""Images of a side at most where counts are made equal, so that many groups cost little."""
MOST_FLOOR: Final = 250
CHECKPOINT: Final = "checkpoint"
"""Label of synthetic images alone: each checkpoint is compared with all real ones."""

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Subgroups:
    """What was measured of subgroups.

    Attributes:
        figures: with `subgroup`; the level of an interval is widened for the number of groups of its label.
        not_measured: groups that were too small, with their counts, and images without a label.
    """

    figures: tuple[Figure, ...]
    not_measured: tuple[NotMeasured, ...]


@dataclass(frozen=True)
class _Group:
    label: str
    value: str
    real: NDArray[np.int64]
    synthetic: NDArray[np.int64]

    @property
    def subgroup(self) -> dict[str, str]:
        return {self.label: self.value}

    @property
    def fewest(self) -> int:
        return min(len(self.real), len(self.synthetic))


def measure_subgroups(
    real: Images,
    synthetic: Images,
    *,
    real_features: NDArray[np.float32],
    synthetic_features: NDArray[np.float32],
    recipe: FidelityRecipe,
    seed: int,
    on_progress: OnProgress | None = None,
) -> Subgroups:
    """Compare synthetic radiographs of each group with real ones of the same.

    Args:
        real: with their labels.
        synthetic: likewise.
        real_features: float32 (n, d), in the order of `real`.
        synthetic_features: float32 (m, d), in that of `synthetic`.
        recipe: which labels, the least size of a group, the number of neighbours and of floors.
        seed: decides every draw.
        on_progress: told groups done, and all that are measured.

    Raises:
        DataError: a feature is NaN or infinity.
        ValueError: shapes do not fit.

    Source: of the level, Bonferroni: all intervals of a label and figure hold together with 95 %.
    """
    sides = Vectors(real_features, real.group_ids), Vectors(synthetic_features, synthetic.group_ids)
    for role, side in zip(("real", "synthetic"), sides, strict=True):
        side.require_finite(role)
    not_measured: list[NotMeasured] = []
    families: list[list[_Group]] = []
    for label in recipe.subgroups:
        unlabelled = [side.role for side in (real, synthetic) if set(side.labels[label]) <= {UNKNOWN}]
        if label == CHECKPOINT:
            unlabelled = [role for role in unlabelled if role == synthetic.role]
        if unlabelled:
            reason = f"no {' and no '.join(unlabelled)} image is labelled by {label.replace('_', ' ')}"
            not_measured.append(NotMeasured(f"subgroups by {label}", reason))
            continue
        family = []
        for group in _iter_groups(label, real.labels[label], synthetic.labels[label]):
            if obstacle := _find_obstacle(group, recipe.least_subgroup, real, synthetic):
                not_measured.append(obstacle)
            else:
                family.append(group)
        families.append(family)
    figures: list[Figure] = []
    tasks = [(group, family) for family in families for group in family]
    for done, (group, family) in enumerate(tasks, start=1):
        measured, missing = _measure_group(group, family, sides, recipe, seed)
        figures += measured
        not_measured += missing
        if on_progress is not None:
            on_progress(done, len(tasks))
    return Subgroups(tuple(figures), tuple(not_measured))


def _iter_groups(label: str, real: Sequence[str], synthetic: Sequence[str]) -> Iterator[_Group]:
    """In alphabetical order, what has no label last."""
    values = set(synthetic) if label == CHECKPOINT else {*real, *synthetic}
    for value in sorted(values, key=lambda value: (value == UNKNOWN, value)):
        rows = [np.flatnonzero(np.array(side) == value) for side in (real, synthetic)]
        if label == CHECKPOINT:
            rows[0] = np.arange(len(real))
        yield _Group(label, value, rows[0], rows[1])


def _find_obstacle(group: _Group, least: int, real: Images, synthetic: Images) -> NotMeasured | None:
    counts = f"{len(group.real):,} real and {len(group.synthetic):,} synthetic images"
    if group.value == UNKNOWN:
        if group.label == CHECKPOINT:
            counts = f"{len(group.synthetic):,} synthetic images"
        reason = f"{counts} have no {group.label.replace('_', ' ')}, and make no group"
    elif group.fewest < least:
        reason = f"{counts}; at least {least} on each side are needed"
    elif len(group.real) == len(real) and len(group.synthetic) == len(synthetic):
        reason = "all images are of this group: its figures are those of all"
    else:
        return None
    return NotMeasured("subgroup", reason, subgroup=group.subgroup)


def _measure_group(
    group: _Group, family: Sequence[_Group], sides: tuple[Vectors, Vectors], recipe: FidelityRecipe, seed: int
) -> tuple[list[Figure], list[NotMeasured]]:
    stream = f"evaluate.subgroups.{group.label}.{group.value}"
    whole = sides[0].take(group.real), sides[1].take(group.synthetic)
    counts = [min(MOST_EQUAL, *(len(getattr(one, role)) for one in family)) for role in ("real", "synthetic")]
    generator = numpy_generator(seed, f"{stream}.equal")
    equal = [side.take(draw_rows(side, count, generator)) for side, count in zip(whole, counts, strict=True)]
    floors = measure_floors(
        *whole,
        names=(*AT_ALL_COUNTS, *AT_EQUAL_COUNTS),
        num_neighbours=recipe.num_neighbours,
        num_floors=recipe.num_floors,
        seed=seed,
        stream=f"{stream}.floors",
        most_images=min(MOST_FLOOR, min(len(one.real) for one in family) // 2),
    )
    figures, not_measured = [], []
    for names, (real, synthetic) in ((AT_ALL_COUNTS, whole), (AT_EQUAL_COUNTS, equal)):
        found = measure_distances(
            real,
            synthetic,
            names=names,
            num_neighbours=recipe.num_neighbours,
            generator=numpy_generator(seed, f"{stream}.groups"),
        )
        figures += [
            build_distance(
                name,
                found,
                (real, synthetic),
                available={"real": len(group.real), "synthetic": len(group.synthetic)},
                notes=(*_explain(name, group, len(family), counts), floors.reasons.get(name, "")),
                subgroup=group.subgroup,
                floor=floors.floors.get(name),
                level=1 - (1 - CONFIDENCE) / len(family),
            )
            for name in found.figures
        ]
        not_measured += [NotMeasured(name, why, subgroup=group.subgroup) for name, why in found.reasons.items()]
    return figures, not_measured


def _explain(name: str, group: _Group, num_groups: int, counts: Sequence[int]) -> list[str]:
    label = group.label.replace("_", " ")
    notes = []
    if num_groups > 1:
        notes.append(
            f"One of {num_groups} groups by {label}: the level of its interval is widened so that all {num_groups} "
            "hold together with 95 % (Bonferroni)."
        )
    if name in AT_EQUAL_COUNTS:
        notes.append(f"Every group by {label} is cut to {counts[0]} real and {counts[1]} synthetic images.")
    if group.label == CHECKPOINT:
        notes.append("Synthetic images of this checkpoint against all real ones.")
    return notes
