"""Plots of arms: learning curves, differences from real radiographs alone, and scores level by level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from cspine_bench.baselines.page.markers import Marker, draw_marker
from cspine_bench.page.svg import Panel, Scale, fit_scale, fit_text, label_number
from cspine_bench.page.wording import title_of
from cspine_bench.results import Figure

_DODGE_PX: Final = 5.0
"""Between the points of two arms with as many labels."""
ROOM: Final = 1.6
"""Largest value on an axis, times the largest score on it."""
_ROW_PX: Final = 22


@dataclass(frozen=True)
class Curve:
    """One arm's primary score.

    Attributes:
        arm: its label.
        points: (real labelled radiographs, the figure), rising; 0 of them: it needs none.
    """

    arm: str
    points: tuple[tuple[int, Figure], ...]

    @property
    def flat(self) -> Figure | None:
        """Of an arm that learns from no real label: one figure, at whatever number of them."""
        return self.points[0][1] if self.points and self.points[0][0] == 0 else None


def draw_curves(
    curves: Sequence[Curve], markers: Mapping[str, Marker], *, floor: Figure | None, values: Sequence[float] = (),
    title: str = "",
) -> Markup:  # fmt: skip
    """Primary score against the number of real labelled radiographs, one line for each arm.

    Args:
        curves: at least one, with at least one point.
        markers: of the arms.
        floor: the score without learning from the radiographs; None: not measured.
        values: that the vertical axis must hold too, so that panels beside each other share it.
        title: of the panel.
    """
    name = title_of(curves[0].points[0][1].name)
    panel = Panel(f"{name} of {', '.join(one.arm for one in curves)} by number of real labels", height=250, top=30)
    base = panel.y_range[0]
    shown = [figure for one in curves for _, figure in one.points]
    ends = [end for figure in shown for end in list_ends(figure)]
    lower = shown[0].direction == "lower"
    # Two seeds give intervals that would press all points into one line; what goes beyond is cut at the edge.
    highest = max(one.value for one in [*shown, *([] if floor is None else [floor])])
    most = max(highest, *values) if values else ROOM * highest if highest > 0 else max(ends)
    ends = [min(end, most) for end in ends]
    y = fit_scale([*ends, *values, *([] if floor is None else [floor.value])], *panel.y_range, zero=lower)
    counts = sorted({count for one in curves for count, _ in one.points if count > 0}) or [1]
    inset = _DODGE_PX * (len(curves) + 1) / 2
    x = Scale(counts[0] / 1.02, counts[-1] * 1.02, panel.x_range[0] + inset + 4, panel.x_range[1] - inset, log=True)
    panel.draw_y(y, _name_axis(shown[0]), count=5)
    if title:
        panel.text(panel.width - panel.right, panel.top - 8, title, anchor="end", style="name")
    panel.line(panel.x_range[0], base, panel.x_range[1], base, "axis")
    last = -100.0
    for count in counts:
        if x(count) - last >= 34:
            last = x(count)
            panel.text(last, base + 15, label_number(count), anchor="middle")
        panel.line(x(count), base, x(count), base + 4, "axis")
    panel.text(sum(panel.x_range) / 2, base + 32, "real labelled radiographs", anchor="middle", style="label")
    if floor is not None:
        panel.line(panel.x_range[0], y(floor.value), panel.x_range[1], y(floor.value), "reference")
        panel.text(panel.x_range[1], y(floor.value) - 4, "floor", anchor="end")
    for number, curve in enumerate(curves):
        shift = _DODGE_PX * (number - (len(curves) - 1) / 2)
        _draw_curve(panel, curve, markers[curve.arm], x, y, shift)
    return panel.render()


def _draw_curve(panel: Panel, curve: Curve, marker: Marker, x: Scale, y: Scale, shift: float) -> None:
    flat = curve.flat
    if flat is not None:
        left, right = panel.x_range
        if flat.interval is not None:
            panel.band(left, y(flat.interval.low), right, y(flat.interval.high), f"area faint {marker.colour}")
        panel.line(left, y(flat.value), right, y(flat.value), f"curve dashed {marker.colour}")
        draw_marker(panel, left + 7, y(flat.value), marker, size=3.5)
    places = [(x(count) + shift, figure) for count, figure in curve.points if count > 0]
    panel.path([(place, y(figure.value)) for place, figure in places], f"curve {marker.colour}")
    for place, figure in places:
        if figure.interval is not None:
            panel.line(place, y(figure.interval.low), place, y(figure.interval.high), f"whisker {marker.colour}")
        draw_marker(panel, place, y(figure.value), marker, size=3.5)


def draw_differences(
    label: str, rows: Sequence[tuple[str, Figure]], markers: Mapping[str, Marker], *, margin: float | None,
    values: Sequence[float] = (),
) -> Markup:  # fmt: skip
    """How far each arm is from real radiographs alone, with the range that does not matter shaded.

    Args:
        label: for those who do not see it.
        rows: (arm, its difference).
        markers: of the arms.
        margin: of the primary score; None: not stated.
        values: that the axis must hold too.
    """
    left = 112
    panel = Panel(label, height=74 + _ROW_PX * len(rows), left=left, bottom=58)
    ends = [end for _, figure in rows for end in list_ends(figure)]
    x = fit_scale([*ends, *values, 0.0, *([] if margin is None else [-margin, margin])], *panel.x_range)
    base, top = panel.y_range
    if margin is not None:
        panel.band(x(-margin), base, x(margin), top, "floor")
    unit = rows[0][1].unit if rows else ""
    panel.draw_x(x, f"arm less real{f', {unit}' if unit else ''}", count=4)
    panel.line(x(0), base, x(0), top, "reference")
    lower = bool(rows) and rows[0][1].direction == "lower"
    panel.text(panel.x_range[0], base + 48, "← better" if lower else "← worse", style="tick")
    panel.text(panel.x_range[1], base + 48, "worse →" if lower else "better →", anchor="end", style="tick")
    for number, (arm, figure) in enumerate(rows):
        y = top + 14 + _ROW_PX * number
        marker = markers[arm]
        panel.text(left - 8, y + 4, fit_text(arm, left - 8), anchor="end", style="name")
        if figure.interval is not None:
            panel.line(x(figure.interval.low), y, x(figure.interval.high), y, f"whisker {marker.colour}")
        draw_marker(panel, x(figure.value), y, marker)
    return panel.render()


def draw_parts(
    label: str, parts: Sequence[str], series: Sequence[tuple[str, Mapping[str, Figure]]], markers: Mapping[str, Marker],
    *, title: str,
) -> Markup:  # fmt: skip
    """One score part by part, such as level by level, of a few arms on one axis.

    Args:
        label: for those who do not see it.
        parts: names of the rows.
        series: (arm, figure by part).
        markers: of the arms.
        title: of the axis.
    """
    step = 8 + 9 * len(series)
    panel = Panel(label, height=56 + step * len(parts), left=100, bottom=42)
    ends = [end for _, figures in series for figure in figures.values() for end in list_ends(figure)]
    x = fit_scale(ends if any(ends) else [0.0, 1.0], *panel.x_range, zero=True)
    top = panel.y_range[1]
    panel.draw_x(x, title, count=4)
    for row, part in enumerate(parts):
        middle = top + 6 + step * (row + 0.5)
        panel.text(92, middle + 4, fit_text(part, 90), anchor="end", style="name")
        for number, (arm, figures) in enumerate(series):
            if (figure := figures.get(part)) is None:
                continue
            y = middle + 9 * (number - (len(series) - 1) / 2)
            if figure.interval is not None:
                low, high = x(figure.interval.low), x(figure.interval.high)
                panel.line(low, y, high, y, f"whisker {markers[arm].colour}")
            draw_marker(panel, x(figure.value), y, markers[arm], size=3.5)
    return panel.render()


def list_ends(figure: Figure) -> list[float]:
    """A figure's value and the ends of its interval."""
    ends = [] if figure.interval is None else [figure.interval.low, figure.interval.high]
    return [figure.value, *ends]


def _name_axis(figure: Figure) -> str:
    better = {"lower": "lower is better", "higher": "higher is better", "none": ""}[figure.direction]
    unit = f", {figure.unit}" if figure.unit else ""
    words = title_of(figure.name)
    return f"{words[:1].upper()}{words[1:]}{unit}" + (f"; {better}" if better else "")
