"""Write docs/reference/ from the code: `make docs`. A test fails where the pages are not what this script makes."""

import json
import sys
import types
import typing
from pathlib import Path

import click

from cspine_bench import errors
from cspine_bench.anatomy.alignment import PARAMETERS
from cspine_bench.anatomy.landmarks import LANDMARK_NAMES, MASK_LABELS
from cspine_bench.augment import AugmentRecipe
from cspine_bench.baselines.recipe import BaselineRecipe, LearningRecipe, ProtocolRecipe, UnetRecipe
from cspine_bench.baselines.tasks.classification.recipe import (
    AttackRecipe,
    ClassificationRecipe,
    RobustnessRecipe,
    SaliencyRecipe,
)
from cspine_bench.baselines.tasks.landmarking.recipe import LandmarkingRecipe
from cspine_bench.baselines.tasks.quality.recipe import QualityRecipe
from cspine_bench.baselines.tasks.restoration.recipe import RestorationRecipe
from cspine_bench.baselines.tasks.segmentation.recipe import SegmentationRecipe
from cspine_bench.cli import cli
from cspine_bench.dataset.verify import RULES
from cspine_bench.ddpm.recipe import DdpmRecipe, MonitorRecipe, NetworkRecipe, TrainingRecipe
from cspine_bench.evaluate.fidelity.recipe import FidelityRecipe
from cspine_bench.evaluate.memorization.recipe import MemorizationRecipe
from cspine_bench.recipe import Recipe
from cspine_bench.release.policy import Gate, Policy
from cspine_bench.release.recipe import Creator, ReleaseRecipe, TrainingData
from cspine_bench.release.rules import RULES as RELEASE_RULES
from cspine_bench.schema import SCHEMA_VERSION, Record, build_arrow_schema
from cspine_bench.sources.phantom.artefacts import ARTEFACTS
from cspine_bench.sources.phantom.recipe import CurvatureMix, PhantomRecipe
from cspine_bench.study.recipe import AnalysisRecipe, StudyRecipe
from cspine_bench.study.simulate.power_recipe import PowerRecipe
from cspine_bench.study.simulate.recipe import RatingRecipe, ReadersRecipe

RECIPES = (
    PhantomRecipe, CurvatureMix, DdpmRecipe, NetworkRecipe, TrainingRecipe, AugmentRecipe, MonitorRecipe, ReleaseRecipe,
    Creator, TrainingData, Policy, Gate, FidelityRecipe, MemorizationRecipe,
    BaselineRecipe, UnetRecipe, LearningRecipe, ProtocolRecipe, LandmarkingRecipe, ClassificationRecipe,
    AttackRecipe, RobustnessRecipe, SaliencyRecipe, SegmentationRecipe, RestorationRecipe, QualityRecipe,
    StudyRecipe, AnalysisRecipe, ReadersRecipe, RatingRecipe, PowerRecipe,
)  # fmt: skip
FOLDER = Path(__file__).parent / "reference"
NOTICE = "<!-- Made by docs/build_reference.py (`make docs`): change the code, not this page. -->"


def build_pages() -> dict[str, str]:
    """Every page of docs/reference/ by its name."""
    return {
        "record.md": build_record_page(),
        "commands.md": build_commands_page(),
        "verify-rules.md": build_rules_page(),
        "release-rules.md": build_release_rules_page(),
        "errors.md": build_errors_page(),
        "recipes.md": build_recipes_page(),
        "landmarks.md": build_landmarks_page(),
        "parameters.md": build_parameters_page(),
    }


def build_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *[[cell.replace("|", "\\|") for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def build_page(title: str, *parts: str) -> str:
    """A page with its notice."""
    return "\n\n".join([f"# {title}", NOTICE, *parts]) + "\n"


def build_record_page() -> str:
    """The fields of a row."""
    schema = build_arrow_schema()
    rows = []
    for name, field in Record.model_fields.items():
        values = describe_values(field.annotation)
        rows.append([f"`{name}`", f"`{schema.field(name).type}`", values, field.description or ""])
    intro = (
        f"One row for each radiograph, schema version {SCHEMA_VERSION}. Every field is in every row; missing is null, "
        "or NaN inside `landmarks_xy`. `image` and `mask` are `Image` features, `curvature`, `disease`, `sex` and "
        "`facing` are `ClassLabel` features: their integers count through the values in the order given here."
    )
    return build_page("The record", intro, build_table(["field", "stored as", "values", "meaning"], rows))


def describe_values(annotation: object) -> str:
    """The values of a Literal, and whether null is one."""
    options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    if typing.get_origin(annotation) is typing.Union:
        options = typing.get_args(annotation)
    words = []
    for option in options:
        if typing.get_origin(option) is typing.Annotated:
            option = typing.get_args(option)[0]
        if typing.get_origin(option) is typing.Literal:
            words += [f"`{value}`" for value in typing.get_args(option)]
        elif option is type(None):
            words.append("null")
    return ", ".join(words)


def iter_commands(command: click.Command, path: str) -> typing.Iterator[tuple[str, click.Command]]:
    """Every command that is not a group, with the words that call it."""
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from iter_commands(child, f"{path} {name}")
    else:
        yield path, command


def build_commands_page() -> str:
    """Each command's help, as `--help` prints it."""
    parts = [
        "stdout is the result (`--json`: exactly one document), stderr is progress and notes. Exit code 0: done. 1: "
        "done, and the verdict is negative. 2: could not run; one message says why. 130: stopped by Ctrl-C; the same "
        "command goes on."
    ]
    for path, command in iter_commands(cli, "cspine-bench"):
        context = click.Context(command, info_name=path, max_content_width=110, terminal_width=110)
        parts.append(f"## `{path}`\n\n```text\n{command.get_help(context)}\n```")
    return build_page("Commands", *parts)


def build_rules_page() -> str:
    """What `dataset verify` checks."""
    rows = [[f"`{code}`", rule.severity, rule.why, rule.mend] for code, rule in RULES.items()]
    intro = "What `cspine-bench dataset verify` looks for. Each finding names its rule, the file, and the sample."
    return build_page("Verify rules", intro, build_table(["rule", "severity", "why it matters", "what to do"], rows))


def build_release_rules_page() -> str:
    """What `release validate` checks."""
    rows = [[f"`{code}`", rule.severity, rule.level, rule.why, rule.mend] for code, rule in RELEASE_RULES.items()]
    intro = (
        "What `cspine-bench release validate` looks for. A level looks for its own rules and for those of the levels "
        "below: quick (names, papers, headers), standard (every hash, row and PNG), full (every pixel, and a load)."
    )
    header = ["rule", "severity", "level", "why it matters", "what to do"]
    return build_page("Release rules", intro, build_table(header, rows))


def build_errors_page() -> str:
    """The exception tree."""
    lines = []

    def walk(kind: type[Exception], depth: int) -> None:
        lines.append(f"{'  ' * depth}- `{kind.__name__}`: {(kind.__doc__ or '').strip()}")
        for child in kind.__subclasses__():
            if child.__module__ == errors.__name__:
                walk(child, depth + 1)

    walk(errors.CspineBenchError, 0)
    intro = (
        "Import them from `cspine_bench.errors`. Misuse of a function in code is a plain `ValueError` or `TypeError`."
    )
    return build_page("Errors", intro, "\n".join(lines))


def _shorten(default: object) -> object:
    return round(default, 4) if isinstance(default, float) else default


def build_recipes_page() -> str:
    """Settings of each recipe, with their defaults."""
    parts = ["`--set key=value` changes a setting; the value is YAML, and a dot reaches into a nested recipe."]
    for model in RECIPES:
        rows = []
        for name, field in model.model_fields.items():
            default = field.default
            if field.is_required():
                shown = "none: must be given"
            else:
                shown = "its own defaults, see below" if isinstance(default, Recipe) else json.dumps(_shorten(default))
            rows.append([f"`{name}`", shown, describe_values(field.annotation), field.description or ""])
        parts.append(f"## `{model.__name__}`\n\n{(model.__doc__ or '').strip()}")
        parts.append(build_table(["setting", "default", "values", "meaning"], rows))
    parts.append(f"## Artefacts\n\n{', '.join(f'`{name}`' for name in ARTEFACTS)}")
    return build_page("Recipes", *parts)


def build_landmarks_page() -> str:
    """The order of the points, and the values of a mask."""
    points = build_table(
        ["index", "landmark"], [[str(index), f"`{name}`"] for index, name in enumerate(LANDMARK_NAMES)]
    )
    labels = build_table(["value", "vertebra"], [[str(label), level] for level, label in MASK_LABELS.items()])
    intro = (
        "Points are (x, y) in pixels; (0, 0) is the centre of the top-left pixel, y grows downwards. Names are "
        "anatomical, so they hold whichever way the patient faces."
    )
    return build_page("Landmarks and mask labels", intro, points, "## Mask\n\nBackground is 0.", labels)


def build_parameters_page() -> str:
    """CSXA's alignment parameters."""
    rows = [[f"`{name}`", item.unit, item.definition] for name, item in PARAMETERS.items()]
    intro = (
        f"The {len(PARAMETERS)} parameters of CSXA under their own names, as `cspine_bench.anatomy.alignment` "
        "computes them and `cspine-bench dataset inspect --parameters FILE` writes them. Signs hold for patients who "
        "face left; right-facing films are mirrored first. Source: Ran et al. 2024, Scientific Data, "
        "s41597-024-03383-0."
    )
    return build_page("Alignment parameters", intro, build_table(["name", "unit", "definition"], rows))


def main() -> None:
    """Write the pages, and remove those that are no longer made."""
    FOLDER.mkdir(exist_ok=True)
    pages = build_pages()
    for path in FOLDER.glob("*.md"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"{FOLDER}: {len(pages)} pages", file=sys.stderr)


if __name__ == "__main__":
    main()
