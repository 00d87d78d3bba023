"""Which kind of films a folder holds: CSXA, DICOM, images, or a dataset of ours."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cspine_bench.cli.demo_settings import Origin
from cspine_bench.cli.output import format_count
from cspine_bench.errors import DataError

if TYPE_CHECKING:
    from cspine_bench.sources.files import SourceFile

_DICOM_SUFFIXES: Final = (".dcm", ".dicom", ".ima", ".dic")
_MARK: Final = slice(128, 132)
_LOOKED_INTO: Final = 64
"""Files without a suffix that are opened to look for the mark of DICOM."""


def detect_films(path: Path) -> Origin:
    """Say what lies in a folder or zip archive, by its file names and, for files without a suffix, their first bytes.

    A dataset folder is known by its manifest, CSXA by its sheet (`*.xlsx`) beside images or archives; else whichever
    there is more of, DICOM files or images. Files of the other kind are not imported; `words` says how many.

    Raises:
        DataError: the folder cannot be read, or holds no films.
    """
    from cspine_bench.dataset.manifest import MANIFEST_NAME
    from cspine_bench.dataset.read import open_dataset
    from cspine_bench.imaging.read import IMAGE_SUFFIXES
    from cspine_bench.sources.files import list_files

    if (path / MANIFEST_NAME).is_file():
        return Origin("dataset", path, True, f"a dataset folder of {len(open_dataset(path)):,} films")
    files = list_files(path)
    suffixes = Counter(file.suffix for file in files)
    sheets = [file.name for file in files if file.suffix == ".xlsx" and not _base(file).startswith("~$")]
    num_images = sum(suffixes[suffix] for suffix in IMAGE_SUFFIXES)
    if len(sheets) == 1 and (num_images or suffixes[".zip"]):
        return Origin("csxa", path, True, f"CSXA: a sheet ({sheets[0]}) beside images with labels")
    num_dicom = sum(suffixes[suffix] for suffix in _DICOM_SUFFIXES) + _count_marked(files)
    if not num_dicom and not num_images:
        met = ", ".join(f"{number:,} {suffix or 'without a suffix'}" for suffix, number in suffixes.most_common(4))
        raise DataError(
            f"{path}: holds no films that are known: {met or 'no file'}; give a folder of DICOM files, of images "
            f"({', '.join(sorted(IMAGE_SUFFIXES))}), of CSXA (its sheet, images and JSON files), or a dataset folder"
        )
    if num_dicom >= num_images:
        others = f"; {format_count(num_images, 'image file')} beside them stay out" if num_images else ""
        return Origin("dicom", path, False, f"{format_count(num_dicom, 'DICOM file')}{others}")
    others = f"; {format_count(num_dicom, 'DICOM file')} beside them stay out" if num_dicom else ""
    return Origin("images", path, False, f"{format_count(num_images, 'image file')}{others}")


def _base(file: "SourceFile") -> str:
    return file.name.rpartition("/")[2]


def _count_marked(files: Sequence["SourceFile"]) -> int:
    """How many files without a suffix are DICOM: where the first few are not, none is."""
    bare = [file for file in files if file.suffix == "" and file.problem is None]
    marked = sum(_is_marked(file) for file in bare[:_LOOKED_INTO])
    return len(bare) if marked and marked == len(bare[:_LOOKED_INTO]) else marked


def _is_marked(file: "SourceFile") -> bool:
    if file.member is not None:
        return file.read()[_MARK] == b"DICM"
    with file.path.open("rb") as stream:
        return stream.read(_MARK.stop)[_MARK] == b"DICM"
