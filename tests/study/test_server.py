"""A real server: killed, stopped, started twice."""

import http.client
import json
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from cspine_bench.errors import DataError
from cspine_bench.study.app.server import is_loopback, serve_study
from cspine_bench.study.folder import StudyFolder
from cspine_bench.study.ledger.links import issue_link
from cspine_bench.study.ledger.store import open_ledger
from tests.study.asgi_client import DISPLAY, build_answer
from tests.study.bare_study import make_bare_study
from tests.study.served import Wire, serve

GONE = (ConnectionError, http.client.HTTPException, TimeoutError)


def make_study(folder: Path, readers: int, cases: int) -> tuple[StudyFolder, dict[str, str]]:
    study = make_bare_study(folder, readers=readers, cases=cases, size=32, repeats=0)
    with open_ledger(study) as ledger, ledger.transaction():
        return study, {reader: issue_link(ledger, reader) for reader in study.protocol.readers}


def admit(wire: Wire) -> None:
    for path, body in (("/api/open", {}), ("/api/consent", {}), ("/api/display", DISPLAY)):
        wire.post(path, body)


def read_on(address: str, token: str, acknowledged: list[str], pending: dict[str, Any]) -> None:
    """Answer until the study ends or the server is gone; an answer whose reply never came is sent again."""
    wire = Wire(address, token)
    try:
        while True:
            if not pending:
                trial = wire.post("/api/trial")
                if trial["finished"]:
                    return
                wire.ask("GET", f"/api/frame/{trial['panes'][0]}")
                pending |= build_answer(trial)
            assert wire.post("/api/answer", pending)["saved"]
            acknowledged.append(pending["answer"])
            pending.clear()
    except GONE:
        return
    finally:
        wire.close()


def check_nothing_is_lost(study: StudyFolder, acknowledged: dict[str, list[str]]) -> None:
    with open_ledger(study) as ledger:
        ledger.verify()
        for reader, answers in acknowledged.items():
            saved = [record for record in ledger.iter_records("answer") if record.reader == reader]
            assert [record.trial for record in saved] == [*range(len(saved))]
            # What was being answered when the server died may be there, too: nobody was told.
            assert [record.answer_id for record in saved][: len(answers)] == answers
            assert len(saved) - len(answers) in (0, 1)


def test_a_killed_server_loses_no_answer_and_stops_in_order(tmp_path: Path) -> None:
    study, tokens = make_study(tmp_path / "study", readers=2, cases=60)
    acknowledged: dict[str, list[str]] = {reader: [] for reader in tokens}
    with serve(tmp_path / "study") as (process, address):
        wires = [Wire(address, token) for token in tokens.values()]
        for wire in wires:
            admit(wire)
        status, headers, body = wires[0].ask("GET", f"/api/frame/{wires[0].post('/api/trial')['panes'][0]}")
        assert (status, len(body)) == (200, 32 * 32)
        told = {"date", "content-length", "content-type", "cache-control", "referrer-policy", "x-content-type-options"}
        told |= {
            "content-security-policy",
            *(f"cross-origin-{name}-policy" for name in ("opener", "resource", "embedder")),
        }
        assert {name.lower() for name, _ in headers} == told
        with pytest.raises(DataError, match="another process serves it already"):
            serve_study(study, host="127.0.0.1", port=0, tls=None, on_listen=pytest.fail)
        threads = [
            threading.Thread(target=read_on, args=(address, token, acknowledged[reader], {}))
            for reader, token in tokens.items()
        ]
        for thread in threads:
            thread.start()
        while sum(map(len, acknowledged.values())) < 12:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join()
        for wire in wires:
            wire.close()
    assert sum(map(len, acknowledged.values())) >= 12
    check_nothing_is_lost(study, acknowledged)
    with serve(tmp_path / "study") as (process, address):
        wire = Wire(address, tokens["R1"])
        done = wire.post("/api/open")["done"]
        assert done - len(acknowledged["R1"]) in (0, 1)
        wire.close()
        process.send_signal(signal.SIGINT)
        printed = "".join(process.communicate(timeout=300))
        assert process.returncode == 0
        assert not any(token in printed for token in tokens.values()) and "Traceback" not in printed


@pytest.mark.slow  # Twelve kills under load: a second of CPU each.
def test_many_kills_under_load(tmp_path: Path) -> None:
    study, tokens = make_study(tmp_path / "study", readers=12, cases=60)
    acknowledged: dict[str, list[str]] = {reader: [] for reader in tokens}
    pending: dict[str, dict[str, Any]] = {reader: {} for reader in tokens}
    draw = random.Random(4)
    total, kills = 12 * 62, 0
    while sum(map(len, acknowledged.values())) < total:
        with serve(tmp_path / "study", "--quiet") as (process, address):
            for token in tokens.values():
                wire = Wire(address, token)
                admit(wire)
                wire.close()
            threads = [
                threading.Thread(target=read_on, args=(address, token, acknowledged[reader], pending[reader]))
                for reader, token in tokens.items()
            ]
            for thread in threads:
                thread.start()
            goal = sum(map(len, acknowledged.values())) + draw.randint(20, 80)
            while sum(map(len, acknowledged.values())) < min(goal, total):
                time.sleep(draw.uniform(0, 0.004))
            process.send_signal(signal.SIGKILL)
            kills += 1
            for thread in threads:
                thread.join()
        check_nothing_is_lost(study, acknowledged)
    assert kills >= 8
    with open_ledger(study) as ledger:
        answers = [record.answer_id for record in ledger.iter_records("answer")]
        assert sorted(map(str, answers)) == sorted(name for names in acknowledged.values() for name in names)
        assert not list(ledger.iter_records("refused"))


def test_where_one_can_listen(tmp_path: Path) -> None:
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost") and is_loopback("127.9.9.9")
    assert not is_loopback("0.0.0.0") and not is_loopback("192.168.1.4") and not is_loopback("example.org")
    study, _ = make_study(tmp_path / "study", readers=1, cases=2)
    (tmp_path / "x.pem").write_text("no certificate")
    for host, tls, said in (
        ("203.0.113.7", None, "cannot listen at 203.0.113.7:0"),
        ("127.0.0.1", (tmp_path / "x.pem", tmp_path / "x.pem"), "cannot use the certificate"),
    ):
        with pytest.raises(DataError, match=said):
            serve_study(study, host=host, port=0, tls=tls, on_listen=pytest.fail)
    with open_ledger(study) as ledger:
        assert not list(ledger.iter_records("serve"))
        assert json.loads(next(ledger.iter_records()).body)
