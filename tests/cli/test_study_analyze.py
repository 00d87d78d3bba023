"""`study analyze`: what it refuses, with file, line, column, value and next step; and a study that was planned here."""

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cspine_bench.cli import cli
from cspine_bench.study.analysis.open import open_planned
from cspine_bench.study.folder import StudyFolder, open_study
from cspine_bench.study.ledger.store import open_ledger
from cspine_bench.study.ledger.unblinding import unblind_study
from cspine_bench.study.plan.write import write_plan
from cspine_bench.study.simulate.recipe import PRESETS
from cspine_bench.study.simulate.served import simulate_study
from tests.study.small_answers import (
    RATINGS,
    TRIALS,
    draw_answers,
    draw_singles,
    run_json,
    values_of,
    write_rows,
)
from tests.study.small_study import build_small_plan, copy_small_study

MakeOnce = Callable[[str, Callable[[Path], object]], Path]
Change = Callable[[str], str]

REPEATS = ("reader", "quartet", "image_id", "source", "rating_1", "rating_2", "picked_1", "picked_2")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of two readers and three quartets, of which R1 saw Q01 twice."""
    folder = tmp_path_factory.mktemp("tables")
    trials, ratings = draw_answers(("R1", "R2"), ("Q01", "Q02", "Q03"))
    write_rows(folder / "trials.csv", TRIALS, trials)
    write_rows(folder / "ratings.csv", RATINGS, ratings)
    first = next(row for row in trials if row[:2] == ("R1", "Q01"))
    rows = []
    for row in (row for row in ratings if row[:2] == ("R1", "Q01")):
        picked = int(row[4] == first[3])
        rows.append((*row[:4], row[5], row[5], picked, picked))
    write_rows(folder / "repeats.csv", REPEATS, rows)
    return folder


def analyse(folder: Path, *more: str, tables: tuple[str, ...] = ("trials", "ratings", "repeats")) -> Result:
    words = [word for name in tables for word in (f"--{name}", str(folder / f"{name}.csv"))]
    return CliRunner().invoke(cli, ["study", "analyze", *words, *more])


def put(line: int, column: str, value: str) -> Change:
    """A change of one cell; lines count from 1, the header being the first."""

    def change(text: str) -> str:
        lines = [one.split(",") for one in text.splitlines()]
        lines[line - 1][lines[0].index(column)] = value
        return "\n".join(map(",".join, lines)) + "\n"

    return change


def again(line: int) -> Change:
    return lambda text: text + text.splitlines()[line - 1] + "\n"


def swap(old: str, new: str) -> Change:
    return lambda text: text.replace(old, new, 1)


FAULTS: list[tuple[str, Change, str]] = [
    ("trials", swap("correct", "korrect"), "line 1: column 'correct' is missing (is it 'korrect'?)"),
    ("trials", swap("kind", "knid"), "line 1: unknown column 'knid'; did you mean 'kind'?"),
    ("trials", swap("kind", "correct"), "line 1: column 'correct' is named twice"),
    ("trials", lambda text: text.replace(",", ";"), "values are separated by ';', not by commas"),
    ("trials", lambda text: "", "is empty; give a CSV file"),
    ("trials", lambda text: text.splitlines()[0] + "\n", "has a header and no row"),
    ("trials", lambda text: text + "R1,Q01,4\n", "line 8 has 3 values, the header has 8"),
    ("trials", lambda text: text + '"R1,Q01,4\n', "is no CSV"),
    ("trials", put(3, "reader", ""), "line 3, reader = '': is empty"),
    ("trials", put(3, "picked_position", "5"), "line 3, picked_position = '5': is outside 1 to 4"),
    ("trials", put(3, "picked_position", ""), "picked_position = '': is no whole number"),
    ("trials", put(3, "trial_index", "0"), "trial_index = '0': is outside 1 or more"),
    ("trials", put(3, "correct", "yes"), "correct = 'yes': is neither 0 nor 1"),
    ("trials", put(3, "response_time_s", "-2"), "response_time_s = '-2': is no number of seconds"),
    ("trials", put(3, "response_time_s", "1_0"), "response_time_s = '1_0': is no number of seconds"),
    ("trials", put(3, "kind", "mian"), "kind = 'mian': is none of training, main, repeat"),
    ("trials", put(3, "picked_source", "s9"), "picked_source = 's9'"),
    ("trials", put(3, "picked_source", "Real"), "picked_source = 'Real': is not spelled 'real'"),
    ("trials", again(2), "line 8, quartet = 'Q01': reader 'R1' answered it in line 2 already"),
    ("ratings", put(4, "rating", "5"), "line 4, rating = '5': is outside 1 to 4; mend it, or say by --steps"),
    ("ratings", put(4, "rating", "2.5"), "rating = '2.5': is no whole number of 1 to 4"),
    ("ratings", put(4, "rating", "nan"), "rating = 'nan': is no whole number"),
    ("ratings", put(4, "position", "9"), "position = '9': is outside 1 to 4"),
    ("ratings", put(4, "reader", "R11"), "line 4, reader = 'R11': has no trial; did you mean 'R1'?"),
    ("ratings", put(4, "quartet", "Q9"), "quartet = 'Q9': is in no trial"),
    ("ratings", put(4, "source", "s9"), "is of 's9' in line 4; an image has one source"),
    ("ratings", again(4), "line 26, image_id = "),
    ("repeats", put(2, "rating_1", "9"), "rating_1 = '9': is outside 1 to 4"),
    ("repeats", put(2, "reader", "R9"), "quartet = 'Q01': reader 'R9' has no first answer to it"),
    ("repeats", lambda text: re.sub(r"1\n", "0\n", text), "reader 'R1' has 0 images of 'Q01' with picked_2 = 1"),
    ("repeats", again(2), "line 6, image_id = "),
]


def test_every_fault_is_named(clean: Path, tmp_path: Path) -> None:
    assert analyse(clean, "--dry-run").exit_code == 0
    for number, (name, change, said) in enumerate(FAULTS):
        folder = shutil.copytree(clean, tmp_path / str(number))
        path = folder / f"{name}.csv"
        path.write_text(change(path.read_text()))
        ran = analyse(folder, "--dry-run")
        assert ran.exit_code == 2 and "Traceback" not in ran.output, (number, ran.output)
        assert str(path) in ran.output and said in ran.output, (number, said, ran.output)
        assert len(ran.output.strip().splitlines()) == 1


def test_tables_that_do_not_fit_together(clean: Path, tmp_path: Path) -> None:
    lines = (clean / "trials.csv").read_text().splitlines()
    wrong = shutil.copytree(clean, tmp_path / "correct")
    flipped = [one.split(",") for one in lines]
    flipped[1][5] = "1" if flipped[1][5] == "0" else "0"
    (wrong / "trials.csv").write_text("\n".join(map(",".join, flipped)))
    assert "line 2, correct = " in analyse(wrong, "--dry-run").output
    moved = shutil.copytree(clean, tmp_path / "pane")
    flipped = [one.split(",") for one in lines]
    flipped[1][3] = str(int(flipped[1][3]) % 4 + 1)
    (moved / "trials.csv").write_text("\n".join(map(",".join, flipped)))
    assert re.search(r"line 2, picked_source = .*by the ratings, pane \d showed", analyse(moved, "--dry-run").output)
    none = tmp_path / "none-real"
    none.mkdir()
    trials, ratings = draw_answers(("R1", "R2"), ("Q01", "Q02"), pick=lambda draw: 2)
    write_rows(none / "trials.csv", TRIALS, trials)
    write_rows(none / "ratings.csv", RATINGS, [(*row[:3], row[3].replace("real", "s4"), *row[4:]) for row in ratings])
    ran = analyse(none, "--dry-run", tables=("trials", "ratings"))
    assert ran.exit_code == 2 and "display set 'Q01' has 4 images, 0 of them real" in ran.output
    single = tmp_path / "single"
    single.mkdir()
    trials, _ = draw_singles(("R1", "R2"), count=4, say="right")
    trials[-1] = (*trials[-1][:5], 1 - trials[-1][5], *trials[-1][6:])
    write_rows(single / "trials.csv", TRIALS, trials)
    ran = analyse(single, "--dry-run", tables=("trials",))
    assert ran.exit_code == 2 and "line 9, correct = '0': by line 5 the image is synthetic" in ran.output


def test_how_programs_write_csv(clean: Path, tmp_path: Path) -> None:
    for name in ("trials", "ratings", "repeats"):
        text = (clean / f"{name}.csv").read_text().replace("R1", '"R1"').replace("\n", "\r\n")
        (tmp_path / f"{name}.csv").write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n\r\n")
    plain, dressed = analyse(clean, "--dry-run", "--json"), analyse(tmp_path, "--dry-run", "--json")
    assert json.loads(plain.stdout) == json.loads(dressed.stdout)
    for data, said in ((clean / "trials.csv").read_text().encode("utf-16"), "UTF-16"), (b"reader,caf\xe9\n", "0xe9"):
        (tmp_path / "trials.csv").write_bytes(data)
        ran = analyse(tmp_path, "--dry-run")
        assert ran.exit_code == 2 and said in ran.output and "save it as CSV in UTF-8" in ran.output


def test_options_that_make_no_sense(clean: Path) -> None:
    runner = CliRunner()

    def refuse(*words: str) -> str:
        ran = runner.invoke(cli, ["study", "analyze", *words])
        assert ran.exit_code == 2 and "Traceback" not in ran.output
        return ran.output

    trials = ("--trials", str(clean / "trials.csv"))
    assert "name one of" in refuse() and "name one of" in refuse(*trials, "--correct", "3")
    assert "--out is missing" in refuse(*trials)
    assert "--truth goes with a STUDY" in refuse(*trials, "--truth", str(clean))
    assert "--ratings goes with --trials" in refuse(str(clean), "--ratings", str(clean / "ratings.csv"))
    assert "holds no study" in refuse(str(clean), "--out", "x")
    assert "alpha = 0.6 is not possible" in refuse(*trials, "--dry-run", "--set", "alpha=0.6")
    assert "unknown setting 'margin'" in refuse(*trials, "--dry-run", "--set", "margin=0.6")
    assert "--correct needs --answers" in refuse("--correct", "3")
    assert "--kappa and --readers go together" in refuse("--correct", "3", "--answers", "9", "--kappa", "0.1")
    assert "--correct 9 is more than --answers 3" in refuse("--correct", "9", "--answers", "3")
    wide = runner.invoke(cli, ["study", "analyze", *trials, "--design", "pair", "--dry-run"])
    assert wide.exit_code == 2 and "a pair has 2" in wide.output


def test_aggregates_at_the_ends() -> None:
    for correct in (0, 40):
        words = ["--correct", str(correct), "--answers", "40", "--kappa", "-0.2", "--readers", "8", "--json"]
        ran = CliRunner().invoke(cli, ["study", "analyze", *words])
        assert ran.exit_code == 0, ran.output
        found = json.loads(ran.stdout)
        assert found["figures"]["deff_answers"] <= 40 and "deff_min_margin" in found["not_defined"]


def answer_all(study: StudyFolder) -> None:
    simulate_study(study, PRESETS["skilled"], seed=1)
    with open_ledger(study) as ledger:
        unblind_study(ledger)


def test_a_study_that_was_planned_here(make_once: MakeOnce, tmp_path: Path) -> None:
    study = copy_small_study(make_once, tmp_path / "study")
    folder, out = str(study.paths.folder), tmp_path / "out"
    simulate_study(study, PRESETS["skilled"], seed=1)
    blind = CliRunner().invoke(cli, ["study", "analyze", folder, "--out", str(out)])
    assert blind.exit_code == 2 and "is not unblinded" in blind.output and not out.exists()
    with open_ledger(study) as ledger:
        unblind_study(ledger)
        head = ledger.verify().sha256
    kept = tmp_path / "kept.json"
    study.paths.truth.rename(kept)
    away = CliRunner().invoke(cli, ["study", "analyze", folder, "--out", str(out)])
    assert away.exit_code == 2 and "needs its truth" in away.output
    document = run_json(["study", "analyze", folder, "--truth", str(kept), "--out", str(out)])
    settings, found = document["settings"], values_of(document)
    assert settings["registration"] == "pre-registered" and settings["simulated"]
    assert (settings["protocol_sha256"], settings["chain_head"]) == (study.protocol_sha256, head)
    assert document["verdict"].startswith("Simulated readers: nobody read these images.")
    roles = [one["role"] for one in document["inputs"]]
    assert roles == ["protocol", "schedule", "ledger", "real", "synthetic", "synthetic"]
    assert found["acc.n"] == 12 and found["control.n"] == 3 and "intra.same_pick" in found
    assert "negative.pos.chisq.p" in found and "pick.s1.label_test.p_greater" in found
    later = open_planned(study.paths.folder, truth=kept, overrides=["accuracy_margin=0.2"])
    changed = "accuracy_margin = 0.2, the protocol has 0.1"
    assert later.question.settings["registration"] == "post hoc"
    assert later.collect_records().provenance.post_hoc == (changed,)
    assert f"Post hoc, not as the frozen protocol has it: {changed}" in later.analysis.verdict.text
    with sqlite3.connect(study.paths.ledger) as database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE records SET body = replace(body, '\"pick\":1', '\"pick\":2') WHERE kind = 'answer'")
    database.close()
    broken = CliRunner().invoke(cli, ["study", "analyze", folder, "--truth", str(kept), "--out", str(tmp_path / "x")])
    assert broken.exit_code == 2 and "Traceback" not in broken.output and str(study.paths.ledger) in broken.output


def test_a_planned_study_without_ratings_has_its_primary_test(make_once: MakeOnce, tmp_path: Path) -> None:
    write_plan(build_small_plan(make_once, "ratings=false"), tmp_path / "study")
    answer_all(open_study(tmp_path / "study"))
    document = run_json(["study", "analyze", str(tmp_path / "study"), "--out", str(tmp_path / "out")])
    found = values_of(document)
    # Two sources share three panes: ratings would tell which image was picked, here the schedule does.
    assert {"pick.label_test.p_greater", "pick.s1.label_test.holm", "pick.fleiss.est", "source.chisq.p"} <= set(found)
    assert document["settings"]["not_defined"]["rate.*"] == "no image was rated"
