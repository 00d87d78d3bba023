"""What the figures say together, in words: positive control, then chance, then equivalence. Four verdicts, or none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cspine_bench.metrics.equivalence import find_standing
from cspine_bench.study.analysis.conduct import PositiveControl
from cspine_bench.study.analysis.figure_list import FigureList
from cspine_bench.study.analysis.means import name_margin
from cspine_bench.study.analysis.source_standing import KINDS, SourceStanding, judge_source, spell_p
from cspine_bench.study.analysis.table import StudyTable
from cspine_bench.study.page.records import Provenance, Step, VerdictKind
from cspine_bench.study.recipe import AnalysisRecipe

TASKS: Final = {
    "quartet": "picked the real image of four",
    "pair": "picked the real image of two",
    "single": "rightly called single images real or synthetic",
}


@dataclass(frozen=True)
class Verdict:
    """The finding.

    Attributes:
        kind: one of four, or none.
        text: in words, with numbers.
        steps: on the way to it.
        sources: each synthetic source.
        below_chance: whether fewer answers were right than by chance, two-sided.
    """

    kind: VerdictKind
    text: str
    steps: tuple[Step, ...]
    sources: tuple[SourceStanding, ...]
    below_chance: bool


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
    # The shorter of the two intervals may be short by chance, of few answers above all: both rules must show it.
    both = [figures.value(f"{tost}.{rule}p") for rule in ("", "nn_")]
    known = [p for p in both if p is not None]
    different, equivalent = figures.value("pick.label_test.p_greater"), max(known) if len(known) == 2 else None
    gate = _ask_control(control, recipe, table)
    shut = control.control == "failed"
    steps = (
        gate,
        _ask_chance(figures, recipe, different, shut=shut),
        _ask_equivalence(figures, table, recipe, tost, equivalent, shut=shut),
    )
    kind: VerdictKind = "no-verdict"
    if not shut and different is not None:
        standing = find_standing(
            p_different=different, p_equivalent=1.0 if equivalent is None else equivalent, alpha=recipe.alpha
        )
        kind = KINDS[standing]
    below = find_below_chance(figures, recipe)
    words = [_spell_kind(kind, figures, recipe, control, tost, below=below), _spell_finding(figures, table)]
    words += [step.text for step in steps[1:]] if kind != "no-verdict" else []
    words += _spell_limits(control, provenance)
    sources = tuple(judge_source(figures, table, recipe, source, keys[source], shut=shut) for source in table.sources)
    return Verdict(kind, " ".join(word for word in words if word), steps, sources, below is not None)


def find_below_chance(figures: FigureList, recipe: AnalysisRecipe) -> float | None:
    """Two-sided p of a count of right answers that is too small for chance; None: it is not.

    The primary test is one-sided and does not see it; but readers who are misled see a difference too.
    """
    two, count, mean = (figures.value(f"pick.label_test.{name}") for name in ("p_two", "k", "mean"))
    if two is None or count is None or mean is None or two > recipe.alpha or count >= mean:
        return None
    return two


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
    habit = (
        ""
        if control.habit_p is None
        else f", and were called synthetic more often than real images with {spell_p(control.habit_p)}"
    )
    few = (
        "; too few to tell: even if all were right, that would be no more than chance"
        if control.control == "too-few"
        else ""
    )
    return Step(
        name,
        "open" if few else "yes" if control.control == "passed" else "no",
        f"{test.correct:,} of {test.total:,} answers to positive controls were right ({_percent(test.share)}, "
        f"{100 * (1 - recipe.alpha):g} % interval {_percent(test.wilson.low)} to {_percent(test.wilson.high)}, against "
        f"chance {spell_p(test.p_greater)}; asked for: {asked}){habit}{few}.",
    )


def _ask_chance(figures: FigureList, recipe: AnalysisRecipe, p: float | None, *, shut: bool) -> Step:
    name = "Test against chance"
    if p is None:
        why = figures.not_defined.get("pick.label_test.p_greater") or figures.not_defined.get("pick.label_test.*", "")
        return Step(name, "open", f"The exact label-randomisation test is not defined: {why}.")
    text = f"Test against chance (exact, label randomisation, one-sided): {spell_p(p)}"
    below = find_below_chance(figures, recipe)
    if below is not None:
        text += f"; but fewer were right than by chance, two-sided {spell_p(below)}"
    if shut:
        return Step(name, "open", f"{text}; not read, as the positive control failed.")
    return Step(name, "yes" if p <= recipe.alpha else "no", f"{text}.")


def _ask_equivalence(
    figures: FigureList, table: StudyTable, recipe: AnalysisRecipe, tost: str, p: float | None, *, shut: bool
) -> Step:
    name, margin = "Equivalence", _points(recipe.accuracy_margin)
    if p is None:
        return Step(name, "open", f"Equivalence is not defined: {figures.not_defined.get(f'{tost}.p', '')}.")
    one, other = figures.value(f"{tost}.p"), figures.value(f"{tost}.nn_p")
    smallest = max(figures.value(f"{tost}.{rule}min_margin") or 0.0 for rule in ("", "nn_"))
    text = (
        f"Test of equivalence within {margin} (two one-sided tests, two-way random): {spell_p(one)}, and by the "
        f"non-negative rule, which must show it too, {spell_p(other)}; "
    )
    # No accuracy is farther from chance than that.
    possible = smallest < max(table.chance, 1 - table.chance)
    text += f"smallest margin supported: {_points(smallest)}" if possible else "no margin at all is supported"
    if shut:
        return Step(name, "open", f"{text}; not read, as the positive control failed.")
    return Step(name, "yes" if p <= recipe.alpha else "no", f"{text}.")


def _spell_kind(
    kind: VerdictKind,
    figures: FigureList,
    recipe: AnalysisRecipe,
    control: PositiveControl,
    tost: str,
    *,
    below: float | None,
) -> str:
    margin = _points(recipe.accuracy_margin)
    misled = (
        f"readers were right less often than by chance (two-sided {spell_p(below)}): they took synthetic images for "
        "real, and saw a difference"
    )
    if kind == "distinguishable":
        return (
            "Distinguishable. Readers were right more often than by chance; that it is by less than the margin of "
            f"{margin} was not shown."
        )
    if kind == "equivalent":
        seen = control.control == "passed"
        given = "" if seen else ", provided that these readers could have seen a difference"
        if below is not None:
            return (
                f"Equivalent within {margin}{given}, and below chance. A difference of {margin} or more was ruled out; "
                f"a smaller one was shown: {misled}."
            )
        return (
            f"Equivalent within {margin}{given}. A difference of {margin} or more was ruled out; that there is none "
            "was not shown."
        )
    if kind == "detectable-but-small":
        return f"Detectable but small. Readers were right more often than by chance, by less than {margin}."
    if kind == "inconclusive":
        if figures.value(f"{tost}.nn_p") is None:
            end = f"whether one of {margin} or more can be ruled out could not be asked."
        else:
            end = f"one of {margin} or more was not ruled out either."
        if below is not None:
            return f"Inconclusive. More right answers than by chance, as was asked, were not shown; but {misled}."
        return f"Inconclusive. No difference was shown, which does not mean that there is none: {end}"
    if control.control == "failed":
        return (
            "No assay sensitivity. The readers failed the positive control, so the study shows nothing about small "
            "differences."
        )
    return "No verdict. The primary test is not defined for these answers."


def _spell_finding(figures: FigureList, table: StudyTable) -> str:
    count, total = figures.value("acc.k") or 0, figures.value("acc.n") or 0
    name = f"{len(table.readers):,} reader{'s' if len(table.readers) != 1 else ''}"
    text = (
        f"{name} {TASKS[table.design]} in {count:,.0f} of {total:,.0f} answers to {len(table.cases):,} "
        f"{'images' if table.design == 'single' else 'display sets'} ({_percent(count / total if total else None)}, "
        f"{_spell_chance(figures, table)}"
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


def _spell_chance(figures: FigureList, table: StudyTable) -> str:
    mean, total = (figures.value(f"pick.label_test.{name}") for name in ("mean", "n"))
    if table.is_uneven and mean is not None and total:
        return f"by chance {_percent(mean / total)} of these answers, as {table.num_real:,} images are real"
    return f"chance {_percent(table.chance)}"


def _spell_limits(control: PositiveControl, provenance: Provenance) -> list[str]:
    limits = []
    if control.control == "missing":
        limits.append("No positive control was answered, so that assay sensitivity is not shown.")
    if control.control == "too-few":
        limits.append("Too few positive controls were answered to show assay sensitivity.")
    if not provenance.is_registered:
        limits.append("Not pre-registered: margins and tests may have been chosen after the answers were seen.")
    elif provenance.post_hoc:
        limits.append(f"Post hoc, not as the frozen protocol has it: {'; '.join(provenance.post_hoc)}.")
    return limits
