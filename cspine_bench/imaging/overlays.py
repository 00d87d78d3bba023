"""What a screen adds to a film: toolbars, coloured lines, burned-in text, side markers. Found, and taken away.

A model that is trained on such films learns to draw them, and a reader tells films apart by them. How each is found:

| kind | found as |
| --- | --- |
| `line` | coloured pixels in a run thinner than 6 px and longer than 30 % of the side that it runs along |
| `toolbar` | other coloured pixels, grouped, in the upper quarter; with the even bar that they stand on |
| `colour` | other coloured pixels elsewhere |
| `text` | a row of three or more thin, bright, equally bright glyphs in the top or bottom 15 % |
| `marker` | one bright letter in the outer fifth of the film, alone on an even background (R or L) |

Colour is where the channels of a pixel differ by more than 40. Text and markers are gray and can be anatomy's twins, so
they are dropped where they come near a labelled landmark. What lies on bright bone in its own brightness is not found.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

OverlaysAction = Literal["mask", "crop", "keep", "refuse"]
OVERLAYS_ACTIONS: Final[tuple[OverlaysAction, ...]] = get_args(OverlaysAction)
OverlayKind = Literal["line", "toolbar", "colour", "text", "marker"]

_CHROMA: Final = 40
_CONTRAST: Final = 50
_MASK_MARGIN_PX: Final = 3
_LANDMARK_MARGIN: Final = 0.03

Bits = NDArray[np.bool_]
Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Overlay:
    """One thing that is no film. The box is x0 <= x < x1, y0 <= y < y1, px."""

    kind: OverlayKind
    x0: int
    y0: int
    x1: int
    y1: int


def find_overlays(pixels: Pixels, *, landmarks_xy: NDArray[np.floating] | None = None) -> list[Overlay]:
    """Find overlays on one film.

    Args:
        pixels: uint8 or uint16 (height, width), or uint8 (height, width, 3).
        landmarks_xy: float (n, 2), px; NaN = not labelled. Gray finds near a labelled one are taken for anatomy.

    Returns:
        Overlays in the order of kind, then from the top left.
    """
    found: list[Overlay] = []
    gray = to_gray(pixels)
    if pixels.ndim == 3:
        red, green, blue = (pixels[..., channel].astype(np.int16) for channel in range(3))
        highest = np.maximum(np.maximum(red, green), blue)
        coloured = highest - np.minimum(np.minimum(red, green), blue) > _CHROMA
        lines = _find_lines(coloured)
        found += lines
        for line in lines:
            coloured[line.y0 : line.y1, line.x0 : line.x1] = False
        found += _find_coloured(coloured, gray)
    level = _to_8_bits(gray)
    candidates = _find_text(level) + _find_markers(level)
    taken = [item for item in found if item.kind != "line"]
    found += [
        item for item in candidates if not _near_landmark(item, gray.shape, landmarks_xy) and not _in_any(item, taken)
    ]
    return sorted(set(found), key=lambda item: (item.kind, item.y0, item.x0, item.y1, item.x1))


def to_gray(pixels: Pixels) -> Pixels:
    """Luminance of RGB, as uint8; gray as it is. Source: ITU-R BT.601."""
    if pixels.ndim == 2:
        return pixels
    weights = np.array([0.299, 0.587, 0.114], dtype=np.float32)
    gray: NDArray[np.uint8] = np.rint(pixels.astype(np.float32) @ weights).astype(np.uint8)
    return gray


def mask_overlays(gray: Pixels, overlays: list[Overlay]) -> Pixels:
    """Fill each overlay, and 3 px around it, from the film at its border.

    Each pixel takes the value of the nearest pixel outside, then the fill is smoothed; nothing outside changes.
    """
    hidden = np.zeros(gray.shape, dtype=np.bool_)
    for item in overlays:
        top, left = max(0, item.y0 - _MASK_MARGIN_PX), max(0, item.x0 - _MASK_MARGIN_PX)
        hidden[top : item.y1 + _MASK_MARGIN_PX, left : item.x1 + _MASK_MARGIN_PX] = True
    if not hidden.any() or hidden.all():
        return gray
    result = gray.copy()
    labels, _ = ndimage.label(hidden)
    for ys, xs in ndimage.find_objects(labels):
        window = (slice(max(0, ys.start - 8), ys.stop + 8), slice(max(0, xs.start - 8), xs.stop + 8))
        result[window] = _fill(gray[window], hidden[window])
    return result


def _fill(gray: Pixels, hidden: Bits) -> Pixels:
    rows, columns = ndimage.distance_transform_edt(hidden, return_distances=False, return_indices=True)
    filled = gray[rows, columns].astype(np.float32)
    # The nearest pixel alone leaves streaks.
    for _ in range(4):
        filled[hidden] = ndimage.uniform_filter(filled, size=9, mode="nearest")[hidden]
    mixed = np.where(hidden, np.rint(filled), gray)
    return mixed.astype(np.uint8) if gray.dtype == np.uint8 else mixed.astype(np.uint16)


def find_crop(shape: tuple[int, int], overlays: list[Overlay]) -> tuple[int, int, int, int]:
    """The box (x0, y0, x1, y1) without overlays: each in turn is cut off from the side that costs the least.

    Raises:
        ValueError: nothing would be left.
    """
    x0, y0, x1, y1 = 0, 0, shape[1], shape[0]
    for item in overlays:
        if item.x1 <= x0 or item.x0 >= x1 or item.y1 <= y0 or item.y0 >= y1:
            continue
        margin = _MASK_MARGIN_PX
        choices = {
            "x0": (item.x1 + margin - x0) * (y1 - y0),
            "x1": (x1 - item.x0 + margin) * (y1 - y0),
            "y0": (item.y1 + margin - y0) * (x1 - x0),
            "y1": (y1 - item.y0 + margin) * (x1 - x0),
        }
        match min(choices, key=lambda side: choices[side]):
            case "x0":
                x0 = item.x1 + margin
            case "x1":
                x1 = item.x0 - margin
            case "y0":
                y0 = item.y1 + margin
            case _:
                y1 = item.y0 - margin
    if x1 - x0 < 1 or y1 - y0 < 1:
        raise ValueError("cropping the overlays away would leave nothing of the film")
    return x0, y0, x1, y1


def _to_8_bits(gray: Pixels) -> NDArray[np.uint8]:
    if gray.dtype == np.uint8:
        return gray.astype(np.uint8, copy=False)
    low, high = int(gray.min()), int(gray.max())
    return ((gray.astype(np.float32) - low) * (255 / max(1, high - low))).astype(np.uint8)


def _boxes(bits: Bits) -> list[tuple[int, int, int, int]]:
    labels, _ = ndimage.label(bits, structure=np.ones((3, 3)))
    return [(xs.start, ys.start, xs.stop, ys.stop) for ys, xs in ndimage.find_objects(labels)]


def _find_lines(coloured: Bits) -> list[Overlay]:
    found = []
    for axis, length in ((1, coloured.shape[1]), (0, coloured.shape[0])):
        if not coloured.any():
            break
        span = round(0.3 * length)
        # A run survives the erosion along its own axis, and the dilation gives it back its length.
        runs = ndimage.minimum_filter1d(coloured.astype(np.uint8), span, axis=axis, mode="constant")
        runs = ndimage.maximum_filter1d(runs, span, axis=axis, mode="constant", origin=-1 if span % 2 == 0 else 0)
        for x0, y0, x1, y1 in _boxes(runs > 0):
            if (y1 - y0 if axis == 1 else x1 - x0) < 6:
                found.append(Overlay("line", x0, y0, x1, y1))
    return found


def _find_coloured(coloured: Bits, gray: Pixels) -> list[Overlay]:
    height, width = coloured.shape
    reach = max(12, round(0.015 * width))
    if not coloured.any():
        return []
    near = ndimage.maximum_filter(coloured.astype(np.uint8), size=2 * reach + 1, mode="constant") > 0
    found = []
    for x0, y0, x1, y1 in _boxes(near):
        part = coloured[y0:y1, x0:x1]
        if part.sum() < 12:
            continue
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        box = (x0 + int(columns[0]), y0 + int(rows[0]), x0 + int(columns[-1]) + 1, y0 + int(rows[-1]) + 1)
        kind: OverlayKind = "toolbar" if box[3] <= height / 4 else "colour"
        found.append(Overlay(kind, *(_grow_to_bar(gray, coloured, box) if kind == "toolbar" else box)))
    return found


def _grow_to_bar(gray: Pixels, coloured: Bits, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The even bar that the icons in `box` stand on, with them; the box itself where there is none."""
    x0, y0, x1, y1 = box
    inside = gray[y0:y1, x0:x1][~coloured[y0:y1, x0:x1]]
    if inside.size < 8:
        return box
    values, counts = np.unique(inside, return_counts=True)
    bar_value = int(values[counts.argmax()])
    # A dark even background is the film's own air.
    if counts.max() < 0.3 * inside.size or bar_value < 100:
        return box
    even = np.abs(gray.astype(np.int32) - bar_value) <= 2
    labels, _ = ndimage.label(even)
    touched = np.bincount(labels[y0:y1, x0:x1].ravel())
    touched[0] = 0
    ys, xs = ndimage.find_objects(labels)[int(touched.argmax()) - 1]
    bar = (min(x0, xs.start), min(y0, ys.start), max(x1, xs.stop), max(y1, ys.stop))
    large = (bar[2] - bar[0]) * (bar[3] - bar[1]) > 0.15 * gray.size or bar[3] > gray.shape[0] / 4
    return box if large else bar


def _find_text(level: NDArray[np.uint8]) -> list[Overlay]:
    height = level.shape[0]
    band = max(24, round(0.15 * height))
    found = []
    for top, bottom in ((0, min(band, height)), (max(0, height - band), height)):
        found += _find_text_lines(level[top:bottom], top)
    return found


def _find_text_lines(band: NDArray[np.uint8], top: int) -> list[Overlay]:
    stroke = 7
    thin = ndimage.white_tophat(band, size=(stroke, stroke)) > _CONTRAST
    if not thin.any():
        return []
    glyphs = []
    labels, _ = ndimage.label(thin, structure=np.ones((3, 3)))
    for index, (ys, xs) in enumerate(ndimage.find_objects(labels), start=1):
        high, wide = ys.stop - ys.start, xs.stop - xs.start
        if not (5 <= high <= 40 and 1 <= wide <= 1.6 * high):
            continue
        values = band[ys, xs][np.equal(labels[ys, xs], index)]
        peak = int(values.max())
        # A screen draws in one gray; a ridge of bone or noise does not stay at its peak.
        if np.mean(values >= peak - 12) >= 0.25:
            glyphs.append((xs.start, ys.start, xs.stop, ys.stop, peak))
    glyphs.sort()
    rows: list[list[tuple[int, int, int, int, int]]] = []
    for glyph in glyphs:
        for row in rows:
            last = row[-1]
            size = max(last[3] - last[1], glyph[3] - glyph[1])
            level_with = abs((last[1] + last[3]) - (glyph[1] + glyph[3])) <= size
            if level_with and glyph[0] - last[2] <= 2.5 * size and abs(glyph[4] - last[4]) <= 16:
                row.append(glyph)
                break
        else:
            rows.append([glyph])
    found = []
    for row in rows:
        if len(row) >= 3:
            x0, y0, x1, y1, _ = np.array(row).T
            found.append(_grow_text(thin, int(x0.min()), int(y0.min()), int(x1.max()), int(y1.max()), top))
    return found


def _grow_text(thin: Bits, x0: int, y0: int, x1: int, y1: int, top: int) -> Overlay:
    """The row's box with the dots, broken letters and colons beside it, which are no glyphs by themselves."""
    size = y1 - y0
    reach = max(4, round(1.2 * size))
    inked: Bits = np.any(thin[max(0, y0 - size // 4) : y1 + size // 4], axis=0)
    while (left := np.flatnonzero(inked[max(0, x0 - reach) : x0])).size:
        x0 = max(0, x0 - reach) + int(left[0])
    while (right := np.flatnonzero(inked[x1 : x1 + reach])).size:
        x1 += int(right[-1]) + 1
    return Overlay("text", x0, top + y0, x1, top + y1)


def _find_markers(level: NDArray[np.uint8]) -> list[Overlay]:
    height, width = level.shape
    found = []
    # A letter is what an opening by a larger square takes away.
    step = max(1, round(min(height, width) / 256))
    small = level[::step, ::step].astype(np.int16)
    background = ndimage.grey_opening(small, size=(27, 27), mode="nearest")
    bright = small - background > _CONTRAST
    labels, _ = ndimage.label(bright, structure=np.ones((3, 3)))
    for index, (ys, xs) in enumerate(ndimage.find_objects(labels), start=1):
        high, wide = ys.stop - ys.start, xs.stop - xs.start
        if not (5 <= high <= 24 and 0.35 <= wide / high <= 1.3):
            continue
        middle_x, middle_y = (xs.start + xs.stop) / 2 / small.shape[1], (ys.start + ys.stop) / 2 / small.shape[0]
        if 0.2 < middle_x < 0.8 and 0.2 < middle_y < 0.8:
            continue
        inside = np.equal(labels[ys, xs], index)
        if not 0.2 <= inside.mean() <= 0.8:
            continue
        ring_y = slice(max(0, ys.start - 4), ys.stop + 4)
        ring_x = slice(max(0, xs.start - 4), xs.stop + 4)
        around: Bits = ndimage.binary_dilation(labels[ring_y, ring_x] == index, iterations=2)
        ring = small[ring_y, ring_x][~around]
        if ring.size == 0 or ring.std() > 12 or small[ys, xs][inside].mean() - ring.mean() < 1.5 * _CONTRAST:
            continue
        found.append(Overlay("marker", xs.start * step, ys.start * step, xs.stop * step, ys.stop * step))
    return found


def _near_landmark(item: Overlay, shape: tuple[int, ...], landmarks_xy: NDArray[np.floating] | None) -> bool:
    if landmarks_xy is None:
        return False
    margin = _LANDMARK_MARGIN * math.hypot(*shape[:2])
    x, y = landmarks_xy[:, 0], landmarks_xy[:, 1]
    inside_x = (x >= item.x0 - margin) & (x <= item.x1 + margin)
    return bool(np.any(inside_x & (y >= item.y0 - margin) & (y <= item.y1 + margin)))


def _in_any(item: Overlay, others: list[Overlay]) -> bool:
    x, y = (item.x0 + item.x1) / 2, (item.y0 + item.y1) / 2
    return any(other.x0 <= x <= other.x1 and other.y0 <= y <= other.y1 for other in others)
