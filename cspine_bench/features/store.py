"""Features on the disk, keyed by content: the hash of the pixels, and the hash of everything that an encoder does.

FOLDER/NAME-HASH/               one encoder: its name, and the first digits of `Encoder.sha256`
  encoder.json                  what it is
  shards/HASH.features          rows that were encoded together
  claims/HASH.lock              held while somebody encodes those rows

A shard is one file that is put in place whole: a header with hashes, two hashes for each row (of its pixels, and of the
PNG file that they were decoded from), and the rows as float32, which are mapped into memory. Nothing is ever changed,
so any number of processes may read and add at the same time. A shard that is damaged is set aside, and encoded again;
one of another format is left to the version that knows it. A store that cannot be written serves what it holds.

The hash of the PNG file is what makes a second run quick and still sure: bytes that are known need not be decoded again
to know their pixels, and a hash that somebody else wrote down is never believed.
"""

import errno
import hashlib
import json
import logging
import os
import re
import struct
import uuid
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.dataset.files import explain_full_disk, move_into_place, write_synced
from cspine_bench.dataset.lock import FileLock
from cspine_bench.errors import DataError
from cspine_bench.features.encoder import Encoder
from cspine_bench.provenance import canonical_json

_KIND: Final = b"cspine-bench features "
_MAGIC: Final = _KIND + b"1\n"
_LENGTHS: Final = struct.Struct("<32sQ")
_HASH_BYTES: Final = 32
_ALIGNMENT: Final = 64
_BLOCK_ROWS: Final = 256
_ANONYMOUS_ABOVE_BYTES: Final = 1 << 28
"""Gathered features that are larger lie in a file without a name and are mapped, so that they need no memory."""

_CANNOT_WRITE: Final = frozenset((errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST))

_log = logging.getLogger(__name__)


class DamagedShard(Exception):
    """A shard's bytes are not those that were written. It has been set aside: encode its rows again."""


class _OtherFormat(Exception):
    """A shard that another version of this package has written."""


def find_default_folder() -> Path:
    """Where features are kept if nothing else is said: `cspine-bench/features` in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "cspine-bench" / "features"


@dataclass
class _Shard:
    path: Path
    rows: NDArray[np.float32]
    block_sha256: tuple[str, ...]
    pixel_sha256: list[str]
    file_sha256: list[str]
    blank_rows: list[int]
    checked: set[int] = field(default_factory=set)

    def check_block(self, block: int) -> None:
        """Hash a block of rows the first time that one of them is asked for."""
        if block in self.checked:
            return
        data = np.ascontiguousarray(self.rows[block * _BLOCK_ROWS : (block + 1) * _BLOCK_ROWS])
        if hashlib.sha256(data.tobytes()).hexdigest() != self.block_sha256[block]:
            raise DamagedShard(f"{self.path}: rows {block * _BLOCK_ROWS} and on do not have their hash")
        self.checked.add(block)


class FeatureStore:
    """All features of one encoder in a folder.

    Args:
        folder: of the store; None: `find_default_folder()`. Made if it is not there. Its file system needs locks. One
            that cannot be written will do as long as it holds everything that is asked for.
        encoder: whose features these are.

    Raises:
        DataError: the folder holds something else under this encoder's name, or cannot be made.
    """

    def __init__(self, folder: Path | None, encoder: Encoder) -> None:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", encoder.name)[-60:]
        self.folder = (find_default_folder() if folder is None else folder) / f"{name}-{encoder.sha256[:16]}"
        self.dimension = encoder.dimension
        self._encoder_sha256 = encoder.sha256
        self._shards: dict[Path, _Shard] = {}
        self._places: dict[str, tuple[Path, int]] = {}
        self._pixels_of_file: dict[str, str] = {}
        self._blank: set[str] = set()
        self._other_formats: set[Path] = set()
        with _explain_unwritable(self.folder):
            for folder_name in ("shards", "claims"):
                (self.folder / folder_name).mkdir(parents=True, exist_ok=True)
            self._describe(encoder)
        self.refresh()

    def _describe(self, encoder: Encoder) -> None:
        path = self.folder / "encoder.json"
        text = canonical_json(encoder.describe())
        if not path.exists():
            # A name of its own, since another process may do the same.
            temporary = self.folder / f"encoder.{uuid.uuid4().hex}.tmp"
            with explain_full_disk(path, lambda: len(text)):
                temporary.write_text(text, encoding="utf-8")
                temporary.replace(path)
        elif path.read_text(encoding="utf-8") != text:
            raise DataError(f"{path}: is of another encoder than {encoder.name}; remove {self.folder}, or use another")

    def refresh(self) -> None:
        """Take up what other processes have added; set damaged shards aside."""
        for path in sorted((self.folder / "shards").glob("*.features")):
            if path in self._shards or path in self._other_formats:
                continue
            try:
                shard = _open_shard(path, self._encoder_sha256, self.dimension)
            except FileNotFoundError:
                continue  # set aside by another process just now
            except _OtherFormat as error:
                _log.warning("%s is left as it is: %s", path, error)
                self._other_formats.add(path)
                continue
            except (DamagedShard, ValueError, KeyError, TypeError, struct.error) as error:
                self._set_aside(path, str(error))
                continue
            self._shards[path] = shard
            self._index(shard)

    def _index(self, shard: _Shard) -> None:
        for row, (pixels, file) in enumerate(zip(shard.pixel_sha256, shard.file_sha256, strict=True)):
            self._places.setdefault(pixels, (shard.path, row))
            self._pixels_of_file[file] = pixels
        self._blank.update(shard.pixel_sha256[row] for row in shard.blank_rows)

    def is_of(self, encoder: Encoder) -> bool:
        """Whether these are features of this encoder."""
        return encoder.sha256 == self._encoder_sha256

    def __contains__(self, pixel_sha256: str) -> bool:
        return pixel_sha256 in self._places

    def __len__(self) -> int:
        """Different images that have features here."""
        return len(self._places)

    def find_pixels(self, file_sha256: str) -> str | None:
        """Hash of the pixels that a PNG file of this hash was decoded to, when its features were added."""
        return self._pixels_of_file.get(file_sha256)

    def is_blank(self, pixel_sha256: str) -> bool:
        """Whether an image that has features here has a single gray level."""
        return pixel_sha256 in self._blank

    def add(
        self,
        pixel_sha256: Sequence[str],
        file_sha256: Sequence[str],
        features: NDArray[np.float32],
        *,
        blank: Set[str] = frozenset(),
    ) -> None:
        """Put rows on the disk, whole or not at all.

        Args:
            pixel_sha256: (n,), of decoded pixels.
            file_sha256: (n,), of the PNG files that they come from.
            features: float32 (n, dimension), n >= 1.
            blank: those of `pixel_sha256` that have a single gray level.

        Raises:
            ValueError: numbers or shapes do not fit, or features are not finite.
            DataError: the disk is full.
        """
        if (
            features.shape != (len(pixel_sha256), self.dimension)
            or len(file_sha256) != len(features)
            or not len(features)
        ):
            raise ValueError(
                f"{len(pixel_sha256)} and {len(file_sha256)} hashes and features {features.shape} do not fit; "
                f"expected (n, {self.dimension})"
            )
        if not np.isfinite(features).all():
            raise ValueError("features hold NaN or infinity: the encoder or its weights are broken")
        data = _build_shard(self._encoder_sha256, pixel_sha256, file_sha256, features, blank)
        path = self.folder / "shards" / f"{hashlib.sha256(data).hexdigest()}.features"
        temporary = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.tmp")
        try:
            with _explain_unwritable(self.folder), explain_full_disk(path, lambda: len(data)):
                write_synced(temporary, data)
                move_into_place(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        self.refresh()

    def gather(self, pixel_sha256: Sequence[str]) -> NDArray[np.float32]:
        """Features in the order of `pixel_sha256`, each block of rows held against its hash.

        Returns:
            float32 (n, dimension), read-only; mapped into memory where they are many, or lie together.

        Raises:
            KeyError: an image has no features here.
            DamagedShard: a block is not what was written; its shard has been set aside.
        """
        places = [self._places[pixels] for pixels in pixel_sha256]
        for path, block in {(path, row // _BLOCK_ROWS) for path, row in places}:
            try:
                self._shards[path].check_block(block)
            except DamagedShard as error:
                self._set_aside(path, str(error))
                raise
        first_path, first_row = places[0] if places else (None, 0)
        if first_path is not None and places == [(first_path, first_row + n) for n in range(len(places))]:
            return self._shards[first_path].rows[first_row : first_row + len(places)]
        gathered = _allocate((len(places), self.dimension), self.folder)
        by_shard: dict[Path, list[int]] = {}
        for number, (path, _) in enumerate(places):
            by_shard.setdefault(path, []).append(number)
        for path, numbers in by_shard.items():
            gathered[numbers] = self._shards[path].rows[[places[number][1] for number in numbers]]
        gathered.flags.writeable = False
        return gathered

    @contextmanager
    def claim(self, name: str, *, wait: bool) -> Iterator[bool]:
        """Be the only one that encodes some rows while the block runs.

        Args:
            name: of the rows, letters and digits; the same in every process.
            wait: until whoever holds it is through.

        Yields:
            Whether it is held.

        Raises:
            DataError: the file system has no locks, or the store cannot be written.
        """
        path = self.folder / "claims" / f"{name}.lock"
        while True:
            with _explain_unwritable(self.folder), explain_full_disk(path, lambda: 0):
                lock = FileLock(path)
            try:
                held = lock.take(wait=wait)
                if held and not lock.is_current():
                    continue  # Whoever held it is through and removed it.
                if held:
                    self.refresh()
                yield held
                if held:
                    path.unlink(missing_ok=True)
                return
            finally:
                lock.close()

    def _set_aside(self, path: Path, why: str) -> None:
        _log.warning("%s is damaged (%s); set aside as *.damaged, its rows are encoded again", path, why)
        with _explain_unwritable(self.folder), suppress(FileNotFoundError):  # set aside by another process just now
            path.rename(path.with_suffix(".damaged"))
        self._shards.pop(path, None)
        self._places.clear()
        self._pixels_of_file.clear()
        for shard in self._shards.values():
            self._index(shard)


@contextmanager
def _explain_unwritable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        raise DataError(
            f"{folder}: cannot be written ({os.strerror(error.errno).lower()}), and not everything that is asked for "
            "is there; name another folder for features, or make this one writable"
        ) from error


def _build_shard(
    encoder_sha256: str,
    pixel_sha256: Sequence[str],
    file_sha256: Sequence[str],
    features: NDArray[np.float32],
    blank: Set[str],
) -> bytes:
    keys = b"".join(bytes.fromhex(pixels + file) for pixels, file in zip(pixel_sha256, file_sha256, strict=True))
    rows = np.ascontiguousarray(features, "<f4")
    blocks = [rows[start : start + _BLOCK_ROWS].tobytes() for start in range(0, len(rows), _BLOCK_ROWS)]
    header = canonical_json(
        {
            "encoder_sha256": encoder_sha256,
            "dimension": rows.shape[1],
            "num_rows": len(rows),
            "blank_rows": [row for row, pixels in enumerate(pixel_sha256) if pixels in blank],
            "keys_sha256": hashlib.sha256(keys).hexdigest(),
            "block_rows": _BLOCK_ROWS,
            "block_sha256": [hashlib.sha256(block).hexdigest() for block in blocks],
        }
    ).encode()
    front = _MAGIC + _LENGTHS.pack(hashlib.sha256(header).digest(), len(header)) + header + keys
    return front + b"\0" * (-len(front) % _ALIGNMENT) + b"".join(blocks)


def _open_shard(path: Path, encoder_sha256: str, dimension: int) -> _Shard:
    """A shard with its rows mapped."""
    with path.open("rb") as file:
        magic = file.read(len(_MAGIC))
        if magic != _MAGIC and magic.startswith(_KIND) and magic[len(_KIND) :].strip().isdigit():
            raise _OtherFormat(f"its format is {magic[len(_KIND) :].strip().decode()}, this version writes format 1")
        if magic != _MAGIC:
            raise DamagedShard("not a shard of features")
        digest, length = _LENGTHS.unpack(file.read(_LENGTHS.size))
        header = file.read(min(length, path.stat().st_size))
        if hashlib.sha256(header).digest() != digest:
            raise DamagedShard("the header does not have its hash")
        facts: dict[str, Any] = json.loads(header)
        if (facts["encoder_sha256"], facts["dimension"], facts["block_rows"]) != (
            encoder_sha256,
            dimension,
            _BLOCK_ROWS,
        ):
            raise DamagedShard("features of another encoder")
        num_rows = facts["num_rows"]
        keys = file.read(num_rows * 2 * _HASH_BYTES)
        start = file.tell() + -file.tell() % _ALIGNMENT
    if hashlib.sha256(keys).hexdigest() != facts["keys_sha256"]:
        raise DamagedShard("the keys do not have their hash")
    if path.stat().st_size != start + num_rows * dimension * 4:
        raise DamagedShard(f"has {path.stat().st_size} bytes instead of {start + num_rows * dimension * 4}")
    rows = np.memmap(path, "<f4", "r", offset=start, shape=(num_rows, dimension))
    texts = [keys[at : at + _HASH_BYTES].hex() for at in range(0, len(keys), _HASH_BYTES)]
    return _Shard(path, rows, tuple(facts["block_sha256"]), texts[::2], texts[1::2], facts["blank_rows"])


def _allocate(shape: tuple[int, int], folder: Path) -> NDArray[np.float32]:
    if shape[0] * shape[1] * 4 <= _ANONYMOUS_ABOVE_BYTES or not hasattr(os, "posix_fallocate"):
        return np.empty(shape, np.float32)
    path = folder / f"gathered.{uuid.uuid4().hex}.tmp"
    try:
        with path.open("xb") as file:
            # Asked for now: a disk that is found full in the middle of a map ends the process.
            os.posix_fallocate(file.fileno(), 0, shape[0] * shape[1] * 4)
        return np.memmap(path, np.float32, "r+", shape=shape)
    except OSError as error:
        _log.info("%s: %s features are kept in memory (%s)", folder, shape, error.strerror)
        return np.empty(shape, np.float32)
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)  # the map keeps the bytes until it is gone, however this process ends
