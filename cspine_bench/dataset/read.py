"""Read a dataset folder: the only reader inside the package.

Whole tables and streams of rows come from pyarrow; memory-mapped random access and shuffled streaming from `datasets`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from cspine_bench.dataset.manifest import MANIFEST_NAME, Manifest, load_manifest
from cspine_bench.dataset.shard import iter_batches
from cspine_bench.errors import DataError
from cspine_bench.schema import COLUMNS, SPLITS, Record, Split, build_arrow_schema, iter_batch_records

if TYPE_CHECKING:
    import datasets

PIXEL_COLUMNS: Final = tuple(name for name, column in COLUMNS.items() if column.dtype == "image")


@dataclass(frozen=True)
class DatasetFolder:
    """A finished dataset on this machine."""

    path: Path
    manifest: Manifest

    def __len__(self) -> int:
        """Radiographs in all splits."""
        return sum(self.manifest.num_samples.values())

    @property
    def splits(self) -> dict[Split, int]:
        """Radiographs in each split that is not empty."""
        return {split: count for split in SPLITS if (count := self.manifest.num_samples[split])}

    def iter_records(self, split: Split | None = None, columns: Sequence[str] | None = None) -> Iterator[Record]:
        """Rows in the order of the files, with memory for one row group at a time.

        Args:
            split: one split, or None for all.
            columns: fields to read. The records then hold these alone: reading another raises AttributeError.

        Raises:
            DataError: a shard is missing or unreadable.
            ValueError: a column or the split does not exist.
        """
        names = _check_columns(columns, default=tuple(COLUMNS))
        for path in self._paths(split):
            try:
                with pq.ParquetFile(path) as file:
                    for batch in iter_batches(file, names):
                        yield from iter_batch_records(batch, names)
            except (OSError, pa.ArrowException) as error:
                raise explain_unreadable(path, error) from error

    def read_table(self, columns: Sequence[str] | None = None, split: Split | None = None) -> pa.Table:
        """Columns of all rows as one Arrow table, class labels as their integers.

        Args:
            columns: fields to read; None: all but the pixels.
            split: one split, or None for all.

        Raises:
            DataError: a shard is missing or unreadable.
            ValueError: a column or the split does not exist.
        """
        names = _check_columns(columns, default=tuple(name for name in COLUMNS if name not in PIXEL_COLUMNS))
        schema = build_arrow_schema()
        tables = [pa.schema([schema.field(name) for name in names]).empty_table()]
        for path in self._paths(split):
            try:
                tables.append(pq.read_table(path, columns=list(names)).replace_schema_metadata(None))
            except (OSError, pa.ArrowException) as error:
                raise explain_unreadable(path, error) from error
        return pa.concat_tables(tables)

    def as_huggingface(self, *, streaming: bool = False) -> datasets.DatasetDict | datasets.IterableDatasetDict:
        """The folder as `datasets` loads it: memory-mapped with random access, or as a stream.

        Args:
            streaming: read the Parquet files as they are; otherwise they are converted once into the local cache.
        """
        import datasets

        return datasets.load_dataset(str(self.path), streaming=streaming)

    def _paths(self, split: Split | None) -> list[Path]:
        if split is not None and split not in SPLITS:
            raise ValueError(f"no split {split!r}; there are {', '.join(SPLITS)}")
        return [self.path / shard.path for shard in self.manifest.shards_of(split)]


def open_dataset(path_or_hub_id: str | Path, *, revision: str | None = None) -> DatasetFolder:
    """Open a dataset folder, or fetch one from the Hugging Face Hub (once; after that it comes from the local cache).

    Args:
        path_or_hub_id: a folder, or `owner/name`.
        revision: branch, tag or commit on the Hub.

    Raises:
        DataError: neither a folder nor a dataset on the Hub; or the dataset is not finished or its manifest damaged.
        ValueError: `revision` is given for a local folder.
    """
    path = Path(path_or_hub_id)
    if path.exists() or not looks_like_hub_id(str(path_or_hub_id)):
        if revision is not None:
            raise ValueError(f"revision={revision!r} is for the Hub; {path} is a local path")
        return DatasetFolder(path, load_manifest(path))
    fetched = _fetch(str(path_or_hub_id), revision)
    return DatasetFolder(fetched, load_manifest(fetched))


def looks_like_hub_id(name: str) -> bool:
    """Whether a name that is no path on this machine has the form `owner/name`."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not name.endswith("/")


def _fetch(hub_id: str, revision: str | None) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(huggingface_hub.snapshot_download(hub_id, repo_type="dataset", revision=revision))
    except (OSError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise DataError(
            f"{hub_id}: no such folder, and it cannot be fetched from the Hub "
            f"({str(error).splitlines()[0]:.200}); check the name, "
            f"or give a folder that holds {MANIFEST_NAME}"
        ) from error


def _check_columns(columns: Sequence[str] | None, *, default: tuple[str, ...]) -> tuple[str, ...]:
    if columns is None:
        return default
    if unknown := [name for name in columns if name not in COLUMNS]:
        raise ValueError(f"no column {', '.join(unknown)}; there are {', '.join(COLUMNS)}")
    return tuple(columns)


def explain_unreadable(path: str | Path, error: Exception) -> DataError:
    """The error for a shard that cannot be read."""
    return DataError(
        f"{path}: cannot be read ({error}); run `cspine-bench dataset verify` on its folder, and fetch or make it again"
    )
