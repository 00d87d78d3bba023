"""Build a release from a dataset folder: shards, tables and mirror first, then the papers, the seals, and the name.

The same dataset, recipe and evidence give the same bytes. A build that was killed goes on where it was; until it is
whole, everything lies in a hidden folder beside the release (see `staging`).
"""

import datetime
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cspine_bench.dataset.manifest import Manifest
from cspine_bench.dataset.read import DatasetFolder, open_dataset
from cspine_bench.errors import ReleaseError
from cspine_bench.provenance import find_clean_commit, package_version, sha256_bytes, sha256_file, sha256_json
from cspine_bench.release.assemble import (
    BALANCE_NAME,
    Assembly,
    OnProgress,
    iter_tables,
    write_release,
)
from cspine_bench.release.facts import ReleaseFacts, count_facts
from cspine_bench.release.layout import ATTESTATION_NAME, MIRROR_NAME, SUMS_NAME, mirror_of
from cspine_bench.release.preview import Credentials
from cspine_bench.release.recipe import ReleaseRecipe
from cspine_bench.release.resolve import refuse_left_overs, resolve_recipe
from cspine_bench.release.seal import load_private_key, name_key
from cspine_bench.release.staging import (
    discard_staging,
    open_staging,
    place_out,
    publish,
    read_fingerprint,
    read_plan,
    read_release_date,
    refuse_foreign,
    save_plan,
)
from cspine_bench.results import Result, load_result, render_result

_RESULT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class BuiltRelease:
    """What a build left.

    Attributes:
        path: the release folder.
        mirror: its WebDataset mirror, if one was asked for.
        recipe: as it was resolved.
        num_samples: radiographs by split.
        num_files: in the release folder.
        num_bytes: of them.
        sums_sha256: of SHA256SUMS: one hash that stands for the release.
        signed: whether it was signed.
    """

    path: Path
    mirror: Path | None
    recipe: ReleaseRecipe
    num_samples: dict[str, int]
    num_files: int
    num_bytes: int
    sums_sha256: str
    signed: bool


def build_release(
    dataset: Path,
    out: Path,
    recipe: ReleaseRecipe,
    *,
    mirror: bool = False,
    evaluations: Sequence[Path] = (),
    supersedes: Path | None = None,
    key: Path | None = None,
    credentials: Credentials | None = None,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> BuiltRelease:
    """Build a release, or go on where an earlier call with the same arguments stopped.

    Memory holds one row group of a shard, and about 100 bytes for each radiograph.

    Args:
        dataset: the dataset folder; all of its images must be synthetic.
        out: the release folder: absent, empty, or left by an earlier build of the same.
        recipe: the publisher's decisions.
        mirror: build the WebDataset mirror, `OUT-wds`, too.
        evaluations: result files of this dataset: the evidence.
        supersedes: the release that this one replaces; its changelog is carried on.
        key: PEM file of the Ed25519 key to sign with; None: not signed.
        credentials: to mark `samples/` by C2PA too. Such marks hold random numbers, so two builds then differ.
        overwrite: replace another release that lies in `out`, and its mirror.
        on_progress: called with (radiographs copied, in all; twice as many with a mirror).

    Raises:
        DataError: the dataset is unfinished or damaged, an evaluation is no result file, the disk is full, or another
            process builds there.
        ReleaseError: the dataset holds real films, evidence is about other data, a licence must be named, `out` holds
            something else, or the key cannot be used.
        MissingExtraError: signing or C2PA was asked for and its package is not installed.
        OSError: `out` cannot be written.
    """
    out = place_out(out)
    inputs = _gather(
        dataset,
        out,
        recipe,
        mirror=mirror,
        evaluations=evaluations,
        supersedes=supersedes,
        key=key,
        credentials=credentials,
        overwrite=overwrite,
    )
    if _is_finished(out, inputs.fingerprint, mirror):
        discard_staging(out)
        return _summarize(out, inputs, mirror)
    with open_staging(out, inputs.fingerprint) as staging:
        save_plan(staging, {"fingerprint": inputs.fingerprint, "date": str(inputs.recipe.date)})
        assembly = Assembly(
            folder=inputs.folder,
            staging=staging,
            recipe=inputs.recipe,
            results=inputs.results,
            fingerprint=inputs.fingerprint,
            mirrored=mirror,
            changelog=inputs.changelog,
            key=None if key is None else load_private_key(key),
            credentials=credentials,
            on_progress=on_progress,
        )
        write_release(assembly)
        publish(staging, mirrored=mirror)
    return _summarize(out, inputs, mirror)


def plan_release(dataset: Path, out: Path, recipe: ReleaseRecipe, **asked: Any) -> dict[str, Any]:
    """What `build_release` would build, as JSON values; nothing is written.

    Args:
        dataset, out, recipe: as there.
        asked: its other arguments.

    Raises:
        As `build_release`.
    """
    out = place_out(out)
    inputs = _gather(dataset, out, recipe, **asked)
    mirrored = asked.get("mirror", False)
    return {
        "path": str(out),
        "mirror": str(mirror_of(out)) if mirrored else None,
        "name": inputs.recipe.name,
        "version": inputs.recipe.version,
        "date": str(inputs.recipe.date),
        "license": inputs.recipe.license,
        "num_samples": inputs.facts.num_samples,
        "shard_bytes": sum(shard.num_bytes for shard in inputs.folder.manifest.shards) * (2 if mirrored else 1),
        "finished": _is_finished(out, inputs.fingerprint, mirrored),
    }


@dataclass(frozen=True)
class _Inputs:
    """What a build is made from, checked."""

    folder: DatasetFolder
    facts: ReleaseFacts
    recipe: ReleaseRecipe
    results: dict[str, Result]
    changelog: str | None
    fingerprint: str


def _gather(
    dataset: Path,
    out: Path,
    recipe: ReleaseRecipe,
    *,
    mirror: bool = False,
    evaluations: Sequence[Path] = (),
    supersedes: Path | None = None,
    key: Path | None = None,
    credentials: Credentials | None = None,
    overwrite: bool = False,
) -> _Inputs:
    folder = open_dataset(dataset)
    source = folder.path.resolve()
    if out == source or source in out.parents:
        raise ReleaseError(f"{out}: lies in the dataset folder that it is built from; name a place outside of it")
    if supersedes is not None and supersedes.resolve() == out:
        raise ReleaseError(
            f"{out}: is the release that is superseded, and would be replaced; name another place for --out"
        )
    results = _load_results(evaluations, folder.manifest)
    key_name = None if key is None else name_key(load_private_key(key))
    facts = count_facts(iter_tables(folder))
    _refuse_real_films(folder, facts)
    resolved, changelog = resolve_recipe(
        recipe, folder.manifest, facts, out=out, default_date=recipe.date or _find_date(out), supersedes=supersedes
    )
    decides = {
        "package": package_version(),
        "commit": find_clean_commit(),
        "dataset": folder.manifest.digest,
        "recipe": resolved.model_dump(mode="json"),
        "results": {name: sha256_bytes(render_result(result)) for name, result in results.items()},
        "mirror": mirror,
        "changelog": None if changelog is None else sha256_bytes(changelog.encode()),
        "key": key_name,
        "credentials": None if credentials is None else sha256_file(credentials.certificate),
    }
    fingerprint = sha256_json(decides)
    refuse_foreign(out, fingerprint=fingerprint, overwrite=overwrite)
    return _Inputs(folder, facts, resolved, results, changelog, fingerprint)


def _load_results(paths: Sequence[Path], manifest: Manifest) -> dict[str, Result]:
    results: dict[str, Result] = {}
    for path in paths:
        result = load_result(path)
        if manifest.digest not in {item.digest for item in result.inputs}:
            measured = ", ".join(f"{item.role} {item.name} ({item.digest[:12]})" for item in result.inputs)
            raise ReleaseError(
                f"{path}: was measured on {measured or 'nothing'}, this dataset's digest is {manifest.digest[:12]}; "
                "evaluate this dataset, or leave the file out"
            )
        name = path.name if path.suffix == ".json" else f"{path.name}.json"
        if not _RESULT_NAME.fullmatch(name):
            raise ReleaseError(
                f"{str(path)!r}: its name cannot be that of a file in a release; rename it with letters, digits, dots, "
                "dashes and underscores, a letter or a digit first"
            )
        refuse_left_overs(name, str(path))
        # Some file systems do not tell upper from lower case.
        if name.lower() in {other.lower() for other in (*results, BALANCE_NAME)}:
            raise ReleaseError(f"{path}: a result of this name is in the release already; rename the file")
        results[name] = result
    return dict(sorted(results.items()))


def _refuse_real_films(folder: DatasetFolder, facts: ReleaseFacts) -> None:
    if (real := facts.total - facts.num_synthetic) > 0:
        kinds = ", ".join(sorted(str(kind) for kind in facts.count("source_kind")))
        raise ReleaseError(
            f"{folder.path}: {real} of {facts.total} radiographs are real films (source: {kinds}); "
            "a release holds synthetic radiographs alone: name a dataset that was sampled or made by the phantom"
        )


def _find_date(out: Path) -> datetime.date:
    """That of the same release, finished or begun; of $SOURCE_DATE_EPOCH; or today's."""
    found = read_plan(out).get("date") or read_release_date(out)
    if isinstance(found, str):
        with suppress(ValueError):
            return datetime.date.fromisoformat(found)
    utc = datetime.UTC
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "").strip()
    try:
        seconds = int(epoch) if epoch else None
        return (
            datetime.datetime.now(utc).date()
            if seconds is None
            else datetime.datetime.fromtimestamp(seconds, utc).date()
        )
    except (ValueError, OverflowError, OSError) as error:
        raise ReleaseError(
            f"$SOURCE_DATE_EPOCH is {epoch!r:.80}, no number of seconds since 1970 ({error}); mend it, unset it, or "
            "name the date: --set date=2026-11-23"
        ) from error


def _is_finished(out: Path, fingerprint: str, mirror: bool) -> bool:
    whole = read_fingerprint(out) == fingerprint
    return whole and (not mirror or read_fingerprint(mirror_of(out), MIRROR_NAME) == fingerprint)


def _summarize(out: Path, inputs: _Inputs, mirror: bool) -> BuiltRelease:
    files = [path for path in out.rglob("*") if path.is_file()]
    return BuiltRelease(
        path=out,
        mirror=mirror_of(out) if mirror else None,
        recipe=inputs.recipe,
        num_samples=inputs.facts.num_samples,
        num_files=len(files),
        num_bytes=sum(path.stat().st_size for path in files),
        sums_sha256=sha256_file(out / SUMS_NAME),
        signed=(out / ATTESTATION_NAME).exists(),
    )
