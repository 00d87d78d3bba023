"""PNG files: right by another decoder, the same bytes each time, every fault named."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from cspine_bench.errors import DataError
from cspine_bench.imaging.png import compute_pixel_sha256, decode_png, encode_mask_png, encode_png, read_xmp
from cspine_bench.schema import DIGITAL_SOURCE_TYPES

_SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=20)


@given(st.sampled_from([np.uint8, np.uint16]).flatmap(lambda dtype: arrays(dtype, _SHAPES)))
def test_pillow_reads_back_what_was_encoded(pixels: np.ndarray) -> None:
    data = encode_png(pixels)
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(np.array(image), pixels)
    decoded = decode_png(data, where="it")
    assert decoded.dtype == pixels.dtype
    assert np.array_equal(decoded, pixels)


@given(arrays(np.uint8, _SHAPES))
def test_mask_comes_back(mask: np.ndarray) -> None:
    assert np.array_equal(decode_png(encode_mask_png(mask), where="it"), mask)


def test_mark_stands_in_front_of_the_pixels_and_changes_none() -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    uri = DIGITAL_SOURCE_TYPES["trained"]
    data = encode_png(pixels, digital_source_type=uri, ai_system='a "b" <c>', ai_system_version="1")
    assert data == encode_png(pixels, digital_source_type=uri, ai_system='a "b" <c>', ai_system_version="1")
    assert data.index(b"iTXt") < data.index(b"IDAT")
    with Image.open(io.BytesIO(data)) as image:
        xmp = image.text["XML:com.adobe.xmp"]
        assert np.array_equal(np.array(image), pixels)
    assert read_xmp(data) == xmp
    assert f'DigitalSourceType="{uri}"' in xmp
    assert "&lt;c&gt;" in xmp
    assert read_xmp(encode_png(pixels)) is None


def test_pixel_hash_covers_type_and_shape() -> None:
    pixels = np.zeros((2, 8), np.uint8)
    others = (pixels.reshape(4, 4), np.zeros((2, 4), np.uint16), np.zeros((1, 8), np.uint16))
    assert len({compute_pixel_sha256(array) for array in (pixels, *others)}) == 4
    assert compute_pixel_sha256(pixels.astype(">u2")) == compute_pixel_sha256(pixels.astype("<u2"))


def _header(width: int, height: int, bits: int = 8, color: int = 0) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a PNG file"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "not a PNG file"),
        (encode_png(np.ones((30, 30), np.uint8))[:60], "damaged PNG"),
        (_header(60_000, 60_000), "60000 x 60000"),
        (_header(0, 5), "0 x 5"),
        (_header(4, 4, color=2), "colour type 2"),
        (_header(4, 4, bits=1), "with 1 bits"),
    ],
)
def test_faults_are_named(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode_png(data, where="film 7")


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 2), np.float32), np.zeros((2, 2, 3), np.uint8), np.zeros((0, 2), np.uint8)]
)
def test_only_gray_arrays_are_encoded(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="gray image"):
        encode_png(pixels)


def test_a_named_generator_needs_a_source_type() -> None:
    with pytest.raises(ValueError, match="digital_source_type"):
        encode_png(np.zeros((2, 2), np.uint8), ai_system="x")
