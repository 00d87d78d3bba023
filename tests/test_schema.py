"""The record: every file format is derived from it, and comes back as it was."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from cspine_bench.dataset.encode import encode_radiograph
from cspine_bench.dataset.source import Radiograph, SampleKey
from cspine_bench.schema import (
    COLUMNS,
    Record,
    build_arrow_schema,
    build_arrow_table,
    build_card_features,
    build_json_schema,
    iter_batch_records,
    read_record,
)


def _record(index: int, **fields: object) -> Record:
    key = SampleKey(f"ab{index:07d}", "g", "origin")
    image = np.random.default_rng(index).integers(0, 255, (9, 7)).astype(np.uint8)
    landmarks_xy = np.random.default_rng(index).uniform(0, 7, (23, 2)).astype(np.float32)
    landmarks_xy[3] = np.nan
    mask = np.full((9, 7), 2, np.uint8) if index % 2 else None
    levels = {"mask_levels": "C1,C2"} if index % 2 else {}
    return encode_radiograph(
        Radiograph(key, image, mask, landmarks_xy, levels | {"source_kind": "images"} | fields), "train"
    )


def _same(first: Record, second: Record) -> bool:
    return repr(first) == repr(second)  # NaN differs from itself; its text does not.


def test_rows_come_back_from_arrow() -> None:
    records = [
        _record(0),
        _record(1, facing="left", age=40, sex="female", curvature="kyphotic", source_affine=(1, 0, 0, 0, 1, 0.5)),
        _record(2, disease="healthy", pixel_spacing_mm=0.5, flipped=False, seed=2**63 - 1),
    ]
    table = build_arrow_table(records)
    assert table.schema.equals(build_arrow_schema(), check_metadata=True)
    assert table["image"][0].as_py()["path"] == "ab0000000.png"
    assert table["mask"].null_count == 2
    (batch,) = table.to_batches()
    for record, row, fast in zip(records, table.to_pylist(), iter_batch_records(batch, tuple(COLUMNS)), strict=True):
        assert _same(read_record(row), record)
        assert _same(fast, record)


def test_each_format_has_each_field() -> None:
    names = list(Record.model_fields)
    features = json.loads(build_arrow_schema().metadata[b"huggingface"])["info"]["features"]
    assert list(features) == names
    assert [feature["name"] for feature in build_card_features()] == names
    schema = build_json_schema()
    assert list(schema["properties"]) == [name for name in names if name not in {"image", "mask"}] == schema["required"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["landmarks_xy"]["minItems"] == 23


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"landmarks_xy": ((0.0, 0.0),)}, "23 points"),
        ({"landmarks_xy": ((float("nan"), 1.0), *((0.0, 0.0),) * 22)}, "both"),
        ({"sample_id": "a.b"}, "pattern"),
        ({"mask_levels": "C3,T2"}, "pattern"),
        ({"seed": 2**63}, "less than or equal"),
        ({"colour": "red"}, "Extra inputs"),
        ({"cobb_c2_c7_deg": float("nan")}, "finite"),
    ],
)
def test_a_record_refuses(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Record.model_validate(_record(0).model_dump() | change)
