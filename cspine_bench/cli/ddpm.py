"""`cspine-bench ddpm ...`: train the learned generator, sample from it, export it, and make single images again."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cspine_bench.cli.dataset import write_folder
from cspine_bench.cli.group import Group
from cspine_bench.cli.options import (
    EXISTING_PATH,
    GRIDS,
    NEW_PATH,
    PRECISIONS,
    QUALITY_RULES,
    SAMPLERS,
    SEED,
    Importing,
    Printing,
    Writing,
    checkpoint_option,
    device_option,
    parse_classes,
    parse_device,
    printing_options,
    writing_options,
)
from cspine_bench.cli.output import NOT_FOR_DIAGNOSIS, print_note, print_result, show_progress

if TYPE_CHECKING:
    from cspine_bench.ddpm.upscale import Upscaler


@click.group(cls=Group)
def ddpm() -> None:
    """Train a generator of radiographs on a dataset folder, and sample new ones.

    \b
    Example:
      cspine-bench ddpm sample run --count 16 --out samples
    """


@ddpm.command()
@click.argument("recipe")
@click.option("--data", type=EXISTING_PATH, required=True, help="Dataset folder to train on.")
@click.option("--out", type=NEW_PATH, required=True, help="Folder for the run; an interrupted run goes on.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of the recipe.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Decides the first weights and every draw.")
@device_option
@click.option("--dry-run", is_flag=True, help="Print the recipe with all its settings, and train nothing.")
@printing_options
def train(
    recipe: str,
    data: Path,
    out: Path,
    overrides: tuple[str, ...],
    seed: int,
    device: str,
    dry_run: bool,
    printing: Printing,
) -> None:
    """Train by a recipe (a YAML file, or the name of one of this package) into a run folder.

    \b
    Example:
      cspine-bench ddpm train recipe.yaml --data ds --out run
    """
    import yaml

    from cspine_bench.ddpm.shipped import open_recipe
    from cspine_bench.ddpm.train import train as run_training
    from cspine_bench.recipe import apply_overrides

    resolved = apply_overrides(open_recipe(recipe), overrides)
    if dry_run:
        document = {"recipe": resolved.model_dump(mode="json"), "recipe_sha256": resolved.compute_sha256()}
        print_result(document, yaml.safe_dump(document["recipe"], sort_keys=False).rstrip(), as_json=printing.as_json)
        return
    with show_progress(str(out), quiet=printing.quiet) as on_progress:
        summary = run_training(resolved, data, out, device=device, seed=seed, on_progress=on_progress)
    document = {**dataclasses.asdict(summary), "path": str(out)}
    losses = f"loss {summary.train_loss:.4f}, validation loss {summary.validation_loss:.4f}"
    print_result(document, f"{out}: run {summary.run_id}, step {summary.step:,}, {losses}", as_json=printing.as_json)
    print_note(f"{out / 'progress.png'} shows it at a glance.", quiet=printing.quiet)


@ddpm.command()
@click.argument("run", type=EXISTING_PATH)
@click.option("--out", type=NEW_PATH, required=True, help="Dataset folder to write; an interrupted one goes on.")
@click.option("--count", type=click.IntRange(min=1), default=48, show_default=True, help="Radiographs to make.")
@checkpoint_option("Weights to use; named several times, image i comes from number i modulo their count.  [last]")
@click.option("--ema", type=float, metavar="LENGTH", help="Length of the weights' average.  [the recipe's first]")
@click.option("--sampler", type=click.Choice(SAMPLERS), help="How noise becomes an image.  [dpmpp-2m]")
@click.option("--steps", "num_steps", type=click.IntRange(min=1), help="Steps of the sampler.  [12]")
@click.option("--grid", type=click.Choice(GRIDS), help="How the steps are spaced.  [by the recipe's schedule]")
@click.option("--guidance", "guidance_scale", type=float, help="Weight of the condition.  [1, as trained]")
@click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="NAME=VALUE",
    callback=parse_classes,
    help="Class of all images, for example curvature=kyphotic.  [as often as trained]",
)
@click.option("--balance", is_flag=True, help="Every other class value equally often.")
@click.option(
    "--reject",
    multiple=True,
    type=click.Choice(QUALITY_RULES),
    help="Leave out, and list, images that break this rule. COUNT includes them.",
)
@click.option(
    "--upscale", "upscaler", type=EXISTING_PATH, metavar="MODEL", help="Enlarge the images by this super-resolver."
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Radiographs made at once.  [16]")
@click.option("--precision", type=click.Choice(PRECISIONS), help="bfloat16 is faster on GPUs.  [float32]")
@click.option("--compile", is_flag=True, help="Fuse the network with torch.compile; takes a minute to begin.")
@device_option
@writing_options
@printing_options
def sample(
    run: Path,
    out: Path,
    count: int,
    checkpoints: tuple[str, ...],
    ema: float | None,
    upscaler: Path | None,
    writing: Writing,
    printing: Printing,
    **options: Any,
) -> None:
    """Sample radiographs from a trained run into a dataset folder.

    \b
    Example:
      cspine-bench ddpm sample run --count 16 --out samples
    """
    from cspine_bench.ddpm.checkpoint import find_step, load_generator
    from cspine_bench.ddpm.sample import DdpmSource

    settings = {name: value for name, value in options.items() if value is not None}
    steps = [find_step(run, name) for name in checkpoints or ("last",)]
    if len(set(steps)) < len(steps):
        raise click.UsageError(f"--checkpoint: {', '.join(checkpoints)} are steps {steps}; name each step once")
    generators = tuple(load_generator(run, step, ema=ema) for step in steps)
    source = DdpmSource(generators, count, writing.seed, upscale=_open_upscaler(upscaler), **settings)
    # Only what a rule turned away is skipped: the sampler gives nothing else up.
    rejecting = Importing({}, skip_bad=True, max_bad=None) if source.reject else None
    write_folder(source, out, writing, printing, rejecting)
    print_note(f"Synthetic radiographs: {NOT_FOR_DIAGNOSIS}.", quiet=printing.quiet)


def _open_upscaler(folder: Path | None) -> "Upscaler | None":
    if folder is None:
        return None
    from cspine_bench.baselines.upscale import load_super_resolver

    return load_super_resolver(folder)


@ddpm.command()
@click.argument("run", type=EXISTING_PATH)
@click.option("--out", type=NEW_PATH, required=True, help="Folder for the pipeline.")
@checkpoint_option("Weights to export.  [last]")
@click.option("--ema", type=float, metavar="LENGTH", help="Length of the weights' average.  [the recipe's first]")
@printing_options
def export(run: Path, out: Path, checkpoints: tuple[str, ...], ema: float | None, printing: Printing) -> None:
    """Write the weights as a pipeline folder of diffusers, without conditions.

    \b
    Example:
      cspine-bench ddpm export run --out pipeline
    """
    from cspine_bench.ddpm.checkpoint import find_step, load_generator
    from cspine_bench.ddpm.export import describe_export, export_pipeline

    if len(checkpoints) > 1:
        raise click.UsageError("--checkpoint: a pipeline holds one checkpoint; name one, and export the others again")
    step = find_step(run, (checkpoints or ("last",))[0])
    summary = export_pipeline(load_generator(run, step, ema=ema), out)
    text = f"{out}: step {summary.step:,} of run {summary.run_id}; {out / 'README.md'} has the lines that load it"
    print_result(describe_export(summary), text, as_json=printing.as_json)
    print_note(f"What it makes is synthetic: {NOT_FOR_DIAGNOSIS}.", quiet=printing.quiet)


@ddpm.command()
@click.argument("folder", type=EXISTING_PATH, metavar="DATASET")
@click.argument("sample_id")
@click.option("--run", type=EXISTING_PATH, required=True, help="Run that made the sample.")
@click.option("--upscale", "upscaler", type=EXISTING_PATH, metavar="MODEL", help="Super-resolver that enlarged it.")
@click.option("--device", callback=parse_device, help="cpu, cuda or cuda:N.  [the kind that made it]")
@printing_options
@click.pass_context
def replay(
    context: click.Context,
    folder: Path,
    sample_id: str,
    run: Path,
    upscaler: Path | None,
    device: str | None,
    printing: Printing,
) -> None:
    """Make one sample again from its record; exit 1 if it is not the same.

    \b
    Example:
      cspine-bench ddpm replay samples dd00000003 --run run
    """
    from cspine_bench.ddpm.replay import replay as make_again

    result = make_again(folder, sample_id, run, device=device, upscale=_open_upscaler(upscaler))
    text = f"{sample_id}: the same in every field and every byte"
    if not result.same:
        fields = ", ".join(result.different_fields)
        text = f"{sample_id}: differs by up to {result.max_gray_difference} gray levels; other {fields}"
    print_result(dataclasses.asdict(result), text, as_json=printing.as_json)
    context.exit(0 if result.same else 1)
