"""From a stored row to what a model is fed: tensors of fixed types, so that the default collation makes batches.

| field | what | not known |
| --- | --- | --- |
| `image` | float32 (1, height, width), 0..1 of the full scale of 8 or 16 bits | never |
| `mask` | uint8 (height, width), label ids | 255 everywhere |
| `mask_levels` | bool (8,): whether the mask annotates C1 .. C7, T1 | all False |
| `landmarks_xy` | float32 (23, 2), (x, y) px, (0, 0) the centre of the top-left pixel | NaN |
| `curvature` `sex` `disease` `facing` | int64, index into the names of `anatomy.classes` | -1 |
| `age` `cobb_c2_c7_deg` `sva_mm` `cci_percent` `pixel_spacing_mm` | float32 | NaN |
| `sample_id` `split` | text | never |
| `synthetic` | bool | never |
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch

from cspine_bench.anatomy.landmarks import LEVELS
from cspine_bench.imaging.png import decode_png

MASK_UNKNOWN: Final = 255
"""Value of every pixel of a mask that is not there: what a loss is told to ignore."""
CLASS_UNKNOWN: Final = -1

CLASS_FIELDS: Final = ("curvature", "sex", "disease", "facing")
NUMBER_FIELDS: Final = ("age", "cobb_c2_c7_deg", "sva_mm", "cci_percent", "pixel_spacing_mm")
FIELDS: Final = (
    "image", "mask", "mask_levels", "landmarks_xy", *CLASS_FIELDS, *NUMBER_FIELDS, "sample_id", "split", "synthetic",
)  # fmt: skip

_ALSO_READ: Final = {"mask": ("width", "height")}


def list_columns(fields: Sequence[str]) -> tuple[str, ...]:
    """Columns of a dataset that the fields of an item are made from; `sample_id`, which errors name, is among them."""
    columns = ["sample_id"]
    for name in fields:
        columns += [name, *_ALSO_READ.get(name, ())]
    return tuple(dict.fromkeys(columns))


def build_item(row: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """An item from a row as pyarrow or `datasets` (undecoded) gives it.

    Args:
        row: at least the columns `list_columns(fields)`.
        fields: some of `FIELDS`.

    Returns:
        As the table above says, in the order of `fields`.

    Raises:
        DataError: a PNG is damaged; names the sample.
    """
    return {name: _build_field(name, row) for name in fields}


def _build_field(name: str, row: dict[str, Any]) -> Any:
    value = row[name]
    if name == "image":
        pixels = decode_png(value["bytes"], where=f"sample {row['sample_id']}: image")
        return torch.from_numpy(pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max))[None]
    if name == "mask":
        if value is None:
            return torch.full((row["height"], row["width"]), MASK_UNKNOWN, dtype=torch.uint8)
        # A copy: what the decoder gives may be a read-only view.
        return torch.from_numpy(decode_png(value["bytes"], where=f"sample {row['sample_id']}: mask").copy())
    if name == "mask_levels":
        named = (value or "").split(",")
        return torch.tensor([level in named for level in LEVELS])
    if name == "landmarks_xy":
        return torch.tensor(value, dtype=torch.float32)
    if name in CLASS_FIELDS:
        return torch.tensor(CLASS_UNKNOWN if value is None else value, dtype=torch.int64)
    if name in NUMBER_FIELDS:
        return torch.tensor(math.nan if value is None else value, dtype=torch.float32)
    return value
