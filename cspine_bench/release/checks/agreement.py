"""Rules CARD-02, CARD-09 and CARD-10: do all papers name one licence, one version, one date, one DOI, and a maker?"""

import re
from collections.abc import Iterator
from typing import Any, Final

from cspine_bench.release.checks.reading import Papers
from cspine_bench.release.layout import (
    CARD_NAME,
    CHANGELOG_NAME,
    CITATION_NAME,
    CROISSANT_NAME,
    LICENCE_NAME,
    MIRROR_NAME,
    RELEASE_NAME,
    REUSE_NAME,
    ZENODO_NAME,
)
from cspine_bench.release.licence_ids import (
    CUSTOM_PREFIX,
    hub_licence_fields,
    licence_url,
    zenodo_licence_id,
)
from cspine_bench.release.recipe import ANONYMOUS
from cspine_bench.release.rules import Tally

_HEADING: Final = re.compile(r"^## \[([^\]\n]+)\] - (\S+)", re.MULTILINE)
_CARD_VERSIONS: Final = (
    re.compile(r"^ *version = \{([^}\n]*)\}", re.MULTILINE),
    re.compile(r"^\| version \| (\S+) of \S+ \|$", re.MULTILINE),
    re.compile(r"^- \*\*Version:\*\* (\S+) of \S+$", re.MULTILINE),
)
_CARD_DATES: Final = (
    re.compile(r"^\| version \| \S+ of (\S+) \|$", re.MULTILINE),
    re.compile(r"^- \*\*Version:\*\* \S+ of (\S+)$", re.MULTILINE),
)
_CARD_LICENCES: Final = (
    re.compile(r"^\| licence \| \[([^\]\n]+)\]\(LICENSE\) \|$", re.MULTILINE),
    re.compile(r"^- \*\*License:\*\* (\S+)$", re.MULTILINE),
    re.compile(r"^\[([^\]\n]+)\]\(LICENSE\) for every file", re.MULTILINE),
)
"""How a card spells these for people."""


def check_agreement(papers: Papers, tally: Tally) -> None:
    """Compare what the papers say of the release as a whole. A paper that is not there says nothing."""
    _check_licence(papers, tally)
    _check_facts(papers, tally)
    _check_makers(papers, tally)


def _check_licence(papers: Papers, tally: Tally) -> None:
    texts = {name: name.removeprefix("LICENSES/").removesuffix(".txt") for name in papers.tree.files}
    texts = {name: spdx for name, spdx in texts.items() if name.startswith("LICENSES/")}
    if len(texts) > 1:
        tally.add("CARD-02", "LICENSES/", f"there are texts of several licences: {', '.join(texts.values())[:200]}")
    named = _find_licence(papers, list(texts.values()))
    if named is None:
        tally.add("CARD-02", RELEASE_NAME, "no paper names a licence")
        return
    spdx, anchor = named
    for where, found, expected in _list_licences(papers, spdx):
        if found != expected:
            tally.add(
                "CARD-02", where, f"the licence is {found!r:.100}; {anchor} says {spdx}, so {expected!r} is expected"
            )
    name = f"LICENSES/{spdx}.txt"
    if name not in texts:
        tally.add("CARD-02", "LICENSES/", f"{anchor} says {spdx}, and {name} is not there")
    elif papers.raw(name) != papers.raw(LICENCE_NAME) and LICENCE_NAME in papers.tree.files:
        tally.add("CARD-02", LICENCE_NAME, f"its text is not that of {name}")


def _find_licence(papers: Papers, texts: list[str]) -> tuple[str, str] | None:
    """The licence that all others are held against, and the paper that names it."""
    release = papers.release or {}
    if isinstance(release.get("license"), str):
        return release["license"], RELEASE_NAME
    if isinstance((papers.citation or {}).get("license"), str):
        return str((papers.citation or {})["license"]), CITATION_NAME
    return (texts[0], "LICENSES/") if len(texts) == 1 else None


def _list_licences(papers: Papers, spdx: str) -> Iterator[tuple[str, Any, Any]]:
    """Paper, what it says, what it should say."""
    if papers.card is not None:
        wanted = hub_licence_fields(spdx)
        yield CARD_NAME, {key: papers.card.front[key] for key in papers.card.front if key in _HUB_KEYS}, wanted
        for pattern in _CARD_LICENCES:
            yield from ((CARD_NAME, match[1], spdx) for match in pattern.finditer(papers.card.body))
    if papers.citation is not None:
        custom = spdx.startswith(CUSTOM_PREFIX)
        yield CITATION_NAME, papers.citation.get("license"), None if custom else spdx
    if papers.zenodo is not None:
        yield ZENODO_NAME, papers.zenodo.get("license"), zenodo_licence_id(spdx)
    if papers.croissant is not None:
        found = papers.croissant.get("license")
        page = found.get("url") if isinstance(found, dict) else found
        yield CROISSANT_NAME, page, licence_url(spdx)
    if papers.reuse is not None:
        annotations = papers.reuse.get("annotations")
        for entry in annotations if isinstance(annotations, list) else []:
            if isinstance(entry, dict):
                yield REUSE_NAME, entry.get("SPDX-License-Identifier"), spdx


_HUB_KEYS: Final = ("license", "license_name", "license_link", "license_details")


def _check_facts(papers: Papers, tally: Tally) -> None:
    anchors: dict[str, tuple[str, str | None]] = {}
    for fact, where, found in _list_facts(papers):
        value = None if found is None else str(found)
        anchor, expected = anchors.setdefault(fact, (where, value))
        if value != expected:
            tally.add("CARD-09", where, f"{fact} is {value!r:.100} here, {expected!r:.100} in {anchor}")


def _list_facts(papers: Papers) -> Iterator[tuple[str, str, Any]]:
    """Fact, paper, what the paper says of it. All others are held against the first."""
    if (release := papers.release) is not None:
        yield from ((fact, RELEASE_NAME, release.get(key)) for fact, key in _RELEASE_FACTS.items())
    if (citation := papers.citation) is not None:
        yield "the version", CITATION_NAME, citation.get("version")
        yield "the title", CITATION_NAME, citation.get("title")
        yield "the date", CITATION_NAME, citation.get("date-released")
        yield "the DOI", CITATION_NAME, _find_cff_doi(citation)
    if (zenodo := papers.zenodo) is not None:
        yield "the version", ZENODO_NAME, zenodo.get("version")
        yield "the title", ZENODO_NAME, zenodo.get("title")
        yield "the date", ZENODO_NAME, zenodo.get("publication_date")
        yield "the DOI", ZENODO_NAME, zenodo.get("doi")
    if (croissant := papers.croissant) is not None:
        yield "the name", CROISSANT_NAME, croissant.get("name")
        yield "the version", CROISSANT_NAME, croissant.get("version")
        yield "the date", CROISSANT_NAME, croissant.get("datePublished")
        yield "the DOI", CROISSANT_NAME, _strip_resolver(croissant.get("identifier"))
    if papers.reuse is not None:
        yield "the name", REUSE_NAME, papers.reuse.get("SPDX-PackageName")
    if papers.mirror is not None:
        yield "the name", MIRROR_NAME, papers.mirror.get("release")
        yield "the version", MIRROR_NAME, papers.mirror.get("version")
    if papers.card is not None:
        yield "the title", CARD_NAME, papers.card.front.get("pretty_name")
        for fact, patterns in (("the version", _CARD_VERSIONS), ("the date", _CARD_DATES)):
            for pattern in patterns:
                yield from ((fact, CARD_NAME, match[1]) for match in pattern.finditer(papers.card.body))
    changelog = papers.text(CHANGELOG_NAME, "CARD-09")
    if changelog is not None:
        heading = _HEADING.search(changelog)
        yield "the version", CHANGELOG_NAME, None if heading is None else heading[1]
        yield "the date", CHANGELOG_NAME, None if heading is None else heading[2]


_RELEASE_FACTS: Final = {
    "the name": "name",
    "the version": "version",
    "the title": "title",
    "the date": "date",
    "the DOI": "doi",
}


def _find_cff_doi(citation: dict[str, Any]) -> Any:
    if "doi" in citation:
        return citation["doi"]
    # A DOI that the format's pattern does not take is written as an address.
    url = citation.get("url")
    return _strip_resolver(url) if isinstance(url, str) and "doi.org/10." in url else None


def _strip_resolver(identifier: Any) -> Any:
    if not isinstance(identifier, str):
        return identifier
    return identifier.removeprefix("https://doi.org/")


def _check_makers(papers: Papers, tally: Tally) -> None:
    citation = papers.citation
    if citation is None:
        return
    authors = citation.get("authors")
    names = [entry for entry in authors if isinstance(entry, dict)] if isinstance(authors, list) else []
    if not names or all(entry.get("name") == ANONYMOUS for entry in names):
        tally.add("CARD-10", CITATION_NAME, f"the author is {ANONYMOUS!r}: no maker is named")
