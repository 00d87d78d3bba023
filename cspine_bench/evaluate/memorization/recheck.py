"""The second look: pairs that stand out are registered, and so are the most suspicious honest pairs."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.evaluate.memorization.channels import REGIONS, Channel, Nearest
from cspine_bench.metrics.copying import Maps
from cspine_bench.metrics.registration import register_pairs

NUM_CROSSED: Final = 200
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


def find_limits(
    blocks: Iterable[tuple[Maps, Nearest]], references: Maps, channels: tuple[Channel, ...]
) -> dict[str, NDArray[np.float64]]:
    """What honest pairs reach after registration, by region.

    Args:
        blocks: images with what was found for them.
        references: float32 (m, 64, 64), which that counts.
        channels: of the search.

    Returns:
        By region, float64 (n,), of every image.
    """
    regions = list(dict.fromkeys(channel.region for channel in channels))
    found: dict[str, list[NDArray[np.float64]]] = {region: [] for region in regions}
    for maps, nearest in blocks:
        for region in regions:
            likest = choose_likest(nearest, channels, region)
            found[region].append(register_rows(maps, references, nearest, channels, likest))
    return {region: np.concatenate([np.empty(0), *parts]) for region, parts in found.items()}


def find_crossed_rows(back: Nearest, channels: tuple[Channel, ...]) -> dict[str, NDArray[np.int64]]:
    """By region, rows of the synthetic images that are most like some film held out, rising."""
    rows = {}
    for region in dict.fromkeys(channel.region for channel in channels):
        likest = choose_likest(back, channels, region)
        similarity = back.similarity[np.arange(len(back)), likest]
        rows[region] = np.sort(np.argsort(-similarity, kind="stable")[:NUM_CROSSED])
    return rows
