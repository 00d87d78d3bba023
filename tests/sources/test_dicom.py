"""DICOM films: real ones from pydicom's test data, and made ones for each rule."""

import io
import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cspine_bench.dataset.source import Radiograph, Rejected
from cspine_bench.sources.dicom import DicomSource

pydicom = pytest.importorskip("pydicom")
data_store = pytest.importorskip("data_store")
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, generate_uid  # noqa: E402

OWN_FILES = Path(pydicom.__file__).parent / "data" / "test_files"
REAL_FILMS = Path(data_store.__file__).parent / "data"
CR, DX, SC, CT = (f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("1", "1.1", "7", "2"))
RAMP = np.linspace(100, 3900, 48 * 64).reshape(48, 64).astype(np.uint16)


def build_film(pixels=RAMP, **changes):
    film = Dataset()
    film.file_meta = FileMetaDataset()
    film.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    film.SOPClassUID = film.file_meta.MediaStorageSOPClassUID = CR
    film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["film"])
    film.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    film.Modality = "CR"
    film.PatientName, film.PatientID, film.PatientBirthDate = "Doe^Jane", "HOSPITAL-4711", "19300704"
    film.PatientSex, film.PatientAge = "F", "094Y"
    film.InstitutionName, film.StudyDate, film.AccessionNumber = "General Hospital", "20240229", "ACC-0815"
    film.PatientAddress, film.ReferringPhysicianName = "12 Elm Street", "House^Gregory"
    film.Rows, film.Columns = pixels.shape[:2]
    film.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    film.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        film.PlanarConfiguration = 0
    film.BitsAllocated = 8 * pixels.dtype.itemsize
    film.BitsStored = 8 if pixels.dtype == np.uint8 else 12
    film.HighBit, film.PixelRepresentation = film.BitsStored - 1, 0
    film.PixelData = pixels.tobytes()
    for name, value in changes.items():
        if value is None:
            delattr(film, name)
        else:
            setattr(film, name, value)
    return film


def encode(film):
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, film, enforce_file_format=True)
    return buffer.getvalue()


def make(tmp_path, films, **settings):
    tmp_path.mkdir(exist_ok=True)
    for name, film in films.items():
        (tmp_path / name).write_bytes(film if isinstance(film, bytes) else encode(film))
    source = DicomSource(tmp_path, **({"size": None} | settings))
    return list(source.iter_radiographs(source.list_samples()))


def make_one(tmp_path, film, **settings):
    (made,) = make(tmp_path, {"film.dcm": film}, **settings)
    return made


def test_16_bits_and_labels_survive(tmp_path):
    made = make_one(tmp_path, build_film())
    assert made.image.dtype == np.uint16 and made.image.shape == RAMP.shape
    # No window: the range that is met is spread over all 16 bits, linearly.
    expected = np.rint((RAMP.astype(float) - 100) / 3800 * 65535)
    np.testing.assert_allclose(made.image, expected, atol=1)
    assert (made.fields["sex"], made.fields["age"]) == ("female", 90)
    assert made.key.strata == {"sex": "female", "age_band": "80-99"}
    assert made.fields["pixel_spacing_mm"] is None and made.fields["pixel_spacing_plane"] is None


def test_monochrome1_is_the_inverse(tmp_path):
    plain = make_one(tmp_path / "a", build_film())
    inverse = make_one(tmp_path / "b", build_film(PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(inverse.image.astype(int), 65535 - plain.image.astype(int))


def test_rescale_and_window_worked_by_hand(tmp_path):
    film = build_film(WindowCenter=2000, WindowWidth=1000, RescaleSlope=1, RescaleIntercept=0)
    image = make_one(tmp_path, film).image.astype(float) / 65535
    # DICOM PS3.3 C.11.2.1.2: y = ((x - (c - .5)) / (w - 1) + .5), cut off at both ends.
    expected = np.clip((RAMP - 1999.5) / 999 + 0.5, 0, 1)
    np.testing.assert_allclose(image, expected, atol=2e-4)


def test_a_window_in_rescaled_units(tmp_path):
    film = build_film(WindowCenter=3000, WindowWidth=2000, RescaleSlope=2, RescaleIntercept=-1000)
    image = make_one(tmp_path, film).image.astype(float) / 65535
    expected = np.clip((2.0 * RAMP - 1000 - 2999.5) / 1999 + 0.5, 0, 1)
    np.testing.assert_allclose(image, expected, atol=3e-4)


def test_8_bits_and_colour_become_8_bit_gray(tmp_path):
    small = (RAMP >> 4).astype(np.uint8)
    assert make_one(tmp_path / "a", build_film(small)).image.dtype == np.uint8
    screen = make_one(tmp_path / "b", build_film(np.stack([small] * 3, axis=-1), SOPClassUID=SC))
    np.testing.assert_array_equal(screen.image, small)


@pytest.mark.parametrize(
    ("changes", "spacing", "plane"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.2]}, 0.2, "detector"),
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.2, 0.2]}, 0.2, "detector"),
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.17, 0.17]}, 0.17, "patient"),
        ({"PixelSpacing": [0.17, 0.17], "PixelSpacingCalibrationType": "FIDUCIAL"}, 0.17, "patient"),
        ({"PixelSpacing": [0.17, 0.17]}, 0.17, "unknown"),
        ({"PixelSpacing": [0.3, 0.3], "SOPClassUID": SC}, 0.3, "unknown"),
        ({"NominalScannedPixelSpacing": [0.3, 0.3], "SOPClassUID": SC}, 0.3, "unknown"),
        ({"ImagerPixelSpacing": [0.0, 0.0]}, None, None),
    ],
)
def test_spacing_and_its_plane(tmp_path, changes, spacing, plane):
    fields = make_one(tmp_path, build_film(**changes)).fields
    assert fields["pixel_spacing_mm"] == (None if spacing is None else pytest.approx(spacing))
    assert fields["pixel_spacing_plane"] == plane


def test_rows_and_columns_of_a_spacing_are_not_confused(tmp_path):
    # 0.2 mm between rows (y), 0.1 mm between columns (x): the film becomes twice as high.
    made = make_one(tmp_path, build_film(ImagerPixelSpacing=[0.2, 0.1]))
    assert made.image.shape == (96, 64)
    assert made.fields["pixel_spacing_mm"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("text", "age"), [("034Y", 34), ("006M", 0), ("030M", 2), ("120Y", 90), ("089Y", 89), ("", None)]
)
def test_ages(tmp_path, text, age):
    assert make_one(tmp_path, build_film(PatientAge=text)).fields["age"] == age


def test_films_of_a_patient_share_a_group(tmp_path):
    films = {
        "a.dcm": build_film(),
        "b.dcm": build_film(PatientID="OTHER"),
        "c": build_film(),
        "d": build_film(PatientID=""),
    }
    groups = [item.key.group_id for item in make(tmp_path, films)]
    assert groups[0] == groups[2]
    assert len(set(groups)) == 3
    assert all(re.fullmatch(r"patient-\d{8}", group) for group in groups)


def cut(film, share):
    data = encode(film)
    return data[: int(len(data) * share)]


BAD = [
    (
        "ct",
        build_film(SOPClassUID=CT, Modality="CT"),
        "is CT, SOP class 1.2.840.10008.5.1.4.1.1.2; CR, DX and secondary",
    ),
    ("frames", build_film(NumberOfFrames=2), "holds 2 frames; export the right one as a file of its own"),
    ("no pixels", build_film(PixelData=None), "has no pixel data; it is a report or a header alone"),
    ("huge", build_film(Rows=60_000, Columns=60_000), "the header announces 60000 x 60000 pixels, allowed are"),
    (
        "burned in",
        build_film(BurnedInAnnotation="YES"),
        "annotation is burned into the pixels, which may name the patient",
    ),
    ("palette", build_film(PhotometricInterpretation="PALETTE COLOR"), "has pixels of the kind PALETTE COLOR"),
    ("cut in the pixels", cut(build_film(), 0.8), "damaged, cut short or of an unknown kind"),
    ("cut in the header", cut(build_film(), 0.03), "damaged or cut short"),
    ("not dicom", b"x" * 500, "is no DICOM file (no DICM mark at byte 128)"),
    ("empty", b"", "the file is empty"),
]


@pytest.mark.parametrize(("film", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_files_are_rejected_with_a_reason(tmp_path, film, message, caplog):
    with caplog.at_level(logging.WARNING):
        made = make_one(tmp_path, film)
    assert isinstance(made, Rejected)
    assert message in made.reason and made.reason.startswith("film 1 of 1: ")
    # The name may be the patient's: the log has it, the reason (which goes into the dataset) has not.
    assert "film.dcm" in caplog.text and "film.dcm" not in made.reason and str(tmp_path) not in made.reason


def test_changed_bytes_in_a_header_give_a_film_or_a_reason_and_nothing_else(tmp_path):
    generator = np.random.default_rng(3)
    whole = encode(build_film(WindowCenter=2000, WindowWidth=500, ImagerPixelSpacing=[0.2, 0.2]))
    for _ in range(150):
        data = bytearray(whole)
        for position in generator.integers(132, len(data) - RAMP.nbytes, size=2):
            data[position] = generator.integers(256)
        for item in make(tmp_path, {"film.dcm": bytes(data)}, size=16, overlays="keep"):
            assert isinstance(item, (Radiograph, Rejected))


def test_burned_in_annotation_can_be_allowed(tmp_path):
    made = make_one(tmp_path, build_film(BurnedInAnnotation="YES"), allow_burned_in=True)
    assert isinstance(made, Radiograph)


def test_compressed_syntaxes_are_decoded_or_named(tmp_path):
    names = ["SC_rgb_gdcm_KY.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle.dcm", "image_dfl.dcm"]
    for name in names:
        shutil.copy(OWN_FILES / name, tmp_path / name)
    source = DicomSource(tmp_path, size=None, overlays="keep")
    for item in source.iter_radiographs(source.list_samples()):
        if isinstance(item, Rejected):
            assert re.search(
                r"cannot decode the syntax .* \(1\.2\.840.*; install its decoder with: pip install", item.reason
            )
        elif item.image.shape == (100, 100):
            # The upper left of these test images is pure red: BT.601 gives 76, whatever the syntax did to it.
            assert abs(int(item.image[5, 50]) - 76) <= 2


def test_real_films(tmp_path):
    for name in ("RG1_UNCR.dcm", "RG3_UNCR.dcm"):
        shutil.copy(REAL_FILMS / name, tmp_path / name)
    source = DicomSource(tmp_path, size=128, overlays="keep")
    chest, ankle = source.iter_radiographs(source.list_samples())
    assert chest.image.dtype == ankle.image.dtype == np.uint16
    assert chest.fields["pixel_spacing_mm"] is None  # its header says 0.000
    # MONOCHROME1: bone is bright, so the spine is brighter than the lungs, and the shin than the air beside it.
    level = chest.image.astype(float)
    assert level[40:80, 58:70].mean() > level[40:70, 25:45].mean() * 1.15
    leg = ankle.image.astype(float)
    assert leg[20:60, 50:75].mean() > leg[20:60, 36:44].mean() * 1.5


def test_real_cervical_headers(tmp_path):
    for number, path in enumerate(
        sorted(p for n in ("6154", "6247", "6278") for p in OWN_FILES.rglob(n) if p.is_file())
    ):
        shutil.copy(path, tmp_path / f"{number}.dcm")
    made = list(DicomSource(tmp_path, size=None).iter_radiographs(DicomSource(tmp_path).list_samples()))
    assert len(made) >= 3
    assert {item.fields["pixel_spacing_mm"] for item in made} == {0.1}
    assert all(item.fields["pixel_spacing_plane"] == "detector" for item in made)


def test_nothing_of_the_patient_reaches_the_dataset(tmp_path):
    """Every text of the header that is not sex, age or of the image itself, searched in every byte that is written."""
    import pyarrow.parquet as pq

    from cspine_bench.dataset.write import write_dataset

    films = tmp_path / "films"
    films.mkdir()
    for index, name in enumerate(["Doe^Jane.dcm", "HOSPITAL-4711.dcm"]):
        film = build_film(RAMP + index)
        film.SOPInstanceUID = film.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        (films / name).write_bytes(encode(film))
    for name in ("RG1_UNCR.dcm", "RG3_UNCR.dcm"):
        shutil.copy(REAL_FILMS / name, films / name)
    (films / "Smith^John.dcm").write_bytes(cut(build_film(), 0.7))
    write_dataset(DicomSource(films, size=64), tmp_path / "out", skip_bad=True)
    written = b"".join(
        path.name.encode() + path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()
    )
    for shard in (tmp_path / "out").rglob("*.parquet"):
        # Parquet compresses; the values themselves must be searched too.
        rows = pq.read_table(shard).to_pylist()
        written += repr(rows).encode() + b"".join(row["image"]["bytes"] for row in rows)
    secrets = {"Smith^John", "Doe^Jane", "HOSPITAL-4711", str(films)}
    harmless = {
        "PatientSex",
        "PatientAge",
        "Modality",
        "PhotometricInterpretation",
        "SOPClassUID",
        "SpecificCharacterSet",
    }
    for path in films.iterdir():
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        for element in header.iterall():
            if element.VR in ("PN", "LO", "SH", "UI", "DA", "TM", "LT", "ST", "AS") and element.keyword not in harmless:
                secrets |= {text for text in str(element.value).replace("^", " ").split() if len(text) >= 5}
    secrets -= {"Uncompressed", "None"}
    assert len(secrets) > 20
    assert [secret for secret in sorted(secrets) if secret.encode() in written] == []


def test_without_pydicom_the_install_line_is_given():
    script = """
import sys
sys.modules["pydicom"] = None
from cspine_bench.errors import MissingExtraError
from cspine_bench.sources.dicom import DicomSource
try:
    DicomSource(".")
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert "pip install 'cspine-bench[dicom]'" in done.stdout, done.stderr
