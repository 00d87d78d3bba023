"""What the aggregates of a published study support: so many right answers of so many, and what readers share."""

import math
from dataclasses import dataclass
from typing import Any

from scipy import stats

from cspine_bench.errors import DataError
from cspine_bench.metrics.chance import binomial_equivalence, binomial_test
from cspine_bench.metrics.intervals import wilson_interval
from cspine_bench.study.analysis.means import name_margin
from cspine_bench.study.recipe import CHANCE, AnalysisRecipe, Design


@dataclass(frozen=True)
class Aggregates:
    """Figures by name, and what they say.

    Attributes:
        figures: `p_greater`, `p_two`, ends of intervals, margins; those that start with `deff` allow for what readers
            share.
        not_defined: why, by name.
        verdict: in words.
    """

    figures: dict[str, float]
    not_defined: dict[str, str]
    verdict: str

    def describe(self) -> dict[str, Any]:
        """JSON of it."""
        return {"figures": self.figures, "not_defined": self.not_defined, "verdict": self.verdict}


def analyse_aggregates(
    *, correct: int, answers: int, design: Design, kappa: float | None, readers: int | None, recipe: AnalysisRecipe
) -> Aggregates:
    """Exact tests and intervals of a share, naive and with a design effect.

    The variance of a count of picks of the real image is 1 + (readers - 1) kappa times that of independent answers, if
    kappa is of the image picked and every reader saw every case. That readers may differ in skill is not in it.

    Args:
        correct: right answers, at most `answers`.
        answers: all of them.
        design: tells the chance.
        kappa: agreement beyond chance on the image picked; None: not known.
        readers: that read every case; None likewise.
        recipe: margin and error rate.

    Raises:
        DataError: more right answers than answers.
    """
    if correct > answers:
        raise DataError(f"--correct {correct} is more than --answers {answers}; give the number of right answers first")
    chance, alpha = CHANCE[design], recipe.alpha
    test = binomial_test(correct=correct, total=answers, chance=chance, confidence=1 - alpha)
    margins = dict.fromkeys((recipe.accuracy_margin, 0.05, 0.10))
    within = {
        margin: binomial_equivalence(correct=correct, total=answers, chance=chance, margin=margin, alpha=alpha)
        for margin in margins
    }
    values: dict[str, float | None] = {
        "share": test.share, "p_greater": test.p_greater, "p_two": test.p_two, "p_less": test.p_less,
    }  # fmt: skip
    for name, ends in (("cp", test.clopper_pearson), ("wilson", test.wilson), ("jeffreys", test.jeffreys)):
        values |= {} if ends is None else {f"{name}_lo": ends.low, f"{name}_hi": ends.high}
    values |= {f"tost{name_margin(margin)}_p": found.p for margin, found in within.items()}
    values["min_margin"] = within[recipe.accuracy_margin].smallest_margin
    reasons = {"deff.*": "needs --kappa and --readers"}
    if kappa is not None and readers is not None:
        reasons = {}
        effect = 1 + (readers - 1) * kappa
        # Never fewer than one answer, and never more than there were: a negative kappa is no gain to count on.
        effective = min(float(answers), max(1.0, answers / effect if effect > 0 else float(answers)))
        share = correct / answers
        values |= {"deff": effect, "deff_answers": effective}
        ends = wilson_interval(successes=share * effective, total=effective, confidence=1 - alpha)
        values |= {"deff_wilson_lo": ends.low, "deff_wilson_hi": ends.high}
        z = (share - chance) / math.sqrt(chance * (1 - chance) / effective)
        values |= {"deff_p_greater": float(stats.norm.sf(z)), "deff_p_two": float(2 * stats.norm.sf(abs(z)))}
        if 0 < correct < answers:
            error = math.sqrt(share * (1 - share) / effective)
            half, reach = (float(stats.norm.isf(tail)) * error for tail in (alpha / 2, alpha))
            values |= {"deff_lo": share - half, "deff_hi": share + half, "deff_min_margin": abs(share - chance) + reach}
        else:
            reasons["deff_min_margin"] = "no answer is right, or none is wrong, so that a normal interval has no width"
    figures = {name: value for name, value in values.items() if value is not None}
    return Aggregates(figures, reasons, _spell(figures, correct, answers, chance, recipe))


def _spell(figures: dict[str, float], correct: int, answers: int, chance: float, recipe: AnalysisRecipe) -> str:
    p, shared = figures["p_greater"], figures.get("deff_p_greater")
    text = (
        f"{correct:,} of {answers:,} answers right ({100 * correct / answers:.1f} %, chance {100 * chance:.0f} %): "
        f"exact one-sided p {p:.4f}, two-sided {figures['p_two']:.4f}, if all answers were independent."
    )
    smallest = figures["min_margin"]
    if shared is not None:
        smallest = max(smallest, figures.get("deff_min_margin", smallest))
        text += (
            f" With a design effect of {figures['deff']:.2f} for what readers share: about {shared:.3f} and "
            f"{figures['deff_p_two']:.3f}; that readers differ in skill is not in it yet."
        )
    above, within = max(p, shared or 0.0) <= recipe.alpha, smallest <= recipe.accuracy_margin
    if above:
        ending = "above chance" + (", by less than the margin" if within else "")
    else:
        ending = "a difference was not shown, and one beyond the margin was " + (
            "ruled out" if within else "not ruled out either: inconclusive"
        )
    text += f" Smallest margin of equivalence supported: {100 * smallest:.1f} points."
    text += f" At a margin of ±{100 * recipe.accuracy_margin:g} points: {ending}"
    if shared is None:
        text += ", if all answers were independent, which those to one case are not: give --kappa and --readers"
    else:
        text += ", if readers do not differ in skill"
    return f"{text}."
