"""Known degradations of a radiograph, by name and strength: what blur, noise, compression and copying do to an image.

`LADDER` is applied to real radiographs, so that a figure can be read: a distance between real and synthetic images says
more beside the distance that a blur of one pixel makes. Nothing in it moves anatomy.

`TRANSMISSION` is what happens to an image on its way to a reader: compression, another size, a screenshot, a photograph
of a print. Its parameters are our own choices, stated at each function, and are not fitted to any device. A screenshot
moves anatomy by up to half a pixel of the screen, a photograph by up to the stated share of a side: landmarks do not
move with them.

What is random comes from the generator alone, so that an image has its own and keeps it.
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

_FRAME_SHARE: Final = 0.01
_FRAME_GRAY: Final = 0.2


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


def screenshot(zoom: float, *, clipped: float, quality: int) -> Degrade:
    """Shown by a viewer, captured from the screen, and brought back to the image's own size.

    The viewer's grid has `zoom` of the image's pixels along each side, lies up to half a pixel beside it, and is filled
    by bilinear interpolation without antialiasing. Its window leaves out the `clipped` darkest and brightest shares of
    the gray levels; the screen has 8 bits. A frame of 1 % of the shorter side in dark gray covers the edges. The
    capture is a JPEG of `quality`, which is brought back by bicubic interpolation.
    """

    def degrade(image: Gray, generator: np.random.Generator) -> Gray:
        height, width = image.shape
        shape = (max(8, round(height * zoom)), max(8, round(width * zoom)))
        offset = generator.uniform(-0.5, 0.5, 2)
        rows, columns = (
            (np.arange(shape[axis]) + 0.5 + offset[axis]) * (image.shape[axis] / shape[axis]) - 0.5 for axis in (0, 1)
        )
        shown = ndimage.map_coordinates(image, np.meshgrid(rows, columns, indexing="ij"), order=1, mode="nearest")
        low, high = np.quantile(shown, (clipped, 1 - clipped))
        if high > low:
            shown = ((shown - low) / (high - low)).clip(0, 1) if clipped else shown
        frame = max(1, round(_FRAME_SHARE * min(shape)))
        framed = np.full(shape, _FRAME_GRAY, np.float32)
        framed[frame:-frame, frame:-frame] = shown[frame:-frame, frame:-frame]
        captured = compress(quality)(framed, generator)
        restored = Image.fromarray(captured).resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(restored, np.float32).clip(0, 1)

    return degrade


def print_and_photograph(
    *, warp: float, light: float, gamma: float, dots: float, sigma_share: float, noise: float, quality: int
) -> Degrade:
    """Printed on paper, and photographed by hand: the parts in the order in which they happen, each drawn anew.

    Args:
        warp: each corner of the photograph lies inside the print by up to this share of each side (perspective).
        light: brightness lost from the best lit place to the worst: a slope in any direction, and darker corners.
        gamma: the tone curve is a power of exp(-gamma) to exp(gamma).
        dots: amplitude of the printer's screen at mid gray, none in black and white; its lines, about two pixels
            apart and at about 45 degrees, make moire with the camera's grid.
        sigma_share: of the camera's blur, in shares of the shorter side.
        noise: deviation of the sensor's noise in white, in shares of the full scale; it falls with the root of the
            brightness.
        quality: of the camera's JPEG.
    """

    def degrade(image: Gray, generator: np.random.Generator) -> Gray:
        height, width = image.shape
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        frequency, angle = generator.uniform(0.42, 0.58), np.pi / 4 + generator.uniform(-0.1, 0.1)
        phases = generator.uniform(0, 2 * np.pi, 2)
        screen = np.cos(2 * np.pi * frequency * (np.cos(angle) * columns + np.sin(angle) * rows) + phases[0])
        screen = screen * np.cos(2 * np.pi * frequency * (np.cos(angle) * rows - np.sin(angle) * columns) + phases[1])
        printed = image + np.float32(dots * 4) * image * (1 - image) * screen
        taken = _view_from_the_side(printed.astype(np.float32), generator.uniform(0, warp, (4, 2)))
        y, x = rows / max(height - 1, 1) - 0.5, columns / max(width - 1, 1) - 0.5
        towards = generator.uniform(0, 2 * np.pi)
        shade = (np.cos(towards) * x + np.sin(towards) * y) / np.sqrt(2) + x * x + y * y
        shade = (shade - shade.min()) / max(float(np.ptp(shade)), 1e-6)
        lit = taken.clip(0, 1) ** np.float32(np.exp(generator.uniform(-gamma, gamma))) * (1 - light * shade)
        seen = ndimage.gaussian_filter(lit, sigma_share * min(image.shape), mode="nearest")
        grain = generator.standard_normal(image.shape, dtype=np.float32)
        return compress(quality)((seen + noise * np.sqrt(seen.clip(0.01, 1)) * grain).astype(np.float32), generator)

    return degrade


def _view_from_the_side(image: Gray, inside: NDArray[np.float64]) -> Gray:
    """What lies between four corners, drawn out to the whole image, bicubic.

    `inside` is (4, 2): how far each corner of upper left, upper right, lower right, lower left is moved inwards, in
    shares of (width, height).
    """
    height, width = image.shape
    ends = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
    inwards = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)])
    seen = ends + inwards * inside * (width, height)
    # Eight equations for the perspective (a x + b y + c) / (g x + h y + 1), (d x + e y + f) / (g x + h y + 1).
    equations, targets = [], []
    for (x, y), (u, v) in zip(ends, seen, strict=True):
        equations += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        targets += [u, v]
    coefficients = np.linalg.solve(np.array(equations), np.array(targets))
    moved = Image.fromarray(image).transform(
        (width, height), Image.Transform.PERSPECTIVE, tuple(coefficients), Image.Resampling.BICUBIC
    )
    return np.asarray(moved, np.float32)


LADDER: Final = (
    Degradation("blur", "sigma 0.4 % of the side", 1, blur(0.004)),
    Degradation("blur", "sigma 0.8 % of the side", 2, blur(0.008)),
    Degradation("blur", "sigma 1.6 % of the side", 3, blur(0.016)),
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

TRANSMISSION: Final = (
    Degradation("jpeg", "quality 90", 1, compress(90)),
    Degradation("jpeg", "quality 70", 2, compress(70)),
    Degradation("jpeg", "quality 40", 3, compress(40)),
    Degradation("resize", "to 75 % of the side and back", 1, resample(0.75)),
    Degradation("resize", "to 50 % of the side and back", 2, resample(0.5)),
    Degradation("resize", "to 25 % of the side and back", 3, resample(0.25)),
    Degradation("screenshot", "zoom 90 %, JPEG 95", 1, screenshot(0.9, clipped=0.0, quality=95)),
    Degradation("screenshot", "zoom 70 %, 0.5 % clipped, JPEG 85", 2, screenshot(0.7, clipped=0.005, quality=85)),
    Degradation("screenshot", "zoom 50 %, 2 % clipped, JPEG 70", 3, screenshot(0.5, clipped=0.02, quality=70)),
    Degradation(
        "print-and-photograph", "corners to 1 %, light 10 %, noise 1 %, JPEG 90", 1,
        print_and_photograph(warp=0.01, light=0.1, gamma=0.05, dots=0.02, sigma_share=0.001, noise=0.01, quality=90),
    ),
    Degradation(
        "print-and-photograph", "corners to 2 %, light 25 %, noise 2 %, JPEG 80", 2,
        print_and_photograph(warp=0.02, light=0.25, gamma=0.15, dots=0.05, sigma_share=0.002, noise=0.02, quality=80),
    ),
    Degradation(
        "print-and-photograph", "corners to 4 %, light 50 %, noise 4 %, JPEG 65", 3,
        print_and_photograph(warp=0.04, light=0.5, gamma=0.3, dots=0.1, sigma_share=0.004, noise=0.04, quality=65),
    ),
)  # fmt: skip
"""What an image meets on its way to a reader: each kind from mild to strong."""
