"""A baseline's arms as CSV, Markdown and LaTeX: a row for each arm and label fraction."""

import re
from collections.abc import Sequence
from typing import Final

from cspine_bench.baselines.arm_rows import DIFFERENCE, ArmRow, ArmTable, find_task, read_arms
from cspine_bench.measurement.csv_table import render_csv_table
from cspine_bench.page.wording import show_figure, title_of
from cspine_bench.results import Figure, Result

_LATEX: Final = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "\n": " ", "\N{MINUS SIGN}": "$-$", "\N{EN DASH}": "--", "\N{DEGREE SIGN}": r"$^\circ$",
    "\N{MULTIPLICATION SIGN}": r"$\times$", "\N{PLUS-MINUS SIGN}": r"$\pm$", "\N{LEFT SINGLE QUOTATION MARK}": "`",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'", "\N{LEFT DOUBLE QUOTATION MARK}": "``",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "''", "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
}  # fmt: skip
"""What LaTeX would take for a command, and what a plain compiler has no glyph for."""
_RAISED: Final = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_LAST_LATIN: Final = "\u017f"
_NUMBER: Final = re.compile("^[\N{MINUS SIGN}0-9.,]+( \N{MULTIPLICATION SIGN} 10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?")
_MOST_COLUMNS: Final = 4
"""Scores in Markdown and LaTeX, which people read on a page; CSV has all."""
_MAIN: Final = {
    "landmarking": ("success_detection_rate (radius: 2 mm)", "cobb_angle_absolute_error", "sva_absolute_error"),
}
"""Scores beside the primary one by task; of a task that is not here, the first ones."""


def render_csv(result: Result) -> bytes:
    """All columns, numbers with nine digits, nothing where there is none.

    Raises:
        ValueError: the result has no figure of an arm.
    """
    table = read_arms(result)
    names = [_name_column(column) for column in table.columns]
    ends = [f"{name}{end}" for name in (*names, f"{table.primary}{DIFFERENCE}") for end in ("", "_low", "_high")]
    header = ["arm", "fraction", "real_labels", "test_radiographs", "seeds", *ends, "adjusted_p_value", "verdict"]
    rows = []
    for row in table.rows:
        counts = [row.num_labels, row.num_test, row.num_seeds]
        numbers = [cell for figure in (*row.scores, row.difference) for cell in _spell_ends(figure)]
        p_value = "" if row.p_value is None else f"{row.p_value:.9g}"
        rows.append([row.arm, row.fraction, *counts, *numbers, p_value, row.verdict])
    return render_csv_table(header, rows).encode()


def render_markdown(result: Result) -> bytes:
    """The table for a README.

    Raises:
        ValueError: the result has no figure of an arm.
    """
    header, rows = build_cells(read_arms(result))
    lines = [header, ["---", "---:", *["---"] * (len(header) - 2)], *rows]
    escaped = [" | ".join(escape_markdown(cell) for cell in cells) for cells in lines]
    title = f"{find_task(result).capitalize()}: {_name_inputs(result)}. Not for diagnosis."
    return "\n".join([escape_markdown(title), "", *(f"| {line} |" for line in escaped), ""]).encode()


def render_latex(result: Result) -> bytes:
    """The table for a paper: needs the package booktabs alone.

    Raises:
        ValueError: the result has no figure of an arm.
    """
    table = read_arms(result)
    header, rows = build_cells(table)
    lines = [
        "% Needs \\usepackage{booktabs}. Made by cspine-bench from the result file.",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape_latex(f'{find_task(result).capitalize()}: {_name_inputs(result)}.')}}}",
        rf"\begin{{tabular}}{{lr{'l' * (len(header) - 2)}}}",
        r"\toprule",
        _join_latex(header),
        r"\midrule",
    ]
    for number, (row, cells) in enumerate(zip(table.rows, rows, strict=True)):
        if number and row.fraction != table.rows[number - 1].fraction:
            lines.append(r"\midrule")
        lines.append(_join_latex(cells))
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    return "\n".join(lines).encode()


def build_cells(table: ArmTable) -> tuple[list[str], list[list[str]]]:
    """Header and rows as people read them: scores with intervals, counts, difference, p value, verdict."""
    places = choose_columns(table)
    columns = [table.columns[place] for place in places]
    named = [title_of(name) + (f" ({of})" if of else "") for name, of in columns]
    header = ["arm", "real labels", *named, "test", "seeds", "less real alone", "p after Holm", "verdict"]
    return header, [_build_row(row, places) for row in table.rows]


def choose_columns(table: ArmTable) -> list[int]:
    """Places of the scores that people see: the primary one, and the main ones of the task."""
    names = [_name_column(column) for column in table.columns]
    main = [names.index(name) for name in _MAIN.get(table.task, ()) if name in names]
    return [0, *main] if main else list(range(min(_MOST_COLUMNS, len(names))))


def _build_row(row: ArmRow, places: Sequence[int]) -> list[str]:
    labels = "" if row.num_labels is None else f"{row.num_labels:,}"
    share = f" ({100 * float(row.fraction):.4g} %)" if row.fraction else ""
    return [
        row.arm,
        "floor" if row.is_floor else f"{labels}{share}".strip(),
        *(show_interval(row.scores[place]) for place in places),
        f"{row.num_test:,}",
        "" if row.num_seeds is None or row.is_floor else str(row.num_seeds),
        show_interval(row.difference),
        "" if row.p_value is None else show_p_value(row.p_value),
        row.verdict,
    ]


def show_interval(figure: Figure | None) -> str:
    """`2.31 mm [2.02, 2.60]`, the ends in the value's unit; "" for none."""
    if figure is None:
        return ""
    shown = show_figure(figure)
    if not shown.interval:
        return shown.value
    unit = _NUMBER.sub("", shown.value, count=1)
    low, _, high = shown.interval.partition(" to ")
    return f"{shown.value} [{low.removesuffix(unit)}, {high.removesuffix(unit)}]"


def show_p_value(p_value: float) -> str:
    """Two digits; never 0."""
    return "<0.001" if p_value < 0.001 else f"{p_value:.2g}"


def escape_markdown(text: str) -> str:
    """Text that stays text inside a cell of a table."""
    return re.sub(r"([\\|`<>])", r"\\\1", text).replace("](", "]\\(").replace("\n", " ")


def escape_latex(text: str) -> str:
    """Text that stays text in LaTeX; a character that a plain compiler does not have becomes `?`."""
    raised = re.sub("[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda found: f"\x02{found.group().translate(_RAISED)}\x03", text)
    pieces = [_LATEX.get(one, one) for one in raised]
    plain = "".join(one if one.isascii() or (one.isalpha() and one <= _LAST_LATIN) else "?" for one in pieces)
    return plain.replace("\x02", "$^{").replace("\x03", "}$")


def _join_latex(cells: Sequence[str]) -> str:
    line = " & ".join(escape_latex(cell) for cell in cells) + r" \\"
    # A bracket behind the line before would be that line's height.
    return "{}" + line if line.startswith(("[", "*")) else line


def _spell_ends(figure: Figure | None) -> list[str]:
    if figure is None:
        return ["", "", ""]
    ends = ["", ""]
    if figure.interval is not None:
        ends = [f"{figure.interval.low:.9g}", f"{figure.interval.high:.9g}"]
    return [f"{figure.value:.9g}", *ends]


def _name_column(column: tuple[str, str]) -> str:
    name, of = column
    return f"{name} ({of})" if of else name


def _name_inputs(result: Result) -> str:
    return ", ".join(f"{item.role} {item.name} ({item.digest[:12]})" for item in result.inputs) or "no inputs named"
