"""How like two pictures of the same are: structural similarity, and the ratio of the peak to the error.

Both work on whole batches of torch tensors, on any device, so that a loss, a score and a simulated truth share them.
"""

import math
from typing import Final

import torch

WINDOW_PX: Final = 11
"""Side of the window. An image must have at least as many pixels along each side."""
WINDOW_SIGMA_PX: Final = 1.5
K1: Final = 0.01
K2: Final = 0.03


def structural_similarity_map(*, preds: torch.Tensor, target: torch.Tensor, data_range: float) -> torch.Tensor:
    """Structural similarity about each pixel.

    Args:
        preds: float (..., height, width), both sides at least `WINDOW_PX`.
        target: as preds; swapping the two changes nothing.
        data_range: from the lowest to the highest value that a pixel may have, not that one has: 1 for 0..1. The
            luminance counts from 0, so bring images in -1..1 to 0..1 first, or their figures are nobody else's.

    Returns:
        (..., height, width), at most 1, which equal surroundings have; float64 for float64, else float32. The outermost
        5 px see the image mirrored about its edge.

    Raises:
        ValueError: shapes differ, an image is smaller than the window, or the range is not above 0.

    Source: Wang, Bovik, Sheikh, Simoncelli 2004, IEEE Transactions on Image Processing 13, 600-612: equation 13 with
    its Gaussian window of 11 x 11 px and deviation 1.5 px, K1 = 0.01, K2 = 0.03, weights that sum to 1 (no correction
    of the variance). The authors' later advice to shrink images above 256 px first is not followed.
    """
    _require_pairs(preds, target, data_range)
    if min(preds.shape[-2:]) < WINDOW_PX:
        raise ValueError(
            f"structural similarity needs images of at least {WINDOW_PX} px, got {tuple(preds.shape[-2:])}; use larger "
            "ones"
        )
    x, y = (_widen(images) for images in (preds, target))
    mean_x, mean_y, square_x, square_y, product = _smooth(torch.stack([x, y, x * x, y * y, x * y]))
    variances = (square_x - mean_x**2) + (square_y - mean_y**2)
    covariance = product - mean_x * mean_y
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    luminance: torch.Tensor = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure: torch.Tensor = (2 * covariance + c2) / (variances + c2)
    return luminance * structure


def structural_similarity(*, preds: torch.Tensor, target: torch.Tensor, data_range: float) -> torch.Tensor:
    """Mean structural similarity of each pair, over the pixels whose window lies inside the image.

    Args:
        preds: float (..., height, width), both sides at least `WINDOW_PX`.
        target: as preds.
        data_range: see `structural_similarity_map`.

    Returns:
        (...), -1 to 1; 1: the same. Higher is better.

    Raises:
        ValueError: see `structural_similarity_map`.

    Source: as `structural_similarity_map`; equation 14.
    """
    edge = WINDOW_PX // 2
    by_pixel = structural_similarity_map(preds=preds, target=target, data_range=data_range)
    return by_pixel[..., edge:-edge, edge:-edge].mean(dim=(-2, -1))


def peak_signal_to_noise_ratio(*, preds: torch.Tensor, target: torch.Tensor, data_range: float) -> torch.Tensor:
    """Ratio of the squared range to the mean squared error of each pair, dB.

    Args:
        preds: float (..., height, width).
        target: as preds.
        data_range: see `structural_similarity_map`.

    Returns:
        (...), dB; infinite where a pair is the same. Higher is better.

    Raises:
        ValueError: shapes differ, or the range is not above 0.

    Source: 10 log10(range^2 / MSE), as Wang, Bovik 2009, IEEE Signal Processing Magazine 26, 98-117, equation 3.
    """
    _require_pairs(preds, target, data_range)
    error = (_widen(preds) - _widen(target)).square().mean(dim=(-2, -1))
    return 10 * torch.log10(data_range**2 / error)


def _require_pairs(preds: torch.Tensor, target: torch.Tensor, data_range: float) -> None:
    if preds.shape != target.shape or preds.ndim < 2:
        raise ValueError(
            f"preds and target must have one shape (..., height, width), got {tuple(preds.shape)} and "
            f"{tuple(target.shape)}"
        )
    if not data_range > 0:
        raise ValueError(f"data_range must be above 0, got {data_range}; give the span that a pixel may have")


def _widen(images: torch.Tensor) -> torch.Tensor:
    return images if images.dtype == torch.float64 else images.float()


def _smooth(planes: torch.Tensor) -> torch.Tensor:
    """Mean about each pixel under the window; (..., height, width) to the same.

    Added up tap by tap: a GPU's convolutions round to 10 bits unless told otherwise, and a CPU's are slower than this.
    """
    reach = WINDOW_PX // 2
    weights = [math.exp(-(place**2) / (2 * WINDOW_SIGMA_PX**2)) for place in range(-reach, reach + 1)]
    for axis in (-2, -1):
        # Mirrored about the edge, with the outermost pixel twice: the mode `reflect` of scipy.ndimage.
        length = planes.shape[axis]
        first, last = (planes.narrow(axis, start, reach).flip(axis) for start in (0, length - reach))
        padded = torch.cat([first, planes, last], dim=axis)
        planes = torch.zeros_like(planes)
        for place, weight in enumerate(weights):
            planes = planes.add_(padded.narrow(axis, place, length), alpha=weight / sum(weights))
    return planes
