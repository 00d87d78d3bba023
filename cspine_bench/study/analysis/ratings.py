"""How real the images were rated: means, agreement, differences from real, and as an ordinal model."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from cspine_bench.metrics.agreement import intraclass_correlation
from cspine_bench.metrics.mean_test import mean_test
from cspine_bench.metrics.mixed_ordinal import fit_mixed_ordinal
from cspine_bench.metrics.rater_agreement import fleiss_kappa, gwet_ac, krippendorff_alpha
from cspine_bench.metrics.reader_auc import ReaderAuc, reader_auc
from cspine_bench.metrics.two_way import case_mean, reader_mean, two_way_mean
from cspine_bench.study.analysis.adjusted import add_adjusted
from cspine_bench.study.analysis.figure_list import Ends, FigureList
from cspine_bench.study.analysis.means import TWO_WAY, add_equivalence, add_two_way, name_margin
from cspine_bench.study.analysis.picks import add_agreement
from cspine_bench.study.analysis.table import Floats, StudyTable
from cspine_bench.study.recipe import AnalysisRecipe
from cspine_bench.study.truth import REAL

NO_PARTNER: Final = "single images have no real partner in their display set"
MRMC: Final = "readers and images random, Obuchowski-Rockette with Hillis's degrees of freedom"


def add_ratings(figures: FigureList, table: StudyTable, recipe: AnalysisRecipe, keys: Mapping[str, str]) -> None:
    """All figures `rate.*`, `diff.*`, `auc.*` and `clmm.*`."""
    if not table.ratings.size:
        for name in ("rate.*", "diff.*", "auc.*", "clmm.*"):
            figures.leave_out(name, "no image was rated")
        return
    _add_means(figures, table, keys)
    _add_agreement(figures, table)
    _add_differences(figures, table, recipe, keys)
    _add_auc(figures, table, keys)
    if recipe.ordinal_model:
        _add_ordinal_model(figures, table)
    else:
        figures.leave_out("clmm.*", "not asked for; --set ordinal_model=true fits it")


def subtract_ratings(table: StudyTable, source: int) -> Floats:
    """Rating of the real image less the mean of a source's, float64 (R, C); NaN: not both rated."""
    return table.average_ratings(0) - table.average_ratings(source)


def average_readers(table: StudyTable, source: int) -> Floats:
    """Mean difference of each reader, float64 (R,): over display sets, or for single images of the two means."""
    if table.design != "single":
        return _mean(subtract_ratings(table, source), 1)
    return _mean(table.average_ratings(0), 1) - _mean(table.average_ratings(source), 1)


def average_cases(table: StudyTable, source: int) -> Floats:
    """Mean difference of each display set, float64 (C,)."""
    return _mean(subtract_ratings(table, source), 0)


def _mean(values: Floats, axis: int) -> Floats:
    there = ~np.isnan(values)
    count = there.sum(axis=axis)
    total = np.where(there, values, 0).sum(axis=axis)
    averages: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return averages


def _count(values: Floats) -> dict[str, int]:
    there = ~np.isnan(values)
    return {"readers": int(there.any(axis=1).sum()), "cases": int(there.any(axis=0).sum())}


def _add_means(figures: FigureList, table: StudyTable, keys: Mapping[str, str]) -> None:
    for code, source in enumerate(table.source_names):
        values = table.ratings[:, table.rated_sources == code]
        given = values[~np.isnan(values)]
        cells = table.average_ratings(code)
        test = two_way_mean(cells, confidence=figures.level).test
        same = test.value is not None and given.size and abs(test.value - float(given.mean())) < 1e-9
        figures.add(
            f"rate.mean.{keys[source]}", float(given.mean()) if given.size else None, unit="steps", direction="higher",
            used=_count(cells) | {"ratings": int(given.size)}, reason="no image of this source was rated",
            ends=Ends(test.low, test.high, TWO_WAY, figures.level) if same else None, subgroup={"source": source},
        )  # fmt: skip


def _add_agreement(figures: FigureList, table: StudyTable) -> None:
    ratings, readers = table.ratings.T, len(table.readers)
    categories: dict[str, Any] = {"categories": tuple(range(1, table.num_steps + 1)), "confidence": figures.level}
    for name, found in (
        ("ac2_quadratic", gwet_ac(ratings=ratings, weighting="quadratic", **categories)),
        ("ac2_ordinal", gwet_ac(ratings=ratings, weighting="ordinal", **categories)),
        ("fleiss", fleiss_kappa(ratings=ratings, **categories)),
        ("fleiss_quadratic", fleiss_kappa(ratings=ratings, weighting="quadratic", **categories)),
    ):
        add_agreement(figures, f"rate.{name}", found, readers, label="rating", what="ratings", subjects="images")
    levels = (("nominal", "nominal"), ("ordinal", "ordinal"), ("interval", "interval"))
    for name, level in levels:
        alpha = krippendorff_alpha(ratings=ratings, level=level, **categories)  # type: ignore[arg-type]
        figures.add(
            f"rate.kripp_{name}", alpha.value, reason=alpha.reason, direction="higher",
            used={"readers": readers, "images": alpha.compared, "ratings": alpha.ratings},
            ends=Ends(alpha.low, alpha.high, "over images, Student's t", figures.level),
        )  # fmt: skip
    complete = ~np.isnan(ratings).any(axis=1)
    used = {"readers": readers, "images": int(complete.sum())}
    try:
        single = intraclass_correlation(ratings=ratings, confidence=figures.level)
    except ValueError as error:
        figures.leave_out("rate.icc.*", str(error))
        return
    note = "of images that all readers rated"
    figures.add(
        "rate.icc.icc21", single.value, used=used, ends=single, method="Shrout and Fleiss, after Satterthwaite",
        direction="higher", note=note
    )  # fmt: skip
    # Spearman and Brown: of the mean of all readers.
    many = 1 + (readers - 1) * single.value
    figures.add(
        "rate.icc.icc2k", readers * single.value / many if many else None, used=used, direction="higher", note=note,
        reason="it would divide by 0"
    )  # fmt: skip


def _add_differences(figures: FigureList, table: StudyTable, recipe: AnalysisRecipe, keys: Mapping[str, str]) -> None:
    different: dict[str, float | None] = {}
    equivalent: dict[str, float | None] = {}
    equivalent_too: dict[str, float | None] = {}
    margin, alpha, level = recipe.rating_margin, recipe.alpha, figures.level
    tost = f"tost{name_margin(margin)}"
    for code, source in enumerate(table.sources, 1):
        name, told = f"diff.{keys[source]}", {"source": source}
        by_reader = average_readers(table, code)
        if table.design == "single":
            used = {"readers": int((~np.isnan(by_reader)).sum())}
            test = mean_test(by_reader, confidence=level)
            add_equivalence(
                figures, f"{name}.reader_{tost}", test, margin=margin, alpha=alpha, used=used, unit="steps",
                subgroup=told,
            )  # fmt: skip
            for part in ("twoway", tost, f"quartet_{tost}"):
                figures.leave_out(f"{name}.{part}.*", NO_PARTNER)
            different[f"{name}.reader_t"], equivalent[f"{name}.reader_{tost}"] = test.p_two, None
            figures.add(
                f"{name}.reader_t.mean", test.value, used=used, reason=test.reason, subgroup=told, unit="steps",
                ends=Ends(test.low, test.high, "Student's t over readers, for these images", level),
            )  # fmt: skip
            figures.add(f"{name}.reader_t.p_two", test.p_two, used=used, reason=test.reason, subgroup=told)
            continue
        cells = subtract_ratings(table, code)
        used = _count(cells) | {"answers": int((~np.isnan(cells)).sum())}
        found = two_way_mean(cells, confidence=level)
        add_two_way(figures, f"{name}.twoway", found, used=used, unit="steps", subgroup=told)
        for part, test in (
            (tost, found.test),
            (f"reader_{tost}", reader_mean(cells, confidence=level)),
            (f"quartet_{tost}", case_mean(cells, confidence=level)),
        ):
            within = add_equivalence(
                figures, f"{name}.{part}", test, margin=margin, alpha=alpha, used=used, unit="steps", subgroup=told
            )
            if part == tost:
                equivalent[f"{name}.{part}"] = within.p
                safe = add_equivalence(
                    figures, f"{name}.{part}", found.nonnegative, margin=margin, alpha=alpha, used=used, rule="nn_",
                    unit="steps", subgroup=told,
                )  # fmt: skip
                equivalent_too[f"{name}.{part}"] = safe.p
        different[f"{name}.twoway"] = found.test.p_two
    add_adjusted(figures, different, table, ends_in="holm")
    if table.design != "single":
        add_adjusted(figures, equivalent, table, ends_in="holm")
        add_adjusted(figures, equivalent_too, table, ends_in="nn_holm")


def _add_auc(figures: FigureList, table: StudyTable, keys: Mapping[str, str]) -> None:
    real = table.ratings[:, table.rated_sources == 0]
    synthetic = table.ratings[:, table.rated_sources > 0]
    _add_one_auc(figures, "auc", reader_auc(real=real, synthetic=synthetic, confidence=figures.level), {})
    for code, source in enumerate(table.sources, 1):
        found = reader_auc(real=real, synthetic=table.ratings[:, table.rated_sources == code], confidence=figures.level)
        _add_one_auc(figures, f"auc.{keys[source]}", found, {"source": source})


def _add_one_auc(figures: FigureList, name: str, found: ReaderAuc, subgroup: dict[str, str]) -> None:
    used = {"readers": found.readers, "ratings": found.ratings}
    ends = Ends(found.low, found.high, MRMC, found.confidence)
    figures.add(f"{name}.auc", found.auc, used=used, reason=found.reason, ends=ends, subgroup=subgroup)
    values = {
        "p_two": found.p_two,
        "p_greater": found.p_greater,
        "lo": found.low,
        "hi": found.high,
        "var_u": found.var_u,
        "var_or": found.var_or,
        "msr": found.msr,
        "cov2": found.cov2,
        "df": found.df,
    }
    figures.add_all(name, values, used=used, reason=found.reason, subgroup=subgroup)
    for place, area in enumerate(found.per_reader if not subgroup else ()):
        figures.add(f"{name}.per_reader[{place}]", area, used={"readers": 1}, reason="no ratings of both kinds")


def _add_ordinal_model(figures: FigureList, table: StudyTable) -> None:
    readers, images = np.nonzero(~np.isnan(table.ratings))
    names = np.array(table.source_names, dtype=object)
    used = {"readers": len(table.readers), "images": len(table.image_ids), "ratings": len(readers)}
    if not (table.rated_sources[images] == 0).any():
        figures.leave_out("clmm.*", "no real image was rated")
        return
    fitted = fit_mixed_ordinal(
        ratings=table.ratings[readers, images],
        categories=tuple(range(1, table.num_steps + 1)),
        groups=names[table.rated_sources[images]],
        reference=REAL,
        readers=readers,
        cases=table.rated_cases[images],
        images=images,
        confidence=figures.level,
    )
    why = "; ".join((fitted.reason, *fitted.left_out)).strip("; ")
    if fitted.thresholds is None:
        figures.leave_out("clmm.*", why)
        return
    note = "" if fitted.converged else f"not converged: {fitted.reason}"
    for place, threshold in enumerate(fitted.thresholds):
        figures.add(f"clmm.theta[{place}]", threshold, used=used, note=note)
    for place, source in enumerate(table.sources):
        effect = (fitted.effects or {}).get(source)
        value, error = (None, None) if effect is None else (effect.value, effect.standard_error)
        low, high = (None, None) if effect is None else (effect.low, effect.high)
        figures.add(
            f"clmm.beta[{place}]", value, used=used, reason=why or "no image of this source was rated", note=note,
            subgroup={"source": source}, ends=Ends(low, high, "normal, Laplace approximation", figures.level),
        )  # fmt: skip
        figures.add(f"clmm.se_beta[{place}]", error, used=used, reason=why, subgroup={"source": source})
        p_value = None if effect is None else effect.p_value
        figures.add(f"clmm.p[{place}]", p_value, used=used, reason=why, subgroup={"source": source})
    for place, factor in enumerate(("reader", "case", "image")):
        note = "no spread is left" if factor in fitted.singular else ""
        spread = (fitted.sds or {}).get(factor)
        figures.add(f"clmm.sd[{place}]", spread, used=used, reason=why, note=f"{factor}s; {note}".strip("; "))
    figures.add("clmm.loglik", fitted.log_likelihood, used=used, reason=why)
