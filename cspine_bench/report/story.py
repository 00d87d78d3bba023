"""The first screen: four questions with their answers, and what the report is about, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from cspine_bench.baselines.arm_rows import MEASURE_PREFIX
from cspine_bench.evaluate.page.fidelity import DISTRIBUTION
from cspine_bench.measurement.figures import compare_with_floor
from cspine_bench.report.files import ResultFile
from cspine_bench.report.gates import Gate, State, find_figure, find_told_attack, list_compared
from cspine_bench.report.given import GivenRelease
from cspine_bench.report.study_settings import read_study_settings
from cspine_bench.report.traced import Traced
from cspine_bench.results import Figure


@dataclass(frozen=True)
class Card:
    """One question.

    Attributes:
        question: as a reader would ask it.
        answer: in a few words.
        tone: a state of `gates`, which chooses mark and colour.
        detail: the numbers.
        link: section that says more.
    """

    question: str
    answer: str
    tone: State
    detail: Markup
    link: str


@dataclass(frozen=True)
class Verdict:
    """A result in the table of verdicts."""

    file: ResultFile
    traced: Traced
    title: str
    finding: str
    more: str
    gates: tuple[Gate, ...]
    encoder: str
    samples: Markup


TITLES: Final[Mapping[str, str]] = {
    "fidelity": "Fidelity",
    "memorization": "Memorization",
    "reader-study": "Reader study",
    "study-power": "Planned power of a reader study",
    "balance": "Balance of labels",
}
COMMANDS: Final[Mapping[str, str]] = {
    "fidelity": "cspine-bench evaluate fidelity --real FILMS --real-split test --synthetic SAMPLES --out results",
    "memorization": "cspine-bench evaluate memorization --train FILMS --train-split train --holdout FILMS "
    "--holdout-split test --synthetic SAMPLES --run RUN --out results",
    "baseline": "cspine-bench baseline run landmarking --real FILMS --synthetic SAMPLES --out results",
    "reader-study": "cspine-bench study plan --real FILMS --synthetic SAMPLES --out study; cspine-bench study serve "
    "study; cspine-bench study unblind study; cspine-bench study analyze study --out results",
    "release": "cspine-bench release build SAMPLES --out rel; cspine-bench release validate rel --level full",
}
"""What would measure each part that is missing."""
_QUESTIONS: Final = {
    "fidelity": "Do they look like the real ones?",
    "memorization": "Were training films copied?",
    "baseline": "Are they of use?",
    "reader-study": "Can readers tell?",
    "release": "Is the release sound?",
}


def title_measure(measure: str) -> str:
    """A measure in words."""
    if measure.startswith(MEASURE_PREFIX):
        return f"Usefulness: {measure.removeprefix(MEASURE_PREFIX)}"
    return TITLES.get(measure, measure.replace("-", " ").capitalize())


def tell_story(
    files: Sequence[ResultFile], gates: Mapping[str, Sequence[Gate]], release: GivenRelease | None
) -> list[Card]:
    """A card for each question, also for those that nobody asked; of several results the worst speaks."""
    cards = [
        _worst(_of(files, "fidelity"), _tell_fidelity, gates, "fidelity"),
        _worst(_of(files, "memorization"), _tell_memorization, gates, "memorization"),
        _tell_usefulness([file for file in files if file.result.measure.startswith(MEASURE_PREFIX)]),
        _worst(_of(files, "reader-study"), _tell_readers, gates, "reader-study"),
    ]
    return [*cards, _tell_release(release)]


def _of(files: Sequence[ResultFile], measure: str) -> list[ResultFile]:
    return [file for file in files if file.result.measure == measure]


def _absent(measure: str) -> Card:
    return Card(_QUESTIONS[measure], "Not measured", "not asked", Markup("no such result was given"), "missing")


_BADNESS: Final[tuple[State, ...]] = ("failed", "underpowered", "passed", "not asked")


def _worst(files: Sequence[ResultFile], tell, gates: Mapping[str, Sequence[Gate]], measure: str) -> Card:  # type: ignore[no-untyped-def]
    cards: list[Card] = [tell(file, list(gates[file.key])) for file in files]
    return min(cards, key=lambda card: _BADNESS.index(card.tone), default=_absent(measure))


def _tell_fidelity(file: ResultFile, gates: list[Gate]) -> Card:
    asked = [gate for gate in gates if gate.state != "not asked"]
    failed = [gate for gate in asked if gate.state == "failed"]
    traced, apart = Traced(file), find_figure(file, "detectability_auroc")
    detail = Markup("") if apart is None else Markup("a classifier tells them apart with AUROC {} ({})").format(
        traced.value(apart), traced.interval(apart))  # fmt: skip
    if failed:
        told_apart = apart is not None and gates[-1].state == "failed"
        beyond = any(compare_with_floor(one) == "beyond" for one in _list_main(file))
        answer = "No: they differ" if told_apart or beyond else "Nearer than films are"
        return Card(_QUESTIONS["fidelity"], answer, "failed", detail, "fidelity")
    if not asked:
        return Card(_QUESTIONS["fidelity"], "Not told", "not asked", Markup("no figure has a floor"), "fidelity")
    return Card(_QUESTIONS["fidelity"], "No difference seen", "underpowered", detail + Markup(
        " – which is not “the same”"), "fidelity")  # fmt: skip


def _list_main(file: ResultFile) -> list[Figure]:
    return [one for name in DISTRIBUTION if (one := find_figure(file, name)) is not None]


def _tell_memorization(file: ResultFile, gates: list[Gate]) -> Card:
    traced, rate, copies = Traced(file), find_figure(file, "copy_rate"), find_figure(file, "num_copies")
    state = gates[0].state
    answer = {"passed": "None found", "failed": "Yes: copies found", "underpowered": "Cannot tell"}.get(state, "")
    detail = Markup("")
    if rate is not None and copies is not None:
        detail = Markup("{} confirmed; share of copies {}").format(traced.value(copies), traced.interval(rate))
    if told := find_told_attack(file):
        detail += Markup("; yet an attack by {} tells training films: AUROC {}").format(
            told.condition.get("attack", "one score"), traced.value(told)
        )
    return Card(_QUESTIONS["memorization"], answer, state, detail, "memorization")


def _tell_usefulness(files: Sequence[ResultFile]) -> Card:
    if not files:
        return _absent("baseline")
    labels = [row.verdict for file in files for row in list_compared(file)]
    helps, hurts = labels.count("helps"), labels.count("hurts")
    weak = labels.count("underpowered")
    answer = "They help" if helps and not hurts else "They hurt" if hurts and not helps else "Mixed"
    answer = answer if helps or hurts else "No help shown"
    tone: State = "passed" if helps and not hurts else "failed" if hurts and not helps else "underpowered"
    even = labels.count("no difference within the margin")
    tally = f"helps {helps}, no difference {even}, hurts {hurts}, underpowered {weak}"
    keys = " ".join(file.key for file in files)
    detail = Markup('of {} in {}: <span class="traced" data-tally="{}">{}</span>').format(
        _count(keys, len(labels), "comparison"), _count(keys, len(files), "task"), keys, tally)  # fmt: skip
    return Card(_QUESTIONS["baseline"], answer, tone, detail, "usefulness")


def _count(keys: str, number: int, noun: str) -> Markup:
    counted = Markup('<span class="traced" data-tally="{}">{}</span>').format(keys, number)
    return Markup("{} {}").format(counted, noun if number == 1 else f"{noun}s")


def _tell_readers(file: ResultFile, gates: list[Gate]) -> Card:
    traced = Traced(file)
    accuracy = find_figure(file, "acc.twoway.mean")
    settings = read_study_settings(file)
    words: dict[str, tuple[str, State]] = {
        "distinguishable": ("They can", "failed"),
        "equivalent": ("No better than the margin", "passed"),
        "detectable-but-small": ("They can, hardly", "underpowered"),
        "inconclusive": ("Inconclusive", "underpowered"),
    }
    none: tuple[str, State] = ("No verdict", "not asked")
    answer, tone = words.get(str(file.result.settings.get("verdict")), none)
    detail = Markup("") if accuracy is None else Markup("{} right ({}); chance {}").format(
        traced.value(accuracy), traced.interval(accuracy),
        traced.setting("settings.chance", f"{100 * settings.chance:g} %"))  # fmt: skip
    if settings.simulated:
        # Made-up answers answer nothing, whatever they say.
        return Card(_QUESTIONS["reader-study"], "Nobody read them", "not asked", Markup(
            "simulated readers, made up: {}").format(detail), "readers")  # fmt: skip
    return Card(_QUESTIONS["reader-study"], answer, tone, detail, "readers")


def _tell_release(release: GivenRelease | None) -> Card:
    if release is None:
        return Card(_QUESTIONS["release"], "Not given", "not asked", Markup("no release was named"), "provenance")
    errors = len(release.verdict.failing("error"))
    warnings = len(release.verdict.failing("warning")) - errors
    told = f"{errors} error{'' if errors == 1 else 's'}, {warnings} warning{'' if warnings == 1 else 's'}"
    detail = Markup('<span class="traced" data-release="verdict">{}</span> at level {}').format(
        told, release.verdict.level
    )
    if release.verdict.valid:
        return Card(_QUESTIONS["release"], "Valid", "passed", detail, "provenance")
    if errors:
        return Card(_QUESTIONS["release"], "Not valid", "failed", detail, "provenance")
    return Card(_QUESTIONS["release"], "Not all read", "underpowered", detail, "provenance")
