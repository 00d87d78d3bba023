"""The page of `baseline run`, for somebody who asks whether synthetic radiographs would help them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from cspine_bench.baselines.arm_facts import FACTS, MARGIN, P_VALUE
from cspine_bench.baselines.arm_rows import (
    DIFFERENCE,
    PARTS,
    REFERENCE,
    ArmRow,
    ArmTable,
    find_margin,
    list_rest,
    read_arms,
)
from cspine_bench.baselines.page.case_plots import draw_agreement, draw_example, draw_reliability
from cspine_bench.baselines.page.curves import ROOM, Curve, draw_curves, draw_differences, draw_parts, list_ends
from cspine_bench.baselines.page.markers import Marker, draw_key, mark_arms
from cspine_bench.baselines.page.records import BaselinePictures
from cspine_bench.baselines.recipe import ARMS, CONTROLS
from cspine_bench.baselines.tables import show_p_value
from cspine_bench.page.images import GRAY_RULE
from cspine_bench.page.render import render_page
from cspine_bench.page.tables import NotMeasured, Table, build_table
from cspine_bench.page.wording import describe_conditions, title_of
from cspine_bench.results import Figure, Result

_NEVER: Final = (
    "whether the images look real to a radiologist: that takes a reader study;",
    "whether training films were copied: that is the page of memorization, and copies of real films would help too;",
    "whether another network, another number of updates or other films would say the same;",
    "whether a model that is trained on the images is fit for patients: it is not.",
)
_CONTENTS: Final = (
    ("measured", "What was measured"), ("curves", "Learning curves"), ("differences", "Differences"),
    ("controls", "Controls"), ("parts", "Part by part"), ("cases", "Single radiographs"), ("figures", "All figures"),
    ("not-shown", "What was not measured"), ("again", "Do it again"),
)  # fmt: skip
_OF_ARMS: Final = ("curves", "differences", "controls")
"""Sections of several arms, which predictions that were handed in do not have."""
_MOST_PART_PLOTS: Final = 9
_PART_NAMES: Final = ("level", "class", "landmark", "artefact", "region", "segment", "disc", "parameter")


_TITLES: Final = {
    "": "Of all test radiographs", "facts": "What each arm learnt from, and p values", "against": "Differences",
    "tested_on": "Tested on other radiographs",
}  # fmt: skip


def build_baseline_page(result: Result, pictures: BaselinePictures, *, real_pixels: bool = True) -> bytes:
    """One self-contained HTML file: verdicts, learning curves, differences, controls, single radiographs, all figures.

    Args:
        result: of a baseline, with at least one figure of an arm. Every figure of it is on the page.
        pictures: what is shown beside the figures; a missing part becomes a sentence.
        real_pixels: False leaves out every pixel of a test radiograph; its landmarks and outlines stay.

    Returns:
        UTF-8; the same result and pictures give the same bytes.

    Raises:
        ValueError: the result has no figure of an arm.
    """
    table = read_arms(result)
    markers = mark_arms(list(dict.fromkeys(row.arm for row in table.rows if not row.is_floor)))
    margin = find_margin(result)
    values: dict[str, Any] = {
        "primary": capitalise(title_of(table.primary)),
        "title": _name_page(table),
        "result": result,
        "pictures": pictures,
        "table": table,
        "real_pixels": real_pixels,
        "contents": [part for part in _CONTENTS if table.reference or part[0] not in _OF_ARMS],
        "margin": margin,
        "unit": next((row.primary.unit for row in table.rows), ""),
        "keys": [(arm, describe_arm(arm), draw_key(arm, marker)) for arm, marker in markers.items()],
        "never": _NEVER,
        "has_flat": any(row.num_labels == 0 for row in table.rows),
        "notes": pictures.notes,
        "gray_rule": GRAY_RULE,
        "p_value": show_p_value,
    }
    values |= _split_verdict(result.verdict)
    values |= _show_curves(table, markers)
    values |= _show_differences(table, markers, margin)
    values |= _show_parts(result, table, markers)
    values |= _show_cases(pictures, real_pixels)
    values |= _show_figures(result)
    values["missing"] = _list_missing(result, table, pictures)
    return render_page("baseline.html.j2", values)


def _name_page(table: ArmTable) -> str:
    if table.reference:
        return f"{table.task.capitalize()}: what the synthetic radiographs are worth to it"
    return f"{table.task.capitalize()}: predictions that were handed in"


def capitalise(words: str) -> str:
    """With a capital in front; the rest as it is."""
    return words[:1].upper() + words[1:]


def describe_arm(arm: str) -> str:
    """What an arm learns from, or ""."""
    name, _, ratio = arm.partition("-") if arm.startswith("mixed-") else (arm, "", "")
    words = ARMS.get(name, "")  # type: ignore[call-overload]
    if ratio:
        return f"real and synthetic radiographs together, {ratio} synthetic for each real one"
    return str(words)


def list_curves(table: ArmTable) -> list[Curve]:
    """One for each arm; 0 labels where an arm learns from no real radiograph. Arms without a count have none."""
    found: dict[str, list[tuple[int, Figure]]] = {}
    for row in table.rows:
        if not row.is_floor and row.num_labels is not None:
            points = found.setdefault(row.arm, [])
            if not points or row.num_labels:
                points.append((row.num_labels, row.primary))
    return [Curve(arm, tuple(sorted(points, key=lambda point: point[0]))) for arm, points in found.items()]


def _show_curves(table: ArmTable, markers: Mapping[str, Marker]) -> dict[str, Any]:
    curves = list_curves(table)
    floor = next((row for row in table.rows if row.is_floor), None)
    values: dict[str, Any] = {"curve_panels": [], "floor": floor}
    if not curves:
        return values
    line = None if floor is None else floor.primary
    scores = [figure.value for curve in curves for _, figure in curve.points]
    highest = ROOM * max([*scores, *([] if line is None else [line.value])])
    shared = [min(end, highest) for curve in curves for _, figure in curve.points for end in list_ends(figure)]
    reference = [curve for curve in curves if curve.arm == REFERENCE]
    panels = [draw_curves(curves, markers, floor=line, title="all arms")]
    panels += [
        draw_curves([*reference, curve], markers, floor=line, values=shared, title=curve.arm)
        for curve in curves
        if curve.arm != REFERENCE and reference
    ]
    return values | {"curve_panels": panels}


def _show_differences(table: ArmTable, markers: Mapping[str, Marker], margin: float | None) -> dict[str, Any]:
    compared = [row for row in table.rows if row.difference is not None]
    shared = [end for row in compared if row.difference is not None for end in list_ends(row.difference)]
    names = name_fractions(table)
    plots = []
    for fraction in dict.fromkeys(row.fraction for row in compared):
        drawn = [(row.arm, row.difference) for row in compared if row.fraction == fraction and row.difference]
        label = f"Difference from real radiographs alone, {names[fraction]}"
        plots.append((names[fraction], draw_differences(label, drawn, markers, margin=margin, values=shared)))
    return {
        "difference_plots": plots,
        "compared": [row for row in compared if row.arm not in CONTROLS],
        "controls": [row for row in compared if row.arm in CONTROLS],
        "named": names,
        "tone": find_tone(compared),
    }


def _split_verdict(verdict: str) -> dict[str, Any]:
    """Its sentences, one of which begins with a label fraction; the last one says how arms were compared."""
    found = re.split(r"(?<=\.) (?=With |Each )", verdict or "The result states no verdict.")
    findings = [text for text in found if not text.startswith("Each ")]
    return {"sentences": findings, "more": [text for text in found if text not in findings]}


def find_tone(rows: Sequence[ArmRow]) -> str:
    """Class of the verdict's box: `calm` where some arm helps and none hurts, `alarm` the other way round."""
    helps, hurts = (any(row.verdict == label for row in rows) for label in ("helps", "hurts"))
    return "" if helps == hurts else "calm" if helps else "alarm"


def name_fractions(table: ArmTable) -> dict[str, str]:
    """`12 real labels (10 %)` by fraction, with the count of the arm that all others are compared with."""
    counts = {row.fraction: row.num_labels for row in table.reference}
    names = {}
    for row in table.rows:
        share = f"{100 * float(row.fraction):.4g} %" if row.fraction else ""
        count = counts.get(row.fraction)
        words = share if count is None else f"{count:,} real labels ({share})"
        names[row.fraction] = words or "no real labels"
    return names


def _show_parts(result: Result, table: ArmTable, markers: Mapping[str, Marker]) -> dict[str, Any]:
    """Scores by level, class and so on, at the fraction with the most labels."""
    last = max((row.fraction for row in table.reference), key=float, default="")
    found: dict[tuple[str, str], dict[str, dict[str, Figure]]] = {}
    for figure in result.figures:
        rest = list_rest(figure)
        arm = figure.condition.get("arm", "")
        if len(rest) != 1 or arm not in markers or figure.name.endswith(DIFFERENCE) or figure.subgroup:
            continue
        [(kind, part)] = rest.items()
        if kind in _PART_NAMES and figure.direction != "none" and figure.condition.get("fraction", last) in (last, ""):
            found.setdefault((figure.name, kind), {}).setdefault(arm, {})[part] = figure
    plots = []
    for (name, kind), series in found.items():
        shown = [(arm, figures) for arm, figures in series.items() if arm not in CONTROLS]
        parts = list(dict.fromkeys(part for _, figures in shown for part in figures))
        if not shown or len(parts) < 2:
            continue
        first = next(iter(shown[0][1].values()))
        unit = f", {first.unit}" if first.unit else ""
        plot = draw_parts(f"{title_of(name)} by {kind}", parts, shown, markers, title=f"{title_of(name)}{unit}")
        plots.append((capitalise(f"{title_of(name)} by {kind}"), plot))
    return {"part_plots": plots[:_MOST_PART_PLOTS], "part_fraction": name_fractions(table).get(last, "")}


def _show_cases(pictures: BaselinePictures, real_pixels: bool) -> dict[str, Any]:
    agreements = []
    for found in pictures.agreements:
        if (drawn := draw_agreement(found)) is not None:
            agreements.append((f"{found.name}, {found.arm}", *drawn))
    reliabilities = [(found.arm, svg) for found in pictures.reliabilities if (svg := draw_reliability(found))]
    examples: list[tuple[Markup, str, str]] = [
        (
            draw_example(one, real_pixels=real_pixels),
            capitalise(f"{one.rank}, {one.arm}"),
            f"{one.sample_id}. {one.text}",
        )
        for one in pictures.examples
    ]
    return {
        "agreements": agreements,
        "reliabilities": reliabilities,
        "examples": examples,
        "masks_shown": any(one.truth_mask is not None for one in pictures.examples),
    }


def _show_figures(result: Result) -> dict[str, Any]:
    """Every figure: those of whole radiographs, those of parts by kind, and what is left."""
    tables: list[tuple[str, Table]] = []
    rest: list[Figure] = []
    groups: dict[str, list[Figure]] = {}
    taken = set()
    for figure in result.figures:
        kinds = {"facts"} if figure.name in FACTS else PARTS & set(figure.condition)
        key = (figure.name, tuple(sorted(figure.condition.items())))
        if figure.subgroup or "arm" not in figure.condition or key in taken:
            rest += [figure] if figure.name != MARGIN else []
            continue
        taken.add(key)
        groups.setdefault(" and ".join(sorted(kinds)), []).append(figure)
    for kind, figures in groups.items():
        title = _TITLES.get(kind) or f"By {kind.replace('_', ' ')}"
        tables.append((title, build_table(figures, _key_of_row, column=_name_column)))
    return {"figure_tables": tables, "others": rest}


def _key_of_row(figure: Figure) -> dict[str, str]:
    kept = {"arm", "fraction", *PARTS}
    return {name: value for name, value in figure.condition.items() if name in kept}


def _name_column(figure: Figure) -> str:
    if figure.name == P_VALUE:
        return "p after Holm"
    more = {name: value for name, value in list_rest(figure).items() if name not in PARTS}
    name = title_of(figure.name.removesuffix(DIFFERENCE))
    name = f"{name}, less real" if figure.name.endswith(DIFFERENCE) else name
    return f"{name} ({describe_conditions(more)})" if more else name


def _list_missing(result: Result, table: ArmTable, pictures: BaselinePictures) -> list[NotMeasured]:
    missing = list(pictures.not_measured)
    if not table.reference:
        why = "a set of predictions is one network: nothing is compared, and the chance of training is not known"
        return [*missing, NotMeasured("What synthetic radiographs are worth", why)]
    present = {row.arm.partition("-")[0] if row.arm.startswith("mixed-") else row.arm for row in table.rows}
    said = {part.what for part in missing}
    missing += [
        NotMeasured(f"Arm {arm}", f"no figure of it is in the result ({words})")
        for arm, words in ARMS.items()
        if arm not in present and f"Arm {arm}" not in said
    ]
    if not any(row.is_floor for row in table.rows):
        missing.append(NotMeasured("Floor", "no score without learning is in the result"))
    bare = sorted(
        {title_of(figure.name) for figure in result.figures if figure.interval is None and figure.name not in FACTS}
    )
    if bare:
        missing.append(NotMeasured("Figures without an interval", ", ".join(bare)))
    return missing
