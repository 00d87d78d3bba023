"""Masks drawn from landmarks, by hand and against the phantom's exact ones."""

import numpy as np
import pytest

from cspine_bench.anatomy.landmarks import CORNER_LEVELS, LANDMARK_INDEX, MASK_LABELS
from cspine_bench.imaging.body_masks import DRAWN_LEVELS, draw_body_mask, draw_whole_bodies, find_whole_bodies
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.source import PhantomSource


def place_bodies() -> np.ndarray:
    """Boxes 6 px wide and 3 high, one below the other; C2's points lie to their left."""
    points = np.zeros((23, 2))
    for number, level in enumerate(CORNER_LEVELS):
        for corner, (x, y) in {
            "superior_anterior": (9.5, 0.5), "superior_posterior": (15.5, 0.5),
            "inferior_anterior": (9.5, 3.5), "inferior_posterior": (15.5, 3.5),
        }.items():  # fmt: skip
            points[LANDMARK_INDEX[f"{level}_{corner}"]] = (x, y + 5 * number)
    return points


def test_a_box_holds_the_pixels_whose_centres_lie_in_it() -> None:
    mask = draw_body_mask(place_bodies(), 32)
    expected = np.zeros((32, 32), np.uint8)
    for number in range(5):
        expected[1 + 5 * number : 4 + 5 * number, 10:16] = 3 + number
    np.testing.assert_array_equal(mask, expected)
    mirrored = place_bodies() * (-1, 1) + (31, 0)
    np.testing.assert_array_equal(draw_body_mask(mirrored, 32), expected[:, ::-1])


def test_a_body_beyond_the_edge_is_cut_and_a_missing_corner_refused() -> None:
    mask = draw_body_mask(place_bodies() + (0, 9), 32)
    assert (mask == 7).sum() == 2 * 6  # of three rows, the last one lies outside
    assert not (draw_body_mask(place_bodies() + (0, 90), 32)).any()
    points = place_bodies()
    points[LANDMARK_INDEX["C5_inferior_anterior"]] = np.nan
    with pytest.raises(ValueError, match="a corner of C5 is NaN"):
        draw_body_mask(points, 32)


def test_a_body_with_a_missing_corner_can_be_left_out() -> None:
    points = place_bodies()
    points[LANDMARK_INDEX["C5_inferior_anterior"], 0] = np.nan
    expected = draw_body_mask(place_bodies(), 32)
    expected[expected == MASK_LABELS["C5"]] = 0
    both = draw_whole_bodies(np.stack([place_bodies() + (3, 7), points]), 32)
    np.testing.assert_array_equal(both, [draw_body_mask(place_bodies() + (3, 7), 32), expected])
    assert find_whole_bodies(points).tolist() == [True, True, False, True, True]
    assert find_whole_bodies(np.stack([points, place_bodies()])).sum() == 9
    assert draw_whole_bodies(np.full((2, 23, 2), np.nan), 32).sum() == 0
    with pytest.raises(ValueError, match="landmarks_xy must be"):
        draw_whole_bodies(points[None, :22], 32)


def test_it_is_nearly_the_phantoms_own_mask() -> None:
    assert DRAWN_LEVELS == "C3,C4,C5,C6,C7"
    source = PhantomSource(PhantomRecipe(size=128), 8)
    drawn, exact = [], []
    for made in source.iter_radiographs(source.list_samples()):
        drawn.append(draw_body_mask(made.landmarks_xy, 128))
        exact.append(made.mask)
    for level in CORNER_LEVELS:
        ours, theirs = np.stack(drawn) == MASK_LABELS[level], np.stack(exact) == MASK_LABELS[level]
        assert 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()) > 0.9, level
