"""Attacks whose worst case is known exactly, and networks that learn to withstand them."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from cspine_bench.anatomy.landmarks import LANDMARK_NAMES, LEVELS
from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.learn import Stage, train_network
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.tasks.classification.attack import find_worst_images
from cspine_bench.baselines.tasks.classification.labels import UNLABELLED
from cspine_bench.baselines.tasks.classification.recipe import AttackRecipe, RobustnessRecipe
from cspine_bench.baselines.tasks.classification.robustness import draw_starts, list_hardships, predict_hardships
from cspine_bench.imaging.degrade import LADDER

SIZE, COUNT = 16, 60
GENERATOR = torch.Generator().manual_seed(0)
WEIGHTS = torch.randn((2, 1, SIZE, SIZE), generator=GENERATOR)
IMAGES = torch.rand((COUNT, 1, SIZE, SIZE), generator=GENERATOR) - 0.5
LABELS = torch.arange(COUNT) % 2


def linear(images: torch.Tensor) -> torch.Tensor:
    return torch.einsum("bcyx,kcyx->bk", images, WEIGHTS)


def margins(images: torch.Tensor) -> torch.Tensor:
    """Evidence for the true class less that for the other."""
    evidence = linear(images)
    return (evidence.gather(1, LABELS[:, None]) - evidence.gather(1, 1 - LABELS[:, None]))[:, 0]


def find_exact_worst(reach: float) -> torch.Tensor:
    """Of a linear classifier with two classes: every pixel goes against the true class as far as it may."""
    against = torch.where(LABELS[:, None, None, None] == 0, WEIGHTS[1] - WEIGHTS[0], WEIGHTS[0] - WEIGHTS[1])
    return (IMAGES + reach * against.sign()).clamp(-1, 1)


@pytest.mark.parametrize(("epsilon", "steps", "step_size", "started"), [(4, 1, 4, False), (4, 10, 1, True)])
def test_the_worst_case_of_a_linear_classifier_is_found(
    epsilon: float, steps: int, step_size: float, started: bool
) -> None:
    starts = draw_starts(COUNT, SIZE, seed=0, stream="demo") if started else None
    found = find_worst_images(linear, IMAGES, LABELS, epsilon=epsilon, steps=steps, step_size=step_size, starts=starts)
    reach = 2 * epsilon / 255
    assert torch.allclose(found, find_exact_worst(reach), atol=1e-6)
    norm = (WEIGHTS[0] - WEIGHTS[1]).abs().sum()
    assert torch.allclose(margins(found), margins(IMAGES) - reach * norm, atol=1e-3)
    # So that accuracy under attack is known without any attack; some radiographs withstand it and some do not.
    withstood = margins(IMAGES) > reach * norm
    assert torch.equal(linear(found).argmax(1) == LABELS, withstood)


def test_pixels_stay_in_range_and_in_reach() -> None:
    bright = torch.ones_like(IMAGES)
    found = find_worst_images(linear, bright, LABELS, epsilon=8, steps=5, step_size=9)
    assert float(found.max()) <= 1 and float((found - bright).abs().max()) <= 16 / 255 + 1e-6
    assert not found.requires_grad


def test_an_attack_never_makes_a_classifier_look_better() -> None:
    def bent(images: torch.Tensor) -> torch.Tensor:
        return torch.sin(40 * linear(images))

    start = draw_starts(COUNT, SIZE, seed=1, stream="demo")
    found = find_worst_images(bent, IMAGES, LABELS, epsilon=2, steps=2, step_size=3, starts=start)
    wrong_before, wrong_after = (bent(images).argmax(1) != LABELS for images in (IMAGES, found))
    assert bool((wrong_after | ~wrong_before).all()) and int(wrong_after.sum()) > int(wrong_before.sum())

    def flat(images: torch.Tensor) -> torch.Tensor:
        return 0 * linear(images) + torch.tensor([1.0, 0.0])

    assert torch.equal(find_worst_images(flat, IMAGES, LABELS, epsilon=2, steps=2, step_size=1), IMAGES)


def make_cases(count: int, seed: int = 0) -> Cases:
    """Two classes: a bright half, right in nine of ten; and faint stripes of 6 gray levels, always right."""
    generator = np.random.default_rng(seed)
    sex = np.arange(count) % 2
    side = np.where(generator.random(count) < 0.9, sex, 1 - sex)
    columns = np.arange(32)[None, None, :]
    half = np.where((columns >= 16) == (side[:, None, None] == 1), 150, 110)
    stripes = np.where((columns % 2) == sex[:, None, None], 6, -6)
    pixels = half + stripes + generator.integers(-1, 2, (count, 32, 32))
    return Cases(
        where="demo",
        sample_ids=tuple(f"s{number}" for number in range(count)),
        group_ids=tuple(f"g{number}" for number in range(count)),
        facing=("left",) * count,
        label_values={"sex": tuple(("male", "female")[one] for one in sex)},
        pixels=pixels.astype(np.uint8),
        masks=np.zeros((count, 32, 32), np.uint8),
        annotated=np.ones((count, len(LEVELS)), np.bool_),
        landmarks_xy=np.full((count, len(LANDMARK_NAMES), 2), np.nan, np.float32),
        pixel_spacing_mm=np.full(count, np.nan),
        phantoms=(None,) * count,
        artefacts=(None,) * count,
    )


def measure(adversarial: dict[str, float] | None) -> dict[str, float]:
    """Accuracies of a network, by what the radiographs went through."""
    recipe = BaselineRecipe.model_validate(
        {
            "task": {
                "kind": "classification",
                "label": "sex",
                "saliency": None,
                "adversarial": adversarial,
                "robustness": {"epsilons": [12], "steps": 5, "ladder": False},
            },
            "size": 32,
            "network": {"unshuffle": 4, "widths": [8, 16]},
            "learning": {"batch_size": 16},
        }
    )
    task, test = build_task(recipe), make_cases(40, seed=1)
    network = train_network(task, recipe, [Stage(make_cases(64), 40)], seed=0, learning_rate=4e-3)
    told = task.predict(network, test, device="cpu", seed=0)
    return {
        ".".join([one.name, *(one.condition or {})]): float(one.statistic(np.ones((1, 40)))[0])
        for one in task.score(told, test, seed=0)
        if one.name.endswith("accuracy")
    }


def test_learning_from_attacked_radiographs_trades_accuracy_for_robustness() -> None:
    """Stripes are always right, and an attack turns them round; the bright half it cannot. As Tsipras et al. 2019."""
    plain, hardened = measure(None), measure({"epsilon": 12, "steps": 2})
    assert plain["accuracy"] > 0.95 and plain["robust_accuracy.attack"] < 0.2
    assert 0.75 < hardened["accuracy"] < 0.95 and hardened["robust_accuracy.attack"] > 0.75


def test_every_hardship_has_predictions_and_they_are_the_same_again() -> None:
    recipe, cases = RobustnessRecipe(epsilons=(2,), steps=2, restarts=2), make_cases(6)
    weights = torch.randn((2, 1, 32, 32), generator=torch.Generator().manual_seed(2))

    def classify(images: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bcyx,kcyx->bk", images, weights)

    labels = np.arange(6) % 2
    told = predict_hardships(recipe, classify, cases, labels, device="cpu", seed=0)
    assert list(told) == [one.key for one in list_hardships(recipe)]
    assert len(told) == 1 + len(LADDER)
    again = predict_hardships(recipe, classify, cases, labels, device="cpu", seed=0)
    assert all(np.array_equal(told[key], again[key]) for key in told)
    # A radiograph goes through the same, whichever others are beside it.
    alone = predict_hardships(recipe, classify, cases.take(np.array([0])), labels[:1], device="cpu", seed=0)
    assert all(told[key][0] == alone[key][0] for key in told)
    nobody = np.full(6, UNLABELLED)
    assert list(predict_hardships(recipe, classify, cases, nobody, device="cpu", seed=0)) == list(told)


def test_settings() -> None:
    assert AttackRecipe(epsilon=4, steps=10).step_levels == 1
    assert AttackRecipe(step_size=0.5).step_levels == 0.5
    with pytest.raises(ValidationError, match="names a value twice"):
        RobustnessRecipe(epsilons=(1, 1))
    with pytest.raises(ValidationError):
        AttackRecipe(epsilon=0)
