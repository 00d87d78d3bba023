"""Fill the table of results in docs/REPRODUCE.md from the files of benchmarks/results/: `make docs`.

A result file says itself which command made it, at which commit, on what, and what it took; a page that says otherwise
fails a test. Files of the public commands hold settings instead: their commands are here, spelled from those settings.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "REPRODUCE.md"
BEGIN = "<!-- Made by docs/build_reproduce.py (`make docs`) from the result files: change those, not this table. -->"
END = "<!-- End of the table. -->"
NOT_MEASURED = "not measured"

Document = dict[str, Any]


def spell_baseline(document: Document) -> str:
    """The command of a baseline's result, with the settings that differ from its recipe's."""
    task = document["settings"]["recipe"]["task"]["kind"]
    protocol = document["settings"]["recipe"]["protocol"]
    changes = f"--set protocol.num_seeds={protocol['num_seeds']} --set protocol.arms=[{','.join(protocol['arms'])}]"
    inputs = {item["role"]: item["name"] for item in document["inputs"]}
    folders = f"--real {inputs['real']} --synthetic {inputs['synthetic']}"
    return f"cspine-bench baseline run {task} {folders} --out results {changes}"


COMMANDS: dict[str, Callable[[Document], str]] = {
    "baseline-": spell_baseline,
    "demo_": lambda document: "make demo",
    "ddpm_phantom_64_cpu": lambda document: "cspine-bench ddpm train phantom-64-cpu --data ds --out run",
}
"""By how a file's name begins; for files that hold no command."""

FOLDERS = ("ds", "films", "run", "samples")
"""Words of a command that are folders, made as the page says; behind `--out` or in `baseline run` they are not."""


TIMED: dict[str, Callable[[Document], float]] = {
    "adversarial_tradeoff": lambda document: sum(
        row["train_cpu_s"]["median"] * document["num_seeds"] for row in document["epsilons"].values()
    ),
    "landmarking_variants": lambda document: sum(
        row["cpu_seconds"]["median"] * row["seeds"] for row in document["variants"].values()
    ),
    "recipe_variants": lambda document: sum(row["cpu_s"] for row in document["variants"].values()),
    "sampler_steps": lambda document: sum(
        row["cpu_s_per_image"] * document["distance"]["num_synthetic"] for row in document["rows"]
    ),
    "scale_stages": lambda document: sum(
        [row["cpu_s"] for row in document["rows"]]
        + [row["cpu_s_per_image"] * row["count"] for row in document["bytes"]]
    ),
}
"""By how a file's name begins, the CPU-seconds of what it timed; for files that do not hold those of the command."""


def read_result(path: Path) -> Document:
    """What a file holds; of a log, its first line."""
    text = path.read_text(encoding="utf-8")
    document: Document = json.loads(text.splitlines()[0] if path.suffix == ".jsonl" else text)
    return document


def find_command(path: Path, document: Document) -> str:
    """The command that makes a file.

    Raises:
        SystemExit: neither the file nor `COMMANDS` knows.
    """
    if "command" in document:
        return str(document["command"])
    for begin, spell in COMMANDS.items():
        if path.name.startswith(begin):
            return spell(document)
    raise SystemExit(f"{path} states no command: write one into it, or spell it in COMMANDS of {__file__}")


def find_cost(path: Path, document: Document) -> str:
    """What it took, in words, from the file alone."""
    if "cpu_seconds" in document:
        return f"{document['cpu_seconds']:,.0f} CPU-seconds"
    # In a Result these are the seconds of the clock; in a benchmark that states repeats, those of one repeat.
    if "measure_version" in document:
        part = ", this measure" if path.name.startswith("demo_") else ""
        return f"{document['seconds']:,.0f} s by the clock{part}"
    for begin, add_up in TIMED.items():
        if path.name.startswith(begin):
            return f"at least {add_up(document):,.0f} CPU-seconds"
    if path.name.startswith("ddpm_"):
        return "as said above"
    return NOT_MEASURED


def find_device(document: Document) -> str:
    """Where it ran."""
    machine = document.get("machine", {})
    device = document.get("device") or machine.get("device")
    cores = f"{machine['cores']} cores" if "cores" in machine else None
    return ", ".join(filter(None, (device, cores))) or "not stated"


def build_table() -> str:
    """A row for each file."""
    lines = ["| file | command | folders | cost | device | commit |", "| --- | --- | --- | --- | --- | --- |"]
    for path in sorted(RESULTS.iterdir()):
        document = read_result(path)
        command = find_command(path, document)
        words = re.sub(r"--out \S+|baseline run", "", command).split()
        folders = ", ".join(f"`{word}`" for word in FOLDERS if word in words)
        commit = str(document.get("commit") or "not stated")[:10]
        cells = [f"`{path.name}`", f"`{command}`", folders, find_cost(path, document), find_device(document), commit]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def build_page() -> str:
    """The page with its table filled in again."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{build_table()}\n\n{END}{tail}"


def main() -> None:
    """Write it."""
    PAGE.write_text(build_page(), encoding="utf-8")
    print(PAGE, file=sys.stderr)


if __name__ == "__main__":
    main()
