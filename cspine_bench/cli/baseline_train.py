"""`cspine-bench baseline train`: a model to annotate, screen or restore with."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cspine_bench.cli.options import NEW_PATH, SEED, Printing, device_option, printing_options
from cspine_bench.cli.output import NOT_FOR_DIAGNOSIS, format_table, print_note, print_result, show_progress

if TYPE_CHECKING:
    from cspine_bench.baselines.model import ModelFacts
    from cspine_bench.results import Figure

_MOST_SHOWN = 12


@click.command()
@click.argument("task")
@click.option("--data", required=True, metavar="DATASET", help="Dataset folder, or its name on the Hub, to train on.")
@click.option("--out", type=NEW_PATH, required=True, help="Folder for the model.")
@click.option("--recipe", metavar="NAME|FILE", help="A recipe of the task, or a YAML file.  [cpu-64]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of the recipe.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Decides the first weights and every draw.")
@device_option
@click.option("--overwrite", is_flag=True, help="Replace another model that lies in OUT.")
@printing_options
def train(
    task: str, data: str, out: Path, recipe: str | None, overrides: tuple[str, ...], printing: Printing, **asked: Any
) -> None:
    """Train one model on the train split, and test it on radiographs that it has not seen.

    TASK is landmarking, segmentation, classification, quality or restoration.

    \b
    Example:
      cspine-bench baseline train landmarking --data ds --out teacher
    """
    from cspine_bench.baselines.shipped import DEFAULT_RECIPE, open_recipe
    from cspine_bench.baselines.train_model import train_model
    from cspine_bench.recipe import apply_overrides

    resolved = apply_overrides(open_recipe(task, recipe or DEFAULT_RECIPE), overrides)
    show = partial(show_progress, quiet=printing.quiet)
    facts, kept = train_model(resolved, data, out, show=show, **asked)
    document = {"path": str(out), "kept": kept, **facts.model_dump(mode="json")}
    print_result(document, _format(facts, out, kept=kept), as_json=printing.as_json)
    print_note(f"A {task} model: {NOT_FOR_DIAGNOSIS}.", quiet=printing.quiet)


def _format(facts: "ModelFacts", out: Path, *, kept: bool) -> str:
    data = facts.trained_on
    how = "was trained before with these arguments, and is kept" if kept else "is trained"
    rows = [["figure", "value", "interval", "n", "floor", "its interval"]]
    shown = [figure for figure in facts.figures if not figure.condition][:_MOST_SHOWN]
    rows += [_format_figure(figure) for figure in shown]
    floor = next((figure.floor.method.partition(";")[0] for figure in facts.figures if figure.floor), "none")
    more = len(facts.figures) - len(shown)
    lines = [
        f"{out}: {how}, {facts.updates:,} updates on {data.n_used:,} of {data.n_available:,} radiographs of "
        f"{data.dataset}, split {data.split}; tested on split {facts.tested_on}",
        "",
        format_table(rows),
        "",
        f"Floor: {floor}." + (f" {more} more figures: {out / 'model.json'}" if more > 0 else ""),
    ]
    return "\n".join(lines)


def _format_figure(figure: "Figure") -> list[str]:
    unit = "" if figure.unit in ("", "share") else f" {figure.unit}"
    ends = "" if figure.interval is None else f"{figure.interval.low:.4g} to {figure.interval.high:.4g}"
    floor = ["", ""]
    if figure.floor is not None:
        floor = [f"{figure.floor.value:.4g}", f"{figure.floor.low:.4g} to {figure.floor.high:.4g}"]
    count = f"{next(iter(figure.n_used.values())):,}"
    return [figure.name, f"{figure.value:.4g}{unit}", ends, count, *floor]
