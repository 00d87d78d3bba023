"""CPU time to an equal distance: how long must each train, and how long sample, to come as near to real radiographs?

    python benchmarks/speed/ddpm_distance.py [--count 64] [--peer-seconds 200] [--budgets 10 20 40 80] [--seeds 1]

The peer is diffusers' example of unconditional training, with a small network of full resolution (`--peer example`: its
own, large one). It trains for so many CPU-seconds, its rate falling as a cosine within them, and is scored on the way
and at the end; its best score is the mark. Ours trains with shorter and longer budgets, each a complete run whose rate
falls within it, until its score is at or below that mark. So the ratio of CPU-seconds has a lower bound, from the first
budget that reached the mark, and an upper one, from the last that did not. An example whose images are no nearer than
plain noise has learned nothing that could be reached: the mark is then to be clearly nearer than noise, which the
example has not done in all of its time, and the ratio has a lower bound alone.

Scores are Fréchet distances of as many images each, by one encoder, from the same held-out radiographs. The CPU-seconds
are those of the updates alone: not of scoring, loading and saving, on neither side. Ours is told spines drawn from its
shape model; the example is told nothing. Warm-ups take their own number of updates, or a tenth of the run if that is
less: the example's 500 would leave short runs at nearly no rate.

Then sampling: on our longest run here (or a trained one, `--run`), our sampler with few steps, against ancestral
sampling (DDPM) of the same network with more and more steps, until it comes within the interval of the former.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.held_out import HeldOut, format_distance, open_or_make
from benchmarks.report import RESULTS, describe_setting, spell_command, write_result
from benchmarks.speed.diffusers_example import BATCH_SIZE, LEARNING_RATE, SHAPES, WARMUP_STEPS, Example
from benchmarks.timed_sampling import sample_timed
from benchmarks.training_runs import OwnRun, run_updates, shorten
from cspine_bench.ddpm.checkpoint import Generator, find_step, load_generator
from cspine_bench.ddpm.films import load_films
from cspine_bench.ddpm.recipe import DdpmRecipe
from cspine_bench.ddpm.samplers import DEFAULT_NUM_STEPS, DEFAULT_SAMPLER
from cspine_bench.ddpm.shipped import open_recipe
from cspine_bench.recipe import apply_overrides

PROBE_UPDATES = 4
"""They are timed to know how many updates fit into a budget, after one to warm up."""

Row = dict[str, Any]


def probe(run: OwnRun | Example, updates: int = PROBE_UPDATES) -> float:
    """CPU-seconds of an update."""
    run_updates(run, 1)
    return run_updates(run, updates) / updates


def count_updates(budget_s: float, update_s: float) -> int:
    """How many fit into a budget, at least one."""
    return max(1, round(budget_s / update_s))


def build_peer(images: torch.Tensor, seed: int, num_steps: int, options: argparse.Namespace) -> Example:
    return Example(
        options.peer,
        images,
        seed=seed,
        num_steps=num_steps,
        warmup_steps=min(WARMUP_STEPS, num_steps // 10),
        learning_rate=options.peer_learning_rate,
        use_ema=options.use_ema,
    )


def run_peer(images: torch.Tensor, held_out: HeldOut, seed: int, options: argparse.Namespace) -> list[Row]:
    """Train the peer once; a row for each time it was scored, and each kind of its weights."""
    update_s = probe(build_peer(images, seed, 1000, options))
    num_steps = count_updates(options.peer_seconds, update_s)
    peer = build_peer(images, seed, num_steps, options)
    ends = sorted({max(1, num_steps * (point + 1) // options.peer_points) for point in range(options.peer_points)})
    rows, step, spent = [], 0, 0.0
    for end in ends:
        spent += run_updates(peer, end - step)
        step = end
        for averaged in (False, True) if options.use_ema else (False,):
            made = peer.sample(
                options.count,
                sampler=options.peer_sampler,
                num_steps=options.peer_steps,
                batch_size=options.batch_size,
                averaged=averaged,
            )
            row = {"cpu_s": spent, "updates": step, "weights": "average" if averaged else "last"}
            rows.append(row | held_out.score(made))
            note(f"seed {seed}, {options.peer}, {row['weights']} weights", rows[-1])
    return rows


def run_ours(
    recipe: DdpmRecipe, data: Path, held_out: HeldOut, seed: int, peer: Sequence[Row], options: argparse.Namespace
) -> tuple[list[Row], Generator]:
    """Train runs of longer and longer budgets until one reaches the mark; a row for each, and the last one."""
    update_s = probe(OwnRun(shorten(recipe, 1000), data, seed=seed))
    rows: list[Row] = []
    for budget in sorted(options.budgets):
        run = OwnRun(shorten(recipe, count_updates(budget, update_s)), data, seed=seed)
        spent = run_updates(run, run.training.recipe.training.num_steps)
        generator = run.build_generator()
        sampled = sample_timed(generator, options.count, batch_size=options.batch_size, seed=seed)
        row = {"budget_s": budget, "cpu_s": spent, "updates": run.step, "weights_sha256": generator.weights_sha256}
        rows.append(row | held_out.score(sampled.images))
        note(f"seed {seed}, ours", rows[-1])
        if reaches(rows[-1], peer, held_out.noise) and not options.all_budgets:
            break
    return rows, generator


def is_clear(row: Row, other: Row) -> bool:
    """The whole interval of a distance lies below that of another."""
    return bool(row["frechet_distance_high"] < other["frechet_distance_low"])


def find_mark(peer: Sequence[Row], noise: Row) -> tuple[Row, bool]:
    """The peer's best row, and whether it is clearly nearer than noise."""
    best = min(peer, key=lambda row: float(row["frechet_distance"]))
    return best, is_clear(best, noise)


def reaches(row: Row, peer: Sequence[Row], noise: Row) -> bool:
    """One of our runs is at or below the peer's best score, or, where that is none, clearly nearer than noise."""
    best, learned = find_mark(peer, noise)
    return bool(row["frechet_distance"] <= best["frechet_distance"]) if learned else is_clear(row, noise)


def compare(peer: Sequence[Row], ours: Sequence[Row], noise: Row) -> Row:
    """Bounds of the peer's CPU-seconds over ours to the same mark.

    Returns:
        `mark`, in words; `peer_best`, its row; `ours_first`, our shortest run that reached the mark, or None;
        `ratio_at_least` and `ratio_at_most`, None where there is no such bound; `clear`, whether the intervals of the
        two rows are apart.
    """
    best, learned = find_mark(peer, noise)
    peer_s = best["cpu_s"] if learned else peer[-1]["cpu_s"]
    reached = [reaches(row, peer, noise) for row in ours]
    first = reached.index(True) if True in reached else None
    # The run before it is the longest one known to be too short; without any that reached the mark, the last.
    missed = ours[-1] if first is None else (ours[first - 1] if first else None)
    return {
        "mark": "the example's best" if learned else "clearly nearer than noise, which the example was not",
        "peer_best": best,
        "ours_first": None if first is None else ours[first],
        "ratio_at_least": None if first is None else peer_s / ours[first]["cpu_s"],
        "ratio_at_most": None if missed is None or not learned else peer_s / missed["cpu_s"],
        "clear": first is not None and is_clear(ours[first], best),
    }


def compare_sampling(generator: Generator, held_out: HeldOut, options: argparse.Namespace) -> list[Row]:
    """Our sampler, then ancestral sampling with more and more steps until it is within our interval; a row for each."""
    rows: list[Row] = []
    for sampler, steps in [(DEFAULT_SAMPLER, DEFAULT_NUM_STEPS), *(("ddpm", steps) for steps in options.ddpm_steps)]:
        sampled = sample_timed(
            generator, options.count, batch_size=options.batch_size, sampler=sampler, num_steps=steps
        )
        row: Row = {"sampler": sampler, "num_steps": steps, "evaluations": sampled.evaluations}
        row |= {"images_per_cpu_s": options.count / sampled.cpu_s, "images_per_wall_s": options.count / sampled.wall_s}
        row |= held_out.score(sampled.images)
        row["ours_over_it_per_cpu_s"] = (rows or [row])[0]["images_per_cpu_s"] / row["images_per_cpu_s"]
        row["within"] = row["frechet_distance"] <= (rows or [row])[0]["frechet_distance_high"]
        rows.append(row)
        note(f"sampling, {sampler}, {steps} steps", row)
        if len(rows) > 1 and row["within"]:
            break
    return rows


def note(what: str, row: Row) -> None:
    cost = f", {row['cpu_s']:.0f} CPU-s, {row['updates']} updates" if "cpu_s" in row else ""
    print(f"{what}{cost}: {format_distance(row)}", file=sys.stderr)


def print_tables(seeds: Sequence[Row], sampling: Sequence[Row], held_out: HeldOut) -> None:
    encoder = held_out.encoder
    print(
        f"Fréchet distance by {encoder.name} (weights {encoder.weights_sha256[:12]}) of {held_out.count} images from "
        f"{len(held_out.features)} held out; of as many training images {format_distance(held_out.floor)}, "
        f"of as many of noise {format_distance(held_out.noise)}"
    )
    print(f"{'seed':>4} {'who':8} {'CPU-s':>8} {'updates':>8} {'weights':8} {'distance':>26} {'way':>5}")
    for found in seeds:
        for who, rows in (("example", found["peer"]), ("ours", found["ours"])):
            for row in rows:
                print(
                    f"{found['seed']:4} {who:8} {row['cpu_s']:8.1f} {row['updates']:8} "
                    f"{row.get('weights', 'average'):8} {format_distance(row):>26} {row['frechet_way']:5.0%}"
                )
        comparison = found["comparison"]
        low, high = comparison["ratio_at_least"], comparison["ratio_at_most"]
        bounds = "no lower bound, ours did not reach it" if low is None else f"at least {low:.1f}"
        bounds += ", no upper bound" if high is None else f", at most {high:.1f}"
        apart = "apart" if comparison["clear"] else "not apart"
        print(f"     mark: {comparison['mark']}; example's CPU-seconds over ours: {bounds}; intervals {apart}")
    print(
        f"{'sampler':10} {'steps':>6} {'images/CPU-s':>13} {'ours over it':>13} {'within':>7} {'distance':>26} "
        f"{'way':>5}"
    )
    for row in sampling:
        print(
            f"{row['sampler']:10} {row['num_steps']:6} {row['images_per_cpu_s']:13.2f} "
            f"{row['ours_over_it_per_cpu_s']:13.2f} {'yes' if row['within'] else 'no':>7} {format_distance(row):>26} "
            f"{row['frechet_way']:5.0%}"
        )


def summarize_bounds(seeds: Sequence[Row]) -> Row:
    """The bounds that hold for every seed; None where one of them has no such bound."""
    lows = [found["comparison"]["ratio_at_least"] for found in seeds]
    highs = [found["comparison"]["ratio_at_most"] for found in seeds]
    return {
        "ratio_at_least": None if None in lows else min(lows, default=None),
        "ratio_at_most": None if None in highs else max(highs, default=None),
    }


def parse_arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recipe", default="phantom-64-cpu", help="a recipe's file, or its name")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data", type=Path, help="dataset folder; without it, phantoms are made")
    parser.add_argument("--phantoms", type=int, default=1600, help="to make, of which 30 %% are held out")
    parser.add_argument("--count", type=int, default=64, help="images of each score")
    parser.add_argument("--batch-size", type=int, default=16, help="of sampling; divides --count")
    parser.add_argument("--seeds", type=int, default=1, help="0, 1, ...; 0: no training, only --run's sampling")
    parser.add_argument("--budgets", type=float, nargs="+", default=[10, 20, 40, 80, 160], help="of ours, CPU-seconds")
    parser.add_argument("--all-budgets", action="store_true", help="go on after the mark is reached")
    parser.add_argument("--peer", choices=list(SHAPES), default="example, small")
    parser.add_argument("--peer-seconds", type=float, default=200.0, help="CPU-seconds of its training")
    parser.add_argument("--peer-points", type=int, default=2, help="times that it is scored")
    parser.add_argument("--peer-learning-rate", type=float, default=LEARNING_RATE)
    parser.add_argument("--use-ema", action="store_true", help="score its running average too; the better one counts")
    parser.add_argument("--peer-sampler", choices=("ddim", "ddpm"), default="ddim", help="diffusers' own pipeline")
    parser.add_argument("--peer-steps", type=int, default=50, help="of its sampler")
    parser.add_argument("--run", type=Path, help="trained run whose sampling is compared, instead of the last one here")
    parser.add_argument("--ddpm-steps", type=int, nargs="+", default=[25, 50, 100, 250], help="add 1000 for all")
    parser.add_argument("--out", type=Path)
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    options = parse_arguments(words)
    if options.count % options.batch_size:
        raise SystemExit(f"--count {options.count} is no whole number of batches of --batch-size {options.batch_size}")
    if options.seeds < 1 and options.run is None:
        raise SystemExit("--seeds 0 trains nothing: name a trained --run to sample from")
    torch.set_num_threads(1)
    recipe = apply_overrides(open_recipe(options.recipe), tuple(options.overrides))
    seeds: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        dataset = open_or_make(options.data, Path(scratch), count=options.phantoms, size=recipe.size)
        held_out = HeldOut.build(dataset, size=recipe.size, count=options.count)
        films = load_films(dataset, "train", recipe.size, at_least=BATCH_SIZE)
        images = films.take_images(np.arange(len(films)))
        for seed in range(options.seeds):
            peer = run_peer(images, held_out, seed, options)
            ours, generator = run_ours(recipe, dataset.path, held_out, seed, peer, options)
            comparison = compare(peer, ours, held_out.noise)
            seeds.append({"seed": seed, "peer": peer, "ours": ours, "comparison": comparison})
    if options.run is not None:
        generator = load_generator(options.run, find_step(options.run, "last"))
    sampling = compare_sampling(generator, held_out, options)
    print_tables(seeds, sampling, held_out)
    out = options.out or RESULTS / f"speed_ddpm_distance_{recipe.size}.json"
    document = {
        "schema_version": 1,
        "measure": "speed_ddpm_distance",
        "unit": "CPU-seconds of training; images per CPU-second of sampling",
        "recipe": recipe.model_dump(mode="json"),
        "recipe_sha256": recipe.compute_sha256(),
        "data": "phantoms" if options.data is None else str(options.data),
        "num_train": len(images),
        "size_px": recipe.size,
        "peer": {
            "network": options.peer,
            "learning_rate": options.peer_learning_rate,
            "use_ema": options.use_ema,
            "sampler": options.peer_sampler,
            "num_steps": options.peer_steps,
        },
        "distance": held_out.describe(),
        "command": spell_command("benchmarks/speed/ddpm_distance.py", words),
        **describe_setting("cpu"),
        "seeds": seeds,
        "training_ratio": summarize_bounds(seeds),
        "sampled_network": {"run_id": generator.run_id, "weights_sha256": generator.weights_sha256},
        "sampling": sampling,
    }
    write_result(out, document)
    print(f"written to {out}", file=sys.stderr)


if __name__ == "__main__":
    main()
