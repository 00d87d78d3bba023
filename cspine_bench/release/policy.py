"""Policies: thresholds for the evidence in a release, and a verdict on each that keeps "not shown" apart from "bad".

A gate looks at the whole interval of a figure, never at its value alone: it passes where the interval lies on the good
side, fails where it lies on the bad side or where there is no evidence, and is underpowered in between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cspine_bench.recipe import Recipe, load_recipe
from cspine_bench.release.rules import Finding
from cspine_bench.results import Count, EncoderUsed, Figure, Name, Result

Outcome = Literal["passes", "fails", "underpowered"]
_WORST_FIRST: Sequence[Outcome] = ("fails", "underpowered", "passes")
EVIDENCE = "evaluation"
"""Where a finding points to when there is no result to point to."""


class Gate(Recipe):
    """One threshold."""

    name: Name = Field(description="What the verdict calls it.")
    measure: Name = Field(description="Of the result, for example `memorization`.")
    figure: Name = Field(description="Of the figure in it, for example `frechet_distance`.")
    subgroup: dict[str, str] = Field(
        default={}, description="What the samples of the figure have in common; empty: all samples."
    )
    condition: dict[str, str] = Field(
        default={}, description="How the figure was measured, where a result holds it more than once; empty: plainly."
    )
    at_most: float | None = Field(default=None, description="The figure's interval may not reach above.")
    at_least: float | None = Field(default=None, description="The figure's interval may not reach below.")
    least_samples: dict[Name, Count] = Field(
        default={}, description="How many samples it must rest on, by role, for example `{synthetic: 1000}`."
    )
    least_confidence: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.95, description="What the interval must cover."
    )
    when_underpowered: Literal["fail", "warn"] = Field(
        default="fail", description="Whether evidence that is too thin is an error or a warning."
    )

    @model_validator(mode="after")
    def _one_threshold(self) -> Self:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("a gate has either at_most or at_least")
        return self


class Policy(Recipe):
    """Gates that a release must pass."""

    gates: tuple[Gate, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [gate.name for gate in self.gates]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two gates are called {', '.join(twice)}")
        return self


@dataclass(frozen=True)
class GateVerdict:
    """What became of a gate.

    Args:
        name: of the gate.
        outcome: `passes`, `fails` or `underpowered`.
        sentence: why: value, interval, numbers of samples, encoder, threshold.
        where: result file inside the release, or `EVIDENCE`.
        warns: an underpowered outcome is a warning, not an error.
    """

    name: str
    outcome: Outcome
    sentence: str
    where: str
    warns: bool = False


def load_policy(path: Path) -> Policy:
    """Read a policy file.

    Raises:
        RecipeError: it cannot be read, or holds an unknown key or an impossible value.
    """
    return load_recipe(path, Policy)


def judge(policy: Policy, results: Mapping[str, Result]) -> list[GateVerdict]:
    """A verdict on each gate, in the order of the policy.

    Where several results hold a figure, the worst verdict counts: good evidence does not undo bad evidence.

    Args:
        policy: the gates.
        results: evidence about this very release, by file.
    """
    return [_judge_gate(gate, results) for gate in policy.gates]


def list_findings(verdicts: Sequence[GateVerdict]) -> list[Finding]:
    """Findings of gates that did not pass."""
    findings = []
    for verdict in verdicts:
        if verdict.outcome != "passes":
            code = "GATE-01" if verdict.outcome == "fails" else "GATE-03" if verdict.warns else "GATE-02"
            findings.append(Finding(code, verdict.where, f"gate {verdict.name}: {verdict.sentence}"))
    return findings


def _judge_gate(gate: Gate, results: Mapping[str, Result]) -> GateVerdict:
    warns = gate.when_underpowered == "warn"
    verdicts = [
        GateVerdict(gate.name, *_judge_figure(gate, figure, result.encoder), where, warns)
        for where, result in results.items()
        if result.measure == gate.measure
        for figure in result.figures
        if (figure.name, figure.subgroup, figure.condition) == (gate.figure, gate.subgroup, gate.condition)
    ]
    if not verdicts:
        among = f" of {_spell(gate.subgroup)}" if gate.subgroup else ""
        there = ", ".join(sorted({result.measure for result in results.values()})) or "nothing"
        sentence = f"there is no evidence: no {gate.figure}{among} of measure {gate.measure} (measured: {there})"
        return GateVerdict(gate.name, "fails", sentence, EVIDENCE, warns)
    return min(verdicts, key=lambda verdict: _WORST_FIRST.index(verdict.outcome))


def _judge_figure(gate: Gate, figure: Figure, encoder: EncoderUsed | None) -> tuple[Outcome, str]:
    met = _describe(figure, encoder)
    wanted = f"at most {gate.at_most:g}" if gate.at_most is not None else f"at least {gate.at_least:g}"
    against = {"at_most": "higher", "at_least": "lower"}
    if figure.direction == against["at_most" if gate.at_most is not None else "at_least"]:
        return "fails", f"{met}; the policy asks for {wanted}, but {figure.direction} is better: correct the policy"
    if figure.interval is None:
        return "underpowered", f"{met}; without an interval, {wanted} is not shown"
    low, high = figure.interval.low, figure.interval.high
    if gate.at_most is not None:
        good, bad = high <= gate.at_most, low > gate.at_most
    else:
        good, bad = low >= (gate.at_least or 0.0), high < (gate.at_least or 0.0)
    if bad:
        return "fails", f"{met}; {wanted} is asked, and the whole interval misses it"
    if not good:
        return "underpowered", f"{met}; {wanted} is asked, and the interval reaches to both sides"
    short = [
        f"{figure.n_used.get(role, 0):,} {role} of at least {least:,}"
        for role, least in gate.least_samples.items()
        if figure.n_used.get(role, 0) < least
    ]
    if short:
        return "underpowered", f"{met}; {wanted} is met, on too few samples: {', '.join(short)}"
    if figure.interval.level < gate.least_confidence:
        return "underpowered", f"{met}; {wanted} is met, by an interval below {gate.least_confidence:.0%}"
    return "passes", f"{met}; {wanted} is met by the whole interval"


def _describe(figure: Figure, encoder: EncoderUsed | None) -> str:
    """`frechet_distance 1.7 [1.5, 1.9] (95 %, bootstrap), 2,000 of 2,000 synthetic, encoder x`."""
    unit = f" {figure.unit}" if figure.unit else ""
    among = f" of {_spell(figure.subgroup)}" if figure.subgroup else ""
    parts = [f"{figure.name}{among} {figure.value:.4g}{unit}"]
    if figure.interval is not None:
        interval = figure.interval
        confidence = f"{100 * interval.level:g} %"
        parts[0] += f" [{interval.low:.4g}, {interval.high:.4g}] ({confidence}, {interval.method})"
    parts += [f"{used:,} of {figure.n_available.get(role, used):,} {role}" for role, used in figure.n_used.items()]
    if encoder is not None:
        parts.append(f"encoder {encoder.name}")
    return ", ".join(parts)


def _spell(subgroup: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in sorted(subgroup.items()))
