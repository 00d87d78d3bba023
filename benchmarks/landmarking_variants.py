"""What each choice of the landmarking recipe for a processor brings, at an equal number of radiographs seen.

    python benchmarks/landmarking_variants.py --data DATASET [--seeds 2] [--only NAME ...]

Each variant learns from the train split of the same dataset by the recipe cpu-64 with a few settings changed, and is
measured on the validation split; the test split takes no part. Compared: mean radial error and CPU-seconds of training.
A variant that is in the result file already, at the same settings, is not run again.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from report import RESULTS, describe_setting, format_spread, spell_command, spread, write_result

from cspine_bench.baselines.cases import Cases, load_cases
from cspine_bench.baselines.learn import Stage, train_network
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.shipped import open_recipe
from cspine_bench.baselines.task import Arrays, Task
from cspine_bench.measurement.inputs import open_images
from cspine_bench.recipe import apply_overrides

RESULT = RESULTS / "landmarking_variants.json"
VARIANTS: dict[str, tuple[str, ...]] = {
    "the recipe": (),
    "regression, rate 1e-3": ("task.method=regression", "learning.learning_rates=[1e-3]"),
    "cells of 2 px": ("network.unshuffle=2", "network.widths=[16,24,32,48,64]"),
    "cells of 4 px": ("network.unshuffle=4", "network.widths=[32,48,64,96]"),
    "batches of 16": ("learning.batch_size=16", "learning.updates=50"),
    "five levels": ("network.widths=[8,16,24,32,48]",),
    "rate 3e-3": ("learning.learning_rates=[3e-3]",),
    "twice as long": ("learning.updates=400",),
}
FLOOR = "mean shape"


def measure_error(task: Task, predictions: Arrays, cases: Cases) -> tuple[float, str]:
    """Primary figure and its unit."""
    score = task.score(predictions, cases, seed=0)[0]
    return float(score.statistic(np.ones((1, len(cases))))[0]), score.unit


def run_variant(recipe: BaselineRecipe, train: Cases, cases: Cases, seeds: int) -> dict[str, Any]:
    """Train one network for each seed, and measure each."""
    task, errors, seconds, unit = build_task(recipe), [], [], ""
    for seed in range(seeds):
        began = time.process_time()
        network = train_network(
            task,
            recipe,
            [Stage(train, recipe.learning.updates)],
            seed=seed,
            learning_rate=recipe.learning.learning_rates[0],
        )
        seconds.append(time.process_time() - began)
        error, unit = measure_error(task, task.predict(network, cases, device="cpu", seed=0), cases)
        errors.append(error)
    return {"mean_radial_error": spread(errors), "unit": unit, "cpu_seconds": spread(seconds), "seeds": seeds}


def read_earlier(settings: dict[str, Any]) -> dict[str, Any]:
    """Figures of an earlier run at the same settings."""
    if not RESULT.is_file():
        return {}
    earlier = json.loads(RESULT.read_text())
    return dict(earlier["variants"]) if earlier["settings"] == settings else {}


def main(words: list[str] | None = None) -> None:
    """Measure all variants, print a table, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="dataset with the splits train and validation")
    parser.add_argument("--seeds", type=int, default=2, help="networks of each variant")
    parser.add_argument("--only", nargs="*", choices=list(VARIANTS), help="variants")
    asked = parser.parse_args(words)
    torch.set_num_threads(1)
    plain = open_recipe("landmarking", "cpu-64")
    images = {split: open_images(split, asked.data, splits=(split,)) for split in ("train", "validation")}
    train, cases = (load_cases(side, plain.size) for side in images.values())
    settings = {
        "recipe": plain.model_dump(mode="json"),
        "digest": images["train"].describe().digest,
        "counts": {"train": len(train), "validation": len(cases)},
        "seeds": asked.seeds,
    }
    found = read_earlier(settings)
    task = build_task(plain)
    floor, unit = measure_error(task, task.predict_floor(train, cases, seed=0)[1], cases)
    print(f"{FLOOR}: {floor:.2f} {unit}")
    for name in asked.only or VARIANTS:
        if name not in found:
            found[name] = run_variant(apply_overrides(plain, list(VARIANTS[name])), train, cases, asked.seeds)
            found[name]["changes"] = list(VARIANTS[name])
            document = {
                "command": spell_command("benchmarks/landmarking_variants.py", words),
                **describe_setting("cpu", ("numpy", "torch")),
                "settings": settings,
                "floor": {"name": FLOOR, "mean_radial_error": floor, "unit": unit},
                "variants": found,
            }
            write_result(RESULT, document)
        error, cost = (format_spread(found[name][key], 2) for key in ("mean_radial_error", "cpu_seconds"))
        print(f"{name:28} {error} {found[name]['unit']}   {cost} CPU-s", flush=True)


if __name__ == "__main__":
    main()
