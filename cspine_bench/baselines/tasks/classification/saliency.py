"""Where a classifier looks, and how much of that lies on the spine."""

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.baselines.cases import NOT_ANNOTATED
from cspine_bench.baselines.tasks.classification.attack import Classify, find_log_odds

Floats = NDArray[np.float64]


def compute_saliency(classify: Classify, images: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """How strongly each pixel moves a classifier's answer: gradients over noisy copies, averaged, their size.

    The answer is the log odds of the class that the image is told to have: its evidence against all others together.
    The gradient is not multiplied by the image, so bright bone has no more of it than dark air unless the network looks
    there: a network that has learnt nothing scatters it over the image.

    Args:
        classify: from images, float (B, 1, S, S), to the evidence for each of at least 2 classes, float (B, C).
        images: float (B, 1, S, S), -1..1.
        noise: float (samples, B, 1, S, S), added to the images; zeros: the plain gradient.

    Returns:
        float (B, S, S), 0 or more.

    Source: SmoothGrad, Smilkov et al. 2017 (1706.03825), equation 1, without clipping of the noisy copies.
    """
    images = images.detach()
    with torch.no_grad():
        told = classify(images).argmax(dim=1)
    total = torch.zeros_like(images)
    for one in noise:
        with torch.enable_grad():
            copy = (images + one).requires_grad_(True)
            (gradient,) = torch.autograd.grad(find_log_odds(classify(copy).float(), told).sum(), copy)
        total += gradient
    return (total / len(noise)).abs()[:, 0]


def share_in_mask(saliency: NDArray[np.floating], masks: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """How much of a map lies on vertebrae, and how much of the image they are.

    Args:
        saliency: float (n, S, S), 0 or more.
        masks: uint8 (n, S, S), label ids, 0 background, `NOT_ANNOTATED` where nobody looked.

    Returns:
        Shares 0..1 of the map and of the pixels, float64 (n,) each; NaN where nobody looked at some pixel, no vertebra
        is in view, or the map is 0 everywhere.

    Raises:
        ValueError: shapes differ.
    """
    if saliency.shape != masks.shape:
        raise ValueError(f"needs a mask for each map, got {saliency.shape} and {masks.shape}")
    inside = (masks > 0) & (masks != NOT_ANNOTATED)
    known = (masks != NOT_ANNOTATED).all(axis=(1, 2)) & inside.any(axis=(1, 2))
    total = saliency.sum(axis=(1, 2), dtype=np.float64)
    usable = known & (total > 0)
    share = np.divide((saliency * inside).sum(axis=(1, 2)), total, out=np.full(len(total), np.nan), where=usable)
    area = np.where(usable, inside.mean(axis=(1, 2)), np.nan)
    return share.astype(np.float64), area
