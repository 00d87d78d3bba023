"""`cspine-bench study analyze`: from answers to a verdict."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cspine_bench.cli.options import EXISTING_PATH, NEW_PATH, Printing, printing_options
from cspine_bench.cli.output import NOT_FOR_DIAGNOSIS, format_table, print_note, print_result, show_progress

if TYPE_CHECKING:
    from cspine_bench.measurement.outputs import Outputs
    from cspine_bench.results import Result
    from cspine_bench.study.analysis.run import ReaderStudy

_DESIGNS = ("quartet", "pair", "single")
_SHOWN = (
    "acc.binom.phat", "acc.twoway.mean", "pick.label_test.p_greater", "acc.dprime4", "acc.dprime2", "acc.dprime",
    "pick.fleiss.est", "pick.ac1.est", "rate.ac2_quadratic.est", "rate.icc.icc21", "auc.auc",
    "intra.kappa_quadratic_pooled", "intra.same_pick", "control.accuracy",
)  # fmt: skip


@click.command()
@click.argument("study", type=EXISTING_PATH, required=False)
@click.option("--truth", type=EXISTING_PATH, help="The sealed truth, where it is kept elsewhere than in STUDY.")
@click.option("--trials", type=EXISTING_PATH, help="CSV of the answers, instead of STUDY.")
@click.option("--ratings", type=EXISTING_PATH, help="CSV of the ratings.")
@click.option("--repeats", type=EXISTING_PATH, help="CSV of the images that readers saw twice.")
@click.option("--design", type=click.Choice(_DESIGNS), help="Of the CSV files.  [by their panes]")
@click.option("--steps", type=click.IntRange(2, 9), help="Steps of the rating scale of the CSV files.  [4]")
@click.option("--correct", type=click.IntRange(0), help="Right answers of a published study, instead of files.")
@click.option("--answers", type=click.IntRange(1), help="All its answers.")
@click.option("--kappa", type=click.FloatRange(-1, 1), help="Its agreement on the image picked.")
@click.option("--readers", type=click.IntRange(1), help="How many read every case; with --kappa.")
@click.option("--out", type=NEW_PATH, help="Folder for result, rows, page and papers.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Of the analysis: accuracy_margin=0.05.")
@click.option("--overwrite", is_flag=True, help="Replace the result of other answers or settings.")
@click.option("--dry-run", is_flag=True, help="Read and check the answers, say what there is, and write nothing.")
@printing_options
def analyze(study: Path | None, printing: Printing, **asked: Any) -> None:
    """Analyse the answers of a reader study as its protocol says, or those of CSV files, with a verdict in words.

    \b
    Example:
      cspine-bench study analyze --trials trials.csv --ratings ratings.csv --out results
    """
    from cspine_bench.measurement.task import run_task

    given = [name for name in ("study", "trials", "correct") if (study if name == "study" else asked[name]) is not None]
    if len(given) != 1:
        raise click.UsageError("name one of: a STUDY folder, --trials, or --correct with --answers")
    if given == ["correct"]:
        return _print_aggregates(asked, printing)
    task = _open(study, asked)
    if asked["dry_run"]:
        return _print_counts(task, printing)
    if asked["out"] is None:
        raise click.UsageError("--out is missing: the folder for result, rows, page and papers")
    show = partial(show_progress, quiet=printing.quiet)
    result, outputs = run_task(task, asked["out"], overwrite=asked["overwrite"], show=show)
    for warning in task.list_warnings():
        print_note(warning, quiet=printing.quiet)
    print_result(result.model_dump(mode="json"), _format(result, outputs), as_json=printing.as_json)


def _open(study: Path | None, asked: dict[str, Any]) -> "ReaderStudy":
    from cspine_bench.study.analysis.open import open_planned, open_tables

    csv_only = ("ratings", "repeats", "design", "steps")
    if study is not None:
        if named := [name for name in csv_only if asked[name] is not None]:
            raise click.UsageError(f"--{named[0]} goes with --trials; a STUDY has its own")
        return open_planned(study, truth=asked["truth"], overrides=asked["overrides"])
    if asked["truth"] is not None:
        raise click.UsageError("--truth goes with a STUDY; CSV files tell it themselves")
    return open_tables(
        asked["trials"], asked["ratings"], asked["repeats"], design=asked["design"], num_steps=asked["steps"],
        overrides=asked["overrides"],
    )  # fmt: skip


def _print_counts(task: "ReaderStudy", printing: Printing) -> None:
    table = task.analysis.table
    document = {
        "design": table.design, "readers": len(table.readers), "cases": len(table.cases),
        "answers": table.num_answers, "ratings": len(task.responses.ratings), "sources": list(table.sources),
        "warnings": list(task.list_warnings()),
    }  # fmt: skip
    text = "\n".join(f"{name}: {value}" for name, value in document.items())
    print_result(document, text, as_json=printing.as_json)


def _print_aggregates(asked: dict[str, Any], printing: Printing) -> None:
    from cspine_bench.study.analysis.aggregates import analyse_aggregates
    from cspine_bench.study.analysis.open import read_recipe

    if asked["answers"] is None:
        raise click.UsageError("--correct needs --answers")
    if (asked["kappa"] is None) != (asked["readers"] is None):
        raise click.UsageError("--kappa and --readers go together: both make the design effect")
    found = analyse_aggregates(
        correct=asked["correct"], answers=asked["answers"], design=asked["design"] or "quartet",
        kappa=asked["kappa"], readers=asked["readers"], recipe=read_recipe(asked["overrides"]),
    )  # fmt: skip
    rows = [["figure", "value"], *([name, f"{value:.6g}"] for name, value in found.figures.items())]
    print_result(found.describe(), f"{found.verdict}\n\n{format_table(rows)}", as_json=printing.as_json)


def _format(result: "Result", outputs: "Outputs") -> str:
    rows = [["figure", "value", "interval", "n"]]
    for figure in result.figures:
        if figure.name in _SHOWN:
            ends = "" if figure.interval is None else f"{figure.interval.low:.4g} to {figure.interval.high:.4g}"
            counts = ", ".join(f"{count:,} {role}" for role, count in figure.n_used.items())
            rows.append([figure.name, f"{figure.value:.4g}", ends, counts])
    lines = [result.verdict, ""]
    lines += [one["text"] for one in result.settings["by_source"]]
    lines += ["", format_table(rows), ""]
    undefined = len(result.settings["not_defined"])
    lines.append(f"{len(result.figures):,} figures, and {undefined:,} that are not defined: {outputs.result}")
    lines.append(f"Page: {outputs.page}; methods, checklist and readers beside it. {NOT_FOR_DIAGNOSIS.capitalize()}.")
    return "\n".join(lines)
