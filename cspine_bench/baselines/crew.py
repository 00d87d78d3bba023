"""Who trains the cells: this process, worker processes on this machine, or tasks of a Ray cluster.

Everyone opens both sides once and writes the cells that it has trained itself, each whole or not at all; so the file
system of the output folder is all that they share, and whoever is lost costs the cell that it was at.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cspine_bench.baselines.cells import Cell, CellRecord, CellStore, run_cell
from cspine_bench.baselines.fan_out import fan_out
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.sides import Sides, open_sides
from cspine_bench.dataset.ray_tasks import RayCluster

OnProgress = Callable[[int, int], None]


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
    making: Iterator[CellRecord]
    if ray is not None or min(num_workers, len(missing)) > 1:
        making = fan_out(_run_in_worker, job, missing, folder=job.store.folder.parent, num_workers=num_workers, ray=ray)
    else:
        making = (run_cell(cell, job.store, sides, device=job.device) for cell in missing)
    for _ in making:
        done += 1
        if on_progress is not None:
            on_progress(done, len(cells))


_at_work: dict[str, tuple[Job, Sides]] = {}
"""In a worker: what it works for, kept from cell to cell."""


def _run_in_worker(job: Job, cell: Cell) -> CellRecord:
    name = str(job.store.folder)
    if name not in _at_work:
        _at_work.clear()
        _at_work[name] = (job, job.open_sides())
    return run_cell(cell, job.store, _at_work[name][1], device=job.device)
