"""CSXA as a source: images, JSON and sheet joined by case number, and a report of where they disagree."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Unpack

import numpy as np

from cspine_bench.anatomy.classes import Sex
from cspine_bench.anatomy.landmarks import NUM_LANDMARKS
from cspine_bench.dataset.source import Radiograph, Rejected, SampleKey
from cspine_bench.dataset.splits import age_band
from cspine_bench.errors import DataError
from cspine_bench.imaging.prepare import ImportOptions, ImportSettings, prepare_film
from cspine_bench.imaging.read import decode_image
from cspine_bench.sources.csxa.labelme import LabelMePoints, read_labelme
from cspine_bench.sources.csxa.sheet import SheetRow, SheetTable, read_sheet
from cspine_bench.sources.files import SourceFile, compute_fingerprint, list_archive, list_files

_STEM: Final = re.compile(r"(\d{4})(\d)(\d{2})")
_STEM_SEXES: Final[dict[str, Sex]] = {"0": "male", "1": "female"}


@dataclass(frozen=True, slots=True)
class _Case:
    """One image with what belongs to it."""

    stem: str
    image: SourceFile
    labels: SourceFile | None
    row: SheetRow | None

    @property
    def number(self) -> int:
        return int(self.stem[:4])

    @property
    def sex(self) -> Sex | None:
        """The sheet's; the file name's where there is no row."""
        return self.row.sex if self.row is not None else _STEM_SEXES.get(self.stem[4])

    @property
    def age(self) -> int | None:
        return self.row.age if self.row is not None else int(self.stem[5:])


@dataclass(frozen=True, slots=True)
class _Files:
    cases: dict[str, _Case]
    sheet: SheetTable
    findings: tuple[dict[str, str], ...]
    all_files: tuple[SourceFile, ...]


def _finding(kind: str, where: str, detail: str) -> dict[str, str]:
    return {"kind": kind, "where": where, "detail": detail}


class CsxaSource:
    """Radiographs of CSXA.

    Args:
        src: a folder with `datasets.xlsx` and the images and JSON files, unpacked at any depth or as the zip archives
            that CSXA comes in; or one zip archive with all of it.
        need_spacing: refuse a sheet without a pixel size, and films without one.

        settings: see `ImportOptions`.

    Where name and sheet disagree about sex or age, the sheet is taken. A film without a sheet row keeps sex and age of
    its name, and has no other label. A film without JSON has no landmarks. A film whose JSON is broken, or of another
    image size, is rejected. `build_report` lists all of it.
    """

    def __init__(self, src: Path, *, need_spacing: bool = False, **settings: Unpack[ImportSettings]) -> None:
        if settings.get("source_facing") == "right":
            raise DataError(f"{src}: CSXA's patients face left; leave source facing out, or give left")
        self.src = Path(src)
        self.options = ImportOptions(**(settings | {"source_facing": "left"}))
        self.need_spacing = need_spacing

    @cached_property
    def _files(self) -> _Files:
        return _list_case_files(self.src)

    def describe(self) -> dict[str, Any]:
        """See `Source`. The fingerprint covers every file's content (in an archive: size and CRC-32)."""
        return {
            "kind": "csxa",
            **asdict(self.options),
            "need_spacing": self.need_spacing,
            "fingerprint": compute_fingerprint(self._files.all_files),
        }

    def list_samples(self) -> list[SampleKey]:
        """See `Source`. In the order of the stems; each case number is a group.

        Raises:
            DataError: the folder or an archive cannot be read, holds no image or not one sheet, or the sheet lacks a
                column (with `need_spacing`, the pixel size too).
        """
        files = self._files
        if self.need_spacing and files.sheet.spacing_column is None:
            columns = ", ".join(repr(name) for name in files.sheet.columns if name)
            raise DataError(
                f"{self.src}: millimetres were asked for, and no one column of the sheet is named like a pixel size; "
                f"it has: {columns}. Rename the right one to 'Pixel size', or import without millimetres"
            )
        return [_build_key(case) for case in files.cases.values()]

    def estimate_bytes(self) -> int:
        """See `Source`."""
        return (self.options.size or 800) ** 2 * 6 // 10

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph | Rejected]:
        """See `Source`."""
        for key in keys:
            try:
                yield self._make(key)
            except DataError as error:
                yield Rejected(key, str(error))

    def _make(self, key: SampleKey) -> Radiograph:
        case = self._files.cases[key.origin]
        data = case.image.read()
        decoded = decode_image(data, where=case.image.name)
        landmarks = np.full((NUM_LANDMARKS, 2), np.nan)
        if case.labels is not None:
            labels = _read_labels(case.labels)
            height, width = decoded.pixels.shape[:2]
            if (labels.width, labels.height) != (width, height):
                raise DataError(_describe_sizes(case.labels.name, labels, width, height))
            landmarks = labels.landmarks_xy
            _check_on_image(case.labels.name, labels)
        spacing = case.row.spacing_mm if case.row is not None else None
        if spacing is None and self.need_spacing:
            raise DataError(
                f"{case.image.name}: the sheet has no pixel size for it; fill it in, or import without millimetres"
            )
        film = prepare_film(
            decoded.pixels,
            options=self.options,
            landmarks_xy=landmarks,
            spacing_xy_mm=None if spacing is None else (spacing, spacing),
            where=case.image.name,
        )
        fields = film.fields | {
            "pixel_spacing_plane": None if spacing is None else "unknown",
            "label_source": None if case.labels is None and case.row is None else "reader",
            "curvature": None if case.row is None else case.row.curvature,
            "disease": None if case.row is None else case.row.disease,
            "sex": case.sex,
            "age": case.age,
            "source_kind": "csxa",
            "source_id": case.stem,
            "source_sha256": sha256(data).hexdigest(),
        }
        return Radiograph(key=key, image=film.image, mask=None, landmarks_xy=film.landmarks_xy, fields=fields)

    def build_report(self) -> dict[str, Any]:
        """Where names, sheet, JSON and images disagree. Reads every JSON and every image's header once.

        Returns:
            JSON values: `source`, `images`, `sheet_rows`, `counts` by kind, and `findings` (kind, where, detail).
        """
        files = self._files
        findings = list(files.findings)
        for case in files.cases.values():
            findings += _compare_name_and_sheet(case)
            if case.labels is None:
                findings.append(_finding("image_without_json", case.image.name, "imported without landmarks"))
            else:
                findings += _compare_labels_and_image(case, case.labels)
        counts = Counter(item["kind"] for item in findings)
        return {
            "source": "csxa",
            "images": len(files.cases),
            "sheet_rows": len(files.sheet.rows),
            "spacing_column": files.sheet.spacing_column,
            "counts": dict(sorted(counts.items())),
            "findings": findings,
        }


def write_import_report(report: dict[str, Any], path: Path) -> None:
    """Write a report as JSON, whole or not at all.

    Raises:
        OSError: the file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _list_case_files(src: Path) -> _Files:
    files = list_files(src)
    if src.is_dir():
        archives = [file for file in files if file.suffix == ".zip" and "/" not in file.name]
        files = [file for file in files if file not in archives]
        for archive in archives:
            files += list_archive(archive.path)
    findings: list[dict[str, str]] = []
    images = _index_by_stem(files, ".png", findings)
    labels = _index_by_stem(files, ".json", findings)
    sheets = [file for file in files if file.suffix == ".xlsx" and not file.name.rpartition("/")[2].startswith("~$")]
    if not images:
        raise DataError(f"{src}: holds no image named like CSXA's (seven digits and .png, for example 0001035.png)")
    if len(sheets) != 1:
        names = ", ".join(file.name for file in sheets) or "none"
        raise DataError(f"{src}: needs one sheet datasets.xlsx, found {names}; copy it beside the images")
    sheet = read_sheet(sheets[0].read(), where=sheets[0].name)
    findings += [_finding("sheet_cell", sheets[0].name, remark) for remark in sheet.remarks]
    cases = {
        stem: _Case(stem, image, labels.get(stem), sheet.rows.get(int(stem[:4])))
        for stem, image in sorted(images.items())
    }
    findings += _compare_indexes(cases, labels, sheet)
    used = [*images.values(), *labels.values(), *sheets]
    return _Files(cases, sheet, tuple(findings), tuple(sorted(used, key=lambda file: file.name)))


def _index_by_stem(files: list[SourceFile], suffix: str, findings: list[dict[str, str]]) -> dict[str, SourceFile]:
    found: dict[str, SourceFile] = {}
    for file in files:
        if file.suffix != suffix:
            continue
        stem = Path(file.name).stem
        if not _STEM.fullmatch(stem):
            findings.append(_finding("ignored_file", file.name, "its name is not seven digits"))
        elif stem in found:
            findings.append(_finding("ignored_file", file.name, f"{found[stem].name} has the same name and is taken"))
        else:
            found[stem] = file
    return found


def _compare_indexes(cases: dict[str, _Case], labels: dict[str, SourceFile], sheet: SheetTable) -> list[dict[str, str]]:
    numbers = Counter(case.number for case in cases.values())
    findings = [
        _finding("sheet_row_without_image", f"case {number:04d}", "no image of this number")
        for number in sorted(set(sheet.rows) - set(numbers))
    ]
    findings += [
        _finding("case_with_several_images", f"case {number:04d}", f"{count} images share the number, and a group")
        for number, count in sorted(numbers.items())
        if count > 1
    ]
    findings += [
        _finding("json_without_image", file.name, "no image of this name")
        for stem, file in sorted(labels.items())
        if stem not in cases
    ]
    return findings


def _compare_name_and_sheet(case: _Case) -> list[dict[str, str]]:
    if case.row is None:
        return [_finding("image_without_sheet_row", case.image.name, "imported with the sex and age of its name alone")]
    findings = []
    if case.row.sex != _STEM_SEXES.get(case.stem[4]):
        named = _STEM_SEXES.get(case.stem[4], f"digit {case.stem[4]}")
        findings.append(_finding("sex_disagrees", case.image.name, f"name {named}, sheet {case.row.sex}; sheet taken"))
    if case.row.age != int(case.stem[5:]):
        findings.append(
            _finding("age_disagrees", case.image.name, f"name {int(case.stem[5:])}, sheet {case.row.age}; sheet taken")
        )
    return findings


def _compare_labels_and_image(case: _Case, file: SourceFile) -> list[dict[str, str]]:
    try:
        labels = _read_labels(file)
    except DataError as error:
        return [_finding("json_not_usable", file.name, str(error))]
    findings = [] if labels.remark is None else [_finding("repeated_label", file.name, labels.remark)]
    try:
        head = case.image.read()[16:24]
    except DataError as error:
        return [*findings, _finding("image_not_usable", case.image.name, str(error))]
    width, height = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
    if (labels.width, labels.height) != (width, height):
        findings.append(_finding("size_disagrees", file.name, _describe_sizes(file.name, labels, width, height)))
    return findings


def _read_labels(file: SourceFile) -> LabelMePoints:
    return read_labelme(file.read(), where=file.name)


def _check_on_image(where: str, labels: LabelMePoints) -> None:
    x, y = labels.landmarks_xy[:, 0], labels.landmarks_xy[:, 1]
    outside = int(((x < 0) | (y < 0) | (x > labels.width) | (y > labels.height)).sum())
    if outside:
        raise DataError(
            f"{where}: {outside} points lie outside the {labels.width} x {labels.height} image; correct them"
        )


def _describe_sizes(where: str, labels: LabelMePoints, width: int, height: int) -> str:
    return (
        f"{where}: was annotated on {labels.width} x {labels.height} pixels, its image has {width} x {height}; "
        "find the image that belongs to it, or leave the film out"
    )


def _build_key(case: _Case) -> SampleKey:
    row = case.row
    strata = {
        "sex": case.sex,
        "age_band": None if case.age is None else age_band(case.age),
        "curvature": None if row is None else row.curvature,
        "disease": None if row is None else row.disease,
    }
    return SampleKey(
        sample_id=f"csxa{case.stem}",
        group_id=f"csxa-{case.stem[:4]}",
        origin=case.stem,
        strata={name: value for name, value in strata.items() if value is not None},
    )
