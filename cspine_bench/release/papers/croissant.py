"""croissant.json: the release as Croissant 1.1 with the Responsible-AI vocabulary 1.0, written as JSON-LD by itself.

mlcroissant drops provenance when it writes, so that it serves as the reader only. What it loads, and this file holds: a
repository, its shards with their hashes, one file set for each split, and records of all splits together.
Source: Croissant Format Specification 1.1; Croissant RAI Specification 1.0.
"""

from typing import Any, Final

from cspine_bench.anatomy.landmarks import NUM_LANDMARKS
from cspine_bench.provenance import sha256_bytes
from cspine_bench.release.edition import Edition
from cspine_bench.release.layout import CARD_NAME, LICENCE_NAME
from cspine_bench.release.licence_ids import CUSTOM_PREFIX, licence_url
from cspine_bench.release.papers.citation import build_bibtex
from cspine_bench.release.papers.responsible import build_responsible_fields
from cspine_bench.release.papers.statements import build_summary, find_url, hub_page, name_creator
from cspine_bench.release.recipe import ANONYMOUS, Creator, ReleaseRecipe
from cspine_bench.schema import COLUMNS, Column, Record

REPOSITORY_ID: Final = "repo"
"""What `mlcroissant.Dataset(path, mapping={"repo": folder})` maps to a local copy."""
RECORD_SET: Final = "default"
_ALL_SHARDS: Final = "shards"
_PARQUET: Final = "application/x-parquet"
_SPLIT_TERMS: Final = {"train": "cr:TrainingSplit", "validation": "cr:ValidationSplit", "test": "cr:TestSplit"}
_TYPES: Final = {
    "string": "sc:Text",
    "bool": "sc:Boolean",
    "int8": "cr:Int8",
    "int32": "cr:Int32",
    "int64": "cr:Int64",
    "float32": "cr:Float32",
    "float64": "cr:Float64",
    "points": "cr:Float32",
    "floats": "cr:Float64",
    "class_label": "sc:Integer",
    "image": "sc:ImageObject",
}
"""Croissant type of each kind of column; of an array, of its elements."""
_SHAPES: Final = {"points": f"{NUM_LANDMARKS},2", "floats": "6"}
_LABELS: Final = frozenset(
    ("mask", "landmarks_xy", "curvature", "cobb_c2_c7_deg", "sva_mm", "cci_percent", "disease", "sex", "age", "facing")
)
_CONTEXT: Final = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "annotation": "cr:annotation",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "excludes": "cr:excludes",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "readLines": "cr:readLines",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "sdVersion": "cr:sdVersion",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
    "unArchive": "cr:unArchive",
    "value": "cr:value",
}


def build_croissant(edition: Edition) -> dict[str, Any]:
    """The Croissant description of a release.

    A release that is not published yet has no page: `url` is then the card beside this file, and the repository is the
    folder that this file lies in. Both hold wherever the folder is put, and nothing is invented.
    """
    recipe = edition.recipe
    values: dict[str, Any] = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": recipe.name,
        "alternateName": recipe.title,
        "description": build_summary(edition),
        "version": recipe.version,
        "datePublished": str(recipe.date),
        "license": _build_licence(recipe.license or ""),
        "url": find_url(recipe) or CARD_NAME,
        "creator": [_build_creator(creator) for creator in recipe.creators]
        or [{"@type": "sc:Organization", "name": ANONYMOUS}],
        "keywords": list(recipe.keywords),
        "inLanguage": ["en"],
        "citeAs": build_bibtex(edition),
        "isLiveDataset": False,
        **build_responsible_fields(edition),
        "distribution": _list_files(edition),
        "recordSet": [_build_splits(edition), *_list_enumerations(), _build_records(edition)],
    }
    if recipe.doi is not None:
        values["identifier"] = f"https://doi.org/{recipe.doi}"
    if recipe.hub_id is not None and values["url"] != hub_page(recipe.hub_id):
        values["sameAs"] = [hub_page(recipe.hub_id)]
    return values


def _build_licence(spdx: str) -> str | dict[str, str]:
    if spdx.startswith(CUSTOM_PREFIX):
        return {"@type": "sc:CreativeWork", "name": spdx, "url": LICENCE_NAME}
    return licence_url(spdx)


def _build_creator(creator: Creator) -> dict[str, Any]:
    kind = "sc:Organization" if creator.given_names is None else "sc:Person"
    values: dict[str, Any] = {"@type": kind, "name": name_creator(creator)}
    if creator.given_names is not None:
        values |= {"givenName": creator.given_names, "familyName": creator.name}
    if creator.orcid is not None:
        values["url"] = f"https://orcid.org/{creator.orcid}"
    if creator.affiliation is not None:
        values["affiliation"] = {"@type": "sc:Organization", "name": creator.affiliation}
    return values


def _list_files(edition: Edition) -> list[dict[str, Any]]:
    manifest = edition.manifest
    inside = {"@id": REPOSITORY_ID}
    listed = "".join(f"{shard.sha256}  {shard.path}\n" for shard in sorted(manifest.shards, key=lambda item: item.path))
    repository = {
        "@type": "cr:FileObject",
        "@id": REPOSITORY_ID,
        "name": REPOSITORY_ID,
        "description": f"The repository; the tag v{edition.recipe.version} holds these files. A folder has no hash of "
        "its own: sha256 is that of the output of `LC_ALL=C sha256sum data/*.parquet`, run in it.",
        "contentUrl": _find_repository(edition.recipe),
        "encodingFormat": "git+https",
        "sha256": sha256_bytes(listed.encode()),
    }
    shards = [
        {
            "@type": "cr:FileObject",
            "@id": shard.path,
            "name": shard.path,
            "contentUrl": shard.path,
            "contentSize": f"{shard.num_bytes} B",
            "containedIn": inside,
            "encodingFormat": _PARQUET,
            "sha256": shard.sha256,
        }
        for shard in manifest.shards
    ]
    sets = [
        _build_file_set(f"{split}-shards", f"Shards of the split {split}.", [split])
        for split in edition.facts.num_samples
    ]
    all_shards = _build_file_set(_ALL_SHARDS, "Shards of all splits.", list(edition.facts.num_samples))
    return [repository, *shards, *sets, all_shards]


def _find_repository(recipe: ReleaseRecipe) -> str:
    # Without a revision: mlcroissant fetches one as a branch, which git refuses for an annotated tag.
    return "." if recipe.hub_id is None else hub_page(recipe.hub_id)


def _build_file_set(name: str, description: str, splits: list[str]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "description": description,
        "containedIn": {"@id": REPOSITORY_ID},
        "encodingFormat": _PARQUET,
        "includes": [f"data/{split}-*.parquet" for split in splits],
    }


def _build_splits(edition: Edition) -> dict[str, Any]:
    # mlcroissant refuses the field `url` that the specification shows for the meaning of a split.
    splits = edition.facts.num_samples
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "; ".join(f"{split} is {_SPLIT_TERMS[split]}, {splits[split]} radiographs" for split in splits),
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [{"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"}],
        "data": [{"splits/name": split} for split in splits],
    }


def _list_enumerations() -> list[dict[str, Any]]:
    return [
        {
            "@type": "cr:RecordSet",
            "@id": f"{name}_labels",
            "name": f"{name}_labels",
            "description": f"What the numbers in the column {name} mean.",
            "dataType": "sc:Enumeration",
            "key": {"@id": f"{name}_labels/value"},
            "field": [
                {"@type": "cr:Field", "@id": f"{name}_labels/{field}", "name": field, "dataType": kind}
                for field, kind in (("value", "sc:Integer"), ("name", "sc:Text"))
            ],
            "data": [
                {f"{name}_labels/value": number, f"{name}_labels/name": label}
                for number, label in enumerate(column.names)
            ],
        }
        for name, column in COLUMNS.items()
        if column.dtype == "class_label"
    ]


def _build_records(edition: Edition) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": RECORD_SET,
        "name": RECORD_SET,
        "description": f"One record for each of the {edition.facts.total} radiographs.",
        "key": {"@id": f"{RECORD_SET}/sample_id"},
        "field": [_build_field(name, column) for name, column in COLUMNS.items()],
    }


def _build_field(name: str, column: Column) -> dict[str, Any]:
    kind = [_TYPES[column.dtype]]
    if name == "mask":
        kind.insert(0, "cr:SegmentationMask")
    if name in _LABELS:
        kind.append("cr:Label")
    values: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{RECORD_SET}/{name}",
        "name": name,
        "description": _describe(name, column),
        "dataType": kind[0] if len(kind) == 1 else kind,
        "source": {"fileSet": {"@id": _ALL_SHARDS}, "extract": {"column": name}},
    }
    if column.dtype == "image":
        values["source"]["transform"] = {"jsonPath": "bytes"}
    if column.dtype in _SHAPES:
        values |= {"isArray": True, "arrayShape": _SHAPES[column.dtype]}
    if name == "split":
        # The split as the path names it, so that a filter on it fetches the shards of that split alone. What surrounds
        # it is optional, because mlcroissant applies the pattern to its own outcome once more.
        values["source"]["extract"] = {"fileProperty": "fullpath"}
        values["source"]["transform"] = {"regex": "^(?:data/)?(train|validation|test)(?:-.*parquet)?$"}
        values["references"] = {"field": {"@id": "splits/name"}}
    return values


def _describe(name: str, column: Column) -> str:
    text = Record.model_fields[name].description or ""
    if column.dtype == "class_label":
        meanings = ", ".join(f"{number} {label}" for number, label in enumerate(column.names))
        text = f"{text} {meanings}; see {name}_labels. Null: not known.".strip()
    return text or name.replace("_", " ")
