"""What each part of the CPU recipe brings, at an equal number of updates.

    python benchmarks/recipe_variants.py --data DATASET [--updates 300] [--only NAME ...]

Each variant is a run of its own by `train`, of the recipe phantom-64-cpu with a few settings changed, on the same data
and seed. Compared: validation loss by band of time (not weighted), CPU-seconds, and how well the expected image
in much noise (t = 0.9) shows the vertebrae that the network is told of: the correlation with the true film of what is
finer than a vertebra, near the drawn spine. One run of each, so that small differences are not resolved. A variant that
is in the result file already, at the same settings, is not run again.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from report import RESULTS, describe_setting, spell_command, write_result
from scipy import stats
from torch.nn import functional

from cspine_bench.dataset.read import open_dataset
from cspine_bench.ddpm.checkpoint import load_generator
from cspine_bench.ddpm.films import load_films
from cspine_bench.ddpm.network import encode_skeleton, predict_clean
from cspine_bench.ddpm.noise import torch_generator
from cspine_bench.ddpm.progress import read_log
from cspine_bench.ddpm.shipped import open_recipe
from cspine_bench.ddpm.skeleton import draw_skeleton
from cspine_bench.ddpm.train import train
from cspine_bench.recipe import apply_overrides

RESULT = RESULTS / "recipe_variants.json"
STOCK = ("objective=flow", "detail_weight=0", "network.refine_channels=0")
VARIANTS: dict[str, tuple[str, ...]] = {
    "flow, stock network of (64, 96, 128)": (*STOCK, "network.widths=[64,96,128]"),
    "flow, stock network": STOCK,
    "flow-edm": STOCK[1:],
    "flow, refined": STOCK[:2],
    "flow-edm, refined": STOCK[1:2],
    "flow-edm, refined, detail (the recipe)": (),
}
TIME, MOST_FILMS = 0.9, 100


def measure_detail_correlation(run: Path, data: Path) -> dict[str, float]:
    """Mean over validation films, with its 95 % interval (Student)."""
    generator = load_generator(run)
    size = generator.recipe.size
    films = load_films(open_dataset(data), "validation", size, at_least=2)
    rows = np.arange(min(MOST_FILMS, len(films)))
    x0 = films.take_images(rows)
    maps = draw_skeleton(films.take_landmarks(rows), size)
    eps = torch.stack([torch.randn(1, size, size, generator=torch_generator(0, "variants", int(row))) for row in rows])
    with torch.no_grad():
        noisy = (1 - TIME) * x0 + TIME * eps
        told = encode_skeleton(maps)
        found = predict_clean(generator.network, generator.recipe, noisy, TIME, condition=told)
    near = functional.max_pool2d((maps > 0.02).float(), 3, stride=1, padding=1) > 0

    def sharpen(image: torch.Tensor) -> torch.Tensor:
        return image - functional.avg_pool2d(image, 7, stride=1, padding=3, count_include_pad=False)

    pairs = zip(sharpen(found), sharpen(x0), near, strict=True)
    values = np.array([np.corrcoef(one[where], other[where])[0, 1] for one, other, where in pairs if where.any()])
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return {"value": float(values.mean()), "low": float(values.mean() - half), "high": float(values.mean() + half)}


def run_variant(changes: tuple[str, ...], data: Path, updates: int, seed: int) -> dict[str, Any]:
    """Train one, and measure it."""
    length = [f"training.num_steps={updates}", f"training.validate_every={updates}"]
    short = [*length, "training.checkpoint_steps=[]", "training.monitor=null"]
    recipe = apply_overrides(open_recipe("phantom-64-cpu"), [*changes, *short])
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        began = time.process_time()
        summary = train(recipe, data, run, seed=seed)
        seconds = time.process_time() - began
        [row] = [row for row in read_log(run) if row["kind"] == "validation"]
        weights = sum(value.numel() for value in load_generator(run).network.parameters())
        return {
            "run_id": summary.run_id,
            "num_weights": weights,
            "cpu_s": round(seconds, 1),
            "validation_loss": row["loss"],
            "bands": row["bands"],
            "detail_correlation": measure_detail_correlation(run, data),
        }


def main(words: list[str] | None = None) -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    manifest = open_dataset(options.data).manifest
    settings = {"updates": options.updates, "seed": options.seed, "dataset": manifest.fingerprint}
    before = json.loads(options.out.read_text()) if options.out.exists() else {}
    rows = before.get("variants", {}) if before.get("settings") == settings else {}
    for name in options.only:
        if name not in rows:
            rows[name] = run_variant(VARIANTS[name], options.data, options.updates, options.seed)
            document = {
                "benchmark": "recipe_variants",
                "command": spell_command("benchmarks/recipe_variants.py", words),
                "settings": settings,
                **describe_setting("cpu"),
                "variants": rows,
            }
            write_result(options.out, document)
        row, found = rows[name], rows[name]["detail_correlation"]
        print(
            f"{name:40} {row['num_weights'] / 1e6:5.2f} M{row['cpu_s']:7.1f} CPU-s  loss {row['validation_loss']:.4f}  "
            f"detail {found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})",
            flush=True,
        )
    print(f"{options.out}")


if __name__ == "__main__":
    main()
