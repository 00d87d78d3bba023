"""Plots of the page of fidelity."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from cspine_bench.evaluate.page.records import ParameterValues, Spectra
from cspine_bench.page.images import Picture, Values
from cspine_bench.page.svg import Panel, Scale, fit_scale, fit_text
from cspine_bench.page.wording import title_of
from cspine_bench.results import Figure, Interval

_LOG_FROM = 30
"""Ratio of the greatest to the least value from which an axis is logarithmic."""


def _wants_log(values: Sequence[float]) -> bool:
    return min(values) > 0 and max(values) / min(values) > _LOG_FROM


def draw_strip(figure: Figure) -> Markup:
    """A figure with its interval, itself at the floor's n, and the floor as a band; on its own axis."""
    panel = Panel(
        f"{title_of(figure.name)}: value with interval beside its floor", height=74, left=10, right=14, bottom=24
    )
    values = [figure.value]
    if figure.interval is not None:
        values += [figure.interval.low, figure.interval.high]
    floor = figure.floor
    if floor is not None:
        values += [floor.low, floor.high, floor.value, *([] if floor.matched is None else [floor.matched])]
    log = _wants_log(values)
    share = figure.unit == "share" or figure.name in ("precision", "recall", "coverage")
    scale = (
        Scale(0, 1, *panel.x_range) if share else fit_scale(values, *panel.x_range, log=log, zero=not log, room=0.08)
    )
    base, top = panel.y_range
    if floor is not None:
        panel.band(scale(floor.low), base, scale(floor.high), top, "floor")
        panel.line(scale(floor.value), base, scale(floor.value), top, "floor-mean")
    panel.draw_x(scale, count=4)
    y = top + 14
    if figure.interval is not None:
        panel.line(scale(figure.interval.low), y, scale(figure.interval.high), y, "whisker synthetic")
    panel.dot(scale(figure.value), y, "mark synthetic")
    if floor is not None and floor.matched is not None:
        panel.dot(scale(floor.matched), y + 16, "hollow synthetic", shape="diamond", size=3.5)
    return panel.render()


def draw_ladder(
    degradation: str, steps: Sequence[tuple[str, Figure]], *, untouched: Figure | None, synthetic: Figure | None,
    values: Sequence[float],
) -> Markup:  # fmt: skip
    """One figure under one degradation of real images, from none to strong; the synthetic images' value as a band.

    Args:
        degradation: its name.
        steps: (strength, figure), from mild to strong.
        untouched: the figure without degradation; None: not measured.
        synthetic: the figure of all synthetic images.
        values: all that the vertical axis must hold, the same for all panels of a figure.
    """
    name = title_of(steps[0][1].name)
    panel = Panel(f"{name} against the strength of {degradation}", height=170, width=260, left=40, top=26, bottom=26)
    log = _wants_log(values)
    y = fit_scale(values, *panel.y_range, log=log, zero=not log)
    x = Scale(-0.35, len(steps) + 0.35, *panel.x_range)
    if synthetic is not None:
        ends = synthetic.interval or Interval(low=synthetic.value, high=synthetic.value, method="none")
        panel.band(panel.x_range[0], y(ends.low), panel.x_range[1], y(ends.high), "synthetic-band")
    panel.draw_y(y, count=4)
    panel.text(4, 16, degradation, style="name")
    panel.line(*(panel.x_range[0], panel.y_range[0], panel.x_range[1], panel.y_range[0]), "axis")
    if synthetic is not None:
        panel.line(panel.x_range[0], y(synthetic.value), panel.x_range[1], y(synthetic.value), "synthetic-line")
    shown = [*([(0, "none", untouched)] if untouched is not None else [])]
    shown += [(place, strength, figure) for place, (strength, figure) in enumerate(steps, start=1)]
    panel.path([(x(place), y(figure.value)) for place, _, figure in shown], "curve real")
    for place, strength, figure in shown:
        if figure.interval is not None:
            panel.line(x(place), y(figure.interval.low), x(place), y(figure.interval.high), "whisker real")
        panel.dot(x(place), y(figure.value), "mark real", size=3.5)
        panel.text(x(place), panel.y_range[0] + 16, _shorten_strength(strength), anchor="middle")
    return panel.render()


def draw_ladders(figures: Sequence[Figure], main: Sequence[Figure]) -> tuple[list[tuple[str, list[Markup]]], str]:
    """A panel for each degradation of each figure, those of a figure on one vertical axis.

    Args:
        figures: of degraded real images; the synthetic ones at the same number of images too, where they were measured.
        main: of the synthetic images as they are.

    Returns:
        (name, panels) of each figure that has a rung; and what a reader must know of their numbers of images, or "".
    """
    of_synthetic = {figure.name: figure for figure in main}
    panels = []
    caution = ""
    for name in dict.fromkeys(figure.name for figure in figures):
        named = [figure for figure in figures if figure.name == name]
        by_kind = {one.condition["degradation"]: one for one in named}
        # At the ladder's own number of images, where it is measured there.
        untouched, synthetic = by_kind.get("none"), by_kind.get("synthetic", of_synthetic.get(name))
        values = [end for one in [*named, *([synthetic] if synthetic else [])] for end in list_ends(one)]
        kinds = dict.fromkeys(one.condition["degradation"] for one in named if one not in (untouched, synthetic))
        if not kinds:
            continue
        plots = []
        for kind in kinds:
            steps = [(one.condition.get("strength", ""), one) for one in named if one.condition["degradation"] == kind]
            plots.append(draw_ladder(kind, steps, untouched=untouched, synthetic=synthetic, values=values))
        panels.append((name, plots))
        if synthetic is not None and "synthetic" not in by_kind and synthetic.n_used != named[0].n_used:
            caution = (
                "Its figures rest on other numbers of images than those of the synthetic ones, and most depend on n."
            )
    return panels, caution


def list_ends(figure: Figure) -> list[float]:
    """A figure's value and the ends of its interval."""
    ends = [] if figure.interval is None else [figure.interval.low, figure.interval.high]
    return [figure.value, *ends]


def _shorten_strength(strength: str) -> str:
    """The strength without the words that its place in the text says already."""
    for word in ("sigma ", "quality ", " of the side", " of full scale"):
        strength = strength.replace(word, "")
    return strength if len(strength) <= 12 else strength[:11] + "…"


def draw_histogram(values: ParameterValues, title: str) -> Markup:
    """Distributions of one property: real as an area, synthetic as a line."""
    real, synthetic = (side[np.isfinite(side)] for side in (values.real, values.synthetic))
    panel = Panel(f"Distribution of {title}, real and synthetic", height=172, left=38, top=22, bottom=24)
    pooled = np.concatenate([real, synthetic])
    # Few far values would press all others into one bin; those beyond the ends are counted in the end bins.
    low, high = (float(end) for end in np.quantile(pooled, (0.002, 0.998)))
    if high <= low:
        low, high = low - 0.5, high + 0.5
    smaller = max(1, min(len(real), len(synthetic)))
    edges = np.linspace(low, high, int(np.clip(2 * smaller ** (1 / 3), 8, 36)) + 1)
    shares = [np.histogram(side.clip(low, high), edges)[0] / max(1, len(side)) for side in (real, synthetic)]
    x = Scale(low, high, *panel.x_range)
    y = fit_scale([100 * float(share) for side in shares for share in side], *panel.y_range, zero=True)
    panel.draw_y(y, "% of radiographs", count=3)
    for side, style, closed in zip(shares, ("area real", "curve synthetic"), (True, False), strict=True):
        steps = [
            (x(float(edge)), y(100 * float(side[k]))) for k in range(len(side)) for edge in (edges[k], edges[k + 1])
        ]
        ends = [(x(low), y(0)), *steps, (x(high), y(0))]
        panel.path(ends, style, closed=closed)
    panel.draw_x(x, grid=False)
    return panel.render()


def draw_spectra(spectra: Spectra) -> Markup | None:
    """Noise power of both sides on logarithmic axes, with what most radiographs lie between; None: nothing to draw."""
    panel = Panel("Power at each spatial frequency, real and synthetic", height=240, left=52, top=24)
    keep = (spectra.frequency > 0) & (spectra.real > 0) & (spectra.synthetic > 0)
    if keep.sum() < 2:
        return None
    frequency = spectra.frequency[keep]
    ranges = [None if side is None else side[:, keep] for side in (spectra.real_range, spectra.synthetic_range)]
    lines = [spectra.real[keep], spectra.synthetic[keep]]
    values = np.concatenate([*lines, *(side.ravel() for side in ranges if side is not None)])
    x = Scale(float(frequency.min()), float(frequency.max()), *panel.x_range, log=True)
    y = fit_scale([float(value) for value in values if value > 0], *panel.y_range, log=True)
    panel.draw_y(y, "power")
    panel.draw_x(x, f"spatial frequency, {spectra.frequency_unit}")
    for side, style in zip(ranges, ("area real", "area synthetic"), strict=True):
        if side is not None:
            low, high = (_trace(frequency, end, x, y) for end in side)
            panel.path([*low, *reversed(high)], style, closed=True)
    for values_of_side, style in zip(lines, ("curve real", "curve synthetic"), strict=True):
        panel.path(_trace(frequency, values_of_side, x, y), style)
    return panel.render()


def _trace(places: Values, values: Values, x: Scale, y: Scale) -> list[tuple[float, float]]:
    return [(x(float(place)), y(float(value))) for place, value in zip(places, values, strict=True)]


def draw_bars(label: str, bars: Sequence[tuple[str, float]], *, title: str = "", left: float = 120) -> Markup:
    """A bar per name."""
    panel = Panel(label, height=52 + 22 * len(bars), left=left, bottom=42 if title else 28)
    scale = fit_scale([value for _, value in bars], *panel.x_range, zero=True)
    panel.draw_x(scale, title, count=4)
    for number, (name, value) in enumerate(bars):
        y = panel.y_range[1] + 14 + 22 * number
        panel.text(left - 8, y + 4, fit_text(name, left - 8), anchor="end", style="name")
        panel.band(scale(0), y - 7, scale(value), y + 7, "bar synthetic")
    return panel.render()


def draw_map(behind: Picture | None, change: Values, significant: NDArray[np.bool_] | None) -> Markup:
    """A map over a mean image: the stronger the colour of a cell, the more it matters; outlined beyond chance."""
    width, height = (256, 256) if behind is None else (behind.width, behind.height)
    rows, columns = change.shape
    change = np.nan_to_num(change)
    largest = max(float(change.max()), 1e-12)
    marks = [] if behind is None else [f'<image href="{behind.uri}" width="{width}" height="{height}"/>']
    for row, column in np.ndindex(rows, columns):
        x, y = column * width / columns, row * height / rows
        place = f'x="{x:.1f}" y="{y:.1f}" width="{width / columns:.1f}" height="{height / rows:.1f}"'
        strength = max(0.0, float(change[row, column])) / largest
        if strength > 0:
            marks.append(f'<rect class="heat" {place} fill-opacity="{0.75 * strength:.2f}"/>')
        if significant is not None and significant[row, column]:
            marks.append(f'<rect class="beyond-chance" {place}/>')
    label = "Map of what the classifier looks at"
    return Markup(
        f'<svg class="overlay" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{"".join(marks)}</svg>'
    )
