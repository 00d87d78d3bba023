"""The page of `study power`: what a study of so many readers and cases can show.

It is drawn from the figures of a result of measure `study-power` alone:

power_detect              share of simulated studies that find readers above chance; at chance itself: false alarms
power_equivalence         share that show equivalence within the margin
power_rating_equivalence  the same of mean ratings
interval_width            mean width of the 95 % interval of the accuracy, unit "share"
detectable_accuracy       smallest true accuracy that is found with the power asked for

each with an interval of the simulation's own error and a condition whose values are text: {"readers": "8", "cases":
"50", "accuracy": "0.33", "method": "label test", "reader_sd": "0.25", "case_sd": "0.45"}; those of equivalence have
"margin": "0.05" besides; sds are on the logit scale. `settings` of the result tell `chance`, and `primary_method` of
`power_detect`. Figures of other names, or of another condition, stand in a table of their own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from cspine_bench.page.render import render_page
from cspine_bench.page.svg import Panel, Scale, fit_scale
from cspine_bench.page.tables import Untaken
from cspine_bench.page.wording import DASH
from cspine_bench.results import Figure, Result

DETECT: Final = "power_detect"
WIDTH: Final = "interval_width"
PAPER: Final = ("8", "50")
"""Readers and cases of the study in arXiv 2510.22166."""
ENOUGH: Final = 0.8
"""Power that studies are usually planned for."""

_METHODS: Final = {
    "label-test": "label test, which asks about the readers who read",
    "two-way": "two-way analysis, which asks about all readers that there might be",
    "two-way-nonnegative": "two-way analysis, non-negative rule, which asks about all readers that there might be",
}  # fmt: skip
_PARTS: Final = (
    (DETECT, "Power to find readers above chance", "Share of simulated studies that find it, one-sided."),
    ("power_equivalence", "Power to show equivalence",
     "Share of simulated studies that show the accuracy to be within the margin of chance; readers are at chance."),
    (WIDTH, "Width of the interval of the accuracy", "Mean over simulated studies, in points of percent."),
    ("power_rating_equivalence", "Power to show equivalence of ratings",
     "Share of simulated studies that show the mean ratings of real and synthetic images to be within the margin."),
    ("detectable_accuracy", "Smallest accuracy that is found", "True accuracy, in percent, that is found with the "
     "power that was asked for."),
)  # fmt: skip
_STYLES: Final = ("synthetic", "holdout", "calm", "violet", "real", "alarm")
_SIZES: Final = ("readers", "cases")
_WORDS: Final = {
    "accuracy": "true accuracy", "margin": "margin", "difference": "true difference", "power": "power",
    "reader_sd": "SD of readers", "case_sd": "SD of cases",
}  # fmt: skip
"""Conditions in words, in the order in which they are said; others follow."""


@dataclass(frozen=True)
class Series:
    """What one table or panel holds: figures that differ in readers and cases alone.

    Attributes:
        method: how they were found; "" where that is not said.
        setting: what they have in common besides, without what the whole section has in common.
        figures: by (readers, cases), as text.
    """

    method: str
    setting: Mapping[str, str]
    figures: Mapping[tuple[str, str], Figure]


@dataclass(frozen=True)
class Cell:
    """A figure in a table: its value, its interval, and whether it is of the paper's size."""

    value: str
    ends: str
    is_paper: bool


@dataclass(frozen=True)
class SizeTable:
    """Readers down, cases across."""

    title: str
    cases: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class Part:
    """A section of the page.

    Attributes:
        name: of its figures.
        title: in words.
        text: what they are.
        held: what all of them have in common, in words; "": nothing.
        method: how the figures of plots and first tables were found.
        plots: (title, panel).
        tables: of that method.
        others: (method, tables) of other methods.
    """

    name: str
    title: str
    text: str
    held: str
    method: str
    plots: tuple[tuple[str, Markup], ...]
    tables: tuple[SizeTable, ...]
    others: tuple[tuple[str, tuple[SizeTable, ...]], ...]


def build_power_page(result: Result, *, command: str = "") -> bytes:
    """One self-contained HTML file: power to detect and to show equivalence, and interval width, by readers and cases.

    Args:
        result: of measure `study-power`; every figure of it is on the page.
        command: that gives the result again.

    Returns:
        UTF-8; the same result gives the same bytes.
    """
    untaken = Untaken(result.figures)
    shown = []
    for name, title, text in _PARTS:
        figures = untaken.take(lambda figure, name=name: _is_of(figure, name))  # type: ignore[misc]
        if figures or name in (DETECT, "power_equivalence", WIDTH):
            shown.append(_build_part(name, title, text, figures, result))
    styles = style_readers(result.figures)
    values: dict[str, Any] = {
        "title": "What a reader study of so many readers and cases can show",
        "result": result,
        "shown_parts": shown,
        "sentences": [text if text.endswith(".") else f"{text}." for text in result.verdict.split(". ") if text],
        "paper": _describe_paper(result),
        "others": untaken.rest,
        "command": command,
        "enough": f"{100 * ENOUGH:.0f} %",
        "keys": [(style, f"{count} readers") for count, style in styles.items()],
    }
    return render_page("study-power.html.j2", values)


def _is_of(figure: Figure, name: str) -> bool:
    return figure.name == name and all(size in figure.condition for size in _SIZES)


def _sort_number(text: str) -> tuple[float, str]:
    try:
        number = float(text)
    except ValueError:
        number = float("inf")
    return (number if number == number else float("inf")), text


def group_figures(figures: Sequence[Figure]) -> tuple[dict[str, str], list[Series]]:
    """Figures of one name as series: (what all have in common, series in the order of their settings)."""
    values = {key: {one.condition.get(key) for one in figures} for one in figures for key in one.condition}
    held = {key: str(min(found, key=str)) for key, found in values.items()
            if len(found) == 1 and key not in (*_SIZES, "method")}  # fmt: skip
    found: dict[tuple[str, tuple[tuple[str, str], ...]], dict[tuple[str, str], Figure]] = {}
    for figure in figures:
        own = {key: value for key, value in figure.condition.items() if key not in (*_SIZES, "method", *held)}
        key = (figure.condition.get("method", ""), tuple(sorted(own.items(), key=lambda item: _place(item[0]))))
        size = (figure.condition["readers"], figure.condition["cases"])
        found.setdefault(key, {})[size] = figure
    methods = list(dict.fromkeys(method for method, _ in found))
    order = sorted(found, key=lambda key: (methods.index(key[0]), [(n, _sort_number(v)) for n, v in key[1]]))
    return held, [Series(method, dict(setting), found[method, setting]) for method, setting in order]


def _place(key: str) -> tuple[int, str]:
    return (list(_WORDS).index(key) if key in _WORDS else len(_WORDS)), key


def _describe(name: str, setting: Mapping[str, str]) -> str:
    shown = []
    for key, value in sorted(setting.items(), key=lambda item: _place(item[0])):
        number = _sort_number(value)[0]
        if key in ("accuracy", "power") and number <= 1:
            value = f"{100 * number:g} %"
        elif key == "margin" and name == "power_equivalence" and number <= 1:
            value = f"±{100 * number:g} points"
        elif key == "margin":
            value = f"±{value} steps"
        shown.append(f"{_WORDS.get(key, key.replace('_', ' '))} {value}")
    return ", ".join(shown)


def _build_part(name: str, title: str, text: str, figures: Sequence[Figure], result: Result) -> Part:
    held, series = group_figures(figures)
    methods = list(dict.fromkeys(one.method for one in series))
    primary = result.settings.get("primary_method") if name == DETECT else None
    first = str(primary) if primary in methods else next(iter(methods), "")
    chance = str(result.settings.get("chance", ""))
    tables = {
        method: tuple(_tabulate(name, one, chance) for one in series if one.method == method)
        for method in methods
    }  # fmt: skip
    styles = style_readers(result.figures)
    panels = tuple(
        (_title(name, one, chance), panel)
        for one in series
        if one.method == first and (panel := _draw(name, one, styles)) is not None
    )
    others = tuple((_METHODS.get(method, method), found) for method, found in tables.items() if method != first)
    return Part(
        name, title, text, _describe(name, held), _METHODS.get(first, first), panels, tables.get(first, ()), others
    )


def _title(name: str, series: Series, chance: str) -> str:
    accuracy = series.setting.get("accuracy", "")
    if chance and accuracy and _sort_number(accuracy)[0] == _sort_number(chance)[0]:
        rest = _describe(name, {key: value for key, value in series.setting.items() if key != "accuracy"})
        return ", ".join(filter(None, ["readers at chance" + ": false alarms" * (name == DETECT), rest]))
    return _describe(name, series.setting) or "all"


def _tabulate(name: str, series: Series, chance: str) -> SizeTable:
    readers = sorted({size[0] for size in series.figures}, key=_sort_number)
    cases = sorted({size[1] for size in series.figures}, key=_sort_number)
    rows = []
    for count in readers:
        cells = []
        for number in cases:
            figure = series.figures.get((count, number))
            value, ends = (DASH, "") if figure is None else _show(figure)
            cells.append(Cell(value, ends, (count, number) == PAPER))
        rows.append((count, tuple(cells)))
    return SizeTable(_title(name, series, chance), tuple(cases), tuple(rows))


def _show(figure: Figure) -> tuple[str, str]:
    """Power as a share to two decimals, widths and accuracies in percent; each with its interval."""
    ends = figure.interval
    factor, digits = (1, 2) if figure.name.startswith("power") else (100, 1)
    span = "" if ends is None else " to ".join(f"{factor * end:.2f}" for end in (ends.low, ends.high))
    return f"{factor * figure.value:.{digits}f}", span


def style_readers(figures: Sequence[Figure]) -> dict[str, str]:
    """A colour for each number of readers; of more than there are colours the last have none, and no curve."""
    counts = sorted({one.condition["readers"] for one in figures if "readers" in one.condition}, key=_sort_number)
    return dict(zip(counts, _STYLES, strict=False))


def _draw(name: str, series: Series, styles: Mapping[str, str]) -> Markup | None:
    """Cases across, a curve for each number of readers; a diamond marks the paper's size. None: nothing to lay out."""
    places = {size: _sort_number(size[1])[0] for size in series.figures}
    if any(place in (0, float("inf")) for place in places.values()):
        return None
    label = f"{name.replace('_', ' ')}, {_describe(name, series.setting)}"
    panel = Panel(label, height=200, width=320, top=24, right=30)
    x = fit_scale(list(places.values()), *panel.x_range, room=0.12)
    is_power = name.startswith("power")
    factor = 1 if is_power else 100
    values = [factor * figure.value for figure in series.figures.values()]
    y = Scale(0, 1, *panel.y_range) if is_power else fit_scale(values, *panel.y_range, zero=name == WIDTH)
    panel.draw_y(y, "power" if is_power else "points" if name == WIDTH else "true accuracy, %", count=4)
    panel.line(*(panel.x_range[0], panel.y_range[0], panel.x_range[1], panel.y_range[0]), "axis")
    last = -math.inf
    for place in sorted(set(places.values())):
        if x(place) - last > 26:
            panel.text(x(place), panel.y_range[0] + 15, f"{place:g}", anchor="middle")
            last = x(place)
    panel.text(sum(panel.x_range) / 2, panel.y_range[0] + 32, "cases", anchor="middle", style="label")
    if is_power:
        panel.line(panel.x_range[0], y(ENOUGH), panel.x_range[1], y(ENOUGH), "reference")
    labels: list[float] = []
    for count, style in styles.items():
        own = sorted((places[size], size, figure) for size, figure in series.figures.items() if size[0] == count)
        points = [(x(place), y(factor * figure.value)) for place, _, figure in own]
        panel.path(points, f"curve {style}")
        for point, (_, size, _) in zip(points, own, strict=True):
            if size == PAPER:
                panel.dot(*point, f"hollow {style}", shape="diamond", size=5)
            else:
                panel.dot(*point, f"mark {style}", size=3)
        # So that no curve is told by its colour alone; where curves meet, the first has its number.
        if points and all(abs(points[-1][1] - other) > 9 for other in labels):
            labels.append(points[-1][1])
            panel.text(points[-1][0] + 8, points[-1][1] + 4, count, style="name")
    return panel.render()


def _describe_paper(result: Result) -> list[str]:
    """What a study of the paper's size could show, in sentences from the figures; none where it was not simulated."""
    told = []
    for name, words in ((DETECT, "would find readers above chance"), ("power_equivalence", "would show equivalence")):
        figures = [one for one in result.figures if _is_of(one, name)]
        held, series = group_figures(figures)
        methods = list(dict.fromkeys(one.method for one in series))
        primary = result.settings.get("primary_method") if name == DETECT else None
        first = primary if primary in methods else next(iter(methods), "")
        for one in series:
            figure = one.figures.get(PAPER)
            if figure is None or one.method != first:
                continue
            beside = [(other.method, other.figures[PAPER]) for other in series
                      if other.setting == one.setting and other.method != first and PAPER in other.figures]  # fmt: skip
            where = {**held, **one.setting}
            if name == DETECT and where.get("accuracy") == str(result.settings.get("chance", "")):
                continue
            aim = {key: value for key, value in where.items() if key in ("accuracy", "margin")}
            others = ", ".join(f"{_tell_share(found)} by {method}" for method, found in beside)
            told.append(f"{_tell_share(figure)} {words}{f' ({_describe(name, aim)})' if aim else ''}"
                        f"{f'; {others}' if others else ''}.")  # fmt: skip
    widths = [one.value for one in result.figures if _is_of(one, WIDTH)
              and tuple(one.condition[size] for size in _SIZES) == PAPER]  # fmt: skip
    if widths:
        ends = list(dict.fromkeys(f"{100 * end:.0f}" for end in (min(widths), max(widths))))
        told.append(f"The interval of the accuracy would be {' to '.join(ends)} points wide on average.")
    return [text[0].upper() + text[1:] for text in told]


def _tell_share(figure: Figure) -> str:
    share = figure.value
    if 0.005 <= share <= 0.995:
        return f"{100 * share:.0f} of 100"
    return "fewer than 1 of 100" if share < 0.5 else "more than 99 of 100"
