"""What stands beside the arms: an answer without learning, linear probes on frozen encoders, classes by sentences."""

from cspine_bench.baselines.compare import CellScores
from cspine_bench.baselines.frozen import (
    PROBE,
    ZERO_SHOT,
    classify_by_text,
    encode_cases,
    probe_encoder,
    require_probe,
    require_prompts,
)
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.sides import Sides
from cspine_bench.baselines.subsets import draw_subset, number_of
from cspine_bench.baselines.task import Task
from cspine_bench.errors import DataError
from cspine_bench.features.image_text import load_image_text
from cspine_bench.measurement.encode import open_encoder


def require_references(recipe: BaselineRecipe, sides: Sides, *, device: str = "cpu") -> None:
    """Stop, before anything is trained, where what a recipe names beside the arms could not be measured.

    Raises:
        RecipeError: an encoder does not exist, or the task cannot be answered from its features or from sentences.
        CheckpointError: weights are missing.
        DataError: there is no validation split for a probe to choose its penalty on.
    """
    if recipe.protocol.encoders:
        require_probe(recipe, sides.train, sides.validation)
    for name in recipe.protocol.encoders:
        open_encoder(name, device=device)
    if recipe.protocol.image_text:
        require_prompts(recipe, recipe.protocol.prompts)
    for source in recipe.protocol.image_text:
        load_image_text(source, device)


def measure_references(
    task: Task, recipe: BaselineRecipe, sides: Sides, *, seed: int, device: str = "cpu"
) -> tuple[list[CellScores], list[str]]:
    """Scores of the test cases by what is no arm, the floor first.

    A probe learns from the same label subsets as the arms, seed by seed.

    Args:
        task: of the recipe.
        recipe: of the baseline.
        sides: both.
        seed: of the run.
        device: of encoders.

    Returns:
        Scores, and what could not be measured, a sentence each.

    Raises:
        RecipeError: an encoder does not exist, or the task cannot be answered from its features.
        CheckpointError: its weights are missing.
        DataError: there is no validation split for a probe to choose its penalty on.
    """
    name, arrays = task.predict_floor(sides.train, sides.test, seed=seed)
    found = [CellScores(name, None, 0, task.score(arrays, sides.test, seed=seed))]
    notes = []
    for encoder_name in recipe.protocol.encoders:
        encoder = open_encoder(encoder_name, device=device)
        train, validation, test = (
            encode_cases(cases, encoder) for cases in (sides.train, sides.validation, sides.test)
        )
        for fraction in recipe.protocol.fractions:
            for number in range(recipe.protocol.num_seeds):
                places = draw_subset(
                    sides.train.group_ids, fraction, seed=seed, number=number_of(recipe.protocol.subsets, number)
                )
                part = train.take(places)
                try:
                    task.check_labels(part.cases, f"{fraction:.0%} of the real train split")
                except DataError as error:
                    notes.append(f"probe of {encoder.name} at {fraction:.0%}, seed {number}: {error}")
                    continue
                said = probe_encoder(task, recipe, train=part, validation=validation, test=test)
                scores = task.score(said, sides.test, seed=seed)
                found.append(CellScores(f"{PROBE} {encoder.name}", fraction, number, scores))
    for source in recipe.protocol.image_text:
        model = load_image_text(source, device)
        said = classify_by_text(recipe, model, sides.test)
        found.append(CellScores(f"{ZERO_SHOT} {model.name}", None, 0, task.score(said, sides.test, seed=seed)))
    return found, notes
