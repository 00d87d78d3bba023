"""`cspine-bench baseline leaderboard`: results of baselines as a page and as Markdown."""

from pathlib import Path

import click

from cspine_bench.cli.options import NEW_PATH, Printing, printing_options
from cspine_bench.cli.output import format_count, print_result

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command()
@click.argument("results", type=FOLDER)
@click.option("--out", type=NEW_PATH, required=True, help="Folder for LEADERBOARD.md and leaderboard.html.")
@click.option("--note", default="", help="What readers must know of the datasets: it stands above all tables.")
@printing_options
def leaderboard(results: Path, out: Path, note: str, printing: Printing) -> None:
    """Draw the leaderboard of all baseline results in the folder RESULTS; other files there are passed over.

    \b
    Example:
      cspine-bench baseline leaderboard results --out board
    """
    from cspine_bench.baselines.leaderboard import write_leaderboard

    boards, paths = write_leaderboard(results, out, note=note)
    document = {
        "tables": [{"title": board.title, "rows": len(board.entries)} for board in boards],
        "files": [str(path) for path in paths],
    }
    found = format_count(len(boards), "table") if boards else "No result of a baseline yet"
    print_result(document, f"{found}: {paths[0]}, {paths[1]}", as_json=printing.as_json)
