"""What each measure asks, and how its result answers: passed, failed, underpowered, or not asked.

A gate is read from the figures of the result alone. It passes only where the evidence speaks for it: where an interval
reaches to both sides the state is `underpowered`, and where the measurement was not made it is `not asked`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from markupsafe import Markup

from cspine_bench.baselines.arm_rows import MEASURE_PREFIX, ArmRow, read_arms
from cspine_bench.baselines.page.baseline import name_fractions
from cspine_bench.baselines.recipe import CONTROLS
from cspine_bench.errors import DataError
from cspine_bench.evaluate.page.fidelity import DISTRIBUTION
from cspine_bench.measurement.figures import compare_with_floor
from cspine_bench.page.wording import count_used, title_of
from cspine_bench.report.files import ResultFile
from cspine_bench.report.given import ROLES
from cspine_bench.report.study_settings import read_study_settings
from cspine_bench.report.traced import Traced
from cspine_bench.results import Figure
from cspine_bench.study.recipe import AnalysisRecipe

State = Literal["passed", "failed", "underpowered", "not asked"]
STATES: Final[tuple[State, ...]] = ("passed", "failed", "underpowered", "not asked")
_CHANCE: Final = 0.5
_CONFIRMED: Final = {"rule": "confirmed", "transform": "common ones"}


@dataclass(frozen=True)
class Gate:
    """One question to a result.

    Attributes:
        asked: in a few words, so that "passed" answers it.
        state: the answer.
        found: the numbers that it rests on, each with its way back.
    """

    asked: str
    state: State
    found: Markup


def list_gates(file: ResultFile) -> list[Gate]:
    """The gates of a result; none for a measure that asks nothing.

    Raises:
        DataError: the result lacks what its measure always has: it was changed by hand.
    """
    measure = file.result.measure
    traced = Traced(file)
    if measure == "fidelity":
        return list(_ask_fidelity(traced))
    if measure == "memorization":
        return list(_ask_memorization(traced))
    if measure == "reader-study":
        gates = list(_ask_readers(traced))
        if read_study_settings(file).simulated:
            # Made-up answers answer nothing, whatever they say.
            return [Gate(gate.asked, "not asked", Markup("made up: {}").format(gate.found)) for gate in gates]
        return gates
    if measure.startswith(MEASURE_PREFIX):
        return list(_ask_baseline(traced))
    return []


def find_figure(file: ResultFile, name: str, condition: Mapping[str, str] | None = None) -> Figure | None:
    """The first figure of a name and exactly this condition, of all samples; None: there is none."""
    wanted = dict(condition or {})
    return next(
        (one for one in file.result.figures if one.name == name and one.condition == wanted and not one.subgroup), None
    )


def _ask_fidelity(traced: Traced) -> Iterator[Gate]:
    for name in DISTRIBUTION:
        figure = find_figure(traced.file, name)
        if figure is None or name in ("frechet_distance_limit", "cmmd_distance"):
            continue  # These two say again what the first and the third say.
        standing = compare_with_floor(figure)
        asked = f"{title_of(name)} as among real ones"
        if standing == "none":
            yield Gate(asked, "not asked", Markup("no floor of real against real"))
            continue
        state: State = "passed" if standing == "within" else "failed"
        matched = figure.floor is not None and figure.floor.matched is not None
        found = Markup("{}{}, real against real {}").format(
            traced.matched(figure), " at as many images" if matched else "", traced.floor(figure)
        )
        if standing == "better":
            found += Markup("; nearer than real films are, as copies would be")
        yield Gate(asked, state, found)
    figure = find_figure(traced.file, "detectability_auroc")
    asked = "A classifier cannot tell them apart"
    if figure is None or figure.interval is None:
        yield Gate(asked, "not asked", Markup("no classifier was trained"))
        return
    apart = figure.interval.low > _CHANCE
    text = Markup("AUROC {} ({})").format(traced.value(figure), traced.interval(figure))
    yield Gate(asked, "failed" if apart else "underpowered", text + ("" if apart else "; one as good is not excluded"))


def _ask_memorization(traced: Traced) -> Iterator[Gate]:
    file = traced.file
    copies, rate = find_figure(file, "num_copies"), find_figure(file, "copy_rate")
    if copies is None or rate is None:
        raise DataError(f"{file.path}: has no num_copies or no copy_rate, as every memorization result has; "
                        "it was changed: measure again")  # fmt: skip
    cleared = file.result.verdict.startswith("None found")
    state: State = "failed" if copies.value else "passed" if cleared else "underpowered"
    yield Gate("No training film was copied", state, Markup("{} confirmed; share {}").format(
        traced.value(copies), traced.interval(rate)))  # fmt: skip
    yield _ask_recall(traced)
    yield _ask_holdout(traced, rate)
    yield _ask_membership(traced)
    for name, asked in (("duplicate_share", "No near copies inside the set"),
                        ("leaked_share", "Held-out films apart from training")):  # fmt: skip
        figure = find_figure(file, name, {"kind": "near"})
        if figure is not None:
            yield Gate(asked, "failed" if figure.value else "passed", traced.value(figure))


def _ask_recall(traced: Traced) -> Gate:
    asked = "The search finds planted copies"
    recall, least = find_figure(traced.file, "planted_recall", _CONFIRMED), _setting(traced.file, "least_recall")
    if recall is None or recall.interval is None or least is None:
        return Gate(asked, "not asked", Markup("none were planted"))
    wanted = traced.setting("settings.recipe.least_recall", f"{100 * float(least):g} %")
    found = Markup("{} ({}) of the common kinds; lower end to be at least {}").format(
        traced.value(recall), traced.interval(recall), wanted
    )
    return Gate(asked, "passed" if recall.interval.low >= float(least) else "underpowered", found)


def _ask_holdout(traced: Traced, rate: Figure) -> Gate:
    asked = "Enough films held out"
    least, held = _setting(traced.file, "least_holdout"), rate.n_used.get("holdout", 0)
    if least is None:
        return Gate(asked, "not asked", Markup("the result states no least number"))
    found = Markup("{}, at least {} needed").format(
        traced.used(rate, f"{held:,}"), traced.setting("settings.recipe.least_holdout", f"{int(least):,}")
    )
    return Gate(asked, "passed" if held >= int(least) else "underpowered", found)


def find_attacks(file: ResultFile) -> list[Figure]:
    """Membership attacks with an interval, the strongest first; the controls are none."""
    found = [
        one
        for one in file.result.figures
        if one.name == "membership_auroc" and one.interval is not None and one.condition.get("attack") != "control"
    ]
    return sorted(found, key=lambda one: -one.value)


def find_told_attack(file: ResultFile) -> Figure | None:
    """The attack that most surely tells training films from others; None: none does."""
    sure = [one for one in find_attacks(file) if one.interval is not None and one.interval.low > _CHANCE]
    return max(sure, key=lambda one: 0.0 if one.interval is None else one.interval.low, default=None)


def _ask_membership(traced: Traced) -> Gate:
    asked = "Training films cannot be told from others"
    attacks = find_attacks(traced.file)
    if not attacks or attacks[0].interval is None:
        return Gate(asked, "not asked", Markup("no attack was run"))
    worst = max(attacks, key=lambda one: one.interval.low if one.interval else 0.0)
    kind = f"attack by {worst.condition.get('attack', 'all')}"
    text = Markup("{}: AUROC {} ({})").format(kind, traced.value(worst), traced.interval(worst))
    above = worst.interval is not None and worst.interval.low > _CHANCE
    return Gate(asked, "failed" if above else "underpowered", text)


def _setting(file: ResultFile, name: str) -> float | None:
    recipe = file.result.settings.get("recipe")
    value = recipe.get(name) if isinstance(recipe, dict) else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _ask_readers(traced: Traced) -> Iterator[Gate]:
    settings, found = traced.file.result.settings, read_study_settings(traced.file)
    control = find_figure(traced.file, "control.accuracy")
    states: dict[Any, State] = {"passed": "passed", "failed": "failed"}
    yield Gate(
        "Readers see a plain difference",
        states.get(settings.get("control"), "not asked"),
        Markup("no positive control") if control is None else Markup("{} right").format(traced.value(control)),
    )
    primary, analysis = found.primary, found.analysis
    alpha = analysis.alpha
    test, accuracy = (find_figure(traced.file, str(primary.get(name))) for name in ("test", "interval"))
    asked = "Readers cannot tell real from synthetic"
    if test is None or accuracy is None:
        yield Gate(asked, "not asked", Markup("the test is not defined"))
    else:
        words = Markup("{} right ({}); p {}").format(
            traced.value(accuracy), traced.interval(accuracy), traced.p_value(test)
        )
        yield Gate(asked, "failed" if test.value < alpha else "underpowered", words)
    yield _ask_equivalence(traced, str(primary.get("equivalence")), analysis)


def _ask_equivalence(traced: Traced, name: str, analysis: AnalysisRecipe) -> Gate:
    margin, alpha = analysis.accuracy_margin, analysis.alpha
    stem = name.removesuffix(".p")
    both = [find_figure(traced.file, f"{stem}.{rule}p") for rule in ("", "nn_")]
    known = [figure for figure in both if figure is not None]
    asked = "As near to chance as the margin"
    if not known:
        return Gate(asked, "not asked", Markup("the test is not defined"))
    worst = max(known, key=lambda one: one.value)
    ends = [find_figure(traced.file, f"{stem}.{end}") for end in ("lo90", "hi90")]
    beyond = any(
        end is not None and (end.value > margin if place == 0 else end.value < -margin)
        for place, end in enumerate(ends)
    )
    state: State = "passed" if worst.value < alpha else "failed" if beyond else "underpowered"
    wanted = traced.setting("settings.analysis.accuracy_margin", f"{100 * margin:g} points")
    return Gate(asked, state, Markup("within {}: p {}").format(wanted, traced.p_value(worst)))


_OF_VERDICT: Final[Mapping[str, State]] = {
    "helps": "passed",
    "no difference within the margin": "passed",
    "hurts": "failed",
    "underpowered": "underpowered",
}


def list_compared(file: ResultFile) -> list[ArmRow]:
    """Arms with synthetic radiographs, each at each label fraction that it was compared at.

    Raises:
        DataError: the result has no figure of an arm.
    """
    try:
        table = read_arms(file.result)
    except ValueError as error:
        raise DataError(f"{file.path}: {error}; the file was changed: run the baseline again") from error
    return [row for row in table.rows if row.difference is not None and row.arm not in CONTROLS]


def _ask_baseline(traced: Traced) -> Iterator[Gate]:
    rows = list_compared(traced.file)
    names = name_fractions(read_arms(traced.file.result))
    for row in rows:
        if row.difference is None:
            continue
        state = _OF_VERDICT.get(row.verdict, "not asked")
        difference = Markup("{} ({})").format(traced.value(row.difference), traced.interval(row.difference))
        words = Markup("{}; {}").format(row.verdict or "not compared", difference)
        yield Gate(f"{row.arm}, {names[row.fraction]}: does no harm", state, words)
    if not rows:
        yield Gate("Synthetic radiographs do no harm", "not asked", Markup("no arm with them was compared"))


def count_states(gates: list[Gate]) -> dict[State, int]:
    """How many gates are in each state that there is, in the order of `STATES`."""
    return {state: count for state in STATES if (count := sum(gate.state == state for gate in gates))}


def describe_samples(file: ResultFile) -> Markup:
    """What the result rests on: its inputs, or what its first figure used; each number with its way back."""
    traced = Traced(file)
    read = find_figure(file, "acc.twoway.mean")
    if read is not None:
        # What readers answered, not what the images were drawn from.
        return traced.used(read, count_used(read))
    inputs = [
        Markup("{} {}").format(item.role, traced.setting(f"inputs.{place}.num_samples", f"{item.num_samples:,}"))
        for place, item in enumerate(file.result.inputs)
        if item.role in ROLES
    ]
    if inputs:
        return Markup(", ").join(inputs)
    first = next(iter(file.result.figures), None)
    return Markup("not stated") if first is None else traced.used(first, count_used(first))
