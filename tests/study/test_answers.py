"""Answers and links: the first answer counts, once; whoever has no link that works is nobody."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cspine_bench.errors import DataError
from cspine_bench.study.folder import StudyFolder, load_schedule
from cspine_bench.study.ledger import sessions
from cspine_bench.study.ledger.answers import Answer, AnswerRefused, Saved, current_trial, find_unfit, save_answer
from cspine_bench.study.ledger.link_list import check_link_list, issue_links, write_link_list
from cspine_bench.study.ledger.links import find_reader, hash_token, issue_link, list_links, revoke_links
from cspine_bench.study.ledger.plain_json import parse_strict_json
from cspine_bench.study.ledger.sessions import record_shown
from cspine_bench.study.ledger.store import Ledger, open_ledger
from cspine_bench.study.ledger.unblinding import open_truth, unblind_study
from cspine_bench.study.schedule import Schedule, trial_id
from tests.study.bare_study import MakeOnce, copy_bare_study, make_bare_study


@pytest.fixture
def study(tmp_path: Path, make_once: MakeOnce) -> StudyFolder:
    return copy_bare_study(make_once, tmp_path / "study")


def build(schedule: Schedule, reader: str, place: int, **fields: Any) -> Answer:
    values = {
        "answer": str(uuid.uuid4()),
        "trial": trial_id(schedule, reader, place),
        "pick": 2,
        "said": None,
        "ratings": [1, 2, 3, 4],
        "elapsed_ms": 1500.5,
        "hidden_ms": 0,
    }
    return Answer.model_validate(values | fields)


def why(ledger: Ledger, schedule: Schedule, reader: str, answer: Answer) -> str:
    with pytest.raises(AnswerRefused) as caught:
        save_answer(ledger, schedule, reader, answer)
    return caught.value.why


def test_the_first_answer_counts_and_counts_once(study: StudyFolder) -> None:
    schedule = load_schedule(study)
    total = len(schedule.find("R1").trials)
    with open_ledger(study) as ledger:
        record_shown(ledger, "R1", 0)
        record_shown(ledger, "R1", 0)
        assert len(list(ledger.iter_records("shown"))) == 1
        answer = build(schedule, "R1", 0, comment="oui, café", actions={"zoom": [1, {"x": 2.5}]})
        assert save_answer(ledger, schedule, "R1", answer) == Saved(1, total, again=False)
        assert save_answer(ledger, schedule, "R1", answer) == Saved(1, total, again=True)
        body = json.loads(next(ledger.iter_records("answer")).body)
        assert body["comment"] == "oui, café" and body["ratings"] == [1, 2, 3, 4] and body["since_shown_ms"] >= 0
        assert current_trial(ledger, schedule, "R1") == 1 and current_trial(ledger, schedule, "R2") == 0
        assert not list(ledger.iter_records("refused"))

        # Another machine, or somebody else with the link; or the same id with other content.
        late = build(schedule, "R1", 0, pick=3)
        assert why(ledger, schedule, "R1", late) == "answered"
        assert why(ledger, schedule, "R1", late) == "answered"
        assert why(ledger, schedule, "R1", answer.model_copy(update={"pick": 1})) == "answered"
        [refused] = ledger.iter_records("refused")
        assert (refused.reader, refused.trial, refused.answer_id) == ("R1", 0, late.answer)
        assert json.loads(refused.body)["pick"] == 3

        # Ids of another reader, of nobody; a trial whose turn is still to come; an id that another reader used.
        assert why(ledger, schedule, "R1", build(schedule, "R2", 0)) == "unknown"
        assert why(ledger, schedule, "R1", build(schedule, "R1", 1, trial="0" * 32)) == "unknown"
        assert why(ledger, schedule, "R1", build(schedule, "R1", 2)) == "unknown"
        assert why(ledger, schedule, "R2", build(schedule, "R2", 0, answer=answer.answer)) == "answered"
        with pytest.raises(KeyError):
            save_answer(ledger, schedule, "R9", answer)
        for place in range(1, total):
            assert save_answer(ledger, schedule, "R1", build(schedule, "R1", place)).done == place + 1
        assert current_trial(ledger, schedule, "R1") is None
        assert len(list(ledger.iter_records("answer"))) == total
        ledger.verify()


@pytest.mark.parametrize(
    "fields",
    [
        {"pick": 0}, {"pick": 5}, {"pick": None}, {"pick": True}, {"pick": "2"}, {"pick": 2.0}, {"pick": [2]},
        {"said": "real"}, {"said": "unsure"}, {"said": True},
        {"ratings": []}, {"ratings": [1, 2, 3]}, {"ratings": [1, 2, 3, 4, 4]}, {"ratings": [1, 2, 3, 0]},
        {"ratings": [1, 2, 3, 5]}, {"ratings": [1, 2, 3, None]}, {"ratings": [1, 2, 3, True]}, {"ratings": "1234"},
        {"ratings": {"0": 1}}, {"ratings": [1.0, 2, 3, 4]},
        {"elapsed_ms": -1}, {"elapsed_ms": float("nan")}, {"elapsed_ms": float("inf")}, {"elapsed_ms": True},
        {"elapsed_ms": "3"}, {"elapsed_ms": None}, {"elapsed_ms": 1e12}, {"hidden_ms": -0.5},
        {"comment": "x" * 501}, {"comment": None}, {"actions": []}, {"actions": {"a": "x" * 9000}},
        {"actions": {"a": [[[[[[[1]]]]]]]}}, {"answer": "no uuid"}, {"answer": ""}, {"answer": None},
        {"trial": 7}, {"trial": "x" * 65}, {"more": 1}, {"kind": "main"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_answer_is_refused(fields: dict[str, Any], shared: tuple[StudyFolder, Schedule]) -> None:
    study, schedule = shared
    try:
        answer = build(schedule, "R1", 0, **fields)
    except ValidationError:
        return
    assert find_unfit(study.protocol, answer)
    with open_ledger(study) as ledger:
        assert why(ledger, schedule, "R1", answer) == "unfit"
        assert not list(ledger.iter_records("answer"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, make_once: MakeOnce) -> tuple[StudyFolder, Schedule]:
    study = copy_bare_study(make_once, tmp_path_factory.mktemp("answers") / "study")
    return study, load_schedule(study)


def test_other_designs_have_other_answers(tmp_path: Path) -> None:
    single = make_bare_study(tmp_path / "single", design="single").protocol
    pair = make_bare_study(tmp_path / "pair", design="pair", ratings=False).protocol
    base = {"answer": str(uuid.uuid4()), "trial": "t", "elapsed_ms": 1, "hidden_ms": 0}

    def fits(protocol: Any, **fields: Any) -> bool:
        return not find_unfit(protocol, Answer.model_validate(base | fields))

    assert fits(single, pick=None, said="real", ratings=[4]) and fits(single, pick=None, said="synthetic", ratings=[1])
    assert not fits(single, pick=1, said="real", ratings=[4]) and not fits(single, pick=None, said=None, ratings=[4])
    assert not fits(single, pick=None, said="real", ratings=[])
    assert fits(pair, pick=2, said=None, ratings=[]) and not fits(pair, pick=3, said=None, ratings=[])
    assert not fits(pair, pick=2, said=None, ratings=[1, 1])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"a": NaN}', "NaN is no number"), (b'{"a": -Infinity}', "no number"), (b'{"a": 1e999}', "beyond 2"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "beyond 2"), (b'{"a": 9007199254740993}', "beyond 2"),
        (b'{"a": 1, "a": 2}', "key twice"), (b'{"a": "\\ud800"}', "half of a character"),
        (b"[" * 100_000, "nested too deeply"), (b'{"a"}', "delimiter"), (b"\xff\xfe", "decode"), (b"", "value"),
    ],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_json_of_strangers_is_read_strictly(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_strict_json(data)
    assert parse_strict_json(b'{"a": [1, 2.5, null, "\\u00e9"]}') == {"a": [1, 2.5, None, "é"]}


def test_links_are_secrets_of_which_only_the_hash_is_kept(study: StudyFolder) -> None:
    with open_ledger(study) as ledger:
        first, other = issue_link(ledger, "R1"), issue_link(ledger, "R2")
        assert len(first) == 43 and first != other
        assert find_reader(ledger, first) == "R1" and find_reader(ledger, other) == "R2"
        for stranger in ("", "x", first[:-1], first + "A", first.swapcase(), "é" * 43, "\0" * 43, hash_token(first)):
            assert find_reader(ledger, stranger) is None
        again = issue_link(ledger, "R1")
        assert find_reader(ledger, first) is None and find_reader(ledger, again) == "R1"
        assert list(list_links(ledger).values()) == ["R2", "R1"]
        assert revoke_links(ledger, "R1") and not revoke_links(ledger, "R1")
        assert find_reader(ledger, again) is None and find_reader(ledger, other) == "R2"
        assert find_reader(ledger, issue_link(ledger, "R1")) == "R1"
        with pytest.raises(DataError, match="no reader 'R9', only R1, R2, R3"):
            issue_link(ledger, "R9")
        ledger.verify()
    stored = study.paths.ledger.read_bytes()
    assert first.encode() not in stored and again.encode() not in stored and hash_token(first).encode() in stored


def test_lists_of_links(study: StudyFolder, tmp_path: Path) -> None:
    out = tmp_path / "links.csv"
    with open_ledger(study) as ledger:
        links = issue_links(ledger, ["R2"], base_url="https://study.example.org/sub")
        assert (links["R2"] or "").startswith("https://study.example.org/sub/#")
        rest = issue_links(ledger, base_url="http://127.0.0.1:1/")
        assert rest["R2"] is None and rest["R1"] and rest["R3"]
        assert all(issue_links(ledger, base_url="http://h/", reissue=True).values())
        for bad in ("ftp://h/", "h", "", "http://", "https://h/?q=1", "https://h/#x"):
            with pytest.raises(DataError, match="no address of a server"):
                issue_links(ledger, base_url=bad)
    write_link_list(out, rest)
    assert out.stat().st_mode & 0o777 == 0o600
    assert out.read_text().splitlines() == ["reader,link", f"R1,{rest['R1']}", f"R3,{rest['R3']}"]
    for path in (out, tmp_path / "none" / "links.csv"):
        with pytest.raises(DataError, match="there"):
            check_link_list(path)


def test_unblinding_is_once_on_the_record_and_ends_answers(study: StudyFolder, tmp_path: Path) -> None:
    schedule = load_schedule(study)
    elsewhere = tmp_path / "truth.json"
    study.paths.truth.replace(elsewhere)
    with open_ledger(study) as ledger:
        save_answer(ledger, schedule, "R1", build(schedule, "R1", 0))
        with pytest.raises(DataError, match="is not unblinded"):
            open_truth(study, ledger, elsewhere)
        with pytest.raises(DataError, match="cannot be read"):
            unblind_study(ledger)
        for reason in ("", "  "):
            with pytest.raises(DataError, match=r"R1 \(1 of 7\), R2 \(0 of 7\).*--incomplete"):
                unblind_study(ledger, truth_path=elsewhere, reason=reason)
        sealed = elsewhere.read_bytes()
        elsewhere.write_bytes(sealed.replace(b"ckpt-early", b"ckpt-later"))
        with pytest.raises(DataError, match="is not the truth that the protocol was frozen with"):
            unblind_study(ledger, truth_path=elsewhere, reason="R3 fell ill")
        elsewhere.write_bytes(sealed)
        first = unblind_study(ledger, truth_path=elsewhere, reason="R3 fell ill")
        assert not first.earlier and first.reason == "R3 fell ill" and len(first.incomplete) == 3
        second = unblind_study(ledger, truth_path=elsewhere)
        assert second.earlier and second.time == first.time and second.reason == first.reason
        assert len(open_truth(study, ledger, elsewhere).frames) == study.protocol.frames.count
        assert why(ledger, schedule, "R1", build(schedule, "R1", 1)) == "closed"
        with pytest.raises(DataError, match="was unblinded"):
            issue_link(ledger, "R1")
        assert len(list(ledger.iter_records("unblind"))) == 1
        ledger.verify()


def test_no_reader_fills_the_disk(study: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_OF_A_KIND", 3)
    schedule = load_schedule(study)
    with open_ledger(study) as ledger:
        save_answer(ledger, schedule, "R1", build(schedule, "R1", 0))
        for width in range(6):
            display = {"device_pixel_ratio": 1.0, "viewport": [width, 1], "screen": [1, 1], "full_screen": False}
            checked = sessions.Display.model_validate(display | {"dark_patch": True, "light_patch": True})
            sessions.record_display(ledger, "R1", checked)
            assert why(ledger, schedule, "R1", build(schedule, "R1", 0)) == "answered"
        kinds = [record.kind for record in ledger.iter_records()]
        assert (kinds.count("display"), kinds.count("refused")) == (3, 3)
