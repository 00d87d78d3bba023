"""DICOM radiographs: computed radiography, digital radiography and secondary capture, stripped of their patient.

| met | rule |
| --- | --- |
| SOP class or modality | CR, DX (for presentation or processing) and secondary capture; anything else is refused |
| pixels | modality LUT or rescale, then VOI LUT or window (the first one), then MONOCHROME1 inverted |
| depth | 8 bits stored stay 8; more become 16, the window's whole output range spread over 0..65535 |
| no window | the range of values that is met in the pixels is spread over the depth |
| colour (secondary capture) | handed to the overlay detector as RGB, then gray |
| several frames | refused: nothing says which one is the film |
| spacing | `PixelSpacing` if calibrated, or other than the imager's: "patient"; else `ImagerPixelSpacing`: "detector" |
| | a secondary capture's `PixelSpacing` or `NominalScannedPixelSpacing`: "unknown"; zero: not known |
| `BurnedInAnnotation` = YES | refused unless allowed: the pixels may name the patient, and no detector finds all text |
| `SyntheticData` = YES | refused: a film that is imported counts as captured from a patient |
| patient | `PatientID` becomes a number in the order of its hash, sex is kept, age is kept up to 90 |

Only sex, age and spacing go from header to dataset. `source_id` is null, and rejections number the films in the order
of their names, because instance UIDs and file names lead back to a person; the log alone names a rejected film's file.
The patient's number depends on the set of patients alone; without `PatientID` a film is a group of its own.
Ages above 89 become 90, as the US Safe Harbor rule asks.

Source: 45 CFR 164.514(b)(2); DICOM PS3.3 C.7.6.3, C.11, 10.7.1.3.
"""

import hashlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Unpack

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.classes import Sex
from cspine_bench.anatomy.landmarks import NUM_LANDMARKS
from cspine_bench.dataset.source import Radiograph, Rejected, SampleKey
from cspine_bench.dataset.splits import age_band
from cspine_bench.errors import DataError, MissingExtraError
from cspine_bench.imaging.fit import Pixels
from cspine_bench.imaging.prepare import ImportOptions, ImportSettings, prepare_film
from cspine_bench.imaging.read import MAX_PIXELS
from cspine_bench.sources.files import SourceFile, compute_fingerprint, list_files

_LOG = logging.getLogger(__name__)

OLDEST_AGE: Final = 90
_SUFFIXES: Final = ("", ".dcm", ".dicom", ".ima", ".dic")
_MODALITIES: Final = ("CR", "DX", "RG", "SC")
_SOP_CLASSES: Final = (
    "1.2.840.10008.5.1.4.1.1.1",  # CR, DX and its kin
    "1.2.840.10008.5.1.4.1.1.7",  # secondary capture and its kin
)
_SEXES: Final[dict[str, Sex]] = {"M": "male", "F": "female"}
_AGE_UNITS: Final = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_PLUGINS: Final = {
    "1.2.840.10008.1.2.4.50": "pillow",
    "1.2.840.10008.1.2.4.51": "python-gdcm",
    "1.2.840.10008.1.2.4.57": "python-gdcm",
    "1.2.840.10008.1.2.4.70": "python-gdcm",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg pylibjpeg-openjpeg",
}
"""Package that decodes each compressed syntax. Source: pydicom 3.0, "Plugins for pixel data decoding"."""

_SYNTHETIC_DATA: Final = 0x0008001C
"""By its number, which a pydicom that does not know the name reads too."""

Plane = Literal["patient", "detector", "unknown"]


@dataclass(frozen=True, slots=True)
class _Film:
    file: SourceFile
    key: SampleKey
    sex: Sex | None
    age: int | None


def _import_pydicom() -> Any:
    # An optional extra, a third of a second to load.
    try:
        import pydicom
    except ImportError as error:
        raise MissingExtraError("pydicom", "dicom") from error
    return pydicom


class DicomSource:
    """Films from DICOM files.

    Args:
        src: a folder (with all below it) or a zip archive. Files that end in .dcm, .dicom, .ima, .dic or without a
            suffix count.
        allow_burned_in: take films that say that annotation is burned into their pixels.
        settings: see `ImportOptions`.

    Raises:
        MissingExtraError: pydicom is not installed.
    """

    def __init__(self, src: Path, *, allow_burned_in: bool = False, **settings: Unpack[ImportSettings]) -> None:
        _import_pydicom()
        self.src = Path(src)
        self.options = ImportOptions(**settings)
        self.allow_burned_in = allow_burned_in

    @cached_property
    def _films(self) -> dict[str, _Film]:
        files = [file for file in list_files(self.src) if _is_candidate(file)]
        if not files:
            raise DataError(
                f"{self.src}: holds no DICOM file (.dcm, .dicom, .ima, .dic, or no suffix); give their folder"
            )
        headers = [_read_strata(file) for file in files]
        patients = [header[0] or f"file {index}" for index, header in enumerate(headers)]
        # By hash, so that the number says nothing about the order of the identifiers.
        numbers = {name: number for number, name in enumerate(sorted(set(patients), key=_hash), start=1)}
        films = {}
        for index, (file, patient, (_, sex, age)) in enumerate(zip(files, patients, headers, strict=True), start=1):
            strata = {name: value for name, value in (("sex", sex), ("age_band", age_band(age))) if value is not None}
            if age is None:
                del strata["age_band"]
            origin = f"film {index} of {len(files)}"
            key = SampleKey(f"dcm{index:08d}", f"patient-{numbers[patient]:08d}", origin, strata)
            films[key.sample_id] = _Film(file, key, sex, age)
        return films

    def describe(self) -> dict[str, Any]:
        """See `Source`. The fingerprint covers every file's name and content, by hash."""
        return {
            "kind": "dicom",
            **asdict(self.options),
            "allow_burned_in": self.allow_burned_in,
            "fingerprint": compute_fingerprint(film.file for film in self._films.values()),
        }

    def list_samples(self) -> list[SampleKey]:
        """See `Source`. Reads every header. In the order of the files' names.

        Raises:
            DataError: the source cannot be read, or holds no file that could be DICOM.
        """
        return [film.key for film in self._films.values()]

    def estimate_bytes(self) -> int:
        """See `Source`."""
        return (self.options.size or 2000) ** 2 * 14 // 10

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph | Rejected]:
        """See `Source`."""
        for key in keys:
            try:
                yield self._make(self._films[key.sample_id])
            except DataError as error:
                _LOG.warning("%s is rejected; its file is %s", key.origin, self._films[key.sample_id].file.name)
                yield Rejected(key, str(error))

    def _make(self, film: _Film) -> Radiograph:
        name = film.key.origin
        data = film.file.read(where=name)
        with _reading(name):
            dataset = _parse(data)
            _check_kind(dataset, name)
            if str(dataset.get("BurnedInAnnotation") or "").strip().upper() == "YES" and not self.allow_burned_in:
                raise DataError(
                    f"{name}: its header says that annotation is burned into the pixels, which may name the patient; "
                    "look at it, and clean it or allow burned-in annotation"
                )
            spacing, plane = _read_spacing(dataset)
            pixels = _decode(dataset, name)
        prepared = prepare_film(
            pixels,
            options=self.options,
            landmarks_xy=np.full((NUM_LANDMARKS, 2), np.nan),
            spacing_xy_mm=spacing,
            where=name,
        )
        fields = prepared.fields | {
            "pixel_spacing_plane": plane,
            "sex": film.sex,
            "age": film.age,
            "source_kind": "dicom",
            "source_sha256": hashlib.sha256(data).hexdigest(),
        }
        return Radiograph(film.key, prepared.image, None, prepared.landmarks_xy, fields)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _is_candidate(file: SourceFile) -> bool:
    return file.problem is not None or (file.suffix in _SUFFIXES and not file.name.endswith("DICOMDIR"))


@contextmanager
def _reading(where: str) -> Iterator[None]:
    """Turn what pydicom raises on a broken file into a DataError; pydicom parses values when they are asked for."""
    errors = _import_pydicom().errors
    broken = (
        errors.BytesLengthException,
        OSError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
        IndexError,
        EOFError,
        OverflowError,
        NotImplementedError,
    )
    with warnings.catch_warnings():
        # pydicom warns about values that break the standard; the ones that matter are checked here.
        warnings.simplefilter("ignore")
        try:
            yield
        except errors.InvalidDicomError as error:
            raise DataError(
                f"{where}: is no DICOM file (no DICM mark at byte 128); remove it, or import images"
            ) from error
        except broken as error:
            # What pydicom says may quote the header, so it is left out.
            raise DataError(
                f"{where}: the DICOM file is damaged, cut short or of an unknown kind; copy it again"
            ) from error


def _parse(data: bytes, *, stop_before_pixels: bool = False) -> Any:
    return _import_pydicom().dcmread(io.BytesIO(data), stop_before_pixels=stop_before_pixels)


def _read_strata(file: SourceFile) -> tuple[str | None, Sex | None, int | None]:
    """Patient, sex and age; nothing where the file cannot be read, which `iter_radiographs` will say."""
    try:
        with _reading(file.name):
            dataset = _parse(file.read(), stop_before_pixels=True)
            patient = str(dataset.get("PatientID") or "").strip()
            issuer = str(dataset.get("IssuerOfPatientID") or "").strip()
            sex = _SEXES.get(str(dataset.get("PatientSex") or "").strip().upper())
            age = _read_age(str(dataset.get("PatientAge") or ""))
    except DataError:
        return None, None, None
    return (f"{issuer}\0{patient}" if patient else None), sex, age


def _read_age(text: str) -> int | None:
    """Whole years of a DICOM age string such as 045Y or 006M. Source: DICOM PS3.5 6.2, VR AS."""
    text = text.strip().upper()
    if len(text) < 2 or text[-1] not in _AGE_UNITS or not text[:-1].isdigit():
        return None
    return min(int(int(text[:-1]) * _AGE_UNITS[text[-1]]), OLDEST_AGE)


def _check_kind(dataset: Any, where: str) -> None:
    sop_class = str(dataset.get("SOPClassUID") or "")
    modality = str(dataset.get("Modality") or "")
    if not sop_class and not modality:
        raise DataError(f"{where}: has neither SOP class nor modality; the file is damaged or cut short, copy it again")
    mark = dataset.get(_SYNTHETIC_DATA)
    if mark is not None and "YES" in str(mark.value).upper():
        raise DataError(
            f"{where}: its header says that its content is synthetic (0008,001C), and an imported film counts as "
            "captured from a patient; remove it, or use the release that it was exported from"
        )
    # The class rules where there is one: a secondary capture may carry any modality.
    known = any(sop_class == root or sop_class.startswith(root + ".") for root in _SOP_CLASSES)
    if not (known or (not sop_class and modality in _MODALITIES)):
        raise DataError(
            f"{where}: is {modality or 'of no modality'}, SOP class {sop_class or 'missing'}; "
            "CR, DX and secondary capture can be imported"
        )
    if "PixelData" not in dataset:
        raise DataError(f"{where}: has no pixel data; it is a report or a header alone, remove it")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise DataError(f"{where}: holds {frames} frames; export the right one as a file of its own")
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    if not 0 < rows * columns <= MAX_PIXELS:
        raise DataError(
            f"{where}: the header announces {columns} x {rows} pixels, allowed are 1 to {MAX_PIXELS:,} in all"
        )


def _read_pair(dataset: Any, name: str) -> tuple[float, float] | None:
    """(x, y) of a DICOM spacing, which is stored as row spacing (y), then column spacing (x)."""
    value = dataset.get(name)
    if value is None or isinstance(value, (str, float)) or len(value) != 2:
        return None
    try:
        y, x = float(value[0]), float(value[1])
    except (TypeError, ValueError):
        return None
    return (x, y) if 0 < x < 100 and 0 < y < 100 else None


def _read_spacing(dataset: Any) -> tuple[tuple[float, float] | None, Plane | None]:
    """Spacing, and the plane in which it holds. Source: DICOM PS3.3 10.7.1.3."""
    imager, pixel = _read_pair(dataset, "ImagerPixelSpacing"), _read_pair(dataset, "PixelSpacing")
    if str(dataset.get("SOPClassUID") or "").startswith(_SOP_CLASSES[1]):
        spacing = pixel or _read_pair(dataset, "NominalScannedPixelSpacing")
        return spacing, None if spacing is None else "unknown"
    if pixel is not None:
        if dataset.get("PixelSpacingCalibrationType") or (imager is not None and pixel != imager):
            return pixel, "patient"
        return pixel, "unknown" if imager is None else "detector"
    return imager, None if imager is None else "detector"


def _name_decoder(syntax: Any) -> str:
    package = _PLUGINS.get(str(syntax), "")
    remedy = f"install its decoder with: pip install {package}" if package else "save it uncompressed first"
    return f"cannot decode the syntax {getattr(syntax, 'name', syntax)} ({syntax}); {remedy}"


def _decode(dataset: Any, where: str) -> Pixels:
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    photometric = str(dataset.get("PhotometricInterpretation") or "")
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    try:
        raw: NDArray[Any] = dataset.pixel_array
    except (NotImplementedError, RuntimeError) as error:
        raise DataError(f"{where}: {_name_decoder(syntax)}") from error
    # pydicom has already made RGB of any YBR.
    if raw.ndim == 2 and photometric in ("MONOCHROME1", "MONOCHROME2"):
        raw = apply_voi_lut(apply_modality_lut(raw, dataset), dataset)
    if raw.ndim == 3 and raw.shape[2] == 3 and raw.dtype == np.uint8:
        return raw
    if raw.ndim != 2 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        kind = f"{photometric or 'no photometric interpretation'}, {raw.dtype} {raw.shape}"
        raise DataError(
            f"{where}: has pixels of the kind {kind}; MONOCHROME1, MONOCHROME2 and 8-bit RGB can be imported"
        )
    return _spread(raw, dataset, inverted=photometric == "MONOCHROME1")


def _spread(values: NDArray[Any], dataset: Any, *, inverted: bool) -> Pixels:
    """Values after the window, linearly over the whole of 8 or 16 bits."""
    low, high = float(values.min()), float(values.max())
    window = _find_output_range(dataset)
    if window is not None:
        low, high = min(low, window[0]), max(high, window[1])
    dtype: Any = np.uint8 if int(dataset.get("BitsStored") or 16) <= 8 else np.uint16
    top = np.iinfo(dtype).max
    share = (values.astype(np.float64) - low) / max(high - low, 1e-12)
    result: Pixels = np.rint(np.clip(share, 0, 1) * top).astype(dtype)
    return (top - result).astype(dtype) if inverted else result


def _find_output_range(dataset: Any) -> tuple[float, float] | None:
    """The range onto which pydicom's `apply_voi_lut` maps: a LUT's own depth, or a window's whole input range."""
    if dataset.get("VOILUTSequence"):
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        return 0.0, float(2**bits - 1)
    if dataset.get("WindowCenter") is None or dataset.get("WindowWidth") is None:
        return None
    bits, signed = int(dataset.get("BitsStored") or 16), int(dataset.get("PixelRepresentation") or 0)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
    ends = sorted((low * slope + intercept, high * slope + intercept))
    return ends[0], ends[1]
