"""All side-by-side comparisons in one run: ours, its peers, and what this machine can do at most.

    python benchmarks/speed/compare_all.py [--repeats 5] [--only writer,reader] [--list]

Every comparison is set up first. Then each repeat goes once round all of them, and once round the rates of the machine;
within a comparison the order of the candidates turns round from repeat to repeat. A first round warms up and is not
counted. One thread each. A run that was killed goes on after its last whole comparison when it is started again with
the same words, at the same commit, in a tree without changes. What the whole took stands in the result (`seconds`).
Needs the peers:

    pip install -c constraints.txt -e '.[dev]' && pip install --no-deps prdc==0.2 clean-fid==0.1.35

The result is `results/speed.json`, with every sample; `speed_page.py` draws `docs/speed.md` from it.
"""

import argparse
import functools
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.report import RESULTS, describe_setting, spell_command, spread, write_result
from benchmarks.speed.comparison import (
    OURS,
    Comparison,
    Sample,
    compare_samples,
    compute_floor,
    order_candidates,
    read_cpu_s,
    time_call,
)
from benchmarks.speed.machine_limits import RATES
from cspine_bench.provenance import find_commit, library_versions

RESULT = RESULTS / "speed.json"
CALM = 0.05
"""Share of one core that others may use while a calm machine measures."""

PEERS = ("cleanfid", "datasets", "diffusers", "faiss", "prdc", "sklearn", "starlette", "webdataset")

Build = Callable[[Path], Comparison]


def list_comparisons() -> dict[str, Build]:
    """What is compared, by name, in the order of the page; each is set up in a folder of its own."""
    from benchmarks.speed import copy_search, features, learned_generator, metrics, release_validate, study_serve
    from benchmarks.speed.dataset_write_read import compare_readers, compare_writers
    from benchmarks.speed.training_batches import compare_loaders

    part = functools.partial
    return {
        "writer": part(compare_writers, count=400, size=256, encoded=False),
        "writer of encoded files": part(compare_writers, count=1200, size=256, encoded=True),
        "reader": part(compare_readers, count=800, size=256, decode=True),
        "reader of bytes": part(compare_readers, count=1200, size=256, decode=False),
        "loader": part(compare_loaders, count=64, size=256, epochs=10),
        "features": part(features.compare_features, count=12, size=256),
        "Fréchet distance": lambda scratch: metrics.compare_distances("frechet, d = 2048", real=5000, synthetic=5000),
        "precision and recall": lambda scratch: metrics.compare_distances("manifold", real=5000, synthetic=5000),
        "nearest vectors": part(copy_search.compare_nearest, queries=2000, references=20_000, dimension=768),
        "near copies": part(copy_search.compare_copies, images=512, references=4096, num_shifts=4),
        "training step": part(learned_generator.compare_training, updates=2),
        "sampler": part(learned_generator.compare_sampling, batch=8, steps=12),
        "validator": part(release_validate.compare_validators, count=2000, size=256, level="standard"),
        "validator of pixels": part(release_validate.compare_validators, count=1000, size=256, level="full"),
        "study server": part(study_serve.compare_server, readers=50, rounds=3, pace_s=4.0, size=512),
    }


class Journal:
    """What has been measured so far, a line each, so that a killed run goes on.

    Args:
        path: of the lines; None: nothing is kept.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path is not None and path.exists() else []
        self.rows: dict[tuple[str, int], dict[str, Any]] = {}
        for line in lines:
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue  # The last line of a killed run may be torn; what it measured is measured again.
            self.rows[row["name"], row["repeat"]] = row

    def add(self, name: str, repeat: int, **found: Any) -> None:
        """Keep one comparison of one repeat; repeat 0 warms up."""
        row = {"name": name, "repeat": repeat, **found}
        self.rows[name, repeat] = row
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                # A line break first: a torn last line must not swallow this one.
                file.write("\n" + json.dumps(row))

    def close(self) -> None:
        """The run is whole."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def open_journal(words: Sequence[str]) -> Journal:
    """The journal of a run of these words at this commit; of none where the tree has changes."""
    commit = find_commit()
    if commit is None or commit.dirty:
        return Journal(None)
    name = hashlib.sha256(json.dumps([commit.sha, list(words)]).encode()).hexdigest()[:16]
    return Journal(Path(tempfile.gettempdir()) / f"cspine-bench-speed-{name}.jsonl")


def measure_comparison(comparison: Comparison, repeat: int) -> tuple[dict[str, Sample], str]:
    """Every candidate once, and how far they agree."""
    samples, outputs = {}, {}
    for name in order_candidates(list(comparison.candidates), repeat):
        samples[name], outputs[name] = time_call(comparison.candidates[name], comparison.count)
    return samples, comparison.check({name: outputs[name] for name in comparison.candidates})


def measure_rates(folder: Path) -> dict[str, float]:
    """Each rate of the machine once."""
    return {name: rate.measure(folder) for name, rate in RATES.items()}


def read_busy_s() -> float:
    """Seconds that all processes together have kept the machine's processors busy."""
    first = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()
    user, nice, system, _, _, irq, softirq, steal = map(int, first[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def measure_all(
    comparisons: dict[str, Comparison], repeats: int, journal: Journal, rates: Callable[[], dict[str, float]]
) -> None:
    """The warm-up and all repeats, into the journal; `rates` measures those of the machine once."""
    for repeat in range(repeats + 1):
        rounds: dict[str, Callable[[], dict[str, Any]]] = {"rates": lambda: {"rates": rates()}}
        for name, comparison in comparisons.items():
            rounds[name] = functools.partial(_measure_one, comparison, repeat)
        for name, measure in rounds.items():
            if repeat and (name, repeat) in journal.rows:
                continue
            # A resumed run warms up only what it still has to measure.
            if not repeat and all((name, later) in journal.rows for later in range(1, repeats + 1)):
                continue
            busy, own, wall = read_busy_s(), read_cpu_s(), time.perf_counter()
            found = measure()
            taken = time.perf_counter() - wall
            others = max(0.0, (read_busy_s() - busy) - (read_cpu_s() - own)) / taken
            journal.add(name, repeat, seconds=taken, others=others, load_1min=os.getloadavg()[0], **found)
            stage = f"repeat {repeat} of {repeats}" if repeat else "warm-up"
            print(f"{stage}: {name}: {taken:.1f} s, others used {others:.2f} cores", file=sys.stderr)


def _measure_one(comparison: Comparison, repeat: int) -> dict[str, Any]:
    samples, agreement = measure_comparison(comparison, repeat)
    return {"samples": samples, "agreement": agreement}


def describe_comparison(
    comparison: Comparison, rows: Sequence[dict[str, Any]], rates: dict[str, float]
) -> dict[str, Any]:
    """One entry of the result file."""
    samples = {name: [row["samples"][name] for row in rows] for name in comparison.candidates}
    return {
        "unit": comparison.unit,
        "units_a_call": comparison.count,
        "work": comparison.work,
        "agreement": rows[-1]["agreement"],
        "candidates": {
            name: {
                "versions": library_versions(comparison.packages.get(name, ())),
                **{unit: spread([sample[unit] for sample in found]) for unit in ("cpu_s", "wall_s")},
                "samples": found,
            }
            for name, found in samples.items()
        },
        "over_ours": compare_samples(samples),
        "floor": {
            "seconds": compute_floor(comparison.floor, rates),
            "terms": [
                {"amount": term.amount, "what": term.what, "rate": term.rate, "seconds": term.amount / rates[term.rate]}
                for term in comparison.floor
            ],
        },
        "ceiling_s": comparison.ceiling_s,
        "notes": comparison.notes,
    }


def summarize(comparisons: dict[str, Comparison], repeats: int, journal: Journal) -> dict[str, Any]:
    """What was measured, with every sample."""
    kept = {name: [journal.rows[name, repeat] for repeat in range(1, repeats + 1)] for name in ("rates", *comparisons)}
    measured = {name: [row["rates"][name] for row in kept["rates"]] for name in RATES}
    rates = {name: spread(values)["median"] for name, values in measured.items()}
    others = [row["others"] * row["seconds"] for rows in kept.values() for row in rows]
    seconds = sum(row["seconds"] for rows in kept.values() for row in rows)
    return {
        "repeats": repeats,
        "calm": sum(others) / seconds < CALM,
        "others_used_cores": sum(others) / seconds,
        "loads_1min": [row["load_1min"] for rows in kept.values() for row in rows],
        "rates": {
            name: {"unit": rate.unit, "how": rate.how, **spread(measured[name]), "samples": measured[name]}
            for name, rate in RATES.items()
        },
        "comparisons": {
            name: describe_comparison(comparison, kept[name], rates) for name, comparison in comparisons.items()
        },
    }


def choose_comparisons(only: str | None) -> dict[str, Build]:
    """Those that were named, or all.

    Raises:
        SystemExit: a name is unknown.
    """
    known = list_comparisons()
    names = list(known) if only is None else only.split(",")
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"unknown: {', '.join(unknown)}; known are {', '.join(known)}")
    return {name: known[name] for name in names}


def require_peers() -> None:
    """Before minutes are spent.

    Raises:
        SystemExit: a peer is not installed.
    """
    if missing := [name for name in PEERS if importlib.util.find_spec(name) is None]:
        raise SystemExit(
            f"not installed: {', '.join(missing)}; run: pip install -c constraints.txt -e '.[dev]' && "
            "pip install --no-deps prdc==0.2 clean-fid==0.1.35"
        )


def print_table(result: dict[str, Any]) -> None:
    for name, found in result["comparisons"].items():
        ours = found["candidates"][OURS]
        print(
            f"{name}: ours {1e3 * ours['cpu_s']['median']:.3g} CPU-ms, floor {1e3 * found['floor']['seconds']:.3g} ms"
        )
        for peer, ratio in found["over_ours"].items():
            cpu, wall = (ratio[unit] for unit in ("cpu_s", "wall_s"))
            print(
                f"    {peer:24} x {cpu['median']:.2f} ({cpu['min']:.2f} to {cpu['max']:.2f}) of CPU, "
                f"x {wall['median']:.2f} by the clock"
            )


def restart_with_one_thread() -> None:
    """Libraries read these before anything else; so the process begins again with them."""
    wanted = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", help="comparisons by name, with commas between; without it, all")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args(words)
    if options.repeats < 1:
        raise SystemExit(f"--repeats must be 1 or more, got {options.repeats}")
    builds = choose_comparisons(options.only)
    if options.list:
        print("\n".join(builds))
        return
    require_peers()
    began, cpu = time.perf_counter(), read_cpu_s()
    loads, journal = os.getloadavg(), open_journal(sys.argv[1:] if words is None else words)
    scratch = Path(tempfile.mkdtemp(prefix="cspine-bench-speed-"))
    try:
        comparisons = {}
        for number, (name, build) in enumerate(builds.items()):
            print(f"set-up: {name}", file=sys.stderr)
            folder = scratch / str(number)
            folder.mkdir()
            comparisons[name] = build(folder)
        set_up_s = time.perf_counter() - began
        measure_all(comparisons, options.repeats, journal, lambda: measure_rates(scratch))
        result = summarize(comparisons, options.repeats, journal)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print_table(result)
    document = {
        "schema_version": 1,
        "measure": "speed",
        "unit": "seconds of one unit; lower is better",
        "command": spell_command("benchmarks/speed/compare_all.py", words),
        "cpu_seconds": read_cpu_s() - cpu,
        "seconds": time.perf_counter() - began,
        "set_up_s": set_up_s,
        "load_before": list(loads),
        "load_after": list(os.getloadavg()),
        **describe_setting("cpu", ("numpy", "scipy", "torch")),
        **result,
    }
    write_result(options.out, document)
    journal.close()
    print(f"written to {options.out}; now: python benchmarks/speed/speed_page.py", file=sys.stderr)


if __name__ == "__main__":
    restart_with_one_thread()
    main()
