"""A reader study's answers, result and records, made up: what its page is drawn from."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cspine_bench.measurement.figures import build_figure
from cspine_bench.metrics.intervals import Estimate, wilson_interval
from cspine_bench.page.tables import NotMeasured
from cspine_bench.results import Figure, Input, Result
from cspine_bench.study.page.records import Provenance, Step, StudyRecords
from cspine_bench.study.protocol import FramesFile, Hypotheses, LeakAudit, Protocol, Source
from cspine_bench.study.recipe import AnalysisRecipe, StudyRecipe
from cspine_bench.study.responses import Rating, Responses, Trial
from cspine_bench.study.schedule import TrialKind

HOSTILE = '<img src=x onerror="alert(1)">|*_`'
SOURCES = ("real", "s1", "s2", "s3")
USED = {"readers": 3, "cases": 6, "answers": 18}


def build_responses(readers: Sequence[str] = ("R1", "R2", "R10"), *, cases: int = 6, ratings: bool = True) -> Responses:
    """Quartets with repeats, controls of both kinds and training, answered at random."""
    draw = np.random.default_rng(7)
    trials, rated = [], []
    plan: list[tuple[str, TrialKind]] = [("T1", "training"), ("P1", "positive-control"), ("N1", "negative-control")]
    plan += [(f"Q{case}", "main") for case in range(cases)] + [("Q0", "repeat")]
    for reader in readers:
        for place, (case, kind) in enumerate(plan, 1):
            order = draw.permutation(4)
            pane = int(draw.integers(4))
            source = SOURCES[order[pane]]
            time = float(np.round(draw.lognormal(3, 0.4), 3))
            trials.append(Trial(reader, case, place, kind, pane + 1, source, source == "real", time))
            if ratings and kind in ("main", "repeat"):
                rated += [
                    Rating(reader, case, kind, f"{case}-{SOURCES[k]}", SOURCES[k], position, int(draw.integers(1, 5)))
                    for position, k in enumerate(order, 1)
                ]
    return Responses("quartet", 4, tuple(trials), tuple(rated))


def figure(name: str, value: float, ends: tuple[float, float] | None = None, **more: Any) -> Figure:
    estimate = value if ends is None else Estimate(value, *ends)
    given: dict[str, Any] = {"direction": "none", "used": USED, "available": USED, "method": "by hand"}
    return build_figure(name, estimate, **(given | more))


def build_figures() -> tuple[Figure, ...]:
    """Some of every kind, as an analysis names them, each with a value of its own."""
    share = wilson_interval(successes=5, total=18)
    named: dict[str, float] = {
        "num.readers": 3, "num.cases": 6, "num.answers": 18, "acc.k": 5, "acc.n": 18, "acc.binom.p_two": 0.7811,
        "acc.binom.p_greater": 0.4812, "acc.binom.wilson_lo": share.low, "acc.binom.wilson_hi": share.high,
        "acc.binom.cp_lo": 0.0969, "acc.binom.cp_hi": 0.5348, "acc.twoway.se": 0.0914, "acc.twoway.df": 7.315,
        "acc.twoway.lo": 0.0634, "acc.twoway.hi": 0.4921, "acc.twoway.p_two": 0.7716, "acc.twoway.p_greater": 0.3858,
        "acc.twoway.nn_se": 0.1117, "acc.twoway.nn_lo": 0.0218, "acc.twoway.nn_hi": 0.5338,
        "acc.twoway.nn_p_greater": 0.4119, "acc.twoway_tost10.p_lower": 0.0921, "acc.twoway_tost10.p_upper": 0.2225,
        "acc.twoway_tost10.p": 0.2225, "acc.twoway_tost10.lo90": -0.1423, "acc.twoway_tost10.hi90": 0.1979,
        "acc.twoway_tost10.min_margin": 0.19791, "acc.twoway_tost10.nn_min_margin": 0.23124,
        "acc.glmm.beta[0]": -0.9555,
        "acc.glmm.sd[0]": 0, "acc.glmm.sd[1]": 0.3141, "acc.dprime4": 0.1026, "acc.bf10_beta11": 0.2627,
        "pick.label_test.k": 5, "pick.label_test.p_greater": 0.5028, "pick.label_test.p_two": 0.8829,
        "pick.label_test.deff": 1.1630, "pick.s1.label_test.p_greater": 0.3131, "pick.s1.label_test.holm": 0.9393,
        "pick.fleiss_null.est": 0.0832, "pick.fleiss_null.z": 0.9333, "pick.fleiss_null.p": 0.3506,
        "pick.ac1.est": 0.0934,
        "correct.fleiss_null.est": 0.0635, "pos.fleiss_null.est": -0.1236, "pos.chisq.p": 0.2737,
        "source.chisq.p": 0.7438,
        "rate.ac2_quadratic.est": 0.5539, "rate.icc.icc21": 0.1240, "rate.mean.real": 2.7541, "rate.mean.s1": 2.5142,
        "diff.s1.twoway.mean": 0.2443, "diff.s1.twoway.lo": -0.3144, "diff.s1.twoway.hi": 0.7945,
        "diff.s1.twoway.p_two": 0.3246, "diff.s1.tost20.p_lower": 0.0547, "diff.s1.tost20.p_upper": 0.5548,
        "diff.s1.tost20.lo90": -0.1649, "diff.s1.tost20.hi90": 0.6450, "diff.s1.tost20.min_margin": 0.64501,
        "wil.reader.wilcox.cc0.s1.p": 0.1851, "wil.reader.wilcox.perm.s1": 0.2552,
        "wil.reader.wilcox.cc0.holm[0]": 0.5553,
        "wil.quartet.pratt.perm.s1": 0.3254, "auc.lo": 0.4355, "auc.hi": 0.6756, "auc.per_reader[0]": 0.5857,
        "auc.per_reader[1]": 0.4258, "auc.per_reader[2]": 0.6459, "intra.same_pick": 0.3361, "clmm.beta[1]": -0.1162,
        "clmm.loglik": -163.4263, "complete_quartets": 6, "liver.distance": 98.76, "odd": 3.217e-7,
    }  # fmt: skip
    figures = [figure(name, value) for name, value in named.items()]
    return (
        figure("acc.twoway.mean", 5 / 18, (0.0634, 0.4921), unit="share", note="a note of its own"),
        figure("pick.fleiss.est", 0.0832, (-0.1164, 0.2865)),
        figure("auc.auc", 0.5566, (0.4355, 0.6756)),
        figure("control.accuracy", 2 / 3, (0.2077, 0.9385), unit="share"),
        figure("reader.reader1.accuracy", 1 / 3, (0.0968, 0.7000), unit="share", subgroup={"reader": HOSTILE}),
        figure("source.source1.share", 0.2222, (0.0900, 0.4521), unit="share", subgroup={"source": HOSTILE}),
        figure("acc.tost10.p_upper", 0.1869, condition={"margin": "0.1"}, note=HOSTILE),
        *figures,
    )


def build_result(figures: Sequence[Figure] | None = None, **more: Any) -> Result:
    given: dict[str, Any] = {
        "measure": "reader-study", "measure_version": "1",
        "figures": tuple(build_figures() if figures is None else figures),
        "inputs": (Input(role="trials", name=HOSTILE, digest="a" * 64, num_samples=18),),
        "settings": {"analysis": {"alpha": 0.05}, "conduct": ["hidden here"]}, "package_version": "0.0.1", "seed": 0,
        "verdict": f"Inconclusive {HOSTILE}. Equivalence: p = .2225.",
    }  # fmt: skip
    return Result(**(given | more))


def build_protocol(**settings: Any) -> Protocol:
    recipe = StudyRecipe.model_validate({"title": HOSTILE, "cases": 6, "repeats": 1, "repeat_lag": 2} | settings)
    return Protocol(
        recipe=recipe,
        hypotheses=Hypotheses(primary="p", equivalence="e", ratings="r", agreement="a", order="o"),
        exclusions=(),
        readers=("R1", "R2", "R10"),
        sources=(
            Source(name="real", role="real", dataset=None, drawn=9),
            Source(name=HOSTILE, role="synthetic", dataset=None, drawn=27),
        ),
        frames=FramesFile(
            count=36, width=64, height=48, bit_depth=16, sha256="b" * 64, frame_sha256=("c" * 64,), window=(1.0, 2.0)
        ),
        matching={},
        leak_audit=LeakAudit(
            auc=0.61,
            low=0.52,
            high=0.7,
            by_features={},
            limit=0.7,
            overridden="",
            method="m",
            num_real=9,
            num_synthetic=27,
        ),
        schedule_sha256="d" * 64,
        truth_sha256="e" * 64,
        seed=5,
        package_version="0.0.1",
        commit=None,
    )


def build_records(**more: Any) -> StudyRecords:
    """Of a study that was registered, read by people, and whose positive control was passed."""
    protocol = build_protocol()
    given: dict[str, Any] = {
        "responses": build_responses(), "analysis": AnalysisRecipe(), "verdict": "inconclusive", "control": "passed",
        "steps": (
            Step("Positive control", "yes", f"Found {HOSTILE}."), Step("Test against chance", "no", "p = .5028."),
            Step("Equivalence", "open", "Equivalence: p = .2225."),
        ),
        "provenance": Provenance("1" * 64, "2" * 64, "3" * 64, 40, "2026-01-03", "2026-01-01", "2026-01-02"),
        "protocol": protocol, "source_names": {"s1": HOSTILE, "s2": "checkpoint 2"},
        "not_defined": (NotMeasured("clmm.*", "not asked for"), NotMeasured("trend.*", "not asked for")),
        "notes": {"sources": (HOSTILE,), "accuracy": ("a remark",)}, "warnings": (HOSTILE,),
        "command": HOSTILE, "citation": HOSTILE,
    }  # fmt: skip
    return StudyRecords(**(given | more))


def rename(responses: Responses, names: dict[str, str]) -> Responses:
    """The same answers by readers of other names."""
    return replace(
        responses,
        trials=tuple(replace(one, reader=names.get(one.reader, one.reader)) for one in responses.trials),
        ratings=tuple(replace(one, reader=names.get(one.reader, one.reader)) for one in responses.ratings),
    )
