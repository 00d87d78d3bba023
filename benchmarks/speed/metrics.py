"""Measures on feature vectors and maps at the size of a release: CPU time and memory, beside `prdc` and clean-fid.

    python benchmarks/speed/metrics.py [--real 20000] [--synthetic 5000] [--only manifold,...]

Each candidate runs in a process of its own, so that its largest memory is its own; one thread each (set
OMP_NUM_THREADS=1). Memory of the interpreter with the input arrays alone is stated beside it. The reference packages
are optional: pip install --no-deps prdc==0.2 clean-fid==0.1.35. The search for copies is timed on a few blocks and
variants and scaled up; its time is proportional to both. `compare_all.py` times the tasks that others do too, smaller.
"""

import argparse
import ast
import functools
import importlib.util
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg

from benchmarks.report import RESULTS, describe_setting, spell_command, write_result
from benchmarks.speed.comparison import OURS, Comparison, Term
from cspine_bench.metrics.frechet import frechet_distance
from cspine_bench.metrics.kernel import cmmd_interval, kernel_interval
from cspine_bench.metrics.manifold import measure_manifold
from cspine_bench.metrics.near_copies import SHIFTED, search_near_copies
from cspine_bench.seeding import numpy_generator

RESULT = RESULTS / "speed_metrics.json"
LARGEST_ERROR = 1e-5
SEARCHED_IMAGES, SEARCHED_VARIANTS = 2048, 4
WHOLE_IMAGES, WHOLE_REFERENCES, WHOLE_VARIANTS = 20_000, 5_000, 50

Figures = dict[str, float]


def draw_features(n: int, m: int, dimension: int) -> dict[str, np.ndarray]:
    """Gaussians whose spread falls from feature to feature, as that of an encoder's does."""
    draw = numpy_generator(0, "benchmark.metrics")
    mix = draw.normal(size=(dimension, dimension)) * np.exp(-np.arange(dimension) / (dimension / 8))[:, None]
    mix = mix.astype(np.float32)
    real = draw.standard_normal((n, dimension), dtype=np.float32) @ mix + 1
    synthetic = draw.standard_normal((m, dimension), dtype=np.float32) @ (0.97 * mix) + 1
    return {"real": real, "synthetic": synthetic}


def run_manifold(pair: dict[str, np.ndarray]) -> Figures:
    found = measure_manifold(**pair)[0]
    return {name: getattr(found, name) for name in ("precision", "recall", "density", "coverage")}


def run_prdc(pair: dict[str, np.ndarray]) -> Figures:
    from prdc import compute_prdc

    return {name: float(value) for name, value in compute_prdc(pair["real"], pair["synthetic"], 5).items()}


def run_frechet(pair: dict[str, np.ndarray]) -> Figures:
    return {"distance": frechet_distance(**pair)}


def load_clean_fid() -> Callable[..., float]:
    """clean-fid's own function, from its file: its module imports torchvision, which is not installed here."""
    found = importlib.util.find_spec("cleanfid")
    if found is None or found.origin is None:
        raise SystemExit("clean-fid is not installed: pip install --no-deps clean-fid==0.1.35")
    source = Path(found.origin).with_name("fid.py")
    [function] = [
        node
        for node in ast.parse(source.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == "frechet_distance"
    ]
    space: dict[str, Any] = {"np": np, "linalg": scipy.linalg}
    exec(compile(ast.Module([function], []), str(source), "exec"), space)
    clean_fid: Callable[..., float] = space["frechet_distance"]
    return clean_fid


def run_clean_fid(pair: dict[str, np.ndarray]) -> Figures:
    """Means and covariances as clean-fid takes them, then its function."""
    described = [part for rows in pair.values() for part in (np.mean(rows, axis=0), np.cov(rows, rowvar=False))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # It uses an argument that scipy will drop.
        return {"distance": float(load_clean_fid()(*described))}


def run_kernel(pair: dict[str, np.ndarray]) -> Figures:
    return {"distance": kernel_interval(**pair).value}


def run_cmmd(pair: dict[str, np.ndarray]) -> Figures:
    return {"distance": cmmd_interval(**pair).value}


def run_search(pair: dict[str, np.ndarray]) -> Figures:
    found = search_near_copies(
        images=pair["synthetic"], references=pair["real"], variants=SHIFTED[:SEARCHED_VARIANTS], count=50
    )
    return {"mean_similarity": float(found.similarity[:, 0].mean())}


def draw_maps() -> dict[str, np.ndarray]:
    draw = numpy_generator(0, "benchmark.metrics.maps")
    counts = {"real": WHOLE_REFERENCES, "synthetic": SEARCHED_IMAGES}
    return {name: draw.standard_normal((count, 64, 64), dtype=np.float32) for name, count in counts.items()}


CANDIDATES: dict[str, dict[str, Callable[[dict[str, np.ndarray]], Figures]]] = {
    "manifold": {"cspine-bench": run_manifold, "prdc": run_prdc},
    "frechet, d = 2048": {"cspine-bench": run_frechet, "clean-fid": run_clean_fid},
    "frechet, d = 2048, n = 500": {"cspine-bench": run_frechet, "clean-fid": run_clean_fid},
    "kernel distance with interval": {"cspine-bench": run_kernel},
    "cmmd with interval": {"cspine-bench": run_cmmd},
    "near copies": {"cspine-bench": run_search},
}

WORDS = {"manifold": "precision, recall, density and coverage", "frechet, d = 2048": "the Fréchet distance"}
"""What the tasks that others do too give."""


def make_inputs(task: str, real: int, synthetic: int) -> dict[str, np.ndarray]:
    if task == "near copies":
        return draw_maps()
    if task.endswith("n = 500"):
        return draw_features(500, 500, 2048)
    return draw_features(real, synthetic, 2048 if task.startswith("frechet") else 768)


def measure(task: str, candidate: str, real: int, synthetic: int) -> dict[str, Any]:
    """In this process: figures, seconds and memory."""
    pair = make_inputs(task, real, synthetic)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    figures = CANDIDATES[task][candidate](pair)
    row = {
        "task": task,
        "candidate": candidate,
        "shapes": {name: list(array.shape) for name, array in pair.items()},
        "cpu_s": time.process_time() - cpu,
        "wall_s": time.perf_counter() - wall,
        "inputs_gib": before / 2**20,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "figures": figures,
    }
    if task == "near copies":
        scale = WHOLE_IMAGES / SEARCHED_IMAGES * WHOLE_VARIANTS / SEARCHED_VARIANTS
        row["variants"] = SEARCHED_VARIANTS
        row["estimated_core_minutes_of_20000_x_5000_x_50"] = row["cpu_s"] * scale / 60
        # The maps of all images, that only some were made of.
        more = (WHOLE_IMAGES - SEARCHED_IMAGES) * 64 * 64 * 4 / 2**30
        row["estimated_peak_gib_of_20000_x_5000_x_50"] = row["peak_gib"] + more
    return row


def run_apart(task: str, candidate: str, real: int, synthetic: int) -> dict[str, Any] | None:
    command = [sys.executable, __file__, "--real", str(real), "--synthetic", str(synthetic), "--one", task, candidate]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        print(f"{task}: {candidate} could not run and is left out", file=sys.stderr)
        return None
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def compare(rows: list[dict[str, Any]]) -> None:
    """Adds to each row how much longer it took than ours, and how far its figures lie from ours."""
    ours = {row["task"]: row for row in rows if row["candidate"] == "cspine-bench"}
    for row in rows:
        own = ours[row["task"]]
        row["cpu_s_over_ours"] = row["cpu_s"] / own["cpu_s"]
        row["largest_relative_difference"] = max(
            abs(row["figures"][name] / value - 1) for name, value in own["figures"].items()
        )
        print(
            f"{row['task']:30} {row['candidate']:13} {row['cpu_s']:8.2f} CPU s {row['peak_gib']:6.2f} GiB "
            f"({row['inputs_gib']:.2f} before) x {row['cpu_s_over_ours']:.2f}, figures differ by "
            f"{row['largest_relative_difference']:.1e}"
        )


def compare_distances(task: str, *, real: int, synthetic: int) -> Comparison:
    """A task of `CANDIDATES` that others do too, in this process."""
    pair = make_inputs(task, real, synthetic)
    n, m, d = real, synthetic, pair["real"].shape[1]
    if task == "manifold":
        flops, what = 2 * d * (n * n / 2 + m * m / 2 + n * m), "2 d (n n / 2 + m m / 2 + n m) of all pairs"
    else:
        flops = (n + m) * d * d + 8 / 3 * d**3
        what = "(n + m) d d of two covariances, 8/3 d d d of a Cholesky factor, its product and a tridiagonal form"
    term = Term(flops, f"{flops:.3g} operations: {what}", "float32" if task == "manifold" else "float64")

    def check(found: dict[str, Figures]) -> str:
        ours = found[OURS]
        error = max(abs(figures[name] / value - 1) for figures in found.values() for name, value in ours.items())
        if error > LARGEST_ERROR:
            raise SystemExit(f"{task}: figures differ by {error:.1e}: {found}")
        return f"figures differ by {error:.0e} of their value at most"

    return Comparison(
        unit="measurement",
        count=1,
        work=f"{WORDS[task]} of {n:,} and {m:,} vectors of {d:,} numbers, one thread",
        candidates={name: functools.partial(run, pair) for name, run in CANDIDATES[task].items()},
        packages={OURS: ("numpy", "scipy"), "prdc": ("prdc", "scikit-learn"), "clean-fid": ("clean-fid", "scipy")},
        check=check,
        floor=(term,),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--real", type=int, default=20_000)
    parser.add_argument("--synthetic", type=int, default=5_000)
    parser.add_argument("--only", help="tasks that begin with one of these, by commas")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*arguments.one, arguments.real, arguments.synthetic)))
        return
    starts = tuple(arguments.only.split(",")) if arguments.only else ("",)
    rows = [
        row
        for task, candidates in CANDIDATES.items()
        if task.startswith(starts)
        for candidate in candidates
        if (row := run_apart(task, candidate, arguments.real, arguments.synthetic)) is not None
    ]
    compare(rows)
    result = {
        "schema_version": 1,
        "measure": "speed_metrics",
        "unit": "CPU seconds, lower is better",
        "command": spell_command("benchmarks/speed/metrics.py", None),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        **describe_setting("cpu", ("numpy", "scipy", "clean-fid", "prdc")),
        "figures": rows,
    }
    write_result(arguments.out, result)
    print(f"written to {arguments.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
