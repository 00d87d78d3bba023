"""Rules LOAD: does a clean process, offline and with an empty cache, get the rows that were written?"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cspine_bench
from cspine_bench.release.rules import Tally

MAX_COPIED_BYTES: Final = 5_000_000_000
"""Map-style loading copies all shards into its cache; above this, or where the disk is too full, a stream must do."""
_LIMIT_S: Final = 120.0
_SAMPLES_PER_S: Final = 200.0
"""Slower than this, on top of `_LIMIT_S`, counts as hanging."""
_MODULE: Final = "cspine_bench.release.checks.load_trial"


def check_datasets(root: Path, expected: Mapping[str, Any], num_bytes: int, tally: Tally) -> None:
    """LOAD-01: `load_dataset`, map-style and streaming.

    Args:
        root: the release or mirror.
        expected: by split `num`, `first` and `last`: samples, and the ids of the first and of the last.
        num_bytes: of all shards.
        tally: takes the findings.

    Raises:
        OSError: no process can be started, or there is no room for temporary files.
    """
    with tempfile.TemporaryDirectory(prefix="cspine-bench-load-") as cache:
        room = shutil.disk_usage(cache).free
        modes = ["streaming"]
        if num_bytes <= MAX_COPIED_BYTES and 3 * num_bytes < room:
            modes.insert(0, "map-style")
        for mode, found in zip(modes, _run_trial("datasets", root, modes, cache, expected), strict=False):
            _compare("LOAD-01", f"load_dataset, {mode}", found, expected, tally)


def check_webdataset(root: Path, expected: Mapping[str, Any], tally: Tally) -> str | None:
    """LOAD-02: `webdataset` with `.decode("l8")`. Arguments and errors as in `check_datasets`.

    Returns:
        Why it was not tried; None: it was.
    """
    if importlib.util.find_spec("webdataset") is None:
        return "the package webdataset is not installed"
    with tempfile.TemporaryDirectory(prefix="cspine-bench-load-") as cache:
        [found] = _run_trial("webdataset", root, ["streaming"], cache, expected)
        _compare("LOAD-02", "webdataset", found, expected, tally)
    return None


def _run_trial(
    library: str, root: Path, modes: Sequence[str], cache: str, expected: Mapping[str, Any]
) -> list[dict[str, Any] | str]:
    """What came out in each mode, in order; the first that fails ends the list, with a sentence that says how."""
    limit = _LIMIT_S + len(modes) * sum(item["num"] for item in expected.values()) / _SAMPLES_PER_S
    package = Path(cspine_bench.__file__).resolve().parent.parent
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH")))),
        "HF_HOME": cache,
        "HF_DATASETS_CACHE": f"{cache}/datasets",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TMPDIR": cache,
    }
    command = [sys.executable, "-m", _MODULE, library, str(root.resolve()), *modes]
    try:
        answer = subprocess.run(
            command, cwd=cache, env=environment, capture_output=True, timeout=limit, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [f"it did not end within {limit:.0f} s"]
    try:
        found: list[dict[str, Any] | str] = [json.loads(line) for line in answer.stdout.splitlines()]
    except ValueError:
        return [f"it printed something else than the trial does: {answer.stdout[:100]!r}"]
    if answer.returncode != 0:
        lines = answer.stderr.decode(errors="replace").strip().splitlines()
        found.append(f"it fails: {lines[-1][:300] if lines else f'exit code {answer.returncode}'}")
    return found


def _compare(code: str, how: str, found: dict[str, Any] | str, expected: Mapping[str, Any], tally: Tally) -> None:
    if isinstance(found, str):
        tally.add(code, ".", f"{how}: {found}")
        return
    for split in dict.fromkeys((*expected, *found)):
        if found.get(split) != expected.get(split):
            text = f"{how}: split {split} gives {_spell(found.get(split))}, written were {_spell(expected.get(split))}"
            tally.add(code, f"data/{split}", text)


def _spell(counted: Mapping[str, Any] | None) -> str:
    if counted is None:
        return "nothing"
    return f"{counted['num']:,} samples from {counted['first']} to {counted['last']}"
