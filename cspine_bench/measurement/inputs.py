"""One side of an evaluation: a dataset folder, or some of its splits, looked at once and then read as often as needed.

real = open_images("real", Path("films"), splits=("test",))
real.labels["sex"]                             one value for each radiograph, in the order in which images come
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.classes import CURVATURE_CLASSES, DISEASES, FACINGS, SEXES
from cspine_bench.dataset.read import DatasetFolder, open_dataset
from cspine_bench.dataset.splits import age_band
from cspine_bench.errors import DataError
from cspine_bench.features.contract import Preflight, compare_images, inspect_images
from cspine_bench.imaging.png import decode_png
from cspine_bench.provenance import sha256_json
from cspine_bench.results import Input
from cspine_bench.schema import SPLITS, Split

UNKNOWN: Final = "unknown"
"""The label of what has none. It makes no subgroup."""

SUBGROUPS: Final = ("sex", "age_band", "curvature", "disease", "checkpoint")
"""Labels that radiographs can be grouped by."""

OnProgress = Callable[[int, int], None]
_CHECKPOINT_DIGITS: Final = 12


@dataclass(frozen=True)
class Images:
    """The radiographs of one side, in the order of the files of its splits.

    Attributes:
        role: `real`, `synthetic`, `train` or `holdout`.
        folder: where they are.
        splits: that are used, each once.
        sample_ids: (n,).
        group_ids: (n,), patient or anatomy; equal ones of two sides are the same.
        landmarks_xy: float32 (n, 23, 2), px; NaN: not labelled.
        pixel_spacing_mm: float64 (n,); NaN: not known.
        facing: (n,), `left`, `right` or `unknown`.
        label_source: (n,), where landmarks come from, as `Record` spells it, or `unknown`.
        labels: by name of `SUBGROUPS`, (n,) text, `unknown` where there is none.
        pixel_sha256: (n,), of the decoded pixels.
        warnings: what a reader of every figure should know of these images.
    """

    role: str
    folder: DatasetFolder
    splits: tuple[Split, ...]
    sample_ids: tuple[str, ...]
    group_ids: tuple[str, ...]
    landmarks_xy: NDArray[np.float32] = field(repr=False)
    pixel_spacing_mm: NDArray[np.float64] = field(repr=False)
    facing: tuple[str, ...] = field(repr=False)
    label_source: tuple[str, ...] = field(repr=False)
    labels: dict[str, tuple[str, ...]] = field(repr=False)
    pixel_sha256: tuple[str, ...] = field(repr=False)
    preflights: tuple[Preflight, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.sample_ids)

    @property
    def name(self) -> str:
        """Name of the folder, with its splits where not all are used."""
        folder = self.folder.path.resolve().name
        return folder if self.splits == tuple(self.folder.splits) else f"{folder} ({', '.join(self.splits)})"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the look at the images found that is no error."""
        found = (issue.message for preflight in self.preflights for issue in preflight.issues)
        return tuple(dict.fromkeys(f"{self.role}: {message}" for message in found))

    @property
    def bit_depth(self) -> int:
        """8 where all images have 8 bits; else 16."""
        return 8 if all(set(preflight.bit_depths) <= {8} for preflight in self.preflights) else 16

    def describe(self) -> Input:
        """As a result names its inputs."""
        return Input(role=self.role, name=self.name, digest=self.folder.manifest.digest, num_samples=len(self))

    def iter_images(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """(sample id, uint8 or uint16 (height, width)) of every radiograph, in order; one row group in memory."""
        for split in self.splits:
            for record in self.folder.iter_records(split, ("sample_id", "image")):
                yield record.sample_id, decode_png(record.image, where=f"sample {record.sample_id}: image")

    def take_images(self, sample_ids: Sequence[str]) -> dict[str, NDArray[Any]]:
        """A few radiographs by sample id; the whole side is read for them, so ask once.

        Raises:
            ValueError: one is not there.
        """
        if missing := set(sample_ids) - set(self.sample_ids):
            raise ValueError(f"no sample {min(missing)} in {self.name}")
        wanted = set(sample_ids)
        return {
            record.sample_id: decode_png(record.image, where=f"sample {record.sample_id}: image")
            for split in self.splits
            for record in self.folder.iter_records(split, ("sample_id", "image"))
            if record.sample_id in wanted
        }

    def iter_files(self) -> Iterator["Images"]:
        """The same radiographs file by file, each a side of its own with what was found out about all."""
        start = 0
        manifest = self.folder.manifest
        for split in self.splits:
            for shard in manifest.shards_of(split):
                rows = slice(start, start + shard.num_rows)
                start = rows.stop
                counts = {name: shard.num_rows if name == split else 0 for name in SPLITS}
                alone = manifest.model_copy(update={"shards": (shard,), "num_samples": counts})
                yield replace(
                    self,
                    folder=DatasetFolder(self.folder.path, alone),
                    splits=(split,),
                    sample_ids=self.sample_ids[rows],
                    group_ids=self.group_ids[rows],
                    landmarks_xy=self.landmarks_xy[rows],
                    pixel_spacing_mm=self.pixel_spacing_mm[rows],
                    facing=self.facing[rows],
                    label_source=self.label_source[rows],
                    labels={name: values[rows] for name, values in self.labels.items()},
                    pixel_sha256=self.pixel_sha256[rows],
                )


def open_images(role: str, dataset: Path | str, *, splits: Sequence[Split] = ()) -> Images:
    """Open one side, and look at each of its images once.

    Args:
        role: what messages and results call it.
        dataset: a dataset folder, or its name on the Hub.
        splits: that are used; none named: all.

    Raises:
        DataError: there is no such dataset, a split is empty, or an image breaks the contract of
            `cspine_bench.features.contract`: it cannot be read, is blank, or claims other pixels than it has.
        ValueError: a split is named twice, or does not exist.
    """
    folder = open_dataset(dataset)
    if len(set(splits)) != len(splits) or not set(splits) <= set(SPLITS):
        raise ValueError(f"splits must be some of {', '.join(SPLITS)}, each once; got {', '.join(splits)}")
    used = tuple(split for split in SPLITS if split in (splits or folder.splits))
    if empty := [split for split in used if split not in folder.splits]:
        there = ", ".join(f"{split} {count:,}" for split, count in folder.splits.items())
        raise DataError(
            f"{folder.path}: has no radiograph in its split {empty[0]} ({there or 'none at all'}); name another one"
        )
    if not used:
        raise DataError(f"{folder.path}: holds no radiograph; give a dataset with some")
    preflights = tuple(inspect_images(folder, split=split) for split in used)
    for preflight in preflights:
        preflight.require_usable(f"{role} images of {folder.path}")
    return _read_labels(role, folder, used, preflights)


def compare_sides(real: Images, synthetic: Images) -> tuple[str, ...]:
    """What a reader of every figure should know of two sides together: images of both, differences of making.

    Group ids are not compared: they are numbers of one folder's own patients or anatomies.

    Returns:
        Sentences, the gravest first; none where there is nothing to say.
    """
    said = []
    films = set(real.pixel_sha256)
    if copies := sum(pixels in films for pixels in synthetic.pixel_sha256):
        said.append(
            f"{copies:,} of {len(synthetic):,} synthetic images have the very pixels of a real one, and every distance "
            "is too small by that; give real films that the generator was not made from"
        )
    facing = [{side for side in images.facing if side != UNKNOWN} for images in (real, synthetic)]
    if all(facing) and not facing[0] & facing[1]:
        ways = [" or ".join(sorted(found)) for found in facing]
        said.append(
            f"real patients face {ways[0]}, synthetic ones {ways[1]}, and encoders see that; mirror one side on import"
        )
    return (*said, *(issue.message for issue in compare_images(_join(real), _join(synthetic))))


def _join(images: Images) -> Preflight:
    """Facts of all splits of a side together; what is only known within a split is left out."""
    depths: Counter[int] = Counter()
    sizes: Counter[tuple[int, int]] = Counter()
    for preflight in images.preflights:
        depths.update(preflight.bit_depths)
        sizes.update(preflight.sizes)
    return Preflight(
        num_images=len(images),
        num_distinct=len(set(images.pixel_sha256)),
        bit_depths=dict(sorted(depths.items())),
        sizes=dict(sorted(sizes.items())),
        highest_share=max(preflight.highest_share for preflight in images.preflights),
        issues=(),
    )


_NUMBERED_BY: Final = {
    "phantom": ("seed",),
    "images": ("fingerprint", "group_pattern"),
    "dicom": ("fingerprint",),
}
"""Sources that number patients, and what the numbers depend on. Others give names that hold everywhere."""

_COLUMNS: Final = (
    "sample_id", "group_id", "landmarks_xy", "pixel_spacing_mm", "facing", "label_source", "sex", "age", "curvature",
    "disease", "weights_sha256", "pixel_sha256",
)  # fmt: skip


def _read_labels(
    role: str, folder: DatasetFolder, splits: tuple[Split, ...], preflights: tuple[Preflight, ...]
) -> Images:
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for split in splits:
        table = folder.read_table(_COLUMNS, split)
        for name, values in columns.items():
            values += table.column(name).to_pylist()
    spacing = [np.nan if value is None else value for value in columns["pixel_spacing_mm"]]
    return Images(
        role=role,
        folder=folder,
        splits=splits,
        sample_ids=tuple(columns["sample_id"]),
        group_ids=_tell_groups_apart(columns["group_id"], folder),
        landmarks_xy=np.asarray(columns["landmarks_xy"], np.float32).reshape(len(spacing), -1, 2),
        pixel_spacing_mm=np.asarray(spacing, np.float64),
        facing=_name_classes(columns["facing"], FACINGS),
        label_source=tuple(source or UNKNOWN for source in columns["label_source"]),
        labels={
            "sex": _name_classes(columns["sex"], SEXES),
            "age_band": tuple(age_band(age) for age in columns["age"]),
            "curvature": _name_classes(columns["curvature"], CURVATURE_CLASSES),
            "disease": _name_classes(columns["disease"], DISEASES),
            "checkpoint": tuple((sha or UNKNOWN)[:_CHECKPOINT_DIGITS] for sha in columns["weights_sha256"]),
        },
        pixel_sha256=tuple(columns["pixel_sha256"]),
        preflights=preflights,
    )


def _tell_groups_apart(group_ids: Sequence[str], folder: DatasetFolder) -> tuple[str, ...]:
    """Groups that a source only numbers get its digest: number 3 of another source is somebody else."""
    source = folder.manifest.source
    parts = _NUMBERED_BY.get(str(source.get("kind")))
    if parts is None:
        return tuple(group_ids)
    origin = sha256_json({part: source.get(part) for part in ("kind", *parts)})[:12]
    return tuple(f"{group}@{origin}" for group in group_ids)


def _name_classes(numbers: Sequence[int | None], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(UNKNOWN if number is None or number < 0 else names[number] for number in numbers)
