"""Foreign files: every rule of `imaging.read`, with the message that its user sees."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cspine_bench.errors import DataError
from cspine_bench.imaging.read import decode_image, read_file

RAMP = (np.arange(12 * 9, dtype=np.uint16).reshape(12, 9) * 607).astype(np.uint16)
RAMP8 = (RAMP >> 8).astype(np.uint8)


def encode(array, image_format="PNG", **options):
    buffer = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def build_png(width, height, *, bits=8, color=0, rows=b""):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
@pytest.mark.parametrize("pixels", [RAMP, RAMP8], ids=["16 bit", "8 bit"])
def test_gray_comes_back_to_the_bit(image_format, pixels):
    found = decode_image(encode(pixels, image_format), where=f"film.{image_format.lower()}")
    assert found.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(found.pixels, pixels)


def test_big_endian_tiff_keeps_16_bits():
    data = encode(Image.frombytes("I;16B", (9, 12), RAMP.astype(">u2").tobytes()), "TIFF")
    np.testing.assert_array_equal(decode_image(data, where="film.tif").pixels, RAMP)


def test_white_is_zero_is_inverted():
    found = decode_image(encode(RAMP, "TIFF", tiffinfo={262: 0}), where="film.tif")
    np.testing.assert_array_equal(found.pixels, 65535 - RAMP)


def test_32_bit_integers_that_fit_become_16():
    found = decode_image(encode(RAMP.astype(np.int32), "TIFF"), where="film.tif")
    assert found.pixels.dtype == np.uint16
    np.testing.assert_array_equal(found.pixels, RAMP)


def test_colour_that_is_gray_becomes_gray_and_real_colour_stays():
    gray = np.stack([RAMP8] * 3, axis=-1)
    np.testing.assert_array_equal(decode_image(encode(gray), where="film.png").pixels, RAMP8)
    colour = gray.copy()
    colour[0, 0] = (255, 0, 0)
    np.testing.assert_array_equal(decode_image(encode(colour), where="film.png").pixels, colour)


def test_opaque_alpha_and_palette_are_expanded():
    opaque = np.dstack([RAMP8, RAMP8, RAMP8, np.full_like(RAMP8, 255)])
    np.testing.assert_array_equal(decode_image(encode(opaque), where="film.png").pixels, RAMP8)
    palette = Image.fromarray(RAMP8).convert("P")
    np.testing.assert_array_equal(decode_image(encode(palette), where="film.png").pixels, RAMP8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF"])
def test_orientation_is_applied(orientation, image_format):
    from PIL import ImageOps

    smooth = np.add.outer(np.arange(16) * 8, np.arange(24) * 4).astype(np.uint8)
    tags = Image.Exif()
    tags[0x0112] = orientation
    data = encode(smooth, image_format, exif=tags)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    where = "film." + {"JPEG": "jpg", "PNG": "png", "TIFF": "tif"}[image_format]
    np.testing.assert_array_equal(decode_image(data, where=where).pixels, np.asarray(expected))


TRANSPARENT = np.dstack([RAMP8, RAMP8, RAMP8, RAMP8])
REFUSED = [
    ("empty", b"", "x.png", "x.png: the file is empty"),
    ("jpeg named png", encode(RAMP8, "JPEG"), "x.png", "holds a JPEG under a PNG's name; rename it to end in .jpg"),
    ("png named tif", encode(RAMP8), "x.TIF", "holds a PNG under a TIFF's name; rename it to end in .png"),
    ("60,000 pixels square", build_png(60_000, 60_000), "x.png", "announces 60000 x 60000 pixels, allowed are"),
    ("12,500 pixels square", build_png(12_500, 12_500), "x.png", "announces 12500 x 12500 pixels, allowed are"),
    ("gif", encode(RAMP8, "GIF"), "x.png", "holds a GIF; PNG, JPEG and TIFF can be read"),
    ("text", b"hello radiograph", "x.png", "begins with the bytes 68 65 6c 6c 6f 20 72 61"),
    ("transparent", encode(TRANSPARENT), "x.png", "has transparent pixels; flatten it"),
    ("1 bit", encode(Image.fromarray(RAMP8 > 99)), "x.png", "has 1 bit per pixel; save it as 8- or 16-bit gray"),
    ("float", encode(RAMP.astype(np.float32), "TIFF"), "x.tif", "has floating-point pixels; save it as"),
    ("32 bits", encode(RAMP.astype(np.int32) + 70_000, "TIFF"), "x.tif", "has values 70000 to 134949; 16 bits hold"),
    ("cmyk", encode(Image.fromarray(RAMP8).convert("CMYK"), "JPEG"), "x.jpg", "has CMYK pixels; save it as"),
    (
        "two pages",
        encode(Image.fromarray(RAMP8), "TIFF", save_all=True, append_images=[Image.fromarray(RAMP8)]),
        "x.tif",
        "holds 2 pages or frames; save the right one",
    ),
    (
        "16-bit colour",
        build_png(2, 1, bits=16, color=2, rows=bytes(13)),
        "x.png",
        "has 16 bits per colour channel; save it as 16-bit gray",
    ),
    ("jpeg cut short", encode(RAMP8, "JPEG")[:-40], "x.jpg", "the JPEG is damaged or cut short"),
    ("tiff cut short", encode(RAMP8, "TIFF")[:60], "x.tif", "the TIFF's header is damaged or cut short"),
]


@pytest.mark.parametrize(
    ("data", "where", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_refused_with_a_message_that_says_what_to_do(data, where, message):
    with pytest.raises(DataError) as caught:
        decode_image(data, where=where)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{where}: ")


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_a_png_cut_anywhere_is_refused(share):
    data = encode(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    with pytest.raises(DataError, match="damaged or cut short"):
        decode_image(data[: int(len(data) * share)], where="x.png")


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, 10_000), value=st.integers(0, 255), kind=st.sampled_from(["PNG", "JPEG", "TIFF"]))
def test_a_changed_byte_gives_pixels_or_a_data_error_and_nothing_else(position, value, kind):
    data = bytearray(encode(RAMP8, kind))
    data[position % len(data)] = value
    try:
        pixels = decode_image(bytes(data), where="x").pixels
    except DataError:
        return
    assert pixels.dtype in (np.uint8, np.uint16)


def test_odd_things_in_the_place_of_a_file(tmp_path):
    (tmp_path / "x.png").mkdir()
    os.symlink("b.png", tmp_path / "a.png")
    os.symlink("a.png", tmp_path / "b.png")
    os.symlink("nowhere.png", tmp_path / "c.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "empty.png").touch()
    for name, message in {
        "x.png": "is a folder, though its name is a file's",
        "a.png": "a symbolic link that leads back to itself",
        "c.png": "no such file",
        "pipe.png": "is no plain file",
        "empty.png": "the file is empty",
    }.items():
        with pytest.raises(DataError, match=message):
            read_file(tmp_path / name)
    (tmp_path / "long.png").write_bytes(bytes(100))
    with pytest.raises(DataError, match="has 100 bytes, allowed are 99"):
        read_file(tmp_path / "long.png", max_bytes=99)
