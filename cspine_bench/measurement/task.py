"""What the measures have in common: where they work, and how they say how far they are."""

import json
import shlex
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cspine_bench.dataset.lock import hold_folder
from cspine_bench.dataset.ray_tasks import RayCluster
from cspine_bench.measurement.inputs import OnProgress
from cspine_bench.measurement.outputs import Evidence, Outputs, Question
from cspine_bench.measurement.work import Work
from cspine_bench.provenance import find_clean_commit, package_version
from cspine_bench.recipe import Recipe
from cspine_bench.results import EncoderUsed, Figure, Result

ShowStage = Callable[[str], AbstractContextManager[OnProgress | None]]
"""Called with what a stage does; gives a function of (done, total), or None where nobody looks."""


def show_nothing(stage: str) -> AbstractContextManager[OnProgress | None]:
    """For callers that do not look."""
    return nullcontext(None)


@dataclass(frozen=True)
class Setup:
    """Where and how a measure works; of these, `seed` and `real_pixels` alone change what comes out.

    Attributes:
        seed: of every random draw.
        device: of the encoder.
        store: folder of the feature store; None: in the user's cache folder.
        num_workers: processes that encode.
        ray: encode in tasks of this cluster instead.
        real_pixels: whether the page may show films.
    """

    seed: int = 0
    device: str = "cpu"
    store: Path | None = None
    num_workers: int = 1
    ray: RayCluster | None = None
    real_pixels: bool = True


class Task(Protocol):
    """A measure of given images: what it asks, and how it answers."""

    @property
    def question(self) -> Question:
        """What is measured."""
        ...

    def answer(self, work: Work, show: ShowStage) -> Evidence:
        """Measure."""
        ...


def build_result(
    question: Question,
    *,
    encoder: EncoderUsed | None,
    figures: tuple[Figure, ...],
    verdict: str,
    device: str,
    seconds: float,
) -> Result:
    """The result of a question, with the code that answered it."""
    return Result(
        measure=question.measure,
        measure_version=question.measure_version,
        inputs=question.inputs,
        encoder=encoder,
        settings=dict(question.settings),
        figures=figures,
        verdict=verdict,
        seed=question.seed,
        package_version=package_version(),
        commit=find_clean_commit(),
        device=device,
        seconds=round(seconds, 2),
    )


def spell_command(question: Question, recipe: Recipe) -> dict[str, str]:
    """For a page: `command`, that answers the question again, and `citation`.

    Folders are named as the result names them; a run folder has no name there.

    Args:
        question: that was answered.
        recipe: its settings; those that are not the defaults are in the command.
    """
    usual = type(recipe)().model_dump(mode="json")
    changed = {name: value for name, value in recipe.model_dump(mode="json").items() if value != usual[name]}
    sides = []
    for item in question.inputs:
        name, _, splits = item.name.partition(" (")
        sides.append(f"--{item.role} {shlex.quote(name)}")
        sides += [f"--{item.role}-split {split}" for split in splits.removesuffix(")").split(", ") if split]
    sides += [f"--set {shlex.quote(f'{name}={json.dumps(value)}')}" for name, value in changed.items()]
    if losses := question.settings.get("losses"):
        sides.append(f"--run RUN --checkpoint {losses['step']}")
    if not question.settings.get("real_pixels", True):
        sides.append("--no-real-pixels")
    words = ["cspine-bench", "evaluate", question.measure, *sides, f"--seed {question.seed}", "--out results"]
    return {
        "command": " ".join(words),
        "citation": cite_sources(),
    }


def cite_sources() -> str:
    """What a page names as its code, and as what that follows; `cspine-bench cite` spells it out."""
    return (
        f"cspine-bench {package_version()}, CITATION.cff; method and data: arXiv 2510.22166, CSXA (Ran et al. 2024, "
        "Scientific Data, s41597-024-03383-0)"
    )


def run_task(
    task: Task, folder: Path, *, overwrite: bool = False, show: ShowStage = show_nothing
) -> tuple[Result, Outputs]:
    """Answer a question in a folder, go on with an answer that was begun there, or find it given.

    Args:
        task: the measure.
        folder: for result, rows and page.
        overwrite: replace the answer to another question.
        show: told each stage.

    Returns:
        The result, and where all of it lies.

    Raises:
        DataError: an image cannot be used, another result lies there, or another process writes there.
        OSError: the folder cannot be written.
    """
    outputs = Outputs(folder, task.question)
    found = outputs.find_answer(overwrite=overwrite)
    if found is not None:
        return found, outputs
    work = outputs.open_work()
    with hold_folder(outputs.work):
        # Another process may have given it since we looked.
        found = outputs.find_answer(overwrite=overwrite)
        if found is None:
            evidence = task.answer(work, show)
            outputs.write(evidence)
            found = evidence.result
    return found, outputs
