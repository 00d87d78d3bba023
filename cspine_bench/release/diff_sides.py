"""One side of a comparison: a release or a dataset folder, of this schema or of another, read column by column."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cspine_bench.dataset.manifest import MANIFEST_NAME, load_manifest
from cspine_bench.dataset.read import explain_unreadable
from cspine_bench.dataset.shard import UNIQUE_COLUMNS
from cspine_bench.errors import DataError
from cspine_bench.release.layout import RELEASE_NAME, SHARD_PATTERN
from cspine_bench.results import Result, load_result
from cspine_bench.schema import COLUMNS, SCHEMA_VERSION


@dataclass(frozen=True)
class Side:
    """What is compared.

    Attributes:
        path: the folder.
        digest: of its manifest.
        schema_version: of its rows.
        num_samples: radiographs by split.
        shards: Parquet files, in order.
        files: hash of each paper.
        release: provenance/release.json; empty for a dataset folder.
        results: evaluations by file name.
    """

    path: Path
    digest: str
    schema_version: str
    num_samples: dict[str, int]
    shards: tuple[Path, ...]
    files: dict[str, str]
    release: dict[str, Any]
    results: dict[str, Result]

    @property
    def version(self) -> str | None:
        """Of the release; None for a dataset folder."""
        version = self.release.get("version")
        return version if isinstance(version, str) else None

    @property
    def recipe(self) -> dict[str, Any]:
        """The release recipe as it was resolved; empty for a dataset folder."""
        recipe = self.release.get("recipe")
        return recipe if isinstance(recipe, dict) else {}

    def column_types(self) -> dict[str, str]:
        """Type of each column, as the first file has it."""
        if not self.shards:
            return {}
        try:
            return {field.name: str(field.type) for field in pq.read_schema(self.shards[0])}
        except (OSError, pa.ArrowException) as error:
            raise explain_unreadable(self.shards[0], error) from error

    def iter_column(self, name: str) -> Iterator[pa.Array]:
        """The values of a column, file by file; text that repeats itself as a dictionary.

        Raises:
            DataError: a file cannot be read, or lacks the column.
        """
        repeats = COLUMNS[name].dtype == "string" and name not in UNIQUE_COLUMNS if name in COLUMNS else False
        for path in self.shards:
            try:
                with pq.ParquetFile(path, read_dictionary=[name] if repeats else None) as file:
                    column = file.read([name], use_threads=False)[name]
            except (OSError, KeyError, pa.ArrowException) as error:
                raise explain_unreadable(path, error) from error
            yield column.combine_chunks()

    def read_column(self, name: str) -> pa.Array:
        """The values of a column of all files; see `iter_column`."""
        parts = list(self.iter_column(name))
        return pa.chunked_array(parts).unify_dictionaries().combine_chunks() if parts else pa.array([], pa.string())


def open_side(path: Path) -> Side:
    """Open a release or a dataset folder; one of another schema version too, whose rows hold other columns.

    Raises:
        DataError: not finished, damaged, or a paper of it cannot be read.
    """
    values = _read_other_schema(path)
    if values is None:
        values = load_manifest(path).model_dump(mode="json")
    names = [shard["path"] for shard in values["shards"]]
    if strange := [name for name in names if not SHARD_PATTERN.fullmatch(name)]:
        raise DataError(f"{path / MANIFEST_NAME}: names {strange[0]!r:.80}, which is no shard; fetch or make it again")
    return Side(
        path=path,
        digest=values["digest"],
        schema_version=values["schema_version"],
        num_samples=values["num_samples"],
        shards=tuple(path / name for name in names),
        files=values["files"],
        release=_load_object(path / RELEASE_NAME) if (path / RELEASE_NAME).is_file() else {},
        results={file.name: load_result(file) for file in sorted((path / "evaluation").glob("*.json"))},
    )


def _read_other_schema(path: Path) -> dict[str, Any] | None:
    """A manifest of another schema version, as far as it is needed here; None: this package's own, or none at all."""
    if not (path / MANIFEST_NAME).is_file():
        return None
    values = _load_object(path / MANIFEST_NAME)
    if values.get("schema_version") == SCHEMA_VERSION:
        return None
    wanted = {"digest": str, "schema_version": str, "num_samples": dict, "shards": list, "files": dict}
    sound = all(isinstance(values.get(name), kind) for name, kind in wanted.items())
    if not sound or not all(
        isinstance(shard, dict) and isinstance(shard.get("path"), str) for shard in values["shards"]
    ):
        raise DataError(f"{path / MANIFEST_NAME}: is no dataset manifest; fetch or make the dataset again")
    return values


def _load_object(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch or make its folder again") from error
    if not isinstance(values, dict):
        raise DataError(f"{path}: holds no JSON object; fetch or make its folder again")
    return values
