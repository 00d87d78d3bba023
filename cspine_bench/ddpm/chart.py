"""Line charts on a dark page, drawn with Pillow: enough for a run's progress, without a plotting library.

Shapes are drawn large and reduced, so that lines are smooth; text is drawn afterwards, at its own size.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from PIL import Image, ImageDraw, ImageFont

PAGE, INK, MUTED, LINE = "#0d0f13", "#e8eaee", "#8d95a3", "#252a33"
BEST: Final = "#f0b429"
_SUPERSAMPLING: Final = 3
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX = 62, 14, 52, 26
_TICK_PX: Final = 12
_LEGEND_GAP_PX: Final = 14

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Curve:
    """A line over updates, with an interval around it where `low` and `high` are given.

    Attributes:
        name: for the legend; "" leaves it out of there.
        steps: updates, rising.
        values: of the line.
        colour: "#rrggbb".
        width_px: of the line.
        low: lower ends of the interval, or ().
        high: upper ends, or ().
    """

    name: str
    steps: Sequence[float]
    values: Sequence[float]
    colour: str
    width_px: float = 1.5
    low: Sequence[float] = ()
    high: Sequence[float] = ()


@dataclass(frozen=True)
class Band:
    """A level to compare with, the same at every update, and its interval.

    Attributes:
        name: for the legend.
        value, low, high: of the level; low = high = value draws a line alone.
        colour: "#rrggbb".
    """

    name: str
    value: float
    low: float
    high: float
    colour: str


@dataclass(frozen=True)
class Scale:
    """How a value becomes a height: `place` rises with it, `ticks` lists the labelled values between two ends."""

    place: Callable[[float], float]
    ticks: Callable[[float, float], list[float]]
    label: Callable[[float], str] = field(default=lambda value: f"{value:g}")


@dataclass(frozen=True)
class Panel:
    """One chart.

    Attributes:
        title: what is drawn.
        note: said at the right of the title; may be empty.
        curves: drawn in this order.
        band: drawn below them.
        scale: of the vertical axis.
        limits: values that the vertical axis holds whatever the curves are, or None.
    """

    title: str
    note: str
    curves: tuple[Curve, ...]
    scale: Scale
    band: Band | None = None
    limits: tuple[float, float] | None = None


def load_font(size_px: int) -> Font:
    """Pillow's own font, the same on every machine."""
    return ImageFont.load_default(size_px)


def shorten(draw: ImageDraw.ImageDraw, text: str, font: Font, width_px: float) -> str:
    """A text cut so that it fits, with an ellipsis where it was cut."""
    if draw.textlength(text, font=font) <= width_px:
        return text
    while text and draw.textlength(text + "...", font=font) > width_px:
        text = text[:-1]
    return text.rstrip() + "..."


def log_scale() -> Scale:
    """For values above 0; anything less than 1e-6 is drawn there."""
    return Scale(place=lambda value: math.log10(max(value, 1e-6)), ticks=_list_log_ticks)


def linear_scale(label: Callable[[float], str]) -> Scale:
    """Equal distances for equal differences."""
    return Scale(place=lambda value: value, ticks=_list_linear_ticks, label=label)


def signed_log_scale(unit: float) -> Scale:
    """Linear within about one `unit` of 0, logarithmic beyond, for values that fall towards 0 and pass it."""

    def list_ticks(low: float, high: float) -> list[float]:
        first = math.ceil(math.log10(unit))
        powers = [10.0**power for power in range(first, first + 12)]
        # Every second one where they are many; the decades next to 0 would overlap it.
        reach = max(abs(low), abs(high))
        stride = 1 if reach < unit * 1e4 else 2
        return [tick for tick in (*(-power for power in powers), 0.0, *powers[::stride]) if low <= tick <= high]

    return Scale(place=lambda value: math.asinh(value / unit), ticks=list_ticks)


def _list_log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(max(low, 1e-6))), math.ceil(math.log10(max(high, 1e-6))) + 1)
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1,)):
        ticks = [round(step * 10.0**decade, 9) for decade in decades for step in steps]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= 6:
            # So short a range is as good as linear.
            return ticks if len(ticks) > 1 else _list_linear_ticks(low, high)
    return ticks[:: len(ticks) // 4]


def _list_linear_ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [round(tick * step, 9) for tick in range(math.ceil(low / step), math.floor(high / step) + 1)]


def draw_panels(page: Image.Image, panels: Sequence[Panel], box: Box, *, best: int | None) -> None:
    """Draw charts one below the other over the same updates.

    Args:
        page: RGB; drawn on.
        panels: at least one, and at least one of their curves has a point.
        box: left, top, right and bottom of the room for all, px of the page.
        best: update of the best checkpoint, marked in every chart; None for none.
    """
    left, top, right, bottom = box
    height = (bottom - top) // len(panels)
    last = max(step for panel in panels for curve in panel.curves for step in curve.steps)
    large = Image.new("RGB", ((right - left) * _SUPERSAMPLING, (bottom - top) * _SUPERSAMPLING), PAGE)
    shapes = ImageDraw.Draw(large, "RGBA")
    frames = []
    for number, panel in enumerate(panels):
        inner = (_LEFT_PX, number * height + _TOP_PX, right - left - _RIGHT_PX, (number + 1) * height - _BOTTOM_PX)
        frames.append(_Frame.fit(panel, inner, last))
        _draw_shapes(shapes, panel, frames[-1], best)
    page.paste(large.reduce(_SUPERSAMPLING), (left, top))
    draw = ImageDraw.Draw(page)
    for panel, frame in zip(panels, frames, strict=True):
        _write_texts(draw, panel, frame, (left, top))


@dataclass(frozen=True)
class _Frame:
    """The room of one chart, and how a point is placed in it; px, from the corner of all charts."""

    box: Box
    scale: Scale
    low: float
    high: float
    last: float

    @classmethod
    def fit(cls, panel: Panel, box: Box, last: float) -> "_Frame":
        values = [value for curve in panel.curves for value in (*curve.values, *curve.low, *curve.high)]
        values += [] if panel.band is None else [panel.band.low, panel.band.high]
        values += panel.limits or ()
        places = [panel.scale.place(value) for value in values] or [0.0]
        margin = 0.06 * (max(places) - min(places)) or 0.1
        return cls(box, panel.scale, min(places) - margin, max(places) + margin, max(last, 1))

    def x(self, step: float) -> float:
        return self.box[0] + (self.box[2] - self.box[0]) * step / self.last

    def y(self, value: float) -> float:
        share = (self.scale.place(value) - self.low) / (self.high - self.low)
        return self.box[3] - (self.box[3] - self.box[1]) * min(max(share, 0.0), 1.0)

    def list_ticks(self) -> list[float]:
        """Labelled values, those whose labels would touch the one below left out."""
        low, high = (_invert(self.scale.place, place) for place in (self.low, self.high))
        kept: list[float] = []
        for tick in self.scale.ticks(low, high):
            if not kept or self.y(kept[-1]) - self.y(tick) > _TICK_PX + 4:
                kept.append(tick)
        return kept


def _invert(place: Callable[[float], float], wanted: float) -> float:
    """The value at a place, by halving: enough to know which ticks lie inside."""
    low, high = -1e9, 1e9
    for _ in range(120):
        middle = (low + high) / 2
        low, high = (middle, high) if place(middle) < wanted else (low, middle)
    return high


def _draw_shapes(draw: ImageDraw.ImageDraw, panel: Panel, frame: _Frame, best: int | None) -> None:
    left, top, right, bottom = frame.box

    def line(points: Sequence[tuple[float, float]], colour: str, width_px: float) -> None:
        large = [(x * _SUPERSAMPLING, y * _SUPERSAMPLING) for x, y in points]
        draw.line(large, fill=colour, width=max(1, round(width_px * _SUPERSAMPLING)), joint="curve")

    def area(points: Sequence[tuple[float, float]], colour: str, opacity: int) -> None:
        draw.polygon([(x * _SUPERSAMPLING, y * _SUPERSAMPLING) for x, y in points], fill=f"{colour}{opacity:02x}")

    for tick in frame.list_ticks():
        line([(left, frame.y(tick)), (right, frame.y(tick))], LINE, 1)
    if panel.band is not None:
        low, high, middle = (frame.y(value) for value in (panel.band.low, panel.band.high, panel.band.value))
        area([(left, low), (right, low), (right, high), (left, high)], panel.band.colour, 46)
        line([(left, middle), (right, middle)], panel.band.colour, 1)
    if best is not None:
        x = frame.x(best)
        for start in range(top, bottom, 7):
            line([(x, start), (x, min(start + 4, bottom))], BEST, 1)
    for curve in panel.curves:
        points = [(frame.x(step), frame.y(value)) for step, value in zip(curve.steps, curve.values, strict=True)]
        ends = [
            [(frame.x(step), frame.y(value)) for step, value in zip(curve.steps, values, strict=True)]
            for values in (curve.low, curve.high)
            if values
        ]
        if ends and len(points) > 1:
            area([*ends[0], *reversed(ends[1])], curve.colour, 52)
        elif ends:
            line([ends[0][0], ends[1][0]], curve.colour, curve.width_px)
        if len(points) > 1:
            line(points, curve.colour, curve.width_px)
        for x, y in points if ends or len(points) == 1 else ():
            dot, radius = (x * _SUPERSAMPLING, y * _SUPERSAMPLING), (curve.width_px + 1) * _SUPERSAMPLING
            draw.ellipse((dot[0] - radius, dot[1] - radius, dot[0] + radius, dot[1] + radius), fill=curve.colour)
    line([(left, bottom), (right, bottom)], MUTED, 1)


def _write_texts(draw: ImageDraw.ImageDraw, panel: Panel, frame: _Frame, corner: tuple[int, int]) -> None:
    left, top, right, bottom = (value + corner[number % 2] for number, value in enumerate(frame.box))
    small = load_font(_TICK_PX)
    start = corner[0]
    draw.text((start, top - 30), panel.title, font=load_font(16), fill=INK, anchor="ls")
    room_px = right - start - draw.textlength(panel.title, font=load_font(16)) - _LEGEND_GAP_PX
    draw.text((right, top - 30), shorten(draw, panel.note, small, room_px), font=small, fill=MUTED, anchor="rs")
    x = float(left)
    named = [(curve.name, curve.colour) for curve in panel.curves if curve.name]
    named += [] if panel.band is None else [(panel.band.name, panel.band.colour)]
    for name, colour in named:
        draw.line((x, top - 14, x + 12, top - 14), fill=colour, width=3)
        draw.text((x + 17, top - 14), name, font=small, fill=MUTED, anchor="lm")
        x += 17 + draw.textlength(name, font=small) + _LEGEND_GAP_PX
    for tick in frame.list_ticks():
        y = frame.y(tick) + corner[1]
        draw.text((left - 8, y), panel.scale.label(tick), font=small, fill=MUTED, anchor="rm")
    steps = _list_linear_ticks(0, frame.last)
    for step in steps:
        text = f"{step:,.0f}" + (" updates" if step == steps[-1] else "")
        place = min(
            frame.x(step) + corner[0] + (0 if step != steps[-1] else 24), right - draw.textlength(text, small) / 2
        )
        draw.text((place, bottom + 7), text, font=small, fill=MUTED, anchor="ma")
