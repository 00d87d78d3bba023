"""A tar of the WebDataset mirror, read as a stream of plain files: nothing is extracted, linked to or believed.

Python's own `tarfile` is made to read whatever other programs wrote: old and new dialects, links, sparse files, sizes
from extended headers. Here one dialect is right, strict ustar, and everything else is a finding.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from cspine_bench.release.checks.json_rows import JsonRows
from cspine_bench.release.checks.row_keys import RowKeys
from cspine_bench.release.checks.rows import RowCheck, ShardTask
from cspine_bench.release.layout import KEY_PATTERN
from cspine_bench.release.rules import Tally

BLOCK: Final = 512
RECORD: Final = 10_240
"""An archive is padded to a multiple of this."""
MAX_MEMBER_BYTES: Final = 256_000_000

_BATCH_ROWS: Final = 500
_BATCH_BYTES: Final = 32_000_000
_MOST_INCOMPLETE: Final = 10_000
_SUFFIXES: Final = ("png", "mask.png", "json")
_MEMBER: Final = re.compile(rf"({KEY_PATTERN.pattern})\.(png|mask\.png|json)")
_ZEROS: Final = bytes(BLOCK)
_OCTAL: Final = re.compile(rb"[0-7]{11}[\0 ]")
_CHECKSUM: Final = re.compile(rb"[0-7]{6}\0 ")
# Of the header's bytes that are the same for every member: mode, owner and group, time, type and all after it.
_OWNER: Final = b"0000644\0" + b"0000000\0" * 2
_TIME: Final = b"00000000000\0"
_TAILS: Final = tuple(
    b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + device * 2 + bytes(167) for device in (b"0000000\0", bytes(8))
)
_FIXED_SUM: Final = {tail: sum(_OWNER + _TIME + b" " * 8 + tail) for tail in _TAILS}
_TYPES: Final = {
    b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"5": "a folder", b"6": "a pipe",
    b"S": "a sparse file", b"K": "a long link name of GNU tar", b"L": "a long name of GNU tar",
    b"x": "an extended header (PAX)", b"g": "an extended header (PAX)", b"X": "an extended header (PAX)",
}  # fmt: skip
_DIALECTS: Final = frozenset((b"K", b"L", b"x", b"g", b"X"))


class TornArchive(Exception):
    """Nothing can be read from here on; the finding is in the tally."""


@dataclass
class _Sample:
    """Members of one key that lie next to each other."""

    key: str
    members: dict[str, bytes] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Member:
    """A plain file of an archive."""

    name: str
    data: bytes


def check_tar(task: ShardTask, tally: Tally) -> tuple[int, RowKeys | None]:
    """Check a tar shard.

    Args:
        task: the shard. At level quick its samples are counted, and nothing is reported.
        tally: takes the findings.

    Returns:
        Samples that it holds, as far as it can be read; and the keys of their rows, None at level quick.
    """
    quick = task.level == "quick"
    samples = _Samples(task, Tally() if quick else tally)
    with (Path(task.root) / task.name).open("rb") as file:
        archive = Archive(file, task.name, Tally() if quick else tally)
        try:
            for member in archive.iter_members(read_data=not quick):
                samples.add(member)
        except TornArchive:
            pass
    if quick:
        return samples.num_json, None
    samples.finish()
    if task.num_rows is not None and task.num_rows != samples.num_samples:
        text = f"it holds {samples.num_samples} samples, provenance/release.json says {task.num_rows}"
        tally.add("TAR-02", task.name, text)
    return samples.num_samples, samples.rows.keys


class Archive:
    """Walks the headers of a tar file, and reports what is not strict ustar (TAR-01, TAR-03, TAR-04, TAR-05)."""

    def __init__(self, file: BinaryIO, where: str, tally: Tally) -> None:
        self._file = file
        self._where = where
        self._tally = tally
        self._size = os.fstat(file.fileno()).st_size
        self._position = 0

    def iter_members(self, *, read_data: bool) -> Iterator[Member]:
        """Plain files in order. Members of another kind are reported and passed over.

        Args:
            read_data: False: jump over the data, members then have none.

        Raises:
            TornArchive: what follows cannot be read.
        """
        while True:
            start = self._position
            header = self._file.read(BLOCK)
            self._position += len(header)
            if header == _ZEROS:
                self._check_end(start)
                return
            if len(header) < BLOCK:
                raise self._tear("TAR-04", f"it ends after {self._size:,} bytes without two blocks of zeros")
            name, size, plain = self._read_header(header, start)
            yield from self._read_member(name, size, plain and read_data, plain)

    def _read_member(self, name: str, size: int, wanted: bool, plain: bool) -> Iterator[Member]:
        padding = -size % BLOCK
        if size > self._size - self._position:
            left = self._size - self._position
            raise self._tear("TAR-04", f"it is cut short: {name!r:.120} has {size:,} bytes, {left:,} are left")
        if not wanted:
            self._file.seek(size + padding, os.SEEK_CUR)
            self._position += size + padding
            if plain:
                yield Member(name, b"")
            return
        data = self._file.read(size + padding)
        self._position += len(data)
        if len(data) != size + padding:
            raise self._tear("TAR-04", f"it is cut short inside {name!r:.120}")
        if padding and any(data[size:]):
            self._tally.add("TAR-04", self._where, f"{name!r:.120}: bytes other than zero fill its last block")
        yield Member(name, data[:size])

    def _read_header(self, header: bytes, start: int) -> tuple[str, int, bool]:
        """Name, size, and whether the member is a plain file with a name that may be read."""
        tail = header[156:]
        said = header[148:156]
        if tail in _FIXED_SUM and header[100:124] == _OWNER and header[136:148] == _TIME:
            total = _FIXED_SUM[tail] + sum(header[:100]) + sum(header[124:136])
            regular = True
        else:
            total = sum(header) - sum(said) + 8 * 32
            regular = False
        if not _CHECKSUM.fullmatch(said) or int(said[:6], 8) != total:
            if not self._is_sum(said, total):
                raise self._tear("TAR-05", f"the header at byte {start:,} is damaged, or this is no tar")
            self._tally.add("TAR-01", self._where, f"the header at byte {start:,} spells its checksum in another way")
        raw_name = header[:100].split(b"\0", 1)[0]
        name = raw_name.decode("utf-8", errors="backslashreplace")
        if any(header[len(raw_name) : 100]):
            self._tally.add("TAR-01", self._where, f"{name!r:.120}: bytes follow the name in its header")
        if not _OCTAL.fullmatch(header[124:136]):
            raise self._tear("TAR-05", f"{name!r:.120}: its size is not spelled in octal digits; plain ustar does")
        size = int(header[124:135], 8)
        if size > MAX_MEMBER_BYTES:
            text = f"{name!r:.120} has {size:,} bytes; at most {MAX_MEMBER_BYTES:,} are allowed"
            raise self._tear("TAR-05", text)
        plain = regular or self._check_kind(header, name)
        return name, size, plain and self._check_name(name)

    def _check_kind(self, header: bytes, name: str) -> bool:
        kind = header[156:157]
        if kind in _TYPES:
            code = "TAR-01" if kind in _DIALECTS else "TAR-05"
            self._tally.add(code, self._where, f"{name!r:.120} is {_TYPES[kind]}; plain files alone are allowed")
            return False
        if kind not in (b"0", b"\0"):
            self._tally.add("TAR-05", self._where, f"{name!r:.120} is of the unknown kind {kind!r}")
            return False
        facts = {
            "magic": header[257:265] != b"ustar\x0000", "kind": kind != b"0", "mode": header[100:108] != _OWNER[:8],
            "owner": header[108:124] != _OWNER[8:], "time": header[136:148] != _TIME,
        }  # fmt: skip
        wrong = [what for what, differs in facts.items() if differs] or ["names of owner, link or device, or prefix"]
        text = f"{name!r:.120}: {', '.join(wrong)} differ from plain ustar of mode 0644, owner 0 and time 0"
        self._tally.add("TAR-01", self._where, text)
        return True

    def _check_name(self, name: str) -> bool:
        if _MEMBER.fullmatch(name):
            return True
        if name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name) or re.match(r"[A-Za-z]:", name):
            self._tally.add("TAR-05", self._where, f"{name!r:.120} leads out of the folder it is unpacked in")
            return False
        key, _, suffix = name.partition(".")
        if KEY_PATTERN.fullmatch(key):
            text = f"{name!r:.120}: there is no member {suffix!r:.60}; {', '.join(_SUFFIXES)} are allowed"
            self._tally.add("TAR-02", self._where, text)
        else:
            text = f"{name!r:.120}: its key is not a sample_id (letters, then digits; no dot, no slash)"
            self._tally.add("TAR-03", self._where, text)
        return False

    def _check_end(self, start: int) -> None:
        expected = start + 2 * BLOCK
        expected += -expected % RECORD
        if expected != self._size:
            text = f"its end is padded to {self._size:,} bytes; {expected:,} are expected"
            self._tally.add("TAR-04", self._where, text)
        # No more than padding is read: an archive of zeros without end is told by its size.
        if any(self._file.read(RECORD)):
            self._tally.add("TAR-04", self._where, f"bytes other than zero follow its end at byte {start:,}")

    def _tear(self, code: str, text: str) -> TornArchive:
        self._tally.add(code, self._where, text)
        return TornArchive()

    @staticmethod
    def _is_sum(said: bytes, total: int) -> bool:
        digits = said.strip(b" \0")
        return re.fullmatch(rb"[0-7]{1,7}", digits) is not None and int(digits, 8) == total


class _Samples:
    """Members into samples, and samples into rows."""

    def __init__(self, task: ShardTask, tally: Tally) -> None:
        self._where = task.name
        self._tally = tally
        self._json = JsonRows(task.name, tally)
        self.rows = RowCheck(task, tally)
        self.num_samples = 0
        self.num_json = 0
        self._current: _Sample | None = None
        self._waiting: list[_Sample] = []
        self._values: list[dict[str, object]] = []
        self._waiting_bytes = 0
        self._incomplete: dict[str, set[str]] = {}

    def add(self, member: Member) -> None:
        """Take the next member."""
        key, _, suffix = member.name.partition(".")
        self.num_json += suffix == "json"
        if self._current is None or self._current.key != key:
            self._close()
            self._current = _Sample(key)
        sample = self._current
        sample.order.append(suffix)
        if suffix in sample.members:
            self._tally.add("TAR-02", self._where, f"{member.name} is there twice", key)
        sample.members[suffix] = member.data

    def finish(self) -> None:
        """Take what is left."""
        self._close()
        self._flush()

    def _close(self) -> None:
        sample, self._current = self._current, None
        if sample is None:
            return
        missing = [suffix for suffix in ("png", "json") if suffix not in sample.members]
        if sample.key in self._incomplete:
            self._tally.add("TAR-02", self._where, f"{sample.key}: its members are not adjacent", sample.key)
        else:
            self.num_samples += 1
            if missing:
                text = f"{sample.key}: {', '.join(missing)} is not next to {', '.join(sample.order[:3])}"
                self._tally.add("TAR-02", self._where, text, sample.key)
        if missing:
            if len(self._incomplete) < _MOST_INCOMPLETE:
                self._incomplete[sample.key] = set(sample.members)
            return
        if sample.order != [suffix for suffix in _SUFFIXES if suffix in sample.members] and len(sample.order) == len(
            sample.members
        ):
            text = f"{sample.key}: its members come as {', '.join(sample.order)}; {', '.join(_SUFFIXES)} is the order"
            self._tally.add("TAR-02", self._where, text, sample.key)
        values = self._json.parse(sample.key, sample.members["json"])
        if values is None:
            return
        if values["sample_id"] != sample.key:
            text = f"{sample.key}: its JSON says sample_id {values['sample_id']!r:.60}"
            self._tally.add("REC-01", self._where, text, sample.key)
        if "mask.png" not in sample.members and values["mask_sha256"] is not None:
            self._tally.add("TAR-02", self._where, f"{sample.key}: its mask.png is missing", sample.key)
        self._waiting.append(sample)
        self._values.append(values)
        self._waiting_bytes += sum(map(len, sample.members.values()))
        if len(self._waiting) >= _BATCH_ROWS or self._waiting_bytes >= _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        batch, kept = self._json.build([sample.key for sample in self._waiting], self._values)
        samples = [self._waiting[index] for index in kept]
        images: list[memoryview | None] = [memoryview(sample.members["png"]) for sample in samples]
        masks = [
            memoryview(data) if (data := sample.members.get("mask.png")) is not None else None for sample in samples
        ]
        self.rows.check(batch, images, masks)
        self._waiting, self._values, self._waiting_bytes = [], [], 0
