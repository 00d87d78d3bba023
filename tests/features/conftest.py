"""Shared by the tests of the encoders: the encoder, loaded once, and images to encode."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from cspine_bench.features.encoder import Encoder
from cspine_bench.features.registry import load_encoder

# Worker processes unpickle toy sources and encoders by these names.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "dataset"))
sys.path.append(str(Path(__file__).parent.parent / "ddpm"))  # forks


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return load_encoder()


@pytest.fixture(scope="session")
def images() -> NDArray[np.uint8]:
    """Five smooth gray fields, uint8 (5, 48, 48)."""
    fields = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(5, 48, 48)), (0, 3, 3))
    return np.clip(fields * 350 + 120, 0, 255).astype(np.uint8)
