"""What 20 thousand, 1 million and 100 million images cost: the tables of `docs/scale.md`, from measurements.

    python benchmarks/scale_costs.py            prints them
    python benchmarks/scale_costs.py --write    puts them into the page

Nothing is measured here. Each figure is a measurement of `results/`, or calculated from one by the number of images;
prices and the machine are assumptions, and stand in one place below.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cspine_bench.dataset.plan import MAX_SHARD_BYTES, count_shards

HERE: Final = Path(__file__).parent
PAGE: Final = HERE.parent / "docs" / "scale.md"
COUNTS: Final = (20_000, 1_000_000, 100_000_000)
NAMES: Final = {20_000: "20 thousand", 1_000_000: "1 million", 100_000_000: "100 million"}
FRACTIONS: Final = {"train": 0.8, "validation": 0.1, "test": 0.1}

# Assumptions. Change them here: no table says a price that is not listed beside it.
DOLLARS_PER_CORE_HOUR: Final = 0.05
DOLLARS_PER_TB_MONTH: Final = 23.0
CORES: Final = 64
MEMORY_GIB: Final = 64
TRAIN_FILMS: Final = 4_963
"""Films that synthetic images are searched for copies of: as many as CSXA has."""
SAMPLER: Final = ("dpmpp-2m", 12)
SEARCH: Final = "search for copies"
SEARCH_MORE: Final = "search among more films"
"""The same step, measured again to see what a film adds."""

# The Hub's recommendations, as its documentation states them; the page cites it.
HUB_FILES_A_FOLDER: Final = 10_000
HUB_FILES_A_REPO: Final = 100_000
HUB_FREE_BYTES: Final = 5e12

ALONE: Final = ("plan", SEARCH, "release build")
"""How the names begin of steps that one process does, whatever the number of cores."""
TOGETHER: Final = (
    "plan",
    "sample",
    "write",
    "verify",
    "open a side",
    "features, efficientnet-lite0",
    SEARCH,
    "annotate, landmarks",
    "release build",
    "release validate, full",
)
"""How the names begin of the steps that a release of samples goes through."""

GROWS_FROM_BYTES: Final = 16
"""Bytes an image from which a step is said to grow: less than that is noise of the measurement, or a few megabytes."""
MEMORY_FROM: Final = 1_000
"""Images below which growth of memory cannot be told from what libraries keep of their first megabytes."""


@dataclass(frozen=True)
class Cost:
    """CPU-seconds of one image, and where they are from."""

    step: str
    size_px: int
    cpu_s: float
    basis: str


@dataclass(frozen=True)
class Memory:
    """MiB that a step needs whatever the number of images, and bytes that each adds."""

    step: str
    fixed_mib: float
    bytes_an_image: float
    counts: tuple[int, int]

    def total_gib(self, count: int) -> float:
        """For so many images."""
        return self.fixed_mib / 1024 + max(0.0, self.bytes_an_image) * count / 2**30

    def holds(self, gib: float) -> float:
        """Images that so much memory is enough for."""
        return max(0.0, gib - self.fixed_mib / 1024) * 2**30 / self.bytes_an_image

    @property
    def grows(self) -> bool:
        """Whether an image adds anything that can be told from noise."""
        return self.bytes_an_image >= GROWS_FROM_BYTES


def load(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((HERE / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return found


def list_costs() -> list[Cost]:
    """Steps in the order in which a dataset goes through them."""
    stages = load("scale_stages")
    drawn = [
        Cost("draw phantoms", row["size_px"], row["cpu_s_per_image"], "scale_stages.json") for row in stages["bytes"]
    ]
    steps = load("sampler_steps_phantom-64-cpu")["rows"]
    [sampled] = [row for row in steps if (row["sampler"], row["num_steps"]) == SAMPLER]
    name = f"sample, {SAMPLER[0]}, {SAMPLER[1]} steps"
    costs = [*drawn, Cost(name, 64, sampled["cpu_s_per_image"], "sampler_steps_phantom-64-cpu.json")]
    for step, (first, second) in pair_rows(stages["rows"]).items():
        if step == SEARCH_MORE:
            continue
        costs.append(Cost(step, second["size_px"], slope(first, second, "cpu_s"), "scale_stages.json"))
    validated = {row["candidate"]: row for row in load("speed_release_validate")["figures"]}
    for level in ("standard", "full"):
        row = validated["validate, standard" if level == "standard" else "validate, full, shards alone"]
        seconds = 1 / row["per_cpu_s"]["median"]
        costs.append(Cost(f"release validate, {level}", 256, seconds, "speed_release_validate.json"))
    inception = load("speed")["comparisons"]["features"]["candidates"]["cspine-bench"]["cpu_s"]["median"]
    costs.append(Cost("features, inception-v3", 256, inception, "speed.json"))
    return [by_film(cost, stages["rows"]) for cost in costs]


def by_film(cost: Cost, rows: Sequence[dict[str, Any]]) -> Cost:
    """The search was measured among few films and among more; those that are assumed cost as much each."""
    if cost.step != SEARCH:
        return cost
    pairs = pair_rows(rows)
    few, more = pairs[SEARCH], pairs[SEARCH_MORE]
    a_pair = (slope(*more, "cpu_s") - slope(*few, "cpu_s")) / (more[0]["films"] - few[0]["films"])
    films = f"{few[0]['films']:,} and {more[0]['films']:,}"
    name = f"{SEARCH} of {TRAIN_FILMS:,} films (calculated from {films})"
    return Cost(name, cost.size_px, cost.cpu_s + (TRAIN_FILMS - few[0]["films"]) * a_pair, cost.basis)


def list_memory() -> list[Memory]:
    """Memory of each step, from two numbers of images."""
    memory = []
    for step, (first, second) in pair_rows(load("scale_stages")["rows"]).items():
        if second["count"] >= MEMORY_FROM:
            memory.append(fit_memory(step, first, second))
    validated = load("speed_release_validate")["peak_memory"]
    memory.append(fit_memory("release validate", validated[0], validated[-1]))
    return memory


def pair_rows(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """The smaller and the larger measurement by step."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["step"], []).append(row)
    return {step: (pair[0], pair[1]) for step, pair in found.items()}


def slope(first: dict[str, Any], second: dict[str, Any], name: str) -> float:
    """What an image adds."""
    return float((second[name] - first[name]) / (second["count"] - first["count"]))


def fit_memory(step: str, first: dict[str, Any], second: dict[str, Any]) -> Memory:
    """A line through two peaks."""
    added = slope(first, second, "peak_mib") * 2**20
    fixed = second["peak_mib"] - max(0.0, added) * second["count"] / 2**20
    return Memory(step, fixed, added, (first["count"], second["count"]))


def count_files(count: int, row: dict[str, Any]) -> int:
    """Parquet files of a dataset, by the rule of the writer; all lie in one folder, `data/`."""
    return sum(count_shards(round(count * share), int(row["estimated_bytes"])) for share in FRACTIONS.values())


def build_tables() -> dict[str, str]:
    """Markdown by name of the block in the page."""
    return {
        "storage": "\n".join(_iter_storage()),
        "time": "\n".join(_iter_time()),
        "memory": "\n".join(_iter_memory()),
        "bottlenecks": "\n".join(_iter_bottlenecks()),
        "assumptions": "\n".join(_iter_assumptions()),
    }


def _iter_storage() -> Iterator[str]:
    yield (
        "| side, px | bytes an image (measured) | images | dataset (calculated) | a month of storage (assumed price) | "
        "files in `data/` (calculated) | largest file (calculated) |"
    )
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for row in load("scale_stages")["bytes"]:
        for count in COUNTS:
            size, files = row["bytes_per_image"] * count, count_files(count, row)
            largest = min(MAX_SHARD_BYTES, size * FRACTIONS["train"])
            over = " **(not below the Hub's 10,000)**" if files + 1 > HUB_FILES_A_FOLDER else ""
            yield (
                f"| {row['size_px']} | {row['bytes_per_image']:,.0f} | {NAMES[count]} | {say_bytes(size)} | "
                f"{say_dollars(size / 1e12 * DOLLARS_PER_TB_MONTH)} | {files:,}{over} | about {say_bytes(largest)} |"
            )


def _iter_time() -> Iterator[str]:
    heads = [f"{NAMES[count]} (calculated, at the assumed price)" for count in COUNTS]
    yield f"| step | px | CPU-s an image (measured) | {' | '.join(heads)} | from |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    costs = list_costs()
    for cost in costs:
        yield f"| {cost.step} | {cost.size_px} | {cost.cpu_s:.2g} | {_say_totals(cost.cpu_s)} | `{cost.basis}` |"
    whole = sum(cost.cpu_s for cost in costs if cost.step.startswith(TOGETHER))
    yield f"| **a release of samples, together** | 64 | {whole:.2g} | {_say_totals(whole)} | rows above |"


def _say_totals(cpu_s: float) -> str:
    hours = [cpu_s * count / 3600 for count in COUNTS]
    return " | ".join(f"{say_hours(total)}, {say_dollars(total * DOLLARS_PER_CORE_HOUR)}" for total in hours)


def _iter_memory() -> Iterator[str]:
    heads = [f"{NAMES[count]} (calculated)" for count in COUNTS]
    most = f"{MEMORY_GIB} GiB are enough for (calculated)"
    yield f"| step | measured at | an image adds (measured) | {' | '.join(heads)} | {most} |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for memory in sorted(list_memory(), key=lambda found: found.bytes_an_image):
        added = say_bytes(memory.bytes_an_image) if memory.grows else "nothing"
        totals = [
            say_bytes((memory.total_gib(count) if memory.grows else memory.fixed_mib / 1024) * 2**30)
            for count in COUNTS
        ]
        first, second = memory.counts
        most = f"{memory.holds(MEMORY_GIB) / 1e6:,.2g} million" if memory.grows else "any number"
        yield f"| {memory.step} | {first:,} and {second:,} | {added} | {' | '.join(totals)} | {most} |"


def find_bottlenecks(count: int) -> list[str]:
    """What stops first: memory that a machine does not have, then folders that the Hub does not want; else time."""
    found = []
    for memory in sorted(list_memory(), key=lambda step: -step.total_gib(count)):
        if memory.grows and memory.total_gib(count) > MEMORY_GIB:
            found.append(f"memory of *{memory.step}*: {say_bytes(memory.total_gib(count) * 2**30)} (calculated)")
    for row in load("scale_stages")["bytes"]:
        if (files := count_files(count, row)) + 1 > HUB_FILES_A_FOLDER:
            found.append(f"at {row['size_px']} px {files:,} files in one folder (calculated)")
        if (size := row["bytes_per_image"] * count) > HUB_FREE_BYTES:
            found.append(f"at {row['size_px']} px {say_bytes(size)} on the Hub (calculated)")
    if not found:
        slowest = max(list_costs(), key=lambda cost: cost.cpu_s)
        hours = slowest.cpu_s * count / 3600
        spread = f"{say_hours(hours / CORES, '')} of {CORES} cores"
        if slowest.step.startswith(ALONE):
            spread = "in one process"
        found.append(f"time: *{slowest.step}* takes {say_hours(hours)}, {spread} (calculated)")
    return found


def _iter_bottlenecks() -> Iterator[str]:
    yield "| images | what stops first | then |"
    yield "| --- | --- | --- |"
    for count in COUNTS:
        first, *others = find_bottlenecks(count)
        yield f"| {NAMES[count]} | {first} | {'; '.join(others) or 'nothing by these measurements'} |"


def _iter_assumptions() -> Iterator[str]:
    yield "| assumed | value |"
    yield "| --- | --- |"
    yield f"| a core for an hour | {say_dollars(DOLLARS_PER_CORE_HOUR)} |"
    yield f"| a terabyte of object storage for a month | {say_dollars(DOLLARS_PER_TB_MONTH)} |"
    yield f"| the machine that bottlenecks are named for | {CORES} cores, {MEMORY_GIB} GiB |"
    yield f"| films of training that copies are searched among | {TRAIN_FILMS:,} |"
    yield "| splits | " + ", ".join(f"{name} {share:.0%}" for name, share in FRACTIONS.items()) + " |"
    machine = load("scale_stages")["machine"]
    measured = f"{machine['processor']}, {machine['cores']} cores"
    yield f"| a core | as fast as one of the machine that measured ({measured}) |"


def say_hours(hours: float, prefix: str = "core-") -> str:
    """Time, to three digits."""
    for unit, size in (("years", 8766.0), ("days", 24.0), ("h", 1.0), ("min", 1 / 60)):
        if hours >= size:
            return f"{hours / size:.3g} {prefix}{unit}"
    return f"{hours * 3600:.2g} {prefix}s"


def say_bytes(count: float) -> str:
    """Decimal units."""
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"


def say_dollars(amount: float) -> str:
    """To three digits."""
    if amount < 0.01:
        return "under $0.01"
    return f"${amount:,.0f}" if amount >= 100 else f"${amount:.2f}"


def fill_page(text: str) -> str:
    """The page with its blocks made anew.

    Raises:
        ValueError: the page lacks a block.
    """
    for name, table in build_tables().items():
        block = re.compile(rf"(<!-- {name}: benchmarks/scale_costs.py -->\n).*?(<!-- end -->)", flags=re.S)
        text, found = block.subn(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text)  # type: ignore[misc]
        if found != 1:
            raise ValueError(f"the page has {found} blocks named {name}; one is needed")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scale.md")
    if parser.parse_args().write:
        PAGE.write_text(fill_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        sys.stdout.write("\n\n".join(build_tables().values()) + "\n")


if __name__ == "__main__":
    main()
