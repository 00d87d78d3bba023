"""The GitHub Action and the pre-commit hook: read as their runners read them, their scripts run as they run them."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from broken import copy_release, put
from click.testing import CliRunner

from cspine_bench.cli.release_validate import FAIL_ON, FORMATS, LEVELS, validate
from cspine_bench.release import findings_formats, rules, verdict

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())


def run_step(name: str, workspace: Path, inputs: dict[str, str]) -> tuple[int, str, dict[str, str]]:
    """Run a step of the action with bash, as a runner does: `-e -o pipefail`, inputs through `env`."""
    step = next(step for step in ACTION["runs"]["steps"] if step["name"] == name)
    given = {key: entry["default"] for key, entry in ACTION["inputs"].items()} | inputs
    environment = {
        key: re.sub(r"\$\{\{ inputs\.([a-z-]+) \}\}", lambda match: given[match[1]], text)
        for key, text in step["env"].items()
    }
    binaries, temporary, output = workspace / "bin", workspace / "temp", workspace / "output"
    for folder in (binaries, temporary):
        folder.mkdir(exist_ok=True)
    output.write_text("")
    shim = binaries / "cspine-bench"
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m cspine_bench "$@"\n')
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    answer = subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
        cwd=workspace, capture_output=True, text=True, timeout=300,
        env=os.environ | environment | {
            "PATH": f"{binaries}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
            "RUNNER_TEMP": str(temporary), "GITHUB_OUTPUT": str(output),
        },
    )  # fmt: skip
    return answer.returncode, answer.stdout, dict(line.split("=", 1) for line in output.read_text().splitlines())


def test_the_action_annotates_and_writes_sarif(release: Path, tmp_path: Path) -> None:
    folder = copy_release(release, tmp_path / "my rel")
    put(folder, "LICENSE", "mine; echo stolen")
    code, stdout, outputs = run_step("Validate", tmp_path, {"path": "my rel", "level": "quick"})
    assert code == 1
    assert "::error file=my rel/LICENSE,title=CARD-02::LICENSE: its text is not that of" in stdout
    assert outputs["exit-code"] == "1"
    document = json.loads(Path(outputs["sarif"]).read_text())
    [result] = document["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "my%20rel/LICENSE"


def test_the_action_passes_its_inputs_as_values(release: Path, tmp_path: Path) -> None:
    copy_release(release, tmp_path / "$(touch stolen)")
    inputs = {"path": "$(touch stolen)", "level": "quick", "fail-on": "warning", "policy": "policy.yaml"}
    gate = {"name": "g", "measure": "balance", "figure": "share_sex_male", "at_least": 0}
    (tmp_path / "policy.yaml").write_text(json.dumps({"gates": [gate]}))
    code, stdout, outputs = run_step("Validate", tmp_path, inputs)
    assert (code, outputs["exit-code"]) == (0, "0"), stdout
    assert not (tmp_path / "stolen").exists()
    code, _, outputs = run_step("Validate", tmp_path, inputs | {"path": "nothing"})
    assert (code, outputs) == (2, {"exit-code": "2"})


def test_the_action_is_well_formed() -> None:
    assert ACTION["runs"]["using"] == "composite"
    for step in ACTION["runs"]["steps"]:
        assert step["shell"] == "bash"
        # An expression in a script is pasted into it: whoever chooses the input chooses the script.
        assert "${{" not in step["run"]
        syntax = subprocess.run(["bash", "-n"], input=step["run"], text=True, capture_output=True)
        assert syntax.returncode == 0, syntax.stderr
    used = set(re.findall(r"inputs\.([a-z-]+)", json.dumps(ACTION["runs"])))
    assert used == set(ACTION["inputs"]) == {"path", "level", "fail-on", "policy", "version"}
    assert ACTION["inputs"]["level"]["default"] in LEVELS
    assert ACTION["inputs"]["fail-on"]["default"] in FAIL_ON


def test_the_hook_is_a_command_that_runs(release: Path) -> None:
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["id"] == "cspine-release-validate"
    assert hook["language"] == "python" and hook["pass_filenames"] is False
    words = hook["entry"].split()
    assert words[:3] == ["cspine-bench", "release", "validate"]
    assert CliRunner().invoke(validate, [*words[3:], str(release)]).exit_code == 0


def test_the_command_offers_what_the_library_has() -> None:
    assert LEVELS == rules.LEVELS
    assert FAIL_ON == verdict.FAIL_ON
    assert set(FORMATS) == set(findings_formats.FORMATS)


@pytest.mark.parametrize("also", ["html=x", "json", "json=", ["json=a", "json=b"]])
def test_an_odd_second_report_is_refused(also: Any, tmp_path: Path) -> None:
    texts = also if isinstance(also, list) else [also]
    result = CliRunner().invoke(validate, [str(tmp_path), *(word for text in texts for word in ("--also", text))])
    assert result.exit_code == 2
    assert "is not FORMAT=FILE" in result.stderr
