"""The YAML of dataset cards: what `load_dataset` follows, and what the Hub searches by."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cspine_bench.dataset.manifest import Manifest
from cspine_bench.release.edition import Edition
from cspine_bench.release.facts import ReleaseFacts
from cspine_bench.release.layout import metadata_name
from cspine_bench.release.licence_ids import hub_licence_fields
from cspine_bench.release.papers.templates import inline
from cspine_bench.release.papers.yaml_text import dump_yaml
from cspine_bench.schema import COLUMNS, build_card_features

_PIXEL_COLUMNS: Final = tuple(name for name, column in COLUMNS.items() if column.dtype == "image")
_SIZES: Final = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)
_TAGS: Final = ("synthetic", "medical", "radiology", "x-ray", "cervical-spine", "image")


def render_header(edition: Edition) -> str:
    """YAML of the Parquet repository's card, without the lines of dashes."""
    manifest = edition.manifest
    splits = list(edition.facts.num_samples)
    sizes = {split: sum(shard.arrow_bytes for shard in manifest.shards if shard.split == split) for split in splits}
    features = build_card_features()
    values = {
        **_describe(edition, [*_TAGS, "croissant"]),
        "configs": [
            _config("default", {split: f"data/{split}-*.parquet" for split in splits}, default=True),
            _config("metadata", {split: metadata_name(split) for split in splits}),
        ],
        "dataset_info": [
            _info("default", features, edition.facts, sizes, count_data_bytes(manifest)),
            _info(
                "metadata",
                [feature for feature in features if feature["name"] not in _PIXEL_COLUMNS],
                edition.facts,
                edition.metadata_arrow_bytes,
                sum(edition.metadata_bytes.values()),
            ),
        ],
    }
    return dump_yaml(values)


def render_mirror_header(edition: Edition, *, shard_bytes: Mapping[str, int]) -> str:
    """YAML of the mirror's card, without the lines of dashes.

    Args:
        edition: of the release.
        shard_bytes: size of each tar by its path, `data/SPLIT-NNNNN-of-NNNNN.tar`.
    """
    splits = list(edition.facts.num_samples)
    # A tar is read as it is: its size is the best there is for the size in memory.
    sizes = {
        split: sum(size for path, size in shard_bytes.items() if path.startswith(f"data/{split}-")) for split in splits
    }
    values = {
        **_describe(edition, [*_TAGS, "webdataset"]),
        "configs": [_config("default", {split: f"data/{split}-*.tar" for split in splits}, default=True)],
        "dataset_info": _info("default", build_mirror_features(), edition.facts, sizes, sum(shard_bytes.values())),
    }
    return dump_yaml(values)


def build_mirror_features() -> list[dict[str, Any]]:
    """The `features:` of the mirror: both images, and every key of the JSON as one struct; class labels are text.

    A key that is left out here is dropped on loading, and a whole number in the first samples would make its column one
    of whole numbers: so all are declared. `__key__` and `__url__` are what the reader itself adds: without them
    `datasets` 3.6 to 4.x refuse to stream.
    """
    struct = [
        {"name": name, "dtype": "string"} if column.dtype == "class_label" else feature
        for (name, column), feature in zip(COLUMNS.items(), build_card_features(), strict=True)
        if name not in _PIXEL_COLUMNS
    ]
    # `render_json` sorts its keys, and some versions of `datasets` go by the order of a struct.
    struct.sort(key=lambda feature: str(feature["name"]))
    return [
        {"name": "__key__", "dtype": "string"},
        {"name": "__url__", "dtype": "string"},
        {"name": "png", "dtype": "image"},
        {"name": "mask.png", "dtype": "image"},
        {"name": "json", "struct": struct},
    ]


def count_data_bytes(manifest: Manifest) -> int:
    """Size of all Parquet shards."""
    return sum(shard.num_bytes for shard in manifest.shards)


def find_size_category(num_samples: int) -> str:
    """What the Hub calls datasets of this size."""
    return next((name for most, name in _SIZES if num_samples < most), "100M<n<1B")


def list_tasks(facts: ReleaseFacts) -> list[str]:
    """Tasks of the Hub that the labels are fit for."""
    tasks = []
    if any(facts.num_masks.values()):
        tasks.append("image-segmentation")
    if facts.num_points:
        tasks.append("keypoint-detection")
    if any(value is not None for name in ("curvature", "disease", "sex") for value in facts.count(name)):
        tasks.append("image-classification")
    return tasks or ["unconditional-image-generation"]


def _describe(edition: Edition, tags: Sequence[str]) -> dict[str, Any]:
    recipe, facts = edition.recipe, edition.facts
    labelled = {name for name in facts.count("label_source") if name is not None}
    creators = [
        *(["expert-generated"] if "reader" in labelled else []),
        *(["machine-generated"] if labelled - {"reader"} else []),
    ]
    return {
        "pretty_name": inline(recipe.title or ""),
        **hub_licence_fields(recipe.license or ""),
        "language": ["en"],
        "annotations_creators": creators or ["no-annotation"],
        "size_categories": [find_size_category(facts.total)],
        "source_datasets": ["original"],
        "task_categories": list_tasks(facts),
        "tags": list(tags),
    }


def _config(name: str, paths: Mapping[str, str], *, default: bool = False) -> dict[str, Any]:
    files = [{"split": split, "path": path} for split, path in paths.items()]
    return {"config_name": name, **({"default": True} if default else {}), "data_files": files}


def _info(
    name: str, features: list[dict[str, Any]], facts: ReleaseFacts, sizes: Mapping[str, int], download_size: int
) -> dict[str, Any]:
    splits = [
        {"name": split, "num_bytes": sizes[split], "num_examples": count} for split, count in facts.num_samples.items()
    ]
    return {
        "config_name": name,
        "features": features,
        "splits": splits,
        "download_size": download_size,
        "dataset_size": sum(sizes[split] for split in facts.num_samples),
    }
