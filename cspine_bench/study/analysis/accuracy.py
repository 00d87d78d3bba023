"""How often the readers were right, against chance: intervals, equivalence, models, and each reader."""

import math
import re
from typing import Final

import numpy as np
from scipy import stats

from cspine_bench.metrics.chance import bayes_factors, binomial_equivalence, binomial_test
from cspine_bench.metrics.intervals import wilson_interval
from cspine_bench.metrics.mean_test import MeanTest
from cspine_bench.metrics.mixed_logit import fit_mixed_logit
from cspine_bench.metrics.sensitivity import dprime_from_share, yes_no_sensitivity
from cspine_bench.metrics.two_way import TwoWayMean, case_mean, reader_mean, two_way_mean
from cspine_bench.study.analysis.figure_list import Ends, FigureList
from cspine_bench.study.analysis.means import TWO_WAY, add_equivalence, add_two_way, name_margin
from cspine_bench.study.analysis.table import StudyTable
from cspine_bench.study.recipe import AnalysisRecipe

NAIVE_MARGINS: Final = (0.10, 0.05)
"""Of the exact equivalence test that ignores what answers share: a reference beside the protocol's own margin."""
_AGAINST_HALF: Final = re.compile(
    r"acc\.((binom|glmm|twoway)\.(nn_)?(t|p\w*)|(reader|case)_t\.(t|p)|(twoway_)?tost\d*\..*|bf10_\w+)"
)
"""Figures that hold the accuracy against chance."""
DPRIME: Final = {"quartet": "acc.dprime4", "pair": "acc.dprime2", "single": "acc.dprime"}


def add_accuracy(figures: FigureList, table: StudyTable, recipe: AnalysisRecipe) -> None:
    """All figures `acc.*`, and `num.*`."""
    used = dict(figures.available)
    for role in ("readers", "cases", "answers"):
        figures.add(f"num.{role}", used[role], used={"answers": used["answers"]})
    answered = ~np.isnan(table.correct)
    figures.add("complete_quartets", int(answered.all(axis=0).sum()), used={"cases": len(table.cases)})
    _add_naive(figures, table, recipe)
    held = two_way_mean(table.correct, null=table.chance, confidence=figures.level)
    roles = {role: used[role] for role in ("readers", "cases", "answers")}
    add_two_way(figures, "acc.twoway", held, used=roles, unit="share")
    _add_tost(figures, table, held, recipe, roles)
    for name, test in (
        ("acc.reader_t", reader_mean(table.correct, null=table.chance, confidence=figures.level)),
        ("acc.case_t", case_mean(table.correct, null=table.chance, confidence=figures.level)),
    ):
        values = {"t": test.t, "df": test.df, "p": test.p_two, "lo": test.low, "hi": test.high}
        figures.add_all(name, values, used=roles, reason=test.reason)
    _add_glmm(figures, table, roles)
    _add_dprime(figures, table, held.test, roles)
    if table.is_uneven:
        figures.withdraw(
            _AGAINST_HALF,
            f"{table.num_real:,} of {len(table.cases):,} images are real: guessing is right in 50 % only where "
            "half of them are",
        )


def _add_naive(figures: FigureList, table: StudyTable, recipe: AnalysisRecipe) -> None:
    correct, total = int(np.nansum(table.correct)), table.num_answers
    used = {role: figures.available[role] for role in ("readers", "cases", "answers")}
    figures.add("acc.k", correct, used=used)
    figures.add("acc.n", total, used=used)
    naive = binomial_test(correct=correct, total=total, chance=table.chance, confidence=figures.level)
    figures.add(
        "acc.binom.phat", naive.share, used=used, ends=naive.clopper_pearson, method="Clopper-Pearson", unit="share",
        note="test and interval take all answers as independent, which answers of one reader, or to one case, are not",
    )  # fmt: skip
    figures.add_all(
        "acc.binom", {"p_two": naive.p_two, "p_greater": naive.p_greater, "p_less": naive.p_less}, used=used
    )
    for name, found in (("cp", naive.clopper_pearson), ("wilson", naive.wilson), ("jeffreys", naive.jeffreys)):
        low, high = (None, None) if found is None else (found.low, found.high)
        figures.add_all("acc.binom", {f"{name}_lo": low, f"{name}_hi": high}, used=used, reason=naive.reason)
    for margin in dict.fromkeys((recipe.accuracy_margin, *NAIVE_MARGINS)):
        within = binomial_equivalence(
            correct=correct, total=total, chance=table.chance, margin=margin, alpha=recipe.alpha
        )
        name = f"acc.tost{name_margin(margin)}"
        values = {"p_lower": within.p_lower, "p_upper": within.p_upper}
        figures.add_all(name, values, used=used, reason=within.reason)
        if margin == recipe.accuracy_margin:
            figures.add(f"{name}.min_margin", within.smallest_margin, used=used, reason=within.reason, unit="share")
    factors = bayes_factors(correct=correct, total=total, chance=table.chance)
    for name, factor in (
        ("beta11", factors.log_beta11), ("logistic", factors.log_logistic), ("above", factors.log_above)
    ):  # fmt: skip
        # Of a few hundred answers that are all right a factor may be larger than any number.
        value = None if factor is None else math.exp(factor) if factor < 700 else math.inf
        figures.add(f"acc.bf10_{name}", value, used=used, reason=factors.reason if factor is None else "")


def _add_tost(
    figures: FigureList, table: StudyTable, held: TwoWayMean, recipe: AnalysisRecipe, used: dict[str, int]
) -> None:
    margin, alpha = recipe.accuracy_margin, recipe.alpha
    name = f"acc.twoway_tost{name_margin(margin)}"
    found = add_equivalence(figures, name, held.test, margin=margin, alpha=alpha, used=used, unit="share")
    other = held.nonnegative
    add_equivalence(figures, name, other, margin=margin, alpha=alpha, used=used, rule="nn_", unit="share")
    for key, width in (("margin_dprime", margin), ("min_margin_dprime", found.smallest_margin)):
        above = None if width is None else table.chance + width
        value = None if above is None or above >= 1 else share_to_dprime(above, table)
        reason = found.reason or "an accuracy as far above chance as that is none"
        figures.add(f"{name}.{key}", value, used=used, reason=reason, note="the margin above chance as d'")


def share_to_dprime(share: float, table: StudyTable) -> float:
    """d' of a share of right answers; of single images, if no answer is preferred."""
    if table.design == "single":
        return 2 * float(stats.norm.ppf(share))
    return dprime_from_share(share, num_alternatives=table.num_panes)


def _add_glmm(figures: FigureList, table: StudyTable, used: dict[str, int]) -> None:
    rows, columns = np.nonzero(~np.isnan(table.correct))
    fitted = fit_mixed_logit(
        correct=table.correct[rows, columns], readers=rows, cases=columns, confidence=figures.level
    )
    why = "; ".join((fitted.reason, *fitted.left_out)).strip("; ")
    note = "of a reader and a case in the middle; the share over all of them is acc.glmm.probability"
    singular = f"; no spread is left of: {', '.join(fitted.singular)}" if fitted.singular else ""
    figures.add("acc.glmm.beta[0]", fitted.intercept, used=used, reason=why, note=note)
    figures.add("acc.glmm.sd[0]", fitted.sd_reader, used=used, reason=why, note=f"of readers, on the logit{singular}")
    figures.add("acc.glmm.sd[1]", fitted.sd_case, used=used, reason=why, note="of cases, on the logit")
    converged = "" if fitted.converged or fitted.intercept is None else f"not converged: {fitted.reason}"
    figures.add("acc.glmm.se_full", fitted.standard_error, used=used, reason=why, note=converged)
    figures.add("acc.glmm.loglik", fitted.log_likelihood, used=used, reason=why)
    share = fitted.probability
    figures.add(
        "acc.glmm.probability", None if share is None else share.value, used=used, reason=why, ends=share,
        method="delta method on the logit, Laplace approximation", unit="share", note=converged,
    )  # fmt: skip
    figures.add("acc.glmm.p_greater", fitted.p_above(table.chance), used=used, reason=why or "no standard error")


def _add_dprime(figures: FigureList, table: StudyTable, test: MeanTest, used: dict[str, int]) -> None:
    name = DPRIME[table.design]
    if table.design == "single":
        real = (table.truth == 0)[None] & ~np.isnan(table.correct)
        other = (table.truth != 0)[None] & ~np.isnan(table.correct)
        found = yes_no_sensitivity(
            hits=int(table.chosen[real].sum()),
            num_real=int(real.sum()),
            false_alarms=int(table.chosen[other].sum()),
            num_synthetic=int(other.sum()),
        )
        pooled = "of all readers' answers together, by the log-linear rule of Hautus 1995, which draws it slightly to 0"
        figures.add(name, found.dprime, used=used, reason=found.reason, note=pooled)
        figures.add("acc.criterion", found.criterion, used=used, reason=found.reason, note=pooled)
        for key, there in (("hit_rate", real), ("false_alarm_rate", other)):
            total = int(there.sum())
            if not total:
                figures.leave_out(f"acc.{key}", found.reason)
                continue
            rate = wilson_interval(successes=float(table.chosen[there].sum()), total=total, confidence=figures.level)
            figures.add(
                f"acc.{key}", rate.value, used={"answers": total}, ends=rate, unit="share",
                method="Wilson, answers taken as independent",
            )  # fmt: skip
        return
    share = test.value
    if share is None:
        figures.leave_out(name, test.reason)
        return
    value = share_to_dprime(share, table)
    low, high = (
        None if end is None else share_to_dprime(min(max(end, 0.0), 1.0), table) for end in (test.low, test.high)
    )
    method = f"ends of the accuracy's interval on the scale of d'; {TWO_WAY}"
    why = "no right answer, or no wrong one, so that d' has no finite value"
    figures.add(name, value, used=used, reason=why, ends=Ends(low, high, method, test.confidence))
    for key, end in (("lo", low), ("hi", high)):
        figures.add(f"{name}.{key}", end, used=used, reason=test.reason or "that end of the accuracy has no finite d'")
