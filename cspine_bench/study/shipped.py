"""The recipes of reader studies that come with the package: `benchmarks/reader-study/NAME.yaml`."""

import difflib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

import yaml

from cspine_bench.errors import RecipeError
from cspine_bench.recipe import build_recipe, load_recipe
from cspine_bench.study.recipe import StudyRecipe

DEFAULT_RECIPE: Final = "quartet"
_SUFFIX: Final = ".yaml"


def list_recipes() -> list[str]:
    """Names of the recipes."""
    return sorted(
        entry.name.removesuffix(_SUFFIX) for entry in _find_folder().iterdir() if entry.name.endswith(_SUFFIX)
    )


def open_recipe(name_or_path: str = DEFAULT_RECIPE) -> StudyRecipe:
    """A recipe from a file, or one that comes with the package.

    Args:
        name_or_path: a YAML file, or a name of `list_recipes`; a file of that name comes first.

    Raises:
        RecipeError: there is no such file or name; the file cannot be read, or holds an unknown key or an impossible
            value.
    """
    known = list_recipes()
    path = Path(name_or_path)
    if path.is_file():
        return load_recipe(path, StudyRecipe)
    if name_or_path in known:
        text = (_find_folder() / f"{name_or_path}{_SUFFIX}").read_text(encoding="utf-8")
        return build_recipe(yaml.safe_load(text), StudyRecipe, where=f"recipe {name_or_path}")
    near = difflib.get_close_matches(path.name.removesuffix(_SUFFIX), known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise RecipeError(f"{name_or_path}: no such file, and no recipe of a study; {hint}there are {', '.join(known)}")


def _find_folder() -> Traversable:
    """Inside an installed package; in a checkout, where people look for them."""
    packed = resources.files("cspine_bench.study") / "recipes"
    return packed if packed.is_dir() else Path(__file__).parents[2] / "benchmarks" / "reader-study"
