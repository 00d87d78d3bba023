"""One radiograph as DICOM: a Secondary Capture image, and its mask as a segmentation. The same row, the same bytes.

| question | answer |
| --- | --- |
| SOP class | Secondary Capture, converted by synthesis (Conversion Type SYN); a Digital X-Ray object would have to |
| | state a detector, an exposure and a geometry that never were |
| marked | Synthetic Data (0008,001C) = YES; Contributing Equipment with purpose 109100 names the generator |
| patient | named SYNTHETIC, numbered by the group; sex and age where the row has them; no birth date |
| time | the release's date, at midnight: the bytes do not depend on a clock |
| identifiers | 2.25 and a UUID from the SHA-256 of the dataset's digest and the sample: another release has others |
| pixels | as in the PNG, uncompressed, MONOCHROME2, 8 or 16 bits |
| spacing | Pixel Spacing; calibrated (GEOMETRY) where it holds in the patient's plane |

Source: DICOM PS3.3 2024b A.8.1, A.51, C.7.5.1, C.7.6.1, C.8.6, C.12.1 (Synthetic Data); PS3.5 B.2; PS3.16 CID 7005.
"""

import datetime
import hashlib
import io
import uuid
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import LEVELS, MASK_LABELS
from cspine_bench.errors import MissingExtraError
from cspine_bench.provenance import package_version
from cspine_bench.schema import Record

NOTICE: Final = "Synthetic image. No patient is depicted. Not for diagnosis."
SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
_MIDNIGHT: Final = "000000"
_EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
_VERTEBRAE: Final = {
    "C1": ("14806007", "C1 vertebra"),
    "C2": ("39976000", "C2 vertebra"),
    "C3": ("113205007", "C3 vertebra"),
    "C4": ("5329002", "C4 vertebra"),
    "C5": ("36978003", "C5 vertebra"),
    "C6": ("36054005", "C6 vertebra"),
    "C7": ("87391001", "C7 vertebra"),
    "T1": ("64864005", "T1 vertebra"),
}
"""SNOMED CT. Source: DICOM PS3.16 CID 7602."""
_MASK_MAKERS: Final = {
    "exact": "known to the phantom",
    "conditioned": "drawn before the image",
    "measured": "segmented by a trained model",
}
"""By `Record.label_source`: what made a mask that no reader drew."""


@dataclass(frozen=True)
class DicomFile:
    """The bytes of a DICOM file and its SOP instance UID."""

    data: bytes
    uid: str


def import_pydicom(package: str = "pydicom") -> Any:
    """The library that writes DICOM, or `highdicom`.

    Raises:
        MissingExtraError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingExtraError(package, "dicom") from error


def build_image(record: Record, pixels: NDArray[Any], *, digest: str, date: datetime.date) -> Any:
    """The Secondary Capture object of a radiograph.

    Args:
        record: its row, without its pixels.
        pixels: uint8 or uint16 (height, width), as the PNG holds them.
        digest: of the dataset's manifest.
        date: of the release.

    Returns:
        A `pydicom.FileDataset`-like dataset with its file meta; `render` makes a file of it.

    Raises:
        MissingExtraError: pydicom is not installed.
    """
    dataset = import_pydicom().Dataset()
    dataset.file_meta = _build_meta(SECONDARY_CAPTURE, _make_uid("image", digest, record.sample_id))
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.SOPClassUID = SECONDARY_CAPTURE
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.SyntheticData = "YES"
    dataset.Modality = "OT"
    dataset.ConversionType = "SYN"
    dataset.StudyDescription = "Synthetic lateral cervical spine"
    dataset.SeriesDescription = "Synthetic radiograph, not for diagnosis"
    dataset.BodyPartExamined = "CSPINE"
    dataset.ImageComments = NOTICE
    _describe_patient(dataset, record)
    dataset.StudyInstanceUID = _make_uid("study", digest, record.group_id)
    dataset.SeriesInstanceUID = _make_uid("series", digest, record.sample_id)
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.StudyID = "SYNTHETIC"
    dataset.AccessionNumber = dataset.ReferringPhysicianName = ""
    dataset.StudyDate, dataset.StudyTime = f"{date:%Y%m%d}", _MIDNIGHT
    dataset.PatientOrientation = {"left": ["P", "F"], "right": ["A", "F"], None: ""}[record.facing]
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.ContributingEquipmentSequence = [_name_generator(record)]
    _describe_pixels(dataset, record, pixels)
    return dataset


def build_mask(record: Record, mask: NDArray[np.uint8], image: Any, *, digest: str) -> Any:
    """The segmentation object of a mask: a segment for each vertebra that is annotated and in view.

    Args:
        record: the row, without its pixels.
        mask: uint8 (height, width) of label ids.
        image: what `build_image` gave.
        digest: of the dataset's manifest.

    Returns:
        As `build_image`; None where the mask is background alone, which a segmentation cannot hold.

    Raises:
        MissingExtraError: highdicom is not installed.
    """
    highdicom = import_pydicom("highdicom")
    present = [level for level in LEVELS if (mask == MASK_LABELS[level]).any()]
    if not present:
        return None
    planes = np.stack([mask == MASK_LABELS[level] for level in present], axis=-1)[None]
    dataset = highdicom.seg.Segmentation(
        source_images=[image],
        pixel_array=planes.astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[
            _describe_segment(number, level, record) for number, level in enumerate(present, start=1)
        ],
        series_instance_uid=_make_uid("mask-series", digest, record.sample_id),
        series_number=2,
        sop_instance_uid=_make_uid("mask", digest, record.sample_id),
        instance_number=1,
        manufacturer="cspine-bench",
        manufacturer_model_name=record.generator or record.source_kind,
        software_versions=record.generator_version or package_version(),
        device_serial_number="none",
        content_label="VERTEBRAE",
        content_description="Masks of vertebrae, by level",
    )
    dataset.SyntheticData = "YES"
    dataset.SeriesDescription = "Vertebra masks of a synthetic radiograph"
    dataset.ContributingEquipmentSequence = [_name_generator(record)]
    dimension = _make_uid("dimension", digest, record.sample_id)
    dataset.DimensionOrganizationSequence[0].DimensionOrganizationUID = dimension
    for item in dataset.DimensionIndexSequence:
        item.DimensionOrganizationUID = dimension
    dataset.PatientOrientation = image.PatientOrientation
    # A spacing without a thickness and an orientation, which a projection has not, keeps highdicom, GDCM and ITK from
    # opening the file. The spacing is that of the image, pixel for pixel.
    dataset.SharedFunctionalGroupsSequence[0].pop("PixelMeasuresSequence", None)
    # highdicom writes the time of day.
    dataset.ContentDate, dataset.ContentTime = image.StudyDate, _MIDNIGHT
    for name in ("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime"):
        if name in dataset:
            delattr(dataset, name)
    for segment in dataset.SegmentSequence:
        # The name says it; no standard code of an algorithm's family fits.
        segment.pop("SegmentationAlgorithmIdentificationSequence", None)
    dataset.file_meta = _build_meta(dataset.SOPClassUID, dataset.SOPInstanceUID)
    return dataset


def render(dataset: Any) -> DicomFile:
    """The bytes of a DICOM file."""
    buffer = io.BytesIO()
    import_pydicom().dcmwrite(buffer, dataset, enforce_file_format=True)
    return DicomFile(buffer.getvalue(), str(dataset.SOPInstanceUID))


def _make_uid(kind: str, digest: str, name: str) -> str:
    hashed = hashlib.sha256(f"cspine-bench/{kind}/{digest}/{name}".encode()).digest()
    return f"2.25.{uuid.UUID(bytes=hashed[:16], version=5).int}"


def _build_meta(sop_class: str, uid: str) -> Any:
    meta = import_pydicom().dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = _EXPLICIT_LITTLE_ENDIAN
    # Our own: pydicom would put its version here, and the bytes would change with it.
    meta.ImplementationClassUID = _make_uid("implementation", "", "")
    meta.ImplementationVersionName = "CSPINE_BENCH"
    return meta


def _describe_patient(dataset: Any, record: Record) -> None:
    number = hashlib.sha256(record.group_id.encode()).hexdigest()[:16].upper()
    dataset.PatientName = f"SYNTHETIC^{number}"
    dataset.PatientID = f"SYNTHETIC-{number}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = {"male": "M", "female": "F", None: ""}[record.sex]
    if record.age is not None:
        dataset.PatientAge = f"{record.age:03d}Y"
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Synthetic: there is no patient"


def _describe_pixels(dataset: Any, record: Record, pixels: NDArray[Any]) -> None:
    bits = 8 * pixels.dtype.itemsize
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 0
    # The identity, as PS3.3 C.11.2.1.2 defines a window.
    dataset.WindowCenter, dataset.WindowWidth = str(2 ** (bits - 1)), str(2**bits)
    if record.pixel_spacing_mm is not None:
        dataset.PixelSpacing = [f"{record.pixel_spacing_mm:.6g}"] * 2
        if record.pixel_spacing_plane == "patient":
            dataset.PixelSpacingCalibrationType = "GEOMETRY"
            dataset.PixelSpacingCalibrationDescription = "Holds in the midsagittal plane"
    data = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<")).tobytes()
    dataset.add_new("PixelData", "OB" if bits == 8 else "OW", data + b"\0" * (len(data) % 2))


def _name_generator(record: Record) -> Any:
    pydicom = import_pydicom()
    purpose, item = pydicom.Dataset(), pydicom.Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "109100", "DCM"
    purpose.CodeMeaning = "Synthesizing Equipment"
    item.PurposeOfReferenceCodeSequence = [purpose]
    item.Manufacturer = "cspine-bench"
    item.ManufacturerModelName = _shorten(record.generator or record.source_kind)
    if record.generator_version is not None:
        item.SoftwareVersions = _shorten(record.generator_version)
    facts = {"source": record.source_kind, "run": record.run_id, "weights": record.weights_sha256}
    text = ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
    item.ContributionDescription = text[:1024]
    return item


def _describe_segment(number: int, level: str, record: Record) -> Any:
    highdicom = import_pydicom("highdicom")
    code = highdicom.sr.CodedConcept
    value, meaning = _VERTEBRAE[level]
    maker = _MASK_MAKERS.get(record.label_source or "")
    algorithm = None
    if maker is not None:
        algorithm = highdicom.AlgorithmIdentificationSequence(
            name=maker, family=code("123110", "DCM", "Artificial Intelligence"), version="1"
        )
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=level,
        segmented_property_category=code("91723000", "SCT", "Anatomical Structure"),
        segmented_property_type=code(value, "SCT", meaning),
        algorithm_type="MANUAL" if maker is None else "AUTOMATIC",
        algorithm_identification=algorithm,
    )


def _shorten(text: str) -> str:
    """A value of the DICOM type LO: 64 characters, no backslash."""
    return text.replace("\\", "/")[:64]
