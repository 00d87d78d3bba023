"""Write a dataset folder: plan, make the shards, then the README, and the manifest last.

A writer may die at any byte. While it works, `.unfinished/` in the folder holds the plan, a lock, the temporary files,
and a receipt with the hash of each finished shard. Run again with the same arguments, it keeps the shards whose bytes
match their receipt and makes the others; the folder it ends with is the one that an undisturbed run gives.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from cspine_bench.dataset.encode import MARK_OF_KIND
from cspine_bench.dataset.files import sync_folder, write_file
from cspine_bench.dataset.lock import hold_folder
from cspine_bench.dataset.manifest import (
    MANIFEST_NAME,
    README_NAME,
    Manifest,
    RejectedSample,
    ShardEntry,
    build_manifest,
    load_manifest,
    render_json,
    render_manifest,
)
from cspine_bench.dataset.plan import Plan, ShardPlan, build_plan
from cspine_bench.dataset.readme import build_readme
from cspine_bench.dataset.shard import TooManyRejected
from cspine_bench.dataset.source import Source
from cspine_bench.dataset.workers import ShardJob, make_shards
from cspine_bench.errors import DataError
from cspine_bench.provenance import sha256_bytes, sha256_file
from cspine_bench.schema import SPLITS, Split

SCRATCH_NAME: Final = ".unfinished"
_PLAN_NAME: Final = "plan.json"
_DEFAULT_FRACTIONS: Final = (0.8, 0.1, 0.1)
_MAX_LISTED: Final = 10


@dataclass(frozen=True)
class DatasetSummary:
    """What a finished run left: where, how many radiographs in each split, what was skipped, the manifest's hash."""

    path: Path
    num_samples: dict[Split, int]
    rejected: tuple[RejectedSample, ...]
    manifest_sha256: str


def write_dataset(
    source: Source,
    out: Path,
    *,
    fractions: tuple[float, float, float] = _DEFAULT_FRACTIONS,
    seed: int = 0,
    splits: Mapping[str, Split] | None = None,
    num_workers: int = 1,
    skip_bad: bool = False,
    max_bad: int | None = None,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> DatasetSummary:
    """Fill a folder from a source, or go on where an earlier run with the same arguments stopped.

    The bytes depend on the source, the fractions, the seed and the splits; never on `num_workers` or on interruptions.

    Args:
        source: where the radiographs come from.
        out: the folder: absent, empty, or left by an earlier run with the same source, fractions, seed and splits.
        fractions: shares of train, validation and test.
        seed: 0 <= seed < 2**63; decides the splits, and the order inside each.
        splits: the split of every sample by `sample_id`, to keep splits that exist; None draws them.
        num_workers: processes that make shards; more than one needs the `if __name__ == "__main__":` guard in scripts.
        skip_bad: go on after a sample that cannot be made, and list it; otherwise the first one stops the run.
        max_bad: with `skip_bad`, the most bad samples that are accepted; None: any number. Finished shards stay.
        overwrite: make the dataset anew where `out` holds another one. Only files of a dataset folder are removed: a
            folder with anything else in it is refused in any case.
        on_progress: called with (samples done, samples in all): first for what an earlier run left, then as samples are
            met, every half second from workers.

    Raises:
        DataError: the source cannot be read; a sample is bad, or all are; `out` holds something else, is being written
            by another process, or lies on a full disk. What is done stays, and the same call goes on from there.
        ValueError: `fractions`, `num_workers` or `max_bad` is impossible.
        OSError: `out` cannot be written.
    """
    if num_workers < 1:
        raise ValueError(f"num_workers must be at least 1, got {num_workers}")
    if max_bad is not None and (max_bad < 0 or not skip_bad):
        raise ValueError(f"max_bad must be at least 0 and needs skip_bad, got {max_bad} with skip_bad={skip_bad}")
    plan = build_plan(source, fractions=fractions, seed=seed, splits=splits)
    most_bad = max_bad if skip_bad else 0
    _refuse_foreign_files(out)
    if (out / MANIFEST_NAME).exists() and not (out / SCRATCH_NAME).exists() and not overwrite:
        return _accept_finished(out, plan, most_bad)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{out}: cannot be made ({error.strerror}); choose a folder that you may make, or a name that is free"
        ) from error
    scratch = out / SCRATCH_NAME
    with hold_folder(scratch):
        if not overwrite and (out / MANIFEST_NAME).exists():
            # Another process finished it since we looked, or the writer died while it tidied up.
            summary = _accept_finished(out, plan, most_bad)
            _remove_scratch(out)
            return summary
        kept = _take_up(out, plan, overwrite=overwrite)
        progress = _Progress(on_progress, plan.num_samples)
        progress.add(sum(entry.num_rows + len(entry.rejected) for entry in kept.values()))
        _check_rejected(kept, most_bad)
        job = ShardJob(plan.fingerprint, out, scratch, most_bad)
        missing = [shard for shard in plan.shards if shard.path not in kept]
        try:
            with closing(make_shards(source, missing, job, num_workers=num_workers, on_rows=progress.add)) as entries:
                for entry in entries:
                    write_file(_receipt(scratch, entry.path), _render_receipt(entry), scratch=scratch)
                    kept[entry.path] = entry
                    _check_rejected(kept, most_bad)
        except TooManyRejected as error:
            raise _too_many_rejected(error.rejected, most_bad) from error
        finally:
            # Workers that were ended because another one failed leave theirs.
            for path in scratch.glob("*.tmp"):
                path.unlink()
        if not any(entry.num_rows for entry in kept.values()):
            raise _nothing_left(tuple(sample for entry in kept.values() for sample in entry.rejected))
        manifest = _finish(out, scratch, plan, tuple(kept[shard.path] for shard in plan.shards))
    return _summarize(out, manifest)


class _Progress:
    def __init__(self, on_progress: Callable[[int, int], None] | None, total: int) -> None:
        self._on_progress = on_progress
        self._total = total
        self._done = 0

    def add(self, count: int) -> None:
        self._done += count
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)


def _refuse_foreign_files(out: Path) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out}: is a file; name a folder for the dataset")
    expected = {MANIFEST_NAME: False, README_NAME: False, SCRATCH_NAME: True, "data": True}
    foreign = [path.name for path in out.iterdir() if expected.get(path.name) is not path.is_dir()]
    data = out / "data"
    if data.is_dir():
        foreign += [f"data/{path.name}" for path in data.iterdir() if not _is_shard_name(path.name)]
    ours = (out / MANIFEST_NAME).exists() or (out / SCRATCH_NAME / _PLAN_NAME).exists()
    if not ours:
        foreign += [path.relative_to(out).as_posix() for path in (out / README_NAME, *data.glob("*")) if path.exists()]
    if foreign:
        names = ", ".join(sorted(set(foreign))[:_MAX_LISTED])
        raise DataError(
            f"{out}: holds files that are not of a dataset ({names}); choose another folder, or move them away"
        )


def _is_shard_name(name: str) -> bool:
    try:
        ShardEntry.model_validate(
            {"path": f"data/{name}", "split": name.split("-")[0], "num_rows": 0, "num_bytes": 0, "arrow_bytes": 0}
            | {"sha256": "0" * 64, "rejected": ()}
        )
    except ValidationError:
        return False
    return True


def _accept_finished(out: Path, plan: Plan, most_bad: int | None) -> DatasetSummary:
    manifest = load_manifest(out)
    if manifest.fingerprint != plan.fingerprint:
        raise _another_dataset(out)
    for shard in manifest.shards:
        path = out / shard.path
        if not path.is_file() or path.stat().st_size != shard.num_bytes:
            raise DataError(
                f"{path}: missing or of another size than {MANIFEST_NAME} says; verify the dataset, or overwrite it"
            )
    for name, sha256 in manifest.files.items():
        if not (out / name).is_file() or sha256_file(out / name) != sha256:
            raise DataError(f"{out / name}: missing or changed since it was written; put it back, or overwrite it all")
    _check_rejected({shard.path: shard for shard in manifest.shards}, most_bad)
    return _summarize(out, manifest)


def _take_up(out: Path, plan: Plan, *, overwrite: bool) -> dict[str, ShardEntry]:
    """Make the folder ready, and find the shards of an earlier run that are whole."""
    scratch = out / SCRATCH_NAME
    begun = _read_fingerprint(scratch / _PLAN_NAME)
    if begun is not None and begun != plan.fingerprint and not overwrite:
        raise _another_dataset(out)
    if begun != plan.fingerprint:
        # Receipts go before the plan that they belong to: none may vouch for a shard of another plan.
        for receipt in scratch.glob("*.parquet.json"):
            receipt.unlink()
    summary = {"fingerprint": plan.fingerprint, "source": plan.source, "fractions": plan.fractions, "seed": plan.seed}
    write_file(scratch / _PLAN_NAME, render_json(summary), scratch=scratch)
    # The manifest goes first: from then on the folder says that it is not complete.
    (out / MANIFEST_NAME).unlink(missing_ok=True)
    (out / README_NAME).unlink(missing_ok=True)
    (out / "data").mkdir(exist_ok=True)
    kept = {}
    for shard in plan.shards:
        if (entry := _find_whole(out, scratch, shard)) is not None:
            kept[shard.path] = entry
    for path in (out / "data").iterdir():
        if f"data/{path.name}" not in kept:
            path.unlink()
    return kept


def _find_whole(out: Path, scratch: Path, shard: ShardPlan) -> ShardEntry | None:
    try:
        entry = ShardEntry.model_validate_json(_receipt(scratch, shard.path).read_bytes())
        whole = sha256_file(out / shard.path) == entry.sha256
    except (OSError, ValidationError):
        return None
    return entry if whole and entry.path == shard.path else None


def _read_fingerprint(path: Path) -> str | None:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return values.get("fingerprint") if isinstance(values, dict) else None


def _receipt(scratch: Path, shard_path: str) -> Path:
    return scratch / f"{Path(shard_path).name}.json"


def _render_receipt(entry: ShardEntry) -> bytes:
    return render_json(entry.model_dump(mode="json"))


def _check_rejected(entries: Mapping[str, ShardEntry], most_bad: int | None) -> None:
    rejected = tuple(sample for path in sorted(entries) for sample in entries[path].rejected)
    if most_bad is not None and len(rejected) > most_bad:
        raise _too_many_rejected(rejected, most_bad)


def _too_many_rejected(rejected: tuple[RejectedSample, ...], most_bad: int | None) -> DataError:
    return DataError(
        f"at least {len(rejected)} samples are bad, {most_bad} are allowed; mend or remove them, or allow more "
        f"(skip_bad, max_bad) and run again: what is done is kept{_list_reasons(rejected)}"
    )


def _list_reasons(rejected: tuple[RejectedSample, ...]) -> str:
    reasons = "".join(f"\n  {sample.reason} (sample {sample.sample_id})" for sample in rejected[:_MAX_LISTED])
    return f"{reasons}\n  and {len(rejected) - _MAX_LISTED} more" if len(rejected) > _MAX_LISTED else reasons


def _nothing_left(rejected: tuple[RejectedSample, ...]) -> DataError:
    return DataError(
        f"all {len(rejected)} samples are bad, so there is no dataset to write; mend them and run again"
        f"{_list_reasons(rejected)}"
    )


def _another_dataset(out: Path) -> DataError:
    return DataError(
        f"{out}: holds another dataset (other source, parameters, fractions, seed or format); "
        "choose another folder, or overwrite it"
    )


def _finish(out: Path, scratch: Path, plan: Plan, shards: tuple[ShardEntry, ...]) -> Manifest:
    kind = str(plan.source.get("kind", "radiographs"))
    readme = build_readme(shards, synthetic=MARK_OF_KIND.get(kind) != "captured", kind=kind).encode()
    write_file(out / README_NAME, readme, scratch=scratch)
    values: dict[str, Any] = {"fingerprint": plan.fingerprint, "source": plan.source, "fractions": plan.fractions}
    manifest = build_manifest(**values, seed=plan.seed, shards=shards, files={README_NAME: sha256_bytes(readme)})
    write_file(out / MANIFEST_NAME, render_manifest(manifest), scratch=scratch)
    _remove_scratch(out)
    return manifest


def _remove_scratch(out: Path) -> None:
    shutil.rmtree(out / SCRATCH_NAME)
    sync_folder(out)


def _summarize(out: Path, manifest: Manifest) -> DatasetSummary:
    counts = {split: manifest.num_samples[split] for split in SPLITS}
    return DatasetSummary(out, counts, manifest.rejected, sha256_bytes(render_manifest(manifest)))
