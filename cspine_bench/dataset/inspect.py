"""Facts about a dataset folder, without decoding a pixel."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from cspine_bench.anatomy.landmarks import NUM_LANDMARKS
from cspine_bench.dataset.manifest import RejectedSample
from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.source import UNKNOWN_STRATUM
from cspine_bench.dataset.splits import age_band, tabulate_strata
from cspine_bench.schema import COLUMNS, SPLITS, Split

_LABEL_FIELDS: Final = (
    "mask", "pixel_spacing_mm", "facing", "curvature", "cobb_c2_c7_deg", "sva_mm", "cci_percent", "disease", "sex",
    "age",
)  # fmt: skip
_GROUPED: Final = ("source_kind", "label_source", "artefact", "overlays_found", "overlays_action")


class DatasetFacts(BaseModel):
    """What a dataset holds.

    Args:
        name: of the folder.
        fingerprint: of the plan it was written to.
        manifest_digest: of the manifest; names this dataset in results.
        num_samples: radiographs in each split.
        num_groups: patients or anatomies in each split.
        num_bytes: of all Parquet files.
        num_shards: Parquet files.
        sizes: radiographs by "width x height x bits".
        pixel_spacing_mm: least, median and greatest; None where none is known.
        labelled: radiographs with each label; `landmarks_xy` counts those with all 23 points.
        points_labelled: landmarks that are labelled, of all 23 x radiographs.
        values: radiographs by value of each descriptive field.
        strata: radiographs by stratum, value and split.
        rejected: samples that were skipped, with the reason.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    fingerprint: str
    manifest_digest: str
    num_samples: dict[Split, int]
    num_groups: dict[Split, int]
    num_bytes: int
    num_shards: int
    sizes: dict[str, int]
    pixel_spacing_mm: tuple[float, float, float] | None
    labelled: dict[str, int]
    points_labelled: int
    values: dict[str, dict[str, int]]
    strata: dict[str, dict[str, dict[str, int]]]
    rejected: tuple[RejectedSample, ...]


def inspect_dataset(path: str | Path) -> DatasetFacts:
    """Gather the facts about a finished dataset.

    Args:
        path: a folder, or `owner/name` on the Hub.

    Raises:
        DataError: not a finished dataset, or a shard is unreadable.
    """
    folder = open_dataset(path)
    manifest = folder.manifest
    # The mask's hash stands for the mask: its pixels need not be read to know that there is one.
    fields = ["split", "group_id", "width", "height", "bit_depth", "landmarks_xy", "mask_sha256"]
    fields += [name for name in (*_LABEL_FIELDS, *_GROUPED) if name != "mask"]
    table = folder.read_table(fields)
    points = table["landmarks_xy"].combine_chunks().flatten().flatten().to_numpy(zero_copy_only=False)
    labelled_points = ~np.isnan(points.reshape(-1, NUM_LANDMARKS, 2)[..., 0])
    labelled = {
        name: len(table) - table["mask_sha256" if name == "mask" else name].null_count for name in _LABEL_FIELDS
    }
    labelled["landmarks_xy"] = int(labelled_points.all(axis=1).sum())
    sizes = zip(*(table[name].to_pylist() for name in ("width", "height", "bit_depth")), strict=True)
    return DatasetFacts(
        name=folder.path.resolve().name,
        fingerprint=manifest.fingerprint,
        manifest_digest=manifest.digest,
        num_samples={split: manifest.num_samples[split] for split in SPLITS},
        num_groups=_count_groups(table),
        num_bytes=sum(shard.num_bytes for shard in manifest.shards),
        num_shards=len(manifest.shards),
        sizes=_count(f"{width} x {height} x {bits}" for width, height, bits in sizes),
        pixel_spacing_mm=_summarize_spacing(table["pixel_spacing_mm"]),
        labelled=labelled,
        points_labelled=int(labelled_points.sum()),
        values={name: _count(value for value in table[name].to_pylist() if value is not None) for name in _GROUPED},
        strata=tabulate_strata(_iter_strata(table)),
        rejected=manifest.rejected,
    )


def _iter_strata(table: pa.Table) -> Any:
    columns = {name: _label_names(name, table[name].to_pylist()) for name in ("disease", "curvature", "sex")}
    columns["age_band"] = [age_band(age) for age in table["age"].to_pylist()]
    for index, split in enumerate(table["split"].to_pylist()):
        yield split, {name: values[index] for name, values in columns.items()}


def _label_names(name: str, values: list[int | None]) -> list[str]:
    return [UNKNOWN_STRATUM if value is None else COLUMNS[name].names[value] for value in values]


def _count_groups(table: pa.Table) -> dict[Split, int]:
    return {split: len(pc.unique(table.filter(pc.equal(table["split"], split))["group_id"])) for split in SPLITS}


def _count(values: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return dict(sorted(counts.items()))


def _summarize_spacing(column: pa.ChunkedArray) -> tuple[float, float, float] | None:
    known = column.drop_null().to_numpy()
    if known.size == 0:
        return None
    return float(known.min()), float(np.median(known)), float(known.max())
