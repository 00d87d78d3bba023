"""What a study gives away: nothing of the truth before unblinding, all of it after, and nothing else than was said."""

import csv
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cspine_bench.errors import DataError
from cspine_bench.study.analysis.read_csv import read_tables
from cspine_bench.study.export.collect import collect_responses, iter_answers, name_image
from cspine_bench.study.export.export import export_study
from cspine_bench.study.export.mrmc_layouts import list_scores, render_imrmc
from cspine_bench.study.folder import StudyFolder, load_schedule, load_truth
from cspine_bench.study.ledger.answers import Answer, save_answer
from cspine_bench.study.ledger.progress import measure_progress
from cspine_bench.study.ledger.record import Record
from cspine_bench.study.ledger.store import Ledger, open_ledger
from cspine_bench.study.ledger.unblinding import open_truth, unblind_study
from cspine_bench.study.schedule import trial_id
from cspine_bench.study.truth import REAL
from tests.study.bare_study import make_bare_study


def answer_all(study: StudyFolder, ledger: Ledger, *, leave: int = 0) -> None:
    """Reader number k picks pane k of trial n plus n, and rates panes 1, 2, 3, 4; the last trials are left."""
    schedule = load_schedule(study)
    recipe, single = study.protocol.recipe, study.protocol.recipe.design == "single"
    with ledger.transaction():
        for number, own in enumerate(schedule.readers):
            for place in range(len(own.trials) - leave):
                values: dict[str, Any] = {
                    "answer": f"00000000-0000-4000-8000-{number:06d}{place:06d}",
                    "trial": trial_id(schedule, own.reader, place),
                    "pick": None if single else 1 + (number + place) % recipe.num_panes,
                    "said": ("real", "synthetic")[(number + place) % 2] if single else None,
                    "ratings": [1, 2, 3, 4][: recipe.num_panes] if recipe.ratings else [],
                    "elapsed_ms": 1000 * (place + 1) + 0.25,
                    "hidden_ms": 0,
                    "comment": '=HYPERLINK("x"), said "é"\n',
                }
                save_answer(ledger, schedule, own.reader, Answer.model_validate(values))


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def quartets(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    study = make_bare_study(tmp_path_factory.mktemp("export") / "study", negative_controls=1, repeats=2)
    with open_ledger(study) as ledger:
        answer_all(study, ledger)
        unblind_study(ledger)
    return study


def test_responses_are_what_was_shown_and_said(quartets: StudyFolder) -> None:
    truth, schedule = load_truth(quartets), load_schedule(quartets)
    with open_ledger(quartets, read_only=True) as ledger:
        responses = collect_responses(quartets, ledger, truth)
    assert (responses.design, responses.num_steps, responses.simulated) == ("quartet", 4, False)
    total = sum(len(own.trials) for own in schedule.readers)
    assert (len(responses.trials), len(responses.ratings)) == (total, 4 * total)
    sources = {name_image(number): frame.source for number, frame in enumerate(truth.frames)}
    for trial in responses.trials:
        number = int(trial.reader[1:]) - 1
        planned = schedule.find(trial.reader).trials[trial.trial_index - 1]
        position = 1 + (number + trial.trial_index - 1) % 4
        source = truth.frames[planned.frames[position - 1]].source
        assert (trial.quartet, trial.kind, trial.picked_position) == (planned.case, planned.kind, position)
        assert (trial.picked_source, trial.correct) == (source, source == REAL)
        assert trial.response_time_s == pytest.approx(trial.trial_index + 0.00025)
    assert not any(trial.correct for trial in responses.trials if trial.kind == "negative-control")
    for rating in responses.ratings:
        assert rating.rating == rating.position and rating.source == sources[rating.image_id]
    shown = {(rating.reader, rating.quartet, rating.kind, rating.image_id) for rating in responses.ratings}
    assert len(shown) == 4 * total


def test_an_export_tells_all_after_unblinding(quartets: StudyFolder, tmp_path: Path) -> None:
    out = tmp_path / "answers"
    with open_ledger(quartets, read_only=True) as ledger:
        truth = open_truth(quartets, ledger)
        written = export_study(ledger, truth, out)
        head, records = ledger.verify(), list(ledger.iter_records())
        responses = collect_responses(quartets, ledger, truth)
        with pytest.raises(DataError, match="holds an export already"):
            export_study(ledger, truth, out)
        export_study(ledger, truth, out, overwrite=True)
        (tmp_path / "mine").mkdir()
        with pytest.raises(DataError, match="is no export of a study"):
            export_study(ledger, truth, tmp_path / "mine", overwrite=True)
    assert {path.name for path in out.iterdir()} == set(written.files) and len(list(tmp_path.iterdir())) == 2
    manifest = json.loads((out / "manifest.json").read_text())
    assert (manifest["protocol_sha256"], manifest["chain_head"]) == (quartets.protocol_sha256, head.sha256)
    assert manifest["complete"] and not manifest["blinded"] and not manifest["simulated"]
    for name, told in manifest["files"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == told["sha256"]
    assert hashlib.sha256((out / "protocol.yaml").read_bytes()).hexdigest() == quartets.protocol_sha256

    # Whoever has the events can verify the chain without us.
    events = [Record(**json.loads(line)) for line in (out / "events.jsonl").read_text().splitlines()]
    assert events == records
    assert all(event.compute_sha256() == event.sha256 for event in events)

    # Our own reader of tables finds the same answers in them.
    repeats = out / "repeats.csv"
    found = read_tables(out / "trials.csv", out / "ratings.csv", repeats).responses
    assert set(found.ratings) == set(responses.ratings)
    rounded = {replace(trial, response_time_s=round(trial.response_time_s or 0, 3)) for trial in responses.trials}
    assert {replace(trial, picked_image=None) for trial in found.trials} == {
        replace(trial, picked_image=None) for trial in rounded
    }
    dictionary = json.loads((out / "data_dictionary.json").read_text())
    for name, columns in dictionary["columns"].items():
        assert list(read_csv(out / name)[0]) == list(columns)
    assert set(dictionary["files"]) == set(manifest["files"]) - {"data_dictionary.json", "data_dictionary.md"}
    whole = json.loads((out / "responses.json").read_text())
    assert whole["trials"][0]["comment"].startswith("=HYPERLINK")
    for path in out.glob("*.csv"):  # A spreadsheet would run it.
        assert "HYPERLINK" not in path.read_text()


def test_a_blinded_export_holds_nothing_that_the_truth_decides(quartets: StudyFolder, tmp_path: Path) -> None:
    with open_ledger(quartets, read_only=True) as ledger:
        export_study(ledger, None, tmp_path / "blinded")
    for path in (tmp_path / "blinded").iterdir():
        text = path.read_text()
        for word in ("ckpt-", "csxa0", "samp0", "samples-", "csxa-held-out"):
            assert word not in text or path.name == "protocol.yaml", (path.name, word)
        if path.suffix == ".csv":
            assert not {"source", "picked_source", "correct"} & set(read_csv(path)[0])
            assert "control" not in text.replace("positive-control", "").replace("negative-control", "")
    assert {path.name for path in (tmp_path / "blinded").glob("*.csv")} == {"trials.csv", "ratings.csv", "repeats.csv"}
    assert not list((tmp_path / "blinded").glob("*.imrmc"))
    assert '"correct"' not in (tmp_path / "blinded" / "responses.json").read_text()


def test_a_blinded_export_leads_to_no_dataset(quartets: StudyFolder, tmp_path: Path) -> None:
    with open_ledger(quartets, read_only=True) as ledger:
        export_study(ledger, None, tmp_path / "blinded")
        export_study(ledger, load_truth(quartets), tmp_path / "open")
    rows = {name: read_csv(tmp_path / name / "ratings.csv") for name in ("blinded", "open")}
    pairs = {(blind["image_id"], told["image_id"]) for blind, told in zip(rows["blinded"], rows["open"], strict=True)}
    # One name for one image; that by number would lead to its hash in the protocol, and so to its dataset.
    assert len(pairs) == len({blind for blind, _ in pairs}) == len({told for _, told in pairs}) > 4
    assert all(re.fullmatch("B[0-9a-f]{12}", blind) for blind, _ in pairs)
    text = "".join(path.read_text() for path in (tmp_path / "blinded").iterdir())
    assert not re.search(r"\bI\d{5}\b", text)


def test_a_blinded_export_of_single_images_names_no_control(tmp_path: Path) -> None:
    study = make_bare_study(tmp_path / "study", design="single", size=8, readers=1)
    with open_ledger(study) as ledger:
        answer_all(study, ledger)
        export_study(ledger, None, tmp_path / "blinded")
        export_study(ledger, load_truth(study), tmp_path / "open")
    blinded, told = (read_csv(tmp_path / name / "trials.csv") for name in ("blinded", "open"))
    assert {row["kind"] for row in blinded} == {"training", "main", "repeat"}
    assert [row["kind"] for row in told].count("positive-control") == 1
    assert all(row["quartet"] == row["image_id"] for row in blinded)
    assert len(read_csv(tmp_path / "blinded" / "repeats.csv")) == 1


def test_layouts_of_other_programs(quartets: StudyFolder) -> None:
    truth, schedule = load_truth(quartets), load_schedule(quartets)
    with open_ledger(quartets, read_only=True) as ledger:
        answers = list(iter_answers(ledger, schedule))
    ratings, picks = list_scores(answers, truth, "rating"), list_scores(answers, truth, "pick")
    main = [answered for answered in answers if answered.planned.kind == "main"]
    assert len(ratings) == len(picks) == 4 * len(main) == 3 * 4 * 4
    assert sum(row["score"] for row in picks) == len(main)
    assert len({(row["reader"], row["case"]) for row in ratings}) == len(ratings)
    lines = render_imrmc(ratings, "A  title\nof two lines").decode().splitlines()
    begin = lines.index("BEGIN DATA:")
    assert lines[:begin] == ["A title of two lines", "NR: 3", "N0: 12", "N1: 4", "NM: 1", ""]
    data = [line.split(",") for line in lines[begin + 1 :]]
    told = [row for row in data if row[0] == "truth"]
    assert len(told) == 16 and len({row[1] for row in told}) == 16 and {row[3] for row in told} == {"0", "1"}
    assert all(len(row) == 4 and " " not in "".join(row) for row in data)
    assert {row[1] for row in data if row[0] != "truth"} == {row[1] for row in told}


def test_other_designs_and_studies_without_ratings(tmp_path: Path) -> None:
    for design, ratings in (("single", True), ("pair", False)):
        study = make_bare_study(tmp_path / design, design=design, ratings=ratings, cases=6)
        with open_ledger(study) as ledger:
            answer_all(study, ledger, leave=2)
            unblind_study(ledger, reason="enough")
            truth = open_truth(study, ledger)
            responses = collect_responses(study, ledger, truth)
            written = export_study(ledger, truth, tmp_path / f"{design}-out")
        for trial in responses.trials:
            frame = load_schedule(study).find(trial.reader).trials[trial.trial_index - 1].frames
            if design == "single":
                is_real = truth.frames[frame[0]].source == REAL
                assert trial.picked_position is None and trial.correct == ((trial.picked_source == REAL) == is_real)
        assert {trial.correct for trial in responses.trials} == {True, False}
        assert bool(responses.ratings) == ratings == ("ratings.imrmc" in written.files)
        assert not written.manifest["complete"]
        rows = read_csv(tmp_path / f"{design}-out" / "trials.csv")
        assert len(rows) == len(responses.trials)
        assert {row["said"] for row in rows} == ({"real", "synthetic"} if design == "single" else {""})


def test_nobody_answered(tmp_path: Path) -> None:
    study = make_bare_study(tmp_path / "study")
    with open_ledger(study) as ledger:
        ledger.append("simulated", body={"seed": 1})
        unblind_study(ledger, reason="a test of the export")
        truth = open_truth(study, ledger)
        written = export_study(ledger, truth, tmp_path / "out")
        progress = measure_progress(ledger, load_schedule(study))
    assert (written.num_trials, written.num_ratings, written.manifest["simulated"]) == (0, 0, True)
    sign = json.loads((tmp_path / "out" / "simulated.json").read_text())
    assert sign["simulated"] is True and "trials.csv" in sign["files"] and sign["readers"] == {"seed": 1}
    assert [reader.median_s for reader in progress.readers] == [None] * 3 and not progress.complete
