"""`ddpm sample`, `ddpm export` and `ddpm replay` as a user calls them."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from small_run import write_small_run

from cspine_bench.cli import cli
from cspine_bench.dataset.manifest import load_manifest
from cspine_bench.dataset.read import open_dataset


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("command") / "run", steps=(2, 3, 5))


def call(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def sample(run: Path, out: Path, *arguments: object) -> dict[str, Any]:
    result = call("ddpm", "sample", run, "--out", out, "--steps", 2, "--batch-size", 4, "--json", *arguments)
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_three_checkpoints_and_balanced_classes_in_one_go(run: Path, tmp_path: Path) -> None:
    steps = ("--checkpoint", 2, "--checkpoint", 3, "--checkpoint", "last", "--ema", 0.05)
    sample(run, tmp_path / "ds", "--count", 9, "--balance", *steps)
    records = {record.sample_index: record for record in open_dataset(tmp_path / "ds").iter_records()}
    parameters = {index: json.loads(record.generator_parameters or "") for index, record in records.items()}
    assert [parameters[index]["step"] for index in range(9)] == [2, 3, 5] * 3
    assert [records[index].curvature for index in range(9)] == ["lordotic"] * 3 + ["straight"] * 3 + ["kyphotic"] * 3
    weights = {record.weights_sha256 for record in records.values()}
    source = load_manifest(tmp_path / "ds").source
    assert {one["weights_sha256"] for one in source["checkpoints"]} == weights
    assert {one["ema"] for one in source["checkpoints"]} == {0.05}
    result = call("ddpm", "replay", tmp_path / "ds", "dd00000005", "--run", run)
    assert (result.exit_code, result.stdout) == (0, "dd00000005: the same in every field and every byte\n")


def test_rejected_images_are_counted_by_rule(tmp_path: Path) -> None:
    run = write_small_run(tmp_path / "run")
    facts = json.loads((run / "run.json").read_text())
    # More contrast than there is; and grain of which the weights, drawn at random, give some images more.
    facts["training_set"]["limits"] |= {"blank": 256.0, "noise": 102.0}
    (run / "run.json").write_text(json.dumps(facts))
    refused = call("ddpm", "sample", run, "--out", tmp_path / "none", "--count", 3, "--steps", 1, "--reject", "blank")
    assert refused.exit_code == 2
    assert "all 3 samples are bad" in refused.stderr and "blank: measured" in refused.stderr
    document = sample(run, tmp_path / "kept", "--count", 12, "--reject", "noise", "--reject", "skeleton")
    assert 0 < document["rejected_by_rule"]["noise"] < 12
    assert sum(document["rejected_by_rule"].values()) == len(document["rejected"])
    assert sum(document["num_samples"].values()) + len(document["rejected"]) == 12
    assert load_manifest(tmp_path / "kept").source["reject"] == {"noise": 102.0, "skeleton": -0.9}
    again = call("ddpm", "sample", run, "--out", tmp_path / "kept", "--count", 12, "--steps", 2, "--batch-size", 4,
                 "--reject", "noise", "--reject", "skeleton")  # fmt: skip
    assert f"turned away by rule noise: {document['rejected_by_rule']['noise']}\n" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--checkpoint", "5", "--checkpoint", "last"), "name each step once"),
        (("--checkpoint", "first"), "'first' is neither a step nor `best` nor `last`"),
        (("--checkpoint", "best"), "no checkpoint is known as the best one"),
        (("--checkpoint", "4"), "no checkpoint of step 4; there are: 2, 3, 5"),
        (("--ema", "0.2"), "no average of length 0.2; there are: 0.1, 0.05"),
        (("--class", "curvature"), "is not NAME=VALUE"),
        (("--class", "sex=female"), "not told sex"),
        (("--class", "curvature=sigmoid1"), "no film of curvature sigmoid1 was trained"),
    ],
)
def test_what_cannot_be_done_is_one_message(
    run: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = call("ddpm", "sample", run, "--out", tmp_path / "ds", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "ds").exists()


def test_an_export_names_its_weights(run: Path, tmp_path: Path) -> None:
    result = call("ddpm", "export", run, "--out", tmp_path / "pipeline", "--checkpoint", 3, "--json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    state = json.loads((run / "checkpoints" / "step-000003" / "state.json").read_text())
    assert document["weights_sha256"] == state["files"]["ema-0.1.safetensors"]
    assert (tmp_path / "pipeline" / "model_index.json").exists()
