"""The README of a dataset folder: the YAML that makes `load_dataset(FOLDER)` right, and a few lines for people."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from cspine_bench.dataset.manifest import ANNOTATION_FOLDER, ShardEntry
from cspine_bench.schema import SPLITS, build_card_features


def build_readme(shards: Sequence[ShardEntry], *, synthetic: bool, kind: str, tables: Sequence[str] = ()) -> str:
    """README.md of a finished dataset.

    Args:
        shards: all of them. A split without a row is left out, because `datasets` refuses to load one.
        synthetic: no patient is depicted.
        kind: `Record.source_kind`, for the title.
        tables: files of `ANNOTATION_FOLDER` by their names there; each is a configuration beside the default one.
    """
    splits = _splits_with_rows(shards)
    metadata = _build_metadata(shards, splits)
    if tables:
        metadata["configs"] += [
            {"config_name": Path(name).stem, "data_files": f"{ANNOTATION_FOLDER}/{name}"} for name in tables
        ]
        # Of several configurations, each says which one it is.
        metadata["dataset_info"] = [metadata["dataset_info"]]
    header = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True, width=120)
    counts = "\n".join(
        f"| {split} | {sum(shard.num_rows for shard in shards if shard.split == split)} |" for split in splits
    )
    if synthetic:
        notice = "These images are **synthetic, not for diagnosis**: no patient is depicted."
    else:
        notice = "These are real films: keep to the terms under which you received them. **Not for diagnosis.**"
    loads = "".join(
        f'{Path(name).stem} = load_dataset("PATH/TO/THIS/FOLDER", "{Path(name).stem}")\n' for name in tables
    )
    return f"""---
{header}---

# Cervical-spine radiographs ({kind})

Lateral cervical-spine radiographs, one row each: pixels, vertebra mask, 23 landmarks, labels, and where each came from.
{notice}

| split | radiographs |
| --- | --- |
{counts}

Load it:

```python
from datasets import load_dataset

dataset = load_dataset("PATH/TO/THIS/FOLDER")
{loads}```

Check it: `cspine-bench dataset verify PATH/TO/THIS/FOLDER`. `dataset.json` lists every file with its hash.
"""


def describe_readme_fault(text: str, shards: Sequence[ShardEntry]) -> str | None:
    """What in a README's YAML would make `load_dataset` read the folder differently; None: nothing.

    Files by split, features and numbers of rows of the configuration "default" are compared; anything else may be
    added, as a release's card does: then `dataset_info` is a list with one entry for each configuration.

    Args:
        text: the whole README.
        shards: of the manifest.
    """
    try:
        found = yaml.safe_load(text.split("---\n")[1])
        found_info, found_configs = found["dataset_info"], found["configs"]
        if isinstance(found_info, list):
            [found_info] = [info for info in found_info if info["config_name"] == "default"]
            found_configs = [config for config in found_configs if config["config_name"] == "default"]
        found_counts = {entry["name"]: entry["num_examples"] for entry in found_info["splits"]}
        found_parts = {"configs": found_configs, "features": found_info["features"], "splits": found_counts}
    except (yaml.YAMLError, IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        return f"its YAML is not readable or lacks a part ({type(error).__name__}: {' '.join(str(error).split()):.100})"
    splits = _splits_with_rows(shards)
    expected = _build_metadata(shards, splits)
    counts = {entry["name"]: entry["num_examples"] for entry in expected["dataset_info"]["splits"]}
    parts = {"configs": expected["configs"], "features": expected["dataset_info"]["features"], "splits": counts}
    wrong = [name for name, value in parts.items() if found_parts[name] != value]
    return f"its YAML has other {', '.join(wrong)} than the shards" if wrong else None


def _splits_with_rows(shards: Sequence[ShardEntry]) -> list[str]:
    return [split for split in SPLITS if any(shard.split == split and shard.num_rows for shard in shards)]


def _build_metadata(shards: Sequence[ShardEntry], splits: Sequence[str]) -> dict[str, Any]:
    sizes = [
        {
            "name": split,
            "num_bytes": sum(shard.arrow_bytes for shard in shards if shard.split == split),
            "num_examples": sum(shard.num_rows for shard in shards if shard.split == split),
        }
        for split in splits
    ]
    data_files = [{"split": split, "path": f"data/{split}-*.parquet"} for split in splits]
    return {
        "configs": [{"config_name": "default", "default": True, "data_files": data_files}],
        "dataset_info": {
            "config_name": "default",
            "features": build_card_features(),
            "splits": sizes,
            "download_size": sum(shard.num_bytes for shard in shards),
            "dataset_size": sum(shard.arrow_bytes for shard in shards),
        },
    }
