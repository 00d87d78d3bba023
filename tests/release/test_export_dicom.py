"""DICOM export: the pixels of the PNG, marked as synthetic, the same bytes each time, valid to an outside reader."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from folders import hash_tree
from toy_source import ToySource

from cspine_bench.anatomy.landmarks import LANDMARK_NAMES, LEVELS
from cspine_bench.cli.release_export import export
from cspine_bench.dataset.manifest import build_manifest, load_manifest, render_manifest
from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.source import Rejected
from cspine_bench.dataset.write import write_dataset
from cspine_bench.errors import MissingExtraError, ReleaseError
from cspine_bench.imaging.png import decode_png
from cspine_bench.provenance import sha256_file
from cspine_bench.release.export_dicom import COLUMNS, export_dicom
from cspine_bench.release.layout import RELEASE_NAME
from cspine_bench.schema import Record
from cspine_bench.sources.dicom import DicomSource

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")

WRONG_LINE = "Attribute with an even group number is not a recognized standard attribute - (0x0008,0x001c)"
"""dciodvfy of 2022 does not know Synthetic Data yet."""


def make_release(folder: Path, source: ToySource) -> Path:
    """A dataset with the one paper that an export reads."""
    write_dataset(source, folder)
    (folder / RELEASE_NAME).parent.mkdir()
    (folder / RELEASE_NAME).write_text(json.dumps({"date": "2026-11-23"}))
    return folder


UNLABELLED: dict[str, Any] = {
    "mask": None, "mask_levels": None, "label_source": None, "sex": None, "age": None, "facing": None,
    "pixel_spacing_mm": None, "landmarks_xy": np.full((23, 2), np.nan, np.float32), "generator": None,
    "generator_version": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def rel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six radiographs of 8 bits and an odd number of pixels; the second has no label."""
    odd = np.random.default_rng(0).integers(0, 255, (23, 21)).astype(np.uint8)
    mask = np.zeros((23, 21), np.uint8)
    mask[3:9, 3:9], mask[12:20, 3:9] = 3, 7
    broken: dict[int, dict[str, Any]] = {
        0: {"image": odd, "mask": mask, "pixel_spacing_plane": "patient"},
        1: UNLABELLED,
        2: {"facing": "right", "label_source": "reader"},
        3: {"mask": np.zeros((24, 24), np.uint8), "mask_levels": "C3", "label_source": "measured"},
    }
    return make_release(tmp_path_factory.mktemp("export") / "rel", ToySource(6, broken=broken))


@pytest.fixture(scope="module")
def out(rel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "dicom"
    export_dicom(rel, folder, masks=True)
    return folder


def read_table(out: Path) -> dict[str, dict[str, str]]:
    with (out / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    return {row["sample_id"]: row for row in rows}


def records_of(rel: Path) -> dict[str, Record]:
    return {record.sample_id: record for record in open_dataset(rel).iter_records()}


def test_each_file_holds_its_pixels_and_says_what_it_is(rel: Path, out: Path) -> None:
    for record in records_of(rel).values():
        film = pydicom.dcmread(out / record.split / f"{record.sample_id}.dcm")
        np.testing.assert_array_equal(film.pixel_array, decode_png(record.image, where=""))
        assert (film.SyntheticData, film.ConversionType, film.PhotometricInterpretation) == (
            "YES",
            "SYN",
            "MONOCHROME2",
        )
        (equipment,) = film.ContributingEquipmentSequence
        (purpose,) = equipment.PurposeOfReferenceCodeSequence
        assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("109100", "DCM")
        assert str(film.PatientName).startswith("SYNTHETIC^") and film.PatientBirthDate == ""
        assert (film.PatientIdentityRemoved, film.BurnedInAnnotation) == ("YES", "NO")
        assert "not for diagnosis" in film.ImageComments.lower()
        assert (film.StudyDate, film.BodyPartExamined) == ("20261123", "CSPINE")
        assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in (film.SOPInstanceUID, film.StudyInstanceUID))


def test_labels_only_where_they_are_known(rel: Path, out: Path) -> None:
    records = records_of(rel)

    def read(index: int) -> Any:
        record = records[f"toy{index:08d}"]
        return pydicom.dcmread(out / record.split / f"{record.sample_id}.dcm")

    known, bare, right = read(0), read(1), read(2)
    record = records["toy00000000"]
    assert known.PatientSex == {"male": "M", "female": "F"}[str(record.sex)]
    assert known.PatientAge == f"{record.age:03d}Y"
    assert [float(value) for value in known.PixelSpacing] == [0.25, 0.25]
    assert known.PixelSpacingCalibrationType == "GEOMETRY"
    assert known.ContributingEquipmentSequence[0].SoftwareVersions == "1"
    assert (bare.PatientSex, "PatientAge" in bare, "PixelSpacing" in bare) == ("", False, False)
    assert list(known.PatientOrientation) == ["P", "F"] and list(right.PatientOrientation) == ["A", "F"]
    assert not bare.PatientOrientation
    assert "PixelSpacingCalibrationType" not in right
    # Samples 0 and 1 are of one group, so of one patient and study; each has a series of its own.
    assert known.StudyInstanceUID == bare.StudyInstanceUID != right.StudyInstanceUID
    assert known.PatientID == bare.PatientID and known.SeriesInstanceUID != bare.SeriesInstanceUID


def test_masks_are_segments_of_their_image(rel: Path, out: Path) -> None:
    records, table = records_of(rel), read_table(out)
    for sample_id, record in records.items():
        path = out / record.split / f"{sample_id}.seg.dcm"
        mask = None if record.mask is None else decode_png(record.mask, where="")
        assert path.exists() == (mask is not None and bool(mask.any())) == bool(table[sample_id]["mask_file"])
        if not path.exists():
            continue
        seg = pydicom.dcmread(path)
        assert seg.SyntheticData == "YES"
        frames = seg.pixel_array.reshape(-1, *mask.shape)
        for segment, frame in zip(seg.SegmentSequence, frames, strict=True):
            label = LEVELS.index(segment.SegmentLabel) + 1
            np.testing.assert_array_equal(frame, mask == label)
            assert segment.SegmentAlgorithmType == ("MANUAL" if record.label_source == "reader" else "AUTOMATIC")
        image = pydicom.dcmread(out / table[sample_id]["file"])
        (series,) = seg.ReferencedSeriesSequence
        assert series.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
        # Its own reader refuses what it writes where an image has a spacing and no geometry.
        read = highdicom.seg.segread(path)
        assert read.number_of_segments == len(seg.SegmentSequence)
    two = pydicom.dcmread(out / table["toy00000000"]["mask_file"])
    codes = [segment.SegmentedPropertyTypeCodeSequence[0].CodeValue for segment in two.SegmentSequence]
    assert codes == ["113205007", "87391001"]  # C3 and C7 in SNOMED CT


def test_the_table_keeps_the_labels(rel: Path, out: Path) -> None:
    table = read_table(out)
    for sample_id, record in records_of(rel).items():
        row = table[sample_id]
        assert row["sha256"] == sha256_file(out / row["file"])
        assert row["sop_instance_uid"] == pydicom.dcmread(out / row["file"]).SOPInstanceUID
        assert row["curvature"] == (record.curvature or "")
        for name, (x, y) in zip(LANDMARK_NAMES, record.landmarks_xy, strict=True):
            found = [np.float32(row[f"{name}_{axis}_px"] or "nan") for axis in "xy"]
            np.testing.assert_array_equal(found, np.array([x, y], np.float32))


def test_16_bits(tmp_path: Path) -> None:
    rel = make_release(tmp_path / "rel", ToySource(2, bits=16))
    export_dicom(rel, tmp_path / "out", split="train", count=1)
    (path,) = (tmp_path / "out").rglob("*.dcm")
    film = pydicom.dcmread(path)
    (record,) = (record for record in records_of(rel).values() if record.sample_id == path.stem)
    np.testing.assert_array_equal(film.pixel_array, decode_png(record.image, where=""))
    assert (film.BitsStored, film.pixel_array.dtype) == (16, np.uint16)
    from pydicom.pixels import apply_voi_lut

    np.testing.assert_allclose(apply_voi_lut(film.pixel_array, film), film.pixel_array, atol=1)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
def test_dciodvfy_finds_nothing_but_the_attribute_it_does_not_know(out: Path) -> None:
    for path in out.rglob("*.dcm"):
        done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        errors = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]
        assert [line for line in errors if WRONG_LINE not in line] == [], path.name
        assert len(errors) == 1


def test_done_again_or_gone_on_with_the_bytes_are_the_same(rel: Path, out: Path, tmp_path: Path) -> None:
    export_dicom(rel, tmp_path / "part", masks=True, count=2)
    left = next((tmp_path / "part").rglob("*.dcm"))
    before = left.stat().st_mtime_ns
    (tmp_path / "part" / ".unfinished").mkdir()
    (tmp_path / "part" / ".unfinished" / "toy00000003.dcm.tmp").write_bytes(b"torn")
    (tmp_path / "part" / "manifest.csv").unlink()
    export_dicom(rel, tmp_path / "part", masks=True)
    assert hash_tree(tmp_path / "part") == hash_tree(out)
    assert left.stat().st_mtime_ns == before


def test_another_release_has_other_identifiers(rel: Path, out: Path, tmp_path: Path) -> None:
    other = shutil.copytree(rel, tmp_path / "rel")
    manifest = load_manifest(other)
    values = {name: value for name, value in manifest if name not in ("num_samples", "digest")}
    changed = build_manifest(**(values | {"seed": 1}))
    (other / "dataset.json").write_bytes(render_manifest(changed))
    export_dicom(other, tmp_path / "out")
    uids = [{row["sop_instance_uid"] for row in read_table(folder).values()} for folder in (out, tmp_path / "out")]
    assert len(uids[0]) == 6 and not uids[0] & uids[1]
    with pytest.raises(ReleaseError, match=r"holds .*\.seg\.dcm, which is not of this export"):
        export_dicom(other, out)
    with pytest.raises(ReleaseError, match="is not what this release gives"):
        export_dicom(other, out, masks=True)


def test_what_is_refused(rel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(ToySource(1), tmp_path / "ds")
    with pytest.raises(ReleaseError, match="is no release"):
        export_dicom(tmp_path / "ds", tmp_path / "out")
    films = make_release(tmp_path / "films", ToySource(1, broken={0: UNLABELLED | {"source_kind": "images"}}))
    with pytest.raises(ReleaseError, match="toy00000000: is not marked as synthetic"):
        export_dicom(films, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.dcm"))
    one = make_release(tmp_path / "one", ToySource(1))
    with pytest.raises(ReleaseError, match="split test is empty; there are train"):
        export_dicom(one, tmp_path / "out", split="test")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(ReleaseError, match=r"holds notes\.txt"):
        export_dicom(rel, tmp_path / "mine")
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(MissingExtraError, match=r"cspine-bench\[dicom\]"):
        export_dicom(rel, tmp_path / "out", masks=True)


def test_an_exported_image_is_not_imported_as_a_film(out: Path) -> None:
    source = DicomSource(out)
    made = list(source.iter_radiographs(source.list_samples()))
    assert made and all(isinstance(item, Rejected) for item in made)
    images = [item for item in made if isinstance(item, Rejected) and "(0008,001C)" in item.reason]
    assert len(images) == len(made)


def test_the_command(rel: Path, tmp_path: Path) -> None:
    arguments = ["dicom", str(rel), str(tmp_path / "out"), "--count", "2", "--masks"]
    document = json.loads(CliRunner().invoke(export, [*arguments, "--json"]).stdout)
    assert document["num_images"] == 2
    text = CliRunner().invoke(export, arguments)
    assert text.exit_code == 0 and "2 radiographs" in text.stdout and "not for diagnosis" in text.stdout
