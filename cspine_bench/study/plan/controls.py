"""Positive controls: synthetic images spoiled so that a reader who looks picks the intact one beside them."""

from typing import Final

from cspine_bench.imaging.degrade import Degradation, add_noise, blur, resample
from cspine_bench.seeding import numpy_generator
from cspine_bench.study.plan.frames import Pixels

SPOILS: Final = (
    Degradation("blur", "sigma 4 % of the side", 1, blur(0.04)),
    Degradation("noise", "20 % of full scale", 1, add_noise(0.2)),
    Degradation("resize", "to a tenth of the side and back", 1, resample(0.1)),
)
"""Far beyond what generators do wrong: who cannot see these has not looked. Strengths are our own choice."""


def spoil_frame(frame: Pixels, *, control: int, seed: int, index: int) -> tuple[Pixels, str]:
    """A frame spoiled, and what was done to it in words.

    Args:
        frame: uint8 or uint16 (height, width), as it would be shown.
        control: number of the display set, which decides the kind: its synthetic images are spoiled alike.
        seed: of the plan.
        index: of the image, for what is random.
    """
    spoil = SPOILS[control % len(SPOILS)]
    spoiled: Pixels = spoil.apply(frame, numpy_generator(seed, "study.control", index))
    return spoiled, f"{spoil.name}, {spoil.strength}"
