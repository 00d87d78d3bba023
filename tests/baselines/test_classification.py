"""Classification: networks that beat the floor, probabilities and classes, where they look, and labels that lack."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cspine_bench.anatomy.classes import CURVATURE_CLASSES
from cspine_bench.anatomy.landmarks import LANDMARK_NAMES, LEVELS
from cspine_bench.baselines.cases import NOT_ANNOTATED, Cases
from cspine_bench.baselines.learn import Stage, train_network
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.task import Score, Task
from cspine_bench.baselines.tasks.classification.head import head_of
from cspine_bench.baselines.tasks.classification.labels import (
    LABELS,
    UNLABELLED,
    read_labels,
    read_labels_from_landmarks,
)
from cspine_bench.baselines.tasks.classification.saliency import compute_saliency, share_in_mask
from cspine_bench.baselines.tasks.classification.scores import build_reliability_curve
from cspine_bench.baselines.unet import TaskNetwork
from cspine_bench.errors import DataError

SIZE = 32
BENDS = {"lordotic": -6.0, "straight": 0.0, "kyphotic": 6.0, "sigmoid1": 0.0, "sigmoid2": 0.0}


def make_cases(curvatures: list[str], seed: int = 0, spread: float = 2) -> Cases:
    """Bright columns that bend by their class, each at another place, in noise; the column is the mask."""
    generator, count = np.random.default_rng(seed), len(curvatures)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    bow = 1 - ((rows - 15.5) / 15.5) ** 2
    bends = np.array([BENDS.get(name, 0.0) for name in curvatures])[:, None, None]
    middle = 16 + generator.uniform(-spread, spread, (count, 1, 1)) + bends * bow - bends / 2
    inside = np.abs(columns - middle) < 3
    noise = generator.normal(0, 12, (count, SIZE, SIZE))
    return Cases(
        where="demo",
        sample_ids=tuple(f"s{number:03d}" for number in range(count)),
        group_ids=tuple(f"g{number:03d}" for number in range(count)),
        facing=("left",) * count,
        label_values={"curvature": tuple(curvatures), "sex": ("unknown",) * count, "disease": ("healthy",) * count},
        pixels=np.clip(np.where(inside, 170, 80) + noise, 0, 255).astype(np.uint8),
        masks=np.where(inside, 3, 0).astype(np.uint8),
        annotated=np.ones((count, len(LEVELS)), np.bool_),
        landmarks_xy=np.full((count, len(LANDMARK_NAMES), 2), np.nan, np.float32),
        pixel_spacing_mm=np.full(count, 2.0),
        phantoms=(None,) * count,
        artefacts=(None,) * count,
    )


def make_task(**settings: object) -> tuple[Task, BaselineRecipe]:
    recipe = BaselineRecipe.model_validate(
        {
            "task": {"kind": "classification", **settings},
            "size": SIZE,
            "network": {"unshuffle": 4, "widths": [8, 16]},
            "learning": {"batch_size": 8},
        }
    )
    return build_task(recipe), recipe


def train(task: Task, recipe: BaselineRecipe, *stages: tuple[Cases, int], seed: int = 0) -> TaskNetwork:
    learnt = [Stage(cases, updates) for cases, updates in stages]
    return train_network(task, recipe, learnt, seed=seed, learning_rate=3e-3)


def read(scores: tuple[Score, ...], count: int) -> dict[str, float]:
    """Figures by name and what they are of."""
    ones = np.ones((1, count))
    return {".".join([one.name, *(one.condition or {}).values()]): float(one.statistic(ones)[0]) for one in scores}


THREE = ["lordotic", "straight", "kyphotic"]
TRAIN, TEST = make_cases(THREE * 16), make_cases(THREE * 8, seed=1)


@pytest.fixture(scope="module")
def trained() -> tuple[Task, TaskNetwork]:
    task, recipe = make_task()
    return task, train(task, recipe, (TRAIN, 60))


def test_a_network_beats_the_floor_and_looks_at_the_spine(trained: tuple[Task, TaskNetwork]) -> None:
    task, network = trained
    told = task.predict(network, TEST, device="cpu", seed=0)
    assert told["probabilities"].shape == (24, 3) and np.allclose(told["probabilities"].sum(axis=1), 1, atol=1e-6)
    found = read(task.score(told, TEST, seed=0), 24)
    name, floor = task.predict_floor(TRAIN, TEST, seed=0)
    worse = read(task.score(floor, TEST, seed=0), 24)
    assert name == "class shares"
    assert (worse["macro_auroc"], worse["balanced_accuracy"]) == pytest.approx((0.5, 1 / 3))
    assert found["macro_auroc"] > 0.9 and found["balanced_accuracy"] > 0.8
    assert found["brier_error"] < worse["brier_error"]
    assert found["saliency_in_mask"] > found["saliency_in_mask_untrained"]
    again = task.predict(network, TEST, device="cpu", seed=0)
    assert all(np.array_equal(again[key], told[key]) for key in told)


def test_the_primary_score_comes_first_and_arms_have_the_same_scores(trained: tuple[Task, TaskNetwork]) -> None:
    task, network = trained
    told = task.predict(network, TEST, device="cpu", seed=0)
    scores = task.score(told, TEST, seed=0)
    assert scores[0].name == "macro_auroc" and scores[0].direction == "higher"
    untrained = task.score(task.predict(task.build_network().eval(), TEST, device="cpu", seed=0), TEST, seed=0)
    assert [(one.name, one.condition) for one in untrained] == [(one.name, one.condition) for one in scores]
    weights = np.random.default_rng(0).multinomial(24, np.full(24, 1 / 24), size=50).astype(np.float64)
    for one in scores:
        assert one.statistic(weights).shape == (50,)
        assert one.per_case is None or one.per_case.shape == (24,)


def test_labels_that_were_shuffled_are_worth_nothing() -> None:
    task, recipe = make_task(saliency=None)
    shuffled = np.random.default_rng(0).permutation(np.array(TRAIN.labels("curvature"))).tolist()
    network = train(task, recipe, (replace(TRAIN, label_values={"curvature": tuple(shuffled)}), 60))
    found = read(task.score(task.predict(network, TEST, device="cpu", seed=0), TEST, seed=0), 24)
    assert found["macro_auroc"] < 0.75


def test_a_network_with_random_weights_looks_everywhere_alike(trained: tuple[Task, TaskNetwork]) -> None:
    """The sanity check of Adebayo et al. 2018 (1810.03292): what weights do not decide is no explanation."""
    # Columns anywhere: a network's gradients are smaller at the edges, whatever its weights are.
    task, anywhere = make_task()[0], make_cases(THREE * 8, spread=13)
    found = []
    for seed in range(8):
        told = task.predict(trained[1], anywhere, device="cpu", seed=seed)
        found.append(told["saliency_untrained"].mean() / told["saliency_area"].mean())
    assert np.std(found) > 0
    assert np.mean(found) == pytest.approx(1, abs=0.15)


def test_saliency_of_a_linear_network_is_the_size_of_its_weights() -> None:
    weights = torch.randn((2, SIZE, SIZE), generator=torch.Generator().manual_seed(0))
    images = torch.rand((3, 1, SIZE, SIZE), generator=torch.Generator().manual_seed(1)) - 0.5

    def classify(images: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bcyx,kyx->bk", images, weights)

    found = compute_saliency(classify, images, torch.randn((4, 3, 1, SIZE, SIZE)))
    # Two classes: the log odds of one are the difference of the evidence, whichever is told.
    assert torch.allclose(found, (weights[0] - weights[1]).abs().expand(3, -1, -1), atol=1e-5)


def test_shares_in_masks_by_hand() -> None:
    masks = np.zeros((4, 2, 2), np.uint8)
    masks[0, 0] = (3, 8)
    masks[1, 0, 0] = 1
    masks[2, 1, 1], masks[2, 0, 0] = NOT_ANNOTATED, 4
    saliency = np.array([[[3.0, 1], [2, 2]], [[0, 1], [1, 2]], [[1, 1], [1, 1]], [[1, 1], [1, 1]]])
    share, area = share_in_mask(saliency, masks)
    assert share[:2] == pytest.approx([0.5, 0.0]) and area[:2] == pytest.approx([0.5, 0.25])
    assert np.isnan(share[2:]).all() and np.isnan(area[2:]).all()
    assert np.isnan(share_in_mask(np.zeros((1, 2, 2)), masks[:1])[0]).all()
    with pytest.raises(ValueError, match="a mask for each map"):
        share_in_mask(saliency, masks[:2])


def test_probabilities_know_how_common_a_class_is_and_predicted_classes_do_not() -> None:
    """Where a radiograph says nothing, probabilities are the classes' shares and the evidence is even."""
    blank = make_cases(["lordotic"] * 36 + ["kyphotic"] * 12)
    blank = replace(blank, pixels=np.full_like(blank.pixels, 128))
    task, recipe = make_task(saliency=None)
    network = train(task, recipe, (blank, 60))
    told = task.predict(network, blank, device="cpu", seed=0)
    assert told["probabilities"][0, [0, 2]] == pytest.approx([0.75, 0.25], abs=0.06)
    evidence = network(blank.take_images(np.arange(1)))[0].detach()
    assert float(evidence[0] - evidence[2]) == pytest.approx(0, abs=0.3)


def test_a_class_that_training_lacks_is_never_told_and_noted() -> None:
    task, recipe = make_task(saliency=None)
    network = train(task, recipe, (make_cases(["lordotic", "straight"] * 8), 10))
    told = task.predict(network, TEST, device="cpu", seed=0)
    assert set(np.unique(told["predicted"])) <= {0, 1}
    assert told["probabilities"][:, 2].max() < 0.5
    scores = task.score(told, TEST, seed=0)
    assert "learnt from no radiograph that is kyphotic" in scores[0].note
    assert read(scores, 24)["sensitivity.kyphotic"] == 0
    # A stage that had the class is remembered; the shares are those of the last one.
    both = train(task, recipe, (TRAIN, 3), (make_cases(["lordotic", "straight"] * 8), 3))
    assert head_of(both).seen.tolist() == [True] * 3
    assert head_of(both).counts.tolist() == [8, 8, 0]


def test_a_class_that_the_test_lacks_is_left_out_and_noted(trained: tuple[Task, TaskNetwork]) -> None:
    task, network = trained
    fewer = TEST.take(np.array(TEST.labels("curvature")) != "kyphotic")
    told = task.predict(network, fewer, device="cpu", seed=0)
    scores = task.score(told, fewer, seed=0)
    found = read(scores, 16)
    assert "No test radiograph is kyphotic" in scores[0].note
    assert not [name for name in found if "kyphotic" in name]
    expected = np.mean([found["class_auroc.lordotic"], found["class_auroc.straight-sigmoid"]])
    assert found["macro_auroc"] == pytest.approx(expected)


def test_one_class_is_refused_and_unknown_labels_are_left_out() -> None:
    task, _ = make_task()
    mixed = make_cases(["lordotic", "unknown", "lordotic", "unknown"])
    assert task.list_usable(mixed).tolist() == [True, False, True, False]
    with pytest.raises(DataError, match=r"demo: train: all 4 are lordotic.* takes two classes; add radiographs"):
        task.check_labels(mixed, "train")
    with pytest.raises(DataError, match="none is labelled"):
        task.check_labels(make_cases(["unknown"] * 3), "train")
    # Straight and sigmoid are one of the three classes.
    with pytest.raises(DataError, match="all 2 are straight-sigmoid"):
        task.check_labels(make_cases(["straight", "sigmoid2"]), "test")
    make_task(label="curvature")[0].check_labels(make_cases(["straight", "sigmoid2"]), "test")
    assert not make_task(label="sex")[0].list_usable(mixed).any()
    told = {"probabilities": np.full((4, 3), 1 / 3)}
    with pytest.raises(DataError, match="s001 has no curvature to be scored by"):
        task.score(told, mixed, seed=0)


def test_single_radiographs_are_scored(trained: tuple[Task, TaskNetwork]) -> None:
    task, network = trained
    one = TEST.take(np.array([0]))
    found = read(task.score(task.predict(network, one, device="cpu", seed=0), one, seed=0), 1)
    assert np.isnan(found["macro_auroc"]) and found["accuracy"] in (0, 1)


def test_predictions_of_somebody_else_are_checked() -> None:
    task, _ = make_task()
    truth = np.eye(3)[read_labels(TEST, LABELS["curvature-3"])]
    assert read(task.score({"probabilities": truth}, TEST, seed=0), 24)["macro_auroc"] == 1
    with pytest.raises(DataError, match="23 predictions for 24 radiographs"):
        task.score({"probabilities": truth[1:]}, TEST, seed=0)
    with pytest.raises(DataError, match=r"one for each class, got \(24, 2\); the classes are lordotic, straight-sig"):
        task.score({"probabilities": truth[:, :2]}, TEST, seed=0)
    with pytest.raises(DataError, match="numbers from 0 to 1"):
        task.score({"probabilities": np.where(truth == 1, np.nan, truth)}, TEST, seed=0)


def test_points_of_the_reliability_plot() -> None:
    label = LABELS["curvature-3"]
    sure = np.where(np.arange(24) < 12, 0.5, 0.8)
    probabilities = np.stack([sure, 0.7 * (1 - sure), 0.3 * (1 - sure)], axis=1)
    curve = build_reliability_curve({"probabilities": probabilities}, TEST, label)
    assert curve.confidence == pytest.approx([0.5, 0.8]) and curve.count.tolist() == [12, 12]
    assert curve.share_correct == pytest.approx([1 / 3, 1 / 3])
    of_one = build_reliability_curve({"probabilities": probabilities}, TEST, label, of="kyphotic")
    assert of_one.confidence == pytest.approx([0.06, 0.15])


def draw_column(bow_mm: float) -> NDArray[np.float32]:
    """Landmarks of a column 100 px high, 1 mm each, whose middle lies `bow_mm` in front of its ends; facing left."""
    points = np.zeros((len(LANDMARK_NAMES), 2), np.float32)
    for place, name in enumerate(LANDMARK_NAMES):
        number = int(name[1])
        down = {"superior": 18.0 * (number - 3) + 10, "inferior": 18.0 * (number - 3) + 24}.get(name.split("_")[1], 0.0)
        top, bottom = 6.0, 96.0
        share = np.clip((down - top) / (bottom - top), 0, 1)
        back = 8.0 if name.endswith("posterior") else -8.0
        points[place] = (50 + back - 4 * bow_mm * share * (1 - share), down)
    return points


def test_classes_by_the_landmarks_alone() -> None:
    cases = make_cases(["lordotic", "straight", "kyphotic", "lordotic", "lordotic", "lordotic"])
    bows = np.stack([draw_column(bow) for bow in (8, 0, -8, 8, 8, 8)])
    bows[3, 0] = np.nan  # the centroid of C2 has no part in the rule
    bows[4, 5] = np.nan
    cases = replace(cases, landmarks_xy=bows, pixel_spacing_mm=np.ones(6), facing=("left",) * 5 + ("unknown",))
    label = LABELS["curvature-3"]
    assert read_labels_from_landmarks(cases, label).tolist() == [0, 1, 2, 0, UNLABELLED, UNLABELLED]
    task, _ = make_task()
    scores = task.score({"probabilities": np.full((6, 3), 1 / 3)}, cases, seed=0)
    rule = next(one for one in scores if one.name == "landmark_rule_accuracy")
    assert (float(rule.statistic(np.ones((1, 6)))[0]), rule.used) == (1, 4)


def test_class_numbers() -> None:
    values = [*CURVATURE_CLASSES, "unknown"]
    cases = make_cases(values)
    assert read_labels(cases, LABELS["curvature"]).tolist() == [0, 1, 2, 3, 4, UNLABELLED]
    assert read_labels(cases, LABELS["curvature-3"]).tolist() == [0, 1, 1, 1, 2, UNLABELLED]
    assert make_task(label="disease")[0].classes == ("healthy", "spondylosis")  # type: ignore[attr-defined]
