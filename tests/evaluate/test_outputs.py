"""Where an evaluation's answer lies: whole or not at all, found again, and never mistaken for another question's."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cspine_bench.dataset.lock import hold_folder
from cspine_bench.errors import DataError, RecipeError
from cspine_bench.evaluate.fidelity.recipe import FidelityRecipe
from cspine_bench.evaluate.memorization.recipe import MemorizationRecipe
from cspine_bench.measurement.figures import build_figure
from cspine_bench.measurement.outputs import Evidence, Outputs, Question
from cspine_bench.measurement.task import ShowStage, run_task, spell_command
from cspine_bench.measurement.work import Work
from cspine_bench.metrics.intervals import Estimate
from cspine_bench.recipe import apply_overrides
from cspine_bench.results import Input, Result, load_result

SIDE = Input(role="real", name="films", digest="a" * 64, num_samples=9)


class Measuring:
    """A task that counts how often it measures, and can be stopped in the middle."""

    def __init__(self, seed: int = 0, stop: bool = False) -> None:
        self.question = Question("fidelity", "1", (SIDE,), {"recipe": {"parts": ["anatomy"]}}, seed)
        self.stop = stop
        self.computed: list[str] = []

    def answer(self, work: Work, show: ShowStage) -> Evidence:
        first = work.keep("first", lambda: self._compute("first"))
        if self.stop:
            raise KeyboardInterrupt
        second = work.keep("second", lambda: self._compute("second"), width=2)
        figure = build_figure(
            "recall", Estimate(0.5, 0.4, 0.6), direction="higher", used={"real": 9}, available={"real": 9}, method="m"
        )
        result = Result(
            measure="fidelity", measure_version="1", inputs=(SIDE,), settings=dict(self.question.settings),
            figures=(figure,), seed=self.question.seed, package_version="0",
        )  # fmt: skip
        rows = pa.table({"sample_id": ["a"], "score": [float(first["x"][0] + second["x"][0])]})
        return Evidence(result, rows, b"<!doctype html>")

    def _compute(self, name: str) -> dict[str, np.ndarray]:
        self.computed.append(name)
        return {"x": np.arange(3.0)}


def test_an_answer_is_found_again(tmp_path: Path) -> None:
    task = Measuring()
    result, outputs = run_task(task, tmp_path / "out")
    assert load_result(outputs.result) == result
    assert pq.read_table(outputs.rows).num_rows == 1
    assert sorted(path.name for path in outputs.folder.iterdir()) == [
        "fidelity.html", "fidelity.json", "fidelity.samples.parquet",
    ]  # fmt: skip
    again = Measuring()
    assert run_task(again, tmp_path / "out")[0] == result
    assert again.computed == []


def test_what_was_finished_before_a_stop_is_kept(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_task(Measuring(stop=True), tmp_path)
    assert not (tmp_path / "fidelity.json").exists()
    again = Measuring()
    run_task(again, tmp_path)
    assert again.computed == ["second"]


def test_parts_of_another_question_are_not_taken(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_task(Measuring(stop=True), tmp_path)
    other = Measuring(seed=1)
    run_task(other, tmp_path)
    assert other.computed == ["first", "second"]


def test_a_torn_part_is_made_anew(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_task(Measuring(stop=True), tmp_path)
    [part] = (tmp_path / ".fidelity.work").glob("first-*.npz")
    part.write_bytes(part.read_bytes()[:100])
    again = Measuring()
    run_task(again, tmp_path)
    assert again.computed == ["first", "second"]


def test_the_answer_to_another_question_is_replaced_only_on_request(tmp_path: Path) -> None:
    run_task(Measuring(), tmp_path)
    with pytest.raises(DataError, match=r"fidelity\.json: holds the result of other data or settings"):
        run_task(Measuring(seed=1), tmp_path)
    result, _ = run_task(Measuring(seed=1), tmp_path, overwrite=True)
    assert result.seed == 1


@pytest.mark.parametrize("name", ["fidelity.html", "fidelity.samples.parquet"])
def test_an_answer_without_its_company_is_measured_again(tmp_path: Path, name: str) -> None:
    run_task(Measuring(), tmp_path)
    (tmp_path / name).unlink()
    again = Measuring()
    run_task(again, tmp_path)
    assert again.computed == ["first", "second"]
    assert (tmp_path / name).exists()


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    run_task(Measuring(), tmp_path)
    path = tmp_path / "fidelity.json"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"fidelity\.json: not a result file"):
        run_task(Measuring(), tmp_path)
    assert Outputs(tmp_path, Measuring().question).find_answer(overwrite=True) is None


def test_the_command_of_a_page_has_every_setting_that_was_changed() -> None:
    recipe = FidelityRecipe(encoder="pixels", parts=("anatomy", "ladder"))
    command = spell_command(Measuring(seed=3).question, recipe)["command"]
    assert command == (
        "cspine-bench evaluate fidelity --real films --set 'encoder=\"pixels\"' "
        '--set \'parts=["anatomy", "ladder"]\' --seed 3 --out results'
    )


def test_the_command_of_a_page_has_the_run_and_what_the_page_may_show() -> None:
    settings = {"real_pixels": False, "losses": {"run_id": "0" * 16, "step": 1100, "weights": "a" * 64}}
    question = Question("memorization", "1", (SIDE,), settings, 0)
    command = spell_command(question, MemorizationRecipe())["command"]
    assert command.endswith("--real films --run RUN --checkpoint 1100 --no-real-pixels --seed 0 --out results")


def test_a_folder_that_cannot_be_made_is_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    task = Measuring()
    with pytest.raises(OSError, match="file"):
        run_task(task, tmp_path / "file" / "out")
    assert task.computed == []


def test_two_processes_do_not_write_one_result(tmp_path: Path) -> None:
    task = Measuring()
    work = Outputs(tmp_path, task.question)
    work.open_work()
    with hold_folder(work.work), pytest.raises(DataError, match="another process is writing here"):
        run_task(task, tmp_path)
    assert task.computed == []
    run_task(task, tmp_path)
    assert not work.work.exists()


def test_a_list_whose_entry_is_wrong_is_not_called_empty_too() -> None:
    with pytest.raises(RecipeError, match="nonsense") as caught:
        apply_overrides(FidelityRecipe(), ["parts=[nonsense]"])
    assert "at least 1 item" not in str(caught.value)
    with pytest.raises(RecipeError, match="at least 1 item"):
        apply_overrides(FidelityRecipe(), ["parts=[]"])
