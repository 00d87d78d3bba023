"""A few made-up films of each kind that can be imported."""

import json
from pathlib import Path

import numpy as np
import openpyxl
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from cspine_bench.anatomy.landmarks import CSXA_LANDMARK_NAMES


def make_film(index: int) -> NDArray[np.uint8]:
    """uint8 (96, 80): smooth, so that no overlay is seen in it, and another one for each index."""
    y, x = np.mgrid[:96, :80]
    return (90 + 50 * np.sin(x / 17 + index) + 40 * np.cos(y / 23)).astype(np.uint8)


def write_films(kind: str, folder: Path) -> None:
    """Write four films of a kind: csxa, images or dicom."""
    folder.mkdir()
    if kind == "csxa":
        _write_csxa(folder)
        return
    for index in range(4):
        if kind == "images":
            Image.fromarray(make_film(index)).save(folder / f"film{index}.png")
        else:
            _write_dicom(folder / f"film{index}.dcm", make_film(index))


def _write_csxa(folder: Path) -> None:
    (folder / "datasets-PNG").mkdir()
    (folder / "datasets-JSON").mkdir()
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Sheet1"
    sheet.append(["CSXA"])
    sheet.append(
        [
            "Number",
            "Gender:female-1,male-0",
            "Age",
            "Disease classification: 1. Cervical spondylosis; 2. Healthy",
            "Curvature: 1.Lordotic, 2.Straight, 3.Sigmoid1, 4.Sigmoid2, 5.Kyphotic",
        ]
    )
    for index in range(4):
        stem = f"{index + 1:04d}{index % 2}{30 + index}"
        sheet.append([index + 1, index % 2, 30 + index, 1, index + 1])
        Image.fromarray(make_film(index)).convert("RGB").save(folder / "datasets-PNG" / f"{stem}.png")
        shapes = [
            {"label": name, "points": [[20.0 + 10 * (number % 2), 4.0 + 3 * number]], "shape_type": "point"}
            for number, name in enumerate(CSXA_LANDMARK_NAMES)
        ]
        document = {
            "shapes": shapes,
            "imageWidth": 80,
            "imageHeight": 96,
            "imagePath": f"{stem}.png",
            "imageData": None,
        }
        (folder / "datasets-JSON" / f"{stem}.json").write_text(json.dumps(document))
    book.save(folder / "datasets.xlsx")


def _write_dicom(path: Path, film: NDArray[np.uint8]) -> None:
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = pydicom.Dataset()
    data.file_meta = meta
    data.SOPClassUID = meta.MediaStorageSOPClassUID
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.Modality = "CR"
    data.PatientID = data.PatientName = path.stem
    data.PhotometricInterpretation = "MONOCHROME2"
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit = 7
    data.Rows, data.Columns = film.shape
    data.PixelData = film.tobytes()
    data.save_as(path, enforce_file_format=True)
