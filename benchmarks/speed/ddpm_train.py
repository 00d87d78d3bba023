"""What a training image costs: our recipe through the package's own `update`, beside diffusers' example.

    python benchmarks/speed/ddpm_train.py [--recipe phantom-64-cpu] [--seconds 8] [--repeats 5] [--device cpu]

All on the same phantoms, in one process; on a CPU in one thread. Within each repeat all candidates take turns, each for
so many seconds and at least one update, so that a busy machine slows them alike; the first repeat warms up and is
dropped. Ratios are of one repeat. With `--sampling`, images a second from noise as well: diffusers' pipeline with all
its steps, and our sampler with few. With `--memory`, the peak of a process of its own for each.

An update costs what it costs; how good the images are after it is the question of `ddpm_distance.py`.
"""

import argparse
import functools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.held_out import open_or_make
from benchmarks.report import RESULTS, describe_setting, format_spread, spell_command, spread, write_result
from benchmarks.speed.diffusers_example import BATCH_SIZE, SHAPES, Example
from benchmarks.timed_sampling import sample_timed
from benchmarks.training_runs import OwnRun, shorten
from cspine_bench.dataset.read import open_dataset
from cspine_bench.ddpm.checkpoint import Generator
from cspine_bench.ddpm.films import load_films
from cspine_bench.ddpm.recipe import DdpmRecipe
from cspine_bench.ddpm.shipped import open_recipe
from cspine_bench.errors import DataError
from cspine_bench.recipe import apply_overrides

OURS = "cspine-bench"
LONGEST_RUN = 100_000
"""Updates over which both rates fall: too many for it to happen here."""
MEMORY_UPDATES = 3
GPU_UPDATES = 10
"""Between two looks at the clock; as many as our training does between two lines of its log."""


@dataclass
class Candidate:
    """One way to train: what does an update, on how many images; and what was measured, a row for each repeat."""

    run: OwnRun | Example
    batch_size: int
    rows: list[dict[str, float]] = field(default_factory=list)


def build_candidate(name: str, recipe: DdpmRecipe, data: Path, options: argparse.Namespace) -> Candidate:
    """Ours, or a network of the example."""
    if name == OURS:
        run = OwnRun(shorten(recipe, LONGEST_RUN), data, seed=0, device=options.device)
        return Candidate(run, recipe.training.batch_size)
    films = load_films(open_dataset(data), "train", recipe.size, at_least=options.train_batch_size)
    example = Example(
        name,
        films.take_images(np.arange(len(films))),
        seed=0,
        num_steps=LONGEST_RUN,
        mixed_precision=options.mixed_precision,
        batch_size=options.train_batch_size,
        device=options.device,
    )
    return Candidate(example, options.train_batch_size)


def synchronize(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def measure_updates(candidate: Candidate, seconds: float, device: str) -> dict[str, float]:
    """Milliseconds for each image, over as many updates as fit into so many seconds."""
    synchronize(device)
    wall, cpu, images = time.perf_counter(), time.process_time(), 0
    while not images or time.perf_counter() - wall < seconds:
        # What is queued on a GPU is not yet done; but training does not wait for it after each update either.
        for _ in range(GPU_UPDATES if torch.device(device).type == "cuda" else 1):
            candidate.run.update()
            images += candidate.batch_size
        synchronize(device)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall_ms_per_image": 1000 * wall / images, "cpu_ms_per_image": 1000 * cpu / images}


def measure_training(candidates: dict[str, Candidate], options: argparse.Namespace) -> None:
    for repeat in range(options.repeats + 1):
        for name, candidate in candidates.items():
            row = measure_updates(candidate, options.seconds, options.device)
            # The first repeat warms caches and allocators up, and compiles.
            candidate.rows += [row] if repeat else []
            print(f"repeat {repeat}: {name}: {row['wall_ms_per_image']:.1f} ms an image", file=sys.stderr)


def summarize(candidates: dict[str, Candidate]) -> list[dict[str, Any]]:
    rows = []
    for name, candidate in candidates.items():
        row: dict[str, Any] = {"candidate": name, "direction": "lower is better"}
        row |= {"parameters": candidate.run.num_parameters, "batch_size": candidate.batch_size}
        for unit in ("wall_ms_per_image", "cpu_ms_per_image"):
            mine, ours = [[found[unit] for found in one.rows] for one in (candidate, candidates[OURS])]
            row[unit] = spread(mine)
            # Ratios within a repeat: what slowed one candidate there slowed its neighbours.
            row[f"{unit}_over_ours"] = spread([its / our for its, our in zip(mine, ours, strict=True)])
        rows.append(row)
    return rows


def measure_memory(names: Sequence[str], data: Path, options: argparse.Namespace) -> dict[str, float]:
    """Peak MiB of a process that does a few updates and nothing else: of the device, or resident on a CPU."""
    peaks = {}
    for name in names:
        command = [sys.executable, __file__, "--peak-of", name, "--data", str(data), "--recipe", options.recipe]
        command += ["--device", options.device, "--mixed-precision", options.mixed_precision]
        command += ["--train-batch-size", str(options.train_batch_size)]
        command += [word for override in options.overrides for word in ("--set", override)]
        # The last line, for a library may print before it.
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        peaks[name] = float(json.loads(output.splitlines()[-1]))
    return peaks


def print_peak(recipe: DdpmRecipe, options: argparse.Namespace) -> None:
    candidate = build_candidate(options.peak_of, recipe, options.data, options)
    for _ in range(MEMORY_UPDATES):
        candidate.run.update()
    synchronize(options.device)
    on_gpu = torch.device(options.device).type == "cuda"
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps((torch.cuda.max_memory_allocated() if on_gpu else resident) / 2**20))


def sample_own(generator: Generator, num_steps: int, device: str, count: int) -> object:
    options = generator.recipe.training
    settings: dict[str, Any] = {"precision": options.precision, "compile": options.compile, "device": device}
    return sample_timed(generator, count, batch_size=count, num_steps=num_steps, **settings)


def sample_pipeline(run: Example, num_steps: int, count: int) -> object:
    return run.sample(count, sampler="ddpm", num_steps=num_steps, batch_size=count)


def measure_sampling(candidates: dict[str, Candidate], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Images a second from noise, by batch size; a batch that does not fit ends a candidate's row of sizes."""
    ways: list[tuple[str, str, int, Callable[[int], object]]] = []
    for name, candidate in candidates.items():
        run = candidate.run
        if isinstance(run, OwnRun):
            for steps in options.own_steps:
                sample = functools.partial(sample_own, run.build_generator(), steps, options.device)
                ways.append((name, "dpmpp-2m", steps, sample))
        else:
            sample = functools.partial(sample_pipeline, run, options.pipeline_steps)
            ways.append((name, "DDPMPipeline", options.pipeline_steps, sample))
    rows = []
    for name, sampler, steps, make in ways:
        for size in options.batches:
            row: dict[str, Any] = {"candidate": name, "sampler": sampler, "num_steps": steps, "batch_size": size}
            try:
                # A pass to warm up, which also compiles; the pipelines' thousand steps warm themselves.
                if name == OURS:
                    make(size)
                synchronize(options.device)
                wall, cpu = time.perf_counter(), time.process_time()
                make(size)
                synchronize(options.device)
            except (torch.OutOfMemoryError, DataError) as error:
                rows.append(row | {"images_per_s": None, "reason": type(error).__name__})
                torch.cuda.empty_cache()
                break
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            rows.append(row | {"images_per_s": size / wall, "images_per_cpu_s": size / cpu})
    return rows


def print_tables(rows: list[dict[str, Any]], sampling: list[dict[str, Any]], memory: dict[str, float]) -> None:
    print(
        f"{'candidate':16} {'parameters':>12} {'wall ms/image':>24} {'CPU ms/image':>24} "
        f"{'over ours, wall':>22} {'over ours, CPU':>22} {'peak MiB':>9}"
    )
    for row in rows:
        texts = [format_spread(row[f"{unit}_ms_per_image"]) for unit in ("wall", "cpu")]
        ratios = [format_spread(row[f"{unit}_ms_per_image_over_ours"], 2) for unit in ("wall", "cpu")]
        peak = f"{memory[row['candidate']]:.0f}" if row["candidate"] in memory else "-"
        print(
            f"{row['candidate']:16} {row['parameters']:12,} {texts[0]:>24} {texts[1]:>24} "
            f"{ratios[0]:>22} {ratios[1]:>22} {peak:>9}"
        )
    for row in sampling:
        speed = "does not fit" if row["images_per_s"] is None else f"{row['images_per_s']:.2f} images/s"
        print(
            f"{row['candidate']:16} {row['sampler']:13} {row['num_steps']:5} steps, batch {row['batch_size']}: {speed}"
        )


def parse_arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recipe", default="phantom-64-cpu", help="a recipe's file, or its name")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data", type=Path, help="dataset folder; without it, phantoms are made")
    parser.add_argument("--count", type=int, default=128, help="phantoms to make")
    parser.add_argument("--peers", nargs="*", choices=list(SHAPES), default=["example", "example, small"])
    parser.add_argument("--mixed-precision", choices=("no", "bf16"), default="no", help="of the example")
    parser.add_argument("--train-batch-size", type=int, default=BATCH_SIZE, help="of the example")
    parser.add_argument("--seconds", type=float, default=8.0, help="of a candidate in a repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--sampling", action="store_true")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 64, 256], help="of --sampling")
    parser.add_argument("--own-steps", type=int, nargs="+", default=[12, 20], help="of --sampling")
    parser.add_argument("--pipeline-steps", type=int, default=1000, help="of --sampling")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    options = parse_arguments(words)
    torch.set_num_threads(1)
    recipe = apply_overrides(open_recipe(options.recipe), tuple(options.overrides))
    if options.peak_of:
        print_peak(recipe, options)
        return
    with tempfile.TemporaryDirectory() as scratch:
        dataset = open_or_make(options.data, Path(scratch), count=options.count, size=recipe.size)
        names = [OURS, *options.peers]
        memory = measure_memory(names, dataset.path, options) if options.memory else {}
        candidates = {name: build_candidate(name, recipe, dataset.path, options) for name in names}
        measure_training(candidates, options)
    sampling = measure_sampling(candidates, options) if options.sampling else []
    rows = summarize(candidates)
    print_tables(rows, sampling, memory)
    kind = torch.device(options.device).type
    out = options.out or RESULTS / f"speed_ddpm_train_{kind}_{recipe.size}.json"
    document = {
        "schema_version": 1,
        "measure": "speed_ddpm_train",
        "unit": "milliseconds per training image",
        "recipe": recipe.model_dump(mode="json"),
        "recipe_sha256": recipe.compute_sha256(),
        "data": "phantoms" if options.data is None else str(options.data),
        "num_train": dataset.splits["train"],
        "size_px": recipe.size,
        "example_mixed_precision": options.mixed_precision,
        "seconds": options.seconds,
        "repeats": options.repeats,
        "command": spell_command("benchmarks/speed/ddpm_train.py", words),
        **describe_setting(options.device),
        "figures": rows,
        "sampling": sampling,
        "peak_mib": memory,
    }
    write_result(out, document)
    print(f"written to {out}", file=sys.stderr)


if __name__ == "__main__":
    main()
