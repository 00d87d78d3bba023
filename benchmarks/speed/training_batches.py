"""Batches to train on: decoded, augmented, landmarks and masks along; beside plain `datasets` and PIL.

    python benchmarks/speed/training_batches.py [--count 128] [--size 256] [--epochs 20] [--repeats 3]

Both read the same dataset folder and give batches of images, landmarks and masks under shifts, rotations, zooms, gain
and gamma of equal strengths. The peer is what one writes first: `datasets`' rows, `PIL.Image.transform` (bicubic for
the image, nearest for the mask), numpy for the landmarks, and `torch.stack`. It decodes in every epoch; ours decodes
once, which is counted, and changes whole batches. One process, one thread, in turn within each repeat; the first warms
up. Opening the folder (`datasets` converts it once) is counted on neither side.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.report import RESULTS, describe_setting, format_spread, spell_command, spread, write_result
from cspine_bench.augment import AugmentRecipe
from cspine_bench.baselines.cases import load_cases
from cspine_bench.baselines.learn import Stage, load_batch
from cspine_bench.dataset.read import open_dataset
from cspine_bench.dataset.write import write_dataset
from cspine_bench.measurement.inputs import open_images
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.source import PhantomSource

RESULT = RESULTS / "speed_training_batches.json"
STRENGTHS = AugmentRecipe(shift=0.06, rotate_deg=8, zoom=0.08, gain=0.15, gamma=0.15)
BATCH = 16
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def change_row(row: dict[str, Any], generator: np.random.Generator) -> Batch:
    """One row of `datasets`, changed by PIL and numpy as one would write it."""
    image, mask = row["image"], row["mask"]
    points = np.asarray(row["landmarks_xy"], np.float32)
    size = image.width
    angle = math.radians(generator.uniform(-STRENGTHS.rotate_deg, STRENGTHS.rotate_deg))
    zoom = (1 + STRENGTHS.zoom) ** generator.uniform(-1, 1)
    shift = generator.uniform(-STRENGTHS.shift, STRENGTHS.shift, 2) * size
    turn = zoom * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    centre = (size - 1) / 2
    # PIL asks where each pixel comes from, and counts its corners from (0, 0).
    back = np.linalg.inv(turn)
    offset = centre + 0.5 - back @ (shift + centre + 0.5)
    data = (back[0, 0], back[0, 1], offset[0], back[1, 0], back[1, 1], offset[1])
    moved = image.transform((size, size), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
    labels = mask.transform((size, size), Image.Transform.AFFINE, data, Image.Resampling.NEAREST)
    values = np.asarray(moved, np.float32) / 255
    gain, gamma = ((1 + most) ** generator.uniform(-1, 1) for most in (STRENGTHS.gain, STRENGTHS.gamma))
    values = 2 * (gain * values**gamma).clip(0, 1) - 1
    there = (points - centre) @ turn.T + shift + centre
    return (
        torch.from_numpy(values)[None],
        torch.from_numpy(there.astype(np.float32)),
        torch.from_numpy(np.asarray(labels, np.int64)),
    )


def iter_peer(rows: Any, epochs: int) -> Iterator[Batch]:
    """Batches as one would write them first."""
    generator = np.random.default_rng(0)
    for _ in range(epochs):
        order = generator.permutation(len(rows))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            changed = [change_row(rows[int(place)], generator) for place in order[start : start + BATCH]]
            images, points, masks = zip(*changed, strict=True)
            yield torch.stack(images), torch.stack(points), torch.stack(masks)


def iter_ours(folder: Path, size: int, epochs: int) -> Iterator[Batch]:
    """Batches as the baselines make them, decoding included."""
    stage = Stage(load_cases(open_images("real", folder), size), 1, augment=STRENGTHS)
    generator = np.random.default_rng(0)
    for epoch in range(epochs):
        order = generator.permutation(len(stage.cases))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            batch = load_batch(stage, order[start : start + BATCH], "cpu", 0, epoch * len(order) + start)
            yield batch.images, batch.landmarks_xy, batch.masks


def time_batches(batches: Callable[[], Iterator[Batch]]) -> float:
    """CPU-seconds of an image."""
    begun, count = time.process_time(), 0
    for images, _, _ in batches():
        count += len(images)
    return (time.process_time() - begun) / count


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=128)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {"datasets_pil": [], "ours": []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "ds"
        source = PhantomSource(PhantomRecipe(size=options.size), options.count, 0)
        write_dataset(source, folder, fractions=(1.0, 0.0, 0.0))
        rows = open_dataset(folder).as_huggingface()["train"]
        for repeat in range(options.repeats + 1):
            found = {
                "datasets_pil": time_batches(lambda: iter_peer(rows, options.epochs)),
                "ours": time_batches(lambda: iter_ours(folder, options.size, options.epochs)),
            }
            for name, value in found.items():
                if repeat:
                    seconds[name].append(value)
    ratios = [theirs / ours for theirs, ours in zip(seconds["datasets_pil"], seconds["ours"], strict=True)]
    for name, values in seconds.items():
        print(f"{name:14} {format_spread(spread([value * 1000 for value in values]), 2)} CPU-ms an image")
    print(f"ratio          {format_spread(spread(ratios), 2)}")
    document = {
        "command": spell_command("benchmarks/speed/training_batches.py", words),
        "settings": {key: getattr(options, key) for key in ("count", "size", "epochs", "repeats")} | {"batch": BATCH},
        "cpu_seconds_per_image": {name: spread(values) for name, values in seconds.items()},
        "ratio_datasets_pil_over_ours": spread(ratios),
        **describe_setting("cpu", ("numpy", "torch", "pillow", "datasets")),
    }
    write_result(options.out, document)


if __name__ == "__main__":
    main()
