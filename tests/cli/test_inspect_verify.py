"""`dataset inspect` and `dataset verify`, by the real runner."""

import csv
import json
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from cspine_bench.anatomy.alignment import PARAMETERS
from cspine_bench.cli import cli

from .small_source import write_small


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small(tmp_path_factory.mktemp("small") / "ds")


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_inspect_prints_one_json_document(folder: Path) -> None:
    exit_code, stdout, stderr = run("dataset", "inspect", folder, "--json")
    facts = json.loads(stdout)
    assert (exit_code, stderr) == (0, "")
    assert facts["num_samples"] == {"train": 6, "validation": 3, "test": 3}
    assert facts["labelled"]["landmarks_xy"] == 12
    sex = facts["strata"]["sex"]
    assert {value: sum(counts.values()) for value, counts in sex.items()} == {"female": 6, "male": 6}


def test_inspect_prints_the_strata_for_people(folder: Path) -> None:
    exit_code, stdout, _ = run("dataset", "inspect", folder)
    lines = [line.split() for line in stdout.splitlines()]
    assert exit_code == 0
    assert ["train", "validation", "test"] in lines
    assert ["radiographs", "6", "3", "3"] in lines
    assert any(line[:1] == ["female"] and sum(map(int, line[1:])) == 6 for line in lines)


def test_sheet_shows_the_asked_number_of_radiographs(folder: Path, tmp_path: Path) -> None:
    heights = {}
    for count in (6, 7):
        sheet = tmp_path / f"{count}.png"
        assert run("dataset", "inspect", folder, "--sheet", sheet, "--sheet-count", count)[0] == 0
        with Image.open(sheet) as picture:
            heights[count] = picture.height
    assert heights[7] - heights[6] > 256  # the seventh begins a second row
    assert sorted(path.name for path in tmp_path.iterdir()) == ["6.png", "7.png"]


def test_parameters_hold_each_value_with_its_unit(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "parameters.csv"
    assert run("dataset", "inspect", folder, "--parameters", out)[0] == 0
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12
    assert len(rows[0]) == 3 + 77
    # The rectangles of the small source: 16 px wide, 6 high, 3 apart, upright.
    row = rows[0]
    assert (float(row["row3s (px)"]), float(row["line33q (px)"]), float(row["line34h (px)"])) == (16, 6, 3)
    assert math.isclose(float(row["C2-7Cobb (deg)"]), 0, abs_tol=1e-9)
    assert float(row["SVA (px)"]) == 8  # C7 top right at x = 40, C2 centroid at x = 32


def test_parameters_as_parquet(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "parameters.parquet"
    assert run("dataset", "inspect", folder, "--parameters", out)[0] == 0
    assert pq.read_schema(out).names[3:] == [f"{name} ({item.unit})" for name, item in PARAMETERS.items()]


def test_parameters_under_another_ending_are_refused(folder: Path, tmp_path: Path) -> None:
    exit_code, stdout, stderr = run("dataset", "inspect", folder, "--parameters", tmp_path / "table.xlsx")
    assert (exit_code, stdout) == (2, "")
    assert ".csv or .parquet" in stderr


def test_verify_accepts_a_sound_dataset(folder: Path) -> None:
    exit_code, stdout, stderr = run("dataset", "verify", folder, "--json")
    assert (exit_code, stderr) == (0, "")
    assert json.loads(stdout) == {"path": str(folder), "valid": True, "issues": []}


def test_verify_names_rule_file_and_sample(tmp_path: Path) -> None:
    folder = write_small(tmp_path / "ds", 4, same_pixels=True)
    exit_code, stdout, _ = run("dataset", "verify", folder, "--json")
    document = json.loads(stdout)
    assert exit_code == 1
    assert document["valid"] is False
    found = document["issues"][0]
    assert found["code"].startswith("duplicate-")
    assert found["where"].startswith("data/")
    assert found["sample_id"].startswith("small")


def test_verify_says_what_to_do(tmp_path: Path) -> None:
    folder = write_small(tmp_path / "ds", 4)
    shard = next((folder / "data").glob("train-*"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    exit_code, stdout, _ = run("dataset", "verify", folder)
    assert exit_code == 1
    assert f"error file-hash data/{shard.name}" in stdout
    assert "Fetch the file again" in stdout


def test_a_folder_that_is_no_dataset_is_one_message(tmp_path: Path) -> None:
    exit_code, stdout, stderr = run("dataset", "inspect", tmp_path, "--json")
    assert (exit_code, stdout) == (2, "")
    assert str(tmp_path) in stderr
    assert "Traceback" not in stderr
