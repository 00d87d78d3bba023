"""One picture of many radiographs with their labels drawn on, to be looked at by people."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from cspine_bench.anatomy.landmarks import MASK_LABELS

LEVEL_COLOURS: Final = {
    "C1": "#b4b8c0",
    "C2": "#e69f00",
    "C3": "#56b4e9",
    "C4": "#f0e442",
    "C5": "#cc79a7",
    "C6": "#2fc49a",
    "C7": "#e8703a",
    "T1": "#7d9bff",
}
"""Outline of each vertebra. Okabe and Ito's set for colour-blind readers, three dark tones lightened for black film,
ordered so that neighbours differ in lightness as well as in hue. Source: Okabe, Ito 2008, jfly.uni-koeln.de/color."""

_PAGE, _FRAME = "#0d0f13", "#23272f"
_INK, _MUTED = "#e8eaee", "#878e9a"
_LANDMARK, _LANDMARK_EDGE = "#ffffff", "#0d0f13"
_SUPERSAMPLING = 3

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class Tile:
    """One radiograph of a sheet.

    Args:
        image: uint8 or uint16 (height, width). 16 bits are shown from the image's own darkest to its brightest pixel.
        mask: uint8 (height, width) of label ids, or None to draw no outlines.
        landmarks_xy: float (n, 2), px, (x, y); NaN pairs are left out. None draws no dots.
        caption: one line, or two where the second is the quieter one. Too long a line is cut with an ellipsis.
    """

    image: NDArray[np.uint8] | NDArray[np.uint16]
    mask: NDArray[np.uint8] | None
    landmarks_xy: NDArray[np.floating] | None
    caption: str


@dataclass(frozen=True, slots=True)
class _Layout:
    tile_px: int
    columns: int
    rows: int
    caption_lines: int
    has_title: bool
    has_footer: bool

    @property
    def gap(self) -> int:
        return max(4, self.tile_px // 20)

    @property
    def margin(self) -> int:
        return 2 * self.gap

    @property
    def text_px(self) -> int:
        return max(9, round(self.tile_px / 18))

    @property
    def title_px(self) -> int:
        return round(1.6 * self.text_px)

    @property
    def header(self) -> int:
        return self.title_px + 2 * self.gap if self.has_title else 0

    @property
    def footer(self) -> int:
        return self.text_px + self.gap if self.has_footer else 0

    @property
    def cell(self) -> int:
        return self.tile_px + round(1.5 * self.text_px * self.caption_lines) + round(0.5 * self.text_px)

    @property
    def size(self) -> tuple[int, int]:
        width = 2 * self.margin + self.columns * self.tile_px + (self.columns - 1) * self.gap
        height = 2 * self.margin + self.header + self.rows * self.cell + (self.rows - 1) * self.gap + self.footer
        return width, height

    def corner(self, index: int) -> tuple[int, int]:
        row, column = divmod(index, self.columns)
        return (
            self.margin + column * (self.tile_px + self.gap),
            self.margin + self.header + row * (self.cell + self.gap),
        )


def draw_contact_sheet(
    tiles: Sequence[Tile], *, columns: int, title: str | None = None, footer: str | None = None, tile_px: int = 256
) -> Image.Image:
    """Radiographs in a grid on a dark page, each with its vertebrae outlined and its landmarks dotted.

    Args:
        tiles: in reading order. Images of any size; each is fitted into its square, never stretched.
        columns: tiles in a row.
        title: a line above the grid. A legend of the vertebra levels stands at its right where a mask is shown.
        footer: a quiet line below, for example "synthetic phantom - not for diagnosis".
        tile_px: side of a tile, px.

    Returns:
        RGB image. Every pixel depends on the arguments alone.

    Raises:
        ValueError: no tiles, columns < 1, tile_px < 32, or a mask of another shape than its image.
    """
    if not tiles:
        raise ValueError("a contact sheet needs at least one tile")
    if columns < 1 or tile_px < 32:
        raise ValueError(f"columns must be at least 1 and tile_px at least 32, got {columns} and {tile_px}")
    columns = min(columns, len(tiles))
    shown = {level for tile in tiles if tile.mask is not None for level in _levels_in(tile.mask)}
    layout = _Layout(
        tile_px=tile_px,
        columns=columns,
        rows=-(-len(tiles) // columns),
        caption_lines=max(len(tile.caption.splitlines()) for tile in tiles),
        has_title=title is not None or bool(shown),
        has_footer=footer is not None,
    )
    sheet = Image.new("RGB", layout.size, _PAGE)
    draw = ImageDraw.Draw(sheet)
    if layout.has_title:
        _draw_header(draw, layout, title or "", shown)
    for index, tile in enumerate(tiles):
        x, y = layout.corner(index)
        sheet.paste(_draw_tile(tile, tile_px), (x, y))
        draw.rectangle((x - 1, y - 1, x + tile_px, y + tile_px), outline=_FRAME)
        _draw_caption(draw, layout, tile.caption, x, y + tile_px)
    if footer is not None:
        baseline = layout.size[1] - layout.margin
        draw.text((layout.margin, baseline), footer, font=_font(layout.text_px), fill=_MUTED, anchor="ls")
    return sheet


def _font(size_px: int) -> Font:
    return ImageFont.load_default(size_px)


def _levels_in(mask: NDArray[np.uint8]) -> list[str]:
    present = set(np.unique(mask).tolist())
    return [level for level, label in MASK_LABELS.items() if label in present]


def _draw_header(draw: ImageDraw.ImageDraw, layout: _Layout, title: str, shown: set[str]) -> None:
    baseline = layout.margin + layout.title_px
    font = _font(layout.text_px)
    right: float = layout.size[0] - layout.margin
    for level in reversed([level for level in MASK_LABELS if level in shown]):
        draw.text((right, baseline), level, font=font, fill=_MUTED, anchor="rs")
        right -= draw.textlength(level, font=font) + 0.4 * layout.text_px
        middle = baseline - 0.36 * layout.text_px
        width = max(2, layout.text_px // 6)
        draw.line((right - layout.text_px, middle, right, middle), fill=LEVEL_COLOURS[level], width=width)
        right -= 2.0 * layout.text_px
    title_font = _font(layout.title_px)
    text = _shorten(draw, title, title_font, right - layout.margin)
    draw.text((layout.margin, baseline), text, font=title_font, fill=_INK, anchor="ls")


def _draw_caption(draw: ImageDraw.ImageDraw, layout: _Layout, caption: str, x: int, y: int) -> None:
    font = _font(layout.text_px)
    for number, line in enumerate(caption.splitlines(), start=1):
        baseline = y + round(1.5 * layout.text_px * number)
        text = _shorten(draw, line, font, layout.tile_px)
        draw.text((x, baseline), text, font=font, fill=_INK if number == 1 else _MUTED, anchor="ls")


def _shorten(draw: ImageDraw.ImageDraw, text: str, font: Font, width_px: float) -> str:
    if draw.textlength(text, font=font) <= width_px:
        return text
    while text and draw.textlength(text + "...", font=font) > width_px:
        text = text[:-1]
    return text.rstrip() + "..."


def _draw_tile(tile: Tile, tile_px: int) -> Image.Image:
    if tile.mask is not None and tile.mask.shape != tile.image.shape:
        raise ValueError(f"mask is {tile.mask.shape} and its image {tile.image.shape} ({tile.caption!r})")
    height, width = tile.image.shape
    scale = tile_px / max(height, width)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    picture = Image.fromarray(_to_uint8(tile.image)).resize(inner, Image.Resampling.LANCZOS).convert("RGB")
    if tile.mask is not None:
        _draw_outlines(picture, tile.mask)
    if tile.landmarks_xy is not None:
        _draw_landmarks(picture, tile.landmarks_xy, scale, tile_px)
    framed = Image.new("RGB", (tile_px, tile_px), "#000000")
    framed.paste(picture, ((tile_px - inner[0]) // 2, (tile_px - inner[1]) // 2))
    return framed


def _to_uint8(image: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    if image.dtype == np.uint8:
        return image.astype(np.uint8, copy=False)
    low, high = int(image.min()), int(image.max())
    return np.rint((image.astype(np.float64) - low) * (255 / max(1, high - low))).astype(np.uint8)


def _draw_outlines(picture: Image.Image, mask: NDArray[np.uint8]) -> None:
    scale = picture.width / mask.shape[1]
    for level in _levels_in(mask):
        region = mask == MASK_LABELS[level]
        rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
        # Work on the vertebra alone, with room around it for the filters.
        left, top = max(0, columns[0] - 4), max(0, rows[0] - 4)
        cut = region[top : rows[-1] + 5, left : columns[-1] + 5]
        x, y = round(left * scale), round(top * scale)
        size = (max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale)))
        picture.paste(LEVEL_COLOURS[level], (x, y), _draw_outline(cut, size))


def _draw_outline(region: NDArray[np.bool_], size: tuple[int, int]) -> Image.Image:
    # Drawn large and then reduced: Pillow's own lines are not smooth.
    large = (size[0] * _SUPERSAMPLING, size[1] * _SUPERSAMPLING)
    filled = Image.fromarray(np.where(region, 255, 0).astype(np.uint8)).resize(large, Image.Resampling.BICUBIC)
    # Blurred and cut at one half, the steps of the label's pixels become a curve.
    filled = filled.filter(ImageFilter.GaussianBlur(_SUPERSAMPLING)).point([0] * 128 + [255] * 128)
    # A mean of 255 around a pixel means that all of them are 255: an erosion, in the time of one pass.
    inside = filled.filter(ImageFilter.BoxBlur(_SUPERSAMPLING - 1)).point([0] * 255 + [255])
    line = ImageChops.subtract(filled, inside)
    return line.resize(size, Image.Resampling.BOX)


def _draw_landmarks(picture: Image.Image, landmarks_xy: NDArray[np.floating], scale: float, tile_px: int) -> None:
    radius = max(1.1, tile_px / 190)
    reach = round(radius + 2)
    for x_px, y_px in landmarks_xy:
        if np.isnan(x_px) or np.isnan(y_px):
            continue
        # Pixel centres are whole numbers, so the image's corner is at -0.5.
        x, y = (float(x_px) + 0.5) * scale, (float(y_px) + 0.5) * scale
        corner = (round(x) - reach, round(y) - reach)
        centre = (x - corner[0], y - corner[1])
        for colour, opacity, size in ((_LANDMARK_EDGE, 200, radius + 0.7), (_LANDMARK, 255, radius)):
            picture.paste(colour, corner, _draw_dot(centre, size, 2 * reach, opacity))


def _draw_dot(centre: tuple[float, float], radius: float, side: int, opacity: int) -> Image.Image:
    factor = 2 * _SUPERSAMPLING
    x, y, r = centre[0] * factor, centre[1] * factor, radius * factor
    dot = Image.new("L", (side * factor, side * factor))
    ImageDraw.Draw(dot).ellipse((x - r, y - r, x + r, y + r), fill=opacity)
    return dot.resize((side, side), Image.Resampling.BOX)
