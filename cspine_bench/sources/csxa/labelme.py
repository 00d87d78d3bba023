"""The 23 points of one CSXA film, from its LabelMe JSON."""

import json
import math
import re
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import CSXA_LANDMARK_NAMES, NUM_LANDMARKS
from cspine_bench.errors import DataError

_IMAGE_DATA: Final = re.compile(rb'"imageData"\s*:\s*"')
_INDEX: Final = {name: index for index, name in enumerate(CSXA_LANDMARK_NAMES)}
_MAX_COPIES: Final = 3


@dataclass(frozen=True, slots=True)
class LabelMePoints:
    """Points of one film.

    Args:
        landmarks_xy: float64 (23, 2), px.
        width, height: of the image that was annotated, px.
        remark: what had to be decided to read it, or None.
    """

    landmarks_xy: NDArray[np.float64]
    width: int
    height: int
    remark: str | None


def read_labelme(data: bytes, *, where: str) -> LabelMePoints:
    """Points of a LabelMe file in the order of `LANDMARK_NAMES`.

    The embedded image is cut out of the bytes before they are parsed, so it is neither decoded nor copied. A label that
    comes twice is decided by position: of all ways to give its points to that label and to the missing ones, the one
    whose bodies are closest to parallelograms (|top left - top right - bottom left + bottom right|, summed) is taken.

    Raises:
        DataError: no JSON object, a shape without its one finite point, an unknown label, a point missing, or a
            repeated label that cannot be decided.
    """
    content = _parse(data, where)
    points: dict[str, list[tuple[float, float]]] = {}
    shapes = content.get("shapes")
    if not isinstance(shapes, list):
        raise DataError(f"{where}: has no list 'shapes'; is it a LabelMe file?")
    for shape in shapes:
        label, point = _read_shape(shape, where)
        points.setdefault(label, []).append(point)
    unknown = sorted(set(points) - set(_INDEX))
    if unknown:
        raise DataError(f"{where}: unknown label {unknown[0]!r}; allowed are CSXA's {NUM_LANDMARKS} names")
    landmarks, remark = _resolve(points, where)
    width, height = (_read_size(content, key, where) for key in ("imageWidth", "imageHeight"))
    return LabelMePoints(landmarks_xy=landmarks, width=width, height=height, remark=remark)


def _parse(data: bytes, where: str) -> dict[str, Any]:
    match = _IMAGE_DATA.search(data)
    if match is not None:
        # Base64 holds no quote and no backslash, so the next quote ends the string.
        end = data.find(b'"', match.end())
        if end < 0:
            raise DataError(f"{where}: is cut short inside 'imageData'; copy it again")
        data = data[: match.end()] + data[end:]
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: is no whole JSON file ({error}); copy it again") from error
    if not isinstance(content, dict):
        raise DataError(f"{where}: holds a JSON {type(content).__name__}, not an object; is it a LabelMe file?")
    return content


def _read_shape(shape: Any, where: str) -> tuple[str, tuple[float, float]]:
    label = shape.get("label") if isinstance(shape, dict) else None
    if not isinstance(label, str):
        raise DataError(f"{where}: a shape has no label")
    label = " ".join(label.split())
    points = shape.get("points")
    if not isinstance(points, list) or len(points) != 1:
        count = len(points) if isinstance(points, list) else 0
        raise DataError(f"{where}: {label!r} has {count} points, it needs one")
    point = points[0]
    numbers = isinstance(point, list) and len(point) == 2 and all(type(value) in (int, float) for value in point)
    if not numbers or not all(math.isfinite(value) for value in point):
        raise DataError(f"{where}: {label!r} is at {point}; it needs two finite numbers")
    return label, (float(point[0]), float(point[1]))


def _read_size(content: dict[str, Any], key: str, where: str) -> int:
    value = content.get(key)
    if type(value) is not int or value < 1:
        raise DataError(f"{where}: {key!r} is {value!r}; it needs a number of pixels")
    return value


def _resolve(points: dict[str, list[tuple[float, float]]], where: str) -> tuple[NDArray[np.float64], str | None]:
    landmarks = np.full((NUM_LANDMARKS, 2), np.nan)
    for label, found in points.items():
        landmarks[_INDEX[label]] = found[0]
    missing = [label for label in CSXA_LANDMARK_NAMES if label not in points]
    repeated = {label: sorted(set(found)) for label, found in points.items() if len(found) > 1}
    if not repeated:
        if missing:
            raise DataError(
                f"{where}: has no point {', '.join(map(repr, missing))}; annotate it, or leave the film out"
            )
        return landmarks, None
    label, copies = next(iter(repeated.items()))
    if not missing and all(len(found) == 1 for found in repeated.values()):
        return landmarks, f"{', '.join(map(repr, repeated))} is given more than once at one place"
    if len(repeated) > 1 or len(copies) > _MAX_COPIES or len(missing) > len(copies) - 1:
        names = ", ".join(map(repr, repeated))
        lacks = f", and {', '.join(map(repr, missing))} missing" if missing else ""
        raise DataError(f"{where}: {names} given more than once{lacks}; correct the labels by hand")
    wanted = [label, *missing]
    choices = list(permutations(copies, len(wanted)))
    errors = [_parallelogram_error(_place(landmarks, wanted, choice)) for choice in choices]
    best = int(np.argmin(errors))
    # A C2 point belongs to no body with four corners, so nothing decides about it.
    if errors.count(errors[best]) > 1:
        raise DataError(f"{where}: {label!r} is given {len(copies)} times and nothing tells which is right; correct it")
    placed = ", ".join(f"{name!r} at {point}" for name, point in zip(wanted, choices[best], strict=True))
    return _place(
        landmarks, wanted, choices[best]
    ), f"{label!r} is given {len(copies)} times; by position taken: {placed}"


def _place(
    landmarks: NDArray[np.float64], labels: list[str], points: tuple[tuple[float, float], ...]
) -> NDArray[np.float64]:
    placed = landmarks.copy()
    placed[[_INDEX[label] for label in labels]] = points
    return placed


def _parallelogram_error(landmarks: NDArray[np.float64]) -> float:
    corners = landmarks[3:].reshape(5, 4, 2)
    gaps = corners[:, 0] - corners[:, 1] - corners[:, 2] + corners[:, 3]
    return float(np.hypot(gaps[:, 0], gaps[:, 1]).sum())
