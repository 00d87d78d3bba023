"""How near to real radiographs does each sampler come with how many steps, and what does an image cost?

    python benchmarks/sampler_steps.py RUN --data DATASET [--count 64] [--picture sheet.png]

Every row makes the same images (the same noise, the same spines from the run's shape model) by another sampler or
another number of steps, and scores them against the dataset's validation split. One process, one thread. A row that is
in the result file already, of the same weights and data, is not made again: a stopped run goes on.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.held_out import HeldOut, format_distance
from benchmarks.report import RESULTS, describe_setting, spell_command, write_result
from benchmarks.timed_sampling import sample_timed
from cspine_bench.dataset.manifest import render_manifest
from cspine_bench.dataset.read import DatasetFolder, open_dataset
from cspine_bench.ddpm.checkpoint import Generator, find_step, load_generator
from cspine_bench.ddpm.recipe import DdpmRecipe
from cspine_bench.ddpm.samplers import SAMPLERS
from cspine_bench.ddpm.shipped import list_recipes, open_recipe
from cspine_bench.imaging.contact_sheet import Tile, draw_contact_sheet
from cspine_bench.provenance import sha256_bytes

STEPS = (4, 6, 8, 12, 16, 25, 50)
DDPM_STEPS = (25, 50, 100, 250)
SHOWN_STEPS = (4, 12, 25, 250)
SHOWN_NOISES = 6

Row = dict[str, Any]


def list_ways(options: argparse.Namespace) -> list[tuple[str, int]]:
    """Sampler and number of steps of every row."""
    return [
        (name, count)
        for name in options.samplers
        for count in (options.ddpm_steps if name == "ddpm" else options.steps)
    ]


def find_recipe_name(recipe: DdpmRecipe) -> str:
    """The name of a recipe of the package that is the same, or the size of another's images."""
    same = [name for name in list_recipes() if open_recipe(name) == recipe]
    return same[0] if same else f"{recipe.size}px"


def describe(generator: Generator, dataset: DatasetFolder, held_out: HeldOut, options: argparse.Namespace) -> Row:
    """What every row of a result file has in common; a file that says otherwise is not gone on with."""
    return {
        "schema_version": 1,
        "measure": "sampler_steps",
        "unit": "distance of encoder features; CPU-seconds per image",
        "recipe": generator.recipe.model_dump(mode="json"),
        "recipe_sha256": generator.recipe.compute_sha256(),
        "run_id": generator.run_id,
        "step": generator.step,
        "ema": generator.ema,
        "weights_sha256": generator.weights_sha256,
        "dataset_sha256": sha256_bytes(render_manifest(dataset.manifest)),
        "seed": options.seed,
        "batch_size": options.batch_size,
        "distance": held_out.describe(),
    }


def read_rows(path: Path, expected: Row) -> list[Row]:
    """Rows of an earlier call, or none.

    Raises:
        SystemExit: the file is about something else.
    """
    if not path.exists():
        return []
    found = json.loads(path.read_text())
    # By way of JSON, where a tuple is a list.
    common = json.loads(json.dumps(expected))
    differing = [name for name, value in common.items() if found.get(name) != value]
    if differing:
        raise SystemExit(
            f"{path}: its {', '.join(differing)} differ from this call's; name another --out, or remove it"
        )
    rows: list[Row] = found["rows"]
    return rows


def measure_row(generator: Generator, held_out: HeldOut, way: tuple[str, int], options: argparse.Namespace) -> Row:
    sampler, num_steps = way
    sampled = sample_timed(
        generator,
        options.count,
        batch_size=options.batch_size,
        seed=options.seed,
        sampler=sampler,
        num_steps=num_steps,
    )
    row: Row = {"sampler": sampler, "num_steps": num_steps, "evaluations_per_image": sampled.evaluations}
    row |= {"cpu_s_per_image": sampled.cpu_s / options.count, "wall_s_per_image": sampled.wall_s / options.count}
    return row | held_out.score(sampled.images)


def print_table(rows: Sequence[Row], held_out: HeldOut) -> None:
    """Markdown, for the documentation."""
    encoder = held_out.encoder
    print(
        f"{held_out.count} images a row against {len(held_out.features)} held-out radiographs, by {encoder.name} "
        f"(weights {encoder.weights_sha256[:12]}); 95 % intervals; lower is better.\n"
    )
    print("| sampler | steps | network evaluations | CPU-seconds an image | Fréchet distance | kernel distance |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row['sampler']} | {row['num_steps']} | {row['evaluations_per_image']:g} | "
            f"{row['cpu_s_per_image']:.3f} | {format_distance(row)} | {format_distance(row, 'kernel_distance', 3)} |"
        )
    for name, row in (("training radiographs", held_out.floor), ("normal noise", held_out.noise)):
        print(f"| {name} | | | | {format_distance(row)} | {format_distance(row, 'kernel_distance', 3)} |")


def draw_picture(generator: Generator, ways: Sequence[tuple[str, int]], options: argparse.Namespace) -> None:
    """A row for each sampler and number of steps, a column for each noise."""
    tiles = []
    for sampler, num_steps in ways:
        sampled = sample_timed(
            generator, SHOWN_NOISES, batch_size=SHOWN_NOISES, seed=options.seed, sampler=sampler, num_steps=num_steps
        )
        tiles += [Tile(image, None, None, f"{sampler}, {num_steps} steps") for image in sampled.images]
    sheet = draw_contact_sheet(
        tiles,
        columns=SHOWN_NOISES,
        title="A column is one noise and one spine, a row is one sampler",
        footer=f"synthetic, not for diagnosis; run {generator.run_id}, update {generator.step}",
        tile_px=128,
    )
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(options.picture)
    print(f"picture in {options.picture}", file=sys.stderr)


def parse_arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="run folder of `cspine-bench ddpm train`")
    parser.add_argument("--data", type=Path, required=True, help="dataset folder that it was trained on")
    parser.add_argument("--checkpoint", default="last", metavar="STEP|best|last")
    parser.add_argument("--count", type=int, default=64, help="images of a row")
    parser.add_argument("--batch-size", type=int, default=16, help="divides --count")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samplers", nargs="+", choices=list(SAMPLERS), default=list(SAMPLERS))
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS), help="of all samplers but ddpm")
    parser.add_argument("--ddpm-steps", type=int, nargs="+", default=list(DDPM_STEPS))
    parser.add_argument("--picture", type=Path, help="PNG to draw, of steps that are in --shown-steps")
    parser.add_argument("--shown-steps", type=int, nargs="+", default=list(SHOWN_STEPS))
    parser.add_argument("--out", type=Path)
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    options = parse_arguments(words)
    if options.count % options.batch_size:
        raise SystemExit(f"--count {options.count} is no whole number of batches of --batch-size {options.batch_size}")
    torch.set_num_threads(1)
    generator, dataset = (
        load_generator(options.run, find_step(options.run, options.checkpoint)),
        open_dataset(options.data),
    )
    held_out = HeldOut.build(dataset, size=generator.size, count=options.count)
    out = options.out or RESULTS / f"sampler_steps_{find_recipe_name(generator.recipe)}.json"
    common = describe(generator, dataset, held_out, options)
    rows = read_rows(out, common)
    ways = list_ways(options)
    for way in ways:
        if way in [(row["sampler"], row["num_steps"]) for row in rows]:
            continue
        row = measure_row(generator, held_out, way, options)
        print(f"{way[0]}, {way[1]} steps: {format_distance(row)}", file=sys.stderr)
        rows = sorted([*rows, row], key=lambda one: (list(SAMPLERS).index(one["sampler"]), one["num_steps"]))
        command = spell_command("benchmarks/sampler_steps.py", words)
        write_result(out, {**common, "command": command, **describe_setting("cpu"), "rows": rows})
    print_table(rows, held_out)
    print(f"written to {out}", file=sys.stderr)
    if options.picture is not None:
        draw_picture(generator, [way for way in ways if way[1] in options.shown_steps], options)


if __name__ == "__main__":
    main()
