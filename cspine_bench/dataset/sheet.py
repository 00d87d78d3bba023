"""A contact sheet of a dataset."""

import itertools
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngInfo

from cspine_bench.dataset.files import explain_full_disk
from cspine_bench.dataset.read import DatasetFolder
from cspine_bench.imaging.contact_sheet import Tile, draw_contact_sheet
from cspine_bench.imaging.png import XMP_KEYWORD, build_xmp, decode_png
from cspine_bench.schema import Record

_COLUMNS: Final = 6
_OVERSAMPLING: Final = 3
_FIELDS: Final = (
    "sample_id", "split", "image", "mask", "landmarks_xy", "curvature", "cobb_c2_c7_deg", "sex", "age", "synthetic",
    "source_kind", "artefact", "digital_source_type",
)  # fmt: skip


def write_sheet(
    folder: DatasetFolder,
    out: Path,
    *,
    count: int,
    with_labels: bool = True,
    tile_px: int = 256,
    name: str | None = None,
) -> None:
    """Draw the first radiographs of a dataset (their order is shuffled when it is written) and save them as PNG.

    Args:
        folder: the dataset.
        out: the file. An earlier one is replaced when the new one is whole.
        count: at most so many radiographs.
        with_labels: draw outlines and landmarks.
        tile_px: side of each, px.
        name: of the dataset, for the title; None: its folder's.

    Raises:
        DataError: the dataset cannot be read.
        OSError: the file cannot be written.
    """
    tiles: list[Tile] = []
    kinds: set[str] = set()
    origins: set[str] = set()
    for record in itertools.islice(folder.iter_records(columns=_FIELDS), count):
        tiles.append(_draw(record, with_labels=with_labels, tile_px=tile_px))
        kinds.add(f"synthetic {record.source_kind}" if record.synthetic else record.source_kind)
        origins.add(record.digital_source_type)
    sheet = draw_contact_sheet(
        tiles,
        columns=_COLUMNS,
        title=f"{name or folder.path.resolve().name}: {len(tiles):,} of {len(folder):,} radiographs",
        footer=f"{', '.join(sorted(kinds))} - not for diagnosis",
        tile_px=tile_px,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.unfinished")
    try:
        with explain_full_disk(out, lambda: sheet.width * sheet.height * 3):
            sheet.save(draft, format="PNG", pnginfo=_mark(origins))
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def _mark(origins: set[str]) -> PngInfo:
    """A sheet that leaves its folder says what it shows, where all of it is of one origin."""
    info = PngInfo()
    if len(origins) == 1:
        info.add_itxt(XMP_KEYWORD.decode(), build_xmp(next(iter(origins)), None, None).decode())
    return info


def _draw(record: Record, *, with_labels: bool, tile_px: int) -> Tile:
    image = decode_png(record.image, where=f"image of {record.sample_id}")
    mask = decode_png(record.mask, where=f"mask of {record.sample_id}") if with_labels and record.mask else None
    # Whole films of a hundred megabytes each would wait in memory for the sheet: a few pixels per drawn one are enough.
    step = max(1, max(image.shape) // (_OVERSAMPLING * tile_px))
    return Tile(
        image=_reduce(image, step),
        mask=None if mask is None else mask[step // 2 :: step, step // 2 :: step].astype(np.uint8),
        landmarks_xy=(np.array(record.landmarks_xy) + 0.5) / step - 0.5 if with_labels else None,
        caption=f"{record.sample_id}\n{' · '.join(_describe(record))}",
    )


def _reduce(image: NDArray[Any], step: int) -> NDArray[Any]:
    """Means of `step` x `step` pixels, as many as `[step // 2 :: step]` has; the last ones reach to the edge."""
    if step == 1:
        return image
    starts = [np.arange(0, length - step // 2, step) for length in image.shape]
    sums = np.add.reduceat(np.add.reduceat(image, starts[0], axis=0, dtype=np.float32), starts[1], axis=1)
    sizes = np.outer(*(np.diff([*start, length]) for start, length in zip(starts, image.shape, strict=True)))
    return np.rint(sums / sizes).astype(image.dtype)


def _describe(record: Record) -> list[str]:
    words: list[str] = [record.curvature] if record.curvature else []
    words += [f"Cobb {round(record.cobb_c2_c7_deg)}°"] if record.cobb_c2_c7_deg is not None else []
    person = " ".join(str(word) for word in (record.sex, record.age) if word is not None)
    words += [person] if person else []
    words += [record.artefact] if record.artefact else []
    return words or [record.split]
