"""Values in rows with their intervals, beside chance and margin: the plot that most of the study's page is made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from cspine_bench.page.svg import Panel, Scale, fit_scale, fit_text

_TALLEST_PX: Final = 900
_STEP_PX: Final = 22


@dataclass(frozen=True)
class Line:
    """One row.

    Attributes:
        name: in front of it.
        value: None: not defined; the row says so.
        low: of the interval; None: there is none.
        high: likewise.
        style: a colour of the style sheet.
        inner: a narrower interval, drawn thick; None: there is none.
        hollow: drawn as a diamond with a paper filling: a second opinion.
        rule: a thin line above: another kind begins.
        expected: a dashed tick across the row; None: none.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    style: str = "synthetic"
    inner: tuple[float, float] | None = None
    hollow: bool = False
    rule: bool = False
    expected: float | None = None


def draw_lines(
    label: str,
    lines: Sequence[Line],
    *,
    title: str,
    references: Sequence[tuple[float, str]] = (),
    band: tuple[float, float] | None = None,
    limits: tuple[float, float] | None = None,
    log: bool = False,
    left: float = 96,
    width: float = 400,
) -> Markup:
    """A row for each line, from top to bottom.

    Args:
        label: for those who do not see it.
        lines: at least one.
        title: of the axis, with its unit.
        references: (value, class of the line): `reference` is dashed.
        band: shaded.
        limits: of the axis; None: from the values.
        log: logarithmic axis; all values above 0.
        left: room for names, px.
        width: px.
    """
    step = min(_STEP_PX, _TALLEST_PX / max(1, len(lines)))
    panel = Panel(label, height=54 + max(step * len(lines), 2 * _STEP_PX), width=width, left=left, bottom=42)
    scale = _fit(lines, panel, references, band, limits, log)
    base, top = panel.y_range
    if band is not None:
        panel.band(scale(band[0]), base, scale(band[1]), top, "floor")
    panel.draw_x(scale, title, count=5)
    for value, style in references:
        panel.line(scale(value), base, scale(value), top, style)
    # Names of more rows than fit would lie on each other: every second, or every fifth, is written.
    every = next(count for count in (1, 2, 5, 10, 20, 50) if count * step >= 11 or count == 50)
    for number, line in enumerate(lines):
        y = top + step * (number + 0.5)
        if line.rule:
            panel.line(4, y - step / 2, panel.x_range[1], y - step / 2, "grid")
        if number % every == 0:
            panel.text(left - 8, y + 4, fit_text(line.name, left - 8), anchor="end", style="name")
        _draw_line(panel, scale, y, line)
    return panel.render()


def _draw_line(panel: Panel, scale: Scale, y: float, line: Line) -> None:
    if line.expected is not None:
        panel.line(scale(line.expected), y - 9, scale(line.expected), y + 9, "reference")
    if line.value is None:
        panel.text(scale.start + 6, y + 4, "not defined")
        return
    if line.low is not None and line.high is not None:
        panel.line(scale(line.low), y, scale(line.high), y, f"whisker {line.style}")
    if line.inner is not None:
        panel.line(scale(line.inner[0]), y, scale(line.inner[1]), y, f"whisker thick {line.style}")
    if line.hollow:
        panel.dot(scale(line.value), y, f"hollow {line.style}", shape="diamond", size=3.5)
    else:
        panel.dot(scale(line.value), y, f"mark {line.style}")


def _fit(
    lines: Sequence[Line],
    panel: Panel,
    references: Sequence[tuple[float, str]],
    band: tuple[float, float] | None,
    limits: tuple[float, float] | None,
    log: bool,
) -> Scale:
    if limits is not None:
        return Scale(*limits, *panel.x_range, log=log)
    ends = [
        end
        for line in lines
        for end in (line.value, line.low, line.high, line.expected, *(line.inner or ()))
        if end is not None
    ]
    ends += [value for value, _ in references] + list(band or ())
    return fit_scale([end for end in ends if not log or end > 0], *panel.x_range, log=log)


def draw_steps(
    label: str, rows: Sequence[tuple[str, Sequence[int]]], *, left: float = 96, width: float = 400
) -> Markup:
    """Shares of each step of a rating scale, one bar for each row; low steps one colour, high steps another.

    Args:
        label: for those who do not see it.
        rows: (name, how often each step was given, from the lowest).
        left: room for names, px.
        width: px.
    """
    panel = Panel(label, height=54 + 30 * len(rows), width=width, left=left, bottom=42)
    x = Scale(0, 100, *panel.x_range)
    panel.draw_x(x, "share of ratings, %", grid=False)
    for number, (name, counts) in enumerate(rows):
        y, total, before = panel.top + 30 * number + 15, sum(counts), 0
        panel.text(left - 8, y + 4, fit_text(name, left - 8), anchor="end", style="name")
        if not total:
            panel.text(panel.left + 6, y + 4, "no rating")
        for step, count in enumerate(counts):
            if not count:
                continue
            start, end = (x(100 * part / total) for part in (before, before + count))
            panel.band(start, y - 11, end, y + 11, f"step {shade_step(step, len(counts))}")
            if end - start > 34:
                share = f"{100 * count / total:.0f} %"
                panel.text((start + end) / 2, y + 4, share, anchor="middle", style="name")
            before += count
    return panel.render()


def shade_step(step: int, count: int) -> str:
    """Classes of a step of a scale, from 0: a side, and how far out it lies (1 to 4)."""
    middle = (count - 1) / 2
    if step == middle:
        return "middle"
    return f"{'low' if step < middle else 'high'} far{min(4, int(abs(step - middle) + 0.5))}"


def draw_grid(
    label: str, rows: Sequence[tuple[str, Sequence[int]]], *, expected: float, left: float = 96, width: float = 400
) -> Markup:
    """Shares of each row's counts as a grid of cells, the stronger the colour the further from what is expected.

    Args:
        label: for those who do not see it.
        rows: (name, counts), all of one length.
        expected: share of each cell without a habit.
        left: room for names, px.
        width: px.
    """
    step = min(_STEP_PX, _TALLEST_PX / max(1, len(rows)))
    panel = Panel(label, height=30 + step * len(rows), width=width, left=left, top=24, bottom=6)
    columns = len(rows[0][1])
    x = Scale(0, columns, *panel.x_range)
    for column in range(columns):
        panel.text((x(column) + x(column + 1)) / 2, 16, f"pane {column + 1}", anchor="middle")
    for number, (name, counts) in enumerate(rows):
        y, total = panel.top + step * number, sum(counts)
        if step >= 11:
            panel.text(left - 8, y + step / 2 + 4, fit_text(name, left - 8), anchor="end", style="name")
        for column, count in enumerate(counts):
            share = count / total if total else expected
            far = min(4, int(abs(share - expected) / 0.08))
            side = "high" if share > expected else "low"
            style = f"step {side} far{far}" if far else "step none"
            panel.band(x(column) + 1, y + 1, x(column + 1) - 1, y + step - 1, style)
            if total and step >= 11:
                words = f"{100 * share:.0f} %"
                panel.text((x(column) + x(column + 1)) / 2, y + step / 2 + 4, words, anchor="middle", style="name")
    return panel.render()
