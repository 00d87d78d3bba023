"""The trained models that annotate."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from cspine_bench.baselines.model import TrainedModel, load_model
from cspine_bench.baselines.registry import build_task
from cspine_bench.errors import CheckpointError, RecipeError

FROM_LANDMARKS: Final = "from-landmarks"
"""In place of a model for curvature: by the rule of `cspine_bench.anatomy.curvature`."""
_TASKS: Final = {"landmarks": "landmarking", "masks": "segmentation", "curvature": "classification"}
"""Task of a teacher by what it labels."""


@dataclass(frozen=True)
class Teachers:
    """Models by what they label; None: nobody does, except that curvature then follows from measured landmarks."""

    landmarks: TrainedModel | None = None
    masks: TrainedModel | None = None
    curvature: TrainedModel | None = None
    device: str = "cpu"

    def items(self) -> dict[str, TrainedModel]:
        """Those that there are."""
        named = {"landmarks": self.landmarks, "masks": self.masks, "curvature": self.curvature}
        return {what: model for what, model in named.items() if model is not None}

    def describe(self) -> dict[str, Any]:
        """For a manifest and a result, as JSON values: weights, what they learnt from, and their own error."""
        told: dict[str, Any] = {what: _describe(model) for what, model in self.items().items()}
        if self.curvature is None and self.landmarks is not None:
            told["curvature"] = FROM_LANDMARKS
        return told


def _describe(model: TrainedModel) -> dict[str, Any]:
    facts = model.facts
    figure = facts.figures[0] if facts.figures else None
    shown = {} if figure is None else figure.model_dump(mode="json", include={"name", "value", "unit", "interval"})
    return {
        "weights_sha256": model.weights_sha256,
        "recipe_sha256": model.recipe.compute_sha256(),
        "trained_on": facts.trained_on.model_dump(mode="json"),
        "tested_on": facts.tested_on,
        "error": shown,
        "least_confidence": facts.least_confidence,
        "shape_limit": None if model.shapes is None else float(model.shapes["limit"]),
    }


def open_teachers(
    *, landmarks: Path | None = None, masks: Path | None = None, curvature: str | None = None, device: str = "cpu"
) -> Teachers:
    """Load the models that shall annotate.

    Args:
        landmarks: folder of a model of landmarking.
        masks: folder of a model of segmentation.
        curvature: folder of a model of classification by the label `curvature`, or `FROM_LANDMARKS`, which is also what
            None means where there is a model for landmarks.
        device: where they shall be.

    Raises:
        RecipeError: none is named; or curvature is asked for from landmarks that nobody measures.
        CheckpointError: a folder holds no model, one of another task, or one of other classes than five of curvature.
    """
    if landmarks is None and masks is None and curvature in (None, FROM_LANDMARKS):
        missing = "curvature follows from landmarks that no model measures" if curvature else "no model is named"
        raise RecipeError(f"{missing}; name one at least: --landmarks, --masks or --curvature MODEL")
    folders = {"landmarks": landmarks, "masks": masks}
    if curvature not in (None, FROM_LANDMARKS):
        folders["curvature"] = Path(curvature)
    loaded = {what: _load(what, folder, device) for what, folder in folders.items() if folder is not None}
    return Teachers(**loaded, device=device)


def _load(what: str, folder: Path, device: str) -> TrainedModel:
    model = load_model(folder, device=device)
    task = model.recipe.task
    if task.kind != _TASKS[what]:
        raise CheckpointError(f"{folder}: is a model of {task.kind}; --{what} needs one of {_TASKS[what]}")
    if task.kind == "classification" and task.label != "curvature":
        raise CheckpointError(
            f"{folder}: tells classes of {task.label} apart; --curvature needs the five of task.label=curvature: train "
            "one with `--set task.label=curvature`"
        )
    if task.kind == "classification":
        # What it looks at and withstands is no label.
        plain = task.model_copy(update={"saliency": None, "robustness": None})
        return replace(model, task=build_task(model.recipe.model_copy(update={"task": plain})))
    return model
