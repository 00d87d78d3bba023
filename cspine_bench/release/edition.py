"""One edition of a release: everything that its papers are written from, gathered once."""

from dataclasses import dataclass

from cspine_bench.dataset.manifest import Manifest
from cspine_bench.release.facts import ReleaseFacts
from cspine_bench.release.recipe import ReleaseRecipe
from cspine_bench.results import Result


@dataclass(frozen=True)
class Edition:
    """What a paper may say.

    Attributes:
        recipe: the publisher's decisions, resolved: `name`, `title`, `date` and `license` are filled in. Others may
            still be None; a paper then says that it is not stated.
        manifest: of the dataset folder that is released: shards, hashes, source.
        facts: counted from its rows.
        results: evaluation results by file name (`evaluation/NAME.json`), sorted; empty: nothing was measured.
        mirrored: whether a WebDataset mirror is built beside it.
        metadata_bytes: size of each file `metadata/SPLIT.parquet`, by split.
        metadata_arrow_bytes: the same in memory, which dataset cards call num_bytes.
        samples: names of the preview images, `samples/ID.png`.
        figures: names of the drawn figures, `figures/NAME.png`.
        commit: of this package's code; None for an installed wheel.
        package_version: of this package.
    """

    recipe: ReleaseRecipe
    manifest: Manifest
    facts: ReleaseFacts
    results: dict[str, Result]
    mirrored: bool
    metadata_bytes: dict[str, int]
    metadata_arrow_bytes: dict[str, int]
    samples: tuple[str, ...]
    figures: tuple[str, ...]
    commit: str | None
    package_version: str
