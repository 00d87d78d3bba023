"""How fast the phantom makes complete samples, what each stage costs, and whether memory grows with their number.

    python benchmarks/speed/phantom_render.py [--count 64] [--size 256] [--repeats 5] [--device cpu]

A complete sample is image, mask and landmarks as the dataset writer gets them; `encoded` adds PNG coding, hashes and
the checked record. One thread. Beside it, in the same run: the same chords without tiles, every solid at every pixel,
as one would write it first. Memory is the peak of a process of its own that makes N samples and keeps none.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cspine_bench.dataset.encode import encode_radiograph
from cspine_bench.provenance import find_commit, library_versions
from cspine_bench.sources.phantom import PhantomRecipe, PhantomSource, projection
from cspine_bench.sources.phantom.projection import TILE, Camera, project_solids
from cspine_bench.sources.phantom.render import build_anatomy, project_bone, project_soft, render_masks
from cspine_bench.sources.phantom.solids import SolidGroup
from cspine_bench.sources.phantom.subject import build_camera, draw_subject

RESULTS = Path(__file__).parents[1] / "results"
SEED = 0


def project_everywhere(groups: list[SolidGroup], camera: Camera, size: int) -> torch.Tensor:
    """`project_solids` without its shortcuts: every solid, and all its planes, at every pixel."""
    boxes, sort = projection._project_boxes, projection._sort_by_planes

    def whole_film(group: SolidGroup, camera: Camera, size: int, oversample: int) -> tuple[torch.Tensor, torch.Tensor]:
        low = torch.zeros(group.weights.numel(), 2, dtype=torch.float64, device=group.weights.device)
        return low, low + size * oversample - TILE / 2

    def all_tiles(polynomials: torch.Tensor, of_quadrics: int, depths: torch.Tensor) -> list[tuple[torch.Tensor, int]]:
        return [(torch.arange(polynomials.shape[1], device=polynomials.device), polynomials.shape[0])]

    projection._project_boxes, projection._sort_by_planes = whole_film, all_tiles
    try:
        return project_solids(groups, camera, size=size, num_channels=2)
    finally:
        projection._project_boxes, projection._sort_by_planes = boxes, sort


def measure(action: Callable[[], object], count: int, device: torch.device) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return {
        "per_wall_s": count / (time.perf_counter() - wall),
        "per_cpu_s": count / (time.process_time() - cpu),
    }


def run(size: int, count: int, repeats: int, device: torch.device) -> dict[str, list[dict[str, float]]]:
    recipe = PhantomRecipe(size=size)
    source = PhantomSource(recipe, count, SEED, device.type)
    keys = source.list_samples()
    subjects = [draw_subject(recipe, SEED, index) for index in range(count)]
    batch = subjects[: min(32, count)]
    anatomy, _ = build_anatomy(batch)
    anatomy, camera = anatomy.to(device), build_camera(batch, size).to(device)
    few = build_anatomy(batch[:2])[0].to(device)
    few_camera = build_camera(batch[:2], size).to(device)
    films = list(source.iter_radiographs(keys[: min(32, count)]))
    stages: dict[str, tuple[int, Callable[[], object]]] = {
        "complete samples": (count, lambda: list(source.iter_radiographs(keys))),
        "encoded": (len(films), lambda: [encode_radiograph(film, "train") for film in films]),
        "draw people and postures": (len(batch), lambda: [draw_subject(recipe, SEED, s.index) for s in batch]),
        "build solids": (len(batch), lambda: build_anatomy(batch)),
        "project bone": (len(batch), lambda: project_bone(anatomy, camera, size)),
        "project soft tissue": (len(batch), lambda: project_soft(anatomy, camera, size)),
        "masks": (len(batch), lambda: render_masks(anatomy, camera, size)),
        "chords of bone, tiled": (2, lambda: project_solids(few.coarse, few_camera, size=size, num_channels=2)),
        "chords of bone, every solid at every pixel": (2, lambda: project_everywhere(few.coarse, few_camera, size)),
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in stages}
    for repeat in range(repeats + 1):
        for name, (number, action) in stages.items():
            figure = measure(action, number, device)
            # The first repeat warms caches and allocators up.
            found[name] += [figure] if repeat else []
    return found


def measure_memory(size: int, counts: tuple[int, ...]) -> list[dict[str, Any]]:
    rows = []
    for count in counts:
        command = [sys.executable, __file__, "--peak-of", str(count), "--size", str(size)]
        peak = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        rows.append({"count": count, "peak_mib": peak})
    return rows


def print_peak(count: int, size: int) -> None:
    source = PhantomSource(PhantomRecipe(size=size), count, SEED)
    for _ in source.iter_radiographs(source.list_samples()):
        pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def summarize(found: dict[str, list[dict[str, float]]]) -> list[dict[str, Any]]:
    rows = []
    for stage, figures in found.items():
        row: dict[str, Any] = {"stage": stage, "direction": "higher is better"}
        for unit in ("per_wall_s", "per_cpu_s"):
            values = [figure[unit] for figure in figures]
            row[unit] = {"median": statistics.median(values), "min": min(values), "max": max(values)}
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peak-of", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.peak_of:
        print_peak(arguments.peak_of, arguments.size)
        return
    device = torch.device(arguments.device)
    rows = summarize(run(arguments.size, arguments.count, arguments.repeats, device))
    for row in rows:
        wall, cpu = row["per_wall_s"], row["per_cpu_s"]
        spread = f"({wall['min']:.1f}-{wall['max']:.1f})"
        print(f"{row['stage']:45} {wall['median']:8.1f}/s {spread:>18} {cpu['median']:8.1f}/CPU-s")
    memory = [] if device.type == "cuda" else measure_memory(arguments.size, (32, 64, 128, 256))
    for peak in memory:
        print(f"peak memory of {peak['count']} samples: {peak['peak_mib']:.0f} MiB")
    commit = find_commit()
    result = {
        "schema_version": 1,
        "measure": "speed_phantom_render",
        "unit": "samples per second",
        "count": arguments.count,
        "size_px": arguments.size,
        "repeats": arguments.repeats,
        "seed": SEED,
        "command": f"python benchmarks/speed/phantom_render.py --count {arguments.count} --size {arguments.size} "
        f"--repeats {arguments.repeats} --device {device.type}",
        "commit": None if commit is None else commit.sha,
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "threads_used": 1,
            "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
            "load_1min": os.getloadavg()[0],
        },
        "versions": {"python": platform.python_version(), **library_versions(("numpy", "torch", "scipy"))},
        "figures": rows,
        "peak_memory": memory,
    }
    out = arguments.out or RESULTS / f"speed_phantom_render_{device.type}_{arguments.size}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {out}", file=sys.stderr)


if __name__ == "__main__":
    main()
