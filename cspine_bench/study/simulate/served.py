"""Made-up readers answer a planned study, through the same ledger as people."""

import json
import uuid
from dataclasses import dataclass
from pathlib import Path

from cspine_bench.errors import DataError
from cspine_bench.seeding import derive_key
from cspine_bench.study.folder import StudyFolder, load_schedule, load_truth
from cspine_bench.study.ledger.answers import Answer, current_trial, save_answer
from cspine_bench.study.ledger.store import Ledger, open_ledger
from cspine_bench.study.protocol import Protocol
from cspine_bench.study.schedule import trial_id
from cspine_bench.study.simulate.readers import CONTROL_SOURCE, REAL_SOURCE, Answers, Scene, simulate_reader
from cspine_bench.study.simulate.recipe import ReadersRecipe
from cspine_bench.study.truth import REAL, Truth

_TOGETHER = 16
"""Answers that are put on the disk at a time."""


@dataclass(frozen=True)
class Simulated:
    """How far the made-up readers are.

    Attributes:
        answered: new answers, by reader.
        done: all answers, by reader.
        total: trials, by reader.
    """

    answered: dict[str, int]
    done: dict[str, int]
    total: dict[str, int]


def simulate_study(
    study: StudyFolder,
    recipe: ReadersRecipe,
    *,
    seed: int,
    readers: tuple[str, ...] = (),
    upto: int | None = None,
    truth: Path | None = None,
) -> Simulated:
    """Answer a planned study, or go on where an earlier call stopped.

    The truth is opened, as nobody else can do before unblinding: readers with skill need it. So the first record that
    is written says that the readers are made up, and everything that comes of the study says so.

    Args:
        study: as planned; its ledger holds no answer of a person.
        recipe: of the readers; `missing` has no part in it, as no trial can be skipped.
        seed: of all draws.
        readers: who answer; (): all.
        upto: trials of each reader that are answered in the end; None: all.
        truth: where the sealed file is kept; None: in the study's folder.

    Raises:
        DataError: there is no such reader, a person answered, or readers of another recipe or seed did.
        RecipeError: no skill gives the accuracy that is asked for.
    """
    with open_ledger(study) as ledger:
        scene, answers = _prepare(ledger, recipe, seed, readers, truth)
        with ledger.transaction():
            if not _check_ledger(ledger, recipe, seed):
                ledger.append("simulated", body=describe_readers(recipe, seed))
        new = {reader: _send(ledger, scene, own, seed, upto) for reader, own in answers.items()}
        return _count(ledger, scene, new)


def plan_answers(
    study: StudyFolder,
    recipe: ReadersRecipe,
    *,
    seed: int,
    readers: tuple[str, ...] = (),
    upto: int | None = None,
    truth: Path | None = None,
) -> Simulated:
    """What `simulate_study` would do; arguments and errors as there. Nothing is written."""
    with open_ledger(study, read_only=True) as ledger:
        scene, answers = _prepare(ledger, recipe, seed, readers, truth)
        new = {}
        for reader, own in answers.items():
            first = current_trial(ledger, scene.schedule, reader)
            left = own.given[len(own.trials) if first is None else first : upto]
            new[reader] = len(left) if left.all() else int(left.argmin())
        return _count(ledger, scene, new)


def _prepare(
    ledger: Ledger, recipe: ReadersRecipe, seed: int, readers: tuple[str, ...], truth: Path | None
) -> tuple[Scene, dict[str, Answers]]:
    """All answers of the readers that are asked for. The truth stays shut where people read, or where it is over."""
    study = ledger.study
    asked = readers or study.protocol.readers
    for reader in asked:
        if reader not in study.protocol.readers:
            known = ", ".join(study.protocol.readers)
            raise DataError(f"{study.paths.folder}: has no reader {reader!r}, only {known}")
    _check_ledger(ledger, recipe, seed)
    served = recipe.model_copy(update={"missing": 0.0})
    scene = build_scene(study, load_truth(study, truth))
    return scene, {reader: simulate_reader(served, scene, reader, seed=seed) for reader in asked}


def build_scene(study: StudyFolder, truth: Truth) -> Scene:
    """What readers are shown, with what it is."""
    protocol = study.protocol
    numbers = number_sources(protocol)
    return Scene(
        design=protocol.recipe.design,
        num_steps=len(protocol.recipe.anchors) if protocol.recipe.ratings else 0,
        schedule=load_schedule(study),
        sources=tuple(numbers.get(frame.source, CONTROL_SOURCE) for frame in truth.frames),
    )


def number_sources(protocol: Protocol) -> dict[str, int]:
    """0 for real, 1, 2 ... for the synthetic sources in the protocol's order."""
    names = [source.name for source in protocol.sources if source.role == "synthetic"]
    return {REAL: REAL_SOURCE} | {name: number for number, name in enumerate(names, 1)}


def describe_readers(recipe: ReadersRecipe, seed: int) -> dict[str, object]:
    """What a ledger and a table say of made-up readers."""
    return {"recipe": recipe.model_dump(mode="json"), "recipe_sha256": recipe.compute_sha256(), "seed": seed}


def _check_ledger(ledger: Ledger, recipe: ReadersRecipe, seed: int) -> bool:
    """Whether these made-up readers have begun already."""
    folder = ledger.study.paths.folder
    if any(ledger.iter_records("unblind")):
        raise DataError(f"{folder}: was unblinded, and takes no more answers; plan another study")
    before = next(ledger.iter_records("simulated"), None)
    if before is None:
        if any(ledger.select("kind IN ('consent', 'shown', 'answer') LIMIT 1")):
            raise DataError(
                f"{folder}: people have begun to read this study, so no reader of it is made up; plan another one for "
                "made-up readers"
            )
        return False
    told = json.loads(before.body)
    if told != describe_readers(recipe, seed):
        raise DataError(
            f"{folder}: holds answers of made-up readers of another recipe or seed (seed {told['seed']}, now {seed}); "
            "give the same, or plan another study"
        )
    return True


def _send(ledger: Ledger, scene: Scene, answers: Answers, seed: int, upto: int | None) -> int:
    """Save what is not answered yet; returns how many."""
    single = scene.design == "single"
    stop = len(answers.trials) if upto is None else min(upto, len(answers.trials))
    sent = 0
    while True:
        with ledger.transaction():
            for _ in range(_TOGETHER):
                place = current_trial(ledger, scene.schedule, answers.reader)
                if place is None or place >= stop or not answers.given[place]:
                    return sent
                answer = Answer(
                    answer=str(
                        uuid.UUID(int=derive_key(seed, f"study.readers.answer/{answers.reader}", place), version=4)
                    ),
                    trial=trial_id(scene.schedule, answers.reader, place),
                    pick=None if single else int(answers.picked[place]) + 1,
                    said=("real" if answers.said_real[place] else "synthetic") if single else None,
                    ratings=answers.ratings[place].tolist() if scene.num_steps else [],
                    elapsed_ms=round(float(answers.seconds[place]) * 1000),
                    hidden_ms=0,
                )
                save_answer(ledger, scene.schedule, answers.reader, answer)
                sent += 1


def _count(ledger: Ledger, scene: Scene, new: dict[str, int]) -> Simulated:
    total = {reader: len(scene.schedule.find(reader).trials) for reader in new}
    places = {reader: current_trial(ledger, scene.schedule, reader) for reader in new}
    done = {reader: total[reader] if place is None else place for reader, place in places.items()}
    return Simulated(new, done, total)
