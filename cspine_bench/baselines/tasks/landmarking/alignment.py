"""What a surgeon reads from landmarks: which alignment parameters are scored, and their values for each radiograph."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.alignment import PARAMETER_UNITS, compute_parameters, convert_to_mm
from cspine_bench.anatomy.classes import FACINGS
from cspine_bench.anatomy.landmarks import CORNER_LEVELS
from cspine_bench.baselines.cases import Cases

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AlignmentMeasure:
    """An alignment parameter that is scored.

    Attributes:
        parameter: its name in `anatomy.alignment.PARAMETERS`.
        family: what a figure of it is named after; the discs of one family differ by their condition.
        condition: such as {"disc": "C2-C3"}.
        has_correlation: whether ICC(2,1) is reported too.
    """

    parameter: str
    family: str
    condition: Mapping[str, str] = field(default_factory=dict)
    has_correlation: bool = False

    @property
    def unit(self) -> str:
        """`deg` or `mm`."""
        unit = PARAMETER_UNITS[self.parameter]
        return "mm" if unit == "px" else unit


def _list_measures() -> tuple[AlignmentMeasure, ...]:
    measures = [
        AlignmentMeasure("C2-7Cobb", "cobb_angle", has_correlation=True),
        AlignmentMeasure("SVA", "sva", has_correlation=True),
    ]
    below = [int(level[1:]) for level in CORNER_LEVELS]
    measures += [AlignmentMeasure(f"SA{k - 1}-{k}", "disc_angle", {"disc": f"C{k - 1}-C{k}"}) for k in below]
    for letter, edge in (("q", "anterior"), ("h", "posterior")):
        measures += [
            AlignmentMeasure(f"line{k - 1}{k}{letter}", "disc_height", {"disc": f"C{k - 1}-C{k}", "edge": edge})
            for k in below
        ]
    return tuple(measures)


ALIGNMENT: Final = _list_measures()
"""C2-C7 Cobb angle, sagittal vertical axis, disc angles, and disc heights at both edges."""


def measure_alignment(
    landmarks_xy: NDArray[np.floating], cases: Cases, *, near: Mapping[str, Floats] | None = None
) -> dict[str, Floats]:
    """Values of `ALIGNMENT` for each radiograph.

    Args:
        landmarks_xy: float (n, 23, 2), predicted or true, px of the cases' pixels.
        cases: whose facing and pixel spacing hold.
        near: true values. An angle is given in the turn that is nearest to its true one: 179 and -179 degrees are two
            apart, not 358.

    Returns:
        By parameter, float64 (n,), degrees and millimetres: NaN where a landmark is missing, the facing is not known,
        or, for a length, the spacing is not known.
    """
    values = {measure.parameter: np.full(len(cases), np.nan) for measure in ALIGNMENT}
    facing = np.array(cases.facing)
    for side in FACINGS:
        rows = np.flatnonzero(facing == side)
        if len(rows):
            parameters = compute_parameters(landmarks_xy[rows], facing=side)
            measured = {name: parameters[name] for name in values}
            for name, found in convert_to_mm(measured, pixel_spacing_mm=cases.pixel_spacing_mm[rows]).items():
                values[name][rows] = found
    if near is not None:
        for measure in ALIGNMENT:
            if measure.unit == "deg":
                off = values[measure.parameter] - near[measure.parameter]
                values[measure.parameter] -= 360 * np.round(off / 360)
    return values
