"""Spoilt radiographs with their truth: which artefact each was given, and how like its clean image it still is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.learn import torch_generator
from cspine_bench.baselines.tasks.quality.recipe import QualityRecipe
from cspine_bench.imaging.artefacts import CLEAN, KINDS, Faults, draw_faults, join_faults, spoil_images
from cspine_bench.metrics.structural_similarity import structural_similarity

PREDICT_BATCH: Final = 32
NEGLIGIBLE: Final = 0.999
"""Structural similarity above which nothing is wrong with an image."""


@dataclass(frozen=True)
class Truth:
    """What was done to radiographs.

    Attributes:
        kinds: int64 (n,), places in `cspine_bench.imaging.artefacts.KINDS`.
        ssim: float32 (n,), structural similarity to the clean image at the size that is worked at, gray levels 0..1.
    """

    kinds: NDArray[np.int64]
    ssim: NDArray[np.float32]


def spoil_batch(
    images: torch.Tensor, faults: Faults, *, levels: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Spoilt images, what is wrong with them, and their structural similarity to the clean ones.

    Args:
        images: float32 (B, 1, S, S), -1..1, clean.
        faults: of as many images.
        levels: steps of gray that a file of them has: 255 or 65535.

    Returns:
        float32 (B, 1, S, S), -1..1; int64 (B,), places in `KINDS`; float32 (B,). An artefact that leaves a similarity
        of `NEGLIGIBLE` counts as none: blur of a fifth of a pixel is no blur.
    """
    # In bfloat16 a spoilt image would have gray levels of its own, and its similarity two digits.
    with torch.autocast(images.device.type, enabled=False):
        # An image that was augmented lies between the levels, and a clean one must be wholly like itself.
        clean = ((images.float() + 1) / 2 * levels).round() / levels
        spoilt = spoil_images(clean, faults, levels=levels)
        # The luminance of the measure counts from black: 0..1, not -1..1.
        ssim = structural_similarity(preds=spoilt, target=clean, data_range=1.0)
    kinds = torch.where(ssim[:, 0] > NEGLIGIBLE, KINDS.index(CLEAN), faults.kinds.to(ssim.device))
    return 2 * spoilt - 1, kinds, ssim[:, 0]


def iter_spoilt(recipe: QualityRecipe, cases: Cases, *, seed: int) -> Iterator[tuple[torch.Tensor, Truth]]:
    """All radiographs in order, each with the artefact that seed and sample id decide, whatever stands beside it.

    Yields:
        float32 (B, 1, S, S), -1..1, on the CPU; and the truth of these.
    """
    for start in range(0, len(cases), PREDICT_BATCH):
        places = np.arange(start, min(start + PREDICT_BATCH, len(cases)))
        drawn = [
            draw_faults(
                1,
                torch_generator(seed, f"baselines.quality.{cases.sample_ids[place]}"),
                strength=recipe.strength,
                clean_share=recipe.clean_share,
            )
            for place in places
        ]
        faults = join_faults(drawn)
        images, kinds, ssim = spoil_batch(cases.take_images(places), faults, levels=count_levels(cases))
        yield images, Truth(kinds.numpy(), ssim.numpy())


def find_truth(recipe: QualityRecipe, cases: Cases, *, seed: int) -> Truth:
    """The truth of all radiographs, as `iter_spoilt` gives it."""
    parts = [truth for _, truth in iter_spoilt(recipe, cases, seed=seed)]
    return Truth(np.concatenate([part.kinds for part in parts]), np.concatenate([part.ssim for part in parts]))


def count_levels(cases: Cases) -> int:
    """Steps of gray of their pixels: 255 or 65535."""
    return int(np.iinfo(cases.pixels.dtype).max)
