"""The second look at a pair: a copy between two variants comes up, an honest image does not."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from cspine_bench.metrics.near_copies import SHIFTED, Region, Variant, list_variants, search_near_copies
from cspine_bench.metrics.registration import build_moves, describe_move, register_pairs


def draw_maps(count: int, seed: int) -> NDArray[np.float32]:
    """Smooth structure without low frequencies; float32 (count, 64, 64)."""
    noise = np.random.default_rng(seed).normal(size=(count, 64, 64))
    fine = ndimage.gaussian_filter(noise, (0, 1.5, 1.5)) - ndimage.gaussian_filter(noise, (0, 4, 4))
    return (100 * fine).astype(np.float32)


def move(reference: NDArray[np.float32], angle: float, scale: float, shift: tuple[float, float]) -> NDArray[np.float32]:
    """The reference turned and scaled about its centre, then shifted: cubic, by scipy."""
    radians, centre = np.deg2rad(angle), np.array([31.5, 31.5])
    forward = scale * np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    inverse = np.linalg.inv(forward)
    return ndimage.affine_transform(reference, inverse, centre - inverse @ (centre + shift), order=3, mode="nearest")


TURNED = list_variants(rotations_deg=(-6, -3, 3, 6), max_shift_px=1) + list_variants(
    scales=(0.95, 1.05), max_shift_px=1
)
REFERENCES = draw_maps(30, 0)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("flip", [False, True])
def test_a_copy_between_variants_comes_up(flip: bool, sign: int) -> None:
    start = REFERENCES[4][:, ::-1] if flip else REFERENCES[4]
    image = sign * move(start, 4.4, 1.025, (0.6, -1.4))
    found = search_near_copies(images=image[None], references=REFERENCES, variants=SHIFTED + TURNED)
    assert found.index[0, 0] == 4
    starts = build_moves([(SHIFTED + TURNED)[found.variant[0, 0]]])
    registered = register_pairs(images=image[None], references=REFERENCES[4:5], starts=starts)
    assert sign * registered.correlation[0] > 0.97 > found.similarity[0, 0] + 0.02
    expected = build_moves([Variant(flip, 4.4, 1.025, (0.6, -1.4))])
    assert np.allclose(registered.moves[0, :, :2], expected[0, :, :2], atol=0.01)
    assert np.allclose(registered.moves[0, :, 2], expected[0, :, 2], atol=0.2)
    assert describe_move(registered.moves[0]).startswith("mirrored, turned by 4" if flip else "turned by 4")


def test_a_copy_with_unequal_sides_comes_up() -> None:
    image = ndimage.affine_transform(REFERENCES[3], np.diag((1 / 1.08, 1.0)), (31.5 - 31.5 / 1.08, 0), order=3)
    registered = register_pairs(images=image[None], references=REFERENCES[3:4], starts=build_moves([Variant()]))
    assert registered.correlation[0] > 0.97
    assert np.diag(registered.moves[0]) == pytest.approx((1.08, 1), abs=0.01)


def test_a_part_is_registered_for_itself() -> None:
    image = draw_maps(1, 5)
    image[0, :, :32] = move(REFERENCES[2], 0, 1, (0.7, 0.7))[:, :32]
    given = {"images": image, "references": REFERENCES[2:3], "starts": build_moves([Variant()])}
    assert register_pairs(**given, region=Region(right=0.45)).correlation[0] > 0.95
    assert register_pairs(**given).correlation[0] < 0.8


def test_an_honest_pair_stays_below_every_copy() -> None:
    honest = draw_maps(8, 1)
    found = search_near_copies(images=honest, references=REFERENCES, variants=SHIFTED)
    registered = register_pairs(
        images=honest,
        references=REFERENCES[found.index[:, 0]],
        starts=build_moves([SHIFTED[number] for number in found.variant[:, 0]]),
    )
    # No worse than where it started, and far from a copy.
    assert (found.similarity[:, 0] - 1e-4 <= np.abs(registered.correlation)).all()
    assert np.abs(registered.correlation).max() < 0.6


def test_an_image_lies_on_itself_and_a_blank_one_on_nothing() -> None:
    images = np.stack([REFERENCES[0], np.full((64, 64), 7, np.float32)])
    found = register_pairs(images=images, references=REFERENCES[[0, 0]], starts=build_moves([Variant()] * 2))
    assert found.correlation == pytest.approx((1, 0), abs=1e-5)
    assert np.allclose(found.moves[0], build_moves([Variant()])[0], atol=1e-3)
    assert describe_move(found.moves[0]) == "as it was"
    none = register_pairs(images=images[:0], references=REFERENCES[:0], starts=build_moves([]))
    assert none.correlation.shape == (0,) and none.moves.shape == (0, 2, 3)


def test_maps_that_do_not_fit_are_refused() -> None:
    starts = build_moves([Variant()])
    with pytest.raises(ValueError, match="needs as many images as references, of one size"):
        register_pairs(images=REFERENCES[:1, :60], references=REFERENCES[:1], starts=starts)
    with pytest.raises(ValueError, match="holds under 4 px"):
        register_pairs(images=REFERENCES[:1, :8, :8], references=REFERENCES[:1, :8, :8], starts=starts)
