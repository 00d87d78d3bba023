"""Which image, source and pane readers picked: the primary test, each source alone, habits, and agreement."""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from cspine_bench.metrics.chance import count_test
from cspine_bench.metrics.intervals import wilson_interval
from cspine_bench.metrics.label_test import MISSING, LabelTest, label_test, single_image_test, swap_test
from cspine_bench.metrics.rater_agreement import (
    Agreement,
    fleiss_kappa,
    fleiss_kappa_null,
    gwet_ac,
    krippendorff_alpha,
    leave_out_raters,
)
from cspine_bench.study.analysis.adjusted import add_adjusted
from cspine_bench.study.analysis.figure_list import Ends, FigureList
from cspine_bench.study.analysis.table import Floats, StudyTable, count_by

GWET: Final = "Gwet's variance over display sets, Student's t"
NULL_ONLY: Final = "its standard error holds only if nobody agrees beyond chance; it makes no interval"
ROUGH: Final = "rough: an expected count is below 5"


def add_picks(figures: FigureList, table: StudyTable, keys: Mapping[str, str]) -> None:
    """All figures `pick.*`, `correct.*`, `pos.*`, `source.*` and `reader.*`."""
    _add_primary(figures, table)
    _add_each_source(figures, table, keys)
    _add_counts(figures, table, keys)
    _add_agreement(figures, table)


def _add_test(figures: FigureList, name: str, found: LabelTest, *, subgroup: Mapping[str, str] | None = None) -> None:
    used = {"readers": found.readers, "cases": found.cases, "answers": found.n}
    values = {
        "k": found.k,
        "n": found.n,
        "mean": found.mean,
        "sd": found.sd,
        "deff": found.deff,
        "p_greater": found.p_greater,
        "p_less": found.p_less,
        "p_two": found.p_two,
    }
    figures.add_all(name, values, used=used, reason=found.reason, subgroup=subgroup)


def _add_primary(figures: FigureList, table: StudyTable) -> None:
    if table.design == "single":
        answers = np.where(np.isnan(table.chosen), MISSING, table.chosen).astype(np.int64)
        _add_test(figures, "pick.label_test", single_image_test(answers, labels=(table.truth == 0).astype(np.int64)))
    elif table.why_no_picks:
        figures.leave_out("pick.label_test.*", table.why_no_picks)
    else:
        labels = np.zeros(len(table.cases), np.int64)
        _add_test(figures, "pick.label_test", label_test(table.picks, labels=labels, num_images=table.num_panes))


def _add_each_source(figures: FigureList, table: StudyTable, keys: Mapping[str, str]) -> None:
    """Real against each synthetic source alone, one-sided, with Holm's correction over the sources."""
    reason = _why_no_sources(table)
    tests: dict[str, float | None] = {}
    for code, source in enumerate(table.sources, 1):
        name = f"pick.{keys[source]}.label_test"
        if reason:
            figures.leave_out(f"{name}.*", reason)
            continue
        found = _test_source(table, code)
        _add_test(figures, name, found, subgroup={"source": source})
        tests[name] = found.p_greater
    add_adjusted(figures, tests, table, ends_in="holm")


def _why_no_sources(table: StudyTable) -> str:
    if table.why_no_picks and table.design != "single":
        return table.why_no_picks
    if not all(table.image_sources) or (table.truth < 0).any():
        return "no table tells of which source the images of each display set are; give ratings, or name the sources"
    return ""


def _test_source(table: StudyTable, code: int) -> LabelTest:
    if table.design == "single":
        held = (table.truth == 0) | (table.truth == code)
        answers = np.where(np.isnan(table.chosen), MISSING, table.chosen).astype(np.int64)[:, held]
        return single_image_test(answers, labels=(table.truth[held] == 0).astype(np.int64))
    counts = np.array([sources.count(code) for sources in table.image_sources])
    labels = np.where(counts > 0, 0, MISSING)
    firsts = np.array([sources.index(code) if code in sources else MISSING for sources in table.image_sources])
    if counts.max(initial=0) <= 1:
        return swap_test(table.picks, labels=labels, others=firsts)
    # Several images of the source in a case: the label is dealt among the real one and all of these.
    moved = table.picks - np.maximum(firsts, 1) + 1
    inside = (table.picks >= firsts) & (table.picks < firsts + counts) & (counts > 0)
    picks = np.where(table.picks == 0, 0, np.where(inside, moved, MISSING))
    picks = np.where(counts > 0, picks, MISSING)
    return label_test(picks, labels=labels, num_images=np.maximum(counts + 1, 2))


def _add_counts(figures: FigureList, table: StudyTable, keys: Mapping[str, str]) -> None:
    """Picks by source and by pane, against what readers without a preference would pick; and each reader."""
    used = {role: figures.available[role] for role in ("readers", "cases", "answers")}
    names = ("synthetic", "real") if table.design == "single" else table.source_names
    chosen = table.chosen[~np.isnan(table.chosen)].astype(int).tolist()
    counts = count_by(chosen, range(len(names)))
    for name, count in zip(names, counts, strict=True):
        share = wilson_interval(successes=count, total=len(chosen), confidence=figures.level)
        figures.add(
            f"source.{keys.get(name, name)}.share", share.value, used=used, unit="share", subgroup={"source": name},
            note="of the answers", ends=share, method="Wilson, answers taken as independent",
        )  # fmt: skip
    shares: list[float] = []
    if table.design != "single" and all(table.image_sources):
        each = np.array([count_by(sources, range(len(names))) for sources in table.image_sources], float)
        shares = list((each.T @ (~np.isnan(table.chosen)).sum(axis=0)) / len(chosen) / table.num_panes)
    if shares and len(names) > 1:
        tested = count_test(counts, shares=shares)
        rough = ROUGH if tested.least_expected < 5 else ""
        figures.add("source.chisq.stat", tested.statistic, used=used, reason=tested.reason, note=rough)
        figures.add("source.chisq.p", tested.p, used=used, reason=tested.reason, note=rough)
    else:
        why = _why_no_sources(table) or "there is one source"
        single = "single images are not picked from among sources"
        figures.leave_out("source.chisq.*", single if table.design == "single" else why)
    _add_panes(figures, "pos", table.panes, table)
    for place, reader in enumerate(table.readers):
        name, mine = f"reader.{keys[reader]}", table.correct[place]
        total = int((~np.isnan(mine)).sum())
        share = wilson_interval(successes=float(np.nansum(mine)), total=total, confidence=figures.level)
        figures.add(
            f"{name}.accuracy", share.value, used={"answers": total}, ends=share, method="Wilson", unit="share",
            subgroup={"reader": reader},
        )  # fmt: skip
        _add_panes(figures, f"{name}.pos", table.panes[place], table, reader)


def _add_panes(figures: FigureList, name: str, panes: Floats, table: StudyTable, reader: str = "") -> None:
    told = panes[~np.isnan(panes)].astype(int).tolist()
    if table.design == "single" or not told:
        why = "single images have no pane" if table.design == "single" else "no pane was told"
        figures.leave_out(f"{name}.chisq.*", why)
        return
    tested = count_test(count_by(told, range(1, table.num_panes + 1)))
    rough = ROUGH if tested.least_expected < 5 else ""
    subgroup = {"reader": reader} if reader else {}
    for key, value in (("stat", tested.statistic), ("p", tested.p)):
        figures.add(
            f"{name}.chisq.{key}", value, used={"answers": len(told)}, reason=tested.reason, note=rough,
            subgroup=subgroup,
        )  # fmt: skip


def _add_agreement(figures: FigureList, table: StudyTable) -> None:
    images = table.picks.T.astype(float)
    images[images == MISSING] = np.nan
    label = "image identity"
    if table.design == "single":
        images, label = table.chosen.T, "called real or synthetic"
    categories = tuple(range(max(2, table.num_panes)))
    if table.why_no_picks and table.design != "single":
        for key in ("fleiss_null", "fleiss", "ac1", "alpha", "kripp_nominal"):
            figures.leave_out(f"pick.{key}.*", table.why_no_picks)
    else:
        _add_coefficients(figures, "pick", images, categories, label)
    _add_label(figures, "correct", table.correct.T, (0, 1), "right or wrong")
    if table.design == "single":
        figures.leave_out("pos.fleiss*", "single images have no pane")
    elif np.isnan(table.panes).all():
        figures.leave_out("pos.fleiss*", "no pane was told")
    else:
        _add_label(figures, "pos", table.panes.T, tuple(range(1, table.num_panes + 1)), "pane")


def _add_coefficients(figures: FigureList, name: str, picks: Floats, categories: tuple[int, ...], label: str) -> None:
    def kappa(some: Floats) -> Agreement:
        return fleiss_kappa(ratings=some, categories=categories, confidence=figures.level)

    _add_null(figures, name, picks, categories, label)
    coefficients: dict[str, Callable[[Floats], Agreement]] = {
        "fleiss": kappa,
        "ac1": lambda some: gwet_ac(ratings=some, categories=categories, confidence=figures.level),
        "alpha": lambda some: krippendorff_alpha(ratings=some, categories=categories, confidence=figures.level),
    }
    for key, compute in coefficients.items():
        found = compute(picks)
        add_agreement(figures, f"{name}.{key}", found, picks.shape[1], label=label)
        if key == "alpha":
            used = {"readers": picks.shape[1], "cases": found.compared, "answers": found.ratings}
            figures.add(f"{name}.kripp_nominal", found.value, used=used, reason=found.reason)
    left = leave_out_raters(kappa, ratings=picks, confidence=figures.level)
    values = {"jackknife_se": left.standard_error, "jackknife_lo": left.low, "jackknife_hi": left.high}
    used = {"readers": picks.shape[1]}
    figures.add_all(f"{name}.fleiss", values, used=used, reason=left.reason)


def _add_label(figures: FigureList, name: str, picks: Floats, categories: tuple[int, ...], label: str) -> None:
    """Fleiss' kappa by another label than the image, with both standard errors."""
    _add_null(figures, name, picks, categories, label)
    found = fleiss_kappa(ratings=picks, categories=categories, confidence=figures.level)
    add_agreement(figures, f"{name}.fleiss", found, picks.shape[1], label=label)


def add_agreement(
    figures: FigureList,
    name: str,
    found: Agreement,
    num_readers: int,
    *,
    label: str,
    what: str = "answers",
    subjects: str = "cases",
) -> None:
    """A coefficient as `NAME.est` with its interval, and `.se`, `.lo`, `.hi`, `.pa`, `.pe`, `.p`."""
    used = {"readers": num_readers, subjects: found.compared, what: found.ratings}
    ends = Ends(found.low, found.high, GWET, figures.level)
    figures.add(
        f"{name}.est",
        found.value,
        used=used,
        reason=found.reason,
        ends=ends,
        direction="higher",
        note=f"label: {label}",
    )
    values = {
        "se": found.standard_error,
        "lo": found.low,
        "hi": found.high,
        "pa": found.observed,
        "pe": found.chance,
        "p": found.p_value,
    }
    figures.add_all(name, values, used=used, reason=found.reason)


def _add_null(figures: FigureList, name: str, picks: Floats, categories: tuple[int, ...], label: str) -> None:
    found = fleiss_kappa_null(ratings=picks, categories=categories)
    used = {"readers": picks.shape[1], "cases": found.compared, "answers": int((~np.isnan(picks)).sum())}
    figures.add(
        f"{name}.fleiss_null.est", found.value, used=used, reason=found.reason, direction="higher",
        note=f"label: {label}; {found.method}; {NULL_ONLY}",
    )  # fmt: skip
    values = {"se0": found.standard_error, "z": found.z, "p": found.p_value}
    figures.add_all(f"{name}.fleiss_null", values, used=used, reason=found.reason)
