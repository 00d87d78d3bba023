"""An exported folder is a plain pipeline of diffusers that makes what our own samplers make."""

import json
import os
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler
from forks import fork
from small_run import SIZE, load_small

from cspine_bench.ddpm.export import PROVENANCE_NAME, build_plain_unet, build_scheduler, export_pipeline
from cspine_bench.ddpm.network import DROPPED_CONDITION, UnshuffledUNet
from cspine_bench.ddpm.objectives import predict_x0, scale_input
from cspine_bench.ddpm.path import FLOW, select_path
from cspine_bench.ddpm.recipe import DdpmRecipe, Objective
from cspine_bench.ddpm.samplers import sample_ddim, sample_ddpm
from cspine_bench.errors import DataError, RecipeError

RECIPES: dict[str, dict[str, Any]] = {
    "flow": {},
    "classes": {"classes": ("sex",), "objective": "v", "zero_terminal_snr": True},
    "plain": {"condition": "none", "objective": "epsilon", "schedule": "linear"},
    "classes alone": {"condition": "none", "classes": ("curvature", "sex"), "objective": "v", "schedule": "cosine"},
}


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def withhold(network: UnshuffledUNet, x: torch.Tensor, t: float) -> torch.Tensor:
    """What the network says when nothing is told."""
    condition = torch.full_like(x, DROPPED_CONDITION) if network.in_channels == 2 else None
    told = network.unet.class_embedding is not None
    class_ids = torch.zeros(len(x), dtype=torch.int64) if told else None
    return network(x, torch.full((len(x),), t), condition, class_ids)


def regroup(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pixel_unshuffle(x, 4)


@pytest.mark.parametrize("case", RECIPES)
@torch.no_grad()
def test_the_unet_of_a_loaded_folder_is_the_network_without_conditions(tmp_path: Path, case: str) -> None:
    generator = load_small(tmp_path, **RECIPES[case])
    # A fresh network's last layer is small; all that is compared shall matter.
    for number, weight in enumerate(generator.network.parameters()):
        weight += 0.05 * draw(number, *weight.shape)
    summary = export_pipeline(generator, tmp_path / "out")
    unet = DDPMPipeline.from_pretrained(tmp_path / "out").unet
    assert unet.config.in_channels == unet.config.out_channels == 16
    assert unet.class_embedding is None
    x = draw(1000, 3, 1, SIZE, SIZE)
    for t in (0.0, 0.31, 1.0):
        ours = regroup(withhold(generator.network, x, t))
        assert float(ours.abs().max()) > 0.1
        torch.testing.assert_close(unet(regroup(x), torch.tensor(t * 1000)).sample, ours, rtol=1e-5, atol=1e-5)
    facts = json.loads((tmp_path / "out" / PROVENANCE_NAME).read_text())
    assert facts["weights_sha256"] == generator.weights_sha256
    assert facts["exported_sha256"] == summary.exported_sha256
    assert generator.weights_sha256 in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("objective", "refine_channels", "told"),
    [("flow", 8, {"condition": "none"}), ("flow-edm", 8, {"classes": ("sex",)}), ("flow-edm", 0, {})],
)
@torch.no_grad()
def test_a_network_that_is_not_stock_brings_its_code_along(
    tmp_path: Path, objective: Objective, refine_channels: int, told: dict[str, Any]
) -> None:
    shape = {"widths": (16, 16), "attention_levels": (1,), "unshuffle": 4, "refine_channels": refine_channels}
    generator = load_small(tmp_path, network=shape, objective=objective, **told)
    for number, weight in enumerate(generator.network.parameters()):
        weight += 0.05 * draw(number, *weight.shape)
    export_pipeline(generator, tmp_path / "out")
    with pytest.raises(ValueError, match="trust_remote_code=True"):
        DDPMPipeline.from_pretrained(tmp_path / "out")
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "out", trust_remote_code=True)
    assert type(pipeline.unet).__module__.startswith("diffusers_modules")
    x = draw(1000, 3, 1, SIZE, SIZE)
    for time in (0.01, 0.31, 1.0):
        t = torch.full((len(x),), time)
        output = withhold(generator.network, scale_input(objective, x, t, FLOW), time)
        velocity = (x - predict_x0(objective, output, x, t, FLOW)) / time
        torch.testing.assert_close(pipeline.unet(x, torch.tensor(time * 1000)).sample, velocity, rtol=1e-4, atol=1e-4)
    pipeline.set_progress_bar_config(disable=True)
    [image] = pipeline(num_inference_steps=2).images
    assert (image.mode, image.size) == ("L", (SIZE, SIZE))


@torch.no_grad()
def test_a_flow_pipeline_makes_the_images_of_ddim(tmp_path: Path) -> None:
    generator = load_small(tmp_path)
    network, path = generator.network, select_path(generator.recipe)
    export_pipeline(generator, tmp_path / "out")
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "out")
    pipeline.set_progress_bar_config(disable=True)
    blocks = pipeline(
        batch_size=2, generator=torch.Generator().manual_seed(5), num_inference_steps=7, output_type="np"
    ).images
    noise = torch.nn.functional.pixel_shuffle(
        torch.randn(2, 16, SIZE // 4, SIZE // 4, generator=torch.Generator().manual_seed(5)), 4
    )

    def predict(x: torch.Tensor, t: float) -> torch.Tensor:
        # Without the clamp of `predict_clean`, which the pipeline does not have.
        return predict_x0("flow", withhold(network, x, t), x, torch.full((len(x),), t), path)

    times = pipeline.scheduler.sigmas.tolist()
    assert times[0] == 1.0
    images = (sample_ddim(predict, path, noise, times, lambda step: noise) / 2 + 0.5).clamp(0, 1)
    # The line of the folder's README.
    count, rows, columns, _ = blocks.shape
    pictures = blocks.reshape(count, rows, columns, 4, 4).transpose(0, 1, 3, 2, 4).reshape(count, rows * 4, columns * 4)
    assert pictures.std() > 0.05
    np.testing.assert_allclose(pictures, images[:, 0].numpy(), atol=1e-4)


@pytest.mark.parametrize("case", ["classes", "plain", "classes alone"])
def test_the_ddpm_scheduler_walks_our_path(case: str) -> None:
    recipe = DdpmRecipe(**RECIPES[case])
    path, scheduler = select_path(recipe), build_scheduler(recipe)
    assert isinstance(scheduler, DDPMScheduler)
    steps = torch.arange(1, 1000)
    alphas = path.alpha(steps.double() / 1000) ** 2
    torch.testing.assert_close(scheduler.alphas_cumprod[1:].double(), alphas, rtol=2e-3, atol=1e-6)
    scheduler.set_timesteps(1000)
    assert scheduler.timesteps.tolist() == list(range(999, -1, -1))
    x, output = draw(1, 2, 16, 4, 4), draw(2, 2, 16, 4, 4)
    for k in (998, 500, 100, 3):
        theirs = scheduler.step(output, k, x, generator=torch.Generator().manual_seed(9)).prev_sample
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(9))

        def predict(xt: torch.Tensor, t: float) -> torch.Tensor:
            return predict_x0(recipe.objective, output, xt, torch.full((len(xt),), t), path).clamp(-1, 1)

        ours = sample_ddpm(predict, _Ending(path), x, [k / 1000, (k - 1) / 1000], lambda step, noise=noise: noise)
        torch.testing.assert_close(theirs, ours, rtol=2e-3, atol=2e-3)
    # The last step, where alpha is 1 on the linear schedule, divides by nothing.
    assert torch.isfinite(scheduler.step(output, 0, x).prev_sample).all()


class _Ending:
    """A path as it is; a grid need not end in 0."""

    def __init__(self, path: Any) -> None:
        self.alpha, self.sigma = path.alpha, path.sigma


def test_a_folder_runs_offline_without_this_package(tmp_path: Path) -> None:
    export_pipeline(load_small(tmp_path, condition="none", objective="v"), tmp_path / "out")

    def run() -> None:
        for name in [name for name in sys.modules if name.startswith("cspine")]:
            del sys.modules[name]
        sys.meta_path.insert(0, Refusing())
        pipeline = DDPMPipeline.from_pretrained(tmp_path / "out")
        images = pipeline(batch_size=2, num_inference_steps=3, output_type="np").images
        assert images.shape == (2, 8, 8, 16) and np.isfinite(images).all() and images.std() > 0
        assert not [name for name in sys.modules if name.startswith("cspine")]

    assert os.waitpid(fork(run), 0)[1] == 0


class Refusing(MetaPathFinder):
    """Lets nothing of this package be imported."""

    def find_spec(self, name: str, *arguments: object) -> None:
        if name.split(".")[0] == "cspine_bench":
            raise ImportError(f"{name} is out of reach here")


def test_an_export_is_repeatable_and_replaces_nothing(tmp_path: Path) -> None:
    generator = load_small(tmp_path)
    assert export_pipeline(generator, tmp_path / "out") == export_pipeline(generator, tmp_path / "out")
    (tmp_path / "out" / "README.md").write_text("mine")
    with pytest.raises(DataError, match="holds something else than this export"):
        export_pipeline(generator, tmp_path / "out")
    assert (tmp_path / "out" / "README.md").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_edm_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="edm cannot be exported: DDPMPipeline neither scales"):
        export_pipeline(load_small(tmp_path, condition="none", objective="edm"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_pixels_as_they_are_give_pictures(tmp_path: Path) -> None:
    generator = load_small(
        tmp_path, condition="none", network={"unshuffle": 1, "widths": (16, 16), "attention_levels": ()}
    )
    export_pipeline(generator, tmp_path / "out")
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "out")
    pipeline.set_progress_bar_config(disable=True)
    [image] = pipeline(num_inference_steps=2).images
    assert (image.mode, image.size) == ("L", (SIZE, SIZE))
    assert build_plain_unet(generator.network, generator.recipe).config.sample_size == SIZE
