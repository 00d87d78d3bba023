"""Write a dataset folder: plan, make the shards, then the README, and the manifest last.

A writer may die at any byte. Run again with the same arguments, it keeps the shards whose bytes match their receipt
and makes the others; the folder it ends with is the one that an undisturbed run gives. See `begun` for what lies in
`.unfinished/` meanwhile, and `parts` for several processes that fill one folder.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from cspine_bench.dataset.begun import (
    SCRATCH_NAME,
    make_folder,
    prepare_folder,
    refuse_foreign_files,
    remove_temporary_files,
    save_receipt,
    take_up,
)
from cspine_bench.dataset.finish import (
    DatasetSummary,
    accept_finished,
    check_rejected,
    finish,
    remove_scratch,
    too_many_rejected,
)
from cspine_bench.dataset.lock import hold_folder
from cspine_bench.dataset.manifest import MANIFEST_NAME, ShardEntry
from cspine_bench.dataset.plan import ShardPlan, build_plan
from cspine_bench.dataset.ray_shards import make_shards_on_ray
from cspine_bench.dataset.ray_tasks import RayCluster
from cspine_bench.dataset.shard import TooManyRejected
from cspine_bench.dataset.source import Source
from cspine_bench.dataset.workers import ShardJob, make_shards
from cspine_bench.schema import Split

DEFAULT_FRACTIONS: Final = (0.8, 0.1, 0.1)

OnProgress = Callable[[int, int], None]


def write_dataset(
    source: Source,
    out: Path,
    *,
    fractions: tuple[float, float, float] = DEFAULT_FRACTIONS,
    seed: int = 0,
    splits: Mapping[str, Split] | None = None,
    shard_rows: int | None = None,
    num_workers: int = 1,
    ray: RayCluster | None = None,
    skip_bad: bool = False,
    max_bad: int | None = None,
    overwrite: bool = False,
    papers: Mapping[str, bytes] | None = None,
    on_progress: OnProgress | None = None,
) -> DatasetSummary:
    """Fill a folder from a source, or go on where an earlier run with the same arguments stopped.

    The bytes depend on the source, the fractions, the seed, the splits and `shard_rows`; never on `num_workers`, on
    `ray` or on interruptions.

    Args:
        source: where the radiographs come from.
        out: the folder: absent, empty, or left by an earlier run with the same source, fractions, seed and splits.
        fractions: shares of train, validation and test.
        seed: 0 <= seed < 2**63; decides the splits, and the order inside each.
        splits: the split of every sample by `sample_id`, to keep splits that exist; None draws them.
        shard_rows: the most samples in a shard; None: see `count_shards`. More shards give more machines work.
        num_workers: processes that make shards; more than one needs the `if __name__ == "__main__":` guard in scripts.
        ray: make the shards as tasks of this cluster instead; `out` must be on a file system that all its nodes share.
        skip_bad: go on after a sample that cannot be made, and list it; otherwise the first one stops the run.
        max_bad: with `skip_bad`, the most bad samples that are accepted; None: any number. Finished shards stay.
        overwrite: make the dataset anew where `out` holds another one. Only files of a dataset folder are removed: a
            folder with anything else in it is refused in any case.
        papers: files of `ANNOTATION_FOLDER` by their names there, which the manifest lists; the source's description
            must tell them from others, as by their hashes.
        on_progress: called with (samples done, samples in all): first for what an earlier run left, then as samples are
            met, every half second from workers; after each shard from Ray.

    Raises:
        DataError: the source cannot be read; a sample is bad, or all are; `out` holds something else, is being written
            by another process, or lies on a full disk. What is done stays, and the same call goes on from there.
        MissingExtraError: `ray` was given, and Ray is not installed.
        ValueError: `fractions`, `shard_rows`, `num_workers` or `max_bad` is impossible.
        OSError: `out` cannot be written.
    """
    most_bad = check_limits(num_workers, skip_bad, max_bad)
    if ray is not None and num_workers != 1:
        raise ValueError(f"num_workers={num_workers} and ray: name one of them; RayCluster.max_tasks limits Ray")
    plan = build_plan(source, fractions=fractions, seed=seed, splits=splits, shard_rows=shard_rows)
    refuse_foreign_files(out)
    scratch = out / SCRATCH_NAME
    if (out / MANIFEST_NAME).exists() and not scratch.exists() and not overwrite:
        return accept_finished(out, plan, most_bad)
    make_folder(out)
    with hold_folder(scratch):
        if not overwrite and (out / MANIFEST_NAME).exists():
            # Another process finished it since we looked, or the writer died while it tidied up.
            summary = accept_finished(out, plan, most_bad)
            remove_scratch(out)
            return summary
        prepare_folder(out, plan, overwrite=overwrite)
        kept = take_up(out, plan)
        job = ShardJob(plan.fingerprint, out, scratch, most_bad)
        fill_shards(source, plan.shards, kept, job, num_workers=num_workers, ray=ray, on_progress=on_progress)
        return finish(out, plan, kept, papers or {})


def check_limits(num_workers: int, skip_bad: bool, max_bad: int | None) -> int | None:
    """The most bad samples that a run accepts; None: any number.

    Raises:
        ValueError: a number is impossible.
    """
    if num_workers < 1:
        raise ValueError(f"num_workers must be at least 1, got {num_workers}")
    if max_bad is not None and (max_bad < 0 or not skip_bad):
        raise ValueError(f"max_bad must be at least 0 and needs skip_bad, got {max_bad} with skip_bad={skip_bad}")
    return max_bad if skip_bad else 0


def fill_shards(
    source: Source,
    shards: Sequence[ShardPlan],
    kept: dict[str, ShardEntry],
    job: ShardJob,
    *,
    num_workers: int,
    ray: RayCluster | None = None,
    on_progress: OnProgress | None,
) -> None:
    """Make the shards that are not in `kept` yet, write the receipt of each, and add it there.

    Args:
        source: makes the pixels.
        shards: what this run owes.
        kept: entries of shards that are whole already, by path.
        job: settings of the run. Temporary files in its `scratch` are removed at the end.
        num_workers: as in `write_dataset`.
        ray: as in `write_dataset`.
        on_progress: as in `write_dataset`; samples in all are those of `shards`.

    Raises:
        DataError: as `write_dataset`.
    """
    progress = _Progress(on_progress, sum(len(shard.keys) for shard in shards))
    progress.add(sum(entry.num_rows + len(entry.rejected) for entry in kept.values()))
    check_rejected(kept, job.max_rejected)
    missing = [shard for shard in shards if shard.path not in kept]
    if ray is None:
        making = make_shards(source, missing, job, num_workers=num_workers, on_rows=progress.add)
    else:
        making = make_shards_on_ray(source, missing, job, ray, on_rows=progress.add)
    try:
        with closing(making) as entries:
            for entry in entries:
                save_receipt(job.folder, entry, scratch=job.scratch)
                kept[entry.path] = entry
                check_rejected(kept, job.max_rejected)
    except TooManyRejected as error:
        raise too_many_rejected(error.rejected, job.max_rejected) from error
    finally:
        # Workers that were ended because another one failed leave theirs.
        remove_temporary_files(job.scratch)


class _Progress:
    def __init__(self, on_progress: OnProgress | None, total: int) -> None:
        self._on_progress = on_progress
        self._total = total
        self._done = 0

    def add(self, count: int) -> None:
        self._done += count
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)
