"""Write and read the same radiographs as a dataset folder, as WebDataset tars, and by `datasets`.

`compare_all.py` times them. Each writer gets the same samples, as arrays (it encodes PNG itself, as it does by default)
or encoded. What each does besides: ours validates each record, checks or makes its hashes, hashes the shard, and forces
every file to the disk (fsync); `ShardWriter` and `to_parquet` do none of these.
"""

import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.comparison import OURS, Comparison, Term
from benchmarks.speed.noisy_films import NoisySource
from cspine_bench.dataset.encode import encode_radiograph
from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.source import Radiograph, SampleKey
from cspine_bench.dataset.write import write_dataset
from cspine_bench.imaging.png import decode_png
from cspine_bench.schema import COLUMNS, Record, _huggingface_feature

JSON_FIELDS = tuple(name for name, column in COLUMNS.items() if column.dtype != "image")
READ_COLUMNS = ["sample_id", "image", "mask", "landmarks_xy"]
PACKAGES = {OURS: ("pyarrow", "zlib-ng"), "webdataset": ("webdataset", "pillow"), "datasets": ("datasets", "pyarrow")}


@dataclass(frozen=True)
class Samples:
    """Radiographs in memory, so that no candidate waits for their making."""

    radiographs: dict[str, Radiograph]
    records: dict[str, Record]
    encoded: bool
    size: int

    def describe(self) -> dict[str, Any]:
        return {"kind": "phantom", "count": len(self.records), "size": self.size}

    def list_samples(self) -> list[SampleKey]:
        return [radiograph.key for radiograph in self.radiographs.values()]

    def estimate_bytes(self) -> int:
        return 45_000

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph | Record]:
        items: dict[str, Any] = self.records if self.encoded else self.radiographs
        return (items[key.sample_id] for key in keys)


def make_samples(count: int, size: int, *, encoded: bool) -> Samples:
    source = NoisySource(count, size)
    films = {film.key.sample_id: film for film in source.iter_radiographs(source.list_samples())}
    records = {name: encode_radiograph(film, "train") for name, film in films.items()}
    return Samples(films, records, encoded, size)


def _row(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in JSON_FIELDS}


def write_ours(samples: Samples, out: Path) -> None:
    write_dataset(samples, out, fractions=(1.0, 0.0, 0.0))


def write_webdataset(samples: Samples, out: Path) -> None:
    import webdataset

    out.mkdir()
    # mtime=0: otherwise each member gets a second header, which costs time and bytes.
    with webdataset.ShardWriter(
        str(out / "%05d.tar"), maxcount=samples_per_shard(samples), mtime=0, verbose=0
    ) as writer:
        for name, record in samples.records.items():
            pixels = samples.radiographs[name]
            image, mask = (record.image, record.mask) if samples.encoded else (pixels.image, pixels.mask)
            writer.write({"__key__": name, "png": image, "mask.png": mask, "json": _row(record)})


def write_huggingface(samples: Samples, out: Path) -> None:
    import datasets

    out.mkdir()
    features = datasets.Features.from_dict({name: _huggingface_feature(column) for name, column in COLUMNS.items()})

    def generate() -> Iterator[dict[str, Any]]:
        for name, record in samples.records.items():
            pixels = samples.radiographs[name]
            row = _row(record)
            if samples.encoded:
                yield row | {"image": {"bytes": record.image}, "mask": {"bytes": record.mask}}
            else:
                yield row | {"image": pixels.image, "mask": pixels.mask}

    with tempfile.TemporaryDirectory() as cache:
        dataset = datasets.Dataset.from_generator(generate, features=features, cache_dir=cache)
        dataset.to_parquet(out / "train.parquet")


def samples_per_shard(samples: Samples) -> int:
    """As many as our own plan gives, so that all write the same number of files."""
    return max(256, -(-len(samples.radiographs) // max(1, min(16, len(samples.radiographs) // 256))))


def read_ours(folder: Path, decode: bool) -> int:
    total = 0
    for record in open_dataset(folder).iter_records(columns=READ_COLUMNS):
        if decode:
            total += decode_png(record.image, where="image").size + decode_png(record.mask or b"", where="mask").size
        else:
            total += len(record.image) + len(record.mask or b"")
    return total


def read_webdataset(folder: Path, decode: bool) -> int:
    import webdataset

    stream = webdataset.WebDataset(sorted(map(str, folder.glob("*.tar"))), shardshuffle=False)
    total = 0
    for row in stream.decode("l8") if decode else stream:
        total += row["png"].size + row["mask.png"].size if decode else len(row["png"]) + len(row["mask.png"])
        _ = row["json"]["landmarks_xy"] if decode else json.loads(row["json"])["landmarks_xy"]
    return total


def read_huggingface(folder: Path, decode: bool) -> int:
    import datasets

    files = sorted(map(str, folder.glob("*.parquet")))
    stream = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True, columns=READ_COLUMNS)
    if not decode:
        for name in ("image", "mask"):
            stream = stream.cast_column(name, datasets.Image(decode=False))
    total = 0
    for row in stream:
        if decode:
            total += np.asarray(row["image"]).size + np.asarray(row["mask"]).size
        else:
            total += len(row["image"]["bytes"]) + len(row["mask"]["bytes"])
    return total


WRITERS: dict[str, Callable[[Samples, Path], None]] = {
    OURS: write_ours, "webdataset": write_webdataset, "datasets": write_huggingface,
}  # fmt: skip
READERS: dict[str, Callable[[Path, bool], int]] = {
    OURS: read_ours, "webdataset": read_webdataset, "datasets": read_huggingface,
}  # fmt: skip


def compare_writers(scratch: Path, *, count: int, size: int, encoded: bool) -> Comparison:
    """Radiographs in memory to files on the disk."""
    import datasets

    datasets.disable_progress_bars()
    samples = make_samples(count, size, encoded=encoded)

    def write(name: str) -> Path:
        shutil.rmtree(scratch / name, ignore_errors=True)
        os.sync()  # What earlier candidates left to the kernel is not charged to this one.
        WRITERS[name](samples, scratch / name)
        return scratch / name

    def check(folders: dict[str, Path]) -> str:
        return _agree({name: READERS[name](folder, True) for name, folder in folders.items()}, "pixels read back")

    file_bytes = sum(len(record.image) + len(record.mask or b"") for record in samples.records.values()) / count
    disk = Term(file_bytes, "bytes of an image and its mask as PNG, written and forced to the disk", "disk", "disk")
    coding = Term(size * size, f"{size} x {size} filtered bytes of the image, deflated", "deflate")
    given = "encoded PNG files" if encoded else "arrays"
    return Comparison(
        unit="radiograph",
        count=count,
        work=f"{given} of {size} px in memory, with mask, landmarks and record, to files on the disk; "
        "ours also checks each record, makes its hashes and waits for the disk",
        candidates={name: functools.partial(write, name) for name in WRITERS},
        packages=PACKAGES,
        check=check,
        floor=(disk,) if encoded else (disk, coding),
    )


def compare_readers(scratch: Path, *, count: int, size: int, decode: bool) -> Comparison:
    """Files in the page cache, each library's own, to bytes or pixels in memory."""
    import datasets

    datasets.disable_progress_bars()
    samples = make_samples(count, size, encoded=True)
    for name, write in WRITERS.items():
        write(samples, scratch / name)
    file_bytes = sum(len(record.image) + len(record.mask or b"") for record in samples.records.values()) / count
    floor = [Term(2 * file_bytes, "bytes of the two PNG files, read from the page cache and written once", "memory")]
    if decode:
        floor.append(Term(size * size, f"{size} x {size} filtered bytes of the image, inflated", "inflate"))
    return Comparison(
        unit="radiograph",
        count=count,
        work=f"image and mask of {size} px, and landmarks, row by row from each library's own files, "
        + ("decoded" if decode else "as bytes"),
        candidates={name: functools.partial(read, scratch / name, decode) for name, read in READERS.items()},
        packages=PACKAGES,
        check=lambda totals: _agree(totals, "pixels" if decode else "bytes"),
        floor=tuple(floor),
    )


def _agree(totals: dict[str, int], what: str) -> str:
    if len(set(totals.values())) != 1:
        raise SystemExit(f"the candidates disagree about {what}: {totals}")
    return f"all gave {next(iter(totals.values())):,} {what}"
