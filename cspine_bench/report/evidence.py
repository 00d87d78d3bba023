"""The essence of each result for the report: a few figures, each traced, and the plots of the measure's own page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from markupsafe import Markup

from cspine_bench.anatomy.alignment import PARAMETERS
from cspine_bench.baselines.arm_rows import ArmTable, find_margin, read_arms
from cspine_bench.baselines.page.baseline import capitalise, describe_arm, list_curves
from cspine_bench.baselines.page.curves import draw_curves
from cspine_bench.baselines.page.markers import Marker, draw_key, mark_arms
from cspine_bench.dataset.read import explain_unreadable
from cspine_bench.evaluate.page.fidelity import DISTRIBUTION
from cspine_bench.evaluate.page.fidelity_plots import draw_histogram, draw_ladders, draw_strip
from cspine_bench.evaluate.page.memorization import describe_bound
from cspine_bench.evaluate.page.records import ParameterValues
from cspine_bench.page.svg import draw_rows
from cspine_bench.page.wording import title_of
from cspine_bench.report.files import ResultFile
from cspine_bench.report.gates import find_attacks, find_figure, list_compared
from cspine_bench.report.study_settings import read_study_settings
from cspine_bench.report.traced import Traced
from cspine_bench.results import Figure
from cspine_bench.study.page.lookup import Lookup
from cspine_bench.study.page.plots import PERCENT, draw_overall
from cspine_bench.study.page.rows import Line, draw_lines

_LADDER_OF: Final = "frechet_distance"
_HISTOGRAMS: Final = ("C2-7Cobb", "SVA", "CCI")
_STRIPS: Final = ("frechet_distance", "kernel_distance", "precision", "recall")


@dataclass(frozen=True)
class FidelityView:
    """Of `evaluate fidelity`."""

    traced: Traced
    main: tuple[Figure, ...]
    strips: tuple[tuple[Figure, Markup], ...]
    ladder: tuple[Markup, ...]
    ladder_images: Markup
    detectors: tuple[Figure, ...]
    anatomy: tuple[tuple[str, Markup, Markup], ...]


def show_fidelity(file: ResultFile) -> FidelityView:
    """Distances with floors, the ladder of one of them, detectability, and alignment where the rows lie beside."""
    figures = file.result.figures
    main = tuple(one for name in DISTRIBUTION if (one := find_figure(file, name)) is not None)
    rungs = [one for one in figures if one.name == _LADDER_OF and "degradation" in one.condition and not one.subgroup]
    ladders, _ = draw_ladders(rungs, main)
    level = next((one for one in rungs if "synthetic" in one.n_used), None)
    return FidelityView(
        traced=Traced(file),
        main=main,
        strips=tuple((one, draw_strip(one)) for one in main if one.name in _STRIPS),
        ladder=tuple(plot for _, plots in ladders for plot in plots),
        ladder_images=Markup("") if level is None else Traced(file).used(level, f"{level.n_used['synthetic']:,}"),
        detectors=tuple(
            one
            for one in figures
            if one.name == "detectability_auroc" and not one.subgroup and set(one.condition) <= {"detector"}
        ),
        anatomy=_draw_anatomy(file),
    )


def _draw_anatomy(file: ResultFile) -> tuple[tuple[str, Markup, Markup], ...]:
    """(title, distance in words, plot) of a few parameters."""
    if file.rows is None:
        return ()
    columns = [f"anatomy.{name}" for name in _HISTOGRAMS]
    try:
        with pq.ParquetFile(file.rows) as opened:
            if not {"role", *columns} <= set(opened.schema_arrow.names):
                return ()
            table = opened.read(columns=["role", *columns])
    except (OSError, pa.ArrowException) as error:
        raise explain_unreadable(file.rows, error) from error
    roles, traced, found = np.asarray(table["role"].to_pylist(), str), Traced(file), []
    for name, column in zip(_HISTOGRAMS, columns, strict=True):
        values = np.asarray(table[column].to_numpy(zero_copy_only=False), np.float64)
        sides = ParameterValues(name, PARAMETERS[name].unit, values[roles == "real"], values[roles == "synthetic"])
        if not all(np.isfinite(side).any() for side in (sides.real, sides.synthetic)):
            continue
        distance = find_figure(file, "anatomy_wasserstein_distance", {"parameter": name})
        words = Markup(PARAMETERS[name].definition)
        if distance is not None:
            unit = distance.unit
            words += Markup(" Distance {} ({}).").format(traced.value(distance), traced.interval(distance))
        else:
            unit = sides.unit
        found.append((f"{name}, {unit}" if unit else name, words, draw_histogram(sides, name)))
    return tuple(found)


@dataclass(frozen=True)
class MemorizationView:
    """Of `evaluate memorization`."""

    traced: Traced
    bound: Markup
    cleared: bool
    recall: tuple[Markup, ...]
    rows: tuple[tuple[str, Figure], ...]
    has_rows: bool


_OF_COPIES: Final[tuple[tuple[str, str, dict[str, str]], ...]] = (
    ("Copies found", "num_copies", {}),
    ("Smallest share of copies that would be noticed", "detectable_rate", {}),
    ("Nearer to training than to held-out films", "nearer_train_share", {"space": "pixels"}),
    ("Near copies among the synthetic images", "duplicate_share", {"kind": "near"}),
    ("Held-out films near a training film", "leaked_share", {"kind": "near"}),
)


def show_memorization(file: ResultFile) -> MemorizationView:
    """The bound, the power, and the strongest attack."""
    traced = Traced(file)
    rate = find_figure(file, "copy_rate")
    bound = Markup("{}").format(describe_bound(rate)) if rate is None else traced.words(rate, describe_bound(rate))
    planted = [
        one
        for one in file.result.figures
        if one.name == "planted_recall" and one.condition.get("rule") == "confirmed" and not one.subgroup
    ]
    rows = [
        (one.condition.get("transform", ""), one.value, *_list_ends(one), "synthetic")
        for one in planted
        if one.condition.get("transform") not in ("all", "common ones")
    ]
    recipe = file.result.settings.get("recipe")
    least = recipe.get("least_recall") if isinstance(recipe, dict) else None
    reference = float(least) if isinstance(least, int | float) else None
    shown = [(title, one) for title, name, condition in _OF_COPIES if (one := find_figure(file, name, condition))]
    attacks = find_attacks(file)
    shown += [(f"Strongest attack, by {one.condition.get('attack', '')}", one) for one in attacks[:1]]
    label = "Share of planted copies that are confirmed"
    half = max(8, -(-len(rows) // 2))
    return MemorizationView(
        traced=traced,
        bound=bound,
        cleared=not file.result.verdict.startswith("Underpowered"),
        recall=tuple(
            draw_rows(label, rows[start : start + half], limits=(0, 1), reference=reference, left=178)
            for start in range(0, len(rows), half)
        ),
        rows=tuple(shown),
        has_rows=file.rows is not None,
    )  # fmt: skip


def _list_ends(figure: Figure) -> tuple[float | None, float | None]:
    return (None, None) if figure.interval is None else (figure.interval.low, figure.interval.high)


@dataclass(frozen=True)
class Cell:
    """How an arm at a label fraction does in one task: verdict, difference, and colour."""

    verdict: str
    difference: Markup
    interval: Markup


@dataclass(frozen=True)
class TaskView:
    """One baseline."""

    traced: Traced
    task: str
    primary: str
    direction: str
    margin: Markup
    curves: Markup | None
    num_test: Markup


@dataclass(frozen=True)
class UsefulnessView:
    """All baselines: a panel for each task, and one table of arms across tasks."""

    tasks: tuple[TaskView, ...]
    rows: tuple[tuple[Markup, tuple[Cell | None, ...]], ...]
    keys: tuple[tuple[str, str, Markup], ...]


def show_usefulness(files: Sequence[ResultFile]) -> UsefulnessView | None:
    """What synthetic radiographs are worth, task by task; None: no baseline."""
    if not files:
        return None
    tables = [read_arms(file.result) for file in files]
    arms = list(dict.fromkeys(row.arm for table in tables for row in table.rows if not row.is_floor))
    markers = mark_arms(arms)
    cells: dict[tuple[str, str], dict[str, Cell]] = {}
    labels: dict[tuple[str, str], Markup] = {}
    for file in files:
        traced = Traced(file)
        for row in list_compared(file):
            if row.difference is not None:
                cell = Cell(row.verdict or "not tested", traced.value(row.difference), traced.interval(row.difference))
                cells.setdefault((row.fraction, row.arm), {})[file.key] = cell
                share = f"{100 * float(row.fraction):.4g} % of labels" if row.fraction else "no labels"
                label = Markup("{}, {}").format(row.arm, traced.words(row.difference, share))
                labels.setdefault((row.fraction, row.arm), label)
    ordered = sorted(cells, key=lambda key: (float(key[0] or 0), arms.index(key[1])))
    rows = tuple(
        (labels[fraction, arm], tuple(cells[fraction, arm].get(file.key) for file in files))
        for fraction, arm in ordered
    )
    tasks = tuple(_show_task(file, table, markers) for file, table in zip(files, tables, strict=True))
    keys = tuple((arm, describe_arm(arm), draw_key(arm, marker)) for arm, marker in markers.items())
    return UsefulnessView(tasks, rows, keys)


def _show_task(file: ResultFile, table: ArmTable, markers: Mapping[str, Marker]) -> TaskView:
    traced, curves = Traced(file), list_curves(table)
    floor = next((row.primary for row in table.rows if row.is_floor), None)
    margin = next((one for one in file.result.figures if one.name == "margin"), None)
    unit = table.rows[0].primary.unit if table.rows else ""
    first = next((row.primary for row in table.rows if not row.is_floor), None)
    return TaskView(
        traced=traced,
        task=capitalise(table.task),
        primary=capitalise(title_of(table.primary)) + (f", {unit}" if unit else ""),
        direction="" if first is None else {"lower": "lower is better", "higher": "higher is better"}.get(
            first.direction, ""),
        margin=Markup("not stated") if margin is None or find_margin(file.result) is None else traced.value(margin),
        curves=draw_curves(curves, markers, floor=floor) if curves else None,
        num_test=Markup("") if first is None else traced.used(first, f"{first.n_used.get('test', 0):,}"),
    )  # fmt: skip


@dataclass(frozen=True)
class ReaderView:
    """Of `study analyze`."""

    traced: Traced
    simulated: bool
    overall: Markup | None
    readers: Markup | None
    picks: Markup | None
    ratings: Markup | None
    facts: tuple[tuple[str, Markup, Markup], ...]


def show_readers(file: ResultFile) -> ReaderView:
    """Accuracy, picks and ratings.

    Raises:
        DataError: the settings are not those that `study analyze` writes.
    """
    settings, traced = read_study_settings(file), Traced(file)
    names, chance = settings.sources, settings.chance
    return ReaderView(
        traced=traced,
        simulated=settings.simulated,
        overall=draw_overall(Lookup(file.result.figures), settings.analysis, chance),
        readers=_draw_by(file, "reader", "accuracy", chance),
        picks=_draw_by(file, "source", "share", chance, names),
        ratings=_draw_ratings(file, names),
        facts=_list_reader_facts(file, traced),
    )


def _draw_by(
    file: ResultFile, kind: str, last: str, chance: float, names: dict[str, str] | None = None
) -> Markup | None:
    """Figures `KIND.KEY.LAST` as rows, in percent."""
    lines = []
    for figure in file.result.figures:
        parts = figure.name.split(".")
        if len(parts) == 3 and parts[0] == kind and parts[2] == last:
            low, high = (None if end is None else PERCENT * end for end in _list_ends(figure))
            style = "real" if parts[1] == "real" else "synthetic"
            name = (names or {}).get(parts[1], figure.subgroup.get(kind, parts[1]))
            # How often a synthetic source would be picked by chance depends on how many of its images were shown.
            expected = PERCENT * chance if parts[1] == "real" else None
            lines.append(Line(name, PERCENT * figure.value, low, high, style, expected=expected))
    if not lines:
        return None
    title = "right answers, %" if last == "accuracy" else "share of picks, %"
    references = [(PERCENT * chance, "reference")] if last == "accuracy" else []
    return draw_lines(f"{title} by {kind}", lines, title=title, references=references)


def _draw_ratings(file: ResultFile, names: dict[str, str]) -> Markup | None:
    lines = [
        Line(names.get(key, key), one.value, *_list_ends(one), "real" if key == "real" else "synthetic")
        for one in file.result.figures
        if one.name.startswith("rate.mean.") and (key := one.name.removeprefix("rate.mean."))
    ]
    steps = file.result.settings.get("num_steps")
    limits = (1.0, float(steps)) if isinstance(steps, int) and steps > 1 else None
    if not lines:
        return None
    return draw_lines("Mean rating of each source", lines, title="mean rating, steps", limits=limits)


def _list_reader_facts(file: ResultFile, traced: Traced) -> tuple[tuple[str, Markup, Markup], ...]:
    rows = []
    known = (
        ("Right answers", ("acc.twoway.mean", "acc.binom.phat")),
        ("Positive controls right", ("control.accuracy",)),
        ("Agreement on picks, kappa", ("pick.fleiss.est", "pick.fleiss_null.est")),
        ("Mean rating, real", ("rate.mean.real",)),
        ("Ratings as a detector, AUC", ("auc.auc",)),
        ("Median response time", ("time.median_s",)),
    )
    for title, wanted in known:
        figure = next((one for name in wanted if (one := find_figure(file, name)) is not None), None)
        if figure is not None:
            rows.append((title, traced.value(figure), traced.interval(figure)))
    test = find_figure(file, "pick.label_test.p_greater")
    if test is not None:
        rows.insert(1, ("Test against chance, one-sided p", traced.p_value(test), Markup("")))
    return tuple(rows)
