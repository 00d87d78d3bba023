"""`cspine-bench release diff`: what changed between two releases."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cspine_bench.cli.options import EXISTING_PATH, Printing, printing_options
from cspine_bench.cli.output import format_count, print_result, show_progress

if TYPE_CHECKING:
    from cspine_bench.release.diff import Change, Difference
    from cspine_bench.release.diff_papers import FigureChange, FigureValue

_SHOWN_IDS = 3
_MADE_FROM_ROWS = ("figures", "metadata", "samples")


@click.command()
@click.argument("old", type=EXISTING_PATH)
@click.argument("new", type=EXISTING_PATH)
@printing_options
def diff(old: Path, new: Path, printing: Printing) -> None:
    """Say what changed between two releases or dataset folders, and which version step that asks for.

    \b
    Example:
      cspine-bench release diff old rel
    """
    from cspine_bench.release.diff import diff_releases

    with show_progress("Comparing", quiet=printing.quiet) as on_progress:
        found = diff_releases(old, new, on_progress)
    print_result(dataclasses.asdict(found), "\n".join(_iter_lines(found)), as_json=printing.as_json)


def _iter_lines(found: "Difference") -> Iterator[str]:
    for sign, side in (("-", found.old), ("+", found.new)):
        counts = ", ".join(f"{split} {count:,}" for split, count in side.num_samples.items()) or "nothing"
        yield f"{sign} {side.name} {side.version or '(no version)'}: {counts}"
    for text, change in (
        ("added", found.added),
        ("removed", found.removed),
        ("other pixels", found.repixelled),
        ("other files, same pixels", found.reencoded),
        ("other mask", found.remasked),
        ("other group", found.regrouped),
        ("other split", found.moved),
    ):
        if change:
            yield f"{text}: {_format_change(change)}"
    for move, count in found.moves.items():
        yield f"  {move}: {count:,}"
    for name, change in found.relabelled.items():
        yield f"relabelled, {name}: {_format_change(change)}"
    if found.landmarks is not None:
        shift = found.landmarks
        yield (
            f"  {format_count(shift.num_moved, 'point')} moved by {shift.median_px:.3g} px in the median, "
            f"{shift.max_px:.3g} px at most; {shift.num_gained:,} gained, {shift.num_lost:,} lost"
        )
    for name, change in found.described.items():
        yield f"column {name}: {_format_change(change)}"
    yield from (
        f"column {name}: only in the {'newer' if newer else 'older'}, or of another type"
        for newer, names in ((True, found.columns_added), (False, found.columns_removed))
        for name in names
    )
    for field in found.papers:
        yield f"recipe, {field.name}: {field.old!r} -> {field.new!r}"
    for kind in ("added", "removed", "changed"):
        if names := [name for name, what in found.files.items() if what == kind]:
            yield f"papers {kind}: {_format_files(names)}"
    yield from map(_format_figure, found.figures)
    yield _format_verdict(found)


def _format_change(change: "Change") -> str:
    shown = ", ".join(change.first_ids[:_SHOWN_IDS])
    more = " ..." if change.count > _SHOWN_IDS else ""
    return f"{format_count(change.count, 'radiograph')} ({shown}{more})"


def _format_files(names: list[str]) -> str:
    """Papers by name; pictures and tables, which are made from the rows, by their number in each folder."""
    made = Counter(folder for name in names if (folder := name.partition("/")[0]) in _MADE_FROM_ROWS)
    shown = [name for name in names if name.partition("/")[0] not in made]
    return ", ".join([*shown, *(f"{count} in {folder}/" for folder, count in made.items())])


def _format_figure(change: "FigureChange") -> str:
    group = "".join(f", {name} {value}" for name, value in change.subgroup.items())
    text = f"{change.file}, {change.name}{group} ({change.direction}): "
    text += f"{_format_value(change.old, change.unit)} -> {_format_value(change.new, change.unit)}"
    if change.overlap is not None:
        text += f"; the intervals {'overlap' if change.overlap else 'do not overlap'}"
    return text + (f"; not comparable: {change.unlike}" if change.unlike else "")


def _format_value(figure: "FigureValue | None", unit: str) -> str:
    if figure is None:
        return "none"
    interval = "" if figure.interval is None else f" [{figure.interval[0]:.4g}, {figure.interval[1]:.4g}]"
    return f"{figure.value:.4g}{' ' + unit if unit else ''}{interval}"


def _format_verdict(found: "Difference") -> str:
    if found.bump == "none":
        return "Nothing changed."
    asked = f"Asks for a {found.bump} version step ({', '.join(found.reasons)})"
    if found.obeyed is None:
        return f"{asked}."
    made = f"{found.old.version} -> {found.new.version}"
    return f"{asked}; {made} {'is enough' if found.obeyed else 'is not enough'}."
