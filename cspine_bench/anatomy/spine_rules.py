"""Fixed rules that a spine's landmarks keep, with limits from published anatomy.

The limits are wide: four standard deviations on either side, and an error of `LANDMARK_ERROR_MM` at each end of a
length that two landmarks make. They are to catch what is broken, not what is rare or flexed far.

Sources (mean ± standard deviation, adults). Bodies: depth 16.1 ± 1.8 mm, disc heights in front 3.9 ± 1.1 and behind
2.8 ± .9 mm (CT, n = 130, Front Bioeng Biotechnol 2022, 1036223); lower ones, 2.6 ± 1.0 and 1.8 ± 1.0 mm (CT, n = 1,000,
PMC11225399); height 10.9 ± 1.4, in front 10.0 ± 1.4, behind 11.1 ± 1.4 mm (European Journal of Anatomy 2020); depth of
C3 above 16.6 ± 2.2 and below 18.3 ± 1.8, of C7 19.3 ± 2.3 mm (Lu 1999); films enlarge by up to 1.2. Limits of ratios
are ours: these numbers, taken as independent, in first order. Those of angles are ours too: both ends at their worst.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import CORNER_LEVELS, CORNERS, LANDMARK_INDEX

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Size = tuple[float, float]

LANDMARK_ERROR_MM: Final = 1.2
"""Allowed at each end of a gap. The size of a network's mean error on such films; our choice."""
_DEVIATIONS: Final = 4.0

_DEPTH: Final = (16.1, 1.8)
_HEIGHT: Final = (10.9, 1.4)
_FRONT_HEIGHT: Final = (10.0, 1.4)
_BACK_HEIGHT: Final = (11.1, 1.4)
_FRONT_DISC: Final = (3.9, 1.1)
_BACK_DISC: Final = (2.8, 0.9)
_LOW_FRONT_DISC: Final = (2.6, 1.0)
_LOW_BACK_DISC: Final = (1.8, 1.0)


def _ratio_limits(first: Size, second: Size) -> tuple[float, float]:
    """Four standard deviations either side of the ratio of two means, by propagation of their relative errors."""
    ratio = first[0] / second[0]
    spread = _DEVIATIONS * ratio * math.hypot(first[1] / first[0], second[1] / second[0])
    return max(0.0, ratio - spread), ratio + spread


def _least(size: Size) -> float:
    return size[0] - _DEVIATIONS * size[1] - LANDMARK_ERROR_MM


def _most(size: Size) -> float:
    return size[0] + _DEVIATIONS * size[1] + LANDMARK_ERROR_MM


def _opening_deg(front_mm: float, back_mm: float) -> float:
    """Angle between two lines one depth long, so far apart in front and behind."""
    return math.degrees(math.atan((front_mm - back_mm) / _DEPTH[0]))


HEIGHT_TO_DEPTH: Final = _ratio_limits(_HEIGHT, _DEPTH)
FRONT_TO_BACK: Final = _ratio_limits(_FRONT_HEIGHT, _BACK_HEIGHT)
UPPER_TO_LOWER: Final = _ratio_limits((16.6, 2.2), (18.3, 1.8))
NEIGHBOURS: Final = _ratio_limits(_DEPTH, _DEPTH)
BODY_WEDGE_DEG: Final = (
    _opening_deg(_least(_FRONT_HEIGHT), _most(_BACK_HEIGHT)),
    _opening_deg(_most(_FRONT_HEIGHT), _least(_BACK_HEIGHT)),
)
DISC_WEDGE_DEG: Final = (
    _opening_deg(_least(_LOW_FRONT_DISC), _most(_BACK_DISC)),
    _opening_deg(_most(_FRONT_DISC), _least(_LOW_BACK_DISC)),
)
DISC_END: Final = (_least(_LOW_BACK_DISC) / _DEPTH[0], _most(_FRONT_DISC) / _DEPTH[0])
DEPTH_MM: Final = (_DEPTH[0] - _DEVIATIONS * _DEPTH[1], 1.2 * (19.3 + _DEVIATIONS * 2.3))

FIXED_RULES: Final[dict[str, str]] = {
    "upright": "The centre of C2 lies above that of C7 in the image.",
    "order": "C2 centroid, C2 endplate and the bodies C3 to C7 follow each other down the column.",
    "corners": "Each body's corners go round it in their order, the front on the side that the record names.",
    "discs": "Bodies do not overlap: the mean height of each disc is above 0, that of each end "
    f"{DISC_END[0]:.2f} to {DISC_END[1]:.2f} of a body's depth.",
    "proportions": f"Height over depth of a body {HEIGHT_TO_DEPTH[0]:.2f} to {HEIGHT_TO_DEPTH[1]:.2f}; front over back "
    f"height {FRONT_TO_BACK[0]:.2f} to {FRONT_TO_BACK[1]:.2f}; upper over lower depth {UPPER_TO_LOWER[0]:.2f} to "
    f"{UPPER_TO_LOWER[1]:.2f}; depth over that of the body above {NEIGHBOURS[0]:.2f} to {NEIGHBOURS[1]:.2f}.",
    "angles": f"Endplates of a body open by {BODY_WEDGE_DEG[0]:.0f} to {BODY_WEDGE_DEG[1]:.0f} deg to the front, those "
    f"of a disc by {DISC_WEDGE_DEG[0]:.0f} to {DISC_WEDGE_DEG[1]:.0f} deg.",
    "size": f"Mean depth of the bodies {DEPTH_MM[0]:.1f} to {DEPTH_MM[1]:.1f} mm, where the pixel spacing is known.",
}  # fmt: skip
"""What each rule asks."""


@dataclass(frozen=True)
class Check:
    """A number of each spine and the limits that a rule sets it.

    Attributes:
        rule: by name.
        part: which vertebra and what of it, in words.
        values: float64 (n,).
        low: values are above it.
        high: values are below it.
    """

    rule: str
    part: str
    values: Floats
    low: float = 0.0
    high: float = math.inf

    @property
    def bad(self) -> Bools:
        """Spines that break it, bool (n,)."""
        # Not a number, as of a body without extent, is bad too.
        return ~((self.values > self.low) & (self.values < self.high))

    def describe(self, row: int) -> str:
        """Its value for one spine, and the limits."""
        limits = f"{self.low:.3g} to {self.high:.3g}"
        if math.isinf(self.high):
            limits = f"above {self.low:.3g}"
        elif math.isinf(self.low):
            limits = f"up to {self.high:.3g}"
        return f"{self.part} {self.values[row]:.3g}, allowed {limits}"


_CORNERS: Final = np.array([[LANDMARK_INDEX[f"{level}_{corner}"] for corner in CORNERS] for level in CORNER_LEVELS])
_C2_CENTROID: Final = LANDMARK_INDEX["C2_centroid"]
_C2_LOWER: Final = (LANDMARK_INDEX["C2_inferior_anterior"], LANDMARK_INDEX["C2_inferior_posterior"])
_LEVELS: Final = ("C2", *CORNER_LEVELS)


def _cross(first: Floats, second: Floats) -> Floats:
    result: Floats = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    return result


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def iter_checks(points: Floats, spacing_mm: Floats) -> Iterator[Check]:
    """All checks of `FIXED_RULES`.

    Args:
        points: float64 (n, 23, 2) px, of spines that face left, none of them NaN.
        spacing_mm: float64 (n,), side of a pixel; NaN: not known.
    """
    corners = points[:, _CORNERS]
    upper, lower = corners[:, :, 1] - corners[:, :, 0], corners[:, :, 3] - corners[:, :, 2]
    upper_depth, lower_depth = np.linalg.norm(upper, axis=-1), np.linalg.norm(lower, axis=-1)
    depths = (upper_depth + lower_depth) / 2
    depth = depths.mean(axis=1)
    centres = corners.mean(axis=2)
    top, c2_plate = points[:, _C2_CENTROID], points[:, _C2_LOWER].mean(axis=1)

    yield Check("upright", "C7 below C2, in depths", (centres[:, -1, 1] - top[:, 1]) / depth)
    line = np.concatenate([top[:, None], c2_plate[:, None], centres], axis=1)
    along = (line * _unit(centres[:, -1] - top)[:, None]).sum(-1)
    for place, (first, second) in enumerate(zip(("C2", "C2 endplate", *CORNER_LEVELS), _BELOW, strict=False)):
        step = (along[:, place + 1] - along[:, place]) / depth
        yield Check("order", f"{second} below {first}, in depths", step)

    ring = corners[:, :, [0, 1, 3, 2]]
    edges = np.roll(ring, -1, axis=2) - ring
    turns = _cross(edges, np.roll(edges, -1, axis=2)).min(axis=2) / (depths**2)
    for place, level in enumerate(CORNER_LEVELS):
        yield Check("corners", f"{level} corners go round, sine", turns[:, place])
    c2_lower = points[:, _C2_LOWER[1]] - points[:, _C2_LOWER[0]]
    across = (_unit(c2_lower) * _unit(upper.mean(axis=1))).sum(-1)
    yield Check("corners", "C2 endplate along C3's, cosine", across)

    yield from _check_discs(points, depth, c2_lower, upper, lower)
    heights = [np.linalg.norm(corners[:, :, end + 2] - corners[:, :, end], axis=-1) for end in (0, 1)]
    for place, level in enumerate(CORNER_LEVELS):
        ratios = {
            "height over depth": ((heights[0] + heights[1])[:, place] / 2 / depths[:, place], HEIGHT_TO_DEPTH),
            "front over back height": (heights[0][:, place] / heights[1][:, place], FRONT_TO_BACK),
            "upper over lower depth": (upper_depth[:, place] / lower_depth[:, place], UPPER_TO_LOWER),
        }
        if place:
            ratios["depth over that of the body above"] = (depths[:, place] / depths[:, place - 1], NEIGHBOURS)
        for part, (values, limits) in ratios.items():
            yield Check("proportions", f"{level} {part}", values, *limits)
        wedge = _angle_deg(upper[:, place], lower[:, place])
        yield Check("angles", f"{level} endplates, deg", wedge, *BODY_WEDGE_DEG)
    # An unknown spacing breaks no rule.
    size = np.where(np.isnan(spacing_mm), np.mean(DEPTH_MM), depth * spacing_mm)
    yield Check("size", "mean depth of the bodies, mm", size, *DEPTH_MM)


_BELOW: Final = ("C2 endplate", *CORNER_LEVELS)


def _check_discs(points: Floats, depth: Floats, c2_lower: Floats, upper: Floats, lower: Floats) -> Iterator[Check]:
    above = np.concatenate([c2_lower[:, None], lower[:, :-1]], axis=1)
    starts = np.concatenate([np.array([_C2_LOWER]), _CORNERS[:-1, 2:]])
    gaps = points[:, _CORNERS[:, :2]] - points[:, starts]
    along = _unit(_unit(above) + _unit(upper))
    down = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    ends = (gaps * down[:, :, None]).sum(-1) / depth[:, None, None]
    for place in range(len(CORNER_LEVELS)):
        disc = f"disc {_LEVELS[place]}-{_LEVELS[place + 1]}"
        yield Check("discs", f"{disc} mean height, in depths", ends[:, place].mean(axis=1), 0.0, DISC_END[1])
        for end, name in enumerate(("front", "back")):
            yield Check("discs", f"{disc} {name} height, in depths", ends[:, place, end], *DISC_END)
        opening = _angle_deg(above[:, place], upper[:, place])
        yield Check("angles", f"{disc} endplates, deg", opening, *DISC_WEDGE_DEG)


def _angle_deg(first: Floats, second: Floats) -> Floats:
    """By which two endplates open to the front, of spines that face left."""
    return np.asarray(-np.degrees(np.arctan2(_cross(first, second), (first * second).sum(-1))))
