"""From a radiograph as a source makes it to the record that is stored."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from cspine_bench.anatomy.alignment import cci_percent, cobb_c2_c7_deg, sva_px
from cspine_bench.anatomy.classes import Facing
from cspine_bench.anatomy.landmarks import LEVELS, MASK_LABELS, NUM_LANDMARKS
from cspine_bench.dataset.source import Radiograph
from cspine_bench.errors import DataError
from cspine_bench.imaging.png import compute_pixel_sha256, encode_mask_png, encode_png
from cspine_bench.provenance import sha256_bytes
from cspine_bench.schema import COLUMNS, DIGITAL_SOURCE_TYPES, Record, Split

MARK_OF_KIND: Final = {
    "phantom": "procedural",
    "ddpm": "trained",
    "csxa": "captured",
    "images": "captured",
    "dicom": "captured",
}
"""Key into `DIGITAL_SOURCE_TYPES` for each `Record.source_kind`."""

FILLED_HERE: Final = frozenset(
    (
        "schema_version",
        "sample_id",
        "split",
        "group_id",
        "image",
        "mask",
        "width",
        "height",
        "bit_depth",
        "landmarks_xy",
    )
    + ("cobb_c2_c7_deg", "sva_mm", "cci_percent", "image_sha256", "pixel_sha256", "mask_sha256")
    + ("synthetic", "digital_source_type")
)
"""Fields of a record that a source leaves to this module."""

_FREE = frozenset(COLUMNS) - FILLED_HERE
_EMPTY = dict.fromkeys(_FREE)


def encode_radiograph(radiograph: Radiograph, split: Split) -> Record:
    """Encode and check one radiograph.

    Args:
        radiograph: as a source made it.
        split: where it belongs.

    Returns:
        The whole record: PNG files, sizes, hashes, mark of origin, and alignment parameters from its landmarks.

    Raises:
        DataError: an array has a wrong type, shape or value, or a field is unknown, missing or out of its range; names
            the sample and the field.
    """
    sample_id = radiograph.key.sample_id
    fields = radiograph.fields
    if unknown := sorted(fields.keys() - _FREE):
        raise DataError(
            f"sample {sample_id} ({radiograph.key.origin}): the source sets {', '.join(unknown)}; "
            f"allowed: {', '.join(sorted(_FREE))}"
        )
    if (kind := fields.get("source_kind")) not in MARK_OF_KIND:
        raise DataError(f"sample {sample_id}: source_kind is {kind!r}; allowed: {', '.join(MARK_OF_KIND)}")
    mark = MARK_OF_KIND[kind]
    _check_arrays(radiograph)
    image = encode_png(
        radiograph.image,
        digital_source_type=DIGITAL_SOURCE_TYPES[mark],
        ai_system=fields.get("generator"),
        ai_system_version=fields.get("generator_version"),
    )
    mask = None if radiograph.mask is None else encode_mask_png(radiograph.mask)
    landmarks_xy = radiograph.landmarks_xy.astype(np.float32)
    values = _EMPTY | fields
    values |= {
        "sample_id": sample_id,
        "split": split,
        "group_id": radiograph.key.group_id,
        "image": image,
        "mask": mask,
        "width": radiograph.image.shape[1],
        "height": radiograph.image.shape[0],
        "bit_depth": 8 * radiograph.image.dtype.itemsize,
        "landmarks_xy": tuple(map(tuple, landmarks_xy.tolist())),
        "image_sha256": sha256_bytes(image),
        "pixel_sha256": compute_pixel_sha256(radiograph.image),
        "mask_sha256": None if mask is None else sha256_bytes(mask),
        "synthetic": mark != "captured",
        "digital_source_type": DIGITAL_SOURCE_TYPES[mark],
    }
    values |= compute_alignment(
        landmarks_xy, facing=fields.get("facing"), pixel_spacing_mm=fields.get("pixel_spacing_mm")
    )
    try:
        return Record.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(
            f"sample {sample_id} ({radiograph.key.origin}): field {where}: {first['msg']}, got {first['input']!r:.80}"
        ) from error


def compute_alignment(
    landmarks_xy: NDArray[np.float32], *, facing: Facing | None, pixel_spacing_mm: float | None
) -> dict[str, float | None]:
    """The three alignment parameters that a record stores.

    Args:
        landmarks_xy: float32 (23, 2), px; NaN = not labelled.
        facing: side that the patient faces; None: unknown, so signs are too, and all three are None.
        pixel_spacing_mm: mm per px of `landmarks_xy`; None: `sva_mm` is None.

    Returns:
        `cobb_c2_c7_deg`, `sva_mm` and `cci_percent`, rounded to float32; None where a landmark it needs is missing.
    """
    if facing is None or np.isnan(landmarks_xy).all():
        return {"cobb_c2_c7_deg": None, "sva_mm": None, "cci_percent": None}
    points = landmarks_xy.astype(np.float64)
    spacing_mm = np.nan if pixel_spacing_mm is None else pixel_spacing_mm
    return {
        "cobb_c2_c7_deg": _stored(cobb_c2_c7_deg(points, facing=facing)),
        "sva_mm": _stored(sva_px(points, facing=facing) * np.float64(np.float32(spacing_mm))),
        "cci_percent": _stored(cci_percent(points, facing=facing)),
    }


def _stored(value: NDArray[np.float64]) -> float | None:
    rounded = float(np.float32(value))
    return rounded if np.isfinite(rounded) else None


def _check_arrays(radiograph: Radiograph) -> None:
    where = f"sample {radiograph.key.sample_id} ({radiograph.key.origin})"
    image, mask, landmarks_xy = radiograph.image, radiograph.mask, radiograph.landmarks_xy
    if image.ndim != 2 or image.size == 0 or image.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{where}: image is {image.dtype} {image.shape}; uint8 or uint16 (height, width) is allowed")
    if landmarks_xy.shape != (NUM_LANDMARKS, 2) or not np.issubdtype(landmarks_xy.dtype, np.floating):
        raise DataError(
            f"{where}: landmarks_xy is {landmarks_xy.dtype} {landmarks_xy.shape}; float ({NUM_LANDMARKS}, 2) is allowed"
        )
    named = (radiograph.fields.get("mask_levels") or "").split(",")
    if (mask is None) == any(named):
        has = "no mask" if mask is None else "a mask"
        raise DataError(f"{where}: {has}, and mask_levels names {', '.join(named) or 'none'}; one needs the other")
    if mask is None:
        return
    if mask.shape != image.shape or mask.dtype != np.uint8:
        raise DataError(
            f"{where}: mask is {mask.dtype} {mask.shape}, the image {image.shape}; uint8 of the same shape is allowed"
        )
    if (highest := int(mask.max())) > len(LEVELS):
        raise DataError(f"{where}: mask holds label {highest}; allowed: 0 (background) to {len(LEVELS)} ({LEVELS[-1]})")
    held = np.bincount(mask.ravel(), minlength=len(LEVELS) + 1)
    if unnamed := [level for level, label in MASK_LABELS.items() if held[label] and level not in named]:
        raise DataError(f"{where}: mask holds {', '.join(unnamed)}, mask_levels names {', '.join(named) or 'none'}")
