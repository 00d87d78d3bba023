"""What lies in a release: every file found without following a link or opening anything that is not a plain file.

Nothing in a release is trusted. Every reading has a limit of bytes, every walk one of entries; a file that vanishes
while it is read is a fault of the release, one that the system refuses to give is none: it could not be checked.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from cspine_bench.errors import ReleaseError
from cspine_bench.release.layout import MANIFEST_NAME, MIRROR_NAME, SHARD_PATTERN

Kind = Literal["parquet", "webdataset"]

MAX_ENTRIES: Final = 300_000
"""Three times what the Hub takes."""
MAX_PAPER_BYTES: Final = 8_000_000
MAX_LIST_BYTES: Final = 32_000_000
"""For dataset.json and SHA256SUMS, which grow with the number of shards."""

_BLOCK_BYTES: Final = 1 << 20
_LEFT_BY_CLIENTS: Final = frozenset((".cache", ".git", ".gitattributes", ".huggingface"))
"""What git and the Hub's client leave at the top of a folder that they fetched."""
_VANISHED: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR)


class GoneError(ReleaseError):
    """A file that was there a moment ago is not a plain file any more, or larger than it may be."""


@dataclass(frozen=True)
class Unchecked:
    """A file that the system refuses to give, and why."""

    where: str
    reason: str


@dataclass
class Tree:
    """Everything in a release's folder.

    Attributes:
        root: the folder.
        files: size of every plain file by its path inside the folder, sorted by path.
        oddities: what is neither folder nor plain file, by path: a link, a pipe, a device, a name nobody can type.
        crowded: entries of each folder that has more than it may.
        truncated: there were more than `MAX_ENTRIES`, and the rest was not listed.
        unchecked: what the system refused to give.
    """

    root: Path
    files: dict[str, int]
    oddities: dict[str, str]
    crowded: dict[str, int]
    truncated: bool
    unchecked: list[Unchecked] = field(default_factory=list)

    @property
    def kind(self) -> Kind | None:
        """Which of the two repositories this is; None: neither."""
        if MANIFEST_NAME in self.files:
            return "parquet"
        if MIRROR_NAME in self.files:
            return "webdataset"
        suffixes = [match[4] for match in map(SHARD_PATTERN.fullmatch, self.files) if match is not None]
        if not suffixes:
            return None
        return "webdataset" if suffixes.count("tar") > suffixes.count("parquet") else "parquet"

    def shards(self, kind: Kind) -> list[str]:
        """Well-named shards of one format, in the order of their paths."""
        suffix = ".tar" if kind == "webdataset" else ".parquet"
        return [name for name in self.files if name.endswith(suffix) and SHARD_PATTERN.fullmatch(name)]

    def read(self, name: str, max_bytes: int = MAX_PAPER_BYTES) -> bytes:
        """Bytes of a file that was listed.

        Raises:
            GoneError: it vanished since, became something else, or is larger than allowed.
            OSError: the system refuses to give it; also noted in `unchecked`.
        """
        blocks = []
        left = max_bytes
        for block in self._iter_blocks(name):
            left -= len(block)
            if left < 0:
                raise GoneError(f"it has more than {max_bytes:,} bytes; nothing of that size belongs there")
            blocks.append(block)
        return b"".join(blocks)

    def _iter_blocks(self, name: str) -> Iterator[bytes]:
        try:
            yield from _iter_file(self.root / name)
        except OSError as error:
            self.note_unchecked(name, error)
            raise

    def note_unchecked(self, where: str, error: OSError) -> None:
        """Remember that a file could not be looked at."""
        entry = Unchecked(where, error.strerror or str(error))
        if entry not in self.unchecked:
            self.unchecked.append(entry)


def hash_file(path: Path) -> str:
    """SHA-256 of a plain file.

    Raises:
        GoneError: it vanished, or became something else.
        OSError: the system refuses to give it.
    """
    digest = hashlib.sha256()
    for block in _iter_file(path):
        digest.update(block)
    return digest.hexdigest()


def probe_file(path: Path) -> None:
    """Raise as `hash_file` where a file cannot be opened, without reading all of it."""
    next(_iter_file(path), None)


def list_tree(root: Path, *, max_folder_entries: int) -> Tree:
    """List a folder.

    Args:
        root: an existing folder.
        max_folder_entries: folders with more are noted.

    Raises:
        OSError: the folder itself cannot be listed.
    """
    tree = Tree(root, {}, {}, {}, truncated=False)
    files: dict[str, int] = {}
    waiting = [""]
    met = 0
    while waiting and not tree.truncated:
        folder = waiting.pop()
        try:
            with os.scandir(root / folder) as entries:
                here = 0
                for entry in entries:
                    if not folder and entry.name in _LEFT_BY_CLIENTS and not entry.is_symlink():
                        continue
                    here, met = here + 1, met + 1
                    if met > MAX_ENTRIES:
                        tree.truncated = True
                        break
                    name = f"{folder}/{entry.name}" if folder else entry.name
                    _note_entry(tree, files, waiting, entry, name)
        except OSError as error:
            if not folder:
                raise
            if error.errno not in _VANISHED:
                tree.note_unchecked(folder, error)
        if here > max_folder_entries:
            tree.crowded[folder or "."] = here
    tree.files = {name: files[name] for name in sorted(files)}
    return tree


def _note_entry(tree: Tree, files: dict[str, int], waiting: list[str], entry: os.DirEntry[str], name: str) -> None:
    shown = name.encode("utf-8", "backslashreplace").decode()
    if shown != name or any(not character.isprintable() for character in name) or "\\" in name:
        tree.oddities[repr(shown)] = "its name holds characters that no list of files can spell"
        return
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError as error:
        if error.errno not in _VANISHED:
            tree.note_unchecked(name, error)
        return
    if stat.S_ISLNK(status.st_mode):
        tree.oddities[name] = "it is a link, and links are not followed; `hf download --local-dir` gives plain files"
    elif stat.S_ISDIR(status.st_mode):
        waiting.append(name)
    elif stat.S_ISREG(status.st_mode):
        files[name] = status.st_size
    else:
        tree.oddities[name] = "it is neither a file nor a folder"


def _iter_file(path: Path) -> Iterator[bytes]:
    try:
        # Without O_NONBLOCK the opening of a pipe waits for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _VANISHED:
            raise GoneError(f"it vanished while it was looked at ({error.strerror})") from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise GoneError("it is no plain file any more")
        while block := os.read(descriptor, _BLOCK_BYTES):
            yield block
    finally:
        os.close(descriptor)
