"""Where a release grows: a hidden folder beside it, renamed when it is whole.

OUT/../.NAME.unfinished/ holds `plan.json` (what is being built), `receipts/` (hash of each finished large file),
`release/` and `mirror/`. A folder that bears the release's name is therefore whole; a build that was killed goes on
from its receipts.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cspine_bench.dataset.files import sync_folder, write_file
from cspine_bench.dataset.lock import hold_folder
from cspine_bench.dataset.manifest import render_json
from cspine_bench.errors import ReleaseError
from cspine_bench.provenance import sha256_file
from cspine_bench.release.layout import MIRROR_NAME, RELEASE_NAME, SUMS_NAME, mirror_of

_PLAN: Final = "plan.json"
_MOST_LISTED: Final = 5
_OWN: Final = frozenset((
    _PLAN, "release", "mirror", "receipts", "replaced", "lock", "workers.lock", "turn.lock", "sheet.png",
    ".sheet.png.unfinished",
))  # fmt: skip


@dataclass(frozen=True)
class Staging:
    """The hidden folder of one build."""

    out: Path
    scratch: Path

    @property
    def release(self) -> Path:
        """What becomes OUT."""
        return self.scratch / "release"

    @property
    def mirror(self) -> Path:
        """What becomes OUT-wds."""
        return self.scratch / "mirror"

    def make(self, target: Path, write: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A large file: taken over from an earlier run if its bytes are still those of its receipt, else written.

        Args:
            target: the file, inside `release` or `mirror`.
            write: puts it in place, and returns what to remember: JSON values, `sha256` among them.
        """
        name = target.relative_to(self.scratch).as_posix().replace("/", "__")
        receipt = self.scratch / "receipts" / f"{name}.json"
        kept = _load_json(receipt)
        if kept is not None and target.is_file() and sha256_file(target) == kept.get("sha256"):
            return kept
        target.parent.mkdir(parents=True, exist_ok=True)
        receipt.parent.mkdir(parents=True, exist_ok=True)
        kept = write()
        write_file(receipt, render_json(kept), scratch=self.scratch)
        return kept

    def put(self, folder: Path, name: str, data: bytes) -> None:
        """A paper: written anew in each run."""
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, data, scratch=self.scratch)


def place_out(out: Path) -> Path:
    """The absolute path of a release folder, its parents without links: what lies where can then be compared.

    Raises:
        ReleaseError: it has no folder around it, in which the release could grow.
    """
    # The last part is not followed: a link in its place is refused.
    placed = out.parent.resolve() / out.name if out.name != ".." else out.resolve()
    placed = placed if out.name else out.resolve()
    if not placed.name:
        raise ReleaseError(f"{out}: a release is a folder inside another one; name such a folder")
    return placed


@contextmanager
def open_staging(out: Path, fingerprint: str) -> Iterator[Staging]:
    """Be the only builder of `out`; what another plan left there is removed.

    Args:
        out: the release folder to be.
        fingerprint: of everything that decides its bytes.

    Raises:
        DataError: another process builds there.
        ReleaseError: the place of the hidden folder is taken by files that no build left.
        OSError: the folder around `out` cannot be written.
    """
    scratch = find_scratch(out)
    _refuse_foreign_scratch(scratch)
    scratch.parent.mkdir(parents=True, exist_ok=True)
    busy = f"{out}: another process is building this release; wait for it, or name another folder"
    with hold_folder(scratch, busy=busy):
        if read_plan(out).get("fingerprint") != fingerprint:
            for name in ("release", "mirror", "receipts", "replaced"):
                shutil.rmtree(scratch / name, ignore_errors=True)
        yield Staging(out, scratch)


def save_plan(staging: Staging, plan: dict[str, Any]) -> None:
    """Remember what is being built; `fingerprint` is in it."""
    write_file(staging.scratch / _PLAN, render_json(plan), scratch=staging.scratch)


def read_plan(out: Path) -> dict[str, Any]:
    """What an unfinished build in this place was building; empty where there is none."""
    return _load_json(find_scratch(out) / _PLAN) or {}


def find_scratch(out: Path) -> Path:
    """The hidden folder of a release folder."""
    return out.with_name(f".{out.name}.unfinished")


def read_fingerprint(folder: Path, paper: str = RELEASE_NAME) -> str | None:
    """What a finished release, or mirror, was built from; None where the folder is neither."""
    if not (folder / SUMS_NAME).is_file():
        return None
    found = (_load_json(folder / paper) or {}).get("fingerprint")
    return found if isinstance(found, str) else None


def read_release_date(folder: Path) -> str | None:
    """Date of a finished release as it stands in its provenance; None where the folder is none."""
    found = (_load_json(folder / RELEASE_NAME) or {}).get("date")
    return found if isinstance(found, str) and (folder / SUMS_NAME).is_file() else None


def refuse_foreign(out: Path, *, fingerprint: str, overwrite: bool) -> None:
    """Stop before anything is built where a folder of another making bears the name.

    Raises:
        ReleaseError: it holds other files, or another release and `overwrite` is False.
    """
    for folder, paper in ((out, RELEASE_NAME), (mirror_of(out), MIRROR_NAME)):
        if not folder.exists() and not folder.is_symlink():
            continue
        if folder.is_symlink() or not folder.is_dir():
            raise ReleaseError(f"{folder}: is no folder; name another place for the release")
        entries = sorted(path.name for path in folder.iterdir())
        found = read_fingerprint(folder, paper)
        if not entries or found == fingerprint:
            continue
        if found is None:
            listed = ", ".join(entries[:_MOST_LISTED])
            raise ReleaseError(
                f"{folder}: holds files that are no release ({listed}); name another folder, or move them"
            )
        if not overwrite:
            raise ReleaseError(
                f"{folder}: holds another release (other data, recipe, evidence or version of this package); "
                "name another folder, or overwrite it"
            )


def publish(staging: Staging, *, mirrored: bool) -> None:
    """Give the finished folders their names, the mirror first: where the release is, all is there."""
    pairs = [(staging.mirror, mirror_of(staging.out))] if mirrored else []
    replaced = staging.scratch / "replaced"
    for staged, target in [*pairs, (staging.release, staging.out)]:
        if target.exists():
            replaced.mkdir(exist_ok=True)
            old = replaced / target.name
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
        staged.rename(target)
        sync_folder(target.parent)
    stale = mirror_of(staging.out)
    if not mirrored and read_fingerprint(stale, MIRROR_NAME) is not None:
        # It mirrors the release that was just replaced.
        shutil.rmtree(stale)
    shutil.rmtree(staging.scratch)


def discard_staging(out: Path) -> None:
    """Remove what a build left that was killed after it had named the release."""
    if find_scratch(out).exists():
        with hold_folder(find_scratch(out)):
            shutil.rmtree(find_scratch(out))


def _refuse_foreign_scratch(scratch: Path) -> None:
    if not scratch.is_symlink() and not scratch.exists():
        return
    if scratch.is_symlink() or not scratch.is_dir():
        raise ReleaseError(f"{scratch}: must be free for the unfinished release, and is no folder; move it")
    if foreign := [path.name for path in scratch.iterdir() if path.name not in _OWN and path.suffix != ".tmp"]:
        raise ReleaseError(
            f"{scratch}: must be free for the unfinished release, and holds other files "
            f"({', '.join(sorted(foreign)[:_MOST_LISTED])}); move them"
        )


def remove_unlisted(folder: Path, names: frozenset[str]) -> None:
    """Remove what an earlier, killed run left in a staged folder and this one does not write."""
    for path, _, files in os.walk(folder, topdown=False):
        for name in files:
            file = Path(path) / name
            if file.relative_to(folder).as_posix() not in names:
                file.unlink()
        if Path(path) != folder and not any(Path(path).iterdir()):
            Path(path).rmdir()


def _load_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
