"""How a release is cited and deposited: CITATION.cff, BibTeX, and the metadata of a Zenodo deposit.

Each is written by itself, because converters between them call a dataset software and lose its version.
"""

import html
import re
import unicodedata
from typing import Any, Final

from cspine_bench.citation import (
    escape_latex,
    escape_url,
    find_reference,
    format_bibtex,
    spell_bibtex_name,
)
from cspine_bench.release.edition import Edition
from cspine_bench.release.licence_ids import CUSTOM_PREFIX, zenodo_licence_id
from cspine_bench.release.papers.statements import (
    METHOD_ARXIV,
    build_summary,
    find_notice,
    find_training,
    find_url,
    hub_page,
)
from cspine_bench.release.papers.yaml_text import dump_yaml
from cspine_bench.release.recipe import ANONYMOUS, Creator, TrainingData

_CFF_DOI: Final = re.compile(r"10\.\d{4,9}(\.\d+)?/[A-Za-z0-9:/_;\-.()\[\]\\]+")
"""What CITATION.cff takes for a DOI. Source: schema of Citation File Format 1.2.0."""


def build_cff(edition: Edition) -> str:
    """CITATION.cff of a dataset. Source: Citation File Format 1.2.0.

    A licence of the publisher's own has no SPDX id, so that the format has no place for it: LICENSE holds its text.
    """
    recipe = edition.recipe
    url = find_url(recipe)
    values: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use this dataset, please cite it, and the paper and data that it builds on.",
        "type": "dataset",
        "title": recipe.title,
        "abstract": build_summary(edition),
        "version": recipe.version,
        "date-released": str(recipe.date),
        "authors": [_cff_author(creator) for creator in recipe.creators] or [{"name": ANONYMOUS}],
    }
    if recipe.license is not None and not recipe.license.startswith(CUSTOM_PREFIX):
        values["license"] = recipe.license
    if recipe.doi is not None:
        values |= _cff_doi(recipe.doi)
    if url is not None and "url" not in values:
        values["url"] = url
    if recipe.hub_id is not None:
        values["repository-artifact"] = hub_page(recipe.hub_id)
    if recipe.code_url is not None:
        values["repository-code"] = recipe.code_url
    values["identifiers"] = [
        {
            "type": "other",
            "value": f"sha256:{edition.manifest.digest}",
            "description": "Digest of the manifest of the dataset folder that was released",
        }
    ]
    if recipe.keywords:
        values["keywords"] = list(dict.fromkeys(recipe.keywords))
    training = find_training(recipe, edition.manifest)
    values["references"] = [_cff_method(), *(_cff_training(item) for item in training.datasets)]
    return dump_yaml(values)


def _cff_method() -> dict[str, Any]:
    known = find_reference(f"arXiv:{METHOD_ARXIV}") or {}
    return known | {"notes": "The study that the code behind this dataset follows."}


def _cff_author(creator: Creator) -> dict[str, str]:
    if creator.given_names is None:
        author = {"name": creator.name}
    else:
        author = {"family-names": creator.name, "given-names": creator.given_names}
    if creator.orcid is not None:
        author["orcid"] = f"https://orcid.org/{creator.orcid}"
    if creator.affiliation is not None and creator.given_names is not None:
        author["affiliation"] = creator.affiliation
    return author


def _cff_doi(doi: str) -> dict[str, str]:
    return {"doi": doi} if _CFF_DOI.fullmatch(doi) else {"url": f"https://doi.org/{doi}"}


def _cff_training(item: TrainingData) -> dict[str, Any]:
    known = find_reference(item.doi) if item.doi is not None else None
    reference: dict[str, Any] = {
        "type": "data",
        "title": item.name,
        "authors": known["authors"] if known else [{"name": f"Authors of {item.name}"}],
        "notes": "The generator was trained on it.",
    }
    if item.version is not None:
        reference["version"] = item.version
    if item.url is not None:
        reference["url"] = item.url
    if item.doi is not None:
        reference = _cff_doi(item.doi) | reference
    return reference


def build_bibtex(edition: Edition) -> str:
    """A BibTeX entry; `@misc`, since plain BibTeX knows no datasets. Names and title keep their case by braces."""
    recipe = edition.recipe
    url = find_url(recipe)
    names = [spell_bibtex_name(creator.name, creator.given_names) for creator in recipe.creators]
    fields = {
        "author": " and ".join(names) or f"{{{ANONYMOUS}}}",
        "title": f"{{{escape_latex(recipe.title or '')}}}",
        "year": "" if recipe.date is None else str(recipe.date.year),
        "version": escape_latex(recipe.version),
        "howpublished": "Dataset",
        "doi": None if recipe.doi is None else escape_latex(recipe.doi),
        "url": None if url is None else escape_url(url),
        "note": f"Version {escape_latex(recipe.version)}. {escape_latex(find_notice(edition))}",
    }
    return format_bibtex(_bibtex_key(edition), fields)


def _bibtex_key(edition: Edition) -> str:
    recipe = edition.recipe
    who = recipe.creators[0].name.split()[0] if recipe.creators else ANONYMOUS
    year = "" if recipe.date is None else str(recipe.date.year)
    plain = unicodedata.normalize("NFKD", f"{who}{year}-{recipe.name}").encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9-]", "", plain.lower()).strip("-") or "dataset"


def build_zenodo(edition: Edition) -> dict[str, Any]:
    """Metadata of a Zenodo deposit, as `.zenodo.json` and the deposit's `metadata` spell it.

    Source: developers.zenodo.org, Deposit metadata.
    """
    recipe = edition.recipe
    values: dict[str, Any] = {
        "title": recipe.title,
        "upload_type": "dataset",
        "description": "".join(f"<p>{html.escape(text)}</p>" for text in build_summary(edition).split("\n\n")),
        "creators": [_zenodo_creator(creator) for creator in recipe.creators] or [{"name": ANONYMOUS}],
        "publication_date": str(recipe.date),
        "version": recipe.version,
        "access_right": "open",
        "license": zenodo_licence_id(recipe.license or ""),
        "language": "eng",
        "keywords": list(dict.fromkeys(recipe.keywords)),
        "related_identifiers": _list_related(edition),
        "notes": _build_notes(edition),
    }
    if recipe.doi is not None:
        values["doi"] = recipe.doi
    return values


def _zenodo_creator(creator: Creator) -> dict[str, str]:
    name = creator.name if creator.given_names is None else f"{creator.name}, {creator.given_names}"
    rest = {"orcid": creator.orcid, "affiliation": creator.affiliation}
    return {"name": name, **{key: value for key, value in rest.items() if value is not None}}


def _list_related(edition: Edition) -> list[dict[str, str]]:
    recipe = edition.recipe
    related = [{"relation": "cites", "identifier": f"arXiv:{METHOD_ARXIV}", "scheme": "arxiv"}]
    for item in find_training(recipe, edition.manifest).datasets:
        identifier = item.doi or item.url
        if identifier is not None:
            entry = {"relation": "isDerivedFrom", "identifier": identifier, "resource_type": "dataset"}
            related.append({**entry, "scheme": "url" if item.doi is None else "doi"})
    if recipe.code_url is not None:
        entry = {"relation": "isCompiledBy", "identifier": recipe.code_url, "resource_type": "software"}
        related.append({**entry, "scheme": "url"})
    if recipe.hub_id is not None:
        entry = {"relation": "isIdenticalTo", "identifier": hub_page(recipe.hub_id), "resource_type": "dataset"}
        related.append({**entry, "scheme": "url"})
    return related


def _build_notes(edition: Edition) -> str:
    recipe = edition.recipe
    parts = [find_notice(edition), f"Training data: {find_training(recipe, edition.manifest).summary}"]
    if (recipe.license or "").startswith(CUSTOM_PREFIX):
        parts.append(f"Terms of use: {recipe.license}, whose text is the file LICENSE.")
    if recipe.funding is not None:
        parts.append(f"Funding: {recipe.funding}")
    if recipe.contact is not None:
        parts.append(f"Contact: {recipe.contact}")
    return "".join(f"<p>{html.escape(part)}</p>" for part in parts)
