"""Several processes that fill one dataset folder, on one host or many, and never speak to each other.

Part K of N makes the shards K, K + N, K + 2N, ... of the plan. All they share is the folder: each part keeps its lock
and its temporary files in a folder of its own below `.unfinished/`, puts a shard in its place, then writes its receipt.
Every change is made under `lock`: parts share it while they add shards of one plan, and whoever begins another plan or
finishes holds it alone. A part lets go of it before it counts the receipts; so whoever finds it taken leaves behind
somebody who has yet to count, and one of them finds all receipts and writes the manifest.
"""

import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cspine_bench.dataset.begun import (
    SCRATCH_NAME,
    another_dataset,
    count_missing,
    find_whole,
    is_begun,
    is_finished,
    make_folder,
    prepare_folder,
    refuse_foreign_files,
    remove_temporary_files,
    take_up,
)
from cspine_bench.dataset.finish import DatasetSummary, accept_finished, check_rejected, finish, remove_scratch
from cspine_bench.dataset.lock import (
    FileLock,
    folder_is_busy,
    hold_folder,
    open_writer_lock,
    wait_for_orphans,
    wait_for_turn,
)
from cspine_bench.dataset.manifest import MANIFEST_NAME, load_manifest
from cspine_bench.dataset.plan import Plan, build_plan
from cspine_bench.dataset.source import Source
from cspine_bench.dataset.workers import ShardJob
from cspine_bench.dataset.write import DEFAULT_FRACTIONS, OnProgress, check_limits, fill_shards


@dataclass(frozen=True, slots=True)
class Part:
    """Part `index` of `count`, counted from 0.

    Raises:
        ValueError: there is no such part.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(
                f"there is no part {self.index} of {self.count}; parts are counted from 0: name 0 to count - 1, "
                "for example 0/4, 1/4, 2/4 and 3/4"
            )

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True)
class PartSummary:
    """What a part left.

    Args:
        path: the dataset folder.
        part: which part.
        part_shards: shards of this part. None is left to do.
        num_shards: shards of the whole dataset.
        missing_shards: of these, those that other parts have yet to make.
        summary: of the dataset, where it is finished.
    """

    path: Path
    part: Part
    part_shards: int
    num_shards: int
    missing_shards: int
    summary: DatasetSummary | None


def parse_part(text: str) -> Part:
    """A part from `K/N`.

    Raises:
        ValueError: not of this form, or there is no such part.
    """
    if not re.fullmatch(r"\d{1,6}/\d{1,6}", text, flags=re.ASCII):
        raise ValueError(f"{text!r} is not a part K/N, counted from 0: for example 0/4, 1/4, 2/4 and 3/4")
    index, count = map(int, text.split("/"))
    return Part(index, count)


def write_part(
    source: Source,
    out: Path,
    part: Part,
    *,
    fractions: tuple[float, float, float] = DEFAULT_FRACTIONS,
    seed: int = 0,
    shard_rows: int | None = None,
    num_workers: int = 1,
    skip_bad: bool = False,
    max_bad: int | None = None,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> PartSummary:
    """Make one part of a dataset, and finish the dataset if nothing of it is missing then.

    The parts run at once or one after another, in any order, also twice. The end is the folder that `write_dataset`
    gives with the same arguments. A part that died is run again, and goes on; so does `write_dataset`, or a part of
    another number of parts.

    Args:
        source: as in `write_dataset`; equal for all parts.
        out: as in `write_dataset`; on a file system that all parts share, with locks (`flock`) between their hosts.
        part: which one this is.
        fractions: as in `write_dataset`.
        seed: as in `write_dataset`.
        shard_rows: as in `write_dataset`.
        num_workers: processes that make this part's shards.
        skip_bad: as in `write_dataset`.
        max_bad: as in `write_dataset`. A part counts its own bad samples; the one that finishes counts all.
        overwrite: replace another dataset that lies in `out`. One of the same arguments is finished and not begun
            anew, since every part is told the same.
        on_progress: as in `write_dataset`, for the samples of this part.

    Raises:
        DataError: as `write_dataset`; or this part is at work already.
        ValueError: as `write_dataset`.
        OSError: `out` cannot be written.
    """
    most_bad = check_limits(num_workers, skip_bad, max_bad)
    plan = build_plan(source, fractions=fractions, seed=seed, shard_rows=shard_rows)
    shards = plan.shards[part.index :: part.count]
    refuse_foreign_files(out)
    if not overwrite:
        _refuse_another(out, plan)
    make_folder(out)
    joined = _join(out, plan, overwrite=overwrite)
    if joined is not None:
        own = out / SCRATCH_NAME / f"part-{part.index}-of-{part.count}"
        with closing(joined), hold_folder(own, busy=f"{out}: part {part} is being made by another process"):
            remove_temporary_files(own)
            found = ((shard.path, find_whole(out, shard)) for shard in shards)
            kept = {path: entry for path, entry in found if entry is not None}
            job = ShardJob(plan.fingerprint, out, own, most_bad)
            fill_shards(source, shards, kept, job, num_workers=num_workers, on_progress=on_progress)
    summary, missing = _finish_if_whole(out, plan, most_bad)
    return PartSummary(out, part, len(shards), len(plan.shards), missing, summary)


def _join(out: Path, plan: Plan, *, overwrite: bool) -> FileLock | None:
    """Share the lock of a folder that is being filled by this plan; None where there is nothing left to do."""
    scratch = out / SCRATCH_NAME
    while scratch.exists() or not is_finished(out, plan):
        with wait_for_turn(scratch):
            if is_finished(out, plan):
                _tidy_up(out)
                return None
            lock = open_writer_lock(scratch)
            if lock is None:
                continue
            entered = False
            try:
                entered = _enter(lock, out, plan, overwrite=overwrite)
            finally:
                if not entered:
                    lock.close()
            if entered:
                return lock
    return None


def _enter(lock: FileLock, out: Path, plan: Plan, *, overwrite: bool) -> bool:
    """Hold `lock` shared, in a folder that this plan fills; False: things changed meanwhile, look again."""
    scratch = out / SCRATCH_NAME
    if not is_begun(out, plan) or (out / MANIFEST_NAME).exists():
        if not lock.take():
            return _give_way(out, plan)
        if not lock.is_current():
            return False
        wait_for_orphans(scratch)
        if not overwrite:
            _refuse_another(out, plan)
        prepare_folder(out, plan, overwrite=overwrite)
    if not lock.take(shared=True):
        return _give_way(out, plan)
    return lock.is_current() and is_begun(out, plan) and not (out / MANIFEST_NAME).exists()


def _refuse_another(out: Path, plan: Plan) -> None:
    if (out / MANIFEST_NAME).exists() and load_manifest(out).fingerprint != plan.fingerprint:
        raise another_dataset(out)


def _give_way(out: Path, plan: Plan) -> bool:
    # Held by a writer of the whole, or by parts of another plan; unless these have just finished what we want.
    if is_finished(out, plan):
        return False
    raise folder_is_busy(out / SCRATCH_NAME)


def _finish_if_whole(out: Path, plan: Plan, most_bad: int | None) -> tuple[DatasetSummary | None, int]:
    """The dataset's summary where it is finished, now or before; and the number of shards that are missing."""
    scratch = out / SCRATCH_NAME
    while not is_finished(out, plan):
        missing = count_missing(out, plan)
        if missing and not is_finished(out, plan):
            return None, missing
        with wait_for_turn(scratch):
            if is_finished(out, plan):
                _tidy_up(out)
                break
            if not is_begun(out, plan):
                raise another_dataset(out)
            lock = open_writer_lock(scratch)
            if lock is None:
                continue
            with closing(lock):
                if not lock.take():
                    # Held by a part that has yet to count the receipts, as we did.
                    return None, 0
                if lock.is_current():
                    return _finish_alone(out, plan, most_bad)
    return accept_finished(out, plan, most_bad), 0


def _finish_alone(out: Path, plan: Plan, most_bad: int | None) -> tuple[DatasetSummary | None, int]:
    wait_for_orphans(out / SCRATCH_NAME)
    kept = take_up(out, plan)
    check_rejected(kept, most_bad)
    missing = len(plan.shards) - len(kept)
    return (None if missing else finish(out, plan, kept)), missing


def _tidy_up(out: Path) -> None:
    """Remove `.unfinished/` beside a manifest, which one that was killed left, or one that came late made."""
    lock = open_writer_lock(out / SCRATCH_NAME)
    if lock is None:
        return
    with closing(lock):
        if lock.take() and lock.is_current():
            remove_scratch(out)
