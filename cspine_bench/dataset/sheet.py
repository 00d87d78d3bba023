"""A contact sheet of a dataset."""

import itertools
from pathlib import Path
from typing import Final

import numpy as np

from cspine_bench.dataset.read import DatasetFolder
from cspine_bench.imaging.contact_sheet import Tile, draw_contact_sheet
from cspine_bench.imaging.png import decode_png
from cspine_bench.schema import Record

_COLUMNS: Final = 6
_FIELDS: Final = (
    "sample_id", "split", "image", "mask", "landmarks_xy", "curvature", "cobb_c2_c7_deg", "sex", "age", "synthetic",
    "source_kind", "artefact",
)  # fmt: skip


def write_sheet(folder: DatasetFolder, out: Path, *, count: int, with_labels: bool = True, tile_px: int = 256) -> None:
    """Draw the first radiographs of a dataset (their order is shuffled when it is written) and save them as PNG.

    Args:
        folder: the dataset.
        out: the file. An earlier one is replaced when the new one is whole.
        count: at most so many radiographs.
        with_labels: draw outlines and landmarks.
        tile_px: side of each, px.

    Raises:
        DataError: the dataset cannot be read.
        OSError: the file cannot be written.
    """
    records = list(itertools.islice(folder.iter_records(columns=_FIELDS), count))
    origin = ", ".join(sorted({record.source_kind for record in records}))
    origin = f"synthetic {origin}" if all(record.synthetic for record in records) else origin
    sheet = draw_contact_sheet(
        [_draw(record, with_labels=with_labels) for record in records],
        columns=_COLUMNS,
        title=f"{folder.path.resolve().name}: {len(records):,} of {len(folder):,} radiographs",
        footer=f"{origin} - not for diagnosis",
        tile_px=tile_px,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.unfinished")
    sheet.save(draft, format="PNG")
    draft.replace(out)


def _draw(record: Record, *, with_labels: bool) -> Tile:
    mask = decode_png(record.mask, where=f"mask of {record.sample_id}") if with_labels and record.mask else None
    return Tile(
        image=decode_png(record.image, where=f"image of {record.sample_id}"),
        mask=None if mask is None else mask.astype(np.uint8),
        landmarks_xy=np.array(record.landmarks_xy) if with_labels else None,
        caption=f"{record.sample_id}\n{' · '.join(_describe(record))}",
    )


def _describe(record: Record) -> list[str]:
    words: list[str] = [record.curvature] if record.curvature else []
    words += [f"Cobb {round(record.cobb_c2_c7_deg)}°"] if record.cobb_c2_c7_deg is not None else []
    person = " ".join(str(word) for word in (record.sex, record.age) if word is not None)
    words += [person] if person else []
    words += [record.artefact] if record.artefact else []
    return words or [record.split]
