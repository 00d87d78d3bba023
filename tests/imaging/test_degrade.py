"""Known degradations: what each does to an image, mild before strong, and the same whenever it is asked for."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from cspine_bench.imaging.degrade import LADDER, TRANSMISSION, Degradation, print_and_photograph, screenshot

ALL = [*LADDER, *TRANSMISSION]


def draw_film(height: int = 180, width: int = 160, seed: int = 0) -> NDArray[np.uint8]:
    draw = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(draw.normal(size=(height, width)), 5) * 900
    return np.clip(120 + smooth + draw.normal(0, 6, (height, width)), 5, 250).astype(np.uint8)


def generator(index: int = 0) -> np.random.Generator:
    return np.random.default_rng(100 + index)


@pytest.mark.parametrize("step", ALL, ids=lambda step: f"{step.name} {step.step}")
def test_every_step_keeps_shape_and_depth_and_repeats(step: Degradation) -> None:
    film = draw_film()
    once = step.apply(film, generator())
    assert once.shape == film.shape and once.dtype == np.uint8
    assert not np.array_equal(once, film)
    np.testing.assert_array_equal(once, step.apply(film, generator()))
    deep = step.apply(film.astype(np.uint16) * 257, generator())
    assert deep.dtype == np.uint16
    # One level of 8 bits, where 16 were rounded to 8 on the way.
    assert np.abs(deep / 257 - once).max() <= 1.01
    for size in ((8, 8), (9, 40)):
        assert step.apply(draw_film(*size), generator()).shape == size


@pytest.mark.parametrize("ladder", [LADDER, TRANSMISSION], ids=["ladder", "transmission"])
def test_each_kind_goes_from_mild_to_strong(ladder: tuple[Degradation, ...]) -> None:
    films = [draw_film(seed=seed) for seed in range(4)]
    for name in dict.fromkeys(step.name for step in ladder):
        steps = [step for step in ladder if step.name == name]
        assert [step.step for step in steps] == [1, 2, 3]
        harm = [
            np.mean(
                [np.abs(step.apply(film, generator(n)) - film.astype(float)).mean() for n, film in enumerate(films)]
            )
            for step in steps
        ]
        assert harm[0] < harm[1] < harm[2], name


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="uint8 or uint16, got float64"):
        TRANSMISSION[0].apply(np.zeros((8, 8)), generator())


def find_dot(image: NDArray[np.float32]) -> tuple[float, float]:
    return ndimage.center_of_mass(np.where(image > 0.3 * image.max(), image, 0))


@pytest.mark.parametrize("place", [(12, 12), (12, 84), (84, 12), (84, 84), (48, 48)])
def test_a_photograph_moves_anatomy_no_further_than_it_says(place: tuple[int, int]) -> None:
    dot = np.zeros((96, 96), np.float32)
    dot[place[0] - 1 : place[0] + 2, place[1] - 1 : place[1] + 2] = 1
    photograph = print_and_photograph(warp=0.1, light=0, gamma=0, dots=0, sigma_share=0, noise=0, quality=95)
    moved = [np.subtract(find_dot(photograph(dot, generator(index))), find_dot(dot)) for index in range(8)]
    # Inward corners draw the print out: each axis by up to 0.1 of the side, over what is left of it.
    assert np.abs(moved).max() <= 96 * 0.1 / 0.8 + 1
    assert np.abs(moved).max() > 1
    still = print_and_photograph(warp=0, light=0, gamma=0, dots=0, sigma_share=0, noise=0, quality=95)
    np.testing.assert_allclose(find_dot(still(dot, generator())), place, atol=0.1)


def test_light_and_noise_of_a_photograph() -> None:
    white = np.full((128, 128), 0.8, np.float32)
    lit = print_and_photograph(warp=0, light=0.5, gamma=0, dots=0, sigma_share=0, noise=0, quality=95)
    seen = lit(white, generator())
    assert seen.min() == pytest.approx(0.4, abs=0.01) and seen.max() == pytest.approx(0.8, abs=0.01)
    grainy = print_and_photograph(warp=0, light=0, gamma=0, dots=0, sigma_share=0, noise=0.04, quality=95)
    assert grainy(white, generator()).std() == pytest.approx(0.04 * np.sqrt(0.8), rel=0.1)
    dark = np.full((128, 128), 0.05, np.float32)
    assert grainy(dark, generator()).std() < 0.5 * grainy(white, generator()).std()


def test_a_screenshot_frames_and_windows() -> None:
    film = draw_film(200, 200) / np.float32(255)
    shot = screenshot(0.5, clipped=0.05, quality=95)(film.astype(np.float32), generator())
    assert np.abs(np.concatenate([shot[0], shot[-1], shot[:, 0], shot[:, -1]]) - 0.2).mean() < 0.08
    inside = shot[10:-10, 10:-10]
    # A tenth of the levels is cut off, and what is left is spread over the whole scale.
    assert inside.min() < 0.02 and inside.max() > 0.98
    assert inside.std() > 1.15 * film[10:-10, 10:-10].std()
