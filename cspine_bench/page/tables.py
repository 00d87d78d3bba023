"""Figures of a result sorted into the tables of a page, so that none is left out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cspine_bench.page.wording import (
    MEASURES,
    count_used,
    describe_conditions,
    list_methods,
    read_against_floor,
    sort_conditions,
    title_of,
)
from cspine_bench.results import Figure

_NO_REASON: Final = "the result holds no such figure, and gives no reason"


@dataclass(frozen=True)
class NotMeasured:
    """A part that was left out, and why: one sentence each."""

    what: str
    why: str


@dataclass(frozen=True)
class Row:
    """One line of a table across.

    Attributes:
        label: what the figures are of.
        figures: one for each column; None: there is none.
        used: images that they rest on.
        rule: a line below it: another kind follows.
    """

    label: str
    figures: tuple[Figure | None, ...]
    used: str
    rule: bool


@dataclass(frozen=True)
class Table:
    """Figures by name across and by subgroup or condition down; `used`: images of all rows, "" where they differ."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    methods: tuple[str, ...]
    used: str


class Untaken:
    """The figures of a result, taken out by the sections of its page; what stays is shown too."""

    def __init__(self, figures: Sequence[Figure]) -> None:
        """Hold all figures."""
        self._figures = list(figures)

    def take(self, wanted: Callable[[Figure], bool]) -> tuple[Figure, ...]:
        """The figures that are wanted, in their order; nobody gets them again."""
        found = tuple(figure for figure in self._figures if wanted(figure))
        self._figures = [figure for figure in self._figures if not wanted(figure)]
        return found

    @property
    def rest(self) -> tuple[Figure, ...]:
        """The figures that nobody has taken."""
        return tuple(self._figures)


def name_figure(figure: Figure) -> str:
    """The name of a figure in words: the usual head of its column."""
    return title_of(figure.name)


def build_table(
    figures: Sequence[Figure],
    key: Callable[[Figure], dict[str, str]],
    *,
    column: Callable[[Figure], str] = name_figure,
) -> Table:
    """Figures across by name, down by what they are of, both in the order in which they come.

    Args:
        figures: no two of one column and one key.
        key: the subgroup or condition of a figure.
        column: head of the column that a figure belongs to.
    """
    names = tuple(dict.fromkeys(map(column, figures)))
    lines: dict[tuple[tuple[str, str], ...], dict[str, Figure]] = {}
    for figure in figures:
        lines.setdefault(tuple(sort_conditions(key(figure))), {})[column(figure)] = figure
    rows = []
    keys = list(lines)
    for number, line in enumerate(keys):
        found = lines[line]
        used = "; ".join(dict.fromkeys(count_used(figure) for figure in found.values()))
        rule = number + 1 < len(keys) and _kind_of(keys[number + 1]) != _kind_of(line)
        rows.append(Row(describe_key(dict(line)), tuple(found.get(name) for name in names), used, rule))
    notes = dict.fromkeys(figure.note for figure in figures if figure.note)
    counts = {row.used for row in rows}
    used = counts.pop() if len(counts) == 1 else ""
    return Table(names, tuple(rows), tuple(notes), tuple(list_methods(figures)), used)


def _kind_of(key: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Rows of one kind stand together: of one degradation, of one label."""
    values = dict(key)
    return ("degradation", values["degradation"]) if "degradation" in values else tuple(values)


@dataclass(frozen=True)
class PropertyRow:
    """One quantity of single images: its distance with the floor, and how mean and spread differ.

    Attributes:
        label: its name in words.
        first: of the three the first that there is.
        distance: Wasserstein distance.
        difference: of means.
        spread: ratio.
    """

    label: str
    first: Figure
    distance: Figure | None
    difference: Figure | None
    spread: Figure | None


def build_property_rows(figures: Sequence[Figure], prefix: str, key: str) -> tuple[list[PropertyRow], list[Figure]]:
    """Figures of one quantity beside each other.

    Args:
        figures: `PREFIX_wasserstein_distance`, `PREFIX_mean_difference` and `PREFIX_spread_ratio`, among others.
        prefix: `anatomy` or `quality`.
        key: of the condition that names the quantity; figures with any other condition go to the rest.

    Returns:
        A row for each quantity, and the figures that none of them holds.
    """
    kinds = ("wasserstein_distance", "mean_difference", "spread_ratio")
    found: dict[str, dict[str, Figure]] = {}
    rest = []
    for figure in figures:
        kind = figure.name.removeprefix(f"{prefix}_")
        if kind in kinds and set(figure.condition) == {key} and kind not in found.get(figure.condition[key], {}):
            found.setdefault(figure.condition[key], {})[kind] = figure
        else:
            rest.append(figure)
    rows = []
    for name, one in found.items():
        first = next(one[kind] for kind in kinds if kind in one)
        rows.append(PropertyRow(name.replace("_", " "), first, *(one.get(kind) for kind in kinds)))
    return rows, rest


def describe_key(values: dict[str, str]) -> str:
    """A condition or subgroup as the name of a row: "blur, sigma 0.4 % of the side"; "sex: female"."""
    if "degradation" in values:
        return ", ".join(value for _, value in sort_conditions(values) if value)
    return describe_conditions(values)


def summarise_readings(figures: Sequence[Figure]) -> list[str]:
    """How the figures stand to their floors, in sentences."""
    by_kind: dict[str, list[str]] = {"beyond": [], "within": [], "better": [], "none": []}
    for figure in figures:
        by_kind[read_against_floor(figure).kind].append(title_of(figure.name))
    compared = sum(len(names) for kind, names in by_kind.items() if kind != "none")
    if not compared:
        return ["No figure has a floor, so none can be read as near or far."] if figures else []
    words = {
        "beyond": "worse than real images score against other real ones",
        "within": "inside the range of real against real: no difference seen at this n",
        "better": "better than real against real, which honest samples seldom are: look for copies",
    }
    parts = [
        f"{_count(by_kind[kind])} {text} ({', '.join(by_kind[kind])})" for kind, text in words.items() if by_kind[kind]
    ]
    sentences = [f"Of {compared} figures with a floor, " + "; ".join(parts) + "."]
    if by_kind["none"]:
        sentences.append(f"Without a floor to compare with: {', '.join(by_kind['none'])}.")
    return sentences


def _spell(what: str) -> str:
    """A figure's name in words, also where its subgroup follows: "coverage (sex female)"."""
    name, bracket, rest = what.partition(" (")
    return f"{title_of(name)}{bracket}{rest}" if name in MEASURES else what.replace("_", " ")


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} {'is' if len(names) == 1 else 'are'}"


def list_missing(
    *, present: Sequence[Figure], expected: Sequence[tuple[str, str, Sequence[str]]], given: Sequence[NotMeasured]
) -> list[NotMeasured]:
    """What a result lacks, each with its reason.

    Args:
        present: figures of the result.
        expected: (part, its title, names of its figures).
        given: what the caller says, by part, title, name of a figure, or any other words.
    """
    reasons: dict[str, str] = {}
    for part in given:
        reasons[part.what] = f"{reasons[part.what]}; {part.why}" if part.what in reasons else part.why
    names = {figure.name for figure in present}
    missing = []
    for key, title, wanted in expected:
        absent = [name for name in wanted if name not in names]
        whole = absent == list(wanted)
        why = next((reasons.pop(one) for one in (key, title) if one in reasons), None)
        if why is not None:
            missing.append(NotMeasured(title, why))
        elif whole and not any(one in wanted or one.startswith(key.removesuffix("s")) for one in reasons):
            missing.append(NotMeasured(title, _NO_REASON))
        if whole and not any(name in reasons for name in wanted):
            continue
        missing += [NotMeasured(title_of(name), reasons.pop(name, _NO_REASON)) for name in absent]
    missing += [NotMeasured(_spell(what), why) for what, why in reasons.items()]
    bare = [figure for figure in present if figure.interval is None]
    if bare:
        named = dict.fromkeys(
            f"{title_of(figure.name)}" + (f" ({figure.note.rstrip('.')})" if figure.note else " (no reason given)")
            for figure in bare
        )
        missing.append(NotMeasured("Figures without an interval", "; ".join(named) + "."))
    return missing
