"""Verification: one broken folder for each rule, and a thousand flipped bits."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy_source import ToySource

from cspine_bench.dataset.manifest import compute_digest, render_json
from cspine_bench.dataset.verify import RULES, Issue, verify_dataset
from cspine_bench.dataset.write import write_dataset
from cspine_bench.imaging.png import compute_pixel_sha256, encode_mask_png, encode_png
from cspine_bench.provenance import sha256_bytes, sha256_file
from cspine_bench.schema import DIGITAL_SOURCE_TYPES

TRAIN = "data/train-00000-of-00001.parquet"
TEST = "data/test-00000-of-00001.parquet"
MARK = DIGITAL_SOURCE_TYPES["procedural"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify") / "sound"
    write_dataset(ToySource(12), folder)
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "ds")
    return tmp_path / "ds"


def reseal(folder: Path, change: Callable[[dict[str, Any]], None] = lambda manifest: None) -> None:
    """Make manifest and files agree again, as a careful forger would: what is left are faults of content."""
    manifest = json.loads((folder / "dataset.json").read_bytes())
    for shard in manifest["shards"]:
        path = folder / shard["path"]
        if path.exists():
            shard |= {"sha256": sha256_file(path), "num_bytes": path.stat().st_size}
    change(manifest)
    (folder / "dataset.json").write_bytes(render_json(manifest | {"digest": compute_digest(manifest)}))


def edit(folder: Path, change: Callable[[list[dict[str, Any]]], None], name: str = TRAIN, **kwargs: Any) -> None:
    """Change the rows of a shard, and nothing else."""
    table = pq.read_table(folder / name)
    rows = table.to_pylist()
    change(rows)
    footer = {key: value for key, value in pq.read_metadata(folder / name).metadata.items() if key != b"ARROW:schema"}
    schema = kwargs.get("schema", table.schema)
    pq.write_table(
        pa.Table.from_pylist(rows, schema=schema).replace_schema_metadata(footer | kwargs.get("footer", {})),
        folder / name,
    )
    reseal(folder)


def set_first(**values: Any) -> Callable[[Path], None]:
    def break_it(folder: Path) -> None:
        edit(folder, lambda rows: rows[0].update(values))

    return break_it


def set_image(pixels: np.ndarray, **values: Any) -> Callable[[Path], None]:
    data = encode_png(pixels, digital_source_type=MARK)
    hashes = {"image_sha256": sha256_bytes(data), "pixel_sha256": compute_pixel_sha256(pixels)}
    return set_first(image={"bytes": data, "path": "x.png"}, **hashes | values)


def set_mask(mask: np.ndarray) -> Callable[[Path], None]:
    data = encode_mask_png(mask)
    return set_first(mask={"bytes": data, "path": "x.mask.png"}, mask_sha256=sha256_bytes(data))


def copy_row(folder: Path, into: str, **kept: Any) -> None:
    row = pq.read_table(folder / TRAIN).to_pylist()[0]
    edit(folder, lambda rows: rows[-1].update({name: row[name] for name in kept}), into)


_PIXELS = {"image": 1, "image_sha256": 1, "pixel_sha256": 1, "mask": 1, "mask_sha256": 1}


def _truncate(folder: Path) -> None:
    data = (folder / TRAIN).read_bytes()
    (folder / TRAIN).write_bytes(data[: len(data) // 2])
    reseal(folder)


def _drop_column(folder: Path) -> None:
    table = pq.read_table(folder / TRAIN).drop_columns(["artefact"])
    pq.write_table(table, folder / TRAIN)
    reseal(folder)


def _unreadable(folder: Path) -> None:
    (folder / TRAIN).unlink()
    (folder / TRAIN).mkdir()


def _edit_readme(old: str, new: str) -> Callable[[Path], None]:
    def break_it(folder: Path) -> None:
        text = (folder / "README.md").read_text()
        assert old in text
        (folder / "README.md").write_text(text.replace(old, new, 1))
        reseal(folder, lambda manifest: manifest["files"].update({"README.md": sha256_file(folder / "README.md")}))

    return break_it


_BAD_PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
_NOISE = np.random.default_rng(0).integers(0, 255, (24, 24)).astype(np.uint8)

BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "folder-missing": (shutil.rmtree, "is no folder"),
    "manifest-missing": (lambda folder: (folder / "dataset.json").unlink(), "not finished"),
    "manifest-damaged": (lambda folder: (folder / "dataset.json").write_text("{}"), "fingerprint: Field required"),
    "file-missing": (lambda folder: (folder / TRAIN).unlink(), "lists it"),
    "file-extra": (
        lambda folder: shutil.copy(folder / TRAIN, folder / "data/train-00001-of-00001.parquet"),
        "not list it",
    ),
    "file-hash": (lambda folder: (folder / "README.md").write_text("hello"), "its SHA-256 is"),
    "readme-mismatch": (_edit_readme("data/test-*", "data/t*"), "its YAML has other configs than the shards"),
    "shard-torn": (_truncate, "unreadable after row 0"),
    "shard-foreign": (
        lambda folder: edit(folder, lambda rows: None, footer={b"cspine_bench": b'{"path": "other"}'}),
        "names other",
    ),
    "schema-drift": (_drop_column, "artefact"),
    "row-count": (lambda folder: edit(folder, lambda rows: rows.pop()), "7 rows, the manifest says 8"),
    "row-invalid": (set_first(age=999), "age: Input should be less than or equal to 130"),
    "split-mismatch": (set_first(split="test"), "the row says test, the shard is train"),
    "duplicate-id": (
        lambda folder: edit(folder, lambda rows: rows[1].update(sample_id=rows[0]["sample_id"])),
        "the id is also in",
    ),
    "group-cut": (lambda folder: copy_row(folder, TEST, group_id=1), "is in test here and in train"),
    "image-hash": (set_first(image_sha256="0" * 64), "do not give its image_sha256"),
    "mask-hash": (set_first(mask_sha256=None), "do not give its mask_sha256"),
    "image-unreadable": (set_first(image={"bytes": _BAD_PNG, "path": "x"}), "not a PNG"),
    "mask-unreadable": (set_first(mask={"bytes": _BAD_PNG, "path": "x"}), "not a PNG"),
    "pixel-hash": (set_first(pixel_sha256="0" * 64), "do not give pixel_sha256"),
    "image-shape": (set_first(width=25), "the row says 25 x 24 px of 8 bits, the PNG 24 x 24 of 8"),
    "image-blank": (set_image(np.full((24, 24), 7, np.uint8)), "every pixel is 7"),
    "mask-shape": (set_mask(np.zeros((24, 23), np.uint8)), "the mask has 23 x 24 px, the image 24 x 24"),
    "mask-label": (set_mask(np.full((24, 24), 9, np.uint8)), "label 9; 0 to 8 are allowed"),
    "mask-levels": (set_first(mask_levels="C3,C4,C5,C6,C7"), "the mask holds C1, C2, T1; mask_levels names C3,C4"),
    "landmark-outside": (
        set_first(landmarks_xy=[[24.0, 3.0]] + [[1.0, 1.0]] * 22),
        "C2_centroid is at (24.00, 3.00), the image has 24 x 24 px",
    ),
    "alignment-mismatch": (set_first(cobb_c2_c7_deg=777.0), "cobb_c2_c7_deg is 777.0"),
    "mark-mismatch": (set_first(digital_source_type=DIGITAL_SOURCE_TYPES["trained"]), "a phantom image is procedural"),
    "duplicate-pixels": (lambda folder: copy_row(folder, TRAIN, **_PIXELS), "in train"),
    "duplicate-across-splits": (lambda folder: copy_row(folder, TEST, **_PIXELS), "in train"),
}


def find(issues: list[Issue], code: str) -> Issue:
    return next(issue for issue in issues if issue.code == code)


@pytest.mark.parametrize("code", BROKEN)
def test_each_rule_finds_its_fault(folder: Path, code: str) -> None:
    break_it, message = BROKEN[code]
    break_it(folder)
    issues = verify_dataset(folder)
    issue = find(issues, code)
    assert message in issue.message
    assert issue.severity == RULES[code].severity
    if code.split("-")[0] in {
        "image",
        "mask",
        "pixel",
        "landmark",
        "alignment",
        "mark",
        "duplicate",
        "group",
        "split",
        "row",
    }:
        assert issue.where in {TRAIN, TEST}
        assert issue.sample_id is not None or code == "row-count"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sequence: float32", "sequence: float64", "its YAML has other features than the shards"),
        ("num_examples: 8", "num_examples: 9", "its YAML has other splits than the shards"),
        ("---\n", "", "its YAML is not readable or lacks a part"),
        ("configs:", f"configs: {'[' * 9999}", "its YAML is not readable or lacks a part"),
        ("dataset_info:", "other:", "its YAML is not readable or lacks a part (KeyError"),
        ("splits:", "splits: 3\n  x:", "its YAML is not readable or lacks a part (TypeError"),
    ],
)
def test_a_readme_that_would_load_something_else_is_found(folder: Path, old: str, new: str, message: str) -> None:
    _edit_readme(old, new)(folder)
    assert message in find(verify_dataset(folder), "readme-mismatch").message


def test_a_readme_may_say_more(folder: Path) -> None:
    _edit_readme("Load it:", "Cite it, then load it:")(folder)
    _edit_readme("configs:", "license: other\nconfigs:")(folder)
    assert verify_dataset(folder) == []


def test_a_file_that_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Permissions do not stop root, so the system's refusal is played.
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("cspine_bench.dataset.verify.sha256_file", refuse)
    assert "Permission denied" in find(verify_dataset(folder), "file-unreadable").message


def test_each_rule_has_a_broken_folder() -> None:
    assert set(RULES) == set(BROKEN) | {"file-unreadable"}
    assert all(rule.why and rule.mend for rule in RULES.values())


def test_a_sound_folder_has_no_issue(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    (folder / ".gitattributes").write_text("what the Hub adds")
    assert verify_dataset(folder, on_progress=lambda *counts: seen.append(counts)) == []
    assert seen[-1] == (12, 12)


def test_a_directory_in_place_of_a_shard(folder: Path) -> None:
    _unreadable(folder)
    assert {issue.code for issue in verify_dataset(folder)} == {"file-missing"}


def test_a_flipped_pixel_names_its_sample(folder: Path) -> None:
    row = pq.read_table(folder / TRAIN, columns=["sample_id", "image"]).to_pylist()[5]
    data = bytearray((folder / TRAIN).read_bytes())
    data[data.index(row["image"]["bytes"]) + 500] ^= 4
    (folder / TRAIN).write_bytes(data)
    issues = verify_dataset(folder)
    assert find(issues, "file-hash").where == TRAIN
    assert find(issues, "image-hash").sample_id == row["sample_id"]


@pytest.mark.slow
def test_a_thousand_flipped_bits_are_all_reported(tmp_path: Path) -> None:
    folder = tmp_path / "ds"
    write_dataset(ToySource(6), folder)
    draw = random.Random(20221027)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    whole = {path: path.read_bytes() for path in files}
    manifest = folder / "dataset.json"
    # A damaged manifest hides the rest, so it is damaged alone; the others all at once, a bit in each.
    rounds = [[manifest]] * 120 + [[path for path in files if path != manifest]] * 220
    assert sum(map(len, rounds)) == 1000
    silent = []
    for damaged in rounds:
        positions = {}
        for path in damaged:
            torn = bytearray(whole[path])
            positions[path] = draw.randrange(len(torn))
            torn[positions[path]] ^= 1 << draw.randrange(8)
            path.write_bytes(torn)
        found = {issue.where for issue in verify_dataset(folder)}
        silent += [
            (path.name, at) for path, at in positions.items() if path.relative_to(folder).as_posix() not in found
        ]
        for path in damaged:
            path.write_bytes(whole[path])
    assert silent == []
    assert verify_dataset(folder) == []
