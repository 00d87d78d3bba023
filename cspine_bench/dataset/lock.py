"""Who may write in a dataset folder: one writer, or parts of one dataset side by side; also when the one before was
killed and its workers still run.

Files in the scratch folder are locked with `flock`, which the kernel lets go of when a process ends, whatever ends it:

- `lock` is held alone by a writer, and by whoever begins or finishes a dataset; parts at work share it;
- `workers.lock` is shared by worker processes: whoever takes `lock` alone waits until they are gone;
- `turn.lock` makes parts that begin or finish wait for each other, where `lock` would turn them away.
"""

import ctypes
import errno
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from cspine_bench.errors import DataError

_WRITER, _WORKERS, _TURN = "lock", "workers.lock", "turn.lock"
_ORPHANS_END_WITHIN_S: Final = 30.0
_WATCH_INTERVAL_S: Final = 0.2
_PR_SET_PDEATHSIG: Final = 1
_NO_LOCKS: Final = frozenset((errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP))


class FileLock:
    """A file, made if it is not there, that processes lock, alone or shared. Never inherited by a child process.

    Raises:
        FileNotFoundError: its folder is gone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)

    def take(self, *, shared: bool = False, wait: bool = False) -> bool:
        """Lock, or go from one kind of lock to the other.

        Args:
            shared: other processes may share it; otherwise this one holds it alone.
            wait: until it is free.

        Returns:
            Whether it is held. A lock that was held before may be lost if not.

        Raises:
            DataError: the file system has no locks.
        """
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(self._descriptor, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            raise DataError(
                f"{self.path}: cannot be locked ({error.strerror}); write to a file system whose locks (flock) hold "
                "between the processes that write, and for parts between their hosts"
            ) from error
        return True

    def is_current(self) -> bool:
        """Whether the file still has its name: a lock on a file that was removed guards nothing."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Let go."""
        os.close(self._descriptor)


@contextmanager
def hold_folder(scratch: Path, *, busy: str | None = None) -> Iterator[None]:
    """Be the only writer while the block runs.

    Args:
        scratch: the scratch folder inside the dataset folder; made if it is not there.
        busy: what to say if it is not free; None: that another process writes in the folder around it.

    Raises:
        DataError: another process writes there, or the file system has no locks.
    """
    writer = _lock_writer(scratch, busy or _busy(scratch))
    try:
        wait_for_orphans(scratch)
        yield
    finally:
        writer.close()
        discard_empty(scratch)


@contextmanager
def wait_for_turn(scratch: Path) -> Iterator[None]:
    """Be the only one that begins or finishes parts while the block runs; waits until the others are through.

    Raises:
        DataError: the file system has no locks.
    """
    while True:
        scratch.mkdir(exist_ok=True)
        try:
            turn = FileLock(scratch / _TURN)
        except FileNotFoundError:
            continue  # Whoever finished just removed the scratch folder.
        turn.take(wait=True)
        if turn.is_current():
            break
        turn.close()
    try:
        yield
    finally:
        turn.close()
        discard_empty(scratch)


def open_writer_lock(scratch: Path) -> FileLock | None:
    """The lock of a folder's writers, not taken yet; None where somebody just removed the scratch folder."""
    try:
        return FileLock(scratch / _WRITER)
    except FileNotFoundError:
        return None


def folder_is_busy(scratch: Path) -> DataError:
    """The error for a folder in which another process writes."""
    return DataError(_busy(scratch))


def discard_empty(scratch: Path) -> None:
    """Remove a scratch folder that has nothing in it any more.

    On network file systems a file that is removed while it is open stays until it is closed, and its folder with it.
    """
    with suppress(OSError):
        scratch.rmdir()


def hold_worker_locks(scratches: Sequence[Path]) -> list[FileLock]:
    """Share the workers' lock of scratch folders, so that none is cleared while this process writes there.

    Raises:
        FileNotFoundError: a scratch folder is gone.
    """
    locks = [FileLock(scratch / _WORKERS) for scratch in scratches]
    for lock in locks:
        lock.take(shared=True, wait=True)
    return locks


def tie_worker_to_writer(scratches: Sequence[Path], writer_pid: int) -> None:
    """Called in a worker: hold the workers' locks until it ends, and end it when the writer does."""
    hold_worker_locks(scratches)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # Asked after the signal is armed, so that a writer that died in between is noticed as well.
    if os.getppid() != writer_pid:
        os._exit(1)
    threading.Thread(target=_end_with_writer, args=(writer_pid,), daemon=True).start()


def wait_for_orphans(scratch: Path) -> None:
    """Return when no worker of an earlier run holds the workers' lock of a scratch folder.

    Raises:
        DataError: some still do after half a minute.
    """
    with closing(FileLock(scratch / _WORKERS)) as workers:
        give_up = time.monotonic() + _ORPHANS_END_WITHIN_S
        while not workers.take():
            if time.monotonic() > give_up:
                raise DataError(f"{scratch.parent}: workers of a killed run still write here; end them and try again")
            time.sleep(0.05)


def _end_with_writer(writer_pid: int) -> None:
    while os.getppid() == writer_pid:
        time.sleep(_WATCH_INTERVAL_S)
    os._exit(1)


def _lock_writer(scratch: Path, busy: str) -> FileLock:
    while True:
        scratch.mkdir(exist_ok=True)
        writer = open_writer_lock(scratch)
        if writer is None:
            continue
        if not writer.take():
            writer.close()
            raise DataError(busy)
        if writer.is_current():
            return writer
        writer.close()


def _busy(scratch: Path) -> str:
    return f"{scratch.parent}: another process is writing here; wait for it, or choose another folder"
