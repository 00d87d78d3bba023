"""`cspine-bench baseline submit`: predictions of other models, scored by the same code."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from cspine_bench.cli.options import EXISTING_PATH, NEW_PATH, SEED, SPLIT, Printing, printing_options
from cspine_bench.cli.output import NOT_FOR_DIAGNOSIS, print_note, print_result, show_progress


@click.command()
@click.argument("predictions", type=EXISTING_PATH)
@click.option("--task", required=True, metavar="TASK", help="landmarking, segmentation or classification.")
@click.option("--real", required=True, metavar="DATASET", help="Dataset folder, or its name on the Hub, with labels.")
@click.option("--split", type=SPLIT, default="test", show_default=True, help="Of it.")
@click.option("--name", required=True, help="Under which the leaderboard lists it.")
@click.option("--out", type=NEW_PATH, required=True, help="Folder for result, rows and page.")
@click.option("--size", type=click.IntRange(16, 4096), help="Side at which it is scored, px.  [that of the images]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Of the recipe: task.label=disease.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the bootstrap.")
@click.option("--no-real-pixels", is_flag=True, help="Let the page show no pixel of a real film.")
@click.option("--overwrite", is_flag=True, help="Replace the result of other predictions.")
@printing_options
def submit(predictions: Path, printing: Printing, **asked: Any) -> None:
    """Score predictions of your own model for a test split, with the code that scores ours.

    PREDICTIONS is a CSV or Parquet file, or a folder of masks; any fault in it is named.

    \b
    Example:
      cspine-bench baseline submit predictions.csv --task landmarking --real films --name mine --out mine
    """
    from cspine_bench.baselines.submit import Submission, build_submission_recipe
    from cspine_bench.measurement.inputs import open_images
    from cspine_bench.measurement.task import run_task

    images = open_images("real", asked["real"], splits=(asked["split"],))
    recipe = build_submission_recipe(asked["task"], images, size=asked["size"], overrides=asked["overrides"])
    submission = Submission(
        predictions, asked["name"], recipe, images, seed=asked["seed"], real_pixels=not asked["no_real_pixels"]
    )
    show = partial(show_progress, quiet=printing.quiet)
    result, outputs = run_task(submission, asked["out"], overwrite=asked["overwrite"], show=show)
    text = f"{result.verdict}\n\nAll figures: {outputs.result}; each radiograph: {outputs.rows}; page: {outputs.page}."
    print_result(result.model_dump(mode="json"), text, as_json=printing.as_json)
    print_note(f"For the leaderboard, copy {outputs.result} into its results. {NOT_FOR_DIAGNOSIS.capitalize()}.",
               quiet=printing.quiet)  # fmt: skip
