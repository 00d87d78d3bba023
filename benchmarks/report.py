"""What every result file of a benchmark says of itself: commit, machine, versions; spreads; and how it is written."""

import json
import os
import platform
import shlex
import statistics
import sys
import tempfile
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
            **describe_machine(),
            "threads_used": torch.get_num_threads(),
            "device": torch.cuda.get_device_name() if torch.device(device).type == "cuda" else "cpu",
            "load_1min": os.getloadavg()[0],
        },
        "versions": {"python": platform.python_version(), **library_versions(packages)},
    }


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory and the disk of temporary files; None for what this system does not tell."""
    return {
        "processor": platform.machine(),
        "model": _find_line(Path("/proc/cpuinfo"), "model name"),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.system(),
        "disk": _find_disk(Path(tempfile.gettempdir())),
    }


def _find_line(path: Path, name: str) -> str | None:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)


def _find_disk(folder: Path) -> str | None:
    """Device and file system that a folder lies on."""
    mounts = Path("/proc/mounts")
    lines = mounts.read_text(encoding="utf-8").splitlines() if mounts.exists() else []
    found = [line.split()[:3] for line in lines if folder.resolve().is_relative_to(line.split()[1])]
    return " ".join(max(found, key=lambda item: len(item[1]))[::2]) if found else None


def spell_command(script: str, words: Sequence[str] | None) -> str:
    """The command line that made a result, from `sys.argv` where `words` is None."""
    return shlex.join(["python", script, *(sys.argv[1:] if words is None else words)])


def write_result(path: Path, document: dict[str, Any]) -> None:
    """Write a result whole, or leave the one that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    temporary.replace(path)
