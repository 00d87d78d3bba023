"""Where everything lies in a release. Builder and validator agree on this module and on nothing else.

RELEASE/
  README.md                             the card; its YAML is what `load_dataset` follows
  dataset.json                          manifest of the dataset folder; `files` lists every paper but the seals
  data/SPLIT-NNNNN-of-NNNNN.parquet     the dataset's own shards, byte for byte
  metadata/SPLIT.parquet                the same rows without pixels (configuration "metadata")
  schema/record-VERSION.schema.json     JSON Schema of a row
  provenance/release.json               recipe, runs, training data, files
  evaluation/NAME.json                  results: the evidence
  figures/NAME.png  samples/ID.png      for the card
  croissant.json CITATION.cff zenodo.json CHANGELOG.md DATASHEET.md LICENSE LICENSES/ID.txt REUSE.toml
  SHA256SUMS                            every file but the seals, in the format of coreutils, sorted by path
  provenance/release.intoto.jsonl       signature over SHA256SUMS (only if signed)
  provenance/release.pub                public key that belongs to it (only if signed)

RELEASE-wds/                            the WebDataset mirror: the same samples, splits and shard count
  README.md data/SPLIT-NNNNN-of-NNNNN.tar schema/ provenance/ CITATION.cff CHANGELOG.md LICENSE LICENSES/ REUSE.toml
  provenance/mirror.json                which release this mirrors
  SHA256SUMS and the two signature files, as above
"""

import re
from pathlib import Path
from typing import Final

from cspine_bench.dataset.manifest import (
    ATTESTATION_NAME,
    MANIFEST_NAME,
    PUBLIC_KEY_NAME,
    README_NAME,
    SEALS,
    SUMS_NAME,
)
from cspine_bench.schema import SCHEMA_VERSION

__all__ = ["ATTESTATION_NAME", "MANIFEST_NAME", "PUBLIC_KEY_NAME", "SEALS", "SUMS_NAME"]

CARD_NAME: Final = README_NAME
RELEASE_NAME: Final = "provenance/release.json"
MIRROR_NAME: Final = "provenance/mirror.json"
SCHEMA_NAME: Final = f"schema/record-{SCHEMA_VERSION}.schema.json"
CROISSANT_NAME: Final = "croissant.json"
CITATION_NAME: Final = "CITATION.cff"
ZENODO_NAME: Final = "zenodo.json"
CHANGELOG_NAME: Final = "CHANGELOG.md"
DATASHEET_NAME: Final = "DATASHEET.md"
LICENCE_NAME: Final = "LICENSE"
REUSE_NAME: Final = "REUSE.toml"
MIRROR_SUFFIX: Final = "-wds"

PAPERS: Final = (
    CARD_NAME, SCHEMA_NAME, RELEASE_NAME, CITATION_NAME, CHANGELOG_NAME, LICENCE_NAME, REUSE_NAME,
)  # fmt: skip
"""In both repositories, besides LICENSES/ID.txt and the seals."""
RELEASE_PAPERS: Final = (*PAPERS, MANIFEST_NAME, CROISSANT_NAME, ZENODO_NAME, DATASHEET_NAME)
"""In the Parquet repository."""
MIRROR_PAPERS: Final = (*PAPERS, MIRROR_NAME)
"""In the WebDataset repository."""

SHARD_PATTERN: Final = re.compile(r"data/(train|validation|test)-(\d{5})-of-(\d{5})\.(parquet|tar)")
KEY_PATTERN: Final = re.compile(r"[a-z]{2,8}[0-9]{7,12}")

MAX_SHARD_BYTES: Final = 500_000_000
MAX_FILE_BYTES: Final = 200_000_000_000
MAX_FOLDER_ENTRIES: Final = 10_000
MAX_GROUP_BYTES: Final = 100_000_000
VIEWER_GROUP_BYTES: Final = 300_000_000
"""Limits of the Hub and of its viewer."""

NOTICE_TRAINED: Final = "AI-generated; no patient is depicted; not for diagnosis."
NOTICE_PROCEDURAL: Final = "Computer-generated phantoms; no patient is depicted; not for diagnosis."
"""One of these stands in the first 500 characters of a card, after its YAML."""


def mirror_of(release: Path) -> Path:
    """Where the WebDataset mirror of a release lies."""
    return release.with_name(release.name + MIRROR_SUFFIX)


def metadata_name(split: str) -> str:
    """Table of a split without its pixels."""
    return f"metadata/{split}.parquet"
