"""Shards made by worker processes, each with one thread for numerics; in this process if one worker is enough."""

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cspine_bench.dataset.begun import SCRATCH_NAME
from cspine_bench.dataset.lock import tie_worker_to_writer
from cspine_bench.dataset.manifest import ShardEntry
from cspine_bench.dataset.plan import ShardPlan
from cspine_bench.dataset.shard import make_shard
from cspine_bench.dataset.source import Source
from cspine_bench.errors import DataError

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

_PROGRESS_INTERVAL_S: Final = 0.5
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())
    met = context.Value("q", 0)
    executor = ProcessPoolExecutor(
        min(num_workers, len(shards)),
        mp_context=context,
        initializer=_start_worker,
        initargs=(pickle.dumps(source), job, os.getpid(), met),
    )
    told = 0
    finished = False
    try:
        # Read by numpy and torch when a worker imports them, so it must be in the environment that the workers inherit.
        with set_environment(dict.fromkeys(_THREAD_VARIABLES, "1")):
            pending = {executor.submit(_make_in_worker, shard) for shard in shards}
        while pending:
            done, pending = wait(pending, timeout=_PROGRESS_INTERVAL_S, return_when=FIRST_COMPLETED)
            # Read without its lock, which a worker that was killed may hold for ever.
            now = met.get_obj().value
            if now > told:
                on_rows(now - told)
                told = now
            for future in done:
                yield future.result()
        finished = True
    except BrokenProcessPool as error:
        raise DataError(
            f"{job.folder}: a worker process died (killed, or out of memory); run the same command again, "
            "with fewer workers if memory is short: it goes on where it stopped"
        ) from error
    finally:
        if not finished:
            for process in set(multiprocessing.active_children()) - before:
                process.kill()
        executor.shutdown(wait=True, cancel_futures=True)


@contextmanager
def set_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the processes that are started while the block runs."""
    saved = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in saved.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@dataclass(frozen=True)
class _Worker:
    source: Source
    job: ShardJob
    met: "Synchronized[int]"


_workers: list[_Worker] = []
"""In a worker process: what it was started with, once."""


def _start_worker(pickled_source: bytes, job: ShardJob, writer_pid: int, met: "Synchronized[int]") -> None:
    # Ctrl-C reaches the whole process group; the writer alone answers it, and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tie_worker_to_writer(sorted({job.scratch, job.folder / SCRATCH_NAME}), writer_pid)
    _workers.append(_Worker(pickle.loads(pickled_source), job, met))


def _make_in_worker(shard: ShardPlan) -> ShardEntry:
    worker = _workers[0]

    def count(num_rows: int) -> None:
        with worker.met.get_lock():
            worker.met.value += num_rows

    return make_shard(worker.source, shard, on_rows=count, **worker.job.__dict__)
