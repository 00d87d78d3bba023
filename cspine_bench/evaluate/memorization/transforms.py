"""What a copy may have gone through: the transforms by which copies are planted, to see what the search finds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from cspine_bench.imaging.degrade import Degrade, add_noise, blur, compress, resample

Gray = NDArray[np.float32]
Change = Callable[[Gray, Gray, np.random.Generator], Gray]
"""From a film and an honest synthetic image of its size, float32 (height, width) in 0..1, to the copy."""


@dataclass(frozen=True)
class Transform:
    """One kind of copy.

    Attributes:
        name: in words, with its strength.
        common: among those that a search must find: exact, JPEG, noise, shift, flip, rotation, crop, gamma, window,
            inversion. The others show where it ends.
        change: makes the copy.
    """

    name: str
    common: bool
    change: Change

    def apply(self, film: NDArray[Any], canvas: NDArray[Any], generator: np.random.Generator) -> NDArray[np.uint8]:
        """A copy of a film.

        Args:
            film: uint8 or uint16 (height, width).
            canvas: a synthetic image of any size and depth.
            generator: draws the strength, within what the name says.

        Returns:
            uint8 (height, width).
        """
        height, width = film.shape
        drawn = Image.fromarray(stretch(canvas)).resize((width, height), Image.Resampling.BICUBIC)
        copy = self.change(stretch(film), np.asarray(drawn, np.float32), generator)
        return np.asarray((copy.clip(0, 1) * 255).round(), np.uint8)


def stretch(image: NDArray[Any]) -> Gray:
    """Gray levels from 0 to 1."""
    values = image.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) / max(high - low, 1e-6), np.float32)


def _move(
    film: Gray,
    *,
    rotation_deg: float = 0.0,
    scale: tuple[float, float] = (1.0, 1.0),
    shift: tuple[float, float] = (0.0, 0.0),
    mode: str = "nearest",
) -> Gray:
    """Turned and scaled about the centre, then shifted, in shares of the sides; linear."""
    angle, size = np.deg2rad(rotation_deg), np.array(film.shape)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.diag(scale))
    centre = (size - 1) / 2
    offset = centre - inverse @ (centre + np.array(shift) * size)
    moved: Gray = ndimage.affine_transform(film, inverse, offset, output=np.float32, order=1, mode=mode, cval=0.0)
    return moved


def _sign(generator: np.random.Generator) -> float:
    return float(generator.choice((-1.0, 1.0)))


def _shift(largest: float) -> Change:
    def change(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
        return _move(film, shift=(generator.uniform(-largest, largest), generator.uniform(-largest, largest)))

    return change


def _rotate(smallest: float, largest: float) -> Change:
    def change(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
        return _move(film, rotation_deg=_sign(generator) * generator.uniform(smallest, largest))

    return change


def _crop(smallest: float, largest: float) -> Change:
    """Cut off a share of each side, somewhere, and enlarged again."""

    def change(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
        share = generator.uniform(smallest, largest)
        scale = 1 / (1 - share)
        room = share * scale / 2
        return _move(film, scale=(scale, scale), shift=(generator.uniform(-room, room), generator.uniform(-room, room)))

    return change


def _shrink(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
    scale = generator.uniform(0.85, 0.95)
    return _move(film, scale=(scale, scale), mode="constant")


def _stretch_one_side(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
    scale = generator.uniform(1.05, 1.1)
    return _move(film, scale=(scale, 1.0) if generator.random() < 0.5 else (1.0, scale))


def _combine(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
    turned = _move(film[:, ::-1], rotation_deg=_sign(generator) * generator.uniform(3, 8))
    return compress(int(generator.integers(60, 90)))(_crop(0.05, 0.12)(turned, canvas, generator).clip(0, 1), generator)


def _gamma(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
    return np.asarray(film ** np.float32(generator.choice((generator.uniform(0.5, 0.8), generator.uniform(1.25, 2)))))


def _window(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
    low, high = np.quantile(film, (generator.uniform(0.05, 0.15), generator.uniform(0.85, 0.95)))
    return np.asarray(((film - low) / max(high - low, 1e-3)).clip(0, 1), np.float32)


def _reduce_contrast(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
    return np.asarray((film - 0.5) * np.float32(generator.uniform(0.3, 0.6)) + 0.5)


def _posterise(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
    levels = generator.integers(6, 12)
    return np.asarray(np.round(film * levels) / levels, np.float32)


def _equalise(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
    """Each pixel by its rank among those of its tile, tiles joined linearly, as CLAHE without a limit."""
    count, size = 3, np.array(film.shape)
    centres = [(np.arange(count) + 0.5) * length / count for length in size]
    ranks = np.empty((count, count, *film.shape), np.float32)
    for row in range(count):
        for column in range(count):
            tile = film[
                row * size[0] // count : (row + 1) * size[0] // count,
                column * size[1] // count : (column + 1) * size[1] // count,
            ]
            ranks[row, column] = np.searchsorted(np.sort(tile, axis=None), film) / tile.size
    weights = [
        np.stack([np.interp(np.arange(length), centre, np.eye(count)[tile]) for tile in range(count)])
        for length, centre in zip(size, centres, strict=True)
    ]
    return np.asarray(np.einsum("ry,cx,rcyx->yx", *weights, ranks), np.float32)


def _warp(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
    """Each pixel moved by up to some 2 % of the side, smoothly over a fifth of it."""
    sigma = 0.1 * min(film.shape)
    fields = ndimage.gaussian_filter(generator.standard_normal((2, *film.shape)), (0, sigma, sigma), mode="nearest")
    fields *= 0.02 * min(film.shape) / np.abs(fields).max()
    warped: Gray = ndimage.map_coordinates(film, np.indices(film.shape) + fields, np.float32, order=1, mode="nearest")
    return warped


def _label(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
    """Letters and a frame, burned in."""
    height, width = film.shape
    picture = Image.fromarray((film * 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    edge = max(1, round(0.03 * min(film.shape)))
    draw.rectangle((0, 0, width - 1, height - 1), outline=0, width=edge)
    place = (generator.uniform(0.05, 0.6) * width, generator.uniform(0.05, 0.8) * height)
    draw.text(place, "R 12:04", fill=255, font_size=max(6, 0.1 * height))
    return np.asarray(picture, np.float32) / np.float32(255)


def _cover(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
    """A fifth of the area replaced by the synthetic image."""
    share = 0.45
    top, left = (int(generator.uniform(0, 1 - share) * length) for length in film.shape)
    covered, (height, width) = film.copy(), (int(share * length) for length in film.shape)
    covered[top : top + height, left : left + width] = canvas[top : top + height, left : left + width]
    return covered


def _paste(rows: bool, columns: bool) -> Change:
    """A half or a quarter of the film in the synthetic image."""

    def change(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
        pasted, places = canvas.copy(), []
        for wanted, length in zip((rows, columns), film.shape, strict=True):
            half = slice(0, length // 2) if generator.random() < 0.5 else slice(length // 2, length)
            places.append(half if wanted else slice(0, length))
        pasted[places[0], places[1]] = film[places[0], places[1]]
        return pasted

    return change


def _degrade(make: Callable[[Any], Degrade], low: float, high: float, whole: bool = False) -> Change:
    def change(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
        strength = generator.uniform(low, high)
        degraded: Gray = make(round(strength) if whole else strength)(film, generator)
        return degraded

    return change


def _mix(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
    return np.asarray((film + canvas) / 2, np.float32)


def _turn_quarter(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
    """What is not square is squeezed back into the film's shape."""
    turned = np.ascontiguousarray(np.rot90(film, 1 if generator.random() < 0.5 else 3))
    height, width = film.shape
    return turned if height == width else np.asarray(Image.fromarray(turned).resize((width, height)), np.float32)


def _shift_far(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
    return _move(film, shift=(_sign(generator) * generator.uniform(0.05, 0.09), generator.uniform(-0.05, 0.05)))


def _paste_half(film: Gray, canvas: Gray, generator: np.random.Generator) -> Gray:
    rows = generator.random() < 0.5
    return _paste(rows, not rows)(film, canvas, generator)


TRANSFORMS: Final = (
    Transform("exact", True, lambda film, canvas, generator: film),
    Transform("jpeg, quality 40 to 80", True, _degrade(compress, 40, 80, whole=True)),
    Transform("noise, 2 to 5 % of full scale", True, _degrade(add_noise, 0.02, 0.05)),
    Transform("shift by up to 5 %", True, _shift(0.05)),
    Transform("flip", True, lambda film, canvas, generator: film[:, ::-1]),
    Transform("rotation by 1 to 5 deg", True, _rotate(1, 5)),
    Transform("crop by 2 to 8 %", True, _crop(0.02, 0.08)),
    Transform("gamma 0.5 to 2", True, _gamma),
    Transform("window, 5 to 15 % clipped at each end", True, _window),
    Transform("inversion", True, lambda film, canvas, generator: 1 - film),
    Transform("contrast x 0.3 to 0.6", False, _reduce_contrast),
    Transform("blur, sigma 0.5 to 1 % of the side", False, _degrade(blur, 0.005, 0.01)),
    Transform("downsampled to 40 to 60 %", False, _degrade(resample, 0.4, 0.6)),
    Transform("6 to 12 gray levels", False, _posterise),
    Transform("equalised by tiles", False, _equalise),
    Transform("letters and a frame", False, _label),
    Transform("rotation by 8 to 12 deg", False, _rotate(8, 12)),
    Transform("rotation by 15 to 20 deg", False, _rotate(15, 20)),
    Transform("quarter turn", False, _turn_quarter),
    Transform("upside down", False, lambda film, canvas, generator: film[::-1]),
    Transform("shift by 5 to 9 %", False, _shift_far),
    Transform("crop by 10 to 20 %", False, _crop(0.1, 0.2)),
    Transform("shrunk by 5 to 15 %", False, _shrink),
    Transform("one side longer by 5 to 10 %", False, _stretch_one_side),
    Transform("flip, rotation, crop and jpeg", False, _combine),
    Transform("warp by up to 2 %", False, _warp),
    Transform("a fifth covered", False, _cover),
    Transform("half pasted into another", False, _paste_half),
    Transform("quarter pasted into another", False, _paste(True, True)),
    Transform("mixed half and half with another", False, _mix),
)
"""Copies from exact to hardly one; each draws its strength anew."""
