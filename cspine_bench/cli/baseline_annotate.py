"""`cspine-bench baseline annotate`: labels by trained models, and how far labels that are there lie from them."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cspine_bench.cli.options import EXISTING_PATH, NEW_PATH, SEED, Printing, parse_device, printing_options
from cspine_bench.cli.output import NOT_FOR_DIAGNOSIS, format_count, print_note, print_result, show_progress

if TYPE_CHECKING:
    from cspine_bench.baselines.annotate.run import Annotation

_LABELLED = ("refuse", "keep", "replace")


@click.command()
@click.argument("data", metavar="DS")
@click.option("--out", type=NEW_PATH, help="Folder for the new dataset; an interrupted one goes on.")
@click.option("--landmarks", type=EXISTING_PATH, metavar="MODEL", help="Of `baseline train landmarking`.")
@click.option("--masks", type=EXISTING_PATH, metavar="MODEL", help="Of `baseline train segmentation`.")
@click.option("--curvature", metavar="MODEL|from-landmarks", help="Of classification.  [from measured landmarks]")
@click.option(
    "--labelled",
    type=click.Choice(_LABELLED),
    default="refuse",
    show_default=True,
    help="Radiographs with labels: stop, keep those, or measure all anew.",
)
@click.option("--report", type=NEW_PATH, metavar="FILE", help="Compare labels that are there with measured ones.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Decides the intervals of the report.")
@click.option("--device", default="cpu", show_default=True, callback=parse_device, help="cpu, cuda or cuda:N.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that write.")
@click.option("--overwrite", is_flag=True, help="Replace another dataset in OUT, and another report.")
@printing_options
def annotate(
    data: str,
    landmarks: Path | None,
    masks: Path | None,
    curvature: str | None,
    device: str,
    workers: int,
    printing: Printing,
    **asked: Any,
) -> None:
    """Write a new dataset with landmarks, masks and curvature that trained models measure; doubtful ones are flagged.

    \b
    Example:
      cspine-bench baseline annotate ds --out labelled --landmarks teacher
    """
    from cspine_bench.baselines.annotate.run import annotate as run_annotation
    from cspine_bench.baselines.annotate.teachers import open_teachers

    teachers = open_teachers(landmarks=landmarks, masks=masks, curvature=curvature, device=device)
    show = partial(show_progress, quiet=printing.quiet)
    done = run_annotation(data, teachers, num_workers=workers, show=show, **asked)
    print_result(_describe(done), _format(done, asked["out"], asked["report"]), as_json=printing.as_json)
    print_note(f"Labels by a model: {NOT_FOR_DIAGNOSIS}.", quiet=printing.quiet)


def _describe(done: "Annotation") -> dict[str, Any]:
    dataset = done.dataset
    return {
        "path": None if dataset is None else str(dataset.path),
        "manifest_sha256": None if dataset is None else dataset.manifest_sha256,
        "num_annotated": done.num_annotated,
        "num_kept": done.num_kept,
        "num_flagged": done.num_flagged,
        "flags": dict(done.flags),
        "fidelity": None if done.fidelity is None else done.fidelity.model_dump(mode="json"),
    }


def _format(done: "Annotation", out: Path | None, report: Path | None) -> str:
    lines = []
    if done.dataset is not None:
        kept = f", {done.num_kept:,} kept theirs" if done.num_kept else ""
        lines.append(f"{out}: {format_count(done.num_annotated, 'radiograph')} annotated{kept}")
        lines.append(f"flagged: {done.num_flagged:,}" + (", by rule:" if done.flags else ""))
        lines += [f"  {rule} {count:,}" for rule, count in done.flags.items()]
    if done.fidelity is not None:
        lines += [done.fidelity.verdict, f"All figures: {report}"]
    return "\n".join(lines)
