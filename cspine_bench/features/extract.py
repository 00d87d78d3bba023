"""The features of a dataset folder, by way of the store: what is known is read, what is new is encoded and kept.

Rows are taken in blocks. A block whose images all are known costs the reading of its bytes and one hash of each. Of
any other, the new images are decoded, their pixels hashed and held against the record, encoded, and put into the store,
under a lock, so that several runs on one dataset share the work. A run that was killed has lost a block or two for each
worker.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.dataset.ray_tasks import RayCluster
from cspine_bench.dataset.read import DatasetFolder, open_dataset
from cspine_bench.errors import DataError
from cspine_bench.features.block import BlockJob, Film, check_claim
from cspine_bench.features.encoder import Encoder
from cspine_bench.features.store import DamagedShard, FeatureStore
from cspine_bench.features.workers import Answer, Workers, start_workers
from cspine_bench.provenance import sha256_bytes
from cspine_bench.schema import Record, Split

BLOCK_ROWS: Final = 128
_BLOCK_BYTES: Final = 1 << 26
"""Of files: a block of large films is shorter."""
_MOST_DAMAGED: Final = 3
_COLUMNS: Final = ("sample_id", "group_id", "image", "pixel_sha256")

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Features:
    """One vector for each radiograph of a dataset, in the order of its files.

    Attributes:
        sample_ids: (n,).
        pixel_sha256: (n,), of the pixels that were met, not of what a record says.
        group_ids: (n,), patient or anatomy.
        values: float32 (n, dimension), read-only, perhaps mapped into memory.
        encoder: as `Encoder.describe` gives it.
        encoder_sha256: hash of that.
    """

    sample_ids: tuple[str, ...]
    pixel_sha256: tuple[str, ...]
    group_ids: tuple[str, ...]
    values: NDArray[np.float32]
    encoder: dict[str, Any]
    encoder_sha256: str

    def __len__(self) -> int:
        return len(self.sample_ids)


def encode_dataset(
    dataset: DatasetFolder | Path | str,
    encoder: Encoder,
    store: FeatureStore | Path | None = None,
    *,
    split: Split | None = None,
    num_workers: int = 1,
    ray: RayCluster | None = None,
    allow_blank: bool = False,
    on_progress: OnProgress | None = None,
) -> Features:
    """Features of all radiographs of a dataset, or of one split.

    Args:
        dataset: the folder, open or not, or its name on the Hub.
        encoder: what turns images into vectors.
        store: of this encoder, or the folder that holds the stores of all; None: in the user's cache folder.
        split: one split, or None for all.
        num_workers: processes that decode and encode; with 1 everything happens in this one. They are spawned, so a
            script that asks for more needs the usual `if __name__ == "__main__":` guard.
        ray: encode in tasks of a Ray cluster instead. Its nodes need this package in the same version; this process
            reads the dataset and writes the store, so they need to see neither.
        allow_blank: take images of a single gray level too, which are no radiographs.
        on_progress: told the rows that are done, and all rows.

    Raises:
        DataError: an image cannot be decoded, is blank, or its pixels are not those that its record claims; names the
            sample. Or a shard of the dataset cannot be read, the store cannot be written, its disk is full or loses
            what is written, or a worker died.
        MissingExtraError: Ray is asked for and not installed.
        ValueError: the store is of another encoder, there is no such split, or `num_workers` is below 1, or above 1
            together with `ray`.
    """
    if num_workers < 1:
        raise ValueError(f"num_workers must be at least 1, got {num_workers}")
    if ray is not None and num_workers > 1:
        raise ValueError(f"num_workers={num_workers} and ray: encode in worker processes or in a cluster, not in both")
    folder = dataset if isinstance(dataset, DatasetFolder) else open_dataset(dataset)
    kept = store if isinstance(store, FeatureStore) else FeatureStore(store, encoder)
    if not kept.is_of(encoder):
        raise ValueError(f"{kept.folder} holds features of another encoder than {encoder.name}")
    total = sum(count for name, count in folder.splits.items() if split in (None, name))
    job = BlockJob(encoder, allow_blank)
    for attempt in range(1, _MOST_DAMAGED + 1):
        try:
            with start_workers(job, num_workers, ray) as workers:
                rows = _Run(folder, split, kept, job, workers, total, on_progress).fill()
            values = kept.gather([row.pixels for row in rows])
            break
        except DamagedShard as error:
            # It was set aside: encode its rows again.
            if attempt == _MOST_DAMAGED:
                raise DataError(
                    f"{error}; this happened {attempt} times now, so look at the disk that holds {kept.folder}, or "
                    "name another folder"
                ) from error
    return Features(
        sample_ids=tuple(row.sample_id for row in rows),
        pixel_sha256=tuple(row.pixels for row in rows),
        group_ids=tuple(row.group_id for row in rows),
        values=values,
        encoder=encoder.describe(),
        encoder_sha256=encoder.sha256,
    )


@dataclass(frozen=True)
class _Row:
    sample_id: str
    group_id: str
    pixels: str


@dataclass(frozen=True)
class _Pending:
    """A block that is being encoded, and the claim on it."""

    number: int
    block: list[Record]
    answer: Answer
    claim: ExitStack


@dataclass
class _Run:
    """One pass over a dataset, after which all of its images are in the store."""

    folder: DatasetFolder
    split: Split | None
    store: FeatureStore
    job: BlockJob
    workers: Workers
    total: int
    on_progress: OnProgress | None
    done: int = 0

    def fill(self) -> list[_Row]:
        """Rows of the dataset, in order, with the hashes of their pixels."""
        rows: dict[int, list[_Row]] = {}
        pending: list[_Pending] = []
        try:
            # First what nobody is at work on; then what others were, once they are through.
            for wait in (False, True):
                for number, block in enumerate(self._iter_blocks()):
                    if number not in rows and all(number != other.number for other in pending):
                        self._take(number, block, rows, pending, wait=wait)
                while pending:
                    self._finish_oldest(pending, rows)
        finally:
            for left in pending:
                left.answer.cancel()
                left.claim.close()
        return [row for number in sorted(rows) for row in rows[number]]

    def _take(
        self, number: int, block: list[Record], rows: dict[int, list[_Row]], pending: list[_Pending], *, wait: bool
    ) -> None:
        found = self._look_up(block)
        if found is None:
            # Never wait for somebody who may be waiting for what is held here.
            while pending and (wait or len(pending) >= self.workers.at_once):
                self._finish_oldest(pending, rows)
            claim = ExitStack()
            try:
                if not claim.enter_context(self.store.claim(_name_block(block), wait=wait)):
                    claim.close()
                    return
                found = self._look_up(block)
                if found is None:
                    pending.append(_Pending(number, block, self._submit(block), claim.pop_all()))
            finally:
                claim.close()
        if found is not None:
            rows[number] = found
            self._tell(len(found))

    def _submit(self, block: Sequence[Record]) -> Answer:
        films = {}
        for record in block:
            file_sha256 = sha256_bytes(record.image)
            if self.store.find_pixels(file_sha256) is None:
                known = record.pixel_sha256 in self.store
                films[file_sha256] = Film(record.sample_id, record.image, file_sha256, record.pixel_sha256, known)
        return self.workers.submit(list(films.values()))

    def _finish_oldest(self, pending: list[_Pending], rows: dict[int, list[_Row]]) -> None:
        oldest = pending[0]
        encoded = oldest.answer.result()
        if encoded.known_pixels:
            # Pixels that are known from another file: their features need not be encoded again.
            features = self.store.gather(encoded.known_pixels)
            self.store.add(encoded.known_pixels, encoded.known_files, features, blank=encoded.blank)
        if encoded.pixels:
            self.store.add(encoded.pixels, encoded.files, encoded.features, blank=encoded.blank)
        found = self._look_up(oldest.block)
        if found is None:
            raise DamagedShard(f"{self.store.folder}: what was added a moment ago is gone")
        rows[oldest.number] = found
        del pending[0]
        oldest.claim.close()
        self._tell(len(found))

    def _tell(self, num_rows: int) -> None:
        self.done += num_rows
        if self.on_progress is not None:
            self.on_progress(self.done, self.total)

    def _iter_blocks(self) -> Iterator[list[Record]]:
        block: list[Record] = []
        num_bytes = 0
        for record in self.folder.iter_records(self.split, _COLUMNS):
            block.append(record)
            num_bytes += len(record.image)
            if len(block) == BLOCK_ROWS or num_bytes >= _BLOCK_BYTES:
                yield block
                block, num_bytes = [], 0
        if block:
            yield block

    def _look_up(self, block: Sequence[Record]) -> list[_Row] | None:
        """The rows of a block whose images all are known; None where one is new."""
        rows = []
        for record in block:
            pixels = self.store.find_pixels(sha256_bytes(record.image))
            if pixels is None or pixels not in self.store:
                return None
            check_claim(record.sample_id, record.pixel_sha256, pixels)
            if self.store.is_blank(pixels):
                self.job.refuse_blank(record.sample_id)
            rows.append(_Row(record.sample_id, record.group_id, pixels))
        return rows


def _name_block(block: Sequence[Record]) -> str:
    return sha256_bytes("".join(record.pixel_sha256 for record in block).encode())
