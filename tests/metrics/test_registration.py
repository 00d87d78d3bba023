"""The second look at a pair: a copy between two variants comes up, an honest image does not."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from cspine_bench.metrics.near_copies import SHIFTED, TURNED, Variant, search_near_copies
from cspine_bench.metrics.registration import register_pair


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


REFERENCES = draw_maps(30, 0)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("flip", [False, True])
def test_a_copy_between_variants_comes_up(flip: bool, sign: int) -> None:
    start = REFERENCES[4][:, ::-1] if flip else REFERENCES[4]
    image = sign * move(start, 4.4, 1.025, (0.6, -1.4))
    found = search_near_copies(images=image[None], references=REFERENCES, variants=SHIFTED + TURNED)
    assert found.index[0, 0] == 4
    best = (SHIFTED + TURNED)[found.variant[0, 0]]
    registered = register_pair(image=image, reference=REFERENCES[4], start=best)
    assert sign * registered.correlation > 0.97 > found.similarity[0, 0] + 0.02
    assert registered.flip is flip
    assert (registered.rotation_deg, registered.scale) == pytest.approx((4.4, 1.025), abs=0.2)
    assert registered.shift_px == pytest.approx((0.6, -1.4), abs=0.2)


def test_an_honest_pair_stays_below_every_copy() -> None:
    honest = draw_maps(8, 1)
    found = search_near_copies(images=honest, references=REFERENCES, variants=SHIFTED)
    for row in range(len(honest)):
        start, index = SHIFTED[found.variant[row, 0]], found.index[row, 0]
        registered = register_pair(image=honest[row], reference=REFERENCES[index], start=start)
        # No worse than where it started, and far from a copy.
        assert found.similarity[row, 0] - 1e-4 <= abs(registered.correlation) < 0.5


def test_an_image_lies_on_itself_and_a_blank_one_on_nothing() -> None:
    same = register_pair(image=REFERENCES[0], reference=REFERENCES[0], start=Variant())
    assert same.correlation == pytest.approx(1)
    assert (same.rotation_deg, same.scale, *same.shift_px) == pytest.approx((0, 1, 0, 0), abs=0.01)
    blank = np.full((64, 64), 7, np.float32)
    assert register_pair(image=blank, reference=REFERENCES[0], start=Variant()).correlation == 0


def test_maps_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="maps must be of one size"):
        register_pair(image=REFERENCES[0, :60], reference=REFERENCES[0], start=Variant())
    with pytest.raises(ValueError, match="larger than twice the margin"):
        register_pair(image=REFERENCES[0, :8, :8], reference=REFERENCES[0, :8, :8], start=Variant())
