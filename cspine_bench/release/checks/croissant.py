"""Rule DOC-02: croissant.json has what Croissant 1.1 and its Responsible-AI vocabulary ask for, and points to what is
there. Readers of the format accept files that lack nearly all of it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from cspine_bench.release.checks.documents import is_date
from cspine_bench.release.checks.layout import translate_glob
from cspine_bench.release.checks.reading import Papers
from cspine_bench.release.layout import CROISSANT_NAME
from cspine_bench.release.rules import Tally
from cspine_bench.schema import COLUMNS

_REQUIRED: Final = ("name", "description", "license", "url", "creator", "version", "distribution", "recordSet")
_RESPONSIBLE: Final = (
    "rai:dataLimitations", "rai:dataBiases", "rai:personalSensitiveInformation", "rai:dataUseCases",
    "rai:dataSocialImpact", "prov:wasDerivedFrom", "prov:wasGeneratedBy",
)  # fmt: skip
"""The least that the evaluations-and-datasets track of NeurIPS 2026 asks for, besides `rai:hasSyntheticData`."""
_SPECIFICATION: Final = "http://mlcommons.org/croissant/1.1"


def check_croissant(papers: Papers, hashes: Mapping[str, str] | None, tally: Tally) -> None:
    """Check croissant.json.

    Args:
        papers: of the release.
        hashes: what the SHA-256 of each file should be, by path; None: not known.
        tally: takes the findings.
    """
    if papers.croissant is None:
        return
    for fault in _list_faults(papers.croissant, papers, hashes):
        tally.add("DOC-02", CROISSANT_NAME, fault)


def _list_faults(values: dict[str, Any], papers: Papers, hashes: Mapping[str, str] | None) -> Iterator[str]:
    if not isinstance(values.get("@context"), dict):
        yield "@context is missing"
    if values.get("@type") not in ("sc:Dataset", "Dataset", "https://schema.org/Dataset"):
        yield f"@type is {values.get('@type')!r:.60}, sc:Dataset is expected"
    conforms = values.get("conformsTo", values.get("dct:conformsTo"))
    if _SPECIFICATION not in (conforms if isinstance(conforms, list) else [conforms]):
        yield f"conformsTo does not name {_SPECIFICATION}"
    if missing := [key for key in (*_REQUIRED, *_RESPONSIBLE) if not values.get(key)]:
        yield f"fields that are missing or empty: {', '.join(missing)}"
    if values.get("rai:hasSyntheticData") is not True:
        yield "rai:hasSyntheticData is not true"
    if not is_date(values.get("datePublished")):
        yield f"datePublished is {values.get('datePublished')!r:.60}, YYYY-MM-DD is expected"
    yield from _list_file_faults(_listed(values.get("distribution")), papers, hashes)
    yield from _list_record_faults(values)


def _listed(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _list_file_faults(entries: list[dict[str, Any]], papers: Papers, hashes: Mapping[str, str] | None) -> Iterator[str]:
    described = set()
    for entry in entries:
        name, url = entry.get("@id"), entry.get("contentUrl")
        if entry.get("@type") == "cr:FileSet":
            includes = entry.get("includes")
            for pattern in includes if isinstance(includes, list) else [includes]:
                if not any(translate_glob(str(pattern)).fullmatch(file) for file in papers.tree.files):
                    yield f"file set {name!r:.60} includes {pattern!r:.100}, which matches no file"
        elif entry.get("encodingFormat") != "git+https":
            if not isinstance(url, str) or url not in papers.tree.files:
                yield f"{name!r:.100} points to {url!r:.100}, which is not there"
            elif hashes is not None and url in hashes and entry.get("sha256") != hashes[url]:
                yield f"{url} has SHA-256 {entry.get('sha256')!r:.80} here, {hashes[url]} in SHA256SUMS"
            described.add(url)
    shards = papers.tree.shards(papers.kind)
    if missing := [shard for shard in shards if shard not in described]:
        yield f"{len(missing)} shards are not described, the first is {missing[0]}"


def _list_record_faults(values: dict[str, Any]) -> Iterator[str]:
    known = {item.get("@id") for item in _listed(values.get("distribution")) if isinstance(item.get("@id"), str)}
    sets = _listed(values.get("recordSet"))
    columns = set()
    for record_set in sets:
        for item in _listed(record_set.get("field")):
            source = item.get("source")
            if not isinstance(source, dict):
                continue
            origin = source.get("fileSet") or source.get("fileObject")
            target = origin.get("@id") if isinstance(origin, dict) else origin
            if not isinstance(target, str) or target not in known:
                yield f"field {item.get('@id')!r:.80} comes from {target!r:.80}, which is not described"
            columns.add(str(item.get("name")))
    if missing := [name for name in COLUMNS if name not in columns]:
        yield f"no field describes the columns {', '.join(missing)[:200]}"
