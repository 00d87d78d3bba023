"""The ledger: nothing is lost, nothing changes, and whoever changes it is found out."""

import json
import sqlite3
import threading
from pathlib import Path

import pytest

from cspine_bench.errors import DataError
from cspine_bench.study.folder import StudyFolder, open_study
from cspine_bench.study.ledger.record import KINDS
from cspine_bench.study.ledger.schema import GUARDS
from cspine_bench.study.ledger.store import create_ledger, open_ledger
from tests.study.bare_study import MakeOnce, copy_bare_study, freeze, make_bare_study


@pytest.fixture
def study(tmp_path: Path, make_once: MakeOnce) -> StudyFolder:
    study = copy_bare_study(make_once, tmp_path / "study")
    with open_ledger(study) as ledger:
        for number in range(5):
            ledger.append("answer", "R1", number, f"a{number}", {"pick": number})
    return study


def change(study: StudyFolder, *statements: str) -> None:
    """As somebody with a database tool would."""
    connection = sqlite3.connect(study.paths.ledger)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def find_fault(study: StudyFolder) -> str:
    with open_ledger(study, read_only=True) as ledger:
        return str(ledger.find_fault())


def drop(*names: str) -> list[str]:
    return [f"DROP TRIGGER {name}" for name in names or GUARDS]


def test_records_follow_each_other(study: StudyFolder) -> None:
    with open_ledger(study) as ledger:
        first, *others = ledger.iter_records()
        assert (first.seq, first.kind, first.previous) == (1, "plan", "")
        assert json.loads(first.body)["protocol_sha256"] == study.protocol_sha256
        for before, record in zip([first, *others], others, strict=False):
            assert (record.seq, record.previous) == (before.seq + 1, before.sha256)
            assert record.sha256 == record.compute_sha256()
            assert record.time.endswith("Z") and len(record.time) == 24
        assert ledger.verify() == others[-1]
        assert ledger.has_head(first.sha256) and not ledger.has_head("0" * 64)
        assert [record.trial for record in ledger.iter_records("answer")] == [0, 1, 2, 3, 4]
        with pytest.raises(ValueError, match="kind must be one of"):
            ledger.append("guess")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="not JSON compliant"):
            ledger.append("display", "R1", body={"ratio": float("nan")})
    assert study.paths.ledger.stat().st_mode & 0o777 == 0o600
    with pytest.raises(DataError, match="never written over"):
        create_ledger(study.paths.ledger, study)


def test_a_transaction_is_whole_or_nothing(study: StudyFolder) -> None:
    with open_ledger(study) as ledger:
        with ledger.transaction():
            ledger.append("consent", "R1")
            with ledger.transaction():
                ledger.append("consent", "R2")
        with pytest.raises(KeyError), ledger.transaction():
            ledger.append("consent", "R3")
            raise KeyError
        assert [record.reader for record in ledger.iter_records("consent")] == ["R1", "R2"]
        ledger.append("consent", "R3")
        ledger.verify()


def test_the_database_refuses_what_never_happens(study: StudyFolder) -> None:
    again = "INSERT OR REPLACE INTO records (seq, time, kind, reader, trial, answer_id, body, previous, sha256) "
    for statement, why in (
        ("UPDATE records SET body = '{}' WHERE seq = 3", "never changed"),
        ("DELETE FROM records WHERE seq = 3", "never deleted"),
        ("DELETE FROM records", "never deleted"),
        (again + "SELECT seq, time, kind, reader, trial, answer_id, '{}', previous, sha256 FROM records WHERE seq = 3",
         "never replaced"),
        (again + "VALUES (99, '', 'refused', 'R1', 0, 'a1', '{}', '', '')", "never replaced"),
        (again + "VALUES (99, '', 'answer', 'R1', 0, 'new', '{}', '', '')", "never replaced"),
    ):  # fmt: skip
        with pytest.raises(sqlite3.IntegrityError, match=why):
            change(study, statement)
    with open_ledger(study) as ledger:
        for kind, arguments in (("answer", ("R1", 0, "other")), ("refused", ("R1", 0, "a1")), ("plan", ())):
            with pytest.raises(ValueError, match=r"never|UNIQUE"):
                ledger.append(kind, *arguments)  # type: ignore[arg-type]
        ledger.append("unblind")
        with pytest.raises(ValueError, match="UNIQUE"):
            ledger.append("unblind")
        with pytest.raises(ValueError, match="after unblinding"):
            ledger.append("answer", "R2", 0, "late")
        ledger.verify()


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        ([*drop("never_changed"), "UPDATE records SET body = '{\"pick\":9}' WHERE seq = 4"], "record 4: was changed"),
        ([*drop("never_changed"), "UPDATE records SET reader = 'R2' WHERE seq = 3"], "record 3: was changed"),
        ([*drop("never_changed"), "UPDATE records SET body = x'00' WHERE seq = 3"], "record 3: was changed"),
        ([*drop("never_changed"), "UPDATE records SET sha256 = 'x' WHERE seq = 2"], "record 2: was changed"),
        ([*drop("never_changed"), "UPDATE records SET previous = '' WHERE seq = 5"], "record 5: does not follow"),
        ([*drop("never_deleted"), "DELETE FROM records WHERE seq = 3"], "record 3: is missing"),
        ([*drop("never_deleted"), "DELETE FROM records WHERE seq = 6"], "record 6: is missing; there were 6"),
        (
            [*drop(), "DELETE FROM records WHERE seq = 6", "DELETE FROM sqlite_sequence"],
            "record 6: is missing; there were an unknown number",
        ),
        (drop("never_replaced"), "its guard 'never_replaced' was dropped"),
        (
            [
                *drop("never_deleted"),
                "CREATE TRIGGER never_deleted BEFORE DELETE ON records BEGIN SELECT 1; END",
            ],
            "its guard 'never_deleted' was dropped or changed",
        ),
        (["DROP INDEX first_answer_counts"], "its guard 'first_answer_counts' was dropped"),
        (
            ["CREATE TRIGGER quiet BEFORE INSERT ON records WHEN NEW.reader = 'R1' BEGIN SELECT RAISE(IGNORE); END"],
            "it has a trigger 'quiet' that is none of a study's",
        ),
    ],
)
def test_a_change_is_found_and_named(study: StudyFolder, statements: list[str], said: str) -> None:
    assert find_fault(study) == "None"
    change(study, *statements)
    assert said in find_fault(study)
    with open_ledger(study) as ledger, pytest.raises(DataError, match=said.split(";")[0]):
        ledger.verify()


def test_a_record_rewritten_with_its_hash_breaks_the_next(study: StudyFolder) -> None:
    with open_ledger(study) as ledger:
        record = next(ledger.select("seq = 3"))
        head = ledger.verify()
    forged = type(record)(**{name: getattr(record, name) for name in type(record).__slots__} | {"body": "{}"})
    change(
        study,
        *drop("never_changed"),
        f"UPDATE records SET body = '{{}}', sha256 = '{forged.compute_sha256()}' WHERE seq = 3",
    )
    assert "record 4: does not follow" in find_fault(study)
    with open_ledger(study) as ledger:
        assert ledger.has_head(head.sha256)  # What was noted outside tells a chain written anew in whole.


@pytest.mark.parametrize("gone", ["study.sqlite", "study.sqlite-wal"])
def test_nothing_is_written_to_a_file_that_is_gone(study: StudyFolder, gone: str) -> None:
    path = study.paths.folder / gone
    with open_ledger(study) as ledger, open_ledger(study):
        ledger.append("serve")
        copy = path.read_bytes()
        path.unlink()
        with pytest.raises(DataError, match="was deleted, moved or replaced"):
            ledger.append("serve")
        path.with_name("backup").write_bytes(copy)
        path.with_name("backup").rename(path)
        with pytest.raises(DataError, match="was deleted, moved or replaced"):
            ledger.append("serve")


def test_a_ledger_belongs_to_its_protocol(study: StudyFolder, tmp_path: Path) -> None:
    other = make_bare_study(tmp_path / "other", seed=6)
    for case in ("foreign", "edited", "no database", "missing"):
        if case == "foreign":
            study.paths.ledger.replace(tmp_path / "kept")
            other.paths.ledger.replace(study.paths.ledger)
        elif case == "edited":
            (tmp_path / "kept").replace(study.paths.ledger)
            recipe = study.protocol.recipe.model_copy(update={"title": "Another question"})
            freeze(study.paths.folder, study.protocol.model_copy(update={"recipe": recipe}))
        elif case == "no database":
            study.paths.ledger.write_bytes(b"no database at all" * 300)
        else:
            study.paths.ledger.unlink()
        with pytest.raises(DataError, match=r"first record|not a database|is not there"):
            open_ledger(open_study(study.paths.folder))
    study.paths.protocol.write_bytes(study.paths.protocol.read_bytes() + b"\n")
    with pytest.raises(DataError, match="was edited after it was frozen"):
        open_study(study.paths.folder)


def test_a_reader_sees_what_a_writer_finished_and_writes_nothing(study: StudyFolder) -> None:
    with open_ledger(study) as writing, open_ledger(study, read_only=True) as reading:
        with writing.transaction():
            writing.append("consent", "R1")
            assert not list(reading.iter_records("consent"))
        assert len(list(reading.iter_records("consent"))) == 1
        with pytest.raises(DataError, match="readonly"):
            reading.append("consent", "R2")


def test_two_writers_make_one_chain(study: StudyFolder) -> None:
    def write(name: str) -> None:
        with open_ledger(study) as ledger:
            for number in range(40):
                ledger.append("refused", name, number)

    threads = [threading.Thread(target=write, args=(name,)) for name in ("R1", "R2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open_ledger(study) as ledger:
        ledger.verify()
        for name in ("R1", "R2"):
            assert [record.trial for record in ledger.iter_records("refused") if record.reader == name] == [*range(40)]


def test_kinds_are_told_apart_from_anything_else() -> None:
    assert len(KINDS) == len(set(KINDS)) == 12
