"""The page of `study power`: what a study of so many readers and cases can show.

It is drawn from the figures of a result of measure `study-power` alone:

power_detect        share of simulated studies that find readers above chance (primary test, one-sided)
power_equivalence   share that show equivalence within the margin
interval_width      mean width of the 95 % interval of the accuracy, unit "share"

each with an interval of the simulation's own error (Wilson for the two shares) and a condition whose values are text:
{"readers": "8", "cases": "50", "accuracy": "0.33", "reader_sd": "0.25", "case_sd": "0.45"}; `power_equivalence` has
"margin": "0.05" besides; sds are on the logit scale. Any further condition stands in the tables. `settings` of the
result tell `chance`, `alpha`, `design` and `num_studies` (simulated per cell) where they are there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cspine_bench.page.render import render_page
from cspine_bench.page.svg import Panel, Scale, fit_scale
from cspine_bench.page.tables import Untaken
from cspine_bench.page.wording import DASH, format_number, format_share
from cspine_bench.results import Figure, Result

DETECT: Final = "power_detect"
EQUIVALENCE: Final = "power_equivalence"
WIDTH: Final = "interval_width"
PAPER: Final = ("8", "50")
"""Readers and cases of the study in arXiv 2510.22166."""
ENOUGH: Final = 0.8
"""Power that studies are usually planned for."""

_STYLES: Final = ("synthetic", "holdout", "calm", "violet", "real", "alarm")
_SIZES: Final = ("readers", "cases")
_WORDS: Final = {
    "accuracy": "true accuracy", "reader_sd": "SD of readers", "case_sd": "SD of cases", "margin": "margin",
}  # fmt: skip


@dataclass(frozen=True)
class Series:
    """What one table or panel holds: figures that differ in readers and cases alone.

    Attributes:
        setting: what they have in common.
        figures: by (readers, cases), as text.
    """

    setting: Mapping[str, str]
    figures: Mapping[tuple[str, str], Figure]


def build_power_page(result: Result, *, command: str = "") -> bytes:
    """One self-contained HTML file: power to detect and to show equivalence, and interval width, by readers and cases.

    Args:
        result: of measure `study-power`; every figure of it is on the page.
        command: that gives the result again.

    Returns:
        UTF-8; the same result gives the same bytes.
    """
    untaken = Untaken(result.figures)
    parts = []
    for name, title, text in (
        (DETECT, "Power to find readers above chance", "Share of simulated studies whose primary test finds it."),
        (EQUIVALENCE, "Power to show equivalence", "Share of simulated studies that show it within the margin."),
        (WIDTH, "Width of the interval of the accuracy", "Mean over simulated studies, points of percent."),
    ):
        series = group_figures(untaken.take(lambda figure, name=name: _is_of(figure, name)))  # type: ignore[misc]
        parts.append((name, title, text, _draw(name, series), _tabulate(series)))
    values: dict[str, Any] = {
        "title": "What a reader study of so many readers and cases can show",
        "result": result,
        "parts_shown": parts,
        "paper": _describe_paper(result),
        "others": untaken.rest,
        "command": command,
        "enough": format_share(ENOUGH),
        "varying": _describe_spread(result.figures),
        "keys": [(style, f"{count} readers") for style, count in _key_readers(result.figures).items()],
    }
    return render_page("study-power.html.j2", values)


def _is_of(figure: Figure, name: str) -> bool:
    return figure.name == name and all(size in figure.condition for size in _SIZES)


def _sort_number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text


def group_figures(figures: Sequence[Figure]) -> list[Series]:
    """Figures of one name in series whose figures differ in readers and cases alone, in the order of their settings."""
    found: dict[tuple[tuple[str, str], ...], dict[tuple[str, str], Figure]] = {}
    for figure in figures:
        setting = tuple((key, value) for key, value in figure.condition.items() if key not in _SIZES)
        found.setdefault(tuple(sorted(setting)), {})[figure.condition["readers"], figure.condition["cases"]] = figure
    order = sorted(found, key=lambda setting: [(key, _sort_number(value)) for key, value in setting])
    return [Series(dict(setting), found[setting]) for setting in order]


def _describe(setting: Mapping[str, str]) -> str:
    shown = []
    for key, value in setting.items():
        words = _WORDS.get(key, key.replace("_", " "))
        number = _sort_number(value)[0]
        if key in ("accuracy", "margin") and number < 1:
            value = f"{'±' if key == 'margin' else ''}{100 * number:g} {'points' if key == 'margin' else '%'}"
        shown.append(f"{words} {value}")
    return ", ".join(shown) or "all"


def _tabulate(series: Sequence[Series]) -> list[tuple[str, list[str], list[tuple[str, list[tuple[str, str, bool]]]]]]:
    """For each series (setting, cases across, (readers, (value, interval, whether it is the paper's size)) down)."""
    tables = []
    for one in series:
        readers = sorted({size[0] for size in one.figures}, key=_sort_number)
        cases = sorted({size[1] for size in one.figures}, key=_sort_number)
        rows = []
        for count in readers:
            cells = []
            for number in cases:
                figure = one.figures.get((count, number))
                value, ends = ("", "") if figure is None else _show(figure)
                cells.append((value or DASH, ends, (count, number) == PAPER))
            rows.append((count, cells))
        tables.append((_describe(one.setting), cases, rows))
    return tables


def _show(figure: Figure) -> tuple[str, str]:
    """Shares to two decimals, widths in points, each with its interval."""
    if figure.name == WIDTH:
        ends = figure.interval
        span = "" if ends is None else f"{100 * ends.low:.2f} to {100 * ends.high:.2f}"
        return f"{100 * figure.value:.1f}", span
    ends = figure.interval
    return f"{figure.value:.2f}", "" if ends is None else f"{ends.low:.2f} to {ends.high:.2f}"


def _key_readers(figures: Sequence[Figure]) -> dict[str, str]:
    counts = sorted({one.condition["readers"] for one in figures if "readers" in one.condition}, key=_sort_number)
    return {style: count for count, style in zip(counts, _STYLES, strict=False)}


def _draw(name: str, series: Sequence[Series]) -> list[tuple[str, Any]]:
    """A panel for each series: cases across, a curve for each number of readers; a diamond marks the paper's size."""
    styles = {
        count: style for style, count in _key_readers([f for one in series for f in one.figures.values()]).items()
    }
    panels = []
    for one in series:
        places = {size: _sort_number(size[1])[0] for size in one.figures}
        if any(place in (0, float("inf")) for place in places.values()) or not places:
            continue
        panel = Panel(f"{name.replace('_', ' ')}, {_describe(one.setting)}", height=200, width=320, top=24)
        x = fit_scale(list(places.values()), *panel.x_range, room=0.1)
        factor = 100 if name == WIDTH else 1
        values = [factor * figure.value for figure in one.figures.values()]
        y = fit_scale(values, *panel.y_range, zero=True) if name == WIDTH else Scale(0, 1, *panel.y_range)
        panel.draw_y(y, "points" if name == WIDTH else "power", count=4)
        panel.draw_x(x, "cases", count=4, grid=False)
        if name != WIDTH:
            panel.line(panel.x_range[0], y(ENOUGH), panel.x_range[1], y(ENOUGH), "reference")
        for count, style in styles.items():
            own = sorted((places[size], size, figure) for size, figure in one.figures.items() if size[0] == count)
            panel.path([(x(place), y(factor * figure.value)) for place, _, figure in own], f"curve {style}")
            for place, size, figure in own:
                if size == PAPER:
                    panel.dot(x(place), y(factor * figure.value), f"hollow {style}", shape="diamond", size=5)
                else:
                    panel.dot(x(place), y(factor * figure.value), f"mark {style}", size=3)
        panels.append((_describe(one.setting), panel.render()))
    return panels


def _describe_spread(figures: Sequence[Figure]) -> str:
    found = [
        f"{_WORDS[key]} {' or '.join(sorted({one.condition[key] for one in figures if key in one.condition}))}"
        for key in ("reader_sd", "case_sd")
        if any(key in one.condition for one in figures)
    ]
    return f"Assumed on the logit scale: {', '.join(found)}." if found else ""


def _describe_paper(result: Result) -> list[str]:
    """What a study of the paper's size could show, in sentences from the figures; none where it was not simulated."""
    own = [one for one in result.figures if tuple(one.condition.get(size) for size in _SIZES) == PAPER]
    told = []
    for name, words in ((DETECT, "would find readers above chance"), (EQUIVALENCE, "would show equivalence")):
        for figure in (one for one in own if one.name == name):
            setting = _describe({key: value for key, value in figure.condition.items() if key not in _SIZES})
            enough = "" if figure.value >= ENOUGH else ": too small for it" if figure.value < 0.5 else ": a gamble"
            told.append(f"{_tell_share(figure.value)} such studies {words} at {setting}{enough}.")
    widths = [one.value for one in own if one.name == WIDTH]
    if widths:
        low, high = (f"{100 * end:.0f}" for end in (min(widths), max(widths)))
        ends = low if low == high else f"{low} to {high}"
        told.append(f"Its interval of the accuracy would be {ends} points wide on average.")
    return told


def _tell_share(share: float) -> str:
    return f"{format_number(100 * share, digits=2)} of 100" if share > 0 else "None"
