"""A baseline's arms as CSV, Markdown and LaTeX: the same rows and numbers in all three."""

import csv
import io
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from baseline_example import FLOOR, example

from cspine_bench.baselines.arm_rows import read_arms
from cspine_bench.baselines.tables import (
    escape_latex,
    escape_markdown,
    render_csv,
    render_latex,
    render_markdown,
    show_interval,
    show_p_value,
)
from cspine_bench.measurement.figures import build_figure
from cspine_bench.metrics.intervals import Estimate

SPECIAL = set("&%$#_{}~^\\")


def read_latex(text: str) -> tuple[int, list[list[str]]]:
    """Columns and rows of a table; stops at anything that plain LaTeX with booktabs would not compile."""
    [columns] = re.findall(r"\\begin\{tabular\}\{([lr]+)\}", text)
    assert re.findall(r"\\(begin|end)\{(\w+)\}", text) == [
        ("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table"),
    ]  # fmt: skip
    known = {"begin", "end", "centering", "caption", "toprule", "midrule", "bottomrule", "circ", "times", "textless"}
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert set(re.findall(r"\\([a-zA-Z]+)", body)) <= known
    bare = re.sub(r"\\[&%$#_{}]|\\[a-zA-Z]+(\{\w+\})?|\$-\$|\$\^\\circ\$|\\\\", "", body)
    assert bare.count("$") % 2 == 0 and bare.count("{") == bare.count("}")
    rows = [line.removesuffix(r" \\") for line in body.splitlines() if line.endswith(r"\\")]
    return len(columns), [re.split(r"(?<!\\) ?& ?", row) for row in rows]


def test_csv_holds_every_score_of_every_row() -> None:
    result = example()[1]
    table = read_arms(result)
    rows = list(csv.DictReader(io.StringIO(render_csv(result).decode())))
    assert [(row["arm"], row["fraction"]) for row in rows] == [(row.arm, row.fraction) for row in table.rows]
    # A floor; and at each of two fractions real, its control and three arms.
    assert len(rows) == 11 and rows[0]["arm"] == FLOOR
    for shown, row in zip(rows, table.rows, strict=True):
        assert float(shown["mean_radial_error"]) == pytest.approx(row.primary.value, rel=1e-8)
        assert float(shown["mean_radial_error_low"]) < float(shown["mean_radial_error_high"])
        assert "success_detection_rate (radius: 2 mm)_low" in shown
    by_cell = {(row["arm"], row["fraction"]): row for row in rows}
    mixed = by_cell["mixed-1", "0.1"]
    assert (mixed["real_labels"], mixed["test_radiographs"], mixed["seeds"]) == ("12", "24", "3")
    assert mixed["verdict"] == "helps" and float(mixed["adjusted_p_value"]) < 0.05
    assert float(mixed["mean_radial_error_difference_high"]) < 0
    # One network for all fractions, compared at each.
    synthetic = [by_cell["synthetic", fraction] for fraction in ("0.1", "1")]
    assert synthetic[0]["mean_radial_error"] == synthetic[1]["mean_radial_error"]
    assert [row["verdict"] for row in synthetic] == ["helps", "hurts"] and synthetic[0]["real_labels"] == "0"
    assert by_cell["real", "1"]["verdict"] == by_cell["real", "1"]["mean_radial_error_difference"] == ""


def test_markdown_is_one_table() -> None:
    lines = render_markdown(example()[1]).decode().splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 11 and len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    assert any("mixed-1 | 12 (10 %)" in line and "| helps |" in line for line in table)


def test_latex_compiles_by_a_strict_reading() -> None:
    text = render_latex(example()[1]).decode()
    columns, rows = read_latex(text)
    assert len(rows) == 1 + 11 and all(len(row) == columns for row in rows)
    assert text.count(r"\midrule") == 3, "below the head, and between the fractions"


def test_the_strict_reading_itself() -> None:
    with pytest.raises(AssertionError):
        read_latex(r"\begin{table}\begin{tabular}{l}\siunitx\end{tabular}\end{table}")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b & 50 % of #1", r"a\_b \& 50 \% of \#1"),
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("−1.2 × 10⁻⁵", r"$-$1.2 $\times$ 10$^{-5}$"),
        ("3° – é 中", r"3$^\circ$ -- é ?"),
        ("<0.001", r"\textless{}0.001"),
    ],
)
def test_latex_escapes(text: str, escaped: str) -> None:
    assert escape_latex(text) == escaped


def test_markdown_escapes() -> None:
    assert escape_markdown("a|b <i> `c`\n[x](http://y)") == r"a\|b \<i\> \`c\` [x]\(http://y)"


def test_intervals_and_p_values_as_people_read_them() -> None:
    used = {"test": 9}
    figure = build_figure(
        "cobb", Estimate(3.0, 2.5, 3.75), direction="lower", used=used, available=used, method="m", unit="deg"
    )
    assert show_interval(figure) == "3.0° [2.5, 3.8]" and show_interval(None) == ""
    assert (show_p_value(0.0), show_p_value(0.0421)) == ("<0.001", "0.042")
