"""Shards made as tasks of a Ray cluster, whose nodes share the file system of the dataset folder.

A task makes one shard and puts it in its place; the writer, alone, writes receipts and the manifest. A worker or a node
that is lost costs its shards: Ray runs these tasks again elsewhere.
"""

import socket
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from cspine_bench.dataset.begun import SCRATCH_NAME
from cspine_bench.dataset.files import write_file
from cspine_bench.dataset.lock import hold_worker_locks
from cspine_bench.dataset.manifest import ShardEntry
from cspine_bench.dataset.plan import ShardPlan
from cspine_bench.dataset.ray_tasks import RayCluster, call_on_cluster, stand_in
from cspine_bench.dataset.shard import TooManyRejected, make_shard
from cspine_bench.dataset.source import Source
from cspine_bench.dataset.workers import ShardJob
from cspine_bench.errors import CspineBenchError, DataError

_WRITER_NAME: Final = "ray-writer"


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
    shared = (source, job, turn, Path.cwd())
    making = call_on_cluster(
        _make_on_node,
        shared,
        shards,
        cluster,
        lost=lambda shard: f"{job.folder / shard.path}: the workers of this shard",
    )
    with closing(making):
        for made in making:
            path = job.folder / made.path
            if not path.is_file() or path.stat().st_size != made.num_bytes:
                raise DataError(
                    f"{path}: a Ray task made it, and it is not here; all nodes must share the file system of "
                    f"{job.folder}"
                )
            on_rows(made.num_rows + len(made.rejected))
            yield made


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


def _ignore(num_rows: int) -> None:
    pass
