"""What simulations whose truth is known have in common: how they read their options, and the file of their rates."""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import LIBRARIES, describe_setting, spell_command, write_result


def build_parser(document: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the document of a script, as it stands there."""
    return argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)


def write_rates(
    out: Path,
    measure: str,
    words: Sequence[str] | None,
    rows: Sequence[Mapping[str, Any]],
    *,
    unit: str,
    started: float,
    packages: tuple[str, ...] = LIBRARIES,
    **facts: Any,
) -> None:
    """Write the result file of a simulation.

    Args:
        out: the file.
        measure: name of the script, without its ending.
        words: its command line; None: `sys.argv`.
        rows: what it found.
        unit: of the figures in the rows.
        started: `time.process_time()` when it began.
        packages: whose versions decide the figures.
        facts: what else decides them.
    """
    write_result(
        out,
        {
            "schema_version": 1,
            "measure": measure,
            "unit": unit,
            "command": spell_command(f"benchmarks/{measure}.py", words),
            **facts,
            **describe_setting("cpu", packages),
            "cpu_seconds": round(time.process_time() - started, 1),
            "rows": list(rows),
        },
    )
