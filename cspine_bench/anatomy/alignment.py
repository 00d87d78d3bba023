"""Alignment parameters from the 23 landmarks: the 77 of CSXA, under CSXA's names.

Pure functions on float64 arrays of shape (..., 23, 2), vectorised over the leading axes. A parameter whose
landmarks are not all labelled (NaN) is NaN, and so is one that its geometry leaves undefined (an endplate of
length zero, or a vertical one for a slope against the horizontal).

All definitions are for patients who face left: x grows backwards. `facing="right"` mirrors the points first, so
that the same anatomy gives the same numbers.

Signs, y downwards and facing left: an angle is positive where the endplates open forwards (lordosis), a distance
from a line is positive in front of it, `SVA` is positive where C7 lies behind C2.

Source: Ran et al. 2024, Scientific Data, s41597-024-03383-0, and the program the authors published with it
(github.com/yran888/CSXA-dataset, aux_info_cal.py, read on its names and formulas; none of its code is used).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.classes import Facing
from cspine_bench.anatomy.landmarks import CORNER_LEVELS, LANDMARK_INDEX, NUM_LANDMARKS

Floats = NDArray[np.float64]
Unit = Literal["px", "deg", "percent"]
Compute = Callable[[Floats], Floats]

_LEVELS: Final = tuple(int(level[1:]) for level in CORNER_LEVELS)
_SIDES: Final = (("q", "anterior"), ("h", "posterior"))


@dataclass(frozen=True, slots=True)
class Parameter:
    """One alignment parameter: its CSXA name, its unit, and its definition in a line."""

    name: str
    unit: Unit
    definition: str
    compute: Compute


def _point(level: int, corner: str) -> int:
    return LANDMARK_INDEX[f"C{level}_{corner}"]


def _endplate(level: int, side: str) -> tuple[int, int]:
    return _point(level, f"{side}_anterior"), _point(level, f"{side}_posterior")


def _cross(u: Floats, v: Floats) -> Floats:
    result: Floats = u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
    return result


def _dot(u: Floats, v: Floats) -> Floats:
    result: Floats = u[..., 0] * v[..., 0] + u[..., 1] * v[..., 1]
    return result


def _angle_deg(u: Floats, v: Floats) -> Floats:
    """Minus the signed angle from vector u to vector v. A vector of length zero has no direction: NaN."""
    undefined = (_dot(u, u) == 0) | (_dot(v, v) == 0)
    return np.where(undefined, np.nan, -np.degrees(np.arctan2(_cross(u, v), _dot(u, v))))


def _distance(points: Floats, first: int, second: int) -> Floats:
    difference = points[..., second, :] - points[..., first, :]
    return np.hypot(difference[..., 0], difference[..., 1])


def _span(points: Floats, ends: tuple[int, int]) -> Floats:
    return points[..., ends[1], :] - points[..., ends[0], :]


def _middle(points: Floats, ends: tuple[int, int]) -> Floats:
    return (points[..., ends[0], :] + points[..., ends[1], :]) / 2


def _diagonal_intersection(points: Floats, level: int) -> Floats:
    """Where the two diagonals of a body cross. Parallel diagonals cross nowhere: NaN."""
    top_front, top_back = (points[..., index, :] for index in _endplate(level, "superior"))
    bottom_front, bottom_back = (points[..., index, :] for index in _endplate(level, "inferior"))
    falling, rising = bottom_back - top_front, bottom_front - top_back
    divisor = _cross(falling, rising)
    with np.errstate(divide="ignore", invalid="ignore"):
        along = np.where(divisor == 0, np.nan, _cross(top_back - top_front, rising) / divisor)
    return top_front + along[..., None] * falling


def _distance_from_line(point: Floats, start: Floats, end: Floats) -> Floats:
    """Signed distance of a point from the line start-end: positive in front, where the line runs downwards."""
    line = end - start
    with np.errstate(divide="ignore", invalid="ignore"):
        return -_cross(point - start, line) / np.hypot(line[..., 0], line[..., 1])


def _between(first: tuple[int, int], second: tuple[int, int]) -> Compute:
    return lambda points: _angle_deg(_span(points, first), _span(points, second))


def _length(first: int, second: int) -> Compute:
    return lambda points: _distance(points, first, second)


def _shift_x(minuend: int, subtrahend: int) -> Compute:
    return lambda points: points[..., minuend, 0] - points[..., subtrahend, 0]


def _slope(ends: tuple[int, int]) -> Compute:
    def compute(points: Floats) -> Floats:
        endplate = _span(points, ends)
        horizontal = endplate * np.array([1.0, 0.0])
        return -_angle_deg(endplate, horizontal)

    return compute


def _from_c2_c7_line(level: int) -> Compute:
    def compute(points: Floats) -> Floats:
        start = _middle(points, _endplate(2, "inferior"))
        end = _middle(points, _endplate(7, "inferior"))
        return _distance_from_line(_diagonal_intersection(points, level), start, end)

    return compute


def _curvature_index(points: Floats) -> Floats:
    start, end = (points[..., _point(level, "inferior_posterior"), :] for level in (2, 7))
    middles = points[..., [_point(level, "inferior_posterior") for level in (3, 4, 5, 6)], :]
    total = _distance_from_line(middles, start[..., None, :], end[..., None, :]).sum(axis=-1)
    length = end - start
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Floats = 100 * total / np.hypot(length[..., 0], length[..., 1])
    return result


def _centroid_lordosis(points: Floats) -> Floats:
    upper = _middle(points, _endplate(2, "inferior")) - _diagonal_intersection(points, 3)
    lower = _middle(points, _endplate(7, "inferior")) - _diagonal_intersection(points, 6)
    angle = np.abs(_angle_deg(upper, lower))
    side = _cross(lower, -upper)
    # The authors give 0, not 180, where the two lines are parallel to the last bit.
    return np.where(np.isnan(angle), np.nan, np.select([side > 0, side < 0], [180 - angle, (180 + angle) % 360], 0.0))


def _build_parameters() -> list[Parameter]:
    """All 77, in the order of CSXA's own table."""
    table = [Parameter("row2", "px", "Length of the C2 inferior endplate.", _length(*_endplate(2, "inferior")))]
    for k in _LEVELS:
        for letter, side in (("s", "superior"), ("x", "inferior")):
            table.append(
                Parameter(f"row{k}{letter}", "px", f"Length of the C{k} {side} endplate.", _length(*_endplate(k, side)))
            )
    for letter, edge in _SIDES:
        for k in _LEVELS:
            disc = _length(_point(k - 1, f"inferior_{edge}"), _point(k, f"superior_{edge}"))
            body = _length(_point(k, f"superior_{edge}"), _point(k, f"inferior_{edge}"))
            table.append(Parameter(f"line{k - 1}{k}{letter}", "px", f"C{k - 1}-C{k} disc height, {edge} edge.", disc))
            table.append(Parameter(f"line{k}{k}{letter}", "px", f"C{k} body height, {edge} edge.", body))
    for k in _LEVELS:
        disc = _between(_endplate(k - 1, "inferior"), _endplate(k, "superior"))
        table.append(Parameter(f"SA{k - 1}-{k}", "deg", f"Angle of the C{k - 1}-C{k} disc space.", disc))
    for j in _LEVELS:
        for k in range(j + 1, 8):
            unit = _between(_endplate(j, "superior"), _endplate(k, "inferior"))
            table.append(Parameter(f"FSU{j}-{k}", "deg", f"Angle from C{j} superior to C{k} inferior endplate.", unit))
    for letter, edge in (("F", "anterior"), ("B", "posterior")):
        for k in range(2, 7):
            shift = _shift_x(_point(k, f"inferior_{edge}"), _point(k + 1, f"superior_{edge}"))
            text = f"x of the C{k} inferior {edge} corner minus x of the C{k + 1} superior {edge} corner."
            table.append(Parameter(f"SVA-{k}{letter}", "px", text, shift))
    for k in (7, 6):
        cobb = _between(_endplate(2, "inferior"), _endplate(k, "inferior"))
        table.append(Parameter(f"C2-{k}Cobb", "deg", f"Angle from the C2 to the C{k} inferior endplate.", cobb))
    sva = _shift_x(_point(7, "superior_posterior"), _point(2, "centroid"))
    table.append(Parameter("SVA", "px", "x of the C7 superior posterior corner minus x of the C2 centroid.", sva))
    cci = (
        "Sum of the distances of the C3..C6 inferior posterior corners from the line C2-C7 of theirs, over its length."
    )
    table.append(Parameter("CCI", "percent", cci, _curvature_index))
    ccl = "Angle between C3 centre - C2 inferior middle and C6 centre - C7 inferior middle, 0..360; 180 is straight."
    table.append(Parameter("CCL", "deg", ccl, _centroid_lordosis))
    for k, side in ((2, "inferior"), *((level, "superior") for level in _LEVELS)):
        text = f"Slope of the C{k} {side} endplate against the horizontal."
        table.append(Parameter(f"C{k}S", "deg", text, _slope(_endplate(k, side))))
    for k in _LEVELS:
        wedge = _between(_endplate(k, "superior"), _endplate(k, "inferior"))
        table.append(Parameter(f"VBA{k}", "deg", f"Angle between the two endplates of C{k}.", wedge))
    for k in _LEVELS:
        text = f"Distance of the C{k} centre (diagonals' crossing) from the line C2 - C7 inferior middles."
        table.append(Parameter(f"Toyama{k}", "px", text, _from_c2_c7_line(k)))
    return table


PARAMETERS: Final[dict[str, Parameter]] = {parameter.name: parameter for parameter in _build_parameters()}
"""The 77 parameters by name, in the order of CSXA's table."""

PARAMETER_UNITS: Final[dict[str, Unit]] = {name: parameter.unit for name, parameter in PARAMETERS.items()}


def _face_left(landmarks_xy: NDArray[np.floating], facing: Facing) -> Floats:
    points = np.array(landmarks_xy, dtype=np.float64)
    if points.ndim < 2 or points.shape[-2:] != (NUM_LANDMARKS, 2):
        raise ValueError(f"landmarks_xy needs the shape (..., {NUM_LANDMARKS}, 2), got {points.shape}")
    if facing not in ("left", "right"):
        raise ValueError(f"facing must be 'left' or 'right', got {facing!r}")
    if facing == "right":
        points[..., 0] *= -1
    return points


def compute_parameters(landmarks_xy: NDArray[np.floating], *, facing: Facing = "left") -> dict[str, Floats]:
    """The 77 CSXA alignment parameters.

    Args:
        landmarks_xy: float (..., 23, 2), (x, y) in pixels; NaN = not labelled.
        facing: side of the image that the patient faces.

    Returns:
        By CSXA's name, in the order and units of `PARAMETERS`: float64 arrays of the leading shape. A parameter with
        an unlabelled point, or without a defined value, is NaN.

    Raises:
        ValueError: the shape is not (..., 23, 2), or facing is unknown.

    Source: Ran et al. 2024 (CSXA) and its published program.
    """
    points = _face_left(landmarks_xy, facing)
    return {name: np.asarray(parameter.compute(points)) for name, parameter in PARAMETERS.items()}


def convert_to_mm(
    parameters: dict[str, Floats], *, pixel_spacing_mm: NDArray[np.floating] | float
) -> dict[str, Floats]:
    """`compute_parameters`' result with its lengths in millimetres; angles and percentages stay as they are.

    Args:
        parameters: values by CSXA's name, lengths in pixels.
        pixel_spacing_mm: > 0, side of a square pixel, broadcast against the values; NaN = not known.

    Raises:
        ValueError: a name is not a CSXA parameter.
    """
    unknown = sorted(set(parameters) - set(PARAMETERS))
    if unknown:
        raise ValueError(f"not CSXA parameters: {', '.join(unknown)}; see PARAMETERS for the {len(PARAMETERS)} names")
    spacing = np.asarray(pixel_spacing_mm, dtype=np.float64)
    return {
        name: np.asarray(values * spacing if PARAMETER_UNITS[name] == "px" else values)
        for name, values in parameters.items()
    }


def cobb_c2_c7_deg(landmarks_xy: NDArray[np.floating], *, facing: Facing = "left") -> Floats:
    """C2-C7 Cobb angle, degrees, float64 of the leading shape; lordosis is positive, NaN = not labelled.

    Args and errors as in `compute_parameters`. Source: CSXA's `C2-7Cobb`, the angle of the two inferior endplates.
    """
    return np.asarray(PARAMETERS["C2-7Cobb"].compute(_face_left(landmarks_xy, facing)))


def sva_px(landmarks_xy: NDArray[np.floating], *, facing: Facing = "left") -> Floats:
    """C2-C7 sagittal vertical axis, pixels, float64 of the leading shape; positive where C2 is in front; NaN: no label.

    Args and errors as in `compute_parameters`. Source: CSXA's `SVA`, C2 centroid to C7 superior posterior corner.
    """
    return np.asarray(PARAMETERS["SVA"].compute(_face_left(landmarks_xy, facing)))


def cci_percent(landmarks_xy: NDArray[np.floating], *, facing: Facing = "left") -> Floats:
    """Cervical curvature index, percent, float64 of the leading shape; lordosis is positive, NaN = not labelled.

    Args and errors as in `compute_parameters`. Source: Ishihara 1968, as CSXA's `CCI`.
    """
    return np.asarray(PARAMETERS["CCI"].compute(_face_left(landmarks_xy, facing)))


def compute_toyama_px(landmarks_xy: NDArray[np.floating], *, facing: Facing = "left") -> Floats:
    """Signed distances of the centres of C3..C7 from the line C2 - C7, pixels, float64 (..., 5); in front is positive.

    Args and errors as in `compute_parameters`. Source: CSXA's `Toyama3` .. `Toyama7`.
    """
    points = _face_left(landmarks_xy, facing)
    return np.stack([PARAMETERS[f"Toyama{level}"].compute(points) for level in _LEVELS], axis=-1)
