"""What a classifier says of radiographs that were attacked or degraded."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.task import Arrays
from cspine_bench.baselines.tasks.classification.attack import Classify, find_worst_images
from cspine_bench.baselines.tasks.classification.labels import UNLABELLED
from cspine_bench.baselines.tasks.classification.recipe import AttackRecipe, RobustnessRecipe
from cspine_bench.imaging.degrade import LADDER
from cspine_bench.seeding import numpy_generator

PREDICT_BATCH = 64


@dataclass(frozen=True)
class Hardship:
    """What radiographs go through.

    Attributes:
        key: of the predictions: `attacked.2` or `degraded.blur.1`.
        condition: as a figure names it.
    """

    key: str
    condition: dict[str, str]


def list_hardships(recipe: RobustnessRecipe) -> tuple[Hardship, ...]:
    """All that a recipe asks for, in the order of the scores."""
    attacks = [
        Hardship(f"attacked.{epsilon:g}", {"attack": f"epsilon {epsilon:g} of 255, {recipe.steps} steps"})
        for epsilon in recipe.epsilons
    ]
    rungs = [
        Hardship(f"degraded.{rung.name}.{rung.step}", {"degradation": f"{rung.name} {rung.strength}"})
        for rung in (LADDER if recipe.ladder else ())
    ]
    return (*attacks, *rungs)


def predict_hardships(
    recipe: RobustnessRecipe, classify: Classify, cases: Cases, labels: NDArray[np.int64], *, device: str, seed: int
) -> Arrays:
    """Predicted classes under each hardship, int16 (n,), by its key.

    An attack knows the true class; where nobody does, it leads away from the predicted one. Of several restarts the
    first that fools the classifier counts.

    Args:
        recipe: which hardships.
        classify: from images to evidence; the class with the most of it is predicted.
        cases: radiographs.
        labels: int64 (n,), true classes, or `UNLABELLED`.
        device: of the classifier.
        seed: of the starts of attacks and of the noise, drawn for each radiograph by its place.
    """
    told: Arrays = {}
    for epsilon in recipe.epsilons:
        told[f"attacked.{epsilon:g}"] = _attack(recipe, epsilon, classify, cases, labels, device, seed)
    for rung in LADDER if recipe.ladder else ():
        stream = f"baselines.classification.{rung.name}.{rung.step}"
        worse = np.stack(
            [rung.apply(image, numpy_generator(seed, stream, place)) for place, image in enumerate(cases.pixels)]
        )
        parts = [_predict(classify, part, device) for part in _iter_images(worse)]
        told[f"degraded.{rung.name}.{rung.step}"] = np.concatenate(parts)
    return told


def draw_starts(count: int, size: int, *, seed: int, stream: str, first: int = 0) -> torch.Tensor:
    """Where attacks start, float32 (count, 1, S, S), even in -1..1, for each radiograph by its place."""
    drawn = [numpy_generator(seed, stream, first + place).uniform(-1, 1, (1, size, size)) for place in range(count)]
    return torch.from_numpy(np.stack(drawn).astype(np.float32))


def _attack(
    recipe: RobustnessRecipe,
    epsilon: float,
    classify: Classify,
    cases: Cases,
    labels: NDArray[np.int64],
    device: str,
    seed: int,
) -> NDArray[np.int16]:
    attack = AttackRecipe(epsilon=epsilon, steps=recipe.steps)
    parts = []
    for start in range(0, len(cases), PREDICT_BATCH):
        places = np.arange(start, min(start + PREDICT_BATCH, len(cases)))
        images = cases.take_images(places).to(device)
        told = _predict(classify, images, device)
        known = np.where(labels[places] == UNLABELLED, told, labels[places]).astype(np.int64)
        true = torch.from_numpy(known).to(device)
        for number in range(recipe.restarts):
            stream = f"baselines.classification.attack.{number}"
            worst = find_worst_images(
                classify,
                images,
                true,
                epsilon=epsilon,
                steps=attack.steps,
                step_size=attack.step_levels,
                starts=draw_starts(len(places), cases.size, seed=seed, stream=stream, first=start).to(device),
            )
            told = np.where(told == known, _predict(classify, worst, device), told)
        parts.append(told)
    return np.concatenate(parts).astype(np.int16)


def _predict(classify: Classify, images: torch.Tensor, device: str) -> NDArray[np.int16]:
    with torch.no_grad():
        return classify(images.to(device)).argmax(dim=1).cpu().numpy().astype(np.int16)


def _iter_images(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Iterator[torch.Tensor]:
    """As `Cases.iter_images`, of other pixels."""
    highest = float(np.iinfo(pixels.dtype).max)
    for start in range(0, len(pixels), PREDICT_BATCH):
        part = pixels[start : start + PREDICT_BATCH].astype(np.float32)
        yield torch.from_numpy(part / (highest / 2) - 1)[:, None]
