"""One synthetic source against the real images, by what was picked and by how it was rated."""

from dataclasses import dataclass
from typing import Final

from cspine_bench.metrics.equivalence import Standing, find_standing
from cspine_bench.study.analysis.figure_list import FigureList
from cspine_bench.study.analysis.means import name_margin
from cspine_bench.study.analysis.table import StudyTable
from cspine_bench.study.page.records import VerdictKind
from cspine_bench.study.recipe import AnalysisRecipe

KINDS: Final[dict[Standing, VerdictKind]] = {
    "different": "distinguishable",
    "equivalent": "equivalent",
    "both": "detectable-but-small",
    "inconclusive": "inconclusive",
}


@dataclass(frozen=True)
class SourceStanding:
    """What can be said of a source; both p values are corrected for the number of sources.

    Attributes:
        source: its name.
        ratings: what its ratings say; None: not defined.
        picked: whether real images were picked over it beyond chance; None: not defined.
        text: both with their numbers, in one sentence.
    """

    source: str
    ratings: VerdictKind | None
    picked: bool | None
    text: str


def judge_source(
    figures: FigureList, table: StudyTable, recipe: AnalysisRecipe, source: str, key: str, *, shut: bool
) -> SourceStanding:
    """What the figures say of one source.

    Args:
        figures: all of the analysis.
        table: the answers.
        recipe: margin and error rate.
        source: its name.
        key: how it is spelled in names of figures.
        shut: the positive control failed, so that no finding is read off these numbers.
    """
    name = f"pick.{key}.label_test"
    picked = figures.value(f"{name}.holm")
    count, total, mean = (figures.value(f"{name}.{one}") for one in ("k", "n", "mean"))
    parts = []
    if picked is not None and count is not None and total is not None and mean is not None:
        what = (
            f"{count:,.0f} of {total:,.0f} answers to real images and to those of {source} were right"
            if table.design == "single"
            else f"the real image was picked in {count:,.0f} of {total:,.0f} answers that fell on it or on {source}"
        )
        parts.append(f"{what} (by chance {mean:,.1f}; one-sided, Holm, {spell_p(picked)})")
    standing, rated = _judge_ratings(figures, recipe, key, shut=shut)
    parts += [rated] if rated else []
    text = f"Against {source}: {'; '.join(parts) or 'nothing can be said of it alone'}."
    return SourceStanding(source, standing, None if picked is None or shut else picked <= recipe.alpha, text)


def _judge_ratings(
    figures: FigureList, recipe: AnalysisRecipe, key: str, *, shut: bool
) -> tuple[VerdictKind | None, str]:
    name, tost = f"diff.{key}", f"diff.{key}.tost{name_margin(recipe.rating_margin)}"
    part = "twoway" if figures.value(f"{name}.twoway.mean") is not None else "reader_t"
    mean, different = figures.value(f"{name}.{part}.mean"), figures.value(f"{name}.{part}.holm")
    if mean is None or different is None:
        return None, ""
    both = [figures.value(f"{tost}.{rule}holm") for rule in ("", "nn_")]
    known = [p for p in both if p is not None]
    equivalent = max(known) if len(known) == 2 else None
    standing = KINDS[
        find_standing(p_different=different, p_equivalent=1.0 if equivalent is None else equivalent, alpha=recipe.alpha)
    ]
    interval = figures.figures[f"{name}.{part}.mean"].interval
    level = f"{100 * figures.level:g} % interval of it alone"
    ends = "" if interval is None else f"{level} {interval.low:+.3f} to {interval.high:+.3f}; "
    text = f"real images were rated {mean:+.3f} steps from it ({ends}different, Holm, {spell_p(different)}"
    if equivalent is not None:
        margins = [figures.value(f"{tost}.{rule}min_margin") or 0.0 for rule in ("", "nn_")]
        text += (
            f"; within {recipe.rating_margin:g} steps by both rules, Holm, {spell_p(equivalent)}, smallest "
            f"margin of it alone {max(margins):.3f}"
        )
    if shut:
        return None, f"{text}); not read, as the positive control failed"
    return standing, f"{text}): by its ratings {standing.replace('-', ' ')}"


def spell_p(p: float | None) -> str:
    """`p = .038`, `p < .0001`, `p not defined`."""
    if p is None:
        return "p not defined"
    if p < 0.0001:
        return "p < .0001"
    digits = 4 if p < 0.01 else 3
    return f"p = {min(p, 1):.{digits}f}".replace(" 0.", " .")
