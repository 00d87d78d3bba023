"""Answers to analyse, with what was decided before them: from a study's folder, or from tables."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cspine_bench.errors import DataError
from cspine_bench.provenance import sha256_file
from cspine_bench.recipe import apply_overrides
from cspine_bench.results import Input
from cspine_bench.study.analysis.read_csv import NUM_STEPS, read_tables
from cspine_bench.study.analysis.run import ReaderStudy
from cspine_bench.study.export.collect import collect_responses, name_image
from cspine_bench.study.folder import StudyFolder, load_schedule, open_study
from cspine_bench.study.ledger.record import Record
from cspine_bench.study.ledger.store import Ledger, open_ledger
from cspine_bench.study.ledger.unblinding import open_truth
from cspine_bench.study.page.records import Provenance
from cspine_bench.study.protocol import Protocol
from cspine_bench.study.recipe import AnalysisRecipe, Design
from cspine_bench.study.responses import Responses, ShownImage
from cspine_bench.study.truth import Truth


def read_recipe(overrides: Sequence[str], recipe: AnalysisRecipe | None = None) -> AnalysisRecipe:
    """Settings of an analysis, some of them changed by `key=value`; `analysis.key` is understood too.

    Raises:
        RecipeError: an unknown setting, or an impossible value.
    """
    return apply_overrides(recipe or AnalysisRecipe(), [text.removeprefix("analysis.") for text in overrides])


def open_tables(
    trials: Path,
    ratings: Path | None,
    repeats: Path | None,
    *,
    design: Design | None,
    num_steps: int | None,
    overrides: Sequence[str],
) -> ReaderStudy:
    """A study from CSV files: no protocol stands behind it.

    Raises:
        DataError: as `read_tables`.
        RecipeError: as `read_recipe`.
    """
    recipe = read_recipe(overrides)
    tables = read_tables(trials, ratings, repeats, design=design, num_steps=num_steps or NUM_STEPS)
    words = [f"--trials {shlex.quote(trials.name)}"]
    words += [f"--ratings {shlex.quote(ratings.name)}"] if ratings else []
    words += [f"--repeats {shlex.quote(repeats.name)}"] if repeats else []
    words += [f"--design {design}"] if design else []
    words += [f"--steps {num_steps}"] if num_steps else []
    return ReaderStudy(
        tables.responses,
        recipe,
        tables.inputs,
        notes=tables.notes,
        command=_spell_command(words, overrides),
    )


def open_planned(folder: Path, *, truth: Path | None = None, overrides: Sequence[str] = ()) -> ReaderStudy:
    """A study that was planned here, after its unblinding: analysed as its frozen protocol says.

    Args:
        folder: of the study.
        truth: where the sealed truth is kept; None: in the folder.
        overrides: other settings; they make the analysis post hoc.

    Raises:
        DataError: no study, an edited protocol, a broken chain, a study that is still blind, or one without answers.
        RecipeError: as `read_recipe`.
    """
    study = open_study(folder)
    frozen = study.protocol.recipe.analysis
    recipe = read_recipe(overrides, frozen)
    schedule_sha256 = sha256_file(study.paths.schedule) if study.paths.schedule.is_file() else ""
    with open_ledger(study, read_only=True) as ledger:
        head = ledger.verify()
        known = open_truth(study, ledger, truth)
        responses = collect_responses(study, ledger, known)
        provenance = _trace(study, ledger, head, _list_changes(frozen, recipe))
    if not any(trial.kind == "main" for trial in responses.trials):
        raise DataError(f"{folder}: no answer of the primary analysis is in its ledger; nothing can be analysed yet")
    if not responses.ratings and study.protocol.recipe.design != "single":
        responses = replace(responses, shown=_list_shown(study, known))
    protocol = study.protocol
    inputs = (
        Input(
            role="protocol", name=study.paths.protocol.name, digest=study.protocol_sha256,
            num_samples=protocol.recipe.cases,
        ),
        Input(role="schedule", name=study.paths.schedule.name, digest=schedule_sha256,
              num_samples=len(protocol.readers)),
        Input(role="ledger", name=study.paths.ledger.name, digest=head.sha256, num_samples=head.seq),
        *(
            source.dataset.model_copy(update={"role": source.role})
            for source in protocol.sources
            if source.dataset is not None
        ),
    )  # fmt: skip
    command = _spell_command([shlex.quote(folder.resolve().name)], overrides)
    return ReaderStudy(
        responses,
        recipe,
        inputs,
        provenance=provenance,
        protocol=protocol,
        sources=tuple(source.name for source in protocol.sources if source.role == "synthetic"),
        source_names=_name_sources(protocol),
        notes=_list_missing(protocol, responses),
        command=command,
    )


def _spell_command(words: Sequence[str], overrides: Sequence[str]) -> str:
    settings = [f"--set {shlex.quote(text)}" for text in overrides]
    return " ".join(["cspine-bench study analyze", *words, *settings, "--out results"])


def _list_changes(frozen: AnalysisRecipe, used: AnalysisRecipe) -> tuple[str, ...]:
    """In words, each setting that is not the frozen protocol's."""
    before, now = frozen.model_dump(mode="json"), used.model_dump(mode="json")
    return tuple(
        f"{name} = {json.dumps(now[name])}, the protocol has {json.dumps(before[name])}"
        for name in before
        if before[name] != now[name]
    )


def _trace(study: StudyFolder, ledger: Ledger, head: Record, post_hoc: tuple[str, ...]) -> Provenance:
    answers = [record.time for record in ledger.iter_records("answer")]
    opened = [record.time for record in ledger.iter_records("unblind")]
    return Provenance(
        protocol_sha256=study.protocol_sha256,
        truth_sha256=study.protocol.truth_sha256,
        chain_head=head.sha256,
        chain_records=head.seq,
        unblinded=opened[0] if opened else "",
        first_answer=min(answers, default=""),
        last_answer=max(answers, default=""),
        post_hoc=post_hoc,
    )


def _list_shown(study: StudyFolder, truth: Truth) -> tuple[ShownImage, ...]:
    """Images of the display sets of the primary analysis, which no rating tells."""
    shown = {
        (trial.case, frame)
        for own in load_schedule(study).readers
        for trial in own.trials
        if trial.kind == "main"
        for frame in trial.frames
    }
    return tuple(ShownImage(case, name_image(frame), truth.frames[frame].source) for case, frame in sorted(shown))


def _name_sources(protocol: Protocol) -> dict[str, str]:
    return {source.name: source.dataset.name for source in protocol.sources if source.dataset is not None}


def _list_missing(protocol: Protocol, responses: Responses) -> tuple[str, ...]:
    """Readers without an answer, and answers that were planned and are not there."""
    readers = {trial.reader for trial in responses.trials if trial.kind == "main"}
    planned = protocol.recipe.cases * len(protocol.readers)
    given = sum(trial.kind == "main" for trial in responses.trials)
    told = []
    if silent := [reader for reader in protocol.readers if reader not in readers]:
        told.append(f"no answer of {', '.join(silent)} is there: they take no part")
    if given < planned:
        told.append(f"{given:,} of {planned:,} planned answers of the primary analysis are there")
    return tuple(told)
