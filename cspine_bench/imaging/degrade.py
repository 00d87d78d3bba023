"""Known degradations of a radiograph, by name and strength: what blur, noise, compression and copying do to an image.

They are applied to real radiographs, so that a figure can be read: a distance between real and synthetic images says
more beside the distance that a blur of one pixel makes. Noise belongs to a generator; nothing here moves anatomy.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Pixels = NDArray[Any]
Gray = NDArray[np.float32]
Degrade = Callable[[Gray, np.random.Generator], Gray]


@dataclass(frozen=True)
class Degradation:
    """One degradation at one strength.

    Attributes:
        name: of its kind, such as `blur`.
        strength: in words, with its unit, such as "1 px of 256"; rising with `step` within a kind.
        step: 1, 2, 3 ..., from mild to strong.
        degrade: from float32 (height, width), 0..1, and a generator to the same.
    """

    name: str
    strength: str
    step: int
    degrade: Degrade

    def apply(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Degrade a radiograph.

        Args:
            image: uint8 or uint16 (height, width).
            generator: of this image, for what is random.

        Returns:
            The same type and shape.

        Raises:
            TypeError: neither uint8 nor uint16.
        """
        if image.dtype not in (np.uint8, np.uint16):
            raise TypeError(f"an image must be uint8 or uint16, got {image.dtype}")
        brightest = float(np.iinfo(image.dtype).max)
        degraded = self.degrade(image.astype(np.float32) / np.float32(brightest), generator)
        return np.asarray((degraded.clip(0, 1) * brightest).round().astype(image.dtype))


def blur(sigma_share: float) -> Degrade:
    """Gaussian blur; `sigma_share` of the shorter side."""

    def degrade(image: Gray, generator: np.random.Generator) -> Gray:
        blurred: Gray = ndimage.gaussian_filter(image, sigma_share * min(image.shape), mode="nearest")
        return blurred

    return degrade


def add_noise(deviation: float) -> Degrade:
    """White Gaussian noise; `deviation` in shares of the full scale."""

    def degrade(image: Gray, generator: np.random.Generator) -> Gray:
        noisy: Gray = image + np.float32(deviation) * generator.standard_normal(image.shape, dtype=np.float32)
        return noisy

    return degrade


def compress(quality: int) -> Degrade:
    """JPEG of 8 bits at a quality of 1..95, decoded again."""

    def degrade(image: Gray, generator: np.random.Generator) -> Gray:
        file = io.BytesIO()
        Image.fromarray((image.clip(0, 1) * 255).round().astype(np.uint8)).save(file, "JPEG", quality=quality)
        decoded: Gray = np.asarray(Image.open(file), np.float32) / np.float32(255)
        return decoded

    return degrade


def stretch_contrast(factor: float) -> Degrade:
    """Gray levels drawn apart (above 1) or together (below 1) about the image's mean."""

    def degrade(image: Gray, generator: np.random.Generator) -> Gray:
        mean = np.float32(image.mean())
        return np.asarray(((image - mean) * np.float32(factor) + mean).clip(0, 1), np.float32)

    return degrade


def resample(share: float) -> Degrade:
    """Shrunk to `share` of each side and enlarged again, both bicubic with antialiasing."""

    def degrade(image: Gray, generator: np.random.Generator) -> Gray:
        height, width = image.shape
        small = (max(1, round(width * share)), max(1, round(height * share)))
        shrunk = Image.fromarray(image).resize(small, Image.Resampling.BICUBIC)
        return np.asarray(shrunk.resize((width, height), Image.Resampling.BICUBIC), np.float32).clip(0, 1)

    return degrade


LADDER: Final = (
    Degradation("blur", "sigma 0.2 % of the side", 1, blur(0.002)),
    Degradation("blur", "sigma 0.4 % of the side", 2, blur(0.004)),
    Degradation("blur", "sigma 0.8 % of the side", 3, blur(0.008)),
    Degradation("noise", "1 % of full scale", 1, add_noise(0.01)),
    Degradation("noise", "3 % of full scale", 2, add_noise(0.03)),
    Degradation("noise", "9 % of full scale", 3, add_noise(0.09)),
    Degradation("jpeg", "quality 75", 1, compress(75)),
    Degradation("jpeg", "quality 40", 2, compress(40)),
    Degradation("jpeg", "quality 15", 3, compress(15)),
    Degradation("contrast", "x 0.9", 1, stretch_contrast(0.9)),
    Degradation("contrast", "x 0.75", 2, stretch_contrast(0.75)),
    Degradation("contrast", "x 0.5", 3, stretch_contrast(0.5)),
)
"""Controls for distances: each kind from mild to strong."""
