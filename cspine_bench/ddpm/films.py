"""The radiographs that a generator is trained on, in memory and at its size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.dataset.read import DatasetFolder
from cspine_bench.ddpm.classes import encode_classes
from cspine_bench.ddpm.recipe import ClassName
from cspine_bench.errors import DataError
from cspine_bench.imaging.png import decode_png
from cspine_bench.imaging.shrink import shrink_image, shrink_landmarks
from cspine_bench.schema import Split

_WHITE = 65535


@dataclass(frozen=True)
class Films:
    """Radiographs of one split.

    Attributes:
        pixels: uint16 (N, S, S); 65535 is the brightest value of a film's bit depth, whatever the depth.
        landmarks_xy: float32 (N, 23, 2), px of these images; NaN = not labelled.
        pixel_spacing_mm: float64 (N,), of these images; NaN = not known.
        curvature: N names of `CURVATURE_CLASSES`; None = not known.
        sex: N names of `SEXES`; None = not known.
        pixel_spacing_plane: N planes where the spacing holds, as `Record` spells them; None = not known.
        source_kind: N kinds of source, as `Record` spells them.
    """

    pixels: NDArray[np.uint16]
    landmarks_xy: NDArray[np.float32]
    pixel_spacing_mm: NDArray[np.float64]
    curvature: tuple[str | None, ...]
    sex: tuple[str | None, ...]
    pixel_spacing_plane: tuple[str | None, ...] = ()
    source_kind: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many."""
        return len(self.pixels)

    def take_images(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Some of the radiographs as float32 (B, 1, S, S) in -1..1."""
        return torch.from_numpy(self.pixels[rows].astype(np.float32) / (_WHITE / 2) - 1)[:, None]

    def take_landmarks(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Their landmarks, float32 (B, 23, 2) px."""
        return torch.from_numpy(self.landmarks_xy[rows])

    def take_class_ids(self, rows: NDArray[np.int64], classes: Sequence[ClassName]) -> torch.Tensor:
        """Their ids, int64 (B,), for a network that is told `classes`; what is not known is not told."""
        known = {"curvature": self.curvature, "sex": self.sex}
        ids = [encode_classes(classes, {name: known[name][row] for name in classes}) for row in rows]
        return torch.tensor(ids, dtype=torch.int64)


def load_films(dataset: DatasetFolder, split: Split, size: int, *, at_least: int) -> Films:
    """Decode a split.

    An image that is larger by a whole factor is averaged over blocks of pixels, and its landmarks go along. 8 bits and
    16 bits are both scaled by their depth, never by their content: nothing saturates.

    Args:
        dataset: where they are.
        split: which part.
        size: side of the images that come out, px.
        at_least: fewest radiographs that are enough.

    Raises:
        DataError: too few radiographs; images that are not square, not all of one size, or not a whole multiple of
            `size`; or a shard is unreadable.
    """
    count = dataset.splits.get(split, 0)
    if count < at_least:
        raise DataError(
            f"{dataset.path}: the {split} split has {count} radiographs, training needs at least {at_least} there; "
            "use a larger dataset, or a smaller training.batch_size"
        )
    pixels = np.empty((count, size, size), np.uint16)
    landmarks_xy = np.empty((count, 23, 2), np.float32)
    spacing = np.full(count, np.nan)
    curvature: list[str | None] = []
    sex: list[str | None] = []
    planes: list[str | None] = []
    kinds: list[str] = []
    side = None
    columns = ["sample_id", "image", "width", "height", "landmarks_xy", "pixel_spacing_mm", "pixel_spacing_plane"]
    columns += ["curvature", "sex", "source_kind"]
    for row, record in enumerate(dataset.iter_records(split, columns)):
        side = side or record.width
        _check_size(record.sample_id, record.width, record.height, side, size)
        factor = side // size
        image = decode_png(record.image, where=f"{dataset.path}: {record.sample_id}")
        pixels[row] = np.rint(shrink_image(image, factor) * _WHITE)
        landmarks_xy[row] = shrink_landmarks(np.array(record.landmarks_xy), factor)
        if record.pixel_spacing_mm is not None:
            spacing[row] = record.pixel_spacing_mm * factor
        curvature.append(record.curvature)
        sex.append(record.sex)
        planes.append(record.pixel_spacing_plane)
        kinds.append(record.source_kind)
    return Films(pixels, landmarks_xy, spacing, tuple(curvature), tuple(sex), tuple(planes), tuple(kinds))


def _check_size(sample_id: str, width: int, height: int, side: int, size: int) -> None:
    if width != height or width != side:
        raise DataError(
            f"sample {sample_id} is {width} x {height} px; training needs squares of one size, the first was {side} px "
            "wide: import the films with one --size"
        )
    if width % size:
        raise DataError(f"sample {sample_id} is {width} px wide, no whole multiple of the recipe's size {size}")
