"""Rules DOC: are the papers that machines read valid, and do they say what the data say?"""

import datetime
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cspine_bench.dataset.manifest import ANNOTATION_FOLDER, README_NAME, Manifest, compute_digest, list_tables
from cspine_bench.dataset.readme import build_readme
from cspine_bench.errors import RecipeError
from cspine_bench.provenance import sha256_bytes, sha256_json
from cspine_bench.recipe import build_recipe
from cspine_bench.release.checks.parsing import UnreadableError, parse_json
from cspine_bench.release.checks.reading import EVIDENCE_PREFIX, Papers
from cspine_bench.release.layout import (
    CITATION_NAME,
    MIRROR_NAME,
    RELEASE_NAME,
    REUSE_NAME,
    SCHEMA_NAME,
    ZENODO_NAME,
)
from cspine_bench.release.recipe import ReleaseRecipe
from cspine_bench.release.rules import Tally
from cspine_bench.schema import build_json_schema

_CFF_KEYS: Final = frozenset(
    (
        "abstract", "authors", "cff-version", "commit", "contact", "date-released", "doi", "identifiers", "keywords",
        "license", "license-url", "message", "preferred-citation", "references", "repository", "repository-artifact",
        "repository-code", "title", "type", "url", "version",
    )
)  # fmt: skip
"""Source: schema of Citation File Format 1.2.0."""
_CFF_PERSON: Final = frozenset(
    (
        "address", "affiliation", "alias", "city", "country", "email", "family-names", "fax", "given-names",
        "name-particle", "name-suffix", "orcid", "post-code", "region", "tel", "website", "name", "date-end",
        "date-start", "location",
    )
)  # fmt: skip
_CFF_TEXTS: Final = ("message", "title", "version", "abstract", "url", "repository-artifact", "repository-code")
_CFF_LISTS: Final = {"references": ("type", "title", "authors"), "identifiers": ("type", "value")}
_DOI: Final = re.compile(r"10\.\d{4,9}(\.\d+)?/[A-Za-z0-9:/_;\-.()\[\]\\]+")
_URL: Final = re.compile(r"(https?|s?ftp)://\S+")
_REUSE_EXEMPT: Final = re.compile(r"LICENSES/.*|(.*/)?(LICEN[CS]E|COPYING)([-.][^/]*)?|(.*/)?REUSE\.toml")
"""Files that carry no licence of their own. Source: REUSE Specification 3.3."""
_NUMBER: Final = 1
_SHOWN: Final = 3


def check_citation(papers: Papers, tally: Tally) -> None:
    """DOC-01: what the schema of Citation File Format 1.2.0 asks of a dataset."""
    if papers.citation is None:
        return
    for fault in _list_cff_faults(papers.citation):
        tally.add("DOC-01", CITATION_NAME, fault)


def _list_cff_faults(values: dict[str, Any]) -> Iterator[str]:
    if unknown := sorted(str(key) for key in values if key not in _CFF_KEYS):
        yield f"unknown keys: {', '.join(unknown)[:200]}"
    if values.get("cff-version") != "1.2.0":
        yield f"cff-version is {values.get('cff-version')!r:.60}, 1.2.0 is expected"
    if values.get("type") != "dataset":
        yield f"type is {values.get('type')!r:.60}, dataset is expected"
    for key in ("message", "title", "version", "date-released"):
        if values.get(key) in (None, ""):
            yield f"{key} is missing"
    for key in _CFF_TEXTS:
        if key in values and not isinstance(values[key], str):
            yield f"{key} is {values[key]!r:.60}, text is expected"
    date = values.get("date-released")
    if date is not None and not is_date(date):
        yield f"date-released is {date!r:.60}, YYYY-MM-DD is expected"
    if "doi" in values and not (isinstance(values["doi"], str) and _DOI.fullmatch(values["doi"])):
        yield f"doi is {values['doi']!r:.100}, no DOI"
    for key in ("url", "repository-artifact", "repository-code"):
        if isinstance(values.get(key), str) and not _URL.fullmatch(values[key]):
            yield f"{key} is {values[key]!r:.100}, no address"
    keywords = values.get("keywords", ["any"])
    if not isinstance(keywords, list) or not keywords or not all(isinstance(word, str) for word in keywords):
        yield "keywords is no list of texts"
    for key, needed in _CFF_LISTS.items():
        entries = values.get(key, [])
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict) and all(entry.get(name) for name in needed) for entry in entries
        ):
            yield f"{key} is no list of entries with {', '.join(needed)}"
    authors = values.get("authors")
    if not isinstance(authors, list) or not authors:
        yield "authors is no list of people and bodies"
        return
    for place, author in enumerate(authors):
        if not isinstance(author, dict) or not author or set(author) - _CFF_PERSON:
            yield f"author {place + 1} is no person or body"
        elif not all(isinstance(value, str | datetime.date) and value for value in author.values()):
            yield f"author {place + 1} has a field that is no text"


def is_date(value: Any) -> bool:
    """Whether a value is a date in the form YYYY-MM-DD, as text or as YAML reads it."""
    if isinstance(value, datetime.datetime):
        return False
    if isinstance(value, datetime.date):
        return True
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return False
    try:
        datetime.date.fromisoformat(value)
    except ValueError:
        return False
    return True


def check_reuse(papers: Papers, tally: Tally) -> None:
    """DOC-03: every file has a licence and a copyright, and the text of each licence is there."""
    if papers.reuse is None:
        return
    if papers.reuse.get("version") != _NUMBER:
        tally.add("DOC-03", REUSE_NAME, f"version is {papers.reuse.get('version')!r:.40}, 1 is expected")
    annotations = papers.reuse.get("annotations")
    entries = [item for item in annotations if isinstance(item, dict)] if isinstance(annotations, list) else []
    patterns: list[re.Pattern[str]] = []
    for entry in entries:
        paths = entry.get("path")
        complete = True
        for key in ("SPDX-License-Identifier", "SPDX-FileCopyrightText"):
            found = entry.get(key)
            texts = found if isinstance(found, list) else [found]
            if not texts or not all(isinstance(text, str) and text for text in texts):
                tally.add("DOC-03", REUSE_NAME, f"the annotation of {paths!r:.60} has no {key}")
                complete = False
        if complete:
            listed = paths if isinstance(paths, list) else [paths]
            patterns += [_translate_reuse(path) for path in listed if isinstance(path, str)]
    for name in papers.tree.files:
        if not _REUSE_EXEMPT.fullmatch(name) and not any(pattern.fullmatch(name) for pattern in patterns):
            tally.add("DOC-03", name, f"no annotation in {REUSE_NAME} covers it")


def _translate_reuse(path: str) -> re.Pattern[str]:
    """`**` is anything, `*` stays within a folder, a backslash takes the next sign as it is."""
    parts = re.split(r"(\\.|\*{2,}|\*)", path[:300])
    if sum(part.startswith("*") for part in parts) > 8:
        return re.compile(r"(?!)")
    meaning = (
        ".*" if part.startswith("**") else "[^/]*" if part == "*" else re.escape(part.removeprefix("\\"))
        for part in parts
    )
    return re.compile("".join(meaning))


def check_schema(papers: Papers, tally: Tally) -> None:
    """DOC-05: the JSON Schema is the one of this version."""
    data = papers.raw(SCHEMA_NAME)
    if data is None:
        return
    try:
        found = parse_json(data)
    except UnreadableError as error:
        tally.add("DOC-05", SCHEMA_NAME, str(error))
        return
    if found != build_json_schema():
        tally.add("DOC-05", SCHEMA_NAME, "it describes other rows than this version of the schema")


def check_release_json(
    papers: Papers,
    counts: Mapping[str, int] | None,
    groups: Mapping[str, int | None],
    digest: str | None,
    tally: Tally,
) -> None:
    """DOC-04: provenance/release.json against the data, the manifest and the evidence; and mirror.json's form.

    Args:
        papers: of the release or mirror.
        counts: radiographs by split, of splits that have any; None: not known.
        groups: groups by split, as far as they were counted.
        digest: of the dataset, see `compute_dataset_digest`; None: not known.
        tally: takes the findings.
    """
    if papers.mirror is not None:
        for key in ("release", "version", "sums_sha256"):
            if not isinstance(papers.mirror.get(key), str):
                tally.add("DOC-04", MIRROR_NAME, f"{key} is missing")
    release = papers.release
    if release is None:
        return
    for fault in _list_release_faults(release):
        tally.add("DOC-04", RELEASE_NAME, fault)
    if counts is not None and release.get("num_samples") != dict(counts):
        text = f"num_samples is {release.get('num_samples')!r:.200}, the data hold {dict(counts)}"
        tally.add("DOC-04", RELEASE_NAME, text)
    stated = release.get("num_groups")
    for split, number in groups.items():
        said = stated.get(split) if isinstance(stated, dict) else None
        if number is not None and said != number:
            tally.add("DOC-04", RELEASE_NAME, f"num_groups is {said!r:.40} of {split}, the data hold {number}")
    if papers.manifest is not None:
        _compare_with_manifest(release, papers.manifest, papers, tally)
    dataset = release.get("dataset")
    if digest is not None and isinstance(dataset, dict) and dataset.get("digest") != digest:
        text = f"dataset.digest is {dataset.get('digest')!r:.80}; the dataset that holds these shards has {digest}"
        tally.add("DOC-04", RELEASE_NAME, text)


def _list_release_faults(release: dict[str, Any]) -> Iterator[str]:
    if release.get("format") != _NUMBER:
        yield f"format is {release.get('format')!r:.40}, 1 is expected"
    for key, kind in _RELEASE_KEYS.items():
        if not isinstance(release.get(key), kind):
            yield f"{key} is missing, or of another kind"
    if not is_date(release.get("date")):
        yield f"date is {release.get('date')!r:.60}, YYYY-MM-DD is expected"
    values = release.get("recipe")
    if not isinstance(values, dict):
        return
    if sha256_json(values) != release.get("recipe_sha256"):
        yield f"recipe_sha256 is {release.get('recipe_sha256')!r:.80}, the recipe gives {sha256_json(values)}"
    try:
        build_recipe(values, ReleaseRecipe, where="recipe")
    except RecipeError as error:
        yield str(error)[:300]
        return
    for key in ("name", "title", "version", "date", "license", "doi", "supersedes"):
        if values.get(key) != release.get(key):
            yield f"{key} is {release.get(key)!r:.80}, the recipe says {values.get(key)!r:.80}"


_RELEASE_KEYS: Final[dict[str, type]] = {
    "name": str, "title": str, "version": str, "license": str, "notice": str, "schema_version": str,
    "num_samples": dict, "num_groups": dict, "dataset": dict, "recipe": dict, "runs": list, "training_data": dict,
    "code": dict, "files": list, "results": list,
}  # fmt: skip


def _compare_with_manifest(release: dict[str, Any], manifest: Manifest, papers: Papers, tally: Tally) -> None:
    names = ("path", "split", "num_rows", "num_bytes", "sha256")
    files = [{name: getattr(shard, name) for name in names} for shard in manifest.shards]
    if release.get("files") != files:
        tally.add("DOC-04", RELEASE_NAME, "files differs from the shards in dataset.json")
    evidence = sorted(papers.results)
    listed = release.get("results")
    paths = (
        [item.get("path") if isinstance(item, dict) else None for item in listed] if isinstance(listed, list) else []
    )
    if paths != evidence:
        text = f"results names {', '.join(map(str, paths))[:200] or 'nothing'}; {EVIDENCE_PREFIX} holds "
        tally.add("DOC-04", RELEASE_NAME, text + (", ".join(evidence)[:200] or "nothing"))
    dataset = release.get("dataset")
    if not isinstance(dataset, dict):
        return
    for name in ("fingerprint", "seed", "source"):
        if dataset.get(name) != getattr(manifest, name):
            tally.add("DOC-04", RELEASE_NAME, f"dataset.{name} is not that of dataset.json")


def compute_dataset_digest(manifest: Manifest) -> str:
    """Digest of the dataset folder that a release was built from: that of its manifest before papers were added.

    Besides its shards, a dataset folder has a README that follows from them, and the tables that its source tells of.
    """
    tables = list_tables(manifest.source)
    kind = str(manifest.source.get("kind", "radiographs"))
    readme = build_readme(manifest.shards, synthetic=True, kind=kind, tables=tuple(tables)).encode()
    files = {README_NAME: sha256_bytes(readme), **{f"{ANNOTATION_FOLDER}/{name}": tables[name] for name in tables}}
    return compute_digest(manifest.model_dump(mode="json") | {"files": files})


def check_zenodo(papers: Papers, tally: Tally) -> None:
    """DOC-04: what a Zenodo deposit of a dataset needs. Source: developers.zenodo.org, Deposit metadata."""
    values = papers.zenodo
    if values is None:
        return
    wanted = {"upload_type": "dataset", "access_right": "open"}
    for key, expected in wanted.items():
        if values.get(key) != expected:
            tally.add("DOC-04", ZENODO_NAME, f"{key} is {values.get(key)!r:.60}, {expected} is expected")
    for key in ("title", "description", "license", "version"):
        if not isinstance(values.get(key), str) or not values[key]:
            tally.add("DOC-04", ZENODO_NAME, f"{key} is missing")
    if not is_date(values.get("publication_date")):
        tally.add("DOC-04", ZENODO_NAME, f"publication_date is {values.get('publication_date')!r:.60}")
    creators = values.get("creators")
    if (
        not isinstance(creators, list)
        or not creators
        or not all(isinstance(item, dict) and isinstance(item.get("name"), str) and item["name"] for item in creators)
    ):
        tally.add("DOC-04", ZENODO_NAME, "creators names nobody")
