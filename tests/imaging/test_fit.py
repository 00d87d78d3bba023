"""Resizing: points and spacing stay on their pixels, depth survives, nothing is squashed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cspine_bench.imaging.fit import apply_affine, compose_affine, fit_film

NO_POINTS = np.full((23, 2), np.nan)


def draw_disc(height, width, x, y, radius, dtype=np.uint8):
    rows, columns = np.mgrid[:height, :width]
    inside = np.clip(radius + 0.5 - np.hypot(columns - x, rows - y), 0, 1)
    return np.rint(inside * (np.iinfo(dtype).max * 0.9)).astype(dtype)


def centre_of(image):
    weights = image.astype(float)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(columns * weights).sum(), (rows * weights).sum()]) / weights.sum()


def extent_of(image, axis):
    """Second moment of the brightness along an axis: how wide the disc is."""
    weights = image.astype(float)
    position = np.mgrid[: image.shape[0], : image.shape[1]][axis]
    mean = (position * weights).sum() / weights.sum()
    return np.sqrt((((position - mean) ** 2) * weights).sum() / weights.sum())


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(60, 200),
    width=st.integers(60, 200),
    # Smaller, the disc has two pixels of radius, and is no longer round to 2 %.
    size=st.integers(90, 300),
    fit=st.sampled_from(["pad", "crop"]),
    flip=st.booleans(),
    wide=st.booleans(),
)
def test_a_disc_stays_on_its_point_and_stays_round(height, width, size, fit, flip, wide):
    x, y = width / 2 - 3.3, height / 2 + 4.6
    image = draw_disc(height, width, x, y, 14, np.uint16 if wide else np.uint8)
    points = NO_POINTS.copy()
    points[4] = (x, y)
    fitted = fit_film(image, size=size, fit=fit, landmarks_xy=points, spacing_xy_mm=(0.2, 0.2), flip=flip)
    assert fitted.image.shape == (size, size)
    assert fitted.image.dtype == image.dtype
    np.testing.assert_allclose(centre_of(fitted.image), fitted.landmarks_xy[4], atol=0.06)
    assert np.isnan(np.delete(fitted.landmarks_xy, 4, axis=0)).all()
    assert extent_of(fitted.image, 0) == pytest.approx(extent_of(fitted.image, 1), rel=0.02)
    side = max(height, width) if fit == "pad" else min(height, width)
    assert fitted.spacing_mm == pytest.approx(0.2 * side / size)
    np.testing.assert_allclose(apply_affine(fitted.affine, points), fitted.landmarks_xy)


def test_affine_worked_by_hand():
    # 4 wide, 2 high, padded to 4 x 4 with a row above, halved: x -> (x + 1/2) / 2 - 1/2, y -> (y + 3/2) / 2 - 1/2.
    fitted = fit_film(np.zeros((2, 4), np.uint8), size=2, fit="pad", landmarks_xy=NO_POINTS)
    assert fitted.affine == (0.5, 0.0, -0.25, 0.0, 0.5, 0.25)
    assert fitted.spacing_mm is None
    flipped = fit_film(np.zeros((2, 4), np.uint8), size=2, fit="crop", landmarks_xy=NO_POINTS, flip=True)
    # Mirrored: x -> 3 - x; then the middle two columns: x -> x - 1.
    assert flipped.affine == (-1.0, 0.0, 2.0, 0.0, 1.0, 0.0)


def test_compose_does_the_first_first():
    double, shift = (2.0, 0.0, 0.0, 0.0, 2.0, 0.0), (1.0, 0.0, 5.0, 0.0, 1.0, 7.0)
    np.testing.assert_allclose(apply_affine(compose_affine(double, shift), np.array([1.0, 1.0])), [7, 9])


def test_an_image_of_the_right_size_is_left_alone():
    image = np.random.default_rng(0).integers(0, 65536, (64, 64), dtype=np.uint16)
    for size in (64, None):
        fitted = fit_film(image, size=size, fit="pad", landmarks_xy=NO_POINTS)
        np.testing.assert_array_equal(fitted.image, image)
        assert fitted.affine == (1, 0, 0, 0, 1, 0)


def test_16_bits_survive_and_do_not_saturate():
    image = np.full((100, 100), 40_001, np.uint16)
    image[:, 50:] = 65_535
    fitted = fit_film(image, size=50, fit="pad", landmarks_xy=NO_POINTS)
    assert fitted.image[25, 5] == 40_001
    assert fitted.image[25, 45] == 65_535
    assert fitted.image.max() == 65_535


def test_shrinking_does_not_alias():
    checkers = ((np.indices((256, 256)).sum(axis=0) % 2) * 200).astype(np.uint8)
    fitted = fit_film(checkers, size=50, fit="pad", landmarks_xy=NO_POINTS)
    assert np.ptp(fitted.image[5:-5, 5:-5].astype(int)) <= 4


def test_pixels_that_are_not_square_become_so():
    # A disc seen through pixels that are twice as high as wide.
    rows, columns = np.mgrid[:60, :120]
    image = (np.hypot(columns - 60, (rows - 30) * 2) < 30).astype(np.uint8) * 200
    points = NO_POINTS.copy()
    points[0] = (60, 30)
    for size in (None, 96):
        fitted = fit_film(image, size=size, fit="pad", landmarks_xy=points, spacing_xy_mm=(0.1, 0.2))
        assert extent_of(fitted.image, 0) == pytest.approx(extent_of(fitted.image, 1), rel=0.03)
        np.testing.assert_allclose(centre_of(fitted.image), fitted.landmarks_xy[0], atol=0.4)
        assert fitted.spacing_mm == pytest.approx(0.1 * (120 / size if size else 1))


def test_a_mask_keeps_its_labels_and_its_place():
    mask = np.zeros((90, 60), np.uint8)
    mask[30:60, 21:41] = 4  # on even columns once padded, so that nearest and average agree
    image = (mask > 0).astype(np.uint8) * 200
    fitted = fit_film(image, size=45, fit="pad", landmarks_xy=NO_POINTS, mask=mask)
    assert set(np.unique(fitted.mask)) == {0, 4}
    np.testing.assert_array_equal(fitted.mask > 0, fitted.image > 100)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0}, "size must be between 1 and 32767, got 0"),
        ({"fit": "squash"}, "one of pad, crop, got 'squash'"),
        ({"spacing_xy_mm": (0.1, 0.0)}, "positive and finite"),
        ({"mask": np.zeros((3, 3), np.uint8)}, "mask has the shape"),
    ],
)
def test_misuse_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        fit_film(np.zeros((8, 8), np.uint8), **({"size": 4, "fit": "pad", "landmarks_xy": NO_POINTS} | change))
