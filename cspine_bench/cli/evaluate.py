"""`cspine-bench evaluate ...`: how close synthetic radiographs are to real ones, and whether films were copied."""

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from cspine_bench.cli.group import Group
from cspine_bench.cli.options import (
    EXISTING_PATH,
    NEW_PATH,
    SEED,
    SPLIT,
    Printing,
    choose_executor,
    connect_executor,
    device_option,
    executor_options,
    parse_checkpoints,
    printing_options,
)
from cspine_bench.cli.output import NOT_FOR_DIAGNOSIS, format_table, print_note, print_result, show_progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cspine_bench.evaluate.memorization.measure import Losses
    from cspine_bench.measurement.inputs import Images, OnProgress
    from cspine_bench.measurement.outputs import Outputs
    from cspine_bench.measurement.task import Setup, Task
    from cspine_bench.recipe import RecipeT
    from cspine_bench.results import Figure, Result

F = TypeVar("F", bound=Callable[..., Any])
FOLDER: Final = click.Path(path_type=Path)
_SHOWN: Final = (
    "frechet_distance", "frechet_distance_limit", "kernel_distance", "cmmd_distance", "precision", "recall", "density",
    "coverage", "detectability_auroc", "implausible_share", "num_copies", "copy_rate", "detectable_rate",
    "planted_recall", "nearer_train_share", "membership_auroc", "duplicate_share", "leaked_share",
)  # fmt: skip
"""Figures that are printed for people; the result file holds all."""
_SHOWN_CONDITIONS: Final = ("detector", "space", "attack", "side", "kind")
_SHOWN_PLANTED: Final = {"transform": "common ones", "rule": "confirmed"}


@click.group(cls=Group)
def evaluate() -> None:
    """Measure how close synthetic radiographs are to real ones, and whether films were copied.

    \b
    Example:
      cspine-bench evaluate fidelity --real films --synthetic ds --out results
    """


def measuring_options(command: F) -> F:
    """Add what both measures take; the command gets it as keywords."""
    for decorate in reversed(
        (
            click.option("--out", type=NEW_PATH, required=True, help="Folder for result, rows and page."),
            click.option("--recipe", "recipe_file", type=EXISTING_PATH, help="YAML: settings of the measure."),
            click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one of them."),
            click.option(
                "--encoder", metavar="NAME|KIND:PATH", help="Space that images are compared in.  [that of the recipe]"
            ),
            click.option("--seed", type=SEED, default=0, show_default=True, help="Decides every random draw."),
            device_option,
            click.option("--store", type=NEW_PATH, help="Folder of the feature store.  [in the user's cache]"),
            executor_options(processes="encode", executor="What encodes images."),
            click.option("--no-real-pixels", is_flag=True, help="Let the page show no pixel of a real film."),
            click.option("--overwrite", is_flag=True, help="Replace the result of other data or settings."),
        )
    ):
        command = decorate(command)
    return command


def _side(name: str, text: str) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        command = click.option(
            f"--{name}-split", f"{name}_splits", multiple=True, type=SPLIT, help="Only this split of it."
        )(command)
        return click.option(f"--{name}", type=FOLDER, required=True, metavar="DATASET", help=text)(command)

    return decorate


def parse_checkpoint(context: click.Context, option: click.Parameter, name: str | None) -> str | None:
    """A step above 0, `best` or `last`; None for an option that was not given.

    Raises:
        click.BadParameter: another word.
    """
    return None if name is None else parse_checkpoints(context, option, (name,))[0]


@evaluate.command()
@_side("real", "Real radiographs.")
@_side("synthetic", "Synthetic radiographs.")
@measuring_options
@printing_options
def fidelity(printing: Printing, **asked: Any) -> None:
    """Say how close synthetic radiographs are to real ones, each figure with its interval and its floor.

    \b
    Example:
      cspine-bench evaluate fidelity --real films --synthetic ds --out results
    """
    from cspine_bench.evaluate.fidelity.measure import Fidelity
    from cspine_bench.evaluate.fidelity.recipe import FidelityRecipe
    from cspine_bench.measurement.inputs import compare_sides

    recipe = _read_recipe(FidelityRecipe, asked)
    real, synthetic = (_open(role, asked, printing) for role in ("real", "synthetic"))
    for caution in compare_sides(real, synthetic):
        print_note(caution, quiet=printing.quiet)
    _answer(Fidelity(real, synthetic, recipe, _read_setup(asked)), asked, printing)


@evaluate.command()
@_side("train", "Films that the generator was trained on.")
@_side("holdout", "Films of the same source that it never saw.")
@_side("synthetic", "Synthetic radiographs.")
@click.option("--run", type=EXISTING_PATH, help="Run folder of the generator, for the attack by its loss.")
@click.option("--checkpoint", metavar="STEP|best|last", callback=parse_checkpoint, help="Of the run.  [last]")
@measuring_options
@printing_options
@click.pass_context
def memorization(context: click.Context, /, printing: Printing, **asked: Any) -> None:
    """Search for copies of training films, and say how hard was looked; exit 1 unless none was found with power.

    \b
    Example:
      cspine-bench evaluate memorization --train films --holdout others --synthetic ds --out results
    """
    from cspine_bench.evaluate.memorization.measure import Memorization, is_cleared
    from cspine_bench.evaluate.memorization.recipe import MemorizationRecipe

    recipe = _read_recipe(MemorizationRecipe, asked)
    train, holdout, synthetic = (_open(role, asked, printing) for role in ("train", "holdout", "synthetic"))
    task = Memorization(train, holdout, synthetic, recipe, _read_setup(asked), _find_losses(asked, train, printing))
    context.exit(0 if is_cleared(_answer(task, asked, printing)) else 1)


@evaluate.command()
@_side("train", "Films that the generator was trained on.")
@_side("holdout", "Films of the same source that it never saw.")
@_side("synthetic", "Synthetic radiographs.")
@click.option("--encoder", metavar="NAME|KIND:PATH", help="Space that images are compared in.  [the default one]")
@click.option("--count", type=click.IntRange(min=1), default=20, show_default=True, help="Most pairs.")
@device_option
@click.option("--store", type=NEW_PATH, help="Folder of the feature store.  [in the user's cache]")
@printing_options
def ranking(encoder: str | None, count: int, device: str, store: Path | None, printing: Printing, **asked: Any) -> None:
    """Rank synthetic images by cosine similarity to a training film, as arXiv 2510.22166 did: no test, no power.

    \b
    Example:
      cspine-bench evaluate ranking --train films --holdout others --synthetic ds
    """
    from cspine_bench.evaluate.memorization.measure import rank_sides
    from cspine_bench.features.registry import DEFAULT_ENCODER
    from cspine_bench.measurement.encode import open_encoder
    from cspine_bench.measurement.task import Setup

    train, holdout, synthetic = (_open(role, asked, printing) for role in ("train", "holdout", "synthetic"))
    network = open_encoder(encoder or DEFAULT_ENCODER, device=device)
    show = partial(show_progress, quiet=printing.quiet)
    setup = Setup(device=device, store=store)
    found = rank_sides(network, (train, holdout, synthetic), setup, count=count, show=show)
    rows = [["synthetic", "training film", "cosine", "of films held out as near"]]
    rows += [
        [pair.synthetic_id, pair.train_id, f"{pair.cosine:.4f}", f"{pair.holdout_share:.1%}"] for pair in found.pairs
    ]
    document = {"encoder": network.describe(), "pairs": [asdict(pair) for pair in found.pairs], "note": found.note}
    print_result(document, f"{format_table(rows)}\n\n{network.name}. {found.note}", as_json=printing.as_json)


@evaluate.command()
@click.option(
    "--encoder", default=None, metavar="NAME|KIND:PATH", help="Space that images are compared in.  [the default one]"
)
@device_option
@printing_options
@click.pass_context
def doctor(context: click.Context, /, encoder: str | None, device: str, printing: Printing) -> None:
    """Test on this machine that the measures measure: on cases whose answer is known; exit 1 if one fails.

    \b
    Example:
      cspine-bench evaluate doctor
    """
    from cspine_bench.evaluate.doctor import examine

    with show_progress("doctor", quiet=printing.quiet) as on_progress:
        checks = examine(encoder=encoder, device=device, on_progress=on_progress)
    document = {"healthy": all(check.passed for check in checks), "checks": [asdict(check) for check in checks]}
    lines = [f"{'passed' if check.passed else 'FAILED'}  {check.name}: {check.sentence}" for check in checks]
    print_result(document, "\n".join(lines), as_json=printing.as_json)
    context.exit(0 if document["healthy"] else 1)


def _read_recipe(model: "type[RecipeT]", asked: dict[str, Any]) -> "RecipeT":
    from cspine_bench.recipe import apply_overrides, load_recipe

    recipe = model() if asked["recipe_file"] is None else load_recipe(asked["recipe_file"], model)
    named = [] if asked["encoder"] is None else [f"encoder={json.dumps(asked['encoder'])}"]
    return apply_overrides(recipe, [*asked["overrides"], *named])


def _read_setup(asked: dict[str, Any]) -> "Setup":
    from cspine_bench.measurement.task import Setup

    return Setup(
        seed=asked["seed"],
        device=asked["device"],
        store=asked["store"],
        **choose_executor(asked, hands_out="images"),
        real_pixels=not asked["no_real_pixels"],
    )


def _open(role: str, asked: dict[str, Any], printing: Printing) -> "Images":
    from cspine_bench.measurement.inputs import open_images

    images = open_images(role, asked[role], splits=asked[f"{role}_splits"])
    for warning in images.warnings:
        print_note(warning, quiet=printing.quiet)
    return images


def _find_losses(asked: dict[str, Any], train: "Images", printing: Printing) -> "Losses | None":
    run, checkpoint, device = asked["run"], asked["checkpoint"], asked["device"]
    if run is None:
        if checkpoint is not None:
            raise click.UsageError("--checkpoint needs --run")
        return None
    from cspine_bench.ddpm.checkpoint import find_step, load_generator
    from cspine_bench.ddpm.losses import compute_losses, is_training_set
    from cspine_bench.evaluate.memorization.measure import Losses

    step = str(find_step(run, checkpoint or "last"))

    def compute(side: "Images", on_progress: "OnProgress | None") -> "NDArray[np.float64]":
        return compute_losses(run, side.folder, side.splits, checkpoint=step, device=device, on_progress=on_progress)

    if not is_training_set(run, train.folder):
        print_note(f"{run} was trained on another dataset than {train.folder.path}.", quiet=printing.quiet)
    generator = load_generator(run, int(step))
    return Losses({"run_id": generator.run_id, "step": generator.step, "weights": generator.weights_sha256}, compute)


def _answer(task: "Task", asked: dict[str, Any], printing: Printing) -> "Result":
    from cspine_bench.measurement.task import run_task

    show = partial(show_progress, quiet=printing.quiet)
    # One connection for all sides.
    with connect_executor(asked):
        result, outputs = run_task(task, asked["out"], overwrite=asked["overwrite"], show=show)
    print_result(result.model_dump(mode="json"), _format(result, outputs), as_json=printing.as_json)
    return result


def _format(result: "Result", outputs: "Outputs") -> str:
    rows = [["figure", "value", "interval", "n", "real against real", "and this at its n", "its n"]]
    rows += [_format_figure(figure) for figure in result.figures if _is_shown(figure)]
    encoder = "" if result.encoder is None else f"Encoder: {result.encoder.name}. "
    lines = [
        result.verdict,
        "",
        format_table(rows),
        "",
        f"{encoder}All figures: {outputs.result}; each radiograph: {outputs.rows}",
        f"Page: {outputs.page}. Synthetic, {NOT_FOR_DIAGNOSIS}.",
    ]
    return "\n".join(lines)


def _is_shown(figure: "Figure") -> bool:
    if figure.name not in _SHOWN or figure.subgroup:
        return False
    return set(figure.condition) <= set(_SHOWN_CONDITIONS) or figure.condition == _SHOWN_PLANTED


def _format_figure(figure: "Figure") -> list[str]:
    told = ", ".join(figure.condition.values())
    unit = "" if figure.unit in ("", "share") else f" {figure.unit}"
    interval = "" if figure.interval is None else f"{figure.interval.low:.4g} to {figure.interval.high:.4g}"
    counts = ", ".join(f"{count:,} {role}" for role, count in figure.n_used.items())
    shown = [f"{figure.name}{f' ({told})' if told else ''}", f"{figure.value:.4g}{unit}", interval, counts]
    floor = figure.floor
    if floor is None:
        return [*shown, "", "", ""]
    matched = "" if floor.matched is None else f"{floor.matched:.4g}"
    return [*shown, f"{floor.low:.4g} to {floor.high:.4g}", matched, f"{floor.n_used[0]:,} and {floor.n_used[1]:,}"]
