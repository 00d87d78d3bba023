"""The second look: pairs that stand out are registered, and so are the most suspicious honest pairs."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.evaluate.memorization.channels import REGIONS, Channel, Nearest
from cspine_bench.metrics.copying import Maps
from cspine_bench.metrics.registration import register_pairs

NUM_CROSSED: Final = 50
"""Pairs of a synthetic image and a film held out that are registered in each region, the likest."""


def register_rows(
    images: Maps, references: Maps, nearest: Nearest, channels: tuple[Channel, ...], chosen: NDArray[np.integer]
) -> NDArray[np.float64]:
    """Correlation after registration of each image with its nearest film in the chosen channel.

    Args:
        images: float32 (n, 64, 64).
        references: float32 (m, 64, 64), which `nearest` counts.
        nearest: of these n images.
        channels: of the search.
        chosen: int (n,), channel of each image.

    Returns:
        float64 (n,), absolute, 0..1.
    """
    registered = np.zeros(len(images))
    for region in {channels[channel].region for channel in chosen.tolist()}:
        rows = np.flatnonzero([channels[channel].region == region for channel in chosen.tolist()])
        found = register_pairs(
            images=images[rows],
            references=references[nearest.index[rows, chosen[rows]]],
            starts=nearest.moves[rows, chosen[rows]],
            region=REGIONS[region],
        )
        registered[rows] = np.abs(found.correlation)
    return registered


def choose_likest(nearest: Nearest, channels: tuple[Channel, ...], region: str) -> NDArray[np.int64]:
    """The channel of a region in which each image is most like some film, (n,)."""
    own = np.array([number for number, channel in enumerate(channels) if channel.region == region])
    return np.asarray(own[nearest.similarity[:, own].argmax(axis=1)])


def compare_with_rest(registered: NDArray[np.float64], rest: NDArray[np.floating]) -> NDArray[np.float64]:
    """Distance after registration over that of the other near films, small for a copy.

    An absolute correlation would leave out copies that are blurred or noisy, and so are alike to nothing; beside its
    neighbours a copy still stands out.

    Args:
        registered: float64 (n,), from `register_rows`.
        rest: float (n,), mean distance of the other training films in the same channel.
    """
    return np.asarray((1 - registered).clip(1e-6) / rest.astype(np.float64))


def find_limits(
    images: Maps, references: Maps, nearest: Nearest, rest: NDArray[np.floating], channels: tuple[Channel, ...]
) -> dict[str, float]:
    """The smallest ratio after registration that honest pairs reach, by region; 1 of no pairs.

    Args:
        images: float32 (n, 64, 64).
        references: float32 (m, 64, 64), which `nearest` counts.
        nearest: of these images.
        rest: float (n, c), their mean distance to the other training films.
        channels: of the search.
    """
    limits = {}
    for region in dict.fromkeys(channel.region for channel in channels):
        likest = choose_likest(nearest, channels, region)
        registered = register_rows(images, references, nearest, channels, likest)
        ratios = compare_with_rest(registered, rest[np.arange(len(images)), likest])
        limits[region] = float(ratios.min(initial=1.0))
    return limits


def find_crossed_rows(back: Nearest, channels: tuple[Channel, ...]) -> NDArray[np.int64]:
    """Rows of the synthetic images that are most like some film held out, in any region; rising."""
    rows = []
    for region in dict.fromkeys(channel.region for channel in channels):
        likest = choose_likest(back, channels, region)
        similarity = back.similarity[np.arange(len(back)), likest]
        rows.append(np.argsort(-similarity, kind="stable")[:NUM_CROSSED])
    return np.unique(np.concatenate(rows))
