"""A small folder in CSXA's shape, with every fault of the real one in it."""

import base64
import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "imaging"))
from screen_films import draw_screenshot

from cspine_bench.anatomy.landmarks import CSXA_LANDMARK_NAMES

HEADER = (
    "Number",
    "Gender:female-1,male-0",
    "Age",
    "Disease classification: 1. Cervical spondylosis; 2. Healthy",
    "Curvature: 1.Lordotic, 2.Straight, 3.Sigmoid1, 4.Sigmoid2, 5.Kyphotic",
    "C2-7Cobb",
    "CCI",
    "Pixel equivalent (mm)",
)
NUM_FILMS = 24


def stems():
    """24 stems: case numbers 1, 2 .. 24, sexes in two blocks, ages 29 + 4 x (number - 1) mod 60."""
    found = []
    for number in range(1, NUM_FILMS + 1):
        sex = 1 if number % 2 else 0
        found.append(f"{number:04d}{sex}{29 + (4 * (number - 1)) % 60:02d}")
    return found


def build_labels(points, width, height, png, *, polygon=False):
    shapes = [
        {
            "label": label,
            "points": [[float(x), float(y)]],
            "group_id": None,
            "shape_type": "polygon" if polygon else "point",
            "flags": {},
        }
        for label, (x, y) in zip(CSXA_LANDMARK_NAMES, points, strict=True)
    ]
    return {
        "version": "5.1.1",
        "flags": {},
        "shapes": shapes,
        "imagePath": "film.png",
        "imageData": base64.b64encode(png).decode(),
        "imageHeight": height,
        "imageWidth": width,
    }


def write_sheet(path, rows, header=HEADER):
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    sheet.title = "Sheet1"
    sheet.append(["Cervical spine X-ray atlas"])
    sheet.append(list(header))
    for row in rows:
        sheet.append(list(row))
    book.save(path)


def draw_csxa(root):
    """Write the folder. Returns by stem: (clean gray film, landmarks, overlay kinds)."""
    (root / "datasets-PNG").mkdir(parents=True)
    (root / "datasets-JSON").mkdir()
    truth, rows = {}, []
    for index, stem in enumerate(stems()):
        generator = np.random.default_rng(index)
        kinds = ["text", "marker", *(["toolbar"] if index % 3 == 0 else []), *(["line"] if index % 2 else [])]
        height, width = int(generator.integers(380, 460)), int(generator.integers(300, 420))
        rgb, clean, points, _ = draw_screenshot(generator, kinds, height, width)
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, "PNG")
        png = buffer.getvalue()
        labels = build_labels(points, width, height, png, polygon=index % 5 == 0)
        number = int(stem[:4])
        if number == 3:  # "C3 top right" twice, the second in the place of "C3 bottom right"
            labels["shapes"][6]["label"] = "C3 top right"
        if number == 13:
            labels["imageWidth"] += 40
        (root / "datasets-PNG" / f"{stem}.png").write_bytes(png)
        if number != 11:
            (root / "datasets-JSON" / f"{stem}.json").write_text(json.dumps(labels))
        age, sex = int(stem[5:]), int(stem[4])
        age, sex = (age + 1, sex) if number == 5 else (age, 1 - sex) if number == 7 else (age, sex)
        if number != 9:
            rows.append((number, sex, age, 1 + index % 2, 1 + index % 5, 12.5, 3.0, 0.25))
        truth[stem] = (clean, points, kinds)
    rows += [(900 + extra, 0, 40, 1, 1, 0.0, 0.0, 0.25) for extra in range(3)]
    write_sheet(root / "datasets.xlsx", rows)
    return truth


def pack(root):
    """Put the two folders into the archives that CSXA comes in."""
    for name in ("datasets-PNG", "datasets-JSON"):
        with zipfile.ZipFile(root / f"{name}.zip", "w") as archive:
            for file in sorted((root / name).iterdir()):
                archive.write(file, f"{name}/{file.name}")
                file.unlink()
        (root / name).rmdir()
