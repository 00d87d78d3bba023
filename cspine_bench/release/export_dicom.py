"""A release as DICOM files, for viewers and archives: `OUT/SPLIT/ID.dcm`, and a table of what the pixels do not say.

An exporter, not a release format: labels have no place in an image object, so `OUT/manifest.csv` holds them. It is
written last, so that its presence means "complete". A killed export goes on when it is run again: each file is in place
whole or not at all, and one that is there and right is left as it is.
"""

import csv
import datetime
import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from cspine_bench.anatomy.landmarks import LANDMARK_NAMES
from cspine_bench.dataset.files import write_file
from cspine_bench.dataset.read import DatasetFolder, open_dataset
from cspine_bench.errors import ReleaseError
from cspine_bench.imaging.png import decode_png
from cspine_bench.provenance import sha256_bytes
from cspine_bench.release.dicom_objects import DicomFile, build_image, build_mask, import_pydicom, render
from cspine_bench.release.layout import RELEASE_NAME
from cspine_bench.schema import Record, Split

MANIFEST_NAME: Final = "manifest.csv"
_SCRATCH: Final = ".unfinished"
_LABELS: Final = (
    "group_id", "sex", "age", "disease", "curvature", "facing", "cobb_c2_c7_deg", "sva_mm", "cci_percent",
    "pixel_spacing_mm", "pixel_spacing_plane", "label_source", "mask_levels", "artefact", "artefact_strength",
    "pixel_sha256", "run_id", "generator", "generator_version",
)  # fmt: skip
_FILES: Final = ("file", "sop_instance_uid", "sha256", "mask_file", "mask_sop_instance_uid", "mask_sha256")
COLUMNS: Final = (
    "sample_id", "split", *_FILES, *_LABELS, *(f"{name}_{axis}_px" for name in LANDMARK_NAMES for axis in "xy"),
)  # fmt: skip
"""Of the table. An empty cell: not known, or no mask. Landmarks in pixels, (0, 0) the centre of the top-left one."""


@dataclass(frozen=True)
class Exported:
    """What an export left.

    Attributes:
        path: the folder.
        num_images: image files.
        num_masks: segmentation files.
        num_bytes: of all of them.
    """

    path: Path
    num_images: int
    num_masks: int
    num_bytes: int


def export_dicom(
    release: Path,
    out: Path,
    *,
    split: Split | None = None,
    count: int | None = None,
    masks: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Write radiographs of a release as DICOM.

    Args:
        release: its folder.
        out: where the files go; a new folder, or that of the same export or of a smaller one, which goes on.
        split: one split, or None for all.
        count: the first so many radiographs; None: all.
        masks: write masks too, as `ID.seg.dcm`; radiographs without one, or with none of its vertebrae in view, have
            none.
        on_progress: called with (radiographs done, radiographs in all).

    Returns:
        What was written or was there.

    Raises:
        MissingExtraError: pydicom, or for masks highdicom, is not installed.
        DataError: a file of the release cannot be read, or the disk is full.
        ReleaseError: `release` is no release or holds real films, or `out` something else or lies in the release.
    """
    import_pydicom("highdicom" if masks else "pydicom")
    if release.resolve() in out.resolve().parents:
        raise ReleaseError(f"{out}: lies in the release, which would not be whole any more; name a place outside of it")
    folder, date = open_dataset(release), _read_date(release)
    total = sum(number for name, number in folder.splits.items() if split in (None, name))
    total = total if count is None else min(total, count)
    if total == 0:
        raise ReleaseError(f"{release}: split {split} is empty; there are {', '.join(folder.splits)}")
    expected = _list_expected(folder, split, total, masks)
    _refuse_foreign(out, expected)
    scratch = out / _SCRATCH
    scratch.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    num_bytes = num_masks = 0
    for done, record in enumerate(islice(folder.iter_records(split), total), start=1):
        row = {"sample_id": record.sample_id, "split": record.split}
        for prefix, name, file in _iter_files(record, digest=folder.manifest.digest, date=date, masks=masks):
            _put(out, name, file.data, scratch)
            row |= {f"{prefix}file": name, f"{prefix}sop_instance_uid": file.uid}
            row[f"{prefix}sha256"] = sha256_bytes(file.data)
            num_bytes += len(file.data)
            num_masks += prefix == "mask_"
        writer.writerow(row | _list_labels(record))
        if on_progress is not None:
            on_progress(done, total)
    # The table of a smaller export may be there: every file that it names was found to be right.
    write_file(out / MANIFEST_NAME, table.getvalue().encode(), scratch=scratch)
    shutil.rmtree(scratch)
    return Exported(out, total, num_masks, num_bytes)


def _read_date(release: Path) -> datetime.date:
    try:
        return datetime.date.fromisoformat(json.loads((release / RELEASE_NAME).read_bytes())["date"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReleaseError(
            f"{release}: is no release, {RELEASE_NAME} is not there or states no date; "
            "build one: cspine-bench release build DATASET --out RELEASE"
        ) from error


def _list_expected(folder: DatasetFolder, split: Split | None, total: int, masks: bool) -> set[str]:
    suffixes = (".dcm", ".seg.dcm") if masks else (".dcm",)
    names = {MANIFEST_NAME}
    for record in islice(folder.iter_records(split, ["sample_id", "split"]), total):
        names |= {f"{record.split}/{record.sample_id}{suffix}" for suffix in suffixes}
    return names


def _refuse_foreign(out: Path, expected: set[str]) -> None:
    if out.exists() and not out.is_dir():
        raise ReleaseError(f"{out}: is a file; name a folder")
    for path in sorted(out.rglob("*")) if out.exists() else ():
        name = path.relative_to(out).as_posix()
        if not path.is_dir() and name not in expected and not name.startswith(_SCRATCH + "/"):
            raise ReleaseError(f"{out}: holds {name}, which is not of this export; name another folder, or empty it")


def _iter_files(
    record: Record, *, digest: str, date: datetime.date, masks: bool
) -> Iterator[tuple[str, str, DicomFile]]:
    """(prefix of its columns, name, content) of each file of a radiograph."""
    if not record.synthetic:
        raise ReleaseError(
            f"sample {record.sample_id}: is not marked as synthetic; real films are never exported as synthetic ones"
        )
    where = f"sample {record.sample_id}"
    image = build_image(record, decode_png(record.image, where=f"{where}: image"), digest=digest, date=date)
    yield "", f"{record.split}/{record.sample_id}.dcm", render(image)
    if masks and record.mask is not None:
        mask = build_mask(record, decode_png(record.mask, where=f"{where}: mask"), image, digest=digest)
        if mask is not None:
            yield "mask_", f"{record.split}/{record.sample_id}.seg.dcm", render(mask)


def _put(out: Path, name: str, data: bytes, scratch: Path) -> None:
    path = out / name
    if path.exists():
        if path.read_bytes() == data:
            return
        raise ReleaseError(
            f"{path}: is not what this release gives, so it is from another one or was changed; "
            "name another folder, or empty it"
        )
    path.parent.mkdir(exist_ok=True)
    write_file(path, data, scratch=scratch)


def _list_labels(record: Record) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(record, name) for name in _LABELS}
    for name, point in zip(LANDMARK_NAMES, record.landmarks_xy, strict=True):
        for axis, value in zip("xy", point, strict=True):
            # NaN is the one number that differs from itself.
            values[f"{name}_{axis}_px"] = value if value == value else None
    return values
