"""Normal noise that depends on (seed, stream, index) and on nothing else."""

import torch

from cspine_bench.seeding import derive_key


def torch_generator(seed: int, stream: str, index: int = 0) -> torch.Generator:
    """A torch generator on the CPU for one use of randomness.

    Draw float32 from it, then move: torch's streams differ by device and by type.

    Args:
        seed: the user's seed, 0 <= seed < 2**63.
        stream: name of the use, for example "ddpm.times".
        index: number of the sample or update, 0 <= index < 2**63.

    Raises:
        ValueError: seed or index is out of its range.
    """
    generator = torch.Generator("cpu")
    generator.manual_seed(derive_key(seed, stream, index) % 2**63)
    return generator
