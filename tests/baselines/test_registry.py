"""A task is named in every place that must know of it."""

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from phantom_cases import make_phantoms

from cspine_bench.baselines.recipe import TaskRecipe
from cspine_bench.baselines.registry import TASKS
from cspine_bench.baselines.shipped import DEFAULT_RECIPE, list_recipes, open_recipe
from cspine_bench.baselines.task import Batch, Task
from cspine_bench.baselines.unet import NetworkShape

ROOT = Path(__file__).parents[2]


def test_recipes_know_the_tasks() -> None:
    kinds = [recipe.model_fields["kind"].default for recipe in get_args(get_args(TaskRecipe)[0])]
    assert sorted(kinds) == sorted(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_its_folder_and_the_wheel_takes_it_along(task: str) -> None:
    assert (ROOT / "benchmarks" / task / "README.md").is_file()
    assert DEFAULT_RECIPE in list_recipes(task)
    assert open_recipe(task).task.kind == task
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    taken = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert taken.get(f"benchmarks/{task}") == f"cspine_bench/baselines/recipes/{task}"


def test_the_example_of_the_how_to() -> None:
    page = (ROOT / "docs" / "how-to" / "add-a-task.md").read_text(encoding="utf-8")
    recipe_code, task_code = re.findall(r"```py\n(.*?)```", page, flags=re.S)
    made: dict[str, Any] = {"__name__": "example"}
    exec(recipe_code, made)
    exec(task_code, made)
    task: Task = made["Cobb"](made["CobbRecipe"](), NetworkShape(32, 4, (8, 16)))
    assert {name for name in vars(Task) if not name.startswith("_")} <= set(dir(task))
    cases, places = make_phantoms(4), np.arange(4)
    task.check_labels(cases, "train")
    assert task.list_usable(cases).all() and task.margin > 0 and task.describe_need()
    network = task.build_network()
    points, masks = torch.from_numpy(cases.landmarks_xy), torch.from_numpy(cases.masks).long()
    batch = Batch(cases.take_images(places), points, masks, cases, places, torch.Generator())
    task.compute_loss(network, batch).backward()  # type: ignore[no-untyped-call]
    _, floor = task.predict_floor(cases, cases, seed=0)
    for predictions in (floor, task.predict(network, cases, device="cpu", seed=0)):
        scores = task.score(predictions, cases, seed=0)
        assert predictions["cobb_deg"].shape == (4,) and scores[0].statistic(np.ones((1, 4)))[0] > 0
    right = task.score({"cobb_deg": made["read_cobb_deg"](cases)}, cases, seed=0)
    assert right[0].statistic(np.ones((1, 4)))[0] < 1e-9
