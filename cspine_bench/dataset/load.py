"""`cspine_bench.load`: a dataset, a release or a Hub id as a torch dataset, with random access or as a stream.

Random access is by `datasets`, which converts the Parquet files once into its memory-mapped cache: a row of a Parquet
file cannot be read without its row group. A stream reads the files as they are, here or on the Hub, and keeps nothing.

This module imports torch, so nothing else in the package imports it: `cspine_bench.load` does when it is first asked
for.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.distributed
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from cspine_bench.dataset.item import FIELDS, build_item, list_columns
from cspine_bench.dataset.manifest import MANIFEST_NAME, Manifest, parse_manifest
from cspine_bench.dataset.read import DatasetFolder, explain_unreadable, looks_like_hub_id, open_dataset
from cspine_bench.dataset.shard import iter_batches
from cspine_bench.errors import DataError
from cspine_bench.schema import SPLITS, Split
from cspine_bench.seeding import numpy_generator

Item = dict[str, Any]
Transform = Callable[[Item], Any]


class MappedRadiographs(Dataset[Any]):
    """Radiographs by index; give it to a `torch.utils.data.DataLoader`, with any number of workers."""

    def __init__(self, rows: Any, fields: Sequence[str], transform: Transform | None) -> None:
        self._rows = rows
        self._fields = tuple(fields)
        self._transform = transform

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index}; there are {len(self)} radiographs")
        return _finish(self._rows[int(index)], self._fields, self._transform)


@dataclass(frozen=True)
class _Shard:
    """`path` of a file here, or `datasets/OWNER/NAME@COMMIT/data/...` on the Hub."""

    path: str
    on_hub: bool

    def open(self) -> Any:
        if not self.on_hub:
            return pq.ParquetFile(self.path)
        from huggingface_hub import HfFileSystem

        return pq.ParquetFile(HfFileSystem().open(self.path, "rb"))

    def list_failures(self) -> tuple[type[Exception], ...]:
        """What reading raises where the file, the disk or the connection fails."""
        if not self.on_hub:
            return (OSError,)
        from huggingface_hub.errors import HfHubHTTPError

        # Its first base is the root of the errors of whichever HTTP client that version uses.
        return (OSError, *HfHubHTTPError.__bases__)

    def explain(self, error: Exception) -> DataError:
        """The error for a file that cannot be read to its end."""
        if not self.on_hub:
            return explain_unreadable(self.path, error)
        return DataError(
            f"{self.path}: cannot be read from the Hub ({str(error).splitlines()[0]:.200}); check the connection and "
            "start again, or load without streaming, which fetches all files first"
        )


class StreamedRadiographs(IterableDataset[Any]):
    """Radiographs in the order of the files, or shuffled in a buffer.

    Files are dealt out to the ranks of `torch.distributed` and to the workers of the loader, and where there are fewer
    files than those, their rows are: each radiograph comes exactly once in an epoch. Ranks may differ in how many they
    get.
    """

    def __init__(
        self,
        shards: Sequence[_Shard],
        fields: Sequence[str],
        transform: Transform | None,
        shuffle_buffer: int,
        seed: int,
    ) -> None:
        self._shards = tuple(shards)
        self._fields = tuple(fields)
        self._transform = transform
        self._shuffle_buffer = shuffle_buffer
        self._seed = seed
        # Shared memory, so that `set_epoch` reaches workers that live on from epoch to epoch.
        self._epoch: torch.Tensor = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]
        self._rank = (0, 1)

    def set_epoch(self, epoch: int) -> None:
        """Shuffle differently from now on: the order is a function of seed, epoch, rank and worker."""
        self._epoch.fill_(epoch)

    def __getstate__(self) -> dict[str, Any]:
        # A spawned worker knows nothing of the process group: it is told its rank with everything else.
        return self.__dict__ | {"_rank": self._find_rank()}

    def __iter__(self) -> Iterator[Any]:
        epoch = int(self._epoch)
        rank, num_ranks = self._find_rank()
        worker = get_worker_info()
        index, num_workers = (0, 1) if worker is None else (worker.id, worker.num_workers)
        reader, num_readers = index * num_ranks + rank, num_ranks * num_workers
        shards = list(self._shards)
        if self._shuffle_buffer:
            order = numpy_generator(self._seed, "load.shards", epoch).permutation(len(shards))
            shards = [shards[place] for place in order]
        rows = self._iter_rows(shards, reader, num_readers)
        if self._shuffle_buffer:
            generator = numpy_generator(self._seed, f"load.buffer.{reader}/{num_readers}", epoch)
            rows = _shuffle(rows, self._shuffle_buffer, generator)
        for row in rows:
            yield _finish(row, self._fields, self._transform)

    def _find_rank(self) -> tuple[int, int]:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return self._rank

    def _iter_rows(self, shards: Sequence[_Shard], reader: int, num_readers: int) -> Iterator[dict[str, Any]]:
        columns = list_columns(self._fields)
        for place, first, step in deal_shards(len(shards), reader, num_readers):
            shard, number = shards[place], 0
            try:
                with shard.open() as file:
                    for batch in iter_batches(file, columns):
                        wanted = np.arange((first - number) % step, len(batch), step)
                        number += len(batch)
                        yield from (batch if step == 1 else batch.take(pa.array(wanted))).to_pylist()
            except (*shard.list_failures(), pa.ArrowException) as error:
                raise shard.explain(error) from error


def deal_shards(num_shards: int, reader: int, num_readers: int) -> list[tuple[int, int, int]]:
    """What one of several readers reads, so that all together read each row once.

    Args:
        num_shards: files.
        reader: number of this reader, from 0.
        num_readers: readers in all.

    Returns:
        (file, first row, step) in order: whole files (step 1) where there are enough, otherwise every so many rows.
    """
    if num_readers <= num_shards:
        return [(shard, 0, 1) for shard in range(reader, num_shards, num_readers)]
    if num_shards == 0:
        return []
    shard = reader % num_shards
    return [(shard, reader // num_shards, len(range(shard, num_readers, num_shards)))]


@overload
def load(
    path_or_hub_id: str | Path,
    split: Split | None = None,
    *,
    streaming: Literal[False] = False,
    transform: Transform | None = None,
    fields: Sequence[str] | None = None,
    revision: str | None = None,
) -> MappedRadiographs: ...


@overload
def load(
    path_or_hub_id: str | Path,
    split: Split | None = None,
    *,
    streaming: Literal[True],
    transform: Transform | None = None,
    fields: Sequence[str] | None = None,
    revision: str | None = None,
    shuffle_buffer: int = 0,
    seed: int = 0,
) -> StreamedRadiographs: ...


def load(
    path_or_hub_id: str | Path,
    split: Split | None = None,
    *,
    streaming: bool = False,
    transform: Transform | None = None,
    fields: Sequence[str] | None = None,
    revision: str | None = None,
    shuffle_buffer: int = 0,
    seed: int = 0,
) -> MappedRadiographs | StreamedRadiographs:
    """Load radiographs with their labels for torch.

    Args:
        path_or_hub_id: a dataset folder, a release, or `owner/name` on the Hugging Face Hub.
        split: train, validation or test; None: all, one after another.
        streaming: read from first to last, without a cache and without fetching what is not read; otherwise random
            access.
        transform: called last with each item, a dict; what it returns is the item. It must be picklable where workers
            are spawned.
        fields: what an item holds, some of `dataset.item.FIELDS`; None: all of them. What is left out is not read.
        revision: branch, tag or commit on the Hub.
        shuffle_buffer: of a stream: radiographs to draw from, their files being in random order too; 0: not shuffled.
        seed: of the shuffling.

    Returns:
        A torch dataset of dicts; types, shapes, and what stands for "not known", are in `dataset.item`. Radiographs of
        different sizes do not stack: give a `transform` that makes them one size, or a `batch_size` of 1.

    Raises:
        DataError: no such dataset, an unfinished or damaged one, one that was fetched in part, a WebDataset mirror, or
            the split is empty.
        ValueError: the split or a field does not exist; `revision` is given for a local folder, or shuffling for
            random access, where the loader does it.
    """
    fields = _check_arguments(split, streaming, fields, shuffle_buffer)
    if streaming:
        shards, manifest = _list_shards(path_or_hub_id, split, revision)
        _check_split(path_or_hub_id, manifest, split)
        if not any(shard.on_hub for shard in shards):
            _check_files(Path(path_or_hub_id), manifest, split)
        return StreamedRadiographs(shards, fields, transform, shuffle_buffer, seed)
    _refuse_mirror(path_or_hub_id)
    folder = open_dataset(path_or_hub_id, revision=revision)
    _check_split(path_or_hub_id, folder.manifest, split)
    _check_files(folder.path, folder.manifest, None)
    return MappedRadiographs(_map_rows(_convert(folder), split, fields), fields, transform)


def _check_arguments(
    split: str | None, streaming: bool, fields: Sequence[str] | None, shuffle_buffer: int
) -> tuple[str, ...]:
    if split is not None and split not in SPLITS:
        raise ValueError(f"no split {split!r}; there are {', '.join(SPLITS)}, or None for all")
    if shuffle_buffer < 0 or (shuffle_buffer and not streaming):
        raise ValueError(
            f"shuffle_buffer={shuffle_buffer} is a number of radiographs of a stream, from 0; with random access "
            "leave it out and give DataLoader shuffle=True"
        )
    if isinstance(fields, str):
        raise ValueError(f"fields={fields!r} is one text; give a list: fields=[{fields!r}]")
    chosen = FIELDS if fields is None else tuple(fields)
    if unknown := [name for name in chosen if name not in FIELDS]:
        raise ValueError(
            f"no field {', '.join(unknown)}; there are {', '.join(FIELDS)}. Other columns: open_dataset(...).read_table"
        )
    return chosen


def _check_split(name: str | Path, manifest: Manifest, split: Split | None) -> None:
    there = [f"{other} ({count:,})" for other in SPLITS if (count := manifest.num_samples[other])]
    if split is not None and not manifest.num_samples[split]:
        raise DataError(f"{name}: split {split} is empty; there are {', '.join(there) or 'no radiographs at all'}")
    if not there:
        raise DataError(f"{name}: holds no radiographs; make or fetch it again")


def _check_files(folder: Path, manifest: Manifest, split: Split | None) -> None:
    """A folder that was copied or fetched in part is noticed here, not in the middle of an epoch."""
    for shard in manifest.shards_of(split):
        path = folder / shard.path
        found = path.stat().st_size if path.is_file() else None
        if found != shard.num_bytes:
            what = "is not there" if found is None else f"has {found:,} of its {shard.num_bytes:,} bytes"
            raise DataError(f"{path}: {what}; the folder was copied or fetched in part: fetch it again")


def _convert(folder: DatasetFolder) -> Any:
    """The folder as `datasets` maps it, and its errors with the reason instead of "while generating"."""
    from datasets.exceptions import DatasetsError

    try:
        return folder.as_huggingface()
    except (DatasetsError, OSError, ValueError, pa.ArrowException) as error:
        reason = str(error.__cause__ or error).splitlines() or [type(error).__name__]
        raise DataError(
            f"{folder.path}: cannot be converted into the cache of `datasets` ({reason[0]:.300}); run "
            "`cspine-bench dataset verify` on it, see that the disk has room, or load with streaming=True"
        ) from error


def _refuse_mirror(name: str | Path) -> None:
    folder = Path(name)
    if not (folder / MANIFEST_NAME).exists() and any((folder / "data").glob("*.tar")):
        raise DataError(
            f"{folder}: holds tar files, so it is a WebDataset mirror; load the release that it mirrors, "
            "or read the tar files with the package webdataset"
        )


def _list_shards(name: str | Path, split: Split | None, revision: str | None) -> tuple[list[_Shard], Manifest]:
    if Path(name).exists() or not looks_like_hub_id(str(name)):
        _refuse_mirror(name)
        folder = open_dataset(name, revision=revision)
        return [
            _Shard(str(folder.path / shard.path), False) for shard in folder.manifest.shards_of(split)
        ], folder.manifest
    file = _fetch_manifest(str(name), revision)
    manifest = parse_manifest(file.read_bytes(), where=f"{name}: {MANIFEST_NAME}")
    # The cache keeps a file under the commit it is from; all shards are read from that one.
    root = f"datasets/{name}@{file.parent.name}"
    return [_Shard(f"{root}/{shard.path}", True) for shard in manifest.shards_of(split)], manifest


def _fetch_manifest(hub_id: str, revision: str | None) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(huggingface_hub.hf_hub_download(hub_id, MANIFEST_NAME, repo_type="dataset", revision=revision))
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        raise DataError(
            f"{hub_id}: no such folder, and its {MANIFEST_NAME} cannot be fetched from the Hub "
            f"({str(error).splitlines()[0]:.200}); check the name and the revision, or give a dataset folder"
        ) from error


def _map_rows(loaded: Any, split: Split | None, fields: Sequence[str]) -> Any:
    """Memory-mapped rows of the splits, with only the columns that are needed, PNG files as bytes."""
    import datasets

    columns = list_columns(fields)
    parts = []
    for name in SPLITS:
        if name not in loaded or split not in (None, name):
            continue
        part = loaded[name].select_columns(list(columns))
        for column in ("image", "mask"):
            if column in columns:
                part = part.cast_column(column, datasets.Image(decode=False))
        parts.append(part)
    return parts[0] if len(parts) == 1 else datasets.concatenate_datasets(parts)


def _finish(row: dict[str, Any], fields: Sequence[str], transform: Transform | None) -> Any:
    item = build_item(row, fields)
    return item if transform is None else transform(item)


def _shuffle(rows: Iterator[dict[str, Any]], size: int, generator: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Each row waits in a buffer of `size` rows, out of which one at random is given for each that comes in."""
    buffer: list[dict[str, Any]] = []
    for row in rows:
        if len(buffer) < size:
            buffer.append(row)
            continue
        place = int(generator.integers(size))
        buffer[place], row = row, buffer[place]
        yield row
    for place in generator.permutation(len(buffer)):
        yield buffer[place]
