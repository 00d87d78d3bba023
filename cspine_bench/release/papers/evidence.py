"""What was measured, in words and tables: from result files alone, no number without its company."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cspine_bench.release.edition import Edition
from cspine_bench.results import Figure, Result

_OF_DISTRIBUTIONS: Final = re.compile(r"frechet|fid\b|fid_|kid\b|kid_|kernel|precision|recall|density|coverage")
_NOISE: Final = 1e-12
_MOST_FIGURES: Final = 40
_PLAIN: Final = {"side"}
"""Conditions that only say which images a figure is of."""
_FIDELITY: Final = re.compile(r"fidelity|distribution")


@dataclass(frozen=True)
class Measured:
    """A result as a paper tells it.

    Attributes:
        name: of the measure, with its version.
        path: of the result file.
        summary: the finding in a sentence; "" where the result has none.
        inputs: a line each: role, name, samples, digest.
        encoder: how images were made into numbers; "" where none was used.
        header: of the table of figures.
        rows: of that table; only figures with all that they need.
        shared: what holds for all rows, and so is no column.
        left_out: figures that lack something to be printed, each with what it lacks.
        num_more: further figures in the file, where all would be too many to read: of subgroups and conditions.
        made_by: code and seed.
    """

    name: str
    path: str
    summary: str
    inputs: tuple[str, ...]
    encoder: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    shared: tuple[str, ...]
    left_out: tuple[str, ...]
    num_more: int
    made_by: str


def list_memorization(edition: Edition) -> list[Measured]:
    """Results of a search for copies of training films."""
    return [item for result, item in _list_all(edition) if _is_memorization(result)]


def list_fidelity(edition: Edition) -> list[Measured]:
    """Results that compare these images with others as distributions."""
    return [item for result, item in _list_all(edition) if not _is_memorization(result) and _is_fidelity(result)]


def list_others(edition: Edition) -> list[Measured]:
    """All other results."""
    return [item for result, item in _list_all(edition) if not _is_memorization(result) and not _is_fidelity(result)]


def _is_memorization(result: Result) -> bool:
    return "memorization" in result.measure


def _is_fidelity(result: Result) -> bool:
    return _FIDELITY.search(result.measure) is not None


def _list_all(edition: Edition) -> list[tuple[Result, Measured]]:
    own = edition.manifest.digest
    return [(result, describe_result(name, result, own_digest=own)) for name, result in edition.results.items()]


def describe_result(name: str, result: Result, *, own_digest: str) -> Measured:
    """A result in words.

    Args:
        name: of its file, with or without the folder `evaluation/`.
        result: its content.
        own_digest: of the manifest of the dataset that is released.
    """
    rows: list[dict[str, str]] = []
    left_out: list[str] = []
    figures = _choose(result.figures)
    for figure in figures:
        missing = _find_missing(figure, result)
        if missing:
            left_out.append(f"{_name_figure(figure)} ({', '.join(missing)})")
        else:
            rows.append(_build_row(figure))
    inputs = [
        f"{item.role}: {'this dataset' if item.digest == own_digest else item.name}, "
        f"{item.num_samples:,} radiographs, manifest `{item.digest[:12]}`"
        for item in result.inputs
    ]
    encoder = ""
    if result.encoder is not None:
        weights = result.encoder.weights_sha256
        kept = "no weights" if weights is None else f"weights `{weights[:12]}`"
        encoder = f"{result.encoder.name} ({kept}; resize: {result.encoder.resize}; {result.encoder.bit_depth} bit)"
    code = f"cspine-bench {result.package_version}" + (
        "" if result.commit is None else f", commit `{result.commit[:12]}`"
    )
    header, cells, shared = _fold(rows)
    return Measured(
        name=f"{result.measure} {result.measure_version}",
        path=f"evaluation/{name.removeprefix('evaluation/')}",
        summary=result.verdict,
        inputs=tuple(inputs),
        encoder=encoder,
        header=header,
        rows=cells,
        shared=shared,
        left_out=tuple(left_out),
        num_more=len(result.figures) - len(figures),
        made_by=code + ("" if result.seed is None else f", seed {result.seed}"),
    )


def _choose(figures: Sequence[Figure]) -> list[Figure]:
    """All, if they can be read; else those of all images as they are."""
    if len(figures) <= _MOST_FIGURES:
        return list(figures)
    return [figure for figure in figures if not figure.subgroup and set(figure.condition) <= _PLAIN]


def _find_missing(figure: Figure, result: Result) -> list[str]:
    """What a figure lacks to be printed."""
    missing = [] if figure.interval is not None else ["no interval"]
    missing += [] if figure.n_used else ["no sample counts"]
    # A distance of distributions without its encoder means nothing.
    asks = _is_fidelity(result) and _OF_DISTRIBUTIONS.search(figure.name) is not None
    return missing + (["no encoder named"] if asks and result.encoder is None else [])


_COLUMNS: Final = (
    "figure",
    "value",
    "interval",
    "real against real",
    "interval by",
    "direction",
    "samples used",
    "note",
)
_DIRECTIONS: Final = {"higher": "higher is better", "lower": "lower is better", "none": "neither"}
_ALWAYS: Final = ("figure", "value", "interval")


def _build_row(figure: Figure) -> dict[str, str]:
    interval = figure.interval
    if interval is None:
        raise ValueError(f"figure {figure.name} has no interval to print")
    unit = "" if figure.unit in ("", "share") else f" {figure.unit}"
    ends = f"{format_number(interval.low)} to {format_number(interval.high)}"
    by = f"{interval.level * 100:g} %, {interval.method}"
    value = f"{format_number(figure.value)}{unit}"
    told = (
        _name_figure(figure),
        value,
        ends,
        _describe_floor(figure),
        by,
        _DIRECTIONS[figure.direction],
        _describe_counts(figure),
        figure.note,
    )
    return dict(zip(_COLUMNS, told, strict=True))


def _fold(rows: Sequence[dict[str, str]]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Header, cells, and what is the same in all rows: a column of equal cells tells nothing ten times."""
    kept = [name for name in _COLUMNS if name in _ALWAYS or _tells(rows, name)]
    alike = [name for name in _COLUMNS if rows and name not in kept and rows[0][name]]
    titles = {"interval by": "intervals"}
    shared = tuple(f"{titles.get(name, name)}: {rows[0][name]}" for name in alike)
    return tuple(kept), tuple(tuple(row[name] for name in kept) for row in rows), shared


def _tells(rows: Sequence[dict[str, str]], name: str) -> bool:
    return len({row[name] for row in rows}) > 1 or (len(rows) == 1 and rows[0][name] != "")


def _name_figure(figure: Figure) -> str:
    told = {**figure.subgroup, **figure.condition}
    group = ", ".join(f"{name}: {value}" for name, value in told.items())
    return f"`{figure.name}` [{group}]" if group else f"`{figure.name}`"


def _describe_floor(figure: Figure) -> str:
    floor = figure.floor
    if floor is None:
        return ""
    ends = f"{format_number(floor.value)} ({format_number(floor.low)} to {format_number(floor.high)})"
    counts = f"{floor.n_used[0]:,} and {floor.n_used[1]:,}"
    own = "" if floor.matched is None else f"; this figure at these numbers {format_number(floor.matched)}"
    return f"{ends} with {counts}{own}"


def _describe_counts(figure: Figure) -> str:
    parts: Sequence[str] = [
        f"{role} {used:,} of {figure.n_available.get(role, used):,}" for role, used in figure.n_used.items()
    ]
    return ", ".join(parts)


def format_number(value: float) -> str:
    """Four digits that count; whole numbers in full; what is left of a zero after rounding is zero."""
    if abs(value) < _NOISE:
        return "0"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"
