"""Who encodes blocks: this process, worker processes on this machine, or tasks of a Ray cluster.

Whoever it is only computes: the one process that asked holds the locks and writes the store, so nodes of a cluster
need not see it. A worker that is lost costs its block; Ray runs that again elsewhere.
"""

import multiprocessing
import os
import pickle
import signal
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from cspine_bench.dataset.lock import tie_worker_to_writer
from cspine_bench.dataset.ray_tasks import NUM_RETRIES, RayCluster, check_resources, connect, end_tasks
from cspine_bench.dataset.workers import set_environment
from cspine_bench.errors import CspineBenchError, DataError
from cspine_bench.features.block import BlockJob, Encoded, Film

_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_AHEAD: Final = 2
"""Blocks that are handed out for each worker, so that none waits for this process to read the next."""


class Answer(Protocol):
    """A block that is being encoded."""

    def result(self) -> Encoded:
        """Wait for it.

        Raises:
            DataError: as `BlockJob.encode`; or whoever was at work on it died, again and again.
        """

    def cancel(self) -> object:
        """Not wanted any more."""


@dataclass(frozen=True)
class Workers:
    """Where blocks go.

    Attributes:
        submit: hand out a block.
        at_once: blocks that it pays to hand out before the first is through.
    """

    submit: Callable[[Sequence[Film]], Answer]
    at_once: int


@contextmanager
def start_workers(job: BlockJob, num_workers: int, cluster: RayCluster | None) -> Iterator[Workers]:
    """Workers that end with this process, however it ends. Nothing is started before the first block is handed out.

    Args:
        job: what they do.
        num_workers: processes of one thread each; 1: everything happens in this one.
        cluster: Ray tasks instead.

    Raises:
        DataError: there is no such cluster, or none of its nodes has what a task needs.
        MissingExtraError: Ray is not installed.
    """
    if cluster is not None:
        with ExitStack() as stack:
            tasks = _RayTasks(job, cluster, stack)
            yield Workers(tasks.submit, cluster.max_tasks or _AHEAD * multiprocessing.cpu_count())
    elif num_workers == 1:
        yield Workers(lambda films: _Done(job.encode(films)), 1)
    else:
        with _start_processes(job, num_workers) as executor:
            yield Workers(
                lambda films: _PoolAnswer(executor.submit(_encode_in_worker, list(films))), _AHEAD * num_workers
            )


@dataclass(frozen=True)
class _Done:
    encoded: Encoded

    def result(self) -> Encoded:
        return self.encoded

    def cancel(self) -> None:
        pass


@dataclass(frozen=True)
class _PoolAnswer:
    future: Future[Encoded]

    def result(self) -> Encoded:
        try:
            return self.future.result()
        except BrokenProcessPool as error:
            raise DataError(
                "a worker process died (killed, or out of memory); run the same command again, with fewer workers if "
                "memory is short: it goes on where it stopped"
            ) from error

    def cancel(self) -> bool:
        return self.future.cancel()


_jobs: dict[str, BlockJob] = {}
"""In a worker: what it works for, kept from block to block. In a process of ours the one entry has no name."""


@contextmanager
def _start_processes(job: BlockJob, num_workers: int) -> Iterator[ProcessPoolExecutor]:
    before = set(multiprocessing.active_children())
    # Read by numpy and torch when a worker imports them, so it must be in the environment that the workers inherit.
    with set_environment(dict.fromkeys(_THREAD_VARIABLES, "1")):
        executor = ProcessPoolExecutor(
            num_workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(pickle.dumps(job), os.getpid()),
        )
        finished = False
        try:
            yield executor
            finished = True
        finally:
            if not finished:
                for process in set(multiprocessing.active_children()) - before:
                    process.kill()
            executor.shutdown(wait=True, cancel_futures=True)


def _start_worker(pickled_job: bytes, parent_pid: int) -> None:
    # Ctrl-C reaches the whole process group; the parent alone answers it, and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tie_worker_to_writer([], parent_pid)
    _jobs[""] = pickle.loads(pickled_job)


def _encode_in_worker(films: Sequence[Film]) -> Encoded:
    return _jobs[""].encode(films)


@dataclass
class _RayTasks:
    """Tasks of a cluster; connected to at the first block."""

    job: BlockJob
    cluster: RayCluster
    stack: ExitStack
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    task: Any = None
    shared: Any = None
    pending: list[Any] = field(default_factory=list)

    def submit(self, films: Sequence[Film]) -> "_RayAnswer":
        if self.task is None:
            self._connect()
        # In a list a reference stays one: a task asks for the job only where its process does not have it yet.
        reference = self.task.remote(self.name, [self.shared], list(films))
        self.pending.append(reference)
        return _RayAnswer(reference, self.pending)

    def _connect(self) -> None:
        self.stack.enter_context(connect(self.cluster.address))
        import ray

        check_resources(self.cluster)
        self.task = ray.remote(_encode_on_node).options(
            num_cpus=self.cluster.num_cpus,
            num_gpus=self.cluster.num_gpus,
            max_retries=NUM_RETRIES,
            retry_exceptions=False,
        )
        self.shared = ray.put(self.job)
        self.stack.callback(lambda: end_tasks(self.pending))


@dataclass(frozen=True)
class _RayAnswer:
    reference: Any
    pending: list[Any]

    def result(self) -> Encoded:
        import ray

        lost = (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError)
        try:
            made = ray.get(self.reference)
        except lost as error:
            raise DataError(
                f"the workers that encoded a block died {NUM_RETRIES + 1} times (killed, or out of memory); run the "
                "same command again, with more memory for a task: it goes on where it stopped"
            ) from error
        finally:
            self.pending.remove(self.reference)
        if isinstance(made, Exception):
            raise made
        encoded: Encoded = made
        return encoded

    def cancel(self) -> None:
        pass  # with all others, when the run ends


def _encode_on_node(name: str, shared: Sequence[Any], films: Sequence[Film]) -> Encoded | CspineBenchError:
    """A task. What is wrong with the data is given back as a value, so that it arrives as it is."""
    import ray

    if name not in _jobs:
        _jobs.clear()
        _jobs[name] = ray.get(shared[0])
    try:
        return _jobs[name].encode(films)
    except CspineBenchError as error:
        return error
