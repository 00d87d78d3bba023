"""The scalars of a run for TensorBoard, beside its log: RUN/events/.

They are written wherever the package `tensorboard` is installed (the extra `tensorboard`), and nowhere else: they
repeat `log.jsonl`, so no figure depends on them, and each process that goes on with a run writes them anew from there.
Look at them with `tensorboard --logdir RUN/events`.
"""

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from cspine_bench.dataset.files import explain_full_disk
from cspine_bench.ddpm.progress import read_log

EVENTS_NAME: Final = "events"
_NEEDED_BYTES: Final = 1_000_000
_KINDS: Final = ("train", "validation", "monitor")
"""Of rows that have scalars; a tag begins with its kind."""


class Events(Protocol):
    """Takes rows of the log."""

    def add(self, row: Mapping[str, Any]) -> None:
        """Write the numbers of a row; a kind without numbers over steps adds nothing."""


class _NoEvents:
    def add(self, row: Mapping[str, Any]) -> None:
        """Nothing: the package is not installed."""


class _Writer:
    def __init__(self, writer: Any, folder: Path) -> None:
        self._writer = writer
        self._folder = folder

    def add(self, row: Mapping[str, Any]) -> None:
        """Write and flush, so that what is seen is never older than the last row."""
        self.write(row)
        self.flush()

    def write(self, row: Mapping[str, Any]) -> None:
        with explain_full_disk(self._folder, lambda: _NEEDED_BYTES):
            for tag, value in list_scalars(row).items():
                self._writer.add_scalar(tag, value, row["step"])

    def flush(self) -> None:
        with explain_full_disk(self._folder, lambda: _NEEDED_BYTES):
            self._writer.flush()


def list_scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row of the log, by tag: `train/loss`, `validation/loss/0-0.25`, `monitor/frechet_distance`."""
    kind = row["kind"]
    if kind not in _KINDS:
        return {}
    scalars = {f"{kind}/{name}": value for name, value in row.items() if name not in ("kind", "step")}
    bands = scalars.pop(f"{kind}/bands", {})
    scalars |= {f"{kind}/loss/{band}": value for band, value in bands.items()}
    return {tag: float(value) for tag, value in scalars.items() if isinstance(value, int | float)}


@contextmanager
def open_events(run: Path, step: int) -> Iterator[Events]:
    """Write scalars of a run until the block ends: first those in its log, then what is added.

    Args:
        run: the run folder.
        step: updates done. What an earlier, killed process told of later updates is dropped, so that each shows once.

    Raises:
        DataError: the disk is full, here or while a row is added.
    """
    if importlib.util.find_spec("tensorboard") is None:
        yield _NoEvents()
        return
    from torch.utils.tensorboard import SummaryWriter

    folder = run / EVENTS_NAME
    # TensorBoard reads the files of a folder by the second in their names: two of one second may come in either order.
    for earlier in folder.glob("events.out.tfevents.*"):
        earlier.unlink()
    with explain_full_disk(folder, lambda: _NEEDED_BYTES):
        # A TensorBoard that looks on while this happens forgets what it has read.
        writer = SummaryWriter(str(folder), purge_step=0)
    try:
        events = _Writer(writer, folder)
        for row in read_log(run):
            if row["step"] <= step:
                events.write(row)
        events.flush()
        yield events
    finally:
        with explain_full_disk(folder, lambda: _NEEDED_BYTES):
            writer.close()
