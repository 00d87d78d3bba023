"""One writer at a time in a dataset folder, also when the one before it was killed and its workers still run.

Two files in the scratch folder are locked with `flock`, which the kernel lets go of when a process ends, whatever ends
it: `lock` is held by the writing process, and `workers.lock` is shared by its workers. A new writer needs both.
"""

import ctypes
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cspine_bench.errors import DataError

_WRITER, _WORKERS = "lock", "workers.lock"
_ORPHANS_END_WITHIN_S: Final = 30.0
_WATCH_INTERVAL_S: Final = 0.2
_PR_SET_PDEATHSIG: Final = 1


@contextmanager
def hold_folder(scratch: Path) -> Iterator[None]:
    """Be the only writer while the block runs.

    Args:
        scratch: the scratch folder inside the dataset folder; made if it is not there.

    Raises:
        DataError: another process writes there.
    """
    writer = _lock_writer(scratch)
    try:
        _wait_for_orphans(scratch)
        yield
    finally:
        os.close(writer)


def tie_worker_to_writer(scratch: Path, writer_pid: int) -> None:
    """Called in a worker: hold the workers' lock until it ends, and end it when the writer does."""
    descriptor = os.open(scratch / _WORKERS, os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # Asked after the signal is armed, so that a writer that died in between is noticed as well.
    if os.getppid() != writer_pid:
        os._exit(1)
    threading.Thread(target=_end_with_writer, args=(writer_pid,), daemon=True).start()


def _end_with_writer(writer_pid: int) -> None:
    while os.getppid() == writer_pid:
        time.sleep(_WATCH_INTERVAL_S)
    os._exit(1)


def _lock_writer(scratch: Path) -> int:
    path = scratch / _WRITER
    while True:
        scratch.mkdir(exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            continue  # The writer before us just finished and removed the scratch folder.
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A finished writer removes the file it holds: a lock on a file without a name guards nothing.
            if os.path.exists(path) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except BlockingIOError as error:
            os.close(descriptor)
            raise DataError(
                f"{scratch.parent}: another process is writing here; wait for it, or choose another folder"
            ) from error
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _wait_for_orphans(scratch: Path) -> None:
    descriptor = os.open(scratch / _WORKERS, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        give_up = time.monotonic() + _ORPHANS_END_WITHIN_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if time.monotonic() > give_up:
                    raise DataError(
                        f"{scratch.parent}: workers of a killed run still write here; end them and try again"
                    ) from error
                time.sleep(0.05)
    finally:
        os.close(descriptor)
