"""The heavy part of a validation: every shard hashed and checked, by as many processes as are asked for."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from cspine_bench.errors import ReleaseError
from cspine_bench.release.checks.shards import ShardReport, ShardTask, check_shard
from cspine_bench.release.checks.tree import GoneError, hash_file, probe_file

OnRows = Callable[[int], None]


@dataclass(frozen=True)
class ShardOutcome:
    """What became of one shard.

    Attributes:
        name: path inside the release.
        sha256: of its bytes; None where they were not asked for, or cannot be had.
        gone: why there is no such file any more; None: it is there.
        refused: what the system said when it refused to give the file; None: it gave it.
        report: None where the file cannot be had.
    """

    name: str
    sha256: str | None = None
    gone: str | None = None
    refused: str | None = None
    report: ShardReport | None = None


def examine_shard(task: ShardTask, hashed: bool) -> ShardOutcome:
    """Hash and check a shard, one after the other, so that the second finds its bytes in memory."""
    path = Path(task.root) / task.name
    try:
        if hashed:
            sha256 = hash_file(path)
        else:
            probe_file(path)
            sha256 = None
        return ShardOutcome(task.name, sha256, report=check_shard(task))
    except GoneError as error:
        return ShardOutcome(task.name, gone=str(error))
    except OSError as error:
        return ShardOutcome(task.name, refused=error.strerror or str(error))


def examine_shards(
    tasks: Sequence[ShardTask], *, hashed: bool, num_workers: int, on_rows: OnRows
) -> list[ShardOutcome]:
    """Outcomes in the order of the tasks.

    Args:
        tasks: the shards.
        hashed: compute their SHA-256, too.
        num_workers: processes, at least 1; with 1, or one shard, everything happens in this process.
        on_rows: told how many rows were checked since the last time.

    Raises:
        ReleaseError: a worker process was killed.
    """
    outcomes = {}
    for outcome in _iter_outcomes(tasks, hashed, num_workers):
        outcomes[outcome.name] = outcome
        on_rows(0 if outcome.report is None else outcome.report.num_rows)
    return [outcomes[task.name] for task in tasks]


def _iter_outcomes(tasks: Sequence[ShardTask], hashed: bool, num_workers: int) -> Iterator[ShardOutcome]:
    if min(num_workers, len(tasks)) <= 1:
        for task in tasks:
            yield examine_shard(task, hashed)
        return
    # Spawned: a fork would inherit the threads of pyarrow.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(num_workers, len(tasks)), mp_context=context, initializer=_start) as executor:
        # The large ones first, so that none is left for the end.
        sizes = {task.name: _size(task) for task in tasks}
        ordered = sorted(tasks, key=lambda task: -sizes[task.name])
        futures = [executor.submit(examine_shard, task, hashed) for task in ordered]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise ReleaseError(
                "a worker process was killed, most likely for want of memory; validate again with fewer --workers"
            ) from error
        finally:
            executor.shutdown(cancel_futures=True)


def _start() -> None:
    import pyarrow as pa

    pa.set_cpu_count(1)


def _size(task: ShardTask) -> int:
    try:
        return os.stat(Path(task.root) / task.name).st_size
    except OSError:
        return 0
