"""The recipes of the tasks that come with the package, by task and name: `benchmarks/TASK/NAME.yaml`."""

import difflib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

import yaml

from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.registry import TASKS
from cspine_bench.errors import RecipeError
from cspine_bench.recipe import build_recipe, load_recipe

DEFAULT_RECIPE: Final = "cpu-64"
_SUFFIX: Final = ".yaml"


def list_recipes(task: str) -> list[str]:
    """Names of a task's recipes.

    Raises:
        RecipeError: there is no such task.
    """
    if task not in TASKS:
        near = difflib.get_close_matches(task, TASKS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise RecipeError(f"no task {task!r}; {hint}there are {', '.join(TASKS)}")
    folder = _find_folder() / task
    if not folder.is_dir():
        return []
    return sorted(entry.name.removesuffix(_SUFFIX) for entry in folder.iterdir() if entry.name.endswith(_SUFFIX))


def open_recipe(task: str, name_or_path: str = DEFAULT_RECIPE) -> BaselineRecipe:
    """A recipe from a file, or one that comes with the package.

    Args:
        task: a key of `TASKS`.
        name_or_path: a YAML file, or a name of `list_recipes`; a file of that name comes first.

    Raises:
        RecipeError: there is no such task, file or name; the file cannot be read, holds an unknown key or an impossible
            value, or is of another task.
    """
    known = list_recipes(task)
    path = Path(name_or_path)
    if path.is_file():
        recipe = load_recipe(path, BaselineRecipe)
    elif name_or_path in known:
        text = (_find_folder() / task / f"{name_or_path}{_SUFFIX}").read_text(encoding="utf-8")
        recipe = build_recipe(yaml.safe_load(text), BaselineRecipe, where=f"recipe {name_or_path} of {task}")
    else:
        near = difflib.get_close_matches(path.name.removesuffix(_SUFFIX), known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        listed = ", ".join(known) or "none"
        raise RecipeError(f"{name_or_path}: no such file, and no recipe of {task}; {hint}there are {listed}")
    if recipe.task.kind != task:
        raise RecipeError(f"{name_or_path}: is a recipe of {recipe.task.kind}, and {task} was asked for")
    return recipe


def _find_folder() -> Traversable:
    """Inside an installed package; in a checkout, where people look for them."""
    packed = resources.files("cspine_bench.baselines") / "recipes"
    return packed if packed.is_dir() else Path(__file__).parents[2] / "benchmarks"
