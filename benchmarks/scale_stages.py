"""What an image costs at each step, and whether memory grows with their number: CPU-seconds, bytes and peak memory.

    OMP_NUM_THREADS=1 python benchmarks/scale_stages.py

Each row is a process of its own (a fork), which does one step on a dataset of so many images; `peak_mib` is the most
memory that it held, `before_mib` what it held before the step began (imports, weights). Steps are measured at two
numbers of images, so that what an image adds can be told from what is there anyway. `scale_costs.py` reads the result.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.report import RESULTS, describe_setting, spell_command, write_result
from benchmarks.speed.noisy_films import NoisySource
from benchmarks.speed.release_validate import read_peak_mib
from cspine_bench.baselines.annotate.run import annotate
from cspine_bench.baselines.annotate.teachers import open_teachers
from cspine_bench.baselines.shipped import open_recipe
from cspine_bench.baselines.train_model import train_model
from cspine_bench.dataset.plan import build_plan
from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.verify import verify_dataset
from cspine_bench.dataset.write import DEFAULT_FRACTIONS, write_dataset
from cspine_bench.evaluate.memorization.maps import BLOCK_IMAGES
from cspine_bench.evaluate.memorization.recipe import MemorizationRecipe
from cspine_bench.evaluate.memorization.search import search_copies
from cspine_bench.features.extract import encode_dataset
from cspine_bench.features.registry import DEFAULT_ENCODER, load_encoder
from cspine_bench.measurement.inputs import open_images
from cspine_bench.measurement.work import Work
from cspine_bench.recipe import apply_overrides
from cspine_bench.release.build import build_release
from cspine_bench.release.recipe import ReleaseRecipe
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.source import PhantomSource

SIZE_PX: Final = 64
SHARD_ROWS: Final = 250
"""Files of one size, as a large dataset has them: what is held of one file is then no growth with their number."""
PASS: Final = 4_000
FILMS: Final = 320
"""Noise that plays real films: four in five are trained on, the others held out."""
MORE_FILMS: Final = 1_280
"""Likewise, to see what a film adds to the search."""
SIZES_PX: Final = {64: 300, 256: 48, 512: 16}
"""Phantoms that bytes are measured on, by side."""


def make_noise(folder: Path, count: int) -> Path:
    """Noise that is written once and read by several steps."""
    place = folder / f"noise-{count}"
    if not place.exists():
        write_dataset(NoisySource(count, SIZE_PX), place, shard_rows=SHARD_ROWS)
    return place


def make_films(folder: Path, count: int) -> Path:
    """Noise that plays real films."""
    place = folder / f"films-{count}"
    if not place.exists():
        write_dataset(_Others(count, SIZE_PX), place)
    return place


class _Others(NoisySource):
    """Other people than those of its parent."""

    def list_samples(self) -> list[Any]:
        return [
            replace(
                key,
                sample_id=f"ot{key.origin:0>8}",
                group_id=f"other-{key.origin}",
                origin=str(10**7 + int(key.origin)),
            )
            for key in super().list_samples()
        ]


def make_teacher(folder: Path) -> Path:
    """A landmarking model of the recipe for a processor; what it was taught does not change what it costs to ask."""
    place = folder / "teacher"
    if not place.exists():
        write_dataset(PhantomSource(PhantomRecipe.model_validate({"size": SIZE_PX}), 40, 1), folder / "taught")
        train_model(
            apply_overrides(open_recipe("landmarking", "cpu-64"), ["learning.updates=4"]), folder / "taught", place
        )
    return place


def plan(folder: Path, count: int) -> Callable[[], object]:
    source = PhantomSource(PhantomRecipe.model_validate({"size": 256}), count, 0)
    return lambda: build_plan(source, fractions=DEFAULT_FRACTIONS, seed=0)


def write(folder: Path, count: int) -> Callable[[], object]:
    return lambda: write_dataset(NoisySource(count, SIZE_PX), folder / f"written-{count}", shard_rows=SHARD_ROWS)


def verify(folder: Path, count: int) -> Callable[[], object]:
    return lambda: _require(not verify_dataset(folder / f"noise-{count}"))


def stream(folder: Path, count: int) -> Callable[[], object]:
    """So many images, in passes over the same ones: what readers keep of the first megabytes is no growth."""
    dataset = open_dataset(make_noise(folder, min(count, PASS)))
    passes = range(count // PASS)
    return lambda: sum(1 for _ in passes for _ in dataset.iter_records(columns=("sample_id", "image")))


def open_side(folder: Path, count: int) -> Callable[[], object]:
    return lambda: open_images("real", folder / f"noise-{count}")


def features(folder: Path, count: int) -> Callable[[], object]:
    encoder = load_encoder("pixels")
    return lambda: encode_dataset(folder / f"noise-{count}", encoder, folder / f"store-{count}")


def features_of_network(folder: Path, count: int) -> Callable[[], object]:
    encoder = load_encoder(DEFAULT_ENCODER)
    return lambda: encode_dataset(folder / f"noise-{count}", encoder, folder / f"store-{count}")


def search(folder: Path, count: int) -> Callable[[], object]:
    return search_among(folder / f"films-{FILMS}", folder / f"noise-{count}")


def search_more(folder: Path, count: int) -> Callable[[], object]:
    return search_among(folder / f"films-{MORE_FILMS}", folder / f"noise-{count}")


def search_among(films: Path, synthetic: Path) -> Callable[[], object]:
    sides = [open_images("train", films, splits=("train",))]
    sides.append(open_images("holdout", films, splits=("validation", "test")))
    sides.append(open_images("synthetic", synthetic))
    return lambda: search_copies(*sides, recipe=MemorizationRecipe(), seed=0, work=Work(None, {}))


def label(folder: Path, count: int) -> Callable[[], object]:
    teachers = open_teachers(landmarks=folder / "teacher")
    out = folder / f"labelled-{count}"
    return lambda: annotate(folder / f"noise-{count}", teachers, out=out, labelled="replace")


def release(folder: Path, count: int) -> Callable[[], object]:
    recipe = ReleaseRecipe.model_validate({"date": "2026-11-23"})
    return lambda: build_release(folder / f"noise-{count}", folder / f"release-{count}", recipe, mirror=False)


STEPS: Final[dict[str, tuple[Callable[[Path, int], Callable[[], object]], tuple[int, ...]]]] = {
    "plan": (plan, (20_000, 60_000)),
    "write": (write, (2_000, 8_000)),
    "verify": (verify, (2_000, 8_000)),
    "stream": (stream, (PASS, 8 * PASS)),
    "open a side": (open_side, (2_000, 8_000)),
    "features, pixels": (features, (2_000, 8_000)),
    "features, efficientnet-lite0": (features_of_network, (64, 192)),
    "search for copies": (search, (BLOCK_IMAGES, 4 * BLOCK_IMAGES)),
    "search among more films": (search_more, (60, 160)),
    "annotate, landmarks": (label, (500, 2_000)),
    "release build": (release, (2_000, 8_000)),
}
"""Steps with the numbers of images that they are measured at; of the search whole blocks, as it holds one at a time:
memory that a first block takes while it fills is no growth with the number of images."""


def _require(holds: bool) -> None:
    if not holds:
        raise SystemExit("a step found a fault in what was made for it")


def measure(name: str, folder: Path, count: int) -> dict[str, Any]:
    """In this process."""
    step = STEPS[name][0](folder, count)
    before, cpu = read_peak_mib(), time.process_time()
    step()
    return {"cpu_s": time.process_time() - cpu, "peak_mib": read_peak_mib(), "before_mib": before}


def measure_bytes(folder: Path) -> list[dict[str, Any]]:
    """Bytes of phantoms with mask and labels, and CPU-seconds to draw them."""
    rows = []
    for size, count in SIZES_PX.items():
        source = PhantomSource(PhantomRecipe.model_validate({"size": size}), count, 0)
        cpu = time.process_time()
        write_dataset(source, folder / f"phantoms-{size}")
        seconds = time.process_time() - cpu
        manifest = open_dataset(folder / f"phantoms-{size}").manifest
        rows.append(
            {
                "size_px": size,
                "count": count,
                "bytes_per_image": sum(shard.num_bytes for shard in manifest.shards) / count,
                "cpu_s_per_image": seconds / count,
                "estimated_bytes": source.estimate_bytes(),
            }
        )
        print(rows[-1], flush=True)
    return rows


def run_apart(work: Callable[[], Any]) -> Any:
    """What a function gives, from a process of its own: this one stays as small as it was after its imports."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            with os.fdopen(writing, "w") as told:
                json.dump(work(), told)
            os._exit(0)
        finally:
            # An error must not run on in the child as if it were the parent.
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as told:
        said = told.read()
    if os.waitpid(child, 0)[1] != 0 or not said:
        raise SystemExit("a step failed; its error is above")
    return json.loads(said)


def prepare(folder: Path) -> None:
    """What all steps read."""
    make_films(folder, FILMS)
    make_films(folder, MORE_FILMS)
    make_teacher(folder)


def measure_step(name: str, folder: Path, count: int) -> dict[str, Any]:
    if name not in ("plan", "write"):
        run_apart(lambda: str(make_noise(folder, min(count, PASS) if name == "stream" else count)))
    row = run_apart(lambda: measure(name, folder, count))
    print(
        f"{name:32} {count:>8} {row['cpu_s']:8.2f} CPU-s {row['peak_mib']:8.0f} MiB ({row['before_mib']:.0f} before)",
        flush=True,
    )
    films = {"search for copies": FILMS, "search among more films": MORE_FILMS}
    more = {"films": films[name] * 4 // 5} if name in films else {}
    return {"step": name, "count": count, "size_px": 256 if name == "plan" else SIZE_PX, **more, **row}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", help="one step, or `bytes`; others stay as they are in the result")
    arguments = parser.parse_args()
    result = RESULTS / "scale_stages.json"
    earlier = json.loads(result.read_text()) if arguments.only else {"rows": [], "bytes": []}
    wanted = [name for name in STEPS if arguments.only in (None, name)]
    rows = [{"commit": earlier["commit"], **row} for row in earlier["rows"] if row["step"] not in wanted]
    setting = describe_setting("cpu", ("numpy", "pyarrow", "torch", "pillow"))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run_apart(lambda: prepare(folder))
        for name in wanted:
            rows += [{"commit": setting["commit"], **measure_step(name, folder, count)} for count in STEPS[name][1]]
        again = arguments.only in (None, "bytes")
        sizes = run_apart(lambda: measure_bytes(folder)) if again else earlier["bytes"]
    write_result(
        result,
        {
            "schema_version": 1,
            "measure": "scale_stages",
            "command": spell_command("benchmarks/scale_stages.py", []),
            "threads": os.environ.get("OMP_NUM_THREADS"),
            **setting,
            "bytes": sizes,
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
