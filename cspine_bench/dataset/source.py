"""What a source of radiographs gives to the dataset writer.

A source first lists its samples (cheap: names and strata, no pixels), so that splits and shards are fixed before
any pixel is made. It then makes any subset of them, in any process, in any order, always with the same result.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cspine_bench.schema import Record

UNKNOWN_STRATUM = "unknown"


@dataclass(frozen=True, slots=True)
class SampleKey:
    """A sample before its pixels are made.

    Args:
        sample_id: unique in the dataset; see `Record.sample_id`.
        group_id: patient or anatomy; samples of one group share a split.
        origin: the source's own name of the sample (relative path, case number, index as text).
        strata: what the splits are balanced over, by name: sex, age_band, curvature, disease. Absent = unknown.
    """

    sample_id: str
    group_id: str
    origin: str
    strata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Radiograph:
    """A made sample: pixels, and the rest of its record.

    Args:
        key: the sample that was asked for.
        image: uint8 or uint16 (height, width), bone bright.
        mask: uint8 (height, width) of label ids, or None where not annotated; `mask_levels` in `fields` goes with it.
        landmarks_xy: float32 (23, 2), px, (x, y); NaN = not labelled.
        fields: values of `Record` by name. Left out = null. The writer fills identity, sizes, hashes and marking
            itself, and `cobb_c2_c7_deg`, `sva_mm` and `cci_percent` from the landmarks.
    """

    key: SampleKey
    image: NDArray[np.uint8] | NDArray[np.uint16]
    mask: NDArray[np.uint8] | None
    landmarks_xy: NDArray[np.float32]
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A sample that could not be made: its key, and one sentence that names the file and says why."""

    key: SampleKey
    reason: str


class Source(Protocol):
    """Anything that can fill a dataset folder. Must be picklable: shards are made in worker processes."""

    def describe(self) -> dict[str, Any]:
        """Everything that decides the samples, as JSON values: kind, parameters, and a fingerprint of input files.

        Two sources with equal descriptions make the same bytes. A folder begun by one is finished only by its equal.
        """

    def list_samples(self) -> list[SampleKey]:
        """All samples, in the order of the dataset.

        Raises:
            DataError: the source as a whole cannot be read.
        """

    def estimate_bytes(self) -> int:
        """About how many bytes one encoded sample takes; sizes shards and row groups. Same on every machine."""

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph | Rejected | Record]:
        """Make the given samples, in the given order, one item for each.

        A source that holds encoded records already (a dataset to be split anew, a release) gives them as they are; the
        writer sets their split.
        """
