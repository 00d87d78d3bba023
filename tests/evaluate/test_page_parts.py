"""What the pages of an evaluation are made of: pictures laid on each other, gray levels, numbers, readings."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))

from page_example import draw_films

from cspine_bench.measurement.figures import build_figure
from cspine_bench.metrics.copying import remove_low_frequencies
from cspine_bench.metrics.near_copies import Variant, search_near_copies
from cspine_bench.metrics.registration import build_moves
from cspine_bench.page.images import difference_of, to_gray
from cspine_bench.page.wording import describe_move, format_number, read_against_floor
from cspine_bench.results import Floor


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        (lambda film: np.roll(film[:, ::-1], (3, -2), (0, 1)), 0.25),
        (lambda film: np.invert(film), 0.02),
        (lambda film: np.rot90(film, 2), 0.02),
    ],
)
def test_a_copy_is_laid_back_on_its_film(
    change: Callable[[NDArray[np.uint8]], NDArray[np.uint8]], limit: float
) -> None:
    film = draw_films(1, 9)[0]
    copy = np.ascontiguousarray(change(film))
    shifts = {(True, 0): (3, -2)}
    variants = [
        Variant(flip, turn, 1.0, shifts.get((flip, turn), (0, 0))) for flip in (False, True) for turn in (0, 180)
    ]
    maps = remove_low_frequencies(np.stack([copy, film]))
    found = search_near_copies(images=maps[:1], references=maps[1:], variants=variants)
    move = build_moves([variants[found.variant[0, 0]]])[0]
    assert difference_of(copy, film, move, 64)[1] < limit
    assert difference_of(copy, draw_films(1, 10)[0], move, 64)[1] > 0.3


def test_gray_levels_of_pictures() -> None:
    np.testing.assert_allclose(to_gray(np.array([[0, 51], [102, 255]], np.uint8)), [[0, 0.2], [0.4, 1]], rtol=1e-6)
    deep = np.linspace(1000, 3000, 10_000).round().astype(np.uint16).reshape(100, 100)
    gray = to_gray(deep)
    assert gray[0, 0] == 0 and gray[-1, -1] == 1 and gray[50, 0] == pytest.approx(0.5, abs=0.01)
    assert to_gray(np.full((300, 600), 7, np.uint16)).shape == (128, 256)
    with pytest.raises(ValueError, match=r"\(height, width\)"):
        to_gray(np.zeros((2, 2, 3), np.uint8))


@pytest.mark.parametrize(
    ("value", "width", "text"),
    [(24.1234, 5.2, "24.1"), (0.00312, 0.0006, "0.00312"), (-0.5, None, "−0.500"), (0, None, "0"),
     (12_345.6, 400, "12,346"), (3.2e-6, None, "3.20 × 10⁻⁶"), (0.123456, None, "0.123")],
)  # fmt: skip
def test_numbers_as_people_read_them(value: float, width: float | None, text: str) -> None:
    assert format_number(value, width=width) == text


@pytest.mark.parametrize(
    ("direction", "value", "kind"),
    [("lower", 3.0, "beyond"), ("lower", 1.5, "within"), ("lower", 0.5, "better"), ("higher", 0.5, "beyond"),
     ("higher", 3.0, "better"), ("none", 3.0, "none")],
)  # fmt: skip
def test_a_figure_is_read_at_the_floors_n(direction: str, value: float, kind: str) -> None:
    floor = Floor(value=1.5, low=1, high=2, method="m", n_used=(5, 5), matched=value)
    used = {"real": 5}
    figure = build_figure("x", 99.0, direction=direction, used=used, available=used, floor=floor)  # type: ignore[arg-type]
    assert read_against_floor(figure).kind == kind


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        (Variant(), "left as it is"),
        (Variant(flip=True, shift_px=(2, -4)), "mirrored, shifted down by 3.1 % of the height, shifted left by 6.2 %"),
        (Variant(rotation_deg=-6), "turned by −6.0°"),
        (Variant(flip=True, rotation_deg=90, scale=1.05), "mirrored, turned by 90.0°, scaled by 1.05"),
    ],
)
def test_moves_in_words(variant: Variant, words: str) -> None:
    assert describe_move(build_moves([variant])[0], 64).startswith(words)


def test_a_stretched_film_is_said_to_be() -> None:
    assert describe_move(np.array([[1.1, 0, 0], [0, 1, 0]]), 64).endswith("drawn 10 % longer one way than the other")
