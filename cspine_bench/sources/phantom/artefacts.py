"""Image faults by name and strength, for later quality control.

Each takes a displayed image, float32 (S, S) in 0..1 with bone bright, a strength in 0..1, the pixel side in mm and a
generator, and returns an image of the same kind. Landmarks and mask stay true: no artefact moves anatomy.
Noise belongs to the exposure, so `noise` and `under_exposure` also lower the quanta: `divide_dose`.

The names are those of `cspine_bench.imaging.artefacts`, and so are the changes of gray level. What has a length has it
in mm here, and noise and text are made otherwise: a network that learnt from those artefacts meets new ones here.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from cspine_bench.imaging.artefacts import clip_ends, darken, lighten, shade

FloatImage = NDArray[np.float32]
Artefact = Callable[[FloatImage, float, float, np.random.Generator], FloatImage]


def _keep(image: FloatImage, strength: float, spacing_mm: float, generator: np.random.Generator) -> FloatImage:
    return image


def _move(image: FloatImage, strength: float, spacing_mm: float, generator: np.random.Generator) -> FloatImage:
    """Patient motion during the exposure: the mean of copies along a path centred on the true place."""
    direction = generator.uniform(0, 2 * np.pi)
    reach_px = 4.0 * strength / spacing_mm
    path = np.linspace(-0.5, 0.5, 9) * reach_px
    copies = [
        ndimage.shift(image, (t * np.sin(direction), t * np.cos(direction)), order=1, mode="nearest") for t in path
    ]
    return np.asarray(np.mean(copies, axis=0), dtype=np.float32)


def _blur(image: FloatImage, strength: float, spacing_mm: float, generator: np.random.Generator) -> FloatImage:
    return np.asarray(ndimage.gaussian_filter(image, 1.8 * strength / spacing_mm), dtype=np.float32)


def _lighten(image: FloatImage, strength: float, spacing_mm: float, generator: np.random.Generator) -> FloatImage:
    return np.asarray(lighten(image, strength), dtype=np.float32)


def _darken(image: FloatImage, strength: float, spacing_mm: float, generator: np.random.Generator) -> FloatImage:
    return np.asarray(darken(image, strength), dtype=np.float32)


def _clip(image: FloatImage, strength: float, spacing_mm: float, generator: np.random.Generator) -> FloatImage:
    return np.asarray(clip_ends(image, strength), dtype=np.float32)


def _rule(image: FloatImage, strength: float, spacing_mm: float, generator: np.random.Generator) -> FloatImage:
    """Shadows of an anti-scatter grid, aliased to a period of a few pixels."""
    period_px = generator.uniform(2.5, 6.0)
    tilt = generator.normal(0, 0.03)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    wave = np.sin(2 * np.pi * (columns + tilt * rows) / period_px)
    return np.asarray(shade(image, strength, wave), dtype=np.float32)


def _caption(image: FloatImage, strength: float, spacing_mm: float, generator: np.random.Generator) -> FloatImage:
    """Window values burned in at the bottom centre, as a workstation's screenshot has them."""
    size = image.shape[0]
    canvas = Image.fromarray(np.asarray(image * 255, dtype=np.uint8))
    text = f"W:{generator.integers(1, 9) * 512} L:{generator.integers(1, 9) * 256}"
    font = ImageFont.load_default(size=max(8, round(size * (0.03 + 0.03 * strength))))
    place = (size / 2, size * 0.97)
    ImageDraw.Draw(canvas).text(place, text, fill=255, font=font, anchor="ms", stroke_width=1, stroke_fill=0)
    drawn = np.asarray(canvas, dtype=np.float32) / 255
    return np.where(np.abs(drawn - image) > 1.5 / 255, drawn, image).astype(np.float32)


ARTEFACTS: Final[dict[str, Artefact]] = {
    "motion": _move,
    "blur": _blur,
    "noise": _keep,
    "under_exposure": _lighten,
    "over_exposure": _darken,
    "clipping": _clip,
    "grid_lines": _rule,
    "overlay_text": _caption,
}


def divide_dose(name: str | None, strength: float) -> float:
    """By how much an artefact lowers the quanta that reach the detector; 1 = not at all."""
    return {"noise": 1 + 60 * strength**2, "under_exposure": 1 + 15 * strength}.get(name or "", 1.0)


def apply_artefact(
    image: FloatImage, *, name: str, strength: float, spacing_mm: float, generator: np.random.Generator
) -> FloatImage:
    """Apply one artefact of `ARTEFACTS` to a displayed image (S, S) in 0..1."""
    return ARTEFACTS[name](image, strength, spacing_mm, generator)
