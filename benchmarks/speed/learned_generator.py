"""A training step and sampling of our 64-px recipe, beside diffusers at an equal number of weights.

`compare_all.py` times them. The peer's network is the nearest in weights that diffusers' `UNet2DModel` gives with the
kinds of blocks of its example; it works at full resolution, as the example does, ours on pixels folded four by four.
`ddpm_train.py` times the example's own network of 114 million weights, and GPUs; how good images are after equal time
is the question of `ddpm_distance.py`.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.held_out import open_or_make
from benchmarks.speed.comparison import OURS, Comparison, Term
from benchmarks.speed.ddpm_train import LONGEST_RUN
from benchmarks.speed.diffusers_example import Example
from benchmarks.timed_sampling import sample_timed
from benchmarks.training_runs import OwnRun, shorten
from cspine_bench.dataset.read import open_dataset
from cspine_bench.ddpm.films import load_films
from cspine_bench.ddpm.shipped import open_recipe

RECIPE = "phantom-64-cpu"
PEER = "equal weights"
SAMPLER = "dpmpp-2m"
TRAINING_FILMS = 128
PACKAGES = {OURS: ("torch",), "diffusers": ("diffusers", "torch")}


def build_runs(scratch: Path) -> tuple[OwnRun, Example]:
    """Ours and the peer's training runs, on the same phantoms."""
    recipe = open_recipe(RECIPE)
    data = open_or_make(None, scratch, count=TRAINING_FILMS, size=recipe.size).path
    ours = OwnRun(shorten(recipe, LONGEST_RUN), data, seed=0)
    films = load_films(open_dataset(data), "train", recipe.size, at_least=recipe.training.batch_size)
    images = films.take_images(np.arange(len(films)))
    return ours, Example(PEER, images, seed=0, num_steps=LONGEST_RUN, batch_size=recipe.training.batch_size)


def describe(ours: OwnRun, peer: Example) -> dict[str, Any]:
    return {"recipe": RECIPE, "weights": {OURS: ours.num_parameters, "diffusers": peer.num_parameters}}


def compare_training(scratch: Path, *, updates: int) -> Comparison:
    """Updates of the weights."""
    ours, peer = build_runs(scratch)
    batch = ours.training.recipe.training.batch_size
    with FlopCounterMode(display=False) as counter:
        ours.update()
    flops = counter.get_total_flops() / batch
    with FlopCounterMode(display=False) as counter:
        peer.update()
    notes = describe(ours, peer) | {"operations": {OURS: flops, "diffusers": counter.get_total_flops() / batch}}

    def update(run: OwnRun | Example) -> list[float]:
        return [float(run.update()) for _ in range(updates)]

    def check(losses: dict[str, Any]) -> str:
        if not all(math.isfinite(loss) for found in losses.values() for loss in found):
            raise SystemExit(f"a loss is not finite: {losses}")
        return "losses are finite; networks differ, so nothing else compares"

    return Comparison(
        unit="image of an update",
        count=updates * batch,
        work=f"{updates} updates on batches of {batch} phantoms of {ours.training.recipe.size} px: noise, forward, "
        "backward, clipping, optimiser, and for ours the maps of the spine and two running averages",
        candidates={OURS: lambda: update(ours), "diffusers": lambda: update(peer)},
        packages=PACKAGES,
        check=check,
        floor=(Term(flops, f"{flops:.3g} operations of our network, forward and backward", "float32"),),
        notes=notes,
    )


def compare_sampling(scratch: Path, *, batch: int, steps: int) -> Comparison:
    """Images from noise by untrained networks, which cost what trained ones do."""
    ours, peer = build_runs(scratch)
    generator = ours.build_generator()
    size = generator.recipe.size
    evaluations = []

    def sample() -> np.ndarray:
        made = sample_timed(generator, batch, batch_size=batch, sampler=SAMPLER, num_steps=steps)
        evaluations.append(made.evaluations)
        return made.images

    with FlopCounterMode(display=False) as counter:
        sample()
    flops = counter.get_total_flops() / batch

    def check(images: dict[str, Any]) -> str:
        shapes = {found.shape for found in images.values()}
        if shapes != {(batch, size, size)} or evaluations[-1] != steps:
            raise SystemExit(f"images of {shapes}, {evaluations[-1]} evaluations of ours; {steps} are compared")
        return f"images of one size after {steps} evaluations each; networks differ, so nothing else compares"

    return Comparison(
        unit="image",
        count=batch,
        work=f"{size}-px images from noise, {batch} at once, {steps} evaluations of the network each: "
        f"ours by {SAMPLER}, told a spine, with its mask drawn; diffusers by its DDIM pipeline",
        candidates={
            OURS: sample,
            "diffusers": lambda: peer.sample(batch, sampler="ddim", num_steps=steps, batch_size=batch),
        },
        packages=PACKAGES,
        check=check,
        floor=(Term(flops, f"{flops:.3g} operations of {steps} evaluations of our network", "float32"),),
        notes=describe(ours, peer) | {"sampler": SAMPLER, "num_steps": steps},
    )
