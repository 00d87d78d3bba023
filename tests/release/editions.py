"""Editions of small datasets, for tests of papers: what a build would gather, gathered from a folder."""

import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from cspine_bench.dataset.manifest import Manifest, load_manifest
from cspine_bench.release.edition import Edition
from cspine_bench.release.facts import ROW_COLUMNS, count_facts
from cspine_bench.release.recipe import Creator, ReleaseRecipe, TrainingData
from cspine_bench.release.tables import write_table
from cspine_bench.results import EncoderUsed, Figure, Input, Interval, Result

FULL_RECIPE: dict[str, Any] = {
    "name": "cspine-synth",
    "title": "CSpine-Synth: made-up radiographs | a test",
    "description": "Lateral radiographs that nobody took.",
    "version": "1.2.0",
    "license": "CC-BY-4.0",
    "creators": (
        Creator(name="Doe", given_names="Jane", orcid="0000-0002-1825-0097", affiliation="A & B University"),
        Creator(name="Spine Group"),
    ),
    "contact": "spine@example.org",
    "hub_id": "spine-group/cspine-synth",
    "doi": "10.5281/zenodo.1234567",
    "url": "https://example.org/cspine-synth",
    "code_url": "https://example.org/code",
    "training_data": (
        TrainingData(
            name="CSXA",
            version="V3.0",
            url="https://example.org/csxa",
            doi="10.57760/sciencedb.15391",
            terms="Open access; cite the article.",
            patients=True,
        ),
        TrainingData(name="Phantoms", license="CC-BY-4.0", patients=False),
    ),
    "purpose": "To test landmark detectors.",
    "funding": "Grant 1.",
    "ethics": "No approval was needed.",
    "changes": ("More radiographs.", "Masks of C2."),
    "supersedes": "1.1.0",
}


def make_result(digest: str, *, measure: str = "memorization", figures: tuple[Figure, ...] | None = None) -> Result:
    """A result with a whole figure, one without interval, and one of a subgroup."""
    counts = {"train": 400, "synthetic": 60}
    default = (
        Figure(
            name="copy_rate", value=0.0, unit="share", direction="lower",
            interval=Interval(low=0.0, high=0.0123, method="Clopper-Pearson"),
            n_used={"train": 400, "synthetic": 60}, n_available={"train": 480, "synthetic": 64},
            note="Upper end divided | by recall.",
        ),
        Figure(
            name="copy_rate", value=0.01, unit="share", direction="lower",
            interval=Interval(low=0.0, high=0.1, level=0.9, method="Wilson"),
            n_used=counts, n_available=counts, subgroup={"sex": "female"},
        ),
        Figure(name="median_distance", value=1.5, direction="none", interval=None, n_used=counts,
               n_available=counts),
    )  # fmt: skip
    return Result(
        measure=measure,
        measure_version="1.0",
        inputs=(
            Input(role="train", name="films", digest="1" * 64, num_samples=480),
            Input(role="synthetic", name="samples", digest=digest, num_samples=64),
        ),
        encoder=EncoderUsed(name="efficientnet-lite0", weights_sha256="2" * 64, resize="bicubic to 224", bit_depth=8),
        figures=default if figures is None else figures,
        verdict="No copy was found among 60 samples.",
        seed=0,
        package_version="0.1.0",
    )


def make_edition(folder: Path, scratch: Path, *, results: dict[str, Result] | None = None, **settings: Any) -> Edition:
    """The edition of a dataset folder; `settings` are of its recipe."""
    manifest: Manifest = load_manifest(folder)
    shards = [folder / shard.path for shard in manifest.shards if shard.num_rows]
    defaults = {"name": "toy", "title": "Toy radiographs", "license": "CC-BY-4.0", "date": datetime.date(2026, 1, 2)}
    tables = {}
    scratch.mkdir(exist_ok=True)
    for split in dict.fromkeys(shard.split for shard in manifest.shards if shard.num_rows):
        paths = [folder / shard.path for shard in manifest.shards_of(split) if shard.num_rows]
        tables[split] = write_table(paths, scratch / f"{split}.parquet", scratch=scratch)
    return Edition(
        recipe=ReleaseRecipe(**(defaults | settings)),
        manifest=manifest,
        facts=count_facts(pq.read_table(path, columns=list(ROW_COLUMNS)) for path in shards),
        results=results or {},
        mirrored=True,
        metadata_bytes={split: table.num_bytes for split, table in tables.items()},
        metadata_arrow_bytes={split: table.arrow_bytes for split, table in tables.items()},
        samples=(),
        figures=("class_balance", "landmark_spread", "alignment", "age_and_sex", "samples"),
        commit="a" * 40,
        package_version="0.1.0",
    )
