"""`cspine-bench baseline screen`: images that look spoilt are flagged, and none is dropped."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cspine_bench.cli.options import EXISTING_PATH, NEW_PATH, SPLIT, Printing, device_option, printing_options
from cspine_bench.cli.output import NOT_FOR_DIAGNOSIS, format_table, print_note, print_result, show_progress

if TYPE_CHECKING:
    from cspine_bench.measurement.outputs import Outputs
    from cspine_bench.results import Result


@click.command()
@click.argument("data", metavar="DATASET")
@click.option("--model", type=EXISTING_PATH, required=True, help="Of `baseline train quality`.")
@click.option("--out", type=NEW_PATH, required=True, help="Folder for result, rows and page.")
@click.option("--split", "splits", multiple=True, type=SPLIT, help="Only this split of it.")
@click.option("--min-ssim", type=click.FloatRange(0, 1, True, True), help="Flag below this.  [that of the model]")
@click.option("--max-flagged", type=click.FloatRange(0, 1), help="Exit 1 where more than this share is flagged.")
@device_option
@click.option("--no-real-pixels", is_flag=True, help="Let the page show no images; for datasets of real films.")
@click.option("--overwrite", is_flag=True, help="Replace the result of other data, model or limit.")
@printing_options
@click.pass_context
def screen(context: click.Context, /, data: str, model: Path, out: Path, printing: Printing, **asked: Any) -> None:
    """Flag images that look spoilt, each with the artefact and the similarity to a clean image that a model tells.

    \b
    Example:
      cspine-bench baseline screen ds --model screener --out results
    """
    from cspine_bench.baselines.model import load_model
    from cspine_bench.baselines.screen import Screening
    from cspine_bench.measurement.inputs import open_images
    from cspine_bench.measurement.task import run_task

    trained, device = load_model(model, device=asked["device"]), asked["device"]
    images = open_images("screened", data, splits=asked["splits"])
    limit, pixels = asked["min_ssim"], not asked["no_real_pixels"]
    screening = Screening(images, trained, ssim_limit=limit, device=device, pixels=pixels)
    for caution in screening.cautions:
        print_note(caution, quiet=printing.quiet)
    show = partial(show_progress, quiet=printing.quiet)
    result, outputs = run_task(screening, out, overwrite=asked["overwrite"], show=show)
    print_result(result.model_dump(mode="json"), _format(result, outputs), as_json=printing.as_json)
    share = next(figure.value for figure in result.figures if figure.name == "flagged_share")
    context.exit(1 if asked["max_flagged"] is not None and share > asked["max_flagged"] else 0)


def _format(result: "Result", outputs: "Outputs") -> str:
    rows = [["figure", "value", "interval", "n"]]
    for figure in result.figures:
        told = ", ".join(figure.condition.values())
        ends = "" if figure.interval is None else f"{figure.interval.low:.4g} to {figure.interval.high:.4g}"
        name = f"{figure.name} ({told})" if told else figure.name
        rows.append([name, f"{figure.value:.4g}", ends, f"{next(iter(figure.n_used.values())):,}"])
    lines = [
        result.verdict,
        "",
        format_table(rows),
        "",
        f"Each image: {outputs.rows}; page: {outputs.page}. {NOT_FOR_DIAGNOSIS.capitalize()}.",
    ]
    return "\n".join(lines)
