"""CHANGELOG.md of a release, in the form of keepachangelog.com."""

import re
from typing import Final

from cspine_bench.errors import ReleaseError
from cspine_bench.release.edition import Edition
from cspine_bench.release.layout import CHANGELOG_NAME

_HEADER: Final = """# Changelog

The format is that of [Keep a Changelog](https://keepachangelog.com/en/1.1.0/); versions follow
[semver.org](https://semver.org/): a patch leaves every image and label as it was, a minor version adds, a major one
changes or removes.
"""
_ENTRY: Final = re.compile(r"^## \[", re.MULTILINE)


def build_changelog(edition: Edition, previous: str | None) -> str:
    """The changelog with this version on top.

    Args:
        edition: its recipe gives version, date and changes.
        previous: the changelog of the release that this one supersedes; its entries are kept below. None: there is
            none.

    Raises:
        ReleaseError: `previous` has no entry, or one of this very version: a version that is out never changes.
    """
    recipe = edition.recipe
    heading = f"## [{recipe.version}]"
    lines = [" ".join(change.split()) for change in recipe.changes]
    if not lines:
        lines = ["First release."] if recipe.supersedes is None else ["What changed is not stated."]
    entry = "\n".join(
        [f"{heading} - {recipe.date}", "", "### Added" if recipe.supersedes is None else "### Changed", ""]
    )
    entry += "\n" + "".join(f"- {line}\n" for line in lines)
    if previous is None:
        return f"{_HEADER}\n{entry}"
    first = _ENTRY.search(previous)
    if first is None:
        raise ReleaseError(f"{CHANGELOG_NAME} of the superseded release: holds no entry `## [VERSION]`; fetch it again")
    kept = previous[first.start() :]
    if re.search(rf"^{re.escape(heading)}", kept, re.MULTILINE):
        raise ReleaseError(
            f"version {recipe.version} is in the {CHANGELOG_NAME} of the superseded release already; raise `version`"
        )
    return f"{_HEADER}\n{entry}\n{kept.rstrip()}\n"
