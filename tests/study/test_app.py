"""The server's interface, as a reader's page uses it and as somebody tries it who should not."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from cspine_bench.errors import DataError
from cspine_bench.study.app.limits import Limit, Rate
from cspine_bench.study.app.reply import HEADERS
from cspine_bench.study.folder import StudyFolder, load_schedule, map_frames
from cspine_bench.study.ledger.links import issue_link, revoke_links
from cspine_bench.study.ledger.store import open_ledger
from tests.study.asgi_client import DISPLAY, Client, build_answer, open_client
from tests.study.bare_study import MakeOnce, copy_bare_study, make_bare_study

POSTS = ("/api/open", "/api/consent", "/api/display", "/api/trial", "/api/answer")


@pytest.fixture
def study(tmp_path: Path, make_once: MakeOnce) -> StudyFolder:
    return copy_bare_study(make_once, tmp_path / "study")


def test_a_reader_goes_through_a_study(study: StudyFolder) -> None:
    shutil.rmtree(study.paths.truth.parent)  # The server never needs it.
    frames, planned = map_frames(study), load_schedule(study).find("R2").trials
    with open_client(study) as client:
        token = issue_link(client.ledger, "R2")
        opened = client.post("/api/open", token).json
        assert opened == {
            "title": study.protocol.recipe.title, "design": "quartet", "panes": 4,
            "anchors": list(study.protocol.recipe.anchors), "width": 32, "height": 32, "bit_depth": 8,
            "window": [128.0, 256.0], "reader": "R2", "consented": False, "display_checked": False, "done": 0,
            "total": 7, "training": 1, "finished": False,
        }  # fmt: skip
        assert client.post("/api/trial", token).status == 403
        assert client.post("/api/consent", token).json == {}
        refused = client.post("/api/trial", token)
        assert (refused.status, refused.json["error"]) == (403, "check the display first")
        assert client.post("/api/display", token, DISPLAY).json == {}
        seen: set[str] = set()
        for place in range(7):
            trial = client.post("/api/trial", token).json
            assert trial == client.post("/api/trial", token).json
            assert (trial["number"], trial["done"], trial["total"]) == (place + 1, place, 7)
            assert trial["training"] is (place == 0) and not trial["finished"]
            for pane, frame in zip(trial["panes"], planned[place].frames, strict=True):
                reply = client.get(f"/api/frame/{pane}", token)
                assert reply.header("content-type") == "application/octet-stream"
                assert reply.body == frames[frame].tobytes()
            assert not seen & {trial["trial"], *trial["panes"]}
            seen |= {trial["trial"], *trial["panes"]}
            answer = build_answer(trial, pick=1 + place % 4)
            saved = client.post("/api/answer", token, answer)
            assert saved.json == {"saved": True, "done": place + 1, "total": 7}
            assert client.post("/api/answer", token, answer).body == saved.body
            other = client.post("/api/answer", token, build_answer(trial))
            assert other.status == 409 and "the first one counts" in other.json["error"]
            for pane in trial["panes"]:
                assert client.get(f"/api/frame/{pane}", token).status == 404
        assert client.post("/api/trial", token).json == {"finished": True, "done": 7, "total": 7}
        assert client.post("/api/open", token).json["finished"] is True
        kinds = [record.kind for record in client.ledger.iter_records() if record.reader == "R2"]
        assert kinds == ["enrol", "open", "consent", "display", *["shown", "answer", "refused"] * 7]
        client.ledger.verify()


def test_sixteen_bits_go_out_low_byte_first(tmp_path: Path) -> None:
    study = make_bare_study(tmp_path / "study", bit_depth=16)
    with open_client(study) as client:
        token = issue_link(client.ledger, "R1")
        client.admit(token)
        body = client.get(f"/api/frame/{client.post('/api/trial', token).json['panes'][0]}", token).body
        frame = map_frames(study)[load_schedule(study).find("R1").trials[0].frames[0]]
        assert len(body) == 32 * 32 * 2
        assert body[:2] == int(frame[0, 0]).to_bytes(2, "little")


def test_nobody_is_told_why_a_link_does_not_work(study: StudyFolder) -> None:
    with open_client(study) as client:
        revoked, token = issue_link(client.ledger, "R1"), issue_link(client.ledger, "R2")
        with open_ledger(study) as elsewhere:  # Another process, while the server runs.
            revoke_links(elsewhere, "R1")
        client.admit(token)
        pane = client.post("/api/trial", token).json["panes"][0]
        replies = {
            (reply.status, reply.headers, reply.body)
            for sent in (
                {}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": "Bearer "},
                {"authorization": f"Bearer {revoked}"}, {"authorization": "Bearer " + "A" * 43},
                {"authorization": f"Basic {token}"}, {"authorization": token}, {"authorization": f"Bearer {token}A"},
                {"authorization": f"Bearer {token[::-1]}"}, {"authorization": "Bearer " + "\xe9" * 43},
                {"cookie": f"token={token}"}, {"authorization": f"Bearer {token} {token}"},
            )
            for method, path in (*(("POST", path) for path in POSTS), ("GET", f"/api/frame/{pane}"))
            for reply in [client.send(method, path, sent, b"{}")]
        }  # fmt: skip
        assert len(replies) == 1 and next(iter(replies))[0] == 401
        with open_ledger(study) as elsewhere:
            new = issue_link(elsewhere, "R2")
        assert client.post("/api/open", token).status == 401
        assert client.post("/api/open", new).json["consented"] is True  # Another link, the same reader.


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "no JSON"), (b"{", 400, "no JSON"), (b"\xff", 400, "no JSON"), (b"[]", 422, "JSON object"),
        (b"null", 422, "JSON object"), (b'"x"', 422, "JSON object"), (b"3", 422, "JSON object"),
        (b'{"more": 1}', 422, "must be {}"), (b'{"more": NaN}', 422, "NaN is no number"),
        (b"[" * 60_000, 422, "nested too deeply"), (b'{"a": 1' + b"0" * 6000 + b"}", 422, "beyond"),
        (b'{"' + b"a" * 70_000 + b'": 1}', 413, "longer than 65,536 bytes"),
    ],
    ids=lambda value: repr(value)[:16],
)  # fmt: skip
def test_bodies_are_read_strictly(admitted: tuple[Client, str], body: bytes, status: int, said: str) -> None:
    client, token = admitted
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json; charset=utf-8"}
    for path in ("/api/open", "/api/trial", "/api/consent"):
        reply = client.send("POST", path, headers, body)
        assert (reply.status, list(reply.json)) == (status, ["error"])
        assert said in reply.json["error"]


def test_bodies_of_another_kind_are_refused(admitted: tuple[Client, str]) -> None:
    client, token = admitted
    before = [record.seq for record in client.ledger.iter_records()]
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/jsonx"):
        sent = {"authorization": f"Bearer {token}", "content-type": kind}
        assert client.send("POST", "/api/open", sent, b"{}").status == 415
    trial = client.post("/api/trial", token).json
    wrong: list[dict[str, Any]] = [
        {"pick": 5}, {"pick": True}, {"pick": 1.5}, {"ratings": [1, 2, 3]}, {"ratings": [1, 2, 3, 5]}, {"said": "real"},
        {"more": 1}, {"elapsed_ms": -1}, {"elapsed_ms": "1"}, {"actions": {"a": [[[[[[[1]]]]]]]}},
        {"comment": "x" * 501}, {"answer": "x"}, {"trial": None},
    ]  # fmt: skip
    for fields in wrong:
        reply = client.post("/api/answer", token, build_answer(trial, **fields))
        assert reply.status == 422 and len(reply.json["error"]) > 15, fields
        assert next(iter(fields)) in reply.json["error"]
    for fields in ({"viewport": [1]}, {"full_screen": 1}, {"device_pixel_ratio": 0}, {"screen": [1, -1]}, {"x": 1}):
        assert client.post("/api/display", token, DISPLAY | fields).status == 422
    assert client.post("/api/answer", token, build_answer({"trial": "0" * 32})).status == 404
    after = [record.kind for record in client.ledger.iter_records() if record.seq not in before]
    assert set(after) <= {"shown"}


@pytest.fixture(scope="module")
def admitted(tmp_path_factory: pytest.TempPathFactory, make_once: MakeOnce) -> Any:
    study = copy_bare_study(make_once, tmp_path_factory.mktemp("app") / "study")
    with open_client(study) as client:
        token = issue_link(client.ledger, "R1")
        client.admit(token)
        yield client, token


def test_everything_else_is_nothing(admitted: tuple[Client, str]) -> None:
    client, token = admitted
    sent = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    for path in (*POSTS, "/", "/api/frame/" + "0" * 32):
        for method in {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"}:
            allowed = "POST" if path in POSTS else "GET"
            if method != allowed:
                reply = client.send(method, path, sent, b"{}")
                assert (reply.status, reply.header("allow")) == (405, allowed), (method, path)
                assert method == "HEAD" or list(reply.json) == ["error"]
    for path in (
        "/x", "/api", "/api/", "/api/open/", "/api/frame", "/api/frame/", "/api/frame/../open", "//",
        "/../sealed/truth.json", "/static/app.js", "/index.html", "/schedule.json", "/study.sqlite", "/api/status",
        "/docs", "/.git/config", "/%2e%2e/",
        "/api/frame/" + "0" * 32, "/api/frame/" + "é" * 32, "/api/frame/1", "/api/frame/" + "a" * 5000,
    ):  # fmt: skip
        reply = client.send("GET", path, sent)
        assert (reply.status, reply.json) == (404, {"error": "there is nothing here"}), path


def test_every_reply_has_the_same_guards_and_nothing_to_follow_readers_by(admitted: tuple[Client, str]) -> None:
    client, token = admitted
    pane = client.post("/api/trial", token).json["panes"][0]
    replies = [
        client.send("GET", "/"), client.send("GET", "/nothing"), client.send("HEAD", "/"),
        client.post("/api/open", token), client.post("/api/open", "x"), client.get(f"/api/frame/{pane}", token),
        client.post("/api/open", token, {"a": 1}),
        client.send("GET", "/", {"if-none-match": "*", "accept-encoding": "gzip", "range": "bytes=0-1"}),
    ]  # fmt: skip
    for reply in replies:
        found = dict(reply.headers)
        assert {name: found[name] for name in HEADERS} == HEADERS
        assert set(found) - set(HEADERS) <= {"content-length", "content-type", "allow"}
        assert found["content-length"] == str(len(reply.body))
    assert replies[0] == replies[-1] and replies[0].status == 200


def test_whoever_asks_too_often_waits(study: StudyFolder) -> None:
    with open_client(study, per_link=Rate(0.5, 5), unknown_links=Rate(0.1, 3)) as client:
        token, other = issue_link(client.ledger, "R1"), issue_link(client.ledger, "R2")
        assert [client.post("/api/open", token).status for _ in range(7)] == [200] * 5 + [429] * 2
        assert client.post("/api/open", other).status == 200
        statuses = [client.post("/api/open", stranger * 43).status for stranger in "ABCDE"]
        assert statuses == [401, 401, 401, 429, 429]
        waiting = client.post("/api/open", "x" * 43)
        assert waiting.header("retry-after") == "10" and "wait" in waiting.json["error"]
        assert client.post("/api/open", other).status == 200
    now = [0.0]
    limit = Limit(Rate(2, 3), clock=lambda: now[0])
    assert [limit.take("a") for _ in range(5)] == [0, 0, 0, 1, 1]
    now[0] += 0.6
    assert [limit.take("a"), limit.take("a"), limit.take("b")] == [0, 1, 0]
    now[0] += 1000
    assert [limit.take("a") for _ in range(4)] == [0, 0, 0, 1]


def test_two_machines_at_once_count_once(study: StudyFolder) -> None:
    with open_client(study) as client:
        tokens = [issue_link(client.ledger, reader) for reader in study.protocol.readers]
        for token in tokens:
            client.admit(token)
        trials = [client.post("/api/trial", token).json for token in tokens]
        same = build_answer(trials[0])
        replies = client.post_together(
            [("/api/answer", tokens[0], same)] * 5
            + [("/api/answer", tokens[0], build_answer(trials[0])) for _ in range(5)]
            + [("/api/answer", tokens[1], build_answer(trials[1])), ("/api/answer", tokens[2], build_answer(trials[2]))]
        )
        assert [reply.status for reply in replies] == [200] * 5 + [409] * 5 + [200] * 2
        assert len({reply.body for reply in replies[:5]}) == 1
        kinds = [record.kind for record in client.ledger.iter_records()]
        assert (kinds.count("answer"), kinds.count("refused")) == (3, 5)
        client.ledger.verify()


def test_a_ledger_that_cannot_be_written_acknowledges_nothing(study: StudyFolder) -> None:
    with open_client(study) as client:
        tokens = [issue_link(client.ledger, reader) for reader in ("R1", "R2")]
        for token in tokens:
            client.admit(token)
        answers = [build_answer(client.post("/api/trial", token).json) for token in tokens]
        before = client.ledger.find_head()
        client.ledger.query("PRAGMA query_only = ON")
        requests = [("/api/answer", token, answer) for token, answer in zip(tokens, answers, strict=True)]
        replies = client.post_together(requests)
        assert [reply.status for reply in replies] == [503, 503]
        assert "nothing is lost" in replies[0].json["error"] and client.ledger.find_head() == before
        client.ledger.query("PRAGMA query_only = OFF")
        assert [reply.status for reply in client.post_together(requests)] == [200, 200]


def test_what_was_touched_is_not_served(study: StudyFolder) -> None:
    def refuse(said: str) -> None:
        with pytest.raises(DataError, match=said), open_client(study):
            pass

    for path, said in ((study.paths.frames, "is not what the protocol"), (study.paths.schedule, "is not the schedule")):
        data = path.read_bytes()
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
        refuse(said)
        path.write_bytes(data[:-1])
        refuse(r"has 24,575 bytes|is not the schedule")
        path.write_bytes(data)
    with open_ledger(study) as ledger:
        ledger.query("DROP TRIGGER never_changed")
    refuse("its guard 'never_changed'")


def test_frames_that_change_while_they_are_served_are_not_shown(
    study: StudyFolder, caplog: pytest.LogCaptureFixture
) -> None:
    with open_client(study) as client:
        token = issue_link(client.ledger, "R1")
        client.admit(token)
        pane = client.post("/api/trial", token).json["panes"][0]
        data, path = study.paths.frames.read_bytes(), study.paths.frames
        for changed in (data[1024:] + data[:1024], data[:10], data):
            path.write_bytes(changed)
            reply = client.get(f"/api/frame/{pane}", token)
            assert reply.status == (200 if changed == data else 503)
        path.unlink()
        assert client.get(f"/api/frame/{pane}", token).status == 503
    assert "put that file back" in caplog.text and "frames.bin" in caplog.text


def test_an_unblinded_study_is_not_served(study: StudyFolder) -> None:
    with open_client(study) as client:
        token = issue_link(client.ledger, "R1")
        client.admit(token)
        trial = client.post("/api/trial", token).json
        first = build_answer(trial)
        assert client.post("/api/answer", token, first).status == 200
        trial = client.post("/api/trial", token).json
        client.ledger.append("unblind", body={"truth_sha256": "", "incomplete": [], "reason": ""})
        for reply in (
            client.post("/api/answer", token, build_answer(trial)),
            client.post("/api/trial", token),
            client.get(f"/api/frame/{trial['panes'][0]}", token),
        ):
            assert reply.status == 403 and reply.json["error"].startswith(
                "this study is over"
            )  # The page looks for it.
        assert client.post("/api/answer", token, first).json["saved"]  # Its reply had been lost on the way.
    with pytest.raises(DataError, match="was unblinded"), open_client(study):
        pass
