"""What lies over a film: collimator edges and the lead side marker."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cspine_bench.anatomy.classes import Facing

FloatImage = NDArray[np.float32]


def draw_shutter(image: FloatImage, generator: np.random.Generator, *, keep_xy: NDArray[np.float32]) -> FloatImage:
    """Black out what lies outside a slightly turned rectangle; every point of keep_xy (N, 2), px, stays inside.

    Args:
        image: float32 (S, S), 0..1.
        keep_xy: NaN points are ignored.
    """
    size = image.shape[0]
    turn = generator.normal(0, 0.012)
    margins = generator.uniform(0.0, 0.09, 4) * size * (generator.random(4) < 0.7)
    rows, columns = np.mgrid[:size, :size].astype(np.float32) - np.float32((size - 1) / 2)
    known = keep_xy[~np.isnan(keep_xy).any(axis=1)] - (size - 1) / 2
    inside = np.ones_like(image)
    for side, (x, y) in enumerate(((1, 0), (-1, 0), (0, 1), (0, -1))):
        normal_x, normal_y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
        edge = size / 2 - margins[side]
        if len(known):
            edge = max(edge, float((known @ (normal_x, normal_y)).max()) + 0.03 * size)
        # A pixel of ramp inside the edge: a real shutter is as sharp as the detector.
        inside *= np.clip(edge - (columns * normal_x + rows * normal_y), 0, 1).astype(np.float32)
    return image * inside


def draw_marker(image: FloatImage, generator: np.random.Generator, *, facing: Facing) -> FloatImage:
    """A lead letter, bright, turned a little, in the air before or behind the neck; L or R by chance."""
    size = image.shape[0]
    letter = "R" if generator.random() < 0.5 else "L"
    height = max(8, round(size * generator.uniform(0.05, 0.075)))
    canvas = Image.new("L", (2 * height, 2 * height))
    font = ImageFont.load_default(size=height)
    ImageDraw.Draw(canvas).text((height, height), letter, fill=255, font=font, anchor="mm")
    canvas = canvas.rotate(generator.normal(0, 6), resample=Image.Resampling.BICUBIC)
    stamp = np.asarray(canvas, dtype=np.float32) / 255 * np.float32(generator.uniform(0.75, 0.98))
    in_front = generator.random() < 0.6
    at_left = in_front == (facing == "left")
    margin = int(size * generator.uniform(0.01, 0.05))
    column = margin if at_left else size - margin - 2 * height
    row = int(size * (generator.uniform(0.45, 0.7) if in_front else generator.uniform(0.05, 0.4)))
    marked = image.copy()
    patch = marked[row : row + 2 * height, column : column + 2 * height]
    np.maximum(patch, stamp[: patch.shape[0], : patch.shape[1]], out=patch)
    return marked
