"""Landmarking: what maps learn from and how they are read, and networks that beat the floor."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cspine_bench.anatomy.landmarks import LEVELS, NUM_LANDMARKS
from cspine_bench.baselines.cases import NOT_ANNOTATED, Cases
from cspine_bench.baselines.learn import Stage, train_network
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.tasks.landmarking.heatmaps import compute_heatmap_loss, decode_heatmaps
from cspine_bench.errors import DataError

NAN = np.nan
SIZE = 32


def draw_map(*peaks: tuple[float, float, float]) -> torch.Tensor:
    """Logits (1, 1, SIZE, SIZE) of a map with Gaussian peaks, spread 0.5 cells: (x, y, height)."""
    along = torch.arange(SIZE)
    heights = torch.zeros(SIZE, SIZE)
    for x, y, height in peaks:
        heights += height * torch.exp(-((along - x)[None] ** 2 + (along - y)[:, None] ** 2) / 0.5)
    return (heights + 1e-12).log()[None, None]


@pytest.mark.parametrize("cell_px", [1, 2, 4])
def test_a_map_is_read_between_the_cells(cell_px: int) -> None:
    for x, y in 10 + 10 * np.random.default_rng(0).random((40, 2)):
        found, sure = decode_heatmaps(draw_map((x, y, 1)), cell_px=cell_px)
        # (0, 0) is the centre of the first pixel, and a cell's centre lies between its pixels.
        expected = (torch.tensor([x, y]) + 0.5) * cell_px - 0.5
        assert float((found[0, 0] - expected).abs().max()) < 0.1 * cell_px
        assert 0.9 < float(sure) <= 1 + 1e-6


def test_what_lies_far_from_the_peak_lowers_the_confidence_alone() -> None:
    alone, sure = decode_heatmaps(draw_map((8, 20, 1)), cell_px=1)
    beside, torn = decode_heatmaps(draw_map((8, 20, 1), (25, 5, 0.8)), cell_px=1)
    assert torch.allclose(alone, beside, atol=1e-3)
    assert float(torn) == pytest.approx(float(sure) / 1.8, abs=0.01)


def test_a_peak_at_the_edge_stays_inside_and_a_flat_map_is_unsure() -> None:
    found, _ = decode_heatmaps(draw_map((0, 31, 1)), cell_px=2)
    assert bool((found >= 0).all()) and bool((found <= 2 * SIZE - 1).all())
    _, sure = decode_heatmaps(torch.zeros(1, 1, SIZE, SIZE), cell_px=1)
    assert float(sure) < 0.01


def test_the_loss_by_hand() -> None:
    """A place a quarter of a cell right of a cell's centre: that cell has 3/4 of the target, its neighbour 1/4."""
    places = torch.tensor([[[(10.25 + 0.5) * 2 - 0.5, (7 + 0.5) * 2 - 0.5]]])
    logits = torch.full((1, 1, SIZE, SIZE), -30.0)
    logits[0, 0, 7, 10], logits[0, 0, 7, 11] = np.log(0.75), np.log(0.25)
    least = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert float(compute_heatmap_loss(logits, places, cell_px=2)) == pytest.approx(least, abs=1e-5)
    found, sure = decode_heatmaps(logits, cell_px=2)
    assert torch.allclose(found, places, atol=1e-4) and float(sure) == pytest.approx(1, abs=1e-6)
    assert float(compute_heatmap_loss(torch.zeros_like(logits), places, cell_px=2)) == pytest.approx(np.log(SIZE**2))


@pytest.mark.parametrize("place", [(-0.4, 63.4), (31.2, 17.9)])
def test_a_map_that_has_learnt_is_read_at_the_place_it_learnt(place: tuple[float, float]) -> None:
    places = torch.tensor([[place]])
    logits = torch.zeros((1, 1, SIZE, SIZE), requires_grad=True)
    for _ in range(150):
        loss = compute_heatmap_loss(logits, places, cell_px=2)
        (slope,) = torch.autograd.grad(loss, logits)
        logits = (logits - 5 * slope).detach().requires_grad_()
    found, _ = decode_heatmaps(logits.detach(), cell_px=2)
    # Half a cell in from the edge there is no cell on the other side.
    assert torch.allclose(found, places.clamp(0.5, 2 * SIZE - 1.5), atol=0.1)


@pytest.mark.parametrize("hole", [(NAN, NAN), (NAN, 3.0), (-9.0, 3.0), (3.0, 63.6)])
def test_a_landmark_without_a_place_in_the_image_teaches_nothing(hole: tuple[float, float]) -> None:
    places = torch.full((2, NUM_LANDMARKS, 2), 28.0)
    places[0, 3] = torch.tensor(hole)
    logits = torch.randn((2, NUM_LANDMARKS, SIZE, SIZE), generator=torch.Generator().manual_seed(0), requires_grad=True)
    compute_heatmap_loss(logits, places, cell_px=2).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert not bool(logits.grad[0, 3].any())
    assert bool(logits.grad[1, 3].any()) and bool(logits.grad.isfinite().all())
    empty = compute_heatmap_loss(logits, torch.full_like(places, NAN), cell_px=2)
    assert float(empty.detach()) == 0


def draw_cases(count: int, seed: int = 0) -> Cases:
    """A bright square somewhere, with every landmark at a place of its own about it."""
    generator = np.random.default_rng(seed)
    centres = generator.integers(10, 22, (count, 2))
    around = np.linspace(0, 2 * np.pi, NUM_LANDMARKS, endpoint=False)
    landmarks_xy = centres[:, None] + 6 * np.stack([np.cos(around), np.sin(around)], axis=1)
    pixels = generator.integers(0, 40, (count, SIZE, SIZE)).astype(np.uint8)
    for image, (x, y) in zip(pixels, centres, strict=True):
        image[y - 2 : y + 3, x - 2 : x + 3] += 180
    return Cases(
        where="squares",
        sample_ids=tuple(f"s{number}" for number in range(count)),
        group_ids=tuple(f"g{number}" for number in range(count)),
        facing=("left",) * count,
        label_values={},
        pixels=pixels,
        masks=np.full((count, SIZE, SIZE), NOT_ANNOTATED, np.uint8),
        annotated=np.zeros((count, len(LEVELS)), np.bool_),
        landmarks_xy=landmarks_xy.astype(np.float32),
        pixel_spacing_mm=np.full(count, 0.5),
        phantoms=(None,) * count,
        artefacts=(None,) * count,
    )


def make_recipe(method: str = "heatmap", updates: int = 1) -> BaselineRecipe:
    values = {
        "task": {"kind": "landmarking", "method": method},
        "size": SIZE,
        "network": {"unshuffle": 4, "widths": (8, 16)},
        "learning": {"updates": updates, "batch_size": 8},
    }
    return BaselineRecipe.model_validate(values)


def find_error(predictions: dict[str, NDArray[np.float32]], cases: Cases) -> float:
    return float(np.hypot(*(predictions["landmarks_xy"] - cases.landmarks_xy).transpose(2, 0, 1)).mean())


@pytest.mark.parametrize("method", ["heatmap", "regression"])
def test_networks_learn_where_the_landmarks_are(method: str) -> None:
    """A tenth of the training labels are missing; the test radiographs are others."""
    updates = 60
    recipe = make_recipe(method, updates)
    task, train, test = build_task(recipe), draw_cases(48), draw_cases(16, seed=1)
    train.landmarks_xy[np.random.default_rng(2).random((48, NUM_LANDMARKS)) < 0.1] = NAN
    name, floor = task.predict_floor(train, test, seed=0)
    network = train_network(task, recipe, [Stage(train, updates)], seed=0, learning_rate=1e-2)
    predictions = task.predict(network, test, device="cpu", seed=0)
    assert name == "mean shape"
    assert find_error(predictions, test) < 0.35 * find_error(floor, test)
    assert predictions["landmarks_xy"].dtype == np.float32
    assert predictions["confidence"].shape == (16, NUM_LANDMARKS)
    assert np.isnan(predictions["confidence"]).all() == (method == "regression")
    alone = task.predict(network, test.take(np.array([5])), device="cpu", seed=0)
    assert np.allclose(alone["landmarks_xy"], predictions["landmarks_xy"][5:6], atol=1e-3)


def test_radiographs_without_any_landmark_are_left_out() -> None:
    cases, task = draw_cases(4), build_task(make_recipe())
    cases.landmarks_xy[0] = NAN
    cases.landmarks_xy[1, 1:] = NAN
    assert task.list_usable(cases).tolist() == [False, True, True, True]
    task.check_labels(cases, "train")


def test_a_landmark_that_is_labelled_nowhere_is_named() -> None:
    cases, task = draw_cases(4), build_task(make_recipe())
    cases.landmarks_xy[:, [1, 7]] = NAN
    with pytest.raises(
        DataError, match=r"squares: train: no radiograph has a label of C2_inferior_anterior, C4_superior_anterior; "
    ):
        task.check_labels(cases, "train")


def test_the_floor_is_the_mean_of_what_is_labelled() -> None:
    train, test = draw_cases(3), draw_cases(2, seed=1)
    train.landmarks_xy[0, 0] = NAN
    train.landmarks_xy[:, 2] = NAN
    _, floor = build_task(make_recipe()).predict_floor(train, replace(test, pixels=test.pixels * 0), seed=0)
    assert np.allclose(floor["landmarks_xy"][1, 0], train.landmarks_xy[1:, 0].mean(axis=0))
    assert np.allclose(floor["landmarks_xy"][0, 1], train.landmarks_xy[:, 1].mean(axis=0))
    assert (floor["landmarks_xy"][:, 2] == (SIZE - 1) / 2).all()  # nobody knows where: the image's centre
