"""Segmentation: what is learnt and what is ignored, networks that beat the floor, and labels of every bad sort."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from baseline_example import draw_cases
from pydantic import ValidationError

from cspine_bench.anatomy.landmarks import LANDMARK_INDEX, LEVELS
from cspine_bench.augment import AugmentRecipe, change_landmarks, change_masks, draw_changes
from cspine_bench.baselines.cases import NOT_ANNOTATED, Cases
from cspine_bench.baselines.learn import Stage, train_network
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.task import Batch
from cspine_bench.baselines.tasks.segmentation.losses import SMOOTH, compute_marginal_loss
from cspine_bench.baselines.tasks.segmentation.recipe import SegmentationRecipe
from cspine_bench.baselines.tasks.segmentation.targets import build_batch_targets, build_targets, find_annotated
from cspine_bench.baselines.tasks.segmentation.task import Segmentation, expect_dice
from cspine_bench.baselines.unet import TaskNetwork
from cspine_bench.errors import DataError

NAN = np.nan
UPDATES = 50
C3_TO_C7 = [False, False, True, True, True, True, True, False]


def make_recipe(**task: object) -> BaselineRecipe:
    values = {
        "task": {"kind": "segmentation", **task},
        "size": 32,
        "network": {"unshuffle": 2, "widths": (8, 16)},
        "learning": {"updates": UPDATES, "batch_size": 8},
    }
    return BaselineRecipe.model_validate(values)


def make_task(**task: object) -> Segmentation:
    made = build_task(make_recipe(**task))
    assert isinstance(made, Segmentation)
    return made


def without_masks(cases: Cases) -> Cases:
    """As CSXA has them: landmarks alone."""
    none = np.full_like(cases.masks, NOT_ANNOTATED)
    return replace(cases, masks=none, annotated=np.zeros_like(cases.annotated))


def make_batch(cases: Cases, places: list[int]) -> Batch:
    rows = np.array(places)
    masks, landmarks_xy = torch.from_numpy(cases.masks[rows]).long(), torch.from_numpy(cases.landmarks_xy[rows])
    return Batch(cases.take_images(rows), landmarks_xy, masks, cases, rows, torch.Generator())


def mean_dice(task: Segmentation, predictions: dict[str, np.ndarray], cases: Cases) -> float:
    return float(task.score(predictions, cases, seed=0)[0].statistic(np.ones((1, len(cases))))[0])


@pytest.fixture(scope="module")
def trained() -> tuple[Segmentation, TaskNetwork]:
    """Learnt from bodies drawn about the landmarks of 48 radiographs; some corners are missing."""
    train = without_masks(draw_cases(48))
    train.landmarks_xy[np.random.default_rng(2).random(train.landmarks_xy.shape[:2]) < 0.03] = NAN
    task = make_task()
    train = train.take(task.list_usable(train))
    task.check_labels(train, "train")
    return task, train_network(task, make_recipe(), [Stage(train, UPDATES)], seed=0, learning_rate=2e-2)


def test_a_network_learns_and_beats_the_mean_mask(trained: tuple[Segmentation, TaskNetwork]) -> None:
    task, network = trained
    test = draw_cases(16, seed=1)
    predictions = task.predict(network, test, device="cpu", seed=0)
    name, floor = task.predict_floor(draw_cases(48), test, seed=0)
    assert name == "mean mask"
    assert mean_dice(task, predictions, test) > 0.75 > 0.65 > mean_dice(task, floor, test)
    assert predictions["masks"].dtype == np.uint8 and predictions["masks"].shape == (16, 32, 32)
    assert set(np.unique(predictions["masks"])) == {0, 3, 4, 5, 6, 7}
    assert predictions["learnt"].tolist() == [C3_TO_C7] * 16
    assert np.isnan(predictions["level_confidence"][:, [0, 1, 7]]).all()
    alone = task.predict(network, test.take(np.array([5])), device="cpu", seed=0)
    assert (alone["masks"] == predictions["masks"][5]).mean() > 0.999
    assert alone["confidence"] == pytest.approx(predictions["confidence"][5:6], abs=1e-3)


def test_what_is_hardly_seen_has_little_dice_and_little_confidence(trained: tuple[Segmentation, TaskNetwork]) -> None:
    task, network = trained
    test = draw_cases(24, seed=3)
    noise = np.random.default_rng(0).normal(0, 1, test.pixels.shape)
    strength = np.linspace(0, 120, 24)[:, None, None]
    hidden = replace(test, pixels=np.clip(test.pixels + strength * noise, 0, 255).astype(np.uint8))
    predictions = task.predict(network, hidden, device="cpu", seed=0)
    dice = task.score(predictions, hidden, seed=0)[0].per_case
    sure = predictions["confidence"]
    assert dice is not None and ((sure >= 0) & (sure <= 1)).all()
    assert np.corrcoef(sure, dice)[0, 1] > 0.7
    # It is a Dice itself: on radiographs like those that were learnt from it is about right.
    assert sure[:4].mean() == pytest.approx(dice[:4].mean(), abs=0.12)


def test_what_was_learnt_travels_with_the_weights(trained: tuple[Segmentation, TaskNetwork]) -> None:
    task, network = trained
    test, fresh = draw_cases(2, seed=1), task.build_network()
    untrained = task.predict(fresh, test, device="cpu", seed=0)
    assert not untrained["masks"].any() and not untrained["learnt"].any()
    assert untrained["confidence"].tolist() == [0, 0]
    fresh.load_state_dict(network.state_dict())
    before, after = (task.predict(one, test, device="cpu", seed=0) for one in (network, fresh))
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])


def compute_loss_by_hand(logits: torch.Tensor, masks: torch.Tensor, annotated: torch.Tensor) -> float:
    """Pixel by pixel, as the loss is told."""
    shares = logits.double().softmax(dim=1)
    levels = annotated.shape[1]
    entropies, both, ours, theirs = [], [0.0] * levels, [0.0] * levels, [0] * levels
    for image, row, column in np.ndindex(*masks.shape):
        label, share = int(masks[image, row, column]), shares[image, :, row, column].tolist()
        if label > levels:
            continue
        told = annotated[image].tolist()
        rest = [0, *(1 + level for level in range(levels) if not told[level])]
        entropies.append(-np.log(sum(share[one] for one in rest) if label in rest else share[label]))
        for level in range(levels):
            if told[level]:
                ours[level] += share[1 + level]
                theirs[level] += label == 1 + level
                both[level] += share[1 + level] * (label == 1 + level)
    soft = [(2 * b + SMOOTH) / (o + t + SMOOTH) for b, o, t in zip(both, ours, theirs, strict=True) if t]
    return float(np.mean(entropies) + (1 - np.mean(soft) if soft else 0))


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_the_loss_is_as_it_is_told(share: float) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn((3, 9, 5, 6), generator=generator)
    masks = torch.randint(0, 9, (3, 5, 6), generator=generator)
    masks[0, 0, :3] = NOT_ANNOTATED
    annotated = torch.rand((3, 8), generator=generator) < share
    found = float(compute_marginal_loss(logits, masks, annotated))
    assert found == pytest.approx(compute_loss_by_hand(logits, masks, annotated), rel=1e-5, abs=1e-6)


def test_what_is_not_annotated_costs_nothing_and_teaches_nothing() -> None:
    masks = torch.zeros((1, 4, 4), dtype=torch.int64)
    masks[0, :2] = 3
    annotated = torch.tensor([C3_TO_C7])
    logits = torch.full((1, 9, 4, 4), -9.0)
    logits[:, 3, :2] = 9.0
    # Below C3: background in one, in the other C1, of which the mask does not tell.
    background, unknown = logits.clone(), logits.clone()
    background[:, 0, 2:], unknown[:, 1, 2:] = 9.0, 9.0
    least = float(compute_marginal_loss(background, masks, annotated))
    assert least == pytest.approx(0, abs=1e-4)
    assert float(compute_marginal_loss(unknown, masks, annotated)) == pytest.approx(least, abs=1e-6)
    # C4 there is wrong, and so is C1 on C3.
    for level, rows in ((4, slice(2, 4)), (1, slice(0, 2))):
        wrong = background.clone()
        wrong[:, :, rows] = -9.0
        wrong[:, level, rows] = 9.0
        assert float(compute_marginal_loss(wrong, masks, annotated)) > 5
    nothing = torch.full((1, 4, 4), NOT_ANNOTATED)
    logits.requires_grad_()
    loss = compute_marginal_loss(logits, nothing, annotated)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0 and logits.grad is not None and not bool(logits.grad.any())


def test_the_truth_is_the_mask_or_the_bodies() -> None:
    cases = draw_cases(4)
    drawn = cases.masks.copy()
    cases.masks[0] = np.roll(cases.masks[0], 3, axis=1)
    cases = replace(cases, annotated=cases.annotated.copy())
    cases.annotated[0, 0] = True
    cases.masks[1], cases.annotated[1] = NOT_ANNOTATED, False
    cases.landmarks_xy[1, LANDMARK_INDEX["C6_superior_anterior"]] = NAN
    auto, masks, bodies = (build_targets(cases, target) for target in ("auto", "masks", "bodies"))
    np.testing.assert_array_equal(bodies.masks[[0, 2, 3]], drawn[[0, 2, 3]])
    np.testing.assert_array_equal(masks.masks, cases.masks)
    np.testing.assert_array_equal(auto.masks[0], cases.masks[0])
    np.testing.assert_array_equal(auto.masks[1], np.where(drawn[1] == 6, 0, drawn[1]))
    assert auto.annotated[1].tolist() == [False, False, True, True, True, False, True, False]
    assert auto.annotated[0].tolist() == [True, *C3_TO_C7[1:]]
    assert bodies.annotated[0].tolist() == C3_TO_C7 and not masks.annotated[1].any()
    for target in ("auto", "masks", "bodies"):
        np.testing.assert_array_equal(find_annotated(cases, target), build_targets(cases, target).annotated)
    found, annotated = build_batch_targets(make_batch(cases, [1, 0, 1]), "auto")
    np.testing.assert_array_equal(found, auto.masks[[1, 0, 1]])
    np.testing.assert_array_equal(annotated, auto.annotated[[1, 0, 1]])
    assert not cases.annotated[1].any(), "the cases stay as they are"


def test_bodies_of_a_changed_radiograph_are_drawn_where_they_lie() -> None:
    """Moved by whole pixels and mirrored, they are the moved masks."""
    cases = without_masks(draw_cases(8))
    batch = make_batch(cases, list(range(8)))
    changes = draw_changes(AugmentRecipe(flip=True), 8, 32, torch.Generator().manual_seed(0))
    shift_px = torch.tensor([(1.0, 2.0), (-2.0, 1.0), (0.0, -1.0), (2.0, 0.0)]).repeat(2, 1)
    changes = replace(changes, shift_px=shift_px)
    assert 0 < int(changes.flipped.sum()) < 8
    moved = replace(batch, landmarks_xy=change_landmarks(batch.landmarks_xy, changes, 32), changes=changes)
    found, annotated = build_batch_targets(moved, "auto")
    expected = change_masks(torch.from_numpy(build_targets(cases, "auto").masks).long(), changes)
    assert annotated.tolist() == [C3_TO_C7] * 8
    np.testing.assert_array_equal(found, expected)


def test_the_floor_is_what_most_masks_have() -> None:
    cases = draw_cases(3)
    cases.masks[:] = 0
    cases.masks[:2, 4, 4], cases.masks[2, 4, 4] = 3, 4
    cases.masks[0, 9, 9] = 5
    # Of C7 two masks do not tell; all that do have it there.
    cases.masks[0, 20, 20] = 7
    cases.annotated[1:, 6] = False
    _, floor = make_task().predict_floor(cases, cases.take(np.array([0, 1])), seed=0)
    assert [floor["masks"][1][place] for place in ((4, 4), (9, 9), (20, 20), (0, 0))] == [3, 0, 7, 0]
    assert floor["masks"].shape == (2, 32, 32) and np.isnan(floor["confidence"]).all()


def test_expected_dice_is_that_of_truths_drawn_from_the_probabilities() -> None:
    generator = torch.Generator().manual_seed(0)
    shares = (3 * torch.randn((1, 3, 20, 20), generator=generator)).softmax(dim=1)
    labels = shares.argmax(dim=1)
    drawn = torch.multinomial(shares[0].flatten(1).T, 400, replacement=True, generator=generator)
    for level in (1, 2):
        truth = (drawn == level).T.reshape(400, 20, 20)
        chosen = labels == level
        dice = 2 * (truth & chosen).sum(dim=(1, 2)) / (truth.sum(dim=(1, 2)) + chosen.sum())
        assert float(expect_dice(shares, labels)[0, level - 1]) == pytest.approx(float(dice.mean()), abs=0.01)
    nowhere = torch.tensor([1.0, 0.0])[None, :, None, None].expand(1, 2, 4, 4)
    assert expect_dice(nowhere, nowhere.argmax(dim=1)).isnan().all()


def test_labels_that_are_missing() -> None:
    cases = draw_cases(5)
    cases.masks[:4], cases.annotated[:4] = NOT_ANNOTATED, False
    cases.landmarks_xy[0] = NAN
    cases.landmarks_xy[1, 3:] = NAN
    cases.landmarks_xy[2, 3::4] = NAN
    assert make_task().list_usable(cases).tolist() == [False, False, False, True, True]
    assert make_task(target="masks").list_usable(cases).tolist() == [False, False, False, False, True]
    assert make_task(levels=["C2", "T1"]).list_usable(cases).tolist() == [False] * 5
    assert make_task().describe_need() == (
        "a mask with one of C3, C4, C5, C6, C7 or the four corners of one of C3, C4, C5, C6, C7"
    )
    assert make_task(levels=["T1"]).describe_need() == "a mask with one of T1"
    assert make_task(target="bodies", levels=["C7", "C2"]).describe_need() == "the four corners of one of C7"


def test_labels_that_make_no_task_are_named() -> None:
    cases = draw_cases(3)
    empty = replace(cases, masks=np.zeros_like(cases.masks))
    with pytest.raises(DataError, match=r"split test: train: not one pixel of C3, C4, C5, C6, C7 in 3 masks"):
        make_task().check_labels(empty, "train")
    make_task(target="bodies").check_labels(empty, "train")
    cases.masks[1, 3, 3] = 9
    with pytest.raises(DataError, match=r"train: the mask of ex0000001 holds 9, which names no vertebra"):
        make_task().check_labels(cases, "train")


@pytest.mark.parametrize(
    "given", [{"levels": ["C3", "C3"]}, {"levels": []}, {"levels": ["C8"]}, {"target": "bodies", "levels": ["C2"]}]
)
def test_settings_that_cannot_be_meant(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SegmentationRecipe.model_validate(given)


def test_levels_are_named_from_the_skull_down() -> None:
    assert SegmentationRecipe(levels=("T1", "C2", "C5")).levels == ("C2", "C5", "T1")
    assert set(SegmentationRecipe(levels=LEVELS).levels) == set(LEVELS)  # type: ignore[arg-type]
