"""Which code made this: package version, commit, library versions; and the hashes that tie files together."""

import hashlib
import importlib.metadata
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cspine_bench

_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Commit:
    """A git commit, and whether tracked files differed from it."""

    sha: str
    dirty: bool


def package_version() -> str:
    """Version of this package."""
    return cspine_bench.__version__


def find_commit() -> Commit | None:
    """The commit of the checkout that this package runs from; None when it was installed from a wheel."""
    root = Path(cspine_bench.__file__).resolve().parent.parent
    # A wheel may lie inside the environment of an unrelated checkout: ask whether git tracks this very file.
    if _run_git(root, "ls-files", "--error-unmatch", "cspine_bench/__init__.py") is None:
        return None
    sha = _run_git(root, "rev-parse", "HEAD")
    changes = _run_git(root, "status", "--porcelain", "--untracked-files=no")
    return None if sha is None else Commit(sha=sha, dirty=bool(changes))


def find_clean_commit() -> str | None:
    """The commit of this package's code; None for an installed wheel, and for code that was changed since."""
    commit = find_commit()
    return None if commit is None or commit.dirty else commit.sha


def _run_git(root: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def library_versions(names: tuple[str, ...] = ("numpy", "pyarrow", "pillow", "datasets", "torch")) -> dict[str, str]:
    """Installed versions of libraries by name; one that is not installed is left out."""
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def sha256_bytes(data: bytes) -> str:
    """Hash of bytes, as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hash of a file's bytes, read in blocks.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """JSON in one spelling: sorted keys, no spaces, no NaN.

    Raises:
        ValueError: `value` holds NaN or infinity.
        TypeError: `value` holds something that is not JSON.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_json(value: Any) -> str:
    """Hash of `canonical_json(value)` in UTF-8."""
    return sha256_bytes(canonical_json(value).encode())
