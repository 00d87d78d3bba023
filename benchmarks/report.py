"""What every result file of a benchmark says of itself: commit, machine, versions; spreads; and how it is written."""

import json
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from cspine_bench.provenance import find_commit, library_versions

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("numpy", "scipy", "torch", "diffusers")


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def format_spread(found: dict[str, float], digits: int = 1) -> str:
    """The same as text: 3.1 (2.9-3.4)."""
    return f"{found['median']:.{digits}f} ({found['min']:.{digits}f}-{found['max']:.{digits}f})"


def describe_setting(device: str, packages: tuple[str, ...] = LIBRARIES) -> dict[str, Any]:
    """Where and with what the figures were measured."""
    commit = find_commit()
    return {
        "commit": None if commit is None else commit.sha,
        "commit_dirty": None if commit is None else commit.dirty,
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "threads_used": torch.get_num_threads(),
            "device": torch.cuda.get_device_name() if torch.device(device).type == "cuda" else "cpu",
            "load_1min": os.getloadavg()[0],
        },
        "versions": {"python": platform.python_version(), **library_versions(packages)},
    }


def spell_command(script: str, words: Sequence[str] | None) -> str:
    """The command line that made a result, from `sys.argv` where `words` is None."""
    return shlex.join(["python", script, *(sys.argv[1:] if words is None else words)])


def write_result(path: Path, document: dict[str, Any]) -> None:
    """Write a result whole, or leave the one that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    temporary.replace(path)
