"""Files that are in place whole or not at all, and one clear error when the disk is full."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cspine_bench.errors import DataError

_OUT_OF_SPACE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def write_file(path: Path, data: bytes, *, scratch: Path) -> None:
    """Put a file in place whole or not at all, and on the disk before this returns.

    Args:
        path: where it goes.
        data: its bytes.
        scratch: a folder of the same file system, for the temporary name.

    Raises:
        DataError: the disk is full.
        OSError: the file cannot be written for another reason.
    """
    temporary = scratch / f"{path.name}.tmp"
    try:
        with explain_full_disk(path, lambda: len(data)):
            write_synced(temporary, data)
            move_into_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_synced(path: Path, data: bytes) -> None:
    """Write a file, and return when it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def move_into_place(temporary: Path, path: Path) -> None:
    """Rename a written and synced file to its final name, and sync the folder that lists it."""
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explain_full_disk(path: Path, needed_bytes: Callable[[], int]) -> Iterator[None]:
    """Turn "no space left", "quota exceeded" and "file too large" into a DataError that says what to do.

    Args:
        path: the file that is being written.
        needed_bytes: about how large it will be; asked only when it is too large.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _OUT_OF_SPACE:
            raise
        raise DataError(
            f"{path}: cannot be written, {os.strerror(error.errno).lower()}; this file needs about "
            f"{needed_bytes() / 1e6:.2f} MB. "
            "Free some space and run the same command again: it goes on where it stopped"
        ) from error
