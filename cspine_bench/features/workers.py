"""Who encodes blocks: this process, worker processes on this machine, or tasks of a Ray cluster.

Whoever it is only computes: the one process that asked holds the locks and writes the store, so nodes of a cluster
need not see it. A worker that is lost costs its block; Ray runs that again elsewhere.
"""

import multiprocessing
import pickle
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from cspine_bench.dataset.processes import start_processes
from cspine_bench.dataset.ray_tasks import RayCluster, build_task, connect, end_tasks, fetch_answer
from cspine_bench.errors import CspineBenchError
from cspine_bench.features.block import BlockJob, Encoded, Film

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
        DataError: a worker died; there is no such cluster, or none of its nodes has what a task needs.
        MissingExtraError: Ray is not installed.
    """
    if cluster is not None:
        with ExitStack() as stack:
            tasks = _RayTasks(job, cluster, stack)
            yield Workers(tasks.submit, cluster.max_tasks or _AHEAD * multiprocessing.cpu_count())
    elif num_workers == 1:
        yield Workers(lambda films: _Done(job.encode(films)), 1)
    else:
        with start_processes(num_workers, _keep_job, (pickle.dumps(job),)) as submit:
            yield Workers(lambda films: submit(_encode_in_worker, list(films)), _AHEAD * num_workers)


@dataclass(frozen=True)
class _Done:
    encoded: Encoded

    def result(self) -> Encoded:
        return self.encoded

    def cancel(self) -> None:
        pass


_jobs: dict[str, BlockJob] = {}
"""In a worker: what it works for, kept from block to block. In a process of ours the one entry has no name."""


def _keep_job(pickled_job: bytes) -> None:
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

        self.task = build_task(_encode_on_node, self.cluster)
        self.shared = ray.put(self.job)
        self.stack.callback(lambda: end_tasks(self.pending))


@dataclass(frozen=True)
class _RayAnswer:
    reference: Any
    pending: list[Any]

    def result(self) -> Encoded:
        try:
            encoded: Encoded = fetch_answer(self.reference, lost="the workers that encoded a block")
        finally:
            self.pending.remove(self.reference)
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
