"""The curvature rule: one worked case per class, its borders, and what must not change it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspine_bench.anatomy.classes import CURVATURE_CLASSES
from cspine_bench.anatomy.curvature import compute_curvature_labels, curvature_class


def draw_spine(offsets_mm, *, spacing_mm=0.25):
    """Bodies C3..C6 whose centres lie `offsets_mm` in front of the vertical C2 - C7 line; facing left."""
    points = np.zeros((23, 2))
    points[1], points[2] = (-10, 0), (10, 0)
    for row, offset in enumerate([*offsets_mm, 0.0]):
        x, y = -offset / spacing_mm, 10 + 40 * row
        points[3 + 4 * row : 7 + 4 * row] = [(x - 10, y), (x + 10, y), (x - 10, y + 20), (x + 10, y + 20)]
    return points + 300


@pytest.mark.parametrize(
    ("offsets_mm", "expected"),
    [
        ((1, 3, 3, 1), "lordotic"),
        ((0, 0, 2, 0), "lordotic"),
        ((0, 0, 0, 0), "straight"),
        ((1.9, 1.9, -1.9, -1.9), "straight"),
        ((-1, -3, -3, -1), "kyphotic"),
        ((0, -2, 0, 0), "kyphotic"),
        ((2, 1, -1, -1), "sigmoid1"),
        ((-1, -1, 1, 2), "sigmoid2"),
        ((3, 3, 3, -0.5), "sigmoid1"),
        ((-0.5, 3, 3, 3), "sigmoid2"),
    ],
)
def test_worked_cases(offsets_mm, expected):
    assert curvature_class(draw_spine(offsets_mm), pixel_spacing_mm=0.25) == expected


def test_the_spacing_decides_what_is_straight():
    spine = draw_spine((1, 3, 3, 1), spacing_mm=0.25)
    assert curvature_class(spine, pixel_spacing_mm=0.25) == "lordotic"
    assert curvature_class(spine, pixel_spacing_mm=0.1) == "straight"


@settings(max_examples=50, deadline=None)
@given(offsets=st.lists(st.floats(-6, 6), min_size=4, max_size=4), turn=st.floats(-0.6, 0.6))
def test_turning_and_mirroring_change_nothing(offsets, turn):
    # Keep off the rule's borders, where the last bit of a rotation decides.
    distances = np.abs(offsets)
    halves = sum(offsets[:2]) - sum(offsets[2:])
    if np.any(distances < 1e-3) or np.any(np.abs(distances - 2) < 1e-3) or abs(halves) < 1e-3:
        return
    spine = draw_spine(offsets)
    turned = spine @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    expected = curvature_class(spine, pixel_spacing_mm=0.25)
    assert curvature_class(turned, pixel_spacing_mm=0.25) == expected
    assert curvature_class(spine * (-1, 1), pixel_spacing_mm=0.25, facing="right") == expected


def test_many_at_once_with_gaps():
    whole, holed = draw_spine((1, 3, 3, 1)), draw_spine((1, 3, 3, 1))
    holed[7] = np.nan
    without_c7_top = draw_spine((-1, -3, -3, -1))
    without_c7_top[19] = np.nan
    labels = compute_curvature_labels(
        np.stack([whole, holed, without_c7_top, whole]), pixel_spacing_mm=np.array([0.25, 0.25, 0.25, np.nan])
    )
    assert labels.tolist() == [CURVATURE_CLASSES.index("lordotic"), -1, CURVATURE_CLASSES.index("kyphotic"), -1]
    assert curvature_class(holed, pixel_spacing_mm=0.25) is None


def test_misuse_is_named():
    with pytest.raises(ValueError, match="must be positive and finite"):
        curvature_class(draw_spine((0, 0, 0, 0)), pixel_spacing_mm=0)
    with pytest.raises(ValueError, match="use compute_curvature_labels"):
        curvature_class(np.zeros((2, 23, 2)), pixel_spacing_mm=1)
