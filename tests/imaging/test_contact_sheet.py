import numpy as np
import pytest
from PIL import ImageColor

from cspine_bench.anatomy.landmarks import MASK_LABELS
from cspine_bench.imaging.contact_sheet import LEVEL_COLOURS, Tile, draw_contact_sheet


def make_tile(*, label: int = 5, size: tuple[int, int] = (64, 64), caption: str = "one") -> Tile:
    mask = np.zeros(size, np.uint8)
    mask[16:48, 16:48] = label
    return Tile(np.full(size, 40, np.uint8), mask, None, caption)


def find_colour(picture: np.ndarray, colour: str, tolerance: int = 40) -> np.ndarray:
    return np.abs(picture.astype(int) - ImageColor.getrgb(colour)).max(axis=2) <= tolerance


def test_every_level_has_a_colour_of_its_own() -> None:
    assert set(LEVEL_COLOURS) == set(MASK_LABELS)
    assert len(set(LEVEL_COLOURS.values())) == len(LEVEL_COLOURS)


@pytest.mark.parametrize("level", MASK_LABELS)
def test_outline_runs_along_the_edge_of_the_mask(level: str) -> None:
    with_mask = np.asarray(draw_contact_sheet([make_tile(label=MASK_LABELS[level])], columns=1))
    found = np.argwhere(find_colour(with_mask, LEVEL_COLOURS[level]))
    plain = draw_contact_sheet([Tile(np.full((64, 64), 40, np.uint8), None, None, "one")], columns=1)
    # Without a mask there is no legend either: the tile stands a header higher.
    shift = with_mask.shape[0] - plain.height
    assert shift > 0
    corner = np.argwhere(np.all(np.asarray(plain) == 40, axis=2)).min(axis=0) + (shift, 0)
    found = found - corner
    rows, columns = found[((found >= 0) & (found < 256)).all(axis=1)].T
    # 64 px are shown as 256: the square from 16 to 48 runs from 64 to 192.
    assert (rows.min(), columns.min()) == pytest.approx((64, 64), abs=2)
    assert (rows.max(), columns.max()) == pytest.approx((191, 191), abs=2)
    inside = (rows > 72) & (rows < 184) & (columns > 72) & (columns < 184)
    assert not inside.any(), "an outline, not a filled region"


def test_landmark_lies_on_its_pixel() -> None:
    points = np.array([[31.5, 15.5], [np.nan, np.nan]])
    black = np.zeros((64, 64), np.uint8)
    sheets = [
        np.asarray(draw_contact_sheet([Tile(black, None, xy, "one")], columns=1)).astype(int) for xy in (None, points)
    ]
    rows, columns = np.argwhere(np.abs(sheets[1] - sheets[0]).max(axis=2) > 200).T
    top_left = np.argwhere(np.all(sheets[0] == 0, axis=2)).min(axis=0)
    # (31.5, 15.5) is half of the width and a quarter of the height: 128 and 64 of 256.
    assert np.array([columns.mean(), rows.mean()]) - top_left[::-1] == pytest.approx((127.5, 63.5), abs=0.6)


def test_an_oblong_film_is_not_stretched() -> None:
    sheet = np.asarray(draw_contact_sheet([Tile(np.full((64, 32), 90, np.uint8), None, None, "one")], columns=1))
    rows, columns = np.argwhere(np.all(sheet == 90, axis=2)).T
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (256, 128)


def test_sixteen_bits_are_shown_over_their_own_range() -> None:
    ramp = np.linspace(1000, 5000, 64 * 64).reshape(64, 64).astype(np.uint16)
    sheet = np.asarray(draw_contact_sheet([Tile(ramp, None, None, "one")], columns=1))
    assert np.unique(sheet[..., 0]).size > 200


def test_same_tiles_same_pixels() -> None:
    sheets = [draw_contact_sheet([make_tile()] * 3, columns=2, title="t", footer="f").tobytes() for _ in range(2)]
    assert sheets[0] == sheets[1]


def test_a_long_caption_stays_in_its_column() -> None:
    short, long = (
        np.asarray(draw_contact_sheet([make_tile(caption=text), make_tile(caption="two")], columns=2))
        for text in ("x" * 10, "x" * 400)
    )
    gap = slice(2 * 12 + 256, 2 * 12 + 256 + 12)
    assert short.shape == long.shape
    assert np.array_equal(short[:, gap], long[:, gap])


@pytest.mark.parametrize(
    ("tiles", "columns"),
    [([], 1), ([make_tile()], 0), ([Tile(np.zeros((8, 8), np.uint8), np.zeros((9, 8), np.uint8), None, "bad")], 1)],
)
def test_misuse(tiles: list[Tile], columns: int) -> None:
    with pytest.raises(ValueError):
        draw_contact_sheet(tiles, columns=columns)
