"""The 77 parameters: hand-worked values, a second implementation written out point by point, and invariants."""

import cmath
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspine_bench.anatomy.alignment import (
    PARAMETER_UNITS,
    PARAMETERS,
    cci_percent,
    cobb_c2_c7_deg,
    compute_parameters,
    convert_to_mm,
    sva_px,
)

# Row of each point in an array of landmarks: letter of the side (f = front, b = back) by endplate.
ROWS = {"2x": (1, 2)}
for _k in range(3, 8):
    ROWS[f"{_k}s"] = (4 * _k - 9, 4 * _k - 8)
    ROWS[f"{_k}x"] = (4 * _k - 7, 4 * _k - 6)


def draw_spine(*, rotation_deg=0.0, bow=0.0):
    """A plausible spine facing left: bodies of 20 x 15 px, 20 px apart, bowed forwards by `bow` px in the middle."""
    points = np.zeros((23, 2))
    points[0] = (110, 10)
    points[1], points[2] = (100, 20), (120, 20)
    for k in range(3, 8):
        top = 25 + 20 * (k - 3)
        shift = -bow * math.sin(math.pi * (k - 2) / 5)
        for corner, (x, y) in enumerate(((100, top), (120, top), (100, top + 15), (120, top + 15))):
            points[4 * k - 9 + corner] = (x + shift, y)
    turn = math.radians(rotation_deg)
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return points @ matrix.T


def reference_parameters(landmarks):
    """A second implementation in plain complex numbers, one patient at a time."""
    p = [complex(float(x), float(y)) for x, y in landmarks]

    def side(name):
        front, back = ROWS[name]
        return p[front], p[back]

    def angle(first, second):
        return -math.degrees(cmath.phase((second[1] - second[0]) * (first[1] - first[0]).conjugate()))

    def cross(u, v):
        return (u.conjugate() * v).imag

    def distance(point, start, end):
        value = abs(cross(end - start, point - start)) / abs(end - start)
        return -value if cross(point - start, end - start) > 0 else value

    def middle(name):
        return sum(side(name)) / 2

    def centre(k):
        (a, b), (c, d) = side(f"{k}s"), side(f"{k}x")
        # Cramer's rule on a + t (d - a) = b + s (c - b).
        t, _ = np.linalg.solve(
            [[(d - a).real, -(c - b).real], [(d - a).imag, -(c - b).imag]], [(b - a).real, (b - a).imag]
        )
        return a + t * (d - a)

    out = {
        "row" + name.removesuffix("x") if name == "2x" else "row" + name: abs(np.subtract(*side(name))) for name in ROWS
    }
    order = ["2x", *(f"{k}{letter}" for k in range(3, 8) for letter in "sx")]
    for which, letter in enumerate("qh"):
        for upper, lower in pairwise(order):
            out[f"line{upper[0]}{lower[0]}{letter}"] = abs(side(lower)[which] - side(upper)[which])
    for k in range(2, 7):
        out[f"SA{k}-{k + 1}"] = angle(side(f"{k}x"), side(f"{k + 1}s"))
        out[f"SVA-{k}F"] = (side(f"{k}x")[0] - side(f"{k + 1}s")[0]).real
        out[f"SVA-{k}B"] = (side(f"{k}x")[1] - side(f"{k + 1}s")[1]).real
    for j in range(3, 8):
        for k in range(j, 8):
            out[f"VBA{j}" if j == k else f"FSU{j}-{k}"] = angle(side(f"{j}s"), side(f"{k}x"))
    out["C2-7Cobb"] = angle(side("2x"), side("7x"))
    out["C2-6Cobb"] = angle(side("2x"), side("6x"))
    out["SVA"] = side("7s")[1].real - p[0].real
    start, end = side("2x")[1], side("7x")[1]
    out["CCI"] = 100 * sum(distance(side(f"{k}x")[1], start, end) for k in range(3, 7)) / abs(end - start)
    upper, lower = (centre(3), middle("2x")), (centre(6), middle("7x"))
    position = cross(lower[1] - lower[0], upper[0] - upper[1])
    bend = abs(angle(upper, lower))
    out["CCL"] = 0.0 if position == 0 else 180 - bend if position > 0 else (180 + bend) % 360
    for k, name in ((2, "2x"), *((k, f"{k}s") for k in range(3, 8))):
        front, back = side(name)
        out[f"C{k}S"] = -angle((front, back), (front, complex(back.real, front.imag)))
    for k in range(3, 8):
        out[f"Toyama{k}"] = distance(centre(k), middle("2x"), middle("7x"))
    return out


def test_there_are_77_and_each_says_what_it_is():
    assert len(PARAMETERS) == 77
    assert list(compute_parameters(draw_spine())) == list(PARAMETERS)
    assert all(item.definition.endswith(".") and item.name == name for name, item in PARAMETERS.items())
    assert {
        "row2",
        "line23q",
        "line77h",
        "SA2-3",
        "FSU6-7",
        "SVA-6B",
        "C2-7Cobb",
        "CCL",
        "C7S",
        "VBA7",
        "Toyama7",
    } <= set(PARAMETERS)


def test_agrees_with_the_second_implementation_on_random_points():
    landmarks = np.random.default_rng(1).uniform(0, 1000, size=(300, 23, 2))
    values = compute_parameters(landmarks)
    for index, points in enumerate(landmarks):
        expected = reference_parameters(points)
        assert set(expected) == set(values)
        for name, value in expected.items():
            # Diagonals that are nearly parallel cross far away, so the tolerance is relative above 1.
            assert values[name][index] == pytest.approx(value, rel=1e-9, abs=1e-6), name


def test_values_worked_by_hand():
    spine = draw_spine()
    spine[21] = (100, 130)  # C7 inferior anterior corner 10 px lower: the endplate rises backwards by atan(10 / 20)
    values = {name: float(value) for name, value in compute_parameters(spine).items()}
    tilt = math.degrees(math.atan2(10, 20))
    assert values["row2"] == 20
    assert values["line33q"] == 15
    assert values["line77q"] == 25
    assert values["line23h"] == 5
    assert values["C2-7Cobb"] == pytest.approx(tilt)
    assert values["VBA7"] == pytest.approx(tilt)
    assert values["FSU3-7"] == pytest.approx(tilt)
    assert values["C2-6Cobb"] == 0
    assert values["SVA"] == 10
    assert values["CCI"] == 0
    assert values["C7S"] == 0


def test_signs_are_positive_for_lordosis_and_turn_with_the_bow():
    forwards, backwards = compute_parameters(draw_spine(bow=10)), compute_parameters(draw_spine(bow=-10))
    assert forwards["CCI"] > 0 > backwards["CCI"]
    assert forwards["Toyama5"] > 0 > backwards["Toyama5"]
    # The two bows mirror each other, so CCL lies equally far from 180 on both sides.
    assert forwards["CCL"] + backwards["CCL"] == pytest.approx(360)
    assert float(forwards["CCL"]) != pytest.approx(180)


def test_slope_of_an_endplate_that_falls_forwards_is_positive():
    spine = draw_spine()
    spine[20] = (120, 95)  # C7 superior posterior corner 10 px higher than the anterior one
    assert float(compute_parameters(spine)["C7S"]) == pytest.approx(math.degrees(math.atan2(10, 20)))


coordinates = st.floats(0, 1000, allow_nan=False, width=32)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), turn=st.floats(-0.5, 0.5), scale=st.floats(0.1, 10), x=coordinates, y=coordinates
)
def test_turning_moving_and_scaling(seed, turn, scale, x, y):
    spine = draw_spine(bow=6) + np.random.default_rng(seed).normal(scale=1, size=(23, 2))
    before = compute_parameters(spine)
    moved = compute_parameters(spine + np.array([x, y]))
    scaled = compute_parameters(spine * scale)
    turned = compute_parameters(spine @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]))
    for name, unit in PARAMETER_UNITS.items():
        assert moved[name] == pytest.approx(before[name], abs=1e-6), name
        assert scaled[name] == pytest.approx(before[name] * (scale if unit == "px" else 1), abs=1e-6), name
        if name.startswith("SVA"):
            continue  # measured along the image's own x axis
        shift = math.degrees(turn) if name in {f"C{k}S" for k in range(2, 8)} else 0.0
        assert turned[name] == pytest.approx(before[name] - shift, abs=1e-6), name


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), width=st.integers(100, 2000))
def test_a_mirrored_film_has_the_same_parameters_when_its_facing_is_named(seed, width):
    spine = draw_spine(bow=6) + np.random.default_rng(seed).normal(scale=2, size=(23, 2))
    mirrored = spine * (-1, 1) + (width - 1, 0)
    left, right = compute_parameters(spine), compute_parameters(mirrored, facing="right")
    assert all(right[name] == pytest.approx(left[name], abs=1e-6) for name in PARAMETERS)


@pytest.mark.parametrize("missing", range(23))
def test_a_missing_point_is_nan_in_its_parameters_and_nowhere_else(missing):
    spine = draw_spine(bow=6)
    whole = compute_parameters(spine)
    spine[missing] = np.nan
    holed = compute_parameters(spine)
    touched = {name for name in PARAMETERS if math.isnan(holed[name])}
    assert touched
    assert all(holed[name] == whole[name] for name in set(PARAMETERS) - touched)
    if missing == 0:
        assert touched == {"SVA"}
    if missing == 11:  # C5 superior anterior
        expected = {"row5s", "line45q", "line55q", "SA4-5", "FSU5-6", "FSU5-7", "SVA-4F", "C5S", "VBA5", "Toyama5"}
        assert touched == expected


def test_leading_axes_and_short_forms():
    batch = np.stack([draw_spine(bow=b) for b in (-5.0, 0.0, 5.0, 9.0)]).reshape(2, 2, 23, 2)
    values = compute_parameters(batch)
    assert all(value.shape == (2, 2) and value.dtype == np.float64 for value in values.values())
    np.testing.assert_array_equal(cobb_c2_c7_deg(batch), values["C2-7Cobb"])
    np.testing.assert_array_equal(sva_px(batch), values["SVA"])
    np.testing.assert_array_equal(cci_percent(batch), values["CCI"])


def test_millimetres_scale_lengths_alone():
    values = compute_parameters(np.stack([draw_spine(bow=3), draw_spine(bow=5)]))
    scaled = convert_to_mm(values, pixel_spacing_mm=np.array([0.2, np.nan]))
    assert scaled["row2"][0] == pytest.approx(4.0)
    assert math.isnan(scaled["row2"][1])
    np.testing.assert_array_equal(scaled["CCI"], values["CCI"])
    np.testing.assert_array_equal(scaled["C2-7Cobb"], values["C2-7Cobb"])
    with pytest.raises(ValueError, match="not CSXA parameters: T1S"):
        convert_to_mm({"T1S": np.zeros(1)}, pixel_spacing_mm=1.0)


def test_degenerate_points_give_nan_without_a_warning():
    values = compute_parameters(np.zeros((23, 2)))
    assert values["row2"] == 0
    assert all(math.isnan(values[name]) for name in ("C2-7Cobb", "CCI", "CCL", "C2S", "VBA3", "Toyama3"))


def test_misuse_is_named():
    with pytest.raises(ValueError, match=r"needs the shape \(\.\.\., 23, 2\), got \(22, 2\)"):
        compute_parameters(np.zeros((22, 2)))
    with pytest.raises(ValueError, match="'left' or 'right', got 'front'"):
        compute_parameters(np.zeros((23, 2)), facing="front")
