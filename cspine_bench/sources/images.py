"""A folder or zip archive of PNG, JPEG and TIFF films, with labels in an optional `labels.csv`.

`labels.csv` lies at the root. Its column `file` holds names relative to the root, with forward slashes; any of these
columns may follow, an empty cell meaning "not known":

| column | values |
| --- | --- |
| `sex` | male, female (or m, f) |
| `age` | whole years; above 89 become 90, as the US Safe Harbor rule (45 CFR 164.514(b)(2)) asks |
| `group` | any text: films with the same text are of one patient, and never cut apart by a split |
| `curvature` | lordotic, straight, sigmoid1, sigmoid2, kyphotic |
| `disease` | healthy, spondylosis |
| `spacing_mm` | side of a square pixel, mm |

Without a `group` each film is a group of its own, unless `group_pattern` is given: a regular expression that is
searched in the file's name, whose first group (or whole match) is the patient. Group names are replaced by numbers in
the dataset. A film's own name becomes its `source_id` only with `keep_names`, because names of films often hold a
patient's; a rejected film is listed with its name either way.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Unpack

import numpy as np

from cspine_bench.anatomy.classes import CURVATURE_CLASSES, DISEASES, SEXES
from cspine_bench.anatomy.landmarks import NUM_LANDMARKS
from cspine_bench.dataset.source import Radiograph, Rejected, SampleKey
from cspine_bench.dataset.splits import age_band
from cspine_bench.errors import DataError
from cspine_bench.imaging.prepare import ImportOptions, ImportSettings, prepare_film
from cspine_bench.imaging.read import IMAGE_SUFFIXES, decode_image
from cspine_bench.sources.files import SourceFile, compute_fingerprint, list_files

LABELS_FILE: Final = "labels.csv"
OLDEST_AGE: Final = 90
"""Ages above 89 identify people; they are set to 90. Source: 45 CFR 164.514(b)(2)(i)(C)."""

_COLUMNS: Final = ("file", "sex", "age", "group", "curvature", "disease", "spacing_mm")
_CHOICES: Final[dict[str, tuple[str, ...]]] = {"sex": SEXES, "curvature": CURVATURE_CLASSES, "disease": DISEASES}
_SHORT_SEXES: Final = {"m": "male", "f": "female"}


@dataclass(frozen=True, slots=True)
class _Film:
    file: SourceFile
    key: SampleKey
    labels: dict[str, Any]


class ImagesSource:
    """Films from image files.

    Args:
        src: a folder (with all below it) or a zip archive.
        group_pattern: finds the patient in a file's relative name; see the module.
        keep_names: record each film's relative name as `source_id`.
        settings: see `ImportOptions`.

    A file with an image's suffix that is none is rejected when its turn comes; other files are left alone.
    """

    def __init__(
        self,
        src: Path,
        *,
        group_pattern: str | None = None,
        keep_names: bool = False,
        **settings: Unpack[ImportSettings],
    ) -> None:
        try:
            re.compile(group_pattern or "")
        except re.error as error:
            raise DataError(f"group pattern {group_pattern!r} is no regular expression: {error}") from error
        self.src = Path(src)
        self.options = ImportOptions(**settings)
        self.group_pattern = group_pattern
        self.keep_names = keep_names

    @cached_property
    def _all_files(self) -> list[SourceFile]:
        return list_files(self.src)

    @cached_property
    def _films(self) -> dict[str, _Film]:
        files = [file for file in self._all_files if file.suffix in IMAGE_SUFFIXES or file.problem is not None]
        if not files:
            suffixes = ", ".join(IMAGE_SUFFIXES)
            raise DataError(f"{self.src}: holds no image ({suffixes}); give the folder that the films lie in")
        labels = self._read_labels({file.name for file in files})
        names = [self._name_group(file.name, labels.get(file.name, {})) for file in files]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names), start=1)}
        films = (
            _Film(
                file, _build_key(index, file.name, numbers[name], labels.get(file.name, {})), labels.get(file.name, {})
            )
            for index, (file, name) in enumerate(zip(files, names, strict=True), start=1)
        )
        return {film.key.sample_id: film for film in films}

    def _name_group(self, name: str, labels: dict[str, Any]) -> tuple[str, str]:
        if labels.get("group"):
            return ("label", labels["group"])
        if self.group_pattern is None:
            return ("file", name)
        match = re.search(self.group_pattern, name)
        if match is None:
            raise DataError(
                f"{name}: does not match the group pattern {self.group_pattern!r}, so its patient is not known"
            )
        return ("pattern", match[1] if match.re.groups else match[0])

    def _read_labels(self, names: set[str]) -> dict[str, dict[str, Any]]:
        file = next((file for file in self._all_files if file.name == LABELS_FILE), None)
        return {} if file is None else read_labels(file.read(), names=names, where=file.name)

    def describe(self) -> dict[str, Any]:
        """See `Source`. The fingerprint covers every file's name and content (in an archive: size and CRC-32)."""
        used = [film.file for film in self._films.values()]
        used += [file for file in self._all_files if file.name == LABELS_FILE]
        return {
            "kind": "images",
            **asdict(self.options),
            "group_pattern": self.group_pattern,
            "keep_names": self.keep_names,
            "fingerprint": compute_fingerprint(used),
        }

    def list_samples(self) -> list[SampleKey]:
        """See `Source`. In the order of the files' names.

        Raises:
            DataError: the source cannot be read or holds no image, or `labels.csv` is wrong.
        """
        return [film.key for film in self._films.values()]

    def estimate_bytes(self) -> int:
        """See `Source`."""
        return (self.options.size or 1500) ** 2 * 7 // 10

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph | Rejected]:
        """See `Source`."""
        for key in keys:
            try:
                yield self._make(self._films[key.sample_id])
            except DataError as error:
                yield Rejected(key, str(error))

    def _make(self, film: _Film) -> Radiograph:
        data = film.file.read()
        spacing = film.labels.get("spacing_mm")
        prepared = prepare_film(
            decode_image(data, where=film.file.name).pixels,
            options=self.options,
            landmarks_xy=np.full((NUM_LANDMARKS, 2), np.nan),
            spacing_xy_mm=None if spacing is None else (spacing, spacing),
            where=film.file.name,
        )
        read = film.labels.get("curvature") is not None or film.labels.get("disease") is not None
        fields = prepared.fields | {
            "pixel_spacing_plane": None if spacing is None else "unknown",
            "label_source": "reader" if read else None,
            "source_kind": "images",
            "source_id": film.file.name if self.keep_names else None,
            "source_sha256": sha256(data).hexdigest(),
        }
        fields |= {name: film.labels.get(name) for name in ("sex", "age", "curvature", "disease")}
        return Radiograph(film.key, prepared.image, None, prepared.landmarks_xy, fields)


def read_labels(data: bytes, *, names: set[str], where: str) -> dict[str, dict[str, Any]]:
    """Labels by file name, as typed values; an empty cell is None.

    Args:
        data: the CSV, UTF-8 (a byte-order mark is allowed).
        names: files that it may name.

    Raises:
        DataError: no `file` column, an unknown column or file, a file named twice, or a value that is not allowed.
    """
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig")), strict=True)
        rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{where}: is no UTF-8 CSV file ({error}); save it as one") from error
    columns = [name.strip().lower() for name in reader.fieldnames or ()]
    unknown = [name for name in columns if name not in _COLUMNS]
    twice = [name for name in columns if columns.count(name) > 1]
    if "file" not in columns or unknown or twice:
        wrong = f"unknown column {unknown[0]!r}" if unknown else "no column 'file'"
        wrong = f"column {twice[0]!r} is there twice" if twice else wrong
        raise DataError(f"{where}: {wrong}; allowed are {', '.join(_COLUMNS)}, each once, separated by commas")
    labels: dict[str, dict[str, Any]] = {}
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise DataError(f"{where}, line {line}: has another number of cells than the header's {len(columns)}")
        cells = {name: text.strip() for name, text in zip(columns, row.values(), strict=True)}
        file = cells.pop("file")
        if file not in names or file in labels:
            wrong = "is named twice" if file in labels else "is no image below the source's root"
            raise DataError(f"{where}, line {line}: {file!r} {wrong}")
        labels[file] = {name: _read_cell(name, text, f"{where}, line {line}") for name, text in cells.items() if text}
    return labels


def _read_cell(name: str, text: str, where: str) -> Any:
    if name == "group":
        return text
    if name in _CHOICES:
        value = _SHORT_SEXES.get(text.lower(), text.lower()) if name == "sex" else text.lower()
        if value not in _CHOICES[name]:
            raise DataError(f"{where}: {name} is {text!r}; allowed are {', '.join(_CHOICES[name])}")
        return value
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if name == "age":
        if not (number.is_integer() and 0 <= number <= 130):
            raise DataError(f"{where}: age is {text!r}; allowed are whole years from 0 to 130")
        return min(int(number), OLDEST_AGE)
    if not 0 < number < 100:
        raise DataError(
            f"{where}: spacing_mm is {text!r}; it needs millimetres per pixel, more than 0 and less than 100"
        )
    return number


def _build_key(index: int, name: str, group: int, labels: dict[str, Any]) -> SampleKey:
    strata = {column: labels[column] for column in ("sex", "curvature", "disease") if labels.get(column)}
    if labels.get("age") is not None:
        strata["age_band"] = age_band(labels["age"])
    return SampleKey(f"img{index:08d}", f"images-{group:08d}", name, strata)
