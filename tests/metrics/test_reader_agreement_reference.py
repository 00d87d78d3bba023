"""Agreement among readers and both mixed models against an outside reference: all of it, within its tolerance."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cspine_bench.metrics.agreement import intraclass_correlation, mean_intraclass_correlation
from cspine_bench.metrics.mixed_logit import fit_mixed_logit
from cspine_bench.metrics.mixed_ordinal import fit_mixed_ordinal
from cspine_bench.metrics.rater_agreement import (
    Agreement,
    NullAgreement,
    fleiss_kappa,
    fleiss_kappa_null,
    gwet_ac,
    krippendorff_alpha,
)
from cspine_bench.metrics.rereading import cohen_kappa, estimate_share

REFERENCE = Path(__file__).parents[3] / "shared" / "crosscheck" / "reader_study"
SOURCES = ("real", "s1", "s2", "s3")
PANES = ("1", "2", "3", "4")
FOUR = (1, 2, 3, 4)
OURS = ("acc.glmm.", "pick.", "correct.", "pos.", "rate.", "clmm.", "intra.", "glmm.")
ELSEWHERE = ("pick.label_test.", "pos.chisq.", "rate.mean.")

Floats = NDArray[np.float64]
Figures = Iterator[tuple[str, float | None]]

pytestmark = [
    pytest.mark.skipif(not REFERENCE.is_dir(), reason=f"no reference values at {REFERENCE}"),
    # Every fit again; the quick tests hold the same quantities of the same studies, as `study analyze` writes them.
    pytest.mark.slow,
]


def read(name: str) -> dict[str, NDArray[np.str_]]:
    with (REFERENCE / name).open() as file:
        rows = list(csv.DictReader(file))
    return {column: np.array([row[column] for row in rows]) for column in rows[0]}


def spread_out(rows: Mapping[str, NDArray[np.str_]], subject: str, column: str, labels: Sequence[str]) -> Floats:
    """Number of the label, 1 .., by subject and reader; NaN where there is none."""
    subjects, row = np.unique(rows[subject], return_inverse=True)
    readers, place = np.unique(rows["reader"], return_inverse=True)
    table = np.full((len(subjects), len(readers)), np.nan)
    table[row, place] = [labels.index(label) + 1 for label in rows[column]]
    return table


def iter_agreement(prefix: str, found: Agreement) -> Figures:
    yield from ((f"{prefix}.est", found.value), (f"{prefix}.se", found.standard_error), (f"{prefix}.p", found.p_value))
    yield from ((f"{prefix}.lo", found.low), (f"{prefix}.hi", found.high))
    yield from ((f"{prefix}.pa", found.observed), (f"{prefix}.pe", found.chance))


def iter_null(prefix: str, found: NullAgreement) -> Figures:
    yield from ((f"{prefix}.est", found.value), (f"{prefix}.se0", found.standard_error))
    yield from ((f"{prefix}.z", found.z), (f"{prefix}.p", found.p_value))


def iter_picks(trials: Mapping[str, NDArray[np.str_]]) -> Figures:
    picks = spread_out(trials, "quartet", "picked_source", SOURCES)
    panes = spread_out(trials, "quartet", "picked_position", PANES)
    correct = spread_out(trials, "quartet", "correct", ("0", "1"))
    yield from iter_null("pick.fleiss_null", fleiss_kappa_null(ratings=picks, categories=FOUR))
    yield from iter_null("pos.fleiss_null", fleiss_kappa_null(ratings=panes, categories=FOUR))
    yield from iter_null("correct.fleiss_null", fleiss_kappa_null(ratings=correct, categories=(1, 2)))
    alpha = krippendorff_alpha(ratings=picks, categories=FOUR)
    yield from iter_agreement("pick.fleiss", fleiss_kappa(ratings=picks, categories=FOUR))
    yield from iter_agreement("pick.ac1", gwet_ac(ratings=picks, categories=FOUR))
    yield from iter_agreement("pick.alpha", alpha)
    yield "pick.kripp_nominal", alpha.value


def iter_ratings(rows: Mapping[str, NDArray[np.str_]]) -> Figures:
    ratings = spread_out(rows, "image_id", "rating", PANES)
    yield from iter_agreement("rate.fleiss", fleiss_kappa(ratings=ratings, categories=FOUR))
    quadratic = fleiss_kappa(ratings=ratings, categories=FOUR, weighting="quadratic")
    yield from iter_agreement("rate.fleiss_quadratic", quadratic)
    yield from iter_agreement("rate.ac2_quadratic", gwet_ac(ratings=ratings, categories=FOUR, weighting="quadratic"))
    yield from iter_agreement("rate.ac2_ordinal", gwet_ac(ratings=ratings, categories=FOUR, weighting="ordinal"))
    yield "rate.kripp_nominal", krippendorff_alpha(ratings=ratings, categories=FOUR).value
    yield "rate.kripp_ordinal", krippendorff_alpha(ratings=ratings, categories=FOUR, level="ordinal").value
    yield "rate.kripp_interval", krippendorff_alpha(ratings=ratings, categories=FOUR, level="interval").value
    yield "rate.icc.icc21", intraclass_correlation(ratings=ratings).value
    yield "rate.icc.icc2k", mean_intraclass_correlation(ratings=ratings).value


def iter_logit(trials: Mapping[str, NDArray[np.str_]], names: Sequence[str]) -> Figures:
    found = fit_mixed_logit(correct=trials["correct"].astype(float), readers=trials["reader"], cases=trials["quartet"])
    assert found.converged
    values = (found.intercept, found.sd_reader, found.sd_case, found.log_likelihood, found.standard_error)
    yield from zip(names, values, strict=True)


def iter_ordinal(rows: Mapping[str, NDArray[np.str_]]) -> Figures:
    found = fit_mixed_ordinal(
        ratings=rows["rating"].astype(float),
        categories=FOUR,
        groups=rows["source"],
        reference="real",
        readers=rows["reader"],
        cases=rows["quartet"],
        images=rows["image_id"],
    )
    assert found.converged and found.thresholds is not None and found.effects is not None and found.sds is not None
    yield from ((f"clmm.theta[{place}]", value) for place, value in enumerate(found.thresholds))
    yield from ((f"clmm.sd[{place}]", value) for place, value in enumerate(found.sds.values()))
    for place, effect in enumerate(found.effects.values()):
        yield from ((f"clmm.beta[{place}]", effect.value), (f"clmm.se_beta[{place}]", effect.standard_error))
    yield "clmm.loglik", found.log_likelihood


def iter_rereading(rows: Mapping[str, NDArray[np.str_]]) -> Figures:
    first, second = rows["rating_1"].astype(float), rows["rating_2"].astype(float)
    pooled = cohen_kappa(first=first, second=second, categories=FOUR, weighting="quadratic", clusters=rows["quartet"])
    yield from (("intra.kappa_quadratic_pooled", pooled.value), ("intra.sklearn_quadratic_pooled", pooled.value))
    plain = cohen_kappa(first=first, second=second, categories=FOUR, clusters=rows["quartet"])
    yield "intra.kappa_unweighted_pooled", plain.value
    yield "intra.exact_agreement", estimate_share(hits=first == second, clusters=rows["quartet"]).value
    # A row for each image, so a quartet picked the same image twice where one of its rows was picked both times.
    picked = rows["picked_1"] == "1"
    stayed = (rows["picked_2"] == "1")[picked]
    yield "intra.same_pick", estimate_share(hits=stayed, clusters=rows["quartet"][picked]).value
    for reader in np.unique(rows["reader"]):
        own = rows["reader"] == reader
        found = cohen_kappa(first=first[own], second=second[own], categories=FOUR, weighting="quadratic")
        yield f"intra.kappa_quadratic.{reader}", found.value


def check(name: str, figures: dict[str, float | None]) -> None:
    with (REFERENCE / "expected.json").open() as file:
        expected = {
            quantity: (entry["value"], entry["tol"])
            for quantity, entry in json.load(file)[name].items()
            if quantity.startswith(OURS) and not quantity.startswith(ELSEWHERE)
        }
    assert set(figures) == set(expected)
    off = {
        quantity: (figures[quantity], value)
        for quantity, (value, tolerance) in expected.items()
        if figures[quantity] != pytest.approx(value, abs=tolerance)
    }
    assert off == {}


def test_the_study_like_the_paper() -> None:
    trials, ratings = read("paper_like_trials.csv"), read("paper_like_ratings.csv")
    names = ("acc.glmm.beta[0]", "acc.glmm.sd[0]", "acc.glmm.sd[1]", "acc.glmm.loglik", "acc.glmm.se_full")
    figures = dict(iter_picks(trials)) | dict(iter_ratings(ratings)) | dict(iter_logit(trials, names))
    check("paper_like", figures | dict(iter_ordinal(ratings)))


def test_the_study_with_gaps() -> None:
    trials = read("messy_trials.csv")
    picks = spread_out(trials, "quartet", "picked_source", SOURCES)
    names = ("glmm.beta0", "glmm.sd_reader", "glmm.sd_quartet", "glmm.loglik", "glmm.se")
    figures = dict(iter_logit(trials, names)) | {
        "pick.fleiss.est (Gwet, missing allowed)": fleiss_kappa(ratings=picks, categories=FOUR).value,
        "pick.ac1.est": gwet_ac(ratings=picks, categories=FOUR).value,
        "pick.alpha.est": krippendorff_alpha(ratings=picks, categories=FOUR).value,
    }
    check("messy", figures)
    # A reader who always uses the upper half of the scale, and ratings that are missing, stop nothing.
    assert dict(iter_ordinal(read("messy_ratings.csv")))


def test_the_readings_twice() -> None:
    check("intra", dict(iter_rereading(read("paper_like_repeats.csv"))))
