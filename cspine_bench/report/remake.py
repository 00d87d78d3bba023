"""Commands with which a reader checks a report: its release, its datasets, one image, each measurement, the page."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from markupsafe import Markup, escape
from pydantic import ValidationError

from cspine_bench.baselines.arm_rows import MEASURE_PREFIX
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.registry import TASKS
from cspine_bench.baselines.run import spell_command as spell_baseline
from cspine_bench.evaluate.fidelity.recipe import FidelityRecipe
from cspine_bench.evaluate.memorization.recipe import MemorizationRecipe
from cspine_bench.measurement.outputs import Question
from cspine_bench.measurement.task import spell_command
from cspine_bench.recipe import Recipe
from cspine_bench.release.layout import PUBLIC_KEY_NAME
from cspine_bench.report.files import ResultFile
from cspine_bench.report.given import GivenDataset, GivenRelease, GivenRun
from cspine_bench.report.story import COMMANDS, title_measure

_RECIPES: Final[Mapping[str, type[Recipe]]] = {"fidelity": FidelityRecipe, "memorization": MemorizationRecipe}

Command = tuple[str, str]


def list_checks(
    files: Sequence[ResultFile], datasets: Sequence[GivenDataset], run: GivenRun | None, release: GivenRelease | None
) -> list[Command]:
    """(what it checks, command), in the order of the chain."""
    return list(_iter_checks(files, datasets, run, release))


def _iter_checks(
    files: Sequence[ResultFile], datasets: Sequence[GivenDataset], run: GivenRun | None, release: GivenRelease | None
) -> Iterator[Command]:
    if release is not None:
        name = shlex.quote(release.name)
        yield "The release: every file, row, pixel and paper", f"cspine-bench release validate {name} --level full"
        yield "Its hashes, without this toolkit", f"cd {name} && sha256sum --check SHA256SUMS"
        if (release.path / PUBLIC_KEY_NAME).is_file():
            known = f"cspine-bench release validate {name} --key PUBLISHED.pub"
            yield "Its signature, by the key that its maker is known to use", known
    for folder in dict.fromkeys(dataset.name for dataset in datasets):
        yield f"The dataset {folder}", f"cspine-bench dataset verify {shlex.quote(folder)}"
    synthetic = next((one for one in datasets if one.role == "synthetic"), None)
    if run is not None and synthetic is not None and synthetic.folder.splits:
        first = next(synthetic.folder.iter_records(columns=("sample_id",))).sample_id
        yield (
            "One image, made again from its record",
            f"cspine-bench ddpm replay {shlex.quote(synthetic.name)} {first} --run {shlex.quote(run.name)}",
        )
    for file in files:
        if command := _spell(file, run):
            yield f"{title_measure(file.result.measure)} ({file.name}), measured again", command
    hashes = "".join(f"\n{file.sha256}  {file.name}" for file in files)
    yield "The result files, by their hashes", f"sha256sum --check <<'END'{hashes}\nEND"


def hold_words(command: str) -> Markup:
    """A command for the page, which breaks no line inside an option: browsers break after each hyphen."""

    def hold(word: str) -> Markup:
        return Markup("<span>{}</span>").format(word) if "-" in word else escape(word)

    lines = [Markup(" ").join(map(hold, line.split(" "))) for line in command.split("\n")]
    return Markup("\n").join(lines)


def _spell(file: ResultFile, run: GivenRun | None) -> str:
    """The command that gives a result again; "" where the result alone does not tell it."""
    result, recipe = file.result, file.result.settings.get("recipe")
    if not isinstance(recipe, dict) or result.seed is None:
        return ""
    question = Question(result.measure, result.measure_version, result.inputs, result.settings, result.seed)
    try:
        if (kind := _RECIPES.get(result.measure)) is not None:
            again = spell_command(question, kind.model_validate(recipe))["command"]
            losses = result.settings.get("losses")
            same = run is not None and isinstance(losses, dict) and losses.get("run_id") == run.facts.run_id
            return again.replace(" --run RUN ", f" --run {shlex.quote(run.name)} ") if run and same else again
        if result.measure.startswith(MEASURE_PREFIX):
            program = f"import json; print(json.dumps(json.load(open('{file.name}'))['settings']['recipe']))"
            again = spell_baseline(question, BaselineRecipe.model_validate(recipe))
            plain = re.fullmatch(r"[\w.-]+", file.name)
            quoted = '"' + program + '"' if plain else shlex.quote(program)
            return f"python -c {quoted} > recipe.yaml\n{again}"
    except (ValidationError, KeyError):
        return ""
    return ""


def list_missing(
    files: Sequence[ResultFile], datasets: Sequence[GivenDataset], run: GivenRun | None, release: GivenRelease | None
) -> list[Command]:
    """(what is missing, command that would give it)."""
    measures = {file.result.measure for file in files}
    missing = []
    if "fidelity" not in measures:
        missing.append(("Fidelity: how close the images are to real ones", COMMANDS["fidelity"]))
    if "memorization" not in measures:
        missing.append(("Memorization: whether training films were copied", COMMANDS["memorization"]))
    tasks = [task for task in TASKS if f"{MEASURE_PREFIX}{task}" not in measures]
    if tasks:
        command = "\n".join(COMMANDS["baseline"].replace("landmarking", task) for task in tasks)
        missing.append((f"Usefulness to {', '.join(tasks)}", command))
    if not any(file.result.measure == "reader-study" and not file.result.settings.get("simulated") for file in files):
        missing.append(("A study with people as readers", COMMANDS["reader-study"]))
    again = "cspine-bench report build RESULT... --out report.html"
    roles = {one.role for one in datasets}
    if "synthetic" not in roles:
        missing.append(("Samples, and how they were made", f"{again} --dataset synthetic=SAMPLES"))
    if not roles - {"synthetic"}:
        missing.append(("The real side beside them: samples, landmarks", f"{again} --dataset real=FILMS"))
    if run is None:
        missing.append(("Training curves, and hashes of the weights", f"{again} --run RUN"))
    if release is None:
        missing.append(("A release, and whether it is valid", f"{COMMANDS['release']}\n{again} --release rel"))
    return missing


def link_pages(files: Sequence[ResultFile], out: Path) -> dict[str, str]:
    """Address of each measure's own page, relative to the report, by key; "": it does not lie below the report."""
    links = {}
    root = out.resolve().parent
    for file in files:
        page = None if file.page is None else file.page.resolve()
        inside = page is not None and page.is_relative_to(root)
        links[file.key] = page.relative_to(root).as_posix() if page is not None and inside else ""
    return links
