"""Making radiographs smaller and larger again, on batches: float32 (B, 1, S, S) in -1..1."""

from typing import Final

import torch
from torch.nn import functional

_HALVINGS: Final = 24
"""Of an interval of a few units: down to the last bits of float32."""


def shrink(images: torch.Tensor, factor: int, levels: int) -> torch.Tensor:
    """Means of blocks of `factor` x `factor` pixels, rounded to gray levels, as an image of that size would be stored.

    Args:
        images: whose side is a multiple of `factor`.
        factor: pixels along a block's side.
        levels: highest gray level: 255 for 8 bits.

    Returns:
        (B, 1, S / factor, S / factor). The kernel is that of `cspine_bench.imaging.shrink.shrink_image`.
    """
    half = levels / 2
    return (functional.avg_pool2d(images, factor) * half + half).round() / half - 1


def enlarge(images: torch.Tensor, factor: int) -> torch.Tensor:
    """Bicubic interpolation: what a super-resolver starts from, and what it must beat.

    Args:
        images: small ones.
        factor: how many times the side.

    Returns:
        (B, 1, S factor, S factor); the outermost pixels are repeated beyond the edge.

    Source: Keys 1981, IEEE Transactions on Acoustics, Speech, and Signal Processing 29, 1153-1160, with torch's kernel
    parameter, -0.75 instead of -0.5.
    """
    return functional.interpolate(images, scale_factor=float(factor), mode="bicubic", align_corners=False).clamp(-1, 1)


def keep_means(images: torch.Tensor, small: torch.Tensor, factor: int) -> torch.Tensor:
    """The nearest images whose blocks have the means of small ones: averaged down, they are these again.

    Each pixel of a block is changed by as much as the block's mean is wrong: the projection onto all images that the
    small one can come from. No answer with other means can be right.

    Args:
        images: large ones.
        small: what their blocks' means shall be.
        factor: pixels along a block's side.
    """
    return images + functional.interpolate(small - functional.avg_pool2d(images, factor), scale_factor=float(factor))


def keep_means_and_range(images: torch.Tensor, small: torch.Tensor, factor: int) -> torch.Tensor:
    """The nearest images with those means whose values lie in -1..1: a black block stays black.

    Args:
        images: large ones.
        small: what their blocks' means shall be, -1..1.
        factor: pixels along a block's side.
    """
    # Such an image is clip(images + t) with one t for each block; the mean rises with t, so halving finds it.
    low, high = (-end - functional.max_pool2d(end * images, factor) * end for end in (1.0, -1.0))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        moved = (images + functional.interpolate(middle, scale_factor=float(factor))).clamp(-1, 1)
        too_dark = functional.avg_pool2d(moved, factor) < small
        low, high = torch.where(too_dark, middle, low), torch.where(too_dark, high, middle)
    return (images + functional.interpolate((low + high) / 2, scale_factor=float(factor))).clamp(-1, 1)
