"""Releases that are broken in one way each: what is done to a sound one, and the finding that it must give.

Every change is sealed again (dataset.json and SHA256SUMS agree with the files), as a careful forger would do, unless
the rule is about the seals: so that the rule itself has to see it.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cspine_bench.dataset.manifest import compute_digest, render_json
from cspine_bench.provenance import sha256_file
from cspine_bench.release.layout import SEALS, SHARD_PATTERN
from cspine_bench.release.seal import build_sums

Change = Callable[[Path], None]


@dataclass(frozen=True)
class Broken:
    """One broken release.

    Attributes:
        code: of the rule that must see it.
        change: what is done to a copy of the sound release.
        where: file of the finding.
        message: part of it.
        also: further rules that must see it.
        mirror: the WebDataset mirror is broken instead.
        level: of the validation.
        sealed: SHA256SUMS and dataset.json are made anew afterwards.
        options: further arguments of `validate_release`.
    """

    code: str
    change: Change
    where: str
    message: str
    mirror: bool = False
    level: str = "quick"
    sealed: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    also: tuple[str, ...] = ()


def copy_release(source: Path, target: Path) -> Path:
    """A copy whose files are links to the source's: never write into one, `put` replaces it."""
    return Path(shutil.copytree(source, target, copy_function=os.link))


def put(folder: Path, name: str, data: str | bytes) -> None:
    """Replace or add a file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def reseal(folder: Path) -> None:
    """Make dataset.json and SHA256SUMS those of the files as they are."""
    files = {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
    manifest_file = folder / "dataset.json"
    if manifest_file.exists():
        manifest = json.loads(manifest_file.read_bytes())
        for shard in manifest["shards"]:
            path = folder / shard["path"]
            if path.exists():
                shard |= {"sha256": files[shard["path"]], "num_bytes": path.stat().st_size}
        papers = {name: digest for name, digest in files.items() if not SHARD_PATTERN.fullmatch(name)}
        manifest["files"] = {name: papers[name] for name in papers if name not in SEALS and name != "dataset.json"}
        put(folder, "dataset.json", render_json(manifest | {"digest": compute_digest(manifest)}))
        files["dataset.json"] = sha256_file(manifest_file)
    put(folder, "SHA256SUMS", build_sums({name: digest for name, digest in files.items() if name not in SEALS}))


def edit(name: str, old: str, new: str) -> Change:
    """Replace the first `old` in a text file, which must hold it."""

    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text, f"{name} does not hold {old!r}"
        put(folder, name, text.replace(old, new, 1))

    return change


def edit_all(name: str, old: str, new: str) -> Change:
    """Replace every `old`."""

    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        put(folder, name, text.replace(old, new))

    return change


def set_json(name: str, value: Any, *path: str | int) -> Change:
    """Set one value in a JSON file; None as value: remove it."""

    def change(folder: Path) -> None:
        document = json.loads((folder / name).read_bytes())
        target = document
        for key in path[:-1]:
            target = target[key]
        if value is None:
            del target[path[-1]]
        else:
            target[path[-1]] = value
        put(folder, name, render_json(document))

    return change


def set_manifest(**values: Any) -> Change:
    """Change dataset.json, with a digest that fits."""

    def change(folder: Path) -> None:
        manifest = json.loads((folder / "dataset.json").read_bytes()) | values
        put(folder, "dataset.json", render_json(manifest | {"digest": compute_digest(manifest)}))

    return change


def set_source(**values: Any) -> Change:
    """Another source in dataset.json and release.json: another generator made the images."""

    def change(folder: Path) -> None:
        source = json.loads((folder / "dataset.json").read_bytes())["source"] | values
        set_manifest(source=source)(folder)
        set_json("provenance/release.json", source, "dataset", "source")(folder)

    return change


def add(name: str, data: str | bytes = "x") -> Change:
    """A file more."""
    return lambda folder: put(folder, name, data)


def remove(name: str) -> Change:
    """A file less."""
    return lambda folder: (folder / name).unlink()


def rename(old: str, new: str) -> Change:
    """A file under another name."""

    def change(folder: Path) -> None:
        (folder / new).parent.mkdir(parents=True, exist_ok=True)
        (folder / old).rename(folder / new)

    return change


def all_of(*changes: Change) -> Change:
    """Several changes, one after another."""

    def change(folder: Path) -> None:
        for one in changes:
            one(folder)

    return change
