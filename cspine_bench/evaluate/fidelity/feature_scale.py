"""One scale for features that have units of their own, so that no distance is that of the largest unit alone.

A network's features are of one kind. Named statistics are not: a share lies between 0 and 1, a fourth moment of gray
levels among millions, and a distance would be that of the latter.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.features.encoder import Encoder
from cspine_bench.provenance import sha256_bytes

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Encoded:
    """Both sides in the space in which they are compared.

    Attributes:
        encoder: that leads there.
        real: float32 (n, d).
        synthetic: float32 (m, d).
    """

    encoder: Encoder
    real: Features
    synthetic: Features


def name_scaled(encoder: Encoder) -> str:
    """What a result calls the space of `bring_to_one_scale`."""
    return f"{encoder.name}, over their spread in real images" if encoder.own_units else encoder.name


def bring_to_one_scale(encoder: Encoder, *, real: Features, synthetic: Features) -> Encoded:
    """Divide each feature by its standard deviation among the real images, where features have units of their own.

    Args:
        encoder: of the features.
        real: float32 (n, d), finite.
        synthetic: float32 (m, d).

    Returns:
        All as it was for a network's features. Else divided, with an encoder that gives such features of other images.
        A feature that is the same in all real images keeps its unit.

    Source: the Fréchet radiomics distance is that of normalised features, too: 2412.01496, and its package frd-score.
    """
    if not encoder.own_units:
        return Encoded(encoder, real, synthetic)
    centre, spread = real.mean(axis=0, dtype=np.float64), real.std(axis=0, dtype=np.float64)
    # What float32 makes of equal numbers is no spread.
    scale = np.where(spread > 1e-6 * np.abs(centre), spread, 1.0)
    network, divisor, shift = encoder.network, torch.from_numpy(scale), torch.from_numpy(centre)

    def encode(images: torch.Tensor) -> torch.Tensor:
        found = network(images)
        return ((found.double() - shift.to(found.device)) / divisor.to(found.device)).float()

    digest = sha256_bytes(centre.tobytes() + scale.tobytes())
    scaled = replace(
        encoder,
        name=name_scaled(encoder),
        network=encode,
        own_units=False,
        details=(*encoder.details, ("scale_sha256", digest)),
    )
    return Encoded(scaled, *(((side - centre) / scale).astype(np.float32) for side in (real, synthetic)))
