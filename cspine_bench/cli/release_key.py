"""`cspine-bench release key`: a key to sign with."""

from pathlib import Path

import click

from cspine_bench.cli.options import NEW_PATH, Printing, printing_options
from cspine_bench.cli.output import print_result


@click.command()
@click.argument("path", type=NEW_PATH, metavar="KEY")
@printing_options
def key(path: Path, printing: Printing) -> None:
    """Make an Ed25519 key that signs releases, and the public key beside it (.pub); one that is there is kept.

    \b
    Example:
      cspine-bench release key release.key
    """
    from cspine_bench.release.key import write_key

    public, fingerprint = write_key(path)
    document = {"key": str(path), "public_key": str(public), "fingerprint": fingerprint}
    text = f"{path}: keep it secret. {public}: publish its fingerprint, {fingerprint}"
    print_result(document, text, as_json=printing.as_json)
