"""`baseline annotate`: a dataset in, the same images with measured labels out."""

import shutil
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from cspine_bench.baselines.annotate.ask import Asking, ask_all, is_asked, list_files
from cspine_bench.baselines.annotate.fidelity import measure_label_fidelity, write_fidelity
from cspine_bench.baselines.annotate.flags import find_flags
from cspine_bench.baselines.annotate.measure import Measured, measure_labels
from cspine_bench.baselines.annotate.source import AnnotatedSource, build_label_fields
from cspine_bench.baselines.annotate.table import TABLE_NAME, build_label_table
from cspine_bench.baselines.annotate.teachers import Teachers
from cspine_bench.dataset.begun import SCRATCH_NAME, another_dataset
from cspine_bench.dataset.finish import DatasetSummary, accept_manifest
from cspine_bench.dataset.lock import open_writer_lock
from cspine_bench.dataset.manifest import MANIFEST_NAME, load_manifest
from cspine_bench.dataset.parts import Part
from cspine_bench.dataset.ray_tasks import RayCluster
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


@dataclass(frozen=True)
class AnnotationPart:
    """What a part left.

    Attributes:
        path: of the new dataset.
        part: which part.
        part_files: files of the dataset that it asks about.
        num_files: that are asked about by all.
        missing_files: of these, those that other parts have yet to ask about.
        annotation: the whole, where it is finished.
    """

    path: Path
    part: Part
    part_files: int
    num_files: int
    missing_files: int
    annotation: Annotation | None


def annotate(
    data: Path | str,
    teachers: Teachers,
    *,
    out: Path | None,
    report: Path | None = None,
    labelled: Labelled = "refuse",
    seed: int = 0,
    num_workers: int = 1,
    ray: RayCluster | None = None,
    overwrite: bool = False,
    show: ShowStage = show_nothing,
) -> Annotation:
    """Label the radiographs of a dataset, and compare labels that were there with measured ones.

    Images, ids, groups and splits of the new dataset are those of the old one, to the byte. What teachers said is kept
    beside `out` (or `report`) until that is whole, so that a run that was stopped goes on, whoever goes on with it.

    Args:
        data: dataset folder, or its name on the Hub.
        teachers: that measure.
        out: folder of the new dataset; None: none is written.
        report: file for the result of label fidelity; None: it is not measured.
        labelled: see `LABELLED`.
        seed: of the report's intervals.
        num_workers: processes that ask the teachers, and then write.
        ray: do both in tasks of this cluster instead. Its nodes need this package in the same version, and must see
            the dataset, and the folder around `out` (or `report`), where this process sees them.
        overwrite: replace another dataset that lies in `out`, and another result in `report`.
        show: told each stage.

    Raises:
        RecipeError: neither `out` nor `report` is given.
        DataError: the dataset cannot be used, has labels that nobody said what to do with, or lacks those that shall be
            compared; `out` is the dataset itself, or holds something else; or a worker died.
        MissingExtraError: `ray` was given, and Ray is not installed.
        ValueError: `num_workers` together with `ray`.
        OSError: `out` cannot be written.
    """
    if out is None and report is None:
        raise RecipeError("neither a new dataset nor a report is asked for; name --out, --report, or both")
    if ray is not None and num_workers != 1:
        raise ValueError(f"num_workers={num_workers} and ray: name one of them; RayCluster.max_tasks limits Ray")
    started = time.monotonic()
    _refuse_places(data, out, report)
    images = open_images("labelled", data)
    has_labels = find_labelled(images)
    wanted = _choose_rows(images, has_labels, labelled) if out is not None else np.zeros(len(images), np.bool_)
    rows = np.arange(len(images)) if report is not None else np.flatnonzero(wanted)
    asking = _prepare(images, teachers, out or report)
    measured = measure_labels(images, rows, asking, show, num_workers=num_workers, ray=ray)
    fidelity = None
    if report is not None:
        fidelity = measure_label_fidelity(images, measured, teachers, seed=seed, started=started)
        fidelity = write_fidelity(fidelity, report, overwrite=overwrite)
    done = Annotation(None, 0, len(images), 0, {}, fidelity)
    if out is not None:
        chosen = measured.take(np.flatnonzero(wanted[rows]))
        written = _write(images, chosen, teachers, out, labelled, num_workers, ray, overwrite, show)
        done = replace(written, fidelity=fidelity)
    _forget(asking)
    return done


def annotate_part(
    data: Path | str,
    teachers: Teachers,
    part: Part,
    *,
    out: Path,
    labelled: Labelled = "refuse",
    num_workers: int = 1,
    overwrite: bool = False,
    show: ShowStage = show_nothing,
) -> AnnotationPart:
    """Have teachers asked about one part of a dataset's files, and write the new dataset if no file is missing then.

    Part K of N asks about the files K, K + N, K + 2N, ... of the dataset. Parts run at once or one after another, in
    any order, also twice; all they share is the file system. The end is the dataset that `annotate` writes.

    Args:
        data: as in `annotate`; equal for all parts, as are `teachers`, `out` and `labelled`.
        teachers: that measure.
        part: which one this is.
        out: folder of the new dataset, with locks (`flock`) that hold between the hosts of all parts.
        labelled: see `LABELLED`.
        num_workers: processes of this part.
        overwrite: replace another dataset that lies in `out`. One of the same arguments is kept.
        show: told each stage.

    Raises:
        DataError: as `annotate`.
        OSError: `out` cannot be written.
    """
    _refuse_places(data, out, None)
    images = open_images("labelled", data)
    rows = np.flatnonzero(_choose_rows(images, find_labelled(images), labelled))
    files = list_files(images, rows)
    mine = files[part.index :: part.count]
    asking = _prepare(images, teachers, out)

    def say(missing: int, annotation: Annotation | None) -> AnnotationPart:
        return AnnotationPart(out, part, len(mine), len(files), missing, annotation)

    done = _find_finished(images, teachers, out, labelled, overwrite=overwrite)
    if done is None:
        ask_all(asking, mine, show, num_workers=num_workers)
        missing = sum(not is_asked(asking, file) for file in files)
        done = _find_finished(images, teachers, out, labelled, overwrite=overwrite)
        if missing and done is None:
            return say(missing, None)
    if done is None:
        lock = None if asking.work.folder is None else open_writer_lock(asking.work.folder)
        if lock is not None:
            with closing(lock):
                if not lock.take():
                    return say(0, None)
                if lock.is_current():
                    measured = measure_labels(images, rows, asking, show)
                    done = _write(images, measured, teachers, out, labelled, num_workers, None, overwrite, show)
        # Another part may have finished and tidied up since we looked.
        done = done or _find_finished(images, teachers, out, labelled, overwrite=overwrite)
    if done is not None:
        _forget(asking)
    return say(0, done)


def plan_annotation(data: Path | str, *, labelled: Labelled = "refuse") -> tuple[int, int]:
    """Radiographs that would be asked about, and the files that they lie in: so many parts have work.

    Raises:
        DataError: as `annotate`.
    """
    images = open_images("labelled", data)
    rows = np.flatnonzero(_choose_rows(images, find_labelled(images), labelled))
    return len(rows), len(list_files(images, rows))


def _prepare(images: Images, teachers: Teachers, beside: Path | None) -> Asking:
    scratch = None if beside is None else beside.with_name(f".{beside.name}.annotation")
    return Asking(teachers, Work(scratch, {"dataset": images.folder.manifest.digest, "version": package_version()}))


def _forget(asking: Asking) -> None:
    if asking.work.folder is not None:
        shutil.rmtree(asking.work.folder, ignore_errors=True)


def _find_finished(
    images: Images, teachers: Teachers, out: Path, labelled: Labelled, *, overwrite: bool
) -> Annotation | None:
    """What lies in `out`, where that is what these arguments give; None: there is no finished dataset yet."""
    if not (out / MANIFEST_NAME).exists() or (out / SCRATCH_NAME).exists():
        return None
    manifest = load_manifest(out)
    last = (manifest.source.get("annotations") or [{}])[-1]
    if any(last.get(name) != value for name, value in _identify(images, teachers, labelled).items()):
        if overwrite:
            return None
        raise another_dataset(out)
    num_annotated = int(last["num_annotated"])
    summary = accept_manifest(out, manifest, None)
    return Annotation(
        summary, num_annotated, len(images) - num_annotated, int(last["num_flagged"]), dict(last["flags"]), None
    )


def _identify(images: Images, teachers: Teachers, labelled: Labelled) -> dict[str, Any]:
    """What decides the labels, as the manifest has it."""
    return {
        "of": images.folder.manifest.digest,
        "teachers": teachers.describe(),
        "labelled": labelled,
        "package_version": package_version(),
    }


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
    teachers: Teachers,
    out: Path,
    labelled: Labelled,
    num_workers: int,
    ray: RayCluster | None,
    overwrite: bool,
    show: ShowStage,
) -> Annotation:
    flags = find_flags(measured, teachers)
    is_measured = np.zeros(len(images), np.bool_)
    is_measured[measured.rows] = True
    sources = [None if source == UNKNOWN else source for source in images.label_source]
    told = ["measured" if new else old for new, old in zip(is_measured.tolist(), sources, strict=True)]
    splits = [split for split in images.splits for _ in range(images.folder.splits[split])]
    table = build_label_table(images.sample_ids, splits, told, measured, flags, teachers.describe())
    num_flagged = sum(bool(broken) for broken in flags.rules)
    annotation: dict[str, Any] = {
        **_identify(images, teachers, labelled),
        "num_annotated": len(measured),
        "num_flagged": num_flagged,
        "flags": flags.count(),
        "tables": {TABLE_NAME: sha256_bytes(table)},
    }
    source = AnnotatedSource(images.folder, annotation, build_label_fields(measured))
    manifest = images.folder.manifest
    with show(str(out)) as tell:
        summary = write_dataset(
            source,
            out,
            fractions=manifest.fractions,
            seed=manifest.seed,
            splits=source.list_splits(),
            num_workers=num_workers,
            ray=ray,
            overwrite=overwrite,
            papers={TABLE_NAME: table},
            on_progress=tell,
        )
    return Annotation(summary, len(measured), len(images) - len(measured), num_flagged, flags.count(), None)
