"""TensorBoard reads back what a run told, each step once, also after a kill; without the package nothing happens."""

import importlib.util
import os
import signal
import warnings
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from cspine_bench.ddpm.events import list_scalars, open_events
from cspine_bench.ddpm.progress import append_log

TRAIN = {"kind": "train", "step": 10, "loss": 0.5, "gradient_norm": 1.5, "learning_rate": 1e-3, "images_per_s": 40.0}
VALIDATION = {"kind": "validation", "step": 20, "loss": 0.4, "bands": {"0-0.5": 0.3, "0.5-1": 0.5}}
MONITOR = {"kind": "monitor", "step": 20, "encoder": "some", "num_real": 6, "frechet_distance": 31.5}


def read_back(run: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(run / "events"))
    accumulator.Reload()
    tags = accumulator.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in tags}


def test_the_numbers_of_each_kind_of_row_come_back(tmp_path: Path) -> None:
    with open_events(tmp_path, 0) as events:
        for row in ({"kind": "start", "step": 0, "threads": 1}, TRAIN, VALIDATION, MONITOR):
            events.add(row)
        assert read_back(tmp_path)["train/loss"] == [(10, 0.5)]  # on the disk before the writer ends
    found = read_back(tmp_path)
    assert found.keys() == {
        "train/loss", "train/gradient_norm", "train/learning_rate", "train/images_per_s",
        "validation/loss", "validation/loss/0-0.5", "validation/loss/0.5-1",
        "monitor/num_real", "monitor/frechet_distance",
    }  # fmt: skip
    assert found["validation/loss/0.5-1"] == [(20, 0.5)] and found["monitor/frechet_distance"] == [(20, 31.5)]


def tell_until_killed(run: Path, last: int) -> None:
    """Log and add rows up to a step, then die of SIGKILL."""
    with open_events(run, 0) as events:
        for step in range(10, last + 1, 10):
            row = {**TRAIN, "step": step, "loss": 1.0}
            append_log(run, [row])
            events.add(row)
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_run_that_goes_on_shows_no_step_twice(tmp_path: Path) -> None:
    # A fork, so that a kill does not cost the imports. Killed at 50, with its last checkpoint at 30.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: of forks beside threads
        child = os.fork()
    if child == 0:
        try:
            tell_until_killed(tmp_path, 50)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert [step for step, _ in read_back(tmp_path)["train/loss"]] == [10, 20, 30, 40, 50]
    with open_events(tmp_path, 30) as events:
        for step in (40, 50, 60):
            events.add({**TRAIN, "step": step, "loss": 2.0})
    expected = [(10, 1), (20, 1), (30, 1), (40, 2), (50, 2), (60, 2)]
    assert read_back(tmp_path)["train/loss"] == expected


def test_what_was_logged_without_the_package_is_shown_with_it(tmp_path: Path) -> None:
    append_log(tmp_path, [TRAIN, VALIDATION, {**TRAIN, "step": 30}])
    with open_events(tmp_path, 20):
        pass
    found = read_back(tmp_path)
    assert found["train/loss"] == [(10, 0.5)] and found["validation/loss"] == [(20, pytest.approx(0.4))]


def test_without_the_package_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def hide(name: str, *arguments: Any) -> ModuleSpec | None:
        return None if name == "tensorboard" else find(name, *arguments)

    monkeypatch.setattr(importlib.util, "find_spec", hide)
    with open_events(tmp_path, 0) as events:
        events.add(TRAIN)
    assert list(tmp_path.iterdir()) == []


def test_rows_without_numbers_over_steps_have_no_scalars() -> None:
    assert list_scalars({"kind": "start", "step": 3, "threads": 2}) == {}
