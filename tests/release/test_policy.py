"""Gates: worked by hand, with every outcome and every reason for it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cspine_bench.errors import RecipeError
from cspine_bench.release.policy import EVIDENCE, Gate, GateVerdict, Policy, judge, list_findings, load_policy
from cspine_bench.results import EncoderUsed, Figure, Input, Interval, Result

EXAMPLE = Path(__file__).parents[2] / "dataset_card" / "policy.yaml"


def make_result(
    value: float = 2.0, ends: tuple[float, float] | None = (1.5, 2.5), *, measure: str = "fidelity", **figure: Any
) -> Result:
    interval = None if ends is None else Interval(low=ends[0], high=ends[1], level=0.95, method="bootstrap")
    values: dict[str, Any] = {"name": "frechet_distance", "direction": "lower", "unit": ""}
    values |= {"n_used": {"synthetic": 900, "real": 500}, "n_available": {"synthetic": 1000, "real": 500}}
    return Result(
        measure=measure,
        measure_version="1",
        inputs=(Input(role="synthetic", name="x", digest="0" * 64, num_samples=1000),),
        encoder=EncoderUsed(name="lite0", weights_sha256=None, resize="bicubic", bit_depth=8),
        figures=(Figure(value=value, interval=interval, **values | figure),),
        package_version="0.1.0",
    )


def judge_one(result: Result, **gate: Any) -> GateVerdict:
    values = {"name": "g", "measure": "fidelity", "figure": "frechet_distance", **gate}
    [verdict] = judge(Policy(gates=(Gate.model_validate(values),)), {"evaluation/a.json": result})
    return verdict


@pytest.mark.parametrize(
    ("gate", "outcome", "reason"),
    [
        ({"at_most": 2.5}, "passes", "met by the whole interval"),  # an end on the threshold is on the good side
        ({"at_most": 2.4}, "underpowered", "reaches to both sides"),
        ({"at_most": 1.5}, "underpowered", "reaches to both sides"),
        ({"at_most": 1.49}, "fails", "the whole interval misses it"),
        ({"at_most": 3, "least_samples": {"synthetic": 900}}, "passes", "met"),
        ({"at_most": 3, "least_samples": {"synthetic": 901}}, "underpowered", "900 synthetic of at least 901"),
        ({"at_most": 3, "least_samples": {"holdout": 1}}, "underpowered", "0 holdout of at least 1"),
        # Evidence that is bad stays bad on few samples.
        ({"at_most": 1, "least_samples": {"synthetic": 9999}}, "fails", "misses it"),
        ({"at_most": 3, "least_confidence": 0.99}, "underpowered", "an interval below 99%"),
        ({"at_least": 1}, "fails", "but lower is better: correct the policy"),
        ({"at_most": 3, "subgroup": {"sex": "female"}}, "fails", "no frechet_distance of sex = female"),
        ({"at_most": 3, "measure": "memorization"}, "fails", "there is no evidence"),
    ],
)
def test_outcome_of_a_gate(gate: dict[str, Any], outcome: str, reason: str) -> None:
    verdict = judge_one(make_result(), **gate)
    assert verdict.outcome == outcome
    assert reason in verdict.sentence


@pytest.mark.parametrize(
    ("ends", "outcome"),
    [((0.9, 0.95), "passes"), ((0.85, 0.95), "underpowered"), ((0.8, 0.89), "fails"), (None, "underpowered")],
)
def test_at_least(ends: tuple[float, float] | None, outcome: str) -> None:
    result = make_result(0.9, ends, name="recall", direction="higher")
    assert judge_one(result, figure="recall", at_least=0.9).outcome == outcome


def test_a_threshold_of_zero_is_a_threshold() -> None:
    result = make_result(0.0, (0.0, 0.0), name="bias", direction="none")
    assert judge_one(result, figure="bias", at_least=0.0).outcome == "passes"
    assert judge_one(result, figure="bias", at_most=0.0).outcome == "passes"


def test_the_sentence_has_value_interval_numbers_and_encoder() -> None:
    sentence = judge_one(make_result(), at_most=3).sentence
    met = "frechet_distance 2 [1.5, 2.5] (95 %, bootstrap), 900 of 1,000 synthetic, 500 of 500 real, encoder lite0"
    assert sentence == f"{met}; at most 3 is met by the whole interval"


def test_good_evidence_does_not_undo_bad_evidence() -> None:
    gate = Gate(name="g", measure="fidelity", figure="frechet_distance", at_most=3)
    results = {"evaluation/a.json": make_result(), "evaluation/b.json": make_result(9.0, (8.0, 10.0))}
    [verdict] = judge(Policy(gates=(gate,)), results)
    assert (verdict.outcome, verdict.where) == ("fails", "evaluation/b.json")


def test_findings_of_gates() -> None:
    verdicts = [
        GateVerdict("a", "passes", "s", "e"),
        GateVerdict("b", "fails", "s", "e", warns=True),
        GateVerdict("c", "underpowered", "s", "e"),
        GateVerdict("d", "underpowered", "s", EVIDENCE, warns=True),
    ]
    found = [(finding.code, finding.severity, finding.message) for finding in list_findings(verdicts)]
    assert found == [
        ("GATE-01", "error", "gate b: s"),
        ("GATE-02", "error", "gate c: s"),
        ("GATE-03", "warning", "gate d: s"),
    ]


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"at_most": 1, "at_least": 1}, "either at_most or at_least"),
        ({}, "either at_most or at_least"),
        ({"at_most": float("nan")}, "finite number"),
        ({"at_most": 1, "when_underpowered": "ignore"}, "'fail' or 'warn'"),
        ({"at_most": 1, "colour": "red"}, "unknown setting"),
    ],
)
def test_an_impossible_policy_is_refused(gate: dict[str, Any], message: str, tmp_path: Path) -> None:
    values = {"gates": [{"name": "g", "measure": "m", "figure": "f", **gate}]}
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(RecipeError, match=message):
        load_policy(tmp_path / "policy.yaml")


def test_two_gates_of_one_name_are_refused() -> None:
    gate = {"name": "g", "measure": "m", "figure": "f", "at_most": 1}
    with pytest.raises(ValueError, match="two gates are called g"):
        Policy.model_validate({"gates": [gate, gate]})


def test_the_example_is_a_policy() -> None:
    policy = load_policy(EXAMPLE)
    assert {gate.measure for gate in policy.gates} == {"fidelity", "memorization", "balance"}
