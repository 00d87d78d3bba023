"""What every encoder has in common: gray radiographs of 8 or 16 bits in, one float vector for each out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from cspine_bench.errors import DataError
from cspine_bench.features.contract import DEPTH_RULE
from cspine_bench.provenance import sha256_json

RESIZE_RULE = "bicubic with antialiasing in floats, cut to 0..255, one channel"
_BILINEAR_RULE = "bilinear with antialiasing in floats, one channel"
"""As clean-fid does it (Parmar et al. 2022, 2104.11222), whose images of 8 bits are not rounded after it either."""


@dataclass(frozen=True)
class Resize:
    """How images get an encoder's size.

    Attributes:
        rule: in words, for whoever reads a figure.
        apply: from uint8 or uint16 (N, height, width), a side in px and a device to float32 (N, 1, side, side), 0..255.
    """

    rule: str
    apply: Callable[[NDArray[Any], int, torch.device], torch.Tensor]


def _resize_by_torch(images: NDArray[Any], side: int, device: torch.device) -> torch.Tensor:
    return resize_gray(images, side, device=device)


def _resize_bilinearly(images: NDArray[Any], side: int, device: torch.device) -> torch.Tensor:
    return resize_gray(images, side, device=device, mode="bilinear")


def _keep_size(images: NDArray[Any], side: int, device: torch.device) -> torch.Tensor:
    brightest = float(np.iinfo(images.dtype).max)
    return torch.from_numpy(images.astype(np.float32)).to(device)[:, None] * (255 / brightest)


BICUBIC = Resize(RESIZE_RULE, _resize_by_torch)
BILINEAR = Resize(_BILINEAR_RULE, _resize_bilinearly)
NATIVE = Resize("none: the network takes every size", _keep_size)


@dataclass(frozen=True)
class Encoder:
    """A network that turns images into features, with everything that a distance between features depends on.

    Attributes:
        name: as in `ENCODERS`, or the kind and path of a file.
        weights_sha256: of the file that the weights come from; None where there are none.
        input_size_px: side of the square that images are resized to; None: they keep their size.
        mean: subtracted from the gray levels, 0..255; one for each channel, or one for all.
        scale: they are then divided by this; likewise.
        dimension: length of a feature vector.
        device: where the network is.
        network: from float (N, channels, S, S) on `device`, normalised, to float (N, dimension).
        channels: the gray channel is repeated so often after the resize.
        resize: how images get their size.
        revision: raised when the code changes what comes out.
        details: what else a distance depends on, by name.
        own_units: its features have units of their own, which distances must bring to one scale first.
    """

    name: str
    weights_sha256: str | None
    input_size_px: int | None
    mean: float | tuple[float, ...]
    scale: float | tuple[float, ...]
    dimension: int
    device: torch.device
    network: Callable[[torch.Tensor], torch.Tensor]
    channels: int = 1
    resize: Resize = BICUBIC
    revision: int = 1
    details: tuple[tuple[str, str], ...] = ()
    own_units: bool = False

    def describe(self) -> dict[str, Any]:
        """What a figure from these features states beside itself, as JSON."""
        return {
            "name": self.name,
            "weights_sha256": self.weights_sha256,
            "input_size_px": self.input_size_px,
            "resize": self.resize.rule,
            "depth": DEPTH_RULE,
            "normalisation": f"(gray level of 0..255 - {_spell(self.mean)}) / {_spell(self.scale)}",
            "channels": self.channels,
            "dimension": self.dimension,
            "revision": self.revision,
            **dict(self.details),
        }

    @property
    def sha256(self) -> str:
        """Hash of the description: equal for two encoders that give the same features.

        Device, runtime and batch size are no part of it: they move a feature by rounding, about a millionth.
        """
        return sha256_json(self.describe())

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
        mean, scale = (
            torch.tensor(value, dtype=torch.float32, device=self.device).reshape(-1, 1, 1)
            for value in (self.mean, self.scale)
        )
        features = np.empty((len(images), self.dimension), np.float32)
        # The products of a GPU in 19 bits would be off by a thousandth.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for start in range(0, len(images), batch_size):
                gray = self.resize.apply(images[start : start + batch_size], self.input_size_px or 0, self.device)
                normalised = ((gray.expand(-1, self.channels, -1, -1) - mean) / scale).contiguous(
                    memory_format=torch.channels_last
                )
                features[start : start + batch_size] = self.network(normalised).float().cpu().numpy()
        return features


def _spell(value: float | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(f"{number:g}" for number in value) + ")"
    return f"{value:g}"


def resize_gray(
    images: NDArray[Any],
    side: int,
    *,
    device: torch.device | str = "cpu",
    mode: Literal["bicubic", "bilinear"] = "bicubic",
) -> torch.Tensor:
    """Gray images at an encoder's size, by `RESIZE_RULE`, or bilinearly.

    Args:
        images: uint8 or uint16 (N, height, width).
        side: of the square result, px; another aspect ratio is stretched.
        device: where the result shall be.
        mode: of the interpolation; both have antialiasing.

    Returns:
        float32 (N, 1, side, side), 0..255.
    """
    brightest = float(np.iinfo(images.dtype).max)
    gray = torch.from_numpy(images.astype(np.float32)).to(device)[:, None] * (255 / brightest)
    if gray.shape[-2:] == (side, side):
        return gray
    return functional.interpolate(gray, (side, side), mode=mode, antialias=True).clamp_(0, 255)


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
