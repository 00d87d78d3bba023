"""The stages of the demo: each a command that a user would type, in rounds of tracks that run side by side."""

from pathlib import Path
from typing import Final

from cspine_bench.cli.demo_measures import (
    EARLIER,
    analyze_study,
    measure_fidelity,
    plan_study,
    run_baseline,
    search_copies,
    simulate_study,
    unblind_study,
)
from cspine_bench.cli.demo_settings import FRACTIONS, PARTS_OF_TRAINING, RECIPE_SIZE, SPARE_SAMPLES, Settings
from cspine_bench.cli.demo_stage import (
    Document,
    Round,
    Stage,
    Track,
    count_of,
    seed_words,
    sets,
    words,
    worker_words,
)
from cspine_bench.cli.output import format_count

_SHEETS: Final = {
    "films": "the films",
    "samples": "the samples",
    "unconditional": "what the other generator makes",
}
_NOT_TO_PUBLISH: Final = (
    "license=LicenseRef-not-for-publication",
    "license_text=A rehearsal; not for publication.",
    "training_data=[{name: films given to the demo, patients: true, terms: not stated; not for publication}]",
)
_RECIPE: Final = "phantom-64-cpu"
# A network this young leaves grain in what it denoises slowly; guidance makes small bones plain.
_LOOK: Final = ("--steps", "6")
_GUIDED: Final = ("--guidance", "2")


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
        # It is done sooner than the main one, so its samples are made while that still learns.
        plain = _train(settings, "unconditional", sizes.plain_updates, plain=True)
        made = _sample(settings, "unconditional", "unconditional", sizes.plain_samples, seed=4)
        tracks = (*tracks, (plain, made, _inspect(settings, "unconditional", settings.dataset("unconditional"))))
    samples: Track = (_sample(settings, "samples", main, sizes.samples),)
    earlier = _sample_earlier(settings) if settings.few else ()
    return tracks, ((samples, earlier) if earlier else (samples,))


def _build_measures(settings: Settings) -> tuple[Round, ...]:
    look: Track = (_replay(settings), _inspect(settings, "samples", settings.dataset("samples")))
    study = _build_study(settings)
    # The longest first, so that none is left alone at the end.
    tracks: Round = ((search_copies(settings),), (measure_fidelity(settings),), (*look, *study))
    return ((*tracks, (run_baseline(settings),)),) if settings.facts.labelled else (tracks,)


def _build_study(settings: Settings) -> Track:
    if settings.cases == 0:
        return ()
    sources = () if settings.few else _sample_earlier(settings)
    return (*sources, plan_study(settings), simulate_study(settings), unblind_study(settings), analyze_study(settings))


def _sample_earlier(settings: Settings) -> Track:
    """What readers see of the earlier checkpoints; of the last one they see the release itself."""
    if settings.cases == 0:
        return ()
    count = settings.cases + SPARE_SAMPLES
    *steps, _ = list_steps(settings.sizes.updates)
    return tuple(
        _sample(settings, name, settings.main, count, seed=place, checkpoint=step)
        for place, (name, step) in enumerate(zip(EARLIER, steps, strict=True), start=1)
    )


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


def _make_films(settings: Settings) -> Stage:
    origin, out = settings.origin, settings.films
    options = ("--size", settings.size, "--fractions", ",".join(map(str, FRACTIONS)))
    tail = (*options, *seed_words(settings), *worker_words(settings))
    if origin.kind == "phantom":
        title = "Make films of the phantom, the stand-in for real ones; one in five is held out"
        command = words("dataset", "phantom", out, "--count", settings.sizes.films, *tail)
    else:
        title = f"Import the films ({origin.words}); one in five is held out"
        command = words("dataset", "import", origin.kind, origin.path, out, *tail, "--skip-bad")
    report = out.with_name(f"{out.name}.import.json")
    log = settings.log("films")
    return Stage(
        "films", title, command, (out / "dataset.json",), (out, report), lambda document: _say_films(document, log)
    )


def _say_films(document: Document, log: Path) -> str:
    rejected = document["rejected"]
    there = count_of("film")(document)
    if not rejected:
        return there
    return f"{there}; {len(rejected):,} LEFT OUT, each with its reason in {log}, such as: {rejected[0]['reason']}"


def _inspect(settings: Settings, name: str, dataset: Path, *, parameters: bool = False) -> Stage:
    # On samples, small bones would hide behind their outlines.
    table = settings.out / "pictures" / f"{name}.csv"
    more = ("--parameters", table) if parameters else ("--no-labels",)
    sheet = settings.picture(name)
    command = words("dataset", "inspect", dataset, "--sheet", sheet, *more)
    leaves = (sheet, table) if parameters else (sheet,)
    return Stage(
        f"inspect-{name}", f"Draw a contact sheet of {_SHEETS[name]}", command, leaves, leaves,
        lambda document: f"{document['sheet']}: look at it", feeds=False,
    )  # fmt: skip


def _verify(settings: Settings) -> Stage:
    return Stage(
        "verify", "Check every byte, row and label of the films", words("dataset", "verify", settings.films), (), (),
        lambda document: "no fault found" if document["valid"] else format_count(len(document["issues"]), "fault"),
        feeds=False,
    )  # fmt: skip


def _load(settings: Settings) -> Stage:
    load = f"datasets.load_dataset({str(settings.films)!r})"
    command = ["python", "-c", f"import datasets, json; print(json.dumps({load}.num_rows))"]
    return Stage(
        "load", "Load them as any user of Hugging Face datasets would", command, (), (),
        lambda document: ", ".join(f"{split} {rows:,}" for split, rows in document.items()), feeds=False,
    )  # fmt: skip


def _train(settings: Settings, name: str, updates: int, *, plain: bool) -> Stage:
    run = settings.run(name)
    changes: dict[str, object] = {} if settings.size == RECIPE_SIZE else {"size": settings.size}
    if plain:
        changes |= {"condition": "none", "detail_weight": 0}
    steps = list_steps(updates) if name == settings.main else []
    changes |= {"training__num_steps": updates, "training__checkpoint_steps": str(steps).replace(" ", "")}
    if name == settings.main and settings.monitored:
        changes |= {"training__monitor__every": max(1, updates // 2), "training__monitor__count": settings.monitored}
    else:
        changes["training__monitor"] = "null"
    told = "is told nothing" if plain else "draws a given skeleton"
    command = words(
        "ddpm", "train", _RECIPE, "--data", settings.films, "--out", run, *sets(**changes), *seed_words(settings)
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
    elif name == "samples" and not settings.few:
        options = (*options, *worker_words(settings))
    of = "the release" if name == "samples" else f"checkpoint {checkpoint}" if checkpoint else "the other generator"
    command = words("ddpm", "sample", settings.run(run), *options, *seed_words(settings, seed), "--out", out)
    title = f"Sample radiographs of {of}" if name != "samples" else "Sample the radiographs of the release"
    return Stage(f"sample-{name}", title, command, (out / "dataset.json",), (out,), count_of("synthetic radiograph"))


def _replay(settings: Settings) -> Stage:
    last = f"dd{settings.sizes.samples - 1:08d}"
    command = words("ddpm", "replay", settings.dataset("samples"), last, "--run", settings.run(settings.main))
    return Stage(
        "replay", "Make one sample again from its record", command, (), (),
        lambda document: f"{document['sample_id']} again: {'the same' if document['same'] else 'NOT the same'}",
        feeds=False,
    )  # fmt: skip


def _key(settings: Settings) -> Stage:
    public = settings.key.with_suffix(".pub")
    return Stage(
        "key", "Make a key to sign with", words("release", "key", settings.key), (settings.key, public), (),
        lambda document: f"fingerprint {document['fingerprint'][:16]}",
    )  # fmt: skip


def _release(settings: Settings) -> Stage:
    named = ["name=cspine-demo"]
    if settings.origin.kind != "phantom":
        named += _NOT_TO_PUBLISH
    sets = [word for change in named for word in ("--set", change)]
    for measure in ("fidelity", "memorization"):
        sets += ["--evaluation", str(settings.results / f"{measure}.json")]
    key = ("--key", settings.key) if settings.signed else ()
    out = settings.release
    command = words(
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
    workers = () if settings.few else worker_words(settings)
    command = words("release", "validate", settings.release, "--level", "full", *key, *workers)
    return Stage("validate", "Validate it with code that did not build it", command, (), (), _say_findings)


def _say_findings(document: Document) -> str:
    found = dict.fromkeys(("error", "warning"), 0)
    for finding in document["findings"]:
        found[finding["severity"]] += 1
    return ", ".join(format_count(number, severity) for severity, number in found.items())


def _report(settings: Settings) -> Stage:
    made = ("samples", *(EARLIER if settings.cases else ()))
    roles = ["--dataset", f"real={settings.films}"]
    roles += [word for name in made for word in ("--dataset", f"synthetic={settings.dataset(name)}")]
    more = ("--run", settings.run(settings.main), "--release", settings.release)
    command = words("report", "build", settings.results, *roles, *more, "--overwrite", "--out", settings.report)
    return Stage(
        "report", "Draw the report from all results", command, (settings.report,), (settings.report,),
        lambda document: f"{document['num_bytes'] / 1e6:.1f} MB in one file",
    )  # fmt: skip
