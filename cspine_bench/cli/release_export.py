"""`cspine-bench release export ...`: a release in a format for other software."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cspine_bench.cli.group import Group
from cspine_bench.cli.options import EXISTING_PATH, NEW_PATH, SPLIT, Printing, printing_options
from cspine_bench.cli.output import format_count, format_size, print_result, show_progress

if TYPE_CHECKING:
    from cspine_bench.schema import Split


@click.group(cls=Group)
def export() -> None:
    """Write a release in a format for other software.

    \b
    Example:
      cspine-bench release export dicom rel dicom --split test
    """


@export.command()
@click.argument("rel", type=EXISTING_PATH)
@click.argument("out", type=NEW_PATH)
@click.option("--split", type=SPLIT, help="One split.  [all]")
@click.option("--count", type=click.IntRange(min=1), help="The first so many radiographs.  [all]")
@click.option("--masks", is_flag=True, help="Write masks too, as segmentation objects.")
@printing_options
def dicom(rel: Path, out: Path, split: "Split | None", count: int | None, masks: bool, printing: Printing) -> None:
    """Write radiographs as DICOM Secondary Capture images that say they are synthetic, and a table of their labels.

    \b
    Example:
      cspine-bench release export dicom rel dicom --split test --masks
    """
    from cspine_bench.release.export_dicom import MANIFEST_NAME, export_dicom

    with show_progress(str(out), quiet=printing.quiet) as on_progress:
        done = export_dicom(rel, out, split=split, count=count, masks=masks, on_progress=on_progress)
    text = (
        f"{done.path}: {format_count(done.num_images, 'radiograph')}, {format_count(done.num_masks, 'mask')}, "
        f"{format_size(done.num_bytes)}; labels in {MANIFEST_NAME}\nSynthetic, not for diagnosis."
    )
    document = dataclasses.asdict(done) | {"path": str(done.path), "manifest": str(done.path / MANIFEST_NAME)}
    print_result(document, text, as_json=printing.as_json)
