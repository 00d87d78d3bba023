"""The stages of the demo: each a command that a user would type, in rounds of tracks that run side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cspine_bench.cli.demo_settings import FRACTIONS, PARTS_OF_TRAINING, Settings
from cspine_bench.cli.output import format_count

Document = Any
"""What a stage printed: its JSON."""

CHECKPOINTS: Final = ("early", "middle", "late")
"""Names of the three checkpoints as sources of the reader study."""

_SHEETS: Final = {
    "films": "the films",
    "samples": "the samples",
    "unconditional": "what the other generator makes",
}
_REHEARSAL: Final = (
    "A rehearsal with made-up readers: a generator that learnt for minutes leaves grain, "
    "and nobody is asked who sees it."
)
_NOT_TO_PUBLISH: Final = ("license=LicenseRef-not-for-publication", "license_text=A rehearsal: not for publication.")
_SEARCHED_WHOLE: Final = 250
"""Of more samples, the validation and test splits alone are searched for copies, a fifth: all ways of looking take time."""
_RECIPE: Final = "phantom-64-cpu"
_RECIPE_SIZE: Final = 64
# A network this young leaves grain in what it denoises slowly; guidance makes small bones plain.
_LOOK: Final = ("--steps", "6")
_GUIDED: Final = ("--guidance", "2")


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the demo.

    Args:
        name: of the file in `log/` that keeps what its command printed.
        title: what it does, for people.
        command: its arguments; the first is `cspine-bench` or `python`. `--json` is added when it runs.
        leaves: files whose absence means that it must run again.
        owns: what is removed before it runs with other settings, or on other data.
        sentence: one line for people, from what it printed.
        passes: whether the demo is positive about an exit code, 0 or 1, and what was printed.
    """

    name: str
    title: str
    command: list[str]
    leaves: tuple[Path, ...]
    owns: tuple[Path, ...]
    sentence: Callable[[Document], str]
    passes: Callable[[int, Document], bool] = lambda exit_code, document: exit_code == 0


Track = tuple[Stage, ...]
"""Stages one after another."""
Round = tuple[Track, ...]
"""Tracks side by side; the next round waits for all of them."""


def build_rounds(settings: Settings) -> tuple[Round, ...]:
    """All stages for these settings. The first two rounds depend on no fact of the films but where they come from."""
    rounds = (*build_film_rounds(settings), *_build_training(settings), *_build_measures(settings))
    return (*rounds, *_build_papers(settings))


def build_film_rounds(settings: Settings) -> tuple[Round, ...]:
    """The dataset of films, and a look at it."""
    look: Round = (
        (_inspect(settings, "films", settings.films, parameters=True),),
        (_verify(settings), _load(settings)),
    )
    return (look,) if settings.origin.kind == "dataset" else (((_make_films(settings),),), look)


def _build_training(settings: Settings) -> tuple[Round, ...]:
    sizes, main = settings.sizes, settings.main
    tracks: Round = ((_train(settings, main, sizes.updates, plain=not settings.facts.labelled),),)
    if settings.facts.labelled:
        tracks = (*tracks, (_train(settings, "unconditional", sizes.plain_updates, plain=True),))
    return tracks, ((_sample(settings, "samples", main, sizes.samples),),)


def _build_measures(settings: Settings) -> tuple[Round, ...]:
    look: Track = (_replay(settings), _inspect(settings, "samples", settings.dataset("samples")))
    if settings.facts.labelled:
        count = settings.sizes.plain_samples
        plain = _sample(settings, "unconditional", "unconditional", count, seed=4)
        look = (*look, plain, _inspect(settings, "unconditional", settings.dataset("unconditional")))
    study = _build_study(settings)
    tracks: Round = ((_fidelity(settings), _memorization(settings)), (*look, *study))
    return ((*tracks, (_baseline(settings),)),) if settings.facts.labelled else (tracks,)


def _build_study(settings: Settings) -> Track:
    if settings.cases == 0:
        return ()
    # Sets to practise on and controls take ten images of each source; some are left over for those that fall out.
    count = settings.cases + 14
    sources = tuple(
        _sample(settings, name, settings.main, count, seed=place + 1, checkpoint=step)
        for place, (name, step) in enumerate(zip(CHECKPOINTS, list_steps(settings.sizes.updates), strict=True))
    )
    return (*sources, _plan(settings), _simulate(settings), _unblind(settings), _analyze(settings))


def _build_papers(settings: Settings) -> tuple[Round, ...]:
    stages = (*((_key(settings),) if settings.signed else ()), _release(settings), _validate(settings))
    return ((stages,), ((_report(settings),),))


def list_steps(updates: int) -> list[int]:
    """Updates after which a checkpoint is kept: three different ones.

    Args:
        updates: of the whole training, 3 or more.
    """
    steps = [max(place, round(updates * share)) for place, share in enumerate(PARTS_OF_TRAINING, start=1)]
    return [min(step, updates - 2 + place) for place, step in enumerate(steps)]


def _words(*parts: object) -> list[str]:
    return ["cspine-bench", *map(str, parts)]


def _seed(settings: Settings, more: int = 0) -> tuple[str, ...]:
    seed = settings.seed + more
    return () if seed == 0 else ("--seed", str(seed))


def _workers(settings: Settings) -> tuple[str, ...]:
    return () if settings.workers == 1 else ("--workers", str(settings.workers))


def _sets(**values: object) -> list[str]:
    return [word for name, value in values.items() for word in ("--set", f"{name.replace('__', '.')}={value}")]


def _count_of(noun: str) -> Callable[[Document], str]:
    return lambda document: format_count(sum(document["num_samples"].values()), noun)


def _make_films(settings: Settings) -> Stage:
    origin, out = settings.origin, settings.films
    options = ("--size", settings.size, "--fractions", ",".join(map(str, FRACTIONS)))
    tail = (*options, *_seed(settings), *_workers(settings))
    if origin.kind == "phantom":
        title = "Make films of the phantom, the stand-in for real ones; one in five is held out"
        command = _words("dataset", "phantom", out, "--count", settings.sizes.films, *tail)
    else:
        title = f"Import the films ({origin.words}); one in five is held out"
        command = _words("dataset", "import", origin.kind, origin.path, out, *tail, "--skip-bad")
    report = out.with_name(f"{out.name}.import.json")
    return Stage("films", title, command, (out / "dataset.json",), (out, report), _count_of("film"))


def _inspect(settings: Settings, name: str, dataset: Path, *, parameters: bool = False) -> Stage:
    # On samples, small bones would hide behind their outlines.
    table = settings.out / "pictures" / f"{name}.csv"
    more = ("--parameters", table) if parameters else ("--no-labels",)
    sheet = settings.picture(name)
    command = _words("dataset", "inspect", dataset, "--sheet", sheet, *more)
    leaves = (sheet, table) if parameters else (sheet,)
    return Stage(
        f"inspect-{name}", f"Draw a contact sheet of {_SHEETS[name]}", command, leaves, leaves,
        lambda document: f"{document['sheet']}: look at it",
    )  # fmt: skip


def _verify(settings: Settings) -> Stage:
    return Stage(
        "verify", "Check every byte, row and label of the films", _words("dataset", "verify", settings.films), (), (),
        lambda document: "no fault found" if document["valid"] else format_count(len(document["issues"]), "fault"),
    )  # fmt: skip


def _load(settings: Settings) -> Stage:
    load = f"datasets.load_dataset({str(settings.films)!r})"
    command = ["python", "-c", f"import datasets, json; print(json.dumps({load}.num_rows))"]
    return Stage(
        "load", "Load them as any user of Hugging Face datasets would", command, (), (),
        lambda document: ", ".join(f"{split} {rows:,}" for split, rows in document.items()),
    )  # fmt: skip


def _train(settings: Settings, name: str, updates: int, *, plain: bool) -> Stage:
    run = settings.run(name)
    changes: dict[str, object] = {} if settings.size == _RECIPE_SIZE else {"size": settings.size}
    if plain:
        changes |= {"condition": "none", "detail_weight": 0}
    steps = list_steps(updates) if name == settings.main else []
    changes |= {"training__num_steps": updates, "training__checkpoint_steps": str(steps).replace(" ", "")}
    if name == settings.main and settings.monitored:
        changes |= {"training__monitor__every": max(1, updates // 2), "training__monitor__count": settings.monitored}
    else:
        changes["training__monitor"] = "null"
    told = "is told nothing" if plain else "draws a given skeleton"
    command = _words(
        "ddpm", "train", _RECIPE, "--data", settings.films, "--out", run, *_sets(**changes), *_seed(settings)
    )
    return Stage(
        f"train-{name}", f"Train a generator that {told}", command, (run / "progress.png", run / "checkpoints"), (run,),
        lambda document: f"{document['step']:,} updates, validation loss {document['validation_loss']:.4f}",
    )  # fmt: skip


def _sample(settings: Settings, name: str, run: str, count: int, seed: int = 0, checkpoint: int | None = None) -> Stage:
    out = settings.dataset(name)
    guided = () if run == "unconditional" else _GUIDED
    options: tuple[object, ...] = (*_LOOK, *guided, "--count", count)
    if checkpoint is not None:
        options = ("--checkpoint", checkpoint, *options)
    elif name == "samples":
        options = (*options, *_workers(settings))
    of = "the release" if name == "samples" else f"checkpoint {checkpoint}" if checkpoint else "the other generator"
    command = _words("ddpm", "sample", settings.run(run), *options, *_seed(settings, seed), "--out", out)
    title = f"Sample radiographs of {of}" if name != "samples" else "Sample the radiographs of the release"
    return Stage(f"sample-{name}", title, command, (out / "dataset.json",), (out,), _count_of("synthetic radiograph"))


def _replay(settings: Settings) -> Stage:
    last = f"dd{settings.sizes.samples - 1:08d}"
    command = _words("ddpm", "replay", settings.dataset("samples"), last, "--run", settings.run(settings.main))
    return Stage(
        "replay", "Make one sample again from its record", command, (), (),
        lambda document: f"{document['sample_id']} again: {'the same' if document['same'] else 'NOT the same'}",
    )  # fmt: skip


def _measured(settings: Settings, name: str) -> tuple[Path, ...]:
    return tuple(settings.results / f"{name}.{suffix}" for suffix in ("json", "html", "samples.parquet"))


def _first_sentence(document: Document) -> str:
    verdict = str(document["verdict"])
    end = verdict.find(". ")
    return verdict if end < 0 else verdict[: end + 1]


def _always(exit_code: int, document: Document) -> bool:
    """What a generator of minutes is worth is a finding, and none about the demo."""
    return True


def _no_copies(exit_code: int, document: Document) -> bool:
    return not _first_sentence(document).lower().startswith("copies found")


def _fidelity(settings: Settings) -> Stage:
    sides = ("--real", settings.films, "--real-split", "test", "--synthetic", settings.dataset("samples"))
    # So that the demo takes minutes.
    fewer = _sets(
        detectability_count=200, transmission_count=24, map_count=8, **({"num_floors": 4} if settings.quick else {})
    )
    where = ("--store", settings.store, "--out", settings.results)
    command = _words("evaluate", "fidelity", *sides, *fewer, *_seed(settings), *where)
    files = _measured(settings, "fidelity")
    return Stage(
        "fidelity", "Measure how close the samples are to held-out films", command, files, files, _first_sentence,
        _always,
    )  # fmt: skip


def _memorization(settings: Settings) -> Stage:
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
    command = _words("evaluate", "memorization", *sides, *made, *_sets(**changes), *_seed(settings), *where)
    files = _measured(settings, "memorization")
    return Stage(
        "memorization", "Search for copies of training films, and for planted ones", command, files, files,
        _first_sentence, _no_copies,
    )  # fmt: skip


def _plan(settings: Settings) -> Stage:
    sources = [word for name in CHECKPOINTS for word in ("--synthetic", f"{name}={settings.dataset(name)}")]
    changes = {} if settings.cases == 50 else {"cases": settings.cases, "repeats": min(8, settings.cases)}
    if settings.cases + 6 <= 15:
        changes["repeats"] = 0
    where = ("--allow-leaks", _REHEARSAL, "--out", settings.study)
    real = ("--real", settings.films, "--real-split", "test")
    command = _words("study", "plan", *real, *sources, *_sets(**changes), *_seed(settings), *where)
    return Stage(
        "study-plan", "Plan a reader study: films among samples of three checkpoints", command,
        (settings.study / "protocol.yaml",), (settings.study,),
        _say_plan,
    )  # fmt: skip


def _say_plan(document: Document) -> str:
    protocol = document["protocol"]
    audit = protocol["leak_audit"]
    told = f"; a classifier tells films by their grain (AUC {audit['auc']:.2f}), which a rehearsal allows"
    return (
        f"{len(protocol['readers'])} readers, {protocol['recipe']['cases']} cases"
        f"{told if audit['auc'] > audit['limit'] else ''}"
    )


def _simulate(settings: Settings) -> Stage:
    command = _words("study", "simulate", settings.study, "--readers-recipe", "one-poor-checkpoint", *_seed(settings))
    return Stage(
        "study-simulate", "Let made-up readers answer it", command, (), (),
        lambda document: f"{sum(document['done'].values()):,} answers; nobody gave them",
    )  # fmt: skip


def _unblind(settings: Settings) -> Stage:
    command = _words("study", "unblind", settings.study)
    return Stage("study-unblind", "Open the sealed truth", command, (), (), lambda document: "on the record, and once")


def _analyze(settings: Settings) -> Stage:
    command = _words("study", "analyze", settings.study, "--out", settings.results)
    files = _measured(settings, "reader-study")
    return Stage(
        "study-analyze", "Analyse the answers as the protocol says", command, files[:2], files, _first_sentence, _always
    )


def _baseline(settings: Settings) -> Stage:
    made = ("--real", settings.films, "--synthetic", settings.dataset("samples"))
    changes: dict[str, object] = {} if settings.size == _RECIPE_SIZE else {"size": settings.size}
    changes["protocol__num_seeds"] = settings.sizes.seeds
    if settings.quick:
        changes |= {"protocol__arms": "[real,mixed]", "protocol__fractions": "[1.0]", "learning__updates": 60}
    else:
        changes |= {"protocol__arms": "[real,mixed]", "learning__updates": 150}
    where = ("--out", settings.results)
    command = _words("baseline", "run", "landmarking", *made, *_sets(**changes), *_seed(settings), *where)
    files = _measured(settings, "baseline-landmarking")
    return Stage(
        "baseline",
        "Ask whether the samples help to find landmarks",
        command,
        files[:2],
        files,
        _first_sentence,
        _always,
    )


def _key(settings: Settings) -> Stage:
    public = settings.key.with_suffix(".pub")
    return Stage(
        "key", "Make a key to sign with", _words("release", "key", settings.key), (settings.key, public), (),
        lambda document: f"fingerprint {document['fingerprint'][:16]}",
    )  # fmt: skip


def _release(settings: Settings) -> Stage:
    named = ["name=cspine-demo"]
    if settings.origin.kind not in ("phantom", "dataset"):
        named += _NOT_TO_PUBLISH
    sets = [word for change in named for word in ("--set", change)]
    for measure in ("fidelity", "memorization"):
        sets += ["--evaluation", str(settings.results / f"{measure}.json")]
    key = ("--key", settings.key) if settings.signed else ()
    out = settings.release
    command = _words(
        "release", "build", settings.dataset("samples"), *sets, *key, "--webdataset", "--overwrite", "--out", out
    )
    mirror = out.with_name(f"{out.name}-wds")
    return Stage(
        "release", "Build the release: card, papers, marks, mirror, signature", command,
        (out / "SHA256SUMS", mirror / "SHA256SUMS"), (out, mirror),
        lambda document: f"{document['num_files']:,} files, {'signed' if document['signed'] else 'not signed'}; "
        f"the card is {out / 'README.md'}",
    )  # fmt: skip


def _validate(settings: Settings) -> Stage:
    key = ("--key", settings.key.with_suffix(".pub")) if settings.signed else ()
    command = _words("release", "validate", settings.release, "--level", "full", *key, *_workers(settings))
    return Stage("validate", "Validate it with code that did not build it", command, (), (), _say_findings)


def _say_findings(document: Document) -> str:
    found = dict.fromkeys(("error", "warning"), 0)
    for finding in document["findings"]:
        found[finding["severity"]] += 1
    return ", ".join(format_count(number, severity) for severity, number in found.items())


def _report(settings: Settings) -> Stage:
    roles = ("--dataset", f"real={settings.films}", "--dataset", f"synthetic={settings.dataset('samples')}")
    more = ("--run", settings.run(settings.main), "--release", settings.release)
    command = _words("report", "build", settings.results, *roles, *more, "--overwrite", "--out", settings.report)
    return Stage(
        "report", "Draw the report from all results", command, (settings.report,), (settings.report,),
        lambda document: f"{document['num_bytes'] / 1e6:.1f} MB in one file",
    )  # fmt: skip
