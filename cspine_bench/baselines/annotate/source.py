"""A dataset with measured labels as a source of records: pixels, ids, groups and splits are those of the dataset."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cspine_bench.baselines.annotate.measure import Measured, name_curvature
from cspine_bench.dataset.encode import compute_alignment
from cspine_bench.dataset.manifest import ShardEntry
from cspine_bench.dataset.read import DatasetFolder, explain_unreadable
from cspine_bench.dataset.shard import iter_batches
from cspine_bench.dataset.source import SampleKey
from cspine_bench.imaging.png import encode_mask_png
from cspine_bench.provenance import sha256_bytes
from cspine_bench.schema import COLUMNS, Record, Split, iter_batch_records


@dataclass(frozen=True)
class AnnotatedSource:
    """Records of a dataset, some of them with labels that teachers measured.

    Args:
        folder: the dataset.
        annotation: what decides the labels, as JSON values; goes into the manifest beside the dataset's own source.
        labels: new values of records' fields, by sample id; records of others stay as they are.
    """

    folder: DatasetFolder
    annotation: dict[str, Any]
    labels: dict[str, dict[str, Any]] = field(repr=False)

    def describe(self) -> dict[str, Any]:
        """The dataset's own source, which says where the images are from; and the annotations, oldest first."""
        source = self.folder.manifest.source
        return {**source, "annotations": [*source.get("annotations", []), self.annotation]}

    def list_samples(self) -> list[SampleKey]:
        """All of the dataset's."""
        return [SampleKey(sample_id, group_id, sample_id) for sample_id, group_id, _ in self._list_rows()]

    def list_splits(self) -> dict[str, Split]:
        """Of every sample, by its id."""
        return {sample_id: split for sample_id, _, split in self._list_rows()}

    def _list_rows(self) -> list[tuple[str, str, Split]]:
        table = self.folder.read_table(["sample_id", "group_id", "split"])
        return list(zip(*(table.column(name).to_pylist() for name in table.column_names), strict=True))

    def estimate_bytes(self) -> int:
        """What a row takes in the dataset as it is."""
        return max(1, sum(shard.num_bytes for shard in self.folder.manifest.shards) // max(1, len(self.folder)))

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Record]:
        """Records in the order of the keys.

        Raises:
            DataError: a shard is missing or unreadable.
        """
        wanted = {key.sample_id for key in keys}
        streams = [
            self._iter_shard(shard, wanted) for shard in self.folder.manifest.shards if self._holds(shard, wanted)
        ]
        # Where this dataset was cut as the new one is, each record is asked for when it comes.
        held: dict[str, Record] = {}
        for key in keys:
            while key.sample_id not in held:
                record = next(streams[0], None)
                if record is None:
                    streams.pop(0)
                else:
                    held[record.sample_id] = record
            record = held.pop(key.sample_id)
            yield record.model_copy(update=self.labels.get(record.sample_id, {}))

    def _holds(self, shard: ShardEntry, wanted: set[str]) -> bool:
        path = self.folder.path / shard.path
        try:
            return not wanted.isdisjoint(pq.read_table(path, columns=["sample_id"]).column(0).to_pylist())
        except (OSError, pa.ArrowException) as error:
            raise explain_unreadable(path, error) from error

    def _iter_shard(self, shard: ShardEntry, wanted: set[str]) -> Iterator[Record]:
        path = self.folder.path / shard.path
        try:
            with pq.ParquetFile(path) as file:
                for batch in iter_batches(file, tuple(COLUMNS)):
                    yield from (
                        record for record in iter_batch_records(batch, tuple(COLUMNS)) if record.sample_id in wanted
                    )
        except (OSError, pa.ArrowException) as error:
            raise explain_unreadable(path, error) from error


def build_label_fields(measured: Measured) -> dict[str, dict[str, Any]]:
    """New values of records' fields by sample id, all labels of a record from the same teachers.

    Landmarks outside the image become not labelled, and labels that no teacher gives become null: one `label_source`
    speaks for all of a record.
    """
    last = measured.side_px[:, None, None] - 0.5
    points = measured.landmarks_xy.copy()
    points[np.any((points < -0.5) | (points > last), axis=2)] = np.nan
    levels = ",".join(measured.mask_levels) or None
    fields = {}
    for row, (sample_id, curvature) in enumerate(
        zip(measured.sample_ids, name_curvature(measured.curvature), strict=True)
    ):
        spacing = float(measured.pixel_spacing_mm[row])
        facing = None if measured.facing[row] not in ("left", "right") else measured.facing[row]
        mask = _encode_mask(measured, row)
        fields[sample_id] = {
            "landmarks_xy": tuple(map(tuple, points[row].tolist())),
            "label_source": "measured",
            "facing": facing,
            "curvature": curvature,
            "mask": mask,
            "mask_levels": None if mask is None else levels,
            "mask_sha256": None if mask is None else sha256_bytes(mask),
            **compute_alignment(
                points[row],
                facing=facing,  # type: ignore[arg-type]
                pixel_spacing_mm=None if np.isnan(spacing) else spacing,
            ),
        }
    return fields


def _encode_mask(measured: Measured, row: int) -> bytes | None:
    if measured.masks is None or not measured.mask_levels:
        return None
    factor = round(float(measured.said["masks"].factors[row]))
    mask: NDArray[np.uint8] = measured.masks[row].repeat(factor, axis=0).repeat(factor, axis=1)
    return encode_mask_png(mask)
