"""The record of one radiograph: the only place where the fields of a dataset are spelled.

`Record` is a row. From it come the Arrow schema of the Parquet files, the Hugging Face features in their
footer and in the README's YAML, and the JSON Schema. Add a field here, and every file format has it.

Every field is in every row. Missing is null (or NaN inside `landmarks_xy`), never a made-up value.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, get_args

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, field_validator

from cspine_bench.anatomy.classes import CURVATURE_CLASSES, DISEASES, FACINGS, SEXES, Curvature, Disease, Facing, Sex
from cspine_bench.anatomy.landmarks import LEVELS, NUM_LANDMARKS

SCHEMA_VERSION: Final = "1.1.0"
Split = Literal["train", "validation", "test"]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)

DIGITAL_SOURCE_TYPES: Final = {
    "captured": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture",
    "procedural": "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia",
    "trained": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
}
"""IPTC terms for a real film, a procedural phantom and a sample of a trained model. Source: IPTC NewsCodes 2025.1."""

INT64_MAX: Final = 2**63 - 1


@dataclass(frozen=True)
class Column:
    """How a field is stored. `dtype` is an Arrow type name, "image", "class_label" or "points"."""

    dtype: str
    names: tuple[str, ...] = ()


IMAGE = Column("image")
STRING = Column("string")
BOOL = Column("bool")
INT8, INT32, INT64 = Column("int8"), Column("int32"), Column("int64")
FLOAT32, FLOAT64 = Column("float32"), Column("float64")

SampleId = Annotated[str, Field(pattern=r"^[a-z]{2,8}[0-9]{7,12}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
MaskLevels = Annotated[str, Field(pattern=rf"^({'|'.join(LEVELS)})(,({'|'.join(LEVELS)}))*$")]
NonNegative = Annotated[int, Field(ge=0, le=INT64_MAX)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Record(BaseModel):
    """One radiograph: pixels, labels, where it came from, and the hashes that prove it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Identity
    schema_version: Annotated[Literal["1.1.0"], STRING] = SCHEMA_VERSION
    sample_id: Annotated[SampleId, STRING] = Field(
        description="Unique over all splits: letters, then digits; no dot or slash (WebDataset keys end at a dot)."
    )
    split: Annotated[Split, STRING]
    group_id: Annotated[str, Field(min_length=1), STRING] = Field(
        description="Patient or anatomy. A group is never cut by a split."
    )

    # Pixels
    image: Annotated[bytes, IMAGE] = Field(description="PNG, one gray channel of 8 or 16 bits, bone bright.")
    mask: Annotated[bytes | None, IMAGE] = Field(
        description="PNG, 8-bit label ids: 0 background, 1..7 = C1..C7, 8 = T1. Null: not annotated."
    )
    mask_levels: Annotated[MaskLevels | None, STRING] = Field(
        description="Vertebrae that the mask annotates, joined by commas: C3,C4,C5,C6,C7. That another is not in the "
        "mask says nothing of the image. Null where there is no mask."
    )
    width: Annotated[int, Field(ge=1, le=32767), INT32] = Field(description="Columns of the image, px.")
    height: Annotated[int, Field(ge=1, le=32767), INT32] = Field(description="Rows of the image, px.")
    bit_depth: Annotated[Literal[8, 16], INT8]
    pixel_spacing_mm: Annotated[float | None, Field(gt=0, allow_inf_nan=False), FLOAT32] = Field(
        description="Side of a (square) pixel, mm."
    )
    pixel_spacing_plane: Annotated[Literal["patient", "detector", "unknown"] | None, STRING] = Field(
        description="Where that spacing holds: patient = midsagittal plane, so magnification is corrected for."
    )
    facing: Annotated[Facing | None, Column("class_label", FACINGS)] = Field(
        description="Side of the image that the patient faces."
    )

    # Labels
    landmarks_xy: Annotated[tuple[tuple[float, float], ...], Column("points")] = Field(
        description="23 points (x, y), px; (0, 0) is the centre of the top-left pixel; NaN: not labelled."
    )
    label_source: Annotated[Literal["exact", "reader", "conditioned", "measured"] | None, STRING] = Field(
        description="exact: the phantom knows; reader: annotated by people; conditioned: drawn before the image; "
        "measured: annotated by a trained model. Null: no labels."
    )
    curvature: Annotated[Curvature | None, Column("class_label", CURVATURE_CLASSES)]
    cobb_c2_c7_deg: Annotated[Finite | None, FLOAT32] = Field(
        description="C2-C7 Cobb angle from the landmarks, degrees."
    )
    sva_mm: Annotated[Finite | None, FLOAT32] = Field(
        description="C2-C7 sagittal vertical axis from the landmarks, mm."
    )
    cci_percent: Annotated[Finite | None, FLOAT32] = Field(
        description="Cervical curvature index from the landmarks, %."
    )
    disease: Annotated[Disease | None, Column("class_label", DISEASES)]
    sex: Annotated[Sex | None, Column("class_label", SEXES)]
    age: Annotated[int | None, Field(ge=0, le=130), INT32] = Field(description="Years.")
    artefact: Annotated[str | None, STRING] = Field(description="Name of the artefact that was simulated, or null.")
    artefact_strength: Annotated[float | None, Field(ge=0, le=1), FLOAT32]

    # Hashes
    image_sha256: Annotated[Sha256, STRING] = Field(description="Of the PNG bytes in `image`.")
    pixel_sha256: Annotated[Sha256, STRING] = Field(description="Of the decoded pixels; survives a metadata rewrite.")
    mask_sha256: Annotated[Sha256 | None, STRING] = Field(description="Of the PNG bytes in `mask`.")

    # Marking
    synthetic: Annotated[bool, BOOL]
    digital_source_type: Annotated[str, STRING] = Field(description="IPTC URI; the same as inside the PNG.")

    # Origin of a film
    source_kind: Annotated[Literal["phantom", "ddpm", "csxa", "images", "dicom"], STRING]
    source_id: Annotated[str | None, STRING] = Field(description="Name of the film in its source.")
    source_sha256: Annotated[Sha256 | None, STRING] = Field(description="Of the source file's bytes.")
    source_affine: Annotated[tuple[Finite, Finite, Finite, Finite, Finite, Finite] | None, Column("floats")] = Field(
        description="(a, b, c, d, e, f): source pixel (x, y) lies at (a x + b y + c, d x + e y + f) in the image."
    )
    flipped: Annotated[bool | None, BOOL] = Field(description="Mirrored left to right on import.")
    overlays_found: Annotated[str | None, STRING] = Field(
        description="Kinds of overlay met, joined by commas; '' = none."
    )
    overlays_action: Annotated[Literal["mask", "crop", "keep", "refuse"] | None, STRING]

    # Origin of a synthetic image
    run_id: Annotated[str | None, STRING]
    generator: Annotated[str | None, STRING]
    generator_version: Annotated[str | None, STRING]
    generator_parameters: Annotated[str | None, STRING] = Field(
        description="Canonical JSON: with seed and index, remakes it."
    )
    recipe_sha256: Annotated[Sha256 | None, STRING]
    weights_sha256: Annotated[Sha256 | None, STRING]
    seed: Annotated[NonNegative | None, INT64]
    sample_index: Annotated[NonNegative | None, INT64]
    sampler: Annotated[str | None, STRING]
    num_steps: Annotated[int | None, Field(ge=1, le=2**31 - 1), INT32]
    guidance_scale: Annotated[Finite | None, FLOAT32]
    eta: Annotated[Finite | None, FLOAT32]
    batch_size: Annotated[int | None, Field(ge=1, le=2**31 - 1), INT32]
    dtype: Annotated[str | None, STRING]
    device: Annotated[str | None, STRING] = Field(description="Kind of device, for example cpu; never a host's name.")
    condition_kind: Annotated[str | None, STRING]
    condition_sha256: Annotated[Sha256 | None, STRING]

    @field_validator("landmarks_xy")
    @classmethod
    def _all_points_whole(cls, points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        if len(points) != NUM_LANDMARKS:
            raise ValueError(f"landmarks_xy needs {NUM_LANDMARKS} points, got {len(points)}")
        for index, (x, y) in enumerate(points):
            if math.isnan(x) != math.isnan(y) or math.isinf(x) or math.isinf(y):
                raise ValueError(f"landmark {index} is ({x}, {y}); both numbers must be finite, or both NaN")
        return points


COLUMNS: Final[dict[str, Column]] = {
    name: next(item for item in field.metadata if isinstance(item, Column))
    for name, field in Record.model_fields.items()
}

_IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def _arrow_type(column: Column) -> pa.DataType:
    match column.dtype:
        case "image":
            return _IMAGE_TYPE
        case "class_label":
            return pa.int64()
        case "points":
            return pa.list_(pa.list_(pa.float32()))
        case "floats":
            return pa.list_(pa.float64())
        case name:
            return pa.type_for_alias(name)


def _huggingface_feature(column: Column) -> dict[str, Any]:
    # `Sequence` is the one spelling of a list that datasets 2.21 and 5.x both read.
    match column.dtype:
        case "image":
            return {"_type": "Image"}
        case "class_label":
            return {"names": list(column.names), "_type": "ClassLabel"}
        case "points":
            inner = {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "Sequence"}
            return {"feature": inner, "_type": "Sequence"}
        case "floats":
            return {"feature": {"dtype": "float64", "_type": "Value"}, "_type": "Sequence"}
        case name:
            return {"dtype": name, "_type": "Value"}


def _yaml_feature(name: str, column: Column) -> dict[str, Any]:
    match column.dtype:
        case "class_label":
            return {
                "name": name,
                "dtype": {"class_label": {"names": {str(i): label for i, label in enumerate(column.names)}}},
            }
        case "points":
            return {"name": name, "sequence": {"sequence": "float32"}}
        case "floats":
            return {"name": name, "sequence": "float64"}
        case dtype:
            return {"name": name, "dtype": dtype}


def build_arrow_schema() -> pa.Schema:
    """The schema of every Parquet shard, with the Hugging Face features in its metadata."""
    features = {name: _huggingface_feature(column) for name, column in COLUMNS.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}}, separators=(",", ":"))}
    return pa.schema([(name, _arrow_type(column)) for name, column in COLUMNS.items()], metadata=metadata)


def build_card_features() -> list[dict[str, Any]]:
    """The `features:` list of a dataset card's YAML."""
    return [_yaml_feature(name, column) for name, column in COLUMNS.items()]


def build_json_schema() -> dict[str, Any]:
    """JSON Schema of a record's values other than its pixels, as a WebDataset's JSON spells them: labels by name."""
    schema = Record.model_json_schema(mode="serialization")
    for name, column in COLUMNS.items():
        if column.dtype == "image":
            del schema["properties"][name]
    # NaN is no JSON: a point that was not labelled is [null, null] there.
    number_or_null = {"anyOf": [{"type": "number"}, {"type": "null"}]}
    point = {"type": "array", "items": number_or_null, "minItems": 2, "maxItems": 2}
    points = schema["properties"]["landmarks_xy"]
    points |= {"type": "array", "items": point, "minItems": NUM_LANDMARKS, "maxItems": NUM_LANDMARKS}
    # Draft 7 knows no `prefixItems`, and is the draft that every validator reads.
    for array in (choice for field in schema["properties"].values() for choice in field.get("anyOf", ())):
        if "prefixItems" in array:
            array["items"] = array.pop("prefixItems")[0]
    schema["required"] = list(schema["properties"])
    schema["$schema"] = "http://json-schema.org/draft-07/schema#"
    return schema


def build_arrow_table(records: Sequence[Record]) -> pa.Table:
    """Rows as one Arrow table under `build_arrow_schema`."""
    schema = build_arrow_schema()
    rows = [record.__dict__ for record in records]
    return pa.table([_build_array(name, rows, schema.field(name).type) for name in COLUMNS], schema=schema)


def _build_array(name: str, rows: Sequence[dict[str, Any]], arrow_type: pa.DataType) -> pa.Array:
    values = [row[name] for row in rows]
    column = COLUMNS[name]
    match column.dtype:
        case "image":
            suffix = "png" if name == "image" else f"{name}.png"
            paths = [
                None if data is None else f"{row['sample_id']}.{suffix}" for row, data in zip(rows, values, strict=True)
            ]
            missing = pa.array([data is None for data in values])
            return pa.StructArray.from_arrays(
                [pa.array(values, pa.binary()), pa.array(paths, pa.string())], fields=list(arrow_type), mask=missing
            )
        case "class_label":
            index = {label: number for number, label in enumerate(column.names)} | {None: None}
            return pa.array([index[label] for label in values], type=arrow_type)
        case "points":
            points = np.array(values, np.float32).reshape(-1)
            pairs = pa.ListArray.from_arrays(np.arange(points.size // 2 + 1, dtype=np.int32) * 2, pa.array(points))
            return pa.ListArray.from_arrays(np.arange(len(rows) + 1, dtype=np.int32) * NUM_LANDMARKS, pairs)
        case _:
            return pa.array(values, type=arrow_type)


def read_record(row: dict[str, Any]) -> Record:
    """A `Record` from a row as pyarrow or `datasets` (undecoded) gives it.

    Raises:
        pydantic.ValidationError: a field is missing, unknown, of another type or out of its range.
    """
    values = dict(row)
    for name, column in COLUMNS.items():
        value = values.get(name)
        if value is None:
            continue
        if column.dtype == "image":
            values[name] = value["bytes"]
        elif column.dtype == "class_label":
            values[name] = column.names[value] if 0 <= value < len(column.names) else value
        elif column.dtype == "points":
            values[name] = tuple(tuple(point) for point in value)
        elif column.dtype == "floats":
            values[name] = tuple(value)
    return Record.model_validate(values)


def iter_batch_records(batch: pa.RecordBatch, names: Sequence[str]) -> Iterator[Record]:
    """Records from stored rows, fast: the values are taken as they are, not checked again.

    Args:
        batch: at least the columns `names`, as `build_arrow_table` stores them.
        names: fields that the records get; the others are absent from them.
    """
    values = [_list_values(COLUMNS[name], batch.column(name)) for name in names]
    for row in zip(*values, strict=True):
        yield Record.model_construct(None, **dict(zip(names, row, strict=True)))


def _list_values(column: Column, array: pa.Array) -> list[Any]:
    values: list[Any]
    match column.dtype:
        case "image":
            values = array.flatten()[0].to_pylist()
        case "class_label":
            values = [None if value is None else column.names[value] for value in array.to_pylist()]
        case "points":
            values = [tuple(map(tuple, points)) for points in array.to_pylist()]
        case "floats":
            values = [None if numbers is None else tuple(numbers) for numbers in array.to_pylist()]
        case _:
            values = array.to_pylist()
    return values
