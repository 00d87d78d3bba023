"""A function on many items: in this process, in worker processes, or in tasks of a Ray cluster.

What is done must be its own proof, as a file that is in place whole or not at all: whoever is lost costs the item that
it was at, and the same command goes on after that.
"""

import pickle
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cspine_bench.dataset.processes import start_processes
from cspine_bench.dataset.ray_tasks import RayCluster, call_on_cluster, stand_in
from cspine_bench.errors import CspineBenchError, DataError

JobT = TypeVar("JobT")
ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")


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
        order = _Order(function, job, folder, Path.cwd())
        yield from call_on_cluster(
            _call_on_node, order, items, ray, lost=lambda item: "the workers of one task", name=function.__name__
        )
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
    with start_processes(min(num_workers, len(items)), _keep_job, (pickle.dumps(job),)) as submit:
        for future in as_completed([submit(_call_in_worker, function, item) for item in items]):
            yield future.result()


def _keep_job(pickled_job: bytes) -> None:
    import torch

    torch.set_num_threads(1)
    _jobs.append(pickle.loads(pickled_job))


def _call_in_worker(function: Callable[[Any, ItemT], AnswerT], item: ItemT) -> AnswerT:
    return function(_jobs[0], item)


@dataclass(frozen=True)
class _Order:
    """What is the same for all tasks."""

    function: Callable[[Any, Any], Any]
    job: Any
    folder: Path
    cwd: Path


def _call_on_node(order: _Order, item: Any) -> Any:
    """A task. What is wrong with the data is given back as a value, so that it arrives as it is."""
    stand_in(order.cwd)
    if not order.folder.is_dir():
        return DataError(
            f"{order.folder}: a node of the cluster does not see this folder; name one on a file system that they all "
            "share"
        )
    try:
        return order.function(order.job, item)
    except CspineBenchError as error:
        return error
