"""The features of a dataset folder, by way of the store: what is known is read, what is new is encoded and kept.

Rows are taken in blocks. A block whose images all are known costs the reading of its bytes and one hash of each. Of
any other, the new images are decoded, their pixels hashed and held against the record, encoded, and put into the store,
under a lock, so that several runs on one dataset share the work. A run that was killed has lost a block or two for each
worker.
"""

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.dataset.lock import tie_worker_to_writer
from cspine_bench.dataset.read import DatasetFolder, open_dataset
from cspine_bench.dataset.workers import set_environment
from cspine_bench.errors import DataError
from cspine_bench.features.encoder import Encoder
from cspine_bench.features.store import DamagedShard, FeatureStore
from cspine_bench.imaging.png import compute_pixel_sha256, decode_png
from cspine_bench.provenance import sha256_bytes
from cspine_bench.schema import Record, Split

BLOCK_ROWS: Final = 128
_COLUMNS: Final = ("sample_id", "group_id", "image", "pixel_sha256")
_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

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
        allow_blank: take images of a single gray level too, which are no radiographs.
        on_progress: told the rows that are done, and all rows.

    Raises:
        DataError: an image cannot be decoded, is blank, or its pixels are not those that its record claims; names the
            sample. Or a shard of the dataset cannot be read, the disk is full, or a worker died.
        ValueError: the store is of another encoder, there is no such split, or `num_workers` is below 1.
    """
    if num_workers < 1:
        raise ValueError(f"num_workers must be at least 1, got {num_workers}")
    folder = dataset if isinstance(dataset, DatasetFolder) else open_dataset(dataset)
    kept = store if isinstance(store, FeatureStore) else FeatureStore(store, encoder)
    if not kept.is_of(encoder):
        raise ValueError(f"{kept.folder} holds features of another encoder than {encoder.name}")
    total = sum(count for name, count in folder.splits.items() if split in (None, name))
    while True:
        job = _Job(encoder, allow_blank)
        try:
            with _start_workers(job, num_workers) as executor:
                rows = _Run(folder, split, kept, job, executor, num_workers, total, on_progress).fill()
            values = kept.gather([row.pixels for row in rows])
        except DamagedShard:
            continue  # It was set aside: encode its rows again.
        break
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
class _Film:
    """An image that is new to the store."""

    sample_id: str
    data: bytes
    file_sha256: str
    claimed: str
    known: bool


@dataclass(frozen=True)
class _Encoded:
    """Hashes and features of new images; and hashes of those whose pixels have features already."""

    pixels: list[str]
    files: list[str]
    features: NDArray[np.float32]
    known_pixels: list[str]
    known_files: list[str]
    blank: set[str]


@dataclass(frozen=True)
class _Pending:
    """A block that is being encoded, and the claim on it."""

    number: int
    block: list[Record]
    future: Future[_Encoded]
    claim: ExitStack


@dataclass(frozen=True)
class _Job:
    encoder: Encoder
    allow_blank: bool

    def refuse_blank(self, sample_id: str) -> None:
        """Called where an image of a single gray level is met."""
        if not self.allow_blank:
            raise DataError(
                f"sample {sample_id}: all pixels have one gray level; a blank image is no radiograph: leave it out, or "
                "find out what made it"
            )

    def encode(self, films: Sequence[_Film]) -> _Encoded:
        """Decode images, hold their pixels against what is claimed, and encode those that are new."""
        new: dict[str, tuple[_Film, NDArray[Any]]] = {}
        known_pixels, known_files = [], []
        blank = set()
        for film in films:
            image = decode_png(film.data, where=f"sample {film.sample_id}: image")
            pixels = compute_pixel_sha256(image)
            _check_claim(film.sample_id, film.claimed, pixels)
            if image.min() == image.max():
                self.refuse_blank(film.sample_id)
                blank.add(pixels)
            if film.known:
                known_pixels.append(pixels)
                known_files.append(film.file_sha256)
            else:
                new[film.file_sha256] = (film, image)
        images = [image for _, image in new.values()]
        features = np.empty((len(images), self.encoder.dimension), np.float32)
        alike: dict[tuple[Any, ...], list[int]] = {}
        for number, image in enumerate(images):
            alike.setdefault((image.shape, image.dtype.name), []).append(number)
        for numbers in alike.values():
            stack = np.stack([images[number] for number in numbers])
            features[numbers] = self.encoder.encode(stack, allow_blank=self.allow_blank)
        return _Encoded(
            [film.claimed for film, _ in new.values()], list(new), features, known_pixels, known_files, blank
        )


def _check_claim(sample_id: str, claimed: str, found: str) -> None:
    if claimed != found:
        raise DataError(
            f"sample {sample_id}: its pixels have the hash {found}, its record claims {claimed}; the image or the "
            "record was changed: run `cspine-bench dataset verify` on the folder, and make it again"
        )


@dataclass
class _Run:
    """One pass over a dataset, after which all of its images are in the store."""

    folder: DatasetFolder
    split: Split | None
    store: FeatureStore
    job: _Job
    executor: Executor | None
    num_workers: int
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
                left.future.cancel()
                left.claim.close()
        return [row for number in sorted(rows) for row in rows[number]]

    def _take(
        self, number: int, block: list[Record], rows: dict[int, list[_Row]], pending: list[_Pending], *, wait: bool
    ) -> None:
        found = self._look_up(block)
        if found is None:
            # Never wait for somebody who may be waiting for what is held here.
            while pending and (wait or len(pending) >= 2 * self.num_workers):
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

    def _submit(self, block: Sequence[Record]) -> Future[_Encoded]:
        films = {}
        for record in block:
            file_sha256 = sha256_bytes(record.image)
            if self.store.find_pixels(file_sha256) is None:
                known = record.pixel_sha256 in self.store
                films[file_sha256] = _Film(record.sample_id, record.image, file_sha256, record.pixel_sha256, known)
        if self.executor is not None:
            return self.executor.submit(_encode_in_worker, list(films.values()))
        future: Future[_Encoded] = Future()
        future.set_result(self.job.encode(list(films.values())))
        return future

    def _finish_oldest(self, pending: list[_Pending], rows: dict[int, list[_Row]]) -> None:
        oldest = pending[0]
        try:
            encoded = oldest.future.result()
        except BrokenProcessPool as error:
            raise DataError(
                f"{self.folder.path}: a worker process died (killed, or out of memory); run the same command again, "
                "with fewer workers if memory is short: it goes on where it stopped"
            ) from error
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
        for record in self.folder.iter_records(self.split, _COLUMNS):
            block.append(record)
            if len(block) == BLOCK_ROWS:
                yield block
                block = []
        if block:
            yield block

    def _look_up(self, block: Sequence[Record]) -> list[_Row] | None:
        """The rows of a block whose images all are known; None where one is new."""
        rows = []
        for record in block:
            pixels = self.store.find_pixels(sha256_bytes(record.image))
            if pixels is None or pixels not in self.store:
                return None
            _check_claim(record.sample_id, record.pixel_sha256, pixels)
            if self.store.is_blank(pixels):
                self.job.refuse_blank(record.sample_id)
            rows.append(_Row(record.sample_id, record.group_id, pixels))
        return rows


def _name_block(block: Sequence[Record]) -> str:
    return sha256_bytes("".join(record.pixel_sha256 for record in block).encode())


_jobs: list[_Job] = []
"""In a worker process: what it was started with, once."""


@contextmanager
def _start_workers(job: _Job, num_workers: int) -> Iterator[Executor | None]:
    """Processes of one thread each, that end with this one, however it ends; none where one is enough."""
    if num_workers == 1:
        yield None
        return
    before = set(multiprocessing.active_children())
    # Read by numpy and torch when a worker imports them, so it must be in the environment that the workers inherit.
    with set_environment(dict.fromkeys(_THREAD_VARIABLES, "1")):
        executor = ProcessPoolExecutor(
            num_workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            initargs=(pickle.dumps(job), os.getpid()),
        )
        finished = False
        try:
            yield executor
            finished = True
        finally:
            if not finished:
                for process in set(multiprocessing.active_children()) - before:
                    process.kill()
            executor.shutdown(wait=True, cancel_futures=True)


def _start_worker(pickled_job: bytes, parent_pid: int) -> None:
    # Ctrl-C reaches the whole process group; the parent alone answers it, and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tie_worker_to_writer([], parent_pid)
    _jobs.append(pickle.loads(pickled_job))


def _encode_in_worker(films: Sequence[_Film]) -> _Encoded:
    return _jobs[0].encode(films)
