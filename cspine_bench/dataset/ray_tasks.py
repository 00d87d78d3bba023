"""Shards made as tasks of a Ray cluster, whose nodes share the file system of the dataset folder.

A task makes one shard and puts it in its place; the writer, alone, writes receipts and the manifest. A worker or a node
that is lost costs its shards: Ray runs these tasks again elsewhere.
"""

import logging
import os
import socket
import sys
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cspine_bench.dataset.begun import SCRATCH_NAME
from cspine_bench.dataset.files import write_file
from cspine_bench.dataset.lock import hold_worker_locks
from cspine_bench.dataset.manifest import ShardEntry
from cspine_bench.dataset.plan import ShardPlan
from cspine_bench.dataset.shard import TooManyRejected, make_shard
from cspine_bench.dataset.source import Source
from cspine_bench.dataset.workers import ShardJob, set_environment
from cspine_bench.errors import CspineBenchError, DataError, MissingExtraError

_WRITER_NAME: Final = "ray-writer"
NUM_RETRIES: Final = 5
_LOOK_EVERY_S: Final = 0.5
_TIME_TO_END_S: Final = 1.0
_QUIET: Final = {"RAY_USAGE_STATS_ENABLED": "0"}
"""A cluster that is started here tells nobody about it."""


@dataclass(frozen=True, slots=True)
class RayCluster:
    """Where tasks run, and what each needs.

    Args:
        address: of a running cluster (`auto`: the one that this machine belongs to); None starts one on this machine
            and ends it afterwards.
        num_cpus: that one task takes.
        num_gpus: that one task takes; Ray shows a task its own as `cuda`.
        max_tasks: tasks at a time; None: as many as the cluster holds.

    Raises:
        ValueError: a number is impossible.
    """

    address: str | None = None
    num_cpus: float = 1
    num_gpus: float = 0
    max_tasks: int | None = None

    def __post_init__(self) -> None:
        if self.num_cpus < 0 or self.num_gpus < 0:
            raise ValueError(f"num_cpus and num_gpus must be at least 0, got {self.num_cpus} and {self.num_gpus}")
        if self.max_tasks is not None and self.max_tasks < 1:
            raise ValueError(f"max_tasks must be at least 1, got {self.max_tasks}")


def make_shards_on_ray(
    source: Source,
    shards: Sequence[ShardPlan],
    job: ShardJob,
    cluster: RayCluster,
    *,
    on_rows: Callable[[int], None],
) -> Generator[ShardEntry]:
    """Make shards, and give each as soon as it is in its place.

    Every node needs this package in the same version, and the classes of `source`. Tasks end when this process does.

    Args:
        source: makes the pixels; pickled for the nodes, once.
        shards: in any order.
        job: settings of the run.
        cluster: where to make them.
        on_rows: told how many samples a shard met, when it is in its place.

    Raises:
        DataError: as `make_shard`; or there is no cluster, a node does not see the folder, or one shard's workers died
            again and again.
        MissingExtraError: Ray is not installed.
        TooManyRejected: as `make_shard`.
    """
    if not shards:
        return
    turn = uuid.uuid4().hex
    # Written by the one that holds the folder: a task of a writer that is gone sees that it has none.
    write_file(job.scratch / _WRITER_NAME, turn.encode(), scratch=job.scratch)
    with connect(cluster.address):
        import ray

        check_resources(cluster)
        task = ray.remote(_make_on_node).options(
            num_cpus=cluster.num_cpus, num_gpus=cluster.num_gpus, max_retries=NUM_RETRIES, retry_exceptions=False
        )
        shared = ray.put((source, job, turn, Path.cwd()))
        waiting = list(reversed(shards))
        pending: dict[Any, ShardPlan] = {}
        try:
            while waiting or pending:
                while waiting and (cluster.max_tasks is None or len(pending) < cluster.max_tasks):
                    shard = waiting.pop()
                    pending[task.remote(shared, shard)] = shard
                done, _ = ray.wait(list(pending), timeout=_LOOK_EVERY_S)
                for reference in done:
                    entry = _fetch(reference, pending.pop(reference), job)
                    on_rows(entry.num_rows + len(entry.rejected))
                    yield entry
        finally:
            end_tasks(list(pending))


def end_tasks(references: list[Any]) -> None:
    """End tasks that nobody waits for any more; they may be through."""
    import ray

    if not references:
        return
    # Gently first: a task that ends by itself at the moment when its worker is killed was seen to abort this process.
    for reference in references:
        ray.cancel(reference)
    _, resting = ray.wait(references, num_returns=len(references), timeout=_TIME_TO_END_S)
    for reference in resting:
        ray.cancel(reference, force=True)


def _fetch(reference: Any, shard: ShardPlan, job: ShardJob) -> ShardEntry:
    import ray

    try:
        made = ray.get(reference)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError) as error:
        raise DataError(
            f"{job.folder / shard.path}: the workers that made this shard died {NUM_RETRIES + 1} times (killed, or "
            "out of memory); run the same command again, with smaller shards or more memory for a task: it goes on "
            "where it stopped"
        ) from error
    if isinstance(made, Exception):
        raise made
    entry: ShardEntry = made
    path = job.folder / entry.path
    if not path.is_file() or path.stat().st_size != entry.num_bytes:
        raise DataError(
            f"{path}: a Ray task made it, and it is not here; all nodes must share the file system of {job.folder}"
        )
    return entry


def _make_on_node(shared: tuple[Source, ShardJob, str, Path], shard: ShardPlan) -> ShardEntry | Exception:
    """A task. What went wrong with the data is given back as a value, so that it arrives as it is."""
    source, job, turn, cwd = shared
    stand_in(cwd)
    try:
        locks = hold_worker_locks([job.folder / SCRATCH_NAME])
    except FileNotFoundError:
        return DataError(
            f"{job.folder}: the node {socket.gethostname()} does not see this folder as the writer does; name one on a "
            "file system that all nodes of the cluster share"
        )
    try:
        if (job.scratch / _WRITER_NAME).read_bytes() != turn.encode():
            return DataError(f"{job.folder}: another writer has taken this folder over")
        return make_shard(source, shard, on_rows=_ignore, **job.__dict__)
    except (CspineBenchError, TooManyRejected) as error:
        return error
    finally:
        for lock in locks:
            lock.close()


def stand_in(folder: Path) -> None:
    """Called in a task: relative paths mean what they mean to whoever handed it out, where the node has that folder."""
    if folder.is_dir():
        os.chdir(folder)


def _ignore(num_rows: int) -> None:
    pass


@contextmanager
def connect(address: str | None) -> Iterator[None]:
    """Be connected to a cluster while the block runs: several runs inside it share the one connection.

    Args:
        address: as in `RayCluster`. Where this process is connected already, that is used and left as it is.

    Raises:
        DataError: there is no such cluster.
        MissingExtraError: Ray is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        options |= {"include_dashboard": False}
    # Ray tells of workers that died on stdout, which belongs to results.
    with redirect_stdout(sys.stderr):
        with set_environment(_QUIET):
            try:
                ray.init(address=address, **options)
            except (ConnectionError, RuntimeError, ValueError) as error:
                where = "on this machine" if address is None else f"at {address!r}"
                raise DataError(
                    f"no Ray cluster {where} ({error}); see `ray status`, or leave the address out"
                ) from error
        try:
            yield
        finally:
            ray.shutdown()


def check_resources(cluster: RayCluster) -> None:
    """Stop where no node of the cluster that this process is connected to has what one task needs.

    Raises:
        DataError: says what the nodes have.
    """
    import ray

    # A task that fits no node would wait for ever.
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    have = [node["Resources"] for node in nodes if node["Alive"]]
    need = {"CPU": cluster.num_cpus, "GPU": cluster.num_gpus}
    if not any(all(node.get(kind, 0) >= number for kind, number in need.items()) for node in have):
        raise DataError(
            f"no node of the Ray cluster has {cluster.num_cpus:g} CPUs and {cluster.num_gpus:g} GPUs for one task; "
            f"nodes have {', '.join(str({kind: node.get(kind, 0) for kind in need}) for node in have) or 'nothing'}"
        )
