"""Where results, datasets, run and release do not go together: told before anything that rests on them."""

from collections.abc import Iterator, Sequence
from typing import Final

from cspine_bench.report.chain import Chain
from cspine_bench.report.files import ResultFile
from cspine_bench.report.given import GivenRelease, GivenRun
from cspine_bench.results import Result

_NAMED: Final = 3


def list_contradictions(
    files: Sequence[ResultFile], chains: Sequence[Chain], run: GivenRun | None, release: GivenRelease | None
) -> list[str]:
    """Sentences, the gravest first; none where all goes together."""
    return [
        *_tell_release(files, release),
        *_tell_datasets(files),
        *_tell_chains(chains),
        *_tell_training_films(files),
        *_tell_bytes(files),
        *_tell_versions(files, run, release),
        *_tell_commits(files, run),
    ]


def _tell_release(files: Sequence[ResultFile], release: GivenRelease | None) -> Iterator[str]:
    if release is None:
        return
    errors = release.verdict.failing("error")
    if errors:
        first = "; ".join(f"{one.code} {one.where}: {one.message}" for one in errors[:_NAMED])
        more = f"; and {len(errors) - _NAMED} more" if len(errors) > _NAMED else ""
        yield f"The release {release.name} is not valid: {_count(len(errors), 'error')} ({first}{more})."
    elif release.verdict.unchecked:
        count = _count(len(release.verdict.unchecked), "file")
        yield f"The release {release.name} could not be checked whole: {count} could not be read."
    synthetic = {digest for file in files for digest in file.digests("synthetic")}
    if synthetic and release.digest not in synthetic:
        yield (
            f"No result was measured on the dataset that {release.name} holds (manifest {release.digest[:12]}): "
            "this evidence is about other images."
        )
    for file in files:
        for name, told in release.results.items():
            if _same_question(told, file.result) and told != file.result:
                yield (
                    f"{file.name} and {name} in the release are of the same measure and datasets, and differ: "
                    "one of them was changed or measured again."
                )


def _same_question(first: Result, second: Result) -> bool:
    return (first.measure, sorted(item.digest for item in first.inputs)) == (
        second.measure,
        sorted(item.digest for item in second.inputs),
    )


def _tell_datasets(files: Sequence[ResultFile]) -> Iterator[str]:
    """Results that speak of different images are no evidence for each other."""
    groups = _group_by_images(files)
    if len(groups) > 1:
        told = "; ".join(
            f"{', '.join(dict.fromkeys(file.name for file in group))}: {_name_images(group)}" for group in groups
        )
        yield f"The results are about {len(groups)} different sets of synthetic images. {told}."
    readers = [file.name for file in files if file.result.measure == "reader-study" and not file.digests("synthetic")]
    if readers and len(files) > len(readers):
        yield (
            f"{', '.join(readers)} names no dataset by its digest, so nothing shows that readers saw the images that "
            "the other results are about; a study that was planned here names them."
        )


def _group_by_images(files: Sequence[ResultFile]) -> list[list[ResultFile]]:
    """Results that share a synthetic dataset, directly or through another one: a reader study may have several."""
    groups: list[tuple[set[str], list[ResultFile]]] = []
    for file in files:
        digests, members = set(file.digests("synthetic")), [file]
        if not digests:
            continue
        for group in [group for group in groups if group[0] & digests]:
            groups.remove(group)
            digests, members = digests | group[0], [*group[1], *members]
        groups.append((digests, members))
    return [members for _, members in groups]


def _name_images(files: Sequence[ResultFile]) -> str:
    named = {
        item.digest: f"{item.name}, {item.num_samples:,} images, {item.digest[:12]}"
        for file in files
        for item in file.result.inputs
        if item.role == "synthetic"
    }
    return " and ".join(named.values())


def _tell_chains(chains: Sequence[Chain]) -> Iterator[str]:
    for chain in chains:
        for link in chain.links:
            if link.standing == "differs":
                told = link.digest[:12] or link.name
                yield f"{chain.name} was made by the {link.what} {told}, but {link.how}."


def _tell_training_films(files: Sequence[ResultFile]) -> Iterator[str]:
    """Fidelity against the very films that a generator learnt from praises copies."""
    trained = {(item.digest, item.name) for file in files for item in file.result.inputs if item.role == "train"}
    for file in files:
        for item in file.result.inputs:
            whole = {(digest, name) for digest, name in trained if digest == item.digest}
            used = item.name.partition(" (")[2]
            if file.result.measure == "fidelity" and item.role == "real" and whole and (not used or "train" in used):
                yield (
                    f"{file.name} compares with {item.name}, which holds the films that the generator was trained on: "
                    "copies of them would score best."
                )


def _tell_bytes(files: Sequence[ResultFile]) -> Iterator[str]:
    changed = [file.name for file in files if not file.canonical]
    if changed:
        yield (
            f"{', '.join(changed)}: the bytes are not those that this version writes for this content; the file was "
            "edited, printed by --json, or written by another version."
        )


def _tell_versions(files: Sequence[ResultFile], run: GivenRun | None, release: GivenRelease | None) -> Iterator[str]:
    versions: dict[str, list[str]] = {}
    for file in files:
        versions.setdefault(file.result.package_version, []).append(file.name)
    code = release.account.get("code") if release is not None else None
    if release is not None and isinstance(code, dict) and code.get("version"):
        versions.setdefault(str(code["version"]), []).append(release.name)
    if len(versions) > 1:
        told = "; ".join(f"{version}: {', '.join(names)}" for version, names in sorted(versions.items()))
        yield f"They were made by different versions of cspine-bench. {told}."


def _tell_commits(files: Sequence[ResultFile], run: GivenRun | None) -> Iterator[str]:
    unknown = [file.name for file in files if file.result.commit is None]
    if unknown:
        yield (
            f"{', '.join(unknown)}: no commit is stated, so the code was changed since its commit, or installed "
            "without its history; the figures cannot be traced to a line of code."
        )
    if run is not None and run.facts.commit_dirty:
        yield f"The run {run.name} was trained by code that was changed since its commit (a dirty tree)."
    commits: dict[str, list[str]] = {}
    for file in files:
        if file.result.commit is not None:
            commits.setdefault(file.result.commit[:12], []).append(file.name)
    if len(commits) > 1:
        told = "; ".join(f"{commit}: {', '.join(names)}" for commit, names in commits.items())
        yield f"They were made at {len(commits)} different commits. {told}."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
