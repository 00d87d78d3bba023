"""Some radiographs of a side, read once in the order of its files, and what is computed from them kept by blocks."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.features.encoder import Encoder
from cspine_bench.imaging.png import decode_png
from cspine_bench.measurement.inputs import Images
from cspine_bench.measurement.work import Arrays, Work

BLOCK_IMAGES: Final = 32

Pixels = NDArray[Any]
Rows = NDArray[np.int64]
Describe = Callable[[int, Pixels], Arrays]
OnImage = Callable[[], None]


def describe_images(
    images: Images, rows: Rows, describe: Describe, *, work: Work, name: str, key: dict[str, Any], on_image: OnImage
) -> Arrays:
    """Arrays of each image, stacked.

    Args:
        images: the side.
        rows: int64 (k,), of the images that are read, each once, k >= 1; others are not decoded.
        describe: from a row and its pixels, uint8 or uint16 (height, width), to arrays of the same shapes for all.
        work: where blocks are kept.
        name: of the part, for files.
        key: JSON that the arrays depend on besides the images.
        on_image: called after each image, kept or new.

    Returns:
        By the names that `describe` gives, (k, ...), in the order of `rows`.
    """
    ordered = np.sort(rows)
    stream: Iterator[tuple[int, Pixels]] | None = None
    blocks, num_told = [], 0
    for start in range(0, len(ordered), BLOCK_IMAGES):
        block = ordered[start : start + BLOCK_IMAGES]

        def compute(block: Rows = block, rest: Rows = ordered[start:]) -> Arrays:
            nonlocal stream, num_told
            if stream is None:
                stream = _iter_rows(images, rest)
            wanted = set(block.tolist())
            found: list[Arrays] = []
            while len(found) < len(block):
                row, pixels = next(stream)
                if row in wanted:
                    found.append(describe(row, pixels))
                    num_told += 1
                    on_image()
            return {key: np.stack([each[key] for each in found]) for key in found[0]}

        samples = [images.pixel_sha256[row] for row in block]
        blocks.append(work.keep(name, compute, rows=block.tolist(), samples=samples, **key))
        for _ in range(start + len(block) - num_told):  # kept by an earlier run
            num_told += 1
            on_image()
    place = np.searchsorted(ordered, rows)
    return {key: np.concatenate([block[key] for block in blocks])[place] for key in blocks[0]}


def _iter_rows(images: Images, rows: Rows) -> Iterator[tuple[int, Pixels]]:
    """(row, pixels) of some radiographs, in order."""
    wanted, row = set(rows.tolist()), -1
    for split in images.splits:
        for record in images.folder.iter_records(split, ("sample_id", "image")):
            row += 1
            if row in wanted:
                yield row, decode_png(record.image, where=f"sample {record.sample_id}: image")


def encode_together(encoder: Encoder, images: list[Pixels]) -> NDArray[np.float32]:
    """Features of images of one size and depth, float32 (n, dimension)."""
    return encoder.encode(np.stack(images), allow_blank=True)
