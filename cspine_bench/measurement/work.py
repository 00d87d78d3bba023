"""Finished parts of a long measurement, kept until its result is written: a killed run goes on where it stopped."""

import uuid
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cspine_bench.provenance import sha256_json

Arrays = dict[str, NDArray[Any]]


class Work:
    """Arrays in a folder, by what they were computed from."""

    def __init__(self, folder: Path | None, key: Mapping[str, Any]) -> None:
        """Open or make the folder.

        Args:
            folder: where parts are kept; None: nowhere.
            key: JSON of all that every part depends on: inputs, settings, versions.
        """
        self.folder = folder
        self._key = dict(key)

    def keep(self, name: str, compute: Callable[[], Arrays], **more: Any) -> Arrays:
        """A part that an earlier run left, or else a new one, which is then kept.

        Args:
            name: of the part: letters, digits and dashes.
            compute: its arrays; not of objects.
            more: JSON that it depends on besides the key of all.
        """
        if self.folder is None:
            return compute()
        path = self._place(self.folder, name, more)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                return {key: kept[key] for key in kept.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            pass  # Not there, or torn: made anew.
        arrays = compute()
        self.folder.mkdir(parents=True, exist_ok=True)
        # A name of its own: the same part may be made twice at once, by a task that was believed to be lost.
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.unfinished")
        with draft.open("wb") as drafted:
            np.savez(drafted, **arrays)  # type: ignore[arg-type]
        draft.replace(path)
        return arrays

    def holds(self, name: str, **more: Any) -> bool:
        """Whether `keep` of the same arguments would find something."""
        return self.folder is not None and self._place(self.folder, name, more).is_file()

    def _place(self, folder: Path, name: str, more: Mapping[str, Any]) -> Path:
        digest = sha256_json({"key": self._key, "name": name, "more": more})
        return folder / f"{name}-{digest[:24]}.npz"
