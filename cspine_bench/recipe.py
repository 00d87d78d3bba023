"""Recipes: frozen, checked settings of a step, read from YAML and changed by `--set key=value`."""

import difflib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from cspine_bench.errors import RecipeError

# What the parser lets through on values that are none, such as a 30th of February, and on lists within lists.
_NO_YAML = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


class Recipe(BaseModel):
    """Parent of every recipe: unknown keys are errors, values never change, defaults are written here alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def compute_sha256(self) -> str:
        """Hash of the resolved recipe: of its canonical JSON, all defaults written out."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


RecipeT = TypeVar("RecipeT", bound=Recipe)


def load_recipe(path: Path, model: type[RecipeT]) -> RecipeT:
    """Read a YAML file into a recipe.

    Raises:
        RecipeError: the file cannot be read, is no YAML mapping, or holds an unknown key or an impossible value.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, *_NO_YAML) as error:
        raise RecipeError(f"cannot read the recipe {path}: {error}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"the recipe {path} must be a mapping of settings, got {type(values).__name__}")
    return build_recipe(values, model, where=str(path))


def build_recipe(values: dict[str, Any], model: type[RecipeT], *, where: str) -> RecipeT:
    """Check values into a recipe; `where` names their origin in the error.

    Raises:
        RecipeError: an unknown key or an impossible value.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = error.errors()
        # A list whose entry is refused is called too short as well, without that entry.
        inner = {item["loc"][:-1] for item in found}
        told = [item for item in found if not (item["type"] == "too_short" and item["loc"] in inner)]
        raise RecipeError("; ".join(_explain(item, model, where) for item in told)) from error


def _explain(item: Any, model: type[Recipe], where: str) -> str:
    *parents, key = [str(part) for part in item["loc"]] or ["(the whole recipe)"]
    if item["type"] == "extra_forbidden":
        for parent in parents:
            # A number names an entry of a list, whose type is inside the annotation of the list's own field.
            annotation = model.model_fields[parent].annotation if parent in model.model_fields else None
            for nested in (annotation, *get_args(annotation)):
                if isinstance(nested, type) and issubclass(nested, Recipe):
                    model = nested
        known = sorted(model.model_fields)
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"{where}: unknown setting {'.'.join([*parents, key])!r}; {hint}known settings: {', '.join(known)}"
    # A check of several settings together has them all as its input: its message names those that matter.
    value = "" if isinstance(item["input"], dict) else f" = {item['input']!r:.200}"
    message = item["msg"].removeprefix("Value error, ")
    return f"{where}: {'.'.join([*parents, key])}{value} is not possible: {message}"


def apply_overrides(recipe: RecipeT, overrides: Sequence[str]) -> RecipeT:
    """A recipe with `key=value` settings changed; `a.b=3` reaches into a nested one; values are YAML.

    Raises:
        RecipeError: an override is not key=value, or names an unknown key or an impossible value.
    """
    values = recipe.model_dump(mode="json")
    for override in overrides:
        key, separator, text = override.partition("=")
        if not separator or not key:
            raise RecipeError(f"--set {override!r} is not of the form key=value")
        try:
            value = yaml.safe_load(text)
        except _NO_YAML as error:
            raise RecipeError(f"--set {override!r:.200}: the value is not YAML: {error}") from error
        *parents, last = key.split(".")
        target = values
        for parent in parents:
            nested = target.get(parent)
            if not isinstance(nested, dict):
                raise RecipeError(f"--set {override!r}: {parent!r} holds no nested settings")
            target = nested
        target[last] = value
    return build_recipe(values, type(recipe), where="--set")
