"""Fill in what the publisher left open, from the data; and refuse what the data contradict."""

import datetime
import json
import re
from pathlib import Path
from typing import Any, Final

from cspine_bench.dataset.manifest import Manifest
from cspine_bench.errors import RecipeError, ReleaseError
from cspine_bench.recipe import build_recipe
from cspine_bench.release.facts import ReleaseFacts
from cspine_bench.release.layout import CHANGELOG_NAME, RELEASE_NAME
from cspine_bench.release.papers.licences import read_licence_text
from cspine_bench.release.recipe import ReleaseRecipe, is_version, order_version

DEFAULT_LICENCE: Final = "CC-BY-4.0"
_MADE_UP: Final = frozenset(("phantom",))
"""Kinds of source in which no patient is depicted, whatever was trained on them."""
_LEFT_OVER: Final = re.compile(
    r"\{\{|\}\}|\{%|%\}|\[More Information Needed\]|\b(TODO|FIXME|TBD|XXX)\b|lorem ipsum|\b(Undefined|jinja2?)\b"
    r"|<(your|insert|replace)[^>]*>|\[(your|insert|replace)[^\]]*\]",
    re.IGNORECASE,
)


def resolve_recipe(
    recipe: ReleaseRecipe,
    manifest: Manifest,
    facts: ReleaseFacts,
    *,
    out: Path,
    default_date: datetime.date,
    supersedes: Path | None,
) -> tuple[ReleaseRecipe, str | None]:
    """A recipe with name, title, date and licence filled in, and the changelog of the release that it supersedes.

    Args:
        recipe: as the publisher gave it.
        manifest: of the dataset.
        facts: counted from it.
        out: the release folder: its name is the default name.
        default_date: where the recipe has none.
        supersedes: folder of the release before, or None.

    Raises:
        RecipeError: the folder's name is no name for a release.
        ReleaseError: a licence must be named, or the release before is none, or its version is not an earlier one.
    """
    values = recipe.model_dump(mode="json")
    values["name"] = recipe.name or out.name
    values["date"] = str(recipe.date or default_date)
    values["title"] = recipe.title or _make_title(facts, values["name"])
    values["license"] = recipe.license or _default_licence(recipe, manifest, facts)
    values["url"] = recipe.url or (f"https://huggingface.co/datasets/{recipe.hub_id}" if recipe.hub_id else None)
    changelog = None
    if supersedes is not None:
        values["supersedes"], changelog = _read_superseded(supersedes, recipe)
    try:
        resolved = build_recipe(values, ReleaseRecipe, where="the release")
    except RecipeError as error:
        if recipe.name is None and "name" in str(error):
            raise RecipeError(f"{error}. The name is that of the folder; set another: --set name=my-dataset") from error
        raise
    read_licence_text(resolved)
    refuse_left_overs(resolved.model_dump(mode="json", exclude={"license_text"}))
    return resolved, changelog


def find_training_sources(manifest: Manifest) -> dict[str, int] | None:
    """Training films by kind of source, as the sampler passed them on; None: not known, or nothing was trained."""
    training = manifest.source.get("training_data")
    sources = training.get("sources") if isinstance(training, dict) else None
    return sources if isinstance(sources, dict) and sources else None


def _make_title(facts: ReleaseFacts, name: str) -> str:
    kinds = set(facts.count("source_kind"))
    what = "Phantom" if kinds == {"phantom"} else "Synthetic"
    return f"{name}: {what} lateral cervical-spine radiographs"


def _default_licence(recipe: ReleaseRecipe, manifest: Manifest, facts: ReleaseFacts) -> str:
    trained = set(facts.count("source_kind")) != {"phantom"}
    sources = find_training_sources(manifest)
    on_patients = any(item.patients for item in recipe.training_data) or (
        sources is not None and set(sources) - _MADE_UP
    )
    if trained and (on_patients or (sources is None and not recipe.training_data)):
        what = "real films" if on_patients else "data that is not recorded"
        raise ReleaseError(
            f"no licence is named, and the generator was trained on {what}: its terms decide how the images may be "
            "released. Name a licence (--set license=CC-BY-NC-4.0) and the training data with its terms "
            "(training_data in a recipe file)"
        )
    return DEFAULT_LICENCE


def _read_superseded(folder: Path, recipe: ReleaseRecipe) -> tuple[str, str]:
    try:
        found: Any = json.loads((folder / RELEASE_NAME).read_bytes())["version"]
        changelog = (folder / CHANGELOG_NAME).read_text(encoding="utf-8")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReleaseError(
            f"{folder}: is no release ({error}); name the folder of the release before this one"
        ) from error
    if not isinstance(found, str) or not is_version(found) or order_version(found) >= order_version(recipe.version):
        raise ReleaseError(
            f"{folder}: is version {found}, the new release {recipe.version}; raise it: --set version=..."
        )
    if recipe.supersedes not in (None, found):
        raise ReleaseError(f"{folder}: is version {found}, the recipe says that {recipe.supersedes} is superseded")
    return found, changelog


def refuse_left_overs(value: Any, where: str = "") -> None:
    """Refuse texts that readers, and `release validate`, would take for a paper that nobody finished.

    Args:
        value: JSON values.
        where: what they are, for the error.

    Raises:
        ReleaseError: a text in it looks like one of a template.
    """
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            refuse_left_overs(item, f"{where}.{key}" if where else str(key))
    elif isinstance(value, str) and (match := _LEFT_OVER.search(value)):
        raise ReleaseError(
            f"{where}: {match[0]!r:.60} looks like text of a template that nobody filled in; say what is known, or "
            "write it in other words"
        )
