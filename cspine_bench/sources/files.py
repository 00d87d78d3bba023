"""The files of a source: a folder with all below it, or a zip archive, read in place.

Nothing is extracted. Hidden files (a dot first, or below `__MACOSX`) are left out. Links to folders are followed, each
folder once: a link that leads back, or to a folder that was met before, is reported. Names are relative, with forward
slashes, and sorted; messages about a file hold this name and never the path above it, because they become part of a
dataset.
"""

import hashlib
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from cspine_bench.errors import DataError
from cspine_bench.imaging.read import IMAGE_SUFFIXES, MAX_FILE_BYTES, read_file

MAX_MEMBERS: Final = 2_000_000
MAX_RATIO: Final = 200
"""Deflate reaches 1,032; a film or its labels stay below 50."""
_RATIO_MATTERS_ABOVE: Final = 16 << 20
# Everything that zipfile raises on a broken member.
_ARCHIVE_ERRORS: Final = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    KeyError,
)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that can be read later.

    Args:
        name: relative to the source's root.
        path: the file, or the archive that holds it.
        member: its name in the archive, or None.
        problem: why it cannot be read, where the listing already knows; without the name.
    """

    name: str
    path: Path
    member: str | None = None
    problem: str | None = None

    @property
    def suffix(self) -> str:
        """With the dot, in lower case."""
        return os.path.splitext(self.name)[1].lower()

    def read(self, *, where: str | None = None, max_bytes: int = MAX_FILE_BYTES) -> bytes:
        """All bytes.

        Args:
            where: what messages call the file; None: its name.
            max_bytes: the most that it may hold.

        Raises:
            DataError: as `problem`, or as `imaging.read.read_file`, or the archive is damaged there.
        """
        where = self.name if where is None else where
        if self.problem is not None:
            raise DataError(f"{where}: {self.problem}")
        if self.member is None:
            return read_file(self.path, where=where, max_bytes=max_bytes)
        return _read_member(_open_archive(self.path, os.getpid()), self.member, where, max_bytes)


# By process, because a forked child that shares the parent's file position reads the parent's bytes.
@lru_cache(maxsize=8)
def _open_archive(path: Path, pid: int) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: is no whole zip archive ({error}); copy it again") from error


def _read_member(archive: zipfile.ZipFile, member: str, where: str, max_bytes: int) -> bytes:
    try:
        with archive.open(member) as stream:
            data = stream.read(max_bytes + 1)
    except _ARCHIVE_ERRORS as error:
        raise DataError(f"{where}: cannot be read from the archive ({error}); copy the archive again") from error
    if len(data) > max_bytes:
        raise DataError(f"{where}: has more than {max_bytes:,} bytes, the most allowed")
    if not data:
        raise DataError(f"{where}: the file is empty; copy it again from where it came")
    return data


def list_files(root: Path) -> list[SourceFile]:
    """All files of a folder, or of a zip archive, sorted by name.

    Raises:
        DataError: the root is missing or not readable, is neither, or is an archive that must not be trusted.
    """
    try:
        is_folder, is_there = root.is_dir(), root.exists()
    except OSError as error:
        raise DataError(f"{root}: cannot be looked at ({error.strerror}); change its mode or owner") from error
    if is_folder:
        return sorted(_walk(root, "", (), {}), key=lambda file: file.name)
    if not is_there:
        raise DataError(f"{root}: no such folder or archive; give the folder of films, or a .zip of it")
    # Asked first, because a pipe would be waited on for ever.
    if not root.is_file() or not zipfile.is_zipfile(root):
        raise DataError(
            f"{root}: is neither a folder nor a zip archive; name the folder that holds the films, or a zip of it"
        )
    return list_archive(root)


def list_archive(path: Path) -> list[SourceFile]:
    """The files of a zip archive, sorted by name.

    Raises:
        DataError: the archive is damaged, names files outside itself, or swells beyond reason (a zip bomb).
    """
    members = _open_archive(path, os.getpid()).infolist()
    if len(members) > MAX_MEMBERS:
        raise DataError(f"{path}: has {len(members):,} members, allowed are {MAX_MEMBERS:,}")
    files: dict[str, SourceFile] = {}
    for info in members:
        name = info.filename
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or name.startswith(("/", "\\")) or ":" in parts[0]:
            raise DataError(f"{path}: the member {name!r} points outside the archive; do not trust this file")
        if info.is_dir() or _is_hidden(parts):
            continue
        problem = None
        if name in files:
            problem = "is twice in the archive; remove one"
        elif info.flag_bits & 1:
            problem = "is encrypted; unpack the archive with its password first"
        elif info.file_size > _RATIO_MATTERS_ABOVE and info.file_size > MAX_RATIO * max(1, info.compress_size):
            ratio = info.file_size // max(1, info.compress_size)
            problem = f"swells {ratio}-fold to {info.file_size:,} bytes; allowed is {MAX_RATIO}-fold"
        files[name] = SourceFile(name, path, name, problem)
    return sorted(files.values(), key=lambda file: file.name)


def _is_hidden(parts: list[str]) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _walk(
    folder: Path, prefix: str, above: tuple[tuple[int, int], ...], met: dict[tuple[int, int], str]
) -> Iterator[SourceFile]:
    try:
        facts = folder.stat()
        names = sorted(os.listdir(folder))
    except OSError as error:
        reason = "no permission to list it" if isinstance(error, PermissionError) else str(error.strerror or error)
        if not prefix:
            raise DataError(f"{folder}: cannot be listed: {reason}; change its mode or owner") from error
        yield SourceFile(prefix.rstrip("/"), folder, problem=f"cannot be listed: {reason}")
        return
    identity = (facts.st_dev, facts.st_ino)
    if identity in above:
        problem = "a symbolic link that leads back to a folder it lies in; remove the link"
        yield SourceFile(prefix.rstrip("/"), folder, problem=problem)
        return
    if identity in met:
        problem = f"is the same folder as {met[identity]}, one of them a symbolic link; remove the link"
        yield SourceFile(prefix.rstrip("/"), folder, problem=problem)
        return
    met[identity] = prefix.rstrip("/")
    for name in names:
        path = folder / name
        if name.startswith(".") or name == "__MACOSX":
            continue
        if not _is_utf8(name):
            printable = os.fsencode(name).decode("utf-8", "backslashreplace")
            yield SourceFile(prefix + printable, path, problem="its name is not UTF-8; rename it")
            continue
        # A folder that is named like an image is somebody's mistake, and is reported when it is read.
        if os.path.isdir(path) and os.path.splitext(name)[1].lower() not in IMAGE_SUFFIXES:
            yield from _walk(path, f"{prefix}{name}/", (*above, identity), met)
        else:
            yield SourceFile(prefix + name, path)


def compute_fingerprint(files: Iterable[SourceFile]) -> str:
    """SHA-256 over the names and contents of files. Archive members count by the archive's own sizes and checksums."""
    digest = hashlib.sha256()
    for file in files:
        if file.member is not None and file.problem is None:
            info = _open_archive(file.path, os.getpid()).getinfo(file.member)
            content = f"zip {info.file_size} {info.CRC:08x}"
        else:
            try:
                content = hashlib.sha256(file.read()).hexdigest()
            except DataError:
                content = "not readable"
        digest.update(f"{file.name}\0{content}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
