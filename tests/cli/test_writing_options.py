"""Options of all commands that write a dataset: parts of it, the size of its files, and what makes them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cspine_bench.cli import cli

PHANTOM = ["dataset", "phantom", "ds", "--count", "4", "--size", "64"]


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, [*PHANTOM, *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_parts_of_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exit_code, stdout, stderr = run("--shard", "3/4")
    assert (exit_code, stdout) == (0, "ds: part 3/4 done, 3 of 3 files missing\n")
    assert "Part 3/4 has nothing to make: the dataset has 3 files. Name fewer parts" in stderr
    exit_code, stdout, _ = run("--shard", "1/2", "--json")
    assert exit_code == 0
    assert json.loads(stdout) == {
        "path": "ds", "part": "1/2", "part_shards": 1, "num_shards": 3, "missing_shards": 2, "complete": False,
    }  # fmt: skip
    exit_code, stdout, _ = run("--shard", "0/2", "--json")
    part = json.loads(stdout)
    assert (part["complete"], part["missing_shards"]) == (True, 0)
    whole = json.loads(run("--json")[1])
    assert {name: part[name] for name in whole} == whole
    assert whole["num_samples"] == {"train": 2, "validation": 1, "test": 1}


def test_a_dry_run_tells_the_number_of_files() -> None:
    document = json.loads(run("--dry-run", "--shard-rows", "1", "--json")[1])
    assert document["num_shards"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shard", "4/4"], "no part 4 of 4; parts are counted from 0"),
        (["--shard", "1"], "'1' is not a part K/N"),
        (["--ray-address", "auto"], "--ray-address needs --executor ray"),
        (["--executor", "ray", "--shard", "0/2"], "Ray hands out the files itself"),
        (["--executor", "slurm"], "'slurm' is not one of 'processes', 'ray'"),
        (["--shard-rows", "0"], "0 is not in the range"),
    ],
)
def test_what_cannot_be_is_a_usage_error(arguments: list[str], message: str) -> None:
    exit_code, stdout, stderr = run(*arguments)
    assert (exit_code, stdout) == (2, "")
    assert message in " ".join(stderr.split())
