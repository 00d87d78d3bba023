"""The checks on one radiograph of a dataset: do its values, hashes, pixels and labels agree?"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import LANDMARK_NAMES, LEVELS
from cspine_bench.dataset.encode import MARK_OF_KIND, compute_alignment
from cspine_bench.dataset.rules import Issue, report
from cspine_bench.errors import DataError
from cspine_bench.imaging.png import compute_pixel_sha256, decode_png, read_xmp
from cspine_bench.provenance import sha256_bytes
from cspine_bench.schema import DIGITAL_SOURCE_TYPES, Record

_ALIGNMENT_TOLERANCE = 1e-4
"""Relative and absolute: float32 values, computed by another numpy perhaps, differ in their last digits."""


def examine_record(record: Record, where: str) -> Iterator[Issue]:
    """Check one row.

    Args:
        record: the row, valid under the schema.
        where: its file.
    """
    name = record.sample_id
    if sha256_bytes(record.image) != record.image_sha256:
        yield report("image-hash", where, "the image's bytes do not give its image_sha256", name)
    if (None if record.mask is None else sha256_bytes(record.mask)) != record.mask_sha256:
        yield report("mask-hash", where, "the mask's bytes do not give its mask_sha256", name)
    try:
        image = decode_png(record.image, where="image")
    except DataError as error:
        yield report("image-unreadable", where, str(error), name)
    else:
        yield from _examine_image(record, image, where)
    if (record.mask is None) != (record.mask_levels is None):
        there = "no mask" if record.mask is None else "a mask"
        yield report("mask-levels", where, f"there is {there}, and mask_levels is {record.mask_levels}", name)
    if record.mask is not None:
        try:
            mask = decode_png(record.mask, where="mask")
        except DataError as error:
            yield report("mask-unreadable", where, str(error), name)
        else:
            yield from _examine_mask(record, mask, where)
    yield from _examine_landmarks(record, where)
    yield from _examine_mark(record, where)


def _examine_image(record: Record, image: NDArray[Any], where: str) -> Iterator[Issue]:
    if compute_pixel_sha256(image) != record.pixel_sha256:
        yield report("pixel-hash", where, "the decoded pixels do not give pixel_sha256", record.sample_id)
    found = (image.shape[1], image.shape[0], 8 * image.dtype.itemsize)
    said = (record.width, record.height, record.bit_depth)
    if found != said:
        text = f"the row says {said[0]} x {said[1]} px of {said[2]} bits, the PNG {found[0]} x {found[1]} of {found[2]}"
        yield report("image-shape", where, text, record.sample_id)
    if image.min() == image.max():
        yield report("image-blank", where, f"every pixel is {image.flat[0]}", record.sample_id)


def _examine_mask(record: Record, mask: NDArray[Any], where: str) -> Iterator[Issue]:
    if mask.dtype != np.uint8:
        yield report(
            "mask-unreadable", where, f"the mask has {8 * mask.dtype.itemsize} bits; 8 are allowed", record.sample_id
        )
    if mask.shape != (record.height, record.width):
        text = f"the mask has {mask.shape[1]} x {mask.shape[0]} px, the image {record.width} x {record.height}"
        yield report("mask-shape", where, text, record.sample_id)
    if int(mask.max()) > len(LEVELS):
        wrong = ", ".join(str(label) for label in np.unique(mask) if label > len(LEVELS))
        yield report("mask-label", where, f"label {wrong}; 0 to {len(LEVELS)} are allowed", record.sample_id)
    named = set((record.mask_levels or "").split(","))
    unnamed = [LEVELS[label - 1] for label in np.unique(mask) if 0 < label <= len(LEVELS)]
    if unnamed := [level for level in unnamed if level not in named]:
        text = f"the mask holds {', '.join(unnamed)}; mask_levels names {record.mask_levels}"
        yield report("mask-levels", where, text, record.sample_id)


def _examine_landmarks(record: Record, where: str) -> Iterator[Issue]:
    for label, (x, y) in zip(LANDMARK_NAMES, record.landmarks_xy, strict=True):
        # (0, 0) is the centre of the first pixel, so the image reaches half a pixel further on every side.
        inside = -0.5 <= x <= record.width - 0.5 and -0.5 <= y <= record.height - 0.5
        if not inside and not math.isnan(x):
            text = f"{label} is at ({x:.2f}, {y:.2f}), the image has {record.width} x {record.height} px"
            yield report("landmark-outside", where, text, record.sample_id)
    points = np.array(record.landmarks_xy, np.float32)
    expected = compute_alignment(points, facing=record.facing, pixel_spacing_mm=record.pixel_spacing_mm)
    for field, value in expected.items():
        stored = getattr(record, field)
        if (stored is None) != (value is None) or (
            stored is not None
            and value is not None
            and not math.isclose(stored, value, rel_tol=_ALIGNMENT_TOLERANCE, abs_tol=_ALIGNMENT_TOLERANCE)
        ):
            text = f"{field} is {stored}, the landmarks give {value}"
            yield report("alignment-mismatch", where, text, record.sample_id)


def _examine_mark(record: Record, where: str) -> Iterator[Issue]:
    mark = MARK_OF_KIND[record.source_kind]
    if record.synthetic != (mark != "captured") or record.digital_source_type != DIGITAL_SOURCE_TYPES[mark]:
        said = f"synthetic={record.synthetic}, {record.digital_source_type}"
        text = f"a {record.source_kind} image is {mark}; the row says {said}"
        yield report("mark-mismatch", where, text, record.sample_id)
    elif f'"{record.digital_source_type}"' not in (read_xmp(record.image) or ""):
        yield report("mark-mismatch", where, f"the PNG does not say {record.digital_source_type}", record.sample_id)
