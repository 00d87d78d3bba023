"""What every encoder has in common: gray radiographs of 8 or 16 bits in, one float vector for each out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from cspine_bench.errors import DataError

RESIZE_RULE = "bicubic with antialiasing in floats, cut to 0..255, one channel"
"""As clean-fid does it (Parmar et al. 2022, 2104.11222), whose images of 8 bits are not rounded after it either."""


@dataclass(frozen=True)
class Encoder:
    """A network that turns images into features, with everything that a distance between features depends on.

    Attributes:
        name: as in `ENCODERS`.
        weights_sha256: of the file that the weights come from.
        input_size_px: side of the square that images are resized to.
        mean: subtracted from the gray levels, 0..255.
        scale: they are then divided by this.
        dimension: length of a feature vector.
        device: where the network is.
        network: from float (N, 1, S, S) on `device`, normalised, to float (N, dimension).
    """

    name: str
    weights_sha256: str
    input_size_px: int
    mean: float
    scale: float
    dimension: int
    device: torch.device
    network: Callable[[torch.Tensor], torch.Tensor]

    def describe(self) -> dict[str, Any]:
        """What a figure from these features states beside itself, as JSON."""
        return {
            "name": self.name,
            "weights_sha256": self.weights_sha256,
            "input_size_px": self.input_size_px,
            "resize": RESIZE_RULE,
            "normalisation": f"(gray level of 0..255 - {self.mean:g}) / {self.scale:g}",
            "dimension": self.dimension,
        }

    @torch.inference_mode()
    def encode(
        self, images: NDArray[Any], *, batch_size: int | None = None, allow_blank: bool = False
    ) -> NDArray[np.float32]:
        """Features of gray images.

        Args:
            images: uint8 or uint16 (N, height, width), N >= 1. 16 bits are divided by 257, so that both depths span
                0..255; they are never cut or stretched.
            batch_size: images at once; changes time and memory, and values by rounding only. None: few enough for the
                cache of a processor, many for a GPU.
            allow_blank: take images of a single gray level too. A broken generator makes them; films never are.

        Returns:
            float32 (N, dimension).

        Raises:
            TypeError: the images are neither uint8 nor uint16.
            ValueError: they are not (N, height, width), or there are none.
            DataError: an image has a single gray level, and `allow_blank` is False.
        """
        check_images(images, allow_blank=allow_blank)
        batch_size = batch_size or (4 if self.device.type == "cpu" else 64)
        features = np.empty((len(images), self.dimension), np.float32)
        for start in range(0, len(images), batch_size):
            gray = resize_gray(images[start : start + batch_size], self.input_size_px, device=self.device)
            normalised = ((gray - self.mean) / self.scale).contiguous(memory_format=torch.channels_last)
            features[start : start + batch_size] = self.network(normalised).float().cpu().numpy()
        return features


def resize_gray(images: NDArray[Any], side: int, *, device: torch.device | str = "cpu") -> torch.Tensor:
    """Gray images at an encoder's size, by `RESIZE_RULE`.

    Args:
        images: uint8 or uint16 (N, height, width).
        side: of the square result, px; another aspect ratio is stretched.
        device: where the result shall be.

    Returns:
        float32 (N, 1, side, side), 0..255.
    """
    brightest = float(np.iinfo(images.dtype).max)
    gray = torch.from_numpy(images.astype(np.float32)).to(device)[:, None] * (255 / brightest)
    if gray.shape[-2:] == (side, side):
        return gray
    return functional.interpolate(gray, (side, side), mode="bicubic", antialias=True).clamp_(0, 255)


def check_images(images: NDArray[Any], *, allow_blank: bool) -> None:
    """Refuse what has no features; see `Encoder.encode`."""
    if images.dtype not in (np.uint8, np.uint16):
        not_finite = np.issubdtype(images.dtype, np.floating) and not np.isfinite(images).all()
        found = f"{images.dtype} holding NaN or infinity" if not_finite else str(images.dtype)
        raise TypeError(f"images must be uint8 or uint16 gray levels, got {found}; scale and round them first")
    if images.ndim != 3 or 0 in images.shape:
        raise ValueError(f"images must be (N, height, width) with at least one image, got shape {images.shape}")
    blank = np.flatnonzero(images.min(axis=(1, 2)) == images.max(axis=(1, 2)))
    if len(blank) and not allow_blank:
        listed = ", ".join(map(str, blank[:10])) + (" ..." if len(blank) > 10 else "")
        raise DataError(
            f"{len(blank)} of {len(images)} images have a single gray level (numbers {listed}); they hold no "
            "radiograph: leave them out, or find out what made them"
        )
