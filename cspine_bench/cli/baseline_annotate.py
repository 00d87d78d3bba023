"""`cspine-bench baseline annotate`: labels by trained models, and how far labels that are there lie from them."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cspine_bench.cli.options import (
    EXISTING_PATH,
    NEW_PATH,
    SEED,
    Printing,
    choose_executor,
    connect_executor,
    device_option,
    executor_options,
    printing_options,
)
from cspine_bench.cli.output import NOT_FOR_DIAGNOSIS, format_count, print_note, print_part, print_result, show_progress

if TYPE_CHECKING:
    from cspine_bench.baselines.annotate.run import Annotation
    from cspine_bench.baselines.annotate.teachers import Teachers
    from cspine_bench.dataset.parts import Part

_LABELLED = ("refuse", "keep", "replace")


@click.command()
@click.argument("data", metavar="DATASET")
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
@device_option
@executor_options(
    processes="measure and write",
    executor="What measures and writes.",
    shard="Measure in files K, K + N ... of DATASET only, K from 0 to N - 1; the part that finds all done writes OUT.",
)
@click.option("--overwrite", is_flag=True, help="Replace another dataset in OUT, and another report.")
@click.option("--dry-run", is_flag=True, help="Say how much there is to measure, and measure nothing.")
@printing_options
def annotate(
    data: str,
    landmarks: Path | None,
    masks: Path | None,
    curvature: str | None,
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

    chosen = choose_executor(asked)
    teachers = open_teachers(landmarks=landmarks, masks=masks, curvature=curvature, device=asked["device"])
    names = ("out", "report", "labelled", "seed", "overwrite")
    settings = {name: asked[name] for name in names} | {"show": partial(show_progress, quiet=printing.quiet)}
    if asked["dry_run"]:
        _print_plan(data, asked, printing)
    elif asked["part"] is not None:
        _annotate_part(data, teachers, asked["part"], settings | {"num_workers": chosen["num_workers"]}, printing)
    else:
        with connect_executor(asked):
            done = run_annotation(data, teachers, **settings, **chosen)
        print_result(_describe(done), _format(done, asked["out"], asked["report"]), as_json=printing.as_json)
        print_note(f"Labels by a model: {NOT_FOR_DIAGNOSIS}.", quiet=printing.quiet)


def _print_plan(data: str, asked: dict[str, Any], printing: Printing) -> None:
    from cspine_bench.baselines.annotate.run import plan_annotation

    count, num_files = plan_annotation(data, labelled="replace" if asked["out"] is None else asked["labelled"])
    document = {"num_radiographs": count, "num_files": num_files}
    text = f"{format_count(count, 'radiograph')} in {format_count(num_files, 'file')} to measure; nothing was measured"
    print_result(document, text, as_json=printing.as_json)


def _annotate_part(data: str, teachers: "Teachers", part: "Part", settings: dict[str, Any], printing: Printing) -> None:
    from cspine_bench.baselines.annotate.run import annotate_part

    if settings.pop("report") is not None or settings["out"] is None:
        raise click.UsageError("--shard needs --out, and no --report: compare labels in a run of their own")
    del settings["seed"]
    made = annotate_part(data, teachers, part, **settings)
    done = made.annotation
    print_part(
        made.part,
        made.path,
        (made.part_files, made.num_files, made.missing_files),
        None if done is None else (_describe(done), _format(done, made.path, None)),
        unit="files",
        as_json=printing.as_json,
    )
    if made.part_files == 0:
        files = format_count(made.num_files, "file")
        print_note(f"Part {part} has nothing to measure: {files} to measure in.", quiet=printing.quiet)


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
