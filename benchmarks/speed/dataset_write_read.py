"""Write and read the same radiographs as a dataset folder, as WebDataset tars, and by `datasets`: how fast is each?

    python benchmarks/speed/dataset_write_read.py [--count 1500] [--size 256] [--repeats 3]

One process, one thread, all candidates in turn within each repeat, so that a busy machine slows them alike. The first
repeat warms up and is dropped. Each writer gets the same samples, once as arrays (it encodes PNG itself, as it does by
default) and once encoded. What each does besides: ours validates each record, checks or makes its hashes, hashes the
shard, and forces every file to the disk (fsync); `ShardWriter` and `to_parquet` do none of these.
"""

import argparse
import functools
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cspine_bench.anatomy.landmarks import ALL_LEVELS, NUM_LANDMARKS
from cspine_bench.dataset.encode import encode_radiograph
from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.source import Radiograph, SampleKey
from cspine_bench.dataset.write import write_dataset
from cspine_bench.imaging.png import decode_png
from cspine_bench.provenance import find_commit, library_versions
from cspine_bench.schema import COLUMNS, Record, _huggingface_feature
from cspine_bench.seeding import numpy_generator

RESULT = Path(__file__).parents[1] / "results" / "speed_dataset_write_read.json"
JSON_FIELDS = tuple(name for name, column in COLUMNS.items() if column.dtype != "image")


@dataclass
class Samples:
    """Radiographs in memory, so that no candidate waits for their making."""

    radiographs: dict[str, Radiograph]
    records: dict[str, Record]
    encoded: bool = False
    description: dict[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        return {"kind": "phantom", **self.description}

    def list_samples(self) -> list[SampleKey]:
        return [radiograph.key for radiograph in self.radiographs.values()]

    def estimate_bytes(self) -> int:
        return 45_000

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph | Record]:
        items: dict[str, Any] = self.records if self.encoded else self.radiographs
        return (items[key.sample_id] for key in keys)


def make_samples(count: int, size: int) -> Samples:
    """Smooth anatomy-like shading with film noise; masks of eight blocks."""
    radiographs = {}
    rows, columns = np.mgrid[:size, :size] / size
    mask = np.zeros((size, size), np.uint8)
    for label in range(1, 9):
        mask[size * label // 10 : size * (label + 1) // 10 - 2, size // 3 : size // 2] = label
    for index in range(count):
        draw = numpy_generator(0, "benchmark", index)
        phase = draw.uniform(0, 6, 2)
        shade = 120 + 60 * np.sin(4 * columns + phase[0]) + 40 * np.cos(5 * rows + phase[1]) + 40 * (mask > 0)
        image = np.clip(shade + draw.normal(0, 4, shade.shape), 0, 255).astype(np.uint8)
        key = SampleKey(f"be{index:08d}", f"g{index}", str(index))
        fields = {"source_kind": "phantom", "facing": "left", "pixel_spacing_mm": 0.4, "seed": 0, "sample_index": index}
        fields["mask_levels"] = ALL_LEVELS
        points = draw.uniform(0, size - 1, (NUM_LANDMARKS, 2)).astype(np.float32)
        radiographs[key.sample_id] = Radiograph(key, image, mask, points, fields)
    records = {name: encode_radiograph(item, "train") for name, item in radiographs.items()}
    return Samples(radiographs, records, description={"count": count, "size": size})


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
    for record in open_dataset(folder).iter_records(columns=["sample_id", "image", "mask", "landmarks_xy"]):
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
    columns = ["sample_id", "image", "mask", "landmarks_xy"]
    stream = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True, columns=columns)
    if not decode:
        stream = stream.cast_column("image", datasets.Image(decode=False)).cast_column(
            "mask", datasets.Image(decode=False)
        )
    total = 0
    for row in stream:
        if decode:
            total += np.asarray(row["image"]).size + np.asarray(row["mask"]).size
        else:
            total += len(row["image"]["bytes"]) + len(row["mask"]["bytes"])
    return total


WRITERS = {"cspine-bench": write_ours, "webdataset": write_webdataset, "datasets": write_huggingface}
READERS = {"cspine-bench": read_ours, "webdataset": read_webdataset, "datasets": read_huggingface}


def measure(action: Callable[[], object], count: int) -> dict[str, float]:
    """Radiographs per second of wall time and of CPU time."""
    os.sync()  # What earlier candidates left to the kernel is not charged to this one.
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return {"per_wall_s": count / (time.perf_counter() - wall), "per_cpu_s": count / (time.process_time() - cpu)}


def _note_total(totals: set[int], read: Callable[[Path, bool], int], folder: Path, decode: bool) -> None:
    totals.add(read(folder, decode))


def run(samples: Samples, repeats: int, scratch: Path) -> dict[tuple[str, str], list[dict[str, float]]]:
    count = len(samples.radiographs)
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for repeat in range(repeats + 1):
        for encoded in (False, True):
            samples.encoded = encoded
            for name, write in WRITERS.items():
                out = scratch / name
                shutil.rmtree(out, ignore_errors=True)
                task = f"write, {'encoded' if encoded else 'arrays'}"
                figure = measure(functools.partial(write, samples, out), count)
                found.setdefault((task, name), []).extend([figure] if repeat else [])
        for decode in (False, True):
            totals: set[int] = set()
            for name, read in READERS.items():
                task = f"read, {'decoded' if decode else 'bytes'}"
                figure = measure(functools.partial(_note_total, totals, read, scratch / name, decode), count)
                found.setdefault((task, name), []).extend([figure] if repeat else [])
            if len(totals) != 1:
                raise SystemExit(f"the readers disagree about what they read: {totals}")
    return found


def summarize(found: dict[tuple[str, str], list[dict[str, float]]]) -> list[dict[str, Any]]:
    rows = []
    for (task, name), figures in found.items():
        row: dict[str, Any] = {"task": task, "candidate": name, "direction": "higher is better"}
        for unit in ("per_wall_s", "per_cpu_s"):
            values = [figure[unit] for figure in figures]
            # Ratios within a repeat: what slowed one candidate there slowed its neighbours.
            ratios = [
                ours[unit] / theirs[unit] for ours, theirs in zip(found[task, "cspine-bench"], figures, strict=True)
            ]
            row[unit] = {"median": statistics.median(values), "min": min(values), "max": max(values)}
            row[f"ours_over_it_{unit}"] = {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
        rows.append(row)
    return rows


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    print(
        f"{'task':16} {'candidate':14} {'per wall s':>11} {'(min - max)':>15} {'per CPU s':>10} "
        f"{'ours/it wall':>18} {'ours/it CPU':>18}"
    )
    for row in rows:
        wall, cpu = row["per_wall_s"], row["per_cpu_s"]
        ratios = [row[f"ours_over_it_{unit}"] for unit in ("per_wall_s", "per_cpu_s")]
        texts = [f"{ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})" for ratio in ratios]
        spread = f"({wall['min']:.0f} - {wall['max']:.0f})"
        print(
            f"{row['task']:16} {row['candidate']:14} {wall['median']:11.0f} {spread:>15} "
            f"{cpu['median']:10.0f} {texts[0]:>18} {texts[1]:>18}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=1500)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    import datasets

    datasets.disable_progress_bars()
    samples = make_samples(arguments.count, arguments.size)
    with tempfile.TemporaryDirectory() as scratch:
        rows = summarize(run(samples, arguments.repeats, Path(scratch)))
    print_table(rows)
    commit = find_commit()
    result = {
        "schema_version": 1,
        "measure": "speed_dataset_write_read",
        "unit": "radiographs per second",
        "count": arguments.count,
        "size_px": arguments.size,
        "repeats": arguments.repeats,
        "command": "python benchmarks/speed/dataset_write_read.py",
        "commit": None if commit is None else commit.sha,
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "system": platform.system(),
            "load_1min": os.getloadavg()[0],
        },
        "versions": {
            "python": platform.python_version(),
            **library_versions(("numpy", "pyarrow", "pillow", "datasets", "webdataset")),
        },
        "figures": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {arguments.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
