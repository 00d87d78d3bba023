"""Links for all readers at once, and the file in which they may be kept until they are sent."""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from cspine_bench.errors import DataError
from cspine_bench.measurement.csv_table import render_csv_table
from cspine_bench.study.ledger.links import issue_link, list_links
from cspine_bench.study.ledger.store import Ledger


def issue_links(
    ledger: Ledger, readers: Sequence[str] = (), *, base_url: str, reissue: bool = False
) -> dict[str, str | None]:
    """Make links.

    Args:
        ledger: of the study.
        readers: whose; empty: all of the study.
        base_url: address at which they reach the server. The secret goes behind a `#`, which browsers send nowhere.
        reissue: also for those who have a link; it ends.

    Returns:
        Link by reader; None: that reader has one, which cannot be told again.

    Raises:
        DataError: the study has no such reader, it was unblinded, or the address is none.
    """
    address = urlsplit(base_url)
    if address.scheme not in ("http", "https") or not address.netloc or address.query or address.fragment:
        raise DataError(f"--base-url {base_url}: is no address of a server, such as https://study.example.org/")
    base = base_url if base_url.endswith("/") else f"{base_url}/"
    with ledger.transaction():
        taken = set() if reissue else set(list_links(ledger).values())
        return {
            reader: None if reader in taken else f"{base}#{issue_link(ledger, reader)}"
            for reader in readers or ledger.study.protocol.readers
        }


def check_link_list(path: Path) -> None:
    """See that a file of links can be written, before links are made that would be lost.

    Raises:
        DataError: it is there, or its folder is not.
    """
    if path.exists() or path.is_symlink():
        raise DataError(f"{path}: is there already; links are never written over, choose another name")
    if not os.access(path.parent, os.W_OK):
        raise DataError(f"{path}: cannot be written there; choose a folder that exists and that you may write in")


def write_link_list(path: Path, links: dict[str, str | None]) -> None:
    """Write reader and link of those that were made, readable by their owner alone.

    Raises:
        DataError: the file cannot be made.
    """
    text = render_csv_table(("reader", "link"), ((reader, link) for reader, link in links.items() if link is not None))
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}); make the links again with --reissue") from error
