"""`baseline annotate`: a dataset in, the same images with measured labels out."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from cspine_bench.baselines.annotate.fidelity import measure_label_fidelity, write_fidelity
from cspine_bench.baselines.annotate.flags import Flags, find_flags
from cspine_bench.baselines.annotate.measure import Measured, measure_labels
from cspine_bench.baselines.annotate.source import AnnotatedSource, build_label_fields
from cspine_bench.baselines.annotate.table import TABLE_NAME, build_label_table
from cspine_bench.baselines.annotate.teachers import Teachers
from cspine_bench.dataset.finish import DatasetSummary
from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import DataError, RecipeError
from cspine_bench.measurement.inputs import UNKNOWN, Images, open_images
from cspine_bench.measurement.task import ShowStage, show_nothing
from cspine_bench.measurement.work import Work
from cspine_bench.provenance import package_version, sha256_bytes
from cspine_bench.results import Result

Labelled = Literal["refuse", "keep", "replace"]
LABELLED: Final[dict[Labelled, str]] = {
    "refuse": "stop where a radiograph has labels",
    "keep": "leave labelled radiographs as they are, and label the others",
    "replace": "measure all anew; labels that no teacher gives are dropped",
}
"""What happens to radiographs with labels of their own."""


@dataclass(frozen=True)
class Annotation:
    """What was done.

    Attributes:
        dataset: that was written; None: none was asked for.
        num_annotated: radiographs with measured labels in it.
        num_kept: radiographs that kept their own.
        num_flagged: measured ones that a rule speaks against.
        flags: radiographs by rule that they break.
        fidelity: agreement of labels that were there with measured ones; None: not asked for.
    """

    dataset: DatasetSummary | None
    num_annotated: int
    num_kept: int
    num_flagged: int
    flags: Mapping[str, int]
    fidelity: Result | None


def annotate(
    data: Path | str,
    teachers: Teachers,
    *,
    out: Path | None,
    report: Path | None = None,
    labelled: Labelled = "refuse",
    seed: int = 0,
    num_workers: int = 1,
    overwrite: bool = False,
    show: ShowStage = show_nothing,
) -> Annotation:
    """Label the radiographs of a dataset, and compare labels that were there with measured ones.

    Images, ids, groups and splits of the new dataset are those of the old one, to the byte. What teachers said is kept
    beside `out` until the dataset is whole, so that a run that was stopped goes on.

    Args:
        data: dataset folder, or its name on the Hub.
        teachers: that measure.
        out: folder of the new dataset; None: none is written.
        report: file for the result of label fidelity; None: it is not measured.
        labelled: see `LABELLED`.
        seed: of the report's intervals.
        num_workers: processes that write.
        overwrite: replace another dataset that lies in `out`, and another result in `report`.
        show: told each stage.

    Raises:
        RecipeError: neither `out` nor `report` is given.
        DataError: the dataset cannot be used, has labels that nobody said what to do with, or lacks those that shall be
            compared; `out` is the dataset itself, or holds something else.
        OSError: `out` cannot be written.
    """
    if out is None and report is None:
        raise RecipeError("neither a new dataset nor a report is asked for; name --out, --report, or both")
    started = time.monotonic()
    _refuse_places(data, out, report)
    images = open_images("labelled", data)
    has_labels = find_labelled(images)
    wanted = _choose_rows(images, has_labels, labelled) if out is not None else np.zeros(len(images), np.bool_)
    rows = np.arange(len(images)) if report is not None else np.flatnonzero(wanted)
    scratch = None if out is None else out.with_name(f".{out.name}.annotation")
    work = Work(scratch, {"dataset": images.folder.manifest.digest, "version": package_version()})
    measured = measure_labels(images, rows, teachers, work, show)
    fidelity = None
    if report is not None:
        fidelity = measure_label_fidelity(images, measured, teachers, seed=seed, started=started)
        fidelity = write_fidelity(fidelity, report, overwrite=overwrite)
    if out is None:
        return Annotation(None, 0, len(images), 0, {}, fidelity)
    chosen = measured.take(np.flatnonzero(wanted[rows]))
    flags = find_flags(chosen, teachers)
    summary = _write(images, chosen, flags, teachers, out, labelled, num_workers, overwrite, show)
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)
    flagged = sum(bool(broken) for broken in flags.rules)
    return Annotation(summary, len(chosen), len(images) - len(chosen), flagged, flags.count(), fidelity)


def _refuse_places(data: Path | str, out: Path | None, report: Path | None) -> None:
    folder = open_dataset(data).path
    if out is not None and out.resolve() == folder.resolve():
        raise DataError(f"{out}: is the dataset that is read; name another folder for the new one")
    if out is not None and out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; name a folder for the new dataset")
    if report is not None and report.is_dir():
        raise DataError(f"{report}: is a folder; name a file for the result, such as {report / 'label-fidelity.json'}")


def find_labelled(images: Images) -> NDArray[np.bool_]:
    """Bool (n,): which radiographs have a label of a kind that teachers give: landmarks, a mask or curvature."""
    masked = np.concatenate(
        [images.folder.read_table(["mask_levels"], split).column(0).is_valid().to_numpy() for split in images.splits]
    )
    told = np.array([source != UNKNOWN for source in images.label_source], np.bool_)
    curved = np.array([name != UNKNOWN for name in images.labels["curvature"]], np.bool_)
    found: NDArray[np.bool_] = np.isfinite(images.landmarks_xy).any(axis=(1, 2)) | masked | told | curved
    return found


def _choose_rows(images: Images, has_labels: NDArray[np.bool_], labelled: Labelled) -> NDArray[np.bool_]:
    if labelled == "replace":
        return np.ones(len(images), np.bool_)
    count = int(has_labels.sum())
    if labelled == "refuse" and count:
        first = images.sample_ids[int(has_labels.argmax())]
        raise DataError(
            f"{images.folder.path}: {count:,} of {len(images):,} radiographs have labels already, {first} among them; "
            "--labelled keep leaves those as they are and labels the others, --labelled replace measures all anew"
        )
    if count == len(images):
        raise DataError(f"{images.folder.path}: every radiograph has labels; --labelled replace measures them anew")
    return ~has_labels


def _write(
    images: Images,
    measured: Measured,
    flags: Flags,
    teachers: Teachers,
    out: Path,
    labelled: Labelled,
    num_workers: int,
    overwrite: bool,
    show: ShowStage,
) -> DatasetSummary:
    is_measured = np.zeros(len(images), np.bool_)
    is_measured[measured.rows] = True
    sources = [None if source == UNKNOWN else source for source in images.label_source]
    told = ["measured" if new else old for new, old in zip(is_measured.tolist(), sources, strict=True)]
    splits = [split for split in images.splits for _ in range(images.folder.splits[split])]
    table = build_label_table(images.sample_ids, splits, told, measured, flags, teachers.describe())
    annotation: dict[str, Any] = {
        "of": images.folder.manifest.digest,
        "teachers": teachers.describe(),
        "labelled": labelled,
        "num_annotated": len(measured),
        "num_flagged": sum(bool(broken) for broken in flags.rules),
        "flags": flags.count(),
        "tables": {TABLE_NAME: sha256_bytes(table)},
        "package_version": package_version(),
    }
    source = AnnotatedSource(images.folder, annotation, build_label_fields(measured))
    manifest = images.folder.manifest
    with show(str(out)) as tell:
        return write_dataset(
            source,
            out,
            fractions=manifest.fractions,
            seed=manifest.seed,
            splits=source.list_splits(),
            num_workers=num_workers,
            overwrite=overwrite,
            papers={TABLE_NAME: table},
            on_progress=tell,
        )
