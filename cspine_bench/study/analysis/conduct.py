"""Could the readers see a difference at all, and how did they work? Controls, times and habits.

What stands out is named; no answer is left out for it.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from cspine_bench.metrics.chance import BinomialTest, binomial_test, count_test
from cspine_bench.metrics.intervals import wilson_interval
from cspine_bench.metrics.multiplicity import adjust_holm
from cspine_bench.study.analysis.figure_list import FigureList
from cspine_bench.study.analysis.table import Floats, StudyTable, count_by, sort_naturally
from cspine_bench.study.page.records import Control
from cspine_bench.study.recipe import AnalysisRecipe
from cspine_bench.study.responses import Responses
from cspine_bench.study.schedule import TrialKind

FASTEST_S: Final = 3.0
"""Median time of an answer below which nobody has looked at every image."""
MOST_STRAIGHT: Final = 0.5
"""Share of display sets with one rating for all their images, above which a reader's ratings tell little."""
CHANGE_NOTHING: Final = "these signs are named and change nothing: no answer is left out for them"


@dataclass(frozen=True)
class PositiveControl:
    """Answers to display sets that a reader who looks must get right.

    Attributes:
        test: against chance; None: nobody answered any.
        control: whether the readers, taken together, passed.
        reader_shares: by reader.
        habit_p: of single images: one-sided, controls called synthetic no more often than real images; None: not asked.
    """

    test: BinomialTest | None
    control: Control
    reader_shares: Mapping[str, float]
    habit_p: float | None = None


def add_controls(
    figures: FigureList, responses: Responses, table: StudyTable, recipe: AnalysisRecipe, keys: Mapping[str, str]
) -> PositiveControl:
    """All figures `control.*` and `negative.*`.

    The control is passed by an accuracy of at least that of the recipe which is above chance by an exact test: of two
    images, half of the answers are right for whoever guesses. Single images must also be called synthetic more
    often than real ones are, as all controls are synthetic. Where so few were answered that even right answers to all
    of them would not be above chance, it is neither passed nor failed.
    """
    answers = _collect(responses, "positive-control")
    negative = [trial for trial in responses.trials if trial.kind == "negative-control"]
    panes = [trial.picked_position for trial in negative if trial.picked_position is not None]
    if panes:
        tested = count_test(count_by(panes, range(1, table.num_panes + 1)))
        for key, value in (("stat", tested.statistic), ("p", tested.p)):
            figures.add(f"negative.pos.chisq.{key}", value, used={"answers": len(panes)},
                        available={"answers": len(negative)}, note="display sets without a real image")  # fmt: skip
    else:
        figures.leave_out("negative.*", "no display set without a real image was answered")
    if not answers:
        figures.leave_out("control.*", "no positive control was answered")
        return PositiveControl(None, "missing", {})
    every = [right for mine in answers.values() for right in mine]
    used = {"readers": len(answers), "answers": len(every)}
    test = binomial_test(correct=sum(every), total=len(every), chance=table.chance, confidence=figures.level)
    figures.add(
        "control.accuracy", test.share, used=used, available=used, ends=test.wilson, method="Wilson", unit="share",
        direction="higher",
    )  # fmt: skip
    ends = test.clopper_pearson
    values = {"k": test.correct, "n": test.total, "p_greater": test.p_greater}
    values |= {} if ends is None else {"cp_lo": ends.low, "cp_hi": ends.high}
    for key, value in values.items():
        figures.add(f"control.{key}", value, used=used, available=used)
    shares = {}
    for reader in sort_naturally(answers):
        mine = answers[reader]
        share = wilson_interval(successes=sum(mine), total=len(mine), confidence=figures.level)
        shares[reader] = share.value
        own = {"answers": len(mine)}
        figures.add(
            f"control.{keys.get(reader, reader)}.accuracy", share.value, used=own, available=own, ends=share,
            method="Wilson", unit="share", direction="higher", subgroup={"reader": reader},
        )  # fmt: skip
    if table.chance ** len(every) > recipe.alpha:
        return PositiveControl(test, "too-few", shares)
    right = (test.share or 0.0) >= recipe.control_accuracy
    passed = right and test.p_greater is not None and test.p_greater <= recipe.alpha
    habit = _test_habit(figures, table, test) if table.design == "single" else None
    passed = passed and (habit is None or habit <= recipe.alpha)
    return PositiveControl(test, "passed" if passed else "failed", shares, habit)


def _test_habit(figures: FigureList, table: StudyTable, test: BinomialTest) -> float | None:
    """Of single images all controls are synthetic: whoever always says so is right, so real images are the foil."""
    said = table.chosen[:, table.truth == 0]
    total = int((~np.isnan(said)).sum())
    if not total:
        return None
    called = total - int(np.nansum(said))
    rows = [[test.correct, test.total - test.correct], [called, total - called]]
    p = float(stats.fisher_exact(rows, alternative="greater").pvalue)
    used = {"answers": test.total + total}
    figures.add("control.habit.p", p, used=used, available=used,
                note=f"Fisher, one-sided: called synthetic, against {called:,} of {total:,} real images")  # fmt: skip
    return p


def _collect(responses: Responses, kind: TrialKind) -> dict[str, list[bool]]:
    answers: dict[str, list[bool]] = defaultdict(list)
    for trial in responses.trials:
        if trial.kind == kind:
            answers[trial.reader].append(bool(trial.correct))
    return dict(answers)


def add_conduct(
    figures: FigureList,
    table: StudyTable,
    recipe: AnalysisRecipe,
    keys: Mapping[str, str],
    control: PositiveControl,
) -> tuple[str, ...]:
    """Figures `time.*` and `reader.*` of times and habits; in words, what stands out by rules fixed beforehand."""
    _add_times(figures, table, keys)
    straight = _add_straight(figures, table, keys)
    p_values = np.array([
        np.nan if (p := figures.value(f"reader.{keys[reader]}.pos.chisq.p")) is None else p for reader in table.readers
    ])  # fmt: skip
    told = []
    for place, (reader, p) in enumerate(zip(table.readers, adjust_holm(p_values).tolist(), strict=True)):
        times = table.times[place]
        median = float(np.nanmedian(times)) if not np.isnan(times).all() else np.nan
        share = control.reader_shares.get(reader)
        signs = []
        if median < FASTEST_S:
            signs.append(f"half of the answers took less than {median:.2g} s (looked for: below {FASTEST_S:g} s)")
        if straight[place] > MOST_STRAIGHT:
            signs.append(
                f"{straight[place]:.0%} of the display sets got one rating for all images (looked for: more than "
                f"{MOST_STRAIGHT:.0%})"
            )
        if p <= recipe.alpha:
            signs.append(f"some panes were picked more often than others (chi-square, Holm over readers, p {p:.2g})")
        if share is not None and share < recipe.control_accuracy:
            signs.append(
                f"{share:.0%} of the positive controls were right (looked for: below {recipe.control_accuracy:.0%})"
            )
        if signs:
            told.append(f"{reader}: {'; '.join(signs)}")
    return (*told, CHANGE_NOTHING) if told else ()


def _add_times(figures: FigureList, table: StudyTable, keys: Mapping[str, str]) -> None:
    times = table.times[~np.isnan(table.times)]
    if not times.size:
        figures.leave_out("time.*", "no time was measured")
        return
    for key, values in (
        ("", times),
        ("right_", table.times[(table.correct == 1) & ~np.isnan(table.times)]),
        ("wrong_", table.times[(table.correct == 0) & ~np.isnan(table.times)]),
    ):
        for name, share in (("median", 0.5), ("q25", 0.25), ("q75", 0.75)):
            value = float(np.quantile(values, share)) if values.size else None
            figures.add(f"time.{key}{name}_s", value, used={"answers": int(values.size)}, unit="s",
                        reason="no such answer was timed")  # fmt: skip
    for place, reader in enumerate(table.readers):
        mine = table.times[place][~np.isnan(table.times[place])]
        figures.add(
            f"reader.{keys[reader]}.median_s", float(np.median(mine)) if mine.size else None, unit="s",
            used={"answers": int(mine.size)}, reason="no answer was timed", subgroup={"reader": reader},
        )  # fmt: skip


def _add_straight(figures: FigureList, table: StudyTable, keys: Mapping[str, str]) -> Floats:
    """Share of display sets that a reader gave one rating throughout, (R,); NaN: not defined."""
    shares = np.full(len(table.readers), np.nan)
    for place, reader in enumerate(table.readers):
        sets: dict[int, list[float]] = defaultdict(list)
        for case, rating in zip(table.rated_cases.tolist(), table.ratings[place].tolist(), strict=True):
            if not np.isnan(rating):
                sets[case].append(rating)
        alike = [len(set(given)) == 1 for given in sets.values() if len(given) > 1]
        shares[place] = np.mean(alike) if alike else np.nan
        if table.ratings.size:
            figures.add(
                f"reader.{keys[reader]}.one_rating", float(shares[place]), used={"cases": len(alike)}, unit="share",
                reason="no display set with several rated images", subgroup={"reader": reader},
                note="display sets with one rating for all their images",
            )  # fmt: skip
    return shares
