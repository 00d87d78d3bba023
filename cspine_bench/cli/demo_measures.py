"""Stages of the demo that measure: closeness, copies, a reader study, usefulness."""

from pathlib import Path
from typing import Final

from cspine_bench.cli.demo_settings import RECIPE_SIZE, Settings
from cspine_bench.cli.demo_stage import Document, Stage, seed_words, sets, tell_verdict, words

EARLIER: Final = ("early", "middle")
"""Earlier checkpoints, as sources of the reader study beside the samples of the last one: the release itself."""

_REHEARSAL: Final = (
    "A rehearsal with made-up readers: a generator that learnt for minutes leaves grain, "
    "and nobody is asked who sees it."
)
_SEARCHED_WHOLE: Final = 250
"""Of more samples, a fifth (validation and test) is searched for copies: all ways of looking take time."""


def _measured(settings: Settings, name: str) -> tuple[Path, ...]:
    return tuple(settings.results / f"{name}.{suffix}" for suffix in ("json", "html", "samples.parquet"))


def _always(exit_code: int, document: Document) -> bool:
    """What a generator of minutes is worth is a finding, and none about the demo."""
    return True


def _no_copies(exit_code: int, document: Document) -> bool:
    return not str(document["verdict"]).startswith("Copies found")


def measure_fidelity(settings: Settings) -> Stage:
    """How close the samples are to films that no generator saw."""
    sides = ("--real", settings.films, "--real-split", "test", "--synthetic", settings.dataset("samples"))
    # So that the demo takes minutes.
    fewer = sets(ladder_count=64, transmission_count=24, map_count=8)
    if settings.quick:
        fewer = sets(num_floors=4, ladder_count=64, transmission_count=0, map_count=0)
    where = ("--store", settings.store, "--out", settings.results)
    command = words("evaluate", "fidelity", *sides, *fewer, *seed_words(settings), *where)
    files = _measured(settings, "fidelity")
    return Stage(
        "fidelity", "Measure how close the samples are to held-out films", command, files, files, tell_verdict,
        passes=_always,
    )  # fmt: skip


def search_copies(settings: Settings) -> Stage:
    """Whether training films were copied, and whether a copy would have been found."""
    films = settings.films
    sides = ("--train", films, "--train-split", "train", "--holdout", films, "--holdout-split", "test")
    made: tuple[object, ...] = ("--synthetic", settings.dataset("samples"))
    if settings.sizes.samples > _SEARCHED_WHOLE:
        made = (*made, "--synthetic-split", "validation", "--synthetic-split", "test")
    made = (*made, "--run", settings.run(settings.main))
    changes: dict[str, object] = {"planted": min(settings.sizes.planted, settings.sizes.samples)}
    if settings.facts.train <= 51:
        changes["num_neighbours"] = settings.facts.train - 1
    if settings.quick:
        changes |= {"variants": "[shifted]", "regions": "false"}
    where = ("--store", settings.store, "--out", settings.results)
    command = words("evaluate", "memorization", *sides, *made, *sets(**changes), *seed_words(settings), *where)
    files = _measured(settings, "memorization")
    return Stage(
        "memorization", "Search for copies of training films, and for planted ones", command, files, files,
        tell_verdict, passes=_no_copies,
    )  # fmt: skip


def plan_study(settings: Settings) -> Stage:
    """Films among samples of three checkpoints, the last of them those of the release; sealed."""
    named = [f"{name}={settings.dataset(name)}" for name in EARLIER] + [f"late={settings.dataset('samples')}"]
    sources = [word for name in named for word in ("--synthetic", name)]
    changes = {} if settings.cases == 50 else {"cases": settings.cases, "repeats": min(8, settings.cases)}
    if settings.cases + 6 <= 15:
        changes["repeats"] = 0
    where = ("--allow-leaks", _REHEARSAL, "--out", settings.study)
    real = ("--real", settings.films, "--real-split", "test")
    command = words("study", "plan", *real, *sources, *sets(**changes), *seed_words(settings), *where)
    return Stage(
        "study-plan", "Plan a reader study: films among samples of three checkpoints", command,
        (settings.study / "protocol.yaml",), (settings.study,),
        _say_plan, afresh=True,
    )  # fmt: skip


def _say_plan(document: Document) -> str:
    protocol = document["protocol"]
    audit = protocol["leak_audit"]
    told = f"; a classifier tells films by their grain (AUC {audit['auc']:.2f}), which a rehearsal allows"
    return (
        f"{len(protocol['readers'])} readers, {protocol['recipe']['cases']} cases"
        f"{told if audit['auc'] > audit['limit'] else ''}"
    )


def simulate_study(settings: Settings) -> Stage:
    """Answers that nobody gave."""
    command = words(
        "study", "simulate", settings.study, "--readers-recipe", "one-poor-checkpoint", *seed_words(settings)
    )
    return Stage(
        "study-simulate", "Let made-up readers answer it", command, (), (),
        lambda document: f"{sum(document['done'].values()):,} answers; nobody gave them",
    )  # fmt: skip


def unblind_study(settings: Settings) -> Stage:
    """The truth, opened."""
    command = words("study", "unblind", settings.study)
    return Stage("study-unblind", "Open the sealed truth", command, (), (), lambda document: "on the record, and once")


def analyze_study(settings: Settings) -> Stage:
    """What the answers show."""
    command = words("study", "analyze", settings.study, "--out", settings.results)
    files = _measured(settings, "reader-study")
    return Stage(
        "study-analyze",
        "Analyse the answers as the protocol says",
        command,
        files[:2],
        files,
        tell_verdict,
        passes=_always,
    )


def run_baseline(settings: Settings) -> Stage:
    """Whether the samples help a network that finds landmarks."""
    made = ("--real", settings.films, "--synthetic", settings.dataset("samples"))
    changes: dict[str, object] = {} if settings.size == RECIPE_SIZE else {"size": settings.size}
    changes |= {"protocol__num_seeds": settings.sizes.seeds, "protocol__arms": "[real,mixed]"}
    if settings.quick:
        changes["protocol__fractions"] = "[1.0]"
    changes["learning__updates"] = 60 if settings.quick else 150
    where = ("--out", settings.results)
    command = words("baseline", "run", "landmarking", *made, *sets(**changes), *seed_words(settings), *where)
    files = _measured(settings, "baseline-landmarking")
    return Stage(
        "baseline",
        "Ask whether the samples help to find landmarks",
        command,
        files[:2],
        files,
        tell_verdict,
        passes=_always,
    )
