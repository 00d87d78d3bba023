"""Shards made by worker processes, each with one thread for numerics; in this process if one worker is enough."""

import multiprocessing
import pickle
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cspine_bench.dataset.begun import SCRATCH_NAME
from cspine_bench.dataset.manifest import ShardEntry
from cspine_bench.dataset.plan import ShardPlan
from cspine_bench.dataset.processes import start_processes
from cspine_bench.dataset.shard import make_shard
from cspine_bench.dataset.source import Source

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

_PROGRESS_INTERVAL_S: Final = 0.5


@dataclass(frozen=True)
class ShardJob:
    """What is the same for all shards of a run; arguments of `make_shard`."""

    fingerprint: str
    folder: Path
    scratch: Path
    max_rejected: int | None


def make_shards(
    source: Source, shards: Sequence[ShardPlan], job: ShardJob, *, num_workers: int, on_rows: Callable[[int], None]
) -> Generator[ShardEntry]:
    """Make shards, and give each as soon as it is in its place.

    Worker processes are started afresh (spawned), so a script that asks for more than one worker needs the usual
    `if __name__ == "__main__":` guard. They end with this process, however it ends.

    Args:
        source: makes the pixels; pickled for the workers.
        shards: in any order.
        job: settings of the run.
        num_workers: processes, at least 1; with 1, or one shard, everything happens in this process.
        on_rows: told how many samples were met since the last time.

    Raises:
        DataError: as `make_shard`; or a worker died.
        TooManyRejected: as `make_shard`.
    """
    if min(num_workers, len(shards)) <= 1:
        for shard in shards:
            yield make_shard(source, shard, on_rows=on_rows, **job.__dict__)
        return
    met = multiprocessing.get_context("spawn").Value("q", 0)
    told = 0
    with start_processes(
        min(num_workers, len(shards)),
        _keep_work,
        (pickle.dumps(source), job, met),
        holding=sorted({job.scratch, job.folder / SCRATCH_NAME}),
        where=f"{job.folder}: ",
    ) as submit:
        pending = {submit(_make_in_worker, shard) for shard in shards}
        while pending:
            done, pending = wait(pending, timeout=_PROGRESS_INTERVAL_S, return_when=FIRST_COMPLETED)
            # Read without its lock, which a worker that was killed may hold for ever.
            now = met.get_obj().value
            if now > told:
                on_rows(now - told)
                told = now
            for future in done:
                yield future.result()


@dataclass(frozen=True)
class _Worker:
    source: Source
    job: ShardJob
    met: "Synchronized[int]"


_workers: list[_Worker] = []
"""In a worker process: what it was started with, once."""


def _keep_work(pickled_source: bytes, job: ShardJob, met: "Synchronized[int]") -> None:
    _workers.append(_Worker(pickle.loads(pickled_source), job, met))


def _make_in_worker(shard: ShardPlan) -> ShardEntry:
    worker = _workers[0]

    def count(num_rows: int) -> None:
        with worker.met.get_lock():
            worker.met.value += num_rows

    return make_shard(worker.source, shard, on_rows=count, **worker.job.__dict__)
