"""Radiographs with their labels in memory, at the size that a baseline works at.

Pixels are decoded once; every epoch after that costs no decoding.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import LEVELS, MASK_LABELS
from cspine_bench.imaging.png import decode_png
from cspine_bench.imaging.shrink import find_factor, shrink_image, shrink_landmarks, shrink_mask
from cspine_bench.measurement.inputs import Images, OnProgress
from cspine_bench.schema import Record

NOT_ANNOTATED: Final = 255
"""Mask value of a pixel that nobody labelled: it is neither background nor a vertebra."""
_ORIGIN_COLUMNS: Final = ("source_kind", "generator_parameters", "seed", "sample_index")


@dataclass(frozen=True)
class PhantomOrigin:
    """What a phantom is made again from.

    Attributes:
        parameters: its recipe as JSON.
        seed: of the source that made it.
        index: which of its samples.
    """

    parameters: str
    seed: int
    index: int


@dataclass(frozen=True)
class Cases:
    """Radiographs at one size, of one dataset or of several.

    Attributes:
        where: names the dataset and what of it is meant, for messages.
        sample_ids: (n,).
        group_ids: (n,), patient or anatomy.
        facing: (n,), `left`, `right` or `unknown`.
        label_values: by name of `measurement.inputs.SUBGROUPS`, (n,) text, `unknown` where there is none.
        pixels: uint8 or uint16 (n, S, S); the type's highest value is the brightest of a film's bit depth.
        masks: uint8 (n, S, S), label ids; `NOT_ANNOTATED` everywhere in a radiograph without a mask.
        annotated: bool (n, 8), which of `LEVELS` the mask annotates; a level that is not is no background.
        landmarks_xy: float32 (n, 23, 2), px of these pixels; NaN: not labelled.
        pixel_spacing_mm: float64 (n,), of these pixels; NaN: not known.
        phantoms: (n,), what a phantom is made again from; None: the radiograph is no phantom.
        artefacts: (n,), the artefact that was simulated in it; None: none was.
        warnings: what a reader of every figure should know.
    """

    where: str
    sample_ids: tuple[str, ...] = field(repr=False)
    group_ids: tuple[str, ...] = field(repr=False)
    facing: tuple[str, ...] = field(repr=False)
    label_values: Mapping[str, tuple[str, ...]] = field(repr=False)
    pixels: NDArray[Any] = field(repr=False)
    masks: NDArray[np.uint8] = field(repr=False)
    annotated: NDArray[np.bool_] = field(repr=False)
    landmarks_xy: NDArray[np.float32] = field(repr=False)
    pixel_spacing_mm: NDArray[np.float64] = field(repr=False)
    phantoms: tuple[PhantomOrigin | None, ...] = field(repr=False)
    artefacts: tuple[str | None, ...] = field(repr=False)
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many."""
        return len(self.sample_ids)

    @property
    def size(self) -> int:
        """Side, px."""
        return int(self.pixels.shape[-1])

    def labels(self, name: str) -> tuple[str, ...]:
        """(n,) values of a label, by its name in `measurement.inputs.SUBGROUPS`; `unknown` where there is none."""
        return self.label_values[name]

    def take(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> "Cases":
        """Some of them, by places or by a bool (n,)."""
        places = np.flatnonzero(chosen) if np.asarray(chosen).dtype == bool else np.asarray(chosen, np.int64)

        def pick(values: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(values[place] for place in places)

        return Cases(
            where=self.where,
            sample_ids=pick(self.sample_ids),
            group_ids=pick(self.group_ids),
            facing=pick(self.facing),
            label_values={name: pick(values) for name, values in self.label_values.items()},
            pixels=self.pixels[places],
            masks=self.masks[places],
            annotated=self.annotated[places],
            landmarks_xy=self.landmarks_xy[places],
            pixel_spacing_mm=self.pixel_spacing_mm[places],
            phantoms=pick(self.phantoms),
            artefacts=pick(self.artefacts),
            warnings=self.warnings,
        )

    def take_images(self, places: NDArray[np.int64]) -> torch.Tensor:
        """Some of the radiographs as float32 (B, 1, S, S) in -1..1."""
        highest = float(np.iinfo(self.pixels.dtype).max)
        return torch.from_numpy(self.pixels[places].astype(np.float32) / (highest / 2) - 1)[:, None]

    def iter_images(self, batch_size: int) -> Iterator[torch.Tensor]:
        """All radiographs in order, float32 (B, 1, S, S) in -1..1."""
        for start in range(0, len(self), batch_size):
            yield self.take_images(np.arange(start, min(start + batch_size, len(self))))


def load_cases(images: Images, size: int, *, on_progress: OnProgress | None = None) -> Cases:
    """Decode one side.

    An image that is larger by a whole factor is averaged over blocks of pixels, and its labels go along. Its gray
    levels are scaled by its bit depth, never by its content. A landmark that lies outside its image has no pixel to be
    found at: it counts as not labelled, and a warning names it.

    Args:
        images: what to decode.
        size: side that is worked at, px.
        on_progress: called with (done, total).

    Raises:
        DataError: an image is not square, or not a whole multiple of `size`; or a shard is unreadable.
    """
    [cases] = iter_cases(images, size, most=len(images), on_progress=on_progress)
    return cases


def iter_cases(images: Images, size: int, *, most: int, on_progress: OnProgress | None = None) -> Iterator[Cases]:
    """Decode one side some radiographs at a time, with memory for those; see `load_cases`.

    Args:
        images: what to decode.
        size: side that is worked at, px.
        most: radiographs at a time.
        on_progress: called with (done, total).

    Raises:
        DataError: as `load_cases`.
    """
    columns = ("sample_id", "image", "mask", "mask_levels", "artefact", *_ORIGIN_COLUMNS)
    records = itertools.chain.from_iterable(images.folder.iter_records(split, columns) for split in images.splits)
    for start in range(0, len(images), most):
        yield _decode(images, slice(start, min(start + most, len(images))), records, size, on_progress)


def _decode(images: Images, rows: slice, records: Iterator[Record], size: int, on_progress: OnProgress | None) -> Cases:
    """The next radiographs of a stream, those in `rows`."""
    count = rows.stop - rows.start
    depth: type[np.uint8] | type[np.uint16] = np.uint8 if images.bit_depth == 8 else np.uint16
    pixels = np.empty((count, size, size), depth)
    masks = np.full((count, size, size), NOT_ANNOTATED, np.uint8)
    annotated = np.zeros((count, len(LEVELS)), np.bool_)
    landmarks_xy = np.empty((count, images.landmarks_xy.shape[1], 2), np.float32)
    factors = np.ones(count)
    phantoms: list[PhantomOrigin | None] = []
    artefacts: list[str | None] = []
    for row, record in enumerate(itertools.islice(records, count)):
        where = f"{images.folder.path}: sample {record.sample_id}"
        image = decode_png(record.image, where=f"{where}: image")
        factor = find_factor(image.shape, size, where=where)
        pixels[row] = _scale(shrink_image(image, factor), depth)
        landmarks_xy[row] = shrink_landmarks(images.landmarks_xy[rows.start + row], factor)
        factors[row] = factor
        if record.mask is not None:
            masks[row] = shrink_mask(decode_png(record.mask, where=f"{where}: mask"), factor)
            for level in (record.mask_levels or "").split(","):
                if level:
                    annotated[row, MASK_LABELS[level] - 1] = True
        phantoms.append(_read_origin(record))
        artefacts.append(record.artefact)
        if on_progress is not None:
            on_progress(rows.start + row + 1, len(images))
    sample_ids = images.sample_ids[rows]
    warnings = _hide_points_outside(landmarks_xy, size, images.role, sample_ids)
    return Cases(
        where=f"{images.folder.path} ({', '.join(images.splits)})",
        sample_ids=sample_ids,
        group_ids=images.group_ids[rows],
        facing=images.facing[rows],
        label_values={name: values[rows] for name, values in images.labels.items()},
        pixels=pixels,
        masks=masks,
        annotated=annotated,
        landmarks_xy=landmarks_xy,
        pixel_spacing_mm=images.pixel_spacing_mm[rows] * factors,
        phantoms=tuple(phantoms),
        artefacts=tuple(artefacts),
        warnings=warnings,
    )


def _read_origin(record: Record) -> PhantomOrigin | None:
    parameters, seed, index = record.generator_parameters, record.seed, record.sample_index
    if record.source_kind != "phantom" or parameters is None or seed is None or index is None:
        return None
    return PhantomOrigin(parameters, seed, index)


def _scale(image: NDArray[np.float64], depth: type[np.uint8] | type[np.uint16]) -> NDArray[Any]:
    return np.rint(image * np.iinfo(depth).max).astype(depth)


def _hide_points_outside(
    landmarks_xy: NDArray[np.float32], size: int, role: str, sample_ids: tuple[str, ...]
) -> tuple[str, ...]:
    points = landmarks_xy.astype(np.float64)
    outside: NDArray[np.bool_] = np.any((points < -0.5) | (points > size - 0.5), axis=2)
    if not outside.any():
        return ()
    landmarks_xy[outside] = np.nan
    first = int(np.flatnonzero(outside.any(axis=1))[0])
    return (
        f"{role}: {int(outside.sum()):,} landmarks lie outside their images ({sample_ids[first]} is the "
        "first of these) and count as not labelled",
    )


def join_cases(first: Cases, second: Cases) -> Cases:
    """Both, one after the other; where their bit depths differ, in the larger one.

    Raises:
        ValueError: they are of different sizes.
    """
    if first.size != second.size:
        raise ValueError(f"cases of {first.size} and of {second.size} px cannot be joined")
    depth = max((first.pixels.dtype, second.pixels.dtype), key=lambda dtype: dtype.itemsize)
    return Cases(
        where=f"{first.where} and {second.where}",
        sample_ids=first.sample_ids + second.sample_ids,
        group_ids=first.group_ids + second.group_ids,
        facing=first.facing + second.facing,
        label_values={name: values + second.label_values[name] for name, values in first.label_values.items()},
        pixels=np.concatenate([_deepen(cases.pixels, depth) for cases in (first, second)]),
        masks=np.concatenate([first.masks, second.masks]),
        annotated=np.concatenate([first.annotated, second.annotated]),
        landmarks_xy=np.concatenate([first.landmarks_xy, second.landmarks_xy]),
        pixel_spacing_mm=np.concatenate([first.pixel_spacing_mm, second.pixel_spacing_mm]),
        phantoms=first.phantoms + second.phantoms,
        artefacts=first.artefacts + second.artefacts,
        warnings=first.warnings + second.warnings,
    )


def _deepen(pixels: NDArray[Any], depth: np.dtype[Any]) -> NDArray[Any]:
    """8 bits as 16: 255 becomes 65535."""
    return pixels if pixels.dtype == depth else pixels.astype(depth) * np.array(257, depth)
