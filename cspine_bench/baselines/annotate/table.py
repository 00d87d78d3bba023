"""`annotation/labels.parquet`: how sure a teacher was of each radiograph's labels, and what speaks against them.

The record has no place for it: a dataset that nobody annotated by a model has neither. A row for each radiograph, in
the order of the dataset; null where nothing was measured. `pandas.read_parquet` joins it by `sample_id`.
"""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import CORNER_LEVELS, LANDMARK_INDEX
from cspine_bench.baselines.annotate.flags import Flags
from cspine_bench.baselines.annotate.measure import Measured

TABLE_NAME: Final = "labels.parquet"
TEACHERS_KEY: Final = b"cspine_bench.teachers"
"""Name in the Parquet footer of the teachers as JSON: weights, what they learnt from, their own error."""

_ENDPLATES: Final = ("C2_inferior_anterior", "C2_inferior_posterior", "C7_inferior_anterior", "C7_inferior_posterior")
_USES: Final[dict[str, tuple[str, ...]]] = {
    "cobb_c2_c7_confidence": _ENDPLATES,
    "sva_confidence": ("C2_centroid", "C7_superior_posterior"),
    "cci_confidence": tuple(f"{level}_inferior_posterior" for level in ("C2", *CORNER_LEVELS)),
}
"""Landmarks that each alignment parameter of the record is computed from: it is as sure as the least sure of them."""


def build_label_table(
    sample_ids: Sequence[str],
    splits: Sequence[str],
    label_source: Sequence[str | None],
    measured: Measured,
    flags: Flags,
    teachers: Mapping[str, Any],
) -> bytes:
    """The bytes of the table.

    Args:
        sample_ids: (N,) of the whole dataset.
        splits: (N,).
        label_source: (N,), as the new records say.
        measured: labels of some of them.
        flags: what speaks against those.
        teachers: who measured, as JSON values.
    """
    place_of = {sample_id: place for place, sample_id in enumerate(measured.sample_ids)}
    places = [place_of.get(sample_id) for sample_id in sample_ids]

    def spread(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
        return pa.array([None if place is None else values[place] for place in places], kind)

    def floats(values: NDArray[np.floating]) -> pa.Array:
        return spread([None if np.isnan(value) else float(value) for value in values], pa.float32())

    sure = measured.landmark_confidence
    columns = {
        "sample_id": pa.array(sample_ids, pa.string()),
        "split": pa.array(splits, pa.string()),
        "label_source": pa.array(label_source, pa.string()),
        "flagged": spread([bool(broken) for broken in flags.rules], pa.bool_()),
        "flags": spread([list(broken) for broken in flags.rules], pa.list_(pa.string())),
        "reason": spread(flags.reasons, pa.string()),
        "landmark_confidence": spread(
            [None if np.isnan(row).all() else row.tolist() for row in sure], pa.list_(pa.float32())
        ),
        "least_landmark_confidence": floats(sure.min(axis=1)),
        **{
            name: floats(sure[:, [LANDMARK_INDEX[point] for point in points]].min(axis=1))
            for name, points in _USES.items()
        },
        "curvature_confidence": floats(measured.curvature_confidence),
        "mask_confidence": floats(measured.mask_confidence),
        "mask_level_confidence": spread(
            [
                None if np.isnan(row).all() else [None if np.isnan(value) else float(value) for value in row]
                for row in measured.level_confidence
            ],
            pa.list_(pa.float32()),
        ),
        "shape_distance": floats(flags.shape_distance),
    }
    table = pa.table(columns).replace_schema_metadata(
        {TEACHERS_KEY: json.dumps(dict(teachers), sort_keys=True, separators=(",", ":")).encode()}
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
