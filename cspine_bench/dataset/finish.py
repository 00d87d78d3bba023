"""The end of a run: README, then the manifest, then `.unfinished/` goes; and the samples that were bad on the way."""

import errno
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from cspine_bench.dataset.begun import SCRATCH_NAME, another_dataset
from cspine_bench.dataset.encode import MARK_OF_KIND
from cspine_bench.dataset.files import sync_folder, write_file
from cspine_bench.dataset.manifest import (
    ANNOTATION_FOLDER,
    MANIFEST_NAME,
    README_NAME,
    Manifest,
    RejectedSample,
    ShardEntry,
    build_manifest,
    load_manifest,
    render_manifest,
)
from cspine_bench.dataset.plan import Plan
from cspine_bench.dataset.readme import build_readme
from cspine_bench.errors import DataError
from cspine_bench.provenance import sha256_bytes, sha256_file
from cspine_bench.schema import SPLITS, Split

_MAX_LISTED: Final = 10


@dataclass(frozen=True)
class DatasetSummary:
    """What a finished run left: where, how many radiographs in each split, what was skipped, the manifest's hash."""

    path: Path
    num_samples: dict[Split, int]
    rejected: tuple[RejectedSample, ...]
    manifest_sha256: str


def accept_finished(out: Path, plan: Plan, most_bad: int | None) -> DatasetSummary:
    """A dataset that is finished already, after a look at its files' sizes.

    Raises:
        DataError: it is another dataset, damaged, or has more bad samples than `most_bad`.
    """
    manifest = load_manifest(out)
    if manifest.fingerprint != plan.fingerprint:
        raise another_dataset(out)
    return accept_manifest(out, manifest, most_bad)


def accept_manifest(out: Path, manifest: Manifest, most_bad: int | None) -> DatasetSummary:
    """A finished dataset whose manifest is the one that is wanted, after a look at its files' sizes.

    Raises:
        DataError: it is damaged, or has more bad samples than `most_bad`.
    """
    for shard in manifest.shards:
        path = out / shard.path
        if not path.is_file() or path.stat().st_size != shard.num_bytes:
            raise DataError(
                f"{path}: missing or of another size than {MANIFEST_NAME} says; verify the dataset, or overwrite it"
            )
    for name, sha256 in manifest.files.items():
        if not (out / name).is_file() or sha256_file(out / name) != sha256:
            raise DataError(f"{out / name}: missing or changed since it was written; put it back, or overwrite it all")
    check_rejected({shard.path: shard for shard in manifest.shards}, most_bad)
    return _summarize(out, manifest)


def finish(
    out: Path, plan: Plan, entries: Mapping[str, ShardEntry], papers: Mapping[str, bytes] = MappingProxyType({})
) -> DatasetSummary:
    """Write README, papers and manifest of a folder whose shards are all in place. Needs the lock, alone.

    Args:
        out: the dataset folder.
        plan: of the dataset.
        entries: one for each shard of the plan, by its path.
        papers: files of `ANNOTATION_FOLDER` by their names there.

    Raises:
        DataError: every sample was bad, or the disk is full.
    """
    if not any(entry.num_rows for entry in entries.values()):
        raise _nothing_left(tuple(sample for entry in entries.values() for sample in entry.rejected))
    shards = tuple(entries[shard.path] for shard in plan.shards)
    scratch = out / SCRATCH_NAME
    kind = str(plan.source.get("kind", "radiographs"))
    readme = build_readme(
        shards, synthetic=MARK_OF_KIND.get(kind) != "captured", kind=kind, tables=tuple(papers)
    ).encode()
    write_file(out / README_NAME, readme, scratch=scratch)
    files = {README_NAME: sha256_bytes(readme)}
    for name, data in papers.items():
        path = out / ANNOTATION_FOLDER / name
        path.parent.mkdir(exist_ok=True)
        write_file(path, data, scratch=scratch)
        files[f"{ANNOTATION_FOLDER}/{name}"] = sha256_bytes(data)
    values: dict[str, Any] = {"fingerprint": plan.fingerprint, "source": plan.source, "fractions": plan.fractions}
    manifest = build_manifest(**values, seed=plan.seed, shards=shards, files=files)
    write_file(out / MANIFEST_NAME, render_manifest(manifest), scratch=scratch)
    remove_scratch(out)
    return _summarize(out, manifest)


def remove_scratch(out: Path) -> None:
    """Remove `.unfinished/`. Needs the lock, alone."""
    try:
        shutil.rmtree(out / SCRATCH_NAME)
    except OSError as error:
        # Somebody opened a lock in it meanwhile: they find the manifest, and remove what they made.
        if error.errno != errno.ENOTEMPTY:
            raise
    sync_folder(out)


def check_rejected(entries: Mapping[str, ShardEntry], most_bad: int | None) -> None:
    """Stop when more samples are bad than allowed (None: any number).

    Raises:
        DataError: names them.
    """
    rejected = tuple(sample for path in sorted(entries) for sample in entries[path].rejected)
    if most_bad is not None and len(rejected) > most_bad:
        raise too_many_rejected(rejected, most_bad)


def too_many_rejected(rejected: tuple[RejectedSample, ...], most_bad: int | None) -> DataError:
    """The error for more bad samples than allowed."""
    return DataError(
        f"at least {len(rejected)} samples are bad, {most_bad} are allowed; mend or remove them, or allow more "
        f"(skip_bad, max_bad) and run again: what is done is kept{_list_reasons(rejected)}"
    )


def _nothing_left(rejected: tuple[RejectedSample, ...]) -> DataError:
    return DataError(
        f"all {len(rejected)} samples are bad, so there is no dataset to write; mend them and run again"
        f"{_list_reasons(rejected)}"
    )


def _list_reasons(rejected: tuple[RejectedSample, ...]) -> str:
    reasons = "".join(f"\n  {sample.reason} (sample {sample.sample_id})" for sample in rejected[:_MAX_LISTED])
    return f"{reasons}\n  and {len(rejected) - _MAX_LISTED} more" if len(rejected) > _MAX_LISTED else reasons


def _summarize(out: Path, manifest: Manifest) -> DatasetSummary:
    counts = {split: manifest.num_samples[split] for split in SPLITS}
    return DatasetSummary(out, counts, manifest.rejected, sha256_bytes(render_manifest(manifest)))
