"""Reading image files that others made: PNG, JPEG and TIFF, checked before a pixel is decoded.

| met | rule |
| --- | --- |
| gray of 8 or 16 bits | kept as it is, never scaled, never saturated |
| gray of 2 or 4 bits | spread over 0..255 |
| colour of 8 bits per channel | gray where no pixel's channels differ by more than 2 (JPEG: 12); else kept as RGB |
| palette | expanded to colour, then as above |
| alpha | dropped where every pixel is opaque, else refused: nothing says what lies beneath |
| 32-bit integers | 16 bits where every value fits, else refused |
| 1 bit, floating point, CMYK, 16-bit colour | refused: none has a right conversion to gray that needs no choice |
| TIFF "white is zero" | inverted |
| several pages or frames | refused: split them into files of their own |
| EXIF orientation | applied |
| a name that says another format than the content | refused: a lossy file must not pass for a lossless one |
"""

import io
import stat
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from cspine_bench.errors import DataError

MAX_PIXELS: Final = 150_000_000
"""A full 43 x 43 cm detector at 50 um has 74 million pixels; twice that is no radiograph."""

MAX_FILE_BYTES: Final = 1 << 30

IMAGE_SUFFIXES: Final = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
"""Format that each suffix (in lower case) promises."""

_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
_OTHER_SIGNATURES: Final = (
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "ZIP"),
    (b"RIFF", "RIFF"),
)

_GRAY_SPREAD: Final = {"PNG": 2, "TIFF": 2, "JPEG": 12}
_ORIENTATION_TAG: Final = 0x0112
_PHOTOMETRIC_TAG: Final = 262
_BITS_TAG: Final = 258
# Everything that Pillow raises on a broken file.
_DECODE_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
)

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class ForeignImage:
    """Decoded pixels of a foreign file.

    Args:
        pixels: uint8 or uint16 (height, width), or uint8 (height, width, 3) where there is colour.
        format: "PNG", "JPEG" or "TIFF".
    """

    pixels: Pixels
    format: str


def read_file(path: Path, *, where: str | None = None, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """All bytes of a plain file.

    Args:
        path: the file.
        where: its name for messages; None: `path`.
        max_bytes: the most that it may hold.

    Raises:
        DataError: the file is missing, a folder, a loop of links, a device, not readable, empty or over `max_bytes`.
    """
    where = str(path) if where is None else where
    try:
        facts = path.stat()
    except OSError as error:
        raise DataError(f"{where}: {_explain(error)}") from error
    if stat.S_ISDIR(facts.st_mode):
        raise DataError(f"{where}: is a folder, though its name is a file's; rename it or move it away")
    if not stat.S_ISREG(facts.st_mode):
        raise DataError(f"{where}: is no plain file (a pipe, socket or device); remove it from the folder")
    if facts.st_size > max_bytes:
        raise DataError(f"{where}: has {facts.st_size:,} bytes, allowed are {max_bytes:,}; is it a radiograph?")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{where}: {_explain(error)}") from error
    if not data:
        raise DataError(f"{where}: the file is empty; copy it again from where it came")
    return data


def _explain(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file (a dangling link, or removed meanwhile)"
    if isinstance(error, PermissionError):
        return "no permission to read it; change its mode or owner, or run as a user who may"
    if error.errno == 40:  # ELOOP
        return "a symbolic link that leads back to itself; remove the link"
    return f"cannot be read: {error.strerror or error}"


def find_format(data: bytes) -> str | None:
    """Format by the first bytes: "PNG", "JPEG", "TIFF", or None."""
    return next((name for signature, name in _SIGNATURES if data.startswith(signature)), None)


def decode_image(data: bytes, *, where: str, max_pixels: int = MAX_PIXELS) -> ForeignImage:
    """Decode a PNG, JPEG or TIFF under the rules of this module.

    Args:
        data: the file's bytes.
        where: the file's name for messages; its suffix, if it is an image's, must fit the content.
        max_pixels: most pixels that a header may announce.

    Raises:
        DataError: the bytes are no such image, are damaged, too large, or of a kind that the rules refuse.
    """
    image_format = _check_format(data, where)
    if image_format == "PNG":
        _check_png(data, where, max_pixels)
    with warnings.catch_warnings():
        # Pillow warns about odd metadata and large headers; the first is harmless, the second is checked here.
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data), formats=[image_format]) as image:
                _check_header(image, where, max_pixels)
                _check_depth(image, data, image_format, where)
                image.load()
                pixels = _to_array(image, image_format, where)
                orientation = image.getexif().get(_ORIENTATION_TAG, 1)
        except Image.DecompressionBombError as error:
            # Pillow's own limit, met before it tells the size.
            raise DataError(f"{where}: {error}; allowed are {max_pixels:,} pixels in all") from error
        except UnidentifiedImageError as error:
            # Pillow's own words hold a memory address, which must not reach a dataset.
            raise DataError(f"{where}: the {image_format}'s header is damaged or cut short; copy it again") from error
        except _DECODE_ERRORS as error:
            raise DataError(f"{where}: the {image_format} is damaged or cut short ({error}); copy it again") from error
    return ForeignImage(pixels=_orient(pixels, orientation).copy(), format=image_format)


def _check_format(data: bytes, where: str) -> str:
    if not data:
        raise DataError(f"{where}: the file is empty; copy it again from where it came")
    found = find_format(data)
    if found is None:
        other = next((name for signature, name in _OTHER_SIGNATURES if data.startswith(signature)), None)
        content = f"holds a {other}" if other else f"begins with the bytes {data[:8].hex(' ')}"
        raise DataError(f"{where}: {content}; PNG, JPEG and TIFF can be read")
    suffix = PurePosixPath(where).suffix.lower()
    promised = IMAGE_SUFFIXES.get(suffix)
    if promised is not None and promised != found:
        right = next(key for key, value in IMAGE_SUFFIXES.items() if value == found)
        raise DataError(f"{where}: holds a {found} under a {promised}'s name; rename it to end in {right}")
    return found


def _check_png(data: bytes, where: str, max_pixels: int) -> None:
    """Size and wholeness, without Pillow: it accepts a PNG without its end, whose last rows may be missing."""
    if len(data) >= 24:
        _check_size(*struct.unpack_from(">II", data, 16), where=where, max_pixels=max_pixels)
    position = 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        if data[position + 4 : position + 8] == b"IEND":
            return
        position += 12 + length
    raise DataError(f"{where}: the PNG is damaged or cut short (no end mark after {len(data):,} bytes); copy it again")


def _check_size(width: int, height: int, *, where: str, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise DataError(f"{where}: the header announces {width} x {height} pixels, allowed are {max_pixels:,} in all")


def _check_header(image: Image.Image, where: str, max_pixels: int) -> None:
    _check_size(*image.size, where=where, max_pixels=max_pixels)
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise DataError(f"{where}: holds {frames} pages or frames; save the right one as a file of its own")


def _check_depth(image: Image.Image, data: bytes, image_format: str, where: str) -> None:
    """Refuse what Pillow would cut down to 8 bits without a word."""
    bits = 8
    if image_format == "PNG":
        bits = data[24] if image.mode not in ("I;16", "I") else 8
    elif image_format == "TIFF" and image.mode in ("RGB", "RGBA", "RGBX", "LA", "CMYK"):
        bits = max(image.tag_v2.get(_BITS_TAG, (8,)))  # type: ignore[attr-defined]
    if bits > 8:
        raise DataError(
            f"{where}: has {bits} bits per colour channel; save it as 16-bit gray, so that no depth is lost"
        )


def _to_array(image: Image.Image, image_format: str, where: str) -> Pixels:
    mode = image.mode
    if mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif "transparency" in image.info:
        image = image.convert("LA" if mode == "L" else "RGBA") if mode in ("L", "RGB") else image
    array: NDArray[Any] = np.asarray(image)
    if image.mode in ("LA", "RGBA"):
        if array[..., -1].min() < 255:
            raise DataError(f"{where}: has transparent pixels; flatten it onto the right background first")
        array = array[..., 0] if image.mode == "LA" else array[..., :3]
    elif mode == "I":
        if array.min() < 0 or array.max() > 65535:
            raise DataError(f"{where}: has values {array.min()} to {array.max()}; 16 bits hold 0 to 65535")
        array = array.astype(np.uint16)
    elif mode.startswith("I;16"):
        array = array.astype(np.uint16)
        if (array == image.info.get("transparency", -1)).any():
            raise DataError(f"{where}: has transparent pixels; flatten it onto the right background first")
        if image_format == "TIFF" and image.tag_v2.get(_PHOTOMETRIC_TAG) == 0:  # type: ignore[attr-defined]
            array = 65535 - array
    elif image.mode not in ("L", "RGB"):
        kind = {"1": "1 bit per pixel", "F": "floating-point pixels"}.get(mode, f"{mode} pixels")
        raise DataError(f"{where}: has {kind}; save it as 8- or 16-bit gray")
    if array.ndim == 3 and _is_gray(array, _GRAY_SPREAD[image_format]):
        array = array[..., 1]
    return array


def _is_gray(rgb: NDArray[np.uint8], spread: int) -> bool:
    red, green, blue = (rgb[..., channel].astype(np.int16) for channel in range(3))
    return bool(max(np.abs(red - green).max(), np.abs(green - blue).max(), np.abs(red - blue).max()) <= spread)


def _orient(pixels: Pixels, orientation: Any) -> Pixels:
    """Turn and mirror as the EXIF tag says. Source: EXIF 2.32, tag 0x0112."""
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1] if orientation in (2, 3) else pixels
    if orientation in (3, 4):
        pixels = pixels[::-1]
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
        pixels = pixels[:, ::-1] if orientation in (6, 7) else pixels
        pixels = pixels[::-1] if orientation in (7, 8) else pixels
    return pixels
