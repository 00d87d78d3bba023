"""Images of a trained generator, with what they cost: seconds, CPU-seconds, and calls of the network."""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.dataset.source import Radiograph
from cspine_bench.ddpm.checkpoint import Generator
from cspine_bench.ddpm.sample import DdpmSource


@dataclass(frozen=True)
class Sampled:
    """Images and their cost.

    Attributes:
        images: uint8 (count, S, S).
        cpu_s: of this process, for all of them.
        wall_s: likewise.
        evaluations: of the network, for each image; NaN where it was compiled or copied to a GPU, and so not watched.
    """

    images: NDArray[np.uint8]
    cpu_s: float
    wall_s: float
    evaluations: float


def sample_timed(generator: Generator, count: int, *, batch_size: int, seed: int = 0, **settings: Any) -> Sampled:
    """Images 0 to count - 1 of a seed, told what `ddpm sample` would tell them.

    The time is that of `DdpmSource.iter_radiographs`: noise, maps, network and the records' masks; not of drawing the
    list of samples, and not of encoding PNG.

    Args:
        generator: on the CPU; `settings` may name another device.
        count: a multiple of `batch_size`, or the filled-up last batch would be charged to the others.
        batch_size: images made at once.
        seed: of noise and conditions.
        settings: further fields of `DdpmSource`.

    Raises:
        ValueError: `count` is no multiple of `batch_size`.
    """
    if count % batch_size:
        raise ValueError(f"{count} images are no whole number of batches of {batch_size}")
    source = DdpmSource((generator,), count, seed, batch_size=batch_size, **settings)
    keys = source.list_samples()
    calls = 0

    def note_call(*_: Any) -> None:
        nonlocal calls
        calls += 1

    watched = torch.device(source.device).type == "cpu" and not source.compile
    hook = generator.network.register_forward_pre_hook(note_call) if watched else None
    try:
        if torch.device(source.device).type == "cuda":
            torch.cuda.synchronize()
        wall, cpu = time.perf_counter(), time.process_time()
        made = [item for item in source.iter_radiographs(keys) if isinstance(item, Radiograph)]
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    finally:
        if hook is not None:
            hook.remove()
    images = np.stack([item.image for item in made]).astype(np.uint8)
    return Sampled(images, cpu, wall, calls * batch_size / count if watched else math.nan)
