"""What encoders that never learnt the task know of it: linear probes on frozen features, and zero-shot classes.

A reference beside the arms: where a linear probe does as well as a network of its own, the network learnt little that a
general encoder does not know.

Source: linear probes, Alain, Bengio 2016 (1610.01644), with the penalty chosen on validation as Radford et al. 2021
(2103.00020), appendix A.3; zero-shot, the same, section 3.1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cspine_bench.baselines.cases import Cases
from cspine_bench.baselines.cells import measure_primary
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.task import Arrays, Task
from cspine_bench.baselines.tasks.classification.labels import LABELS, UNLABELLED, ClassLabel, read_labels
from cspine_bench.errors import DataError, RecipeError
from cspine_bench.features.encoder import Encoder
from cspine_bench.features.image_text import ImageText

PROBE: Final = "probe"
"""What a figure's condition calls the reference, with the encoder's name beside it."""
ZERO_SHOT: Final = "zero-shot"
PENALTIES: Final = (1e-3, 1e-2, 1e-1, 1.0, 1e1, 1e2)
"""Weights of the squared coefficients beside the mean loss: they mean the same for any number of radiographs."""
_ANSWERED: Final = ("classification", "landmarking")
_MOST_ITERATIONS: Final = 2000


Predict = Callable[["Encoded"], Arrays]


@dataclass(frozen=True)
class Encoded:
    """Cases with their features, float32 (n, D)."""

    cases: Cases
    features: NDArray[np.float32]

    def take(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> "Encoded":
        """Some of them, such as a label subset."""
        return Encoded(self.cases.take(chosen), self.features[chosen])


def encode_cases(cases: Cases, encoder: Encoder) -> Encoded:
    """Features of radiographs at the size that the baseline works at.

    Raises:
        DataError: an image has a single gray level.
    """
    features = encoder.encode(cases.pixels) if len(cases) else np.empty((0, encoder.dimension), np.float32)
    return Encoded(cases, features)


def require_probe(recipe: BaselineRecipe, train: Cases, validation: Cases) -> None:
    """Stop where no linear probe can answer.

    Raises:
        RecipeError: the task's answer cannot come from one vector for each image.
        DataError: there is no validation split.
    """
    if recipe.task.kind not in _ANSWERED:
        raise RecipeError(
            f"protocol.encoders: no linear probe answers {recipe.task.kind}: an encoder gives one vector an image, "
            f"and that task asks for more; probes answer {' and '.join(_ANSWERED)}: leave protocol.encoders empty"
        )
    if not len(validation):
        raise DataError(
            f"{train.where}: a probe chooses its penalty on the validation split, and there is none; make one, "
            "or leave protocol.encoders empty"
        )


def probe_encoder(task: Task, recipe: BaselineRecipe, *, train: Encoded, validation: Encoded, test: Encoded) -> Arrays:
    """What a linear map of frozen features says of the test cases, as the task's own `predict` would.

    Classification: logistic regression. Landmarking: ridge regression of the coordinates. Features are brought to mean
    0 and deviation 1 by the training ones; the penalty is the one of `PENALTIES` that does best on validation, by the
    task's primary score.

    Args:
        task: of the recipe.
        recipe: of the baseline.
        train: what is learnt from; with labels, likewise the others.
        validation: chooses the penalty.
        test: what is predicted.

    Raises:
        RecipeError: as `require_probe`.
        DataError: likewise.
    """
    require_probe(recipe, train.cases, validation.cases)
    mean, deviation = train.features.mean(axis=0), train.features.std(axis=0)
    scale = np.where(deviation > 1e-6 * (1 + np.abs(mean)), deviation, np.inf)
    train, validation, test = (
        Encoded(side.cases, ((side.features - mean) / scale).astype(np.float32)) for side in (train, validation, test)
    )
    fit = _fit_classes if recipe.task.kind == "classification" else _fit_landmarks
    tried = []
    for penalty in PENALTIES:
        predict = fit(recipe, train, penalty)
        tried.append((measure_primary(task, predict(validation), validation.cases, seed=0)[1], predict))
    _, best = max(tried, key=lambda one: one[0])
    return best(test)


def _fit_classes(recipe: BaselineRecipe, train: Encoded, penalty: float) -> Predict:
    from sklearn.linear_model import LogisticRegression

    label = _label_of(recipe)
    labels = read_labels(train.cases, label)
    known = labels != UNLABELLED
    shares = np.bincount(labels[known], minlength=len(label.classes)) / known.sum()
    # Its C weighs the sum of the losses; the penalty here stands beside their mean.
    model = LogisticRegression(C=1 / (penalty * known.sum()), max_iter=_MOST_ITERATIONS)
    model.fit(train.features[known], labels[known])

    def predict(side: Encoded) -> Arrays:
        probabilities = np.zeros((len(side.cases), len(label.classes)))
        if len(side.cases):
            probabilities[:, model.classes_] = model.predict_proba(side.features)
        return _describe_classes(probabilities, shares)

    return predict


def _fit_landmarks(recipe: BaselineRecipe, train: Encoded, penalty: float) -> Predict:
    from sklearn.linear_model import Ridge

    targets = train.cases.landmarks_xy.astype(np.float64)
    labelled = np.isfinite(targets).all(axis=2)
    models = []
    # Landmarks that are labelled in the same radiographs share one fit: usually that is all of them.
    for rows in np.unique(labelled, axis=1).T:
        places = np.flatnonzero((labelled == rows[:, None]).all(axis=0))
        model = Ridge(alpha=penalty * rows.sum())
        model.fit(train.features[rows], targets[rows][:, places].reshape(rows.sum(), -1))
        models.append((places, model))

    def predict(side: Encoded) -> Arrays:
        points = np.empty((len(side.cases), targets.shape[1], 2), np.float32)
        for places, model in models:
            points[:, places] = model.predict(side.features).reshape(len(points), len(places), 2)
        return {"landmarks_xy": points, "confidence": np.full(points.shape[:2], np.nan, np.float32)}

    return predict


def require_prompts(recipe: BaselineRecipe, prompts: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The classes that sentences describe.

    Raises:
        RecipeError: another task, or prompts that are not of the task's classes.
    """
    if recipe.task.kind != "classification":
        raise RecipeError(
            f"protocol.image_text: sentences name classes, and {recipe.task.kind} has none; leave it empty, or run "
            "classification"
        )
    classes = _label_of(recipe).classes
    if set(prompts) != set(classes) or not all(prompts.values()):
        raise RecipeError(
            f"protocol.prompts needs a sentence or more for each of {', '.join(classes)} and no other class; it has "
            f"{', '.join(f'{name} ({len(texts)})' for name, texts in prompts.items()) or 'none'}"
        )
    return classes


def classify_by_text(
    recipe: BaselineRecipe, model: ImageText, cases: Cases, prompts: Mapping[str, Sequence[str]] | None = None
) -> Arrays:
    """What a model of image and text says of the classes, without having learnt any of them from a label.

    Args:
        recipe: of classification.
        model: of image and text.
        cases: that are classified.
        prompts: sentences that describe each class, by its name; None: `protocol.prompts` of the recipe.

    Returns:
        As `Classification.predict`: softmax of the scaled cosines to the mean of each class's sentences.

    Raises:
        RecipeError: as `require_prompts`.
        DataError: an image has a single gray level.
    """
    told = recipe.protocol.prompts if prompts is None else prompts
    classes = require_prompts(recipe, told)
    names = np.stack([model.encode_texts(told[name]).mean(axis=0) for name in classes])
    names /= np.linalg.norm(names, axis=1, keepdims=True)
    logits = model.scale * model.encode_images(cases.pixels) @ names.T
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return _describe_classes(odds / odds.sum(axis=1, keepdims=True), np.full(len(classes), 1 / len(classes)))


def _describe_classes(probabilities: NDArray[np.float64], shares: NDArray[np.float64]) -> Arrays:
    """As `Classification.predict`: the class that is told is the likeliest if all that were learnt were as common."""
    seen = shares > 0
    evidence = np.where(seen, probabilities / np.where(seen, shares, 1.0), -1.0)
    return {
        "probabilities": probabilities.astype(np.float32),
        "predicted": evidence.argmax(axis=1).astype(np.int16),
        "unseen": np.tile(~seen, (len(probabilities), 1)),
    }


def _label_of(recipe: BaselineRecipe) -> ClassLabel:
    if recipe.task.kind != "classification":
        raise RecipeError(f"{recipe.task.kind} has no classes")
    return LABELS[recipe.task.label]
