"""What a push has to do: the files of a release, those that the Hub holds, and the difference."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cspine_bench.errors import ReleaseError
from cspine_bench.release.layout import MIRROR_NAME, MIRROR_SUFFIX, RELEASE_NAME, SEALS, SUMS_NAME
from cspine_bench.release.seal import parse_sums

Action = Literal[
    "create repository", "create branch", "open pull request", "upload", "delete", "move main", "merge", "tag",
    "delete branch",
]  # fmt: skip
MAX_COMMIT_FILES: Final = 50
"""The Hub advises 50 to 100 files in a commit. Source: hub-docs, storage-limits."""
MAX_COMMIT_BYTES: Final = 2_000_000_000
"""What is lost at most when a push is killed: files that were sent, but are in no commit yet."""
_MAX_GROUP_BYTES: Final = 64_000_000
_HUB_OWN: Final = (".gitattributes",)
_NEW_REPOSITORY: Final = (*_HUB_OWN, "README.md")
_VERSION: Final = re.compile(r"v(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?")


@dataclass(frozen=True)
class LocalFile:
    """A file of the release; `sha256` is what SHA256SUMS says, the file itself has not been read."""

    name: str
    path: Path
    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class HubFile:
    """A file on the Hub: large ones are known by the SHA-256 of their bytes, others by the SHA-1 of their git blob."""

    name: str
    num_bytes: int
    sha256: str | None
    git_sha1: str


@dataclass(frozen=True)
class Parcel:
    """One folder and the dataset repository it goes to. `named`: its papers say so; otherwise they name none."""

    folder: Path
    repository: str
    tag: str
    named: bool
    files: tuple[LocalFile, ...]

    @property
    def num_bytes(self) -> int:
        """Of all its files."""
        return sum(file.num_bytes for file in self.files)

    @property
    def branch(self) -> str:
        """Where the files are gathered and verified before anyone sees them."""
        return f"upload-{self.tag}"


@dataclass(frozen=True)
class Operation:
    """One thing that a push does on the Hub. `num_bytes` is 0 where no file is sent."""

    action: Action
    repository: str
    what: str
    num_bytes: int = 0


@dataclass(frozen=True)
class Difference:
    """Files to send, files to delete, and for each wrong one a sentence that says how."""

    wanted: tuple[LocalFile, ...]
    unwanted: tuple[str, ...]
    faults: tuple[str, ...]


def load_parcel(folder: Path, repository: str) -> Parcel:
    """The files that SHA256SUMS lists, and the seals.

    Args:
        folder: a release or its mirror.
        repository: `owner/name` on the Hub.

    Raises:
        ReleaseError: no release, or files are missing, or the papers name another repository.
    """
    try:
        sums = (folder / SUMS_NAME).read_bytes()
    except OSError as error:
        raise ReleaseError(
            f"{folder}: there is no {SUMS_NAME} to read ({error.strerror}), so this is no release; "
            "make one with `cspine-bench release build DS --out REL`"
        ) from error
    hashes = parse_sums(sums)
    for seal in SEALS:
        if (folder / seal).is_file():
            hashes[seal] = hashlib.sha256((folder / seal).read_bytes()).hexdigest()
    files = []
    for name in sorted(hashes, key=_send_order):
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ReleaseError(f"{folder / SUMS_NAME}: lists {name!r}, which lies outside the release; fetch it again")
        if path.is_symlink() or not path.is_file():
            raise ReleaseError(f"{path}: {SUMS_NAME} lists it, but no such file is there; build the release again")
        files.append(LocalFile(name, path, path.stat().st_size, hashes[name]))
    version, named = _read_papers(folder)
    if named is not None and (folder / MIRROR_NAME).is_file():
        named += MIRROR_SUFFIX
    if named not in (None, repository):
        raise ReleaseError(
            f"{folder}: its papers send readers to {named}, not to {repository}; push it there, or build it again with "
            f"`--set hub_id={repository.removesuffix(MIRROR_SUFFIX)}`"
        )
    return Parcel(folder, repository, f"v{version}", named is not None, tuple(files))


def find_fault(file: LocalFile, found: HubFile | None) -> str | None:
    """What is wrong with a file on the Hub; None: it holds the bytes that SHA256SUMS names.

    Raises:
        ReleaseError: the file here is not what SHA256SUMS says.
    """
    if found is None:
        return f"{file.name}: is not there"
    if found.num_bytes != file.num_bytes:
        return f"{file.name}: has {found.num_bytes} bytes there and {file.num_bytes} here"
    if found.sha256 is not None:
        return None if found.sha256 == file.sha256 else _say_hashes(file.name, "SHA-256", found.sha256, file.sha256)
    data = file.path.read_bytes()
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise ReleaseError(f"{file.path}: its bytes are not those of {SUMS_NAME}; build the release again")
    own = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    return None if found.git_sha1 == own else _say_hashes(file.name, "git SHA-1", found.git_sha1, own)


def compare_files(files: Sequence[LocalFile], found: Mapping[str, HubFile]) -> Difference:
    """What has to change on the Hub, so that it holds these files and, but for .gitattributes, no other."""
    faults = {file.name: find_fault(file, found.get(file.name)) for file in files}
    unwanted = tuple(sorted(name for name in found if name not in faults and name not in _HUB_OWN))
    return Difference(
        tuple(file for file in files if faults[file.name] is not None),
        unwanted,
        (*(fault for fault in faults.values() if fault), *(f"{name}: is no file of the release" for name in unwanted)),
    )


def iter_commits(files: Sequence[LocalFile]) -> Iterator[list[LocalFile]]:
    """Files commit by commit, in their order."""
    return _iter_packs(files, MAX_COMMIT_FILES, MAX_COMMIT_BYTES)


def iter_groups(files: Sequence[LocalFile]) -> Iterator[list[LocalFile]]:
    """Files that are sent at a time: small ones together, a shard alone."""
    return _iter_packs(files, MAX_COMMIT_FILES, _MAX_GROUP_BYTES)


def check_target(parcel: Parcel, main: Iterable[str], tags: Iterable[str]) -> None:
    """Refuse a repository that the release would harm.

    Args:
        parcel: what is pushed.
        main: names of the files on its main branch.
        tags: of the repository.

    Raises:
        ReleaseError: it holds something else than earlier versions of this release, or a later version.
    """
    there = set(main)
    where = f"the dataset repository {parcel.repository}"
    if SUMS_NAME not in there and (foreign := sorted(there - set(_NEW_REPOSITORY))):
        raise ReleaseError(
            f"{where} holds files that no release put there ({', '.join(foreign[:3])}"
            f"{' ...' if len(foreign) > 3 else ''}), and a push would delete them; name another repository"
        )
    own = {Path(file.name).suffix for file in parcel.files if file.name.startswith("data/")}
    other = sorted(name for name in there if name.startswith("data/") and Path(name).suffix not in own)
    if other:
        raise ReleaseError(
            f"{where} holds another format ({other[0]}); one repository cannot hold both: "
            "the release and its WebDataset mirror need one each"
        )
    later = [tag for tag in tags if _VERSION.fullmatch(tag) and _order(tag) > _order(parcel.tag)]
    if later and parcel.tag not in tags:
        raise ReleaseError(
            f"{where} already has version {max(later, key=_order)}, and {parcel.tag} would take main back; "
            "raise `version` and build the release again"
        )


def _iter_packs(files: Sequence[LocalFile], max_files: int, max_bytes: int) -> Iterator[list[LocalFile]]:
    pack: list[LocalFile] = []
    size = 0
    for file in files:
        if pack and (len(pack) == max_files or size + file.num_bytes > max_bytes):
            yield pack
            pack, size = [], 0
        pack.append(file)
        size += file.num_bytes
    if pack:
        yield pack


def _send_order(name: str) -> tuple[bool, bytes]:
    # Papers first: a card that the Hub refuses is found before the shards are sent.
    return name.startswith("data/"), name.encode()


def _say_hashes(name: str, kind: str, there: str, here: str) -> str:
    return f"{name}: has {kind} {there} there and {here} here"


def _read_papers(folder: Path) -> tuple[str, str | None]:
    """Version, and the repository that the papers send readers to."""
    path = folder / RELEASE_NAME
    try:
        document = json.loads(path.read_bytes())
        version, named = document["version"], document["recipe"]["hub_id"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ReleaseError(f"{path}: does not give version and hub_id ({error}); build the release again") from error
    if not isinstance(version, str) or not _VERSION.fullmatch(f"v{version}"):
        raise ReleaseError(f"{path}: `version` is {version!r}, not of the form 1.0.0; build the release again")
    return version, named


def _order(tag: str) -> tuple[int, int, int, bool, str]:
    match = _VERSION.fullmatch(tag)
    if match is None:
        raise ValueError(f"{tag!r} is no version tag")
    major, minor, patch, before = match.groups()
    return int(major), int(minor), int(patch), before is None, before or ""
