"""What learning from attacked radiographs costs in accuracy, and what it brings under attacks and degradations.

    python benchmarks/adversarial_tradeoff.py DATASET [--epsilons 0 1 2 4] [--seeds 2]

Networks of the recipe `adversarial-64` learn from the split train, with attacks of each strength; 0 is without any, at
the same number of updates. Figures are of the split test: median, least and most over the seeds. An attack on the test
radiographs has ten steps from a random start and knows the true class. `degraded` is the mean of the accuracies over
the kinds and strengths of the ladder.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from report import RESULTS, describe_setting, format_spread, spell_command, spread, write_result

from cspine_bench.baselines.cases import Cases, load_cases
from cspine_bench.baselines.learn import Stage, train_network
from cspine_bench.baselines.recipe import BaselineRecipe
from cspine_bench.baselines.registry import build_task
from cspine_bench.baselines.shipped import open_recipe
from cspine_bench.measurement.inputs import open_images
from cspine_bench.recipe import apply_overrides
from cspine_bench.schema import Split

RESULT = RESULTS / "adversarial_tradeoff.json"


def load_split(dataset: Path, split: Split, recipe: BaselineRecipe) -> Cases:
    """Labelled radiographs of a split."""
    cases = load_cases(open_images("real", dataset, splits=(split,)), recipe.size)
    return cases.take(build_task(recipe).list_usable(cases))


def measure(recipe: BaselineRecipe, train: Cases, test: Cases, seed: int) -> dict[str, float]:
    """Figures of one network by name, with the CPU-seconds of its training."""
    task = build_task(recipe)
    began = time.process_time()
    rate = recipe.learning.learning_rates[0]
    network = train_network(task, recipe, [Stage(train, recipe.learning.updates)], seed=seed, learning_rate=rate)
    seconds = time.process_time() - began
    scores = task.score(task.predict(network, test, device="cpu", seed=seed), test, seed=seed)
    ones = np.ones((1, len(test)))
    found, degraded = {"train_cpu_s": seconds}, []
    for score in scores:
        value, condition = float(score.statistic(ones)[0]), score.condition or {}
        if not condition:
            found[score.name] = value
        elif score.name == "robust_balanced_accuracy" and "attack" in condition:
            found[f"balanced_accuracy, {condition['attack']}"] = value
        elif score.name == "robust_balanced_accuracy":
            degraded.append(value)
    return {**found, "balanced_accuracy, degraded": float(np.mean(degraded))}


def main(words: list[str] | None = None) -> None:
    """Train and test at every strength, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="dataset folder with the splits train and test")
    parser.add_argument("--epsilons", type=float, nargs="+", default=[0.0, 1.0, 2.0, 4.0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--set", dest="overrides", action="append", default=[], help="change the recipe: key=value")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args(words)
    usual = apply_overrides(open_recipe("classification", "adversarial-64"), options.overrides)
    train, test = (load_split(options.dataset, split, usual) for split in ("train", "test"))
    document: dict[str, Any] = {
        "benchmark": "adversarial_tradeoff",
        "command": spell_command("benchmarks/adversarial_tradeoff.py", words),
        "dataset": open_images("real", options.dataset).folder.manifest.digest,
        "recipe": usual.model_dump(mode="json"),
        **describe_setting("cpu", ("numpy", "torch", "scikit-learn")),
        "num_train": len(train),
        "num_test": len(test),
        "num_seeds": options.seeds,
        "epsilons": {},
    }
    for epsilon in options.epsilons:
        change = f"task.adversarial.epsilon={epsilon:g}" if epsilon else "task.adversarial=null"
        recipe = apply_overrides(usual, [change])
        runs = [measure(recipe, train, test, seed) for seed in range(options.seeds)]
        row = {name: spread([run[name] for run in runs]) for name in runs[0]}
        document["epsilons"][f"{epsilon:g}"] = row
        write_result(options.out, document)
        names = [name for name in row if name.startswith(("macro_auroc", "balanced_accuracy", "train_cpu_s"))]
        if epsilon == options.epsilons[0]:
            print(f"| learnt with epsilon | {' | '.join(names)} |\n| --- |{' --- |' * len(names)}")
        told = " | ".join(format_spread(row[name], 1 if name.endswith("_s") else 3) for name in names)
        print(f"| {epsilon:g} | {told} |", flush=True)
    print(f"\n{len(train)} training and {len(test)} test radiographs, {options.seeds} seeds; {options.out}")


if __name__ == "__main__":
    main()
