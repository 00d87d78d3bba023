"""The first stage of a search under many moves: a copy is among the likest few, whatever was done to it."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from cspine_bench.metrics import coarse_search
from cspine_bench.metrics.coarse_search import UPENDED, WIDE, CoarseIndex, coarsen
from cspine_bench.metrics.near_copies import Region, Variant

Floats = NDArray[np.float32]


def draw_maps(count: int, seed: int) -> Floats:
    """Smooth structure without low frequencies; float32 (count, 64, 64)."""
    noise = np.random.default_rng(seed).normal(size=(count, 64, 64))
    fine = ndimage.gaussian_filter(noise, (0, 1.5, 1.5)) - ndimage.gaussian_filter(noise, (0, 4, 4))
    return (100 * fine).astype(np.float32)


def move(maps: Floats, angle: float, scale: float, shift: tuple[float, float] = (0, 0)) -> Floats:
    """Turned and scaled about the centre, then shifted: cubic, by scipy."""
    radians, centre = np.deg2rad(angle), np.array([31.5, 31.5])
    inverse = np.linalg.inv(scale * np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]]))
    offset = centre - inverse @ (centre + shift)
    return np.stack([ndimage.affine_transform(one, inverse, offset, order=3, mode="nearest") for one in maps])


TRAIN = draw_maps(80, 0)
INDEX = CoarseIndex(TRAIN)
COPIES = {
    "as they are": TRAIN[:4],
    "mirrored and inverted": -TRAIN[:4, :, ::-1],
    "turned by 15": move(TRAIN[:4], 15, 1),
    "turned by -9, enlarged and shifted": move(TRAIN[:4], -9, 1.06, (1, -2)),
    "shrunk": move(TRAIN[:4], 0, 0.85),
    "shifted far": move(TRAIN[:4], 0, 1, (7, -6)),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_is_among_the_likest(name: str) -> None:
    found = INDEX.search(images=COPIES[name], variants=WIDE, count=8)
    assert (found.index == np.arange(4)[:, None]).any(axis=1).all()
    assert (np.diff(found.similarity, axis=1) <= 0).all() and found.similarity.max() <= 1.001


def test_quarter_turns_and_parts() -> None:
    turned = np.ascontiguousarray(np.rot90(TRAIN[:4], axes=(1, 2)))
    found = INDEX.search(images=turned, variants=UPENDED, count=1)
    assert found.index[:, 0].tolist() == [0, 1, 2, 3]
    assert {UPENDED[number].rotation_deg for number in found.variant[:, 0]} == {90}
    pasted = draw_maps(4, 1)
    pasted[:, :, :32] = TRAIN[:4, :, :32]
    left = CoarseIndex(TRAIN, region=Region(right=0.5))
    assert left.search(images=pasted, variants=(Variant(),), count=1).index[:, 0].tolist() == [0, 1, 2, 3]


def test_blocks_and_tiles_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    images = draw_maps(9, 2)
    whole = INDEX.search(images=images, variants=WIDE[:40], count=5)
    monkeypatch.setattr(coarse_search, "_BLOCK_IMAGES", 4)
    monkeypatch.setattr(coarse_search, "_TILE", 7)
    blocks = INDEX.search(images=images, variants=WIDE[:40], count=5)
    assert np.array_equal(whole.index, blocks.index) and np.array_equal(whole.variant, blocks.variant)
    assert np.allclose(whole.similarity, blocks.similarity, atol=1e-5)


def test_few_and_blank_references_are_searched_and_misuse_is_refused() -> None:
    few = CoarseIndex(TRAIN[:2])
    assert few.search(images=TRAIN[1:2], variants=(Variant(),), count=2).index.tolist() == [[1, 0]]
    blank = CoarseIndex(np.zeros((3, 64, 64), np.float32))
    assert blank.search(images=TRAIN[:1], variants=(Variant(),), count=1).similarity[0, 0] == 0
    assert coarsen(np.arange(16, dtype=np.float32).reshape(1, 4, 4)).tolist() == [[[2.5, 4.5], [10.5, 12.5]]]
    for wrong in ({"count": 3}, {"count": 0}, {"variants": ()}, {"images": TRAIN[:1, :32]}):
        with pytest.raises(ValueError, match="needs images of the references' size"):
            few.search(**({"images": TRAIN[:1], "variants": (Variant(),), "count": 1} | wrong))
