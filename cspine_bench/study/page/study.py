"""The page of `study analyze`, for a radiologist and for the statistician beside them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cspine_bench.page.render import render_page
from cspine_bench.page.wording import describe_settings, format_number
from cspine_bench.results import Result
from cspine_bench.study.page.answers import (
    ReaderRow,
    count_picks,
    count_right,
    count_steps,
    describe_readers,
    list_readers,
    list_sources,
    of_kind,
    split_order,
)
from cspine_bench.study.page.figure_names import SECTIONS, build_tables, show_p
from cspine_bench.study.page.lookup import Lookup
from cspine_bench.study.page.methods import name_source
from cspine_bench.study.page.opening import find_tone, list_banners, list_facts, show_level, split_verdict
from cspine_bench.study.page.plots import (
    draw_agreement,
    draw_aucs,
    draw_controls,
    draw_differences,
    draw_learning,
    draw_order,
    draw_overall,
    draw_picks,
    draw_reader_times,
    draw_readers,
)
from cspine_bench.study.page.records import StudyRecords
from cspine_bench.study.page.rows import draw_grid, draw_steps, shade_step
from cspine_bench.study.page.sections import (
    PICKS,
    POINTS,
    RATINGS,
    SELF,
    list_agreement,
    list_differences,
    list_equivalences,
    list_intervals,
    list_paper,
    list_picks,
    list_reader_rows,
    list_scales,
    list_tests,
    list_wilcoxon,
    read_agreement,
)
from cspine_bench.study.recipe import CHANCE, NUM_PANES
from cspine_bench.study.truth import REAL

_CONTENTS: Final = (
    ("accuracy", "Real or synthetic?"), ("readers", "Readers"), ("control", "Positive controls"),
    ("sources", "Sources"), ("ratings", "Ratings"), ("detector", "Ratings as a detector"),
    ("agreement", "Agreement"), ("habits", "Habits and time"), ("paper", "As in the paper"),
    ("limits", "What it cannot tell"), ("provenance", "Provenance"), ("not-shown", "Not defined"),
    ("again", "Do it again"),
)  # fmt: skip
_NEVER: Final = (
    "whether the images are varied: a generator that makes one good image again and again passes;",
    "whether they are copies of training films: copies look real because they are (see the page of memorization);",
    "whether readers who were taught the cues would fail as well: these were not, and a null of untrained readers says "
    "little about trained ones;",
    "whether a classifier tells the images apart: it may where people do not; that is for the page of fidelity;",
    "whether the anatomy, labels or alignment of the images are right: looking real is not being right;",
    "whether the images are of use for training or fit for patients: the second they are not;",
    "anything about images at another size, window, compression or screen than those that were shown.",
)  # fmt: skip
_SHOWN_ELSEWHERE: Final = frozenset({
    "by_source", "chain_head", "conduct", "field", "not_defined", "paper", "post_hoc", "protocol_sha256", "readers",
    "simulated", "sources", "warnings",
})  # fmt: skip
"""Settings of a result that other parts of the page show."""


def build_study_page(result: Result, records: StudyRecords) -> bytes:
    """One self-contained HTML file: verdict with its gate, plots, every figure, limits, and how to do it again.

    Args:
        result: of measure `reader-study`; every figure of it is on the page.
        records: what is shown beside the figures.

    Returns:
        UTF-8; the same result and records give the same bytes.
    """
    lookup, responses = Lookup(result.figures), records.responses
    readers, sources = list_readers(responses), list_sources(responses)
    names = {source: name_source(source, records.source_names) for source in sources}
    chance = CHANCE[responses.design]
    rows = describe_readers(responses, NUM_PANES[responses.design], 1 - records.analysis.alpha)
    tables = build_tables(
        result.figures, sources={lookup.key("source", source): source for source in sources}, readers=readers
    )
    finding, more = split_verdict(result, records)
    values: dict[str, Any] = {
        "title": _name_page(records),
        "result": result,
        "finding": finding,
        "more": more,
        "records": records,
        "tables": tables,
        "further": [name for name in tables if name not in SECTIONS],
        "banners": list_banners(records),
        "tone": find_tone(records),
        "overall": draw_overall(lookup, records.analysis, chance),
        "chance": chance,
        "margin_points": f"{POINTS * records.analysis.accuracy_margin:g}",
        "facts": list_facts(lookup, records, len(readers)),
        "contents": _CONTENTS,
        "level": show_level(1 - records.analysis.alpha),
        "tost_level": show_level(1 - 2 * records.analysis.alpha),
        "alpha": f"{records.analysis.alpha:g}",
        "notes": {"sources": (), **records.notes},
        "accuracy_notes": records.notes.get("accuracy", ()),
        "elsewhere": [tuple(one.values()) for one in result.settings.get("field", ())],
        "not_defined": _group_reasons(records),
        "never": _NEVER,
        "provenance": _list_provenance(result, records),
    }
    values |= _show_accuracy(lookup, records)
    values |= _show_readers(rows, records, chance)
    values |= _show_sources(lookup, records, sources, names)
    values |= _show_ratings(lookup, records, sources, names)
    values |= _show_agreement(lookup, records, readers)
    values |= _show_habits(lookup, records, rows)
    synthetic = [source for source in sources if source != REAL]
    values |= {
        "paper_rows": list_paper(lookup, sources, names),
        "wilcoxon_rows": list_wilcoxon(lookup, synthetic, names),
        "auc_plot": draw_aucs(lookup, readers),
    }
    return render_page("reader-study.html.j2", values)


def _name_page(records: StudyRecords) -> str:
    return f"Reader study: {records.protocol.recipe.title}" if records.protocol else "Reader study: real or synthetic?"


def _group_reasons(records: StudyRecords) -> list[tuple[str, list[str]]]:
    """(reason, all that it holds for), as one reason often takes many figures away."""
    found: dict[str, list[str]] = {}
    for part in records.not_defined:
        found.setdefault(part.why, []).append(part.what)
    return list(found.items())


def _show_accuracy(lookup: Lookup, records: StudyRecords) -> dict[str, Any]:
    return {
        "tests": list_tests(lookup, records.responses.design),
        "intervals": list_intervals(lookup),
        "equivalences": list_equivalences(lookup, records.analysis),
        "others_scales": list_scales(lookup),
    }


def _show_readers(rows: Sequence[ReaderRow], records: StudyRecords, chance: float) -> dict[str, Any]:
    answered = [row for row in rows if row.accuracy.total]
    controls = of_kind(records.responses, "positive-control")
    covers = 1 - records.analysis.alpha
    heads, table = list_reader_rows(rows, show_level(covers))
    negative = count_right(of_kind(records.responses, "negative-control")).total
    return {
        "reader_plot": draw_readers(answered, records.analysis, chance) if answered else None,
        "reader_heads": heads,
        "reader_rows": table if answered else [],
        "learning": draw_learning(split_order(records.responses, confidence=covers), chance),
        "control_plot": draw_controls(rows, count_right(controls, covers), records.analysis, chance)
        if controls else None,
        "negative": f"Negative controls, display sets without a real image: {negative:,} answers. They have no right "
        "answer and are in no test; what was picked in them shows habits." if negative else "",
    }  # fmt: skip


def _show_sources(
    lookup: Lookup, records: StudyRecords, sources: Sequence[str], names: Mapping[str, str]
) -> dict[str, Any]:
    picks = count_picks(records.responses, sources, 1 - records.analysis.alpha)
    is_single, level = records.responses.design == "single", show_level(1 - records.analysis.alpha)
    text = "What readers called the images." if is_single else "What readers held for the real image."
    if any(share is not None for _, _, share in picks):
        text += " Dashed: picking without looking."
    return {
        "pick_plot": draw_picks(picks, names) if any(share.total for _, share, _ in picks) else None,
        "pick_title": "Answers" if is_single else "Picks of each source",
        "pick_text": f"{text} Wilson’s {level} % intervals, as if answers were independent.",
        "pick_rows": [row[:5] if is_single else row for row in list_picks(picks, lookup, names)],
        "is_single": is_single,
    }


def _show_ratings(
    lookup: Lookup, records: StudyRecords, sources: Sequence[str], names: Mapping[str, str]
) -> dict[str, Any]:
    responses = records.responses
    synthetic = [source for source in sources if source != REAL]
    steps = count_steps(responses, sources)
    rated = any(sum(counts) for _, counts in steps)
    words = records.protocol.recipe.anchors if records.protocol else ()
    anchors = []
    for step in range(responses.num_steps):
        text = f": {words[step]}" if step < len(words) else ""
        anchors.append((shade_step(step, responses.num_steps), f"{step + 1}{text}"))
    level = show_level(1 - records.analysis.alpha)
    named = [(names[source], counts) for source, counts in steps]
    heads = ("Source", "Its mean", "Real − synthetic", f"{level} %, two-way", f"{level} %, non-negative",
             "p, two-sided (Holm)", f"Within ±{records.analysis.rating_margin:g}: p (Holm)", "Smallest margin",
             "Signed rank, exact p (Holm)")  # fmt: skip
    margin = records.analysis.rating_margin
    return {
        "step_plot": draw_steps("Ratings of images of each source", named, left=150) if rated else None,
        "anchors": anchors,
        "difference_plot": draw_differences(lookup, synthetic, names, margin) if rated else None,
        "difference_heads": heads,
        "difference_rows": list_differences(lookup, synthetic, names, records.analysis),
    }


def _show_agreement(lookup: Lookup, records: StudyRecords, readers: Sequence[str]) -> dict[str, Any]:
    plots = []
    groups = (
        ("On picks", "By image, by right or wrong, by pane.", PICKS, "agreement on picks"),
        ("On ratings", "", RATINGS, "agreement on ratings"),
        ("Of readers with themselves", "On display sets that were shown twice.", SELF, "agreement with oneself"),
    )
    for title, text, rows, axis in groups:
        found = [(f"{name.partition(' (')[0]}, {label}" if rows is PICKS else name, read_agreement(lookup, stem, null))
                 for label, name, stem, null in rows]  # fmt: skip
        if title == "Of readers with themselves":
            own = [(name, lookup.read(f"intra.kappa_quadratic.{lookup.key('reader', name)}")) for name in readers]
            found += [(f"Kappa, {name}", one) for name, one in own]
        svg = draw_agreement(title, found, axis)
        if svg is not None:
            plots.append((title, text, svg))
    return {
        "agreement_rows": list_agreement(lookup),
        "agreement_plots": plots,
        "agreement_sentence": _read_kappa(lookup, records.analysis.alpha),
    }


def _read_kappa(lookup: Lookup, alpha: float) -> str:
    kappa, p = lookup.value("pick.fleiss.est", "pick.fleiss_null.est"), lookup.value("pick.fleiss_null.p")
    if kappa is None or p is None:
        return ""
    if p < alpha and kappa > 0:
        deff = lookup.value("pick.label_test.deff")
        more = "" if deff is None else f" The variance of the number of right answers is {format_number(deff)} times that of independent ones."  # fmt: skip  # noqa: E501
        return (
            "Readers pick the same images more often than by chance: they share cues, right ones or wrong ones, and "
            f"a small kappa does not say that they guess.{more}"
        )
    return "No agreement on images beyond chance was found; with few readers and cases that is not the same as none."


def _show_habits(lookup: Lookup, records: StudyRecords, rows: Sequence[ReaderRow]) -> dict[str, Any]:
    panes = NUM_PANES[records.responses.design]
    picked = [(row.reader, row.panes) for row in rows if sum(row.panes)]
    p = lookup.value("pos.chisq.p")
    sentence = ""
    if p is not None:
        sentence = (
            f"Picks over the panes, all readers: chi-square p {show_p(p)}, as if answers were independent. Panes are "
            "balanced over readers and cases, so a habit costs sensitivity and does not favour an answer."
            if records.protocol
            else f"Picks over the panes, all readers: chi-square p {show_p(p)}, as if answers were independent."
        )
    return {
        "pane_plot": draw_grid("Picks per pane of each reader", picked, expected=1 / panes)
        if panes > 1 and picked
        else None,
        "pane_share": 1 / panes,
        "pane_sentence": sentence,
        "time_plot": draw_reader_times(rows),
        "order_plot": draw_order(split_order(records.responses)),
    }


def _list_provenance(result: Result, records: StudyRecords) -> list[tuple[str, str, bool]]:
    found = records.provenance
    asked = {name: value for name, value in result.settings.items() if name not in _SHOWN_ELSEWHERE}
    rows = [
        ("Protocol, SHA-256", found.protocol_sha256 or "none: nothing was frozen before the answers", True),
        ("Truth, sealed as", found.truth_sha256 or "not sealed", True),
        ("Last record of the ledger", found.chain_head or "none: answers came from tables", True),
        ("Records in the chain", f"{found.chain_records:,}" if found.chain_records else "none", False),
        ("First answer", found.first_answer or "not known", False),
        ("Last answer", found.last_answer or "not known", False),
        ("Unblinded", found.unblinded or "not known", False),
        ("Readers", "simulated" if records.responses.simulated else "people, as far as the ledger can tell"
         if found.chain_head else "not known", False),
        ("Seed", "not stated" if result.seed is None else str(result.seed), False),
        ("Code", f"cspine-bench {result.package_version}, "
         + (f"commit {result.commit}" if result.commit else "commit not known"), False),
        ("Device", result.device or "not stated", False),
        ("Duration", "not stated" if result.seconds is None else f"{format_number(result.seconds)} s", False),
        ("Settings", describe_settings(asked) or "none", False),
    ]  # fmt: skip
    return rows
