"""What all side-by-side timings share: a comparison and its floor, how a call is timed, how repeats are summed up."""

import importlib.util
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

from benchmarks.report import spread

OURS: Final = "cspine-bench"
TESTS: Final = Path(__file__).parents[2] / "tests"

Sample = dict[str, float]
"""`cpu_s` and `wall_s` of one unit."""


@dataclass(frozen=True)
class Term:
    """One thing that no program can do faster than this machine does it.

    Attributes:
        amount: of what has to be done for one unit.
        what: the amount in words, with its arithmetic.
        rate: a key of `machine_limits.RATES`, amount a second.
        resource: terms of one resource add up; the slowest resource is the floor.
    """

    amount: float
    what: str
    rate: str
    resource: Literal["processor", "disk"] = "processor"


@dataclass(frozen=True)
class Reading:
    """What a call measured itself, where its duration is not the question.

    Attributes:
        cpu_s: of one unit.
        wall_s: of one unit.
        output: what the call gives to be checked.
    """

    cpu_s: float
    wall_s: float
    output: object


@dataclass(frozen=True)
class Comparison:
    """One piece of work, done by us and by others.

    Attributes:
        unit: what is counted, in words.
        count: units that one call does.
        work: what each candidate does, in words, with what one does besides.
        candidates: a call by name, ours first; each does the whole work, and gives what `check` looks at.
        packages: distributions whose versions are stated, by candidate.
        check: compares what the candidates of one repeat gave; says how far they agree, or ends the run.
        floor: what no program can undercut.
        ceiling_s: seconds a unit that we promise to stay below; None: no promise.
        notes: sizes and settings, for the result file.
    """

    unit: str
    count: int
    work: str
    candidates: Mapping[str, Callable[[], object]]
    packages: Mapping[str, tuple[str, ...]]
    check: Callable[[dict[str, Any]], str]
    floor: tuple[Term, ...]
    ceiling_s: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def read_cpu_s() -> float:
    """Processor seconds of this process and of the children that have ended."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(found.ru_utime + found.ru_stime for found in usage)


def time_call(call: Callable[[], object], count: int) -> tuple[Sample, object]:
    """Seconds of one unit, and what the call gave."""
    wall, cpu = time.perf_counter(), read_cpu_s()
    output = call()
    cpu, wall = read_cpu_s() - cpu, time.perf_counter() - wall
    if isinstance(output, Reading):
        return {"cpu_s": output.cpu_s, "wall_s": output.wall_s}, output.output
    return {"cpu_s": cpu / count, "wall_s": wall / count}, output


def order_candidates(names: Sequence[str], repeat: int) -> list[str]:
    """Every other repeat goes the other way round, so that none is always the first."""
    return list(names) if repeat % 2 == 0 else list(reversed(names))


def compute_floor(terms: Sequence[Term], rates: Mapping[str, float]) -> float:
    """Seconds of one unit at the rates that were measured."""
    totals: dict[str, float] = {}
    for term in terms:
        totals[term.resource] = totals.get(term.resource, 0.0) + term.amount / rates[term.rate]
    return max(totals.values())


def compare_samples(samples: Mapping[str, Sequence[Sample]]) -> dict[str, dict[str, dict[str, float]]]:
    """How many times as long each peer takes: of each repeat, then their median, least and most."""
    ours = samples[OURS]
    return {
        peer: {
            unit: spread([its[unit] / our[unit] for its, our in zip(found, ours, strict=True)])
            for unit in ("cpu_s", "wall_s")
        }
        for peer, found in samples.items()
        if peer != OURS
    }


def load_test_module(path: str) -> ModuleType:
    """A file of tests/ that benchmarks use too, by its place: a package `tests` of somebody else's would come first."""
    name = Path(path).stem
    spec = importlib.util.spec_from_file_location(name, TESTS / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # TorchScript and dataclasses look it up by name
    spec.loader.exec_module(module)
    return module
