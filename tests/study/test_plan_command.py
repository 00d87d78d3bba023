"""`study plan` as it is run."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cspine_bench.cli import cli
from cspine_bench.study.folder import load_truth, open_study
from tests.study.small_study import SMALL, make_small_sources


@pytest.fixture
def run(make_once: Callable[..., Path]) -> Callable[..., Result]:
    folder = make_small_sources(make_once)

    def call(*arguments: str) -> Result:
        small = [part for setting in SMALL for part in ("--set", setting)]
        sides = ["--real", str(folder / "films"), "--synthetic", f"early={folder / 's1'}"]
        return CliRunner().invoke(cli, ["study", "plan", *sides, *small, *arguments])

    return call


def test_a_study_is_planned_once_and_kept(run: Callable[..., Result], tmp_path: Path) -> None:
    out, truth = tmp_path / "study", tmp_path / "truth.json"
    told = run("--out", str(out), "--dry-run", "--reader", "anna", "--reader", "ben")
    assert told.exit_code == 0 and "Nothing was written" in told.stdout and not out.exists()
    asked = ("--out", str(out), "--truth", str(truth), "--reader", "anna", "--reader", "ben", "--json")
    first = run(*asked)
    assert first.exit_code == 0, first.stderr
    document = json.loads(first.stdout)
    study = open_study(out)
    assert document["protocol_sha256"] == study.protocol_sha256 and document["truth"] == str(truth)
    assert document["next"] == f"cspine-bench study links {out}"
    assert document["protocol"]["readers"] == ["anna", "ben"] and "frame_sha256" not in document["protocol"]["frames"]
    assert "rehearsal" not in first.stderr and "--train" in first.stderr
    secret = load_truth(study, truth).secret
    assert secret not in first.stdout + first.stderr
    page = (out / "plan.html").read_text()
    assert study.protocol_sha256 in page and "Leak audit" in page and "<script" not in page.lower()
    again = run(*asked)
    assert again.exit_code == 0 and json.loads(again.stdout) == document and "planned already" in again.stderr
    unnamed = run(*asked[:2], *asked[4:])
    assert json.loads(unnamed.stdout)["truth"] == "not in the study's folder"
    wrong = run("--out", str(out), "--truth", str(tmp_path / "t.json"), *asked[4:])
    assert wrong.exit_code == 2 and "t.json: cannot be read" in wrong.stderr
    other = run("--out", str(out), "--seed", "7")
    assert other.exit_code == 2 and "holds another study" in other.stderr
    quiet = run("--out", str(out), "--seed", "7", "--overwrite", "--quiet")
    assert quiet.exit_code == 0 and quiet.stderr == "" and "Next: cspine-bench study links" in quiet.stdout
    assert open_study(out).protocol_sha256 != study.protocol_sha256


def test_what_cannot_be_planned_ends_with_2_and_one_line(run: Callable[..., Result], tmp_path: Path) -> None:
    out = str(tmp_path / "study")
    for arguments, said in (
        (("--set", "cases=40"), "the study needs"),
        (("--recipe", "quartet.yml"), "did you mean quartet"),
        (("--set", "anchors=[one]"), "anchors"),
        (("--set", "repeat_lag=30"), "repeat_lag 30 needs more cases"),
        (("--reader", "Dr. Who"), "use a pseudonym"),
        (("--allow-leaks", "  "), "the reason is blank"),
        (("--truth", str(tmp_path)), "is a folder"),
        (("--real-split", "validation"), "has no radiograph in its split validation"),
    ):
        ran = run("--out", out, *arguments)
        assert ran.exit_code == 2 and said in ran.stderr, ran.stderr
        assert "Traceback" not in ran.stderr and ran.stdout == "" and not Path(out).exists()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").touch()
    ran = run("--out", str(tmp_path / "taken"), "--overwrite")
    assert ran.exit_code == 2 and "is not empty, and holds no study" in ran.stderr
