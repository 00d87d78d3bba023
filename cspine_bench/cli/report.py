"""`cspine-bench report`: one page for a reviewer who reads nothing else."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cspine_bench.cli.group import Group
from cspine_bench.cli.options import EXISTING_PATH, NEW_PATH, Printing, printing_options
from cspine_bench.cli.output import print_note, print_result, show_progress

if TYPE_CHECKING:
    from cspine_bench.report.build import Given, Report


def _parse_datasets(
    context: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    pairs = [tuple(text.partition("=")[::2]) for text in texts]
    for text, (name, where) in zip(texts, pairs, strict=True):
        if not (name and where):
            raise click.BadParameter(f"{text!r} is not NAME=DATASET, for example synthetic=samples")
    return tuple((name, where) for name, where in pairs)


@click.group(cls=Group)
def report() -> None:
    """Draw one page from all results of a project.

    \b
    Example:
      cspine-bench report build results --out report.html
    """


@report.command()
@click.argument("results", nargs=-1, type=click.Path(path_type=Path), metavar="RESULT...")
@click.option("--out", type=NEW_PATH, required=True, help="The page: one file, which asks for nothing.")
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    metavar="NAME=DATASET",
    callback=_parse_datasets,
    help="A dataset that was measured, by its role in the results: real, synthetic, train, holdout. May be given "
    "several times.",
)
@click.option("--run", type=EXISTING_PATH, help="The run that made the images: training curves, hashes of weights.")
@click.option("--release", type=EXISTING_PATH, help="A release: it is validated, and its chain and citation shown.")
@click.option("--no-real-pixels", is_flag=True, help="Leave out all that shows a pixel of a real film.")
@click.option("--title", default="", help="Of the page.  [from the release, or the datasets]")
@click.option("--overwrite", is_flag=True, help="Replace another file.")
@printing_options
def build(results: tuple[Path, ...], printing: Printing, **asked: Any) -> None:
    """Draw one self-contained page from result files, or from folders in which they lie.

    It holds the essence of each result, with the way back from every number to its file, and says what was not
    measured and what does not go together.

    \b
    Example:
      cspine-bench report build results --out report.html
    """
    from cspine_bench.report.build import build_report, write_report

    given = _open(results, asked, printing)
    for path, why in given.collected.ignored:
        print_note(f"passed over: {path} ({why})", quiet=printing.quiet)
    made = build_report(given, asked["out"])
    write_report(made, asked["out"], overwrite=asked["overwrite"])
    print_result(_document(given, made, asked["out"]), _format(given, made, asked["out"]), as_json=printing.as_json)


def _open(results: tuple[Path, ...], asked: dict[str, Any], printing: Printing) -> "Given":
    from cspine_bench.report.build import Given
    from cspine_bench.report.files import collect_results
    from cspine_bench.report.given import open_given_datasets, open_given_release, open_given_run

    collected = collect_results(results)
    datasets = open_given_datasets(asked["datasets"], collected.files)
    run = None if asked["run"] is None else open_given_run(asked["run"])
    with show_progress("Validating the release", quiet=printing.quiet) as tell:
        release = None if asked["release"] is None else open_given_release(asked["release"], on_progress=tell)
    real_pixels = not asked["no_real_pixels"]
    return Given(collected, datasets, run, release, real_pixels=real_pixels, title=asked["title"])


def _document(given: "Given", made: "Report", out: Path) -> dict[str, Any]:
    return {
        "path": str(out),
        "title": made.title,
        "num_bytes": len(made.page),
        "sha256": made.sha256,
        "results": [
            {
                "path": str(file.path),
                "measure": file.result.measure,
                "sha256": file.sha256,
                "gates": [{"asked": gate.asked, "state": gate.state} for gate in made.gates[file.key]],
            }
            for file in given.files
        ],
        "ignored": [{"path": str(path), "why": why} for path, why in given.collected.ignored],
        "contradictions": list(made.contradictions),
        "missing": list(made.missing),
    }


def _format(given: "Given", made: "Report", out: Path) -> str:
    from cspine_bench.report.gates import count_states

    lines = []
    for file in given.files:
        states = ", ".join(f"{count} {state}" for state, count in count_states(made.gates[file.key]).items())
        lines.append(f"{file.path}: {file.result.measure}; {states or 'asks nothing'}")
    lines += [f"does not go together: {text}" for text in made.contradictions]
    lines += [f"not measured: {what}" for what in made.missing]
    lines.append(f"{out}: {len(made.page) / 1e6:.2f} MB. Synthetic, not for diagnosis.")
    return "\n".join(lines)
