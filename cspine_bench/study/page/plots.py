"""Plots of the page of a reader study, each from figures of the result or from answers that were counted."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from markupsafe import Markup

from cspine_bench.page.svg import Panel, Scale, fit_scale
from cspine_bench.study.page.answers import ReaderRow, Share, Stretch
from cspine_bench.study.page.lookup import Lookup, Reading
from cspine_bench.study.page.rows import Line, draw_lines
from cspine_bench.study.recipe import AnalysisRecipe

PERCENT = 100.0


def line_of_share(name: str, share: Share, style: str, *, rule: bool = False) -> Line:
    """A row of a share in percent with Wilson's interval."""
    if share.share is None:
        return Line(name, None, style=style, rule=rule)
    found = share.share
    return Line(name, PERCENT * found.value, PERCENT * found.low, PERCENT * found.high, style, rule=rule)


def line_of_reading(name: str, found: Reading | None, style: str, *, factor: float = 1.0, hollow: bool = False) -> Line:
    """A row of a value of the result."""
    if found is None or found.value is None:
        return Line(name, None, style=style)
    low, high = (None if end is None else factor * end for end in (found.low, found.high))
    return Line(name, factor * found.value, low, high, style, hollow=hollow)


def list_overall(lookup: Lookup) -> list[Line]:
    """Accuracy of all readers by three intervals, the one to quote first."""
    naive = lookup.read("acc.binom")
    wilson = [lookup.value(f"acc.binom.wilson_{end}") for end in ("lo", "hi")]
    if naive is not None and naive.low is None:
        naive = Reading(naive.value, wilson[0], wilson[1], None, None)
    found = [
        ("two-way", lookup.read("acc.twoway"), "synthetic", False),
        ("non-negative", lookup.read("acc.twoway", rule="nn_"), "synthetic", True),
        ("naive", naive, "real", True),
    ]
    return [
        line_of_reading(name, one, style, factor=PERCENT, hollow=hollow)
        for name, one, style, hollow in found
        if one is not None and one.value is not None
    ]


def draw_overall(lookup: Lookup, analysis: AnalysisRecipe, chance: float) -> Markup | None:
    """The accuracy by three intervals beside chance and margin; None: the result has none."""
    lines = list_overall(lookup)
    if not lines:
        return None
    return draw_lines(
        "Accuracy of all readers with three intervals, beside chance and the margin",
        lines,
        title="right answers, %",
        references=[(PERCENT * chance, "reference")],
        band=_margin_band(analysis, chance),
    )


def _margin_band(analysis: AnalysisRecipe, chance: float) -> tuple[float, float]:
    margin = analysis.accuracy_margin
    return PERCENT * max(0.0, chance - margin), PERCENT * min(1.0, chance + margin)


def draw_readers(rows: Sequence[ReaderRow], analysis: AnalysisRecipe, chance: float) -> Markup:
    """Accuracy of each reader beside chance and margin."""
    return draw_lines(
        "Accuracy of each reader with its interval, beside chance and the margin",
        [line_of_share(row.reader, row.accuracy, "synthetic") for row in rows],
        title="right answers, %",
        references=[(PERCENT * chance, "reference")],
        band=_margin_band(analysis, chance),
    )


def draw_controls(rows: Sequence[ReaderRow], overall: Share, analysis: AnalysisRecipe, chance: float) -> Markup:
    """Right answers on positive controls: all readers, then each."""
    lines = [line_of_share("all readers", overall, "calm")]
    lines += [line_of_share(row.reader, row.control, "calm", rule=place == 0) for place, row in enumerate(rows)]
    return draw_lines(
        "Right answers on positive controls, of all readers and of each",
        lines,
        title="right answers on positive controls, %",
        references=[(PERCENT * chance, "reference"), (PERCENT * analysis.control_accuracy, "limit")],
        limits=(0, 100),
    )


def draw_picks(picks: Sequence[tuple[str, Share, float | None]], names: Mapping[str, str]) -> Markup:
    """Share of picks of each source; a tick where picking without looking would put it."""
    lines = []
    for source, share, expected in picks:
        style = "real" if source == "real" else "synthetic"
        tick = None if expected is None else PERCENT * expected
        lines.append(replace(line_of_share(names.get(source, source), share, style), expected=tick))
    return draw_lines("Share of picks of each source", lines, title="share of answers, %", left=150)


def draw_differences(lookup: Lookup, sources: Sequence[str], names: Mapping[str, str], margin: float) -> Markup | None:
    """Mean rating of real less synthetic images, with both intervals, beside the margin; None: the result has none."""
    lines: list[Line] = []
    for source in sources:
        key = lookup.key("source", source)
        for rule, label, hollow in (("", names.get(source, source), False), ("nn_", "non-negative", True)):
            found = lookup.read(f"diff.{key}.twoway", rule=rule)
            if found is None or found.value is None or (rule and found.low is None):
                continue
            tost = lookup.tost(f"diff.{key}.tost", margin=margin, rule=rule)
            inner = None if tost is None or tost.low is None or tost.high is None else (tost.low, tost.high)
            rule_above = bool(lines) and not rule
            lines.append(
                Line(label, found.value, found.low, found.high, "synthetic", inner, hollow=hollow, rule=rule_above)
            )
    if not lines:
        return None
    return draw_lines(
        "Difference of mean ratings, real less synthetic, beside the margin",
        lines,
        title="mean rating, real less synthetic, steps",
        references=[(0, "reference")],
        band=(-margin, margin),
        left=150,
    )


def draw_agreement(label: str, rows: Sequence[tuple[str, Reading | None]], title: str) -> Markup | None:
    """Coefficients of agreement with their intervals; dashed at none. None: none of them is defined."""
    lines = [line_of_reading(name, found, "violet") for name, found in rows if found is not None]
    if not lines:
        return None
    return draw_lines(label, lines, title=title, references=[(0, "reference")], left=150)


def draw_aucs(lookup: Lookup, readers: Sequence[str]) -> Markup | None:
    """Area of all readers with its interval, then of each; None: the result has none."""
    overall = lookup.read("auc")
    if overall is None or overall.value is None:
        return None
    own = [(name, lookup.figure(f"auc.per_reader[{place}]")) for place, name in enumerate(readers)]
    lines = [line_of_reading("all readers", overall, "synthetic")]
    lines += [
        Line(name, figure.value, style="real", rule=place == 0)
        for place, (name, figure) in enumerate((name, figure) for name, figure in own if figure is not None)
    ]
    return draw_lines(
        "Area under the ROC curve of all readers and of each", lines, title="area under the ROC curve",
        references=[(0.5, "reference")],
    )  # fmt: skip


def draw_reader_times(rows: Sequence[ReaderRow]) -> Markup | None:
    """Response times of each reader on a logarithmic axis; None: nobody's was measured."""
    timed = [(row.reader, row.times) for row in rows if row.times is not None]
    if not timed:
        return None
    lines = [
        Line(name, times.quantiles[2], times.quantiles[0], times.quantiles[4], "holdout", times.quantiles[1:4:2])
        for name, times in timed
    ]
    return draw_lines("Response times of each reader", lines, title="response time, s (logarithmic)", log=True)


def draw_order(stretches: Sequence[Stretch]) -> Markup | None:
    """Median response time over the readers' order, with the middle half as a band; None: not measured."""
    timed = [(one, one.times) for one in stretches if one.times is not None]
    if len(timed) < 2:
        return None
    panel = Panel("Response time over the order of reading", height=220, width=400, left=48, top=24)
    x = Scale(timed[0][0].first - 0.5, timed[-1][0].last + 0.5, *panel.x_range)
    y = fit_scale([times.quantiles[k] for _, times in timed for k in (1, 3)], *panel.y_range, log=True)
    panel.draw_y(y, "response time, s (logarithmic)", count=4)
    panel.draw_x(x, "place in the reader’s order", grid=False)
    middle = [(one.first + one.last) / 2 for one, _ in timed]
    low, mid, high = (
        [(x(place), y(times.quantiles[k])) for place, (_, times) in zip(middle, timed, strict=True)] for k in (1, 2, 3)
    )
    panel.path([*low, *reversed(high)], "area holdout", closed=True)
    panel.path(mid, "curve holdout")
    for place in mid:
        panel.dot(*place, "mark holdout", size=3)
    return panel.render()


def draw_learning(stretches: Sequence[Stretch], chance: float) -> Markup | None:
    """Accuracy over the readers' order with Wilson's intervals; None: fewer than two stretches."""
    if len(stretches) < 2:
        return None
    panel = Panel("Accuracy over the order of reading", height=220, width=400, left=48, top=24)
    x = Scale(stretches[0].first - 0.5, stretches[-1].last + 0.5, *panel.x_range)
    y = Scale(0, 100, *panel.y_range)
    panel.draw_y(y, "right answers, %", count=4)
    panel.draw_x(x, "place in the reader’s order", grid=False)
    panel.line(panel.x_range[0], y(PERCENT * chance), panel.x_range[1], y(PERCENT * chance), "reference")
    for one in stretches:
        if one.accuracy.share is not None:
            place, found = x((one.first + one.last) / 2), one.accuracy.share
            panel.line(place, y(PERCENT * found.low), place, y(PERCENT * found.high), "whisker synthetic")
            panel.dot(place, y(PERCENT * found.value), "mark synthetic", size=3.5)
    return panel.render()
