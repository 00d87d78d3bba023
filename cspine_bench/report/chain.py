"""The provenance chain, drawn: image, run, checkpoint, training dataset, source; and how sure each step is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cspine_bench.report.files import ResultFile
from cspine_bench.report.given import GivenDataset, GivenRelease, GivenRun

Standing = Literal["checked", "stated", "differs", "unknown"]


@dataclass(frozen=True)
class Link:
    """One step of the chain.

    Attributes:
        what: the kind of thing.
        name: what it is, in words.
        digest: what it is told by; "": nothing.
        standing: `checked` here by computing it anew, only `stated`, `differs` from what was given, or `unknown`.
        how: what was done to say so, or what would.
    """

    what: str
    name: str
    digest: str
    standing: Standing
    how: str


@dataclass(frozen=True)
class Chain:
    """The chain of one synthetic dataset.

    Attributes:
        name: of the dataset, as results call it.
        digest: of its manifest.
        links: from the image back to the source.
        measures: results that speak of it, as numbers in the appendix.
    """

    name: str
    digest: str
    links: tuple[Link, ...]
    measures: tuple[ResultFile, ...]


def build_chains(
    files: Sequence[ResultFile],
    datasets: Sequence[GivenDataset],
    run: GivenRun | None,
    release: GivenRelease | None,
) -> list[Chain]:
    """A chain for each synthetic dataset that a result speaks of, in the order of the results."""
    names: dict[str, str] = {}
    for file in files:
        for item in file.result.inputs:
            if item.role == "synthetic":
                names.setdefault(item.digest, item.name)
    sources = {digest: find_source(digest, find_given(digest, datasets), release) for digest in names}
    # A run that made one of several sets is not held against the others.
    made = {digest for digest, source in sources.items() if run and source.get("run_id") == run.facts.run_id}
    chains = []
    for digest, name in names.items():
        measures = tuple(file for file in files if digest in file.digests("synthetic"))
        given, source = find_given(digest, datasets), sources[digest]
        own = run if digest in made or not made else None
        count = next(item.num_samples for file in measures for item in file.result.inputs if item.digest == digest)
        links = (
            _link_images(name, digest, count, given, release),
            _link_run(source, measures, own),
            *_link_checkpoints(source, measures, own),
            _link_training(source, own, datasets, files),
            _link_films(source, datasets),
        )
        chains.append(Chain(name, digest, links, measures))
    return chains


def find_given(digest: str, datasets: Sequence[GivenDataset]) -> GivenDataset | None:
    """The synthetic dataset of a digest, where it was given."""
    return next((one for one in datasets if (one.role, one.digest) == ("synthetic", digest)), None)


def find_source(digest: str, given: GivenDataset | None, release: GivenRelease | None) -> dict[str, Any]:
    """What the manifest of a synthetic dataset, or the release of it, says of how it was made; {}: not known here."""
    if given is not None:
        return given.folder.manifest.source
    if release is not None and release.digest == digest:
        source = release.account["dataset"].get("source")
        return source if isinstance(source, dict) else {}
    return {}


def _link_images(name: str, digest: str, count: int, given: GivenDataset | None, release: GivenRelease | None) -> Link:
    words = f"{count:,} synthetic images, {name}"
    if given is not None:
        return Link("images", words, digest, "checked", "its manifest was read, and gives this digest")
    if release is not None and release.digest == digest and release.verdict.valid:
        return Link("images", words, digest, "checked", "the release holds them, and its files were hashed")
    return Link("images", words, digest, "stated", "by the results; --dataset synthetic=FOLDER checks it")


def _link_run(source: dict[str, Any], measures: Sequence[ResultFile], run: GivenRun | None) -> Link:
    stated = source.get("run_id") or _find_loss(measures).get("run_id")
    if source and not stated:
        return Link("run", f"none: made by {source.get('kind', 'a source not named')}", "", "stated", "by the manifest")
    if not stated:
        return Link("run", "not known here", "", "unknown", "--dataset synthetic=FOLDER or --release RELEASE tells it")
    if run is None:
        return Link("run", "training run", stated, "stated", "by the images’ manifest; --run RUN checks it")
    if run.facts.run_id != stated:
        return Link("run", "training run", stated, "differs", f"the run that was given is {run.facts.run_id}")
    return Link("run", run.name, stated, "checked", "computed anew from the run folder’s recipe, data and seed")


def _find_loss(measures: Sequence[ResultFile]) -> dict[str, Any]:
    """What a memorization result says of the run whose losses it used."""
    for file in measures:
        losses = file.result.settings.get("losses")
        if isinstance(losses, dict):
            return losses
    return {}


def _link_checkpoints(source: dict[str, Any], measures: Sequence[ResultFile], run: GivenRun | None) -> list[Link]:
    stated = [one for one in source.get("checkpoints", ()) if isinstance(one, dict)]
    if not stated and (losses := _find_loss(measures)):
        stated = [{"step": losses.get("step"), "weights_sha256": losses.get("weights")}]
    if not stated:
        return [Link("checkpoint", "not known here", "", "unknown", "the images’ manifest tells it")]
    links = []
    for one in stated:
        sha256, step = str(one.get("weights_sha256", "")), one.get("step")
        name = f"weights after {step:,} updates" if isinstance(step, int) else "weights"
        if run is None:
            links.append(Link("checkpoint", name, sha256, "stated", "by the images’ manifest; --run RUN checks it"))
        elif run.holds(sha256):
            links.append(Link("checkpoint", name, sha256, "checked", "the file in the run folder has this hash"))
        else:
            how = "no file of a checkpoint in the run that was given has this hash"
            links.append(Link("checkpoint", name, sha256, "differs", how))
    return links


def _link_training(
    source: dict[str, Any], run: GivenRun | None, datasets: Sequence[GivenDataset], files: Sequence[ResultFile]
) -> Link:
    training = source.get("training_data")
    stated = str(training.get("dataset_sha256", "")) if isinstance(training, dict) else ""
    if not stated and run is not None and source.get("run_id") == run.facts.run_id:
        stated = run.facts.dataset_sha256
    if not stated:
        return Link("training dataset", "not known here", "", "unknown", "the images’ manifest or the run tells it")
    films = training.get("num_films") if isinstance(training, dict) else None
    count = f"{films:,} films" if isinstance(films, int) else "films"
    given = next((one for one in datasets if one.manifest_sha256 == stated), None)
    if given is None:
        how = "by the images’ manifest; --dataset train=FOLDER or real=FOLDER checks it"
        return Link("training dataset", f"{count}, manifest file", stated, "stated", how)
    measured = [file.number for file in files if given.digest in file.digests("train")]
    how = f"the manifest of {given.name} has this hash"
    how += f", and copies were looked for in it (result {', '.join(measured)})" if measured else ""
    return Link("training dataset", f"{count} of {given.name}", stated, "checked", how)


def _link_films(source: dict[str, Any], datasets: Sequence[GivenDataset]) -> Link:
    training = source.get("training_data")
    kinds = find_training_kinds(source)
    if not isinstance(training, dict) or not kinds:
        return Link("source", "not known here", "", "unknown", "the images’ manifest tells it")
    words = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    films = [one for one in datasets if one.manifest_sha256 == training.get("dataset_sha256")]
    if films:
        kind = str(films[0].folder.manifest.source.get("kind", "not named"))
        return Link("source", words, "", "checked", f"the training dataset’s manifest names its source: {kind}")
    return Link("source", words, "", "stated", "by the images’ manifest")


def find_training_kinds(source: dict[str, Any]) -> dict[str, int]:
    """Films by kind of source that a synthetic dataset’s generator was trained on; {}: not known."""
    training = source.get("training_data")
    kinds = training.get("sources") if isinstance(training, dict) else None
    return dict(kinds) if isinstance(kinds, dict) else {}
