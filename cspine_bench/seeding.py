"""Random generators that depend on (seed, stream, index) and on nothing else.

Every random draw in the package comes from one of these, so that sample 17 is the same whether it is made
alone, in a batch, by one process or by forty. A stream is a name for one use of randomness; two streams of
the same sample are independent, so a new draw in one step never changes another step's numbers.
"""

import hashlib

import numpy as np


def derive_key(seed: int, stream: str, index: int = 0) -> int:
    """Hash (seed, stream, index) into one 128-bit integer.

    Args:
        seed: the user's seed, 0 <= seed < 2**63.
        stream: name of the use, for example "phantom.noise".
        index: sample number, 0 <= index < 2**63.

    Raises:
        ValueError: seed or index is negative or does not fit a signed 64-bit integer.
    """
    for name, value in (("seed", seed), ("index", index)):
        if not 0 <= value < 2**63:
            raise ValueError(f"{name} must be between 0 and 2**63 - 1, got {value}")
    text = f"{seed}/{stream}/{index}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:16], "big")


def numpy_generator(seed: int, stream: str, index: int = 0) -> np.random.Generator:
    """A numpy generator for one sample and one use. Source: Philox 4x64, Salmon et al. 2011."""
    return np.random.Generator(np.random.Philox(key=derive_key(seed, stream, index)))
