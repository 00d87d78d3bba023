"""One film on its way into a dataset: overlays, gray, facing, size, in this order, for every source alike."""

from dataclasses import dataclass
from typing import Any, Final, Literal, TypedDict, get_args

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.classes import FACINGS, Facing
from cspine_bench.errors import DataError
from cspine_bench.imaging.fit import FITS, Fit, Pixels, apply_affine, compose_affine, fit_film
from cspine_bench.imaging.overlays import (
    OVERLAYS_ACTIONS,
    Overlay,
    OverlaysAction,
    find_crop,
    find_overlays,
    mask_overlays,
    to_gray,
)
from cspine_bench.imaging.read import MAX_PIXELS

MAX_SIDE_PX: Final = 32767
"""Longest side of an image in a dataset; see `Record.width`."""

FacingWish = Literal["keep", "left", "right"]


class ImportSettings(TypedDict, total=False):
    """What `ImportOptions` takes, for functions that hand it on. A setting left out has its default there."""

    size: int | None
    fit: Fit
    overlays: OverlaysAction
    facing: FacingWish
    source_facing: Facing | None


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How films are brought in.

    Args:
        size: side of the square result, px; None keeps each film's own size.
        fit: "pad" adds black, "crop" keeps the largest centred square.
        overlays: "mask" fills them from their surroundings, "crop" cuts them off, "keep" leaves them, "refuse" rejects
            the film. The same for every film; what was found is recorded either way.
        facing: "keep" leaves films as they are; "left" or "right" mirrors those that face the other way.
        source_facing: side that the patients face in the source; None = not known. It is never guessed from pixels.

    Raises:
        ValueError: a value is not allowed.
        DataError: a facing is wished for, and the source's is not known.
    """

    size: int | None = 256
    fit: Fit = "pad"
    overlays: OverlaysAction = "mask"
    facing: FacingWish = "keep"
    source_facing: Facing | None = None

    def __post_init__(self) -> None:
        if self.size is not None and not 16 <= self.size <= MAX_SIDE_PX:
            raise ValueError(f"size must be between 16 and {MAX_SIDE_PX} px, or None, got {self.size}")
        allowed: dict[str, tuple[str | None, ...]] = {
            "fit": FITS,
            "overlays": OVERLAYS_ACTIONS,
            "facing": get_args(FacingWish),
            "source_facing": (None, *FACINGS),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name} must be one of {', '.join(map(str, values))}, got {getattr(self, name)!r}")
        if self.facing != "keep" and self.source_facing is None:
            raise DataError(
                f"facing {self.facing} was asked for, and the source does not say which side its patients face; "
                "give source facing, left or right (it is not guessed from the pixels)"
            )


@dataclass(frozen=True, slots=True)
class PreparedFilm:
    """Pixels and points as they go into the dataset, and the `Record` fields that say what was done."""

    image: Pixels
    landmarks_xy: NDArray[np.float32]
    fields: dict[str, Any]


def prepare_film(
    pixels: Pixels,
    *,
    options: ImportOptions,
    landmarks_xy: NDArray[np.floating],
    spacing_xy_mm: tuple[float, float] | None,
    where: str,
) -> PreparedFilm:
    """Take the overlays off a film, make it gray, mirror it where asked, and fit it to its size.

    Args:
        pixels: uint8 or uint16 (height, width), or uint8 (height, width, 3).
        landmarks_xy: float (23, 2), px of the source; NaN = not labelled.
        spacing_xy_mm: millimetres per pixel along x and y, or None.
        where: the film's name, for messages.

    Raises:
        DataError: overlays were found and are to be refused, a crop would cut a labelled landmark off, or the film is
            so long or its pixels so oblong that it becomes too large.
    """
    found = find_overlays(pixels, landmarks_xy=landmarks_xy)
    kinds = ",".join(sorted({item.kind for item in found}))
    if found and options.overlays == "refuse":
        raise DataError(f"{where}: has overlays ({kinds}); import with overlays mask, crop or keep, or clean the film")
    gray = to_gray(pixels)
    shift = (0, 0)
    if options.overlays == "mask":
        gray = mask_overlays(gray, found)
    elif options.overlays == "crop":
        gray, shift = _crop_overlays(gray, found, where)
    _check_size(gray.shape, options, spacing_xy_mm, where)
    points = np.asarray(landmarks_xy, dtype=np.float64) - shift
    _check_inside(points, gray.shape, where, "cropping the overlays away", "use overlays mask")
    flip = options.facing != "keep" and options.facing != options.source_facing
    fitted = fit_film(
        gray, size=options.size, fit=options.fit, landmarks_xy=points, spacing_xy_mm=spacing_xy_mm, flip=flip
    )
    _check_inside(fitted.landmarks_xy, fitted.image.shape, where, "fit crop", "use fit pad")
    affine = compose_affine((1.0, 0.0, -float(shift[0]), 0.0, 1.0, -float(shift[1])), fitted.affine)
    fields: dict[str, Any] = {
        "pixel_spacing_mm": fitted.spacing_mm,
        "facing": options.source_facing if options.facing == "keep" else options.facing,
        "source_affine": affine,
        "flipped": flip,
        "overlays_found": kinds,
        "overlays_action": options.overlays,
    }
    moved = apply_affine(affine, np.asarray(landmarks_xy, dtype=np.float64)).astype(np.float32)
    return PreparedFilm(image=fitted.image, landmarks_xy=moved, fields=fields)


def _crop_overlays(gray: Pixels, found: list[Overlay], where: str) -> tuple[Pixels, tuple[int, int]]:
    height, width = gray.shape
    try:
        x0, y0, x1, y1 = find_crop((height, width), found)
    except ValueError as error:
        raise DataError(f"{where}: {error}; use overlays mask") from error
    return gray[y0:y1, x0:x1], (x0, y0)


def _check_size(
    shape: tuple[int, ...], options: ImportOptions, spacing_xy_mm: tuple[float, float] | None, where: str
) -> None:
    """A film of a few pixels may become huge: made square by its spacing, or padded to a square."""
    sx, sy = (1.0, 1.0) if spacing_xy_mm is None else (value / min(spacing_xy_mm) for value in spacing_xy_mm)
    width, height = round(shape[1] * sx), round(shape[0] * sy)
    if options.size is not None and options.fit == "pad":
        width = height = max(width, height)
    if max(width, height) > MAX_SIDE_PX or width * height > MAX_PIXELS:
        spacing = "" if spacing_xy_mm is None else f" with pixels of {spacing_xy_mm[0]:g} x {spacing_xy_mm[1]:g} mm"
        raise DataError(
            f"{where}: has {shape[1]} x {shape[0]} pixels{spacing}, and would need {width} x {height} on its way; "
            f"allowed are {MAX_SIDE_PX:,} on a side and {MAX_PIXELS:,} in all. Cut the film, or use fit crop"
        )


def _check_inside(points: NDArray[np.float64], shape: tuple[int, ...], where: str, cause: str, remedy: str) -> None:
    height, width = shape[:2]
    x, y = points[:, 0], points[:, 1]
    outside = (x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5)
    if outside.any():
        raise DataError(f"{where}: {cause} would leave {int(outside.sum())} of its landmarks outside; {remedy}")
