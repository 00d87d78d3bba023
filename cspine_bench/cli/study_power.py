"""`cspine-bench study power`: what so many readers and cases can show."""

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from cspine_bench.cli.options import EXISTING_PATH, NEW_PATH, SEED, Printing, printing_options
from cspine_bench.cli.output import format_table, print_result, show_progress

if TYPE_CHECKING:
    from cspine_bench.measurement.outputs import Outputs
    from cspine_bench.results import Figure, Result
    from cspine_bench.study.simulate.power_recipe import PowerRecipe

DESIGNS: Final = ("quartet", "pair", "single")
_SEVERAL: Final = ("readers", "cases", "accuracies", "margins", "rating_margins")
_SHOWN: Final = ("label-test", "two-way-nonnegative", "both-rules")
"""Methods that are printed for people; the result file holds all."""
_SINGLE: Final = ("design", "reader_sd", "case_sd", "alpha", "power", "studies")


@click.command()
@click.option("--out", type=NEW_PATH, required=True, help="Folder for result, table and page.")
@click.option("--design", type=click.Choice(DESIGNS), help="Images of a case: four, two or one.  [quartet]")
@click.option("--readers", type=int, multiple=True, help="May be given several times.  [4, 8, 12, 16]")
@click.option("--cases", type=int, multiple=True, help="Display sets; each with each number of readers.  [50, 100]")
@click.option("--accuracy", "accuracies", type=float, multiple=True, help="True share of right answers to detect.")
@click.option("--margin", "margins", type=float, multiple=True, help="Of equivalence with chance.  [0.05, 0.1]")
@click.option("--rating-margin", "rating_margins", type=float, multiple=True, help="The same of ratings.  [0.2]")
@click.option("--reader-sd", type=float, help="Between readers, on the logit of a right answer.  [0.25]")
@click.option("--case-sd", type=float, help="Between cases, on the logit of a right answer.  [0.45]")
@click.option("--alpha", type=float, help="Error rate of every test.  [0.05]")
@click.option("--power", type=float, help="Wanted, where the smallest design is looked for.  [0.8]")
@click.option("--studies", type=int, help="Simulated for each figure.  [4000]")
@click.option("--recipe", "recipe_file", type=EXISTING_PATH, help="YAML: all of these settings.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one of them.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Decides every random draw.")
@click.option("--overwrite", is_flag=True, help="Replace the result of other settings.")
@click.option("--dry-run", is_flag=True, help="Say what would be simulated, and simulate nothing.")
@printing_options
def power(printing: Printing, **asked: Any) -> None:
    """Say by simulation what so many readers and cases can show: a skill above chance, or none that matters.

    \b
    Example:
      cspine-bench study power --readers 8 --cases 50 --out results
    """
    from cspine_bench.measurement.task import run_task
    from cspine_bench.study.simulate.power_result import Power

    task = Power(_read_recipe(asked), asked["seed"])
    if asked["dry_run"]:
        settings = dict(task.question.settings)
        cells = [f"{readers} readers with {cases} cases" for readers, cases in task.cells]
        document = {"settings": settings, "designs": cells}
        print_result(document, f"Would simulate {', '.join(cells)}.", as_json=printing.as_json)
        return
    show = partial(show_progress, quiet=printing.quiet)
    result, outputs = run_task(task, asked["out"], overwrite=asked["overwrite"], show=show)
    print_result(result.model_dump(mode="json"), _format(result, outputs), as_json=printing.as_json)


def _read_recipe(asked: dict[str, Any]) -> "PowerRecipe":
    from cspine_bench.recipe import apply_overrides, build_recipe, load_recipe
    from cspine_bench.study.simulate.power_recipe import PowerRecipe

    recipe = PowerRecipe() if asked["recipe_file"] is None else load_recipe(asked["recipe_file"], PowerRecipe)
    named = {name: list(dict.fromkeys(asked[name])) for name in _SEVERAL if asked[name]}
    named |= {name: asked[name] for name in _SINGLE if asked[name] is not None}
    chosen = build_recipe(recipe.model_dump(mode="json") | named, PowerRecipe, where="the options")
    return apply_overrides(chosen, asked["overrides"])


def _format(result: "Result", outputs: "Outputs") -> str:
    from cspine_bench.study.simulate.power import LABEL_TEST

    rows = [["figure", "readers", "cases", "of", "method", "value", "interval"]]
    rows += [_format_figure(figure) for figure in result.figures if figure.condition["method"] in _SHOWN]
    where = f"All figures: {outputs.result}; as a table: {outputs.folder / 'study-power.csv'}; page: {outputs.page}."
    methods = f"Method `{LABEL_TEST}` asks about the readers who read, `two-way` about all readers there might be."
    return f"{format_table(rows)}\n\n{result.verdict}\n{methods}\n{where}"


def _format_figure(figure: "Figure") -> list[str]:
    told = figure.condition
    aim = [f"{name} {told[name]}" for name in ("accuracy", "margin", "power") if name in told]
    is_count = figure.unit == "readers"
    interval = figure.interval
    return [
        figure.name,
        told.get("readers", ""),
        told["cases"],
        ", ".join(aim),
        told["method"],
        f"{figure.value:.0f}" if is_count else f"{figure.value:.3f}",
        "" if interval is None else f"{interval.low:.3f} to {interval.high:.3f}",
    ]
