"""LICENSE, LICENSES/ and REUSE.toml: one licence over every file, in the form that `reuse lint` checks."""

import json
import re
from importlib.resources.abc import Traversable
from typing import Final

from cspine_bench.errors import ReleaseError
from cspine_bench.release.edition import Edition
from cspine_bench.release.layout import LICENCE_NAME, REUSE_NAME
from cspine_bench.release.licence_ids import CUSTOM_PREFIX, HUB_LICENCES
from cspine_bench.release.papers.statements import find_url, name_creator
from cspine_bench.release.papers.templates import find_templates
from cspine_bench.release.recipe import ANONYMOUS, ReleaseRecipe

_CUSTOM: Final = re.compile(rf"{CUSTOM_PREFIX}[A-Za-z0-9.-]+")


def build_licence_files(edition: Edition) -> dict[str, bytes]:
    """The licence files of a release or of its mirror, by path.

    Returns:
        LICENSE and LICENSES/ID.txt with the same text, and REUSE.toml, which gives licence and copyright of all files:
        images and tables cannot carry a comment. Source: REUSE Specification 3.3.

    Raises:
        ReleaseError: the licence has no text here and the recipe gives none; names the known ones.
    """
    licence = edition.recipe.license or ""
    text = read_licence_text(edition.recipe)
    return {
        LICENCE_NAME: text,
        f"LICENSES/{licence}.txt": text,
        REUSE_NAME: _build_reuse(edition.recipe, licence).encode(),
    }


def read_licence_text(recipe: ReleaseRecipe) -> bytes:
    """The text of a release's licence: shipped with this package, or the recipe's own.

    Raises:
        ReleaseError: neither is there, or both are.
    """
    licence = recipe.license or ""
    shipped = list_licences()
    if licence in shipped:
        if recipe.license_text is not None:
            raise ReleaseError(
                f"license_text: the text of {licence} is known; leave it out, or name your own terms "
                f"`license: {CUSTOM_PREFIX}NAME`"
            )
        return shipped[licence].read_bytes()
    may_bring = licence in HUB_LICENCES or _CUSTOM.fullmatch(licence) is not None
    if recipe.license_text is None or not may_bring:
        near = [spdx for spdx in shipped if spdx.lower() == licence.lower()]
        hint = f"did you mean {near[0]}? " if near else ""
        raise ReleaseError(
            f"license {licence!r}: no text of it is known here; {hint}choose one of {', '.join(shipped)}, or call "
            f"your own terms `license: {CUSTOM_PREFIX}NAME` (letters, digits, dots, dashes) and give their text as "
            "`license_text`"
        )
    return (recipe.license_text.rstrip("\n") + "\n").encode()


def list_licences() -> dict[str, Traversable]:
    """Files of the licence texts that are shipped, by SPDX id, sorted."""
    folder = find_templates() / "licenses"
    return {file.name.removesuffix(".txt"): file for file in sorted(folder.iterdir(), key=lambda file: file.name)}


def _build_reuse(recipe: ReleaseRecipe, licence: str) -> str:
    year = "" if recipe.date is None else f"{recipe.date.year} "
    holders = [name_creator(creator) for creator in recipe.creators] or [ANONYMOUS]
    url = find_url(recipe)
    lines = [
        "version = 1",
        f"SPDX-PackageName = {_quote(recipe.name or '')}",
        *([] if url is None else [f"SPDX-PackageDownloadLocation = {_quote(url)}"]),
        "",
        "[[annotations]]",
        'path = "**"',
        'precedence = "override"',
        f"SPDX-FileCopyrightText = [{', '.join(_quote(year + ' '.join(holder.split())) for holder in holders)}]",
        f"SPDX-License-Identifier = {_quote(licence)}",
    ]
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    # The escapes of JSON are those of a basic string in TOML, but for DEL, which TOML wants escaped, and "\/".
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
