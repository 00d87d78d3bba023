"""What guidance brings and costs: distance from held-out radiographs, and how well samples show what they were told.

    python benchmarks/guidance_scales.py RUN --data DATASET [--count 128] [--scales 1 1.5 2 3]

The same numbers are sampled at every scale. `agreement` is the correlation of an image with the bodies and discs of its
landmarks, as the quality rule `skeleton` measures it; its mean over samples has a 95 % interval (Student), and stands
beside that of as many training films with their own landmarks. Distances are those of the training monitor.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from report import RESULTS, describe_setting, spell_command, write_result
from scipy import stats

from cspine_bench.dataset.read import open_dataset
from cspine_bench.ddpm.checkpoint import find_step, load_generator
from cspine_bench.ddpm.films import load_films
from cspine_bench.ddpm.monitor import build_references, measure
from cspine_bench.ddpm.quality import measure_agreement
from cspine_bench.ddpm.sample import DdpmSource

RESULT = RESULTS / "guidance_scales.json"


def average_agreement(images: NDArray[np.uint8], landmarks_xy: NDArray[np.floating]) -> dict[str, float]:
    """Mean of the images that it can be measured on, with its interval and their number."""
    found = [measure_agreement(image, points) for image, points in zip(images, landmarks_xy, strict=True)]
    values = np.array([value for value in found if value is not None])
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    mean = float(values.mean())
    return {"value": mean, "low": mean - float(half), "high": mean + float(half), "count": len(values)}


def main(words: list[str] | None = None) -> None:
    """Measure every scale, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of a generator with a skeleton")
    parser.add_argument("--data", type=Path, required=True, help="dataset folder that it was trained on")
    parser.add_argument("--checkpoint", default="last")
    parser.add_argument("--count", type=int, default=128)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0, 1.5, 2.0, 3.0])
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args(words)
    generator = load_generator(options.run, find_step(options.run, options.checkpoint))
    dataset = open_dataset(options.data)
    films = load_films(dataset, "train", generator.size, at_least=options.count)
    held_out = load_films(dataset, "validation", generator.size, at_least=4)
    references = build_references(films, held_out, count=options.count, seed=options.seed)
    real = (films.pixels[: options.count] // 257).astype(np.uint8)
    document: dict[str, Any] = {
        "benchmark": "guidance_scales",
        "command": spell_command("benchmarks/guidance_scales.py", words),
        "run_id": generator.run_id,
        "weights_sha256": generator.weights_sha256,
        "dataset": dataset.manifest.fingerprint,
        **describe_setting("cpu"),
        "agreement_of_films": average_agreement(real, films.landmarks_xy[: options.count]),
        "scales": {},
    }
    print("| guidance | Fréchet distance | kernel distance | agreement with what was told | CPU-s an image |")
    print("| --- | --- | --- | --- | --- |")
    for scale in options.scales:
        source = DdpmSource((generator,), options.count, options.seed, guidance_scale=None if scale == 1 else scale)
        began = time.process_time()
        made = list(source.iter_radiographs(source.list_samples()))
        seconds = (time.process_time() - began) / options.count
        images = np.stack([one.image for one in made]).astype(np.uint8)
        row = measure(references, images)
        agreement = average_agreement(images, np.stack([one.landmarks_xy for one in made]))
        document["scales"][f"{scale:g}"] = {**row, "agreement": agreement, "cpu_s_per_image": round(seconds, 4)}
        write_result(options.out, document)
        spelled = " | ".join(
            f"{row[name]:.3g} ({row[f'{name}_low']:.3g} to {row[f'{name}_high']:.3g})"
            for name in ("frechet_distance", "kernel_distance")
        )
        told = f"{agreement['value']:.3f} ({agreement['low']:.3f} to {agreement['high']:.3f})"
        print(f"| {scale:g} | {spelled} | {told} | {seconds:.3f} |", flush=True)
    films_agree = document["agreement_of_films"]
    told = f"{films_agree['value']:.3f} ({films_agree['low']:.3f} to {films_agree['high']:.3f})"
    floors = " | ".join(f"{row[f'{name}_floor']:.3g}" for name in ("frechet_distance", "kernel_distance"))
    print(f"| training films | {floors} | {told} | |")
    print(f"\n{row['num_synthetic']} samples, {row['num_real']} held-out films, {row['encoder']}; {options.out}")


if __name__ == "__main__":
    main()
