"""The curvature class of a cervical spine, from its landmarks.

Toyama's rule looks at the centres of the bodies C3 to C6 and at the straight line from the middle of the C2 inferior
endplate to the middle of the C7 inferior endplate:

| class | signed distances of the four centres from the line (positive = in front) |
| --- | --- |
| straight | every one shorter than 2 mm |
| lordotic | none behind the line, at least one of 2 mm or more |
| kyphotic | none in front of the line, at least one of 2 mm or more |
| sigmoid | some in front and some behind, at least one of 2 mm or more |

Source: the rule of Toyama et al. as used by Ohara et al., Spine 2006;31:2585-2591; as the "modified Toyama method" the
more reliable of two in Donk et al., J Neurosurg Spine 2017;26:572-576, and used by Zhu et al. 2022, PMC9440571.

Three choices are ours. The two sigmoid kinds: `sigmoid1` has its upper half (C3, C4) further in front than its lower
half (C5, C6), by the sum of the distances, so it is lordotic above and kyphotic below; `sigmoid2` is the reverse. A
body's centre is the crossing of its two diagonals, as in CSXA's `Toyama` parameters. A centre exactly on the line is on
neither side.

CSXA's own curvature labels are readings by people. This rule need not repeat them, and which of CSXA's Sigmoid1 and
Sigmoid2 is which is not documented in its files: never mix measured and read labels without looking at `label_source`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.alignment import compute_toyama_px
from cspine_bench.anatomy.classes import CURVATURE_CLASSES, Curvature, Facing

STRAIGHT_BELOW_MM: Final = 2.0
"""Distance at which a centre counts as off the line. Source: see the module's docstring."""

_LABELS: Final = {name: label for label, name in enumerate(CURVATURE_CLASSES)}


def compute_curvature_labels(
    landmarks_xy: NDArray[np.floating], *, pixel_spacing_mm: NDArray[np.floating] | float, facing: Facing = "left"
) -> NDArray[np.int64]:
    """Curvature classes of many spines.

    Args:
        landmarks_xy: float (..., 23, 2), (x, y) in pixels; NaN = not labelled.
        pixel_spacing_mm: > 0, side of a square pixel; a scalar or broadcast against the leading shape; NaN = not known.
        facing: side of the image that the patient faces.

    Returns:
        int64 of the leading shape: indices into `CURVATURE_CLASSES`; -1 where a needed point or the spacing is unknown.

    Raises:
        ValueError: the shape is not (..., 23, 2), facing is unknown, or a spacing is not positive.
    """
    spacing = np.asarray(pixel_spacing_mm, dtype=np.float64)
    if np.any(spacing <= 0) or np.any(np.isinf(spacing)):
        raise ValueError(f"pixel_spacing_mm must be positive and finite, got {pixel_spacing_mm!r}")
    distances = compute_toyama_px(landmarks_xy, facing=facing)[..., :4] * spacing[..., None]
    in_front, behind = np.any(distances > 0, axis=-1), np.any(distances < 0, axis=-1)
    upper_in_front = distances[..., :2].sum(axis=-1) >= distances[..., 2:].sum(axis=-1)
    labels = np.select(
        [
            np.any(np.isnan(distances), axis=-1),
            np.all(np.abs(distances) < STRAIGHT_BELOW_MM, axis=-1),
            in_front & ~behind,
            behind & ~in_front,
            upper_in_front,
        ],
        [-1, _LABELS["straight"], _LABELS["lordotic"], _LABELS["kyphotic"], _LABELS["sigmoid1"]],
        default=_LABELS["sigmoid2"],
    )
    return np.asarray(labels, dtype=np.int64)


def curvature_class(
    landmarks_xy: NDArray[np.floating], *, pixel_spacing_mm: float, facing: Facing = "left"
) -> Curvature | None:
    """Curvature class of one spine, or None where a needed point is not labelled.

    Args and errors as in `compute_curvature_labels`, with landmarks of shape (23, 2).
    """
    if np.ndim(landmarks_xy) != 2:
        raise ValueError(
            f"landmarks_xy needs the shape (23, 2), got {np.shape(landmarks_xy)}; use compute_curvature_labels"
        )
    label = int(compute_curvature_labels(landmarks_xy, pixel_spacing_mm=pixel_spacing_mm, facing=facing))
    return None if label < 0 else CURVATURE_CLASSES[label]
