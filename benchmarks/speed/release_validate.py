"""How many radiographs does `release validate` check in a core-second, at which level, and does its memory stay flat?

    python benchmarks/speed/release_validate.py [--count 10000] [--size 256] [--repeats 5] [--rows 20000 60000 200000]

One process, one thread, all candidates in turn within each repeat, so that a busy machine slows them alike; the first
repeat warms up and is dropped. Beside the levels stand `sha256sum -c` on the same files, which looks at bytes alone,
and what one would write first: each row through Python values, pydantic and Pillow. Times are of the processor, child
processes included. Level full loads the release by `datasets` besides, which costs the same for any release.

Memory is the peak of a process of its own that validates a release of N small images at level standard.
"""

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.report import RESULTS, describe_setting, spell_command, spread, write_result
from benchmarks.speed.comparison import OURS, Comparison, Term, time_call
from benchmarks.speed.noisy_films import NoisySource
from cspine_bench.dataset.write import write_dataset
from cspine_bench.release.build import build_release
from cspine_bench.release.checks.shards import ShardTask, check_shard
from cspine_bench.release.layout import mirror_of
from cspine_bench.release.recipe import ReleaseRecipe
from cspine_bench.release.rules import Level
from cspine_bench.release.validate import validate_release
from cspine_bench.schema import read_record

RESULT = RESULTS / "speed_release_validate.json"
SMALL_PX = 16


def build(folder: Path, count: int, size: int, *, mirror: bool) -> Path:
    """A release of so many images."""
    write_dataset(NoisySource(count, size), folder / "ds")
    build_release(folder / "ds", folder / "rel", ReleaseRecipe.model_validate({"date": "2026-11-23"}), mirror=mirror)
    return folder / "rel"


def validate(release: Path, level: Level) -> None:
    verdict = validate_release(release, level=level, with_mirror=False)
    if not verdict.valid or verdict.unchecked:
        raise SystemExit(f"{release}: {verdict.findings or verdict.unchecked}")


def check_pixels(release: Path) -> None:
    """Level full without the papers, and without the loading that costs the same for any release."""
    for path in sorted((release / "data").iterdir()):
        report = check_shard(ShardTask(str(release), f"data/{path.name}", path.name.split("-")[0], "full"))
        if report.findings:
            raise SystemExit(f"{path}: {report.findings}")


def run_sha256sum(release: Path) -> None:
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=release, check=True)


def check_naively(release: Path) -> None:
    """Each row as Python values, by pydantic; its image by Pillow; hashes, marks and sizes compared."""
    for path in sorted((release / "data").iterdir()):
        hashlib.sha256(path.read_bytes()).hexdigest()
        for batch in pq.ParquetFile(path).iter_batches(128):
            for row in batch.to_pylist():
                record = read_record(row)
                image, mask = (Image.open(io.BytesIO(data or b"")) for data in (record.image, record.mask))
                pixels, labels = np.asarray(image), np.asarray(mask)
                sound = hashlib.sha256(record.image).hexdigest() == record.image_sha256
                sound &= hashlib.sha256(record.mask or b"").hexdigest() == record.mask_sha256
                sound &= image.info["XML:com.adobe.xmp"].find(record.digital_source_type) > 0
                sound &= pixels.shape == labels.shape == (record.height, record.width)
                sound &= pixels.min() != pixels.max() and labels.max() <= 8
                if not sound:
                    raise SystemExit(f"{record.sample_id} is broken")


def measure(action: Callable[[], object], count: int) -> dict[str, float]:
    """Radiographs per second of wall time and of CPU time, children's included."""
    seconds, _ = time_call(action, count)
    return {"per_wall_s": 1 / seconds["wall_s"], "per_cpu_s": 1 / max(seconds["cpu_s"], 1e-3 / count)}


def run(release: Path, count: int, repeats: int) -> dict[str, list[dict[str, float]]]:
    mirror = mirror_of(release)
    candidates: dict[str, Callable[[], object]] = {
        "validate, quick": lambda: validate(release, "quick"),
        "validate, standard": lambda: validate(release, "standard"),
        "validate, standard, mirror": lambda: validate(mirror, "standard"),
        "validate, full, shards alone": lambda: check_pixels(release),
        "validate, full, with loading": lambda: validate(release, "full"),
        "sha256sum -c": lambda: run_sha256sum(release),
        "pydantic and Pillow, row by row": lambda: check_naively(release),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in candidates}
    for repeat in range(repeats + 1):
        for name, action in candidates.items():
            figure = measure(action, count)
            found[name] += [figure] if repeat else []
    return found


def summarize(found: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    rows = []
    for name, figures in found.items():
        row: dict[str, Any] = {"candidate": name, "direction": "higher is better"}
        rows.append(row | {unit: spread([figure[unit] for figure in figures]) for unit in ("per_wall_s", "per_cpu_s")})
    return rows


def compare_validators(scratch: Path, *, count: int, size: int, level: Level) -> Comparison:
    """A release of its own, checked; at level full without its loading by `datasets`, which any release costs."""
    release = build(scratch, count, size, mirror=False)
    shard_bytes = sum(path.stat().st_size for path in (release / "data").iterdir()) / count
    floor = [Term(shard_bytes, "bytes of the shards, hashed once", "sha256")]
    peers: dict[str, Callable[[], object]] = {"sha256sum -c": lambda: run_sha256sum(release)}
    if level == "full":
        floor.append(Term(size * size, f"{size} x {size} filtered bytes of the image, inflated", "inflate"))
        peers = {"pydantic and pillow": lambda: check_naively(release)}
    return Comparison(
        unit="radiograph",
        count=count,
        work=f"a release of radiographs of {size} px, level {level}: "
        + ("bytes against SHA256SUMS, and every row, label, hash and paper against the rules" if level == "standard"
           else "each row, its hashes, its mark and its pixels, decoded"),
        candidates={OURS: lambda: check_pixels(release) if level == "full" else validate(release, level), **peers},
        packages={OURS: ("pyarrow", "zlib-ng"), "pydantic and pillow": ("pydantic", "pillow"), "sha256sum -c": ()},
        check=lambda found: "all found the release sound",
        floor=tuple(floor),
        notes={"bytes_per_radiograph": shard_bytes},
    )  # fmt: skip


def measure_memory(counts: Sequence[int], scratch: Path) -> list[dict[str, Any]]:
    """Time and peak memory of validations of releases of so many small images."""
    rows = []
    for count in counts:
        folder = scratch / str(count)
        folder.mkdir()
        release = build(folder, count, SMALL_PX, mirror=False)
        command = [sys.executable, __file__, "--peak-of", str(release)]
        row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        rows.append({"count": count, "size_px": SMALL_PX, **row})
        print(f"{count:>8} images: {row['peak_mib']:.0f} MiB, {row['cpu_s']:.1f} CPU-s, {row['wall_s']:.1f} s")
    return rows


def read_peak_mib() -> float:
    """Of this program alone: the peak of `getrusage` counts what the parent held when it started this process, too."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def print_peak(release: Path) -> None:
    before = read_peak_mib()
    wall, cpu = time.perf_counter(), time.process_time()
    validate(release, "standard")
    figures = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    print(json.dumps(figures | {"peak_mib": read_peak_mib(), "before_mib": before}))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", type=int, nargs="*", default=[20_000, 60_000, 200_000])
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--peak-of", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak_of:
        print_peak(arguments.peak_of)
        return
    with tempfile.TemporaryDirectory() as scratch:
        release = build(Path(scratch), arguments.count, arguments.size, mirror=True)
        num_bytes = sum(path.stat().st_size for path in (release / "data").iterdir())
        rows = summarize(run(release, arguments.count, arguments.repeats))
        for row in rows:
            wall, cpu = row["per_wall_s"], row["per_cpu_s"]
            spread = f"({cpu['min']:.0f}-{cpu['max']:.0f})"
            print(f"{row['candidate']:32} {cpu['median']:8.0f}/CPU-s {spread:>15} {wall['median']:8.0f}/s")
        memory = measure_memory(arguments.rows, Path(scratch))
    result = {
        "schema_version": 1,
        "measure": "speed_release_validate",
        "unit": "radiographs per second",
        "count": arguments.count,
        "size_px": arguments.size,
        "bytes_per_radiograph": num_bytes / arguments.count,
        "repeats": arguments.repeats,
        "command": spell_command("benchmarks/speed/release_validate.py", None),
        **describe_setting("cpu", ("numpy", "pyarrow", "pillow", "pydantic", "zlib-ng", "datasets")),
        "figures": rows,
        "peak_memory": memory,
    }
    write_result(arguments.out, result)
    print(f"written to {arguments.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
