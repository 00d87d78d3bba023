"""Thousands of made-up studies at once: which image every reader of every study picks in every case.

Cases, readers and images are as in `cspine_bench.study.simulate.cues`. Pane habits are left out: where panes are dealt
in balance they make an accuracy vary less, if anything.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cspine_bench.study.recipe import NUM_PANES, Design
from cspine_bench.study.simulate.cues import find_appeal_sd, find_skill

Bools = NDArray[np.bool_]
Ints = NDArray[np.int16]

Cues = Literal["image", "case"]
"""What readers share. `image`: an image's appeal, real or not, so that chance is chance however much they share.
`case`: only whether the real image of a case is found, and wrong picks are spread evenly: then even at a mean accuracy
of chance the real image draws more picks than chance in some cases and fewer in others, unlike the other images."""


@dataclass(frozen=True)
class World:
    """What is true of the readers and cases of a simulated study.

    Attributes:
        design: of the display sets.
        readers: how many.
        cases: how many.
        accuracy: mean share of right answers over all readers and cases that there might be; None: no reader has skill
            on average, and right answers come of chance and of `shifts`.
        reader_sd: between readers, on the logit of a right answer.
        case_sd: between cases, likewise.
        cues: what readers share.
        shifts: how much less each synthetic image of a case looks like a radiograph, for cues by image; those that are
            not told 0. It has no meaning for single images.
    """

    design: Design
    readers: int
    cases: int
    accuracy: float | None
    reader_sd: float = 0.25
    case_sd: float = 0.45
    cues: Cues = "image"
    shifts: tuple[float, ...] = ()


@dataclass(frozen=True)
class Studies:
    """Answers of many studies.

    Attributes:
        correct: (studies, readers, cases).
        picks: int16 (studies, cases, images), readers that picked each; the real image first. For single images, those
            that said `real` and those that said `synthetic`.
        labels: bool (studies, cases) of single images: which are real. Empty otherwise.
    """

    correct: Bools
    picks: Ints
    labels: Bools


def draw_studies(world: World, *, studies: int, generator: np.random.Generator) -> Studies:
    """Draw studies of a world.

    Args:
        world: what is true.
        studies: how many.
        generator: of all draws.

    Raises:
        ValueError: no skill gives the accuracy.
    """
    appeal = world.case_sd if world.cues == "case" else find_appeal_sd(world.design, world.case_sd)
    skills = _find_skill(world, appeal) + world.reader_sd * generator.standard_normal(
        (studies, world.readers, 1), dtype=np.float32
    )
    panes = NUM_PANES[world.design]
    looks = appeal * generator.standard_normal((studies, 1, world.cases, panes), dtype=np.float32)
    uniform = generator.random((studies, world.readers, world.cases), dtype=np.float32)
    if world.design == "single" or world.cues == "case":
        others = np.zeros((studies, 1, world.cases, panes - 1), np.float32)
        chance = special.expit(skills + looks[..., 0])
    else:
        others = looks[..., 1:] - np.array(_fill(world), np.float32)
        chance = special.expit(skills + looks[..., 0] - special.logsumexp(others, axis=-1))
    correct = uniform < chance
    if world.design == "single":
        return _count_single(correct, generator)
    return Studies(correct, _count_picks(correct, uniform, chance, others), np.empty((studies, 0), bool))


def _fill(world: World) -> tuple[float, ...]:
    """Shifts of all synthetic images of a case."""
    others = NUM_PANES[world.design] - 1
    return (*world.shifts, *(0.0 for _ in range(others)))[:others]


def _find_skill(world: World, looks_sd: float) -> float:
    if world.accuracy is None:
        return 0.0
    spreads = {"accuracy": world.accuracy, "reader_sd": world.reader_sd, "looks_sd": looks_sd}
    if world.cues == "case" or world.design == "single":
        # One normal value for a case; the wrong picks are spread evenly.
        return find_skill("single", **spreads)
    return find_skill(world.design, shifts=(_fill(world),), **spreads)


def _count_picks(
    correct: Bools, uniform: NDArray[np.float32], chance: NDArray[np.float32], others: NDArray[np.float32]
) -> Ints:
    """Readers that picked each image, the real one first; what is left of each uniform value tells which wrong one."""
    total = correct.sum(axis=1, dtype=np.int16)
    counts = [total]
    left = np.full(total.shape, correct.shape[1], np.int16) - total
    shares = np.cumsum(special.softmax(others, axis=-1), axis=-1)
    rest = np.where(correct, np.float32(2), (uniform - chance) / (1 - chance))
    taken = np.zeros_like(left)
    for image in range(others.shape[-1] - 1):
        below = (rest < shares[..., image]).sum(axis=1, dtype=np.int16)
        counts.append(below - taken)
        taken = below
    counts.append(left - taken)
    return np.stack(counts, axis=-1)


def _count_single(correct: Bools, generator: np.random.Generator) -> Studies:
    """Half of the images, drawn at random, are real; of an odd number one less than half or one more."""
    studies, readers, cases = correct.shape
    labels = generator.permuted(np.tile(np.arange(cases) % 2 == 0, (studies, 1)), axis=1)
    right = correct.sum(axis=1, dtype=np.int16)
    said_real = np.where(labels, right, readers - right).astype(np.int16)
    return Studies(correct, np.stack([said_real, (readers - said_real).astype(np.int16)], axis=-1), labels)
