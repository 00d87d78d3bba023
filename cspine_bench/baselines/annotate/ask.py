"""What teachers say of radiographs, asked file by file of the dataset.

A file is a task: of this process, of a worker process, of a Ray cluster, or of one of several parts that share the
folder of the work. What a teacher said of a window of a file's rows is kept there, whole or not at all, and is the only
proof: whoever is lost costs the windows that it was at. The windows are those of the file, whoever asks, since the last
bit of an answer may depend on what was asked with it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.baselines.annotate.teachers import Teachers
from cspine_bench.baselines.cases import iter_cases
from cspine_bench.baselines.fan_out import fan_out
from cspine_bench.baselines.model import TrainedModel
from cspine_bench.baselines.task import Arrays
from cspine_bench.dataset.ray_tasks import RayCluster
from cspine_bench.errors import DataError
from cspine_bench.measurement.inputs import Images
from cspine_bench.measurement.task import ShowStage
from cspine_bench.measurement.work import Work

WINDOW: Final = 256
"""Rows of a file that are in memory, and whose answers are kept together."""


@dataclass(frozen=True)
class AskedFile:
    """Radiographs of one file.

    Attributes:
        images: all of the file.
        places: int64 (n,), places among those that are asked about, ascending.
    """

    images: Images
    places: NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        """How many are asked about."""
        return len(self.places)

    def list_windows(self) -> list[NDArray[np.int64]]:
        """Places by window; those in which none is asked about are empty."""
        edges = range(0, len(self.images), WINDOW)
        return [self.places[(self.places >= start) & (self.places < start + WINDOW)] for start in edges]


@dataclass(frozen=True)
class Asking:
    """What everyone who asks must know.

    Attributes:
        teachers: at least one.
        work: keeps what they say; its folder exists, and everyone sees it.
    """

    teachers: Teachers
    work: Work


def list_files(images: Images, rows: NDArray[np.int64]) -> list[AskedFile]:
    """Files that hold some of the radiographs.

    Args:
        images: the dataset.
        rows: int64 (n,), ascending places in it of the radiographs that are asked about.
    """
    files, start = [], 0
    for one in images.iter_files():
        places = rows[(rows >= start) & (rows < start + len(one))] - start
        start += len(one)
        if len(places):
            files.append(AskedFile(one, places))
    return files


def ask_all(
    asking: Asking,
    files: Sequence[AskedFile],
    show: ShowStage,
    *,
    num_workers: int = 1,
    ray: RayCluster | None = None,
) -> None:
    """Have every teacher asked about every file.

    Raises:
        DataError: an image is not square, or no whole multiple of a teacher's size; or as `fan_out`.
    """
    folder, total = asking.work.folder, sum(map(len, files))
    if folder is None:
        raise ValueError("what teachers say must be kept somewhere; give the work a folder")
    folder.mkdir(parents=True, exist_ok=True)
    missing = [file for file in files if not is_asked(asking, file)]
    with show(", ".join(asking.teachers.items())) as tell:
        done = total - sum(map(len, missing))
        for count in fan_out(ask_about_file, asking, missing, folder=folder, num_workers=num_workers, ray=ray):
            done += count
            if tell is not None:
                tell(done, total)


def is_asked(asking: Asking, file: AskedFile) -> bool:
    """Whether all that teachers say of a file is kept."""
    return all(
        asking.work.holds(what, **_describe(model, file, window))
        for what, model in asking.teachers.items().items()
        for window in file.list_windows()
        if len(window)
    )


def ask_about_file(asking: Asking, file: AskedFile) -> int:
    """Ask every teacher about a file; windows that are kept already are not asked about again.

    Returns:
        How many radiographs were asked about.

    Raises:
        DataError: an image is not square, or no whole multiple of a teacher's size.
    """
    # One thread: a sum's order, and so its last bit, must not depend on how many cores there are.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for what, model in asking.teachers.items().items():
            _ask_one(what, model, asking, file)
    finally:
        torch.set_num_threads(threads)
    return len(file)


def _ask_one(what: str, model: TrainedModel, asking: Asking, file: AskedFile) -> None:
    blocks = iter_cases(file.images, model.recipe.size, most=WINDOW)
    for number, (window, block) in enumerate(zip(file.list_windows(), blocks, strict=True)):
        if len(window) == 0:
            continue
        wanted = block.take(window - number * WINDOW)
        asking.work.keep(
            what,
            lambda wanted=wanted: model.task.predict(model.network, wanted, device=asking.teachers.device, seed=0),  # type: ignore[misc]
            **_describe(model, file, window),
        )


def read_answers(what: str, asking: Asking, files: Sequence[AskedFile]) -> Arrays:
    """What one teacher said of all radiographs of some files, in their order.

    Raises:
        DataError: something of it is not there, though everybody who asked is through.
    """
    parts = list(_iter_answers(what, asking, files))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}


def _iter_answers(what: str, asking: Asking, files: Sequence[AskedFile]) -> Iterator[Arrays]:
    model = asking.teachers.items()[what]

    def explain() -> Arrays:
        raise DataError(
            f"{asking.work.folder}: what the teacher of {what} said is not all here; everybody who asks must share the "
            "file system of this folder. Run the same command again"
        )

    for file in files:
        for window in file.list_windows():
            if len(window):
                yield asking.work.keep(what, explain, **_describe(model, file, window))


def _describe(model: TrainedModel, file: AskedFile, window: NDArray[np.int64]) -> dict[str, object]:
    """What the answers of a window depend on, beside the dataset."""
    ids = file.images.sample_ids
    samples = [ids[window[0]], ids[window[-1]], len(window)]
    return {"weights": model.weights_sha256, "window": WINDOW, "samples": samples}
