"""A function on many items: in this process, in worker processes, or in tasks of a Ray cluster.

What is done must be its own proof, as a file that is in place whole or not at all: whoever is lost costs the item that
it was at, and the same command goes on after that.
"""

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Final, TypeVar

from cspine_bench.dataset.lock import tie_worker_to_writer
from cspine_bench.dataset.ray_tasks import NUM_RETRIES, RayCluster, check_resources, connect, end_tasks, stand_in
from cspine_bench.dataset.workers import set_environment
from cspine_bench.errors import CspineBenchError, DataError

JobT = TypeVar("JobT")
ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")
_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_LOST: Final = (
    "died (killed, or out of memory); run the same command again, with fewer workers if memory is short: it goes on "
    "where it stopped"
)


def fan_out(
    function: Callable[[JobT, ItemT], AnswerT],
    job: JobT,
    items: Sequence[ItemT],
    *,
    folder: Path,
    num_workers: int = 1,
    ray: RayCluster | None = None,
) -> Iterator[AnswerT]:
    """Call a function on every item, and give the answers as they are ready.

    Args:
        function: of a module, so that workers find it by its name.
        job: its first argument, the same for all items; picklable.
        items: its second ones; picklable.
        folder: that exists, and that every node of a cluster must see.
        num_workers: processes of one thread each; 1: all happens in this one.
        ray: tasks of this cluster instead.

    Raises:
        CspineBenchError: of the function, as it is.
        DataError: a worker died; there is no such cluster, or its nodes do not see the folder.
        MissingExtraError: Ray is asked for and not installed.
    """
    if ray is not None:
        yield from _in_tasks(function, job, items, folder, ray)
    elif min(num_workers, len(items)) > 1:
        yield from _in_processes(function, job, items, num_workers)
    else:
        for item in items:
            yield function(job, item)


_jobs: list[Any] = []
"""In a worker process: what it was started with, once."""


def _in_processes(
    function: Callable[[JobT, ItemT], AnswerT], job: JobT, items: Sequence[ItemT], num_workers: int
) -> Iterator[AnswerT]:
    before = set(multiprocessing.active_children())
    # Read by numpy and torch when a worker imports them, so it must be in the environment that the workers inherit.
    with set_environment(dict.fromkeys(_THREAD_VARIABLES, "1")):
        executor = ProcessPoolExecutor(
            min(num_workers, len(items)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(pickle.dumps(job), os.getpid()),
        )
        finished = False
        try:
            for future in as_completed([executor.submit(_call_in_worker, function, item) for item in items]):
                yield future.result()
            finished = True
        except BrokenProcessPool as error:
            raise DataError(f"a worker process {_LOST}") from error
        finally:
            if not finished:
                for process in set(multiprocessing.active_children()) - before:
                    process.kill()
            executor.shutdown(wait=True, cancel_futures=True)


def _start_worker(pickled_job: bytes, parent_pid: int) -> None:
    # Ctrl-C reaches the whole process group; the parent alone answers it, and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tie_worker_to_writer([], parent_pid)
    import torch

    torch.set_num_threads(1)
    _jobs.append(pickle.loads(pickled_job))


def _call_in_worker(function: Callable[[Any, ItemT], AnswerT], item: ItemT) -> AnswerT:
    return function(_jobs[0], item)


def _in_tasks(
    function: Callable[[JobT, ItemT], AnswerT], job: JobT, items: Sequence[ItemT], folder: Path, cluster: RayCluster
) -> Iterator[AnswerT]:
    with connect(cluster.address):
        import ray

        check_resources(cluster)
        task: Any = ray.remote(_call_on_node).options(
            name=function.__name__,
            num_cpus=cluster.num_cpus,
            num_gpus=cluster.num_gpus,
            max_retries=NUM_RETRIES,
            retry_exceptions=False,
        )
        shared = ray.put(job)
        waiting, pending = list(reversed(items)), list[Any]()
        lost = (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError)
        try:
            while waiting or pending:
                while waiting and (cluster.max_tasks is None or len(pending) < cluster.max_tasks):
                    pending.append(task.remote(function, shared, waiting.pop(), folder, Path.cwd()))
                ready, pending = ray.wait(pending)
                for reference in ready:
                    try:
                        made = ray.get(reference)
                    except lost as error:
                        raise DataError(f"workers of one task, {NUM_RETRIES + 1} times, {_LOST}") from error
                    if isinstance(made, Exception):
                        raise made
                    yield made
        finally:
            end_tasks(pending)


def _call_on_node(
    function: Callable[[JobT, ItemT], AnswerT], job: JobT, item: ItemT, folder: Path, cwd: Path
) -> AnswerT | CspineBenchError:
    """A task. What is wrong with the data is given back as a value, so that it arrives as it is."""
    stand_in(cwd)
    if not folder.is_dir():
        return DataError(
            f"{folder}: a node of the cluster does not see this folder; name one on a file system that they all share"
        )
    try:
        return function(job, item)
    except CspineBenchError as error:
        return error
