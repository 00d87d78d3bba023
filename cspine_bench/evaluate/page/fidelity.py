"""The page of `evaluate fidelity`, for a reviewer who reads nothing else."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from cspine_bench.anatomy.alignment import PARAMETERS
from cspine_bench.evaluate.page.fidelity_plots import (
    draw_bars,
    draw_histogram,
    draw_ladders,
    draw_map,
    draw_spectra,
    draw_strip,
    list_ends,
)
from cspine_bench.evaluate.page.records import DetectorView, FidelityPictures, ParameterValues
from cspine_bench.metrics.intervals import Estimate
from cspine_bench.page.images import GRAY_RULE, Picture, Pixels, show
from cspine_bench.page.render import render_page
from cspine_bench.page.svg import draw_rows
from cspine_bench.page.tables import (
    Untaken,
    build_property_rows,
    build_table,
    list_missing,
    summarise_readings,
)
from cspine_bench.page.wording import describe_conditions, read_against_floor, show_figure, title_of
from cspine_bench.results import Figure, Result

DISTRIBUTION: Final = (
    "frechet_distance", "frechet_distance_limit", "kernel_distance", "cmmd_distance",
    "precision", "recall", "density", "coverage",
)  # fmt: skip
_PARTS: Final = (
    ("distribution", "Distance between the distributions", DISTRIBUTION),
    ("anatomy", "Anatomy", ("anatomy_wasserstein_distance", "implausible_share")),
    ("quality", "Image quality", ("quality_wasserstein_distance",)),
    ("detectability", "Detectability", ("detectability_auroc",)),
)
_NEVER: Final = (
    "whether radiologists can tell the images from real ones: that takes a reader study;",
    "whether a model that is trained on the images does better: that takes a baseline;",
    "whether training films were copied: that is the page of memorization, and copies score best of all here;",
    "whether the images are fit for diagnosis: they are not.",
)
_CONTENTS: Final = (
    ("measured", "What was measured"), ("distribution", "Distributions"), ("ladder", "Ladder"),
    ("subgroups", "Subgroups"), ("anatomy", "Anatomy"), ("quality", "Image quality"),
    ("detectability", "Detectability"), ("samples", "Samples"), ("not-shown", "What was not measured"),
    ("again", "Do it again"),
)  # fmt: skip
_SHEET_PX: Final = 192
_MOST_ODD: Final = 40
_MOST_CLUES: Final = 15


def build_fidelity_page(result: Result, pictures: FidelityPictures, *, real_pixels: bool = True) -> bytes:
    """One self-contained HTML file: verdict, figures beside their floors, plots, samples, and what is not shown.

    Args:
        result: of `evaluate fidelity`. Every figure of it is on the page; unknown names stand in a table of their own.
        pictures: what is shown beside the figures; a missing part becomes a sentence.
        real_pixels: False leaves out every real radiograph, and every picture made from real ones. That synthetic
            images are no copies is not checked here.

    Returns:
        UTF-8; the same result and pictures give the same bytes.
    """
    untaken = Untaken(result.figures)
    main = untaken.take(lambda one: one.name in DISTRIBUTION and not one.subgroup and not one.condition)
    ladder = untaken.take(lambda one: "degradation" in one.condition and not one.subgroup)
    subgroups = untaken.take(lambda one: bool(one.subgroup) and not one.condition)
    values: dict[str, Any] = {
        "title": "Fidelity: how close the synthetic radiographs are to real ones",
        "result": result,
        "pictures": pictures,
        "real_pixels": real_pixels,
        "contents": _CONTENTS,
        "summary": summarise_readings(main),
        "tone": "alarm" if any(read_against_floor(one).kind in ("beyond", "better") for one in main) else "",
        "main": main,
        "strips": [(figure, draw_strip(figure)) for figure in main],
        "gray_rule": GRAY_RULE,
        "never": _NEVER,
        "notes": pictures.notes,
    }
    values |= _show_ladder(ladder, main, pictures, real_pixels)
    values |= _show_subgroups(subgroups, main)
    values |= _show_properties(untaken, pictures, real_pixels)
    values |= _show_detector(untaken, pictures.detector, real_pixels)
    values["sheets"] = _show_sheets(pictures, real_pixels)
    values["others"] = untaken.rest
    expected = [
        *_PARTS,
        *([] if ladder else [("ladder", "The ladder of known degradations", ("ladder",))]),
        *([] if subgroups else [("subgroups", "Subgroups", ("subgroups",))]),
    ]
    measured = [figure for figure in result.figures if figure not in subgroups and figure not in ladder]
    values["missing"] = list_missing(present=measured, expected=expected, given=pictures.not_measured)
    return render_page("fidelity.html.j2", values)


def _show_ladder(
    figures: Sequence[Figure], main: Sequence[Figure], pictures: FidelityPictures, real_pixels: bool
) -> dict[str, Any]:
    panels, caution = draw_ladders(figures, main)
    shown = [
        show(picture.image, _name_rung(picture.degradation, picture.strength), side_px=_SHEET_PX)
        for picture in (pictures.ladder if real_pixels else ())
    ]
    return {
        "ladder": panels,
        "ladder_table": build_table(figures, lambda one: one.condition),
        "ladder_pictures": shown,
        "ladder_caution": caution,
    }


def _name_rung(degradation: str, strength: str) -> str:
    if degradation == "none":
        return "as it is"
    return f"{degradation}, {strength}" if strength else degradation


def _show_subgroups(figures: Sequence[Figure], main: Sequence[Figure]) -> dict[str, Any]:
    of_all = {figure.name: figure for figure in main}
    plots = []
    for name in dict.fromkeys(figure.name for figure in figures):
        rows = [(describe_conditions(one.subgroup), *_list_row(one)) for one in figures if one.name == name]
        reference = of_all[name].value if name in of_all else None
        plots.append((name, draw_rows(f"{title_of(name)} by subgroup", rows, reference=reference)))
    intervals = [figure.interval for figure in figures if figure.interval is not None]
    levels = sorted({f"{100 * interval.level:.4g} %" for interval in intervals}, key=lambda one: float(one[:-2]))
    missed = sum(1 - interval.level for interval in intervals)
    ends = " to ".join(dict.fromkeys([*levels[:1], *levels[-1:]]))
    caution = (
        f"{len(figures)} subgroup figures stand here, with intervals of {ends}. "
        f"Of so many about {missed:.1f} would miss by chance alone, so one group that stands out is a reason to look, "
        "not a finding."
        if intervals
        else "These figures have no intervals, so no difference between groups can be told from chance."
    )
    table = build_table(figures, lambda one: one.subgroup) if figures else None
    return {"subgroups": table, "subgroup_plots": plots, "subgroup_caution": caution}


def _list_row(figure: Figure) -> tuple[float, float | None, float | None, str]:
    interval = figure.interval
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return figure.value, low, high, "synthetic"


def _show_properties(untaken: Untaken, pictures: FidelityPictures, real_pixels: bool) -> dict[str, Any]:
    """Anatomy and image quality."""
    implausible = untaken.take(lambda one: one.name == "implausible_share")
    anatomy = untaken.take(lambda one: one.name.startswith("anatomy_"))
    quality = untaken.take(lambda one: one.name.startswith("quality_"))
    anatomy_rows, other_anatomy = build_property_rows(anatomy, "anatomy", "parameter")
    quality_rows, other_quality = build_property_rows(quality, "quality", "property")
    return {
        "anatomy": anatomy,
        "anatomy_rows": [row for row in anatomy_rows if row.spread is not None] or anatomy_rows,
        "anatomy_table": [
            row for row in anatomy_rows if row.spread is None and any(one.spread for one in anatomy_rows)
        ],
        "other_anatomy": [*(one for one in implausible if "rule" not in one.condition), *other_anatomy],
        "broken_rules": [one for one in implausible if "rule" in one.condition],
        "anatomy_plots": _draw_properties(pictures.anatomy, anatomy, "parameter"),
        "most_odd": _MOST_ODD,
        "odd_spines": [spine for spine in pictures.implausible if real_pixels or spine.role != "real"],
        "quality": quality,
        "quality_rows": quality_rows,
        "other_quality": other_quality,
        "quality_plots": _draw_properties(pictures.quality, quality, "property"),
        "spectra": None if pictures.spectra is None else draw_spectra(pictures.spectra),
    }


def _draw_properties(
    properties: Sequence[ParameterValues], figures: Sequence[Figure], key: str
) -> list[tuple[str, str, Markup]]:
    distances = {figure.condition.get(key): figure for figure in figures if "wasserstein" in figure.name}
    plots = []
    for values in properties:
        counts = [int(np.isfinite(side).sum()) for side in (values.real, values.synthetic)]
        if not all(counts):
            continue
        unit = f", {values.unit}" if values.unit else ""
        text = f"n = {counts[0]:,} real, {counts[1]:,} synthetic."
        if values.name in distances:
            shown = show_figure(distances[values.name])
            text = f"Distance {shown.value}" + (f" ({shown.interval}). " if shown.interval else ". ") + text
        if values.name in PARAMETERS:
            text = f"{PARAMETERS[values.name].definition} {text}"
        plots.append((f"{values.name.replace('_', ' ')}{unit}", text, draw_histogram(values, values.name)))
    return plots


def _show_detector(untaken: Untaken, detector: DetectorView | None, real_pixels: bool) -> dict[str, Any]:
    figures = untaken.take(lambda one: one.name == "detectability_auroc" and not one.subgroup)
    floor = next((one.floor for one in figures if one.floor is not None), None)
    kinds: dict[str, list[Figure]] = {}
    for figure in figures:
        kinds.setdefault(figure.condition.get("transmission", "as they are"), []).append(figure)
    kinds["as they are"] = kinds.get("as they are", []) + kinds.pop("none", [])
    lowest = min([0.4, *(end for figure in figures for end in list_ends(figure))])
    plots = [
        (
            kind,
            draw_rows(
                f"AUROC of real against synthetic, {kind}", [_row_of_detector(one) for one in found],
                limits=(lowest, 1.0), reference=0.5, band=None if floor is None else (floor.low, floor.high), left=170,
            ),
        )
        for kind, found in kinds.items() if found
    ]  # fmt: skip
    detector = detector or DetectorView()
    behind = show(detector.mean_real if real_pixels else None, "mean of the real radiographs")
    behind = behind or show(detector.mean_synthetic, "mean of the synthetic radiographs")
    clues = sorted(detector.clues, key=lambda one: -abs(one.contribution))[:_MOST_CLUES]
    names = [one.name.replace("_", " ") for one in clues]
    alone = [(name, *_ends_of(one.auroc), "synthetic") for name, one in zip(names, clues, strict=True)]
    shares = [(name, one.contribution) for name, one in zip(names, clues, strict=True)]
    return {
        "detectability": figures,
        "detectors": [one for one in figures if "transmission" not in one.condition],
        "transmitted": [one for one in figures if "transmission" in one.condition],
        "detectability_plots": plots,
        "detectability_floor": floor is not None,
        "detector": detector,
        "num_clues": len(detector.clues),
        "most_clues": _MOST_CLUES,
        "clues_alone": draw_rows("AUROC of each clue alone", alone, reference=0.5, left=170) if alone else None,
        "clue_shares": draw_bars("What each clue contributes", shares, left=170) if shares else None,
        "heat": None if detector.change is None else draw_map(behind, detector.change, detector.significant),
        "behind": behind,
    }


def _ends_of(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def _row_of_detector(figure: Figure) -> tuple[str, float, float | None, float | None, str]:
    value, low, high, _ = _list_row(figure)
    condition = figure.condition
    if "detector" in condition:
        name = f"{condition['detector']} alone"
    else:
        name = condition.get("strength") or "the stronger detector"
    return name, value, low, high, "holdout" if "trained" in condition else "synthetic"


def _show_sheets(
    pictures: FidelityPictures, real_pixels: bool
) -> list[tuple[str, list[tuple[Picture | None, str]], str]]:
    def draw(images: Sequence[tuple[str, Pixels]], kind: str) -> list[tuple[Picture | None, str]]:
        return [(show(image, f"{kind} radiograph {name}", side_px=_SHEET_PX), name) for name, image in images]

    hidden = "This page shows no real pixels."
    missing = "No radiographs of this side were handed to this page."
    return [
        ("Real", draw(pictures.real, "real") if real_pixels else [], missing if real_pixels else hidden),
        ("Synthetic, not for diagnosis", draw(pictures.synthetic, "synthetic"), missing),
    ]
