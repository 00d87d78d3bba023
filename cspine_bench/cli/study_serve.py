"""`cspine-bench study links`, `revoke` and `serve`: who may read, and where."""

from pathlib import Path

import click

from cspine_bench.cli.options import EXISTING_PATH, NEW_PATH, Printing, printing_options
from cspine_bench.cli.output import format_table, print_note, print_result

DEFAULT_PORT = 8765
DEFAULT_BASE = f"http://127.0.0.1:{DEFAULT_PORT}/"


@click.command()
@click.argument("folder", type=EXISTING_PATH, metavar="STUDY")
@click.option(
    "--reader", "readers", multiple=True, metavar="NAME", help="Only of this reader; may be given several times."
)
@click.option("--reissue", is_flag=True, help="New links for those who have one too; the old ones end.")
@click.option("--base-url", default=DEFAULT_BASE, show_default=True, help="Address at which readers reach the server.")
@click.option("--out", type=NEW_PATH, help="Also write them to this CSV, readable by you alone.")
@printing_options
def links(
    folder: Path, readers: tuple[str, ...], reissue: bool, base_url: str, out: Path | None, printing: Printing
) -> None:
    """Make the readers' links, and tell them this once: only their hashes are kept.

    \b
    Example:
      cspine-bench study links study --out links.csv
    """
    from cspine_bench.study.folder import open_study
    from cspine_bench.study.ledger.link_list import check_link_list, issue_links, write_link_list
    from cspine_bench.study.ledger.store import open_ledger

    if out is not None:
        check_link_list(out)
    with open_ledger(open_study(folder)) as ledger:
        issued = issue_links(ledger, readers, base_url=base_url, reissue=reissue)
        if out is not None:
            write_link_list(out, issued)
    rows = [[reader, link or "has one already; --reissue makes a new one"] for reader, link in issued.items()]
    print_result({"links": issued}, "\n".join(f"{reader}  {text}" for reader, text in rows), as_json=printing.as_json)
    if any(issued.values()):
        note = "Whoever has a link is that reader: send each to one person, and keep no copy."
        print_note(note, quiet=printing.quiet)


@click.command()
@click.argument("folder", type=EXISTING_PATH, metavar="STUDY")
@click.option(
    "--reader", "readers", multiple=True, required=True, metavar="NAME", help="Whose; may be given several times."
)
@printing_options
def revoke(folder: Path, readers: tuple[str, ...], printing: Printing) -> None:
    """End readers' links at once, also in a running server; answers given so far stay.

    \b
    Example:
      cspine-bench study revoke study --reader R1
    """
    from cspine_bench.study.folder import open_study
    from cspine_bench.study.ledger.links import revoke_links
    from cspine_bench.study.ledger.store import open_ledger

    with open_ledger(open_study(folder)) as ledger, ledger.transaction():
        revoked = {reader: revoke_links(ledger, reader) for reader in readers}
    text = format_table([[reader, "link ended" if ended else "had no link"] for reader, ended in revoked.items()])
    print_result({"revoked": revoked}, text, as_json=printing.as_json)


@click.command()
@click.argument("folder", type=EXISTING_PATH, metavar="STUDY")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0: all.")
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: any free one.")
@click.option("--tls-cert", type=EXISTING_PATH, help="Certificate in PEM; needs --tls-key.")
@click.option("--tls-key", type=EXISTING_PATH, help="Its private key in PEM.")
@click.option("--quiet", is_flag=True, help="No notes on stderr.")
def serve(folder: Path, host: str, port: int, tls_cert: Path | None, tls_key: Path | None, quiet: bool) -> None:
    """Serve a study to its readers until Ctrl-C.

    \b
    Example:
      cspine-bench study serve study
    """
    from cspine_bench.study.app.server import is_loopback, serve_study
    from cspine_bench.study.folder import open_study

    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key: give both or none")
    tls = None if tls_cert is None or tls_key is None else (tls_cert, tls_key)
    if tls is None and not is_loopback(host):
        click.echo(
            "Warning: without TLS everybody on the way can read links and answers; give --tls-cert and --tls-key, or "
            "listen at 127.0.0.1 behind a proxy that has them.",
            err=True,
        )
    serve_study(open_study(folder), host=host, port=port, tls=tls, on_listen=lambda address: _tell(address, quiet))


def _tell(address: str, quiet: bool) -> None:
    click.echo(address)
    print_note("Serving the study there; Ctrl-C ends it, and no answer is lost.", quiet=quiet)
