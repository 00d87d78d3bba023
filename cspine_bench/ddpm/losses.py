"""How well a generator takes the noise off given radiographs: whoever was trained on them does it better.

losses = compute_losses(Path("run"), open_dataset("films"), ("train",))         one row for each radiograph
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from cspine_bench.dataset.manifest import render_manifest
from cspine_bench.dataset.read import DatasetFolder
from cspine_bench.ddpm.checkpoint import Generator, find_step, load_generator
from cspine_bench.ddpm.films import Films, load_films
from cspine_bench.ddpm.noise import torch_generator
from cspine_bench.ddpm.objectives import add_noise, compute_target, compute_weight, scale_input
from cspine_bench.ddpm.path import select_path
from cspine_bench.ddpm.run_folder import read_facts
from cspine_bench.ddpm.update import encode_conditions
from cspine_bench.errors import CheckpointError
from cspine_bench.provenance import sha256_bytes
from cspine_bench.schema import Split

NUM_DRAWS: Final = 16
_STREAM: Final = "ddpm.losses"


def compute_losses(
    run: Path,
    dataset: DatasetFolder,
    splits: Sequence[Split],
    *,
    checkpoint: str = "last",
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
    batch_size: int = 16,
    device: str = "cpu",
    on_progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """Errors of a checkpoint's averaged weights on each radiograph, at fixed times with fixed noise.

    Draw j is time (j + 1/2) / num_draws and one noise, the same for all radiographs: so what differs between two of
    them is the radiographs, not the luck of the draw, and a row depends on neither order nor company. A conditioned
    network is told what the radiograph's own labels say, as in validation.

    Args:
        run: folder that `ddpm train` wrote.
        dataset: of square radiographs of one size, a whole multiple of the run's.
        splits: that are read, in this order.
        checkpoint: `last`, `best` or a step.
        num_draws: 1 or more.
        seed: of the noise.
        batch_size: radiographs at once; changes values by rounding only.
        device: "cpu", "cuda" or "cuda:N".
        on_progress: told how many evaluations of the network are done, and of how many.

    Returns:
        float64 (n, num_draws), mean squared error over the pixels, by rising share of noise: in the order of the files
        of the splits. Lower is better. Those of `flow-edm` are of the velocity, as in the log of a run.

    Raises:
        CheckpointError: the run or the checkpoint is missing or damaged, or its errors are not finite.
        DataError: the radiographs do not fit the network.
        ValueError: num_draws or batch_size is below 1, or no split.

    Source: the loss of Ho et al. 2020 (2006.11239), equation 14, as an attack on membership: Hu, Pang 2023
    (2301.09956).
    """
    if num_draws < 1 or batch_size < 1 or not splits:
        raise ValueError(
            f"needs num_draws and batch_size of at least 1 and a split, got {num_draws}, {batch_size} and {splits}"
        )
    generator = load_generator(run, find_step(run, checkpoint), device=device)
    films = [load_films(dataset, split, generator.size, at_least=1) for split in splits]
    total, done = sum(map(len, films)) * num_draws, 0
    losses = np.empty((total // num_draws, num_draws))
    noise = [torch_generator(seed, _STREAM, draw) for draw in range(num_draws)]
    eps = [torch.randn((1, 1, generator.size, generator.size), generator=one).to(device) for one in noise]
    # One thread: a sum's order, and so its last bit, must not depend on how many cores there are.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for part in films:
            for start in range(0, len(part), batch_size):
                rows = np.arange(start, min(start + batch_size, len(part)))
                first = done // num_draws
                losses[first : first + len(rows)] = _measure(generator, part, rows, eps, torch.device(device))
                done += len(rows) * num_draws
                if on_progress is not None:
                    on_progress(done, total)
    finally:
        torch.set_num_threads(threads)
    if not np.isfinite(losses).all():
        raise CheckpointError(
            f"{run}: the weights of step {generator.step} give errors that are not finite; use another checkpoint"
        )
    return losses


def is_training_set(run: Path, dataset: DatasetFolder) -> bool:
    """Whether a run was trained on just this dataset folder: only then its train split are the members of an attack.

    Raises:
        CheckpointError: `run` is no run folder.
    """
    return read_facts(run).dataset_sha256 == sha256_bytes(render_manifest(dataset.manifest))


@torch.inference_mode()
def _measure(
    generator: Generator, films: Films, rows: NDArray[np.int64], eps: Sequence[torch.Tensor], device: torch.device
) -> NDArray[np.float64]:
    """float64 (rows, draws)."""
    recipe, path = generator.recipe, select_path(generator.recipe)
    x0 = films.take_images(rows).to(device)
    told = torch.zeros(len(rows), dtype=torch.bool)
    condition, class_ids = encode_conditions(recipe, device, films, rows, films.take_landmarks(rows), told)
    errors = []
    for number, one in enumerate(eps):
        t = torch.full((len(rows),), (number + 0.5) / len(eps), device=device)
        noise = one.expand(len(rows), -1, -1, -1)
        xt = scale_input(recipe.objective, add_noise(x0, noise, t, path), t, path)
        output = generator.network(xt, t, condition, class_ids)
        target = compute_target(recipe.objective, x0, noise, t, path)
        weights = compute_weight(recipe.objective, t, path, min_snr_gamma=None)
        errors.append((output - target).double().square().mean(dim=(1, 2, 3)) * weights.double())
    return np.asarray(torch.stack(errors, dim=1).cpu().numpy())
