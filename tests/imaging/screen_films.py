"""Drawn stand-ins for screenshots of films: a neck-like shape, and the things that a screen adds to it."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage


def draw_neck(generator, height=800, width=700):
    """A dark film with a smooth gray neck, brighter shoulders, bodies with bright rims and grain; and its landmarks."""
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    middle = width * (0.5 + 0.03 * generator.standard_normal())
    half = width * (0.2 + 0.15 * np.clip((rows - 0.7 * height) / (0.3 * height), 0, 1) ** 2)
    neck = 1 / (1 + np.exp((np.abs(columns - middle) - half) / 6))
    level = 12 + 75 * neck + 70 * neck * np.clip((rows / height - 0.75) * 3, 0, 1)
    points = np.full((23, 2), np.nan)
    body_w, body_h, gap = 0.09 * width, 0.05 * height, 0.02 * height
    for row in range(6):
        top = height * 0.3 + row * (body_h + gap)
        left = middle - body_w / 2 + 12 * np.sin(row / 2)
        inside = (columns >= left) & (columns <= left + body_w) & (rows >= top) & (rows <= top + body_h)
        core = ndimage.binary_erosion(inside, iterations=3)
        level[inside & ~core] += 90
        level[core] += 45
        corners = [(left, top), (left + body_w, top), (left, top + body_h), (left + body_w, top + body_h)]
        if row == 0:
            points[0] = (left + body_w / 2, top + body_h / 2)
            points[1], points[2] = corners[2:]
        else:
            points[4 * row - 1 : 4 * row + 3] = corners
    level = (
        ndimage.gaussian_filter(level, 1.2) + ndimage.gaussian_filter(generator.standard_normal(level.shape), 0.7) * 6
    )
    return np.clip(level, 0, 255).astype(np.uint8), points


def add_toolbar(rgb, generator):
    width = rgb.shape[1]
    x1, y0 = width - int(generator.integers(2, 30)), int(generator.integers(2, 20))
    x0, y1 = x1 - 190, y0 + 32
    rgb[y0:y1, x0:x1] = 245
    for index, color in enumerate([(250, 120, 20), (30, 110, 220), (30, 110, 220), (250, 120, 20), (30, 110, 220)]):
        left = x0 + 8 + 36 * index
        rgb[y0 + 6 : y1 - 6, left : left + 20] = color
        rgb[y0 + 10 : y0 + 14, left + 5 : left + 15] = 245
    return ("toolbar", x0, y0, x1, y1)


def add_line(rgb, generator):
    height, width = rgb.shape[:2]
    y = int(generator.choice([2, height - 4]))
    rgb[y : y + 2] = (220, 20, 20)
    return ("line", 0, y, width, y + 2)


def _draw_text(rgb, text, size, x, y, value):
    before = rgb.copy()
    image = Image.fromarray(rgb)
    ImageDraw.Draw(image).text((x, y), text, font=ImageFont.load_default(size), fill=(value,) * 3)
    rgb[:] = np.asarray(image)
    rows, columns = np.nonzero((rgb != before).any(axis=2))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def add_text(rgb, generator):
    height, width = rgb.shape[:2]
    size = int(generator.integers(14, 22))
    value = int(generator.choice([255, 235]))
    box = _draw_text(rgb, "W:4096 L:2048", size, width // 2 - 3 * size, height - 2 * size - 4, value)
    return ("text", *box)


def add_marker(rgb, generator):
    height, width = rgb.shape[:2]
    size = round(height * generator.uniform(0.04, 0.06))
    x = int(generator.choice([round(0.04 * width), round(0.93 * width) - size]))
    box = _draw_text(rgb, "R", size, x, height // 4, 240)
    return ("marker", *box)


ADDITIONS = {"toolbar": add_toolbar, "line": add_line, "text": add_text, "marker": add_marker}


def draw_screenshot(generator, kinds, height=800, width=700):
    """RGB film with the given overlays; (pixels, clean gray, landmarks, truth as (kind, x0, y0, x1, y1))."""
    clean, points = draw_neck(generator, height, width)
    rgb = np.stack([clean] * 3, axis=-1).copy()
    truth = [ADDITIONS[kind](rgb, generator) for kind in kinds]
    return rgb, clean, points, truth
