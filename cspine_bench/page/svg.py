"""Small plots as SVG text: real text, colours by class, so that the page's light and dark sheets and print colour them.

Each plot is one panel that reads at the width of a phone; larger plots are several panels beside each other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from markupsafe import Markup, escape

from cspine_bench.page.wording import MINUS

WIDTH: Final = 340
_CHARACTER: Final = 6.6
"""Width of a character of the panel's text, about."""


@dataclass(frozen=True)
class Scale:
    """Data to pixels along one axis.

    Attributes:
        low: of the data, at `start`.
        high: of the data, at `end`.
        start: px.
        end: px.
        log: logarithmic; then `low` is above 0.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Pixel of a value; one beyond the ends is put on the end."""
        low, high = self._forward(self.low), self._forward(self.high)
        share = (self._forward(max(value, self.low) if self.log else value) - low) / (high - low)
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)

    def _forward(self, value: float) -> float:
        return math.log10(value) if self.log else value

    def list_ticks(self, count: int = 5) -> list[float]:
        """Round values inside the range, at most about `count`."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            if last - first >= 1:
                stride = max(1, math.ceil((last - first) / count))
                return [10.0**power for power in range(first, last + 1, stride)]
        step = _round_step((self.high - self.low) / count)
        lowest = math.ceil(self.low / step - 1e-9)
        ticks = [number * step for number in range(lowest, math.floor(self.high / step + 1e-9) + 1)]
        return [tick for tick in ticks if not self.log or tick > 0]


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= 0.8 * step)


def fit_scale(
    values: Sequence[float], start: float, end: float, *, log: bool = False, zero: bool = False, room: float = 0.06
) -> Scale:
    """A scale that holds all values with some room; with 0 where `zero`."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if log:
        return Scale(low / 1.3, max(high * 1.3, low * 3), start, end, log=True)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    spread = (high - low) or max(abs(high), 1e-12)
    down = 0.0 if zero and low == 0 else room * spread
    return Scale(low - down, high + room * spread, start, end)


def label_number(value: float) -> str:
    """A tick's label."""
    if value == 0:
        return "0"
    if abs(value) >= 1e5 or abs(value) < 1e-3:
        mantissa, _, exponent = f"{value:.0e}".partition("e")
        return f"{mantissa}e{int(exponent)}".replace("-", MINUS)
    return f"{value:.6g}".replace("-", MINUS)


@dataclass
class Panel:
    """A plot that grows mark by mark.

    Attributes:
        label: what it shows, for those who do not see it.
        height: px.
        width: px.
        left: margin for the labels of the vertical axis, px.
        bottom: margin for those of the horizontal one, px.
    """

    label: str
    height: float = 200
    width: float = WIDTH
    left: float = 44
    right: float = 12
    top: float = 10
    bottom: float = 40
    _marks: list[str] = field(default_factory=list, init=False, repr=False)

    @property
    def x_range(self) -> tuple[float, float]:
        return self.left, self.width - self.right

    @property
    def y_range(self) -> tuple[float, float]:
        """From bottom to top."""
        return self.height - self.bottom, self.top

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        """A straight line."""
        self._marks.append(f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')

    def band(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        """A rectangle, at least 1 px each way."""
        left, top = min(x1, x2), min(y1, y2)
        width, height = max(1.0, abs(x2 - x1)), max(1.0, abs(y2 - y1))
        self._marks.append(
            f'<rect class="{style}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
        )

    def dot(
        self, x: float, y: float, style: str, *, shape: Literal["circle", "diamond"] = "circle", size: float = 4
    ) -> None:
        """A point."""
        if shape == "circle":
            self._marks.append(f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="{size:g}"/>')
        else:
            reach = size + 1
            around = ((x - reach, y), (x, y - reach), (x + reach, y), (x, y + reach))
            self.path(around, style, closed=True)

    def path(self, points: Sequence[tuple[float, float]], style: str, *, closed: bool = False) -> None:
        """A line through points, or an area."""
        if points:
            steps = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
            self._marks.append(f'<path class="{style}" d="M{steps}{"Z" if closed else ""}"/>')

    def text(self, x: float, y: float, words: str, *, anchor: str = "start", style: str = "tick") -> None:
        """Words; `y` is their baseline."""
        self._marks.append(
            f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def draw_x(self, scale: Scale, title: str = "", *, count: int = 5, grid: bool = True) -> None:
        """The horizontal axis with its ticks and title."""
        base, top = self.y_range
        self.line(*(self.x_range[0], base, self.x_range[1], base), "axis")
        for tick in scale.list_ticks(count):
            x = scale(tick)
            if grid:
                self.line(x, base, x, top, "grid")
            self.text(x, base + 15, label_number(tick), anchor="middle")
        if title:
            self.text(sum(self.x_range) / 2, base + 32, title, anchor="middle", style="label")

    def draw_y(self, scale: Scale, title: str = "", *, count: int = 5) -> None:
        """The vertical axis with its ticks; the title stands above it."""
        for tick in scale.list_ticks(count):
            y = scale(tick)
            self.line(self.x_range[0], y, self.x_range[1], y, "grid")
            self.text(self.x_range[0] - 6, y + 4, label_number(tick), anchor="end")
        if title:
            self.text(4, self.top - 8, title, style="label")

    def render(self) -> Markup:
        """The SVG element."""
        label = escape(self.label)
        return Markup(
            f'<svg class="plot" viewBox="0 0 {self.width:g} {self.height:g}" role="img" aria-label="{label}">'
            f'{"".join(self._marks)}</svg>'
        )  # fmt: skip


def fit_text(words: str, width_px: float) -> str:
    """Words cut to a width, with an ellipsis."""
    most = max(3, int(width_px / _CHARACTER))
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def draw_rows(
    label: str,
    rows: Sequence[tuple[str, float, float | None, float | None, str]],
    *,
    scale_values: Sequence[float] = (),
    limits: tuple[float, float] | None = None,
    reference: float | None = None,
    band: tuple[float, float] | None = None,
    title: str = "",
    left: float = 120,
) -> Markup:
    """A dot with a whisker per row.

    Args:
        label: for those who do not see it.
        rows: (name, value, low, high, style of the dot); no ends: no whisker.
        scale_values: further values that the axis must hold.
        limits: of the axis; None: from the values.
        reference: a dashed line.
        band: a shaded range.
        title: of the axis.
        left: room for names, px.
    """
    panel = Panel(label, height=52 + 22 * len(rows), left=left, bottom=42 if title else 28)
    values = [value for _, *some, _ in rows for value in some if value is not None]
    values += [*scale_values, *(band or ()), *([] if reference is None else [reference])]
    scale = Scale(*limits, *panel.x_range) if limits else fit_scale(values, *panel.x_range)
    base, top = panel.y_range
    if band is not None:
        panel.band(scale(band[0]), base, scale(band[1]), top, "floor")
    panel.draw_x(scale, title, count=4)
    if reference is not None:
        panel.line(scale(reference), base, scale(reference), top, "reference")
    for number, (name, value, low, high, style) in enumerate(rows):
        y = top + 14 + 22 * number
        panel.text(left - 8, y + 4, fit_text(name, left - 8), anchor="end", style="name")
        if low is not None and high is not None:
            panel.line(scale(low), y, scale(high), y, f"whisker {style}")
        panel.dot(scale(value), y, f"mark {style}")
    return panel.render()
