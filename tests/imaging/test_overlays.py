"""Overlays: how many are found, how many finds are false, and what a mask leaves alone."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cspine_bench.errors import DataError
from cspine_bench.imaging.overlays import Overlay, find_crop, find_overlays, mask_overlays, to_gray
from cspine_bench.imaging.prepare import ImportOptions, prepare_film

sys.path.insert(0, str(Path(__file__).parent))
from screen_films import ADDITIONS, draw_neck, draw_screenshot

NO_POINTS = np.full((23, 2), np.nan)


def covers(found, truth):
    kind, x0, y0, x1, y1 = truth
    # What stands out by up to 3 px is masked with the overlay's margin.
    return (
        found.kind == kind and found.x0 - 3 <= x0 and found.y0 - 3 <= y0 and found.x1 + 3 >= x1 and found.y1 + 3 >= y1
    )


@pytest.mark.slow  # draws many films
def test_precision_and_recall_on_drawn_films():
    """Sizes as in CSXA; each overlay on half of the films. With and without landmarks to lean on."""
    hits, misses, false = Counter(), Counter(), Counter()
    for seed in range(1000, 1024):
        generator = np.random.default_rng(seed)
        kinds = [kind for kind in ADDITIONS if generator.random() < 0.5]
        height, width = int(generator.integers(746, 1013)), int(generator.integers(495, 1029))
        rgb, _, points, truth = draw_screenshot(generator, kinds, height, width)
        found = find_overlays(rgb, landmarks_xy=points if seed % 2 else None)
        matched = set()
        for item in truth:
            covering = {other for other in found if covers(other, item)}
            matched |= covering
            (hits if covering else misses)[item[0]] += 1
        false.update(item.kind for item in set(found) - matched)
    for kind in ADDITIONS:
        assert hits[kind] / (hits[kind] + misses[kind]) >= 0.95, (kind, hits, misses)
    assert sum(hits.values()) / (sum(hits.values()) + sum(false.values())) >= 0.95, false


def test_clean_films_are_left_alone():
    for seed in range(8):
        clean, _ = draw_neck(np.random.default_rng(seed), 700, 600)
        assert find_overlays(clean) == []
        assert find_overlays(clean.astype(np.uint16) << 8) == []
        np.testing.assert_array_equal(mask_overlays(clean, []), clean)


def test_text_and_marker_are_found_on_gray_films_of_any_depth():
    rgb, _, points, _ = draw_screenshot(np.random.default_rng(5), ["text", "marker"])
    gray = to_gray(rgb)
    for pixels in (gray, gray.astype(np.uint16) * 257):
        assert [item.kind for item in find_overlays(pixels, landmarks_xy=points)] == ["marker", "text"]


def test_the_mask_removes_the_overlay_and_touches_nothing_else():
    rgb, clean, points, truth = draw_screenshot(np.random.default_rng(7), list(ADDITIONS))
    found = find_overlays(rgb, landmarks_xy=points)
    masked = mask_overlays(to_gray(rgb), found)
    hidden = np.zeros(clean.shape, bool)
    for item in found:
        hidden[max(0, item.y0 - 3) : item.y1 + 3, max(0, item.x0 - 3) : item.x1 + 3] = True
    np.testing.assert_array_equal(masked[~hidden], clean[~hidden])
    # The fill is close to what was there: no ghost of the letters stays.
    for _, x0, y0, x1, y1 in truth:
        difference = masked[y0:y1, x0:x1].astype(float) - clean[y0:y1, x0:x1]
        assert np.abs(difference).mean() < 12
    assert find_overlays(masked, landmarks_xy=points) == []


def test_gray_finds_near_a_landmark_are_taken_for_anatomy():
    rgb, _, _, (_, (_, x0, y0, x1, y1)) = draw_screenshot(np.random.default_rng(5), ["text", "marker"])
    points = NO_POINTS.copy()
    points[22] = ((x0 + x1) / 2, (y0 + y1) / 2)
    assert [item.kind for item in find_overlays(rgb, landmarks_xy=points)] == ["text"]


def test_crop_cuts_each_overlay_from_its_cheapest_side():
    line, text = Overlay("line", 0, 2, 700, 4), Overlay("text", 300, 760, 400, 780)
    assert find_crop((800, 700), [line, text]) == (0, 7, 700, 757)
    assert find_crop((800, 700), [Overlay("marker", 20, 300, 60, 350)]) == (63, 0, 700, 800)
    with pytest.raises(ValueError, match="would leave nothing"):
        find_crop((100, 100), [Overlay("colour", 0, 0, 100, 100)])


def test_a_crop_that_would_cut_a_landmark_off_is_refused():
    rgb, _, points, _ = draw_screenshot(np.random.default_rng(5), ["text"])
    points[22] = (10, 795)
    with pytest.raises(
        DataError, match=r"film\.png: cropping the overlays away would leave 1 of its landmarks outside"
    ):
        prepare_film(
            rgb, options=ImportOptions(overlays="crop"), landmarks_xy=points, spacing_xy_mm=None, where="film.png"
        )


def test_facing_is_normalised_and_recorded():
    rgb, _, points, _ = draw_screenshot(np.random.default_rng(5), [], 300, 240)
    settings = {"landmarks_xy": points, "spacing_xy_mm": (0.2, 0.2), "where": "film.png"}
    kept = prepare_film(rgb, options=ImportOptions(size=None, source_facing="right"), **settings)
    turned = prepare_film(rgb, options=ImportOptions(size=None, source_facing="right", facing="left"), **settings)
    assert (kept.fields["facing"], kept.fields["flipped"]) == ("right", False)
    assert (turned.fields["facing"], turned.fields["flipped"]) == ("left", True)
    np.testing.assert_array_equal(turned.image, kept.image[:, ::-1])
    np.testing.assert_allclose(turned.landmarks_xy, points * (-1, 1) + (239, 0), atol=1e-3)
    already = prepare_film(rgb, options=ImportOptions(size=None, source_facing="left", facing="left"), **settings)
    assert already.fields["flipped"] is False
    with pytest.raises(DataError, match="give source facing, left or right"):
        ImportOptions(facing="left")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 15}, "size must be between 16 and 32767 px"),
        ({"fit": "squash"}, "fit must be one of pad, crop"),
        ({"overlays": "blur"}, "overlays must be one of mask, crop, keep, refuse"),
        ({"facing": "up"}, "facing must be one of keep, left, right"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        ImportOptions(**settings)
