"""What a card says of the data, counted from the rows: shard by shard, with memory for one of them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import NUM_LANDMARKS
from cspine_bench.dataset.splits import age_band
from cspine_bench.schema import COLUMNS, SPLITS

COUNTED: Final = (
    "curvature", "sex", "disease", "facing", "label_source", "mask_levels", "artefact", "source_kind",
    "digital_source_type", "pixel_spacing_plane", "sampler", "num_steps", "guidance_scale", "condition_kind", "run_id",
    "generator", "generator_version", "weights_sha256", "recipe_sha256", "dtype", "device",
)  # fmt: skip
"""Columns whose values are counted by split."""
ALIGNMENT: Final = ("cobb_c2_c7_deg", "sva_mm", "cci_percent")
ALIGNMENT_BINS: Final = {
    "cobb_c2_c7_deg": (-60.0, 60.0, 48),
    "sva_mm": (-40.0, 80.0, 48),
    "cci_percent": (-60.0, 60.0, 48),
}
"""First edge, last edge and number of the bins of a histogram; what lies outside counts in the bin at that end."""
_MOST_IDS_KEPT: Final = 16
SPREAD_BINS: Final = 48
ROW_COLUMNS: Final = (
    "sample_id", "split", "group_id", "synthetic", "width", "height", "bit_depth", "pixel_spacing_mm", "landmarks_xy",
    "mask_sha256", "age", *ALIGNMENT, *COUNTED,
)  # fmt: skip
"""What `count_facts` reads of each shard."""


@dataclass(frozen=True)
class Moments:
    """Of the values that are known."""

    num: int
    mean: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True)
class ReleaseFacts:
    """Counts over all rows.

    Attributes:
        num_samples: radiographs by split; splits without one are left out.
        num_groups: anatomies or patients by split; a group lies in one split.
        num_synthetic: rows that are marked as synthetic.
        sizes: radiographs by (width, height, bits).
        values: for each of `COUNTED`: radiographs by (split, value); class labels by name, null as None.
        num_masks: radiographs with a mask, by split.
        num_landmarked: radiographs with all 23 landmarks, by split.
        num_points: labelled landmarks of all radiographs.
        ages: radiographs by (split, age in years); None where it is not known.
        ages_by_sex: radiographs by (sex, age in years); None where one is not known.
        alignment: moments of each of `ALIGNMENT` that is known of any radiograph.
        alignment_histogram: int (bins,) by name, over `ALIGNMENT_BINS`; the same names as `alignment`.
        pixel_spacing_mm: moments; None where none is known.
        landmark_mean: float (23, 2), of points relative to the image's width and height, NaN where never labelled.
        landmark_sd: as landmark_mean.
        landmark_density: int (SPREAD_BINS, SPREAD_BINS), labelled points by (row, column) bin of the relative image.
        first_ids: ids of the first radiographs, in order.
    """

    num_samples: dict[str, int]
    num_groups: dict[str, int]
    num_synthetic: int
    sizes: dict[tuple[int, int, int], int]
    values: dict[str, dict[tuple[str, Any], int]]
    num_masks: dict[str, int]
    num_landmarked: dict[str, int]
    num_points: int
    ages: dict[tuple[str, int | None], int]
    ages_by_sex: dict[tuple[str | None, int | None], int]
    alignment: dict[str, Moments]
    alignment_histogram: dict[str, NDArray[np.int64]]
    pixel_spacing_mm: Moments | None
    landmark_mean: NDArray[np.float64]
    landmark_sd: NDArray[np.float64]
    landmark_density: NDArray[np.int64]
    first_ids: tuple[str, ...]

    @property
    def total(self) -> int:
        """Radiographs in all."""
        return sum(self.num_samples.values())

    def count(self, column: str, split: str | None = None) -> dict[Any, int]:
        """Radiographs by value of a counted column, in one split or in all; None counts those without one."""
        counts: Counter[Any] = Counter()
        for (where, value), number in self.values[column].items():
            if split in (None, where):
                counts[value] += number
        return dict(counts)

    def count_age_bands(self, split: str | None = None) -> dict[str, int]:
        """Radiographs by age band, "unknown" among them."""
        counts: Counter[str] = Counter()
        for (where, age), number in self.ages.items():
            if split in (None, where):
                counts[age_band(age)] += number
        return dict(sorted(counts.items()))


class _Running:
    """Count, sum and sum of squares, whatever the order of shards."""

    def __init__(self) -> None:
        self.num, self.sum, self.squares = 0, 0.0, 0.0
        self.low, self.high = float("inf"), float("-inf")

    def add(self, column: pa.ChunkedArray) -> None:
        values = column.drop_null().to_numpy().astype(np.float64)
        if values.size == 0:
            return
        self.num += values.size
        self.sum += float(values.sum())
        self.squares += float((values**2).sum())
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))

    def finish(self) -> Moments | None:
        if self.num == 0:
            return None
        mean = self.sum / self.num
        variance = max(0.0, self.squares / self.num - mean**2)
        return Moments(self.num, mean, variance**0.5, self.low, self.high)


class _Points:
    """Where labelled landmarks lie in the relative image, whatever the order of shards."""

    def __init__(self) -> None:
        self.num = np.zeros(NUM_LANDMARKS, np.int64)
        self.sum, self.squares = np.zeros((NUM_LANDMARKS, 2)), np.zeros((NUM_LANDMARKS, 2))
        self.density = np.zeros((SPREAD_BINS, SPREAD_BINS), np.int64)

    def add(self, table: pa.Table) -> NDArray[np.bool_]:
        """Take in a table; gives which of its radiographs have all landmarks."""
        points = table["landmarks_xy"].combine_chunks().flatten().flatten().to_numpy(zero_copy_only=False)
        extent = np.stack([table["width"].to_numpy(), table["height"].to_numpy()], axis=1)
        relative = (points.reshape(-1, NUM_LANDMARKS, 2).astype(np.float64) + 0.5) / extent[:, None]
        labelled = ~np.isnan(relative[..., 0])
        self.num += labelled.sum(axis=0)
        self.sum += np.nansum(relative, axis=0)
        self.squares += np.nansum(relative**2, axis=0)
        cells = np.clip((relative[labelled] * SPREAD_BINS).astype(np.int64), 0, SPREAD_BINS - 1)
        flat = np.bincount(cells[:, 1] * SPREAD_BINS + cells[:, 0], minlength=SPREAD_BINS**2)
        self.density += flat.reshape(SPREAD_BINS, SPREAD_BINS)
        return np.asarray(labelled.all(axis=1))

    def finish(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each landmark."""
        known, num = self.num[:, None] > 0, np.maximum(self.num, 1)[:, None]
        mean = np.where(known, self.sum / num, np.nan)
        variance = self.squares / num - np.nan_to_num(mean) ** 2
        return mean, np.where(known, np.sqrt(np.maximum(variance, 0)), np.nan)


def count_facts(tables: Iterable[pa.Table]) -> ReleaseFacts:
    """Count over tables of rows, one shard at a time, in the order of the shards.

    Args:
        tables: each with at least `ROW_COLUMNS`, class labels as their integers.
    """
    groups: dict[str, set[str]] = {}
    counts: dict[str, Counter[Any]] = {
        name: Counter() for name in ("sizes", "ages", "ages_by_sex", "masks", "landmarked")
    }
    values: dict[str, Counter[tuple[str, Any]]] = {name: Counter() for name in COUNTED}
    histograms = {name: np.zeros(bins[2], np.int64) for name, bins in ALIGNMENT_BINS.items()}
    running = {name: _Running() for name in (*ALIGNMENT, "pixel_spacing_mm")}
    points = _Points()
    num_samples: Counter[str] = Counter()
    num_synthetic = 0
    first_ids: list[str] = []
    for table in tables:
        splits = table["split"]
        for (split,), number in _count_rows(table, "split").items():
            num_samples[split] += number
            groups.setdefault(split, set()).update(
                table.filter(pc.equal(splits, split))["group_id"].unique().to_pylist()
            )
        num_synthetic += pc.sum(table["synthetic"]).as_py() or 0
        for name in COUNTED:
            for (split, value), number in _count_rows(table, "split", name).items():
                values[name][split, _name_label(name, value)] += number
        counts["sizes"].update(_count_rows(table, "width", "height", "bit_depth"))
        counts["ages"].update(_count_rows(table, "split", "age"))
        for (sex, age), number in _count_rows(table, "sex", "age").items():
            counts["ages_by_sex"][_name_label("sex", sex), age] += number
        counts["masks"].update(_count_values(splits.filter(pc.is_valid(table["mask_sha256"]))))
        counts["landmarked"].update(_count_values(splits.filter(pa.array(points.add(table)))))
        for name, sums in running.items():
            sums.add(table[name])
        for name, histogram in histograms.items():
            histogram += _count_bins(table[name], *ALIGNMENT_BINS[name])
        first_ids += table["sample_id"].slice(0, _MOST_IDS_KEPT - len(first_ids)).to_pylist()
    mean, sd = points.finish()
    finished = {name: item.finish() for name, item in running.items()}
    there = [split for split in SPLITS if num_samples[split]]
    return ReleaseFacts(
        num_samples={split: num_samples[split] for split in there},
        num_groups={split: len(groups[split]) for split in there},
        num_synthetic=num_synthetic,
        sizes=dict(sorted(counts["sizes"].items())),
        values={name: dict(found) for name, found in values.items()},
        num_masks={split: counts["masks"][split] for split in there},
        num_landmarked={split: counts["landmarked"][split] for split in there},
        num_points=int(points.num.sum()),
        ages=dict(counts["ages"]),
        ages_by_sex=dict(counts["ages_by_sex"]),
        alignment={name: moments for name in ALIGNMENT if (moments := finished[name]) is not None},
        alignment_histogram={name: histograms[name] for name in ALIGNMENT if finished[name] is not None},
        pixel_spacing_mm=finished["pixel_spacing_mm"],
        landmark_mean=mean,
        landmark_sd=sd,
        landmark_density=points.density,
        first_ids=tuple(first_ids),
    )


def _count_rows(table: pa.Table, *names: str) -> dict[tuple[Any, ...], int]:
    """Rows by their values in some columns, in an order that is a function of the table."""
    grouped = table.select(names).group_by(list(names), use_threads=False).aggregate([([], "count_all")])
    keys = zip(*(grouped[name].to_pylist() for name in names), strict=True)
    return dict(zip(keys, grouped["count_all"].to_pylist(), strict=True))


def _count_values(column: pa.ChunkedArray) -> dict[Any, int]:
    return {item["values"]: item["counts"] for item in pc.value_counts(column).to_pylist()}


def _count_bins(column: pa.ChunkedArray, low: float, high: float, num: int) -> NDArray[np.int64]:
    values = column.drop_null().to_numpy().astype(np.float64)
    cells = np.clip(np.floor((values - low) / (high - low) * num), 0, num - 1).astype(np.int64)
    return np.bincount(cells, minlength=num)


def _name_label(name: str, value: Any) -> Any:
    column = COLUMNS[name]
    return value if value is None or column.dtype != "class_label" else column.names[value]
