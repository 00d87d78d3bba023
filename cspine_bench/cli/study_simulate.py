"""`cspine-bench study simulate`: made-up readers answer a study."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from cspine_bench.cli.options import NEW_PATH, SEED, Printing, printing_options
from cspine_bench.cli.output import format_table, print_note, print_result

if TYPE_CHECKING:
    from cspine_bench.study.recipe import StudyRecipe
    from cspine_bench.study.simulate.recipe import ReadersRecipe

DESIGNS: Final = ("quartet", "pair", "single")
MADE_UP: Final = "The readers are made up; so is everything that comes of their answers."
_OF_STUDY: Final = {"readers": "readers", "cases": "cases", "repeats": "repeats", "controls": "positive_controls"}


@click.command()
@click.argument("study", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=NEW_PATH, help="Without a study: folder for trials.csv, ratings.csv and repeats.csv.")
@click.option(
    "--readers-recipe", "kind", default="chance", show_default=True, metavar="NAME|FILE",
    help="chance, skilled, paper-like, one-poor-checkpoint, careless, or a YAML file.",
)  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of the readers.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Decides every random draw.")
@click.option(
    "--reader", "names", multiple=True, metavar="NAME", help="Of STUDY: only this reader; may be given several times."
)
@click.option("--upto", type=click.IntRange(min=0), help="Of STUDY: leave each reader with so many answers.")
@click.option("--truth", type=NEW_PATH, help="Of STUDY: the sealed truth, where it is kept elsewhere than in it.")
@click.option("--design", type=click.Choice(DESIGNS), help="With --out: images of a case.  [quartet]")
@click.option("--readers", type=int, help="With --out: how many.  [8]")
@click.option("--cases", type=int, help="With --out: display sets.  [50]")
@click.option("--repeats", type=int, help="With --out: cases seen twice.  [8, or fewer where they do not fit]")
@click.option("--controls", type=int, help="With --out: positive controls.  [6]")
@click.option("--sources", type=click.IntRange(1, 99), help="With --out: synthetic sources.  [3]")
@click.option("--overwrite", is_flag=True, help="With --out: replace the tables of another study.")
@click.option("--dry-run", is_flag=True, help="Say what would be answered, and write nothing.")
@printing_options
def simulate(study: Path | None, printing: Printing, **asked: Any) -> None:
    """Let made-up readers of chosen skill and habits answer a planned study, or a made-up one.

    \b
    Example:
      cspine-bench study simulate --out answers --readers 8 --cases 50 --readers-recipe paper-like
    """
    from cspine_bench.recipe import apply_overrides
    from cspine_bench.study.simulate.recipe import load_readers

    _check_asked(study, asked)
    recipe = apply_overrides(load_readers(asked["kind"]), asked["overrides"])
    if study is None:
        document, text = _write_tables(recipe, asked)
    else:
        document, text = _answer_study(study, recipe, asked)
    print_note(MADE_UP, quiet=printing.quiet)
    print_result(document, text, as_json=printing.as_json)


def _check_asked(study: Path | None, asked: dict[str, Any]) -> None:
    """Options of the one way are no options of the other."""
    if (study is None) == (asked["out"] is None):
        raise click.UsageError("name a STUDY to answer, or --out for the tables of a made-up one; one of them")
    others = ("names", "upto", "truth") if study is None else ("design", *_OF_STUDY, "sources", "overwrite")
    given = [name for name in others if asked[name] not in (None, (), False)]
    if given:
        option = f"--{given[0].replace('names', 'reader')}"
        raise click.UsageError(f"{option} goes with {'a planned STUDY' if study is None else '--out'}")


def _read_study_recipe(asked: dict[str, Any]) -> "StudyRecipe":
    from cspine_bench.recipe import build_recipe
    from cspine_bench.study.recipe import StudyRecipe

    values = {field: asked[name] for name, field in _OF_STUDY.items() if asked[name] is not None}
    values |= {"training": 0} | ({} if asked["design"] is None else {"design": asked["design"]})
    usual = StudyRecipe()
    trials = values.get("cases", usual.cases) + values.get("positive_controls", usual.positive_controls)
    if asked["repeats"] is None:
        fits = trials > usual.repeat_lag
        values["repeats"] = min(usual.repeats, values.get("cases", usual.cases)) if fits else 0
    return build_recipe(values, StudyRecipe, where="study")


def _write_tables(recipe: "ReadersRecipe", asked: dict[str, Any]) -> tuple[dict[str, Any], str]:
    from cspine_bench.study.simulate.tables import NOTE, write_made_up_study

    study = _read_study_recipe(asked)
    if asked["dry_run"]:
        document = {"study": study.model_dump(mode="json"), "readers": recipe.model_dump(mode="json")}
        return document, f"Would write answers of {study.readers} readers to {study.cases} cases to {asked['out']}."
    size = {"num_sources": asked["sources"] or 3, "seed": asked["seed"], "overwrite": asked["overwrite"]}
    sign = write_made_up_study(asked["out"], study, recipe, **size)
    names = ", ".join(sign["files"])
    lines = [f"{sign['answers']:,} answers of {study.readers} readers: {names} in {asked['out']}.", NOTE]
    if recipe.accuracy is not None and recipe.accuracy < study.chance:
        lines.append(f"Their accuracy, {recipe.accuracy:g}, is below chance in this design: {study.chance:g}.")
    return sign, "\n".join(lines)


def _answer_study(folder: Path, recipe: "ReadersRecipe", asked: dict[str, Any]) -> tuple[dict[str, Any], str]:
    from cspine_bench.study.folder import open_study
    from cspine_bench.study.simulate.served import describe_readers, plan_answers, simulate_study

    study = open_study(folder)
    work = plan_answers if asked["dry_run"] else simulate_study
    found = work(study, recipe, seed=asked["seed"], readers=asked["names"], upto=asked["upto"], truth=asked["truth"])
    rows = [["reader", "new answers", "all answers", "trials"]]
    rows += [[name, f"{found.answered[name]}", f"{found.done[name]}", f"{found.total[name]}"] for name in found.total]
    progress = {"answered": found.answered, "done": found.done, "total": found.total}
    return {"simulated": True, **describe_readers(recipe, asked["seed"]), **progress}, format_table(rows)
