"""Wilcoxon's signed-rank tests of rating differences by unit, with every convention told apart, and a trend."""

from collections.abc import Mapping

import numpy as np

from cspine_bench.metrics.signed_rank import signed_rank_test
from cspine_bench.metrics.two_way import two_way_mean
from cspine_bench.study.analysis.adjusted import add_adjusted
from cspine_bench.study.analysis.figure_list import Ends, FigureList
from cspine_bench.study.analysis.means import TWO_WAY
from cspine_bench.study.analysis.ratings import NO_PARTNER, average_cases, average_readers
from cspine_bench.study.analysis.table import Floats, StudyTable
from cspine_bench.study.recipe import Unit

UNITS: tuple[Unit, ...] = ("reader", "quartet")


def add_signed_ranks(figures: FigureList, table: StudyTable, keys: Mapping[str, str]) -> None:
    """All figures `wil.*`: of each source, by unit, by what is done with zeros, with and without a correction."""
    if not table.ratings.size:
        figures.leave_out("wil.*", "no image was rated")
        return
    for unit in UNITS:
        if unit == "quartet" and table.design == "single":
            figures.leave_out("wil.quartet.*", NO_PARTNER)
            continue
        average = average_readers if unit == "reader" else average_cases
        _add_unit(figures, table, unit, [average(table, code) for code in range(1, len(table.sources) + 1)], keys)


def _add_unit(
    figures: FigureList, table: StudyTable, unit: Unit, differences: list[Floats], keys: Mapping[str, str]
) -> None:
    role = "readers" if unit == "reader" else "cases"
    for zeros in ("wilcox", "pratt"):
        found = [signed_rank_test(values, zeros=zeros) for values in differences]
        name = f"wil.{unit}.{zeros}"
        families: dict[str, list[float | None]] = {
            "cc0": [one.p for one in found],
            "cc1": [one.p_corrected for one in found],
            "perm": [one.p_exact for one in found],
        }
        for source, one in zip(table.sources, found, strict=True):
            key, used, told = keys[source], {role: one.used}, {"source": source}
            for family, z, p in (("cc0", one.z, one.p), ("cc1", one.z_corrected, one.p_corrected)):
                figures.add_all(f"{name}.{family}.{key}", {"p": p, "z": z}, used=used, reason=one.reason, subgroup=told)
            figures.add(f"{name}.perm.{key}", one.p_exact, used=used, reason=one.reason, subgroup=told)
            if zeros == "wilcox":
                figures.add(f"wil.{unit}.zeros.{key}", one.zeros, used={role: one.pairs}, subgroup=told)
        for family, tests in families.items():
            _add_holm(figures, f"{name}.{family}.holm", tests, table, role)


def _add_holm(figures: FigureList, name: str, tests: list[float | None], table: StudyTable, role: str) -> None:
    """`NAME[j]`, in the order of the sources."""
    own = FigureList(figures.available, figures.level)
    adjusted = add_adjusted(own, {str(place): p for place, p in enumerate(tests)}, table, ends_in="holm")
    for place, (source, p) in enumerate(zip(table.sources, adjusted.values(), strict=True)):
        figures.add(
            f"{name}[{place}]", p, used={role: figures.available[role]}, subgroup={"source": source},
            reason="its p value is not defined", note="Holm, over the sources",
        )  # fmt: skip


def add_trend(figures: FigureList, table: StudyTable) -> None:
    """Do ratings and picks rise along the sources, such as checkpoints in their order? Figures `trend.*`."""
    count = len(table.sources)
    if count < 3 or table.design == "single":
        why = NO_PARTNER if table.design == "single" else f"needs 3 or more synthetic sources, got {count}"
        figures.leave_out("trend.*", why)
        return
    weights = np.arange(count) - (count - 1) / 2
    weights /= float((weights**2).sum())
    order = f"per source, in the order {', '.join(table.sources)}"
    contrasts = {}
    if table.ratings.size:
        contrasts["ratings"] = sum(
            weight * table.average_ratings(code) for code, weight in enumerate(weights.tolist(), 1)
        )
    if all(len(set(sources)) == count + 1 for sources in table.image_sources):
        picked = [np.where(np.isnan(table.chosen), np.nan, table.chosen == code) for code in range(1, count + 1)]
        contrasts["picks"] = sum(weight * one for weight, one in zip(weights.tolist(), picked, strict=True))
    for name in ("ratings", "picks"):
        if name not in contrasts:
            figures.leave_out(f"trend.{name}.*", "not every display set tells of an image of each source")
            continue
        cells = np.asarray(contrasts[name], np.float64)
        test = two_way_mean(cells, confidence=figures.level).test
        there = ~np.isnan(cells)
        used = {"readers": int(there.any(axis=1).sum()), "cases": int(there.any(axis=0).sum())}
        figures.add(
            f"trend.{name}.slope", test.value, used=used, reason=test.reason, note=order,
            unit="steps" if name == "ratings" else "share", ends=Ends(test.low, test.high, TWO_WAY, figures.level),
        )  # fmt: skip
        figures.add(f"trend.{name}.p_two", test.p_two, used=used, reason=test.reason, note=order)
        averages = np.divide(
            np.where(there, cells, 0).sum(axis=0), there.sum(axis=0),
            out=np.full(cells.shape[1], np.nan), where=there.any(axis=0),
        )  # fmt: skip
        exact = signed_rank_test(averages)
        figures.add(
            f"trend.{name}.perm", exact.p_exact, used={"cases": exact.used}, reason=exact.reason,
            note="exact signed-rank test of display sets' slopes",
        )  # fmt: skip
