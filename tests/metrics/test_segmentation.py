"""Agreement of label maps: by hand, against MONAI and scipy's distance transform, and by its properties."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from cspine_bench.metrics.segmentation import compare_surfaces, count_pixels, dice, find_boundaries, iou

Maps = NDArray[np.uint8]
GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden_segmentation.json").read_text())
ONE_MM = np.ones(1)


def parse(rows: list[str]) -> Maps:
    return np.array([[int(label) for label in row] for row in rows], np.uint8)


def paint(*boxes: tuple[int, slice, slice], side: int = 12) -> Maps:
    maps = np.zeros((1, side, side), np.uint8)
    for label, rows, columns in boxes:
        maps[0, rows, columns] = label
    return maps


def draw_maps(seed: int, count: int = 3, side: int = 14) -> Maps:
    """Smooth maps of three labels; some lack one."""
    noise = np.random.default_rng(seed).normal(size=(count, 4, side, side))
    return np.asarray(ndimage.gaussian_filter(noise, (0, 0, 2, 2)).argmax(axis=1), np.uint8)


def measure_by_transform(one: NDArray[np.bool_], other: NDArray[np.bool_], spacing: float, tolerance: float) -> list:
    """Surface Dice, HD95 and ASSD from erosions and distance transforms of whole images."""
    edges = [shape & ~ndimage.binary_erosion(shape) for shape in (one, other)]
    there, back = (
        ndimage.distance_transform_edt(~edges[far], sampling=spacing)[edges[near]] for near, far in ((0, 1), (1, 0))
    )
    both = np.concatenate([there, back])
    hausdorff = max(np.percentile(there, 95), np.percentile(back, 95))
    return [(both <= tolerance + 1e-9).mean(), hausdorff, both.mean()]


def test_two_boxes_by_hand() -> None:
    """4 x 4 px, the other two columns to the right: 8 px in both of 16 each."""
    preds, target = paint((1, slice(2, 6), slice(2, 6))), paint((1, slice(2, 6), slice(4, 8)))
    assert dice(preds=preds, target=target, labels=[1]) == 0.5
    assert iou(preds=preds, target=target, labels=[1]) == pytest.approx(8 / 24)
    found = compare_surfaces(preds=preds, target=target, labels=[1], spacing=0.5 * ONE_MM, tolerance=0.5)
    # Of the 12 boundary pixels of each: 2 rows x (2, 1, 0, 0) px away, and two middle pixels at 2 px and at 1 px.
    distances = [2, 1, 0, 0, 2, 1, 0, 0, 2, 2, 1, 1]
    assert found.assd == pytest.approx(0.5 * np.mean(distances))
    assert found.hausdorff95 == pytest.approx(0.5 * 2)
    assert found.surface_dice == pytest.approx(sum(distance <= 1 for distance in distances) / 12)


def test_a_single_pixel_and_a_line() -> None:
    """3 px apart down and 4 across: 5 px; a line of four is its own boundary."""
    preds, target = paint((7, slice(1, 2), slice(1, 2))), paint((7, slice(4, 5), slice(5, 6)))
    found = compare_surfaces(preds=preds, target=target, labels=[7], spacing=2 * ONE_MM, tolerance=9.99)
    assert (found.surface_dice, found.hausdorff95, found.assd) == (0, 10, 10)
    line = paint((7, slice(1, 2), slice(1, 5)))
    assert find_boundaries(line)[line > 0].all()
    found = compare_surfaces(preds=preds, target=line, labels=[7], spacing=ONE_MM, tolerance=1.0)
    assert found.assd == pytest.approx((0 + 0 + 1 + 2 + 3) / 5)
    assert found.hausdorff95 == pytest.approx(np.percentile([0, 1, 2, 3], 95))
    assert found.surface_dice == pytest.approx(3 / 5)


def test_the_edge_of_the_image_is_a_boundary() -> None:
    whole = np.ones((1, 5, 5), np.uint8)
    assert find_boundaries(whole)[0].sum() == 16
    assert not find_boundaries(whole)[0, 1:4, 1:4].any()
    beside = paint((1, slice(0, 5), slice(0, 5)), (2, slice(0, 5), slice(5, 9)), side=9)[:, :5]
    assert find_boundaries(beside)[0, :, 4:6].all()


def test_empty_structures_are_as_the_module_says() -> None:
    one, none = paint((1, slice(2, 6), slice(2, 6))), paint()
    for preds, target in ((one, none), (none, one)):
        assert dice(preds=preds, target=target, labels=[1]) == iou(preds=preds, target=target, labels=[1]) == 0
        found = compare_surfaces(preds=preds, target=target, labels=[1], spacing=ONE_MM, tolerance=1.0)
        assert (found.surface_dice, found.hausdorff95, found.assd) == (0, np.inf, np.inf)
    assert np.isnan(dice(preds=one, target=one, labels=[2])) and np.isnan(iou(preds=one, target=one, labels=[2]))
    found = compare_surfaces(preds=one, target=one, labels=[2], spacing=ONE_MM, tolerance=1.0)
    assert np.isnan([found.surface_dice, found.hausdorff95, found.assd]).all()
    found = compare_surfaces(preds=one, target=one, labels=[1], spacing=np.array([np.nan]), tolerance=1.0)
    assert np.isnan([found.surface_dice, found.hausdorff95, found.assd]).all()
    assert dice(preds=one[:0], target=one[:0], labels=[1, 2]).shape == (0, 2)


def test_values_are_those_of_monai() -> None:
    preds, target = (np.stack([parse(rows) for rows in GOLDEN[name]]) for name in ("preds", "target"))
    labels, spacing = GOLDEN["labels"], np.array(GOLDEN["spacing_mm"])
    found = compare_surfaces(
        preds=preds, target=target, labels=labels, spacing=spacing, tolerance=GOLDEN["tolerance_mm"]
    )
    ours = {
        "dice": dice(preds=preds, target=target, labels=labels),
        "iou": iou(preds=preds, target=target, labels=labels),
        **vars(found),
    }
    for name, values in ours.items():
        expected = np.array(GOLDEN[name], float)
        there = np.isfinite(expected)
        assert there.sum() == 14
        np.testing.assert_allclose(values[there], expected[there], rtol=3e-6, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("seed", range(4))
def test_values_are_those_of_erosions_and_distance_transforms(seed: int) -> None:
    preds, target, spacing = draw_maps(seed), draw_maps(seed + 100), np.array([0.31, 1.0, 2.6])
    found = compare_surfaces(preds=preds, target=target, labels=[1, 2, 3], spacing=spacing, tolerance=0.9)
    overlap = dice(preds=preds, target=target, labels=[1, 2, 3])
    for row in range(3):
        for label in (1, 2, 3):
            one, other = preds[row] == label, target[row] == label
            if one.any() and other.any():
                ours = [getattr(found, name)[row, label - 1] for name in ("surface_dice", "hausdorff95", "assd")]
                assert ours == pytest.approx(measure_by_transform(one, other, spacing[row], 0.9))
            assert overlap[row, label - 1] == pytest.approx(2 * (one & other).sum() / (one.sum() + other.sum()))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(0.1, 10))
def test_properties(seed: int, factor: float) -> None:
    preds, target, labels, spacing = draw_maps(seed), draw_maps(seed + 1), [3, 1, 2], np.array([0.5, 1.0, 2.0])

    def measure(preds: Maps, target: Maps, scale: float = 1.0) -> dict[str, NDArray[np.float64]]:
        surfaces = compare_surfaces(
            preds=preds, target=target, labels=labels, spacing=spacing * scale, tolerance=1.2 * scale
        )
        overlap = {name: how(preds=preds, target=target, labels=labels) for name, how in (("dice", dice), ("iou", iou))}
        return {**vars(surfaces), **overlap}

    whole, swapped, scaled = measure(preds, target), measure(target, preds), measure(preds, target, factor)
    moved = measure(np.rot90(preds, axes=(1, 2)), np.rot90(target, axes=(1, 2)))
    perfect = measure(target, target)
    for name, values in whole.items():
        distance = name in ("hausdorff95", "assd")
        np.testing.assert_allclose(swapped[name], values)
        np.testing.assert_allclose(moved[name], values)
        np.testing.assert_allclose(scaled[name], values * factor if distance else values)
        seen = perfect[name][~np.isnan(perfect[name])]
        assert (seen == (0 if distance else 1)).all()
        seen = values[~np.isnan(values)]
        assert (seen >= 0).all() and (distance or (seen <= 1).all())
    # IoU is Dice / (2 - Dice), and never above it.
    np.testing.assert_allclose(whole["iou"], whole["dice"] / (2 - whole["dice"]))


def test_counts_add_up() -> None:
    preds, target = draw_maps(3), draw_maps(4)
    counts = count_pixels(preds=preds, target=target, labels=[2])
    assert counts.preds.tolist() == [[int((one == 2).sum())] for one in preds]
    assert counts.both.tolist() == [[int(((a == 2) & (b == 2)).sum())] for a, b in zip(preds, target, strict=True)]


def test_what_cannot_be_compared_is_refused() -> None:
    maps = paint((1, slice(2, 6), slice(2, 6)))
    with pytest.raises(ValueError, match="must be alike"):
        dice(preds=maps, target=maps[:, :8], labels=[1])
    with pytest.raises(ValueError, match="must be alike"):
        dice(preds=maps[0], target=maps[0], labels=[1])
    for labels in ([0], [1, 1], [256]):
        with pytest.raises(ValueError, match=r"labels must be of 1\.\.255, each once"):
            dice(preds=maps, target=maps, labels=labels)
    with pytest.raises(ValueError, match=r"preds must hold 0\.\.255"):
        dice(preds=maps.astype(np.int64) - 1, target=maps, labels=[1])
    for spacing in (np.zeros(1), np.array([-1.0]), np.ones(2), np.array([np.inf])):
        with pytest.raises(ValueError, match="spacing must be"):
            compare_surfaces(preds=maps, target=maps, labels=[1], spacing=spacing, tolerance=1.0)
    for tolerance in (-1.0, np.nan):
        with pytest.raises(ValueError, match="tolerance must be at least 0"):
            compare_surfaces(preds=maps, target=maps, labels=[1], spacing=ONE_MM, tolerance=tolerance)
