"""What a power calculation says, in words: what was asked, and what the design of arXiv 2510.22166 could show."""

from collections.abc import Sequence
from typing import Final

from cspine_bench.results import Figure
from cspine_bench.study.recipe import Design
from cspine_bench.study.simulate.power import BOTH, LABEL_TEST, NONNEGATIVE
from cspine_bench.study.simulate.power_recipe import PowerRecipe

PAPER: Final = (8, 50)
"""Readers and quartets of arXiv 2510.22166."""

_SETS: Final[dict[Design, str]] = {"quartet": "quartets", "pair": "pairs", "single": "single images"}


def say_power(
    recipe: PowerRecipe, figures: Sequence[Figure], cells: Sequence[tuple[int, int]], not_reached: Sequence[str]
) -> str:
    """A few sentences, every number of which is one of the figures.

    Args:
        recipe: what was asked.
        figures: of the result.
        cells: readers and cases of each design.
        not_reached: what no design that was looked at can show.
    """
    # Of a whole grid the page and the table tell; in words, what was published, and what is needed.
    alone = cells if len(recipe.readers) * len(recipe.cases) == 1 else [cell for cell in cells if cell == PAPER]
    told = [_say_design(recipe, figures, readers, cases) for readers, cases in alone]
    told += [_say_needed(recipe, figures, cases) for cases in recipe.cases]
    told += [f"{text[0].upper()}{text[1:]}." for text in not_reached]
    told.append(
        f"All of it holds if readers differ by {recipe.reader_sd:g} and cases by {recipe.case_sd:g} (standard "
        "deviations on the logit of a right answer), which nobody knows before the study."
    )
    return " ".join(text for text in told if text)


def _say_design(recipe: PowerRecipe, figures: Sequence[Figure], readers: int, cases: int) -> str:
    def find(name: str, method: str, **more: str) -> float | None:
        where = {"readers": f"{readers}", "cases": f"{cases}", "method": method} | more
        return next((f.value for f in figures if f.name == name and where.items() <= f.condition.items()), None)

    paper = recipe.design == "quartet" and (readers, cases) == PAPER
    name = f"{readers} readers with {cases} {_SETS[recipe.design]}{', as in arXiv 2510.22166,' if paper else ''}"
    detected = []
    for accuracy in recipe.asked_accuracies:
        label = find("power_detect", LABEL_TEST, accuracy=f"{accuracy:g}")
        mean = find("power_detect", NONNEGATIVE, accuracy=f"{accuracy:g}")
        if label is not None and mean is not None:
            detected.append(f"{_points(accuracy)} in {_percent(label)} of studies ({_percent(mean)})")
    shown = []
    for margin in recipe.margins:
        share = find("power_equivalence", BOTH, margin=f"{margin:g}")
        if share is not None:
            shown.append(f"{100 * margin:g} points in {_percent(share)}")
    width = find("interval_width", NONNEGATIVE, accuracy=f"{recipe.chance:g}")
    tail = "" if width is None else f", with an interval {100 * width:.0f} points wide on average"
    return (
        f"{name} find an accuracy of {', of '.join(detected)} by the label test about these readers (in brackets: by "
        "the two-way analysis about all readers); if readers are at chance they show equivalence within "
        f"{', within '.join(shown)} of studies{tail}."
    )


def _say_needed(recipe: PowerRecipe, figures: Sequence[Figure], cases: int) -> str:
    needed = [
        figure
        for figure in figures
        if figure.name == "readers_needed"
        and figure.condition["cases"] == f"{cases}"
        and figure.condition["method"] in (NONNEGATIVE, BOTH)
    ]
    aims = []
    for figure in needed:
        accuracy, margin = (figure.condition.get(name) for name in ("accuracy", "margin"))
        aim = f"detect {_points(float(accuracy))}" if accuracy else f"show equivalence within {_margin(margin)} points"
        aims.append(f"{figure.value:.0f} readers to {aim}")
    if not aims:
        return ""
    power = f"a power of {100 * recipe.power:g} % takes"
    return f"With {cases} {_SETS[recipe.design]}, {power} {', '.join(aims)} by the two-way analysis."


def _margin(margin: str | None) -> str:
    return f"{100 * float(margin or 0):g}"


def _points(share: float) -> str:
    return f"{100 * share:g} %"


def _percent(share: float) -> str:
    """Never 0 % or 100 % of a simulation, which cannot know."""
    if share < 0.005:
        return "under 1 %"
    return "over 99 %" if share > 0.995 else f"{100 * share:.0f} %"
