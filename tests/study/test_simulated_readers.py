"""Made-up readers: the same however they are asked, of the skill that was asked for, and always called made up."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cspine_bench.cli import cli
from cspine_bench.errors import DataError, RecipeError
from cspine_bench.metrics.label_test import MISSING, label_test
from cspine_bench.study.export.collect import collect_responses
from cspine_bench.study.folder import load_truth, open_study
from cspine_bench.study.ledger.store import open_ledger
from cspine_bench.study.recipe import CHANCE, StudyRecipe
from cspine_bench.study.responses import Responses
from cspine_bench.study.simulate.made_up import answer_made_up, make_up_study
from cspine_bench.study.simulate.recipe import PRESETS, RatingRecipe, ReadersRecipe, load_readers
from cspine_bench.study.simulate.served import plan_answers, simulate_study
from tests.study.bare_study import make_bare_study

DESIGNS = ("quartet", "pair", "single")


def answer(kind: ReadersRecipe, seed: int = 0, sources: int = 3, **settings: object) -> Responses:
    study = StudyRecipe.model_validate({"training": 0, "readers": 8, "cases": 50, **settings})
    return answer_made_up(make_up_study(study, num_sources=sources, seed=seed), kind, seed=seed)


def share_correct(responses: Responses, kind: str = "main") -> float:
    return float(np.mean([trial.correct for trial in responses.trials if trial.kind == kind]))


@pytest.mark.parametrize("design", DESIGNS)
def test_skill_is_that_asked_for(design: str) -> None:
    many = {"design": design, "readers": 20, "cases": 90, "positive_controls": 30, "repeats": 0, "ratings": False}
    steady = ReadersRecipe(reader_sd=0.1, case_sd=0.2, accuracy=0.65, lapses=0.1, pane_habit=0.5, detectability=(1.0,))
    found = answer(steady, **many)
    assert share_correct(found) == pytest.approx(0.65, abs=0.035)
    # Those who look, and those who guess.
    assert share_correct(found, "positive-control") == pytest.approx(0.9 * 0.95 + 0.1 * CHANCE[design], abs=0.05)
    guessing = answer(ReadersRecipe(reader_sd=0.0, case_sd=0.2), **many)
    assert share_correct(guessing) == pytest.approx(CHANCE[design], abs=0.035)
    assert guessing.simulated


def test_a_poor_checkpoint_is_picked_and_rated_less() -> None:
    found = answer(PRESETS["one-poor-checkpoint"], readers=20, cases=60, repeats=0)
    picked = Counter(trial.picked_source for trial in found.trials if trial.kind == "main")
    assert picked["s1"] < 0.6 * min(picked["s2"], picked["s3"])
    assert share_correct(found) > 0.27, "above chance by one poor source alone"
    means = {
        source: np.mean(
            [rating.rating for rating in found.ratings if rating.source == source and rating.kind == "main"]
        )
        for source in ("real", "s1", "s2")
    }
    assert means["s1"] < means["s2"] - 0.2 and means["s2"] == pytest.approx(means["real"], abs=0.15)


def test_ratings_lie_where_they_were_asked_to() -> None:
    for steps, mean in ((4, 0.77), (7, 0.3)):
        anchors = tuple(f"step {number}" for number in range(steps))
        found = answer(ReadersRecipe(ratings=RatingRecipe(mean=mean)), readers=16, cases=40, repeats=0, anchors=anchors)
        real = [rating.rating for rating in found.ratings if rating.source == "real" and rating.kind == "main"]
        assert np.mean(real) == pytest.approx(1 + mean * (steps - 1), abs=0.08 * (steps - 1))
        assert set(real) == set(range(1, steps + 1))


def test_faults_are_there_from_the_last_reader_backwards() -> None:
    faulty = ReadersRecipe(one_pane=1, straight_lining=1, narrow_raters=1, dropouts=1, dropout_after=0.25, missing=0.1)
    found = answer(faulty, readers=6, cases=40, repeats=0, positive_controls=0)
    answers = Counter(trial.reader for trial in found.trials)
    assert {trial.picked_position for trial in found.trials if trial.reader == "R6"} == {1}
    assert len({rating.rating for rating in found.ratings if rating.reader == "R5"}) == 1
    assert {rating.rating for rating in found.ratings if rating.reader == "R4"} == {3, 4}
    assert answers["R3"] <= 10 and 30 <= answers["R1"] < 40
    assert len({trial.picked_position for trial in found.trials if trial.reader == "R1"}) == 4


def test_times_fall_with_practice_and_second_readings_agree_more_than_readers_do() -> None:
    found = answer(ReadersRecipe(learning=0.5, time_sd=0.2, private_share=0.8), readers=20, repeats=20, cases=60)
    first = [trial.response_time_s for trial in found.trials if trial.trial_index <= 5]
    last = [trial.response_time_s for trial in found.trials if trial.trial_index > 70]
    assert np.median(first) > 2 * np.median(last)
    picks = {(trial.reader, trial.quartet, trial.kind): trial.picked_image for trial in found.trials}
    again = [reader_case for reader_case in picks if reader_case[2] == "repeat"]
    same = np.mean([picks[reader, case, "main"] == picks[reader, case, "repeat"] for reader, case, _ in again])
    other = np.mean(
        [picks[reader, case, "main"] == picks["R1", case, "main"] for reader, case, _ in again if reader != "R1"]
    )
    assert same > other + 0.05


@pytest.mark.slow  # 2,000 whole studies, reader by reader: a minute.
def test_the_primary_test_keeps_its_error_rate_over_whole_studies_of_careless_readers() -> None:
    # Habits, lapses, one pane, a reader who stops, missing trials, shared cues: nothing tells which image is real.
    careless, found = PRESETS["careless"].model_copy(update={"reader_sd": 0.0}), []
    for seed in range(2000):
        responses = answer(careless, seed, readers=8, cases=30, repeats=0, positive_controls=0, ratings=False)
        images = sorted({image.image_id for image in responses.shown})
        cases = sorted({image.quartet for image in responses.shown})
        picks = np.full((8, len(cases)), MISSING)
        for trial in responses.trials:
            own = [image for image in images if image.startswith(f"{trial.quartet}-")]
            picks[int(trial.reader[1:]) - 1, cases.index(trial.quartet)] = own.index(trial.picked_image)
        # Images of a case in order of their ids: the real one, then s1, s2, s3.
        found.append(label_test(picks, labels=np.zeros(len(cases), np.int64), num_images=4).p_greater)
    size = float(np.mean(np.array(found) <= 0.05))
    error = np.sqrt(0.05 * 0.95 / 2000)
    # Exact, so not above nominal. Below it: counts are whole, and panes are dealt in balance, so that habits, of which
    # the test must think that they might hit, cancel.
    assert 0.015 <= size <= 0.05 + 2.6 * error


def test_a_planned_study_is_answered_in_any_steps_alike(tmp_path: Path) -> None:
    for design in DESIGNS:
        make_bare_study(tmp_path / design, design=design)
        shutil.copytree(tmp_path / design, tmp_path / f"{design}-steps")
        readers = ReadersRecipe(accuracy=0.8, missing=0.3)
        whole, steps = (open_study(tmp_path / name) for name in (design, f"{design}-steps"))
        total = len(make_rows(whole, readers))
        planned = plan_answers(steps, readers, seed=3, upto=2)
        assert simulate_study(steps, readers, seed=3, readers=("R2",), upto=2).answered == {"R2": 2}
        assert planned.answered == {"R1": 2, "R2": 2, "R3": 2}
        assert simulate_study(steps, readers, seed=3, upto=4).answered == {"R1": 4, "R2": 2, "R3": 4}
        assert make_rows(steps, readers) == make_rows(whole, readers)
        assert simulate_study(steps, readers, seed=3).answered == {"R1": 0, "R2": 0, "R3": 0}
        with open_ledger(steps) as ledger:
            ledger.verify()
            assert next(ledger.iter_records("simulated")).seq == 2, "before the first answer"
            responses = collect_responses(steps, ledger, load_truth(steps))
        assert responses.simulated and len(responses.trials) == total


def make_rows(study, readers: ReadersRecipe) -> list[tuple]:  # type: ignore[no-untyped-def]
    """Answer all of a study; its answers without times of the machine."""
    simulate_study(study, readers, seed=3)
    with open_ledger(study, read_only=True) as ledger:
        return sorted((r.reader, r.trial, r.answer_id, r.body) for r in ledger.iter_records("answer"))


def test_where_people_read_nothing_is_made_up(tmp_path: Path) -> None:
    study = make_bare_study(tmp_path / "read")
    with open_ledger(study) as ledger:
        ledger.append("consent", "R1")
        before = ledger.find_head()
    with pytest.raises(DataError, match="people have begun to read"):
        simulate_study(study, ReadersRecipe(), seed=0)
    with open_ledger(study) as ledger:
        assert ledger.find_head() == before
    other = make_bare_study(tmp_path / "other")
    with pytest.raises(RecipeError, match="cannot be reached"):
        simulate_study(other, ReadersRecipe(accuracy=0.99, lapses=0.5), seed=0)
    with pytest.raises(DataError, match="no reader 'R9'"):
        simulate_study(other, ReadersRecipe(), seed=0, readers=("R9",))
    with open_ledger(other) as ledger:
        assert not any(ledger.iter_records("simulated")), "what failed leaves a study that people can read"
    simulate_study(other, ReadersRecipe(), seed=0, upto=1)
    with pytest.raises(DataError, match=r"another recipe or seed \(seed 0, now 1\)"):
        simulate_study(other, ReadersRecipe(), seed=1)
    with open_ledger(other) as ledger:
        ledger.append("unblind")
    with pytest.raises(DataError, match="was unblinded"):
        simulate_study(other, ReadersRecipe(), seed=0)


def call(*words: object) -> tuple[int, str, str]:
    ran = CliRunner().invoke(cli, ["study", "simulate", *map(str, words)])
    return ran.exit_code, ran.stdout, ran.stderr


def test_tables_of_a_made_up_study(tmp_path: Path) -> None:
    words = ("--readers", 3, "--cases", 20, "--readers-recipe", "careless", "--set", "missing=0.2", "--seed", 4)
    code, out, told = call("--out", tmp_path / "a", *words, "--json")
    assert code == 0 and json.loads(out)["simulated"] is True and "made up" in told
    sign = json.loads((tmp_path / "a" / "simulated.json").read_text())
    assert sign["readers"]["recipe"]["missing"] == 0.2 and sign["readers"]["seed"] == 4
    heads = {path.name: path.read_text().splitlines()[0] for path in (tmp_path / "a").glob("*.csv")}
    start = "reader,quartet,trial_index,picked_position,picked_source,correct,response_time_s,kind"
    assert heads["trials.csv"].startswith(start)
    assert heads["ratings.csv"] == "reader,quartet,image_id,source,position,rating,kind"
    assert heads["repeats.csv"] == "reader,quartet,image_id,source,rating_1,rating_2,picked_1,picked_2"
    assert call("--out", tmp_path / "b", *words)[0] == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    # A run that was killed is done again; another study replaces it on request alone, and leaves no table behind.
    (tmp_path / "b" / "ratings.csv").unlink()
    assert call("--out", tmp_path / "b", *words)[0] == 0 and (tmp_path / "b" / "ratings.csv").exists()
    again = ("--out", tmp_path / "b", "--design", "single", "--cases", 10, "--repeats", 0)
    assert "of another study" in call(*again)[2]
    assert call(*again, "--overwrite")[0] == 0 and not (tmp_path / "b" / "repeats.csv").exists()
    assert call("--out", tmp_path / "c", "--dry-run")[0] == 0 and not (tmp_path / "c").exists()


def test_a_planned_study_by_command(tmp_path: Path) -> None:
    make_bare_study(tmp_path / "study")
    code, out, _ = call(tmp_path / "study", "--dry-run", "--json")
    total = json.loads(out)["total"]["R1"]
    assert code == 0 and json.loads(out)["answered"]["R1"] == total
    code, out, told = call(tmp_path / "study", "--reader", "R3", "--upto", 2)
    assert code == 0 and out.splitlines()[1].split() == ["R3", "2", "2", str(total)] and "made up" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name a STUDY to answer, or --out"),
        (("--out", "x", "--reader", "R1"), "--reader goes with a planned STUDY"),
        (("--out", "x", "--readers-recipe", "bored"), "'bored' is neither a file nor one of chance"),
        (("--out", "x", "--set", "skill=3"), "unknown setting 'skill'"),
        (("--out", "x", "--cases", "1"), "cases = 1 is not possible"),
        (("--out", "x", "--cases", "4", "--repeats", "2", "--controls", "0"), "repeat_lag 15 needs more cases"),
    ],
)
def test_what_cannot_be_simulated_is_named(words: tuple[str, ...], said: str, monkeypatch, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    code, _, told = call(*words)
    assert code == 2 and said in told
    assert not list(tmp_path.iterdir())


def test_kinds_of_readers_by_name_and_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("accuracy: 0.4\nratings: {mean: 0.5}\n")
    assert load_readers(str(tmp_path / "mine.yaml")).ratings.mean == 0.5
    for recipe in PRESETS.values():
        found = answer(recipe, readers=2, cases=2, repeats=0, positive_controls=0)
        assert len(found.trials) <= 4
