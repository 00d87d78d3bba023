"""Names of a reader study's figures in words, and all figures of a section as one table."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cspine_bench.page.wording import describe_conditions, format_number, show_figure
from cspine_bench.results import Figure

SECTIONS: Final[dict[str, str]] = {
    "num": "How much was read",
    "reader": "Each reader",
    "control": "Positive controls",
    "negative": "Negative controls",
    "acc": "Accuracy against chance",
    "pick": "Picks: primary test, and agreement by image",
    "correct": "Agreement by right or wrong",
    "pos": "Habits of position",
    "source": "Picks per source",
    "rate": "Ratings, and agreement on them",
    "diff": "Rating differences, real less synthetic",
    "wil": "Signed-rank tests of rating differences",
    "trend": "Trend along the sources",
    "clmm": "Ordinal mixed model of the ratings",
    "auc": "Ratings as a detector",
    "intra": "Agreement of readers with themselves",
    "time": "Response times",
    "paper": "The same data analysed as in arXiv 2510.22166",
}  # fmt: skip
"""Title of a table by what comes before a name's first dot; other beginnings get tables of their own."""

_TOKENS: Final[dict[str, str]] = {
    "binom": "binomial, answers taken as independent",
    "twoway": "two-way random, readers and cases",
    "nn": "non-negative rule",
    "reader_t": "t of readers’ means",
    "case_t": "t of cases’ means",
    "glmm": "crossed logit model, Laplace",
    "label_test": "label randomisation within display sets",
    "fleiss_null": "Fleiss’ kappa, test of none",
    "fleiss": "Fleiss’ kappa",
    "fleiss_quadratic": "Fleiss’ kappa, quadratic weights",
    "ac1": "Gwet’s AC1",
    "ac2_quadratic": "Gwet’s AC2, quadratic weights",
    "ac2_ordinal": "Gwet’s AC2, ordinal weights",
    "alpha": "Krippendorff’s alpha, Gwet’s variance",
    "kripp_nominal": "Krippendorff’s alpha, nominal",
    "kripp_ordinal": "Krippendorff’s alpha, ordinal",
    "kripp_interval": "Krippendorff’s alpha, interval",
    "icc": "intraclass correlation",
    "icc21": "ICC(2,1), one reader",
    "icc2k": "ICC(2,k), mean of the readers",
    "chisq": "chi-square",
    "dprime": "d′",
    "dprime4": "d′, four alternatives",
    "dprime2": "d′, two alternatives",
    "bf10_beta11": "Bayes factor against chance, uniform prior",
    "bf10_logistic": "Bayes factor against chance, logistic prior",
    "bf10_above": "Bayes factor of above chance, uniform prior",
    "reader": "by reader",
    "quartet": "by display set",
    "case": "by display set",
    "wilcox": "zeros dropped",
    "pratt": "zeros ranked (Pratt)",
    "cc0": "no continuity correction",
    "cc1": "continuity correction",
    "perm": "exact permutation p",
    "zeros": "zero differences",
    "holm": "p after Holm",
    "per_reader": "reader",
    "theta": "threshold",
    "beta": "coefficient",
    "sd": "standard deviation",
    "se_beta": "SE of coefficient",
    "loglik": "log likelihood",
    "kappa_quadratic": "kappa, quadratic weights",
    "kappa_quadratic_pooled": "kappa, quadratic weights, readers pooled",
    "kappa_unweighted_pooled": "kappa, unweighted, readers pooled",
    "exact_agreement": "same rating",
    "same_pick": "same pick",
}  # fmt: skip
_TOST: Final = re.compile(r"(?:(\w+?)_)?tost(\d*)")

STATISTICS: Final[dict[str, str]] = {
    "value": "Value", "est": "Value", "phat": "Value", "mean": "Value", "stat": "Statistic", "k": "Count", "n": "Of",
    "se": "SE", "se0": "SE if none", "se_full": "SE, full Hessian", "df": "df", "t": "t", "z": "z", "lo": "Low end",
    "hi": "High end", "lo90": "Low end, 90 %", "hi90": "High end, 90 %", "cp_lo": "Low end, Clopper-Pearson",
    "cp_hi": "High end, Clopper-Pearson", "wilson_lo": "Low end, Wilson", "wilson_hi": "High end, Wilson",
    "jeffreys_lo": "Low end, Jeffreys", "jeffreys_hi": "High end, Jeffreys", "p": "p", "p_two": "p, two-sided",
    "p_greater": "p, one-sided", "p_less": "p, one-sided below", "p_lower": "p, lower margin",
    "p_upper": "p, upper margin", "min_margin": "Smallest margin", "pa": "Observed", "pe": "By chance",
    "msr": "MS readers", "cov2": "Cov2", "var_or": "Variance used", "var_unbiased": "Variance, unbiased",
    "var_u": "Variance, U-statistic", "df_satt": "df, Satterthwaite", "vc_reader": "Variance, readers",
    "vc_case": "Variance, cases", "vc_err": "Variance, rest", "which": "Rule", "deff": "Design effect", "sd": "SD",
    "loglik": "Log likelihood", "holm": "p after Holm", "auc": "Value", "w": "W",
}  # fmt: skip
"""Head of the column by a name's last part."""

_P_VALUE: Final = re.compile(r"(^|\.)(nn_)?(p|p_two|p_greater|p_less|p_lower|p_upper|holm|perm)(\[\d+\]|\.\w+)?$")


def is_p_value(name: str) -> bool:
    """Whether a figure is a p value, by its name."""
    return bool(_P_VALUE.search(name))


def show_p(value: float) -> str:
    """A p value as people read it, never 0: "0.038", "< 0.001"."""
    if value < 0.001:
        return "< 0.001"
    return f"{value:.3f}" if value < 0.0995 else f"{value:.2f}"


def spell_margin(digits: str) -> str:
    """The margin in a name: "10" of `twoway_tost10` is 0.10, "" is that of the protocol."""
    return f" at ±0.{digits}" if digits else ""


def spell_token(token: str, sources: Mapping[str, str]) -> str:
    """A part of a name in words."""
    if token in sources:
        return f"{token} ({sources[token]})" if sources[token] and sources[token] != token else token
    if token in _TOKENS:
        return _TOKENS[token]
    if found := _TOST.fullmatch(token):
        inner = f" of {_TOKENS.get(found[1], found[1].replace('_', ' '))}" if found[1] else ""
        return f"two one-sided tests{spell_margin(found[2])}{inner}"
    return token.replace("_", " ")


@dataclass(frozen=True)
class Cell:
    """A figure in a table.

    Attributes:
        head: what of the row it is.
        name: as in the result file, with the full value, for those who point at it.
        text: the value.
        interval: its interval; "" none.
        figure: itself.
    """

    head: str
    name: str
    text: str
    interval: str
    figure: Figure


@dataclass(frozen=True)
class FigureTable:
    """All figures of a section.

    Attributes:
        title: of the section.
        rows: (what it is of, its figures in the order of `STATISTICS`).
    """

    title: str
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]

    @property
    def figures(self) -> list[Figure]:
        """Of all cells."""
        return [cell.figure for _, cells in self.rows for cell in cells]


def show_cell(head: str, figure: Figure) -> Cell:
    """A figure as a table prints it."""
    name = f"{figure.name} = {figure.value!r}"
    if is_p_value(figure.name):
        return Cell(head, name, show_p(figure.value), "", figure)
    if not figure.unit and figure.interval is None and float(figure.value).is_integer() and abs(figure.value) < 1e9:
        return Cell(head, name, format_number(figure.value) if figure.value < 0 else f"{figure.value:,.0f}", "", figure)
    shown = show_figure(figure)
    return Cell(head, name, shown.value, shown.interval, figure)


def split_name(name: str, sources: Mapping[str, str], readers: Sequence[str]) -> tuple[str, str, str]:
    """(section, row in words, head of the column) of a figure's name.

    Args:
        name: such as `acc.twoway.nn_lo`.
        sources: name by its key in names of figures, `real` among them.
        readers: in the order in which `per_reader` counts them.
    """
    stem, bracket, number = name.rstrip("]").partition("[")
    section, *parts = stem.split(".")
    if not parts:
        return "num", section.replace("_", " "), "Value"
    last = parts.pop()
    if last.startswith("nn_"):
        parts, last = [*parts, "nn"], last[3:]
    if last not in STATISTICS or (bracket and last != "holm"):
        parts, last = [*parts, last], "value"
    words = [spell_token(part, sources) for part in parts]
    if number.isdigit():
        words = _place_index(words, parts, int(number), sources, readers)
    head = "By chance" if (parts[-1:], last) == (["label_test"], "mean") else STATISTICS[last]
    return section, ", ".join(words) or "all", head


def _place_index(
    words: list[str], parts: list[str], place: int, sources: Mapping[str, str], readers: Sequence[str]
) -> list[str]:
    """Whom a number in brackets means: a reader, a source, a component of variance."""
    synthetic = [name for name in sources if name != "real"]
    of = parts[-1] if parts else ""
    if of == "per_reader" and place < len(readers):
        return [*words[:-1], f"reader {readers[place]}"]
    if of == "sd" and place < 3:
        return [*words, ("reader", "case", "image")[place]]
    if parts[:1] == ["glmm"] and place == 0:
        return [*words[:-1], "intercept"]
    if of not in ("theta", "per_reader", "sd") and place < len(synthetic):
        return [*words, spell_token(synthetic[place], sources)]
    return [*words, str(place + 1)]


def _place_figure(figure: Figure, sources: Mapping[str, str], readers: Sequence[str]) -> tuple[str, str, str]:
    """As `split_name`; the row also says of whom the figure is, and how it was found, where its name does not."""
    name = figure.name.partition("[")[0] if figure.subgroup else figure.name
    section, label, head = split_name(name, sources, readers)
    for values in (figure.subgroup, figure.condition):
        unsaid = {key: value for key, value in values.items() if value not in label}
        label += f"; {describe_conditions(unsaid)}" if unsaid else ""
    return section, label, head


def build_tables(
    figures: Sequence[Figure], *, sources: Mapping[str, str], readers: Sequence[str] = ()
) -> dict[str, FigureTable]:
    """Every figure in the table of its section, by the section's name; sections in the order of `SECTIONS`."""
    sections: dict[str, dict[str, dict[str, Cell]]] = {}
    for figure in figures:
        section, label, head = _place_figure(figure, sources, readers)
        row = sections.setdefault(section, {}).setdefault(label, {})
        while head in row:
            head = f"{figure.name.split('.')[-1]}{'′' * head.count('′')}" if head in STATISTICS.values() else f"{head}′"
        row[head] = show_cell(head, figure)
    order = {name: place for place, name in enumerate(SECTIONS)}
    places = {head: place for place, head in enumerate(dict.fromkeys(STATISTICS.values()))}
    tables = {}
    for section in sorted(sections, key=lambda name: (order.get(name, len(order)), name)):
        rows = sections[section]
        tables[section] = FigureTable(
            SECTIONS.get(section, section.replace("_", " ").capitalize()),
            tuple(
                (label, tuple(sorted(row.values(), key=lambda cell: places.get(cell.head, len(places)))))
                for label, row in rows.items()
            ),
        )
    return tables
