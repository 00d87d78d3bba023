"""Named rules that turn a sampled image away, each calibrated on the films that its generator was trained on.

A limit lies half again as far from the median of the training films as the last half per cent of them does: an image
beyond it is unlike any usual film in that one measure. Nothing is turned away unless it is asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cspine_bench.anatomy.landmarks import CORNER_LEVELS, LANDMARK_INDEX
from cspine_bench.imaging.body_masks import draw_body_mask, find_inside

_TAIL: Final = 0.005
"""Share of the training films beyond the quantile that a limit is taken from."""
_MARGIN: Final = 1.5

_COLUMN: Final = [
    *(LANDMARK_INDEX[f"{level}_{plate}_anterior"] for level in CORNER_LEVELS for plate in ("superior", "inferior")),
    *(
        LANDMARK_INDEX[f"{level}_{plate}_posterior"]
        for level in CORNER_LEVELS[::-1]
        for plate in ("inferior", "superior")
    ),
]
"""Outline of the bodies and discs from C3 to C7, down the front and up the back."""
_OVERSAMPLE: Final = 2
_FEWEST_PIXELS: Final = 8
_REACH: Final = 0.6
"""Standard deviation of the window of a local mean, in vertebrae (a body with its disc)."""

Measure = Callable[[NDArray[np.uint8], NDArray[np.floating] | None], float | None]
"""(image uint8 (S, S), landmarks (23, 2) px or None) -> a number; None where it cannot be measured."""


@dataclass(frozen=True)
class QualityRule:
    """What is measured, on which side the limit lies, and one sentence that says what is turned away.

    `least_room` is how far the limit lies from the median at least: films that all agree leave no room otherwise.
    """

    meaning: str
    side: Literal["least", "most"]
    measure: Measure
    least_room: float
    needs_landmarks: bool = False


def measure_contrast(image: NDArray[np.uint8], landmarks_xy: NDArray[np.floating] | None = None) -> float:
    """Gray levels between the 5th and the 95th percentile, 0 to 255."""
    low, high = np.percentile(image, (5, 95))
    return float(high - low)


def measure_saturation(image: NDArray[np.uint8], landmarks_xy: NDArray[np.floating] | None = None) -> float:
    """Share of the pixels that have the darkest or the brightest value there is, 0 to 1."""
    return float(((image == 0) | (image == 255)).mean())


def measure_noise(image: NDArray[np.uint8], landmarks_xy: NDArray[np.floating] | None = None) -> float:
    """Root mean square difference of a pixel from the mean of its four neighbours, gray levels."""
    kernel = np.array([[0, 0.25, 0], [0.25, -1, 0.25], [0, 0.25, 0]])
    residual = ndimage.convolve(image.astype(np.float64), kernel, mode="nearest")
    return float(np.sqrt((residual**2).mean()))


def measure_agreement(image: NDArray[np.uint8], landmarks_xy: NDArray[np.floating] | None) -> float | None:
    """How well bodies and discs lie where the landmarks put them.

    Args:
        image: uint8 (S, S), bone bright.
        landmarks_xy: float (23, 2), px; NaN = not labelled.

    Returns:
        Correlation, -1 to 1, of the image with the bodies of its landmarks (1 in a body, 0 in a disc) over the column
        from C3 to C7, both less their local mean; None where a corner is not labelled or the column is out of view.
    """
    if landmarks_xy is None or np.isnan(landmarks_xy[_COLUMN]).any():
        return None
    # Only the part of the image that holds the column is worked on.
    first = np.maximum(np.floor(landmarks_xy[_COLUMN].min(axis=0)).astype(int), 0)
    last = np.maximum(np.ceil(landmarks_xy[_COLUMN].max(axis=0)).astype(int) + 1, first + 1)
    image = image[first[1] : last[1], first[0] : last[0]]
    points = np.asarray(landmarks_xy, np.float64) - first
    size = max(image.shape)
    if min(image.shape) == 0:
        return None
    fine = (points + 0.5) * _OVERSAMPLE - 0.5
    bodies = (draw_body_mask(fine, size * _OVERSAMPLE) > 0).astype(np.float64)
    bodies = bodies.reshape(size, _OVERSAMPLE, size, _OVERSAMPLE).mean(axis=(1, 3))
    bodies = bodies[: image.shape[0], : image.shape[1]]
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    column = find_inside(points[_COLUMN], rows, columns)
    if column.sum() < _FEWEST_PIXELS:
        return None
    top, bottom = landmarks_xy[_COLUMN[0]], landmarks_xy[_COLUMN[2 * len(CORNER_LEVELS) - 1]]
    reach = _REACH * float(np.linalg.norm(bottom - top)) / len(CORNER_LEVELS)
    weight = ndimage.gaussian_filter(column.astype(np.float64), reach, mode="constant")[column]

    def remove_trend(values: NDArray[np.float64]) -> NDArray[np.float64]:
        smooth = ndimage.gaussian_filter(np.where(column, values, 0.0), reach, mode="constant")[column] / weight
        return np.asarray(values[column] - smooth)

    seen, told = remove_trend(image.astype(np.float64)), remove_trend(bodies)
    scale = float(np.sqrt((seen @ seen) * (told @ told)))
    return float(seen @ told) / scale if scale > 0 else 0.0


QUALITY_RULES: Final[dict[str, QualityRule]] = {
    "blank": QualityRule("Hardly any contrast: nothing is to be seen.", "least", measure_contrast, 5.0),
    "saturated": QualityRule("Too many pixels are fully black or fully white.", "most", measure_saturation, 0.02),
    "noise": QualityRule("More fine grain than any usual film has.", "most", measure_noise, 1.0),
    "skeleton": QualityRule(
        "Bodies and discs are not where the skeleton put them.",
        "least",
        measure_agreement,
        0.1,
        needs_landmarks=True,
    ),
}
"""Every rule by its name."""


def calibrate_rules(
    images: NDArray[np.uint8], landmarks_xy: NDArray[np.floating], *, most: int = 1000
) -> dict[str, float]:
    """The limit of each rule that can be measured on a training set.

    Args:
        images: uint8 (N, S, S); of more than `most`, an even choice is measured.
        landmarks_xy: float (N, 23, 2), px; NaN = not labelled.

    Returns:
        By rule; a rule that fewer than two films can be measured by is absent.
    """
    rows = np.unique(np.linspace(0, len(images) - 1, min(most, len(images))).astype(int))
    limits = {}
    for name, rule in QUALITY_RULES.items():
        found = [rule.measure(images[row], landmarks_xy[row]) for row in rows]
        values = np.array([value for value in found if value is not None])
        if len(values) < 2:
            continue
        middle = np.median(values)
        edge = np.quantile(values, _TAIL if rule.side == "least" else 1 - _TAIL)
        room = max(_MARGIN * abs(edge - middle), rule.least_room)
        limits[name] = float(middle - room if rule.side == "least" else middle + room)
    return limits


def find_broken_rule(
    image: NDArray[np.uint8], landmarks_xy: NDArray[np.floating] | None, limits: Mapping[str, float]
) -> str | None:
    """The first rule that an image breaks, as "RULE: what was measured"; None if it keeps them all.

    Args:
        image: uint8 (S, S).
        landmarks_xy: float (23, 2), px, that it was conditioned on; None: on none.
        limits: by rule, the rules to judge by.
    """
    for name, limit in limits.items():
        rule = QUALITY_RULES[name]
        value = rule.measure(image, landmarks_xy)
        if value is None:
            continue
        if value < limit if rule.side == "least" else value > limit:
            word = "at least" if rule.side == "least" else "at most"
            return f"{name}: measured {value:.4g}, {word} {limit:.4g} is asked for"
    return None
