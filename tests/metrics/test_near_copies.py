"""The search for near copies: what it compares, pair by pair; and planted copies, found whatever was done to them."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from cspine_bench.metrics import near_copies
from cspine_bench.metrics.copying import compute_similarity, remove_low_frequencies
from cspine_bench.metrics.near_copies import (
    SHIFTED,
    Region,
    Variant,
    list_variants,
    search_near_copies,
)

Films = NDArray[np.float64]


def draw_films(count: int, seed: int, side: int = 128) -> Films:
    """Films that share their anatomy, each with fine structure of its own; 0..255."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side] / side
    anatomy = 120 + 80 * np.sin(5 * rows) * np.cos(3 * columns)
    fine = ndimage.gaussian_filter(draw.normal(size=(count, side, side)), (0, 4, 4)) * 300
    return np.clip(anatomy + fine + draw.normal(0, 3, fine.shape), 0, 255)


TRAIN = draw_films(60, 0)


def make_maps(films: Films) -> NDArray[np.float32]:
    return remove_low_frequencies(np.clip(np.rint(films), 0, 255).astype(np.uint8))


TRAIN_MAPS = make_maps(TRAIN)
TURNED = list_variants(rotations_deg=(-6, -3, 3, 6), max_shift_px=1) + list_variants(
    scales=(0.95, 1.05), max_shift_px=1
)
UPENDED = list_variants(rotations_deg=(90, 180, 270), max_shift_px=1)


def change_geometry(films: Films, angle: float = 0, scale: float = 1) -> Films:
    """About the centre."""
    radians, centre = np.deg2rad(angle), (films.shape[1] - 1) / 2
    inverse = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]]) / scale
    offset = centre - inverse @ [centre, centre]
    return np.stack([ndimage.affine_transform(film, inverse, offset, order=1, mode="nearest") for film in films])


CHANGES: dict[str, tuple[tuple[Variant, ...], Callable[[Films], Films]]] = {
    "none": (SHIFTED, lambda films: films),
    "shifted": (SHIFTED, lambda films: np.roll(films, (4, -3), axis=(1, 2))),
    "mirrored": (SHIFTED, lambda films: films[:, :, ::-1]),
    "mirrored, shifted, inverted": (SHIFTED, lambda films: 255 - np.roll(films[:, :, ::-1], (-4, 2), axis=(1, 2))),
    "contrast": (SHIFTED, lambda films: 60 + 0.4 * films),
    "gamma": (SHIFTED, lambda films: 255 * (films / 255) ** 0.7),
    "noisy": (SHIFTED, lambda films: films + np.random.default_rng(3).normal(0, 15, films.shape)),
    "blurred": (SHIFTED, lambda films: ndimage.gaussian_filter(films, (0, 2, 2))),
    "turned by 3": (TURNED, lambda films: change_geometry(films, 3)),
    "turned by -4.5": (TURNED, lambda films: change_geometry(films, -4.5)),
    "cropped by 5 %": (TURNED, lambda films: change_geometry(films, 0, 1.05)),
    "shrunk by 4 %": (TURNED, lambda films: change_geometry(films, 0, 0.96)),
    "mirrored and turned": (TURNED, lambda films: change_geometry(films[:, :, ::-1], 5)),
    "upside down": (UPENDED, lambda films: films[:, ::-1]),
    "a quarter turn": (UPENDED, lambda films: np.rot90(films, axes=(1, 2))),
}


@pytest.fixture(scope="module")
def highest() -> dict[tuple[Variant, ...], float]:
    """The most that films held out reach, by the variants tried."""
    maps = make_maps(draw_films(30, 1))
    return {
        variants: float(search_near_copies(images=maps, references=TRAIN_MAPS, variants=variants).similarity.max())
        for variants in (SHIFTED, TURNED, UPENDED)
    }


@pytest.mark.parametrize("change", CHANGES)
def test_a_planted_copy_is_found(change: str, highest: dict[tuple[Variant, ...], float]) -> None:
    variants, make = CHANGES[change]
    found = search_near_copies(images=make_maps(make(TRAIN[:8])), references=TRAIN_MAPS, variants=variants, count=2)
    assert found.index[:, 0].tolist() == list(range(8))
    assert found.similarity[:, 0].min() > highest[variants]
    assert (found.similarity[:, 0] > found.similarity[:, 1]).all()


@pytest.mark.parametrize(
    ("variant", "make"),
    [
        (Variant(), lambda maps: maps),
        (Variant(flip=True, shift_px=(2, -1)), lambda maps: np.roll(maps[:, :, ::-1], (2, -1), axis=(1, 2))),
        (Variant(rotation_deg=90), lambda maps: np.rot90(maps, axes=(1, 2))),
        (Variant(rotation_deg=180, shift_px=(0, 1)), lambda maps: np.roll(maps[:, ::-1, ::-1], 1, axis=2)),
        (Variant(flip=True, rotation_deg=180), lambda maps: maps[:, ::-1]),
    ],
)
def test_it_names_what_was_done(variant: Variant, make: Callable[[Films], Films]) -> None:
    variants = SHIFTED + UPENDED
    changed = np.ascontiguousarray(make(TRAIN_MAPS[:3]))
    found = search_near_copies(images=changed, references=TRAIN_MAPS, variants=variants)
    assert {variants[number] for number in found.variant[:, 0]} == {variant}
    assert np.allclose(found.similarity, 1, atol=1e-5)


def test_shifts_are_as_the_watch_for_copies_has_them() -> None:
    images, references = make_maps(draw_films(5, 2)), TRAIN_MAPS[:7]
    expected = compute_similarity(images=images, references=references, max_shift_px=2)
    found = search_near_copies(
        images=images, references=references, variants=list_variants(flips=(False,)), margin_px=2, count=7
    )
    assert np.allclose(found.similarity, -np.sort(-expected, axis=1), atol=1e-5)
    assert np.allclose(np.take_along_axis(expected, found.index, axis=1), found.similarity, atol=1e-5)


def test_one_variant_by_hand() -> None:
    """A map moved by scipy and correlated by numpy, in a region."""
    images, references = make_maps(draw_films(3, 4)), TRAIN_MAPS[:2]
    variant = Variant(rotation_deg=5, scale=1.04, shift_px=(1, 0))
    angle, centre = np.deg2rad(5), 31.5
    forward = 1.04 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    offset = centre - forward @ [centre, centre] + [1, 0]
    found = search_near_copies(
        images=images, references=references, variants=(variant,), count=2, region=Region(0.25, 0.75, 0.0, 0.5)
    )
    for row, image in enumerate(images):
        moved = ndimage.affine_transform(image, forward, offset, order=1, mode="nearest")[16:48, 4:32]
        for place, number in enumerate(found.index[row]):
            expected = np.corrcoef(moved.ravel(), references[number, 16:48, 4:32].ravel())[0, 1]
            assert found.similarity[row, place] == pytest.approx(abs(expected), abs=1e-4)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    images = make_maps(draw_films(11, 5))
    whole = search_near_copies(images=images, references=TRAIN_MAPS, variants=SHIFTED[:6], count=9)
    for name, size in (("_BLOCK_IMAGES", 4), ("_BLOCK_REFERENCES", 7), ("_TILE", 3)):
        monkeypatch.setattr(near_copies, name, size)
    blocks = search_near_copies(images=images, references=TRAIN_MAPS, variants=SHIFTED[:6], count=9)
    assert np.array_equal(whole.index, blocks.index) and np.array_equal(whole.variant, blocks.variant)
    assert np.allclose(whole.similarity, blocks.similarity, atol=1e-6)


def test_duplicates_inside_one_set(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = np.concatenate([TRAIN_MAPS[:9], TRAIN_MAPS[2:3, :, ::-1]])
    for size in (1024, 4):
        monkeypatch.setattr(near_copies, "_BLOCK_IMAGES", size)
        monkeypatch.setattr(near_copies, "_BLOCK_REFERENCES", size + 1)
        found = search_near_copies(images=maps, references=maps, skip_same_row=True)
        assert (found.index[:, 0] != np.arange(10)).all()
        assert (found.index[9, 0], found.index[2, 0]) == (2, 9)
        assert np.flatnonzero(found.similarity[:, 0] > 0.99).tolist() == [2, 9]


def test_a_copied_part_is_found_in_its_region() -> None:
    """The left half of a film in another: by halves it stands out, in the whole it hardly does."""
    left = Region(right=0.5)
    mixed = draw_films(6, 6)
    honest = search_near_copies(images=make_maps(mixed), references=TRAIN_MAPS, region=left).similarity.max()
    mixed[:, :, :64] = TRAIN[10:16, :, :64]
    found = search_near_copies(images=make_maps(mixed), references=TRAIN_MAPS, region=left)
    assert found.index[:, 0].tolist() == list(range(10, 16))
    assert found.similarity.min() > honest + 0.2
    assert search_near_copies(images=make_maps(mixed), references=TRAIN_MAPS).similarity.max() < found.similarity.min()


def test_a_blank_image_is_like_nothing() -> None:
    found = search_near_copies(images=np.zeros((1, 64, 64), np.float32), references=TRAIN_MAPS, variants=TURNED[:3])
    assert found.similarity[0, 0] == 0


def test_what_cannot_be_searched_is_refused() -> None:
    maps = TRAIN_MAPS[:4]
    with pytest.raises(ValueError, match="maps must be of one size"):
        search_near_copies(images=maps[:, :32], references=maps)
    with pytest.raises(ValueError, match="0 variants"):
        search_near_copies(images=maps, references=maps, variants=())
    with pytest.raises(ValueError, match="count must be 1 to 3"):
        search_near_copies(images=maps, references=maps, count=4, skip_same_row=True)
    with pytest.raises(ValueError, match="holds under 4 px"):
        search_near_copies(images=maps, references=maps, region=Region(top=0.5, bottom=0.5))
    with pytest.raises(ValueError, match="quarter turns need square maps"):
        search_near_copies(images=maps[:, :40], references=maps[:, :40], variants=UPENDED)
