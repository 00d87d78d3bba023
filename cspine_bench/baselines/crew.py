"""Who trains the cells: this process, worker processes on this machine, or tasks of a Ray cluster.

Everyone opens both sides once and writes the cells that it has trained itself, each whole or not at all; so the file
system of the output folder is all that they share, and whoever is lost costs the cell that it was at.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Final

from cspine_bench.baselines.cells import Cell, CellRecord, CellStore, run_cell
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.sides import Sides, open_sides
from cspine_bench.dataset.lock import tie_worker_to_writer
from cspine_bench.dataset.ray_tasks import NUM_RETRIES, RayCluster, check_resources, connect, end_tasks
from cspine_bench.dataset.workers import set_environment
from cspine_bench.errors import CspineBenchError, DataError

OnProgress = Callable[[int, int], None]
_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_LOST: Final = (
    "died (killed, or out of memory); run the same command again, with fewer workers if memory is short: it goes on "
    "where it stopped"
)


@dataclass(frozen=True)
class Job:
    """What everyone who trains cells must know.

    Attributes:
        store: where cells go, with the recipe.
        real: dataset.
        synthetic: dataset.
        within: by fraction, a dataset.
        device: where networks learn.
    """

    store: CellStore
    real: str
    synthetic: str
    within: Mapping[float, str]
    device: str

    def open_sides(self, on_progress: OnProgress | None = None) -> Sides:
        """Both sides; see `sides.open_sides`."""
        recipe = self.store.recipe
        return open_sides(
            build_task(recipe),
            recipe.size,
            real=self.real,
            synthetic=self.synthetic,
            within=self.within,
            on_progress=on_progress,
        )


def make_cells(
    job: Job,
    cells: Sequence[Cell],
    sides: Sides,
    *,
    num_workers: int = 1,
    ray: RayCluster | None = None,
    on_progress: OnProgress | None = None,
) -> None:
    """Train the cells that are not kept yet.

    Args:
        job: what to do.
        cells: of the protocol.
        sides: both, as `job.open_sides` gives them; workers open them again.
        num_workers: processes of one thread each; 1: all happens in this one.
        ray: tasks of this cluster instead.
        on_progress: called with (cells done, cells in all).

    Raises:
        DataError: a worker died; there is no such cluster, or its nodes do not see the folder.
        CspineBenchError: the loss of a cell is no longer a number.
    """
    missing = [cell for cell in cells if (found := job.store.find(cell)) is None or found.not_run is not None]
    done = len(cells) - len(missing)
    if on_progress is not None:
        on_progress(done, len(cells))
    if not missing:
        return
    if ray is not None:
        making = _make_on_ray(job, missing, ray)
    elif num_workers > 1:
        making = _make_in_processes(job, missing, num_workers)
    else:
        making = (run_cell(cell, job.store, sides, device=job.device) for cell in missing)
    for _ in making:
        done += 1
        if on_progress is not None:
            on_progress(done, len(cells))


_at_work: dict[str, tuple[Job, Sides]] = {}
"""In a worker: what it works for, kept from cell to cell."""


def _make_in_processes(job: Job, cells: Sequence[Cell], num_workers: int) -> Iterator[CellRecord]:
    before = set(multiprocessing.active_children())
    # Read by numpy and torch when a worker imports them, so it must be in the environment that the workers inherit.
    with set_environment(dict.fromkeys(_THREAD_VARIABLES, "1")):
        executor = ProcessPoolExecutor(
            min(num_workers, len(cells)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(os.getpid(),),
        )
        finished = False
        try:
            for future in as_completed([executor.submit(_run_in_worker, job, cell) for cell in cells]):
                yield future.result()
            finished = True
        except BrokenProcessPool as error:
            raise DataError(f"a worker process {_LOST}") from error
        finally:
            if not finished:
                for process in set(multiprocessing.active_children()) - before:
                    process.kill()
            executor.shutdown(wait=True, cancel_futures=True)


def _start_worker(parent_pid: int) -> None:
    # Ctrl-C reaches the whole process group; the parent alone answers it, and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tie_worker_to_writer([], parent_pid)
    import torch

    torch.set_num_threads(1)


def _run_in_worker(job: Job, cell: Cell) -> CellRecord:
    name = str(job.store.folder)
    if name not in _at_work:
        _at_work.clear()
        _at_work[name] = (job, job.open_sides())
    return run_cell(cell, job.store, _at_work[name][1], device=job.device)


def _make_on_ray(job: Job, cells: Sequence[Cell], cluster: RayCluster) -> Iterator[CellRecord]:
    with connect(cluster.address):
        import ray

        check_resources(cluster)
        task = ray.remote(_run_on_node).options(
            num_cpus=cluster.num_cpus, num_gpus=cluster.num_gpus, max_retries=NUM_RETRIES, retry_exceptions=False
        )
        waiting, pending = list(reversed(cells)), list[Any]()
        lost = (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError)
        try:
            while waiting or pending:
                while waiting and (cluster.max_tasks is None or len(pending) < cluster.max_tasks):
                    pending.append(task.remote(job, waiting.pop()))
                ready, pending = ray.wait(pending)
                for reference in ready:
                    try:
                        made = ray.get(reference)
                    except lost as error:
                        raise DataError(f"workers of one cell, {NUM_RETRIES + 1} times, {_LOST}") from error
                    if isinstance(made, Exception):
                        raise made
                    yield made
        finally:
            end_tasks(pending)


def _run_on_node(job: Job, cell: Cell) -> CellRecord | CspineBenchError:
    """A task. What is wrong with the data is given back as a value, so that it arrives as it is."""
    if not job.store.folder.parent.is_dir():
        return DataError(
            f"{job.store.folder.parent}: a node of the cluster does not see this folder; name one on a file system "
            "that all of them share"
        )
    try:
        return _run_in_worker(job, cell)
    except CspineBenchError as error:
        return error
