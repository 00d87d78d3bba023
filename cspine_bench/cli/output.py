"""What commands print: the result on stdout, progress on stderr."""

import datetime
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cspine_bench.dataset.parts import Part

_REDRAW_EVERY_S = 0.1

OnProgress = Callable[[int, int], None]

NOT_FOR_DIAGNOSIS = "not for diagnosis"


def print_result(document: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print one result: for people, or as exactly one JSON document."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) if as_json else text)


def print_note(text: str, *, quiet: bool) -> None:
    """Say something about the run that is not its result."""
    if not quiet:
        click.echo(text, err=True)


def print_part(
    part: "Part",
    folder: Path,
    counts: tuple[int, int, int],
    finished: tuple[dict[str, Any], str] | None,
    *,
    unit: str,
    as_json: bool,
) -> None:
    """Print what one part of several left.

    Args:
        part: which.
        folder: the dataset that all of them make.
        counts: files of this part, files of all, and those that other parts have yet to make.
        finished: of the whole, where this part was the one to finish it: as JSON, and for people.
        unit: what the JSON document calls files.
        as_json: see `print_result`.
    """
    own, total, missing = counts
    document = {
        "path": str(folder),
        "part": str(part),
        f"part_{unit}": own,
        f"num_{unit}": total,
        f"missing_{unit}": missing,
        "complete": finished is not None,
        **({} if finished is None else finished[0]),
    }
    text = f"{folder}: part {part} done, {missing} of {total} files missing"
    if finished is not None:
        text = f"{text}\n{finished[1]}"
    elif missing == 0:
        text += "; another part is finishing the dataset. If none does, run this one again"
    print_result(document, text, as_json=as_json)


@contextmanager
def show_progress(label: str, *, quiet: bool) -> Iterator[OnProgress | None]:
    """A bar with rate and time left on stderr; nothing where stderr is no terminal, or on --quiet.

    Yields:
        A function of (done, total), or None where nothing is shown.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[pace]}"),
    )
    first: tuple[float, int] | None = None
    drawn = 0.0
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=None, pace="")

        def update(done: int, total: int) -> None:
            nonlocal first, drawn
            now = time.monotonic()
            # The first call tells what an earlier run left: that says nothing about this run's pace.
            if first is None:
                first = (now, done)
            elif now - drawn < _REDRAW_EVERY_S and done < total:
                return
            drawn = now
            progress.update(
                task, completed=done, total=total, pace=_format_pace(now - first[0], done - first[1], total - done)
            )

        yield update


def _format_pace(seconds: float, made: int, missing: int) -> str:
    if made == 0 or seconds <= 0:
        return ""
    rate = made / seconds
    left = datetime.timedelta(seconds=round(missing / rate))
    return f"{rate:,.1f}/s, {left} left"


def format_table(rows: list[list[str]]) -> str:
    """Left-aligned first column, right-aligned others."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def format_count(number: int, noun: str) -> str:
    """`1 radiograph`, `1,200 radiographs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_size(num_bytes: int) -> str:
    """`12.3 MB`, decimal units."""
    size = float(num_bytes)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"
