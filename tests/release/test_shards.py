"""Checks on the contents of shards: a broken release or more for each rule, and properties of the checks."""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from broken import Broken, copy_release, reseal
from broken_shards import CASES
from pydantic import ValidationError
from shard_edits import TRAIN, edit_rows

from cspine_bench.release.checks import record_values
from cspine_bench.release.checks.compare import compare_shards, compare_with_mirror
from cspine_bench.release.checks.metadata_table import check_metadata_table
from cspine_bench.release.checks.parquet_footer import read_row_groups
from cspine_bench.release.checks.private_text import FREE_TEXT, find_private_text
from cspine_bench.release.checks.record_values import CONSTRAINTS, find_value_faults
from cspine_bench.release.checks.row_keys import VALUE_COLUMNS, hash_rows
from cspine_bench.release.checks.shards import ShardReport, ShardTask, check_shard
from cspine_bench.release.rules import RULES, Finding, Level, Tally
from cspine_bench.release.validate import validate_release
from cspine_bench.schema import COLUMNS, Record, build_arrow_schema, read_record

ALONE = [broken for code, cases in CASES.items() for broken in cases if code != "SUM-04"]
COMPARED = ("REC-03", "REC-06", "REC-07", "PNG-06", "PNG-07")


def check_one(folder: Path, name: str, level: Level = "standard") -> ShardReport:
    split = Path(name).name.split("-")[0]
    return check_shard(ShardTask(str(folder), name, split, level, run_ids=frozenset()))


def check_all(folder: Path, level: Level = "standard") -> list[ShardReport]:
    return [check_one(folder, f"data/{path.name}", level) for path in sorted((folder / "data").iterdir())]


def find_faults(folder: Path, broken: Broken) -> list[Finding]:
    """What the checks on shards say, without those on papers: of all shards only where they are compared."""
    if broken.code in COMPARED:
        return compare_shards(check_all(folder))
    if not broken.where.startswith("metadata/"):
        return list(check_one(folder, broken.where, broken.level).findings)
    tally = Tally()
    own = [report for report in check_all(folder) if f"/{report.split}." in broken.where]
    check_metadata_table(folder, own[0].split, own, tally)
    return tally.findings()


@pytest.mark.parametrize("broken", ALONE, ids=lambda broken: f"{broken.code}-{broken.message[:30]}")
def test_each_rule_sees_its_fault(broken: Broken, release: Path, mirror: Path, tmp_path: Path) -> None:
    folder = copy_release(mirror if broken.mirror else release, tmp_path / "rel")
    broken.change(folder)
    finding = next(
        item for item in find_faults(folder, broken) if (item.code, item.where) == (broken.code, broken.where)
    )
    assert broken.message in finding.message
    assert finding.count >= 1
    assert broken.level == RULES[broken.code].level or broken.code == "PQ-05"


@pytest.mark.parametrize("broken", CASES["SUM-04"], ids=lambda broken: broken.message[:30])
def test_a_release_and_its_mirror_part_ways(broken: Broken, release: Path, mirror: Path, tmp_path: Path) -> None:
    folder = copy_release(mirror, tmp_path / "rel-wds")
    broken.change(folder)
    findings = compare_with_mirror(check_all(release), check_all(folder))
    assert [(finding.code, finding.where) for finding in findings] == [("SUM-04", broken.where)]
    assert broken.message in findings[0].message


@pytest.mark.parametrize("level", ["quick", "standard", "full"])
def test_sound_shards_yield_nothing(level: Level, release: Path, mirror: Path) -> None:
    ours, theirs = check_all(release, level), check_all(mirror, level)
    assert [report.findings for report in ours + theirs] == [()] * len(ours + theirs)
    assert [report.num_rows for report in ours] == [report.num_rows for report in theirs]
    assert compare_shards(ours) == compare_shards(theirs) == compare_with_mirror(ours, theirs) == []
    if level != "quick":
        assert all(np.array_equal(one.rows.values, two.rows.values) for one, two in zip(ours, theirs, strict=True))


def test_a_fault_in_a_shard_is_a_fault_of_the_release(release: Path, mirror: Path, tmp_path: Path) -> None:
    folder = copy_release(release, tmp_path / "rel")
    copy_release(mirror, tmp_path / "rel-wds")

    def change(rows: list[dict[str, Any]]) -> None:
        rows[0] |= {"age": 999, "source_id": "DOE^JANE", "group_id": "x"}
        rows[1] |= {"sample_id": rows[0]["sample_id"], "image_sha256": "0" * 64}

    edit_rows(change)(folder)
    reseal(folder)
    found = {finding.code: finding for finding in validate_release(folder).findings}
    assert {"REC-01", "PRIV-02", "REC-03", "PNG-02", "PQ-06", "SUM-04"} <= found.keys()
    assert found["PQ-06"].where == "metadata/train.parquet"
    assert found["REC-01"].sample_ids[0] == found["PRIV-02"].sample_ids[0]


def test_a_finding_counts_all_and_names_ten(release: Path, tmp_path: Path) -> None:
    folder = copy_release(release, tmp_path / "rel")
    edit_rows(lambda rows: [row.update(age=131, device="a@b.org") for row in rows])(folder)
    report = check_one(folder, TRAIN)
    assert {(item.code, item.count, len(item.sample_ids)) for item in report.findings} == {
        ("REC-01", report.num_rows, 10),
        ("PRIV-02", report.num_rows, 10),
    }


# Values of each Arrow type that break some field, and some that break none.
_TEXTS = [
    None,
    "",
    "x",
    "C1",
    "C1,T1",
    "C9",
    "train",
    "a" * 64,
    "A" * 64,
    "f" * 63,
    "toy12345678\n",
    "ab1234567",
    "phantom",
    "é",
    "1.1.0",
    "exact",
    "patient",
    "keep",
]
_NUMBERS = [
    None,
    -(2**31),
    -1,
    0,
    1,
    2,
    4,
    5,
    8,
    9,
    16,
    17,
    127,
    130,
    131,
    32767,
    32768,
    2**31 - 1,
    2**63 - 1,
    -(2**63),
]
_FRACTIONS = [None, -math.inf, -1.0, -1e-30, -0.0, 0.0, 1e-30, 0.5, 1.0, 1.0000001, 3e38, math.inf, math.nan]
_AFFINES = [
    None,
    [],
    [1.0] * 5,
    [1.0] * 6,
    [1.0] * 7,
    [1.0] * 5 + [math.nan],
    [1.0] * 5 + [math.inf],
    [1.0] * 5 + [None],
]
_POINTS = [
    None,
    [],
    [[1.0, 1.0]] * 22,
    [[1.0, 1.0]] * 23,
    [[1.0, 1.0]] * 24,
    [[1.0]] * 23,
    [[1.0, 1.0]] * 22 + [[1.0] * 3],
    [[1.0, 1.0]] * 22 + [None],
    [[1.0, 1.0]] * 22 + [[1.0, None]],
    [[math.nan, math.nan]] * 23,
]


def draw_value(name: str, draw: random.Random) -> Any:
    match COLUMNS[name].dtype:
        case "string":
            return draw.choice(_TEXTS)
        case "bool":
            return draw.choice([None, True, False])
        case "points":
            return draw.choice(_POINTS)
        case "floats":
            return draw.choice(_AFFINES)
        case "float32" | "float64":
            return draw.choice(_FRACTIONS)
        case dtype:
            bits = {"int8": 8, "int32": 32}.get(dtype, 64)
            return draw.choice(
                [item for item in _NUMBERS if item is None or -(2 ** (bits - 1)) <= item < 2 ** (bits - 1)]
            )


def is_allowed(row: dict[str, Any]) -> bool:
    try:
        read_record(row)
    except (ValidationError, TypeError):
        return False
    return True


def test_columns_are_judged_as_the_record_judges_them(release: Path) -> None:
    draw = random.Random(0)
    sound = pq.read_table(release / TRAIN).slice(0, 1).to_pylist()[0]
    trials = [(name, draw_value(name, draw)) for name in VALUE_COLUMNS for _ in range(40)]
    table = pa.Table.from_pylist([sound | {name: value} for name, value in trials], schema=build_arrow_schema())
    faulty = np.zeros(len(trials), np.bool_)
    for name in VALUE_COLUMNS:
        for bad, _ in find_value_faults(name, table[name].combine_chunks()):
            assert not (faulty & bad).any(), f"{name}: a row is at fault twice"
            faulty |= bad
    expected = [not is_allowed(row) for row in table.to_pylist()]
    assert 0.2 < sum(expected) / len(expected) < 0.8
    assert [trial for trial, one, two in zip(trials, faulty, expected, strict=True) if one != two] == []


def test_every_field_is_constrained_as_the_record_says() -> None:
    assert list(CONSTRAINTS) == list(Record.model_fields)
    nullable = {name for name, item in CONSTRAINTS.items() if item.nullable}
    assert nullable == {
        name for name, field in Record.model_fields.items() if type(None) in getattr(field.annotation, "__args__", ())
    }


@pytest.mark.parametrize("schema", [{"type": "int", "multiple_of": 3}, {"type": "date"}, {"type": "function-after"}])
def test_a_constraint_that_no_check_knows_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"field age of Record .* no check of a release enforces yet"):
        record_values._read_constraint("age", schema)


PRIVATE = {
    "source_id": [
        "DOE^JANE^^",
        "MRN: 00123",
        "4711815123",
        "078-05-1120",
        "jane.doe@clinic.example.org",
        "/home/jane/x.dcm",
        "C:\\films\\1.png",
        "\\\\server\\share",
        "see ~/films/1",
        "12.03.1954",
        "1954-03-12",
        "scan 19540312",
        "1.2.840.113619.2.55.3",
        "10.0.0.7",
        "pacs.radiology.lan",
        "node7.cluster.uni-x.de",
        "file:/x",
        "Patient Name: Jane",
    ],
    "generator_parameters": ['{"data":"/mnt/films/a"}', '{"patient_id":"77"}', '{"by":"a@b.org"}', '{"out":"D:/x"}'],
    "device": ["gpu-3.local", "192.168.0.1"],
}
HONEST = {
    "source_id": [
        "film 0012",
        "person-00000174",
        "ph00000174",
        "CSXA/0017.png",
        "a1b2c3d4e5f60718",
        "2026",
        "v1.0-rc1",
        "C3-C7 3/4",
    ],
    "group_id": ["person-00000174", "toy-group-12", "dd00000003", "0012345"[:6]],
    "generator_parameters": [
        '{"age_years":[18,85],"blur_mm":[0.15,0.4],"seed":1234567890}',
        '{"p":0.10155148095909731,"q":[12345678]}',
        '{"ema":0.1,"sampler":"dpmpp-2m","told":{}}',
        '{"seed":20240101}',
    ],
    "generator_version": ["1.0.0", "2026.11.23", "0.1.0.dev3", "1.2.3.4"],
    "run_id": ["305b4da37255aef0", "a2ce7b5"],
    "device": ["cpu", "cuda", "NVIDIA H100"],
    "dtype": ["float32"],
    "sampler": ["dpmpp-2m"],
    "artefact": ["collimation"],
    "overlays_found": ["", "text,marker"],
}


@pytest.mark.parametrize(("texts", "private"), [(PRIVATE, True), (HONEST, False)], ids=["private", "honest"])
def test_private_text(texts: dict[str, list[str]], private: bool) -> None:
    for name, values in texts.items():
        rows = [dict.fromkeys(FREE_TEXT) | {name: value} for value in values]
        batch = pa.RecordBatch.from_pylist(rows, schema=pa.schema([(column, pa.string()) for column in FREE_TEXT]))
        found = np.zeros(len(values), np.bool_)
        for bad, text in find_private_text(batch):
            assert text.startswith(f"{name} looks like ")
            found |= bad
        assert [value for value, hit in zip(values, found, strict=True) if hit != private] == []


def test_a_footer_is_read_as_pyarrow_reads_it(release: Path) -> None:
    for name in (TRAIN, "metadata/train.parquet"):
        metadata = pq.read_metadata(release / name)
        groups = read_row_groups(release / name)
        assert len(groups) == metadata.num_row_groups
        for index, group in enumerate(groups):
            expected = metadata.row_group(index)
            columns = [expected.column(number) for number in range(expected.num_columns)]
            assert (group.num_rows, group.num_bytes) == (expected.num_rows, expected.total_byte_size)
            assert [
                (item.path, item.codec, item.compressed_bytes, item.uncompressed_bytes, item.has_dictionary)
                for item in group.columns
            ] == [
                (item.path_in_schema, item.compression, item.total_compressed_size, item.total_uncompressed_size,
                 item.has_dictionary_page) for item in columns
            ]  # fmt: skip
            assert [(item.has_offset_index, item.has_column_index, item.bounded) for item in group.columns] == [
                (
                    item.has_offset_index,
                    item.has_column_index,
                    item.statistics is not None and item.statistics.has_min_max,
                )
                for item in columns
            ]


def test_row_hashes_tell_rows_apart_and_not_batches(release: Path) -> None:
    table = pq.read_table(release / TRAIN).select(list(VALUE_COLUMNS)).combine_chunks()
    (whole,) = hash_rows(table.to_batches()[0], VALUE_COLUMNS)
    parts = [hash_rows(batch, VALUE_COLUMNS)[0] for batch in table.to_batches(max_chunksize=3)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert len(set(whole.tolist())) == len(table)
    row = table.slice(0, 1).to_pylist()[0]
    draw = random.Random(1)
    seen = {int(whole[0])}
    for name in VALUE_COLUMNS:
        value = next(
            item for item in iter(lambda name=name: draw_value(name, draw), object()) if repr(item) != repr(row[name])
        )
        changed = pa.RecordBatch.from_pylist([row | {name: value}], schema=table.schema)
        seen.add(int(hash_rows(changed, VALUE_COLUMNS)[0][0]))
    assert len(seen) == 1 + len(VALUE_COLUMNS)
