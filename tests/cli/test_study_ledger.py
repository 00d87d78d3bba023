"""The commands around a served study: links, progress, unblinding, export."""

import csv
import json
import sqlite3
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cspine_bench.cli import cli
from cspine_bench.study.folder import open_study
from cspine_bench.study.ledger.store import open_ledger
from tests.study.bare_study import MakeOnce, copy_bare_study
from tests.study.test_export import answer_all


@pytest.fixture
def folder(tmp_path: Path, make_once: MakeOnce, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    copy_bare_study(make_once, tmp_path / "study")
    return tmp_path


def run(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, ["study", *words])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output and "fault of cspine-bench" not in result.output
    return result


def test_a_study_from_links_to_export(folder: Path) -> None:
    issued = json.loads(run("links", "study", "--out", "links.csv", "--base-url", "https://h.org/", "--json").stdout)
    with (folder / "links.csv").open() as file:
        assert {row["reader"]: row["link"] for row in csv.DictReader(file)} == issued["links"]
    assert set(issued["links"]) == {"R1", "R2", "R3"}
    assert all(link.startswith("https://h.org/#") for link in issued["links"].values())
    again = run("links", "study")
    assert "has one already" in again.stdout and "https" not in again.stdout and again.stderr == ""
    assert "is there already" in run("links", "study", "--out", "links.csv", code=2).stderr
    assert "no reader 'R7'" in run("links", "study", "--reader", "R7", code=2).stderr
    assert json.loads(run("revoke", "study", "--reader", "R2", "--json").stdout) == {"revoked": {"R2": True}}
    assert "had no link" in run("revoke", "study", "--reader", "R2").stdout

    told = json.loads(run("status", "study", "--verify", "--json").stdout)
    assert [reader["link"] for reader in told["readers"]] == ["works", "revoked", "works"]
    assert [(reader["done"], reader["total"]) for reader in told["readers"]] == [(0, 7)] * 3
    assert not told["complete"] and told["unblinded"] is None and told["fault"] is None
    head = told["head"]

    assert "is not unblinded" in run("export", "study", "--out", "answers", code=2).stderr
    refused = run("unblind", "study", code=2).stderr
    assert "R1 (0 of 7)" in refused and "--incomplete" in refused
    study = open_study(folder / "study")
    with open_ledger(study) as ledger:
        answer_all(study, ledger)
    blinded = run("export", "study", "--out", "blinded", "--blinded")
    assert "21 answers and 84 ratings" in blinded.stdout
    status = run("status", "study", "--verify", "--head", head)
    assert "7/7" in status.stdout and "The truth is sealed." in status.stdout and "chain is whole" in status.stdout
    first, second = run("unblind", "study"), run("unblind", "study")
    assert first.stdout.startswith("Unblinded 20") and second.stdout.startswith("Was unblinded before, on 20")
    manifest = json.loads(run("export", "study", "--out", "answers", "--json").stdout)
    assert manifest["complete"] and manifest["folder"] == "answers"
    text = run("status", "study").stdout + status.stdout
    assert not any(word in text for word in ("correct", "accuracy", "ckpt", "right"))
    assert "was unblinded" in run("serve", "study", "--port", "0", code=2).stderr


def test_swapped_frames_are_noticed(folder: Path) -> None:
    path = folder / "study" / "frames.bin"
    data = path.read_bytes()
    path.write_bytes(data[1024:2048] + data[:1024] + data[2048:])
    assert "frame 0 is not what the protocol" in run("status", "study", "--verify", code=1).stdout
    for words in (("unblind", "study", "--incomplete", "ill"), ("serve", "study", "--port", "0")):
        assert "frame 0 is not what the protocol" in run(*words, code=2).stderr
    path.write_bytes(data)
    assert "every frame is what was frozen" in run("status", "study", "--verify").stdout


def test_a_record_that_no_study_writes_is_named(folder: Path) -> None:
    connection = sqlite3.connect(folder / "study" / "study.sqlite")
    with connection:
        connection.execute("INSERT INTO records VALUES (9, '', 'answer', 'R1', 99, 'x', '{}', '', '')")
    connection.close()
    assert "a record that no study writes" in run("status", "study", code=2).stderr
    assert "record 2: is missing; the next one is 9" in run("status", "study", "--verify", code=1).stdout


def test_a_broken_chain_is_a_negative_verdict(folder: Path) -> None:
    run("links", "study", "--quiet")
    connection = sqlite3.connect(folder / "study" / "study.sqlite")
    with connection:
        connection.execute("DROP TRIGGER never_changed")
        connection.execute("UPDATE records SET reader = 'R3' WHERE seq = 2")
    connection.close()
    assert "record 2: was changed" in run("status", "study", "--verify", code=1).stdout
    assert "record 2" in json.loads(run("status", "study", "--verify", "--json", code=1).stdout)["fault"]
    for words in (("export", "study", "--out", "x", "--blinded"), ("unblind", "study"), ("serve", "study")):
        assert "record 2: was changed" in run(*words, code=2).stderr
    assert not (folder / "x").exists()


def test_an_unknown_head_tells_of_a_chain_written_anew(folder: Path) -> None:
    assert "written anew" in run("status", "study", "--verify", "--head", "0" * 64, code=1).stdout
    assert "--head needs --verify" in run("status", "study", "--head", "0" * 64, code=2).stderr


def test_an_edited_protocol_is_refused_by_every_command(folder: Path) -> None:
    with (folder / "study" / "protocol.yaml").open("a") as file:
        file.write("# a remark\n")
    for words in (
        ("links",),
        ("revoke", "--reader", "R1"),
        ("serve",),
        ("status",),
        ("unblind",),
        ("export", "--out", "x"),
    ):
        assert "was edited after it was frozen" in run(words[0], "study", *words[1:], code=2).stderr
    assert "holds no study" in run("status", ".", code=2).stderr


def test_serving_is_refused_with_a_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "x.pem").write_text("no key")
    assert "give both or none" in run("serve", "study", "--tls-cert", "x.pem", code=2).stderr
    refused = run("serve", "study", "--host", "203.0.113.7", "--quiet", code=2).stderr
    assert "Warning: without TLS" in refused and "cannot listen at 203.0.113.7" in refused
    refused = run("serve", "study", "--tls-cert", "x.pem", "--tls-key", "x.pem", code=2).stderr
    assert "cannot use the certificate" in refused and "Warning" not in refused
    for name in [name for name in sys.modules if name.startswith("cspine_bench.study.app")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install 'cspine-bench[study]'" in run("serve", "study", code=2).stderr
