"""What the figures say together, in words: positive control, then chance, then equivalence. Four verdicts, or none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cspine_bench.metrics.equivalence import Standing, find_standing
from cspine_bench.study.analysis.conduct import PositiveControl
from cspine_bench.study.analysis.figure_list import FigureList
from cspine_bench.study.analysis.means import name_margin
from cspine_bench.study.analysis.table import StudyTable
from cspine_bench.study.page.records import Provenance, Step, VerdictKind
from cspine_bench.study.recipe import AnalysisRecipe

KINDS: Final[dict[Standing, VerdictKind]] = {
    "different": "distinguishable",
    "equivalent": "equivalent",
    "both": "detectable-but-small",
    "inconclusive": "inconclusive",
}
TASKS: Final = {
    "quartet": "picked the real image of four",
    "pair": "picked the real image of two",
    "single": "rightly called single images real or synthetic",
}


@dataclass(frozen=True)
class SourceStanding:
    """One synthetic source against the real images.

    Attributes:
        source: its name.
        ratings: what its ratings say, corrected for the number of sources; None: not defined.
        picked: whether real images were picked over it beyond chance, likewise; None: not defined.
        text: both with their numbers, in one sentence.
    """

    source: str
    ratings: VerdictKind | None
    picked: bool | None
    text: str


@dataclass(frozen=True)
class Verdict:
    """The finding.

    Attributes:
        kind: one of four, or none.
        text: in words, with numbers.
        steps: on the way to it.
        sources: each synthetic source.
    """

    kind: VerdictKind
    text: str
    steps: tuple[Step, ...]
    sources: tuple[SourceStanding, ...]


def reach_verdict(
    figures: FigureList,
    table: StudyTable,
    recipe: AnalysisRecipe,
    control: PositiveControl,
    provenance: Provenance,
    keys: Mapping[str, str],
) -> Verdict:
    """Go through the gate and the two questions, and say what came out; want of a difference is not sameness."""
    tost = f"acc.twoway_tost{name_margin(recipe.accuracy_margin)}"
    different, equivalent = figures.value("pick.label_test.p_greater"), figures.value(f"{tost}.p")
    gate = _ask_control(control, recipe, table)
    shut = control.control == "failed"
    steps = (
        gate,
        _ask_chance(figures, table, recipe, different, shut=shut),
        _ask_equivalence(figures, recipe, tost, equivalent, shut=shut),
    )
    kind: VerdictKind = "no-verdict"
    if not shut and different is not None:
        standing = find_standing(
            p_different=different, p_equivalent=1.0 if equivalent is None else equivalent, alpha=recipe.alpha
        )
        kind = KINDS[standing]
    words = [_spell_kind(kind, figures, recipe, control, tost), _spell_finding(figures, table)]
    words += [step.text for step in steps[1:]] if kind != "no-verdict" else []
    words += _spell_limits(figures, recipe, control, provenance)
    sources = tuple(_judge_source(figures, recipe, source, keys[source]) for source in table.sources)
    return Verdict(kind, " ".join(word for word in words if word), steps, sources)


def spell_p(p: float | None) -> str:
    """`p = .038`, `p < .0001`, `p not defined`."""
    if p is None:
        return "p not defined"
    if p < 0.0001:
        return "p < .0001"
    digits = 4 if p < 0.01 else 3
    return f"p = {min(p, 1):.{digits}f}".replace(" 0.", " .")


def _percent(share: float | None) -> str:
    return "not defined" if share is None else f"{100 * share:.1f} %"


def _points(width: float) -> str:
    return f"{100 * width:.3g} points"


def _ask_control(control: PositiveControl, recipe: AnalysisRecipe, table: StudyTable) -> Step:
    name, test = "Positive control", control.test
    asked = f"at least {recipe.control_accuracy:.0%}, and above the chance of {table.chance:.0%}"
    if test is None or test.wilson is None:
        return Step(
            name, "open", "No positive control was answered: whether these readers would have seen a plain difference "
            "is not known.",
        )  # fmt: skip
    return Step(
        name,
        "yes" if control.control == "passed" else "no",
        f"{test.correct:,} of {test.total:,} answers to positive controls were right ({_percent(test.share)}, "
        f"{100 * (1 - recipe.alpha):g} % interval {_percent(test.wilson.low)} to {_percent(test.wilson.high)}, against "
        f"chance {spell_p(test.p_greater)}; asked for: {asked}).",
    )


def _ask_chance(figures: FigureList, table: StudyTable, recipe: AnalysisRecipe, p: float | None, *, shut: bool) -> Step:
    name = "Test against chance"
    if p is None:
        why = figures.not_defined.get("pick.label_test.p_greater") or figures.not_defined.get("pick.label_test.*", "")
        return Step(name, "open", f"The exact label-randomisation test is not defined: {why}.")
    text = f"Test against chance (exact, label randomisation, one-sided): {spell_p(p)}"
    less = figures.value("pick.label_test.p_less")
    if p > recipe.alpha and less is not None and less <= recipe.alpha:
        text += (
            f"; but below chance with {spell_p(less)}: readers who take synthetic images for real more often than by "
            "chance see a difference too"
        )
    if shut:
        return Step(name, "open", f"{text}; not read, as the positive control failed.")
    return Step(name, "yes" if p <= recipe.alpha else "no", f"{text}.")


def _ask_equivalence(figures: FigureList, recipe: AnalysisRecipe, tost: str, p: float | None, *, shut: bool) -> Step:
    name, margin = "Equivalence", _points(recipe.accuracy_margin)
    if p is None:
        return Step(name, "open", f"Equivalence is not defined: {figures.not_defined.get(f'{tost}.p', '')}.")
    smallest, other = figures.value(f"{tost}.min_margin"), figures.value(f"{tost}.nn_p")
    text = f"Test of equivalence within {margin} (two one-sided tests): {spell_p(p)}"
    text += f", by the non-negative rule {spell_p(other)}" if other is not None else ""
    text += f"; smallest margin supported: {_points(smallest)}" if smallest is not None else ""
    if shut:
        return Step(name, "open", f"{text}; not read, as the positive control failed.")
    return Step(name, "yes" if p <= recipe.alpha else "no", f"{text}.")


def _spell_kind(
    kind: VerdictKind, figures: FigureList, recipe: AnalysisRecipe, control: PositiveControl, tost: str
) -> str:
    margin = _points(recipe.accuracy_margin)
    if kind == "distinguishable":
        return (
            f"Distinguishable: readers were right more often than by chance, and by less than {margin} was not shown."
        )
    if kind == "equivalent":
        given = ", provided that these readers could have seen a difference" if control.control == "missing" else ""
        return (
            f"Equivalent within the margin{given}: a difference of {margin} or more was ruled out, which is not to "
            "say that there is none."
        )
    if kind == "detectable-but-small":
        return f"Detectable but small: readers were right more often than by chance, by less than {margin}."
    if kind == "inconclusive":
        undefined = figures.value(f"{tost}.p") is None
        ruled = "whether one of" if undefined else "one of"
        end = "is there could not be tested" if undefined else "or more was not ruled out either"
        return f"Inconclusive: no difference was shown, which is not to say that there is none: {ruled} {margin} {end}."
    if control.control == "failed":
        return (
            "No assay sensitivity: the readers failed the positive control, so the study shows nothing about small "
            "differences."
        )
    return "No verdict: the primary test is not defined for these answers."


def _spell_finding(figures: FigureList, table: StudyTable) -> str:
    count, total = figures.value("acc.k") or 0, figures.value("acc.n") or 0
    name = f"{len(table.readers):,} reader{'s' if len(table.readers) != 1 else ''}"
    text = (
        f"{name} {TASKS[table.design]} in {count:,.0f} of {total:,.0f} answers to {len(table.cases):,} "
        f"{'images' if table.design == 'single' else 'display sets'} ({_percent(count / total if total else None)}, "
        f"chance {_percent(table.chance)}"
    )
    low, high = figures.value("acc.twoway.lo"), figures.value("acc.twoway.hi")
    if low is not None and high is not None:
        text += (
            f"; {100 * figures.level:g} % interval for other readers and cases {_percent(max(0.0, low))} to "
            f"{_percent(min(1.0, high))}"
        )
        wide = figures.value("acc.twoway.nn_lo"), figures.value("acc.twoway.nn_hi")
        if wide[0] is not None and wide[1] is not None:
            text += f", by the non-negative rule {_percent(max(0.0, wide[0]))} to {_percent(min(1.0, wide[1]))}"
    else:
        text += f"; no interval: {figures.not_defined.get('acc.twoway.lo', '')}"
    return f"{text})."


def _spell_limits(
    figures: FigureList, recipe: AnalysisRecipe, control: PositiveControl, provenance: Provenance
) -> list[str]:
    limits = []
    if control.control == "missing":
        limits.append("No positive control was answered, so that assay sensitivity is not shown.")
    if not provenance.is_registered:
        limits.append("Not pre-registered: margins and tests may have been chosen after the answers were seen.")
    elif provenance.post_hoc:
        limits.append(f"Post hoc, not as the frozen protocol has it: {'; '.join(provenance.post_hoc)}.")
    return limits


def _judge_source(figures: FigureList, recipe: AnalysisRecipe, source: str, key: str) -> SourceStanding:
    """One synthetic source by its ratings (different, equivalent) and by the picks of real images over it."""
    alpha, tost = recipe.alpha, f"tost{name_margin(recipe.rating_margin)}"
    name = f"pick.{key}.label_test"
    p_picked, parts = figures.value(f"{name}.holm"), []
    count, total = figures.value(f"{name}.k"), figures.value(f"{name}.n")
    if p_picked is not None and count is not None and total is not None:
        parts.append(
            f"the real image was picked in {count:,.0f} of {total:,.0f} answers that fell on it or on one of {source} "
            f"(one-sided, Holm, {spell_p(p_picked)})"
        )
    mean, part = figures.value(f"diff.{key}.twoway.mean"), "twoway"
    if mean is None:
        mean, part = figures.value(f"diff.{key}.reader_t.mean"), "reader_t"
    different = figures.value(f"diff.{key}.{part}.holm")
    equivalent, smallest = figures.value(f"diff.{key}.{tost}.holm"), figures.value(f"diff.{key}.{tost}.min_margin")
    standing: VerdictKind | None = None
    if mean is not None and different is not None:
        standing = KINDS[
            find_standing(p_different=different, p_equivalent=1.0 if equivalent is None else equivalent, alpha=alpha)
        ]
        figure = figures.figures[f"diff.{key}.{part}.mean"]
        ends = "" if figure.interval is None else f"{figure.interval.low:+.3f} to {figure.interval.high:+.3f}"
        within = "" if equivalent is None else f"; within {recipe.rating_margin:g} steps, Holm, {spell_p(equivalent)}"
        supported = "" if smallest is None else f", smallest margin {smallest:.3f}"
        parts.append(
            f"real images were rated {mean:+.3f} steps from it ({100 * figures.level:g} % interval {ends}; different, "
            f"Holm, {spell_p(different)}{within}{supported}): by its ratings {standing.replace('-', ' ')}"
        )
    text = f"{source}: {'; '.join(parts)}." if parts else f"{source}: nothing can be said of it alone."
    return SourceStanding(source, standing, None if p_picked is None else p_picked <= alpha, text)
