"""Quality screening: a truth that seed and sample id decide, scores worked by hand, a network that learns."""

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from sklearn import metrics as reference

from cspine_bench.baselines.learn import Stage, torch_generator, train_network
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.shipped import list_recipes, open_recipe
from cspine_bench.baselines.task import Batch, Score
from cspine_bench.baselines.tasks.quality.network import NUM_STATISTICS, measure_gray_levels
from cspine_bench.baselines.tasks.quality.recipe import QualityRecipe
from cspine_bench.baselines.tasks.quality.scores import score_quality
from cspine_bench.baselines.tasks.quality.simulate import Truth, find_truth, iter_spoilt, spoil_batch
from cspine_bench.baselines.tasks.quality.task import Quality
from cspine_bench.errors import RecipeError
from cspine_bench.imaging.artefacts import KINDS, draw_faults
from cspine_bench.recipe import build_recipe

sys.path.insert(0, str(Path(__file__).parent))
from phantom_cases import make_phantoms

SIZE = 32


def make_recipe(updates: int = 1, **task: Any) -> BaselineRecipe:
    return BaselineRecipe.model_validate(
        {
            "task": {"kind": "quality", **task},
            "size": SIZE,
            "network": {"unshuffle": 4, "widths": (16,)},
            "learning": {"updates": updates, "batch_size": 16},
        }
    )


def make_task(**task: Any) -> Quality:
    built = build_task(make_recipe(**task))
    assert isinstance(built, Quality)
    return built


def read(scores: tuple[Score, ...], name: str, artefact: str = "") -> float:
    for score in scores:
        if score.name == name and (score.condition or {}).get("artefact", "") == artefact:
            return float(score.statistic(np.ones((1, len(scores[0].per_case))))[0])
    raise KeyError(name)


def test_the_truth_of_a_radiograph_depends_on_seed_and_id_alone() -> None:
    cases, recipe = make_phantoms(12, SIZE), QualityRecipe()
    truth = find_truth(recipe, cases, seed=3)
    some = np.array([7, 2, 9])
    alone = find_truth(recipe, cases.take(some), seed=3)
    np.testing.assert_array_equal(alone.kinds, truth.kinds[some])
    # The last digits of sums depend on the batch.
    np.testing.assert_allclose(alone.ssim, truth.ssim[some], atol=1e-5)
    other = find_truth(recipe, cases, seed=4)
    assert not np.array_equal(other.ssim, truth.ssim)


def test_the_similarity_is_that_of_the_files() -> None:
    """Images as 8-bit files hold them, and scikit-image on them."""
    cases = make_phantoms(12, SIZE)
    [(images, truth)] = list(iter_spoilt(QualityRecipe(), cases, seed=0))
    spoilt = (images[:, 0].numpy() + 1) * 127.5
    np.testing.assert_allclose(spoilt, np.rint(spoilt), atol=1e-3)
    for place in range(len(cases)):
        expected = structural_similarity(
            cases.pixels[place], np.rint(spoilt[place]).astype(np.uint8), data_range=255, gaussian_weights=True,
            use_sample_covariance=False,
        )  # fmt: skip
        assert truth.ssim[place] == pytest.approx(expected, abs=1e-5)
        if KINDS[truth.kinds[place]] == "none":
            assert truth.ssim[place] > 0.999


def test_8_and_16_bits_are_spoilt_alike() -> None:
    cases = make_phantoms(12, SIZE)
    deep = replace(cases, pixels=cases.pixels.astype(np.uint16) * np.uint16(257))
    few, many = (find_truth(QualityRecipe(), one, seed=1) for one in (cases, deep))
    np.testing.assert_array_equal(few.kinds, many.kinds)
    np.testing.assert_allclose(few.ssim, many.ssim, atol=5e-3)


def test_half_precision_changes_no_truth() -> None:
    images = make_phantoms(12, SIZE).take_images(np.arange(8))
    faults = draw_faults(8, torch_generator(0, "test"), strength=(0.5, 1.0), clean_share=0.1)
    plain = spoil_batch(images, faults, levels=255)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = spoil_batch(images, faults, levels=255)
    for expected, found in zip(plain, under_autocast, strict=True):
        assert torch.equal(expected, found)


def test_scores_by_hand() -> None:
    """Four radiographs; the limit is 0.9: true ones 1 and 0.95 are good, predicted 0.97 and 0.92 are kept."""
    truth = Truth(np.array([0, 0, 3, 2]), np.array([1.0, 0.95, 0.5, 0.8], np.float32))
    preds = np.array([0.97, 0.85, 0.6, 0.92], np.float32)
    probabilities = np.full((4, len(KINDS)), 0.05)
    for row, kind in enumerate((0, 2, 3, 2)):
        probabilities[row, kind] = 0.6
    scores = score_quality(ssim=preds, artefacts=probabilities, truth=truth, ssim_limit=0.9)
    assert scores[0].name == "ssim_error" and scores[0].direction == "lower"
    assert read(scores, "ssim_error") == pytest.approx((0.03 + 0.1 + 0.1 + 0.12) / 4)
    assert read(scores, "ssim_error", "noise") == pytest.approx(0.1)
    residuals = np.array([-0.03, -0.1, 0.1, 0.12])
    assert read(scores, "ssim_residual_sd") == pytest.approx(residuals.std(ddof=1), abs=1e-6)
    assert read(scores, "ssim_r2") == pytest.approx(reference.r2_score(truth.ssim, preds), abs=1e-6)
    assert read(scores, "ssim_correlation") == pytest.approx(np.corrcoef(truth.ssim, preds)[0, 1], abs=1e-6)
    # Kept: the first, rightly, and the last, wrongly; of the two good ones one is kept, of the two bad one flagged.
    for name in ("filter_precision", "filter_recall", "filter_specificity"):
        assert read(scores, name) == pytest.approx(0.5)
    assert read(scores, "balanced_accuracy") == pytest.approx((0.5 + 1 + 1) / 3)
    assert read(scores, "auroc", "blur") == pytest.approx(
        reference.roc_auc_score(truth.kinds == 2, probabilities[:, 2])
    )
    asked = [score.condition for score in scores if score.name == "sensitivity"]
    assert asked == [{"artefact": "none"}, {"artefact": "blur"}, {"artefact": "noise"}]


def test_a_weight_is_how_often_a_radiograph_is_drawn() -> None:
    draw = np.random.default_rng(0)
    truth = Truth(draw.integers(0, 3, 40), draw.uniform(0.3, 1, 40).astype(np.float32))
    preds = (truth.ssim + draw.normal(0, 0.1, 40)).astype(np.float32)
    probabilities = draw.dirichlet(np.ones(len(KINDS)), 40)
    weights = draw.integers(0, 4, (3, 40)).astype(np.float64)
    scores = score_quality(ssim=preds, artefacts=probabilities, truth=truth, ssim_limit=0.8)
    found = [score.statistic(weights) for score in scores]
    for row in range(3):
        again = np.repeat(np.arange(40), weights[row].astype(int))
        drawn = score_quality(
            ssim=preds[again], artefacts=probabilities[again], ssim_limit=0.8,
            truth=Truth(truth.kinds[again], truth.ssim[again]),
        )  # fmt: skip
        for values, score in zip(found, drawn, strict=True):
            assert values[row] == pytest.approx(float(score.statistic(np.ones((1, len(again))))[0]), abs=1e-9)


def test_a_constant_explains_nothing() -> None:
    cases, task = make_phantoms(24, SIZE), make_task()
    name, floor = task.predict_floor(cases, cases, seed=0)
    scores = task.score(floor, cases, seed=0)
    truth = find_truth(task.recipe, cases, seed=0)
    assert "median" in name
    assert read(scores, "ssim_error") == pytest.approx(np.abs(truth.ssim - np.median(truth.ssim)).mean(), abs=1e-6)
    assert read(scores, "ssim_r2") <= 0
    assert math.isnan(read(scores, "ssim_correlation"))
    assert read(scores, "macro_auroc") == 0.5


def test_a_perfect_answer_is_perfect_and_another_seed_has_another_truth() -> None:
    cases, task = make_phantoms(24, SIZE), make_task()
    truth = find_truth(task.recipe, cases, seed=5)
    perfect = {"ssim": truth.ssim, "artefacts": np.eye(len(KINDS), dtype=np.float32)[truth.kinds]}
    scores = task.score(perfect, cases, seed=5)
    assert read(scores, "ssim_error") == 0 and read(scores, "ssim_r2") == 1
    assert read(scores, "macro_auroc") == 1 and read(scores, "balanced_accuracy") == 1
    assert read(scores, "filter_precision") == 1 and read(scores, "filter_recall") == 1
    assert read(task.score(perfect, cases, seed=6), "ssim_error") > 0.05


def test_a_radiograph_with_an_artefact_of_its_own_is_left_out() -> None:
    cases = replace(make_phantoms(12, SIZE), artefacts=("blur", *[None] * 11))
    usable = make_task().list_usable(cases)
    assert not usable[0] and usable[1:].all()


def test_each_update_spoils_anew_and_the_seed_decides() -> None:
    cases, task = make_phantoms(12, SIZE), make_task()
    network = task.build_network()
    places = np.arange(8)

    def compute(seed: int) -> float:
        batch = Batch(
            cases.take_images(places), torch.from_numpy(cases.landmarks_xy[places]),
            torch.from_numpy(cases.masks[places]).long(), cases, places, torch_generator(seed, "test"),
        )  # fmt: skip
        return float(task.compute_loss(network, batch).detach())

    assert compute(0) == compute(0) != compute(1)


def test_the_statistics_tell_amounts() -> None:
    gray = torch.zeros(2, 1, SIZE, SIZE)
    gray[1] = 0.5 * torch.randn((1, SIZE, SIZE), generator=torch.Generator().manual_seed(0))
    found = measure_gray_levels(gray)
    assert found.shape == (2, NUM_STATISTICS) and bool(found.isfinite().all())
    assert found[0, 1] == 0 and float(found[1, 1]) == pytest.approx(0.5, rel=0.05)
    assert bool((found[1, 11:] > found[0, 11:]).all())


def test_a_network_learns_what_the_floor_cannot_know() -> None:
    cases, recipe = make_phantoms(24, SIZE), make_recipe(80, strength=(0.8, 1.0))
    task = build_task(recipe)
    network = train_network(task, recipe, [Stage(cases, 80)], seed=0, learning_rate=4e-3)
    # The same anatomies with other artefacts: what is asked for is not in any of them.
    scores = task.score(task.predict(network, cases, device="cpu", seed=1), cases, seed=1)
    floor = task.score(task.predict_floor(cases, cases, seed=1)[1], cases, seed=1)
    assert read(scores, "ssim_error") < 0.5 * read(floor, "ssim_error")
    assert read(scores, "macro_auroc") > 0.9


def test_the_recipes_of_the_benchmark_are_whole() -> None:
    assert list_recipes("quality") == ["cpu-64", "gpu-256", "gpu-512", "reference-64"]
    for name in list_recipes("quality"):
        assert open_recipe("quality", name).task.kind == "quality"


def test_strengths_must_rise() -> None:
    with pytest.raises(RecipeError, match="strength must rise"):
        build_recipe({"strength": [0.9, 0.1]}, QualityRecipe, where="here")
