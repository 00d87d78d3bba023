"""`cspine-bench baseline ...`: what synthetic radiographs are worth to downstream tasks; models, and labels by them."""

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cspine_bench.cli.baseline_annotate import annotate
from cspine_bench.cli.baseline_leaderboard import leaderboard
from cspine_bench.cli.baseline_screen import screen
from cspine_bench.cli.baseline_submit import submit
from cspine_bench.cli.baseline_train import train
from cspine_bench.cli.group import Group
from cspine_bench.cli.options import (
    NEW_PATH,
    SEED,
    Printing,
    choose_executor,
    connect_executor,
    device_option,
    executor_options,
    printing_options,
)
from cspine_bench.cli.output import NOT_FOR_DIAGNOSIS, format_count, print_note, print_result, show_progress

if TYPE_CHECKING:
    from cspine_bench.baselines.recipe import BaselineRecipe
    from cspine_bench.baselines.run import Usefulness
    from cspine_bench.dataset.parts import Part
    from cspine_bench.measurement.outputs import Outputs
    from cspine_bench.results import Result

FOLDER: Final = click.Path(path_type=Path)


class _Share(click.FloatRange):
    """A number above 0, up to 1; NaN, which is neither below nor above a bound, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not in the range 0<x<=1.", param, ctx)
        return number


SHARE: Final = _Share(0, 1, min_open=True)


@click.group(cls=Group)
def baseline() -> None:
    """Measure what synthetic radiographs are worth to downstream tasks; train models, and label images with them.

    \b
    Example:
      cspine-bench baseline run landmarking --real films --synthetic ds --out results
    """


def parse_within(context: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> dict[float, str]:
    """Datasets by fraction from `0.1=DATASET`, each fraction once.

    Raises:
        click.BadParameter: not of this form, no share, or a fraction twice.
    """
    found: dict[float, str] = {}
    for text in texts:
        share, equals, folder = text.partition("=")
        try:
            fraction = float(share)
        except ValueError:
            fraction = 0.0
        if not (equals and folder) or not 0 < fraction <= 1 or fraction in found:
            raise click.BadParameter(f"{text!r} is not FRACTION=DATASET, for example 0.1=ds10, each fraction once")
        found[fraction] = folder
    return found


@baseline.command()
@click.argument("task")
@click.option("--real", type=FOLDER, required=True, metavar="DATASET", help="Real radiographs, with a test split.")
@click.option("--synthetic", type=FOLDER, required=True, metavar="DATASET", help="Synthetic radiographs to be judged.")
@click.option(
    "--synthetic-within", "within", multiple=True, metavar="FRACTION=DATASET", callback=parse_within,
    help="Of a generator that learnt from `baseline subset` at this fraction alone; may be given several times.",
)  # fmt: skip
@click.option("--out", type=NEW_PATH, required=True, help="Folder for networks' predictions, result, tables and page.")
@click.option("--recipe", "recipe_name", metavar="NAME|FILE", help="A recipe of the task, or a YAML file.  [cpu-64]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of the recipe.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Decides every random draw.")
@device_option
@executor_options(
    processes="train", executor="What trains networks.", shard="Train networks K, K + N ... only, K from 0 to N - 1."
)
@click.option("--no-real-pixels", is_flag=True, help="Let the page show no pixel of a real film.")
@click.option("--dry-run", is_flag=True, help="Say what would be trained, and train nothing.")
@click.option("--overwrite", is_flag=True, help="Replace the result of other data or settings.")
@printing_options
def run(printing: Printing, **asked: Any) -> None:
    """Say whether synthetic radiographs help a TASK: arms, label fractions and seeds, a verdict for each arm.

    \b
    Example:
      cspine-bench baseline run landmarking --real films --synthetic ds --out results
    """
    recipe = _read_recipe(asked)
    if asked["dry_run"]:
        _show_plan(recipe, asked, printing)
        return
    task = _open(recipe, asked, printing)
    if asked["part"] is not None and not _train_part(task, asked["part"], printing):
        return
    from cspine_bench.measurement.task import run_task

    show = partial(show_progress, quiet=printing.quiet)
    with connect_executor(asked):
        result, outputs = run_task(task, asked["out"], overwrite=asked["overwrite"], show=show)
    print_result(result.model_dump(mode="json"), _format(result, outputs), as_json=printing.as_json)


@baseline.command()
@click.argument("dataset", type=FOLDER)
@click.argument("out", type=NEW_PATH)
@click.option("--fraction", type=SHARE, required=True, help="Of the training groups.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the runs that will use it.")
@click.option("--overwrite", is_flag=True, help="Replace another dataset that lies in OUT.")
@printing_options
def subset(dataset: Path, out: Path, fraction: float, seed: int, overwrite: bool, printing: Printing) -> None:
    """Write the label subset of DATASET at a fraction to OUT: a generator trained on it stays inside it.

    \b
    Example:
      cspine-bench baseline subset films films-10 --fraction 0.1
    """
    from cspine_bench.baselines.within import write_subset

    summary = write_subset(dataset, out, fraction=fraction, seed=seed, overwrite=overwrite)
    counts = {str(split): count for split, count in summary.num_samples.items()}
    document = {"out": str(summary.path), "num_samples": counts}
    text = f"{format_count(counts['train'], 'radiograph')} to train on in {summary.path}"
    print_result(document, text, as_json=printing.as_json)


def _read_recipe(asked: dict[str, Any]) -> "BaselineRecipe":
    from cspine_bench.baselines.shipped import DEFAULT_RECIPE, open_recipe
    from cspine_bench.recipe import apply_overrides

    recipe = apply_overrides(open_recipe(asked["task"], asked["recipe_name"] or DEFAULT_RECIPE), asked["overrides"])
    if recipe.task.kind != asked["task"]:
        raise click.UsageError(f"--set task: makes it a recipe of {recipe.task.kind}; name that task instead")
    return recipe


def _show_plan(recipe: "BaselineRecipe", asked: dict[str, Any], printing: Printing) -> None:
    from cspine_bench.baselines.cells import list_cells

    cells = list_cells(recipe, fractions_within=tuple(asked["within"]))
    document = {"networks": [cell.name for cell in cells], "updates": recipe.learning.updates}
    text = f"{format_count(len(cells), 'network')} of {recipe.learning.updates:,} updates each; nothing was trained"
    print_result(document, text, as_json=printing.as_json)


def _open(recipe: "BaselineRecipe", asked: dict[str, Any], printing: Printing) -> "Usefulness":
    from cspine_bench.baselines.run import open_usefulness

    chosen = choose_executor(asked, hands_out="networks")
    with show_progress("decode", quiet=printing.quiet) as tell:
        task = open_usefulness(
            recipe,
            asked["out"],
            real=asked["real"],
            synthetic=asked["synthetic"],
            within=asked["within"],
            seed=asked["seed"],
            device=asked["device"],
            **chosen,
            real_pixels=not asked["no_real_pixels"],
            on_progress=tell,
        )
    for note in dict.fromkeys((*task.cautions, *task.sides.notes)):
        print_note(note, quiet=printing.quiet)
    return task


def _train_part(task: "Usefulness", part: "Part", printing: Printing) -> bool:
    """Whether all networks are trained, those of other parts too."""
    with show_progress(f"networks, part {part}", quiet=printing.quiet) as tell:
        missing = task.train_part(part.index, part.count, on_progress=tell)
    if missing:
        document = {"part": str(part), "missing": missing}
        text = f"Part {part} is done; other parts have {format_count(missing, 'network')} to train."
        print_result(document, text, as_json=printing.as_json)
    return not missing


def _format(result: "Result", outputs: "Outputs") -> str:
    tables = outputs.result.with_suffix(".md")
    return "\n".join(
        [
            result.verdict,
            "",
            f"All figures: {outputs.result}; as tables: {tables} (.csv, .tex); each radiograph: {outputs.rows}",
            f"Page: {outputs.page}. Synthetic, {NOT_FOR_DIAGNOSIS}.",
        ]
    )


baseline.add_command(submit)
baseline.add_command(leaderboard)
baseline.add_command(train)
baseline.add_command(annotate)
baseline.add_command(screen)
