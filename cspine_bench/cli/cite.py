"""`cspine-bench cite`: what to write into a list of references."""

from pathlib import Path
from typing import Final

import click

from cspine_bench.cli.options import EXISTING_PATH, Printing, printing_options
from cspine_bench.cli.output import print_result

FORMATS: Final = ("bibtex", "apa", "cff")


@click.command()
@click.option("--release", type=EXISTING_PATH, help="Folder of a release: it is cited first, by its CITATION.cff.")
@click.option(
    "--format",
    "style",
    type=click.Choice(FORMATS),
    default="bibtex",
    show_default=True,
    help="BibTeX; a list in the style of the APA; or the citation file itself.",
)
@printing_options
def cite(release: Path | None, style: str, printing: Printing) -> None:
    """Print how to cite this toolkit, a release, and the paper and data that they build on.

    \b
    Example:
      cspine-bench cite --format bibtex
    """
    from cspine_bench.citation import (
        CITATION_FILE,
        build_apa,
        build_bibtex,
        describe_work,
        list_works,
        read_own_citation,
        read_release_citation,
    )

    files = [(read_own_citation(), CITATION_FILE)]
    if release is not None:
        files.insert(0, (read_release_citation(release), str(release / CITATION_FILE)))
    works = list_works(*files)
    text = {"bibtex": build_bibtex, "apa": build_apa}[style](works) if style != "cff" else files[0][0]
    document = {"format": style, "works": [describe_work(work) for work in works], "text": text}
    print_result(document, text.rstrip("\n"), as_json=printing.as_json)
