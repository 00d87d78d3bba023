"""Losses of given radiographs: a network that knows its films by heart gives itself away, and nothing else decides."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_run import write_small_run

from cspine_bench.dataset.read import DatasetFolder, open_dataset
from cspine_bench.dataset.write import write_dataset
from cspine_bench.ddpm.checkpoint import load_generator
from cspine_bench.ddpm.classes import encode_classes
from cspine_bench.ddpm.films import load_films
from cspine_bench.ddpm.losses import compute_losses, is_training_set
from cspine_bench.ddpm.network import encode_skeleton
from cspine_bench.ddpm.noise import torch_generator
from cspine_bench.ddpm.recipe import DdpmRecipe, NetworkRecipe, TrainingRecipe
from cspine_bench.ddpm.skeleton import draw_skeleton
from cspine_bench.ddpm.train import train
from cspine_bench.errors import CheckpointError, DataError
from cspine_bench.metrics.discrimination import auc_interval
from cspine_bench.sources.phantom.recipe import PhantomRecipe
from cspine_bench.sources.phantom.source import PhantomSource

OVERTRAINED = DdpmRecipe(
    size=16,
    network=NetworkRecipe(unshuffle=4, widths=(64,), attention_levels=()),
    training=TrainingRecipe(
        num_steps=90, batch_size=8, warmup_steps=10, validate_every=90, learning_rate=1e-2, ema_lengths=(0.05,)
    ),
)


@pytest.fixture(scope="module")
def films(make_once: Callable[[str, Callable[[Path], object]], Path]) -> DatasetFolder:
    """8 phantoms to train on, 16 to validate on."""
    source = PhantomSource(PhantomRecipe(size=64), 24)
    return open_dataset(make_once("few", lambda out: write_dataset(source, out, fractions=(1 / 3, 2 / 3, 0.0))))


@pytest.fixture(scope="module")
def overtrained(films: DatasetFolder, make_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    return make_once("overtrained", lambda out: train(OVERTRAINED, films.path, out, seed=1))


@pytest.mark.slow  # trains until films are learnt by heart
def test_films_that_were_trained_on_stand_out(films: DatasetFolder, overtrained: Path) -> None:
    told = []
    members = compute_losses(overtrained, films, ("train",), on_progress=lambda done, total: told.append((done, total)))
    others = compute_losses(overtrained, films, ("validation",))
    assert members.shape == (8, 16) and others.shape == (16, 16) and members.dtype == np.float64
    assert told == [(8 * 16, 8 * 16)]
    scale = np.concatenate([members, others]).std(axis=0)
    area = auc_interval(positives=-(members / scale).mean(axis=1), negatives=-(others / scale).mean(axis=1))
    assert area.value > 0.85 and area.low > 0.6
    assert is_training_set(overtrained, films)


def test_neither_batches_nor_company_matter(films: DatasetFolder, tmp_path: Path) -> None:
    run = write_small_run(tmp_path / "run", classes=("sex",))
    whole = compute_losses(run, films, ("train", "validation"), num_draws=4)
    assert np.array_equal(whole, compute_losses(run, films, ("train", "validation"), num_draws=4))
    again = compute_losses(run, films, ("validation", "train"), num_draws=4, batch_size=3)
    assert np.allclose(np.concatenate([again[16:], again[:16]]), whole, rtol=1e-4)
    assert not np.allclose(whole, compute_losses(run, films, ("train", "validation"), num_draws=4, seed=1))


def test_one_loss_by_hand(phantoms: Path, tmp_path: Path) -> None:
    """Of flow: the network's velocity against noise less image, told the radiograph's own landmarks and sex."""
    run = write_small_run(tmp_path / "run", classes=("sex",))
    dataset = open_dataset(phantoms)
    found = compute_losses(run, dataset, ("validation",), num_draws=3, seed=5)
    generator = load_generator(run)
    films = load_films(dataset, "validation", 32, at_least=1)
    x0 = films.take_images(np.array([2]))
    eps = torch.randn((1, 1, 32, 32), generator=torch_generator(5, "ddpm.losses", 1))
    maps = encode_skeleton(draw_skeleton(films.take_landmarks(np.array([2])), 32))
    ids = torch.tensor([encode_classes(("sex",), {"sex": films.sex[2]})])
    with torch.no_grad():
        velocity = generator.network((x0 + eps) / 2, torch.tensor([0.5]), maps, ids)
        untold = generator.network((x0 + eps) / 2, torch.tensor([0.5]), torch.zeros_like(maps), ids)
    assert found[2, 1] == pytest.approx(float((velocity - (eps - x0)).square().mean()), rel=1e-5)
    assert found[2, 1] != pytest.approx(float((untold - (eps - x0)).square().mean()), rel=1e-5)
    assert not is_training_set(run, dataset)


def test_what_cannot_be_computed_is_refused(films: DatasetFolder, tmp_path: Path) -> None:
    run = write_small_run(tmp_path / "run")
    with pytest.raises(CheckpointError, match="no checkpoint of step 3;"):
        compute_losses(run, films, ("train",), checkpoint="3")
    with pytest.raises(DataError, match="the test split has 0 radiographs"):
        compute_losses(run, films, ("test",))
    with pytest.raises(ValueError, match="num_draws"):
        compute_losses(run, films, ("train",), num_draws=0)
    with pytest.raises(CheckpointError, match="no training run"):
        compute_losses(tmp_path / "none", films, ("train",))
