"""What a search for copies proves: found, none found and bounded, or too weak to tell."""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy import stats

from cspine_bench.evaluate.memorization.planted import CONFIRMED, OPERATING, PlantedCopies
from cspine_bench.evaluate.memorization.recipe import MemorizationRecipe
from cspine_bench.evaluate.memorization.search import CopySearch
from cspine_bench.measurement.figures import CLOPPER_PEARSON, build_figure
from cspine_bench.metrics.calibration import bound_leak_rate, find_detectable_rate, measure_matched_share
from cspine_bench.metrics.intervals import Estimate, clopper_pearson_interval
from cspine_bench.results import Figure
from cspine_bench.seeding import numpy_generator

Kind = Literal["copies found", "none found", "underpowered"]

_NAMED_COPIES: Final = 5
_ALARM_LEVEL: Final = 0.01
_NOT_TESTED: Final = (
    "Not tested: copies by other changes than those planted, and whether a patient could be known by anything but the "
    "picture."
)


@dataclass(frozen=True)
class Verdict:
    """The finding.

    Attributes:
        kind: one of three.
        sentences: what was found, how hard was looked, and what was not shown; to be read together.
        reasons: why the search is too weak, each with what would help; empty where it is not.
        covered: transforms that the bound on the rate speaks of, fixed before the search.
        missed: transforms of which fewer copies than asked for were confirmed.
        figures: of the search.
    """

    kind: Kind
    sentences: tuple[str, ...]
    reasons: tuple[str, ...]
    covered: tuple[str, ...]
    missed: tuple[str, ...]
    figures: tuple[Figure, ...]

    @property
    def text(self) -> str:
        """All sentences."""
        return " ".join(self.sentences)


def reach_verdict(
    search: CopySearch, planted: PlantedCopies | None, *, recipe: MemorizationRecipe, seed: int
) -> Verdict:
    """Weigh what was found against the power that the search had.

    Args:
        search: of the run.
        planted: its power; None: not measured, so nothing is excluded.
        recipe: what power is asked for.
        seed: draws the subsets of the size-matched share.
    """
    covered, missed, recall = _split_transforms(planted, recipe)
    rate = _estimate_rate(search, recall)
    reasons = _list_weaknesses(search, planted, recipe)
    found = int(search.synthetic.confirmed.sum())
    kind: Kind = "copies found" if found else "underpowered" if reasons else "none found"
    return Verdict(
        kind=kind,
        sentences=_word(kind, search, rate, reasons, covered, missed),
        reasons=reasons,
        covered=covered,
        missed=missed,
        figures=_build_figures(search, planted, rate, recall, recipe, seed),
    )


def _split_transforms(
    planted: PlantedCopies | None, recipe: MemorizationRecipe
) -> tuple[tuple[str, ...], tuple[str, ...], Estimate | None]:
    """Names of those that the bound speaks of, of others that the search is too weak for, and the recall of the first.

    The first are fixed beforehand: chosen by what was found, their recall would come out too high.
    """
    if planted is None:
        return (), (), None
    bounded = planted.common if planted.common.any() else np.ones(len(planted.transforms), bool)
    weak = planted.found[CONFIRMED].mean(axis=1) < recipe.least_recall
    names = [transform.name for transform in planted.transforms]
    covered = tuple(name for name, is_bounded in zip(names, bounded, strict=True) if is_bounded)
    missed = tuple(name for name, is_weak in zip(names, weak, strict=True) if is_weak)
    return covered, missed, planted.estimate_recall(CONFIRMED, bounded)


def _estimate_rate(search: CopySearch, recall: Estimate | None) -> Estimate:
    """Share of copies: at least those confirmed, at most what the recall leaves possible."""
    found, total = int(search.synthetic.confirmed.sum()), len(search.synthetic.sample_ids)
    exact = clopper_pearson_interval(successes=found, total=total)
    if recall is None or recall.low <= 0:
        return Estimate(exact.value, exact.low, 1.0)
    # None found: one end only, so all of the 5 % are its.
    confidence = 0.975 if found else 0.95
    return Estimate(
        exact.value, exact.low, bound_leak_rate(found=found, total=total, recall=recall.low, confidence=confidence)
    )


def _list_weaknesses(search: CopySearch, planted: PlantedCopies | None, recipe: MemorizationRecipe) -> tuple[str, ...]:
    reasons, held = [], len(search.holdout_ids)
    excluded = len(search.duplicates_excluded) + len(search.patients_excluded) + len(search.lookalikes_excluded)
    if held < recipe.least_holdout:
        reasons.append(
            f"{held:,} films held out are in no way part of training, and {recipe.least_holdout:,} are needed: hold "
            "out more films of other patients"
        )
    if excluded > held / 9:
        reasons.append(
            f"{excluded:,} of {held + excluded:,} films held out are training films or of training patients: split "
            "films by patient before training"
        )
    if search.copies_of_holdout:
        reasons.append(
            f"{len(search.copies_of_holdout):,} synthetic images seem copies of films held out "
            f"({_name(search.copies_of_holdout)}): the generator may have seen these films, so they say nothing about "
            "what honest images reach; check which films were trained on"
        )
    if held >= recipe.least_holdout and not search.null.extrapolates:
        reasons.append(
            "the scores of the films held out fit no tail, so no single copy can be told from chance: hold out more "
            "films of the same origin"
        )
    alarms, chance = _test_alarms(search, recipe)
    if chance <= _ALARM_LEVEL:
        reasons.append(
            f"{alarms:,} of {len(search.synthetic.sample_ids):,} synthetic images raise the alarm that "
            f"{recipe.false_positive_rate:g} of the films held out raise, more than chance explains (p = "
            f"{chance:.2g}): copies that the second look cannot confirm, or images that come nearer to films than "
            "films do; look at the pairs"
        )
    if planted is None:
        reasons.append("no copies were planted, so nobody knows what the search would find: plant some")
    else:
        recall = planted.estimate_recall(CONFIRMED, planted.common) if planted.common.any() else None
        if recall is None or recall.low < recipe.least_recall:
            shown = (
                "none"
                if recall is None
                else f"{recall.value:.2f} (95 % interval {recall.low:.2f} to {recall.high:.2f})"
            )
            reasons.append(
                f"the share of planted common copies that is confirmed is {shown}, and its lower end must be "
                f"{recipe.least_recall:.2f}: hold out more films, or give larger images"
            )
    return tuple(reasons)


def _test_alarms(search: CopySearch, recipe: MemorizationRecipe) -> tuple[int, float]:
    """Alarms that no confirmed copy raises, and the chance of as many among honest images.

    An honest image raises one where its score is among the k highest of the h films held out and itself. They share
    these films, so their number is beta-binomial, not binomial. Source: the tail that the k-th highest of h scores
    leaves is Beta(k, h + 1 - k), David, Nagaraja 2003, Order Statistics, section 2.
    """
    side, held = search.synthetic, len(search.holdout_ids)
    raised = side.judgement.p_value <= recipe.false_positive_rate
    alarms = int((raised & ~side.confirmed).sum())
    rank = math.floor(recipe.false_positive_rate * (held + 1))
    if rank < 1 or alarms == 0:
        return alarms, 1.0
    total = int((~side.confirmed).sum())
    return alarms, float(stats.betabinom.sf(alarms - 1, total, rank, held + 1 - rank))


def _word(
    kind: Kind,
    search: CopySearch,
    rate: Estimate,
    reasons: tuple[str, ...],
    covered: tuple[str, ...],
    missed: tuple[str, ...],
) -> tuple[str, ...]:
    side, total = search.synthetic, len(search.synthetic.sample_ids)
    confirmed, listed = int(side.confirmed.sum()), int(side.listed.sum())
    looked = (
        f"Each of {total:,} synthetic images was compared with each of {len(search.train_ids):,} training films in "
        f"{_count_ways(len(search.channels))}, and so were {len(search.holdout_ids):,} films held out."
    )
    bound = (
        f"With 95 % confidence at most {_percent(rate.high)} of images like these are copies by the common changes, as "
        f"mixed as they were planted ({'; '.join(covered)})."
        if rate.high < 1
        else "No rate of copies is excluded."
    )
    weak = tuple(f"{reason[0].upper()}{reason[1:]}." for reason in reasons)
    weakly = f"The search is weak for these, and more such copies may be there: {'; '.join(missed)}."
    not_covered = (weakly,) if missed else ()
    if kind == "copies found":
        order = np.argsort(side.judgement.tail_p_value, kind="stable")
        named = [side.sample_ids[row] for row in order if side.confirmed[row]]
        first = (
            f"Copies found: {confirmed:,} of {total:,} synthetic images are copies of training films "
            f"({_name(tuple(named))})."
        )
        rest = (bound,) if not reasons else ("More may have been missed.", *weak)
        return (first, looked, *rest, *not_covered, _NOT_TESTED)
    if kind == "underpowered":
        first = f"Underpowered: no copy was confirmed among {total:,} synthetic images, but that does not clear them."
        return (first, *weak, looked, _NOT_TESTED)
    first = f"None found: no synthetic image was confirmed as a copy of a training film. {bound}"
    suspicious = (f"{listed:,} stand out by rank and should be looked at.",) if listed else ()
    return (first, *suspicious, looked, *not_covered, _NOT_TESTED)


def _count_ways(number: int) -> str:
    return "one way" if number == 1 else f"{number} ways"


def _name(ids: tuple[str, ...]) -> str:
    more = len(ids) - _NAMED_COPIES
    return ", ".join(ids[:_NAMED_COPIES]) + (f" and {more:,} more" if more > 0 else "")


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _build_figures(
    search: CopySearch,
    planted: PlantedCopies | None,
    rate: Estimate,
    recall: Estimate | None,
    recipe: MemorizationRecipe,
    seed: int,
) -> tuple[Figure, ...]:
    side, total = search.synthetic, len(search.synthetic.sample_ids)
    excluded = len(search.duplicates_excluded) + len(search.patients_excluded) + len(search.lookalikes_excluded)
    held = len(search.holdout_ids)
    used = {"train": len(search.train_ids), "holdout": held, "synthetic": total}
    available = {**used, "holdout": held + excluded}

    def share(name: str, count: int, note: str) -> Figure:
        return build_figure(
            name,
            clopper_pearson_interval(successes=count, total=total),
            direction="lower",
            unit="share",
            used=used,
            available=available,
            method=CLOPPER_PEARSON,
            note=note,
        )

    alarms = int((side.judgement.p_value <= recipe.false_positive_rate).sum())
    above = int((side.judgement.score > np.median(search.null.scores)).sum())
    figures = [
        build_figure(
            "num_copies",
            float(side.confirmed.sum()),
            direction="lower",
            used=used,
            available=available,
            note="A count of these images, so it has no interval; the rate has one.",
        ),
        build_figure(
            "copy_rate",
            rate,
            direction="lower",
            unit="share",
            used=used,
            available=available,
            method=f"{CLOPPER_PEARSON}; upper end over the lower end of the recall of planted copies",
            note="" if recall is not None and recall.low > 0 else "No recall is known, so the upper end is 1.",
        ),
        share("listed_share", int(side.listed.sum()), "By rank among the films held out, after Benjamini-Hochberg."),
        share("alarm_share", alarms, f"Of honest images {recipe.false_positive_rate:g} are expected."),
        share("above_holdout_median_share", above, "1/2 where synthetic images come as near to training as films do."),
        _build_matched_share(search, used, available, seed),
    ]
    if planted is not None:
        figures.append(_build_detectable(planted, total, recipe, used, available))
    return tuple(figures)


def _build_matched_share(search: CopySearch, used: dict[str, int], available: dict[str, int], seed: int) -> Figure:
    """Share of synthetic images nearer to training than to as many films held out, in the first channel."""
    side = search.synthetic
    if side.to_holdout is None:
        raise ValueError("the synthetic images were not searched for in the films held out")
    near, far, swapped = side.nearest, side.to_holdout, len(search.holdout_ids) > len(search.train_ids)
    near, far = (far, near) if swapped else (near, far)
    sizes = (len(search.train_ids), len(search.holdout_ids))
    matched = measure_matched_share(
        train_index=near.neighbours,
        train_distances=near.distances.astype(np.float64),
        holdout_distances=far.distances[:, 0].astype(np.float64),
        num_train=max(sizes),
        num_holdout=min(sizes),
        generator=numpy_generator(seed, "evaluate.matched_share.subsets"),
    )
    share = matched.share
    if swapped:
        share = Estimate(1 - share.value, 1 - share.high, 1 - share.low)
    return build_figure(
        "nearer_train_share",
        share,
        direction="lower",
        unit="share",
        used=used,
        available=available,
        method=CLOPPER_PEARSON,
        condition={"space": "pixels"},
        note=f"1/2 where nothing is copied; a few copies hardly move it. Undecided: {matched.undecided:.2g}.",
    )


def _build_detectable(
    planted: PlantedCopies, total: int, recipe: MemorizationRecipe, used: dict[str, int], available: dict[str, int]
) -> Figure:
    """Smallest share of copies, as mixed as those planted, that more alarms than chance explains would give away."""
    recall = planted.estimate_recall(OPERATING)
    ends = [
        min(1.0, find_detectable_rate(total=total, recall=value, false_positive_rate=recipe.false_positive_rate))
        for value in (recall.value, recall.high, recall.low)
    ]
    return build_figure(
        "detectable_rate",
        Estimate(ends[0], ends[1], ends[2]),
        direction="lower",
        unit="share",
        used=used,
        available=available,
        method=f"from the ends of the recall's interval ({CLOPPER_PEARSON})",
        note="By the number of alarms, with a power of 0.8; 1 where even copies alone would not be noticed."
        if math.isclose(ends[0], 1.0)
        else "By the number of alarms, with a power of 0.8.",
    )
