"""A task is named in every place that must know of it."""

import tomllib
from pathlib import Path
from typing import get_args

import pytest

from cspine_bench.baselines.recipe import TaskRecipe
from cspine_bench.baselines.registry import TASKS
from cspine_bench.baselines.shipped import DEFAULT_RECIPE, list_recipes, open_recipe

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
