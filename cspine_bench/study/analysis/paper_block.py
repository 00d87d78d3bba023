"""The analysis of arXiv 2510.22166 for comparison, and what other studies of this kind found."""

from typing import Any, Final

from cspine_bench.study.analysis.figure_list import FigureList

WHY_IT_DIFFERS: Final = (
    "As in arXiv 2510.22166: a two-sided binomial test, Fleiss' kappa, and Wilcoxon tests by reader with a normal "
    "approximation. It takes answers to one case as independent, asks on both sides where the question is whether "
    "readers are above chance, takes a p value above .05 for no difference, and ranks one mean per reader, of which "
    "few readers cannot give a small p value whatever they saw; so it differs from the analysis above."
)


def build_paper_block(figures: FigureList, sources: list[str]) -> dict[str, Any]:
    """Names of the figures that make up the paper's own analysis, those that are there, and why it differs."""
    names = ["acc.binom.phat", "acc.binom.p_two", "pick.fleiss_null.est", "pick.fleiss_null.p"]
    names += [f"rate.mean.{key}" for key in ("real", *sources)]
    names += [f"wil.reader.wilcox.cc0.{key}.p" for key in sources]
    names += [f"wil.reader.wilcox.cc0.holm[{place}]" for place in range(len(sources))]
    return {"figures": [name for name in names if name in figures.figures], "why": WHY_IT_DIFFERS}
