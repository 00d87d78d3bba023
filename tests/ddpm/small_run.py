"""A run folder as training leaves it, with weights drawn at random: enough to sample from, in no time."""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cspine_bench.dataset.source import Radiograph, SampleKey
from cspine_bench.dataset.write import write_dataset
from cspine_bench.ddpm.checkpoint import (
    Generator,
    Snapshot,
    load_generator,
    save_snapshot,
)
from cspine_bench.ddpm.network import build_network
from cspine_bench.ddpm.recipe import DdpmRecipe, NetworkRecipe
from cspine_bench.ddpm.run_folder import (
    RunFacts,
    pack_shape_model,
    write_run,
)
from cspine_bench.ddpm.sample import DdpmSource
from cspine_bench.ddpm.shape_model import ShapeModel, fit_shape_model
from cspine_bench.ddpm.training_set import TrainingSet
from cspine_bench.provenance import sha256_bytes

SIZE = 32
COUNT = 40


def make_shapes(count: int = 40) -> np.ndarray:
    """Columns of boxes, each bowed a little differently; float32 (count, 23, 2) px."""
    points = [(16.0, 4.0), (13.0, 6.0), (19.0, 6.0)]
    for level in range(5):
        top = 8.0 + 4.5 * level
        points += [(13.0, top), (19.0, top), (13.0, top + 3), (19.0, top + 3)]
    draw = np.random.default_rng(0)
    shapes = np.array(points) + draw.normal(0, 0.25, (count, 23, 2)) + draw.normal(0, 0.5, (count, 1, 2))
    bow = 1 - ((np.array(points)[:, 1] - 18) / 12) ** 2
    shapes[..., 0] += draw.normal(0, 2.0, (count, 1)) * bow
    return shapes.astype(np.float32)


def fit_small_model() -> ShapeModel:
    return fit_shape_model(make_shapes(), np.linspace(1.4, 1.8, 40))


TRAINING_SET = TrainingSet(
    num_films=40,
    classes={"curvature": {"lordotic": 20, "straight": 16, "kyphotic": 4}, "sex": {"male": 30, "female": 10}},
    pixel_spacing_plane="patient",
    limits={"blank": 20.0, "saturated": 0.9, "noise": 30.0, "skeleton": -0.9},
)


def write_small_run(
    run: Path, *, condition: str = "skeleton", weights_seed: int = 0, steps: Sequence[int] = (2,), **options: Any
) -> Path:
    """A run with a checkpoint at each step, of different weights; `options` are fields of its recipe."""
    shape = NetworkRecipe(widths=(16, 16), attention_levels=(1,), unshuffle=4)
    recipe = DdpmRecipe(**{"size": SIZE, "condition": condition, "network": shape, **options})
    packed = pack_shape_model(fit_small_model()) if condition == "skeleton" else None
    facts = RunFacts(
        recipe_sha256=recipe.compute_sha256(),
        dataset_sha256="0" * 64,
        shape_model_sha256=None if packed is None else sha256_bytes(packed),
        seed=0,
        device="cpu",
        commit=None,
        commit_dirty=None,
        versions={},
        training_set=TRAINING_SET,
    )
    run.mkdir()
    write_run(run, facts, recipe, packed)
    for step in steps:
        emas = {}
        for number, length in enumerate(recipe.training.ema_lengths):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(weights_seed + 100 * (step - 2) + 10 * number)
                emas[length] = build_network(recipe).state_dict()
        weights = next(iter(emas.values()))
        save_snapshot(run, Snapshot(step=step, model=weights, emas=emas, optimizer={}))
    return run


def load_small(folder: Path, *, condition: str = "skeleton", **options: Any) -> Generator:
    return load_generator(write_small_run(folder / f"run-{condition}", condition=condition, **options))


@dataclass(frozen=True)
class Stalling(DdpmSource):
    """As its parent, but rests for ever inside the second shard, so that a signal finds it there."""

    marks: int = -1

    def iter_radiographs(self, keys: Sequence[SampleKey]) -> Iterator[Radiograph]:
        for number, made in enumerate(super().iter_radiographs(keys)):
            if len(keys) < COUNT / 2 and number == 1:
                os.write(self.marks, b".")
                time.sleep(600)
            yield made


def write_and_stall(run: Path, out: Path, marks: int) -> None:
    """Write a dataset of a run; a byte to the file descriptor `marks` says when it rests."""
    write_dataset(Stalling((load_generator(run),), COUNT, num_steps=3, batch_size=4, marks=marks), out)
