"""The recipes that come with the package, by name."""

import difflib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import yaml

from cspine_bench.ddpm.recipe import DdpmRecipe
from cspine_bench.errors import RecipeError
from cspine_bench.recipe import build_recipe, load_recipe

_SUFFIX = ".yaml"


def list_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(entry.name.removesuffix(_SUFFIX) for entry in _find_folder().iterdir() if _is_recipe(entry))


def open_recipe(name_or_path: str) -> DdpmRecipe:
    """A recipe from a file, or one that comes with the package.

    Args:
        name_or_path: a YAML file, or a name of `list_recipes`; a file of that name comes first.

    Raises:
        RecipeError: there is neither such a file nor such a name, the file cannot be read, or it holds an unknown key
            or an impossible value.
    """
    path = Path(name_or_path)
    if path.is_file():
        return load_recipe(path, DdpmRecipe)
    known = list_recipes()
    if name_or_path in known:
        text = (_find_folder() / f"{name_or_path}{_SUFFIX}").read_text(encoding="utf-8")
        return build_recipe(yaml.safe_load(text), DdpmRecipe, where=f"recipe {name_or_path}")
    near = difflib.get_close_matches(path.name.removesuffix(_SUFFIX), known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise RecipeError(
        f"{name_or_path}: no such file, and no recipe of this package; {hint}there are {', '.join(known)}"
    )


def _is_recipe(entry: Traversable) -> bool:
    return entry.name.endswith(_SUFFIX)


def _find_folder() -> Traversable:
    """Inside an installed package; in a checkout, where people look for them."""
    packed = resources.files("cspine_bench.ddpm") / "recipes"
    return packed if packed.is_dir() else Path(__file__).parents[2] / "generation" / "recipes"
