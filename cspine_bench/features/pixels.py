"""Pixels as features, without weights: small, aligned, high-pass, of unit length.

Radiographs of one kind share their anatomy, so as they are, all of them look alike; without their low frequencies they
do not. Brightness and contrast do not matter here. Where the detail lies in one place, as a spine does, small shifts
matter little: its centre of gravity is brought to the middle. The squared distance of two vectors is 2 - 2 r, r their
correlation. An image of one gray level is the zero vector.
"""

from typing import Final

import torch
from torch.nn import functional

from cspine_bench.features.encoder import NATIVE, Encoder

PIXELS: Final = "pixels"
SIDE_PX: Final = 64
_BLUR_SHARE: Final = 1 / 16
_LARGEST_SHIFT_SHARE: Final = 1 / 8
_BLANK: Final = 1e-4


def load_pixels(device: str = "cpu") -> Encoder:
    """The encoder that needs no weights and sees copies: 64 x 64 pixels."""
    return Encoder(
        name=PIXELS,
        weights_sha256=None,
        input_size_px=None,
        mean=0.0,
        scale=1.0,
        dimension=SIDE_PX**2,
        device=torch.device(device),
        network=describe_pixels,
        resize=NATIVE,
    )


def describe_pixels(images: torch.Tensor) -> torch.Tensor:
    """Features of images of one size.

    Args:
        images: float (N, 1, H, W), any range.

    Returns:
        float32 (N, 4096): means over a grid of 64 x 64, less their blurred selves, moved so that the energy's centre
        of gravity lies in the middle (by at most 8 px), of unit length.
    """
    small = functional.adaptive_avg_pool2d(images.float().contiguous(), SIDE_PX)
    detail = small - _blur(small)
    vectors = _centre(detail).flatten(1)
    vectors = vectors - vectors.mean(dim=1, keepdim=True)
    length = vectors.norm(dim=1, keepdim=True)
    # What is left of an image of one gray level is rounding.
    blank = length <= _BLANK * SIDE_PX
    return torch.where(blank, torch.zeros_like(vectors), vectors / torch.where(blank, torch.ones_like(length), length))


def _blur(small: torch.Tensor) -> torch.Tensor:
    sigma = _BLUR_SHARE * SIDE_PX
    reach = int(4 * sigma)
    offsets = torch.arange(-reach, reach + 1, device=small.device, dtype=small.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = functional.pad(small, (reach, reach, reach, reach), mode="replicate")
    return functional.conv2d(functional.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))


def _centre(detail: torch.Tensor) -> torch.Tensor:
    """Move by whole pixels; what comes in from outside is zero."""
    energy = detail.square()
    total = energy.sum(dim=(2, 3)).clamp_min(1e-12)
    positions = torch.arange(SIDE_PX, device=detail.device, dtype=detail.dtype) - (SIDE_PX - 1) / 2
    limit = _LARGEST_SHIFT_SHARE * SIDE_PX
    down, right = (
        ((energy.sum(dim=axis) @ positions) / total)[:, 0].clamp(-limit, limit).round().long().tolist()
        for axis in (3, 2)
    )
    centred = torch.zeros_like(detail)
    for number, (dy, dx) in enumerate(zip(down, right, strict=True)):
        rows, columns = SIDE_PX - abs(dy), SIDE_PX - abs(dx)
        centred[number, :, max(-dy, 0) :, max(-dx, 0) :][:, :rows, :columns] = detail[
            number, :, max(dy, 0) :, max(dx, 0) :
        ][:, :rows, :columns]
    return centred
