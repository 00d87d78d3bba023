"""Rows of the tables that a reader of the study's page looks at first, each from figures by name."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from cspine_bench.page.wording import DASH, MINUS, format_number, format_share
from cspine_bench.study.page.answers import ReaderRow, Share
from cspine_bench.study.page.figure_names import show_p
from cspine_bench.study.page.lookup import Lookup, Reading, Tost
from cspine_bench.study.recipe import AnalysisRecipe, Design

Row = tuple[str, ...]
POINTS: Final = 100.0
PICKS: Final = (
    ("image", "Kappa (Fleiss)", "pick.fleiss", "pick.fleiss_null"),
    ("image", "AC1 (Gwet)", "pick.ac1", ""),
    ("image", "Alpha (Krippendorff)", "pick.alpha", ""),
    ("right or wrong", "Kappa (Fleiss)", "correct.fleiss", "correct.fleiss_null"),
    ("pane", "Kappa (Fleiss)", "pos.fleiss", "pos.fleiss_null"),
)
"""(label, coefficient, stem of its figures, stem of the test of none) of agreement on picks."""
RATINGS: Final = (
    ("rating", "AC2, quadratic", "rate.ac2_quadratic", ""),
    ("rating", "Kappa, quadratic", "rate.fleiss_quadratic", ""),
    ("rating", "Alpha, ordinal", "rate.kripp_ordinal", ""),
    ("rating", "ICC(2,1)", "rate.icc.icc21", ""),
)
"""Likewise on ratings."""
SELF: Final = (
    ("rating, again", "Kappa, quadratic", "intra.kappa_quadratic_pooled", ""),
    ("rating, again", "Same rating", "intra.exact_agreement", ""),
    ("pick, again", "Same pick", "intra.same_pick", ""),
)
"""Likewise of readers with themselves."""


def show(value: float | None, *, factor: float = 1.0, unit: str = "") -> str:
    """A number of a table; a dash where there is none."""
    return DASH if value is None else format_number(factor * value) + unit


def show_percent(share: float) -> str:
    """A share in percent or points to one decimal, without the sign of percent."""
    return f"{POINTS * share:.1f}".replace("-0.0", "0.0").replace("-", MINUS)


def show_margin(share: float | None) -> str:
    """The smallest margin supported, in points, rounded up: the one below is not supported."""
    return DASH if share is None else f"±{math.ceil(10 * POINTS * share - 1e-9) / 10:.1f}"


def show_p_or_dash(value: float | None) -> str:
    """A p value; a dash where there is none."""
    return DASH if value is None else show_p(value)


def show_span(low: float | None, high: float | None, *, factor: float = 1.0, unit: str = "") -> str:
    """Both ends of an interval, to two digits of its width; percent to one decimal."""
    if low is None or high is None:
        return DASH
    if factor == POINTS:
        return " to ".join(show_percent(end) + unit for end in (low, high))
    width = factor * (high - low) or None
    return " to ".join(format_number(factor * end, width=width) + unit for end in (low, high))


def show_p_pair(p: float | None, adjusted: float | None) -> str:
    """A p value, and in brackets the same corrected for the number of sources."""
    return show_p_or_dash(p) + ("" if p is None or adjusted is None else f" ({show_p(adjusted)})")


def list_tests(lookup: Lookup, design: Design) -> list[Row]:
    """Right answers against chance: (test, what it allows for, one-sided p, two-sided p), the primary one first."""
    where = "over images" if design == "single" else "within display sets"
    known = (
        (f"Label randomisation {where} (primary)", "any dependence between readers", "pick.label_test", ""),
        ("Two-way t test", "readers and cases varying", "acc.twoway", ""),
        ("Two-way t test, non-negative rule", "readers and cases varying", "acc.twoway", "nn_"),
        ("Binomial test (naive)", "nothing: answers as if independent", "acc.binom", ""),
    )
    rows: list[Row] = []
    for name, allows, stem, rule in known:
        two, greater = lookup.value(f"{stem}.{rule}p_two"), lookup.value(f"{stem}.{rule}p_greater")
        if two is not None or greater is not None:
            rows.append((name, allows, show_p_or_dash(greater), show_p_or_dash(two)))
    return rows


def list_intervals(lookup: Lookup) -> list[Row]:
    """Accuracy: (method, for whom it speaks, value, interval)."""
    accuracy = lookup.read("acc.twoway") or lookup.read("acc.binom")
    if accuracy is None:
        return []
    naive = (lookup.value("acc.binom.wilson_lo"), lookup.value("acc.binom.wilson_hi"))
    exact = (lookup.value("acc.binom.cp_lo"), lookup.value("acc.binom.cp_hi"))
    known = (
        ("Two-way random (Obuchowski, Rockette, Hillis)", "other readers, other cases", lookup.read("acc.twoway")),
        ("Two-way random, non-negative rule", "other readers, other cases", lookup.read("acc.twoway", rule="nn_")),
        ("t of readers’ means", "other readers, these cases", lookup.read("acc.reader_t")),
        ("t of cases’ means", "these readers, other cases", lookup.read("acc.case_t")),
        ("Wilson (naive)", "independent answers", Reading(accuracy.value, *naive, None, None)),
        ("Clopper-Pearson (naive)", "independent answers", Reading(accuracy.value, *exact, None, None)),
    )  # fmt: skip
    rows: list[Row] = []
    t_ends = {stem: (lookup.value(f"{stem}.lo"), lookup.value(f"{stem}.hi")) for stem in ("acc.reader_t", "acc.case_t")}
    for (name, speaks, found), stem in zip(known, ("", "", "acc.reader_t", "acc.case_t", "", ""), strict=True):
        low, high = t_ends[stem] if stem else (None, None)
        if found is not None and found.ends is not None:
            low, high = found.ends
        value = accuracy.value if found is None else found.value
        if low is not None and high is not None:
            rows.append(
                (name, speaks, show(value, factor=POINTS, unit=" %"), f"{show_span(low, high, factor=POINTS)} %")
            )
    return rows


def find_accuracy_tost(lookup: Lookup, analysis: AnalysisRecipe, rule: str) -> Tost | None:
    """Two one-sided tests of the accuracy by a rule: `twoway`, `nn` or `naive`."""
    stems = {
        "twoway": (("acc.twoway_tost", ""),),
        "nn": (("acc.twoway_tost", "nn_"), ("acc.nn_tost", ""), ("acc.twoway_nn_tost", "")),
        "naive": (("acc.tost", ""), ("acc.binom_tost", "")),
    }[rule]
    found = (lookup.tost(stem, margin=analysis.accuracy_margin, rule=prefix) for stem, prefix in stems)
    return next((one for one in found if one is not None), None)


def list_equivalences(lookup: Lookup, analysis: AnalysisRecipe) -> list[Row]:
    """Two one-sided tests: (rule, margin, p, interval of the distance from chance, smallest margin)."""
    rows: list[Row] = []
    for name, rule in (
        ("Two-way random", "twoway"),
        ("Two-way random, non-negative rule", "nn"),
        ("Binomial (naive)", "naive"),
    ):
        tost = find_accuracy_tost(lookup, analysis, rule)
        if tost is not None:
            span = show_span(tost.low, tost.high, factor=POINTS)
            rows.append(
                (name, f"±{POINTS * tost.margin:g}", show_p_or_dash(tost.p), span,
                 show_margin(tost.smallest))
            )  # fmt: skip
    return rows


def list_scales(lookup: Lookup) -> list[Row]:
    """d', the mixed model and Bayes factors, where the result has them: (quantity, value)."""
    known = (
        ("d′ of the design", ("acc.dprime", "acc.dprime4", "acc.dprime2")),
        ("Design effect: variance of the count over that of independent answers", ("pick.label_test.deff",)),
        ("Crossed logit model: intercept of a middling reader and case", ("acc.glmm.beta[0]", "acc.glmm.beta0")),
        ("Crossed logit model: SD of readers, logit", ("acc.glmm.sd[0]", "acc.glmm.sd_reader")),
        ("Crossed logit model: SD of cases, logit", ("acc.glmm.sd[1]", "acc.glmm.sd_case", "acc.glmm.sd_quartet")),
        ("Crossed logit model: accuracy over readers and cases", ("acc.glmm.probability", "acc.glmm.mean")),
        ("Bayes factor against chance, uniform prior (answers as if independent)", ("acc.bf10_beta11",)),
    )  # fmt: skip
    rows: list[Row] = []
    for name, names in known:
        figure = lookup.figure(*names)
        if figure is not None:
            share = figure.unit == "share" or names[0].endswith("probability")
            text = format_share(figure.value) if share else format_number(figure.value)
            if figure.interval is not None:
                ends = show_span(figure.interval.low, figure.interval.high, factor=POINTS if share else 1)
                text += f" ({ends}{' %' if share else ''})"
            rows.append((name, text))
    return rows


def list_reader_rows(rows: Sequence[ReaderRow], level: str) -> tuple[Row, list[Row]]:
    """Heads and a row for each reader, intervals of a level in percent; columns that nobody has are left out."""
    columns: list[tuple[str, list[str]]] = [
        ("Reader", [row.reader for row in rows]),
        ("Right", [_count(row.accuracy) for row in rows]),
        (f"Accuracy, Wilson {level} %", [_share(row.accuracy) for row in rows]),
    ]
    if any(row.control.total for row in rows):
        columns.append(("Positive controls", [_count(row.control) for row in rows]))
    if any(row.same_pick.total for row in rows):
        columns.append(("Same answer again", [_count(row.same_pick) for row in rows]))
    if any(row.mean_rating is not None for row in rows):
        columns.append(("Mean rating", [show(row.mean_rating) for row in rows]))
        columns.append(("Steps used", [str(row.steps_used) for row in rows]))
    if any(row.times is not None for row in rows):
        medians = [DASH if row.times is None else f"{format_number(row.times.quantiles[2])} s" for row in rows]
        columns.append(("Median time", medians))
    if rows and len(rows[0].panes) > 1:
        columns.append(("Picks per pane", [" · ".join(map(str, row.panes)) for row in rows]))
    heads = tuple(head for head, _ in columns)
    return heads, [tuple(values[place] for _, values in columns) for place in range(len(rows))]


def _count(share: Share) -> str:
    return f"{share.count:,} of {share.total:,}" if share.total else DASH


def _share(share: Share) -> str:
    if share.share is None:
        return DASH
    return f"{format_share(share.share.value)} ({show_span(share.share.low, share.share.high, factor=POINTS)})"


def list_picks(picks: Sequence[tuple[str, Share, float | None]], lookup: Lookup, names: Mapping[str, str]) -> list[Row]:
    """(source, picks, share, interval, share of the images shown, one-sided p of the source alone, after Holm)."""
    rows: list[Row] = []
    for source, share, expected in picks:
        stem = f"pick.{lookup.key('source', source)}.label_test"
        p, holm = lookup.value(f"{stem}.p_greater"), lookup.value(f"{stem}.holm")
        value = DASH if share.share is None else format_share(share.share.value)
        ends = DASH if share.share is None else show_span(share.share.low, share.share.high, factor=POINTS, unit=" %")
        images = DASH if expected is None else format_share(expected)
        name = names.get(source, source)
        rows.append((name, _count(share), value, ends, images, show_p_or_dash(p), show_p_or_dash(holm)))
    return rows


def list_differences(
    lookup: Lookup, sources: Sequence[str], names: Mapping[str, str], analysis: AnalysisRecipe
) -> list[Row]:
    """(source, its mean, difference, two intervals, p, equivalence p, smallest margin, signed-rank p).

    Equivalence is that of both rules for the variance: the larger p value, and the larger margin.
    """
    rows: list[Row] = []
    unit, margin = analysis.rating_unit, analysis.rating_margin
    own = dict.fromkeys((f"tost{100 * margin:02.0f}", f"tost{100 * margin:.6g}", "tost"))
    for place, source in enumerate(sources):
        key = lookup.key("source", source)
        found, safe = lookup.read(f"diff.{key}.twoway"), lookup.read(f"diff.{key}.twoway", rule="nn_")
        mean = lookup.value(f"rate.mean.{key}")
        if found is None and mean is None:
            continue
        tosts = [lookup.tost(f"diff.{key}.tost", margin=margin, rule=rule) for rule in ("", "nn_")]
        ends = [DASH if one is None else show_span(one.low, one.high) for one in (found, safe)]
        exact = lookup.value(f"wil.{unit}.wilcox.perm.{key}")
        holm = lookup.indexed(f"wil.{unit}.wilcox.perm.holm", place, source=source)
        different = lookup.value(f"diff.{key}.twoway.holm")
        equivalent = _largest(*(lookup.value(f"diff.{key}.{name}.{rule}holm") for name in own for rule in ("", "nn_")))
        rows.append(
            (names.get(source, source), show(mean), show(None if found is None else found.value), *ends,
             show_p_pair(None if found is None else found.p_two, different),
             show_p_pair(_largest(*(tost.p for tost in tosts if tost is not None)), equivalent),
             show(_largest(*(tost.smallest for tost in tosts if tost is not None))), show_p_pair(exact, holm))
        )  # fmt: skip
    return rows


def _largest(*values: float | None) -> float | None:
    """What holds by both rules for the variance; None: not defined by either."""
    return max((value for value in values if value is not None), default=None)


def list_agreement(lookup: Lookup) -> list[Row]:
    """(of what, coefficient, value, interval, z if there were none, p of none)."""
    rows: list[Row] = []
    for label, name, stem, null in (*PICKS, *RATINGS, *SELF):
        found = read_agreement(lookup, stem, null)
        if found is not None:
            z, p = (lookup.value(f"{null}.{last}") if null else None for last in ("z", "p"))
            rows.append((label, name, show(found.value), show_span(found.low, found.high), show(z), show_p_or_dash(p)))
    return rows


def read_agreement(lookup: Lookup, stem: str, null: str) -> Reading | None:
    """A coefficient; without an interval where only its test of none is there."""
    return lookup.read(stem) or (lookup.read(null) if null else None)


def list_wilcoxon(lookup: Lookup, sources: Sequence[str], names: Mapping[str, str]) -> list[Row]:
    """(source, unit and rule; p by normal, with continuity correction, exact, normal after Holm)."""
    rows: list[Row] = []
    for place, source in enumerate(sources):
        key = lookup.key("source", source)
        for unit, unit_words in (("reader", "readers"), ("quartet", "display sets")):
            for zeros, zeros_words in (("wilcox", "dropped"), ("pratt", "ranked")):
                stem = f"wil.{unit}.{zeros}"
                values = [
                    lookup.value(f"{stem}.cc0.{key}.p"), lookup.value(f"{stem}.cc1.{key}.p"),
                    lookup.value(f"{stem}.perm.{key}"), lookup.indexed(f"{stem}.cc0.holm", place, source=source),
                ]  # fmt: skip
                if any(value is not None for value in values):
                    name = f"{names.get(source, source)}, {unit_words}, {zeros_words}"
                    rows.append((name, *map(show_p_or_dash, values)))
    return rows


def list_paper(lookup: Lookup, sources: Sequence[str], names: Mapping[str, str]) -> list[Row]:
    """(quantity, value) as the paper's abstract reports them."""
    rows: list[Row] = []
    right, total = lookup.value("acc.k"), lookup.value("acc.n")
    if right is not None and total:
        rows.append(("Real image picked", f"{right:,.0f} of {total:,.0f}, {format_share(right / total)}"))
    kappa = lookup.value("pick.fleiss.est", "pick.fleiss_null.est")
    if kappa is not None:
        rows.append(("Fleiss’ kappa, taken to be of the image", f"{kappa:.3f}".replace("-", "−")))
    for source in sources:
        mean = lookup.value(f"rate.mean.{lookup.key('source', source)}")
        if mean is not None:
            rows.append((f"Mean rating, {names.get(source, source)}", f"{mean:.3f}"))
    return rows
