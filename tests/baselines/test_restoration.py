"""Restoration: truths that are exact, scores worked by hand, and networks that beat the floor."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cspine_bench.augment import AugmentRecipe, draw_changes
from cspine_bench.baselines.cases import NOT_ANNOTATED, Cases, PhantomOrigin
from cspine_bench.baselines.learn import Stage, train_network
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.task import Batch, Score
from cspine_bench.baselines.tasks.restoration.bone_free import default_folder, find_phantoms, load_bone_free
from cspine_bench.baselines.tasks.restoration.enlarge import (
    enlarge,
    keep_means,
    keep_means_and_range,
    shrink,
)
from cspine_bench.baselines.tasks.restoration.scores import find_spine_regions, score_residual_bone, score_restored
from cspine_bench.errors import DataError, RecipeError
from cspine_bench.imaging.shrink import shrink_image

sys.path.insert(0, str(Path(__file__).parent))
from phantom_cases import make_phantoms

SIZE = 32


def make_recipe(what: str, updates: int = 1, **settings: Any) -> BaselineRecipe:
    values = {
        "task": {"kind": "restoration", "what": what},
        "size": SIZE,
        "network": {"unshuffle": 2, "widths": (8,)},
        "learning": {"updates": updates, "batch_size": 4},
    }
    return BaselineRecipe.model_validate(values | settings)


def read(score: Score) -> float:
    used = len(score.per_case) if score.per_case is not None else 0
    return float(score.statistic(np.ones((1, used)))[0])


def by_name(scores: tuple[Score, ...]) -> dict[tuple[str, str], float]:
    return {(score.name, dict(score.condition or {}).get("region", "all")): read(score) for score in scores}


def draw_images(count: int = 3, size: int = 24) -> torch.Tensor:
    return torch.rand((count, 1, size, size), generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_small_image_is_the_one_that_an_import_makes() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16)).astype(np.uint8)
    small = shrink(torch.from_numpy(pixels / np.float32(127.5) - 1)[None, None], 4, 255)
    np.testing.assert_allclose((small[0, 0].numpy() + 1) * 127.5, np.rint(shrink_image(pixels, 4) * 255), atol=1e-4)


def weigh(distance: float, a: float = -0.75) -> float:
    """Keys' kernel."""
    t = abs(distance)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


@pytest.mark.parametrize("factor", [2, 4])
def test_bicubic_by_its_formula(factor: int) -> None:
    row = np.random.default_rng(1).uniform(-0.6, 0.6, 12)
    large = enlarge(torch.tensor(np.tile(row, (12, 1)), dtype=torch.float32)[None, None], factor)[0, 0].numpy()
    places = (np.arange(12 * factor) + 0.5) / factor - 0.5
    expected = [sum(weigh(at - k) * row[np.clip(k, 0, 11)] for k in range(-3, 15)) for at in places]
    np.testing.assert_allclose(large[5], expected, atol=1e-5)


@pytest.mark.parametrize("factor", [2, 4])
def test_keeping_the_means_never_leads_away_from_the_truth(factor: int) -> None:
    truth = draw_images()
    small = torch.nn.functional.avg_pool2d(truth, factor)
    guess = truth + 0.3 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(1)) + 0.1
    kept = keep_means(guess, small, factor)
    assert torch.allclose(torch.nn.functional.avg_pool2d(kept, factor), small, atol=1e-6)
    assert torch.allclose(keep_means(kept, small, factor), kept, atol=1e-6)
    assert bool(((kept - truth).square().mean((1, 2, 3)) < (guess - truth).square().mean((1, 2, 3))).all())


@pytest.mark.parametrize("factor", [2, 4])
def test_black_and_white_blocks_stay_so(factor: int) -> None:
    truth = (1.6 * draw_images()).clamp(-1, 1)
    truth[0, 0, :8, :8], truth[1, 0, :8, :8] = -1, 1
    small = torch.nn.functional.avg_pool2d(truth, factor)
    guess = truth + torch.randn(truth.shape, generator=torch.Generator().manual_seed(1))
    kept = keep_means_and_range(guess, small, factor)
    assert float(kept.abs().max()) <= 1
    assert torch.allclose(torch.nn.functional.avg_pool2d(kept, factor), small, atol=1e-5)
    assert torch.allclose(kept[:2, 0, :8, :8], truth[:2, 0, :8, :8], atol=1e-5)
    # The nearest of all: nothing between it and the guess can be nearer, and the truth is one such image.
    inner = ((guess - kept) * (truth - kept)).sum((1, 2, 3))
    assert float(inner.max()) <= 1e-3


def test_scores_worked_by_hand() -> None:
    truth = np.full((2, 16, 16), 100, np.uint8)
    truth[:, :, 8:] = 140
    restored = truth.copy()
    restored[0] += 10  # 20 log10(255 / 10) = 28.13 dB
    left = np.zeros((2, 16, 16), bool)
    left[0, :, :8] = True
    scores = score_restored(restored, truth, {"left": left}, edges="left")
    assert (scores[0].name, scores[0].direction, scores[0].unit) == ("psnr", "higher", "dB")
    perfect = 20 * np.log10(255) + 10 * np.log10(12)  # 58.92 dB: what rounding hides
    assert scores[0].per_case == pytest.approx([28.1308, perfect], abs=1e-3)
    values = by_name(scores)
    assert values["psnr", "all"] == pytest.approx((28.1308 + perfect) / 2, abs=1e-3)
    assert values["mean_absolute_error", "all"] == pytest.approx(5, abs=1e-4)
    assert values["mean_absolute_error", "left"] == pytest.approx(10, abs=1e-4), "the second has no such pixel"
    assert next(score for score in scores if score.condition == {"region": "left"}).used == 1
    assert values["edge_sharpness", "left"] == pytest.approx(1, abs=1e-5), "a step is as steep on another level"


def test_sixteen_bits_score_as_eight() -> None:
    cases = make_phantoms(4)
    other = np.roll(cases.pixels, 1, axis=2)
    regions = find_spine_regions(cases)
    eight = by_name(score_restored(other, cases.pixels, regions, edges="outline"))
    deep = [images.astype(np.uint16) * 257 for images in (other, cases.pixels)]
    assert by_name(score_restored(*deep, regions, edges="outline")) == pytest.approx(eight, rel=1e-4)


def test_blur_softens_edges_and_noise_does_not_sharpen_them() -> None:
    cases = make_phantoms(8)
    regions = find_spine_regions(cases)
    means = cases.pixels.astype(float)
    blurred = np.mean([np.roll(means, shift, axis=(1, 2)) for shift in (-1, 0, 1)], axis=0)
    noisy = means + np.random.default_rng(0).normal(0, 12, means.shape)
    found = [
        by_name(score_restored(images.clip(0, 255).astype(np.uint8), cases.pixels, regions, edges="outline"))
        for images in (blurred, noisy)
    ]
    assert found[0]["edge_sharpness", "outline"] < 0.8
    assert found[1]["edge_sharpness", "outline"] == pytest.approx(1, abs=0.06)


def test_regions_lie_about_the_outline() -> None:
    cases = make_phantoms(4).take(np.array([0, 1]))
    masks = np.zeros((2, SIZE, SIZE), np.uint8)
    masks[0, 10:20, 10:20] = 5
    masks[1] = NOT_ANNOTATED
    regions = find_spine_regions(replace(cases, masks=masks))
    assert np.flatnonzero(regions["spine"][0, 15]).tolist() == list(range(10, 20))
    assert np.flatnonzero(regions["outline"][0, 15]).tolist() == [*range(7, 13), *range(17, 23)]
    assert np.flatnonzero(regions["background"][0, 15]).tolist() == [*range(7), *range(23, SIZE)]
    assert not any(where[1].any() for where in regions.values()), "nobody looked where its spine lies"


def test_residual_bone_is_a_share() -> None:
    draw = np.random.default_rng(0)
    truth = draw.integers(40, 60, (2, 8, 8)).astype(np.uint8)
    films = truth + 4 * draw.integers(1, 20, truth.shape).astype(np.uint8)
    bone = np.ones(truth.shape, bool)
    share = {
        "all": read(score_residual_bone(films, truth, films, bone)),
        "quarter": read(score_residual_bone(truth + (films - truth) // 4, truth, films, bone)),
        "none": read(score_residual_bone(truth, truth, films, bone)),
        "too much": read(score_residual_bone(truth - (films - truth) // 4, truth, films, bone)),
    }
    assert share == pytest.approx({"all": 1, "quarter": 0.25, "none": 0, "too much": -0.25})
    empty = score_residual_bone(films, truth, films, ~bone)
    assert empty.used == 0 and np.isnan(read(empty))


@pytest.mark.parametrize("bit_depth", [8, 16])
def test_bone_free_truth_is_kept_and_made_again(bit_depth: int) -> None:
    cases = make_phantoms(4, bit_depth=bit_depth)
    assert find_phantoms(cases).all()
    truth = load_bone_free(cases)
    assert truth.pixels.dtype == cases.pixels.dtype
    taken = cases.pixels.astype(float) - truth.pixels
    assert taken[truth.bone].mean() > 20 * taken[~truth.bone].mean().clip(min=0.01)
    kept = sorted(default_folder().rglob("*.png"))
    assert len(kept) >= 4 and not list(default_folder().rglob(".*"))
    some = load_bone_free(cases.take(np.array([2, 0])))
    np.testing.assert_array_equal(some.pixels, truth.pixels[[2, 0]])


def test_a_torn_file_of_the_cache_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    recipe = make_phantoms(4).phantoms[0]
    assert recipe is not None
    # A seed that no other test uses: what is in memory already is not read again.
    cases = replace(make_phantoms(4), phantoms=(None, None, None, PhantomOrigin(recipe.parameters, 99, 3)))
    assert not find_phantoms(cases).any(), "the record makes another person"
    [file] = tmp_path.rglob("*.png")
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    from cspine_bench.baselines.tasks.restoration import bone_free

    bone_free._load_planes.cache_clear()
    assert not find_phantoms(cases).any()
    assert file.read_bytes() == whole


def change_record(cases: Cases, **fields: Any) -> Cases:
    origin = cases.phantoms[1]
    assert origin is not None
    return replace(cases, phantoms=(cases.phantoms[0], replace(origin, **fields), *cases.phantoms[2:]))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("film", r"sample ph00000001: is no phantom that can be rendered at 32 px .* `cspine-bench dataset phantom`"),
        ("recipe", "sample ph00000001: is no phantom"),
        ("layer", "sample ph00000001: is no phantom"),
        ("index", "sample ph00000001: its record makes another film"),
        ("pixels", "sample ph00000001: its record makes another film"),
    ],
)
def test_what_has_no_bone_free_truth_is_left_out_or_named(fault: str, message: str) -> None:
    cases = make_phantoms(4)
    if fault == "film":
        cases = replace(cases, phantoms=(cases.phantoms[0], None, *cases.phantoms[2:]))
    elif fault == "recipe":
        cases = change_record(cases, parameters='{"kind": "ddpm"}')
    elif fault == "layer":
        soft = make_phantoms(4, layer="soft").phantoms[1]
        cases = replace(cases, phantoms=(cases.phantoms[0], soft, *cases.phantoms[2:]))
    elif fault == "index":
        cases = change_record(cases, index=2)
    else:
        pixels = cases.pixels.copy()
        pixels[1] = np.random.default_rng(0).integers(0, 256, pixels[1].shape)
        cases = replace(cases, pixels=pixels)
    task = build_task(make_recipe("bone-suppression"))
    assert task.list_usable(cases).tolist() == [True, False, True, True]
    assert "phantom" in task.describe_need()
    with pytest.raises(DataError, match=message):
        load_bone_free(cases)


@pytest.mark.parametrize("what", ["super-resolution", "bone-suppression"])
def test_a_new_network_adds_nothing(what: str) -> None:
    task, cases = build_task(make_recipe(what)), make_phantoms(4)
    with torch.random.fork_rng(devices=[]):
        restored = task.predict(task.build_network().eval(), cases, device="cpu", seed=0)["restored"]
    if what == "bone-suppression":
        np.testing.assert_array_equal(restored, cases.pixels)
        return
    small = (shrink(cases.take_images(np.arange(4)), 2, 255)[:, 0].numpy() + 1) * 127.5
    means = restored.reshape(4, 16, 2, 16, 2).mean((2, 4))
    assert np.abs(means - small).max() <= 0.51, "averaged down it is the small image, to the rounding"


def test_the_truth_moves_with_the_radiograph() -> None:
    task, cases = build_task(make_recipe("bone-suppression")), make_phantoms(4)
    with torch.random.fork_rng(devices=[]):
        network = task.build_network().eval()
    places = np.arange(4)
    mirror = AugmentRecipe(flip=True)
    changes = draw_changes(mirror, 4, SIZE, torch.Generator().manual_seed(0))
    assert 0 < int(changes.flipped.sum()) < 4
    images = cases.take_images(places)
    moved = torch.where(changes.flipped[:, None, None, None], images.flip(3), images)
    masks, points = torch.from_numpy(cases.masks), torch.from_numpy(cases.landmarks_xy)
    plain = Batch(images, points, masks, cases, places, torch.Generator())
    both = replace(plain, images=moved, changes=changes)
    alone = replace(plain, images=moved)
    losses = [float(task.compute_loss(network, batch).detach()) for batch in (plain, both, alone)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-3)
    assert losses[2] > 1.5 * losses[0]


@pytest.mark.parametrize(("what", "floor"), [("super-resolution", "bicubic"), ("bone-suppression", "the film as it")])
def test_networks_beat_the_floor(what: str, floor: str) -> None:
    updates = 50 if what == "super-resolution" else 25
    recipe = make_recipe(what, updates)
    task, phantoms = build_task(recipe), make_phantoms(16)
    train, test = phantoms.take(np.arange(12)), phantoms.take(np.arange(12, 16))
    network = train_network(task, recipe, [Stage(train, updates)], seed=0, learning_rate=1e-2)
    predictions = task.predict(network, test, device="cpu", seed=0)
    name, simple = task.predict_floor(train, test, seed=0)
    assert name.startswith(floor)
    learnt, plain = (task.score(arrays, test, seed=0) for arrays in (predictions, simple))
    assert [score.name for score in learnt] == [score.name for score in plain]
    values, floors = by_name(learnt), by_name(plain)
    assert values["psnr", "all"] > floors["psnr", "all"] + 0.5
    assert values["ssim", "all"] > floors["ssim", "all"]
    if what == "bone-suppression":
        assert floors["residual_bone_contrast", "bone"] == pytest.approx(1)
        assert values["residual_bone_contrast", "bone"] < 0.8
    assert predictions["restored"].dtype == np.uint8


def test_a_size_that_the_factor_does_not_divide_is_refused() -> None:
    recipe = make_recipe(
        "super-resolution", size=30, network={"unshuffle": 1, "widths": (8,)}, task={"kind": "restoration", "factor": 4}
    )
    with pytest.raises(RecipeError, match=r"size 30 is no multiple of task\.factor 4"):
        build_task(recipe)
