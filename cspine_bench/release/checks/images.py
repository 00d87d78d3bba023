"""Images and masks of a release: is each PNG whole, what its row says, and free of anything else?

The bytes are looked at where they lie, in Arrow's or the archive's own memory; nothing is copied but what is decoded.
"""

import functools
import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from zlib_ng import zlib_ng

from cspine_bench.anatomy.landmarks import LEVELS
from cspine_bench.errors import DataError
from cspine_bench.imaging.png import compute_pixel_sha256, decode_png, encode_png
from cspine_bench.release.checks.row_keys import Hashes, join_starts
from cspine_bench.release.rules import Level, Tally

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_XMP_START: Final = b"XML:com.adobe.xmp\0"
_ALLOWED: Final = "only IHDR, one XMP packet in iTXt, pHYs, caBX, IDAT and IEND are allowed"
_END: Final = b"\0\0\0\0IEND\xaeB`\x82"
_UNPACK_CHUNK = struct.Struct(">I4s").unpack_from
_UNPACK_CRC = struct.Struct(">I").unpack_from
_UNPACK_HEADER = struct.Struct(">IIBBBBB").unpack_from


_EMPTY_DATA: Final = bytes(4) + b"IDAT" + zlib_ng.crc32(b"IDAT").to_bytes(4, "big")


class BrokenPng(Exception):
    """The bytes are no sound PNG, or hold a chunk that has no place in a release."""


@dataclass(frozen=True, slots=True)
class PngHead:
    """What a PNG says of itself. `xmp` is the body of its iTXt chunk, None where there is none."""

    width: int
    height: int
    bit_depth: int
    color_type: int
    plain: bool
    xmp: bytes | None


@dataclass(frozen=True)
class ImageColumns:
    """What the checks of images need of the rows: one entry for each, None where the column is null."""

    sample_id: Sequence[str]
    width: Sequence[int | None]
    height: Sequence[int | None]
    bit_depth: Sequence[int | None]
    image_sha256: Sequence[str | None]
    pixel_sha256: Sequence[str | None]
    mask_sha256: Sequence[str | None]
    mask_levels: Sequence[str | None]
    digital_source_type: Sequence[str | None]
    generator: Sequence[str | None]
    generator_version: Sequence[str | None]


def read_png_head(data: memoryview) -> PngHead:
    """Walk the chunks of a PNG: order, kinds, checksums, and an end where the bytes end.

    Args:
        data: the whole file.

    Raises:
        BrokenPng: anything is wrong; says what and where.
    """
    size = len(data)
    if size < 57 or bytes(data[:8]) != _SIGNATURE:
        raise BrokenPng(f"no PNG file ({size} bytes)")
    position, head = 8, (0,) * 7
    kinds: list[bytes] = []
    xmp: bytes | None = None
    while True:
        if position + 12 > size:
            raise BrokenPng(f"it is cut short after {size} bytes")
        length, kind = _UNPACK_CHUNK(data, position)
        end = position + 8 + length
        if end + 4 > size:
            raise BrokenPng(f"chunk {_spell(kind)} at byte {position} reaches beyond the end")
        if zlib_ng.crc32(data[position + 4 : end]) != _UNPACK_CRC(data, end)[0]:
            raise BrokenPng(f"chunk {_spell(kind)} at byte {position} has a wrong checksum")
        if (kind == b"IHDR") != (position == 8) or (kind == b"IHDR" and length != 13):
            raise BrokenPng("IHDR is not its first chunk, or not of 13 bytes")
        if kind == b"IHDR":
            head = _UNPACK_HEADER(data, position + 8)
        elif kind == b"iTXt" and xmp is None and bytes(data[position + 8 : position + 26]) == _XMP_START:
            xmp = bytes(data[position + 8 : end])
        elif kind not in (b"IDAT", b"IEND", b"caBX", b"pHYs") or (kind != b"IDAT" and kind in kinds):
            raise BrokenPng(f"chunk {_spell(kind)} at byte {position}: {_ALLOWED}")
        elif (kind == b"pHYs" and length != 9) or (kind == b"IEND" and length != 0):
            raise BrokenPng(f"chunk {_spell(kind)} at byte {position} has {length} bytes")
        elif kind == b"IDAT" and b"IDAT" in kinds and kinds[-1] != b"IDAT":
            raise BrokenPng("its IDAT chunks are not adjacent")
        elif kind != b"IDAT" and kind != b"IEND" and b"IDAT" in kinds:
            raise BrokenPng(f"chunk {_spell(kind)} comes after the pixels")
        position = end + 4
        if kind == b"IEND":
            break
        if kinds[-1:] != [kind]:
            kinds.append(kind)
    if b"IDAT" not in kinds:
        raise BrokenPng("it holds no pixels")
    if position != size:
        raise BrokenPng(f"{size - position} bytes follow its end")
    width, height, bit_depth, color_type, *coding = head
    return PngHead(width, height, bit_depth, color_type, plain=coding == [0, 0, 0], xmp=xmp)


def read_own_head(data: memoryview, mark: bytes) -> PngHead | None:
    """As `read_png_head`, quicker, of a file as `encode_png` writes it: IHDR, this mark, one IDAT, IEND.

    Args:
        data: the whole file.
        mark: chunks between IHDR and IDAT, b"" for none.

    Returns:
        None for any other file, sound or not.
    """
    start, size = 33 + len(mark), len(data)
    if size < start + 24 or bytes(data[33:start]) != mark or bytes(data[-12:]) != _END:
        return None
    length, kind = _UNPACK_CHUNK(data, start)
    if kind != b"IDAT" or start + length + 24 != size:
        return None
    if zlib_ng.crc32(data[start + 4 : -16]) != _UNPACK_CRC(data, size - 16)[0]:
        return None
    return _read_start(bytes(data[:33]), mark)


@functools.lru_cache(maxsize=1024)
def _read_start(start: bytes, mark: bytes) -> PngHead | None:
    """Of a file that begins so: the same for all images of one size and origin."""
    try:
        return read_png_head(memoryview(start + mark + _EMPTY_DATA + _END))
    except BrokenPng:
        return None


@functools.lru_cache(maxsize=1024)
def expect_mark(digital_source_type: str, generator: str | None, version: str | None) -> bytes:
    """The iTXt chunk that an image of this origin carries."""
    marked = encode_png(
        np.zeros((1, 1), np.uint8),
        digital_source_type=digital_source_type,
        ai_system=generator,
        ai_system_version=version,
    )
    return marked[33 : marked.index(b"IDAT") - 4]


class ImageCheck:
    """Checks images and masks of a shard's rows, and keeps the hashes of what it saw."""

    def __init__(self, where: str, level: Level, tally: Tally) -> None:
        self._where = where
        self._full = level == "full"
        self._tally = tally

    def check(
        self, rows: ImageColumns, images: Sequence[memoryview | None], masks: Sequence[memoryview | None]
    ) -> tuple[Hashes, Hashes, Hashes]:
        """Look at each image and mask.

        Args:
            rows: their rows.
            images: PNG bytes; None: there is none, which another rule reports.
            masks: the same.

        Returns:
            Hashes of images, masks and pixels for `RowKeys`. Pixels are those that were decoded at level full, and
            those that the row names below it.
        """
        digests: list[tuple[bytes | None, bytes | None, bytes | None]] = []
        for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
            own, pixels = self._check_image(rows, index, image)
            digests.append((own, self._check_mask(rows, index, mask), pixels))
        columns = list(zip(*digests, strict=True)) if digests else [(), (), ()]
        return join_starts(columns[0]), join_starts(columns[1]), join_starts(columns[2])

    def _check_image(self, rows: ImageColumns, index: int, image: memoryview | None) -> tuple[bytes | None, bytes]:
        said = rows.pixel_sha256[index]
        pixels = _read_digest(said)
        if image is None:
            return None, pixels
        digest = hashlib.sha256(image)
        if digest.hexdigest() != rows.image_sha256[index]:
            self._add("PNG-02", rows, index, "the image's bytes do not give its image_sha256")
        term = rows.digital_source_type[index]
        mark = b"" if term is None else expect_mark(term, rows.generator[index], rows.generator_version[index])
        head = read_own_head(image, mark)
        try:
            head = head or read_png_head(image)
        except BrokenPng as error:
            self._add("PNG-01", rows, index, f"image: {error}")
            return digest.digest(), pixels
        sound = self._check_head(rows, index, head)
        if head.xmp != mark[8:-4]:
            self._report_mark(rows, index, head, term)
        decoded = self._decode(rows, index, "image", image) if self._full and sound else None
        if decoded is not None:
            found = compute_pixel_sha256(decoded)
            pixels = _read_digest(found)
            if found != said:
                self._add("PNG-08", rows, index, "the decoded pixels do not give pixel_sha256")
            if decoded.min() == decoded.max():
                self._add("PNG-05", rows, index, f"every pixel is {decoded.flat[0]}")
        return digest.digest(), pixels

    def _check_head(self, rows: ImageColumns, index: int, head: PngHead) -> bool:
        row = (rows.width[index], rows.height[index], rows.bit_depth[index])
        if head.color_type != 0 or not head.plain:
            text = f"the image has colour type {head.color_type}; one gray channel, not interlaced, is allowed"
        elif (head.width, head.height, head.bit_depth) != row:
            text = (
                f"the row says {row[0]} x {row[1]} px of {row[2]} bits, "
                f"the PNG {head.width} x {head.height} of {head.bit_depth}"
            )
        else:
            return True
        self._add("PNG-03", rows, index, text)
        return False

    def _report_mark(self, rows: ImageColumns, index: int, head: PngHead, term: str | None) -> None:
        if head.xmp is None:
            text = "the PNG carries no XMP mark in front of its pixels"
        elif f'DigitalSourceType="{term}"'.encode() not in head.xmp:
            text = f"the mark inside the PNG does not say {term}"
        else:
            text = "the mark inside the PNG names another generator than the row, or says more"
        self._add("PNG-04", rows, index, text)

    def _check_mask(self, rows: ImageColumns, index: int, mask: memoryview | None) -> bytes | None:
        levels = rows.mask_levels[index]
        if self._full and (mask is None) != (levels is None):
            there = "no mask" if mask is None else "a mask"
            self._add("LAB-02", rows, index, f"there is {there}, and mask_levels is {levels}")
        if mask is None:
            if rows.mask_sha256[index] is not None:
                self._add("PNG-02", rows, index, "there is no mask, and mask_sha256 names one")
            return None
        digest = hashlib.sha256(mask)
        if digest.hexdigest() != rows.mask_sha256[index]:
            self._add("PNG-02", rows, index, "the mask's bytes do not give its mask_sha256")
        own = digest.digest()
        try:
            head = read_own_head(mask, b"") or read_png_head(mask)
        except BrokenPng as error:
            self._add("PNG-01", rows, index, f"mask: {error}")
            return own
        if (head.color_type, head.bit_depth) != (0, 8) or not head.plain:
            text = f"the mask has colour type {head.color_type} and {head.bit_depth} bits; gray of 8 bits is allowed"
            self._add("PNG-03", rows, index, text)
        elif head.xmp is not None:
            self._add("PNG-01", rows, index, "mask: it carries an XMP packet; masks carry none")
        elif self._full:
            self._check_labels(rows, index, head, mask)
        return own

    def _check_labels(self, rows: ImageColumns, index: int, head: PngHead, mask: memoryview) -> None:
        size = (rows.width[index], rows.height[index])
        if (head.width, head.height) != size:
            text = f"the mask has {head.width} x {head.height} px, the image {size[0]} x {size[1]}"
            self._add("LAB-02", rows, index, text)
            return
        labels = self._decode(rows, index, "mask", mask)
        if labels is None:
            return
        if (highest := int(labels.max())) > len(LEVELS):
            self._add("LAB-02", rows, index, f"the mask holds label {highest}; 0 to {len(LEVELS)} are allowed")
            return
        held = int(np.bitwise_or.reduce(np.left_shift(np.uint16(1), labels.ravel(), dtype=np.uint16)))
        named = (rows.mask_levels[index] or "").split(",")
        if unnamed := [level for label, level in enumerate(LEVELS, 1) if held >> label & 1 and level not in named]:
            text = f"the mask holds {', '.join(unnamed)}; mask_levels names {rows.mask_levels[index]}"
            self._add("LAB-02", rows, index, text)

    def _decode(self, rows: ImageColumns, index: int, what: str, data: memoryview) -> NDArray[Any] | None:
        try:
            return decode_png(bytes(data), where=what)
        except DataError as error:
            self._add("PNG-01", rows, index, str(error))
            return None

    def _add(self, code: str, rows: ImageColumns, index: int, text: str) -> None:
        self._tally.add(code, self._where, f"{rows.sample_id[index]}: {text}", rows.sample_id[index])


def _read_digest(digest: str | None) -> bytes:
    """The bytes of hexadecimal text; of anything else, bytes that no digest starts with."""
    try:
        return bytes.fromhex(digest or "").ljust(8, b"\0")
    except ValueError:
        return bytes(8)


def _spell(kind: bytes) -> str:
    return kind.decode("ascii", errors="backslashreplace")
