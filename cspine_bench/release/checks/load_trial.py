"""Load a release as its users do, and print what came out. Run as a process of its own; see `loading`.

Usage: python -m cspine_bench.release.checks.load_trial LIBRARY FOLDER MODE..., LIBRARY `datasets` or `webdataset`.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from cspine_bench.schema import SPLITS

_KEY_COLUMNS: Final = ("sample_id", "__key__")


def main(library: str, folder: str, *modes: str) -> None:
    """Print a line of JSON for each mode: for each split how many samples came, with the first id and the last."""
    for mode in modes:
        if library == "webdataset":
            found = _read_webdataset(Path(folder))
        else:
            found = _read_datasets(folder, streaming=mode == "streaming")
        sys.stdout.write(f"{json.dumps(found)}\n")
        sys.stdout.flush()


def _read_datasets(folder: str, *, streaming: bool) -> dict[str, Any]:
    import datasets

    loaded = datasets.load_dataset(folder, streaming=streaming)
    found = {}
    for split, rows in loaded.items():
        columns = rows.column_names or list(next(iter(rows)))
        key = next(name for name in _KEY_COLUMNS if name in columns)
        # One sample is decoded whole; of the others the id is enough.
        first = next(iter(rows))
        image = next(first[name] for name in ("image", "png") if name in first)
        image.load()
        found[str(split)] = _count(row[key] for row in rows.select_columns([key]))
    return found


def _read_webdataset(folder: Path) -> dict[str, Any]:
    import webdataset

    found: dict[str, Any] = {}
    for split in SPLITS:
        paths = [str(path) for path in sorted((folder / "data").glob(f"{split}-*.tar"))]
        if paths:
            samples = webdataset.WebDataset(paths, shardshuffle=False).decode("l8")
            found[split] = _count(_iter_sound(samples))
    return found


def _iter_sound(samples: Iterable[dict[str, Any]]) -> Iterator[str]:
    for sample in samples:
        if sample["png"].ndim != 2 or not isinstance(sample["json"], dict):
            raise ValueError(f"{sample['__key__']}: the image is no gray array, or its JSON is none")
        yield str(sample["__key__"])


def _count(ids: Iterable[str]) -> dict[str, Any]:
    number, first, last = 0, None, None
    for name in ids:
        first = name if first is None else first
        last = name
        number += 1
    return {"num": number, "first": first, "last": last}


if __name__ == "__main__":
    main(*sys.argv[1:])
