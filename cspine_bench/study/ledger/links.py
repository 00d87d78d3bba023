"""Readers' links: 256 random bits each, of which only the SHA-256 is kept.

A reader has one link that works at a time: a new one ends the old one. Whoever has the link is the reader.
"""

import hashlib
import json
import re
import secrets
from typing import Final

from cspine_bench.errors import DataError
from cspine_bench.study.ledger.store import Ledger

TOKEN_BYTES: Final = 32
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")


def issue_link(ledger: Ledger, reader: str) -> str:
    """Make a new link for a reader; an earlier one of theirs stops working.

    Returns:
        The secret part of the link: 43 characters, stored nowhere. It cannot be told again.

    Raises:
        DataError: the study has no such reader, or was unblinded.
    """
    _check_reader(ledger, reader)
    if any(ledger.iter_records("unblind")):
        raise DataError(f"{ledger.study.paths.folder}: was unblinded, so no link would lead anywhere")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    with ledger.transaction():
        revoke_links(ledger, reader)
        ledger.append("enrol", reader, body={"token_sha256": hash_token(token)})
    return token


def revoke_links(ledger: Ledger, reader: str) -> bool:
    """End a reader's link; answers that were given through it stay.

    Returns:
        Whether there was one to end.

    Raises:
        DataError: the study has no such reader.
    """
    _check_reader(ledger, reader)
    with ledger.transaction():
        if reader not in list_links(ledger).values():
            return False
        ledger.append("revoke", reader)
    return True


def list_links(ledger: Ledger) -> dict[str, str]:
    """Reader by the SHA-256 of their link, for the links that work."""
    links: dict[str, str] = {}
    for record in ledger.select("kind IN ('enrol', 'revoke') ORDER BY seq"):
        links = {sha256: reader for sha256, reader in links.items() if reader != record.reader}
        if record.kind == "enrol" and record.reader is not None:
            links[json.loads(record.body)["token_sha256"]] = record.reader
    return links


def find_reader(ledger: Ledger, token: str) -> str | None:
    """Whose link this is.

    What is looked up is a hash, so the time that it takes tells nothing about how much of a guess was right.

    Args:
        ledger: of the study.
        token: as a stranger may have sent it.

    Returns:
        None: nobody's; unknown, malformed and revoked links are told apart nowhere.
    """
    return list_links(ledger).get(hash_token(token)) if is_token(token) else None


def is_token(text: str) -> bool:
    """Whether a text has the form of a link's secret part."""
    return _TOKEN.fullmatch(text) is not None


def hash_token(token: str) -> str:
    """What is stored of a link."""
    return hashlib.sha256(token.encode()).hexdigest()


def _check_reader(ledger: Ledger, reader: str) -> None:
    readers = ledger.study.protocol.readers
    if reader not in readers:
        raise DataError(f"{ledger.study.paths.folder}: has no reader {reader!r}, only {', '.join(readers)}")
